//! Chance from a seed: tags, branches, Call-IDs and cnonces that nobody can guess, and that a test can repeat.
//!
//! SHA-256 in counter mode. RFC 3261 §19.3 wants at least 32 cryptographically random bits in a tag; we give 64.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        self.keyed(&[b"counter", &self.counter.to_be_bytes()])
    }

    /// The same parts give the same bytes: for answers that we keep no state of.
    pub(crate) fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// 64 bits in hexadecimal.
    pub(crate) fn token(&mut self) -> String {
        hex(&self.block()[..8])
    }

    /// 128 bits in hexadecimal.
    pub(crate) fn long_token(&mut self) -> String {
        hex(&self.block()[..16])
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.block()[..8].try_into().unwrap_or([0; 8]))
    }

    /// Evenly between the two.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_millis().max(1) as u64;
        low + Duration::from_millis(self.number() % span)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(…)")
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}
