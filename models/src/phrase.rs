//! Tokens in, speakable clauses out.
//!
//! A reply is spoken while it is still being thought, so it is cut as it comes: the first clause as early as a voice can
//! say it well, later ones at the ends of sentences, where they sound best. A cut needs to know what follows (the dot of
//! "3.14" and the dot of "at three." look alike until then), so a clause comes out one token after it ended, or when the
//! reply does. What is written for eyes (markdown, emojis, link targets) is taken away; what remains is exactly what is
//! sent to the voice, and what a transcript may say was said.

/// The first clause is cut at a comma once it has so many characters,
const FIRST: usize = 10;
/// or before a word that a speaker may draw breath at, once it has so many: the caller waits for all of it...
const FIRST_JOINT: usize = 18;
/// ...and later ones at a comma once they have so many,
const CLAUSE: usize = 70;
/// at the end of a sentence once they have so many (shorter sentences go with the next one),
const SENTENCE: usize = 12;
/// and between two words when nothing else came up to here.
const FIRST_MOST: usize = 80;
const MOST: usize = 220;

/// Never the end of a sentence, whatever follows.
const TITLES: [&str; 25] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "approx", "fig", "gen", "col", "lt", "sgt",
    "capt", "rev", "hon", "mt", "ft", "tel", "ext", "dept", "cf", "est",
];
/// The end of a sentence only if the next word begins with a capital.
const SHORTENED: [&str; 20] = [
    "a.m", "p.m", "etc", "inc", "ltd", "co", "corp", "jr", "sr", "u.s", "u.k", "ave", "blvd", "rd", "no",
    "min", "max", "hrs", "oz", "al",
];

/// Words that begin a new part of a sentence, in the languages whose texts are prepared for the voice.
const JOINTS: [&str; 62] = [
    "and", "but", "or", "because", "so", "if", "when", "while", "which", "who", "where", "from", "with",
    "for", "at", "on", "in", "by", "until", "before", "after", "between", "through", "about", "during",
    "und", "aber", "oder", "weil", "wenn", "dass", "bis", "für", "mit", "bei", "nach", "vor", "zwischen",
    "damit", "pero", "porque", "si", "cuando", "para", "con", "hasta", "desde", "entre", "durante", "et",
    "mais", "ou", "parce", "quand", "pour", "avec", "jusqu'à", "depuis", "dès", "pendant", "chez", "sans",
];

/// Cuts a reply into what a mouth is given.
#[derive(Debug, Default)]
pub struct Phraser {
    pending: String,
    /// Whether a clause has come out already.
    begun: bool,
}

impl Phraser {
    pub fn new() -> Phraser {
        Phraser::default()
    }

    /// Takes a piece of the reply; yields the clauses that stand now.
    pub fn push(&mut self, piece: &str) -> impl Iterator<Item = String> + use<> {
        self.pending.push_str(piece);
        let mut clauses = Vec::new();
        while let Some(at) = self.cut() {
            let rest = self.pending.split_off(at);
            let clause = speakable(&std::mem::replace(&mut self.pending, rest));
            self.begun |= !clause.is_empty();
            clauses.extend(Some(clause).filter(|c| !c.is_empty()));
        }
        clauses.into_iter()
    }

    /// What is left when the reply has ended.
    pub fn finish(&mut self) -> Option<String> {
        self.begun = false;
        Some(speakable(&std::mem::take(&mut self.pending))).filter(|c| !c.is_empty())
    }

