//! English, as Americans say it on the telephone.

use super::tongue::{Currency, Half, Rule, Tongue, Words};

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const POWERS: [(u64, &str); 4] = [
    (1_000_000_000_000, "trillion"),
    (1_000_000_000, "billion"),
    (1_000_000, "million"),
    (1_000, "thousand"),
];

pub(super) static ENGLISH: Tongue = Tongue {
    thousands: &[','],
    decimal: '.',
    month_first: true,
    pairs: false,
    digits: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    cardinal,
    counting: cardinal,
    ordinal: |n, _| ordinal(n),
    ordinal_suffixes: &["st", "nd", "rd", "th"],
    year,
    fraction: |whole, digits| format!("{} point {}", cardinal(whole), ENGLISH.digit_by_digit(digits)),
    part,
    time,
    date,
    money,
    words: Words {
        at: "at",
        dot: "dot",
        dash: "dash",
        underscore: "underscore",
        slash: "slash",
        plus: "plus",
        minus: "minus",
        times: "times",
        equals: "equals",
        and: "and",
        or: "or",
        number: "number",
        percent: "percent",
        about: "about",
        to: "to",
        per: "per",
        degrees: "degrees",
    },
    currencies: &[
        Currency {
            signs: &["$", "US$", "USD"],
            one: "dollar",
            many: "dollars",
            cent: "cent",
            cents: "cents",
        },
        Currency { signs: &["€", "EUR"], one: "euro", many: "euros", cent: "cent", cents: "cents" },
        Currency { signs: &["£", "GBP"], one: "pound", many: "pounds", cent: "penny", cents: "pence" },
        Currency { signs: &["¥", "JPY"], one: "yen", many: "yen", cent: "sen", cents: "sen" },
        Currency { signs: &["CHF"], one: "franc", many: "francs", cent: "centime", cents: "centimes" },
        Currency {
            signs: &["CAD", "C$"],
            one: "Canadian dollar",
            many: "Canadian dollars",
            cent: "cent",
            cents: "cents",
        },
        Currency { signs: &["¢"], one: "cent", many: "cents", cent: "cent", cents: "cents" },
    ],
    scales: &[
        ("k", "thousand"),
        ("K", "thousand"),
        ("M", "million"),
        ("m", "million"),
        ("B", "billion"),
        ("bn", "billion"),
        ("hundred", "hundred"),
        ("thousand", "thousand"),
        ("million", "million"),
        ("billion", "billion"),
        ("trillion", "trillion"),
    ],
    units: &[
        ("km", "kilometer", "kilometers"),
        ("m", "meter", "meters"),
        ("cm", "centimeter", "centimeters"),
        ("mm", "millimeter", "millimeters"),
        ("mi", "mile", "miles"),
        ("ft", "foot", "feet"),
        ("yd", "yard", "yards"),
        ("yds", "yard", "yards"),
        ("sqft", "square foot", "square feet"),
        ("m²", "square meter", "square meters"),
        ("km²", "square kilometer", "square kilometers"),
        ("kg", "kilogram", "kilograms"),
        ("g", "gram", "grams"),
        ("mg", "milligram", "milligrams"),
        ("lb", "pound", "pounds"),
        ("lbs", "pound", "pounds"),
        ("oz", "ounce", "ounces"),
        ("L", "liter", "liters"),
        ("l", "liter", "liters"),
        ("ml", "milliliter", "milliliters"),
        ("mL", "milliliter", "milliliters"),
        ("gal", "gallon", "gallons"),
        ("mph", "mile per hour", "miles per hour"),
        ("km/h", "kilometer per hour", "kilometers per hour"),
        ("kph", "kilometer per hour", "kilometers per hour"),
        ("h", "hour", "hours"),
        ("hr", "hour", "hours"),
        ("hrs", "hour", "hours"),
        ("min", "minute", "minutes"),
        ("mins", "minute", "minutes"),
        ("sec", "second", "seconds"),
        ("secs", "second", "seconds"),
        ("s", "second", "seconds"),
        ("ms", "millisecond", "milliseconds"),
        ("KB", "kilobyte", "kilobytes"),
        ("MB", "megabyte", "megabytes"),
        ("GB", "gigabyte", "gigabytes"),
        ("TB", "terabyte", "terabytes"),
        ("Mbps", "megabit per second", "megabits per second"),
        ("Gbps", "gigabit per second", "gigabits per second"),
        ("Hz", "hertz", "hertz"),
        ("kHz", "kilohertz", "kilohertz"),
        ("MHz", "megahertz", "megahertz"),
        ("GHz", "gigahertz", "gigahertz"),
        ("W", "watt", "watts"),
        ("kW", "kilowatt", "kilowatts"),
        ("kWh", "kilowatt hour", "kilowatt hours"),
        ("V", "volt", "volts"),
        ("°C", "degree Celsius", "degrees Celsius"),
        ("°F", "degree Fahrenheit", "degrees Fahrenheit"),
        ("°", "degree", "degrees"),
        ("x", "time", "times"),
    ],
    months: [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    short_months: &[
        ("Jan", 0),
        ("Feb", 1),
        ("Mar", 2),
        ("Apr", 3),
        ("Jun", 5),
        ("Jul", 6),
        ("Aug", 7),
        ("Sep", 8),
        ("Sept", 8),
        ("Oct", 9),
        ("Nov", 10),
        ("Dec", 11),
    ],
    weekdays: &[
        ("Mon", "Monday"),
        ("Tue", "Tuesday"),
        ("Tues", "Tuesday"),
        ("Wed", "Wednesday"),
        ("Thu", "Thursday"),
        ("Thur", "Thursday"),
        ("Thurs", "Thursday"),
        ("Fri", "Friday"),
        ("Sat", "Saturday"),
        ("Sun", "Sunday"),
    ],
    abbreviations: &[
        ("Dr", "Doctor", Rule::Title),
        ("Mr", "Mister", Rule::Title),
        ("Mrs", "Missus", Rule::Title),
        ("Ms", "Miz", Rule::Title),
        ("Prof", "Professor", Rule::Title),
        ("Gen", "General", Rule::Title),
        ("Col", "Colonel", Rule::Title),
        ("Capt", "Captain", Rule::Title),
        ("Lt", "Lieutenant", Rule::Title),
        ("Sgt", "Sergeant", Rule::Title),
        ("Rev", "Reverend", Rule::Title),
        ("Hon", "Honorable", Rule::Title),
        ("St", "Saint", Rule::Title),
        ("Mt", "Mount", Rule::Title),
        ("Ft", "Fort", Rule::Title),
        ("St", "Street", Rule::Dotted),
        ("Dr", "Drive", Rule::Dotted),
        ("Ave", "Avenue", Rule::Dotted),
        ("Blvd", "Boulevard", Rule::Always),
        ("Rd", "Road", Rule::Always),
        ("Ln", "Lane", Rule::Dotted),
        ("Hwy", "Highway", Rule::Always),
        ("Pkwy", "Parkway", Rule::Always),
        ("Apt", "apartment", Rule::Dotted),
        ("Apt", "apartment", Rule::BeforeNumber),
        ("Ste", "suite", Rule::Dotted),
        ("Jr", "Junior", Rule::Always),
        ("Sr", "Senior", Rule::Always),
        ("Inc", "Incorporated", Rule::Dotted),
        ("Ltd", "Limited", Rule::Dotted),
        ("Corp", "Corporation", Rule::Dotted),
        ("Co", "Company", Rule::Dotted),
        ("Dept", "department", Rule::Always),
        ("dept", "department", Rule::Always),
        ("No", "number", Rule::BeforeNumber),
        ("no", "number", Rule::BeforeNumber),
        ("Nos", "numbers", Rule::BeforeNumber),
        ("p", "page", Rule::BeforeNumber),
        ("pp", "pages", Rule::BeforeNumber),
        ("ext", "extension", Rule::Always),
        ("Ext", "extension", Rule::Always),
        ("Tel", "telephone", Rule::Always),
        ("tel", "telephone", Rule::Always),
        ("Fig", "figure", Rule::Dotted),
        ("fig", "figure", Rule::Dotted),
        ("vs", "versus", Rule::Always),
        ("etc", "et cetera", Rule::Always),
        ("e.g", "for example", Rule::Always),
        ("i.e", "that is", Rule::Always),
        ("cf", "compare", Rule::Dotted),
        ("approx", "approximately", Rule::Always),
        ("appt", "appointment", Rule::Always),
        ("est", "established", Rule::Dotted),
        ("incl", "including", Rule::Always),
        ("max", "maximum", Rule::Dotted),
        ("min", "minimum", Rule::Dotted),
        ("misc", "miscellaneous", Rule::Always),
        ("asap", "as soon as possible", Rule::Always),
        ("ASAP", "as soon as possible", Rule::Always),
        ("Ph.D", "P.H.D", Rule::Always),
        ("PhD", "P.H.D", Rule::Always),
        ("a.m", "A.M", Rule::Dotted),
        ("p.m", "P.M", Rule::Dotted),
        ("w/", "with", Rule::Always),
        ("w/o", "without", Rule::Always),
        ("c/o", "care of", Rule::Always),
        ("24/7", "twenty-four seven", Rule::Always),
        ("and/or", "and or", Rule::Always),
        ("n/a", "not applicable", Rule::Always),
        ("N/A", "not applicable", Rule::Always),
    ],
    spelled: &[
        "AM", "PM", "DOB", "ETA", "EIN", "DOA", "AI", "UI", "EU", "UN", "UK", "HR", "VIP", "SSN", "ISO",
        "IRS", "EST", "PST", "CST", "MST", "PO", "API", "ATM", "UPS", "FAQ", "SOS", "ER", "ICU", "LA", "NYC",
        "EV",
    ],
    codes: &[
        "code",
        "pin",
        "extension",
        "ext",
        "dial",
        "call",
        "zip",
        "account",
        "reference",
        "ref",
        "confirmation",
        "ticket",
        "invoice",
        "tracking",
        "passcode",
        "password",
        "serial",
        "policy",
        "booking",
        "reservation",
        "member",
        "membership",
        "flight",
        "case",
        "claim",
    ],
    links: &["number", "no", "code", "is", "id", "#", "number:"],
    clock: None,
    dotted_days: false,
};

pub(super) fn cardinal(n: u64) -> String {
    let mut parts = Vec::new();
    let mut rest = n;
    for (power, name) in POWERS {
        if rest >= power {
            parts.push(format!("{} {name}", cardinal(rest / power)));
            rest %= power;
        }
    }
    if rest >= 100 {
        parts.push(format!("{} hundred", small(rest / 100)));
        rest %= 100;
    }
    if rest > 0 || n == 0 {
        parts.push(small(rest));
    }
    parts.join(" ")
}

/// Below one hundred.
fn small(n: u64) -> String {
    let (tens, ones) = ((n / 10) as usize % 10, (n % 10) as usize);
    match n {
        0..20 => ONES[n as usize].to_owned(),
        _ if ones == 0 => TENS[tens].to_owned(),
        _ => format!("{}-{}", TENS[tens], ONES[ones]),
    }
}

pub(super) fn ordinal(n: u64) -> String {
    let said = cardinal(n);
    let at = said.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (front, last) = said.split_at(at);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        word => match word.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{word}th"),
        },
    };
    format!("{front}{last}")
}

