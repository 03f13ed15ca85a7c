//! What a caller hears while somebody else's phone rings: the tone of the country (ITU-T E.180, supplement 2).

use std::sync::Arc;

use media::net::Line;
use media::{LINE_RATE, Mark, PlayChunk};

/// Names no phrase of an agent.
const MARK: Mark = Mark(u64::MAX);
/// Of 32,767: −22 dBm0 per tone, as networks send it.
const LOUDNESS: f32 = 1_800.0;

/// Frequencies in Hz, and pairs of sound and silence in ms.
struct Tone {
    frequencies: &'static [f32],
    cadence: &'static [(u32, u32)],
}

fn tone(language: &str) -> Tone {
    match language.to_ascii_lowercase().as_str() {
        "en" | "en-us" | "en-ca" => Tone { frequencies: &[440.0, 480.0], cadence: &[(2_000, 4_000)] },
        "en-gb" | "en-ie" | "en-au" | "en-nz" => {
            Tone { frequencies: &[400.0, 450.0], cadence: &[(400, 200), (400, 2_000)] }
        }
        "ja" | "ja-jp" => Tone { frequencies: &[400.0], cadence: &[(1_000, 2_000)] },
        // What ETSI recommends, and most of Europe has.
        _ => Tone { frequencies: &[425.0], cadence: &[(1_000, 4_000)] },
    }
}

/// One round of the tone, at the line's rate.
fn round(language: &str) -> Vec<i16> {
    let tone = tone(language);
    let samples = |ms: u32| (ms * LINE_RATE / 1_000) as usize;
    let mut pcm = Vec::new();
    for &(sound, silence) in tone.cadence {
        pcm.extend((0..samples(sound)).map(|n| {
            let time = n as f32 / LINE_RATE as f32;
            let sum: f32 = tone.frequencies.iter().map(|hz| (std::f32::consts::TAU * hz * time).sin()).sum();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "two tones of this loudness are far from full scale"
            )]
            let sample = (sum * LOUDNESS) as i16;
            sample
        }));
        pcm.resize(pcm.len() + samples(silence), 0);
    }
    pcm
}

/// Plays it until the task is dropped; then the line is to be hushed.
pub(super) async fn play(line: Arc<Line>, language: String) {
    let pcm: Arc<[i16]> = round(&language).into();
    let chunk = PlayChunk { mark: MARK, rate: LINE_RATE, pcm, last: false };
    // The line takes ten seconds ahead; a closed one ends it.
    while line.play(chunk.clone()).await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_its_cadence() {
        for (language, seconds) in [("en", 6.0), ("en-GB", 3.0), ("de", 5.0), ("ja", 3.0)] {
            let pcm = round(language);
            assert_eq!(pcm.len() as f32 / LINE_RATE as f32, seconds, "{language}");
            assert!(pcm[..LINE_RATE as usize / 4].iter().any(|sample| sample.abs() > 1_000));
            assert!(pcm[pcm.len() - 8_000..].iter().all(|sample| *sample == 0));
        }
    }
}
