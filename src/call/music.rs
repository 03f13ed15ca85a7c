//! Music for who waits: a WAV file, read once, played in a circle.

use std::path::Path;
use std::sync::Arc;

use media::net::Line;
use media::wav::{self, WavError};
use media::{EAR_RATE, Mark, PlayChunk, resample};

/// Names no phrase of an agent.
const MARK: Mark = Mark(u64::MAX - 1);
/// The loudest that it is played, as the mean power of the whole piece: −20 dB of full scale. What is mastered louder is turned down: it would
/// be a shout on a telephone.
const LOUDEST: f64 = 3_277.0;

/// Of a whole piece, in pieces of a second. Shared by all who hear it.
pub struct Music {
    seconds: Vec<Arc<[i16]>>,
}

impl Music {
    /// # Errors
    /// The file cannot be read, is no PCM of 16 bits, or holds nothing.
    pub fn load(path: &Path) -> Result<Self, WavError> {
        let wav = wav::read(path)?;
        let mut pcm = circle(&wav.mono(), wav.rate);
        if pcm.is_empty() {
            let reason = "it holds no sound".to_owned();
            return Err(WavError::Unsupported { path: path.to_owned(), reason });
        }
        turn_down(&mut pcm);
        Ok(Self { seconds: pcm.chunks(EAR_RATE as usize).map(Arc::from).collect() })
    }

    /// Plays it, from the beginning, until the task is dropped; then the line is to be hushed.
    pub(super) async fn play(self: Arc<Self>, line: Arc<Line>) {
        for pcm in self.seconds.iter().cycle() {
            // The line takes ten seconds ahead; a closed one ends it.
            let chunk = PlayChunk { mark: MARK, rate: EAR_RATE, pcm: pcm.clone(), last: false };
            if line.play(chunk).await.is_err() {
                return;
            }
        }
    }
}

/// At the rate that every line takes at little cost. Its end is filtered as if the beginning followed, which it does, so nothing is heard of the
/// place where they meet.
fn circle(pcm: &[i16], rate: u32) -> Vec<i16> {
    if rate == EAR_RATE || pcm.is_empty() {
        return pcm.to_vec();
    }
    let beyond = (rate as usize / 10).min(pcm.len());
    let wound = [&pcm[pcm.len() - beyond..], pcm, &pcm[..beyond]].concat();
    let converted = resample::convert(&wound, rate, EAR_RATE);
    let at_ours = |samples: usize| samples * EAR_RATE as usize / rate as usize;
    let (start, length) = (at_ours(beyond), at_ours(pcm.len()));
    converted.into_iter().skip(start).take(length).collect()
}

fn turn_down(pcm: &mut [i16]) {
    let power: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let gain = LOUDEST / (power / pcm.len() as f64).sqrt();
    if gain < 1.0 {
        for sample in pcm {
            #[expect(clippy::cast_possible_truncation, reason = "it gets smaller")]
            let quieter = (f64::from(*sample) * gain) as i16;
            *sample = quieter;
        }
    }
}

#[cfg(test)]
mod tests {
    use media::wav::Wav;

    use super::*;

    fn tone(rate: u32, channels: u16, loudness: f32, seconds: u32) -> Wav {
        let sample = |n: u32| {
            #[expect(clippy::cast_possible_truncation, reason = "a sample")]
            let sample = (loudness * (std::f32::consts::TAU * 500.0 * n as f32 / rate as f32).sin()) as i16;
            sample
        };
        let samples =
            (0..rate * seconds).flat_map(|n| std::iter::repeat_n(sample(n), usize::from(channels))).collect();
        Wav { rate, channels, samples }
    }

    fn loaded(wav: &Wav) -> Vec<i16> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("music.wav");
        wav::write(&path, wav).unwrap();
        Music::load(&path).unwrap().seconds.concat()
    }

    #[test]
    fn any_rate_becomes_ours_and_the_end_meets_the_beginning() {
        for rate in [8_000, 16_000, 22_050, 44_100, 48_000] {
            let pcm = loaded(&tone(rate, 2, 3_000.0, 3));
            assert_eq!(pcm.len(), 48_000, "{rate}");
            // Whole waves, so twice round is one tone still: no sample is further from the next than in the middle.
            let twice = [pcm.clone(), pcm].concat();
            let steps = || twice.windows(2).map(|pair| i32::from(pair[0]).abs_diff(pair[1].into()));
            let middle = steps().skip(8_000).take(8_000).max().unwrap();
            let seam = steps().skip(47_000).take(2_000).max().unwrap();
            assert!(seam <= middle + 40, "{rate}: {seam} against {middle}");
        }
    }

    #[test]
    fn what_is_too_loud_is_turned_down_and_what_is_not_stays() {
        let loudest = |pcm: &[i16]| pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((4_500..4_700).contains(&loudest(&loaded(&tone(16_000, 1, 30_000.0, 1)))));
        assert!((1_980..2_001).contains(&loudest(&loaded(&tone(16_000, 1, 2_000.0, 1)))));
    }

    #[test]
    fn what_is_no_music_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("music.wav");
        assert!(Music::load(&path).is_err());
        std::fs::write(&path, "la la la").unwrap();
        assert!(Music::load(&path).is_err());
        wav::write(&path, &Wav { rate: 8_000, channels: 1, samples: Vec::new() }).unwrap();
        assert!(Music::load(&path).is_err());
    }
}
