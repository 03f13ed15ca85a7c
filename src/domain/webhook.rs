//! Who is told of events, and each event on its way to one of them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, AgentId, DeliveryId, Event, WebhookId};

/// In whose words events are told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    /// Our own.
    #[default]
    Offhook,
    Agentnumber,
}

/// What deliveries are signed with. Stored as it is, for it must sign; `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// From 32 random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().fold("whsec_".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// For the wire and for signing, never for a log line.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

/// An endpoint of a client's that is told of events.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub account: AccountId,
    pub url: String,
    /// Names of events, in our own words whatever the vocabulary; empty: all but those of [`is_fine_grained`].
    pub events: Vec<String>,
    /// Only what this agent is part of.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    #[serde(default)]
    pub description: Option<String>,
    pub enabled: bool,
    /// Shown once. Signs every delivery.
    pub secret: SigningSecret,
    /// The one before, and until when deliveries are signed with it as well.
    #[serde(default)]
    pub old_secret: Option<(SigningSecret, DateTime<Utc>)>,
    #[serde(default)]
    pub vocabulary: Vocabulary,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Events that come many times in a call: told only to who asks for them by name.
pub fn is_fine_grained(event: &str) -> bool {
    matches!(event, "call.transcript.partial" | "call.turn" | "call.dtmf" | "call.barge_in" | "call.tool")
}

impl Webhook {
    pub fn wants(&self, event: &Event) -> bool {
        let name = event.kind.name();
        let by_name = match self.events.as_slice() {
            [] => !is_fine_grained(name),
            names => names.iter().any(|wanted| wanted == name),
        };
        let by_agent = self.agent_id.is_none() || self.agent_id == event.agent_id;
        self.enabled && self.account == event.account && by_name && by_agent
    }

    /// What deliveries are signed with now, the newest first.
    pub fn secrets(&self, now: DateTime<Utc>) -> impl Iterator<Item = &SigningSecret> {
        let old = self.old_secret.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        std::iter::once(&self.secret).chain(old)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// On its way, or to be tried again.
    Pending,
    /// The endpoint has answered 2xx.
    Delivered,
    /// Given up. It can be asked for again.
    Failed,
}

/// One event on its way to one endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "del_0123456789abcdef", "webhook_id": "whk_0123456789abcdef", "account_id": "acct_0123456789abcdef", "event": "call.ended",
    "event_id": "evt_call_0123456789abcdef_5", "subject": "call_0123456789abcdef", "seq": 5, "status": "delivered", "tries": 2,
    "response_status": 200, "error": null, "created_at": "2026-01-01T12:00:00Z", "asked_again_at": null,
    "last_tried_at": "2026-01-01T12:00:06Z", "next_try_at": null,
}))]
pub struct Delivery {
    pub id: DeliveryId,
    #[serde(rename = "webhook_id")]
    pub webhook: WebhookId,
    #[serde(rename = "account_id")]
    pub account: AccountId,
    /// Name of the event in our own words.
    pub event: String,
    pub event_id: String,
    /// Call, message or number that it tells of: deliveries of one subject to one endpoint keep their order.
    pub subject: String,
    pub seq: u64,
    pub status: DeliveryStatus,
    /// Since it was last asked for.
    pub tries: u32,
    /// HTTP status of the last try, where there was an answer.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// Why the last try failed.
    #[serde(default)]
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When a client last asked for it to be sent again.
    #[serde(default)]
    pub asked_again_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub last_tried_at: Option<DateTime<Utc>>,
    /// The earliest time of the next try; absent where none is to come.
    #[serde(default)]
    pub next_try_at: Option<DateTime<Utc>>,
}

/// The event of a test: told to one endpoint, about nothing.
pub const TEST_EVENT: &str = "webhook.test";

