//! The few lexical rules of RFC 3261 §25.1 that every typed header rests on.

use std::borrow::Cow;

/// `token` of §25.1.
pub(crate) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// SP and HTAB; folded lines were joined before.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Bytes of a header value as text: UTF-8, else Latin-1.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// Where does the quoted-string end that begins at the start of `text`? Returns the index after the closing
/// quote; `None` when it never closes.
pub(crate) fn quoted_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut i = 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return Some(i + 1),
            _ => i += 1,
        }
    }
    None
}

/// First position of one of `stops` outside quoted-strings and angle brackets. `None` inside `Err` never
/// happens; `Err(())` means that a quote or a bracket stays open.
pub(crate) fn find_outside(text: &str, stops: &[u8]) -> Result<Option<usize>, ()> {
    let bytes = text.as_bytes();
    let mut i = 0;
    let mut in_brackets = false;
    while i < bytes.len() {
        let b = bytes[i];
        if in_brackets {
            in_brackets = b != b'>';
            i += 1;
        } else if stops.contains(&b) {
            return Ok(Some(i));
        } else if b == b'"' {
            i += quoted_end(&text[i..]).ok_or(())?;
        } else {
            in_brackets = b == b'<';
            i += 1;
        }
    }
    if in_brackets { Err(()) } else { Ok(None) }
}

/// The elements of a comma-separated header value. An unbalanced rest is one element, whose parser will
/// refuse it; empty elements are left out (§7.3.1 lets lists be folded and joined freely).
pub(crate) fn split_list(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        match find_outside(rest, b",") {
            Ok(Some(comma)) => {
                parts.push(trim(&rest[..comma]));
                rest = &rest[comma + 1..];
            }
            Ok(None) | Err(()) => {
                parts.push(trim(rest));
                break;
            }
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The content of a quoted-string; other text as it is.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// A quoted-string of any text. Line ends are dropped: no quoting can carry them (§25.1 `quoted-pair`).
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\r' | '\n' => continue,
            '"' | '\\' => out.push('\\'),
            c if c.is_ascii_control() && c != '\t' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
    out
}
