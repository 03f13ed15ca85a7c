//! Addresses: e-mail, web, telephone.

use super::number::{digits_in_front, is_digits};
use super::tongue::{Tongue, groups};

/// What a host's last part may be for a bare "example.com" to be an address, and not a file or two sentences.
const TOP: [&str; 38] = [
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "name", "app", "dev", "shop", "online",
    "cloud", "tech", "io", "ai", "co", "me", "tv", "us", "uk", "ca", "au", "de", "at", "ch", "fr", "es",
    "it", "nl", "be", "eu", "pl", "pt", "mx", "br",
];
/// Two letters that are read as a word.
const READ: [&str; 4] = ["co", "me", "to", "be"];

/// "info@example.com".
pub(super) fn email(text: &str, tongue: &Tongue) -> Option<String> {
    let (local, host) = text.split_once('@')?;
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if local.is_empty() || !local.chars().all(fine) || !is_host(host) {
        return None;
    }
    Some(format!("{} {} {}", pieces(local, tongue), tongue.words.at, host_name(host, tongue)))
}

/// "www.example.com/help", with or without its scheme.
pub(super) fn url(text: &str, tongue: &Tongue) -> Option<String> {
    let bare = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let (host, path) = match bare.unwrap_or(text).split_once('/') {
        Some((host, path)) => (host, path),
        None => (bare.unwrap_or(text), ""),
    };
    let last = host.rsplit('.').next()?.to_lowercase();
    let known = bare.is_some() || host.starts_with("www.") || TOP.contains(&last.as_str());
    if !known || !is_host(host) {
        return None;
    }
    let mut said = host_name(host, tongue);
    // What follows a question mark nobody says.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        said = format!("{said} {} {}", tongue.words.slash, pieces(part, tongue));
    }
    Some(said)
}

fn is_host(text: &str) -> bool {
    let labels: Vec<_> = text.split('.').collect();
    let fine = |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    labels.len() >= 2 && labels.iter().all(fine) && labels[labels.len() - 1].chars().all(char::is_alphabetic)
}

fn host_name(host: &str, tongue: &Tongue) -> String {
    let labels: Vec<_> = host.split('.').collect();
    let last = labels.len() - 1;
    let said = labels.iter().enumerate().map(|(n, label)| match label.to_lowercase().as_str() {
        "www" => "W.W.W".to_owned(),
        country if n == last && country.len() == 2 && !READ.contains(&country) => spelled(country),
        _ => pieces(label, tongue),
    });
    said.collect::<Vec<_>>().join(&format!(" {} ", tongue.words.dot))
}

/// Letters for themselves: "F.B.I" is what a voice spells.
pub(super) fn spelled(letters: &str) -> String {
    letters.chars().map(|c| c.to_uppercase().to_string()).collect::<Vec<_>>().join(".")
}

/// Words, signs and digits of an address, one after the other.
fn pieces(text: &str, tongue: &Tongue) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '0'..='9' => digits_in_front(rest),
            c if c.is_alphabetic() => rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, more) = rest.split_at(length);
        rest = more;
        said.push(match c {
            '0'..='9' => tongue.digit_by_digit(piece),
            '.' => tongue.words.dot.to_owned(),
            '-' => tongue.words.dash.to_owned(),
            '_' => tongue.words.underscore.to_owned(),
            '+' => tongue.words.plus.to_owned(),
            // One letter for itself is a letter, not an article.
            c if c.is_alphabetic() && piece.len() == c.len_utf8() => spelled(piece),
            c if c.is_alphabetic() => piece.to_owned(),
            _ => continue,
        });
    }
    said.join(" ")
}

/// A telephone number in the groups in which it is written, or in which it is said where it is written without.
pub(super) fn phone(text: &str, tongue: &Tongue) -> Option<String> {
    let plus = text.starts_with('+');
    let fine = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '(' | ')' | '-' | '–' | '.' | '/');
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if !unsigned.chars().all(fine) || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '(') {
        return None;
    }
    let parts: Vec<&str> =
        unsigned.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let count: usize = lengths.iter().sum();
    let dashed = unsigned.contains(['-', '.', '(']) && !unsigned.contains("..");
    let spaced = !unsigned.contains(['-', '.', '(', '/']);
    let is_one = match lengths.as_slice() {
        _ if plus => (7..=15).contains(&count),
        [3, 3, 4] => true,
        [1, 3, 3, 4] => parts[0] == "1",
        [3, 4] => dashed && !unsigned.contains('.'),
        // A date in figures is none, nor is a fraction.
        [..] if parts[0].starts_with('0') => count >= 7 && !(spaced && lengths.len() == 1 && count < 9),
        [_, _, ..] => {
            let usual = lengths.iter().all(|n| (2..=4).contains(n)) && lengths.len() >= 3;
            usual && spaced && (9..=11).contains(&count) && !tongue.pairs
        }
        _ => false,
    };
    if !is_one {
        return None;
    }
    let digits: String = parts.concat();
    let parts = match (plus, parts.as_slice()) {
        // Of the North American plan: country, area, exchange, line.
        (true, [_]) if digits.len() == 11 && digits.starts_with('1') => {
            vec![&digits[..1], &digits[1..4], &digits[4..7], &digits[7..]]
        }
        _ => parts.iter().flat_map(|part| groups(part)).collect(),
    };
    let said = match tongue.pairs && !plus && digits.len().is_multiple_of(2) {
        true => in_pairs(&digits, tongue),
        false => parts.iter().map(|part| tongue.digit_by_digit(part)).collect::<Vec<_>>().join(", "),
    };
    Some(if plus { format!("{} {said}", tongue.words.plus) } else { said })
}

/// "01 23" as the French say it: "zéro un, vingt-trois".
fn in_pairs(digits: &str, tongue: &Tongue) -> String {
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = String::from_utf8_lossy(pair);
        match pair.parse::<u64>() {
            Ok(n) if !pair.starts_with('0') => (tongue.cardinal)(n),
            _ => tongue.digit_by_digit(&pair),
        }
    });
    pairs.collect::<Vec<_>>().join(", ")
}

/// "192.168.0.1", "2.0.1": numbers with dots between them.
pub(super) fn version(text: &str, tongue: &Tongue) -> Option<String> {
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() < 3 || !parts.iter().all(|part| is_digits(part)) {
        return None;
    }
    let said = parts.iter().map(|part| match part.parse::<u64>() {
        Ok(n) if part.len() == 1 || !part.starts_with('0') => (tongue.cardinal)(n),
        _ => tongue.in_groups(part),
    });
    Some(said.collect::<Vec<_>>().join(&format!(" {} ", tongue.words.dot)))
}
