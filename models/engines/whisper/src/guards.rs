//! What Whisper says when nobody speaks, and how it is told from speech.
//!
//! Trained on subtitles, it fills silence with what subtitles end with ("Thanks for watching!"), with sounds in
//! brackets, or with one phrase again and again. A caller's turn must not be made of that. Four guards look at the text
//! with what the model itself thinks of it; each names itself, so that a log shows why words vanished.

use miniz_oxide::deflate::compress_to_vec;

/// Quieter than this (RMS, about -66 dB below full scale) there is nothing to hear, and the model is not asked.
const SILENT_RMS: f64 = 16.0;
/// The model's own word that nobody spoke, believed when its guess at words is weak too.
const NO_SPEECH: f32 = 0.6;
const WEAK: f32 = -0.8;
/// Below this mean log probability words are noise.
const HOPELESS: f32 = -1.6;
/// Text that deflates better than this repeats itself (OpenAI's own figure), if it is long enough to tell.
const COMPRESSION: f32 = 2.4;
const LONG_ENOUGH: usize = 80;
/// Nobody speaks more words in a second.
const WORDS_PER_SECOND: f32 = 7.0;

/// Said by subtitles, hardly ever by a caller.
const NEVER: [&str; 12] = [
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
    "please subscribe",
    "like and subscribe",
    "please like and subscribe",
    "don't forget to subscribe",
    "subscribe to my channel",
    "see you in the next video",
    "i'll see you in the next video",
    "subtitles by the amara.org community",
    "transcription by castingwords",
];
/// Said by callers too, so believed unless the model doubts.
const DOUBTFUL: [&str; 10] =
    ["you", "thank you", "thanks", "bye", "bye bye", "so", "the", "okay", "oh", "i'm sorry"];
const DOUBT_NO_SPEECH: f32 = 0.35;
const DOUBT_CONFIDENCE: f32 = -0.9;

pub(crate) struct Judged {
    pub(crate) kept: String,
    /// What was taken away, and by which guard.
    pub(crate) rejected: Option<(String, String)>,
}

/// Whether there is nothing to hear at all.
pub(crate) fn is_silence(pcm: &[i16]) -> bool {
    // By 30 ms, so that one short word in a long pause still counts.
    pcm.chunks(480).all(|frame| {
        let energy: f64 = frame.iter().map(|s| f64::from(*s).powi(2)).sum();
        (energy / frame.len() as f64).sqrt() < SILENT_RMS
    })
}

/// `confidence` is the mean log probability of the words, `seconds` the length of the sound.
pub(crate) fn judge(text: &str, no_speech: f32, confidence: f32, seconds: f32) -> Judged {
    let rejected =
        |guard: &str| Judged { kept: String::new(), rejected: Some((text.to_owned(), guard.to_owned())) };
    let bare = bare(text);
    if text.is_empty() {
        return Judged { kept: String::new(), rejected: None };
    }
    if bare.is_empty() || in_brackets(text) || NEVER.contains(&bare.as_str()) {
        return rejected("phrase-of-silence");
    }
    let doubted = no_speech > DOUBT_NO_SPEECH || confidence < DOUBT_CONFIDENCE;
    if doubted && DOUBTFUL.contains(&bare.as_str()) {
        return rejected("phrase-of-silence");
    }
    if no_speech > NO_SPEECH && confidence < WEAK {
        return rejected("no-speech");
    }
    if confidence < HOPELESS {
        return rejected("low-confidence");
    }
    if let Some(kept) = without_loop(text) {
        let lost = text[kept.len()..].trim().to_owned();
        return Judged { kept, rejected: Some((lost, "repetition".into())) };
    }
    let words = bare.split(' ').count() as f32;
    if compression(text) > COMPRESSION || words > WORDS_PER_SECOND * seconds.max(1.0) + 2.0 {
        return rejected("repetition");
    }
    Judged { kept: text.to_owned(), rejected: None }
}

