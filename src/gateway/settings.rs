//! Settings that a client sends: checked before they are kept, and changed field by field.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Error, Gateway};
use crate::call::NoBrain;
use crate::domain::{
    AtVoicemail, BrainChoice, ContextWebhook, Filler, Metadata, Settings, Tools, Voicemail,
    check_pronunciations, is_language,
};

/// Characters of a prompt.
const LONGEST_PROMPT: usize = 32_000;
/// Characters of a sentence that is said as a whole.
const LONGEST_SENTENCE: usize = models::tts::MAX_CHARS;
const MOST_PHRASES: usize = 20;
const MOST_WORDS: usize = 100;
const LONGEST_PHRASE: usize = 100;
/// Bytes of metadata as JSON.
const LONGEST_METADATA: usize = 16 << 10;

/// Where in a request settings stand, so that a mistake is told with the field's whole name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Beside the request's other fields.
    Top,
    Settings,
    Inbound,
    Outbound,
}

macro_rules! names {
    ($($field:literal)*) => {
        /// A field of settings that stand there.
        fn name(at: At, field: &str) -> &'static str {
            match (at, field) {
                $(
                    (At::Top, $field) => $field,
                    (At::Settings, $field) => concat!("settings.", $field),
                    (At::Inbound, $field) => concat!("inbound.", $field),
                    (At::Outbound, $field) => concat!("outbound.", $field),
                )*
                (At::Top, _) => "",
                (At::Settings, _) => "settings",
                (At::Inbound, _) => "inbound",
                (At::Outbound, _) => "outbound",
            }
        }
    };
}

names! {
    "brain" "prompt" "first_message" "goodbye" "apology" "still_there" "transfer_failed" "voice" "speed" "language"
    "end_call_phrases" "max_tokens" "temperature" "top_p" "repeat_penalty" "max_duration_s"
    "fallback_brain" "tools" "vocabulary" "pronunciations" "patience" "volume_db" "filler" "voicemail" "context_webhook" "disclosure" "time_warning"
    "idle_s" "objective" "report"
}

/// What is to become of settings.
#[derive(Clone, PartialEq, Debug)]
pub enum SettingsPatch {
    /// They are these from now on.
    Whole(Box<Settings>),
    /// As RFC 7396 has it: what is left out stays, `null` takes a setting away, so that the layer below has the word.
    Merge(Map<String, Value>),
}

impl From<Settings> for SettingsPatch {
    fn from(settings: Settings) -> Self {
        Self::Whole(Box::new(settings))
    }
}

impl<'de> Deserialize<'de> for SettingsPatch {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Map::deserialize(reader).map(Self::Merge)
    }
}

impl SettingsPatch {
    /// What becomes of `now`.
    pub(super) fn apply(self, now: &Settings, at: At) -> Result<Settings, Error> {
        let changes = match self {
            SettingsPatch::Whole(settings) => return Ok(*settings),
            SettingsPatch::Merge(changes) => changes,
        };
        let mut merged = match serde_json::to_value(now) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        merged.extend(changes);
        serde_path_to_error::deserialize(Value::Object(merged)).map_err(|error| {
            let field = error.path().iter().next().map(ToString::to_string).unwrap_or_default();
            Error::field(name(at, &field), error.into_inner().to_string())
        })
    }
}

impl Gateway {
    /// Whether what a patch says can be, whatever it is put over: no setting depends on another. Before anything is locked, for
    /// a URL may have to be looked up.
    pub(super) async fn check_patch(&self, patch: Option<&SettingsPatch>, at: At) -> Result<(), Error> {
        let Some(patch) = patch else { return Ok(()) };
        self.check_settings(&patch.clone().apply(&Settings::default(), at)?, at).await
    }

