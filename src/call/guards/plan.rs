//! What a number is, before anybody rings it: an emergency number, a service, a crisis line, a premium line, or a number like
//! any other. Tables and patterns, no state.
//!
//! Short numbers come from `numbers.txt`. What is premium, and which numbers a country has given out at all, comes from
//! libphonenumber's data, whose patterns are compiled once per country code, when it is first called.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};
use regex::Regex;

use crate::domain::E164;

/// Why a number is nobody's to ring without thinking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Danger {
    /// The number is in no numbering plan: nobody can have been given it. A carrier may still do something with it.
    Unassigned,
    /// Rings somebody who charges for it: premium rates, personal numbers, satellites, directory enquiries.
    Premium,
    /// N11 and its like.
    Service,
    Crisis,
    Emergency,
}

/// Emergency numbers that telephones and carriers know everywhere.
const EVERYWHERE: [&str; 4] = ["112", "911", "999", "000"];
/// What stands before a number on a private exchange, or before one that is dialled abroad.
const ACCESS: [&str; 9] = ["", "0", "9", "8", "1", "00", "99", "90", "09"];
/// Country codes that are networks rather than countries, and dear: satellites, international premium rate, universal
/// personal numbers (ITU-T E.164.1).
const NETWORKS: [&str; 7] = ["870", "878", "881", "882", "883", "888", "979"];

/// The entries of `numbers.txt`: those of one country, by its ISO 3166-1 code.
static SHORT: LazyLock<HashMap<&'static str, Vec<(Danger, &'static str)>>> = LazyLock::new(|| {
    let mut lists: HashMap<_, Vec<_>> = HashMap::new();
    for (danger, region, number) in entries().filter(|(.., number)| !number.starts_with('+')) {
        lists.entry(region).or_default().push((danger, number));
    }
    lists
});

/// Those of the whole world.
static FULL: LazyLock<HashMap<&'static str, Danger>> = LazyLock::new(|| {
    entries()
        .filter(|(.., number)| number.starts_with('+'))
        .map(|(danger, _, number)| (number, danger))
        .collect()
});

pub(super) fn entries() -> impl Iterator<Item = (Danger, &'static str, &'static str)> {
    let lines = include_str!("numbers.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| {
        let mut words = line.split(' ');
        let (kind, region) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let danger = match kind {
            "emergency" => Danger::Emergency,
            "service" => Danger::Service,
            "crisis" => Danger::Crisis,
            _ => Danger::Premium,
        };
        words.map(move |number| (danger, region, number))
    })
}

/// The patterns of one country code, of all countries that share it.
struct Country {
    regions: Vec<&'static str>,
    assigned: Option<Regex>,
    dear: Option<Regex>,
}

impl Country {
    fn of(code: u16) -> Option<&'static Self> {
        static KNOWN: LazyLock<Mutex<HashMap<u16, Option<&'static Country>>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        // Kept for good: there are some 230 codes.
        *known
            .entry(code)
            .or_insert_with(|| Self::compile(code).map(|country| &*Box::leak(Box::new(country))))
    }

    fn compile(code: u16) -> Option<Self> {
        let plans: Vec<&'static Metadata> = DATABASE.by_code(&code)?;
        let all = |pick: &dyn Fn(&'static Metadata) -> Vec<Option<&'static Descriptor>>| {
            let patterns: Vec<_> = plans
                .iter()
                .flat_map(|plan| pick(plan))
                .flatten()
                .map(|one| one.national_number().as_str())
                .filter(|pattern| *pattern != "NA" && !pattern.is_empty())
                .map(|pattern| format!("(?:{pattern})"))
                .collect();
            let text = format!("(?x)^(?:{})$", patterns.join("|"));
            (!patterns.is_empty()).then(|| Regex::new(&text).ok()).flatten()
        };
        Some(Self {
            regions: plans.iter().map(|plan| plan.id()).collect(),
            assigned: all(&|plan| {
                let d = plan.descriptors();
                vec![
                    d.fixed_line(),
                    d.mobile(),
                    d.toll_free(),
                    d.premium_rate(),
                    d.shared_cost(),
                    d.personal_number(),
                    d.voip(),
                    d.pager(),
                    d.uan(),
                    d.voicemail(),
                ]
            }),
            dear: all(&|plan| {
                let d = plan.descriptors();
                vec![d.premium_rate(), d.personal_number(), d.pager()]
            }),
        })
    }
}

