//! Who may speak to us at all.
//!
//! On the open Internet a SIP port is found by scanners within minutes. A request from an address that is neither a
//! trunk's nor a phone's is dropped before a byte of it is read: it costs no allocation, gets no answer, and so
//! does not even tell that somebody is here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::SyntaxError;

/// Where requests are taken from. Responses are always let in: they must find a transaction of ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Sources {
    #[default]
    Any,
    Only(Vec<Network>),
}

impl Sources {
    pub fn allows(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(networks) => networks.iter().any(|network| network.contains(ip)),
        }
    }
}

/// An address with a prefix length: `192.0.2.0/24`, `2001:db8::/32`, or one address alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network {
    ip: IpAddr,
    prefix: u8,
}

impl Network {
    /// `None` when the prefix is longer than the address.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(ip)).then_some(Self { ip, prefix })
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        // The shell keeps the families apart, but an address may come written so from elsewhere.
        let ip = ip.to_canonical();
        let same = |a: u128, b: u128, width: u32| {
            let rest = width - u32::from(self.prefix);
            rest == width || a >> rest == b >> rest
        };
        match (self.ip, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self { ip, prefix: bits(ip) }
    }
}

impl FromStr for Network {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| SyntaxError::BadHost)?;
        match prefix {
            None => Ok(ip.into()),
            Some(prefix) => {
                let prefix = prefix.parse().map_err(|_| SyntaxError::BadNumber)?;
                Self::new(ip, prefix).ok_or(SyntaxError::BadNumber)
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}