/// Small letters, digits and apostrophes, single spaces.
fn bare(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '\'' || c == '.' && !text.ends_with(c) { c } else { ' ' })
        .collect();
    clean
        .to_lowercase()
        .split_whitespace()
        .map(|w| w.trim_matches('.'))
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// "[BLANK_AUDIO]", "(music)", "*sighs*", "♪".
fn in_brackets(text: &str) -> bool {
    let mut depth = 0usize;
    let outside: String = text
        .chars()
        .filter(|c| {
            match c {
                '[' | '(' | '{' => depth += 1,
                ']' | ')' | '}' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect();
    let starred = text.starts_with('*') && text.ends_with('*') && text.len() > 1;
    starred || !outside.chars().any(char::is_alphanumeric)
}

/// The text up to the first time that a phrase has been said, where it is then said over and over to the end. Single
/// words count from eight times on: people do dictate "five five five five".
fn without_loop(text: &str) -> Option<String> {
    let starts: Vec<(usize, &str)> =
        text.split_whitespace().map(|w| (w.as_ptr() as usize - text.as_ptr() as usize, w)).collect();
    let words: Vec<String> = starts.iter().map(|(_, w)| bare(&format!("{w} "))).collect();
    for length in 1..=(words.len() / 3).min(12) {
        let times = if length == 1 { 8 } else { 4 };
        for from in 0..words.len().saturating_sub(length * times - 1) {
            let phrase = &words[from..from + length];
            let repeats = words[from..].chunks(length).take_while(|c| *c == &phrase[..c.len()]).count();
            let to_the_end = from + repeats * length >= words.len();
            if repeats >= times && to_the_end {
                let (at, last) = starts[from + length - 1];
                return Some(text[..at + last.len()].to_owned());
            }
        }
    }
    None
}

fn compression(text: &str) -> f32 {
    if text.len() < LONG_ENOUGH {
        return 1.0;
    }
    text.len() as f32 / compress_to_vec(text.as_bytes(), 6).len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, no_speech: f32, confidence: f32) -> String {
        judge(text, no_speech, confidence, 10.0).kept
    }

    #[test]
    fn speech_passes() {
        for text in [
            "Please enter your password, followed by the pound key.",
            "No.",
            "My number is 555 0123, that's five five five, zero one two three.",
            "five five five five",
            "Thank you.",
            "I said no, no, no, no!",
            "It's at 10:30 (in the morning).",
        ] {
            assert_eq!(kept(text, 0.05, -0.3), text);
        }
    }

    #[test]
    fn phrases_of_silence_are_taken_away_and_named() {
        for text in [
            "Thanks for watching!",
            "[BLANK_AUDIO]",
            "(music playing)",
            "*sighs*",
            "...",
            "♪ ♪",
            "Please subscribe.",
        ] {
            let judged = judge(text, 0.0, 0.0, 2.0);
            assert_eq!(judged.kept, "", "{text}");
            assert_eq!(judged.rejected, Some((text.to_owned(), "phrase-of-silence".to_owned())));
        }
        assert_eq!(kept("Thank you.", 0.5, -0.3), "");
        assert_eq!(kept("you", 0.1, -1.0), "");
    }

    #[test]
    fn the_models_own_doubt_counts() {
        assert_eq!(kept("a cat on the roof", 0.8, -1.0), "");
        assert_eq!(kept("a cat on the roof", 0.8, -0.2), "a cat on the roof");
        assert_eq!(kept("a cat on the roof", 0.1, -2.0), "");
    }

    #[test]
    fn a_loop_is_cut_after_its_first_round() {
        let text = format!("We open at nine. {}", "We close at five. ".repeat(6));
        let judged = judge(text.trim(), 0.0, -0.3, 20.0);
        assert_eq!(judged.kept, "We open at nine. We close at five.");
        assert_eq!(judged.rejected.unwrap().1, "repetition");
        assert_eq!(kept(&"the ".repeat(30), 0.0, -0.3), "the");
    }

    #[test]
    fn silence_is_not_even_asked_about() {
        assert!(is_silence(&[0; 16_000]));
        assert!(is_silence(&[-3; 100]));
        let mut pcm = vec![0i16; 16_000];
        pcm[8000..8480].fill(900);
        assert!(!is_silence(&pcm));
    }
}