    /// Whether a call can be held with these settings.
    ///
    /// # Errors
    /// The first that cannot be, with its field.
    pub async fn check_settings(&self, settings: &Settings, at: At) -> Result<(), Error> {
        let config = &self.exchange.config;
        check(settings, at, config.limits.max_duration.as_secs())?;
        if let Some(voice) = &settings.voice
            && !config.voices().contains(voice)
        {
            let voices = config.voices().join(", ");
            let reason = format!("is {voice:?}, and must be one of the voices of this box: {voices}");
            return Err(Error::field(name(at, "voice"), reason));
        }
        if let Some(webhook) = &settings.context_webhook {
            let judged = self.exchange.outside.check(&webhook.url).await;
            judged.map_err(|refused| Error {
                code: refused.code(),
                ..Error::field(name(at, "context_webhook"), format!("the URL {refused}"))
            })?;
        }
        for (n, action) in settings.tools.iter().flat_map(|tools| &tools.actions).enumerate() {
            self.exchange.outside.check(&action.url).await.map_err(|refused| Error {
                code: refused.code(),
                ..Error::field(name(at, "tools"), format!("actions[{n}].url {refused}"))
            })?;
        }
        self.check_brain(settings.brain.as_ref(), name(at, "brain")).await?;
        self.check_brain(settings.fallback_brain.as_ref(), name(at, "fallback_brain")).await
    }

    async fn check_brain(&self, brain: Option<&BrainChoice>, field: &'static str) -> Result<(), Error> {
        match brain {
            Some(BrainChoice::Webhook { url } | BrainChoice::TurnWebhook { url }) => {
                let judged = self.exchange.outside.check(url).await;
                judged.map(drop).map_err(|refused| Error {
                    code: refused.code(),
                    ..Error::field(field, format!("the URL {refused}"))
                })
            }
            Some(brain) => self.exchange.cast.can_think(brain).map_err(|error| {
                let code = match error {
                    NoBrain::Local => "no_local_brain",
                    NoBrain::Unknown(_) | NoBrain::Webhook(_) | NoBrain::OnlyInCalls => "invalid",
                };
                Error { code, ..Error::field(field, error.to_string()) }
            }),
            None => Ok(()),
        }
    }
}

