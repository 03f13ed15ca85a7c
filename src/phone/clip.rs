//! Lines made ready before the call, so that nothing is synthesized or read while the clock runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use models::{Phrase, Priority, Synthesizer, TtsError};

use super::ear;
use super::script::{Line, Script};

/// Something to be sounded, with what its ends look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The words, or the file's name.
    pub text: String,
    pub rate: u32,
    pub pcm: Arc<[i16]>,
    /// Silence before the first voiced sample.
    pub lead: Duration,
    /// Silence after the last one.
    pub trail: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("the script has words to be spoken, but no voice was started")]
    NoVoice,
    #[error("cannot synthesize {text:?}: {source}")]
    Voice { text: String, source: TtsError },
    #[error(transparent)]
    File(#[from] media::wav::WavError),
    #[error("{0} is empty")]
    Empty(PathBuf),
}

/// Louder than this is voiced; see [`ear::EarConfig`].
const THRESHOLD: i16 = 260;
/// What is kept of the silence around synthesized words.
const MARGIN: Duration = Duration::from_millis(60);

impl Clip {
    pub fn new(text: impl Into<String>, rate: u32, pcm: Vec<i16>) -> Clip {
        let (first, last) = ear::voiced(&pcm, THRESHOLD).unwrap_or((0, pcm.len().saturating_sub(1)));
        let lead = time(first, rate);
        let trail = time(pcm.len().saturating_sub(last + 1), rate);
        Clip { text: text.into(), rate, pcm: pcm.into(), lead, trail }
    }

    /// Without the silence at its ends, but for a margin that soft consonants live in.
    fn trimmed(text: &str, rate: u32, pcm: &[i16]) -> Clip {
        let Some((first, last)) = ear::voiced(pcm, THRESHOLD) else {
            return Clip::new(text, rate, pcm.to_vec());
        };
        let margin = (MARGIN.as_secs_f64() * f64::from(rate)) as usize;
        let range = first.saturating_sub(margin)..(last + 1 + margin).min(pcm.len());
        Clip::new(text, rate, pcm[range].to_vec())
    }

    pub fn duration(&self) -> Duration {
        time(self.pcm.len(), self.rate)
    }
}

/// Synthesizes and reads everything that a script will sound, in its order.
pub async fn prepare(
    script: &Script,
    voice: Option<&dyn Synthesizer>,
    name: Option<&str>,
) -> Result<Vec<Clip>, ClipError> {
    let mut clips = Vec::new();
    for line in script.lines() {
        clips.push(match line {
            Line::Text(text) => speak(text, voice.ok_or(ClipError::NoVoice)?, name).await?,
            Line::File(path) => {
                let wav = media::wav::read(path)?;
                let mono = channel(&wav, 0);
                if mono.is_empty() {
                    return Err(ClipError::Empty(path.clone()));
                }
                Clip::new(path.display().to_string(), wav.rate, mono)
            }
        });
    }
    Ok(clips)
}

/// One sentence, as a clip.
pub async fn speak(text: &str, voice: &dyn Synthesizer, name: Option<&str>) -> Result<Clip, ClipError> {
    let mut rate = voice.rate();
    let mut pcm = Vec::new();
    let phrase = Phrase {
        text: text.to_owned(),
        voice: name.map(str::to_owned),
        speed: 1.0,
        priority: Priority::Background,
    };
    let mut stream = voice.synthesize(phrase);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|source| ClipError::Voice { text: text.to_owned(), source })?;
        rate = piece.rate;
        pcm.extend(piece.samples);
    }
    Ok(Clip::trimmed(text, rate, &pcm))
}

/// One channel of a WAV file; the last one where it has fewer.
pub fn channel(wav: &media::wav::Wav, channel: u16) -> Vec<i16> {
    let channels = usize::from(wav.channels.max(1));
    let channel = usize::from(channel).min(channels - 1);
    wav.samples.chunks_exact(channels).map(|frame| frame[channel]).collect()
}

fn time(samples: usize, rate: u32) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_clip_knows_the_silence_at_its_ends() {
        let mut pcm = vec![0; 8000];
        pcm[1600..6400].fill(2000);
        let clip = Clip::new("x", 8000, pcm.clone());
        assert_eq!((clip.lead, clip.trail, clip.duration()), (ms(200), ms(200), ms(1000)));
        let clip = Clip::trimmed("x", 8000, &pcm);
        assert_eq!((clip.lead, clip.trail, clip.duration()), (MARGIN, MARGIN, ms(720)));
    }

    #[test]
    fn silence_and_nothing_are_clips_too() {
        let clip = Clip::trimmed("x", 8000, &[0; 800]);
        assert_eq!((clip.lead, clip.trail), (ms(0), ms(0)));
        assert_eq!(Clip::new("x", 8000, Vec::new()).duration(), ms(0));
    }

    #[test]
    fn a_channel_is_taken_out_of_a_stereo_file() {
        let wav = media::wav::Wav { rate: 8000, channels: 2, samples: vec![1, 2, 3, 4] };
        assert_eq!(channel(&wav, 0), [1, 3]);
        assert_eq!(channel(&wav, 1), [2, 4]);
        assert_eq!(channel(&wav, 7), [2, 4]);
    }
}
