//! One message of a number's inbox, in or out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AccountId, AgentId, CallId, Direction, E164, KeyId, Keyword, MessageId, Metadata, Money, NumberId,
    Private, ThreadId,
};

/// In: `received`. Out: `queued → sent | accepted | failed`, and where the carrier tells of its fate `→ delivered | failed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It came in, and is kept.
    Received,
    /// On its way; perhaps tried again.
    Queued,
    /// 200: it is with whom it was meant for (RFC 3428 §7).
    Sent,
    /// 202, or a carrier's HTTP interface took it: somebody on the way keeps it and will pass it on. More is heard of it only
    /// where the carrier sends receipts.
    Accepted,
    /// The carrier says that the phone has it.
    Delivered,
    /// Nobody took it, or the carrier says that it did not arrive.
    Failed,
}

/// Why a message failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Whoever should get it has asked for no more while it waited.
    RecipientStopped,
    /// Nobody was there to take it.
    Unreachable,
    /// Whoever was there refused it.
    Refused,
    /// It was taken, and the carrier says that it did not arrive.
    Undelivered,
    /// It was handed over, and no answer came: it may have arrived. It is not sent again, lest it arrive twice.
    OutcomeUnknown,
    /// The gateway stopped before an answer came.
    Interrupted,
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

impl utoipa::PartialSchema for Content {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let one = |name, about, example| {
            let text =
                ObjectBuilder::new().schema_type(Type::String).description(Some(about)).examples([example]);
            ObjectBuilder::new().property(name, text).required(name)
        };
        OneOfBuilder::new()
            .item(one("text", "What it says", "We are open until six."))
            .item(one("data", "Bytes that are no text, in base 64 (RFC 4648 §4)", "AP8="))
            .into()
    }
}

impl utoipa::ToSchema for Content {}

impl Content {
    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Content::Text(text) => Some(text.reveal()),
            Content::Data(_) => None,
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
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
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    #[serde(default)]
    pub cost: Option<Money>,
    /// Ours: the inbox that it lies in.
    #[schema(value_type = String, example = "+14155550100")]
    pub number: E164,
    pub direction: Direction,
    pub status: MessageStatus,
    /// A number, an extension, or the user of a SIP URI.
    #[schema(value_type = String, example = "+14155550100")]
    pub from: Private<String>,
    #[schema(value_type = String, example = "+14155550123")]
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
    /// The same of a carrier that is reached by HTTP.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// The words of that answer.
    pub reason: Option<String>,
    #[serde(default)]
    pub failure: Option<Failure>,
    /// What the carrier calls it.
    #[serde(default)]
    pub carrier_id: Option<String>,
    /// When the phone had it, as far as the carrier tells.
    #[serde(default)]
    pub delivered_at: Option<DateTime<Utc>>,
    /// Where an inbound one is one of the words that are honoured before anything else.
    #[serde(default)]
    pub keyword: Option<Keyword>,
    /// Sent by the gateway itself, in answer to such a word.
    #[serde(default)]
    pub automatic: bool,
}

impl Message {
    /// One that has just come in, or is about to go out.
    pub fn new(
        id: MessageId,
        direction: Direction,
        number: E164,
        contact: Private<String>,
        content: Content,
        at: DateTime<Utc>,
    ) -> Self {
        let ours = Private::new(number.to_string());
        let (status, from, to) = match direction {
            Direction::Inbound => (MessageStatus::Received, contact, ours),
            Direction::Outbound => (MessageStatus::Queued, ours, contact),
        };
        Self {
            id,
            account: AccountId::house(),
            number_id: None,
            thread_id: None,
            agent_id: None,
            key_id: None,
            metadata: Metadata::new(),
            cost: None,
            number,
            direction,
            status,
            from,
            to,
            content_type: "text/plain;charset=utf-8".into(),
            content,
            trunk: String::new(),
            in_call: None,
            created_at: at,
            settled_at: None,
            tries: 0,
            sip_status: None,
            http_status: None,
            reason: None,
            failure: None,
            carrier_id: None,
            delivered_at: None,
            keyword: None,
            automatic: false,
        }
    }

