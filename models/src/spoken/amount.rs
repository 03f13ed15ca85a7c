//! Single tokens that say how much, how many, when: money, units, times, ordinals, fractions, ranges.

use super::number::{Number, digits_in_front, is_digits};
use super::tongue::{Half, Tongue};

/// What was read, and whether it counts what follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) said: String,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counts {
    Nothing,
    One,
    Many,
}

impl Amount {
    pub(super) fn done(said: String) -> Option<Amount> {
        Some(Amount { said, counts: Counts::Nothing })
    }
}

/// One token by itself.
pub(super) fn amount(text: &str, tongue: &Tongue) -> Option<Amount> {
    money(text, tongue)
        .or_else(|| clock(text, tongue))
        .or_else(|| date(text, tongue, ""))
        .or_else(|| decade(text, tongue))
        .or_else(|| measured(text, tongue))
        .or_else(|| ordinal(text, tongue))
        .or_else(|| part(text, tongue))
        .or_else(|| range(text, tongue))
}

/// "$3.50", "3,50€", "$5k", "-$5", "$20/month".
pub(super) fn money(text: &str, tongue: &Tongue) -> Option<Amount> {
    if let Some((price, time)) = text.split_once('/')
        && time.chars().all(char::is_alphabetic)
        && !time.is_empty()
    {
        let price = money(price, tongue)?.said;
        let time = tongue.unit(time).map_or(time, |(_, one, _)| one);
        return Amount::done(format!("{price} {} {time}", tongue.words.per));
    }
    let (minus, unsigned) = match text.strip_prefix(['-', '−']) {
        Some(unsigned) if !unsigned.starts_with(|c: char| c.is_ascii_digit()) => (true, unsigned),
        _ => (false, text),
    };
    let start = unsigned.find(|c: char| c.is_ascii_digit() || c == '-')?;
    let sign = &unsigned[..start];
    let (number, rest) = Number::read(&unsigned[start..], tongue)?;
    let rest = rest.trim_end_matches(".-").trim_end_matches(",-");
    let (currency, scale) = match (sign, rest) {
        ("", rest) => (tongue.currency(rest)?, None),
        (sign, "") => (tongue.currency(sign)?, None),
        (sign, rest) => (tongue.currency(sign)?, Some(tongue.scale(rest)?)),
    };
    let number = Number { minus: minus || number.minus, ..number };
    Amount::done(price(&number, scale, currency, tongue))
}

pub(super) fn price(
    number: &Number,
    scale: Option<&str>,
    currency: &super::tongue::Currency,
    tongue: &Tongue,
) -> String {
    let minus = if number.minus { format!("{} ", tongue.words.minus) } else { String::new() };
    let plain = Number { minus: false, ..number.clone() };
    let hundredths = match plain.fraction.as_deref() {
        None => Some(0),
        Some(two) if two.len() == 2 => two.parse::<u64>().ok(),
        Some(_) => None,
    };
    let name = if plain.is_one() && scale.is_none() { currency.one } else { currency.many };
    let said = match (plain.value(), hundredths, scale) {
        (Some(whole), Some(hundredths), None) => (tongue.money)(whole, hundredths, currency),
        (.., Some(scale)) if scale.ends_with('\'') => format!("{} {scale}{name}", plain.count(tongue)),
        (.., Some(scale)) => format!("{} {scale} {name}", plain.count(tongue)),
        _ => format!("{} {name}", plain.count(tongue)),
    };
    minus + &said
}

/// "10:30", "5pm", "14h30".
fn clock(text: &str, tongue: &Tongue) -> Option<Amount> {
    let (hour, minute, half) = read_clock(text)?;
    // A bare hour needs something that makes it a time.
    if minute.is_none() && half.is_none() && !text.ends_with('h') {
        return None;
    }
    // Of the letter h, a number of hours may be meant.
    if text.ends_with('h') && tongue.unit("h").is_some() {
        return None;
    }
    Amount::done((tongue.time)(hour, minute.unwrap_or(0), half))
}

