//! `sip:`, `sips:`, `tel:` and everything else with a scheme.
//!
//! Parts are kept in their escaped form, so that printing gives back what was read; the accessors that a
//! program compares with ([`Uri::user`], [`Uri::number`]) decode.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::params::Params;
use crate::config::Transport;
use crate::error::SyntaxError;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Uri {
    Sip(SipUri),
    Tel(TelUri),
    /// A scheme that we do not call; kept whole.
    Other(String),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SipUri {
    /// `sips:`
    pub secure: bool,
    /// Escaped as written.
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
    /// What follows `?`, escaped as written.
    pub headers: Option<String>,
}

/// RFC 3966.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TelUri {
    /// With its visual separators, as written.
    pub number: String,
    pub params: Params,
}

/// Host names are kept in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Uri {
    /// `sip:user@host[:port]`. `user` is escaped where it must be.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Self {
        let user = user.filter(|u| !u.is_empty()).map(escape_user);
        Self::Sip(SipUri {
            secure: false,
            user,
            password: None,
            host,
            port,
            params: Params::new(),
            headers: None,
        })
    }

    /// The user part, unescaped; the number of a `tel:`.
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Sip(sip) => sip.user.as_deref().map(unescape),
            Self::Tel(tel) => Some(tel.number.clone()),
            Self::Other(_) => None,
        }
    }

    /// The telephone number: of a `tel:`, or of a user part that looks like one. Digits, `*`, `#`, and a leading
    /// `+`; visual separators and parameters of the user part are dropped.
    pub fn number(&self) -> Option<String> {
        let user = self.user()?;
        let user = user.split(';').next().unwrap_or_default();
        let mut number = String::with_capacity(user.len());
        for c in user.chars() {
            match c {
                '0'..='9' | '*' | '#' => number.push(c),
                '+' if number.is_empty() => number.push(c),
                '-' | '.' | '(' | ')' | ' ' => {}
                _ => return None,
            }
        }
        (number.len() > usize::from(number.starts_with('+'))).then_some(number)
    }

    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::Sip(sip) => Some(&sip.host),
            _ => None,
        }
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Sip(sip) => sip.port,
            _ => None,
        }
    }

    /// A URI parameter, as written; `Some("")` when it has no value.
    pub fn param(&self, name: &str) -> Option<&str> {
        match self {
            Self::Sip(sip) => sip.params.get(name),
            Self::Tel(tel) => tel.params.get(name),
            Self::Other(_) => None,
        }
    }

    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    /// §19.1.4: do both lead to the same place?
    pub(crate) fn is_equivalent(&self, other: &Self) -> bool {
        let (Self::Sip(a), Self::Sip(b)) = (self, other) else {
            return self == other;
        };
        let plain = |text: &Option<String>| text.as_deref().map(unescape);
        let same_param = |name: &str| {
            let (a, b) = (a.params.get(name), b.params.get(name));
            match (a, b) {
                (Some(a), Some(b)) => unescape(a).eq_ignore_ascii_case(&unescape(b)),
                // These mean something also by not being there.
                (None, None) => true,
                _ => !["user", "ttl", "method", "maddr", "transport"]
                    .iter()
                    .any(|one| name.eq_ignore_ascii_case(one)),
            }
        };
        let mut names = a.params.iter().chain(b.params.iter()).map(|(name, _)| name);
        a.secure == b.secure
            && plain(&a.user) == plain(&b.user)
            && plain(&a.password) == plain(&b.password)
            && (&a.host, a.port) == (&b.host, b.port)
            && a.headers == b.headers
            && names.all(same_param)
    }

    /// RFC 3263 §4.1 without NAPTR: the parameter, else the scheme. `None` for a transport that we do not speak.
    pub fn transport(&self) -> Option<Transport> {
        let sip = self.as_sip()?;
        match sip.params.get("transport") {
            None if sip.secure => Some(Transport::Tls),
            None => Some(Transport::Udp),
            Some(t) if t.eq_ignore_ascii_case("udp") && !sip.secure => Some(Transport::Udp),
            Some(t) if t.eq_ignore_ascii_case("tcp") => {
                Some(if sip.secure { Transport::Tls } else { Transport::Tcp })
            }
            Some(t) if t.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
            Some(_) => None,
        }
    }

    /// A Request-URI may carry neither headers nor a `method` (§19.1.1, table 1).
    pub(crate) fn is_clean_request_uri(&self) -> bool {
        self.as_sip().is_none_or(|sip| sip.headers.is_none())
    }
}

impl FromStr for Uri {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (scheme, rest) = text.split_once(':').ok_or(SyntaxError::NoScheme)?;
        let mut bytes = scheme.bytes();
        if !bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            || !bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            return Err(SyntaxError::NoScheme);
        }
        if rest.is_empty() {
            return Err(SyntaxError::Empty);
        }
        if !rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\".contains(&b)) {
            return Err(SyntaxError::BadCharacter);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            parse_sip(rest, false).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case("sips") {
            parse_sip(rest, true).map(Self::Sip)
        } else if scheme.eq_ignore_ascii_case("tel") {
            parse_tel(rest).map(Self::Tel)
        } else {
            Ok(Self::Other(text.to_owned()))
        }
    }
}

