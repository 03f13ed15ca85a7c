//! SIP messages: a total parser and typed views of what a user agent needs.
//!
//! Reading goes in two steps. [`parse`] cuts a datagram into start line, headers and body and never fails on
//! anything that can still be answered: a request with a broken part comes back inside
//! [`ParseError::BadRequest`], so that it can be told 400. [`Head`] is the second step: the headers that every
//! message must have, each parsed once; where a `Head` exists, they are right.
//!
//! Values stay bytes ([`Headers`]) and are copied into responses as they came, so a Latin-1 display name or a
//! tag with odd characters returns to its sender unchanged. Typed headers read from text; bytes that are no
//! UTF-8 are taken as Latin-1.

mod head;
mod headers;
mod method;
mod name_addr;
mod params;
mod parse;
mod print;
mod scan;
mod status;
mod uri;
mod via;

pub(crate) use head::contact;
pub use head::{CSeq, Head};
pub use headers::{Headers, name};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::Params;
pub use parse::{Defect, Message, ParseError, Request, Response, parse};
pub use status::phrase;
pub use uri::{Host, SipUri, TelUri, Uri};
pub use via::Via;

pub(crate) use via::MAGIC_COOKIE;

pub(crate) use uri::unescape;

pub(crate) use scan::{find_outside, quote, split_list, unquote};
