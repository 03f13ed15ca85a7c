//! The three moves of offer and answer (RFC 3264): [`offer`], [`answer`], [`accept`].
//!
//! We take the first audio stream that we can, and of its codecs the one that *we* like best: an answer with a single codec
//! leaves no doubt about what will come (RFC 3264 §6.1 lets the answerer choose). Every other stream is answered in its place with port 0.
//! Dynamic payload types keep the offerer's numbers, so that both directions use the same.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::again::Place;
use super::control;
use super::crypto::{self, Role};
use super::parse::{Connection, Description, Medium, canonical, parse};
use super::{Capabilities, Codec, Direction, LocalMedia, NegotiateError, Negotiated};

/// The number that we offer for telephone-event: the one everybody else uses; and the one by a clock that is not 8,000 Hz.
const TELEPHONE_EVENT: u8 = 101;
const TELEPHONE_EVENT_WIDE: u8 = 102;
/// The shortest and longest packet that we send.
const PTIME_MS: std::ops::RangeInclusive<u8> = 10..=60;

/// Describes what we want.
pub fn offer(capabilities: &Capabilities, local: &LocalMedia, direction: Direction) -> Vec<u8> {
    let formats: Vec<_> = usual(capabilities).collect();
    let place = Place { profile: capabilities.encryption.profile(), ..Place::default() };
    write_offer(&place, &formats, capabilities, local, direction)
}

/// What we offer, by the numbers that we like.
pub(super) fn usual(capabilities: &Capabilities) -> impl Iterator<Item = Format> {
    let codecs = capabilities
        .codecs
        .iter()
        .map(|&codec| Format { payload_type: codec.payload_type(), meaning: Meaning::Codec(codec) });
    // One for each clock, so that it can always be the codec's (RFC 4733 §2.1).
    let events = [(TELEPHONE_EVENT, 8_000), (TELEPHONE_EVENT_WIDE, 48_000)].into_iter();
    let events = events.filter(|(_, clock)| {
        capabilities.dtmf && capabilities.codecs.iter().any(|codec| codec.clock_rate() == *clock)
    });
    codecs.chain(
        events.map(|(payload_type, clock)| Format { payload_type, meaning: Meaning::TelephoneEvent(clock) }),
    )
}

pub(super) fn write_offer(
    place: &Place,
    formats: &[Format],
    capabilities: &Capabilities,
    local: &LocalMedia,
    direction: Direction,
) -> Vec<u8> {
    let mut text = head(local);
    text.push_str(&place.before);
    write_audio(&mut text, place.profile, local.port, formats, capabilities, direction);
    control::write(&mut text, capabilities.rtcp_mux, true);
    capabilities.encryption.write_offer(&mut text);
    text.push_str(&place.after);
    text.into_bytes()
}

/// Answers an offer.
///
/// # Errors
/// The offer is malformed, or holds nothing that we speak; [`NegotiateError::status`] says how to answer the INVITE.
pub fn answer(
    offer: &[u8],
    capabilities: &Capabilities,
    local: &LocalMedia,
) -> Result<(Vec<u8>, Negotiated), NegotiateError> {
    let description = parse(offer)?;
    let (index, agreed) = choose(&description, capabilities, Role::Answerer)?;
    let mut text = head(local);
    for (position, medium) in description.media.iter().enumerate() {
        if position == index {
            let mut formats =
                vec![Format { payload_type: agreed.payload_type, meaning: Meaning::Codec(agreed.codec) }];
            if let Some(payload_type) = agreed.dtmf_payload_type {
                formats.push(Format { payload_type, meaning: Meaning::TelephoneEvent(agreed.dtmf_clock) });
            }
            if let Some(payload_type) = agreed.comfort_noise {
                formats.push(Format { payload_type, meaning: Meaning::ComfortNoise });
            }
            // RFC 3264 §6: the answer's profile is the offer's.
            let profile = &medium.protocol;
            write_audio(&mut text, profile, local.port, &formats, capabilities, agreed.direction);
            control::write(&mut text, agreed.rtcp_mux, agreed.rtcp_xr);
            crypto::write_answer(&mut text, &agreed);
        } else {
            write_rejected(&mut text, medium);
        }
    }
    Ok((text.into_bytes(), agreed))
}

