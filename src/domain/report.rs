//! What became of a call, as its agent's brain writes it down afterwards.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{BrainChoice, Private};

/// The report on a call. What nobody said is absent; names and numbers stand here only if they were said in the call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallReport {
    pub status: ReportStatus,
    /// Why none could be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the call was about and how it ended, in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub summary: Option<Private<String>>,
    /// What the other side wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub intent: Option<Private<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
    /// Whether it was advertising, a fraud, or a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spam: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub caller_name: Option<Private<String>>,
    /// Present where the caller wants to be called back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_back: Option<CallBack>,
    /// Only where the agent had an objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What the call was for, as the agent's settings said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub objective: Option<Private<String>>,
    /// ISO 639-1: what it is written in.
    pub language: String,
    /// The agent's. Where it is a webhook, the local model writes instead.
    pub brain: BrainChoice,
    /// When it was written or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<DateTime<Utc>>,
    /// What it took; never charged.
    #[serde(default)]
    pub tokens: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportStatus {
    /// It is being written, or waits for a quiet moment.
    Pending,
    Ready,
    /// Given up; `reason` says why.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    Low,
    Normal,
    High,
}

/// The wish to be called back.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallBack {
    /// In the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub when: Option<Private<String>>,
    /// As it was said. Absent: at the number of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub number: Option<Private<String>>,
}

/// What came of the objective.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Outcome {
    pub result: Achievement,
    #[schema(value_type = String)]
    pub details: Private<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Achievement {
    Achieved,
    Partial,
    NotAchieved,
}

impl CallReport {
    /// One that is to be written.
    pub fn pending(brain: BrainChoice, language: String, objective: Option<String>) -> Self {
        Self {
            status: ReportStatus::Pending,
            reason: None,
            summary: None,
            intent: None,
            urgency: None,
            spam: None,
            caller_name: None,
            call_back: None,
            outcome: None,
            objective: objective.map(Private::new),
            language,
            brain,
            written_at: None,
            tokens: 0,
        }
    }

    /// Gives it up.
    #[must_use]
    pub fn failed(&self, reason: impl Into<String>, at: DateTime<Utc>) -> Self {
        Self {
            status: ReportStatus::Failed,
            reason: Some(reason.into()),
            written_at: Some(at),
            ..self.clone()
        }
    }
}