    /// Where the pending text is to be cut, in bytes.
    fn cut(&self) -> Option<usize> {
        let (comma, most) = if self.begun { (CLAUSE, MOST) } else { (FIRST, FIRST_MOST) };
        let sentence = if self.begun { SENTENCE } else { 0 };
        let mut chars = 0;
        let mut space = None;
        let mut weak = None;
        for (at, c) in self.pending.char_indices() {
            // How much of the space behind the last clause went with it depends on the tokens; it counts for nothing.
            if chars == 0 && c.is_whitespace() {
                continue;
            }
            chars += 1;
            if !self.begun && stands(&self.pending, at) {
                let end = at + c.len_utf8();
                if chars >= comma {
                    return Some(end);
                }
                weak = Some(end);
                continue;
            }
            match boundary(&self.pending, at, false) {
                Some(Boundary::Sentence(end)) if chars >= sentence => return Some(end),
                Some(Boundary::Sentence(end) | Boundary::Clause(end)) => {
                    if chars >= comma {
                        return Some(end);
                    }
                    weak = Some(end);
                }
                None if c.is_whitespace() && chars > 1 => {
                    if !self.begun && chars > FIRST_JOINT && joint(&self.pending, at) {
                        return Some(at);
                    }
                    space = Some(at);
                }
                None => {}
            }
            if chars > most {
                // A mark that stands last may yet end the clause here: that takes one more token to know.
                if undecided(&self.pending).is_some_and(|mark| at >= mark) {
                    return None;
                }
                return weak.filter(|end| *end > most / 4).or(space);
            }
        }
        None
    }
}

/// Whether a comma ends the first clause whatever follows: behind a letter it does, and what follows is a token later.
fn stands(text: &str, at: usize) -> bool {
    let word = text[..at].rsplit(char::is_whitespace).next().unwrap_or_default();
    let plain = |c: char| c.is_alphabetic() || matches!(c, '\'' | '’' | '-');
    text[at..].starts_with([',', ';']) && word.ends_with(char::is_alphabetic) && word.chars().all(plain)
}

/// Whether the space at `at` stands before a word that begins a new part. "Between 8 and 10" is one part.
fn joint(text: &str, at: usize) -> bool {
    let Some((word, _)) = text[at..].trim_start().split_once(char::is_whitespace) else { return false };
    let counts = text[..at].ends_with(|c: char| c.is_ascii_digit());
    !counts && JOINTS.contains(&word.to_lowercase().as_str())
}

/// A part of a text, and the mark that ends it (`None` at the end of a text without one).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clause {
    pub text: String,
    pub mark: Option<char>,
}

/// Cuts a whole text at every mark that a voice pauses or bends at: `. , ; : ? !`.
pub fn clauses(text: &str) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let mut from = 0;
    let mut ended = 0;
    for (at, _) in text.char_indices() {
        let end = match boundary(text, at, true) {
            Some(Boundary::Sentence(end) | Boundary::Clause(end)) if at >= ended => end,
            _ => continue,
        };
        ended = end;
        let part = text[from..end].trim();
        let mark = part.trim_end_matches(is_closing).chars().next_back().map(plain_mark);
        let words = part.trim_end_matches(|c: char| is_closing(c) || is_mark(c)).trim();
        if words.chars().any(char::is_alphanumeric) {
            clauses.push(Clause { text: words.to_owned(), mark });
        }
        from = end;
    }
    let rest = text[from..].trim();
    if rest.chars().any(char::is_alphanumeric) {
        clauses.push(Clause { text: rest.to_owned(), mark: None });
    }
    clauses
}

/// A place to cut, behind the mark, what closes it, and the space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Boundary {
    Sentence(usize),
    Clause(usize),
}

/// Where the mark stands that ends a text so far, if one does.
fn undecided(text: &str) -> Option<usize> {
    let tail = text.trim_end_matches(|c: char| is_closing(c) || c == ' ' || c == '\t');
    tail.char_indices().next_back().filter(|(_, c)| is_mark(*c)).map(|(at, _)| at)
}

