//! Master keys, and where ours come from.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::Suite;

/// Some peers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Bytes of the longest key with its salt.
const LONGEST: usize = 46;

/// A master key with its salt. Never shown; wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    bytes: [u8; LONGEST],
    key: usize,
    salt: usize,
}

impl MasterKey {
    /// The key, and its salt behind it. `None`: not of this suite's length.
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<MasterKey> {
        let (key, salt) = (suite.key_length(), suite.salt_length());
        if bytes.len() != key + salt {
            return None;
        }
        let mut kept = [0; LONGEST];
        kept[..bytes.len()].copy_from_slice(bytes);
        Some(MasterKey { bytes: kept, key, salt })
    }

    /// As it stands behind `inline:` (RFC 4568 §6.1).
    pub(crate) fn parse(suite: Suite, text: &str) -> Option<MasterKey> {
        let mut bytes = Zeroizing::new([0; LONGEST + 2]);
        let length = BASE64.decode_slice(text, &mut *bytes).ok()?;
        MasterKey::new(suite, &bytes[..length])
    }

    /// The same, to be written there.
    pub(crate) fn text(&self) -> String {
        BASE64.encode(&self.bytes[..self.key + self.salt])
    }

    /// Filled up with zeroes where it is the short one.
    pub(super) fn key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        key[..self.key].copy_from_slice(&self.bytes[..self.key]);
        key
    }

    pub(super) fn is_long(&self) -> bool {
        self.key == 32
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.bytes[self.key..self.key + self.salt]
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// What two sides agreed to seal with: each its own key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    pub suite: Suite,
    /// The number of the attribute that both speak of.
    pub tag: u32,
    /// We seal with it.
    pub ours: MasterKey,
    /// They do.
    pub theirs: MasterKey,
}

/// The secret that all our keys of one leg come from: so the answer to an offer can be read without having kept what was offered, and what is
/// said again is the same. It must be unpredictable, and another for each leg.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySeed([u8; 32]);

impl KeySeed {
    pub fn new(secret: [u8; 32]) -> KeySeed {
        KeySeed(secret)
    }

    /// Another one: of who is called besides with the same offer.
    #[must_use]
    pub fn fork(&self, number: u64) -> KeySeed {
        let mut fork = KeySeed([0; 32]);
        self.fill(&[b"leg", &number.to_be_bytes()], &mut fork.0);
        fork
    }

    /// What we offer.
    pub(crate) fn offered(&self, suite: Suite) -> MasterKey {
        self.key(suite, b"offer")
    }

    /// What we answer to a peer that seals with `theirs`: as long as it keeps its key we keep ours, and when it takes another, so do we.
    pub(crate) fn answered(&self, suite: Suite, theirs: &MasterKey) -> MasterKey {
        self.key(suite, &theirs.bytes)
    }

    fn key(&self, suite: Suite, purpose: &[u8]) -> MasterKey {
        let mut bytes = [0; LONGEST];
        let (key, salt) = (suite.key_length(), suite.salt_length());
        self.fill(&[suite.name().as_bytes(), purpose], &mut bytes[..key + salt]);
        MasterKey { bytes, key, salt }
    }

    /// HMAC-SHA-256 under the secret, counted up (as NIST SP 800-108 has it).
    fn fill(&self, purpose: &[&[u8]], out: &mut [u8]) {
        // HMAC fills a shorter key up with zeroes itself; at this length it takes any.
        let mut secret = Zeroizing::new([0; 64]);
        secret[..32].copy_from_slice(&self.0);
        for (piece, counter) in out.chunks_mut(32).zip(1u32..) {
            let mut mac = Hmac::<Sha256>::new((&*secret).into());
            mac.update(&counter.to_be_bytes());
            for part in purpose {
                mac.update(&(part.len() as u32).to_be_bytes());
                mac.update(part);
            }
            let mut block: [u8; 32] = mac.finalize().into_bytes().into();
            piece.copy_from_slice(&block[..piece.len()]);
            block.zeroize();
        }
    }
}

impl Drop for KeySeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_seed_differ_by_suite_purpose_and_peer_and_are_the_same_again() {
        let seed = KeySeed::new([7; 32]);
        let suite = Suite::AesCm128HmacSha1_80;
        let theirs = KeySeed::new([8; 32]).offered(suite);
        let all = [
            seed.offered(suite),
            seed.offered(Suite::AesCm128HmacSha1_32),
            seed.answered(suite, &theirs),
            seed.answered(suite, &seed.offered(suite)),
            seed.fork(1).offered(suite),
            seed.fork(2).offered(suite),
        ];
        for (index, key) in all.iter().enumerate() {
            assert!(!all[..index].contains(key), "{index}");
        }
        assert_eq!(seed.answered(suite, &theirs), all[2]);
    }

    #[test]
    fn keys_are_read_as_they_were_written_and_never_shown() {
        for suite in Suite::ALL {
            let key = KeySeed::new([9; 32]).offered(suite);
            let text = key.text();
            assert_eq!(MasterKey::parse(suite, &text).as_ref(), Some(&key));
            assert_eq!(MasterKey::parse(suite, text.trim_end_matches('=')).as_ref(), Some(&key));
            assert_eq!(MasterKey::parse(suite, &text[4..]), None);
            assert_eq!(MasterKey::parse(suite, &text.repeat(40)), None);
            let keys = Keys { suite, tag: 1, ours: key.clone(), theirs: key };
            assert!(!format!("{keys:?} {:?}", KeySeed::new([9; 32])).contains(&text[..8]));
        }
    }
}
