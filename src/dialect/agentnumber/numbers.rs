//! Numbers: what they say of one, in our settings, and back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::wire::{NewNumber, NumberChange, Patch};
use crate::domain::{BrainChoice, E164, Metadata, Number, NumberId, NumberStatus, Settings};

/// The voice of the document's example, which the service gives whoever names none.
pub const DEFAULT_VOICE: &str = "cgSgspJ2msm6clMCkdW9";
const AUTOPILOT: &str = "autopilot";
/// Under which our record of a number keeps what only they have.
const KEPT_AS: &str = "agentnumber";

/// A number as they see it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NumberView {
    pub id: NumberId,
    pub phone_number: E164,
    /// `managed` or `webhook`.
    pub voice_mode: &'static str,
    pub system_prompt: Option<String>,
    pub first_message: Option<String>,
    pub voice_id: String,
    pub webhook_url: Option<String>,
    pub inbound_mode: String,
    pub metadata: Metadata,
    pub status: &'static str,
    pub created_at: DateTime<Utc>,
    /// What was understood otherwise than it was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl NumberView {
    pub fn new(number: &Number, notes: Vec<String>) -> Self {
        let said = &number.inbound;
        let webhook_url = match &said.brain {
            Some(BrainChoice::Webhook { url }) => Some(url.clone()),
            _ => None,
        };
        Self {
            id: number.id.clone(),
            phone_number: number.number.clone(),
            voice_mode: if webhook_url.is_some() { "webhook" } else { "managed" },
            // A webhook without a prompt gets no system message; to us that is an empty one.
            system_prompt: said.prompt.clone().filter(|prompt| !prompt.is_empty()),
            first_message: said.first_message.clone(),
            voice_id: voice_id_of(number),
            webhook_url,
            inbound_mode: kept(number, "inbound_mode").unwrap_or_else(|| AUTOPILOT.to_owned()),
            metadata: number.metadata.clone(),
            status: match number.status {
                NumberStatus::Active => "active",
                NumberStatus::Released => "released",
            },
            created_at: number.created_at,
            notes,
        }
    }
}

/// The voice id that the client gave; else the voice that it has by our own words.
pub fn voice_id_of(number: &Number) -> String {
    kept(number, "voice_id")
        .or_else(|| number.inbound.voice.clone())
        .unwrap_or_else(|| DEFAULT_VOICE.to_owned())
}

fn kept(number: &Number, key: &str) -> Option<String> {
    number.extra.get(KEPT_AS)?.get(key)?.as_str().map(str::to_owned)
}

/// What a voice id comes to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Voiced {
    /// A voice of this box; `None`: the default one.
    pub voice: Option<String>,
    pub note: Option<String>,
}

/// An id becomes the voice that the configuration names for it, or itself where it is one of ours; any other the default voice, with
/// a note. `is_ours`: whether the box has a voice of this name.
pub fn voice(id: &str, mapped: &BTreeMap<String, String>, is_ours: impl Fn(&str) -> bool) -> Voiced {
    let name = mapped.get(id).map_or(id, String::as_str);
    if is_ours(name) {
        return Voiced { voice: Some(name.to_owned()), note: None };
    }
    let note = match mapped.get(id) {
        Some(name) => Some(format!(
            "voice_id {id:?} stands for {name:?} here, which is no voice of this box; the default voice speaks"
        )),
        // Who takes the service's default gets ours.
        None if id == DEFAULT_VOICE => None,
        None => Some(format!(
            "voice_id {id:?} is not known here; the default voice speaks. dialect.agentnumber.voices in the configuration \
             says which voice stands for it"
        )),
    };
    Voiced { voice: None, note }
}

/// What a new thing says, as a change of nothing.
pub fn given<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Kept, Patch::Set)
}

/// What the record of a number keeps for this vocabulary.
pub fn remembered(
    number: Option<&Number>,
    voice_id: &Patch<String>,
    inbound_mode: &Patch<String>,
) -> Metadata {
    let mut extra = number.map(|number| number.extra.clone()).unwrap_or_default();
    let (mut voice, mut mode) =
        (number.and_then(|n| kept(n, "voice_id")), number.and_then(|n| kept(n, "inbound_mode")));
    voice_id.clone().apply(&mut voice);
    inbound_mode.clone().apply(&mut mode);
    extra.insert(KEPT_AS.to_owned(), json!({ "voice_id": voice, "inbound_mode": mode }));
    extra
}

/// The settings of a new number, for calls in either direction, and notes on what they leave out.
pub fn provisioned(request: &NewNumber, voiced: Voiced) -> Result<(Settings, Vec<String>), String> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (webhook, prompt) = (filled(&request.webhook_url), filled(&request.system_prompt));
    if webhook.is_none() && prompt.is_none() {
        return Err("give system_prompt, for a number that this box answers by itself, or webhook_url, the \
                    address of your own server"
            .to_owned());
    }
    let mut notes: Vec<String> = voiced.note.into_iter().collect();
    notes.extend(mode_note(request.inbound_mode.as_deref()));
    let settings = Settings {
        prompt: prompt.or_else(|| webhook.as_ref().map(|_| String::new())),
        brain: webhook.map(|url| BrainChoice::Webhook { url }),
        first_message: request.first_message.clone(),
        voice: voiced.voice,
        ..Settings::default()
    };
    Ok((settings, notes))
}

fn mode_note(mode: Option<&str>) -> Option<String> {
    let mode = mode.filter(|mode| *mode != AUTOPILOT)?;
    Some(format!(
        "inbound_mode {mode:?} is kept and means the same as \"autopilot\" here: calls are answered"
    ))
}

/// The settings of a number as a change makes them, and notes.
pub fn changed(before: &Settings, change: &NumberChange, voiced: Voiced) -> (Settings, Vec<String>) {
    let mut after = before.clone();
    change.system_prompt.clone().apply(&mut after.prompt);
    change.first_message.clone().apply(&mut after.first_message);
    match change.webhook_url.clone() {
        Patch::Kept => {}
        Patch::Cleared => after.brain = None,
        Patch::Set(url) => after.brain = Some(BrainChoice::Webhook { url }),
    }
    let is_webhook = matches!(after.brain, Some(BrainChoice::Webhook { .. }));
    match &after.prompt {
        None if is_webhook => after.prompt = Some(String::new()),
        // What meant "no system message" to a webhook would be an empty mind to a model.
        Some(prompt) if prompt.is_empty() && !is_webhook => after.prompt = None,
        _ => {}
    }
    match change.voice_id {
        Patch::Kept => {}
        Patch::Cleared => after.voice = None,
        Patch::Set(_) => after.voice = voiced.voice,
    }
    let mut notes: Vec<String> = voiced.note.into_iter().collect();
    if let Patch::Set(mode) = &change.inbound_mode {
        notes.extend(mode_note(Some(mode)));
    }
    (after, notes)
}
