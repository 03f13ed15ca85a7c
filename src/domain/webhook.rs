//! Who is told of events, and each time that they were told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, AgentId, DeliveryId, WebhookId};

/// In whose words events are told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vocabulary {
    /// Our own.
    #[default]
    Offhook,
    Agentnumber,
}

/// An endpoint of a client's that is told of events.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub account: AccountId,
    pub url: String,
    /// Names of events; empty: all.
    pub events: Vec<String>,
    /// Only what this agent is part of.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    #[serde(default)]
    pub description: Option<String>,
    pub enabled: bool,
    /// Shown once. Signs every delivery.
    pub secret: String,
    /// The one before, and until when deliveries are signed with it as well.
    #[serde(default)]
    pub old_secret: Option<(String, DateTime<Utc>)>,
    #[serde(default)]
    pub vocabulary: Vocabulary,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Pending,
    Delivered,
    /// Given up.
    Failed,
}

/// One event on its way to one endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub webhook: WebhookId,
    pub account: AccountId,
    /// Name of the event, as the endpoint is told it.
    pub event: String,
    pub event_id: String,
    /// Call, message or number that it tells of: deliveries of one subject to one endpoint keep their order.
    pub subject: String,
    pub seq: u64,
    pub status: DeliveryStatus,
    pub tries: u32,
    #[serde(default)]
    pub response_status: Option<u16>,
    #[serde(default)]
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    #[serde(default)]
    pub last_tried_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub next_try_at: Option<DateTime<Utc>>,
}
