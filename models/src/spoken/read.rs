//! A text, word by word: what each is, and what is said for it.

use super::address::{email, phone, spelled, url, version};
use super::amount::{self, Amount, Counts, amount};
use super::number::{Number, is_digits};
use super::tongue::{Rule, Tongue};
use super::{Spoken, words};

/// The most words that a telephone number is written in.
const PHONE_WORDS: usize = 6;

/// A written word: what stands around it does not change it.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    start: usize,
    end: usize,
    lead: &'a str,
    core: &'a str,
    trail: &'a str,
}

impl<'a> Word<'a> {
    fn new(text: &'a str, (start, end): (usize, usize)) -> Word<'a> {
        let raw = &text[start..end];
        let inner = raw.trim_start_matches(['"', '\'', '(', '[', '{', '“', '‘', '«', '¿', '¡']);
        let core = inner.trim_end_matches(is_trailing);
        let lead = &raw[..raw.len() - inner.len()];
        Word { start, end, lead, core, trail: &inner[core.len()..] }
    }

    fn begins_upper(&self) -> bool {
        self.core.starts_with(char::is_uppercase)
    }

    fn begins_with_digit(&self) -> bool {
        self.core.starts_with(|c: char| c.is_ascii_digit())
    }
}

fn is_trailing(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '…' | '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»')
}

/// What the dot behind some words is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    /// The end of a sentence.
    Mark,
    /// It belongs to them, and ends a sentence only where the next one begins.
    Shared,
    /// It belongs to them, whatever follows.
    Theirs,
}

/// What is said for some words.
struct Said {
    words: usize,
    text: String,
    dot: Dot,
    counts: Counts,
}

impl Said {
    fn of(words: usize, text: impl Into<String>) -> Said {
        Said { words, text: text.into(), dot: Dot::Mark, counts: Counts::Nothing }
    }

    fn dotted(words: usize, text: impl Into<String>) -> Said {
        Said { dot: Dot::Shared, ..Said::of(words, text) }
    }

    fn undotted(words: usize, text: impl Into<String>) -> Said {
        Said { dot: Dot::Theirs, ..Said::of(words, text) }
    }
}

impl From<Amount> for Said {
    fn from(amount: Amount) -> Said {
        Said { counts: amount.counts, ..Said::of(1, amount.said) }
    }
}

pub(super) struct Reader<'a> {
    tongue: &'static Tongue,
    text: &'a str,
    words: Vec<Word<'a>>,
    at: usize,
    /// The word before counts what follows.
    counts: Counts,
    out: Spoken,
}