/// What can be told without looking at the box.
fn check(settings: &Settings, at: At, longest_call: u64) -> Result<(), Error> {
    let wrong = |field, reason| Err(Error::field(name(at, field), reason));
    if let Some(length) = settings.prompt.as_ref().map(|prompt| prompt.chars().count())
        && length > LONGEST_PROMPT
    {
        return wrong("prompt", format!("has {length} characters; at most {LONGEST_PROMPT} are read"));
    }
    for (field, sentence, may_be_empty) in [
        ("first_message", &settings.first_message, true),
        ("goodbye", &settings.goodbye, false),
        ("apology", &settings.apology, false),
        ("transfer_failed", &settings.transfer_failed, false),
        ("disclosure", &settings.disclosure, true),
        ("time_warning", &settings.time_warning, true),
    ] {
        let Some(sentence) = sentence else { continue };
        let length = sentence.chars().count();
        if length > LONGEST_SENTENCE {
            return wrong(
                field,
                format!("has {length} characters; at most {LONGEST_SENTENCE} are said at once"),
            );
        }
        if sentence.trim().is_empty() && !may_be_empty {
            return wrong(field, "is empty, and must be something to say".into());
        }
    }
    if let Some(sentences) = &settings.still_there {
        if let Err(reason) = sentences.check() {
            return wrong("still_there", reason);
        }
        if let Some(length) =
            sentences.all().iter().map(|s| s.chars().count()).find(|length| *length > LONGEST_SENTENCE)
        {
            let reason = format!("has {length} characters; at most {LONGEST_SENTENCE} are said at once");
            return wrong("still_there", reason);
        }
    }
    for (field, value, least, most) in [
        ("speed", settings.speed, 0.5, 2.0),
        ("temperature", settings.temperature, 0.0, 2.0),
        ("top_p", settings.top_p, 0.0, 1.0),
        ("repeat_penalty", settings.repeat_penalty, 1.0, 2.0),
        ("patience", settings.patience, 0.5, 3.0),
        ("volume_db", settings.volume_db, -20.0, 6.0),
    ] {
        if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
            return wrong(field, format!("is {value}, and must be a number from {least} to {most}"));
        }
    }
    for (field, value, most) in
        [("max_tokens", settings.max_tokens, 4096), ("max_duration_s", settings.max_duration_s, longest_call)]
    {
        if let Some(value) = value.filter(|value| *value == 0 || u64::from(*value) > most) {
            return wrong(field, format!("is {value}, and must be a whole number from 1 to {most}"));
        }
    }
    if let Some(idle) = settings.idle_s.filter(|idle| !(3..=600).contains(idle)) {
        return wrong("idle_s", format!("is {idle}, and must be a whole number from 3 to 600"));
    }
    if let Some(reason) = settings.voicemail.as_ref().and_then(voicemail_mistake) {
        return wrong("voicemail", reason);
    }
    if let Some(timeout) = settings.context_webhook.as_ref().map(|webhook| webhook.timeout_ms)
        && !ContextWebhook::TIMEOUT_MS.contains(&timeout)
    {
        let (least, most) = ContextWebhook::TIMEOUT_MS.into_inner();
        return wrong(
            "context_webhook",
            format!("has timeout_ms {timeout}, which must be from {least} to {most}"),
        );
    }
    if let Some(language) = &settings.language
        && !is_language(language)
    {
        return wrong(
            "language",
            format!("is {language:?}, and must be two letters of ISO 639-1, as in \"en\", or \"auto\""),
        );
    }
    let vocabulary = settings.vocabulary.as_deref().unwrap_or_default();
    let is_fit = |entry: &String| (1..=LONGEST_PHRASE).contains(&entry.trim().chars().count());
    if vocabulary.len() > MOST_WORDS || !vocabulary.iter().all(is_fit) {
        let reason = format!("must be at most {MOST_WORDS} entries of 1 to {LONGEST_PHRASE} characters");
        return wrong("vocabulary", reason);
    }
    if let Some(Err(reason)) = settings.pronunciations.as_ref().map(check_pronunciations) {
        return wrong("pronunciations", reason);
    }
    if let Some(Err(reason)) = settings.tools.as_ref().map(Tools::check) {
        return wrong("tools", reason);
    }
    if let Some(Err(reason)) = settings.filler.as_ref().map(Filler::check) {
        return wrong("filler", reason);
    }
    let phrases = settings.end_call_phrases.as_deref().unwrap_or_default();
    let is_fit = |phrase: &String| (1..=LONGEST_PHRASE).contains(&phrase.trim().chars().count());
    if phrases.len() > MOST_PHRASES || !phrases.iter().all(is_fit) {
        let reason = format!("must be at most {MOST_PHRASES} phrases of 1 to {LONGEST_PHRASE} characters");
        return wrong("end_call_phrases", reason);
    }
    Ok(())
}

/// What is wrong with what a machine is to get.
fn voicemail_mistake(voicemail: &Voicemail) -> Option<String> {
    let length = voicemail.message.chars().count();
    if length > LONGEST_SENTENCE {
        return Some(format!(
            "has a message of {length} characters; at most {LONGEST_SENTENCE} are said at once"
        ));
    }
    let is_missing = voicemail.then == AtVoicemail::LeaveMessage && voicemail.message.trim().is_empty();
    is_missing.then(|| "has no message, and \"leave_message\" needs one to leave".into())
}

