//! Words that somebody wants said otherwise than they are written: "Offhook" as "off hook". They are replaced before anything else is
//! done to the text, and the place of each written word is kept.

use super::{Spoken, spoken};

/// How a voice says what is written: as its language does, but for some words.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Diction {
    /// ISO 639-1, with or without a country.
    language: String,
    words: Vec<Word>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Word {
    /// In small letters.
    written: Vec<char>,
    said: String,
}

/// What was put in the place of a word, in bytes of the new text and of the old.
struct Swap {
    begin: usize,
    end: usize,
    /// Where the written word ends.
    written: usize,
}

impl Diction {
    /// `words`: as they are written, and as they are said.
    pub fn new<'a>(language: &str, words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let word = |(written, said): (&str, &str)| Word {
            written: written.trim().chars().flat_map(char::to_lowercase).collect(),
            said: said.trim().to_owned(),
        };
        let mut words: Vec<_> = words.into_iter().map(word).filter(|word| !word.written.is_empty()).collect();
        // "New York City" before "New York".
        words.sort_by_key(|word| std::cmp::Reverse(word.written.len()));
        Self { language: language.to_owned(), words }
    }

    pub fn language(&self) -> &str {
        &self.language
    }

    /// What is said for a text.
    pub fn spoken(&self, written: &str) -> Spoken {
        let (text, swaps) = self.swapped(written);
        if swaps.is_empty() {
            return spoken(written, &self.language);
        }
        let said = spoken(&text, &self.language);
        let ends = said.ends.iter().filter_map(|(end, out)| Some((before(&swaps, *end)?, *out)));
        Spoken { ends: ends.collect(), text: said.text }
    }

    /// The text with its words replaced, whole words alone, whatever their case.
    fn swapped(&self, written: &str) -> (String, Vec<Swap>) {
        let (mut text, mut swaps) = (String::with_capacity(written.len()), Vec::new());
        let (mut at, mut last) = (0, None);
        while let Some(next) = written[at..].chars().next() {
            let found = self.words.iter().find_map(|word| Some((word, word.begins(last, &written[at..])?)));
            if let Some((word, length)) = found {
                let begin = text.len();
                text.push_str(&word.said);
                at += length;
                swaps.push(Swap { begin, end: text.len(), written: at });
                last = written[..at].chars().next_back();
            } else {
                text.push(next);
                at += next.len_utf8();
                last = Some(next);
            }
        }
        (text, swaps)
    }
}

/// The place in the old text of one in the new; none within what was put in.
fn before(swaps: &[Swap], at: usize) -> Option<usize> {
    let earlier = swaps.partition_point(|swap| swap.begin < at);
    let Some(swap) = earlier.checked_sub(1).and_then(|last| swaps.get(last)) else { return Some(at) };
    (at >= swap.end).then(|| swap.written + (at - swap.end))
}

impl Word {
    /// How many bytes at the beginning of `text` are this word, if a word may begin after `last` and this one ends there.
    fn begins(&self, last: Option<char>, text: &str) -> Option<usize> {
        let joins = |one: Option<&char>, other: Option<char>| {
            one.is_some_and(|c| c.is_alphanumeric()) && other.is_some_and(char::is_alphanumeric)
        };
        if joins(self.written.first(), last) {
            return None;
        }
        let mut wanted = self.written.iter();
        let mut length = 0;
        for next in text.chars() {
            for small in next.to_lowercase() {
                if wanted.next() != Some(&small) {
                    return None;
                }
            }
            length += next.len_utf8();
            if wanted.len() == 0 {
                let follows = text[length..].chars().next();
                return (!joins(self.written.last(), follows)).then_some(length);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [(&str, &str); 5] = [
        ("Offhook", "off hook"),
        ("SQL", "sequel"),
        ("Nguyen", "win"),
        ("C++", "C plus plus"),
        ("Offhook Box", "the box"),
    ];

    fn said(text: &str) -> String {
        Diction::new("en", WORDS).spoken(text).text
    }

    #[test]
    fn whole_words_are_said_otherwise_whatever_their_case() {
        assert_eq!(said("Welcome to Offhook."), "Welcome to off hook.");
        assert_eq!(said("OFFHOOK, offhook and Offhook's SQL!"), "off hook, off hook and off hook's sequel!");
        assert_eq!(said("MySQL, offhooks, preoffhook"), "MySQL, offhooks, preoffhook");
        assert_eq!(said("We speak C++ and SQLite."), "We speak C plus plus and SQLite.");
        assert_eq!(said("An Offhook Box costs $3."), "An the box costs three dollars.");
        assert_eq!(said("Über Offhook"), "Über off hook");
    }

    #[test]
    fn what_is_put_in_is_read_as_any_text() {
        let diction = Diction::new("en", [("HQ", "Dr. Smith"), ("x", "")]);
        assert_eq!(diction.spoken("Ask HQ at 10:30.").text, "Ask Doctor Smith at ten thirty.");
        assert_eq!(diction.spoken("x").text, "");
    }

    #[test]
    fn a_cut_falls_between_written_words() {
        let text = "Call Offhook, today.";
        let spoken = Diction::new("en", WORDS).spoken(text);
        let written = |until: &str| &text[..spoken.written_until(until.len())];
        assert_eq!(spoken.text, "Call off hook, today.");
        assert_eq!(written("Call off"), "Call", "half of it is none");
        assert_eq!(written("Call off hook,"), "Call Offhook,");
        assert_eq!(written(&spoken.text), text);
    }

    proptest! {
        #[test]
        fn places_stay_in_order_and_within_the_text(
            text in "(offhook|Offhook|SQL|c\\+\\+|ß|İ|é|[a-z .,0-9]){0,40}",
            said in "[a-z .]{0,12}",
        ) {
            let words = [("offhook", said.as_str()), ("sql", "sequel"), ("ß", "ss"), ("i", "eye")];
            let spoken = Diction::new("en", words).spoken(&text);
            prop_assert!(spoken.ends.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{:?}", spoken.ends);
            for at in 0..=spoken.text.len() {
                let written = spoken.written_until(at);
                prop_assert!(written <= text.len() && text.is_char_boundary(written), "{written} of {text:?}");
            }
        }

        #[test]
        fn without_words_nothing_changes(text in "\\PC{0,80}") {
            prop_assert_eq!(Diction::new("en", []).spoken(&text), spoken(&text, "en"));
        }
    }
}
