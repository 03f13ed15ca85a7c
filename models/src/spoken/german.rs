//! German.

use super::tongue::{Currency, Half, Rule, Tongue, Words};

const ONES: [&str; 20] = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const TENS: [&str; 10] =
    ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];

pub(super) static GERMAN: Tongue = Tongue {
    thousands: &['.', '\'', '’'],
    decimal: ',',
    month_first: false,
    pairs: false,
    digits: ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    cardinal,
    counting: |n| if n == 1 { "ein".into() } else { cardinal(n) },
    ordinal: |n, suffix| ordinal(n, if suffix == "ten" { suffix } else { "te" }),
    ordinal_suffixes: &["te", "ten", "ter", "tes"],
    year: |n| match (n / 100, n % 100) {
        (century @ 11..=19, rest) => {
            format!("{}hundert{}", below_hundred(century), if rest == 0 { String::new() } else { last(rest) })
        }
        _ => cardinal(n),
    },
    fraction: |whole, digits| format!("{} Komma {}", cardinal(whole), GERMAN.digit_by_digit(digits)),
    part: |numerator, denominator| {
        let name = match denominator {
            2 => {
                return Some(if numerator == 1 {
                    "ein halb".into()
                } else {
                    format!("{} halbe", cardinal(numerator))
                });
            }
            3 => "Drittel".to_owned(),
            4 => "Viertel".to_owned(),
            5..=10 | 100 => format!("{}l", ordinal(denominator, "te")),
            _ => return None,
        };
        Some(format!("{} {name}", (GERMAN.counting)(numerator)))
    },
    time: |hour, minute, half| {
        let hour = if half == Some(Half::Pm) && hour < 12 { hour + 12 } else { hour };
        let hours = if hour == 1 { "ein Uhr".to_owned() } else { format!("{} Uhr", cardinal(hour)) };
        if minute == 0 { hours } else { format!("{hours} {}", cardinal(minute)) }
    },
    date: |day, month, year, before| {
        let bent = ["am", "vom", "zum", "dem", "den", "bis", "ab", "im", "seit"].contains(&before);
        let date = format!("{} {}", ordinal(day, if bent { "ten" } else { "te" }), GERMAN.months[month % 12]);
        match year {
            Some(year) => format!("{date} {}", (GERMAN.year)(year)),
            None => date,
        }
    },
    money: |whole, hundredths, currency| {
        let units =
            format!("{} {}", (GERMAN.counting)(whole), if whole == 1 { currency.one } else { currency.many });
        match (whole, hundredths) {
            (_, 0) => units,
            (0, _) => format!("{} {}", (GERMAN.counting)(hundredths), currency.cents),
            _ => format!("{units} {}", cardinal(hundredths)),
        }
    },
    words: Words {
        at: "ät",
        dot: "Punkt",
        dash: "Bindestrich",
        underscore: "Unterstrich",
        slash: "Schrägstrich",
        plus: "plus",
        minus: "minus",
        times: "mal",
        equals: "gleich",
        and: "und",
        or: "oder",
        number: "Nummer",
        percent: "Prozent",
        about: "etwa",
        to: "bis",
        per: "pro",
        degrees: "Grad",
    },
    currencies: &[
        Currency { signs: &["€", "EUR"], one: "Euro", many: "Euro", cent: "Cent", cents: "Cent" },
        Currency { signs: &["$", "US$", "USD"], one: "Dollar", many: "Dollar", cent: "Cent", cents: "Cent" },
        Currency { signs: &["£", "GBP"], one: "Pfund", many: "Pfund", cent: "Pence", cents: "Pence" },
        Currency { signs: &["CHF"], one: "Franken", many: "Franken", cent: "Rappen", cents: "Rappen" },
    ],
    scales: &[
        ("Tsd", "tausend"),
        ("Tausend", "tausend"),
        ("Mio", "Millionen"),
        ("Millionen", "Millionen"),
        ("Mrd", "Milliarden"),
        ("Milliarden", "Milliarden"),
    ],
    units: &[
        ("km", "Kilometer", "Kilometer"),
        ("m", "Meter", "Meter"),
        ("cm", "Zentimeter", "Zentimeter"),
        ("mm", "Millimeter", "Millimeter"),
        ("m²", "Quadratmeter", "Quadratmeter"),
        ("qm", "Quadratmeter", "Quadratmeter"),
        ("kg", "Kilogramm", "Kilogramm"),
        ("g", "Gramm", "Gramm"),
        ("mg", "Milligramm", "Milligramm"),
        ("l", "Liter", "Liter"),
        ("ml", "Milliliter", "Milliliter"),
        ("km/h", "Kilometer pro Stunde", "Kilometer pro Stunde"),
        ("Std", "Stunde", "Stunden"),
        ("h", "Stunde", "Stunden"),
        ("min", "Minute", "Minuten"),
        ("Min", "Minute", "Minuten"),
        ("s", "Sekunde", "Sekunden"),
        ("Sek", "Sekunde", "Sekunden"),
        ("MB", "Megabyte", "Megabyte"),
        ("GB", "Gigabyte", "Gigabyte"),
        ("Hz", "Hertz", "Hertz"),
        ("kHz", "Kilohertz", "Kilohertz"),
        ("W", "Watt", "Watt"),
        ("kW", "Kilowatt", "Kilowatt"),
        ("kWh", "Kilowattstunde", "Kilowattstunden"),
        ("V", "Volt", "Volt"),
        ("°C", "Grad Celsius", "Grad Celsius"),
        ("°", "Grad", "Grad"),
        ("x", "mal", "mal"),
    ],
    months: [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    short_months: &[
        ("Jan", 0),
        ("Jänner", 0),
        ("Feb", 1),
        ("Mär", 2),
        ("Apr", 3),
        ("Jun", 5),
        ("Jul", 6),
        ("Aug", 7),
        ("Sept", 8),
        ("Sep", 8),
        ("Okt", 9),
        ("Nov", 10),
        ("Dez", 11),
    ],
    weekdays: &[
        ("Mo", "Montag"),
        ("Di", "Dienstag"),
        ("Mi", "Mittwoch"),
        ("Do", "Donnerstag"),
        ("Fr", "Freitag"),
        ("Sa", "Samstag"),
        ("So", "Sonntag"),
    ],
    abbreviations: &[
        ("Dr", "Doktor", Rule::Title),
        ("Prof", "Professor", Rule::Title),
        ("Hr", "Herr", Rule::Title),
        ("Hrn", "Herrn", Rule::Title),
        ("Fr", "Frau", Rule::Title),
        ("St", "Sankt", Rule::Title),
        ("Nr", "Nummer", Rule::Always),
        ("Str", "Straße", Rule::Dotted),
        ("Tel", "Telefon", Rule::Always),
        ("z.B", "zum Beispiel", Rule::Always),
        ("d.h", "das heißt", Rule::Always),
        ("u.a", "unter anderem", Rule::Always),
        ("usw", "und so weiter", Rule::Always),
        ("bzw", "beziehungsweise", Rule::Always),
        ("ca", "circa", Rule::Always),
        ("inkl", "inklusive", Rule::Always),
        ("max", "maximal", Rule::Dotted),
        ("min", "mindestens", Rule::Dotted),
        ("ggf", "gegebenenfalls", Rule::Always),
        ("evtl", "eventuell", Rule::Always),
        ("vgl", "vergleiche", Rule::Always),
        ("Abt", "Abteilung", Rule::Dotted),
        ("Mio", "Millionen", Rule::Always),
        ("Mrd", "Milliarden", Rule::Always),
        ("Tsd", "tausend", Rule::Always),
        ("und/oder", "und oder", Rule::Always),
    ],
    spelled: &["EU", "USA", "AG", "ARD", "EDV", "PLZ", "AI", "KI", "UN"],
    codes: &[
        "code",
        "pin",
        "durchwahl",
        "postleitzahl",
        "plz",
        "vorwahl",
        "kundennummer",
        "auftragsnummer",
        "bestellnummer",
        "rechnungsnummer",
        "aktenzeichen",
    ],
    links: &["nummer", "ist", "lautet"],
    clock: Some("Uhr"),
    dotted_days: true,
};

fn cardinal(n: u64) -> String {
    match n {
        0 => "null".into(),
        1..1_000_000 => last(n),
        _ => {
            let (power, one, many) = match n {
                1_000_000_000_000.. => (1_000_000_000_000, "eine Billion", "Billionen"),
                1_000_000_000.. => (1_000_000_000, "eine Milliarde", "Milliarden"),
                _ => (1_000_000, "eine Million", "Millionen"),
            };
            let front = match n / power {
                1 => one.to_owned(),
                count => format!("{} {many}", cardinal(count)),
            };
            if n.is_multiple_of(power) { front } else { format!("{front} {}", cardinal(n % power)) }
        }
    }
}

/// Below a million, in one word: 1 to 999,999.
fn last(n: u64) -> String {
    let mut word = String::new();
    if n >= 1000 {
        word.push_str(&front(n / 1000));
        word.push_str("tausend");
    }
    let rest = n % 1000;
    if rest >= 100 {
        word.push_str(&front(rest / 100));
        word.push_str("hundert");
    }
    if !rest.is_multiple_of(100) {
        word.push_str(&below_hundred(rest % 100));
    }
    word
}

/// In front of "hundert" and "tausend" a one is "ein".
fn front(n: u64) -> String {
    let word = last(n);
    word.strip_suffix("eins").map_or(word.clone(), |stem| format!("{stem}ein"))
}

fn below_hundred(n: u64) -> String {
    let (tens, ones) = (TENS[(n / 10) as usize % 10], (n % 10) as usize);
    match (n, ones) {
        (0..20, _) => ONES[n as usize].to_owned(),
        (_, 0) => tens.to_owned(),
        (_, 1) => format!("einund{tens}"),
        _ => format!("{}und{tens}", ONES[ones]),
    }
}

/// `ending`: "te" or "ten"; from 20 on an s comes before it.
fn ordinal(n: u64, ending: &str) -> String {
    let said = cardinal(n);
    let end = |stem: &str, with: &str| format!("{stem}{with}{}", ending.trim_start_matches('t'));
    match n % 100 {
        1 => end(said.trim_end_matches("eins"), "erst"),
        3 => end(said.trim_end_matches("drei"), "dritt"),
        7 => end(said.trim_end_matches("sieben"), "siebt"),
        8 => end(said.trim_end_matches("acht"), "acht"),
        2..20 => end(&said, "t"),
        _ => end(&said, "st"),
    }
}
