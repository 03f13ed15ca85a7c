//! `[[agent]]`: who answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::file::Section;
use crate::domain::{
    AtVoicemail, BrainChoice, ContextWebhook, Filler, Sentences, Tools, Voicemail, check_pronunciations,
    is_language,
};

#[derive(Clone, PartialEq, Debug)]
pub struct Example {
    pub user: String,
    pub agent: String,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Agent {
    pub name: String,
    pub prompt: String,
    /// Exchanges put in front of the conversation, from which a small model learns the tone.
    pub examples: Vec<Example>,
    pub first_message: String,
    /// Said when the gateway or the agent ends the call.
    pub goodbye: String,
    /// Said when the brain or the speech fails.
    pub apology: String,
    /// Said into the caller's silence, one after another.
    pub still_there: Sentences,
    /// Said when a transfer came to nothing and the agent has the caller again.
    pub transfer_failed: String,
    pub brain: BrainChoice,
    pub voice: Option<String>,
    pub speed: f32,
    pub language: String,
    /// An answer that holds one of these ends the call when it has been said.
    pub end_call_phrases: Vec<String>,
    pub max_tokens: u32,
    pub temperature: f32,
    pub top_p: f32,
    pub repeat_penalty: f32,
    /// Thinks where the brain has failed in a call.
    pub fallback_brain: Option<BrainChoice>,
    pub tools: Tools,
    /// Words that callers are likely to say.
    pub vocabulary: Vec<String>,
    /// Words that are said otherwise than they are written.
    pub pronunciations: BTreeMap<String, String>,
    /// Factor of the pauses that the agent waits.
    pub patience: f32,
    pub volume_db: f32,
    pub filler: Filler,
    pub voicemail: Voicemail,
    pub context_webhook: Option<ContextWebhook>,
    /// Said first where the call is recorded and the greeting does not say so.
    pub disclosure: String,
    /// Said when the call has a minute left.
    pub time_warning: String,
    /// Silence of the caller before `still_there`; absent: as `turn_taking.idle_s` says.
    pub idle: Option<Duration>,
    /// What calls are for; their reports say whether it was achieved.
    pub objective: Option<String>,
    /// Whether a report is written after each call.
    pub report: bool,
}

impl Default for Agent {
    fn default() -> Self {
        Self::speaking("en")
    }
}

impl Agent {
    /// All but what is said, which depends on the language.
    pub(super) fn silent() -> Self {
        Self {
            name: String::new(),
            prompt: "You answer the phone. Be friendly and brief.".into(),
            examples: Vec::new(),
            first_message: String::new(),
            goodbye: String::new(),
            apology: String::new(),
            still_there: Sentences::default(),
            transfer_failed: String::new(),
            brain: BrainChoice::Local,
            voice: None,
            speed: 1.0,
            language: "en".into(),
            end_call_phrases: Vec::new(),
            max_tokens: 120,
            temperature: 0.3,
            top_p: 0.9,
            repeat_penalty: 1.15,
            fallback_brain: None,
            tools: Tools::default(),
            vocabulary: Vec::new(),
            pronunciations: BTreeMap::new(),
            patience: 1.0,
            volume_db: 0.0,
            filler: Filler::default(),
            voicemail: Voicemail::default(),
            context_webhook: None,
            disclosure: String::new(),
            time_warning: String::new(),
            idle: None,
            objective: None,
            report: true,
        }
    }
}

pub(super) fn agent(s: Section) -> Agent {
    let default = Agent::speaking(&language(&s).unwrap_or_else(|| "en".into()));
    let filled = default.clone().filling(s.group("filler")).filler;
    let thinks = brain(&s, "brain").unwrap_or(BrainChoice::Local);
    let examples = s.sections("examples").into_iter().map(example).collect();
    let agent = Agent {
        name: s.required("name", "a name of your choice, to be used in number.agent"),
        prompt: s.text("prompt").unwrap_or(default.prompt),
        examples,
        first_message: s.text("first_message").unwrap_or(default.first_message),
        goodbye: s.text("goodbye").unwrap_or(default.goodbye),
        apology: s.text("apology").unwrap_or(default.apology),
        still_there: s.sentences("still_there").unwrap_or(default.still_there),
        transfer_failed: s.text("transfer_failed").unwrap_or(default.transfer_failed),
        brain: thinks,
        voice: s.text("voice"),
        speed: s.number("speed", default.speed, 0.5, 2.0),
        language: default.language,
        end_call_phrases: s.texts("end_call_phrases", &[]),
        max_tokens: u32::try_from(s.count("max_tokens", default.max_tokens.into(), 1, 4096)).unwrap_or(120),
        temperature: s.number("temperature", default.temperature, 0.0, 2.0),
        top_p: s.number("top_p", default.top_p, 0.0, 1.0),
        repeat_penalty: s.number("repeat_penalty", default.repeat_penalty, 1.0, 2.0),
        fallback_brain: brain(&s, "fallback_brain"),
        tools: tools(&s),
        vocabulary: s.texts("vocabulary", &[]),
        pronunciations: s.group("pronunciations").unwrap_or_default(),
        patience: s.number("patience", default.patience, 0.5, 3.0),
        volume_db: s.number("volume_db", default.volume_db, -20.0, 6.0),
        filler: filled,
        voicemail: s.group("voicemail").unwrap_or(default.voicemail),
        context_webhook: s.group("context_webhook"),
        disclosure: s.text("disclosure").unwrap_or(default.disclosure),
        time_warning: s.text("time_warning").unwrap_or(default.time_warning),
        idle: s.has("idle_s").then(|| s.seconds("idle_s", Duration::from_secs(12), 3, 600)),
        objective: s.text("objective"),
        report: s.flag("report", default.report),
    };
    let voicemail = &agent.voicemail;
    if voicemail.then == AtVoicemail::LeaveMessage && voicemail.message.trim().is_empty() {
        s.wrong("voicemail.message", "is empty, and then = \"leave_message\" needs one to leave");
    }
    if let Some(timeout) = agent.context_webhook.as_ref().map(|webhook| webhook.timeout_ms)
        && !ContextWebhook::TIMEOUT_MS.contains(&timeout)
    {
        let (least, most) = ContextWebhook::TIMEOUT_MS.into_inner();
        s.wrong("context_webhook.timeout_ms", format!("is {timeout}, and must be from {least} to {most}"));
    }
    if let Err(wrong) = agent.filler.check() {
        s.wrong("filler", wrong);
    }
    if let Err(wrong) = check_pronunciations(&agent.pronunciations) {
        s.wrong("pronunciations", wrong);
    }
    if let Err(wrong) = agent.still_there.check() {
        s.wrong("still_there", wrong);
    }
    s.finish();
    agent
}

fn tools(s: &Section) -> Tools {
    let tools = s.group::<Tools>("tools").unwrap_or_default();
    if let Err(wrong) = tools.check() {
        s.wrong("tools", wrong);
    }
    tools
}

fn language(s: &Section) -> Option<String> {
    let name = s.text("language")?;
    if !is_language(&name) {
        s.wrong(
            "language",
            format!("is {name:?}, and must be two letters of ISO 639-1, as in \"en\", or \"auto\""),
        );
    }
    Some(name)
}

/// "local", or the name of a `[[brain]]`.
fn brain(s: &Section, key: &'static str) -> Option<BrainChoice> {
    let name = s.text(key)?;
    Some(if name == "local" { BrainChoice::Local } else { BrainChoice::Configured { name } })
}

fn example(s: Section) -> Example {
    let example = Example {
        user: s.required("user", "what a caller says"),
        agent: s.required("agent", "what the agent answers"),
    };
    s.finish();
    example
}
