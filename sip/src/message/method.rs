//! Request methods.

use std::fmt;

use super::scan::is_token;
use crate::error::SyntaxError;

/// Methods are case-sensitive (RFC 3261 §7.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Update,
    Info,
    Prack,
    Subscribe,
    Notify,
    Publish,
    Refer,
    Message,
    Other(String),
}

const KNOWN: [(&str, Method); 14] = [
    ("INVITE", Method::Invite),
    ("ACK", Method::Ack),
    ("BYE", Method::Bye),
    ("CANCEL", Method::Cancel),
    ("OPTIONS", Method::Options),
    ("REGISTER", Method::Register),
    ("UPDATE", Method::Update),
    ("INFO", Method::Info),
    ("PRACK", Method::Prack),
    ("SUBSCRIBE", Method::Subscribe),
    ("NOTIFY", Method::Notify),
    ("PUBLISH", Method::Publish),
    ("REFER", Method::Refer),
    ("MESSAGE", Method::Message),
];

impl Method {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => KNOWN.iter().find(|(_, m)| m == known).map_or("", |(name, _)| name),
        }
    }
}

impl std::str::FromStr for Method {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        match KNOWN.iter().find(|(name, _)| *name == text) {
            Some((_, method)) => Ok(method.clone()),
            None if is_token(text) => Ok(Self::Other(text.to_owned())),
            None => Err(SyntaxError::BadCharacter),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
