//! Spanish.

use super::tongue::{Currency, Half, Rule, Tongue, Words};

const SMALL: [&str; 30] = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
];
const TENS: [&str; 10] =
    ["", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
const HUNDREDS: [&str; 10] = [
    "",
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
];
const ORDINALS: [&str; 11] = [
    "", "primero", "segundo", "tercero", "cuarto", "quinto", "sexto", "séptimo", "octavo", "noveno", "décimo",
];

pub(super) static SPANISH: Tongue = Tongue {
    thousands: &['.'],
    decimal: ',',
    month_first: false,
    pairs: false,
    digits: ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
    cardinal,
    counting: |n| shortened(cardinal(n)),
    ordinal: |n, suffix| match ORDINALS.get(n as usize).filter(|word| !word.is_empty()) {
        Some(word) if ["ª", "a"].contains(&suffix) => format!("{}a", word.trim_end_matches('o')),
        Some(word) if ["er"].contains(&suffix) => word.trim_end_matches('o').to_owned(),
        Some(word) => (*word).to_owned(),
        // Beyond the tenth people count.
        None => cardinal(n),
    },
    ordinal_suffixes: &["º", "ª", "°", "er", "o", "a"],
    year: cardinal,
    fraction: |whole, digits| {
        let plain = digits.len() <= 2 && !digits.starts_with('0');
        let said = digits.parse().ok().filter(|_| plain).map(cardinal);
        format!("{} coma {}", cardinal(whole), said.unwrap_or_else(|| SPANISH.digit_by_digit(digits)))
    },
    part: |numerator, denominator| {
        let name = match denominator {
            2 => {
                return Some(if numerator == 1 {
                    "medio".into()
                } else {
                    format!("{} medios", cardinal(numerator))
                });
            }
            3 => "tercio",
            4 => "cuarto",
            5 => "quinto",
            8 => "octavo",
            10 => "décimo",
            _ => return None,
        };
        let many = if numerator == 1 { "" } else { "s" };
        Some(format!("{} {name}{many}", shortened(cardinal(numerator))))
    },
    time: |hour, minute, half| {
        let said = |n| if n == 1 { "una".to_owned() } else { cardinal(n).replace("uno", "una") };
        let half = match half {
            Some(Half::Am) => " de la mañana",
            Some(Half::Pm) if hour % 12 >= 8 => " de la noche",
            Some(Half::Pm) => " de la tarde",
            None => "",
        };
        match minute {
            0 => format!("{}{half}", said(hour)),
            15 => format!("{} y cuarto{half}", said(hour)),
            30 => format!("{} y media{half}", said(hour)),
            _ => format!("{} y {}{half}", said(hour), cardinal(minute)),
        }
    },
    date: |day, month, year, _| {
        let date = format!("{} de {}", cardinal(day), SPANISH.months[month % 12]);
        match year {
            Some(year) => format!("{date} de {}", cardinal(year)),
            None => date,
        }
    },
    money: |whole, hundredths, currency| {
        let count = |n, one, many| format!("{} {}", shortened(cardinal(n)), if n == 1 { one } else { many });
        match (whole, hundredths) {
            (_, 0) => count(whole, currency.one, currency.many),
            (0, _) => count(hundredths, currency.cent, currency.cents),
            _ => format!("{} con {}", count(whole, currency.one, currency.many), cardinal(hundredths)),
        }
    },
    words: Words {
        at: "arroba",
        dot: "punto",
        dash: "guion",
        underscore: "guion bajo",
        slash: "barra",
        plus: "más",
        minus: "menos",
        times: "por",
        equals: "igual a",
        and: "y",
        or: "o",
        number: "número",
        percent: "por ciento",
        about: "unos",
        to: "a",
        per: "por",
        degrees: "grados",
    },
    currencies: &[
        Currency { signs: &["€", "EUR"], one: "euro", many: "euros", cent: "céntimo", cents: "céntimos" },
        Currency {
            signs: &["$", "US$", "USD"],
            one: "dólar",
            many: "dólares",
            cent: "centavo",
            cents: "centavos",
        },
        Currency { signs: &["MXN"], one: "peso", many: "pesos", cent: "centavo", cents: "centavos" },
        Currency { signs: &["£", "GBP"], one: "libra", many: "libras", cent: "penique", cents: "peniques" },
    ],
    scales: &[("mil", "mil"), ("millones", "millones de"), ("millón", "millón de"), ("M", "millones de")],
    units: &[
        ("km", "kilómetro", "kilómetros"),
        ("m", "metro", "metros"),
        ("cm", "centímetro", "centímetros"),
        ("mm", "milímetro", "milímetros"),
        ("m²", "metro cuadrado", "metros cuadrados"),
        ("kg", "kilo", "kilos"),
        ("g", "gramo", "gramos"),
        ("mg", "miligramo", "miligramos"),
        ("l", "litro", "litros"),
        ("L", "litro", "litros"),
        ("ml", "mililitro", "mililitros"),
        ("km/h", "kilómetro por hora", "kilómetros por hora"),
        ("h", "hora", "horas"),
        ("min", "minuto", "minutos"),
        ("s", "segundo", "segundos"),
        ("MB", "megabyte", "megabytes"),
        ("GB", "gigabyte", "gigabytes"),
        ("W", "vatio", "vatios"),
        ("kW", "kilovatio", "kilovatios"),
        ("°C", "grado centígrado", "grados centígrados"),
        ("°", "grado", "grados"),
        ("x", "por", "por"),
    ],
    months: [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
    short_months: &[
        ("ene", 0),
        ("feb", 1),
        ("abr", 3),
        ("jun", 5),
        ("jul", 6),
        ("ago", 7),
        ("sept", 8),
        ("oct", 9),
        ("nov", 10),
        ("dic", 11),
    ],
    weekdays: &[
        ("lun", "lunes"),
        ("mié", "miércoles"),
        ("jue", "jueves"),
        ("vie", "viernes"),
        ("sáb", "sábado"),
    ],
    abbreviations: &[
        ("Dr", "doctor", Rule::Title),
        ("Dra", "doctora", Rule::Title),
        ("Sr", "señor", Rule::Title),
        ("Sra", "señora", Rule::Title),
        ("Srta", "señorita", Rule::Title),
        ("D", "don", Rule::Title),
        ("Ud", "usted", Rule::Always),
        ("Uds", "ustedes", Rule::Always),
        ("Avda", "avenida", Rule::Always),
        ("Av", "avenida", Rule::Dotted),
        ("C/", "calle", Rule::Always),
        ("núm", "número", Rule::Always),
        ("Nº", "número", Rule::Always),
        ("nº", "número", Rule::Always),
        ("tel", "teléfono", Rule::Always),
        ("Tel", "teléfono", Rule::Always),
        ("aprox", "aproximadamente", Rule::Always),
        ("etc", "etcétera", Rule::Always),
        ("p.ej", "por ejemplo", Rule::Always),
        ("máx", "máximo", Rule::Dotted),
        ("mín", "mínimo", Rule::Dotted),
        ("EE.UU", "Estados Unidos", Rule::Always),
        ("y/o", "y o", Rule::Always),
    ],
    spelled: &["UE", "DNI", "IVA", "ONU", "IA"],
    codes: &["código", "pin", "extensión", "postal", "cuenta", "referencia", "pedido", "reserva", "factura"],
    links: &["número", "es", "postal"],
    clock: None,
    dotted_days: false,
};

fn cardinal(n: u64) -> String {
    match n {
        0..30 => SMALL[n as usize].to_owned(),
        30..100 => {
            let tens = TENS[(n / 10) as usize];
            if n.is_multiple_of(10) {
                tens.to_owned()
            } else {
                format!("{tens} y {}", SMALL[(n % 10) as usize])
            }
        }
        100 => "cien".to_owned(),
        101..1000 => joined(HUNDREDS[(n / 100) as usize].to_owned(), n % 100),
        1000..2000 => joined("mil".to_owned(), n % 1000),
        2000..1_000_000 => joined(format!("{} mil", shortened(cardinal(n / 1000))), n % 1000),
        1_000_000..2_000_000 => joined("un millón".to_owned(), n % 1_000_000),
        2_000_000..1_000_000_000_000 => {
            joined(format!("{} millones", shortened(cardinal(n / 1_000_000))), n % 1_000_000)
        }
        _ => {
            let billions = n / 1_000_000_000_000;
            let name = if billions == 1 { "billón" } else { "billones" };
            joined(format!("{} {name}", shortened(cardinal(billions))), n % 1_000_000_000_000)
        }
    }
}

fn joined(front: String, rest: u64) -> String {
    if rest == 0 { front } else { format!("{front} {}", cardinal(rest)) }
}

/// In front of a noun a one loses its end.
fn shortened(said: String) -> String {
    match (said.strip_suffix("veintiuno"), said.strip_suffix("uno")) {
        (Some(front), _) => format!("{front}veintiún"),
        (None, Some(front)) => format!("{front}un"),
        _ => said,
    }
}
