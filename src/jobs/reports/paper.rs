//! What a report is asked for with, and what is believed of the answer. Pure.
//!
//! The answer obeys a JSON schema where the brain can be held to one; the same is asked for in words, for brains that cannot. Either
//! way the answer is checked here. A small model is quick to invent a name or a number: what was not said in the call is left out.

use chrono::{DateTime, Utc};
use models::{ChatMessage, Priority, Prompt, Role, Sampling};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::{
    ANY_LANGUAGE, Achievement, Call, CallBack, CallReport, Direction, Fragment, Outcome, Private,
    ReportStatus, Speaker, Urgency,
};

/// Characters of a transcript that the local model is given: with the instructions and the answer they fit its context.
pub(super) const SHORT: usize = 3_200;
/// … and that others are.
pub(super) const LONG: usize = 24_000;
/// Reports share one place in the local model's memory of conversations, so that they drive no caller's out of it.
const SESSION: u64 = u64::MAX;
/// In tokens. More than the longest answer that the schema allows.
const LONGEST_ANSWER: u32 = 480;
/// Of an answer that was wrong so much is shown to who gave it, characters.
const SHOWN: usize = 600;

const SUMMARY: usize = 400;
const DETAILS: usize = 200;
const PHRASE: usize = 80;
const NAME: usize = 40;
const NUMBER: usize = 24;

