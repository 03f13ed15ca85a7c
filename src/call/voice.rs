//! How an agent sounds: whose voice, how fast, how loud; and the way from what is written to its sound.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use models::spoken::{Diction, Spoken};
use models::{BoxStream, Pcm, Phrase, Priority, Synthesizer, TtsError};

/// The longest spoken text that is given to a synthesizer at once, in bytes; its own limit counts characters.
const LONGEST: usize = models::tts::MAX_CHARS;
/// Samples below this share of the full scale are amplified as they are; above it they bend, and never clip.
const KNEE: f32 = 0.8;

/// A voice that says written texts.
#[derive(Clone)]
pub(super) struct Voice {
    synthesizer: Arc<dyn Synthesizer>,
    /// `None`: the default one.
    name: Option<String>,
    speed: f32,
    /// How numbers and the like are said.
    diction: Diction,
    gain: Gain,
}

impl Voice {
    /// `language`: what is spoken where the voice does not tell its own; `volume_db`: against the voice's own loudness.
    pub(super) fn new(
        synthesizer: Arc<dyn Synthesizer>,
        name: Option<String>,
        speed: f32,
        language: &str,
        volume_db: f32,
    ) -> Self {
        let own = synthesizer.language(name.as_deref());
        let language = own.unwrap_or_else(|| language.to_owned());
        let diction = Diction::new(&language, []);
        Self { synthesizer, name, speed, diction, gain: Gain::new(volume_db) }
    }

    /// The same, that says some words otherwise than they are written.
    pub(super) fn saying<'a>(self, words: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self { diction: Diction::new(self.diction.language(), words), ..self }
    }

    pub(super) fn name(&self) -> Option<&String> {
        self.name.as_ref()
    }

    pub(super) fn speed(&self) -> f32 {
        self.speed
    }

    pub(super) fn diction(&self) -> &Diction {
        &self.diction
    }

    pub(super) fn gain(&self) -> Gain {
        self.gain
    }

    /// Hz, of the default voice.
    pub(super) fn rate(&self) -> u32 {
        self.synthesizer.rate()
    }

    /// What it says for a written text.
    pub(super) fn spoken(&self, written: &str) -> Spoken {
        self.diction.spoken(written)
    }

    /// The sound of a written text, as loud as the voice is by itself.
    pub(super) fn sound(
        &self,
        written: &str,
        priority: Priority,
    ) -> BoxStream<'static, Result<Pcm, TtsError>> {
        let said = self.spoken(written);
        let phrases: Vec<_> =
            said.parts(LONGEST).into_iter().map(|part| self.phrase(part, priority)).collect();
        let synthesizer = self.synthesizer.clone();
        // The later part is asked for when the earlier one is there.
        stream::iter(phrases).flat_map(move |phrase| synthesizer.synthesize(phrase)).boxed()
    }

    fn phrase(&self, text: &str, priority: Priority) -> Phrase {
        Phrase { text: text.to_owned(), voice: self.name.clone(), speed: self.speed, priority }
    }
}

/// A factor of loudness that never clips.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Gain(f32);

impl Gain {
    pub(super) fn new(db: f32) -> Self {
        Self(10f32.powf(db / 20.0))
    }

    pub(super) fn apply(self, samples: &mut [i16]) {
        if (self.0 - 1.0).abs() < 1e-6 {
            return;
        }
        for sample in samples {
            let loud = f32::from(*sample) / 32_768.0 * self.0;
            let bent = if self.0 > 1.0 && loud.abs() > KNEE {
                let over = (loud.abs() - KNEE) / (1.0 - KNEE);
                loud.signum() * (KNEE + (1.0 - KNEE) * over.tanh())
            } else {
                loud
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within ±1 by the line above; a cast saturates"
            )]
            let level = (bent * 32_767.0) as i16;
            *sample = level;
        }
    }
}

#[cfg(test)]
mod tests {
    use models::fake::FakeSynthesizer;

    use super::*;

    #[tokio::test]
    async fn a_text_is_given_to_the_voice_in_the_words_that_are_said() {
        let synthesizer = Arc::new(FakeSynthesizer::default());
        let voice = Voice::new(synthesizer.clone(), Some("joe".into()), 1.2, "en", 0.0);
        assert_eq!(
            voice
                .sound("It costs $3.50.", Priority::Reply)
                .filter(|pcm| std::future::ready(pcm.is_err()))
                .count()
                .await,
            0
        );
        let asked = synthesizer.asked.all();
        assert_eq!(asked[0].text, "It costs three dollars and fifty cents.");
        assert_eq!((asked[0].voice.as_deref(), asked[0].speed, asked.len()), (Some("joe"), 1.2, 1));
    }

    #[tokio::test]
    async fn what_becomes_long_when_it_is_said_is_said_in_parts() {
        let synthesizer = Arc::new(FakeSynthesizer::default());
        let voice = Voice::new(synthesizer.clone(), None, 1.0, "en", 0.0);
        let sound = voice.sound(&"0123456789 ".repeat(30), Priority::Reply);
        assert!(sound.all(|pcm| std::future::ready(pcm.is_ok())).await);
        let asked = synthesizer.asked.all();
        assert!(asked.len() > 1 && asked.iter().all(|phrase| phrase.text.len() <= LONGEST));
    }

    #[test]
    fn loud_is_louder_and_never_clipped() {
        let of = |db: f32, sample: i16| {
            let mut samples = [sample];
            Gain::new(db).apply(&mut samples);
            samples[0]
        };
        assert_eq!((of(0.0, 12_345), of(0.0, i16::MIN)), (12_345, i16::MIN));
        assert!((i32::from(of(6.0, 8_000)) - 15_962).abs() < 10, "{}", of(6.0, 8_000));
        assert!((i32::from(of(-20.0, -10_000)) + 1_000).abs() < 3);
        let ramp: Vec<i16> = (0..=32_767).step_by(97).map(|sample| of(6.0, sample)).collect();
        assert!(ramp.is_sorted() && ramp[ramp.len() - 1] > 32_000);
        assert_eq!(of(6.0, -20_000), -of(6.0, 20_000));
    }
}
