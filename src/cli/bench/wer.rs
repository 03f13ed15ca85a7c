//! How many words are heard wrongly, in calls and by the same ear without a call around it.

use media::g711;
use models::{Priority, Utterance};

use super::super::local::{self, EarArgs};
use super::prompts::Prompt;
use crate::phone::wer;

/// Words heard wrongly, of all.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Words {
    wrong: usize,
    all: usize,
}

impl Words {
    #[must_use]
    pub(super) fn and(self, said: &str, heard: &str) -> Self {
        let (wrong, all) = wer::errors(said, heard);
        Self { wrong: self.wrong + wrong, all: self.all + all }
    }

    /// Rounded to a tenth; of no words nothing.
    pub(super) fn percent(self) -> Option<f64> {
        (self.all > 0).then(|| (self.wrong as f64 * 1000.0 / self.all as f64).round() / 10.0)
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.wrong, self.all)
    }
}

/// What the ear makes of whole recordings, through the telephone's codec but through no call.
pub(super) async fn offline(ear: &EarArgs, prompts: impl Iterator<Item = &Prompt>) -> anyhow::Result<Words> {
    let engines = local::start_ear(ear).await?;
    let transcriber = engines.ear()?;
    let mut words = Words::default();
    for prompt in prompts {
        let utterance = Utterance {
            pcm: through_the_codec(&media::wav::read(&prompt.path)?).into(),
            language: Some("en".into()),
            prompt: None,
            priority: Priority::Tail,
        };
        words = words.and(&prompt.text, &transcriber.transcribe(utterance).await?.text);
    }
    engines.shut_down().await;
    Ok(words)
}

/// 8 kHz → µ-law → 16 kHz, as the line does it.
fn through_the_codec(wav: &media::wav::Wav) -> Vec<i16> {
    let coded = wav.samples.iter().map(|sample| g711::decode_ulaw(g711::encode_ulaw(*sample)));
    let line: Vec<i16> = coded.collect();
    media::resample::convert(&line, wav.rate, media::EAR_RATE)
}