/// 1984 is nineteen eighty-four, 1905 nineteen oh five, 2000 to 2009 have a thousand.
fn year(n: u64) -> String {
    let (century, rest) = (n / 100, n % 100);
    match rest {
        _ if !(1100..10_000).contains(&n) || (2000..2010).contains(&n) || n.is_multiple_of(1000) => {
            cardinal(n)
        }
        0 => format!("{} hundred", small(century)),
        1..10 => format!("{} oh {}", small(century), small(rest)),
        _ => format!("{} {}", small(century), small(rest)),
    }
}

fn part(numerator: u64, denominator: u64) -> Option<String> {
    let (one, many) = match denominator {
        2 => ("half".to_owned(), "halves".to_owned()),
        4 => ("quarter".to_owned(), "quarters".to_owned()),
        3 | 5..=10 | 16 | 32 | 100 => (ordinal(denominator), format!("{}s", ordinal(denominator))),
        _ => return None,
    };
    Some(if numerator == 1 { format!("one {one}") } else { format!("{} {many}", cardinal(numerator)) })
}

fn time(hour: u64, minute: u64, half: Option<Half>) -> String {
    // Half of a day that was not written is not said, unless the clock of 24 hours says it.
    let half = match (half, hour) {
        (None, 0) => Some(Half::Am),
        (None, 13..) => Some(Half::Pm),
        (half, _) => half,
    };
    let hour = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    let minutes = match minute {
        0 if half.is_none() => " o'clock".to_owned(),
        0 => String::new(),
        1..10 => format!(" oh {}", small(minute)),
        _ => format!(" {}", small(minute)),
    };
    let half = match half {
        Some(Half::Am) => " A.M",
        Some(Half::Pm) => " P.M",
        None => "",
    };
    format!("{}{minutes}{half}", small(hour))
}

fn date(day: u64, month: usize, of: Option<u64>, _: &str) -> String {
    let date = format!("{} {}", ENGLISH.months[month % 12], ordinal(day));
    match of {
        Some(of) => format!("{date}, {}", year(of)),
        None => date,
    }
}

fn money(whole: u64, hundredths: u64, currency: &Currency) -> String {
    let name = |n: u64, one, many| if n == 1 { one } else { many };
    let units = format!("{} {}", cardinal(whole), name(whole, currency.one, currency.many));
    let cents = format!("{} {}", cardinal(hundredths), name(hundredths, currency.cent, currency.cents));
    match (whole, hundredths) {
        (_, 0) => units,
        (0, _) => cents,
        _ => format!("{units} and {cents}"),
    }
}
