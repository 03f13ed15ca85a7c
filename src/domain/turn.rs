//! One exchange of a call, and why it went as it did.

use serde::{Deserialize, Serialize};

use super::Private;

/// The times of one exchange, all in ms. What did not happen is absent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Turn {
    pub turn: u32,
    #[schema(value_type = String)]
    pub heard: Private<String>,
    #[schema(value_type = String)]
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
    /// Why and when everything happened.
    #[serde(default, skip_serializing_if = "Explanation::is_empty")]
    pub explanation: Explanation,
}

/// What led to a turn, step by step. All times in ms from the answer of the call.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Explanation {
    /// First and last voiced sample of the caller's utterance.
    pub speech_began_ms: Option<u64>,
    pub speech_ended_ms: Option<u64>,
    /// When and why the caller's turn counted as over.
    pub end_of_turn: Option<EndOfTurn>,
    /// In the order in which they began.
    pub stages: Vec<StageSpan>,
    /// First and last sample of the agent's that left.
    pub sound_began_ms: Option<u64>,
    pub sound_ended_ms: Option<u64>,
    /// What was made of voices over the agent.
    pub disputes: Vec<Dispute>,
}

impl Explanation {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why the agent took the floor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndOfTurn {
    pub at_ms: u64,
    pub because: EndOfTurnReason,
    /// The silence that was waited for.
    pub waited_ms: u64,
    /// What the model of turn ends made of the sound, 0 to 1, where it was asked.
    #[serde(default)]
    pub probability: Option<f32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndOfTurnReason {
    /// Words or sound were finished.
    Complete,
    /// Neither said so, and the pause grew.
    Unsure,
    /// It ended in "and", or in mid-sentence; nothing more came.
    Trailing,
    /// Digits or letters were being dictated; nothing more came.
    Dictation,
    /// The caller asked for a moment.
    HoldOn,
    /// The longest pause of all.
    LongestPause,
    /// Keys were pressed.
    Digits,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageSpan {
    pub stage: StageKind,
    pub began_ms: u64,
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Begun before the caller's turn was over.
    #[serde(default)]
    pub speculative: bool,
    #[serde(default)]
    pub outcome: StageOutcome,
    /// The name of a tool; what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// A look at an utterance that was still being spoken.
    Partial,
    /// The utterance to words.
    Transcription,
    /// The model of turn ends.
    TurnModel,
    /// Request to first token.
    FirstToken,
    /// First clause to its first sound.
    FirstSound,
    Tool,
    Filler,
    /// Another brain in the place of one that failed.
    Fallback,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    #[default]
    Used,
    /// The caller went on.
    ThrownAway,
    Failed,
}

/// A voice over the agent, and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dispute {
    /// Of the voice.
    pub onset_ms: u64,
    /// When the agent fell silent.
    pub paused_ms: u64,
    pub decided_ms: u64,
    pub verdict: Verdict,
    pub because: DisputeReason,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The caller has the floor.
    Interrupted,
    /// The agent went on from the same sample.
    Resumed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisputeReason {
    /// Words that were more than "mm-hm".
    Words,
    /// Voice for long enough.
    Duration,
    Digit,
    /// "Mm-hm", "yeah".
    BackChannel,
    /// A cough, a noise: no words came.
    NoWords,
    /// The agent's own voice came back.
    Echo,
    /// What hears was not there.
    Deaf,
}
