//! What words tell about the floor: was it more than a nod, how much of it was heard.

use std::time::Duration;

use models::spoken::Diction;

/// What a listener says without wanting the floor.
const BACK_CHANNELS: &[&str] = &[
    "mm-hm",
    "mm-hmm",
    "mhm",
    "mm",
    "mmm",
    "hm",
    "hmm",
    "uh-huh",
    "uhuh",
    "uh",
    "um",
    "yeah",
    "yep",
    "yes",
    "ok",
    "okay",
    "right",
    "ah",
    "oh",
    "sure",
    "aha",
    "huh",
    "i see",
    "got it",
    "all right",
    "alright",
];

/// What only machines say, in any language of these: they ask for a message.
const VOICEMAIL: &[&str] = &[
    "leave a message",
    "leave me a message",
    "leave your message",
    "leave us a message",
    "leave a brief message",
    "leave a detailed message",
    "leave your name",
    "record your message",
    "record a message",
    "after the tone",
    "after the beep",
    "at the tone",
    "at the beep",
    "at the sound of the tone",
    "nach dem ton",
    "nach dem signalton",
    "nach dem piep",
    "nach dem pfeifton",
    "hinterlassen sie",
    "hinterlass mir",
    "eine nachricht hinterlassen",
    "deje su mensaje",
    "deja tu mensaje",
    "deje un mensaje",
    "deja un mensaje",
    "después del tono",
    "después de la señal",
    "laissez un message",
    "laisser un message",
    "laissez votre message",
    "laisser votre message",
    "laissez-moi un message",
    "après le bip",
    "après le signal",
];

/// What machines say, and people too, though not as the first long thing in a call.
const ABSENCE: &[&str] = &[
    "not available",
    "is unavailable",
    "nobody is available",
    "no one is available",
    "to take your call",
    "come to the phone",
    "answer your call",
    "answer the phone",
    "you have reached",
    "you've reached",
    "voicemail",
    "voice mail",
    "mailbox",
    "nicht erreichbar",
    "anrufbeantworter",
    "mailbox von",
    "buzón de voz",
    "no está disponible",
    "no puedo atender",
    "messagerie",
    "répondeur",
    "pas disponible",
    "être joint",
];

/// What comes before a key in a menu: "press one", "dial 2".
const PRESS: &[&str] = &[
    "press",
    "dial",
    "push",
    "drücken sie",
    "wählen sie",
    "drücke",
    "oprima",
    "marque",
    "pulse",
    "presione",
    "tapez",
    "appuyez sur",
    "composez",
];

/// What keys are called.
const KEYS: &[&str] = &[
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "star", "pound", "hash",
    "the", "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "die", "cero",
    "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "el", "zéro", "un", "deux",
    "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "la", "le",
];

/// Parts of words with which a recording is owned up to.
const RECORDED: &[&str] = &[
    "recorded",
    "recording",
    "record this",
    "record the",
    "record all",
    "record our",
    "record your call",
    "aufgezeichn",
    "aufzeichn",
    "aufgenommen",
    "mitgeschnitten",
    "mitschn",
    "grabad",
    "grabar",
    "grabac",
    "grabam",
    "graband",
    "enregistr",
    "registrat",
    "gravad",
    "opgenomen",
];

/// How people begin when they take a call.
const HELLOS: &[&str] = &[
    "hello", "hi", "hey", "hallo", "yes", "yeah", "yep", "good", "morning", "speaking", "this", "ja",
    "guten", "moin", "hola", "bueno", "diga", "dígame", "sí", "allô", "allo", "oui", "bonjour", "pronto",
    "thank", "thanks", "welcome",
];

/// What asks for more than a greeting.
const QUESTIONS: &[&str] = &[
    "who", "who's", "what", "what's", "why", "wrong", "stop", "not", "don't", "wer", "was", "warum", "quién",
    "qué", "qui", "quoi", "pourquoi",
];

/// Lower case, and one space between words that hold no sign but hyphen and apostrophe, with one before and one after.
fn plain(text: &str) -> String {
    let mut out = String::from(" ");
    for word in
        text.to_lowercase().replace('’', "'").split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\''))
    {
        if !word.is_empty() {
            out.push_str(word);
            out.push(' ');
        }
    }
    out
}

