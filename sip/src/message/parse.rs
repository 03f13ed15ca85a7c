//! From bytes to a message. Total: every input gives a message or a reason, and nothing panics.
//!
//! Strict where a liberal reading would let two elements read two different messages (start line, duplicate
//! headers, Content-Length); liberal where only one reading exists (bare LF, blanks before the colon, folded
//! lines, bytes that are no UTF-8).

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::{Headers, name};
use super::method::Method;
use super::scan::{is_token, text, trim};
use super::uri::Uri;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    Request(Request),
    Response(Response),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    pub headers: Headers,
    pub body: Bytes,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Bytes,
}

/// What is wrong with a message that was understood to be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    #[error("Bad Start Line")]
    StartLine,
    #[error("Bad Request-URI")]
    RequestUri,
    #[error("SIP version is not 2.0")]
    Version,
    #[error("Bad Status Code")]
    Status,
    #[error("Bad Header Line")]
    HeaderLine,
    #[error("Bad Content-Length")]
    ContentLength,
    #[error("Body Shorter Than Content-Length")]
    Truncated,
    /// Known before it is read, on a stream.
    #[error("Message Too Large")]
    TooLong,
    #[error("Missing {0}")]
    Missing(&'static str),
    #[error("Bad {0}")]
    Bad(&'static str),
    #[error("Repeated {0}")]
    Repeated(&'static str),
    #[error("CSeq Method Does Not Match")]
    CSeqMethod,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Only line ends: a keep-alive (RFC 5626 §3.5.1).
    #[error("keep-alive")]
    KeepAlive,
    #[error("not sip")]
    NotSip,
    /// A request that can be answered. What could not be read of it is left out or kept raw.
    #[error("bad request: {defect}")]
    BadRequest { defect: Defect, request: Box<Request> },
    #[error("bad response: {0}")]
    BadResponse(Defect),
}

/// Reads one datagram. Bytes behind the body are dropped (RFC 3261 §18.3).
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).ok_or(ParseError::KeepAlive)?;
    let all = Bytes::copy_from_slice(&bytes[start..]);
    let (line_end, mut at) = line(&all, 0).ok_or(ParseError::NotSip)?;
    let start_line = text(&all[..line_end]).into_owned();
    if start_line.contains('\r') {
        return Err(ParseError::NotSip);
    }

    let mut headers = Headers::new();
    // A blank in front continues the line before (§7.3.1), and a start line has no second line.
    let mut defect = matches!(all.get(at), Some(b' ' | b'\t')).then_some(Defect::HeaderLine);
    loop {
        let Some((mut end, mut next)) = line(&all, at) else {
            // No empty line: headers without end.
            defect.get_or_insert(Defect::HeaderLine);
            if at < all.len() {
                at = all.len();
            }
            break;
        };
        if end == at {
            at = next;
            break;
        }
        // §7.3.1: a line that begins with a blank continues the one before.
        let mut folded: Option<BytesMut> = None;
        let first_end = end;
        while matches!(all.get(next), Some(b' ' | b'\t')) {
            let Some((more_end, more_next)) = line(&all, next) else {
                break;
            };
            let joined = folded.get_or_insert_with(|| BytesMut::from(&all[at..first_end]));
            joined.put_u8(b' ');
            joined.put_slice(trim_bytes(&all[next..more_end]));
            (end, next) = (more_end, more_next);
        }
        let whole = match folded {
            Some(joined) => joined.freeze(),
            None => all.slice(at..end),
        };
        if !push_line(&mut headers, &whole) {
            defect.get_or_insert(Defect::HeaderLine);
        }
        at = next;
    }
    let rest = all.slice(at..);
    let (body, body_defect) = match content_length(&headers) {
        Err(found) => (rest, Some(found)),
        Ok(None) => (rest, None),
        Ok(Some(length)) if length > rest.len() => (rest, Some(Defect::Truncated)),
        Ok(Some(length)) => (rest.slice(..length), None),
    };
    let defect = defect.or(body_defect);

    if let Some(after) =
        start_line.get(..4).filter(|p| p.eq_ignore_ascii_case("SIP/")).map(|_| &start_line[4..])
    {
        return response(after, headers, body, defect);
    }
    request(&start_line, headers, body, defect)
}

