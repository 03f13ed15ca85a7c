//! Agents, numbers and threads: what an account has.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AccountId, AgentId, Event, EventKind, Private, Settings};

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