/// Reads the answer to our offer.
///
/// # Errors
/// The answer is malformed, or took nothing of what we offered.
pub fn accept(answer: &[u8], capabilities: &Capabilities) -> Result<Negotiated, NegotiateError> {
    let description = parse(answer)?;
    // RFC 3264 §6 puts the answer to our one stream first, but not every peer keeps to that.
    choose(&description, capabilities, Role::Offerer).map(|(_, agreed)| agreed)
}

/// RFC 3264 §6: in its place, with at least one of its formats.
pub(super) fn write_rejected(text: &mut String, medium: &Medium) {
    let format = medium.formats.first().map_or("0", String::as_str);
    let _ = write!(text, "m={} 0 {} {}\r\n", medium.kind, medium.protocol, format);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Codec(Codec),
    /// By a clock of so many Hz.
    TelephoneEvent(u32),
    ComfortNoise,
}

#[derive(Clone, Copy)]
pub(super) struct Format {
    pub(super) payload_type: u8,
    pub(super) meaning: Meaning,
}

fn choose(
    description: &Description,
    capabilities: &Capabilities,
    role: Role,
) -> Result<(usize, Negotiated), NegotiateError> {
    let mut refusal = NegotiateError::NoAudio("there is none");
    let mut plain = None;
    for (index, medium) in description.media.iter().enumerate() {
        if medium.kind != "audio" {
            continue;
        }
        match agree(description, medium, capabilities, role) {
            // Of two that we could take, the one that nobody else can hear.
            Ok(agreed) if agreed.srtp.is_some() => return Ok(placed(description, (index, agreed))),
            Ok(agreed) => plain = plain.or(Some((index, agreed))),
            // The first audio stream's reason says most.
            Err(error) if matches!(refusal, NegotiateError::NoAudio("there is none")) => refusal = error,
            Err(_) => {}
        }
    }
    plain.ok_or(refusal).map(|found| placed(description, found))
}

fn placed(description: &Description, (index, mut agreed): (usize, Negotiated)) -> (usize, Negotiated) {
    agreed.place = Place::of(description, index);
    (index, agreed)
}

fn agree(
    description: &Description,
    medium: &Medium,
    capabilities: &Capabilities,
    role: Role,
) -> Result<Negotiated, NegotiateError> {
    if medium.port == 0 {
        return Err(NegotiateError::NoAudio("it was rejected with port 0"));
    }
    let srtp = crypto::agree(medium, &capabilities.encryption, role)?;
    let address = match medium.connection.as_ref().or(description.connection.as_ref()) {
        Some(Connection::Address(address)) => *address,
        Some(Connection::Name(_)) => {
            return Err(NegotiateError::NoAudio("its connection address is a name, not an address"));
        }
        None => return Err(NegotiateError::NoAudio("it has no connection address")),
    };
    let formats = understood(medium);
    let Some((codec, payload_type)) = capabilities.codecs.iter().find_map(|&ours| {
        let found = formats.iter().find(|format| format.meaning == Meaning::Codec(ours))?;
        Some((ours, found.payload_type))
    }) else {
        return Err(NegotiateError::NoCommonCodec {
            offered: describe(medium),
            ours: capabilities.codecs.iter().map(|codec| codec.name()).collect::<Vec<_>>().join(" "),
        });
    };
    let number_of = |meaning: Meaning| {
        formats.iter().find(|format| format.meaning == meaning).map(|format| format.payload_type)
    };
    // By the codec's clock; but many name only the one of 8,000 Hz, whatever they speak besides.
    let dtmf = [codec.clock_rate(), 8_000]
        .into_iter()
        .find_map(|clock| Some((number_of(Meaning::TelephoneEvent(clock))?, clock)))
        .filter(|_| capabilities.dtmf);
    // Its clock is 8,000 Hz, so it goes with codecs of that clock alone (RFC 3389 §4).
    let comfort_noise = number_of(Meaning::ComfortNoise)
        .filter(|_| capabilities.comfort_noise && codec.clock_rate() == 8_000);
    let theirs = direction(description, medium);
    // Hold as RFC 2543 had it (RFC 3264 §8.4): an address of all zeroes hears nothing.
    let listens = theirs.receives() && !address.is_unspecified();
    let mut agreed = Negotiated {
        codec,
        payload_type,
        dtmf_payload_type: dtmf.map(|(payload_type, _)| payload_type),
        dtmf_clock: dtmf.map_or(codec.clock_rate(), |(_, clock)| clock),
        comfort_noise,
        opus: capabilities.opus.towards(&fmtp(medium, payload_type)),
        remote: SocketAddr::new(address, medium.port),
        remote_rtcp: control::address(medium, address),
        rtcp_mux: false,
        rtcp_xr: false,
        direction: Direction::new(listens, theirs.sends()),
        ptime_ms: ptime(medium, capabilities),
        keys: capabilities.keys,
        srtp,
        place: Place::default(),
    };
    control::agree(medium, capabilities, &mut agreed);
    Ok(agreed)
}

