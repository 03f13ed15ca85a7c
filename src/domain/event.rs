//! What happened, told to whoever listens: one JSON object per event.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AccountId, AgentId, AtVoicemail, Call, CallId, CallReport, Direction, EndReason, Fault, MachineClue,
    Message, MessageId, MessageStatus, Number, NumberId, Private, Recording, Speaker, Status, Supervision,
    SupervisionMode, ToolUse, TransferMode, Turn,
};

/// What an event tells of: `call_id` or `message_id` on the wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    #[serde(rename = "call_id")]
    Call(CallId),
    #[serde(rename = "message_id")]
    Message(MessageId),
    #[serde(rename = "number_id")]
    Number(NumberId),
}

impl Subject {
    /// The id, whichever it is.
    pub fn as_str(&self) -> &str {
        match self {
            Subject::Call(id) => id.as_str(),
            Subject::Message(id) => id.as_str(),
            Subject::Number(id) => id.as_str(),
        }
    }
}

impl From<CallId> for Subject {
    fn from(id: CallId) -> Self {
        Subject::Call(id)
    }
}

impl From<NumberId> for Subject {
    fn from(id: NumberId) -> Self {
        Subject::Number(id)
    }
}

impl From<MessageId> for Subject {
    fn from(id: MessageId) -> Self {
        Subject::Message(id)
    }
}

/// One event of one call, message or number. `seq` rises by one within its subject, from 1. What an event of this `type` tells
/// stands in `data`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    #[serde(flatten)]
    pub subject: Subject,
    /// Whose it is.
    #[serde(rename = "account_id")]
    pub account: AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    pub seq: u64,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum EventKind {
    #[serde(rename = "call.queued")]
    Queued { direction: Direction, from: Private<String>, to: Private<String>, agent: String },
    /// The queue has let it go: the far end is being called.
    #[serde(rename = "call.dialing")]
    Dialing { direction: Direction, from: Private<String>, to: Private<String>, agent: String },
    #[serde(rename = "call.ringing")]
    Ringing { direction: Direction, from: Private<String>, to: Private<String>, agent: String },
    #[serde(rename = "call.started")]
    Started { direction: Direction, from: Private<String>, to: Private<String>, agent: String },
    /// Words as they stand so far (`final` = false) or for good.
    #[serde(rename = "call.transcript.partial")]
    Transcript {
        speaker: Speaker,
        text: Private<String>,
        #[serde(rename = "final")]
        is_final: bool,
        at_ms: u64,
    },
    /// An exchange is over: what was heard, what was said, and how long each stage took.
    #[serde(rename = "call.turn")]
    Turn(Turn),
    #[serde(rename = "call.dtmf")]
    Dtmf { digit: Private<char>, duration_ms: u32 },
    /// The caller spoke over the agent. `stop_ms`: onset of the voice to the last sample sent.
    #[serde(rename = "call.barge_in")]
    BargeIn { turn: u32, stop_ms: u64, resumed: bool },
    /// An answering machine has taken the call: what told, and what it gets. Told again when the message was `left`.
    #[serde(rename = "call.voicemail")]
    Voicemail { clue: MachineClue, then: AtVoicemail, left: bool },
    /// The agent did something besides talking, or tried to.
    #[serde(rename = "call.tool")]
    Tool(ToolUse),
    /// Nothing is written to the call's recording from here on: it holds silence.
    #[serde(rename = "call.recording.paused")]
    RecordingPaused { at_ms: u64 },
    #[serde(rename = "call.recording.resumed")]
    RecordingResumed { at_ms: u64 },
    /// The call is being handed on.
    #[serde(rename = "call.transferring")]
    Transferring { to: Private<String>, mode: TransferMode },
    /// It is. `bridged`: it goes on through us.
    #[serde(rename = "call.transferred")]
    Transferred { to: Private<String>, bridged: bool },
    /// Nothing came of it, and who had the call before has it again.
    #[serde(rename = "call.transfer_failed")]
    TransferFailed { to: Private<String>, reason: EndReason },
    /// Somebody of the house attends the call, or no more.
    #[serde(rename = "call.supervision")]
    Supervision { to: Private<String>, mode: SupervisionMode, status: Supervision },
    #[serde(rename = "call.ended")]
    Ended { status: Status, end_reason: EndReason, fault: Fault, sip_status: Option<u16>, duration_ms: u64 },
    #[serde(rename = "call.transcript.ready")]
    TranscriptReady { fragments: usize },
    #[serde(rename = "call.recording.ready")]
    RecordingReady { part: u32, bytes: u64, duration_ms: u64 },
    /// It is written, or given up: `status` says which.
    #[serde(rename = "call.report.ready")]
    ReportReady(Box<CallReport>),
    /// The four of a message carry its record as it now stands.
    #[serde(rename = "message.received")]
    MessageReceived(Box<Message>),
    /// Sent or accepted: its `status` says which.
    #[serde(rename = "message.sent")]
    MessageSent(Box<Message>),
    #[serde(rename = "message.failed")]
    MessageFailed(Box<Message>),
    /// The carrier says that the phone has it.
    #[serde(rename = "message.delivered")]
    MessageDelivered(Box<Message>),
    #[serde(rename = "number.provisioned")]
    NumberProvisioned(Box<Number>),
    #[serde(rename = "number.released")]
    NumberReleased(Box<Number>),
}

