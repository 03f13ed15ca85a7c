//! Session descriptions: what each side can hear and speak, and where.
//!
//! [`parse()`] turns any bytes into a [`Description`] or an error, never a panic (RFC 8866). [`offer`],
//! [`answer`] and [`accept`] are the three moves of RFC 3264; what they agree on is a [`Negotiated`], which is right by
//! construction: whoever holds one can start media with it.
//!
//! A delayed offer (an INVITE without a body) needs nothing special: the 200 carries our [`offer`], the ACK their answer. Inside a session it is
//! [`offer_again`] that we say.

mod again;
mod control;
mod crypto;
mod negotiate;
mod opus;
mod parse;

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::dtmf::Mode;
use crate::srtp::Keys;
use crate::{LINE_RATE, Rate};

pub use again::{Place, offer_again};
pub use crypto::Encryption;
#[doc(hidden)]
pub use crypto::fuzz as fuzz_crypto;
pub use negotiate::{accept, answer, offer};
pub use opus::OpusSettings;
pub use parse::{Attribute, Connection, Description, Medium, Origin, ParseError, parse};

/// The content type of a session description.
pub const CONTENT_TYPE: &str = "application/sdp";

/// A codec that we speak.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716, RFC 7587).
    Opus,
}

impl Codec {
    /// The encoding name in `a=rtpmap` (RFC 3551 §6).
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The payload type that we offer for it: where there is one, that which needs no `a=rtpmap` (RFC 3551 §6, table 4).
    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::Opus => 111,
        }
    }

    /// Ticks of the RTP timestamp per second. For G.722 it is half of what it should be, by an old mistake that stands (RFC 3551 §4.5.2).
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// Ticks of the RTP timestamp per unit of line time.
    pub(crate) fn clock_divisor(self) -> u32 {
        self.clock_rate() / LINE_RATE
    }

    /// The rate at which a session works that speaks this.
    pub fn rate(self) -> Rate {
        match self {
            Codec::Pcmu | Codec::Pcma => Rate::Narrow,
            Codec::G722 | Codec::Opus => Rate::Wide,
        }
    }
}

/// By the names that [`Codec::name`] gives, in any case.
impl std::str::FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let known = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
        known.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name)).ok_or(UnknownCodec)
    }
}

#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("no codec of ours: pcmu, pcma, g722 and opus are")]
pub struct UnknownCodec;

/// What we are willing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// In order of preference.
    pub codecs: Vec<Codec>,
    /// Milliseconds of audio per packet that we like to receive, and send unless the peer wishes otherwise.
    pub ptime_ms: u8,
    /// Whether to speak telephone-event (RFC 4733).
    pub dtmf: bool,
    /// Whether a peer may fall silent with comfort noise (RFC 3389) if it asks for that. We never ask: silence that is suppressed costs the
    /// beginnings of words.
    pub comfort_noise: bool,
    /// What we wish of Opus, and its most.
    pub opus: OpusSettings,
    /// Whether RTP and RTCP may share a port (RFC 5761). A peer that does not know it keeps the two apart.
    pub rtcp_mux: bool,
    /// Whether sound is sealed, and with what.
    pub encryption: Encryption,
    /// How keys travel; only modes with events need `dtmf`.
    pub keys: Mode,
}

impl Capabilities {
    /// With keys in this way.
    #[must_use]
    pub fn with_keys(self, keys: Mode) -> Self {
        Capabilities { keys, dtmf: keys.has_events(), ..self }
    }

    /// For the next offer or answer of a session in which this was agreed: what it is sealed with stays as long as the peer lets it.
    #[must_use]
    pub fn keeping(&self, agreed: &Negotiated) -> Self {
        Capabilities { encryption: self.encryption.keeping(agreed.srtp.as_ref()), ..self.clone() }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities {
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus],
            ptime_ms: 20,
            dtmf: true,
            comfort_noise: true,
            opus: OpusSettings::default(),
            rtcp_mux: true,
            encryption: Encryption::Off,
            keys: Mode::Auto,
        }
    }
}

/// Our end, as the peer is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalMedia {
    /// Advertised; need not be an address of this machine.
    pub ip: IpAddr,
    /// RTP; RTCP is one above.
    pub port: u16,
    /// `o=` session id: the same through all of a call.
    pub session_id: u64,
    /// `o=` version: one more whenever the description changes (RFC 3264 §8).
    pub version: u64,
}

