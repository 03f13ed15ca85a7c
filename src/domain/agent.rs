//! What an agent is like: settings that resolve in layers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AccountId, AgentId, Event, EventKind, Private};

/// What a client hangs on its things for itself; kept, shown, never read.
pub type Metadata = Map<String, Value>;

/// Who made a thing, and so who may change it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A client of the API.
    #[default]
    Api,
    /// The configuration file; the API only shows it.
    Configuration,
}

/// What thinks for an agent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrainChoice {
    /// The model on this box.
    Local,
    /// A brain of the configuration, by its name.
    Configured { name: String },
    /// A URL of the client's that answers chat completions as a stream.
    Webhook {
        /// `https://…`; inside the operator's networks only where the configuration allows it.
        url: String,
    },
}

/// Settings of a call. Each layer says what it wants changed, and what it leaves out comes from the layer below: the call's
/// own request, the number, the agent, the account, the configuration.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brain: Option<BrainChoice>,
    /// The system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Said when the call is answered; empty: the agent waits for the other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_message: Option<String>,
    /// Said when the agent or the gateway ends the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodbye: Option<String>,
    /// Said when the brain or the speech fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apology: Option<String>,
    /// Said after a long silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_there: Option<String>,
    /// Said when a transfer came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_failed: Option<String>,
    /// One of `GET /v1/voices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// 1 is the voice's own speed; 0.5 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// ISO 639-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// An answer that holds one of these ends the call when it has been said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_call_phrases: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
    /// The call ends after so many seconds, with a goodbye.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<u32>,
    /// Whether the call is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
}

macro_rules! over {
    ($top:expr, $bottom:expr, $($field:ident)*) => {
        Settings { $($field: $top.$field.clone().or_else(|| $bottom.$field.clone()),)* }
    };
}

impl Settings {
    /// These, and where they say nothing, those below.
    #[must_use]
    pub fn over(&self, below: &Settings) -> Settings {
        over!(self, below, brain prompt first_message goodbye apology still_there transfer_failed voice speed language
            end_call_phrases max_tokens temperature top_p repeat_penalty max_duration_s record)
    }
}

/// A persona that answers and places calls.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Agent {
    pub id: AgentId,
    pub account: AccountId,
    /// Unique in its account.
    pub name: String,
    #[serde(default)]
    pub source: Source,
    pub settings: Settings,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What kind of number it is, as the country's numbering plan says or the operator does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberKind {
    Local,
    Mobile,
    TollFree,
    Other,
}

/// Where a number stands between the pool and its account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberStatus {
    Active,
    /// Given back; nobody gets it before its quarantine is over.
    Released,
}

/// A number of the box that an account has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Number {
    pub id: super::NumberId,
    pub account: AccountId,
    #[schema(value_type = String, example = "+14155550123", pattern = r"^\+[1-9]\d{6,14}$")]
    pub number: super::E164,
    pub status: NumberStatus,
    #[serde(default)]
    pub source: Source,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    pub area_code: Option<String>,
    pub kind: NumberKind,
    pub trunk: String,
    #[serde(default)]
    pub label: Option<String>,
    /// Who answers it and speaks on calls from it.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// What calls to this number change of its agent's settings.
    #[serde(default)]
    pub inbound: Settings,
    /// What calls from this number change of its agent's settings.
    #[serde(default)]
    pub outbound: Settings,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    /// What one of the other vocabularies keeps with it; not shown by this one.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(ignore)]
    pub extra: Metadata,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[serde(default)]
    pub released_at: Option<DateTime<Utc>>,
}

impl Number {
    /// As it is shown by our own vocabulary.
    #[must_use]
    pub fn shown(self) -> Number {
        Number { extra: Metadata::new(), ..self }
    }

    /// An account has it from now on.
    pub fn provisioned(&self) -> Event {
        Event::of_number(
            self,
            1,
            self.created_at,
            EventKind::NumberProvisioned(Box::new(self.clone().shown())),
        )
    }

    /// Gives it back.
    pub fn release(&mut self, at: DateTime<Utc>) -> Event {
        self.status = NumberStatus::Released;
        (self.updated_at, self.released_at) = (at, Some(at));
        let agent_id = self.agent_id.take();
        let event = Event::of_number(self, 2, at, EventKind::NumberReleased(Box::new(self.clone().shown())));
        Event { agent_id, ..event }
    }
}

/// One conversation by message: one of our numbers, one contact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Thread {
    pub id: super::ThreadId,
    pub account: AccountId,
    #[schema(value_type = String, example = "+14155550100")]
    pub number: super::E164,
    /// A number, an extension, or a SIP URI without port and parameters.
    #[schema(value_type = String, example = "+14155550123")]
    pub contact: Private<String>,
    pub messages: u64,
    /// When the contact last asked for no more messages, if that still holds.
    #[serde(default)]
    pub stopped_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub last_message_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_layer_wins_and_the_lower_fills() {
        let call = Settings { prompt: Some("call".into()), record: Some(false), ..Settings::default() };
        let agent =
            Settings { prompt: Some("agent".into()), voice: Some("joe".into()), ..Settings::default() };
        let both = call.over(&agent);
        assert_eq!(
            (both.prompt.as_deref(), both.voice.as_deref(), both.record),
            (Some("call"), Some("joe"), Some(false))
        );
    }
}
