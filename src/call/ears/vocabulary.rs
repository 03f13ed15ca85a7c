//! Words that callers are likely to say, told to a transcriber beforehand; and what comes of it where nobody speaks.

use models::Transcript;

/// So many bytes of vocabulary are told; Whisper has room for about 200 tokens in front of its words.
const MOST: usize = 500;
/// So many words in a row out of the vocabulary are no caller's: nobody recites the list.
const RECITED: usize = 4;
/// Fewer may be a caller's, unless the transcriber doubts that anybody spoke, or its own words.
const DOUBT_NO_SPEECH: f32 = 0.3;
const DOUBT_CONFIDENCE: f32 = -0.7;

/// What a transcriber is told before it hears: the words to expect, then what was said last.
pub(super) fn prompt(vocabulary: &[String], before: &str) -> Option<String> {
    let mut prompt = String::new();
    for word in vocabulary {
        if prompt.len() + word.len() > MOST {
            break;
        }
        let comma = if prompt.is_empty() { "" } else { ", " };
        prompt.push_str(comma);
        prompt.push_str(word);
    }
    if !prompt.is_empty() {
        prompt.push('.');
    }
    if !before.is_empty() {
        prompt.extend((!prompt.is_empty()).then_some(' '));
        prompt.push_str(before);
    }
    (!prompt.is_empty()).then_some(prompt)
}

/// Whether the words are those that were told and not those that were heard: what Whisper makes of noise.
pub(super) fn leaked(vocabulary: &[String], transcript: &Transcript) -> bool {
    let words = bare(&transcript.text);
    if vocabulary.is_empty() || words.is_empty() {
        return false;
    }
    let told: Vec<String> = vocabulary.iter().flat_map(|entry| bare(entry)).collect();
    let recited = told.windows(words.len()).any(|told| told == words);
    let doubted = transcript.no_speech > DOUBT_NO_SPEECH || transcript.confidence < DOUBT_CONFIDENCE;
    // A long name is one entry, and may be said.
    let one_entry = vocabulary.iter().any(|entry| bare(entry) == words);
    recited && (doubted || words.len() >= RECITED && !one_entry)
}

fn bare(text: &str) -> Vec<String> {
    let letters = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    let text: String = text.to_lowercase().chars().map(letters).collect();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_words_come_first_then_what_was_said() {
        assert_eq!(prompt(&[], ""), None);
        assert_eq!(prompt(&[], "I called you."), Some("I called you.".into()));
        let vocabulary = words(&["Grandstream", "Yealink"]);
        assert_eq!(prompt(&vocabulary, ""), Some("Grandstream, Yealink.".into()));
        assert_eq!(prompt(&vocabulary, "I called."), Some("Grandstream, Yealink. I called.".into()));
        assert!(prompt(&vec!["x".repeat(90); 100], "").unwrap().len() <= 520);
    }

    #[test]
    fn a_recited_list_is_not_what_a_caller_said() {
        let vocabulary =
            words(&["Grandstream", "Yealink", "Snom", "Polycom", "Fairfax County Public Library"]);
        let heard = |text: &str, no_speech, confidence| Transcript {
            text: text.into(),
            no_speech,
            confidence,
            ..Transcript::default()
        };
        for (text, no_speech, confidence, expected) in [
            ("Grandstream, Yealink, Snom, Polycom.", 0.0, -0.1, true),
            ("Yealink.", 0.0, -0.2, false),
            ("Yealink.", 0.6, -0.2, true),
            ("Yealink, Snom.", 0.0, -1.0, true),
            ("I have a Yealink and a Snom.", 0.6, -1.0, false),
            ("Fairfax County Public Library.", 0.0, -0.2, false),
            ("", 0.9, 0.0, false),
        ] {
            assert_eq!(leaked(&vocabulary, &heard(text, no_speech, confidence)), expected, "{text}");
        }
        assert!(!leaked(&[], &heard("Yealink.", 0.9, -2.0)));
    }
}
