//! What a carrier tells us by HTTP: is it the carrier, and what does it say?

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::template::at;
use crate::config::{Inbound, Proof, Receipt};
use crate::domain::{MessageId, Private};

/// Why a carrier's request is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTaken {
    #[error("the header {0} is missing, or holds no proof that the carrier sent this")]
    NotProven(String),
    #[error("the time in the header {0} is missing, or too far from ours")]
    OutOfTime(String),
    #[error("the body is neither JSON nor a form")]
    Unreadable,
    #[error("the body has nothing at {0}")]
    Missing(String),
    #[error("there is no number {0} here that this trunk brings messages for")]
    NoSuchNumber(Private<String>),
    #[error("no message is known that this receipt is for")]
    NoSuchMessage,
    #[error("not now; tell it again later")]
    Later,
}

/// What a carrier says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    Message {
        from: Private<String>,
        to: Private<String>,
        text: Private<String>,
        /// What tells it from every other of this carrier.
        id: String,
    },
    Receipt {
        reference: Option<MessageId>,
        carrier_id: Option<String>,
        arrived: Result<(), String>,
    },
    /// A message that we sent is still on its way.
    Nothing,
}

/// Whether the carrier sent this: in constant time, and within the window of its time. `header` finds a header by name.
pub fn verify<'a>(
    proof: &Proof,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), NotTaken> {
    match proof {
        Proof::Token { header: name, secret } => {
            let given = header(name).unwrap_or_default().trim();
            // A bearer token, or the word itself.
            let given = given.strip_prefix("Bearer ").unwrap_or(given);
            let is_it: bool = given.as_bytes().ct_eq(secret.reveal().as_bytes()).into();
            if is_it && !given.is_empty() { Ok(()) } else { Err(NotTaken::NotProven(name.clone())) }
        }
        Proof::Hmac(hmac) => {
            let not_proven = || NotTaken::NotProven(hmac.header.clone());
            let given =
                header(&hmac.header).and_then(|value| value.trim().strip_prefix(hmac.prefix.as_str()));
            let given = given.ok_or_else(not_proven)?;
            let mut timestamp = "";
            if let Some(name) = &hmac.timestamp {
                let out_of_time = || NotTaken::OutOfTime(name.clone());
                timestamp = header(name).ok_or_else(out_of_time)?.trim();
                let at = time(timestamp).ok_or_else(out_of_time)?;
                if (now - at).abs().to_std().is_ok_and(|apart| apart > hmac.tolerance) {
                    return Err(out_of_time());
                }
            }
            let given = match hmac.is_base64 {
                true => BASE64_STANDARD.decode(given).map_err(|_| not_proven())?,
                false => hex(given).ok_or_else(not_proven)?,
            };
            // A key may be of any length.
            let mut mac =
                Hmac::<Sha256>::new_from_slice(hmac.secret.reveal().as_bytes()).map_err(|_| not_proven())?;
            for (n, part) in hmac.signed.split("{body}").enumerate() {
                if n > 0 {
                    mac.update(body);
                }
                mac.update(part.replace("{timestamp}", timestamp).as_bytes());
            }
            mac.verify_slice(&given).map_err(|_| not_proven())
        }
    }
}

