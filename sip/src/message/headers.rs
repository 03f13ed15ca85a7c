//! The headers of a message: names in the RFC's spelling, values as bytes.

use std::borrow::Cow;

use bytes::Bytes;

use super::name_addr::NameAddr;
use super::scan::{split_list, text};
use crate::error::SyntaxError;

/// Header names in the spelling that we print, with their compact forms (RFC 3261 §7.3.3 and the IANA registry).
pub mod name {
    macro_rules! names {
        ($($constant:ident $long:literal $($compact:literal)?;)*) => {
            $(pub const $constant: &str = $long;)*

            /// The usual spelling of a name, whatever case or compact form it came in.
            pub(super) fn canonical(name: &str) -> Option<&'static str> {
                $(
                    if name.eq_ignore_ascii_case($long) $(|| name.eq_ignore_ascii_case($compact))? {
                        return Some($long);
                    }
                )*
                None
            }
        };
    }

    names! {
        VIA "Via" "v";
        FROM "From" "f";
        TO "To" "t";
        CALL_ID "Call-ID" "i";
        CSEQ "CSeq";
        CONTACT "Contact" "m";
        CONTENT_LENGTH "Content-Length" "l";
        CONTENT_TYPE "Content-Type" "c";
        MAX_FORWARDS "Max-Forwards";
        ROUTE "Route";
        RECORD_ROUTE "Record-Route";
        ALLOW "Allow";
        SUPPORTED "Supported" "k";
        REQUIRE "Require";
        PROXY_REQUIRE "Proxy-Require";
        UNSUPPORTED "Unsupported";
        ACCEPT "Accept";
        ACCEPT_ENCODING "Accept-Encoding";
        ACCEPT_LANGUAGE "Accept-Language";
        USER_AGENT "User-Agent";
        SERVER "Server";
        EXPIRES "Expires";
        MIN_EXPIRES "Min-Expires";
        RETRY_AFTER "Retry-After";
        REASON "Reason";
        WARNING "Warning";
        SUBJECT "Subject" "s";
        DATE "Date";
        WWW_AUTHENTICATE "WWW-Authenticate";
        AUTHORIZATION "Authorization";
        PROXY_AUTHENTICATE "Proxy-Authenticate";
        PROXY_AUTHORIZATION "Proxy-Authorization";
        AUTHENTICATION_INFO "Authentication-Info";
        CONTENT_ENCODING "Content-Encoding" "e";
        CONTENT_DISPOSITION "Content-Disposition";
        P_ASSERTED_IDENTITY "P-Asserted-Identity";
        P_PREFERRED_IDENTITY "P-Preferred-Identity";
        PRIVACY "Privacy";
        REMOTE_PARTY_ID "Remote-Party-ID";
        DIVERSION "Diversion";
        HISTORY_INFO "History-Info";
        SERVICE_ROUTE "Service-Route";
        PATH "Path";
        REFER_TO "Refer-To" "r";
        REFERRED_BY "Referred-By" "b";
        REPLACES "Replaces";
        EVENT "Event" "o";
        ALLOW_EVENTS "Allow-Events" "u";
        SUBSCRIPTION_STATE "Subscription-State";
        SESSION_EXPIRES "Session-Expires" "x";
        MIN_SE "Min-SE";
        RSEQ "RSeq";
        RACK "RAck";
        IDENTITY "Identity" "y";
        IDENTITY_INFO "Identity-Info" "n";
        ACCEPT_CONTACT "Accept-Contact" "a";
        REJECT_CONTACT "Reject-Contact" "j";
        REQUEST_DISPOSITION "Request-Disposition" "d";
        INFO_PACKAGE "Info-Package";
        TIMESTAMP "Timestamp";
    }
}

/// All headers of a message in their order. One entry is one header line; a list in one line stays one entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(Vec<(Cow<'static, str>, Bytes)>);

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value with this name, as text (Latin-1 where it is no UTF-8).
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get_bytes(name).map(|value| text(value))
    }

    pub fn get_bytes(&self, name: &str) -> Option<&Bytes> {
        self.entries(name).next()
    }

    /// All lines with this name.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.entries(name).map(|value| text(value))
    }

    /// All elements of a comma-separated header, over all its lines.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.get_all(name)
            .flat_map(|line| split_list(&line).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// All elements of a header of `name-addr`s: Contact, Route, Record-Route, P-Asserted-Identity.
    pub fn name_addrs(&self, name: &str) -> Result<Vec<NameAddr>, SyntaxError> {
        self.list(name).iter().map(|one| one.parse()).collect()
    }

    /// delta-seconds at the start of the value (`Retry-After: 5 (busy)`); what overflows is the largest number.
    pub fn seconds(&self, name: &str) -> Option<u32> {
        let value = self.get(name)?;
        let digits: &str = value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(u32::MAX))
    }

    /// Is `tag` one of the elements? For Supported, Require, Allow.
    pub fn has_option(&self, name: &str, tag: &str) -> bool {
        self.list(name).iter().any(|one| one.eq_ignore_ascii_case(tag))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a line at the end. Line ends inside the value become blanks: no value of ours, wherever it came
    /// from, may start a header of its own.
    pub fn push(&mut self, name: &str, value: impl ToString) {
        let mut value = value.to_string();
        if value.contains(['\r', '\n', '\0']) {
            value = value.replace(['\r', '\n', '\0'], " ");
        }
        self.push_raw(name, Bytes::from(value));
    }

    /// Replaces all lines of this name by one.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.remove(name);
        self.push(name, value);
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Names and values as text, in their order.
    pub(crate) fn to_texts(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| (name.to_owned(), text(value).into_owned())).collect()
    }

    pub(crate) fn append(&mut self, other: Headers) {
        self.0.extend(other.0);
    }

    /// Copies every line of this name.
    pub fn copy_from(&mut self, other: &Headers, name: &str) {
        for value in other.entries(name) {
            self.push_raw(name, value.clone());
        }
    }

    pub(crate) fn push_raw(&mut self, name: &str, value: Bytes) {
        let name = match name::canonical(name) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(name.to_owned()),
        };
        self.0.push((name, value));
    }

    pub(crate) fn replace_first(&mut self, name: &str, value: impl ToString) {
        if let Some(entry) = self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            entry.1 = Bytes::from(value.to_string());
        }
    }

    fn entries<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Bytes> {
        let name = name::canonical(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, v)| v)
    }
}
