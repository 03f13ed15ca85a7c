//! What a language has to say about numbers, times, money and the like.

/// The half of the day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    Am,
    Pm,
}

/// How an abbreviation is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// With or without its dot.
    Always,
    /// Only with its dot: without, it is a word.
    Dotted,
    /// In front of a name, with or without its dot; the dot never ends a sentence.
    Title,
    /// With its dot in front of a number.
    BeforeNumber,
}

/// What is counted: how it is written, what is said for one, and for any other number after that number.
pub(super) type Counted = (&'static str, &'static str, &'static str);

/// Money: its signs and codes, the whole and the hundredth of it, each for one and for many.
pub(super) struct Currency {
    pub(super) signs: &'static [&'static str],
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    pub(super) cent: &'static str,
    pub(super) cents: &'static str,
}

/// Words for single signs.
pub(super) struct Words {
    pub(super) at: &'static str,
    pub(super) dot: &'static str,
    pub(super) dash: &'static str,
    pub(super) underscore: &'static str,
    pub(super) slash: &'static str,
    pub(super) plus: &'static str,
    pub(super) minus: &'static str,
    pub(super) times: &'static str,
    pub(super) equals: &'static str,
    pub(super) and: &'static str,
    pub(super) or: &'static str,
    pub(super) number: &'static str,
    pub(super) percent: &'static str,
    pub(super) about: &'static str,
    /// Between the two ends of a range.
    pub(super) to: &'static str,
    /// Of a price: "a month".
    pub(super) per: &'static str,
    pub(super) degrees: &'static str,
}

pub(super) struct Tongue {
    /// Between groups of three digits.
    pub(super) thousands: &'static [char],
    /// In front of a fraction.
    pub(super) decimal: char,
    /// In slashed dates the month comes first.
    pub(super) month_first: bool,
    /// Telephone numbers are said in pairs.
    pub(super) pairs: bool,
    pub(super) digits: [&'static str; 10],
    pub(super) cardinal: fn(u64) -> String,
    /// In front of what is counted.
    pub(super) counting: fn(u64) -> String,
    /// `suffix`: as it was written, "st".
    pub(super) ordinal: fn(u64, suffix: &str) -> String,
    /// What may stand behind a number to make it an ordinal.
    pub(super) ordinal_suffixes: &'static [&'static str],
    pub(super) year: fn(u64) -> String,
    /// A number with a fraction, given as digits.
    pub(super) fraction: fn(u64, &str) -> String,
    /// Numerator and denominator, where people have words for it.
    pub(super) part: fn(u64, u64) -> Option<String>,
    pub(super) time: fn(hour: u64, minute: u64, half: Option<Half>) -> String,
    /// Day, month from 0, year; the word in front decides on endings.
    pub(super) date: fn(day: u64, month: usize, year: Option<u64>, before: &str) -> String,
    /// Whole and hundredths, of which at least one is not nothing.
    pub(super) money: fn(whole: u64, hundredths: u64, &Currency) -> String,
    pub(super) words: Words,
    pub(super) currencies: &'static [Currency],
    /// Behind an amount: "million".
    pub(super) scales: &'static [(&'static str, &'static str)],
    pub(super) units: &'static [Counted],
    /// Full names, in order.
    pub(super) months: [&'static str; 12],
    /// How they begin when they are shortened.
    pub(super) short_months: &'static [(&'static str, usize)],
    pub(super) weekdays: &'static [(&'static str, &'static str)],
    pub(super) abbreviations: &'static [(&'static str, &'static str, Rule)],
    /// Capitals that are said letter by letter although they could be read.
    pub(super) spelled: &'static [&'static str],
    /// Behind these words a number is a row of digits, not an amount.
    pub(super) codes: &'static [&'static str],
    /// What may stand between such a word and its number.
    pub(super) links: &'static [&'static str],
    /// A word behind a time of day that is part of it: "Uhr".
    pub(super) clock: Option<&'static str>,
    /// Days of a month are followed by a dot.
    pub(super) dotted_days: bool,
}

impl Tongue {
    pub(super) fn digit_by_digit(&self, digits: &str) -> String {
        let words: Vec<_> =
            digits.bytes().map(|b| self.digits[usize::from(b.wrapping_sub(b'0') % 10)]).collect();
        words.join(" ")
    }

    /// A long row of digits, in groups of three or four with a pause between them.
    pub(super) fn in_groups(&self, digits: &str) -> String {
        groups(digits).into_iter().map(|group| self.digit_by_digit(group)).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn unit(&self, symbol: &str) -> Option<&'static Counted> {
        self.units.iter().find(|(written, ..)| *written == symbol)
    }

    pub(super) fn currency(&self, sign: &str) -> Option<&'static Currency> {
        self.currencies.iter().find(|currency| currency.signs.contains(&sign))
    }

    pub(super) fn scale(&self, word: &str) -> Option<&'static str> {
        self.scales.iter().find(|(written, _)| *written == word).map(|(_, said)| *said)
    }

    /// A month by its whole or its shortened name, from 0. Its capital is needed where the language has one.
    pub(super) fn month(&self, word: &str) -> Option<usize> {
        let whole = self.months.iter().position(|name| *name == word);
        whole.or_else(|| self.short_months.iter().find(|(short, _)| *short == word).map(|(_, n)| *n))
    }

    pub(super) fn weekday(&self, word: &str) -> Option<&'static str> {
        let known = self.weekdays.iter().find(|(short, long)| *short == word || *long == word);
        known.map(|(_, long)| *long)
    }
}

/// Digits as one reads them out: in threes, and a last group of four rather than a single one.
pub(super) fn groups(digits: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = digits;
    while rest.len() > 4 {
        // Four digits left over are two and two only at the very end.
        let (group, more) = rest.split_at(3);
        groups.push(group);
        rest = more;
    }
    if !rest.is_empty() {
        groups.push(rest);
    }
    groups
}
