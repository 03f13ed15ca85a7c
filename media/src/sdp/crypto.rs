//! Keys in the session description: `a=crypto` (RFC 4568), also beside plain RTP as an offer to those who can (RFC 8643).
//!
//! Our own keys come from a seed, so an offer need not be kept until its answer comes, and what is said again says the same keys. The
//! answerer takes the offerer's favourite among the suites that are ours.

use std::fmt::Write as _;

use super::parse::Medium;
use super::{NegotiateError, Negotiated};
use crate::srtp::{KeySeed, Keys, MasterKey, Suite};

/// Attributes of one stream that are read; nobody has more to say.
const MOST: usize = 32;

/// Whether sound is sealed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Encryption {
    /// Neither offered nor taken.
    #[default]
    Off,
    On {
        /// Nothing is spoken in clear. Otherwise it is offered beside plain RTP, and taken where it is offered.
        required: bool,
        /// The best first.
        suites: Vec<Suite>,
        /// Of this leg alone.
        seed: KeySeed,
        /// What was agreed on this leg before. As long as the peer keeps its key we keep ours, whoever offers.
        kept: Option<Keys>,
        /// What need not be sealed is offered as RTP/SAVP all the same: to who refuses keys beside RTP/AVP.
        insists: bool,
    },
}

impl Encryption {
    /// Of a leg on which nothing is agreed yet.
    pub fn on(required: bool, suites: Vec<Suite>, seed: KeySeed) -> Encryption {
        Encryption::On { required, suites, seed, kept: None, insists: false }
    }

    /// The same for another leg.
    #[must_use]
    pub fn fork(&self, number: u64) -> Encryption {
        match self {
            Encryption::Off => Encryption::Off,
            Encryption::On { required, suites, seed, insists, .. } => Encryption::On {
                required: *required,
                suites: suites.clone(),
                seed: seed.fork(number),
                kept: None,
                insists: *insists,
            },
        }
    }

    /// The other way to offer what need not be, to a peer that has refused keys beside plain RTP (RFC 8643): as RTP/SAVP. `None` where there is
    /// no other way: what must be sealed is never offered otherwise.
    pub fn insisting(&self) -> Option<Encryption> {
        match self {
            Encryption::On { required: false, suites, seed, kept, insists: false } => Some(Encryption::On {
                required: false,
                suites: suites.clone(),
                seed: seed.clone(),
                kept: kept.clone(),
                insists: true,
            }),
            _ => None,
        }
    }

    /// The same, when this has been agreed on.
    pub(super) fn keeping(&self, agreed: Option<&Keys>) -> Encryption {
        let mut encryption = self.clone();
        if let Encryption::On { kept, .. } = &mut encryption {
            *kept = agreed.cloned();
        }
        encryption
    }

    /// The `m=` line's profile when we offer.
    pub(super) fn profile(&self) -> &'static str {
        match self {
            Encryption::On { required: true, .. } | Encryption::On { insists: true, .. } => "RTP/SAVP",
            _ => "RTP/AVP",
        }
    }

    /// The lines of our offer.
    pub(super) fn write_offer(&self, text: &mut String) {
        let Encryption::On { suites, seed, kept, .. } = self else { return };
        for line in offered(suites, seed, kept.as_ref()) {
            write_line(text, line.tag, line.suite, &line.key);
        }
    }
}

/// What we offer: first what is in force, by its number and with the key that we seal with.
fn offered(suites: &[Suite], seed: &KeySeed, kept: Option<&Keys>) -> impl Iterator<Item = Line> {
    let kept = kept.filter(|kept| suites.contains(&kept.suite));
    let (tag, suite) = (kept.map(|kept| kept.tag), kept.map(|kept| kept.suite));
    let first = kept.map(|kept| Line { tag: kept.tag, suite: kept.suite, key: kept.ours.clone() });
    let others = suites.iter().copied().filter(move |other| Some(*other) != suite);
    let numbers = (1u32..).filter(move |number| Some(*number) != tag);
    let others = numbers.zip(others).map(|(tag, suite)| Line { tag, suite, key: seed.offered(suite) });
    first.into_iter().chain(others)
}

/// The line of our answer.
pub(super) fn write_answer(text: &mut String, agreed: &Negotiated) {
    if let Some(keys) = &agreed.srtp {
        write_line(text, keys.tag, keys.suite, &keys.ours);
    }
}

fn write_line(text: &mut String, tag: u32, suite: Suite, key: &MasterKey) {
    let _ = write!(text, "a=crypto:{tag} {} inline:{}\r\n", suite.name(), key.text());
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The description is an offer; we answer.
    Answerer,
    /// It is the answer to our offer.
    Offerer,
}

