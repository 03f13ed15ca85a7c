//! Sound and words: WAV files for the phones, real recorded sentences with their texts, and how far two texts differ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Mono, 16 bit, 8 kHz: what a phone line carries.
#[derive(Clone)]
pub(crate) struct Wav(Vec<i16>);

const RATE: u32 = 8_000;

impl Wav {
    pub(crate) fn of(samples: Vec<i16>) -> Wav {
        Wav(samples)
    }

    pub(crate) fn silence(length: Duration) -> Wav {
        Wav(vec![0; (length.as_secs_f64() * f64::from(RATE)) as usize])
    }

    pub(crate) fn read(path: &Path) -> Wav {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Wav::parse(&bytes).unwrap_or_else(|| panic!("{} is no mono 16-bit WAV at 8 kHz", path.display()))
    }

    /// The first channel of a WAV of any rate, brought to the line's.
    pub(crate) fn read_as_narrow(path: &Path) -> Wav {
        let wav = media::wav::read(path).unwrap_or_else(|error| panic!("{error}"));
        Wav(media::resample::convert(&wav.channel(0), wav.rate, RATE))
    }

    /// Walks the chunks; the data chunk of a file that is still being written may claim more or less than there is.
    fn parse(bytes: &[u8]) -> Option<Wav> {
        let mut rest = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
        let mut right_format = false;
        loop {
            let name = rest.get(..4)?;
            let length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?) as usize;
            let body = &rest[8..];
            match name {
                b"fmt " => {
                    let rate = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
                    right_format = body[2..4] == [1, 0] && rate == RATE && body.get(14..16)? == [16, 0];
                }
                b"data" if right_format => {
                    let data = if length == 0 { body } else { &body[..length.min(body.len())] };
                    let samples = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                    return Some(Wav(samples.collect()));
                }
                b"data" => return None,
                _ => {}
            }
            rest = body.get(length + length % 2..)?;
        }
    }

    pub(crate) fn write(&self, path: &Path) {
        let data = self.0.len() as u32 * 2;
        let mut bytes = Vec::with_capacity(44 + data as usize);
        bytes.extend_from_slice(b"RIFF");
        bytes.extend_from_slice(&(36 + data).to_le_bytes());
        bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        bytes.extend_from_slice(&RATE.to_le_bytes());
        bytes.extend_from_slice(&(RATE * 2).to_le_bytes());
        bytes.extend_from_slice(b"\x02\0\x10\0data");
        bytes.extend_from_slice(&data.to_le_bytes());
        bytes.extend(self.0.iter().flat_map(|sample| sample.to_le_bytes()));
        std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    pub(crate) fn then_silence(&self, length: Duration) -> Wav {
        Wav([&self.0[..], &Wav::silence(length).0[..]].concat())
    }

    pub(crate) fn samples(&self) -> &[i16] {
        &self.0
    }

    /// How much of it is sound, in steps of 20 ms louder than the quantisation noise of a silent G.711 line.
    pub(crate) fn sounding(&self) -> Duration {
        let loud = self.0.chunks(160).filter(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 300));
        Duration::from_millis(20) * loud.count() as u32
    }
}

/// One real recorded sentence of Debian's `asterisk-core-sounds-en-wav`, with what is said in it.
pub(crate) struct Sentence {
    file: &'static str,
    pub(crate) text: &'static str,
}

/// Sentences without digits and names, which people write in more than one way.
pub(crate) const PLEASE_HOLD: Sentence =
    Sentence { file: "pls-hold-while-try", text: "Please hold while we try to connect you." };
pub(crate) const NOBODY_IN: Sentence =
    Sentence { file: "vm-nobodyavail", text: "Nobody is available to take your call at the moment." };
pub(crate) const CHECK_NUMBER: Sentence =
    Sentence { file: "check-number-dial-again", text: "Please check the number and dial again." };

/// Menus, which name keys.
pub(crate) const DIRECTORY_MENU: Sentence =
    Sentence { file: "vm-forward", text: "Press 1 to enter an extension, press 2 to use the directory." };
pub(crate) const OPERATOR_MENU: Sentence =
    Sentence { file: "vm-reachoper", text: "Press 0 to reach an operator." };

