//! Identifiers: a prefix that says what the thing is, then 80 random bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Crockford's base 32: no letter that a person mistakes for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of 80 bits.
const LETTERS: usize = 16;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $noun:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Debug)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// From ten random bytes.
            pub fn from_random(bytes: [u8; 10]) -> Self {
                Self(spell($prefix, bytes))
            }

            /// The same every time for the same name: for what the configuration declares.
            pub fn from_name(name: &str) -> Self {
                let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
                Self::from_random(std::array::from_fn(|n| hash[n]))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!("`", $prefix, "` and sixteen letters")))
                    .pattern(Some(concat!("^", $prefix, "[0-9abcdefghjkmnpqrstvwxyz]{16}$")))
                    .examples([concat!($prefix, "0123456789abcdef")])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match is_spelt($prefix, text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(format!(concat!("{:?} is not a ", $noun, " id (", $prefix, " and 16 letters)"), text)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// `call_` and sixteen letters.
    CallId "call_" "call";
    /// `msg_` and sixteen letters.
    MessageId "msg_" "message";
    /// `acct_` and sixteen letters.
    AccountId "acct_" "account";
    /// `key_` and sixteen letters.
    KeyId "key_" "key";
    /// `num_` and sixteen letters.
    NumberId "num_" "number";
    /// `agt_` and sixteen letters.
    AgentId "agt_" "agent";
    /// `conv_` and sixteen letters: the messages between one of our numbers and one contact.
    ThreadId "conv_" "conversation";
    /// `whk_` and sixteen letters.
    WebhookId "whk_" "webhook";
    /// `del_` and sixteen letters.
    DeliveryId "del_" "delivery";
    /// `crd_` and sixteen letters: one entry of an account's credits.
    CreditId "crd_" "credit entry";
}

impl AccountId {
    /// The account of the box itself: it owns what the configuration assigns. A single-tenant box has no other.
    pub fn house() -> Self {
        Self("acct_0000000000000000".to_owned())
    }
}

impl ThreadId {
    /// Of the one conversation that a number of an account has with a contact.
    pub fn of(account: &AccountId, number: &super::E164, contact: &str) -> Self {
        Self::from_name(&format!("{account} {number} {contact}"))
    }
}

impl Default for AccountId {
    fn default() -> Self {
        Self::house()
    }
}

fn spell(prefix: &str, bytes: [u8; 10]) -> String {
    let mut text = String::with_capacity(prefix.len() + LETTERS);
    text.push_str(prefix);
    let mut bits = 0u32;
    let mut held = 0;
    for byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(ALPHABET[((bits >> held) & 31) as usize]));
        }
    }
    text
}

fn is_spelt(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == LETTERS && rest.bytes().all(|b| ALPHABET.contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = CallId::from_random([0, 1, 2, 3, 250, 251, 252, 253, 254, 255]);
        assert_eq!(id.as_str().len(), 21);
        assert_eq!(id.as_str().parse::<CallId>().unwrap(), id);
        assert!("call_UPPER".parse::<CallId>().is_err());
        assert!("../../etc/passwd".parse::<CallId>().is_err());
    }

    #[test]
    fn one_kind_is_not_taken_for_another() {
        let id = MessageId::from_random([7; 10]);
        assert_eq!(id.as_str().parse::<MessageId>().unwrap(), id);
        let error = id.as_str().parse::<CallId>().unwrap_err();
        assert!(error.ends_with("is not a call id (call_ and 16 letters)"), "{error}");
    }
}
