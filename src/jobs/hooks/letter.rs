//! What an endpoint is sent: the event in its own words, and what proves that it comes from us.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use crate::dialect::agentnumber;
use crate::domain::{Call, Event, TEST_EVENT, Vocabulary};
use crate::outside::signature;
use crate::store::Head;

pub(super) struct Letter {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// An event as it is told: with its id.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// `call`: the record of the event's call as it now stands. `None`: there is nothing to tell any more.
pub(super) fn compose(head: &Head, call: Option<&Call>, now: DateTime<Utc>) -> Option<Letter> {
    let delivery = &head.delivery;
    let (name, body) = match (&head.event, head.webhook.vocabulary) {
        (None, _) if delivery.event == TEST_EVENT => (TEST_EVENT, test(head)),
        (None, _) => return None,
        (Some(event), Vocabulary::Offhook) => {
            let told = Told { id: &delivery.event_id, event };
            (event.kind.name(), serde_json::to_string(&told).ok()?)
        }
        (Some(event), Vocabulary::Agentnumber) => {
            let agentnumber::Telling { name, body } = agentnumber::telling(event, call)?;
            (name, body)
        }
    };
    let secrets: Vec<_> = head.webhook.secrets(now).collect();
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("offhook-event", name.to_owned()),
        ("offhook-event-id", delivery.event_id.clone()),
        ("offhook-delivery-id", delivery.id.to_string()),
        ("offhook-signature", signature(&secrets, now.timestamp(), &body)),
    ];
    if head.webhook.vocabulary == Vocabulary::Agentnumber {
        headers.extend(agentnumber::headers(name, head.webhook.secret.reveal(), &body));
    }
    Some(Letter { headers, body })
}

fn test(head: &Head) -> String {
    let delivery = &head.delivery;
    json!({
        "id": delivery.event_id,
        "account_id": delivery.account,
        "type": TEST_EVENT,
        "at": delivery.created_at,
        "data": { "webhook_id": delivery.webhook },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, CallId, Delivery, EventKind, SigningSecret, endpoint};

    fn head(vocabulary: Vocabulary) -> Head {
        let webhook = crate::domain::Webhook { vocabulary, ..endpoint(1) };
        let (subject, account) = (CallId::from_random([7; 10]).into(), AccountId::house());
        let kind = EventKind::TranscriptReady { fragments: 2 };
        let event = Event { subject, account, agent_id: None, seq: 4, at: DateTime::UNIX_EPOCH, kind };
        Head { delivery: Delivery::of(&webhook, &event), webhook, event: Some(event) }
    }

    fn header<'a>(letter: &'a Letter, name: &str) -> &'a str {
        &letter.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).unwrap().1
    }

    #[test]
    fn a_letter_says_what_happened_and_proves_it() {
        let head = head(Vocabulary::Offhook);
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let letter = compose(&head, None, now).unwrap();
        let body: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
        assert_eq!(
            (&body["id"], &body["type"]),
            (&json!(head.delivery.event_id), &json!("call.transcript.ready"))
        );
        assert_eq!((&body["seq"], &body["data"]), (&json!(4), &json!({ "fragments": 2 })));
        assert_eq!(header(&letter, "offhook-event-id"), head.delivery.event_id);
        let (time, proof) = header(&letter, "offhook-signature").split_once(",v1=").unwrap();
        assert_eq!((time, proof.len()), ("t=1700000000", 64));
    }

    #[test]
    fn while_secrets_overlap_both_sign() {
        let mut head = head(Vocabulary::Offhook);
        let now = DateTime::UNIX_EPOCH;
        let old = SigningSecret::from_random([9; 32]);
        let alone = compose(&head, None, now).unwrap();
        head.webhook.old_secret = Some((old.clone(), now + chrono::Duration::seconds(1)));
        let both = compose(&head, None, now).unwrap();
        assert!(header(&both, "offhook-signature").starts_with(header(&alone, "offhook-signature")));
        assert_eq!(header(&both, "offhook-signature").matches(",v1=").count(), 2);
    }

    #[test]
    fn other_services_words_and_tests_and_what_is_gone() {
        let theirs = compose(&head(Vocabulary::Agentnumber), None, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(header(&theirs, "x-agentnumber-event"), "call.transcript.ready");
        assert!(header(&theirs, "offhook-signature").contains(",v1="));
        let mut gone = head(Vocabulary::Offhook);
        gone.event = None;
        assert!(compose(&gone, None, DateTime::UNIX_EPOCH).is_none());
        let delivery = Delivery::test(&gone.webhook, [3; 10], DateTime::UNIX_EPOCH);
        let test = compose(&Head { delivery, ..gone }, None, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(header(&test, "offhook-event"), "webhook.test");
    }
}
