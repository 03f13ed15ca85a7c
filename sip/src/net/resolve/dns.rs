//! What is asked of DNS, and by whom it may be answered.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::config::Transport;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A and AAAA together.
    Address,
    Srv,
    Naptr,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    Address(IpAddr),
    Srv(Srv),
    Naptr(Naptr),
}

/// RFC 2782.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// `.`: decidedly nobody.
    pub target: String,
}

/// RFC 3403, as far as RFC 3263 §4.1 needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    pub flags: String,
    pub service: String,
    pub replacement: String,
}

impl Naptr {
    /// The transport that it speaks of. A `sips` URI goes by TLS or not at all; other services, and flags that lead
    /// elsewhere than to SRV records, are not ours to follow.
    pub(super) fn transport(&self, secure: bool) -> Option<Transport> {
        if !self.flags.eq_ignore_ascii_case("s") {
            return None;
        }
        let transport = match self.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        (!secure || transport == Transport::Tls).then_some(transport)
    }
}

/// What there is of one kind at one name. Empty: the name, or the kind, is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub records: Vec<Record>,
    pub ttl: Duration,
}

pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>>;

/// A resolver. An error means that nobody could be asked; that there is nothing is an empty answer.
pub trait Dns: fmt::Debug + Send + Sync {
    /// `name` is absolute for [`Kind::Srv`] and [`Kind::Naptr`]; an address may be looked for in search domains.
    fn query<'a>(&'a self, name: &'a str, kind: Kind) -> Lookup<'a>;
}