const WORDS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// What the answer must look like. Flat, every field there, "" for what is not known: what even the smallest model can be held to.
pub(super) fn schema(has_objective: bool) -> Value {
    let text = |longest: usize| json!({ "type": "string", "maxLength": longest });
    let mut properties = json!({
        // Who is free to say nothing may take that way.
        "summary": { "type": "string", "minLength": 20, "maxLength": SUMMARY },
        "intent": text(PHRASE),
        "urgency": { "type": "string", "enum": ["low", "normal", "high"] },
        "spam": { "type": "boolean" },
        "caller_name": text(NAME),
        "call_back": { "type": "boolean" },
        "call_back_when": text(PHRASE),
        "call_back_number": text(NUMBER),
    });
    if has_objective {
        properties["outcome"] = json!({ "type": "string", "enum": ["achieved", "partial", "not_achieved"] });
        properties["outcome_details"] = text(DETAILS);
    }
    let required: Vec<_> =
        properties.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// `most`: characters of the transcript. `wrong`: an answer that could not be used, and why.
pub(super) fn prompt(call: &Call, report: &CallReport, most: usize, wrong: Option<(&str, &str)>) -> Prompt {
    let mut messages = vec![
        ChatMessage::new(Role::System, instructions(call, report)),
        ChatMessage::new(Role::User, format!("Transcript:\n{}", transcript(&call.transcript, most))),
    ];
    if let Some((answer, why)) = wrong {
        let shown: String = answer.chars().take(SHOWN).collect();
        messages.push(ChatMessage::new(Role::Assistant, shown));
        messages.push(ChatMessage::new(
            Role::User,
            format!("That cannot be used: {why}. Answer with the JSON object alone."),
        ));
    }
    Prompt {
        max_tokens: LONGEST_ANSWER,
        sampling: Sampling {
            // The same again would be wrong again.
            temperature: if wrong.is_some() { 0.5 } else { 0.0 },
            // A report repeats what was said.
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            ..Sampling::default()
        },
        priority: Priority::Background,
        session: SESSION,
        schema: Some(schema(report.objective.is_some())),
        ..Prompt::new(messages)
    }
}

fn instructions(call: &Call, report: &CallReport) -> String {
    let who = match call.direction {
        Direction::Inbound => "The caller has called the agent.",
        Direction::Outbound => "The agent has called; the other side is named the caller all the same.",
    };
    let mut text = format!(
        "You read the transcript of a phone call and write a report on it. {who} Answer with one JSON object and nothing else:\n\
         {{\"summary\": what the call was about and how it ended, one to three sentences,\n\
         \"intent\": what the caller wanted, a few words,\n\
         \"urgency\": \"low\", \"normal\" or \"high\",\n\
         \"spam\": true if the caller advertises, cheats or is a machine, else false,\n\
         \"caller_name\": the name that the caller gave, or \"\",\n\
         \"call_back\": true if the caller asks to be called back, else false,\n\
         \"call_back_when\": when, in the caller's words, or \"\",\n\
         \"call_back_number\": the number to call back, if the caller said one, or \"\""
    );
    if let Some(objective) = &report.objective {
        text += ",\n\"outcome\": \"achieved\", \"partial\" or \"not_achieved\": what came of the objective,\n\
                 \"outcome_details\": why, one sentence}\n";
        text += &format!("The objective of the call was: {}\n", objective.reveal());
    } else {
        text += "}\n";
    }
    let language = match report.language.as_str() {
        ANY_LANGUAGE => "the caller's",
        language => language,
    };
    text + &format!("Report only what was said. The language of the report is {language}.")
}

/// As lines; of a long one the beginning and the end.
fn transcript(fragments: &[Fragment], most: usize) -> String {
    let line = |fragment: &Fragment| {
        let who = if fragment.speaker == Speaker::Agent { "Agent" } else { "Caller" };
        format!("{who}: {}\n", fragment.text.reveal())
    };
    let whole: String = fragments.iter().map(line).collect();
    let length = whole.chars().count();
    if length <= most {
        return whole;
    }
    // Who calls says at the beginning what it is about; how it ended stands at the end.
    let (head, tail) = (most / 3, most - most / 3);
    let head: String = whole.chars().take(head).collect();
    let tail: String = whole.chars().skip(length - tail).collect();
    format!("{head} […]\n[…] {tail}")
}

/// The answer, as it is to look.
#[derive(Deserialize)]
struct Answer {
    summary: String,
    #[serde(default)]
    intent: Option<String>,
    urgency: Urgency,
    spam: bool,
    #[serde(default)]
    caller_name: Option<String>,
    #[serde(default)]
    call_back: bool,
    #[serde(default)]
    call_back_when: Option<String>,
    #[serde(default)]
    call_back_number: Option<String>,
    #[serde(default)]
    outcome: Option<Achievement>,
    #[serde(default)]
    outcome_details: Option<String>,
}

/// The report that an answer amounts to; or what is wrong with the answer.
pub(super) fn read(
    answer: &str,
    call: &Call,
    pending: &CallReport,
    now: DateTime<Utc>,
) -> Result<CallReport, String> {
    // Who cannot be held to the schema may put a fence or a word of politeness around it.
    let object = answer.find('{').zip(answer.rfind('}')).filter(|(from, to)| from < to);
    let (from, to) = object.ok_or("there is no JSON object in it")?;
    let answer: Answer = serde_json::from_str(&answer[from..=to]).map_err(|error| error.to_string())?;
    let summary = some(Some(answer.summary), SUMMARY).ok_or("\"summary\" is empty")?;
    let outcome = match (&pending.objective, answer.outcome) {
        (None, _) => None,
        (Some(_), None) => return Err("\"outcome\" is missing".into()),
        (Some(_), Some(result)) => {
            let details = some(answer.outcome_details, DETAILS).unwrap_or_default();
            Some(Outcome { result, details })
        }
    };
    let call_back = answer.call_back.then(|| CallBack {
        when: some(answer.call_back_when, PHRASE).filter(|when| was_said(when.reveal(), call)),
        number: some(answer.call_back_number, NUMBER).filter(|number| was_dictated(number.reveal(), call)),
    });
    Ok(CallReport {
        status: ReportStatus::Ready,
        summary: Some(summary),
        intent: some(answer.intent, PHRASE),
        urgency: Some(answer.urgency),
        spam: Some(answer.spam),
        caller_name: some(answer.caller_name, NAME)
            .filter(|name| is_name(name.reveal()) && was_said(name.reveal(), call)),
        call_back,
        outcome,
        written_at: Some(now),
        ..pending.clone()
    })
}

/// A text with something in it, cut to its length.
fn some(text: Option<String>, most: usize) -> Option<Private<String>> {
    let text = text.unwrap_or_default();
    let text: String = text.trim().chars().take(most).collect();
    let says_nothing =
        ["", "none", "unknown", "n/a", "null", "not given"].contains(&text.to_lowercase().as_str());
    (!says_nothing).then(|| Private::new(text))
}

/// Rather than a sentence in which one is said.
fn is_name(text: &str) -> bool {
    text.split_whitespace().count() <= 5 && !text.contains([',', '?', '!'])
}

/// Whether each word of it fell in the call.
fn was_said(text: &str, call: &Call) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let said: Vec<_> = call.transcript.iter().flat_map(|fragment| words(fragment.text.reveal())).collect();
    words(text).iter().all(|word| said.contains(word))
}

