//! Bytes to a [`Description`] (RFC 8866 §9), lenient where real peers are sloppy.
//!
//! Taken although the grammar forbids it: bare LF or CR as line end, blank lines, a NUL at the end, lines of unknown type, missing `o=`, `s=` and `t=`, bytes
//! that are not UTF-8. Refused: what does not begin with `v=0`, and an `m=` line that cannot be understood, because to skip
//! it would shift the order on which offer and answer depend (RFC 3264 §6).

use std::net::{IpAddr, Ipv4Addr};

use thiserror::Error;

/// Descriptions longer than this are refused; no audio call needs a tenth of it.
const MAX_BYTES: usize = 65_536;
/// More streams than this are refused; each costs a line in the answer.
const MAX_MEDIA: usize = 64;

/// Why bytes are no session description.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum ParseError {
    #[error("it is empty")]
    Empty,
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLong,
    #[error("it does not begin with v=0")]
    Version,
    #[error("line {line}: not of the form x=…")]
    Line { line: usize },
    #[error("line {line}: an m= line that cannot be understood")]
    Medium { line: usize },
    #[error("it has more than {MAX_MEDIA} streams")]
    TooManyMedia,
}

/// A session description, as said by the peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Description {
    pub origin: Option<Origin>,
    /// The session's `c=`, which a medium may override.
    pub connection: Option<Connection>,
    pub attributes: Vec<Attribute>,
    pub media: Vec<Medium>,
}

/// `o=` (RFC 8866 §5.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub username: String,
    pub session_id: String,
    pub version: String,
    pub address: String,
}

/// The address of a `c=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Connection {
    Address(IpAddr),
    /// A host name, or a kind of address that we do not know.
    Name(String),
}

/// `a=name` or `a=name:value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    pub name: String,
    pub value: Option<String>,
}

/// One `m=` line and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Medium {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// 0: rejected, or not used any more.
    pub port: u16,
    /// `RTP/AVP`, …
    pub protocol: String,
    /// Payload types, for the RTP protocols.
    pub formats: Vec<String>,
    pub connection: Option<Connection>,
    pub attributes: Vec<Attribute>,
}

impl Medium {
    /// The value of the first attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

impl Description {
    /// The value of the session's first attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

/// Parses any bytes.
///
/// # Errors
/// See [`ParseError`]; each names what is wrong and where.
pub fn parse(bytes: &[u8]) -> Result<Description, ParseError> {
    if bytes.len() > MAX_BYTES {
        return Err(ParseError::TooLong);
    }
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    // A NUL at the end is what a C program leaves that sends one byte too many.
    let lines = text.split(['\r', '\n', '\0']).map(str::trim_end).enumerate();
    let mut lines = lines.filter(|(_, line)| !line.is_empty());
    match lines.next() {
        None => return Err(ParseError::Empty),
        Some((_, first)) if first.trim() == "v=0" => {}
        Some(_) => return Err(ParseError::Version),
    }
    let mut description = Description::default();
    for (index, line) in lines {
        let line_number = index + 1;
        let Some((kind, value)) = line.split_once('=') else {
            return Err(ParseError::Line { line: line_number });
        };
        match kind.trim() {
            "o" if description.media.is_empty() => description.origin = origin(value),
            "m" => {
                if description.media.len() == MAX_MEDIA {
                    return Err(ParseError::TooManyMedia);
                }
                let medium = medium(value).ok_or(ParseError::Medium { line: line_number })?;
                description.media.push(medium);
            }
            "c" => match description.media.last_mut() {
                Some(medium) => medium.connection = connection(value),
                None => description.connection = connection(value),
            },
            "a" => {
                let attribute = attribute(value);
                match description.media.last_mut() {
                    Some(medium) => medium.attributes.push(attribute),
                    None => description.attributes.push(attribute),
                }
            }
            kind if kind.len() == 1 => {}
            _ => return Err(ParseError::Line { line: line_number }),
        }
    }
    Ok(description)
}

fn origin(value: &str) -> Option<Origin> {
    let mut words = value.split_ascii_whitespace();
    let username = words.next()?.to_owned();
    let session_id = words.next()?.to_owned();
    let version = words.next()?.to_owned();
    let address = words.nth(2)?.to_owned();
    Some(Origin { username, session_id, version, address })
}

/// `audio 49170/2 RTP/AVP 0 8`; the count of ports is read and ignored, as no audio stream has layers.
fn medium(value: &str) -> Option<Medium> {
    let mut words = value.split_ascii_whitespace();
    let kind = words.next()?.to_ascii_lowercase();
    let port = words.next()?;
    let port = port.split_once('/').map_or(port, |(port, _)| port).parse().ok()?;
    let protocol = words.next()?.to_ascii_uppercase();
    let formats = words.map(str::to_owned).collect();
    Some(Medium { kind, port, protocol, formats, connection: None, attributes: Vec::new() })
}

/// `IN IP4 203.0.113.7`; a multicast TTL after `/` is dropped.
fn connection(value: &str) -> Option<Connection> {
    let mut words = value.split_ascii_whitespace().skip(1);
    let _kind = words.next()?;
    let address = words.next()?;
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    Some(match address.parse::<IpAddr>() {
        Ok(address) => Connection::Address(canonical(address)),
        Err(_) => Connection::Name(address.to_owned()),
    })
}

/// `::ffff:192.0.2.1` is the IPv4 address in it; the two must compare equal when packets come.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), |v4: Ipv4Addr| IpAddr::V4(v4)),
        v4 => v4,
    }
}

fn attribute(value: &str) -> Attribute {
    match value.split_once(':') {
        Some((name, value)) => {
            Attribute { name: name.trim().to_ascii_lowercase(), value: Some(value.trim().to_owned()) }
        }
        None => Attribute { name: value.trim().to_ascii_lowercase(), value: None },
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.name == name)
        .map(|found| found.value.as_deref().unwrap_or(""))
}
