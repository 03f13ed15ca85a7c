//! How well were words understood? Word error rate, after both texts are brought to one spelling.
//!
//! A recognizer writes `10:30` where a script says "ten thirty", and `we're` for "we are". Neither is an error of
//! hearing, so numbers are spelled out and contractions opened before words are compared.

/// Edit distance in words over the number of words of the reference; 0.0 when both are empty.
pub fn word_error_rate(reference: &str, hypothesis: &str) -> f64 {
    let reference = words(reference);
    let hypothesis = words(hypothesis);
    if reference.is_empty() {
        return if hypothesis.is_empty() { 0.0 } else { 1.0 };
    }
    distance(&reference, &hypothesis) as f64 / reference.len() as f64
}

/// Words that were heard wrongly, and the words of the reference: to be summed over many utterances.
pub fn errors(reference: &str, hypothesis: &str) -> (usize, usize) {
    let reference = words(reference);
    (distance(&reference, &words(hypothesis)), reference.len())
}

/// The text as comparable words: lower case, no punctuation, numbers spelled out, contractions opened.
pub fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['\u{2019}', '\u{2018}'], "'");
    let mut out = Vec::new();
    for token in text.split(|c: char| c.is_whitespace() || c == '-' || c == '\u{2013}' || c == '\u{2014}') {
        word(token, &mut out);
    }
    out
}

fn word(token: &str, out: &mut Vec<String>) {
    let dollars = token.contains('$');
    let percent = token.contains('%');
    let token: String = token
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '\'' | ':' | '.'))
        .collect::<String>()
        .trim_matches(['\'', ':', '.'])
        .to_owned();
    if token.is_empty() {
        return;
    }
    if let Some((hours, minutes)) = token.split_once(':') {
        let (minutes, half) =
            minutes.split_at(minutes.find(|c: char| !c.is_ascii_digit()).unwrap_or(minutes.len()));
        if let (Ok(hours), Ok(minutes)) = (hours.parse(), minutes.parse()) {
            number(hours, out);
            if minutes > 0 {
                number(minutes, out);
            }
            word(half, out);
            return;
        }
    }
    let end = token.find(|c: char| !c.is_ascii_digit()).unwrap_or(token.len());
    let (digits, rest) = token.split_at(end);
    if !digits.is_empty() {
        match digits.parse::<u64>() {
            // A telephone number or a leading zero is read digit by digit.
            Ok(n) if digits.len() <= 6 && !(digits.len() > 1 && digits.starts_with('0')) => number(n, out),
            _ => digits.bytes().for_each(|d| number(u64::from(d - b'0'), out)),
        }
        if matches!(rest, "st" | "nd" | "rd" | "th") {
            let last = out.pop().unwrap_or_default();
            out.push(ordinal(&last));
        } else {
            word(rest, out);
        }
        if dollars {
            out.push("dollars".into());
        }
        if percent {
            out.push("percent".into());
        }
        return;
    }
    for (ending, opened) in CONTRACTIONS {
        if let Some(stem) = token.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            let stem = match (*ending, stem) {
                ("n't", "ca") => "can",
                ("n't", "wo") => "will",
                (_, stem) => stem,
            };
            out.push(stem.to_owned());
            out.push((*opened).to_owned());
            return;
        }
    }
    let plain: String = token.chars().filter(|c| c.is_alphanumeric()).collect();
    match plain.as_str() {
        "ok" => out.push("okay".into()),
        "oclock" => {}
        _ => out.push(plain),
    }
}

const CONTRACTIONS: &[(&str, &str)] = &[
    ("n't", "not"),
    ("'re", "are"),
    ("'ll", "will"),
    ("'ve", "have"),
    ("'m", "am"),
    ("'s", "is"),
    ("'d", "would"),
];

const SMALL: [&str; 20] = [
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

fn number(n: u64, out: &mut Vec<String>) {
    let (unit, word) = match n {
        0..20 => return out.push(SMALL[n as usize].into()),
        20..100 => (10, TENS[(n / 10) as usize]),
        100..1000 => (100, "hundred"),
        _ => (1000, "thousand"),
    };
    if unit > 10 {
        number(n / unit, out);
    }
    out.push(word.into());
    let rest = n % unit;
    if rest != 0 {
        number(rest, out);
    }
}

fn ordinal(cardinal: &str) -> String {
    match cardinal {
        "one" => "first".into(),
        "two" => "second".into(),
        "three" => "third".into(),
        "five" => "fifth".into(),
        "eight" => "eighth".into(),
        "nine" => "ninth".into(),
        "twelve" => "twelfth".into(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    }
}

fn distance(reference: &[String], hypothesis: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=hypothesis.len()).collect();
    for (i, r) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, h) in hypothesis.iter().enumerate() {
            let substituted = diagonal + usize::from(r != h);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[hypothesis.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_no_error() {
        for (a, b) in [
            ("We're open from eight to five.", "we are open from 8 to 5"),
            ("At ten thirty in the morning", "at 10:30 in the morning"),
            ("It costs ninety dollars.", "It costs $90."),
            ("on the twenty first", "on the 21st"),
            ("I can't, I won't", "I can not I will not"),
            ("OK, that's fine", "Okay that is fine"),
            ("twenty-four hours", "24 hours"),
            ("at eight o'clock", "at 8:00"),
            ("5pm", "five PM"),
            ("one hundred and five", "one hundred and 5"),
        ] {
            assert_eq!(word_error_rate(a, b), 0.0, "{:?} against {:?}", words(a), words(b));
        }
    }

    #[test]
    fn substitutions_insertions_and_deletions_count_once_each() {
        assert_eq!(word_error_rate("one two three four", "one too three four"), 0.25);
        assert_eq!(word_error_rate("one two three four", "one three four"), 0.25);
        assert_eq!(word_error_rate("one two three four", "one two and three four"), 0.25);
        assert_eq!(word_error_rate("a b", ""), 1.0);
        assert_eq!(word_error_rate("", ""), 0.0);
        assert_eq!(word_error_rate("", "thank you"), 1.0);
    }

    #[test]
    fn any_text_is_taken() {
        for text in [
            "",
            "$",
            "12:xx",
            "1234567890123456789012345",
            "'",
            "n't",
            "ünïcödé \u{1F600}",
            "3.14",
            "a:b:c",
            "0",
            "007",
        ] {
            words(text);
        }
        assert_eq!(words("3.14"), ["three", "fourteen"]);
    }
}