/// The formats of a stream that mean something to us: static payload types need no `a=rtpmap` (RFC 3264 §5.1), but one overrides them.
fn understood(medium: &Medium) -> Vec<Format> {
    let mut formats = Vec::new();
    for format in &medium.formats {
        let Ok(payload_type) = format.parse::<u8>() else { continue };
        if payload_type > 127 {
            continue;
        }
        let meaning = match rtpmap(medium, payload_type) {
            Some((name, rate, channels)) => meaning(&name, rate, channels),
            None => match payload_type {
                0 => Some(Meaning::Codec(Codec::Pcmu)),
                8 => Some(Meaning::Codec(Codec::Pcma)),
                9 => Some(Meaning::Codec(Codec::G722)),
                13 => Some(Meaning::ComfortNoise),
                _ => None,
            },
        };
        if let Some(meaning) = meaning {
            formats.push(Format { payload_type, meaning });
        }
    }
    formats
}

fn meaning(name: &str, rate: u32, channels: u32) -> Option<Meaning> {
    match (name, rate, channels) {
        ("PCMU", 8_000, 1) => Some(Meaning::Codec(Codec::Pcmu)),
        ("PCMA", 8_000, 1) => Some(Meaning::Codec(Codec::Pcma)),
        ("G722", 8_000, 1) => Some(Meaning::Codec(Codec::G722)),
        // Always two channels, whatever is sent (RFC 7587 §4.1); some peers leave them out.
        ("OPUS", 48_000, _) => Some(Meaning::Codec(Codec::Opus)),
        ("TELEPHONE-EVENT", 8_000 | 48_000, 1) => Some(Meaning::TelephoneEvent(rate)),
        ("CN", 8_000, 1) => Some(Meaning::ComfortNoise),
        _ => None,
    }
}

/// `a=rtpmap:101 telephone-event/8000/1`: name in capitals, Hz, channels.
fn rtpmap(medium: &Medium, payload_type: u8) -> Option<(String, u32, u32)> {
    medium.attributes.iter().filter(|attribute| attribute.name == "rtpmap").find_map(|attribute| {
        let (number, encoding) = attribute.value.as_deref()?.split_once(char::is_whitespace)?;
        if number.parse::<u8>() != Ok(payload_type) {
            return None;
        }
        let mut parts = encoding.trim().split('/');
        let name = parts.next()?.trim().to_ascii_uppercase();
        let rate = parts.next()?.trim().parse().ok()?;
        let channels = parts.next().map_or(Some(1), |channels| channels.trim().parse().ok())?;
        Some((name, rate, channels))
    })
}

/// The parameters of a format.
fn fmtp(medium: &Medium, payload_type: u8) -> String {
    let values = medium.attributes.iter().filter(|attribute| attribute.name == "fmtp");
    let mut values =
        values.filter_map(|attribute| attribute.value.as_deref()?.split_once(char::is_whitespace));
    let found = values.find(|(number, _)| number.parse::<u8>() == Ok(payload_type));
    found.map(|(_, parameters)| parameters.to_owned()).unwrap_or_default()
}

