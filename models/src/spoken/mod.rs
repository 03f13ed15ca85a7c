//! What is written, as people say it: "Dr. Smith owes $3.50 at 10:30" becomes "Doctor Smith owes three dollars and fifty
//! cents at ten thirty".
//!
//! A voice is given the spoken form; transcript and history keep the written one. So [`Spoken`] also knows which written
//! words are out when the sound was cut somewhere in the spoken text.
//!
//! What a token is (a number, a time, money, an address) is told in [`read`] in the same way for all languages; what is
//! said for it stands in one [`Tongue`] per language, as tables and a few functions. A language without one is left as it
//! is written: a voice knows some of it by itself.

mod address;
mod amount;
mod diction;
mod english;
mod french;
mod german;
mod number;
mod read;
mod spanish;
mod tongue;

#[cfg(test)]
mod tests;

pub use diction::Diction;
use read::Reader;
use tongue::Tongue;

/// A written text in the words that are said for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spoken {
    pub text: String,
    /// Where words end, in bytes: in the written text, and in `text`. What is said as one has one entry.
    ends: Vec<(usize, usize)>,
}

impl Spoken {
    /// How much of the written text is out, in bytes, when so many bytes of the spoken one are: whole words, never above.
    pub fn written_until(&self, spoken: usize) -> usize {
        let out = self.ends.partition_point(|(_, end)| *end <= spoken);
        out.checked_sub(1).map_or(0, |last| self.ends[last].0)
    }

    /// The spoken text in parts of at most `most` bytes, cut between words where there are any.
    pub fn parts(&self, most: usize) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut rest = self.text.as_str();
        while rest.len() > most {
            let edge = (0..=most.max(4)).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let at = rest[..edge].rfind(' ').filter(|at| *at > 0).unwrap_or(edge);
            parts.push(rest[..at].trim());
            rest = rest[at..].trim_start();
        }
        parts.push(rest);
        parts.retain(|part| !part.is_empty());
        parts
    }
}

/// What a voice of this language says for a text. `language`: ISO 639-1, with or without a country.
pub fn spoken(written: &str, language: &str) -> Spoken {
    match tongue(language) {
        Some(tongue) => Reader::new(tongue, written).read(),
        None => as_it_is(written),
    }
}

fn tongue(language: &str) -> Option<&'static Tongue> {
    match language.get(..2)?.to_ascii_lowercase().as_str() {
        "en" => Some(&english::ENGLISH),
        "de" => Some(&german::GERMAN),
        "es" => Some(&spanish::SPANISH),
        "fr" => Some(&french::FRENCH),
        _ => None,
    }
}

fn as_it_is(written: &str) -> Spoken {
    let ends = words(written).map(|(_, end)| (end, end)).collect();
    Spoken { text: written.to_owned(), ends }
}

/// Where the words of a text begin and end, in bytes.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let place = move |word: &str| word.as_ptr().addr() - text.as_ptr().addr();
    text.split_whitespace().map(move |word| (place(word), place(word) + word.len()))
}