/// Whether an answering machine says this. `is_greeting`: it is the first long thing that is said in the call.
pub(super) fn is_voicemail(text: &str, is_greeting: bool) -> bool {
    let plain = plain(text);
    let holds = |phrases: &[&str]| phrases.iter().any(|phrase| plain.contains(&format!(" {phrase} ")));
    // A menu may offer what a machine asks for: "press 5 to leave a message".
    !is_menu(text) && (holds(VOICEMAIL) || (is_greeting && holds(ABSENCE)))
}

/// Whether keys are asked for.
pub(super) fn is_menu(text: &str) -> bool {
    let plain = plain(text);
    let is_key = |word: &str| {
        KEYS.contains(&word)
            || (word.len() <= 2 && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
    };
    PRESS.iter().any(|press| {
        let mut rest = plain.as_str();
        while let Some((_, after)) = rest.split_once(&format!(" {press} ")) {
            if after.split(' ').next().is_some_and(is_key) {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// Whether a sentence says that the call is recorded.
pub(super) fn tells_of_recording(text: &str) -> bool {
    let plain = plain(text);
    RECORDED.iter().any(|part| plain.contains(&format!(" {part}")))
}

/// Whether this is no more than how one takes a call: it is answered by a greeting.
pub(super) fn is_hello(text: &str) -> bool {
    let plain = plain(text);
    let words: Vec<_> = plain.split_whitespace().collect();
    let asks = words.iter().any(|word| QUESTIONS.contains(word));
    let greets = words.first().is_none_or(|first| HELLOS.contains(first)) || words.len() <= 3;
    !asks && greets && words.len() <= 20
}

/// Sound that a transcriber puts in brackets or stars is no word.
pub(super) fn spoken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut closing = None;
    for c in text.chars() {
        match (closing, c) {
            (Some(end), _) if c == end => closing = None,
            (Some(_), _) => {}
            (None, '[') => closing = Some(']'),
            (None, '(') => closing = Some(')'),
            (None, '*') => closing = Some('*'),
            (None, '♪') => {}
            (None, _) => out.push(c),
        }
    }
    let words: Vec<_> = out.split_whitespace().collect();
    if words.iter().any(|word| word.chars().any(char::is_alphanumeric)) {
        words.join(" ")
    } else {
        String::new()
    }
}

/// Nothing, or no more than a nod.
pub(super) fn is_back_channel(text: &str) -> bool {
    let lower = text.to_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_alphanumeric());
    let nod = |words: &str| BACK_CHANNELS.contains(&words.trim_matches(|c: char| !c.is_alphanumeric()));
    bare.is_empty() || nod(bare) || bare.split([' ', ',', '.']).filter(|word| !word.is_empty()).all(nod)
}

/// A nod that was heard.
pub(super) fn is_nod(text: &str) -> bool {
    !text.trim().is_empty() && is_back_channel(text)
}

/// Whether these words, three or more, stand so in what the agent says: its own voice has come back. Who repeats what they hear says less, or
/// waits for its end.
pub(super) fn repeats(text: &str, ours: &str) -> bool {
    let bare = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
        words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let (text, ours) = (bare(text), bare(ours));
    text.len() >= 3 && ours.windows(text.len()).any(|words| words == text)
}

/// Joins what was said before a pause to what was said after it.
pub(super) fn join(before: &str, after: &str) -> String {
    match (before.trim(), after.trim()) {
        ("", after) => after.to_owned(),
        (before, "") => before.to_owned(),
        (before, after) => format!("{before} {after}"),
    }
}

/// The words of `text` whose sound had left when `played` of `whole` had: cut between written words, never above. What is
/// written short may be long to say, so the share is one of the spoken words.
pub(super) fn heard_part<'a>(text: &'a str, diction: &Diction, played: Duration, whole: Duration) -> &'a str {
    if played >= whole {
        return text;
    }
    let said = diction.spoken(text);
    let share = played.as_secs_f64() / whole.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a short text"
    )]
    let reach = (share * said.text.len() as f64) as usize;
    text[..said.written_until(reach)].trim_end()
}

