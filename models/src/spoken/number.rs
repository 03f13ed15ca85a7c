//! Numbers as they are written: signs, groups of three, fractions.

use super::tongue::Tongue;

/// Digits that are still said as one number.
const LONGEST: usize = 15;

/// A number at the beginning of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Number {
    pub(super) minus: bool,
    /// Without separators.
    pub(super) whole: String,
    pub(super) fraction: Option<String>,
    /// It was written with separators.
    pub(super) grouped: bool,
}

impl Number {
    /// Reads as much of the text as is a number; gives what follows.
    pub(super) fn read<'a>(text: &'a str, tongue: &Tongue) -> Option<(Number, &'a str)> {
        let minus = text.starts_with(['-', '−']);
        let unsigned = text.strip_prefix(['-', '−']).unwrap_or(text);
        let length = digits_in_front(unsigned);
        if length == 0 {
            return None;
        }
        let (first, mut rest) = unsigned.split_at(length);
        let mut whole = first.to_owned();
        let mut grouped = false;
        if first.len() <= 3 && !first.starts_with('0') {
            while let Some(group) = rest.strip_prefix(tongue.thousands).filter(|r| digits_in_front(r) == 3) {
                whole.push_str(&group[..3]);
                rest = &group[3..];
                grouped = true;
            }
        }
        let mut fraction = None;
        let decimal = |mark: char, text: &'a str| text.strip_prefix(mark).filter(|r| digits_in_front(r) > 0);
        // A fraction behind a foreign mark is one nevertheless where nothing else makes sense of it.
        let other = if tongue.decimal == ',' && !grouped { '.' } else { tongue.decimal };
        if let Some(digits) = decimal(tongue.decimal, rest).or_else(|| decimal(other, rest)) {
            let length = digits_in_front(digits);
            // Two marks are a version, a date, an address: none of ours.
            if !digits[length..].starts_with(['.', ',']) || digits_in_front(&digits[length + 1..]) == 0 {
                fraction = Some(digits[..length].to_owned());
                rest = &digits[length..];
            }
        }
        Some((Number { minus, whole, fraction, grouped }, rest))
    }

    /// The whole text is a number.
    pub(super) fn exactly(text: &str, tongue: &Tongue) -> Option<Number> {
        Number::read(text, tongue).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
    }

    /// `None`: too long, or written with zeros in front, and so no amount.
    pub(super) fn value(&self) -> Option<u64> {
        let padded = self.whole.len() > 1 && self.whole.starts_with('0');
        if padded || self.whole.len() > LONGEST { None } else { self.whole.parse().ok() }
    }

    pub(super) fn is_one(&self) -> bool {
        self.whole == "1" && self.fraction.is_none()
    }

    /// An amount of nothing in particular.
    pub(super) fn say(&self, tongue: &Tongue) -> String {
        self.say_with(tongue, tongue.cardinal)
    }

    /// In front of what is counted.
    pub(super) fn count(&self, tongue: &Tongue) -> String {
        self.say_with(tongue, tongue.counting)
    }

    fn say_with(&self, tongue: &Tongue, cardinal: fn(u64) -> String) -> String {
        let said = match (self.value(), &self.fraction) {
            (Some(whole), Some(fraction)) => (tongue.fraction)(whole, fraction),
            (Some(whole), None) => cardinal(whole),
            (None, None) => tongue.in_groups(&self.whole),
            (None, Some(fraction)) => {
                let (whole, fraction) = (tongue.in_groups(&self.whole), tongue.digit_by_digit(fraction));
                format!("{whole} {} {fraction}", tongue.words.dot)
            }
        };
        if self.minus { format!("{} {said}", tongue.words.minus) } else { said }
    }
}

pub(super) fn digits_in_front(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && digits_in_front(text) == text.len()
}
