//! `;name=value` lists, of headers and of URIs.

use std::fmt;

use super::scan::{find_outside, is_token_byte, quote, quoted_end, trim, unquote};
use crate::error::SyntaxError;

/// Parameters in their order. A value is kept as it was written, quotes included.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value as written. `Some("")` for a parameter without value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_deref().unwrap_or(""))
    }

    /// The value without its quotes.
    pub fn get_unquoted(&self, name: &str) -> Option<String> {
        self.get(name).map(unquote)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Sets, or replaces, a parameter. A value that no unquoted form can carry is quoted.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(|v| if is_plain(v) { v.to_owned() } else { quote(v) });
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// `generic-param`s of a header (§25.1): `text` begins at the first `;` or is empty.
    pub(crate) fn parse_header(text: &str) -> Result<Self, SyntaxError> {
        let mut params = Vec::new();
        let mut rest = trim(text);
        while !rest.is_empty() {
            rest = trim(rest.strip_prefix(';').ok_or(SyntaxError::BadParameter)?);
            let end = find_outside(rest, b";").map_err(|()| SyntaxError::Unbalanced)?.unwrap_or(rest.len());
            let (one, tail) = rest.split_at(end);
            rest = tail;
            let (name, value) = match one.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (trim(one), None),
            };
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(SyntaxError::BadParameter);
            }
            if let Some(value) = value {
                check_value(value)?;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Ok(Self(params))
    }

    /// `uri-parameters` (§25.1), after the first `;`. Empty ones are passed over.
    pub(crate) fn parse_uri(text: &str) -> Result<Self, SyntaxError> {
        let mut params = Vec::new();
        for one in text.split(';').filter(|one| !one.is_empty()) {
            let (name, value) = match one.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (one, None),
            };
            if name.is_empty() {
                return Err(SyntaxError::BadParameter);
            }
            params.push((name.to_owned(), value));
        }
        Ok(Self(params))
    }
}

/// A value is a token, a host (an IPv6 reference has brackets and colons) or a quoted-string. What is used in
/// the field beyond that (`/`, `@`, `=`, non-ASCII) is let through; blanks and stray quotes are not.
fn check_value(value: &str) -> Result<(), SyntaxError> {
    if value.starts_with('"') {
        if value.contains(['\r', '\n']) {
            return Err(SyntaxError::BadCharacter);
        }
        return match quoted_end(value) {
            Some(end) if end == value.len() => Ok(()),
            _ => Err(SyntaxError::Unbalanced),
        };
    }
    if value.is_empty() || !is_plain(value) { Err(SyntaxError::BadParameter) } else { Ok(()) }
}

fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value.chars().all(|c| !c.is_control() && !matches!(c, ' ' | '"' | ';' | ',' | '<' | '>' | '\\'))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}