    /// Makes it part of the conversation of its account and number with this contact.
    #[must_use]
    pub fn in_thread(self, contact: &str) -> Self {
        let thread_id = Some(ThreadId::of(&self.account, &self.number, contact));
        Self { thread_id, ..self }
    }

    /// Who is not us.
    pub fn contact(&self) -> &Private<String> {
        match self.direction {
            Direction::Inbound => &self.from,
            Direction::Outbound => &self.to,
        }
    }

    /// Closes an outbound record: status and SIP status always agree.
    pub fn settle(&mut self, sip_status: u16, reason: Option<String>, at: DateTime<Utc>) {
        self.status = match sip_status {
            202 => MessageStatus::Accepted,
            200..=299 => MessageStatus::Sent,
            _ => MessageStatus::Failed,
        };
        self.failure = match sip_status {
            200..=299 => None,
            408 | 480 | 503 => Some(Failure::Unreachable),
            _ => Some(Failure::Refused),
        };
        self.sip_status = Some(sip_status);
        self.reason = reason;
        self.settled_at = Some(at);
    }

    /// Closes the record of a message of which nobody knows whether it arrived.
    pub fn interrupt(&mut self, at: DateTime<Utc>) {
        self.fail(Failure::Interrupted, "the gateway stopped before an answer came", at);
    }

    /// Closes an outbound record for a reason that is no SIP answer.
    pub fn fail(&mut self, failure: Failure, reason: impl Into<String>, at: DateTime<Utc>) {
        self.status = MessageStatus::Failed;
        self.failure = Some(failure);
        self.reason = Some(reason.into());
        self.settled_at = Some(at);
    }

    /// What a carrier's receipt says of one that was taken. False where that is known already: a receipt that comes again,
    /// or after the last word, changes nothing.
    pub fn receipt(&mut self, arrived: Result<(), String>, at: DateTime<Utc>) -> bool {
        if !matches!(self.status, MessageStatus::Sent | MessageStatus::Accepted) {
            return false;
        }
        match arrived {
            Ok(()) => {
                self.status = MessageStatus::Delivered;
                self.delivered_at = Some(at);
            }
            Err(reason) => self.fail(Failure::Undelivered, reason, at),
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An inbound message of second `n`.
    pub(crate) fn received(n: u8, number: &str) -> Message {
        let at = DateTime::UNIX_EPOCH + chrono::Duration::seconds(n.into());
        let content = Content::Text(Private::new(format!("number {n}")));
        let contact = Private::new("+14155550123".to_owned());
        let (id, number) = (MessageId::from_random([n; 10]), number.parse().unwrap());
        let message = Message::new(id, Direction::Inbound, number, contact, content, at);
        Message { trunk: "lan".into(), cost: Some(Money::ZERO), ..message }
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

    #[test]
    fn a_receipt_has_the_last_word_once() {
        let mut message = received(1, "+15550100001");
        assert!(!message.receipt(Ok(()), DateTime::UNIX_EPOCH), "nobody sends receipts for what came in");
        message.settle(202, None, DateTime::UNIX_EPOCH);
        assert!(message.receipt(Ok(()), DateTime::UNIX_EPOCH));
        assert_eq!(
            (message.status, message.delivered_at),
            (MessageStatus::Delivered, Some(DateTime::UNIX_EPOCH))
        );
        assert!(!message.receipt(Err("later".into()), DateTime::UNIX_EPOCH));
        let mut lost = received(2, "+15550100001");
        lost.settle(200, None, DateTime::UNIX_EPOCH);
        assert!(lost.receipt(Err("no such phone".into()), DateTime::UNIX_EPOCH));
        assert_eq!((lost.status, lost.failure), (MessageStatus::Failed, Some(Failure::Undelivered)));
    }
}