/// What to seal this stream with; `None`: it goes in clear.
pub(super) fn agree(
    medium: &Medium,
    wanted: &Encryption,
    role: Role,
) -> Result<Option<Keys>, NegotiateError> {
    let sealed = match medium.protocol.as_str() {
        "RTP/AVP" | "RTP/AVPF" => false,
        "RTP/SAVP" | "RTP/SAVPF" => true,
        "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF" => {
            return Err(NegotiateError::NoAudio("it takes its keys by DTLS, which is not spoken here"));
        }
        _ => return Err(NegotiateError::NoAudio("its transport is not RTP/AVP or RTP/SAVP")),
    };
    let Encryption::On { required, suites, seed, kept, .. } = wanted else {
        return match sealed {
            false => Ok(None),
            true => {
                Err(NegotiateError::NoAudio("it is encrypted, and encryption (SRTP) is off for this line"))
            }
        };
    };
    let mut named = lines(medium).filter(|line| suites.contains(&line.suite));
    let keys = match role {
        Role::Answerer => named.next().map(|line| {
            let same = kept.as_ref().filter(|kept| (kept.suite, &kept.theirs) == (line.suite, &line.key));
            let ours = same.map_or_else(|| seed.answered(line.suite, &line.key), |kept| kept.ours.clone());
            Keys { suite: line.suite, tag: line.tag, ours, theirs: line.key }
        }),
        // It names one of our lines. With our own key given back, both sides would seal alike.
        Role::Offerer => named.find_map(|line| {
            let mut ours = offered(suites, seed, kept.as_ref());
            let ours = ours.find(|ours| (ours.tag, ours.suite) == (line.tag, line.suite))?;
            (ours.key != line.key).then_some(Keys {
                suite: line.suite,
                tag: line.tag,
                ours: ours.key,
                theirs: line.key,
            })
        }),
    };
    match keys {
        Some(keys) => Ok(Some(keys)),
        None if sealed => {
            Err(NegotiateError::NoAudio("none of its keys (a=crypto) is of a kind that is taken here"))
        }
        None if *required => Err(NegotiateError::NoAudio("it is not encrypted, and must be on this line")),
        None => Ok(None),
    }
}

/// One `a=crypto`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    tag: u32,
    suite: Suite,
    key: MasterKey,
}

/// Those that we could follow, in their order.
fn lines(medium: &Medium) -> impl Iterator<Item = Line> {
    let crypto = medium.attributes.iter().filter(|attribute| attribute.name == "crypto");
    crypto.take(MOST).filter_map(|attribute| parse(attribute.value.as_deref()?))
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:…|2^20|1:4 KDR=1`.
///
/// A lifetime is read over: no call is long enough to end one. What would change how packets look makes the line none of ours: a key
/// identifier in each packet (MKI), a key derivation rate, no encryption, no tag; and any parameter that we do not know, unless it
/// says itself that it may be passed over (RFC 4568 §6.3.8).
fn parse(value: &str) -> Option<Line> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next()?;
    if tag.is_empty() || tag.len() > 9 || !tag.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let suite = Suite::named(words.next()?)?;
    let key = words.next()?;
    let (method, key) = key.split_once(':')?;
    let mut parts = key.split('|');
    let key = parts.next()?;
    let has_mki = parts.any(|part| part.contains(':'));
    // More keys than one are told apart by MKIs.
    if !method.eq_ignore_ascii_case("inline") || has_mki || key.contains(';') {
        return None;
    }
    let is_harmless = |parameter: &str| parameter.starts_with('-') || parameter.starts_with("WSH=");
    if !words.all(is_harmless) {
        return None;
    }
    Some(Line { tag: tag.parse().ok()?, suite, key: MasterKey::parse(suite, key)? })
}

/// For the fuzzer: what is read is read the same when written.
#[doc(hidden)]
pub fn fuzz(value: &str) {
    let Some(line) = parse(value) else { return };
    let mut text = String::new();
    write_line(&mut text, line.tag, line.suite, &line.key);
    let again = text.strip_prefix("a=crypto:").and_then(|value| parse(value.trim_end()));
    assert_eq!(again.as_ref(), Some(&line));
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_are_ours_unless_they_ask_for_what_we_do_not_do() {
        for (line, ours) in [
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY", true),
            ("999999999 aes_cm_128_hmac_sha1_32 INLINE:KEY|2^20", true),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1048576 WSH=64 -MAYBE=1", true),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY;inline:KEY", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=1", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTCP", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNAUTHENTICATED_SRTP", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY NEW=1", false),
            ("1 AES_CM_128_HMAC_SHA1_80 prompt:KEY", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEYKEY", false),
            ("1 AEAD_AES_128_GCM inline:KEY", false),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY", false),
            ("one AES_CM_128_HMAC_SHA1_80 inline:KEY", false),
            ("+1 AES_CM_128_HMAC_SHA1_80 inline:KEY", false),
            ("1 AES_CM_128_HMAC_SHA1_80", false),
            ("", false),
        ] {
            assert_eq!(parse(&line.replace("KEY", KEY)).is_some(), ours, "{line}");
        }
    }
}