impl Delivery {
    /// An event's first telling to an endpoint. The id is the same every time: an event that is written again is not told again.
    pub fn of(webhook: &Webhook, event: &Event) -> Self {
        let event_id = event.id();
        Self {
            id: DeliveryId::from_name(&format!("{} {event_id}", webhook.id)),
            webhook: webhook.id.clone(),
            account: webhook.account.clone(),
            event: event.kind.name().to_owned(),
            event_id,
            subject: event.subject.as_str().to_owned(),
            seq: event.seq,
            status: DeliveryStatus::Pending,
            tries: 0,
            response_status: None,
            error: None,
            created_at: event.at,
            asked_again_at: None,
            last_tried_at: None,
            next_try_at: Some(event.at),
        }
    }

    /// A test of an endpoint. `chance`: ten random bytes.
    pub fn test(webhook: &Webhook, chance: [u8; 10], now: DateTime<Utc>) -> Self {
        let id = DeliveryId::from_random(chance);
        Self {
            event_id: format!("evt_test_{}", id.as_str().trim_start_matches("del_")),
            id,
            webhook: webhook.id.clone(),
            account: webhook.account.clone(),
            event: TEST_EVENT.to_owned(),
            subject: webhook.id.as_str().to_owned(),
            seq: u64::try_from(now.timestamp_micros()).unwrap_or(0),
            status: DeliveryStatus::Pending,
            tries: 0,
            response_status: None,
            error: None,
            created_at: now,
            asked_again_at: None,
            last_tried_at: None,
            next_try_at: Some(now),
        }
    }
}

/// An endpoint of the house for tests.
#[cfg(test)]
pub(crate) fn endpoint(n: u8) -> Webhook {
    Webhook {
        id: WebhookId::from_random([n; 10]),
        account: AccountId::house(),
        url: format!("https://hooks.example/{n}"),
        events: Vec::new(),
        agent_id: None,
        description: None,
        enabled: true,
        secret: SigningSecret::from_random([n; 32]),
        old_secret: None,
        vocabulary: Vocabulary::Offhook,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, EventKind, Private};

    fn event(kind: EventKind, agent_id: Option<AgentId>) -> Event {
        let subject = CallId::from_random([1; 10]).into();
        Event { subject, account: AccountId::house(), agent_id, seq: 1, at: DateTime::UNIX_EPOCH, kind }
    }

    #[test]
    fn who_wants_what() {
        let digit = event(EventKind::Dtmf { digit: Private::new('1'), duration_ms: 1 }, None);
        let agent = AgentId::from_name("desk");
        let ready = |agent| event(EventKind::TranscriptReady { fragments: 1 }, agent);
        let all = webhook();
        assert!(all.wants(&ready(None)) && all.wants(&ready(Some(agent.clone()))) && !all.wants(&digit));
        let digits = Webhook { events: vec!["call.dtmf".into()], ..webhook() };
        assert!(digits.wants(&digit) && !digits.wants(&ready(None)));
        let agents = Webhook { agent_id: Some(agent.clone()), ..webhook() };
        assert!(agents.wants(&ready(Some(agent))) && !agents.wants(&ready(None)));
        assert!(!Webhook { enabled: false, ..webhook() }.wants(&ready(None)));
        assert!(!Webhook { account: AccountId::from_name("other"), ..webhook() }.wants(&ready(None)));
    }

    #[test]
    fn a_secret_is_not_shown_and_an_old_one_ends() {
        let until = DateTime::UNIX_EPOCH + chrono::Duration::hours(1);
        let old = SigningSecret::from_random([1; 32]);
        let webhook = Webhook { old_secret: Some((old.clone(), until)), ..webhook() };
        assert!(!format!("{webhook:?}").contains("whsec_"));
        let now = |seconds| until + chrono::Duration::seconds(seconds);
        assert_eq!(webhook.secrets(now(-1)).collect::<Vec<_>>(), [&webhook.secret, &old]);
        assert_eq!(webhook.secrets(now(0)).collect::<Vec<_>>(), [&webhook.secret]);
    }

    fn webhook() -> Webhook {
        crate::domain::endpoint(1)
    }
}
