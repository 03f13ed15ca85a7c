//! French.

use super::tongue::{Currency, Rule, Tongue, Words};

const SMALL: [&str; 17] = [
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
    "treize", "quatorze", "quinze", "seize",
];
const TENS: [&str; 7] = ["", "", "vingt", "trente", "quarante", "cinquante", "soixante"];

pub(super) static FRENCH: Tongue = Tongue {
    // Groups of three are mostly parted by spaces, which the reader sees to; this is how the Swiss write.
    thousands: &['\'', '’'],
    decimal: ',',
    month_first: false,
    pairs: true,
    digits: ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    cardinal,
    counting: cardinal,
    ordinal,
    ordinal_suffixes: &["er", "re", "ère", "e", "ème", "eme", "nd", "nde", "ᵉ"],
    year: cardinal,
    fraction: |whole, digits| {
        let plain = digits.len() <= 2 && !digits.starts_with('0');
        let said = digits.parse().ok().filter(|_| plain).map(cardinal);
        format!("{} virgule {}", cardinal(whole), said.unwrap_or_else(|| FRENCH.digit_by_digit(digits)))
    },
    part: |numerator, denominator| {
        let name = match denominator {
            2 => {
                return Some(if numerator == 1 {
                    "un demi".into()
                } else {
                    format!("{} demis", cardinal(numerator))
                });
            }
            3 => "tiers".to_owned(),
            4 => if numerator == 1 { "quart" } else { "quarts" }.to_owned(),
            5..=10 => format!("{}{}", ordinal(denominator, "e"), if numerator == 1 { "" } else { "s" }),
            _ => return None,
        };
        Some(format!("{} {name}", cardinal(numerator)))
    },
    time: |hour, minute, _| {
        let hours = match hour {
            0 => "zéro heure".to_owned(),
            1 => "une heure".to_owned(),
            _ => format!("{} heures", cardinal(hour)),
        };
        if minute == 0 { hours } else { format!("{hours} {}", cardinal(minute)) }
    },
    date: |day, month, year, _| {
        let day = if day == 1 { "premier".to_owned() } else { cardinal(day) };
        let date = format!("{day} {}", FRENCH.months[month % 12]);
        match year {
            Some(year) => format!("{date} {}", cardinal(year)),
            None => date,
        }
    },
    money: |whole, hundredths, currency| {
        let name = |n, one, many| if n < 2 { one } else { many };
        let units = format!("{} {}", cardinal(whole), name(whole, currency.one, currency.many));
        match (whole, hundredths) {
            (_, 0) => units,
            (0, _) => format!("{} {}", cardinal(hundredths), name(hundredths, currency.cent, currency.cents)),
            _ => format!("{units} {}", cardinal(hundredths)),
        }
    },
    words: Words {
        at: "arobase",
        dot: "point",
        dash: "tiret",
        underscore: "tiret bas",
        slash: "barre oblique",
        plus: "plus",
        minus: "moins",
        times: "fois",
        equals: "égale",
        and: "et",
        or: "ou",
        number: "numéro",
        percent: "pour cent",
        about: "environ",
        to: "à",
        per: "par",
        degrees: "degrés",
    },
    currencies: &[
        Currency { signs: &["€", "EUR"], one: "euro", many: "euros", cent: "centime", cents: "centimes" },
        Currency {
            signs: &["$", "US$", "USD"],
            one: "dollar",
            many: "dollars",
            cent: "cent",
            cents: "cents",
        },
        Currency { signs: &["£", "GBP"], one: "livre", many: "livres", cent: "penny", cents: "pence" },
        Currency { signs: &["CHF"], one: "franc", many: "francs", cent: "centime", cents: "centimes" },
    ],
    scales: &[
        ("mille", "mille"),
        ("million", "million d'"),
        ("millions", "millions d'"),
        ("M", "millions d'"),
    ],
    units: &[
        ("km", "kilomètre", "kilomètres"),
        ("m", "mètre", "mètres"),
        ("cm", "centimètre", "centimètres"),
        ("mm", "millimètre", "millimètres"),
        ("m²", "mètre carré", "mètres carrés"),
        ("kg", "kilo", "kilos"),
        ("g", "gramme", "grammes"),
        ("mg", "milligramme", "milligrammes"),
        ("l", "litre", "litres"),
        ("L", "litre", "litres"),
        ("ml", "millilitre", "millilitres"),
        ("km/h", "kilomètre à l'heure", "kilomètres à l'heure"),
        ("min", "minute", "minutes"),
        ("s", "seconde", "secondes"),
        ("Mo", "mégaoctet", "mégaoctets"),
        ("Go", "gigaoctet", "gigaoctets"),
        ("W", "watt", "watts"),
        ("kW", "kilowatt", "kilowatts"),
        ("°C", "degré Celsius", "degrés Celsius"),
        ("°", "degré", "degrés"),
        ("x", "fois", "fois"),
    ],
    months: [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    short_months: &[
        ("janv", 0),
        ("févr", 1),
        ("avr", 3),
        ("juil", 6),
        ("sept", 8),
        ("oct", 9),
        ("nov", 10),
        ("déc", 11),
    ],
    weekdays: &[
        ("lun", "lundi"),
        ("mer", "mercredi"),
        ("jeu", "jeudi"),
        ("ven", "vendredi"),
        ("sam", "samedi"),
        ("dim", "dimanche"),
    ],
    abbreviations: &[
        ("Dr", "docteur", Rule::Title),
        ("M", "monsieur", Rule::Title),
        ("Mme", "madame", Rule::Title),
        ("Mlle", "mademoiselle", Rule::Title),
        ("MM", "messieurs", Rule::Title),
        ("Me", "maître", Rule::Title),
        ("St", "saint", Rule::Title),
        ("Ste", "sainte", Rule::Title),
        ("av", "avenue", Rule::Dotted),
        ("bd", "boulevard", Rule::Always),
        ("n°", "numéro", Rule::Always),
        ("N°", "numéro", Rule::Always),
        ("no", "numéro", Rule::BeforeNumber),
        ("tél", "téléphone", Rule::Always),
        ("Tél", "téléphone", Rule::Always),
        ("env", "environ", Rule::Dotted),
        ("etc", "et cetera", Rule::Always),
        ("p.ex", "par exemple", Rule::Always),
        ("c.-à-d", "c'est-à-dire", Rule::Always),
        ("max", "maximum", Rule::Dotted),
        ("min", "minimum", Rule::Dotted),
        ("RDV", "rendez-vous", Rule::Always),
        ("rdv", "rendez-vous", Rule::Always),
        ("et/ou", "et ou", Rule::Always),
    ],
    spelled: &["UE", "ONG", "IA", "TVA"],
    codes: &["code", "poste", "postal", "commande", "référence", "dossier", "réservation", "facture"],
    links: &["numéro", "est", "postal"],
    clock: None,
    dotted_days: false,
};

fn cardinal(n: u64) -> String {
    match n {
        0..17 => SMALL[n as usize].to_owned(),
        17..20 => format!("dix-{}", SMALL[(n - 10) as usize]),
        20..70 => tens(TENS[(n / 10) as usize], n % 10, true),
        70..80 => tens("soixante", n - 60, true),
        80 => "quatre-vingts".to_owned(),
        81..100 => tens("quatre-vingt", n - 80, false),
        100..1000 => {
            let (count, rest) = (n / 100, n % 100);
            match (count, rest) {
                (1, _) => joined("cent".to_owned(), rest),
                (_, 0) => format!("{} cents", cardinal(count)),
                _ => joined(format!("{} cent", cardinal(count)), rest),
            }
        }
        1000..2000 => joined("mille".to_owned(), n % 1000),
        2000..1_000_000 => {
            // In front of "mille" neither "cents" nor "vingts" has its s.
            let count = cardinal(n / 1000);
            let count = ["cents", "vingts"]
                .iter()
                .find_map(|end| count.strip_suffix(end).map(|_| &count[..count.len() - 1]))
                .unwrap_or(&count)
                .to_owned();
            joined(format!("{count} mille"), n % 1000)
        }
        _ => {
            let (power, name) = match n {
                1_000_000_000_000.. => (1_000_000_000_000, "billion"),
                1_000_000_000.. => (1_000_000_000, "milliard"),
                _ => (1_000_000, "million"),
            };
            let count = n / power;
            let many = if count > 1 { "s" } else { "" };
            joined(format!("{} {name}{many}", cardinal(count)), n % power)
        }
    }
}

/// `et`: whether a one is joined by it, as in "vingt et un", but not in "quatre-vingt-un".
fn tens(front: &str, rest: u64, et: bool) -> String {
    match rest {
        0 => front.to_owned(),
        1 | 11 if et => format!("{front} et {}", SMALL[rest as usize]),
        _ => format!("{front}-{}", cardinal(rest)),
    }
}

fn joined(front: String, rest: u64) -> String {
    if rest == 0 { front } else { format!("{front} {}", cardinal(rest)) }
}

fn ordinal(n: u64, suffix: &str) -> String {
    match (n, suffix) {
        (1, "re" | "ère") => return "première".to_owned(),
        (1, _) => return "premier".to_owned(),
        (2, "nd") => return "second".to_owned(),
        (2, "nde") => return "seconde".to_owned(),
        _ => {}
    }
    let said = cardinal(n);
    let stem = match said.as_str() {
        said if said.ends_with("cinq") => format!("{said}u"),
        said if said.ends_with("neuf") => format!("{}v", said.trim_end_matches('f')),
        said if said.ends_with("vingts") || said.ends_with("cents") => said.trim_end_matches('s').to_owned(),
        said => said.trim_end_matches('e').to_owned(),
    };
    format!("{stem}ième")
}