impl<'a> Reader<'a> {
    pub(super) fn new(tongue: &'static Tongue, text: &'a str) -> Reader<'a> {
        let words = words(text).map(|place| Word::new(text, place)).collect();
        Reader { tongue, text, words, at: 0, counts: Counts::Nothing, out: Spoken::default() }
    }

    pub(super) fn read(mut self) -> Spoken {
        while let Some(word) = self.words.get(self.at).copied() {
            let said = self.item(word);
            self.put(word, said);
        }
        self.out
    }

    fn put(&mut self, first: Word<'_>, said: Said) {
        let last = self.words[self.at + said.words - 1];
        self.at += said.words;
        let mut trail = last.trail;
        if said.dot != Dot::Mark
            && let Some(rest) = trail.strip_prefix('.')
        {
            let may = said.dot == Dot::Shared && rest.is_empty();
            let ends = may && self.words.get(self.at).is_none_or(Word::begins_upper);
            trail = if ends { trail } else { rest };
        }
        let out = &mut self.out.text;
        if !said.text.is_empty() || !trail.is_empty() {
            let is_mark = said.text.is_empty() && first.lead.is_empty();
            if !(out.is_empty() || is_mark) {
                out.push(' ');
            }
            // Of a telephone number, half a pair of brackets.
            let alone = first.lead.ends_with('(') && !trail.contains(')');
            out.push_str(if alone { &first.lead[..first.lead.len() - 1] } else { first.lead });
            out.push_str(&said.text);
            out.push_str(trail);
        }
        self.counts = if trail.is_empty() { said.counts } else { Counts::Nothing };
        let end = self.out.text.len();
        self.out.ends.push((last.end, end));
    }

    fn item(&self, word: Word<'a>) -> Said {
        if word.core.is_empty() {
            return Said::of(1, "");
        }
        let alone = |said: Option<String>| said.map(|said| Said::of(1, said));
        self.spaced_number()
            .or_else(|| self.phone())
            .or_else(|| alone(email(word.core, self.tongue).or_else(|| url(word.core, self.tongue))))
            .or_else(|| self.clock(word))
            .or_else(|| self.date(word))
            .or_else(|| self.price(word))
            .or_else(|| self.unit(word))
            .or_else(|| self.abbreviation(word))
            .or_else(|| self.code(word))
            .or_else(|| amount(word.core, self.tongue).map(Said::from))
            .or_else(|| alone(version(word.core, self.tongue)))
            .or_else(|| self.number(word))
            .or_else(|| self.sign(word))
            .or_else(|| self.letters(word))
            .unwrap_or_else(|| Said::of(1, mixed(word.core, self.tongue)))
    }

    fn next(&self, n: usize) -> Option<Word<'a>> {
        self.words.get(self.at + n).copied()
    }

    /// The word so many before this one, in small letters, if no sentence ends between.
    fn before(&self, n: usize) -> String {
        let from = self.at.checked_sub(n);
        let between = from.and_then(|from| self.words.get(from..self.at)).unwrap_or_default();
        match between.first() {
            Some(word) if between.iter().all(|word| !word.trail.contains(['.', '!', '?'])) => {
                word.core.to_lowercase()
            }
            _ => String::new(),
        }
    }

    /// "1 234 567" where groups are parted by spaces.
    fn spaced_number(&self) -> Option<Said> {
        let word = self.next(0).filter(|_| self.tongue.pairs)?;
        let first = is_digits(word.core) && word.core.len() <= 3 && !word.core.starts_with('0');
        if !first || !word.trail.is_empty() {
            return None;
        }
        let mut digits = word.core.to_owned();
        let mut count = 1;
        while let Some(next) = self.next(count).filter(|next| next.lead.is_empty()) {
            let whole = next.core.split(',').next().unwrap_or_default();
            if whole.len() != 3 || !is_digits(whole) {
                break;
            }
            digits.push_str(next.core);
            count += 1;
            if !next.trail.is_empty() || next.core.len() > 3 {
                break;
            }
        }
        let number = Number::exactly(&digits, self.tongue).filter(|_| count > 1)?;
        // Its unit or its currency may follow.
        let currency = self.next(count).and_then(|next| self.tongue.currency(next.core));
        Some(match currency {
            Some(currency) => Said::of(count + 1, amount::price(&number, None, currency, self.tongue)),
            None => Said { counts: Counts::Many, ..Said::of(count, number.say(self.tongue)) },
        })
    }

    fn phone(&self) -> Option<Said> {
        let first = self.next(0).filter(|word| word.core.contains(|c: char| c.is_ascii_digit()))?;
        let start = first.start + first.lead.len() - usize::from(first.lead.ends_with('('));
        for count in (1..=PHONE_WORDS).rev() {
            let Some(last) = self.next(count - 1) else { continue };
            let joined = (0..count - 1)
                .all(|n| self.next(n).is_some_and(|word| word.trail.is_empty() || word.trail == ")"));
            if !joined || !last.core.ends_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            if let Some(said) = phone(&self.text[start..last.end - last.trail.len()], self.tongue) {
                return Some(Said::of(count, said));
            }
        }
        None
    }

    /// A time whose half of the day, or whose "Uhr", is a word of its own.
    fn clock(&self, word: Word<'_>) -> Option<Said> {
        let next = self.next(1).filter(|_| word.trail.is_empty())?;
        if self.tongue.clock == Some(next.core) {
            let (hour, minute, half) = amount::read_clock(&word.core.replace('.', ":"))?;
            return Some(Said::of(2, (self.tongue.time)(hour, minute.unwrap_or(0), half)));
        }
        let half = amount::half(next.core)?;
        let (hour, minute, _) = amount::read_clock(word.core).filter(|(.., half)| half.is_none())?;
        let said = (self.tongue.time)(hour, minute.unwrap_or(0), Some(half));
        Some(if next.core.contains('.') { Said::dotted(2, said) } else { Said::of(2, said) })
    }

    /// Dates with the name of their month; and in German those in figures without a year.
    fn date(&self, word: Word<'_>) -> Option<Said> {
        let tongue = self.tongue;
        if let Some(figures) = amount::date(word.core, tongue, &self.before(1)) {
            return Some(figures.into());
        }
        let day_of = |word: Word<'_>| {
            let digits = tongue.ordinal_suffixes.iter().find_map(|end| word.core.strip_suffix(end));
            let digits = digits.filter(|digits| is_digits(digits)).unwrap_or(word.core);
            is_digits(digits).then(|| digits.parse::<u64>().ok())?.filter(|day| (1..=31).contains(day))
        };
        let year_at = |n: usize| {
            let word = self.next(n).filter(|word| is_digits(word.core) && word.core.len() == 4)?;
            word.core.parse::<u64>().ok().filter(|year| (1100..2200).contains(year))
        };
        let month_of = |word: Word<'_>| {
            let month = tongue.month(word.core)?;
            (word.trail.is_empty() || word.trail == "." || tongue.months[month] == word.core).then_some(month)
        };
        if tongue.dotted_days && word.trail.starts_with('.') {
            let figures = word.core.split_once('.').and_then(|(day, month)| {
                let (day, month) = (day.parse::<u64>().ok()?, month.parse::<usize>().ok()?);
                ((1..=31).contains(&day) && (1..=12).contains(&month)).then_some((day, month - 1))
            });
            if let Some((day, month)) = figures {
                return Some(Said::dotted(1, (tongue.date)(day, month, None, &self.before(1))));
            }
        }
        if let Some(month) = tongue.month(word.core).filter(|_| tongue.month_first) {
            let dot = word.trail.is_empty() || word.trail == ".";
            let next = self.next(1).filter(|_| dot)?;
            let short = tongue.months[month] != word.core;
            let Some(day) = day_of(next) else {
                let expand = short && next.begins_with_digit();
                return expand.then(|| Said::dotted(1, tongue.months[month]));
            };
            let joins = next.trail.is_empty() || next.trail == ",";
            let year = year_at(2).filter(|_| joins);
            let words = if year.is_some() { 3 } else { 2 };
            return Some(Said::of(words, (tongue.date)(day, month, year, &self.before(1))));
        }
        let dotted = word.trail.is_empty() && !tongue.dotted_days || word.trail == "." && tongue.dotted_days;
        let day = day_of(word).filter(|_| dotted && (tongue.dotted_days || tongue.month_first))?;
        if let Some((next, month)) = self.next(1).and_then(|next| Some((next, month_of(next)?))) {
            let shortened = next.trail == "." && tongue.months[month] != next.core;
            let year = year_at(2).filter(|_| next.trail.is_empty() || shortened);
            let words = if year.is_some() { 3 } else { 2 };
            let said = (tongue.date)(day, month, year, &self.before(1));
            return Some(if shortened && year.is_none() {
                Said::dotted(words, said)
            } else {
                Said::of(words, said)
            });
        }
        // "im 3. Stock": not the end of a sentence, for an article stands before it.
        let bent = ["am", "im", "zum", "vom", "dem", "den", "beim", "zur", "des"];
        let plain = ["der", "die", "das", "jede", "jeder", "erste"];
        let before = self.before(1);
        let ending = bent
            .contains(&before.as_str())
            .then_some("ten")
            .or(plain.contains(&before.as_str()).then_some("te"))?;
        let follows = tongue.dotted_days && self.next(1).is_some();
        follows.then(|| Said::undotted(1, (tongue.ordinal)(day, ending)))
    }

    /// Money whose sign, code, name or scale is a word of its own.
    fn price(&self, word: Word<'_>) -> Option<Said> {
        let tongue = self.tongue;
        let next = self.next(1).filter(|next| word.trail.is_empty() && next.lead.is_empty())?;
        let start = word.core.find(|c: char| c.is_ascii_digit())?;
        let (sign, number) = word.core.split_at(start);
        let number = Number::exactly(number, tongue)?;
        let (sign, minus) = match sign.trim_start_matches(['-', '−']) {
            bare if bare.len() < sign.len() => (bare, true),
            _ => (sign, false),
        };
        let number = Number { minus, ..number };
        let named = |name: &str| {
            tongue.currency(name).or_else(|| {
                let is = |currency: &&super::tongue::Currency| currency.many == name || currency.one == name;
                tongue.currencies.iter().find(is)
            })
        };
        let scale = tongue.scale(next.core).filter(|_| next.core.chars().count() > 2);
        if sign.is_empty() {
            let after = self.next(2).filter(|_| next.trail.is_empty() || next.trail == ".");
            return match (scale, after.and_then(|word| named(word.core))) {
                (Some(scale), Some(currency)) => {
                    Some(Said::of(3, amount::price(&number, Some(scale), currency, tongue)))
                }
                _ => Some(Said::of(2, amount::price(&number, None, named(next.core)?, tongue))),
            };
        }
        let currency = tongue.currency(sign)?;
        Some(Said::of(2, amount::price(&number, Some(scale?), currency, tongue)))
    }

    /// "km" behind a number.
    fn unit(&self, word: Word<'_>) -> Option<Said> {
        if self.counts == Counts::Nothing || !word.lead.is_empty() {
            return None;
        }
        let one = self.counts == Counts::One;
        if word.core == "%" {
            return Some(Said::of(1, self.tongue.words.percent));
        }
        let (_, single, many) = self.tongue.unit(word.core)?;
        Some(Said::dotted(1, if one { *single } else { *many }))
    }

    fn abbreviation(&self, word: Word<'_>) -> Option<Said> {
        let dot = word.trail.starts_with('.');
        let next = self.next(1);
        if let Some(day) = self.tongue.weekdays.iter().find(|(short, _)| *short == word.core) {
            let dated =
                next.is_some_and(|next| next.begins_with_digit() || self.tongue.month(next.core).is_some());
            let plain = word.trail.is_empty() || dot || word.trail == ",";
            if dated && plain {
                return Some(Said::dotted(1, day.1));
            }
        }
        let and = |word: &str| word == "&" || word == self.tongue.words.and;
        let named = next.is_some_and(|next| next.begins_upper() || and(next.core));
        let counted = next.is_some_and(|next| next.begins_with_digit());
        // "12 Elm St. Apartment 5": a house, not a saint.
        let housed = (2..5).any(|n| self.before(n).starts_with(|c: char| c.is_ascii_digit()))
            && self.at.checked_sub(1).is_some_and(|at| self.words[at].begins_upper());
        let fits = |rule: Rule| match rule {
            Rule::Always => true,
            Rule::Dotted => dot,
            Rule::Title => {
                let long = word.core.chars().count() > 1;
                named
                    && !housed
                    && (dot || (word.trail.is_empty() && long && !self.tongue.spelled.contains(&word.core)))
            }
            Rule::BeforeNumber => dot && counted,
        };
        let (_, said, rule) =
            self.tongue.abbreviations.iter().find(|(short, _, rule)| *short == word.core && fits(*rule))?;
        if *rule == Rule::Title || *rule == Rule::BeforeNumber {
            // Its dot ends nothing.
            return Some(Said::undotted(1, *said));
        }
        Some(Said::dotted(1, *said))
    }

    /// Digits that mean nothing as an amount: "extension 204".
    fn code(&self, word: Word<'_>) -> Option<Said> {
        let digits = word.core.strip_prefix('#').unwrap_or(word.core);
        if !is_digits(digits) || digits.len() < 3 {
            return None;
        }
        let is_code = |word: &str| self.tongue.codes.contains(&word);
        let is_link = |word: &str| self.tongue.links.contains(&word);
        let before = [self.before(1), self.before(2), self.before(3)];
        let named = is_code(&before[0])
            || (is_link(&before[0]) && is_code(&before[1]))
            || (is_link(&before[0]) && is_link(&before[1]) && is_code(&before[2]));
        // "CA 94107"
        let state =
            self.at.checked_sub(1).map(|at| self.words[at]).is_some_and(|word| {
                word.core.len() == 2 && word.core.chars().all(|c| c.is_ascii_uppercase())
            });
        let postal = digits.len() == 5 && state && self.tongue.month_first;
        (named || postal).then(|| Said::of(1, self.tongue.in_groups(digits)))
    }

    /// A bare row of digits, with a sign before it perhaps.
    fn number(&self, word: Word<'_>) -> Option<Said> {
        let words = &self.tongue.words;
        let (front, digits) = match word.core.chars().next()? {
            '#' => (words.number, &word.core[1..]),
            '+' => (words.plus, &word.core[1..]),
            '~' | '≈' => (words.about, word.core.trim_start_matches(['~', '≈'])),
            _ => ("", word.core),
        };
        let number = Number::exactly(digits, self.tongue)?;
        let next = self.next(1).filter(|_| word.trail.is_empty());
        let counts = if number.is_one() { Counts::One } else { Counts::Many };
        let noun = next.is_some_and(|next| {
            self.tongue.unit(next.core).is_some()
                || next.core.chars().filter(|c| c.is_alphabetic()).count() > 3
        });
        let said = match number.value() {
            Some(n) if digits.len() == 4 && (1100..2100).contains(&n) && front.is_empty() => {
                (self.tongue.year)(n)
            }
            // Nobody says "fifty-five million" for an account.
            Some(n) if digits.len() >= 7 && !number.grouped && n % 1000 != 0 && number.fraction.is_none() => {
                self.tongue.in_groups(digits)
            }
            _ if noun => number.count(self.tongue),
            _ => number.say(self.tongue),
        };
        let text = if front.is_empty() { said } else { format!("{front} {said}") };
        Some(Said { counts, ..Said::of(1, text) })
    }

    /// A sign by itself.
    fn sign(&self, word: Word<'_>) -> Option<Said> {
        let words = &self.tongue.words;
        let numbers = self.counts != Counts::Nothing
            || self.at.checked_sub(1).is_some_and(|at| {
                let before = self.words[at];
                before.trail.is_empty() && before.core.contains(|c: char| c.is_ascii_digit())
            });
        let counted = self.next(1).is_some_and(|next| next.core.contains(|c: char| c.is_ascii_digit()));
        let said = match word.core {
            "&" => words.and,
            "@" => words.at,
            "+" => words.plus,
            "=" => words.equals,
            "%" => words.percent,
            "×" => words.times,
            "-" | "–" | "—" if numbers && counted => words.to,
            "/" => words.or,
            "°" => words.degrees,
            "-" | "–" | "—" => word.core,
            "#" => words.number,
            _ => return None,
        };
        Some(Said::of(1, said))
    }

    /// Capitals that are spelled.
    fn letters(&self, word: Word<'_>) -> Option<Said> {
        self.tongue.spelled.contains(&word.core).then(|| Said::of(1, spelled(word.core)))
    }
}