impl Event {
    pub fn of_call(call: &Call, seq: u64, at: DateTime<Utc>, kind: EventKind) -> Self {
        let (account, agent_id) = (call.account.clone(), call.agent_id.clone());
        Event { subject: call.id.clone().into(), account, agent_id, seq, at, kind }
    }

    pub fn of_message(message: &Message, seq: u64, at: DateTime<Utc>, kind: EventKind) -> Self {
        let (account, agent_id) = (message.account.clone(), message.agent_id.clone());
        Event { subject: message.id.clone().into(), account, agent_id, seq, at, kind }
    }

    pub fn of_number(number: &Number, seq: u64, at: DateTime<Utc>, kind: EventKind) -> Self {
        let (account, agent_id) = (number.account.clone(), number.agent_id.clone());
        Event { subject: number.id.clone().into(), account, agent_id, seq, at, kind }
    }

    /// The same for every telling of it.
    pub fn id(&self) -> String {
        format!("evt_{}_{}", self.subject.as_str(), self.seq)
    }

    /// The call that it tells of.
    pub fn call(&self) -> Option<&CallId> {
        match &self.subject {
            Subject::Call(id) => Some(id),
            Subject::Message(_) | Subject::Number(_) => None,
        }
    }

    /// The message that it tells of, as it stood then.
    pub fn message(&self) -> Option<&Message> {
        match &self.kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageSent(message)
            | EventKind::MessageFailed(message)
            | EventKind::MessageDelivered(message) => Some(message),
            _ => None,
        }
    }
}