/// What a client hangs on its things is bounded.
pub(super) fn check_metadata(metadata: &Metadata) -> Result<(), Error> {
    let length = serde_json::to_string(metadata).map_or(0, |text| text.len());
    match length > LONGEST_METADATA {
        true => {
            let reason = format!("is {length} bytes long as JSON; at most {LONGEST_METADATA} are kept");
            Err(Error::field("metadata", reason))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_be_is_told_by_its_whole_name() {
        let wrong = |json: Value| {
            let settings: Settings = serde_json::from_value(json).unwrap();
            check(&settings, At::Inbound, 600).unwrap_err().field.unwrap()
        };
        for (json, field) in [
            (serde_json::json!({ "speed": 3 }), "inbound.speed"),
            (serde_json::json!({ "temperature": -1 }), "inbound.temperature"),
            (serde_json::json!({ "max_duration_s": 601 }), "inbound.max_duration_s"),
            (serde_json::json!({ "max_tokens": 0 }), "inbound.max_tokens"),
            (serde_json::json!({ "goodbye": " " }), "inbound.goodbye"),
            (serde_json::json!({ "first_message": "a".repeat(1001) }), "inbound.first_message"),
            (serde_json::json!({ "prompt": "a".repeat(32_001) }), "inbound.prompt"),
            (serde_json::json!({ "language": "English" }), "inbound.language"),
            (serde_json::json!({ "vocabulary": ["Yealink", ""] }), "inbound.vocabulary"),
            (serde_json::json!({ "vocabulary": vec!["Snom"; 101] }), "inbound.vocabulary"),
            (serde_json::json!({ "end_call_phrases": [""] }), "inbound.end_call_phrases"),
            (serde_json::json!({ "volume_db": 7 }), "inbound.volume_db"),
            (serde_json::json!({ "filler": { "after_ms": 10 } }), "inbound.filler"),
            (serde_json::json!({ "filler": { "phrases": [" "] } }), "inbound.filler"),
            (serde_json::json!({ "filler": { "phrases": [] } }), "inbound.filler"),
            (serde_json::json!({ "idle_s": 2 }), "inbound.idle_s"),
            (serde_json::json!({ "still_there": " " }), "inbound.still_there"),
            (serde_json::json!({ "still_there": [] }), "inbound.still_there"),
            (serde_json::json!({ "still_there": ["a".repeat(1001)] }), "inbound.still_there"),
            (serde_json::json!({ "pronunciations": { "SQL": "" } }), "inbound.pronunciations"),
            (serde_json::json!({ "voicemail": { "then": "leave_message" } }), "inbound.voicemail"),
            (serde_json::json!({ "voicemail": { "message": "a".repeat(1001) } }), "inbound.voicemail"),
            (
                serde_json::json!({ "context_webhook": { "url": "https://crm.example", "timeout_ms": 1 } }),
                "inbound.context_webhook",
            ),
            (serde_json::json!({ "tools": { "transfer": { "sales": "" } } }), "inbound.tools"),
        ] {
            assert_eq!(wrong(json), field);
        }
        let fine =
            serde_json::json!({ "first_message": "", "speed": 2, "max_duration_s": 600, "language": "de" });
        check(&serde_json::from_value(fine).unwrap(), At::Top, 600).unwrap();
        let asked_twice = serde_json::json!({
            "still_there": ["Hello?", "Bye?"], "pronunciations": { "Offhook": "off hook" },
        });
        check(&serde_json::from_value(asked_twice).unwrap(), At::Top, 600).unwrap();
        let found_out = serde_json::json!({ "language": "auto", "vocabulary": ["Yealink T54W", "Zoë"] });
        check(&serde_json::from_value(found_out).unwrap(), At::Top, 600).unwrap();
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_takes_away() {
        let now = Settings { prompt: Some("One.".into()), voice: Some("joe".into()), ..Settings::default() };
        let patched = |json: Value| {
            let patch: SettingsPatch = serde_json::from_value(json).unwrap();
            patch.apply(&now, At::Settings)
        };
        let after = patched(serde_json::json!({ "prompt": "Two.", "voice": null })).unwrap();
        assert_eq!((after.prompt.as_deref(), after.voice), (Some("Two."), None));
        let error = patched(serde_json::json!({ "speed": "fast" })).unwrap_err();
        assert_eq!(error.field, Some("settings.speed"));
        let error = patched(serde_json::json!({ "volume": 11 })).unwrap_err();
        assert!(error.public.contains("volume") && error.public.contains("prompt"), "{error}");
    }
}
