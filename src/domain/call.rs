//! The record of one call.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AccountId, AgentId, CallId, CallReport, EndReason, KeyId, Metadata, Money, NumberId, Private,
    ReportStatus, Turn,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// `queued → dialing → ringing → in_progress → completed`, or one of the four other ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Dialing,
    Ringing,
    InProgress,
    Completed,
    Busy,
    NoAnswer,
    Canceled,
    Failed,
}

impl Status {
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed
        )
    }

    /// The final state that a reason stands for, given whether the call was ever answered.
    pub fn at_end(reason: EndReason, answered: bool) -> Status {
        match reason {
            EndReason::Busy | EndReason::Declined => Status::Busy,
            EndReason::NoAnswer => Status::NoAnswer,
            EndReason::CallerCanceled | EndReason::ApiCanceled => Status::Canceled,
            EndReason::BrainFailed | EndReason::EngineFailed | EndReason::Internal => Status::Failed,
            EndReason::NoAck | EndReason::MediaLost | EndReason::Interrupted => Status::Failed,
            _ if answered => Status::Completed,
            EndReason::CallerHungUp | EndReason::ApiHungUp => Status::Canceled,
            _ => Status::Failed,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Agent,
}

/// How a call is handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The other side is asked to call the target itself (REFER); if it does, the call leaves us.
    Refer,
    /// We call the target, and join the two; the sound goes through us.
    Bridge,
    /// As the trunk allows; where REFER fails, by bridge.
    #[default]
    Auto,
    /// We call the target, join the two, and then ask the other side to call the target in our place (REFER with Replaces).
    Attended,
}

/// How somebody of the house attends a call of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SupervisionMode {
    /// They hear both sides, and are heard by nobody.
    #[default]
    Listen,
    /// They are heard by our side alone: by who was put through to the other one.
    Whisper,
    /// They are heard by both. An agent is silent meanwhile.
    Barge,
}

/// How far an attendance has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// They are being called.
    Ringing,
    /// They are on the line.
    Up,
    Over,
    /// They never answered.
    Failed,
}

/// One stretch of the transcript: what was heard of the caller, or what the caller's ear got of the agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fragment {
    pub speaker: Speaker,
    #[schema(value_type = String)]
    pub text: Private<String>,
    /// From the answer, ms.
    pub at_ms: u64,
    /// The caller spoke over it: `text` ends where the sound ended.
    #[serde(default)]
    pub interrupted: bool,
}

/// What the line was like.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineReport {
    pub codec: String,
    /// What its sound is encrypted with, as in `AES_CM_128_HMAC_SHA1_80`; absent: nothing (SRTP, RFC 4568).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    pub packets_from_strangers: u64,
    /// Whole streams among these: attempts to take the call's place.
    #[serde(default)]
    pub streams_refused: u64,
    /// Encrypted packets that were forged, damaged, or came twice: nothing of them was heard.
    #[serde(default)]
    pub packets_refused: u64,
    pub jitter_ms: f32,
    pub concealed_frames: u64,
    /// Absent until a second of sound has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<LineQuality>,
}

/// How a line sounds, by the E-model (ITU-T G.107, simplified). While the call is up, so far; afterwards, of the whole call.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineQuality {
    /// The other side, as it is heard here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<LineSound>,
    /// Our side, as the far end reports by RTCP that it hears it. Absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<LineSound>,
    /// Mean, where the far end reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
}

/// One direction of a line.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineSound {
    /// Mean opinion score, 1 to 4.5; a clean telephone line has 4.4.
    pub mos: f64,
    /// Of the last five seconds or so, and of the worst five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos_now: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos_worst: Option<f64>,
    /// The far end's own rating (RFC 3611).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos_told: Option<f64>,
    /// The rating that the score stands for, 0 to 93.2.
    pub r: f64,
    /// Shares of packets, 0 to 1: never came; came too late to be played.
    pub loss: f64,
    pub discard: f64,
    /// How much longer runs of missing packets are than chance would make them.
    pub burst_ratio: f64,
    /// Where the missing packets are (RFC 3611): shares within bursts and outside, mean lengths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<LineBursts>,
    pub jitter_ms: f64,
    /// From mouth to ear, as far as it is known.
    pub delay_ms: f64,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineBursts {
    pub burst_density: f64,
    pub gap_density: f64,
    pub burst_ms: f64,
    pub gap_ms: f64,
}

/// What the carrier where a call began says that it knows of its caller (STIR/SHAKEN, RFC 8588). As it was told: nobody
/// here has verified the signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Attestation {
    /// Its customer, who may use the number.
    #[serde(rename = "A")]
    Full,
    /// Its customer; nothing of the number.
    #[serde(rename = "B")]
    Partial,
    /// That the call came in at one of its gateways.
    #[serde(rename = "C")]
    Gateway,
}

/// Who took a call that we placed, as far as it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    Human,
    /// It has a voicemail, or announces that nobody is there.
    Machine,
    /// Nobody said anything that told.
    Unknown,
}

/// What gave an answering machine away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineClue {
    /// "Leave a message", "after the tone".
    Words,
    /// A talk that left no pause for an answer.
    Cadence,
    Beep,
}

/// What a call used that an operator may charge for, besides its minutes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallUsage {
    /// Tokens that the brain read and wrote, as it says itself or, where it does not, as its pieces were counted.
    pub tokens: u64,
    /// Characters that were synthesized.
    pub characters: u64,
    /// Milliseconds for which a further leg was joined to the call.
    #[serde(default)]
    pub transfer_ms: u64,
}