/// For the error message: `G729 OPUS/48000`, or the bare numbers.
fn describe(medium: &Medium) -> String {
    let mut text = String::new();
    for format in medium.formats.iter().take(16) {
        if !text.is_empty() {
            text.push(' ');
        }
        let named = format.parse().ok().and_then(|payload_type| rtpmap(medium, payload_type));
        match named {
            Some((name, rate, _)) => {
                let _ = write!(text, "{name}/{rate}");
            }
            None => text.push_str(format),
        }
    }
    text
}

/// The stream's direction, else the session's, else sendrecv (RFC 8866 §6.7).
fn direction(description: &Description, medium: &Medium) -> Direction {
    let stated = |attributes: &[super::Attribute]| {
        attributes.iter().find_map(|attribute| match attribute.name.as_str() {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        })
    };
    stated(&medium.attributes).or_else(|| stated(&description.attributes)).unwrap_or_default()
}

/// What the peer wishes to receive, else what we like; never more than it can take (RFC 8866 §6.4, §6.5).
fn ptime(medium: &Medium, capabilities: &Capabilities) -> u8 {
    let stated = |name| {
        // Some peers write "20.0", some "ptime:20 ".
        let value = medium.attribute(name)?.parse::<f32>().ok()?;
        (value.is_finite() && value >= 1.0).then_some(value.min(200.0) as u8)
    };
    let wished = stated("ptime").unwrap_or(capabilities.ptime_ms);
    clamp_ptime(stated("maxptime").map_or(wished, |most| wished.min(most)))
}

/// To a multiple of 10 ms between 10 and 60.
fn clamp_ptime(ptime_ms: u8) -> u8 {
    (ptime_ms / 10 * 10).clamp(*PTIME_MS.start(), *PTIME_MS.end())
}

fn head(local: &LocalMedia) -> String {
    let address = Address(local.ip);
    format!(
        "v=0\r\no=- {} {} {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n",
        // Signed 64-bit parsers are common among peers.
        local.session_id & i64::MAX as u64,
        local.version & i64::MAX as u64,
    )
}

fn write_audio(
    text: &mut String,
    profile: &str,
    port: u16,
    formats: &[Format],
    capabilities: &Capabilities,
    direction: Direction,
) {
    let ptime_ms = clamp_ptime(capabilities.ptime_ms);
    let _ = write!(text, "m=audio {port} {profile}");
    for format in formats {
        let _ = write!(text, " {}", format.payload_type);
    }
    text.push_str("\r\n");
    for format in formats {
        let number = format.payload_type;
        let _ = match format.meaning {
            // Two channels are named even where one is sent (RFC 7587 §7).
            Meaning::Codec(Codec::Opus) => {
                let parameters = capabilities.opus;
                write!(text, "a=rtpmap:{number} opus/48000/2\r\na=fmtp:{number} {parameters}\r\n")
            }
            Meaning::Codec(codec) => {
                write!(text, "a=rtpmap:{number} {}/{}\r\n", codec.name(), codec.clock_rate())
            }
            // Events 0–15 are the sixteen keys (RFC 4733 §2.4.1, §3.2).
            Meaning::TelephoneEvent(clock) => {
                write!(text, "a=rtpmap:{number} telephone-event/{clock}\r\na=fmtp:{number} 0-15\r\n")
            }
            Meaning::ComfortNoise => write!(text, "a=rtpmap:{number} CN/8000\r\n"),
        };
    }
    let rtcp_port = port.checked_add(1).unwrap_or(port);
    let _ = write!(text, "a=ptime:{ptime_ms}\r\na=rtcp:{rtcp_port}\r\na={}\r\n", direction.as_str());
}

/// `IN IP4 192.0.2.1`.
struct Address(IpAddr);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match canonical(self.0) {
            IpAddr::V4(v4) => write!(f, "IN IP4 {v4}"),
            IpAddr::V6(v6) if v6.is_unspecified() => write!(f, "IN IP4 {}", Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(v6) => write!(f, "IN IP6 {v6}"),
        }
    }
}
