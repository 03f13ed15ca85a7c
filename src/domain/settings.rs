//! What an agent is like: settings that resolve in layers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Tools;

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
    /// A URL of the client's that is told each thing the caller says (`agent.message`), and answers what is said and done.
    TurnWebhook {
        /// As of a webhook.
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
    /// Said after a long silence: a sentence, or a list of them, one after another as the silence goes on; the last one is said again
    /// where there are more silences than sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still_there: Option<Sentences>,
    /// Said when a transfer came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_failed: Option<String>,
    /// One of `GET /v1/voices`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// 1 is the voice's own speed; 0.5 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// ISO 639-1, as in "en"; "auto": what the caller is heard to speak first, kept for the call.
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
    /// Thinks where the brain has failed in a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_brain: Option<BrainChoice>,
    /// What the agent can do besides talking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// Words that callers are likely to say: names, products, places. The ear expects them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vec<String>>,
    /// Words that are said otherwise than they are written, as in `{"Offhook": "off hook"}`: whole words, whatever their case. The voice
    /// alone knows; transcripts keep what is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pronunciations: Option<BTreeMap<String, String>>,
    /// How long the agent waits before it takes the floor: 1 is usual, 0.5 brisk, 2 for callers who think aloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<f32>,
    /// Loudness of the voice against its own, dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_db: Option<f32>,
    /// What is said when the brain takes long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filler: Option<Filler>,
    /// What becomes of an outbound call that a machine answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<Voicemail>,
    /// Asked for what is known of the caller, before the agent speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_webhook: Option<ContextWebhook>,
    /// Said first where the call is recorded and the greeting does not say so; empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<String>,
    /// Said when the call has a minute left; empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_warning: Option<String>,
    /// Silence of the caller before `still_there`, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u32>,
    /// What the call is for; the report says whether it was achieved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// Whether a report is written after the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<bool>,
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
            end_call_phrases max_tokens temperature top_p repeat_penalty fallback_brain tools vocabulary pronunciations patience volume_db filler voicemail
            context_webhook disclosure time_warning idle_s objective report max_duration_s record)
    }
}

const MOST_SENTENCES: usize = 5;

/// What is said one after another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged, expecting = "must be a sentence, or a list of sentences")]
pub enum Sentences {
    One(String),
    More(Vec<String>),
}

impl Default for Sentences {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl Sentences {
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(sentence) => std::slice::from_ref(sentence),
            Self::More(sentences) => sentences,
        }
    }

    /// The `n`-th of them, from 0; beyond the last one that one.
    pub fn nth(&self, n: usize) -> &str {
        self.all().get(n).or(self.all().last()).map_or("", String::as_str)
    }

    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MOST_SENTENCES).contains(&self.all().len()) {
            return Err(format!("has {} sentences, and must have 1 to {MOST_SENTENCES}", self.all().len()));
        }
        if self.all().iter().any(|sentence| sentence.trim().is_empty()) {
            return Err("is empty, and must be something to say".into());
        }
        Ok(())
    }
}

/// Sooner it would come between a caller and an answer in time; later there was no use for it.
const FILLED_AFTER_MS: std::ops::RangeInclusive<u32> = 500..=10_000;
const MOST_FILLERS: usize = 16;
const LONGEST_FILLER: usize = 120;

/// What is said when nothing has sounded for a while after the caller's turn.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filler {
    /// 0: never.
    pub after_ms: u32,
    /// One of these, in turn.
    pub phrases: Vec<String>,
}

impl Default for Filler {
    fn default() -> Self {
        Self { after_ms: 2500, phrases: vec!["One moment.".into(), "Let me see.".into()] }
    }
}

impl Filler {
    /// # Errors
    /// The first thing that is wrong, beginning with its place.
    pub fn check(&self) -> Result<(), String> {
        let after = self.after_ms;
        if after != 0 && !FILLED_AFTER_MS.contains(&after) {
            let (least, most) = (FILLED_AFTER_MS.start(), FILLED_AFTER_MS.end());
            return Err(format!("after_ms is {after}, and must be 0 or from {least} to {most} ms"));
        }
        let is_fit = |phrase: &String| (1..=LONGEST_FILLER).contains(&phrase.trim().chars().count());
        if self.phrases.len() > MOST_FILLERS || !self.phrases.iter().all(is_fit) {
            return Err(format!(
                "phrases must be at most {MOST_FILLERS} sentences of 1 to {LONGEST_FILLER} characters"
            ));
        }
        if after != 0 && self.phrases.is_empty() {
            return Err("phrases is empty, and must be something to say where after_ms is not 0".into());
        }
        Ok(())
    }
}

