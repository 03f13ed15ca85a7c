//! SRTP (RFC 3711, RFC 7714): packets that nobody reads or makes but the two who hold the keys.
//!
//! The keys come by the session description (`a=crypto`, RFC 4568: `sdp/crypto.rs`), each side choosing the one that it seals with.
//! [`Srtp`] stands between the wire and the session: what comes in is opened into a buffer of its own before anything else looks at it,
//! what goes out is sealed in its packet when it is polled. A packet whose tag is wrong, or that came before, changes nothing at all:
//! no latch, no jitter buffer, no clock.
//!
//! Nothing here allocates once [`Srtp::new`] has returned. The ciphers are `aes-gcm`'s and `sha1`'s (docs/decisions/srtp.md); what is ours
//! is which bytes go in: nonces, indices, what is covered by the tag, and the window of what has come already.

mod key;
mod stream;
mod transform;

use stream::{Received, Sent};
use transform::{Protocol, Transform};

pub use key::{KeySeed, Keys, MasterKey};

/// Longest packet that is opened; a longer one cannot have come, as the sockets take no more.
const LONGEST: usize = 2_048;
/// Packets opened with a new key before the one before it is forgotten: a second and a half of what was under way.
const OVERLAP: u32 = 75;

/// How packets are sealed, by the names of the registry of RFC 4568.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 cut to 80 bits: what everybody knows.
    AesCm128HmacSha1_80,
    /// The same with 32 bits on RTP.
    AesCm128HmacSha1_32,
    /// RFC 7714.
    AeadAes128Gcm,
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, the best first.
    pub const ALL: [Suite; 4] =
        [Suite::AeadAes256Gcm, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    /// As it stands in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// By that name.
    pub fn named(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the master key.
    pub fn key_length(self) -> usize {
        match self {
            Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Bytes of the master salt.
    pub fn salt_length(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }
}

/// Why a packet is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Its tag is wrong, or it is no packet at all.
    Forged,
    /// Its number came before, or is older than can be remembered; who made it is not asked any more (RFC 3711 §3.3).
    Replayed,
}

/// Both directions of one stream, and of the reports beside it.
pub(crate) struct Srtp {
    keys: Keys,
    outbound: Outbound,
    inbound: Inbound,
    /// What was agreed before, for packets that are still under way; and how many have been opened since.
    former: Option<(Box<Inbound>, u32)>,
    opened: Vec<u8>,
}

struct Outbound {
    rtp: Transform,
    rtcp: Transform,
    sent: Sent,
    reports: u32,
}

struct Inbound {
    rtp: Transform,
    rtcp: Transform,
    packets: Received,
    reports: Received,
}

impl Srtp {
    pub(crate) fn new(keys: &Keys) -> Srtp {
        Srtp {
            outbound: Outbound::new(keys.suite, &keys.ours),
            inbound: Inbound::new(keys.suite, &keys.theirs),
            keys: keys.clone(),
            former: None,
            opened: Vec::with_capacity(LONGEST),
        }
    }

    /// Takes what was agreed anew. A direction whose key is the same goes on as it was. True where ours changed: then the stream must get
    /// another SSRC, for its packets are counted from nothing.
    pub(crate) fn agree(&mut self, keys: &Keys) -> bool {
        let another = keys.suite != self.keys.suite;
        if another || keys.theirs != self.keys.theirs {
            let before = std::mem::replace(&mut self.inbound, Inbound::new(keys.suite, &keys.theirs));
            self.former = Some((Box::new(before), 0));
        }
        let ours = another || keys.ours != self.keys.ours;
        if ours {
            self.outbound = Outbound::new(keys.suite, &keys.ours);
        }
        self.keys = keys.clone();
        ours
    }

    /// Seals an RTP packet in place: it grows by the tag. What is no RTP is emptied, so that it cannot leave as it is.
    pub(crate) fn seal_rtp(&mut self, packet: &mut Vec<u8>) {
        let Some(head) = Head::read(packet) else { return packet.clear() };
        let index = self.outbound.sent.index(head.ssrc, head.sequence);
        self.outbound.rtp.seal_rtp(packet, &head, index);
    }

    /// Seals a compound RTCP packet in place: it grows by the tag and its index.
    pub(crate) fn seal_rtcp(&mut self, packet: &mut Vec<u8>) {
        let Some(ssrc) = report_of(packet) else { return packet.clear() };
        let index = self.outbound.reports;
        // 31 bits; a report every five seconds fills them in three centuries.
        self.outbound.reports = (index + 1) & 0x7fff_ffff;
        self.outbound.rtcp.seal_rtcp(packet, ssrc, index);
    }

    /// The packet inside; and whether it is the first under a new key, and so of a stream that follows another.
    pub(crate) fn open_rtp(&mut self, bytes: &[u8]) -> Result<(&[u8], bool), Refused> {
        self.open(bytes, Inbound::open_rtp)
    }

    /// The compound RTCP packet inside.
    pub(crate) fn open_rtcp(&mut self, bytes: &[u8]) -> Result<&[u8], Refused> {
        self.open(bytes, Inbound::open_rtcp).map(|(packet, _)| packet)
    }

    fn open(
        &mut self,
        bytes: &[u8],
        work: fn(&mut Inbound, &mut Vec<u8>) -> Result<(), Refused>,
    ) -> Result<(&[u8], bool), Refused> {
        if bytes.len() > LONGEST {
            return Err(Refused::Forged);
        }
        self.opened.clear();
        self.opened.extend_from_slice(bytes);
        let result = work(&mut self.inbound, &mut self.opened);
        let mut is_first = false;
        match (&result, &mut self.former) {
            (Err(Refused::Forged), Some((former, _))) => work(former, &mut self.opened)?,
            (Ok(()), Some((_, since))) => {
                is_first = *since == 0;
                *since += 1;
                if *since >= OVERLAP {
                    self.former = None;
                }
            }
            _ => result?,
        }
        Ok((&self.opened, is_first))
    }
}

impl Outbound {
    fn new(suite: Suite, key: &MasterKey) -> Outbound {
        Outbound {
            rtp: Transform::new(suite, key, Protocol::Rtp),
            rtcp: Transform::new(suite, key, Protocol::Rtcp),
            sent: Sent::default(),
            reports: 0,
        }
    }
}

impl Inbound {
    fn new(suite: Suite, key: &MasterKey) -> Inbound {
        Inbound {
            rtp: Transform::new(suite, key, Protocol::Rtp),
            rtcp: Transform::new(suite, key, Protocol::Rtcp),
            packets: Received::default(),
            reports: Received::default(),
        }
    }

    fn open_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), Refused> {
        let head = Head::read(packet).ok_or(Refused::Forged)?;
        let index = self.packets.guess(head.ssrc, head.sequence).ok_or(Refused::Forged)?;
        if !self.packets.is_new(head.ssrc, index) {
            return Err(Refused::Replayed);
        }
        if self.rtp.open_rtp(packet, &head, index) {
            self.packets.came(head.ssrc, index);
            return Ok(());
        }
        // Of a stream that is not known yet, the numbers may have wrapped before its first packet came through.
        let wrapped = index + (1 << 16);
        if self.packets.knows(head.ssrc) || !self.rtp.open_rtp(packet, &head, wrapped) {
            return Err(Refused::Forged);
        }
        self.packets.came(head.ssrc, wrapped);
        Ok(())
    }

    fn open_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Refused> {
        let ssrc = report_of(packet).ok_or(Refused::Forged)?;
        let index = self.rtcp.index_of(packet).ok_or(Refused::Forged)?;
        if !self.reports.is_new(ssrc, u64::from(index)) {
            return Err(Refused::Replayed);
        }
        if !self.rtcp.open_rtcp(packet, ssrc, index) {
            return Err(Refused::Forged);
        }
        self.reports.came(ssrc, u64::from(index));
        Ok(())
    }
}

/// What stands in clear at the head of an RTP packet, and how long it is: the tag covers it, nothing hides it (RFC 3711 §3.1).
struct Head {
    length: usize,
    sequence: u16,
    ssrc: u32,
}

impl Head {
    fn read(packet: &[u8]) -> Option<Head> {
        let fixed: &[u8; 12] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut length = 12 + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let words = packet.get(length + 2..length + 4)?;
            length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        (length <= packet.len()).then_some(Head {
            length,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        })
    }
}

/// The SSRC of a compound RTCP packet.
fn report_of(packet: &[u8]) -> Option<u32> {
    let fixed: &[u8; 8] = packet.first_chunk()?;
    (fixed[0] >> 6 == 2).then(|| u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]))
}