/// How long a text takes to say where its sound is not yet known: about 15 letters a second.
pub(super) fn estimated_duration(text: &str) -> Duration {
    Duration::from_millis(66 * text.chars().count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nods_and_noises_are_not_words() {
        for text in ["Mm-hmm.", "Yeah.", "Okay, yeah.", "", " . ", "Uh-huh", "I see."] {
            assert!(is_back_channel(&spoken(text)), "{text}");
        }
        for text in ["No, wait.", "Yes, but I need Tuesday.", "Stop"] {
            assert!(!is_back_channel(text), "{text}");
        }
        assert_eq!(spoken("[BLANK_AUDIO]"), "");
        assert_eq!(spoken("(coughing) Hello *sigh* there"), "Hello there");
    }

    #[test]
    fn an_echo_is_known_by_its_words() {
        let ours = "We are open every day, from eight to six. Shall I book you in?";
        for text in ["from eight to six", "every day from eight", "Shall I book you in?"] {
            assert!(repeats(text, ours), "{text}");
        }
        for text in ["to six", "from eight to five", "", "Can you book me in?", "six"] {
            assert!(!repeats(text, ours), "{text}");
        }
    }

    #[test]
    fn machines_are_told_by_what_they_say() {
        for text in [
            "Please leave a message after the tone.",
            "Hi, this is Bob. Leave me a message!",
            "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
            "Deje su mensaje después de la señal.",
            "Laissez un message après le bip.",
            "At the tone, please record your message. When you are finished, hang up.",
        ] {
            assert!(is_voicemail(text, false), "{text}");
        }
        for text in [
            "The person you have called is not available.",
            "Nobody is available to take your call at the moment.",
            "You've reached the Smiths.",
        ] {
            assert!(is_voicemail(text, true) && !is_voicemail(text, false), "{text}");
        }
        for text in
            ["Hello?", "Hi, Smith and Sons, how can I help you?", "Press five to leave a message.", ""]
        {
            assert!(!is_voicemail(text, true), "{text}");
        }
    }

    #[test]
    fn menus_are_told_by_the_keys_that_they_name() {
        for text in [
            "For sales, press one.",
            "Press 2 to speak with an agent",
            "Please enter your number followed by the pound key, or press star.",
            "Für Deutsch drücken Sie die Eins.",
            "Para español, oprima el dos.",
            "Pour le français, tapez deux.",
        ] {
            assert!(is_menu(text), "{text}");
        }
        for text in ["The press was here.", "I read it in the press.", "Dial tone", "Hello?", ""] {
            assert!(!is_menu(text), "{text}");
        }
    }

    #[test]
    fn a_greeting_that_tells_of_the_recording_is_known() {
        for text in [
            "Hello, this call is recorded. How can I help?",
            "Calls may be recorded for training.",
            "Dieses Gespräch wird aufgezeichnet.",
            "Esta llamada está siendo grabada.",
            "Cet appel est enregistré.",
        ] {
            assert!(tells_of_recording(text), "{text}");
        }
        for text in
            ["Hello, how can I help you?", "Medical records department.", "The Broken Record Store.", ""]
        {
            assert!(!tells_of_recording(text), "{text}");
        }
    }

    #[test]
    fn a_hello_is_told_from_a_question() {
        for text in
            ["Hello?", "Smith.", "Yes, hello.", "Good morning, Smith and Sons, Anna speaking.", "Hallo?", ""]
        {
            assert!(is_hello(text), "{text}");
        }
        for text in ["Hello, who is this?", "What do you want?", "I do not want anything from you people."] {
            assert!(!is_hello(text), "{text}");
        }
    }

    #[test]
    fn a_cut_falls_between_words() {
        let text = "We are open from nine to five.";
        let whole = Duration::from_secs(3);
        let (english, german) = (&Diction::new("en", []), &Diction::new("de", []));
        assert_eq!(heard_part(text, english, Duration::ZERO, whole), "");
        assert_eq!(heard_part(text, english, Duration::from_millis(1500), whole), "We are open");
        assert_eq!(heard_part(text, english, whole, whole), text);
        let (half, whole) = (Duration::from_millis(500), Duration::from_secs(1));
        assert_eq!(heard_part("Grüße aus Köln", german, half, whole), "Grüße");
        // The price takes most of the time, and half of it was not heard.
        assert_eq!(heard_part("That is $345.67 today.", english, half, whole), "That is");
        // So does a word that is said at length, of which the transcript knows nothing.
        let own = Diction::new("en", [("AAA", "the automobile association")]);
        assert_eq!(heard_part("Call AAA today.", &own, half, whole), "Call");
    }
}