/// A stereo WAV: the peer left, we right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recording {
    /// 0 is the call's own; where another phone took a leg's place, what came after has a number of its own.
    pub part: u32,
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Call {
    pub id: CallId,
    #[serde(default)]
    pub account: AccountId,
    /// The number of ours that it came to or went out from.
    #[serde(default)]
    pub number_id: Option<NumberId>,
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// The key that it was placed with.
    #[serde(default)]
    pub key_id: Option<KeyId>,
    /// The client's own.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub direction: Direction,
    pub status: Status,
    #[schema(value_type = String, example = "+14155550123")]
    pub from: Private<String>,
    #[schema(value_type = String, example = "+15550100001")]
    pub to: Private<String>,
    /// By name; empty where it was put through to a phone.
    pub agent: String,
    /// The trunk or the extension that it came from or goes to.
    pub trunk: String,
    pub created_at: DateTime<Utc>,
    /// When the queue let it go.
    #[serde(default)]
    pub dialed_at: Option<DateTime<Utc>>,
    /// When the far end first rang.
    #[serde(default)]
    pub rang_at: Option<DateTime<Utc>>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Answer to end, ms; zero where nobody answered.
    pub duration_ms: u64,
    pub end_reason: Option<EndReason>,
    pub fault: Option<super::Fault>,
    pub sip_status: Option<u16>,
    pub transcript: Vec<Fragment>,
    pub turns: Vec<Turn>,
    /// Keys that the other side pressed.
    #[schema(value_type = String)]
    pub digits: Private<String>,
    /// Whom the call was handed on to, or put through to.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub transferred_to: Option<Private<String>>,
    #[serde(default)]
    pub recordings: Vec<Recording>,
    /// Why some of it could not be recorded, or nothing, as in `No space left on device (os error 28)`: silence stands in its place. The first
    /// reason that there was; absent where all is recorded that was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording_error: Option<String>,
    pub line: Option<LineReport>,
    #[serde(default)]
    pub usage: CallUsage,
    /// At the operator's rates; absent while it lasts.
    #[serde(default)]
    pub cost: Option<Money>,
    /// Not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// Whom the caller had dialled before the call was sent on to us, as the trunk says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub diverted_from: Option<Private<String>>,
    /// Of an outbound call that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// The agent's message was left after the beep, to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub voicemail_left: bool,
    /// What became of it, written after its end; absent where none is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<CallReport>>,
}

impl Call {
    /// One that begins: it rings where it comes in, and is dialled where it goes out.
    pub fn new(id: CallId, direction: Direction, from: String, to: String, at: DateTime<Utc>) -> Self {
        Self {
            id,
            account: AccountId::house(),
            number_id: None,
            agent_id: None,
            key_id: None,
            metadata: Metadata::new(),
            direction,
            status: match direction {
                Direction::Inbound => Status::Ringing,
                Direction::Outbound => Status::Dialing,
            },
            from: Private::new(from),
            to: Private::new(to),
            agent: String::new(),
            trunk: String::new(),
            created_at: at,
            dialed_at: None,
            rang_at: None,
            answered_at: None,
            ended_at: None,
            duration_ms: 0,
            end_reason: None,
            fault: None,
            sip_status: None,
            transcript: Vec::new(),
            turns: Vec::new(),
            digits: Private::default(),
            transferred_to: None,
            recordings: Vec::new(),
            recording_error: None,
            line: None,
            usage: CallUsage::default(),
            cost: None,
            attestation: None,
            diverted_from: None,
            answered_by: None,
            voicemail_left: false,
            report: None,
        }
    }

    /// It comes to this number of ours, or goes out from it.
    pub fn of_number(&mut self, number: &super::Number) {
        self.account.clone_from(&number.account);
        self.number_id = Some(number.id.clone());
    }

    /// Whether a report on it has yet to be written.
    pub fn awaits_report(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.status == ReportStatus::Pending)
    }

    /// Closes the record: state, reason and fault always agree.
    pub fn end(&mut self, reason: EndReason, sip_status: Option<u16>, at: DateTime<Utc>) {
        self.status = Status::at_end(reason, self.answered_at.is_some());
        self.end_reason = Some(reason);
        self.fault = Some(reason.fault());
        self.sip_status = sip_status;
        self.ended_at = Some(at);
        self.duration_ms = self.answered_at.map_or(0, |a| (at - a).num_milliseconds().max(0).unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_before_is_still_read() {
        let id = CallId::from_random([7; 10]);
        let old = serde_json::json!({
            "id": id, "direction": "inbound", "status": "completed", "from": "+14155550123", "to": "+15550100001",
            "agent": "desk", "trunk": "lan", "created_at": "2026-01-01T00:00:00Z", "answered_at": null, "ended_at": null,
            "duration_ms": 0, "end_reason": null, "fault": null, "sip_status": null, "transcript": [], "turns": [],
            "digits": "", "recording": null, "line": null,
        });
        let mut call: Call = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((call.attestation, call.diverted_from.clone(), call.report.clone()), (None, None, None));
        assert_eq!(call.recording_error, None);
        call.attestation = Some(Attestation::Partial);
        assert_eq!(serde_json::to_value(&call).unwrap()["attestation"], "B");
    }

    #[test]
    fn every_reason_leads_to_a_final_state() {
        for reason in EndReason::ALL {
            for answered in [false, true] {
                assert!(Status::at_end(*reason, answered).is_over());
            }
        }
        assert_eq!(Status::at_end(EndReason::CallerHungUp, true), Status::Completed);
        assert_eq!(Status::at_end(EndReason::UnknownNumber, false), Status::Failed);
    }
}
