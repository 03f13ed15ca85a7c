//! What a body says, as text where it is text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sip::Body;

use crate::domain::{Content, Private};

/// Why a body is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// 415.
    #[error("the charset {0:?} is not read here")]
    Charset(String),
    /// 400.
    #[error("the body is not in the charset that it names")]
    Garbled,
}

/// Text is what its type's charset says: UTF-8 (with US-ASCII in it) and Latin-1 are read, any other is refused. Text that
/// names none is UTF-8 (RFC 3261 §7.4.1); where it cannot be, it comes of a device that knows Latin-1 alone. Other types
/// are kept as they are.
pub(super) fn read(body: &Body) -> Result<Content, Unreadable> {
    let bytes = &body.bytes;
    let (kind, parameters) = body.content_type.split_once(';').unwrap_or((&body.content_type, ""));
    let is_text = kind.trim().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
    let text = match (is_text, charset(parameters).as_deref()) {
        (false, _) => match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Ok(Content::Data(Private::new(BASE64_STANDARD.encode(bytes)))),
        },
        (true, None) => str::from_utf8(bytes).map_or_else(|_| latin_1(bytes), str::to_owned),
        (true, Some("utf-8" | "utf8" | "us-ascii" | "ascii")) => {
            str::from_utf8(bytes).map_err(|_| Unreadable::Garbled)?.to_owned()
        }
        (true, Some("iso-8859-1" | "iso_8859-1" | "latin1" | "l1")) => latin_1(bytes),
        (true, Some(other)) => return Err(Unreadable::Charset(other.to_owned())),
    };
    Ok(Content::Text(Private::new(text)))
}

/// The parameter `charset`, in small letters and without quotes.
fn charset(parameters: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let named = name.trim().eq_ignore_ascii_case("charset");
        named.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })
}

/// Its 256 signs are the first 256 of Unicode.
fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, bytes: &[u8]) -> Result<String, Unreadable> {
        read(&Body { content_type: kind.into(), bytes: bytes.to_vec() }).map(|content| match content {
            Content::Text(text) => text.reveal().clone(),
            Content::Data(data) => format!("base64 {}", data.reveal()),
        })
    }

    #[test]
    fn text_is_what_its_charset_says() {
        let (utf8, latin) = ("Grüße ☃".as_bytes(), b"Gr\xfc\xdfe".as_slice());
        for kind in
            ["text/plain", "text/plain;charset=UTF-8", "Text/Plain ; format=flowed; Charset=\"utf-8\""]
        {
            assert_eq!(text(kind, utf8).as_deref(), Ok("Grüße ☃"), "{kind}");
        }
        assert_eq!(text("text/plain; charset=ISO-8859-1", latin).as_deref(), Ok("Grüße"));
        assert_eq!(text("text/plain", latin).as_deref(), Ok("Grüße"));
        assert_eq!(text("text/plain;charset=utf-8", latin), Err(Unreadable::Garbled));
        assert_eq!(text("text/plain;charset=utf-16", b"\0h"), Err(Unreadable::Charset("utf-16".into())));
        assert_eq!(text("text/plain", b"").as_deref(), Ok(""));
    }

    #[test]
    fn other_types_are_kept_as_they_are() {
        assert_eq!(text("application/x;charset=koi8-r", b"<a/>").as_deref(), Ok("<a/>"));
        assert_eq!(text("application/vnd.3gpp.sms", b"\x00\xff").as_deref(), Ok("base64 AP8="));
        assert_eq!(text("te\u{df}t", b"x").as_deref(), Ok("x"), "a type that is none");
    }
}
