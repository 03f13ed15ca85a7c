//! What is said: prompts of a person, from the Debian package `asterisk-core-sounds-en-wav`, one after the other with their pauses; where they
//! are not installed, something with syllables.

use std::path::Path;

const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const SECONDS: usize = 180;
const PAUSE: usize = 8_000 * 35 / 100;

/// Three minutes at 8 kHz.
pub(crate) fn person() -> Vec<i16> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(PROMPTS))
        .map(|files| files.filter_map(|file| Some(file.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    let mut said = Vec::with_capacity(SECONDS * 8_000);
    for path in files {
        let Some(wav) = std::fs::read(&path).ok().and_then(|bytes| media::wav::parse(&bytes).ok()) else {
            continue;
        };
        let pcm = wav.mono();
        // Words and numbers alone are no way to talk.
        if wav.rate != 8_000 || pcm.len() < 16_000 {
            continue;
        }
        said.extend(pcm);
        said.extend([0; PAUSE]);
        if said.len() >= SECONDS * 8_000 {
            said.truncate(SECONDS * 8_000);
            return said;
        }
    }
    syllables()
}

pub(crate) fn is_a_person() -> bool {
    Path::new(PROMPTS).is_dir()
}

fn syllables() -> Vec<i16> {
    (0..8_000 * SECONDS)
        .map(|n| {
            let time = n as f64 / 8_000.0;
            let loud = if (time * 3.0).fract() < 0.66 && (time / 2.5).fract() < 0.86 { 6_000.0 } else { 0.0 };
            let voice: f64 = (1..8)
                .map(|k| (std::f64::consts::TAU * 130.0 * f64::from(k) * time).sin() / f64::from(k))
                .sum();
            (loud * voice) as i16
        })
        .collect()
}