/// Hour, minute, half of the day.
pub(super) fn read_clock(text: &str) -> Option<(u64, Option<u64>, Option<Half>)> {
    let length = digits_in_front(text);
    let hour: u64 = text[..length].parse().ok().filter(|hour| (1..=2).contains(&length) && *hour < 25)?;
    let mut rest = &text[length..];
    let mut minute = None;
    if let Some(more) = rest.strip_prefix([':', 'h']).filter(|more| digits_in_front(more) == 2) {
        minute = Some(more[..2].parse().ok().filter(|minute| *minute < 60)?);
        rest = &more[2..];
    } else {
        rest = rest.strip_suffix('h').unwrap_or(rest);
    }
    let half = match rest {
        "" => None,
        rest => Some(half(rest)?),
    };
    (hour < 24 || minute == Some(0)).then_some((hour % 24, minute, half))
}

pub(super) fn half(text: &str) -> Option<Half> {
    match text.trim_end_matches('.') {
        "am" | "AM" | "a.m" | "A.M" => Some(Half::Am),
        "pm" | "PM" | "p.m" | "P.M" => Some(Half::Pm),
        _ => None,
    }
}

/// "2026-11-22", "11/22/2026", "22.11.2026". `before`: the word in front, in small letters.
pub(super) fn date(text: &str, tongue: &Tongue, before: &str) -> Option<Amount> {
    let mark = ['-', '/', '.'].into_iter().find(|mark| text.matches(*mark).count() == 2)?;
    let parts: Vec<_> = text.split(mark).collect();
    if !parts.iter().all(|part| is_digits(part) && part.len() <= 4) {
        return None;
    }
    let n: Vec<u64> = parts.iter().map(|part| part.parse().unwrap_or(0)).collect();
    let century = |year: u64, digits: usize| if digits == 2 { 2000 + year } else { year };
    let (day, month, year) = match (parts[0].len(), parts[1].len(), parts[2].len()) {
        (4, 1..=2, 1..=2) if mark != '.' => (n[2], n[1], n[0]),
        (1..=2, 1..=2, digits @ (2 | 4)) => {
            // Whichever cannot be a month is the day.
            let american = (tongue.month_first && n[0] <= 12) || n[1] > 12;
            let (day, month) = if american { (n[1], n[0]) } else { (n[0], n[1]) };
            (day, month, century(n[2], digits))
        }
        _ => return None,
    };
    ((1..=31).contains(&day) && (1..=12).contains(&month))
        .then(|| Amount::done((tongue.date)(day, month as usize - 1, Some(year), before)))?
}

/// A number with its unit, "%" or nothing behind it.
fn measured(text: &str, tongue: &Tongue) -> Option<Amount> {
    let (number, rest) = Number::read(text, tongue)?;
    match rest {
        "" if number.grouped || number.fraction.is_some() || number.minus => {
            Some(Amount { said: number.say(tongue), counts: Counts::Many })
        }
        "%" => Amount::done(format!("{} {}", number.count(tongue), tongue.words.percent)),
        "" => None,
        // "1x" is no "one time".
        "x" => Amount::done(format!("{} {}", number.say(tongue), tongue.unit("x")?.2)),
        unit => {
            let (_, one, many) = tongue.unit(unit)?;
            Amount::done(format!("{} {}", number.count(tongue), if number.is_one() { one } else { many }))
        }
    }
}

/// "1990s".
fn decade(text: &str, tongue: &Tongue) -> Option<Amount> {
    let year =
        text.strip_suffix('s').filter(|year| tongue.month_first && is_digits(year) && year.len() == 4)?;
    let year: u64 = year.parse().ok().filter(|year: &u64| year.is_multiple_of(10))?;
    let said = (tongue.year)(year);
    Amount::done(said.strip_suffix('y').map_or(format!("{said}s"), |stem| format!("{stem}ies")))
}

