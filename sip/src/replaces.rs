//! Replaces: RFC 3891. The name of a dialog, as it stands in an INVITE that takes its place, or in the URI of a
//! Refer-To.

use std::fmt;
use std::str::FromStr;

use crate::error::SyntaxError;
use crate::message::{Headers, NameAddr, Params, Uri, name, unescape};

/// Tags as the one sees them that gets the INVITE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    pub call_id: String,
    pub to_tag: String,
    pub from_tag: String,
    /// Only while it is not answered.
    pub early_only: bool,
}

impl Replaces {
    /// §3: one such header at most.
    pub(crate) fn of(headers: &Headers) -> Result<Option<Self>, SyntaxError> {
        let mut lines = headers.get_all(name::REPLACES);
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => line.parse().map(Some),
            (Some(_), Some(_)) => Err(SyntaxError::BadParameter),
        }
    }

    /// A Refer-To without its URI headers, and the Replaces among them.
    pub(crate) fn out_of(refer_to: &NameAddr) -> (NameAddr, Option<Self>) {
        let mut bare = refer_to.clone();
        let Uri::Sip(sip) = &mut bare.uri else {
            return (bare, None);
        };
        let headers = sip.headers.take().unwrap_or_default();
        let replaces = headers
            .split('&')
            .filter_map(|one| one.split_once('='))
            .find(|(header, _)| header.eq_ignore_ascii_case(name::REPLACES))
            .and_then(|(_, value)| unescape(value).parse().ok());
        (bare, replaces)
    }

    /// As the value of a Refer-To: `<sip:…?Replaces=…>`.
    pub(crate) fn refer_to(&self, target: &Uri) -> String {
        let mut target = target.clone();
        if let Uri::Sip(sip) = &mut target {
            sip.headers = Some(format!("{}={}", name::REPLACES, escape(&self.to_string())));
        }
        NameAddr::from(target).to_string()
    }
}

impl FromStr for Replaces {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (call_id, params) = text.split_at(text.find(';').ok_or(SyntaxError::BadParameter)?);
        let params = Params::parse_header(params)?;
        let get = |name| params.get(name).filter(|tag| !tag.is_empty()).ok_or(SyntaxError::BadParameter);
        let call_id = call_id.trim();
        if call_id.is_empty() || call_id.contains([' ', '\t']) {
            return Err(SyntaxError::BadCharacter);
        }
        Ok(Self {
            call_id: call_id.to_owned(),
            to_tag: get("to-tag")?.to_owned(),
            from_tag: get("from-tag")?.to_owned(),
            early_only: params.contains("early-only"),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

/// RFC 3261 §25.1: all but `unreserved`.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_printed_and_carried_in_a_uri() {
        let text = "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff";
        let replaces: Replaces = text.parse().expect("a Replaces");
        assert_eq!((replaces.to_tag.as_str(), replaces.from_tag.as_str()), ("ff87ff", "r33th4x0r"));
        assert_eq!(replaces.to_string().parse(), Ok(replaces.clone()));
        let target = "sip:bob@192.0.2.2:5070".parse().expect("a uri");
        let refer_to = replaces.refer_to(&target);
        assert_eq!(
            refer_to,
            "<sip:bob@192.0.2.2:5070?Replaces=98732%40sip.example.com%3Bto-tag%3Dff87ff%3Bfrom-tag%3Dr33th4x0r>"
        );
        let (to, found) = Replaces::out_of(&refer_to.parse().expect("a name-addr"));
        assert_eq!((to.uri, found), (target, Some(replaces)));
    }

    #[test]
    fn what_is_none() {
        for text in ["", "x", "x;to-tag=a", "x;from-tag=a", ";to-tag=a;from-tag=b", "x y;to-tag=a;from-tag=b"]
        {
            assert!(text.parse::<Replaces>().is_err(), "{text}");
        }
        assert!("x;to-tag=a;from-tag=b;early-only".parse::<Replaces>().expect("one").early_only);
    }
}
