//! Has the caller finished? What the words alone tell: how they end, digits being dictated, a moment asked for.

mod lexicon;

use lexicon::Lexicon;

/// How finished an utterance is, from its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Completeness {
    Complete,
    Unsure,
    /// It ends in a way that asks for more: a conjunction, a filler, a comma.
    Trailing,
    /// A number or a name is being dictated, and may not be whole.
    Dictating,
    /// The caller asks for a moment.
    HoldOn,
}

/// Digits of a number after which nothing more is to be expected: those of a telephone number with its area.
const WHOLE_NUMBER: usize = 10;
/// Words of a request for a moment, with what is said around it: "Hold on, let me get my card, please."
const SHORT: usize = 8;
/// Words of an answer that is hardly more than the number in it.
const TERSE: usize = 4;

/// `language`: ISO 639-1; of another than the four that are known here, the marks alone are judged, and so they are of "auto".
pub(super) fn completeness(text: &str, language: &str) -> Completeness {
    let text =
        text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '”' | '\'' | ')' | '»'));
    let lexicon = Lexicon::of(language);
    let words: Vec<String> = text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    let Some(last) = words.last() else { return Completeness::Unsure };
    let unended = text.ends_with("...") || text.ends_with(['…', ',', '-', '–', '—', ':', '、', '，']);
    let is_answer = words.len() <= 3 && words.iter().all(|word| lexicon.answers.contains(&word.as_str()));
    if is_answer && !unended {
        return Completeness::Complete;
    }
    if !text.ends_with(['?', '？']) {
        if asks_for_a_moment(&words, lexicon) {
            return Completeness::HoldOn;
        }
        if let Some(completeness) = dictation(text, &words, lexicon) {
            return completeness;
        }
        if unended || lexicon.goes_on_after(last) || ends_with_any(&words, lexicon.unfinished) {
            return Completeness::Trailing;
        }
    }
    let ended = text.ends_with(['.', '!', '?', '。', '！', '？']);
    if ended { Completeness::Complete } else { Completeness::Unsure }
}

/// Lower case, without what stands around a word.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('’', "'")
}

fn ends_with(words: &[String], phrase: &str) -> bool {
    let count = phrase.split(' ').count();
    words.len() >= count && words[words.len() - count..].iter().eq(phrase.split(' '))
}

fn ends_with_any(words: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| ends_with(words, phrase))
}

fn asks_for_a_moment(words: &[String], lexicon: &Lexicon) -> bool {
    let polite = words.last().is_some_and(|word| lexicon.please.contains(&word.as_str()));
    let words = if polite { &words[..words.len() - 1] } else { words };
    let alone = words.len() == 1 && lexicon.wait.contains(&words[0].as_str());
    let begins = |phrase: &str| words.iter().zip(phrase.split(' ')).all(|(word, wanted)| word == wanted);
    let within = |phrase: &str| words.len() >= phrase.split(' ').count() && begins(phrase);
    alone
        || ends_with_any(words, lexicon.moment)
        || (words.len() <= SHORT && lexicon.moment.iter().any(|phrase| within(phrase)))
}

/// "B as in boy".
fn spells(words: &[String], lexicon: &Lexicon) -> bool {
    let Some((_, before)) = words.split_last() else { return false };
    let count = lexicon.spelled_as.split(' ').count();
    let letter = before.len().checked_sub(count + 1).map(|at| &before[at]);
    ends_with(before, lexicon.spelled_as) && letter.is_some_and(|letter| letter.chars().count() == 1)
}

/// What a word is to somebody who writes down what is dictated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// So many digits.
    Digits(usize),
    /// A word that is a digit, and may be much else.
    Numeral,
    /// A letter, or several with hyphens between them.
    Letters(usize),
    Other,
}

/// Where the text ends in digits or letters one after the other. `None`: it does not, or they are no dictation.
fn dictation(text: &str, words: &[String], lexicon: &Lexicon) -> Option<Completeness> {
    let raw: Vec<&str> =
        text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
    let pieces = raw.iter().zip(words).rev().map(|(raw, word)| piece(raw, word, lexicon));
    let tail: Vec<Piece> = pieces.take_while(|piece| *piece != Piece::Other).collect();
    if spells(words, lexicon) {
        return Some(Completeness::Dictating);
    }
    let (mut digits, mut letters) = (0, 0);
    for piece in &tail {
        match piece {
            Piece::Digits(n) => digits += n,
            Piece::Numeral => digits += 1,
            Piece::Letters(n) => letters += n,
            Piece::Other => {}
        }
    }
    if digits + letters == 0 || tail == [Piece::Numeral] {
        return None;
    }
    let before = &words[..words.len() - tail.len()];
    let announced = before.iter().any(|word| lexicon.announces.contains(&word.as_str()));
    match (digits, letters) {
        (WHOLE_NUMBER.., _) => Some(Completeness::Unsure),
        (_, 2..) => Some(Completeness::Dictating),
        // "25": an age, a quantity; but who reads out a number in pairs goes on.
        (1..=2, _) if tail.len() == 1 && !announced => (words.len() <= TERSE).then_some(Completeness::Unsure),
        (1.., _) if announced || tail.len() >= 2 || words.len() <= TERSE => Some(Completeness::Dictating),
        _ => None,
    }
}

