//! Words that a contact may send instead of a message: to get no more, to get them again, to ask who writes.

use serde::{Deserialize, Serialize};

/// What a message asks for that is one of those words and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keyword {
    /// No more messages from this number.
    Stop,
    /// Messages again.
    Start,
    /// Who is this?
    Help,
}

/// Those that carriers of North America ask for (CTIA, Messaging Principles §5.1.3), and what people write in their place.
const STOP: [&str; 8] = ["stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"];
const START: [&str; 3] = ["start", "unstop", "optin"];
const HELP: [&str; 2] = ["help", "info"];
/// A longer text is a message, whatever is left of it without its signs.
const LONGEST: usize = 64;

impl Keyword {
    /// The word that a text is, whatever its case, with or without blanks and signs: `Stop.`, `"STOP ALL"`, `opt-out`. `stop_words` are
    /// the operator's own, in whichever language.
    pub fn of(text: &str, stop_words: &[String]) -> Option<Self> {
        let word = bare(text).filter(|word| !word.is_empty())?;
        let is = |list: &[&str]| list.contains(&word.as_str());
        if is(&STOP) || stop_words.iter().any(|one| bare(one).as_ref() == Some(&word)) {
            return Some(Keyword::Stop);
        }
        is(&START).then_some(Keyword::Start).or_else(|| is(&HELP).then_some(Keyword::Help))
    }
}

/// Letters and digits alone, in small letters; `None` where the text is too long to be a word.
fn bare(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() <= LONGEST)
        .then(|| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Keyword> {
        Keyword::of(text, &["STOPP".into(), "bitte aufhören".into()])
    }

    #[test]
    fn a_word_counts_in_any_case_and_with_any_signs() {
        for text in [
            "STOP",
            "stop",
            " Stop.\r\n",
            "\"STOP\"",
            "Stop!!!",
            "STOP ALL",
            "opt-out",
            "Unsubscribe",
            "End",
            "quit",
            "cancel",
        ] {
            assert_eq!(of(text), Some(Keyword::Stop), "{text}");
        }
        for text in ["START", "unstop", "Opt in"] {
            assert_eq!(of(text), Some(Keyword::Start), "{text}");
        }
        for text in ["HELP", "help?", "Info"] {
            assert_eq!(of(text), Some(Keyword::Help), "{text}");
        }
    }

    #[test]
    fn the_operators_own_words_count_as_well() {
        for text in ["Stopp", "Bitte aufhören!"] {
            assert_eq!(of(text), Some(Keyword::Stop), "{text}");
        }
    }

    #[test]
    fn a_sentence_is_none() {
        let long = format!("stop{}", ".".repeat(LONGEST));
        for text in
            ["", "...", "Please stop by at five.", "Don't stop", "yes", "The end", "Help me please", &long]
        {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