/// The country code at the head of a number's digits, and what follows it. No code is the beginning of another.
fn split(digits: &str) -> Option<(u16, &str)> {
    (1..=3.min(digits.len())).find_map(|at| {
        let (code, national) = digits.split_at_checked(at)?;
        let code: u16 = code.parse().ok()?;
        DATABASE.region(&code).map(|_| (code, national))
    })
}

/// The countries whose short numbers may be meant where a number of this one's is dialled from.
pub(super) fn regions_of(number: &E164) -> Vec<&'static str> {
    let Some((country, national)) =
        split(number.digits()).and_then(|(code, rest)| Some((Country::of(code)?, rest)))
    else {
        return Vec::new();
    };
    // Of those that share a code the main one stands first; the number itself may tell which it is.
    let own = country.regions.iter().copied().find(|region| {
        let plan = DATABASE.by_id(*region);
        plan.and_then(|plan| plan.leading_digits())
            .and_then(|lead| lead.find(national))
            .is_some_and(|m| m.start() == 0)
    });
    country.regions.first().copied().into_iter().chain(own).collect()
}

/// What a number in its international form is.
pub(super) fn of_number(number: &E164) -> Option<Danger> {
    let digits = number.digits();
    if let Some(danger) = FULL.get(number.as_str()) {
        return Some(*danger);
    }
    if NETWORKS.iter().any(|code| digits.starts_with(code)) {
        return Some(Danger::Premium);
    }
    let Some((code, national)) = split(digits) else { return Some(Danger::Unassigned) };
    let Some(country) = Country::of(code) else { return Some(Danger::Unassigned) };
    let matches =
        |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|pattern| pattern.is_match(national));
    if matches(&country.dear) || (code == 1 && is_dear_in_north_america(national)) {
        return Some(Danger::Premium);
    }
    if matches(&country.assigned) {
        return None;
    }
    // 555 is the area code of fiction, and stands in every manual: a call there costs nobody anything.
    if code == 1 && national.len() == 10 && national.starts_with("555") {
        return None;
    }
    // A carrier that writes it as it would be dialled at home may hear the emergency number at its head.
    let head_of = |regions: &[&'static str]| {
        let short = regions.iter().flat_map(|region| short_of(region));
        let heads = short.filter(|(_, entry)| national.starts_with(entry.trim_end_matches('*')));
        heads.map(|(danger, _)| danger).filter(|danger| *danger != Danger::Premium).max()
    };
    // Of the countries that share a code the first is the main one.
    head_of(&country.regions[..1]).or_else(|| head_of(&country.regions)).or(Some(Danger::Unassigned))
}

/// 976 is an exchange that charges, in every area code.
fn is_dear_in_north_america(national: &str) -> bool {
    national.starts_with("900") || (national.len() == 10 && national.get(3..6) == Some("976"))
}

fn short_of(region: &str) -> impl Iterator<Item = (Danger, &'static str)> {
    SHORT.get(region).into_iter().flatten().copied()
}