/// "1st", "22nd".
fn ordinal(text: &str, tongue: &Tongue) -> Option<Amount> {
    let (number, suffix) = Number::read(text, tongue)?;
    let value = number.value().filter(|_| number.fraction.is_none() && !number.minus)?;
    tongue.ordinal_suffixes.contains(&suffix).then(|| Amount::done((tongue.ordinal)(value, suffix)))?
}

/// "1/2", "2½".
fn part(text: &str, tongue: &Tongue) -> Option<Amount> {
    const SIGNS: [(char, u64, u64); 7] =
        [('½', 1, 2), ('¼', 1, 4), ('¾', 3, 4), ('⅓', 1, 3), ('⅔', 2, 3), ('⅛', 1, 8), ('⅕', 1, 5)];
    for (sign, over, under) in SIGNS {
        let Some(whole) = text.strip_suffix(sign) else { continue };
        let part = (tongue.part)(over, under)?;
        let part = part.strip_prefix("one half").map_or(part.clone(), |_| "a half".into());
        return match whole {
            "" => Some(Amount { said: (tongue.part)(over, under)?, counts: Counts::Many }),
            whole => {
                let whole = Number::exactly(whole, tongue)?.say(tongue);
                Some(Amount { said: format!("{whole} {} {part}", tongue.words.and), counts: Counts::Many })
            }
        };
    }
    let (over, under) = text.split_once('/')?;
    let (over, under) = (is_digits(over).then_some(over)?, is_digits(under).then_some(under)?);
    let (over, under) = (over.parse().ok()?, under.parse().ok()?);
    if over >= under {
        return None;
    }
    Some(Amount { said: (tongue.part)(over, under)?, counts: Counts::Many })
}

/// "9-5", "10–15%", "$5-10", "Mon-Fri", "9:00-17:00".
fn range(text: &str, tongue: &Tongue) -> Option<Amount> {
    let at = text.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '–' | '—')).map(|(at, _)| at)?;
    let (from, to) = (&text[..at], text[at..].trim_start_matches(['-', '–', '—']));
    if text[at..].chars().skip(1).any(|c| matches!(c, '-' | '–' | '—')) || to.is_empty() {
        return None;
    }
    let end = |text: &str| {
        let name = || tongue.weekday(text).map(str::to_owned).or_else(|| month(text, tongue));
        let known = || amount(text, tongue).map(|amount| amount.said);
        plain(text, tongue).or_else(known).or_else(name)
    };
    // What stands at one end only is meant for both.
    let from = match (
        from.strip_prefix(|c: char| !c.is_ascii_digit() && !c.is_alphabetic()),
        Number::exactly(to, tongue),
    ) {
        (Some(number), Some(_)) if tongue.currency(&from[..from.len() - number.len()]).is_some() => {
            let sign = &from[..from.len() - number.len()];
            let from = plain(number, tongue)?;
            return Amount::done(format!(
                "{from} {} {}",
                tongue.words.to,
                money(&format!("{sign}{to}"), tongue)?.said
            ));
        }
        _ => end(from)?,
    };
    let to_said = end(to)?;
    let counts = if Number::exactly(to, tongue).is_some() { Counts::Many } else { Counts::Nothing };
    Some(Amount { said: format!("{from} {} {to_said}", tongue.words.to), counts })
}

fn month(text: &str, tongue: &Tongue) -> Option<String> {
    tongue.month(text).map(|n| tongue.months[n].to_owned())
}

/// A bare number as an end of something.
fn plain(text: &str, tongue: &Tongue) -> Option<String> {
    let number = Number::exactly(text, tongue)?;
    let year = number.value().filter(|n| text.len() == 4 && (1100..2100).contains(n));
    Some(year.map_or_else(|| number.say(tongue), tongue.year))
}
