//! The record of one call.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{CallId, EndReason, Private};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// `queued → dialing → ringing → in_progress → completed`, or one of the four other ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Agent,
}

/// One stretch of the transcript: what was heard of the caller, or what the caller's ear got of the agent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fragment {
    pub speaker: Speaker,
    pub text: Private<String>,
    /// From the answer, ms.
    pub at_ms: u64,
    /// The caller spoke over it: `text` ends where the sound ended.
    #[serde(default)]
    pub interrupted: bool,
}

/// The times of one exchange, all in ms. What did not happen is absent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Turn {
    pub turn: u32,
    pub heard: Private<String>,
    pub said: Private<String>,
    pub interrupted: bool,
    /// Request to words, of the transcription that the turn rests on.
    pub stt_ms: Option<u64>,
    /// Request to first token of the brain.
    pub llm_first_token_ms: Option<u64>,
    /// First clause to its first sound.
    pub tts_first_audio_ms: Option<u64>,
    /// Last voiced sample of the caller to the first sample of the answer, at the gateway's socket.
    pub voice_to_voice_ms: Option<u64>,
}

/// What the line was like.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LineReport {
    pub codec: String,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub packets_late: u64,
    pub packets_from_strangers: u64,
    pub jitter_ms: f32,
    pub concealed_frames: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Call {
    pub id: CallId,
    pub direction: Direction,
    pub status: Status,
    pub from: Private<String>,
    pub to: Private<String>,
    pub agent: String,
    pub trunk: String,
    pub created_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Answer to end, ms; zero where nobody answered.
    pub duration_ms: u64,
    pub end_reason: Option<EndReason>,
    pub fault: Option<super::Fault>,
    pub sip_status: Option<u16>,
    pub transcript: Vec<Fragment>,
    pub turns: Vec<Turn>,
    pub digits: Private<String>,
    /// Path of the stereo WAV, under the data folder.
    pub recording: Option<String>,
    pub line: Option<LineReport>,
}

impl Call {
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