/// Whether its digits were said or pressed one after the other, in figures or in words, or are the end of a number of the call.
fn was_dictated(number: &str, call: &Call) -> bool {
    let figures = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let wanted = figures(number);
    let said: String =
        call.transcript.iter().map(|fragment| spoken_figures(fragment.text.reveal())).collect();
    let is_said = || said.contains(&wanted) || figures(call.digits.reveal()).contains(&wanted);
    let is_of_the_call =
        || [&call.from, &call.to].iter().any(|known| figures(known.reveal()).ends_with(&wanted));
    wanted.len() >= 3 && (is_said() || is_of_the_call())
}

fn spoken_figures(text: &str) -> String {
    let word = |word: &str| {
        let word = word.to_lowercase();
        match WORDS.iter().position(|name| *name == word) {
            Some(digit) => digit.to_string(),
            None if word == "oh" => "0".into(),
            None => word.chars().filter(char::is_ascii_digit).collect(),
        }
    };
    text.split(|c: char| !c.is_alphanumeric()).map(word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{BrainChoice, CallId};

    fn call(lines: &[(Speaker, &str)]) -> Call {
        let transcript = lines.iter().enumerate().map(|(n, (speaker, text))| Fragment {
            speaker: *speaker,
            text: Private::new((*text).to_owned()),
            at_ms: n as u64 * 1000,
            interrupted: false,
        });
        let (from, to) = ("+14155550123".into(), "+15550100001".into());
        let empty =
            Call::new(CallId::from_random([1; 10]), Direction::Inbound, from, to, DateTime::UNIX_EPOCH);
        Call { transcript: transcript.collect(), ..empty }
    }

    fn dentist() -> Call {
        call(&[
            (Speaker::Agent, "Hello, how can I help you?"),
            (Speaker::Caller, "This is Ann Miller. Please call me back tomorrow at five five five, 0199."),
            (Speaker::Agent, "We will, Mrs. Miller."),
        ])
    }

    fn pending(objective: Option<&str>) -> CallReport {
        CallReport::pending(BrainChoice::Local, "en".into(), objective.map(Into::into))
    }

    fn answer() -> Value {
        json!({
            "summary": "Ann Miller asked to be called back.", "intent": "a call back", "urgency": "normal", "spam": false,
            "caller_name": "Ann Miller", "call_back": true, "call_back_when": "tomorrow", "call_back_number": "555-0199",
        })
    }

    fn read_it(answer: &str, objective: Option<&str>) -> Result<CallReport, String> {
        read(answer, &dentist(), &pending(objective), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_answer_becomes_a_report() {
        let report = read_it(&answer().to_string(), None).unwrap();
        assert_eq!(
            (report.status, report.urgency, report.spam),
            (ReportStatus::Ready, Some(Urgency::Normal), Some(false))
        );
        assert_eq!(report.caller_name.as_ref().unwrap().reveal(), "Ann Miller");
        let back = report.call_back.unwrap();
        assert_eq!(back.when.unwrap().reveal(), "tomorrow");
        assert_eq!(back.number.unwrap().reveal(), "555-0199");
        assert_eq!((report.outcome, report.tokens), (None, 0));
    }

    #[test]
    fn what_nobody_said_is_left_out() {
        let mut answer = answer();
        answer["caller_name"] = "This is Ann Miller. Please call me".into();
        assert_eq!(read_it(&answer.to_string(), None).unwrap().caller_name, None, "no name");
        answer["caller_name"] = "John Smith".into();
        answer["call_back_when"] = "next Friday".into();
        answer["call_back_number"] = "555-0100 200".into();
        answer["intent"] = "  ".into();
        let report = read_it(&answer.to_string(), None).unwrap();
        assert_eq!((report.caller_name, report.intent), (None, None));
        assert_eq!(report.call_back, Some(CallBack::default()));
        // The number of the call itself need not be said.
        answer["call_back_number"] = "415 555 0123".into();
        assert!(read_it(&answer.to_string(), None).unwrap().call_back.unwrap().number.is_some());
        answer["call_back"] = false.into();
        assert_eq!(read_it(&answer.to_string(), None).unwrap().call_back, None);
    }

    #[test]
    fn an_objective_has_an_outcome() {
        let mut answer = answer();
        assert!(
            read_it(&answer.to_string(), Some("Remind of the appointment.")).unwrap_err().contains("outcome")
        );
        answer["outcome"] = "not_achieved".into();
        answer["outcome_details"] = "She wants to be called back.".into();
        let report = read_it(&answer.to_string(), Some("Remind of the appointment.")).unwrap();
        assert_eq!(report.outcome.unwrap().result, Achievement::NotAchieved);
        assert_eq!(read_it(&answer.to_string(), None).unwrap().outcome, None);
    }

    #[test]
    fn a_fence_is_looked_through_and_nonsense_is_told() {
        let fenced = format!("Sure!\n```json\n{}\n```", answer());
        assert!(read_it(&fenced, None).is_ok());
        for (nonsense, why) in [
            ("I cannot do that.", "no JSON object"),
            ("}{", "no JSON object"),
            ("{\"summary\": \"x\"}", "urgency"),
            ("{\"summary\": \"x\", \"urgency\": \"very\", \"spam\": false}", "very"),
            ("{\"summary\": \"\", \"urgency\": \"low\", \"spam\": false}", "summary"),
        ] {
            let told = read_it(nonsense, None).unwrap_err();
            assert!(told.contains(why), "{nonsense:?}: {told}");
        }
    }

    #[test]
    fn the_prompt_holds_the_schema_the_objective_and_what_was_wrong() {
        let (call, report) = (dentist(), pending(Some("Sell a bun.")));
        let asked = prompt(&call, &report, SHORT, None);
        assert!(asked.messages[0].content.contains("Sell a bun."));
        assert!(asked.messages[1].content.contains("Caller: This is Ann Miller."));
        let schema = asked.schema.unwrap();
        assert!(schema["required"].as_array().unwrap().contains(&"outcome".into()));
        assert_eq!(asked.priority, Priority::Background);
        let again = prompt(&call, &report, SHORT, Some(("Sure!", "there is no JSON object in it")));
        assert_eq!(again.messages.len(), 4);
        assert!(again.messages[3].content.contains("there is no JSON object in it"));
        let plain = prompt(&call, &pending(None), SHORT, None);
        assert!(!plain.messages[0].content.contains("outcome"));
    }

    #[test]
    fn of_a_long_call_the_beginning_and_the_end_are_read() {
        let first = (Speaker::Caller, "I call about the roof.");
        let middle = (Speaker::Agent, "Let me tell you everything that there is to know about roofs.");
        let last = (Speaker::Caller, "So nobody will come.");
        let lines: Vec<_> = std::iter::once(first).chain([middle; 200]).chain([last]).collect();
        let text = transcript(&call(&lines).transcript, SHORT);
        assert!(
            text.chars().count() < SHORT + 20
                && text.contains("the roof.")
                && text.contains("nobody will come.")
        );
    }

    proptest! {
        /// Whatever a brain says, it is a report or a reason.
        #[test]
        fn nothing_that_is_answered_breaks_it(text in "\\PC{0,80}", urgency in "low|high|x", name in "\\PC{0,200}") {
            let _ = read_it(&text, None);
            let answer = json!({ "summary": text, "urgency": urgency, "spam": false, "caller_name": name });
            if let Ok(report) = read_it(&answer.to_string(), None) {
                prop_assert_eq!(report.status, ReportStatus::Ready);
                prop_assert!(report.summary.unwrap().reveal().chars().count() <= SUMMARY);
            }
        }
    }
}
