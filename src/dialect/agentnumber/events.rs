//! Events as their webhooks are told them: six of ours, by their names, signed in their way.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::calls::{CallView, SmsView, customer, ended, status, whole_cents};
use crate::domain::{Call, Event, EventKind, Webhook, WebhookId};

/// Their name, and ours.
pub const EVENTS: [(&str, &str); 6] = [
    ("call.started", "call.started"),
    ("call.ended", "call.ended"),
    ("call.transcript.ready", "call.transcript.ready"),
    ("call.recording.ready", "call.recording.ready"),
    ("sms.sent", "message.sent"),
    ("sms.received", "message.received"),
];

/// Our names of the events that a webhook asks for; none asked for means all. `Err`: what is wrong, and what there is.
pub fn to_ours(events: &[String]) -> Result<Vec<String>, String> {
    let ours =
        |theirs: &String| EVENTS.iter().find(|(name, _)| name == theirs).map(|(_, ours)| (*ours).to_owned());
    let unknown: Vec<_> = events.iter().filter(|name| ours(name).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        let all = EVENTS.map(|(name, _)| name).join(", ");
        return Err(format!("there are no events {}; there are {all}", unknown.join(", ")));
    }
    match events {
        [] => Ok(EVENTS.iter().map(|(_, ours)| (*ours).to_owned()).collect()),
        some => Ok(some.iter().filter_map(ours).collect()),
    }
}

/// Their names of events of ours; all six where the webhook is told of everything.
pub fn theirs(ours: &[String]) -> Vec<&'static str> {
    let is_told = |name: &str| ours.is_empty() || ours.iter().any(|event| event == name);
    EVENTS.iter().filter(|(_, ours)| is_told(ours)).map(|(theirs, _)| *theirs).collect()
}

/// A webhook as they see it. No `Debug`: it may hold the secret.
#[derive(Clone, Serialize)]
pub struct WebhookView<'a> {
    id: &'a WebhookId,
    url: &'a str,
    events: Vec<&'static str>,
    /// When it is registered, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    active: bool,
    created_at: DateTime<Utc>,
}

impl<'a> WebhookView<'a> {
    pub fn new(webhook: &'a Webhook) -> Self {
        Self {
            id: &webhook.id,
            url: &webhook.url,
            events: theirs(&webhook.events),
            secret: None,
            active: webhook.enabled,
            created_at: webhook.created_at,
        }
    }

    pub fn with_secret(webhook: &'a Webhook) -> Self {
        Self { secret: Some(webhook.secret.reveal()), ..Self::new(webhook) }
    }
}

/// An event in their words.
#[derive(Clone, PartialEq, Debug)]
pub struct Telling {
    pub name: &'static str,
    /// `{"id", "event", "data", "timestamp"}`, as it is signed and sent.
    pub body: String,
}

/// `None` where they have no such event. `call`: the record of the event's call as it now stands, if it is still there.
pub fn telling(event: &Event, call: Option<&Call>) -> Option<Telling> {
    let (name, _) = EVENTS.iter().find(|(_, ours)| *ours == event.kind.name())?;
    let data = match event.message() {
        Some(message) => {
            let view = serde_json::to_value(SmsView::new(message)).unwrap_or_default();
            named("message_id", view)
        }
        None => call_data(event, call),
    };
    let body = json!({ "id": event.id(), "event": name, "data": data, "timestamp": event.at });
    Some(Telling { name, body: body.to_string() })
}

fn call_data(event: &Event, call: Option<&Call>) -> Map<String, Value> {
    let mut data = match call {
        Some(call) => named("call_id", serde_json::to_value(CallView::new(call)).unwrap_or_default()),
        None => named("call_id", json!({ "id": event.subject.as_str() })),
    };
    // An event says what was so when it happened, whatever the record says by now.
    match &event.kind {
        EventKind::Started { direction, from, to, .. } => {
            data.insert("direction".into(), json!(direction));
            data.insert("from".into(), json!(from));
            data.insert("to".into(), json!(to));
            data.insert("status".into(), json!("in-progress"));
            for of_the_end in ["duration", "cost_cents", "ended_at"] {
                data.remove(of_the_end);
            }
        }
        EventKind::Ended { status: at_end, end_reason, duration_ms, .. } => {
            data.insert("status".into(), json!(status(*at_end)));
            data.insert("ended_reason".into(), json!(ended(*end_reason)));
            data.insert("duration".into(), json!((duration_ms + 500) / 1000));
            let cost = call.and_then(|call| call.cost).map(whole_cents);
            data.insert("cost_cents".into(), json!(cost));
        }
        _ => {}
    }
    if let Some(call) = call {
        data.insert("customer_number".into(), json!(customer(call)));
    }
    data
}

/// A view whose `id` is called otherwise.
fn named(id: &'static str, view: Value) -> Map<String, Value> {
    let Value::Object(mut view) = view else { return Map::new() };
    let mut data = Map::new();
    if let Some(value) = view.remove("id") {
        data.insert(id.into(), value);
    }
    data.extend(view);
    data
}

/// What a delivery carries besides its body. The signature is HMAC-SHA-256 of the body alone, in hexadecimal, keyed with the
/// secret as text: so their programs verify it.
pub fn headers(name: &str, secret: &str, body: &str) -> Vec<(&'static str, String)> {
    vec![("X-AgentNumber-Event", name.to_owned()), ("X-AgentNumber-Signature", signature(secret, body))]
}

fn signature(secret: &str, body: &str) -> String {
    // HMAC takes keys of every length (RFC 2104 §2).
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