/// Whether the character at `at` ends something. `whole`: nothing will be added to the text.
fn boundary(text: &str, at: usize, whole: bool) -> Option<Boundary> {
    let before = &text[..at];
    let c = text[at..].chars().next()?;
    if c == '\n' {
        return before.chars().any(char::is_alphanumeric).then_some(Boundary::Sentence(at + 1));
    }
    if !is_mark(c) {
        return None;
    }
    let behind = &text[at + c.len_utf8()..];
    let closed = behind.trim_start_matches(is_closing);
    let rest = closed.trim_start_matches([' ', '\t']);
    let end = text.len() - rest.len();
    match closed.chars().next() {
        // A mark inside a number, an address, an abbreviation, or one of several marks: the last of them counts.
        Some(next) if !next.is_whitespace() && !c.is_ascii() => {}
        Some(next) if !next.is_whitespace() => return None,
        None if !whole => return None,
        _ => {}
    }
    let next = rest.chars().next();
    match c {
        '.' => {
            let run = before.ends_with('.') || before.ends_with('…');
            if run {
                return Some(Boundary::Clause(end));
            }
            let word = before.rsplit(|c: char| c.is_whitespace() || is_opening(c)).next().unwrap_or_default();
            let lower = word.to_lowercase();
            let initial = word.chars().count() == 1 && word.chars().all(|c| c.is_uppercase() && c != 'I');
            let numbered =
                word == before.trim() && !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
            if TITLES.contains(&lower.as_str()) || initial || numbered {
                return (whole && rest.is_empty()).then_some(Boundary::Sentence(end));
            }
            if SHORTENED.contains(&lower.as_str()) {
                return match next {
                    None if !whole => None,
                    Some(next) if !next.is_uppercase() => None,
                    _ => Some(Boundary::Sentence(end)),
                };
            }
            Some(Boundary::Sentence(end))
        }
        // "January 5, 2026": what belongs to one number is said at once.
        ',' if before.ends_with(|c: char| c.is_ascii_digit()) => match next {
            None if !whole => None,
            Some(next) if next.is_ascii_digit() => None,
            _ => Some(Boundary::Clause(end)),
        },
        '!' | '?' | '。' | '！' | '？' => Some(Boundary::Sentence(end)),
        // A dash is a pause only between words.
        '–' | '—' => Some(Boundary::Clause(end)),
        _ => Some(Boundary::Clause(end)),
    }
}

fn is_mark(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '?' | '!' | '…' | '–' | '—' | '。' | '，' | '！' | '？' | '；' | '：')
}

fn plain_mark(c: char) -> char {
    match c {
        '…' | '–' | '—' | '，' => ',',
        '。' => '.',
        '！' => '!',
        '？' => '?',
        '；' => ';',
        '：' => ':',
        other => other,
    }
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '*' | '_' | '`')
}

fn is_opening(c: char) -> bool {
    matches!(c, '"' | '\'' | '(' | '[' | '{' | '“' | '‘' | '«' | '*' | '_' | '`')
}

/// What of a written clause can be said.
pub fn speakable(written: &str) -> String {
    let mut line = written.trim();
    loop {
        // Bullets, headings, quotes.
        let less = line.trim_start_matches('#');
        let less = if less.len() < line.len() && !less.starts_with(' ') { line } else { less.trim_start() };
        let less = ["- ", "* ", "+ ", "• ", "> ", "– "]
            .iter()
            .fold(less, |l, b| l.strip_prefix(b).unwrap_or(l))
            .trim();
        if less.len() == line.len() {
            break;
        }
        line = less;
    }
    let mut said = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        // A link's target, whether its beginning is in this clause or was in the one before.
        if let Some(target) = rest.strip_prefix("](") {
            rest = target.split_once(')').map_or("", |(_, after)| after);
            continue;
        }
        if let Some(address) = ["https://", "http://"].iter().find_map(|s| rest.strip_prefix(s)) {
            rest = address;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            // "About".
            '~' if rest.starts_with(|c: char| c.is_ascii_digit())
                && !said.ends_with(|c: char| !c.is_whitespace()) =>
            {
                said.push('~');
            }
            '*' | '`' | '[' | ']' | '~' => {}
            // Within a word it belongs to it: an address, a name in a program.
            '_' if said.ends_with(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric) => {
                said.push('_');
            }
            '_' | '|' | '\n' | '\t' | '\r' => said.push(' '),
            '!' if rest.starts_with('[') => {}
            c if is_picture(c) || c.is_control() => {}
            c => said.push(c),
        }
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.chars().any(char::is_alphanumeric) { said } else { String::new() }
}

/// Emojis, dingbats, arrows, and what joins them.
fn is_picture(c: char) -> bool {
    matches!(u32::from(c),
        0x1f000..=0x1faff | 0x2600..=0x27bf | 0x2190..=0x21ff | 0x2300..=0x23ff | 0x2b00..=0x2bff
        | 0x25a0..=0x25ff | 0xfe00..=0xfe0f | 0x200b..=0x200f | 0x20e3 | 0xe0020..=0xe007f | 0xfffd | 0x2060 | 0xfeff)
}

#[cfg(test)]
mod tests;
