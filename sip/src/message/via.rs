//! Via: where a request has been, and so where its response goes (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::params::Params;
use super::scan::{is_token, trim};
use super::uri::{Host, parse_hostport};
use crate::error::SyntaxError;

/// RFC 3261 §8.1.1.7: a branch that begins so is unique by itself.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`, or whatever it says; upper case.
    pub transport: String,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
}

impl Via {
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// A branch of RFC 3261, with something behind the cookie.
    pub(crate) fn unique_branch(&self) -> Option<&str> {
        self.branch().filter(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch.get(..MAGIC_COOKIE.len()).is_some_and(|c| c.eq_ignore_ascii_case(MAGIC_COOKIE))
        })
    }

    /// RFC 3261 §18.2.1 and RFC 3581 §4: note down where the request really came from.
    pub(crate) fn stamp(&mut self, source: SocketAddr) {
        let wants_rport = self.params.contains("rport");
        if wants_rport {
            self.params.set("rport", Some(&source.port().to_string()));
        }
        if wants_rport || self.host.ip() != Some(source.ip()) {
            self.params.set("received", Some(&source.ip().to_string()));
        }
    }
}

impl FromStr for Via {
    type Err = SyntaxError;

    /// One element, not a list. Blanks may stand around the slashes and the colon.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut parts = text.splitn(3, '/').map(trim);
        let (protocol, version, rest) = match (parts.next(), parts.next(), parts.next()) {
            (Some(protocol), Some(version), Some(rest)) => (protocol, version, rest),
            _ => return Err(SyntaxError::BadParameter),
        };
        // Another version is told so by the start line; the response must still find its way.
        if !protocol.eq_ignore_ascii_case("SIP") || !is_token(version) {
            return Err(SyntaxError::BadParameter);
        }
        let (transport, rest) = rest.split_once([' ', '\t']).ok_or(SyntaxError::NoHost)?;
        if !is_token(transport) {
            return Err(SyntaxError::BadCharacter);
        }
        let (sent_by, params) = match rest.find(';') {
            Some(semicolon) => rest.split_at(semicolon),
            None => (rest, ""),
        };
        let sent_by: String = sent_by.chars().filter(|c| !matches!(c, ' ' | '\t')).collect();
        let (host, port) = parse_hostport(&sent_by)?;
        Ok(Self {
            transport: transport.to_ascii_uppercase(),
            host,
            port,
            params: Params::parse_header(params)?,
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}