/// What the user part of an address is, where it could be a number that is dialled from one of these countries: it is read in
/// every way in which a trunk or an exchange might, and the worst is what counts. `None`: it is no number, or one like any other.
pub(super) fn of_dialled(user: &str, regions: &[&'static str]) -> Option<Danger> {
    readings(user).iter().filter_map(|reading| of_reading(reading, regions)).max()
}

/// Every number that a trunk or an exchange might take from the user part of an address; none where it holds letters.
pub(super) fn readings(user: &str) -> Vec<String> {
    let user = user.split(';').next().unwrap_or_default();
    let plain: String =
        user.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '_')).collect();
    if plain.is_empty() || !plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '*' | '#' | ',')) {
        return Vec::new();
    }
    let mut readings = vec![plain.clone()];
    // Feature codes: *67911 withholds the caller's number and rings 911.
    for part in plain.split(['*', '#', ',']).filter(|part| !part.is_empty() && *part != plain) {
        readings.extend(
            (0..=3).filter_map(|code| part.get(code..)).filter(|rest| !rest.is_empty()).map(str::to_owned),
        );
    }
    readings
}

fn of_reading(reading: &str, regions: &[&'static str]) -> Option<Danger> {
    let digits = reading.trim_start_matches('+');
    let as_short = || {
        let emergencies = EVERYWHERE.iter().map(|number| (Danger::Emergency, *number));
        let known: Vec<_> = emergencies.chain(regions.iter().flat_map(|region| short_of(region))).collect();
        let rests = ACCESS.iter().filter_map(|access| digits.strip_prefix(access));
        rests
            .flat_map(|rest| {
                known.iter().filter(move |(_, entry)| match entry.strip_suffix('*') {
                    Some(head) => rest.starts_with(head) && (3..=6).contains(&rest.len()),
                    None => rest == *entry,
                })
            })
            .map(|(danger, _)| *danger)
            .max()
    };
    let international =
        |digits: &str| format!("+{digits}").parse::<E164>().ok().map(|number| of_number(&number));
    if reading.starts_with('+') {
        // Too short for a number, it may be a short one behind its country's code.
        let behind_its_code = split(digits).and_then(|(code, national)| {
            let regions = &Country::of(code)?.regions;
            regions.iter().flat_map(|region| short_of(region)).find(|(_, entry)| *entry == national)
        });
        let behind_its_code = behind_its_code.map(|(danger, _)| danger);
        return as_short().max(behind_its_code).max(international(digits).flatten());
    }
    let mut found = as_short();
    let mut is_somebody = false;
    for access in ACCESS {
        let Some(rest) = digits.strip_prefix(access).filter(|rest| rest.len() >= 7) else { continue };
        // As dialled at home, behind the country's own prefix or without it; and from abroad, with 00, 011 or nothing.
        let homes = regions.iter().filter_map(|region| DATABASE.by_id(*region));
        let homes = homes.flat_map(|home| {
            let prefix = home.national_prefix().unwrap_or_default();
            let bare = rest.strip_prefix(prefix).unwrap_or(rest);
            [format!("{}{rest}", home.country_code()), format!("{}{bare}", home.country_code())]
        });
        let abroad = ["00", "011", "0011", "010", ""].into_iter().filter_map(|head| rest.strip_prefix(head));
        for reading in homes.chain(abroad.map(str::to_owned)) {
            match international(&reading) {
                Some(None) => is_somebody = true,
                Some(Some(danger @ (Danger::Premium | Danger::Crisis))) => found = found.max(Some(danger)),
                Some(Some(_)) | None => {}
            }
        }
    }
    // Exchanges ring 911 for 9115 as well: further digits come too late.
    let heads = EVERYWHERE[..3].iter().copied().chain(regions.iter().flat_map(|region| {
        short_of(region)
            .filter(|(danger, entry)| *danger == Danger::Emergency && entry.len() >= 3)
            .map(|(_, entry)| entry)
    }));
    let overdialled = heads.into_iter().any(|entry| digits.len() > entry.len() && digits.starts_with(entry));
    if overdialled && !is_somebody { Some(Danger::Emergency) } else { found }
}

/// Countries that the operator names, as far as there are any of that name.
pub(super) fn regions_named(names: &[String]) -> impl Iterator<Item = &'static str> {
    names.iter().filter_map(|name| DATABASE.by_id(name.as_str()).map(|plan| plan.id()))
}
