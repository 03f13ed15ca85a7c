//! Identifiers: a prefix that says what the thing is, then 80 random bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's base 32: no letter that a person mistakes for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `call_` and sixteen letters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Debug)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);

impl CallId {
    const PREFIX: &'static str = "call_";

    /// From ten random bytes.
    pub fn from_random(bytes: [u8; 10]) -> Self {
        let mut text = String::with_capacity(Self::PREFIX.len() + 16);
        text.push_str(Self::PREFIX);
        let mut bits = 0u32;
        let mut held = 0;
        for byte in bytes {
            bits = (bits << 8) | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text.push(char::from(ALPHABET[((bits >> held) & 31) as usize]));
            }
        }
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = text
            .strip_prefix(Self::PREFIX)
            .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| ALPHABET.contains(&b)));
        if right {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a call id (call_ and 16 letters)"))
        }
    }
}

impl TryFrom<String> for CallId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> String {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = CallId::from_random([0, 1, 2, 3, 250, 251, 252, 253, 254, 255]);
        assert_eq!(id.as_str().len(), 21);
        assert_eq!(id.as_str().parse::<CallId>().unwrap(), id);
        assert!("call_UPPER".parse::<CallId>().is_err());
        assert!("../../etc/passwd".parse::<CallId>().is_err());
    }
}