fn parse_sip(rest: &str, secure: bool) -> Result<SipUri, SyntaxError> {
    check_escapes(rest)?;
    // `@` stands unescaped in no part but as the end of userinfo (§25.1), so two of them leave it open who is
    // called: refuse.
    let (userinfo, rest) = match rest.split_once('@') {
        Some((_, after)) if after.contains('@') => return Err(SyntaxError::BadCharacter),
        Some((userinfo, after)) => (Some(userinfo), after),
        None => (None, rest),
    };
    let (user, password) = match userinfo {
        None => (None, None),
        Some("") => return Err(SyntaxError::Empty),
        Some(info) => match info.split_once(':') {
            Some(("", _)) => return Err(SyntaxError::Empty),
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
            None => (Some(info.to_owned()), None),
        },
    };
    let (rest, headers) = match rest.split_once('?') {
        Some((rest, headers)) => (rest, Some(headers.to_owned())),
        None => (rest, None),
    };
    let (hostport, params) = match rest.split_once(';') {
        Some((hostport, params)) => (hostport, Params::parse_uri(params)?),
        None => (rest, Params::new()),
    };
    let (host, port) = parse_hostport(hostport)?;
    Ok(SipUri { secure, user, password, host, port, params, headers })
}

fn parse_tel(rest: &str) -> Result<TelUri, SyntaxError> {
    let (number, params) = match rest.split_once(';') {
        Some((number, params)) => (number, Params::parse_uri(params)?),
        None => (rest, Params::new()),
    };
    // RFC 3966 §3: a global number has digits only, a local one may have `*`, `#` and A–F.
    let (digits, global) = match number.strip_prefix('+') {
        Some(digits) => (digits, true),
        None => (number, false),
    };
    let good = |b: u8| {
        b.is_ascii_digit()
            || b"-.()".contains(&b)
            || (!global && (b.is_ascii_hexdigit() || b"*#".contains(&b)))
    };
    if digits.is_empty() || !digits.bytes().all(good) {
        return Err(SyntaxError::BadNumber);
    }
    Ok(TelUri { number: number.to_owned(), params })
}

/// `host [":" port]`, as in URIs and in Via.
pub(crate) fn parse_hostport(text: &str) -> Result<(Host, Option<u16>), SyntaxError> {
    let (host, rest) = if text.starts_with('[') {
        let end = text.find(']').ok_or(SyntaxError::Unbalanced)?;
        text.split_at(end + 1)
    } else {
        text.split_at(text.find(':').unwrap_or(text.len()))
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return Err(SyntaxError::BadPort),
        Some(digits) => Some(parse_port(digits)?),
    };
    Ok((host.parse()?, port))
}

pub(crate) fn parse_port(digits: &str) -> Result<u16, SyntaxError> {
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SyntaxError::BadPort);
    }
    digits.parse().ok().filter(|&port: &u16| port != 0).ok_or(SyntaxError::BadPort)
}

fn check_escapes(text: &str) -> Result<(), SyntaxError> {
    for (i, _) in text.match_indices('%') {
        match text.as_bytes().get(i + 1..i + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return Err(SyntaxError::BadEscape),
        }
    }
    Ok(())
}

pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = (bytes[i] == b'%')
            .then(|| text.get(i + 1..i + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        match escaped {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    super::scan::text(&out).into_owned()
}

/// `user` of §25.1: unreserved and user-unreserved stay.
fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for b in user.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(sip) => {
                f.write_str(if sip.secure { "sips:" } else { "sip:" })?;
                if let Some(user) = &sip.user {
                    f.write_str(user)?;
                    if let Some(password) = &sip.password {
                        write!(f, ":{password}")?;
                    }
                    f.write_str("@")?;
                }
                write!(f, "{}", sip.host)?;
                if let Some(port) = sip.port {
                    write!(f, ":{port}")?;
                }
                write!(f, "{}", sip.params)?;
                if let Some(headers) = &sip.headers {
                    write!(f, "?{headers}")?;
                }
                Ok(())
            }
            Self::Tel(tel) => write!(f, "tel:{}{}", tel.number, tel.params),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Host {
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(ip) => Some((*ip).into()),
            Self::V6(ip) => Some((*ip).into()),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }
}

impl FromStr for Host {
    type Err = SyntaxError;

    /// IPv6 with or without its brackets.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        if text.is_empty() {
            return Err(SyntaxError::NoHost);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(SyntaxError::Unbalanced)?;
            return inner.parse().map(Self::V6).map_err(|_| SyntaxError::BadHost);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::from(ip));
        }
        // Underscores are no host names, and are in use all the same.
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
        if text.starts_with('.') || !text.bytes().all(good) {
            return Err(SyntaxError::BadHost);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of §19.1.4, without those that compare header fields by their meaning.
    #[test]
    fn two_spellings_of_one_place_are_equivalent() {
        let same = |a: &str, b: &str| {
            let (a, b): (Uri, Uri) = (a.parse().expect("a uri"), b.parse().expect("a uri"));
            assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a), "{a} {b}");
            a.is_equivalent(&b)
        };
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            ("sip:a@h;method=REGISTER;transport=tcp", "sip:a@h;transport=tcp;method=register"),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
            ("tel:+15550100", "tel:+15550100"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:a@h", "sips:a@h"),
            ("sip:a@h", "sip:h"),
            ("sip:a:b@h", "sip:a@h"),
            ("sip:a@h", "tel:1"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
