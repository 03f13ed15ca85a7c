//! What happened, told to whoever listens: one JSON object per event.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Call, CallId, Direction, EndReason, Fault, Private, Speaker, Status, Turn};

/// One event of one call. `seq` rises by one within a call, from 1.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    pub call_id: CallId,
    pub seq: u64,
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventKind {
    #[serde(rename = "call.queued")]
    Queued { direction: Direction, from: Private<String>, to: Private<String>, agent: String },
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
    #[serde(rename = "call.ended")]
    Ended { status: Status, end_reason: EndReason, fault: Fault, sip_status: Option<u16>, duration_ms: u64 },
    #[serde(rename = "call.transcript.ready")]
    TranscriptReady { fragments: usize },
    #[serde(rename = "call.recording.ready")]
    RecordingReady { path: String, duration_ms: u64 },
}

impl EventKind {
    pub fn queued(call: &Call) -> Self {
        let (direction, from, to, agent) = parties(call);
        EventKind::Queued { direction, from, to, agent }
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

    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Queued { .. } => "call.queued",
            EventKind::Ringing { .. } => "call.ringing",
            EventKind::Started { .. } => "call.started",
            EventKind::Transcript { .. } => "call.transcript.partial",
            EventKind::Turn(_) => "call.turn",
            EventKind::Dtmf { .. } => "call.dtmf",
            EventKind::BargeIn { .. } => "call.barge_in",
            EventKind::Ended { .. } => "call.ended",
            EventKind::TranscriptReady { .. } => "call.transcript.ready",
            EventKind::RecordingReady { .. } => "call.recording.ready",
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
    fn the_wire_form_is_flat_and_named() {
        let event = Event {
            call_id: CallId::from_random([7; 10]),
            seq: 3,
            at: DateTime::UNIX_EPOCH,
            kind: EventKind::Turn(Turn { turn: 1, stt_ms: Some(150), ..Turn::default() }),
        };
        let json: serde_json::Value = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], event.kind.name());
        assert_eq!(json["stt_ms"], 150);
        assert_eq!(json["seq"], 3);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
}