fn piece(raw: &str, word: &str, lexicon: &Lexicon) -> Piece {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    if digits > 0 {
        // Times, amounts, ordinals are said as a whole.
        let whole = raw.contains([':', '$', '€', '£', '%']) || digits * 2 <= word.chars().count();
        return if whole { Piece::Other } else { Piece::Digits(digits) };
    }
    if lexicon.digits.contains(&word) {
        return Piece::Numeral;
    }
    let letters: Vec<&str> = word.split(['-', '.']).filter(|part| !part.is_empty()).collect();
    let single = letters.iter().all(|letter| letter.chars().count() == 1);
    let is_word = letters.len() == 1 && lexicon.letters_that_are_words.contains(&word);
    if single && !is_word && !letters.is_empty() { Piece::Letters(letters.len()) } else { Piece::Other }
}

#[cfg(test)]
mod tests {
    use super::Completeness::{Complete, Dictating, HoldOn, Trailing, Unsure};
    use super::*;

    fn check(language: &str, cases: &[(&str, Completeness)]) {
        for (text, expected) in cases {
            assert_eq!(completeness(text, language), *expected, "{language}: {text}");
        }
    }

    #[test]
    fn english_is_judged_by_how_it_ends() {
        check(
            "en",
            &[
                ("What time do you open?", Complete),
                ("I would like an appointment.", Complete),
                ("I would like an appointment and", Trailing),
                ("I would like an appointment, um.", Trailing),
                ("I would like to", Trailing),
                ("I would like to.", Trailing),
                ("Well...", Trailing),
                ("Well,", Trailing),
                ("My name is", Trailing),
                ("I think I'm", Trailing),
                ("For example.", Trailing),
                ("Excuse me.", Trailing),
                ("Excuse me?", Complete),
                ("on Monday morning", Unsure),
                ("Yes", Complete),
                ("no thank you", Complete),
                ("What is it for?", Complete),
                ("Where are you from?", Complete),
                ("I was born in 1985.", Complete),
                ("Can we say 10:30?", Complete),
                ("At 10:30.", Complete),
                ("It costs $25.", Complete),
                ("On the 3rd.", Complete),
                ("", Unsure),
                ("…", Unsure),
            ],
        );
    }

    #[test]
    fn what_is_being_dictated_may_not_be_whole() {
        check(
            "en",
            &[
                ("My number is 415.", Dictating),
                ("555", Dictating),
                ("It's 415 555", Dictating),
                ("It's 415-555-0123.", Unsure),
                ("My phone number is 4 1 5 5 5 5 0 1 2 3", Unsure),
                ("four one five", Dictating),
                ("The order number that you gave me is 4471.", Dictating),
                ("My zip code is 94", Dictating),
                ("25.", Unsure),
                ("I am 25.", Unsure),
                ("We have been waiting here since about 25 minutes.", Complete),
                ("S M I T H", Dictating),
                ("My name is S-M-I", Dictating),
                ("B as in boy", Dictating),
                ("Plan B.", Complete),
                ("I need one.", Complete),
                ("Oh.", Complete),
                ("Such as in Boston.", Complete),
                ("So did I.", Complete),
            ],
        );
    }

    #[test]
    fn who_asks_for_a_moment_gets_it() {
        check(
            "en",
            &[
                ("Hold on.", HoldOn),
                ("Hold on a second, please.", HoldOn),
                ("Um, let me see.", HoldOn),
                ("One moment, I will get my card.", HoldOn),
                ("Wait.", HoldOn),
                ("Could you hold on?", Complete),
                ("How long do I have to wait?", Complete),
                ("I had to wait.", Complete),
            ],
        );
        check("de", &[("Moment bitte.", HoldOn), ("Einen Augenblick, ich hole meine Karte.", HoldOn)]);
        check("es", &[("Un momento, por favor.", HoldOn), ("Espere.", HoldOn)]);
        check("fr", &[("Attendez.", HoldOn), ("Un instant, s'il vous plaît.", HoldOn)]);
    }

    #[test]
    fn other_languages_have_words_of_their_own() {
        check(
            "de",
            &[
                ("Haben Sie am Samstag offen?", Complete),
                ("Ich hätte gern einen Termin und", Trailing),
                ("Ich hätte gern einen Termin, äh.", Trailing),
                ("Ich möchte mit", Trailing),
                ("Ja", Complete),
                ("Meine Nummer ist 030", Dictating),
                ("null drei null", Dictating),
            ],
        );
        check(
            "es",
            &[
                ("¿A qué hora abren?", Complete),
                ("Quiero una cita y", Trailing),
                ("Quiero hablar con", Trailing),
                ("Sí", Complete),
                ("Soy de Madrid.", Complete),
                ("B de Barcelona", Dictating),
                ("Mi número es 91", Dictating),
            ],
        );
        check(
            "fr",
            &[
                ("À quelle heure ouvrez-vous ?", Complete),
                ("Je voudrais un rendez-vous et", Trailing),
                ("Je voudrais parler avec", Trailing),
                ("Oui", Complete),
                ("Mon numéro est le 01 42", Dictating),
            ],
        );
        // Of a language that is not known the marks are.
        check("fi", &[("Haluaisin ajan.", Complete), ("Haluaisin ajan ja", Unsure), ("555", Dictating)]);
        check("auto", &[("I would like an appointment and", Unsure), ("Nein.", Complete)]);
    }
}