/// Letters, digits and signs in one token: each for itself.
fn mixed(core: &str, tongue: &Tongue) -> String {
    let special = |c: char| c.is_ascii_digit() || "&@%+=/#°$€£¥×<>^\\|~_{}".contains(c);
    if !core.contains(special) {
        return core.to_owned();
    }
    let mut said = String::with_capacity(core.len() * 2);
    let mut rest = core;
    let mut digits_before = false;
    let coded = core.contains(|c: char| c.is_ascii_digit());
    while let Some(c) = rest.chars().next() {
        let is_digit = c.is_ascii_digit();
        let run = match c {
            _ if is_digit => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
            c if c.is_alphabetic() => rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, more) = rest.split_at(run);
        rest = more;
        let letters = c.is_alphabetic();
        if (is_digit || letters) && said.ends_with(char::is_alphanumeric) {
            said.push('-');
        }
        let words = &tongue.words;
        let word = match c {
            _ if is_digit => {
                let value = piece.parse::<u64>().ok().filter(|_| !piece.starts_with('0') || piece.len() == 1);
                match value {
                    Some(n) if piece.len() < 3 => said.push_str(&(tongue.cardinal)(n)),
                    Some(n) if piece.len() == 4 && (1900..2100).contains(&n) => {
                        said.push_str(&(tongue.year)(n))
                    }
                    _ => said.push_str(&tongue.digit_by_digit(piece)),
                }
                digits_before = true;
                continue;
            }
            _ if letters => {
                let short = piece.chars().count() <= 3 && piece.chars().all(char::is_uppercase);
                match coded && short && piece.chars().count() > 1 {
                    true => said.push_str(&spelled(piece)),
                    false => said.push_str(piece),
                }
                digits_before = false;
                continue;
            }
            '&' => words.and,
            '@' => words.at,
            '%' => words.percent,
            '+' => words.plus,
            '=' => words.equals,
            '×' => words.times,
            '#' => words.number,
            '°' => words.degrees,
            '/' if digits_before && rest.starts_with(|c: char| c.is_ascii_digit()) => words.slash,
            '/' => words.or,
            '.' | ',' if digits_before && rest.starts_with(|c: char| c.is_ascii_digit()) => words.dot,
            '<' | '>' | '^' | '\\' | '|' | '~' | '_' | '{' | '}' => "",
            sign => match tongue.currency(piece) {
                Some(currency) => currency.many,
                None => {
                    said.push(sign);
                    continue;
                }
            },
        };
        said.push(' ');
        said.push_str(word);
        said.push(' ');
    }
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}