impl LocalMedia {
    /// The same end with the next `o=` version, for a description that differs from the one before.
    #[must_use]
    pub fn bumped(self) -> Self {
        LocalMedia { version: self.version.wrapping_add(1), ..self }
    }
}

/// Which way media flows, seen from the side that says it (RFC 3264 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    #[default]
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    /// From its two halves.
    pub fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same flow seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        Direction::new(self.receives(), self.sends())
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// What both sides agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    pub codec: Codec,
    /// The number that both directions use for the codec.
    pub payload_type: u8,
    /// The number of telephone-event, if both sides speak it.
    pub dtmf_payload_type: Option<u8>,
    /// The clock of telephone-event: the codec's, where both sides have it so (RFC 4733 §2.1).
    pub dtmf_clock: u32,
    /// The number of comfort noise (RFC 3389), if the peer may fall silent with it.
    pub comfort_noise: Option<u8>,
    /// How Opus is sent, if it is.
    pub opus: OpusSettings,
    /// Where the peer says that it wants RTP. Its address is unspecified (0.0.0.0) when it holds the old way (RFC 3264 §8.4).
    pub remote: SocketAddr,
    /// Where the peer says that it wants RTCP (RFC 3605, else one port above).
    pub remote_rtcp: SocketAddr,
    /// RTCP goes and comes on the ports of RTP (RFC 5761).
    pub rtcp_mux: bool,
    /// The peer wishes to be told how we hear it (RFC 3611, VoIP metrics).
    pub rtcp_xr: bool,
    /// Ours.
    pub direction: Direction,
    /// Milliseconds of audio in each packet that we send: a multiple of 10 from 10 to 60.
    pub ptime_ms: u8,
    /// How keys travel.
    pub keys: Mode,
    /// What packets are sealed with; absent: nothing.
    pub srtp: Option<Keys>,
    /// Which of the session's streams it is.
    pub place: Place,
}

impl Negotiated {
    /// The plainest agreement: sound both ways in packets of 20 ms, telephone-event by the number that everybody uses, RTCP one port above.
    pub fn plain(codec: Codec, remote: SocketAddr) -> Self {
        Negotiated {
            codec,
            payload_type: codec.payload_type(),
            dtmf_payload_type: Some(101),
            dtmf_clock: codec.clock_rate(),
            comfort_noise: None,
            opus: OpusSettings::default(),
            remote,
            remote_rtcp: SocketAddr::new(remote.ip(), remote.port().saturating_add(1)),
            rtcp_mux: false,
            rtcp_xr: false,
            direction: Direction::SendRecv,
            ptime_ms: 20,
            keys: Mode::Auto,
            srtp: None,
            place: Place::default(),
        }
    }

    /// Units of telephone-event per second: those of the sound beside it (RFC 4733 §2.1), or what the peer has named.
    pub fn event_clock(&self) -> u32 {
        self.dtmf_clock
    }

    /// Whether an RTCP packet cannot be taken for one of RTP, which it can where a payload type is from 64 to 95 (RFC 5761 §4).
    pub(crate) fn may_share_port(&self) -> bool {
        let looks_like_rtcp = |number: u8| (64..96).contains(&number);
        !looks_like_rtcp(self.payload_type) && !self.dtmf_payload_type.is_some_and(looks_like_rtcp)
    }

    /// Whether the peer put us on hold: it does not listen.
    pub fn held(&self) -> bool {
        !self.direction.sends()
    }
}

/// Why two sides cannot talk.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum NegotiateError {
    /// No codec in common: 488 Not Acceptable Here.
    #[error("no codec in common (they offer {offered}; we speak {ours})")]
    NoCommonCodec { offered: String, ours: String },
    /// No audio stream that we could take (none at all, rejected, or over a transport we do not speak): 488.
    #[error("no usable audio stream: {0}")]
    NoAudio(&'static str),
    /// Not a session description: 400 Bad Request.
    #[error("malformed session description: {0}")]
    Malformed(#[from] ParseError),
}

impl NegotiateError {
    /// The SIP status that answers an INVITE with such an offer (RFC 3261 §13.3.1.3, §21.4.26).
    pub fn status(&self) -> u16 {
        match self {
            NegotiateError::Malformed(_) => 400,
            NegotiateError::NoCommonCodec { .. } | NegotiateError::NoAudio(_) => 488,
        }
    }
}
