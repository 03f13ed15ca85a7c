//! What words tell about the floor: is the sentence finished, was it more than a nod, how much of it was heard.

use std::time::Duration;

use models::spoken;

/// How finished an utterance sounds, from its text alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Completeness {
    Complete,
    Unsure,
    /// It ends in a way that asks for more: a conjunction, a filler, digits being dictated.
    Trailing,
}

/// Words after which a speaker goes on.
const OPEN_ENDED: &[&str] = &[
    "and", "or", "but", "so", "because", "if", "when", "that", "with", "to", "for", "of", "the", "a", "an",
    "my", "is", "um", "uh", "er", "hmm", "like", "then", "at", "in", "on", "from", "about", "than", "also",
    "well",
];

/// What a listener says without wanting the floor.
const BACK_CHANNELS: &[&str] = &[
    "mm-hm",
    "mm-hmm",
    "mhm",
    "mm",
    "mmm",
    "hm",
    "hmm",
    "uh-huh",
    "uhuh",
    "uh",
    "um",
    "yeah",
    "yep",
    "yes",
    "ok",
    "okay",
    "right",
    "ah",
    "oh",
    "sure",
    "aha",
    "huh",
    "i see",
    "got it",
    "all right",
    "alright",
];

pub(super) fn completeness(text: &str) -> Completeness {
    let trimmed = text.trim_end();
    let last = trimmed.rsplit(char::is_whitespace).next().unwrap_or_default();
    let bare = last.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let dictating = trimmed.split_whitespace().count() <= 4
        && !trimmed.ends_with('?')
        && bare.bytes().filter(u8::is_ascii_digit).count() * 2 > bare.len();
    if trimmed.ends_with("...")
        || trimmed.ends_with('…')
        || trimmed.ends_with(',')
        || trimmed.ends_with('-')
        || dictating
    {
        return Completeness::Trailing;
    }
    if OPEN_ENDED.contains(&bare.as_str()) && !trimmed.ends_with('?') {
        return Completeness::Trailing;
    }
    if trimmed.ends_with(['.', '!', '?']) { Completeness::Complete } else { Completeness::Unsure }
}

/// Sound that a transcriber puts in brackets or stars is no word.
pub(super) fn spoken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut closing = None;
    for c in text.chars() {
        match (closing, c) {
            (Some(end), _) if c == end => closing = None,
            (Some(_), _) => {}
            (None, '[') => closing = Some(']'),
            (None, '(') => closing = Some(')'),
            (None, '*') => closing = Some('*'),
            (None, '♪') => {}
            (None, _) => out.push(c),
        }
    }
    let words: Vec<_> = out.split_whitespace().collect();
    if words.iter().any(|word| word.chars().any(char::is_alphanumeric)) {
        words.join(" ")
    } else {
        String::new()
    }
}

/// Nothing, or no more than a nod.
pub(super) fn is_back_channel(text: &str) -> bool {
    let lower = text.to_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_alphanumeric());
    let nod = |words: &str| BACK_CHANNELS.contains(&words.trim_matches(|c: char| !c.is_alphanumeric()));
    bare.is_empty() || nod(bare) || bare.split([' ', ',', '.']).filter(|word| !word.is_empty()).all(nod)
}

/// Joins what was said before a pause to what was said after it.
pub(super) fn join(before: &str, after: &str) -> String {
    match (before.trim(), after.trim()) {
        ("", after) => after.to_owned(),
        (before, "") => before.to_owned(),
        (before, after) => format!("{before} {after}"),
    }
}

/// The words of `text` whose sound had left when `played` of `whole` had: cut between written words, never above. What is
/// written short may be long to say, so the share is one of the spoken words.
pub(super) fn heard_part<'a>(text: &'a str, language: &str, played: Duration, whole: Duration) -> &'a str {
    if played >= whole {
        return text;
    }
    let said = spoken::spoken(text, language);
    let share = played.as_secs_f64() / whole.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a short text"
    )]
    let reach = (share * said.text.len() as f64) as usize;
    text[..said.written_until(reach)].trim_end()
}

/// How long a text takes to say where its sound is not yet known: about 15 letters a second.
pub(super) fn estimated_duration(text: &str) -> Duration {
    Duration::from_millis(66 * text.chars().count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_judged_by_how_they_end() {
        for (text, expected) in [
            ("What time do you open?", Completeness::Complete),
            ("I would like an appointment.", Completeness::Complete),
            ("I would like an appointment and", Completeness::Trailing),
            ("I would like an appointment, um.", Completeness::Trailing),
            ("My number is 415.", Completeness::Trailing),
            ("555", Completeness::Trailing),
            ("Well...", Completeness::Trailing),
            ("I would like to", Completeness::Trailing),
            ("on Monday morning", Completeness::Unsure),
        ] {
            assert_eq!(completeness(text), expected, "{text}");
        }
    }

    #[test]
    fn nods_and_noises_are_not_words() {
        for text in ["Mm-hmm.", "Yeah.", "Okay, yeah.", "", " . ", "Uh-huh", "I see."] {
            assert!(is_back_channel(&spoken(text)), "{text}");
        }
        for text in ["No, wait.", "Yes, but I need Tuesday.", "Stop"] {
            assert!(!is_back_channel(text), "{text}");
        }
        assert_eq!(spoken("[BLANK_AUDIO]"), "");
        assert_eq!(spoken("(coughing) Hello *sigh* there"), "Hello there");
    }

    #[test]
    fn a_cut_falls_between_words() {
        let text = "We are open from nine to five.";
        let whole = Duration::from_secs(3);
        assert_eq!(heard_part(text, "en", Duration::ZERO, whole), "");
        assert_eq!(heard_part(text, "en", Duration::from_millis(1500), whole), "We are open");
        assert_eq!(heard_part(text, "en", whole, whole), text);
        let (half, whole) = (Duration::from_millis(500), Duration::from_secs(1));
        assert_eq!(heard_part("Grüße aus Köln", "de", half, whole), "Grüße");
        // The price takes most of the time, and half of it was not heard.
        assert_eq!(heard_part("That is $345.67 today.", "en", half, whole), "That is");
    }
}
