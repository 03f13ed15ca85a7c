//! What every message must have (RFC 3261 §8.1.1), each parsed once.

use std::fmt;
use std::str::FromStr;

use super::headers::{Headers, name};
use super::method::Method;
use super::name_addr::NameAddr;
use super::parse::{Defect, Request, Response};
use super::scan::split_list;
use super::via::Via;
use crate::error::SyntaxError;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Less than 2^31 (§8.1.1.5).
    pub number: u32,
    pub method: Method,
}

/// The headers without which a message is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The topmost Via.
    pub via: Via,
    /// How many Via elements there are in all.
    pub vias: usize,
    pub from: NameAddr,
    pub to: NameAddr,
    pub call_id: String,
    pub cseq: CSeq,
    /// `None` when absent, as RFC 2543 peers do.
    pub max_forwards: Option<u8>,
}

impl Head {
    pub fn of_request(request: &Request) -> Result<Self, Defect> {
        let head = Self::of(&request.headers)?;
        if head.cseq.method != request.method {
            return Err(Defect::CSeqMethod);
        }
        // A broken Contact would only come to light when the call is up and its ACK has nowhere to go.
        let contact = request.headers_contact()?;
        // §8.1.1.8: where the requests of a dialog are to go, only SIP goes.
        if request.method == Method::Invite && contact.is_some_and(|contact| contact.uri.as_sip().is_none()) {
            return Err(Defect::Bad(name::CONTACT));
        }
        Ok(head)
    }

    pub fn of_response(response: &Response) -> Result<Self, Defect> {
        Self::of(&response.headers)
    }

    fn of(headers: &Headers) -> Result<Self, Defect> {
        let mut vias = 0;
        let mut via = None;
        for line in headers.get_all(name::VIA) {
            for one in split_list(&line) {
                vias += 1;
                if via.is_none() {
                    via = Some(one.parse::<Via>().map_err(|_| Defect::Bad(name::VIA))?);
                }
            }
        }
        let via = via.ok_or(Defect::Missing(name::VIA))?;
        let from: NameAddr = single(headers, name::FROM)?;
        let to: NameAddr = single(headers, name::TO)?;
        let CallId(call_id) = single(headers, name::CALL_ID)?;
        let cseq: CSeq = single(headers, name::CSEQ)?;
        let max_forwards = match single::<MaxForwards>(headers, name::MAX_FORWARDS) {
            Ok(MaxForwards(hops)) => Some(hops),
            Err(Defect::Missing(_)) => None,
            Err(defect) => return Err(defect),
        };
        Ok(Self { via, vias, from, to, call_id, cseq, max_forwards })
    }
}

/// A header that may stand once only (§7.3.1).
fn single<T: FromStr>(headers: &Headers, name: &'static str) -> Result<T, Defect> {
    let mut lines = headers.get_all(name);
    let value = lines.next().ok_or(Defect::Missing(name))?;
    if lines.next().is_some() {
        return Err(Defect::Repeated(name));
    }
    value.parse().map_err(|_| Defect::Bad(name))
}

struct CallId(String);

impl FromStr for CallId {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        if text.is_empty() || text.contains([' ', '\t']) {
            return Err(SyntaxError::BadCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

struct MaxForwards(u8);

impl FromStr for MaxForwards {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        digits(text)?.parse().map(Self).map_err(|_| SyntaxError::BadNumber)
    }
}

impl FromStr for CSeq {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (number, method) = text.split_once([' ', '\t']).ok_or(SyntaxError::BadNumber)?;
        let number: u32 = digits(number)?.parse().map_err(|_| SyntaxError::BadNumber)?;
        if number >= 1 << 31 {
            return Err(SyntaxError::BadNumber);
        }
        Ok(Self { number, method: method.trim_matches([' ', '\t']).parse()? })
    }
}

fn digits(text: &str) -> Result<&str, SyntaxError> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then_some(text).ok_or(SyntaxError::BadNumber)
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl Request {
    /// The Contact that becomes the remote target. `Ok(None)` when there is none, or `*`.
    pub(crate) fn headers_contact(&self) -> Result<Option<NameAddr>, Defect> {
        contact(&self.headers)
    }
}

pub(crate) fn contact(headers: &Headers) -> Result<Option<NameAddr>, Defect> {
    let all = headers.list(name::CONTACT);
    if all.iter().any(|one| one == "*") {
        return Ok(None);
    }
    let parsed: Result<Vec<NameAddr>, _> = all.iter().map(|one| one.parse()).collect();
    Ok(parsed.map_err(|_| Defect::Bad(name::CONTACT))?.into_iter().next())
}