/// What is done when a machine answers an outbound call.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Voicemail {
    pub then: AtVoicemail,
    /// What is left after the beep. `leave_message` needs one.
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtVoicemail {
    /// The record tells that it was one, and the agent talks on.
    #[default]
    Ignore,
    HangUp,
    LeaveMessage,
}

/// Asked by a signed POST when the call is answered or placed; what it says goes into the prompt. A call never fails for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextWebhook {
    pub url: String,
    /// From 100 to 10,000.
    #[serde(default = "usual_deadline")]
    pub timeout_ms: u32,
}

impl ContextWebhook {
    /// What `timeout_ms` may be.
    pub const TIMEOUT_MS: RangeInclusive<u32> = 100..=10_000;
}

fn usual_deadline() -> u32 {
    1500
}

const MOST_PRONUNCIATIONS: usize = 200;
/// Characters.
const LONGEST_PRONUNCIATION: usize = 100;

/// Whether words can be said so.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_pronunciations(words: &BTreeMap<String, String>) -> Result<(), String> {
    if words.len() > MOST_PRONUNCIATIONS {
        return Err(format!("has {} words, and may have {MOST_PRONUNCIATIONS}", words.len()));
    }
    let is_fit = |text: &str| {
        let length = 1..=LONGEST_PRONUNCIATION;
        length.contains(&text.trim().chars().count()) && !text.chars().any(char::is_control)
    };
    let mut seen = BTreeSet::new();
    for (written, said) in words {
        if !written.contains(char::is_alphanumeric) {
            return Err(format!("has {written:?}, which is no word"));
        }
        if !is_fit(written) || !is_fit(said) {
            return Err(format!(
                "has {written:?} = {said:?}, and each must have 1 to {LONGEST_PRONUNCIATION} characters on one line"
            ));
        }
        if !seen.insert(written.trim().to_lowercase()) {
            return Err(format!("has {written:?} twice, for their case does not count"));
        }
    }
    Ok(())
}

/// The language that is to be found out.
pub const ANY_LANGUAGE: &str = "auto";

/// Whether this may be the language of an agent: ISO 639-1, or [`ANY_LANGUAGE`].
pub fn is_language(name: &str) -> bool {
    name == ANY_LANGUAGE || name.len() == 2 && name.bytes().all(|b| b.is_ascii_lowercase())
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

    #[test]
    fn pronunciations_have_bounds() {
        let words = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>()
        };
        assert!(check_pronunciations(&words(&[("Offhook", "off hook"), ("SQL", "sequel")])).is_ok());
        let long = "a".repeat(101);
        for wrong in [
            [(" ", "x")],
            [(".", "x")],
            [("x", "")],
            [("x", "a\nb")],
            [("x", long.as_str())],
            [(long.as_str(), "x")],
        ] {
            assert!(check_pronunciations(&words(&wrong)).is_err(), "{wrong:?}");
        }
        let twice = check_pronunciations(&words(&[("SQL", "sequel"), ("sql", "s q l")])).unwrap_err();
        assert!(twice.contains("twice"), "{twice}");
        let many: BTreeMap<_, _> = (0..201).map(|n| (n.to_string(), "x".to_owned())).collect();
        assert!(check_pronunciations(&many).is_err());
    }

    #[test]
    fn one_sentence_is_written_as_before_and_more_are_said_in_their_order() {
        let read = |text: &str| serde_json::from_str::<Sentences>(text);
        let one = read(r#""Hello?""#).unwrap();
        assert_eq!(serde_json::to_string(&one).unwrap(), r#""Hello?""#);
        assert_eq!((one.nth(0), one.nth(7)), ("Hello?", "Hello?"));
        let two = read(r#"["Hello?", "Bye?"]"#).unwrap();
        assert_eq!((two.nth(0), two.nth(1), two.nth(2)), ("Hello?", "Bye?", "Bye?"));
        assert!(one.check().is_ok() && two.check().is_ok());
        for wrong in [r#""""#, "[]", r#"["a", " "]"#, r#"["a", "a", "a", "a", "a", "a"]"#] {
            assert!(read(wrong).unwrap().check().is_err(), "{wrong}");
        }
        assert!(read("7").unwrap_err().to_string().contains("a sentence, or a list of sentences"));
    }
}
