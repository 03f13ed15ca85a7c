//! One message of a number's inbox, in or out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AccountId, AgentId, CallId, Direction, E164, KeyId, MessageId, Metadata, Money, NumberId, Private,
    ThreadId,
};

/// In: `received`. Out: `queued → sent | accepted | failed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It came in, and is kept.
    Received,
    /// On its way; perhaps tried again.
    Queued,
    /// 200: it is with whom it was meant for (RFC 3428 §7).
    Sent,
    /// 202: somebody on the way keeps it and will pass it on. Nothing more is heard of it.
    Accepted,
    /// Nobody took it.
    Failed,
}

impl MessageStatus {
    /// Nothing more will change.
    pub fn is_final(self) -> bool {
        self != MessageStatus::Queued
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Text(Private<String>),
    /// Bytes that are no text, in base 64 (RFC 4648 §4).
    Data(Private<String>),
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    #[serde(default)]
    pub account: AccountId,
    #[serde(default)]
    pub number_id: Option<NumberId>,
    /// The conversation that it is part of.
    #[serde(default)]
    pub thread_id: Option<ThreadId>,
    /// Whose number it was when it came or went.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    #[serde(default)]
    pub key_id: Option<KeyId>,
    /// The client's own.
    #[serde(default)]
    pub metadata: Metadata,
    #[serde(default)]
    pub cost: Option<Money>,
    /// Ours: the inbox that it lies in.
    pub number: E164,
    pub direction: Direction,
    pub status: MessageStatus,
    /// A number, or a SIP URI.
    pub from: Private<String>,
    pub to: Private<String>,
    pub content_type: String,
    /// As `text` or as `data`.
    #[serde(flatten)]
    pub content: Content,
    /// Which it came by or leaves by.
    pub trunk: String,
    /// The call that it came in, if it came inside one.
    pub in_call: Option<CallId>,
    pub created_at: DateTime<Utc>,
    /// When it was sent, accepted or given up.
    pub settled_at: Option<DateTime<Utc>>,
    /// How often it was sent, answers to challenges not counted.
    pub tries: u32,
    /// The last answer to an outbound one; 408 where nobody answered, 503 where nobody could be reached.
    pub sip_status: Option<u16>,
    /// The words of that answer.
    pub reason: Option<String>,
}

impl Message {
    /// Closes an outbound record: status and SIP status always agree.
    pub fn settle(&mut self, sip_status: u16, reason: Option<String>, at: DateTime<Utc>) {
        self.status = match sip_status {
            202 => MessageStatus::Accepted,
            200..=299 => MessageStatus::Sent,
            _ => MessageStatus::Failed,
        };
        self.sip_status = Some(sip_status);
        self.reason = reason;
        self.settled_at = Some(at);
    }

    /// Closes the record of a message of which nobody knows whether it arrived.
    pub fn interrupt(&mut self, at: DateTime<Utc>) {
        self.status = MessageStatus::Failed;
        self.reason = Some("the gateway stopped before an answer came".into());
        self.settled_at = Some(at);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An inbound message of second `n`.
    pub(crate) fn received(n: u8, number: &str) -> Message {
        Message {
            id: MessageId::from_random([n; 10]),
            account: AccountId::house(),
            number_id: None,
            thread_id: None,
            agent_id: None,
            key_id: None,
            metadata: Metadata::new(),
            cost: Some(Money::ZERO),
            number: number.parse().unwrap(),
            direction: Direction::Inbound,
            status: MessageStatus::Received,
            from: Private::new("+14155550123".into()),
            to: Private::new(number.into()),
            content_type: "text/plain".into(),
            content: Content::Text(Private::new(format!("number {n}"))),
            trunk: "lan".into(),
            in_call: None,
            created_at: DateTime::UNIX_EPOCH + chrono::Duration::seconds(n.into()),
            settled_at: None,
            tries: 0,
            sip_status: None,
            reason: None,
        }
    }

    #[test]
    fn a_record_is_flat_and_reads_back() {
        let message = received(1, "+15550100001");
        let json = serde_json::to_value(&message).unwrap();
        assert_eq!((json["text"].as_str(), json["status"].as_str()), (Some("number 1"), Some("received")));
        assert!(json.get("data").is_none());
        assert_eq!(serde_json::from_value::<Message>(json).unwrap(), message);
        assert!(!format!("{message:?}").contains("number 1"), "logs do not show it");
    }

    #[test]
    fn a_status_follows_from_the_answer() {
        for (sip, expected) in [
            (200, MessageStatus::Sent),
            (202, MessageStatus::Accepted),
            (404, MessageStatus::Failed),
            (503, MessageStatus::Failed),
        ] {
            let mut message = received(1, "+15550100001");
            message.settle(sip, None, DateTime::UNIX_EPOCH);
            assert_eq!((message.status, message.status.is_final()), (expected, true), "{sip}");
        }
        assert!(!MessageStatus::Queued.is_final());
    }
}
