//! `"Display" <uri>;params`, as in From, To, Contact, Route (RFC 3261 §20.10, §25.1).

use std::fmt;
use std::str::FromStr;

use super::params::Params;
use super::scan::{find_outside, is_token, quote, quoted_end, trim, unquote};
use super::uri::Uri;
use crate::error::SyntaxError;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NameAddr {
    /// Without its quotes. Never empty.
    pub display: Option<String>,
    pub uri: Uri,
    /// The header's parameters (`tag`, `expires`), not the URI's.
    pub params: Params,
}

impl NameAddr {
    pub fn new(display: Option<String>, uri: Uri) -> Self {
        Self { display: display.filter(|d| !d.is_empty()), uri, params: Params::new() }
    }

    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    pub(crate) fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }
}

impl From<Uri> for NameAddr {
    fn from(uri: Uri) -> Self {
        Self::new(None, uri)
    }
}

impl FromStr for NameAddr {
    type Err = SyntaxError;

    /// One element, not a list.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let text = trim(text);
        if text.contains(['\r', '\n']) {
            return Err(SyntaxError::BadCharacter);
        }
        if text.starts_with('"') {
            let end = quoted_end(text).ok_or(SyntaxError::Unbalanced)?;
            let (quoted, rest) = text.split_at(end);
            let rest = trim(rest).strip_prefix('<').ok_or(SyntaxError::Unbalanced)?;
            return bracketed(Some(unquote(quoted)), rest);
        }
        // Outside quotes: the first bracket opens the URI.
        if let Some(open) = text.find('<') {
            let before = trim(&text[..open]);
            // Grammar wants tokens (§25.1 `display-name`); the field also sends brackets and non-ASCII letters.
            // A comma would make it a list and a semicolon a parameter, so those stay refused.
            if before.contains([',', ';', '"', '>']) {
                return Err(SyntaxError::BadCharacter);
            }
            let display = (!before.is_empty()).then(|| before.to_owned());
            return bracketed(display, &text[open + 1..]);
        }
        // §20.10: without brackets every parameter belongs to the header, and the URI has no `?` or `,`.
        let end = find_outside(text, b";").map_err(|()| SyntaxError::Unbalanced)?.unwrap_or(text.len());
        let (uri, params) = text.split_at(end);
        if uri.contains(['?', ',']) {
            return Err(SyntaxError::BadCharacter);
        }
        Ok(Self { display: None, uri: trim(uri).parse()?, params: Params::parse_header(params)? })
    }
}

/// `rest` begins after `<`. Blanks just inside the brackets are no part of the grammar, but harmless.
fn bracketed(display: Option<String>, rest: &str) -> Result<NameAddr, SyntaxError> {
    let (uri, params) = rest.split_once('>').ok_or(SyntaxError::Unbalanced)?;
    Ok(NameAddr {
        display: display.filter(|d| !d.is_empty()),
        uri: trim(uri).parse()?,
        params: Params::parse_header(params)?,
    })
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.display {
            // Tokens need no quotes, and a peer's own spelling is kept for the common case of one word.
            Some(display) if is_token(display) => write!(f, "{display} ")?,
            Some(display) => write!(f, "{} ", quote(display))?,
            None => {}
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