impl Sentence {
    pub(crate) fn wav(&self) -> Wav {
        let path = PathBuf::from(format!("/usr/share/asterisk/sounds/en_US_f_Allison/{}.wav", self.file));
        assert!(path.exists(), "{} is missing: scripts/setup-test.sh installs it", path.display());
        Wav::read(&path)
    }
}

/// What our own Whisper hears in a file.
pub(crate) fn transcribe(offhook: &Path, file: &Path) -> String {
    let output = Command::new(offhook).arg("transcribe").arg(file).output().expect("offhook starts");
    let (text, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "offhook transcribe {} failed: {log}", file.display());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A quarter of a second: shorter than what a jitter buffer may stretch or shrink on the way.
const PIECE: usize = 2_000;
/// How far such stretching may move one piece against the one before it.
const DRIFT: usize = 480;

/// `said` lies in `heard`, piece by piece and in order, but for G.711's rounding and a jitter buffer's work. Printed.
#[track_caller]
pub(crate) fn assert_same_sound(said: &Wav, heard: &Wav) {
    assert_like_sound(said, heard, 0.95);
}

/// The same, where each piece need only be so much alike: a codec may keep what is heard and not the wave.
#[track_caller]
pub(crate) fn assert_like_sound(said: &Wav, heard: &Wav, alike: f64) {
    let loud = |piece: &&[i16]| piece.iter().any(|sample| sample.unsigned_abs() > 1_000);
    let mut likeness = Vec::new();
    let mut from = 0;
    let mut until = heard.0.len();
    for piece in said.0.chunks_exact(PIECE) {
        if loud(&piece) {
            let (at, like) = most_alike(piece, &heard.0[from.min(until)..until]);
            likeness.push(like);
            from += at;
        }
        // The next piece follows this one, a little sooner or later.
        from = (from + PIECE).saturating_sub(DRIFT);
        if !likeness.is_empty() {
            until = (from + PIECE + 2 * DRIFT).min(heard.0.len());
        }
    }
    let same = likeness.iter().filter(|like| **like > alike).count();
    println!("{same} of {} pieces of the sound are as they were said: {likeness:.3?}", likeness.len());
    assert!(
        same * 10 >= likeness.len() * 7 && same > 2,
        "what was heard is not what was said: {likeness:.3?}"
    );
}

/// Where `piece` fits best, and its normalised correlation there.
fn most_alike(piece: &[i16], within: &[i16]) -> (usize, f64) {
    let product = |a: &[i16], b: &[i16]| -> f64 {
        a.iter().zip(b).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum::<i64>() as f64
    };
    let mine = product(piece, piece);
    let like = |other: &[i16]| product(piece, other) / (mine * product(other, other)).sqrt().max(1.0);
    let all = within.windows(piece.len()).map(like).enumerate();
    all.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Word error rate, printed and bounded.
#[track_caller]
pub(crate) fn assert_words(what: &str, said: &str, heard: &str, bound: f64) {
    let rate = word_error_rate(said, heard);
    println!("{what}: word error rate {rate:.3} (at most {bound})\n  said:  {said}\n  heard: {heard}");
    assert!(
        rate <= bound,
        "{what}: word error rate {rate:.3} is above {bound}\n  said:  {said}\n  heard: {heard}"
    );
}

/// Word error rate of `heard` against `said`: words to change, add or drop, over the number of words said.
pub(crate) fn word_error_rate(said: &str, heard: &str) -> f64 {
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in heard.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[heard.len()] as f64 / said.len().max(1) as f64
}

fn words(text: &str) -> Vec<String> {
    let plain: String = text.to_lowercase().chars().filter(|c| *c != '\'' && *c != '’').collect::<String>();
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_word_error_rate_counts_words_not_letters() {
    assert_eq!(word_error_rate("Good morning, how can I help?", "good morning how can i help"), 0.0);
    assert_eq!(word_error_rate("one two three four", "one too three"), 0.5);
    assert_eq!(word_error_rate("one two", ""), 1.0);
    assert_eq!(word_error_rate("don't hang up", "Don’t hang up!"), 0.0);
}

#[test]
fn a_wav_is_read_back_as_it_was_written() {
    let folder = super::place::Folder::new("wav");
    let path = folder.join("a.wav");
    Wav(vec![1, -2, 300, i16::MIN]).write(&path);
    assert_eq!(Wav::read(&path).samples(), [1, -2, 300, i16::MIN]);
    assert_eq!(std::fs::metadata(&path).expect("just written").len(), 52);
}