/// `SP` exactly once between the three parts (§7.1); the version decides whether it is SIP at all.
fn request(line: &str, headers: Headers, body: Bytes, defect: Option<Defect>) -> Result<Message, ParseError> {
    let (method, rest) = line.split_once(' ').ok_or(ParseError::NotSip)?;
    let (target, version) = trim(rest).rsplit_once([' ', '\t']).ok_or(ParseError::NotSip)?;
    let is_spaced = rest.strip_suffix(version).and_then(|rest| rest.strip_suffix(' ')) == Some(target);
    let has_prefix = version.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("SIP/"));
    let Ok(method) = method.parse::<Method>() else {
        return Err(ParseError::NotSip);
    };
    if !has_prefix {
        return Err(ParseError::NotSip);
    }
    let uri = target.parse::<Uri>();
    let line_defect = if !version[4..].eq("2.0") {
        Some(Defect::Version)
    } else if !is_spaced || trim(target) != target {
        Some(Defect::StartLine)
    } else if !uri.as_ref().is_ok_and(Uri::is_clean_request_uri) {
        Some(Defect::RequestUri)
    } else {
        None
    };
    let uri = uri.unwrap_or_else(|_| Uri::Other(target.to_owned()));
    let request = Request { method, uri, headers, body };
    match line_defect.or(defect) {
        None => Ok(Message::Request(request)),
        Some(defect) => Err(ParseError::BadRequest { defect, request: Box::new(request) }),
    }
}

fn response(
    after: &str,
    headers: Headers,
    body: Bytes,
    defect: Option<Defect>,
) -> Result<Message, ParseError> {
    let (version, rest) = after.split_once(' ').ok_or(ParseError::NotSip)?;
    if version != "2.0" {
        return Err(ParseError::BadResponse(Defect::Version));
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = match code.as_bytes() {
        [b'1'..=b'6', b, c] if b.is_ascii_digit() && c.is_ascii_digit() => code.parse().ok(),
        _ => None,
    };
    let status = status.ok_or(ParseError::BadResponse(Defect::Status))?;
    match defect {
        None => Ok(Message::Response(Response { status, reason: reason.to_owned(), headers, body })),
        Some(defect) => Err(ParseError::BadResponse(defect)),
    }
}

/// End of the line that starts at `at`, and start of the next. CRLF, or LF alone.
fn line(all: &[u8], at: usize) -> Option<(usize, usize)> {
    let newline = at + all.get(at..)?.iter().position(|&b| b == b'\n')?;
    let end = if newline > at && all[newline - 1] == b'\r' { newline - 1 } else { newline };
    Some((end, newline + 1))
}

fn trim_bytes(bytes: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn push_line(headers: &mut Headers, whole: &Bytes) -> bool {
    let Some(colon) = whole.iter().position(|&b| b == b':') else {
        return false;
    };
    let Ok(name) = std::str::from_utf8(trim_bytes(&whole[..colon])) else {
        return false;
    };
    // A lone CR ends a line for some readers and not for others. (A NUL is allowed: quoted, §25.1 `quoted-pair`.)
    if !is_token(name) || whole.contains(&b'\r') {
        return false;
    }
    headers.push_raw(name, whole.slice_ref(trim_bytes(&whole[colon + 1..])));
    true
}

/// §20.14. Two different lengths leave it open where the message ends: refused (RFC 4475 §3.3.9).
fn content_length(headers: &Headers) -> Result<Option<usize>, Defect> {
    let mut found: Option<usize> = None;
    for value in headers.get_all(name::CONTENT_LENGTH) {
        let length = if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            None
        } else {
            value.parse().ok()
        };
        let length = length.ok_or(Defect::ContentLength)?;
        if found.is_some_and(|before| before != length) {
            return Err(Defect::Repeated(name::CONTENT_LENGTH));
        }
        found = Some(length);
    }
    Ok(found)
}
