//! What programs send. Fields that are not known are passed over, as the service does: a program may send more than the
//! document has.

use serde::{Deserialize, Deserializer};

use crate::domain::Metadata;

/// `POST /numbers`. One of `system_prompt` (managed) and `webhook_url` says who thinks.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct NewNumber {
    pub system_prompt: Option<String>,
    pub webhook_url: Option<String>,
    #[serde(deserialize_with = "digits")]
    pub area_code: Option<String>,
    pub voice_id: Option<String>,
    pub first_message: Option<String>,
    pub inbound_mode: Option<String>,
    pub metadata: Option<Metadata>,
}

/// `PATCH /numbers/:id`. `null` takes a thing away.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct NumberChange {
    pub system_prompt: Patch<String>,
    pub webhook_url: Patch<String>,
    pub voice_id: Patch<String>,
    pub first_message: Patch<String>,
    pub inbound_mode: Patch<String>,
    pub metadata: Patch<Metadata>,
}

impl NumberChange {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `POST /calls`. The document has the first three; the service reads the others too.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct NewCall {
    /// The id of a number; the number itself will do.
    pub from: Option<String>,
    pub to: Option<String>,
    pub metadata: Option<Metadata>,
    pub system_prompt: Option<String>,
    pub first_message: Option<String>,
    pub voice_id: Option<String>,
    /// Seconds.
    pub max_duration: Option<u64>,
    pub record: Option<bool>,
}

/// `POST /sms`.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct NewSms {
    pub from: Option<String>,
    pub to: Option<String>,
    pub body: Option<String>,
    pub metadata: Option<Metadata>,
}

/// `POST /credits/purchase`.
#[derive(Clone, Copy, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct Purchase {
    /// Absent: one pack.
    pub amount_cents: Option<i64>,
}

/// `POST /webhooks`.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct NewWebhook {
    pub url: Option<String>,
    /// Absent or empty: all six.
    pub events: Option<Vec<String>>,
}

/// `PATCH /webhooks/:id`.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub active: Option<bool>,
}

/// The query of a list. What cannot be read is passed over, as the service does.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    pub number_id: Option<String>,
    pub direction: Option<String>,
    pub status: Option<String>,
    /// Only what is later.
    pub since: Option<String>,
    pub limit: Option<String>,
    pub offset: Option<String>,
}

impl ListQuery {
    pub fn limit(&self) -> usize {
        let asked = self.limit.as_deref().and_then(|text| text.parse().ok());
        asked.unwrap_or(super::DEFAULT_LIMIT).clamp(1, super::MAX_LIMIT)
    }

    pub fn offset(&self) -> usize {
        self.offset.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// A field of a PATCH.
#[derive(Clone, PartialEq, Default, Debug)]
pub enum Patch<T> {
    /// It does not stand there.
    #[default]
    Kept,
    /// `null`.
    Cleared,
    Set(T),
}

impl<T> Patch<T> {
    /// Changes what is there as the patch says.
    pub fn apply(self, place: &mut Option<T>) {
        match self {
            Patch::Kept => {}
            Patch::Cleared => *place = None,
            Patch::Set(value) => *place = Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Patch::Cleared, Patch::Set))
    }
}

/// Programs write `"415"` and `415`.
fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Digits {
        Text(String),
        Number(u32),
    }
    Ok(Option::deserialize(deserializer)?.map(|digits| match digits {
        Digits::Text(text) => text,
        Digits::Number(number) => number.to_string(),
    }))
}
