//! E.164 telephone numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `+` and 7 to 15 digits, the first not zero (ITU-T E.164 §6.2.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("a number starts with + and the country code, as in +14155550123; it may hold no other sign")]
    Shape,
    #[error("a number has 7 to 15 digits after the +, this one has {0}")]
    Length(usize),
    #[error("no country code starts with 0")]
    CountryCode,
}

impl E164 {
    /// The digits without the `+`.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for E164 {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = text.strip_prefix('+').ok_or(NumberError::Shape)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::Shape);
        }
        if !(7..=15).contains(&digits.len()) {
            return Err(NumberError::Length(digits.len()));
        }
        if digits.starts_with('0') {
            return Err(NumberError::CountryCode);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for E164 {
    type Error = NumberError;

    fn try_from(text: String) -> Result<Self, NumberError> {
        text.parse()
    }
}

impl From<E164> for String {
    fn from(number: E164) -> String {
        number.0
    }
}

/// Shown whole: wrap it in [`super::Private`] where a log could see it.
impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_international_form_is_a_number() {
        assert_eq!("+14155550123".parse::<E164>().unwrap().digits(), "14155550123");
        assert_eq!("14155550123".parse::<E164>(), Err(NumberError::Shape));
        assert_eq!("+1 415 555 0123".parse::<E164>(), Err(NumberError::Shape));
        assert_eq!("+12".parse::<E164>(), Err(NumberError::Length(2)));
        assert_eq!("+04155550123".parse::<E164>(), Err(NumberError::CountryCode));
    }
}