/// Unix seconds or milliseconds, or RFC 3339.
fn time(text: &str) -> Option<DateTime<Utc>> {
    match text.parse::<i64>() {
        Ok(millis) if text.len() >= 13 => DateTime::from_timestamp_millis(millis),
        Ok(seconds) => DateTime::from_timestamp(seconds, 0),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(Into::into),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// What a body says, JSON or form. `proof` is the header that proves it: where the carrier gives a message no id, what was signed at
/// one time is one message.
pub fn read(inbound: &Inbound, content_type: &str, proof: &str, body: &[u8]) -> Result<Notice, NotTaken> {
    let value = match content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        true => url::form_urlencoded::parse(body)
            .map(|(name, text)| (name.into_owned(), Value::from(text.into_owned())))
            .collect(),
        false => serde_json::from_slice(body).map_err(|_| NotTaken::Unreadable)?,
    };
    if let Some(notice) = inbound.receipt.as_ref().and_then(|receipt| read_receipt(receipt, &value)) {
        return Ok(notice);
    }
    let get = |path: &str| at(&value, path).ok_or_else(|| NotTaken::Missing(path.to_owned()));
    let (from, to, text) = (get(&inbound.from)?, get(&inbound.to)?, get(&inbound.text)?);
    let id = match &inbound.id {
        Some(path) => get(path)?,
        None => proof.to_owned(),
    };
    Ok(Notice::Message { from: Private::new(from), to: Private::new(to), text: Private::new(text), id })
}

/// `None`: it is no receipt.
fn read_receipt(receipt: &Receipt, value: &Value) -> Option<Notice> {
    let status = at(value, &receipt.status)?;
    let find = |path: &Option<String>| at(value, path.as_deref()?);
    let (carrier_id, reference) = (find(&receipt.id), find(&receipt.reference));
    if carrier_id.is_none() && reference.is_none() {
        return None;
    }
    let reference = reference.and_then(|text| text.parse().ok());
    let arrived = match status {
        status if receipt.delivered.contains(&status) => Ok(()),
        status if receipt.failed.contains(&status) => Err(find(&receipt.reason).unwrap_or(status)),
        status if receipt.pending.contains(&status) => return Some(Notice::Nothing),
        _ => return None,
    };
    Some(Notice::Receipt { reference, carrier_id, arrived })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Secret};

    const BODY: &[u8] = br#"{"id":"m1","from":"+14155550123","to":"15550100001","text":"Hi"}"#;
    const AT: i64 = 1_700_000_000;

    fn signed(timestamp: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn proof() -> Proof {
        Proof::Hmac(config::Hmac {
            secret: Secret::new("0123456789abcdef".into()),
            header: "X-Signature".into(),
            prefix: "sha256=".into(),
            is_base64: false,
            timestamp: Some("X-Timestamp".into()),
            signed: "{timestamp}.{body}".into(),
            tolerance: Duration::from_secs(300),
        })
    }

    fn verified(signature: &str, timestamp: &str, body: &[u8], now: i64) -> Result<(), NotTaken> {
        let header = |name: &str| match name {
            "X-Signature" => Some(signature),
            "X-Timestamp" => Some(timestamp),
            _ => None,
        };
        verify(&proof(), header, body, DateTime::from_timestamp(now, 0).unwrap())
    }

    #[test]
    fn only_the_carrier_of_now_is_believed() {
        let signature = format!("sha256={}", signed("1700000000", BODY));
        assert_eq!(verified(&signature, "1700000000", BODY, AT + 299), Ok(()));
        let late = Err(NotTaken::OutOfTime("X-Timestamp".into()));
        assert_eq!(verified(&signature, "1700000000", BODY, AT + 301), late);
        assert_eq!(verified(&signature, "1700000000", BODY, AT - 301), late);
        assert_eq!(verified(&signature, "soon", BODY, AT), late);
        let forged = Err(NotTaken::NotProven("X-Signature".into()));
        // A replay in another's name: the time is signed as well.
        assert_eq!(verified(&signature, "1700000100", BODY, AT + 100), forged);
        assert_eq!(verified(&signature, "1700000000", b"{}", AT), forged);
        for wrong in
            ["", "sha256=", "sha256=zz", "sha256=abc", &signature["sha256=".len()..], "sha256=\u{fc}\u{fc}"]
        {
            assert_eq!(verified(wrong, "1700000000", BODY, AT), forged, "{wrong}");
        }
    }

    #[test]
    fn a_secret_word_proves_it_where_that_is_all_there_is() {
        let proof =
            Proof::Token { header: "Authorization".into(), secret: Secret::new("0123456789abcdef".into()) };
        let verified = |given| verify(&proof, |_| given, BODY, DateTime::UNIX_EPOCH);
        assert_eq!(verified(Some("Bearer 0123456789abcdef")), Ok(()));
        assert_eq!(verified(Some("0123456789abcdef")), Ok(()));
        for wrong in [None, Some(""), Some("Bearer "), Some("0123456789abcdeg")] {
            assert!(verified(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn times_come_in_three_forms() {
        for text in ["1700000000", "1700000000000", "2023-11-14T22:13:20Z"] {
            assert_eq!(time(text).map(|at| at.timestamp()), Some(AT), "{text}");
        }
        assert_eq!(time("yesterday"), None);
    }

    fn inbound() -> Inbound {
        Inbound {
            proof: proof(),
            from: "from".into(),
            to: "to".into(),
            text: "text".into(),
            id: Some("id".into()),
            receipt: Some(Receipt {
                id: Some("id".into()),
                reference: Some("ref".into()),
                status: "status".into(),
                delivered: vec!["delivered".into()],
                failed: vec!["failed".into()],
                pending: vec!["sent".into()],
                reason: Some("why".into()),
            }),
        }
    }

    #[test]
    fn json_and_forms_say_the_same() {
        let Ok(Notice::Message { from, to, text, id }) =
            read(&inbound(), "application/json; charset=utf-8", "", BODY)
        else {
            panic!("it is a message")
        };
        assert_eq!(
            (from.reveal().as_str(), to.reveal().as_str(), text.reveal().as_str(), id.as_str()),
            ("+14155550123", "15550100001", "Hi", "m1")
        );
        let form = b"id=m1&from=%2B14155550123&to=15550100001&text=Hi";
        assert_eq!(
            read(&inbound(), "application/x-www-form-urlencoded", "", form),
            read(&inbound(), "", "", BODY)
        );
        assert_eq!(read(&inbound(), "application/json", "", b"{"), Err(NotTaken::Unreadable));
        assert_eq!(
            read(&inbound(), "", "", br#"{"from":"a","to":"b"}"#),
            Err(NotTaken::Missing("text".into()))
        );
    }

    #[test]
    fn receipts_are_told_from_messages() {
        let read = |text: &str| read(&inbound(), "application/json", "", text.as_bytes());
        let receipt =
            |arrived| Ok(Notice::Receipt { reference: None, carrier_id: Some("m1".into()), arrived });
        assert_eq!(read(r#"{"id":"m1","status":"delivered"}"#), receipt(Ok(())));
        assert_eq!(
            read(r#"{"id":"m1","status":"failed","why":"no such phone"}"#),
            receipt(Err("no such phone".into()))
        );
        assert_eq!(read(r#"{"id":"m1","status":"failed"}"#), receipt(Err("failed".into())));
        assert_eq!(read(r#"{"id":"m1","status":"sent"}"#), Ok(Notice::Nothing));
        assert!(matches!(
            read(r#"{"id":"m1","status":"received","from":"a","to":"b","text":"c"}"#),
            Ok(Notice::Message { .. })
        ));
    }
}
