//! What a program adds to a request of ours, and what it may not.

use crate::message::{Headers, Method, Uri, name};

/// What a program may not write over: the endpoint writes these.
const OURS: [&str; 18] = [
    name::VIA,
    name::FROM,
    name::TO,
    name::CALL_ID,
    name::CSEQ,
    name::CONTACT,
    name::CONTENT_LENGTH,
    name::CONTENT_TYPE,
    name::MAX_FORWARDS,
    name::ROUTE,
    name::RECORD_ROUTE,
    name::AUTHORIZATION,
    name::PROXY_AUTHORIZATION,
    name::USER_AGENT,
    name::ALLOW,
    name::SUPPORTED,
    name::SESSION_EXPIRES,
    name::MIN_SE,
];

/// Adds the program's headers, but those that are ours to write.
pub(crate) fn put_headers(headers: &mut Headers, theirs: Vec<(String, String)>) {
    for (header, value) in theirs {
        if !OURS.iter().any(|ours| ours.eq_ignore_ascii_case(&header)) && is_header_name(&header) {
            headers.push(&header, value);
        }
    }
}

/// Strict routers (RFC 2543) have died out, and operators forget the `lr` of their outbound proxy.
pub(crate) fn loose(mut route: Uri) -> Uri {
    if let Uri::Sip(sip) = &mut route
        && !sip.params.contains("lr")
    {
        sip.params.set("lr", None);
    }
    route
}

/// A header name from outside must not be able to break the line that it stands in.
fn is_header_name(text: &str) -> bool {
    text.parse::<Method>().is_ok()
}