impl EventKind {
    /// Every name on the wire.
    pub const NAMES: &'static [&'static str] = &[
        "call.queued",
        "call.dialing",
        "call.ringing",
        "call.started",
        "call.transcript.partial",
        "call.turn",
        "call.dtmf",
        "call.barge_in",
        "call.voicemail",
        "call.tool",
        "call.recording.paused",
        "call.recording.resumed",
        "call.transferring",
        "call.transferred",
        "call.transfer_failed",
        "call.supervision",
        "call.ended",
        "call.transcript.ready",
        "call.recording.ready",
        "call.report.ready",
        "message.received",
        "message.sent",
        "message.failed",
        "message.delivered",
        "number.provisioned",
        "number.released",
    ];

    pub fn queued(call: &Call) -> Self {
        let (direction, from, to, agent) = parties(call);
        EventKind::Queued { direction, from, to, agent }
    }

    pub fn dialing(call: &Call) -> Self {
        let (direction, from, to, agent) = parties(call);
        EventKind::Dialing { direction, from, to, agent }
    }

    pub fn ringing(call: &Call) -> Self {
        let (direction, from, to, agent) = parties(call);
        EventKind::Ringing { direction, from, to, agent }
    }

    pub fn started(call: &Call) -> Self {
        let (direction, from, to, agent) = parties(call);
        EventKind::Started { direction, from, to, agent }
    }

    /// The end of a call whose record is closed.
    pub fn ended(call: &Call, reason: EndReason) -> Self {
        EventKind::Ended {
            status: call.status,
            end_reason: reason,
            fault: reason.fault(),
            sip_status: call.sip_status,
            duration_ms: call.duration_ms,
        }
    }

    pub fn recording_ready(call: &Call, recording: Recording) -> Self {
        let Recording { part, bytes } = recording;
        EventKind::RecordingReady { part, bytes, duration_ms: call.duration_ms }
    }

    /// What there is to tell of a message; nothing while it waits.
    pub fn of_message(message: &Message) -> Option<Self> {
        let boxed = || Box::new(message.clone());
        match message.status {
            MessageStatus::Queued => None,
            MessageStatus::Received => Some(EventKind::MessageReceived(boxed())),
            MessageStatus::Sent | MessageStatus::Accepted => Some(EventKind::MessageSent(boxed())),
            MessageStatus::Failed => Some(EventKind::MessageFailed(boxed())),
            MessageStatus::Delivered => Some(EventKind::MessageDelivered(boxed())),
        }
    }

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Queued { .. } => "call.queued",
            EventKind::Dialing { .. } => "call.dialing",
            EventKind::Ringing { .. } => "call.ringing",
            EventKind::Started { .. } => "call.started",
            EventKind::Transcript { .. } => "call.transcript.partial",
            EventKind::Turn(_) => "call.turn",
            EventKind::Dtmf { .. } => "call.dtmf",
            EventKind::BargeIn { .. } => "call.barge_in",
            EventKind::Voicemail { .. } => "call.voicemail",
            EventKind::Tool(_) => "call.tool",
            EventKind::RecordingPaused { .. } => "call.recording.paused",
            EventKind::RecordingResumed { .. } => "call.recording.resumed",
            EventKind::Transferring { .. } => "call.transferring",
            EventKind::Transferred { .. } => "call.transferred",
            EventKind::TransferFailed { .. } => "call.transfer_failed",
            EventKind::Supervision { .. } => "call.supervision",
            EventKind::Ended { .. } => "call.ended",
            EventKind::TranscriptReady { .. } => "call.transcript.ready",
            EventKind::RecordingReady { .. } => "call.recording.ready",
            EventKind::ReportReady(_) => "call.report.ready",
            EventKind::MessageReceived(_) => "message.received",
            EventKind::MessageSent(_) => "message.sent",
            EventKind::MessageFailed(_) => "message.failed",
            EventKind::MessageDelivered(_) => "message.delivered",
            EventKind::NumberProvisioned(_) => "number.provisioned",
            EventKind::NumberReleased(_) => "number.released",
        }
    }
}

fn parties(call: &Call) -> (Direction, Private<String>, Private<String>, String) {
    (call.direction, call.from.clone(), call.to.clone(), call.agent.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_named_and_holds_its_data_apart() {
        let event = Event {
            subject: CallId::from_random([7; 10]).into(),
            account: AccountId::house(),
            agent_id: None,
            seq: 3,
            at: DateTime::UNIX_EPOCH,
            kind: EventKind::Turn(Turn { turn: 1, stt_ms: Some(150), ..Turn::default() }),
        };
        let json: serde_json::Value = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], event.kind.name());
        assert_eq!(json["data"]["stt_ms"], 150);
        assert_eq!((&json["seq"], json["call_id"].as_str()), (&3.into(), Some(event.subject.as_str())));
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }

    #[test]
    fn every_name_is_listed() {
        let unknown = serde_json::json!({ "type": "x", "data": {} });
        let told = serde_json::from_value::<EventKind>(unknown).unwrap_err().to_string();
        let (_, expected) = told.split_once("expected one of ").unwrap();
        let names: Vec<_> = expected.split(", ").map(|name| name.trim_matches('`')).collect();
        assert_eq!(names, EventKind::NAMES);
    }

    #[test]
    fn a_message_has_events_of_its_own() {
        let message = crate::domain::received(3, "+15550100001");
        let kind = EventKind::of_message(&message).unwrap();
        let event = Event::of_message(&message, 1, DateTime::UNIX_EPOCH, kind);
        let json: serde_json::Value = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], "message.received");
        assert_eq!((&json["message_id"], &json["data"]["text"]), (&json["data"]["id"], &"number 3".into()));
        let back: Event = serde_json::from_value(json).unwrap();
        assert_eq!((back.call(), back.message()), (None, Some(&message)));
    }
}
