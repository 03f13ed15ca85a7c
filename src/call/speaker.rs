//! Text spoken by itself, outside of any call: bounded, and behind all live work.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use models::phrase::Phraser;
use models::{Pcm, Priority, Synthesizer, TtsError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::voice::Voice;

/// Texts at once. Each takes a core of the mouth's while nobody on a call needs it.
const AT_ONCE: usize = 2;
/// What waiting for one's turn and speaking may take together.
const PATIENCE: Duration = Duration::from_secs(25);

/// Why a text is not spoken.
#[derive(Debug, thiserror::Error)]
pub enum Unspoken {
    #[error("has nothing in it that can be said")]
    Nothing,
    #[error("the voices are busy with calls, or with other texts")]
    Busy,
    #[error(transparent)]
    Failed(#[from] TtsError),
}

/// Speaks texts, a few at a time.
pub(super) struct Speaker {
    synthesizer: Arc<dyn Synthesizer>,
    turns: Semaphore,
    patience: Duration,
}

impl Speaker {
    pub(super) fn new(synthesizer: Arc<dyn Synthesizer>) -> Self {
        Self { synthesizer, turns: Semaphore::new(AT_ONCE), patience: PATIENCE }
    }

    /// A whole text, clause by clause, with pauses as its marks want them. `voice`: `None` is the default one.
    pub(super) async fn speak(&self, text: &str, voice: Option<&str>, speed: f32) -> Result<Pcm, Unspoken> {
        timeout(self.patience, self.speak_in_turn(text, voice, speed)).await.unwrap_or(Err(Unspoken::Busy))
    }

    async fn speak_in_turn(&self, text: &str, voice: Option<&str>, speed: f32) -> Result<Pcm, Unspoken> {
        let _turn = self.turns.acquire().await.map_err(|_| Unspoken::Busy)?;
        let voice = Voice::new(self.synthesizer.clone(), voice.map(str::to_owned), speed, "", 0.0);
        let mut phraser = Phraser::new();
        let clauses: Vec<String> = phraser.push(text).collect();
        let mut whole = Pcm { rate: voice.rate(), samples: Vec::new() };
        for text in clauses.into_iter().chain(phraser.finish()) {
            let mut sound = voice.sound(&text, Priority::Background);
            while let Some(piece) = sound.next().await {
                let piece = piece?;
                // Of one voice, and so of one rate.
                whole.rate = piece.rate;
                whole.samples.extend(piece.samples);
            }
        }
        if whole.samples.is_empty() { Err(Unspoken::Nothing) } else { Ok(whole) }
    }
}

#[cfg(test)]
mod tests {
    use models::fake::{FakeSynthesizer, PER_CHAR, RATE};

    use super::*;

    #[tokio::test]
    async fn a_text_is_spoken_clause_by_clause() {
        let mouth = Arc::new(FakeSynthesizer::default());
        let speaker = Speaker::new(mouth.clone());
        let pcm = speaker.speak("We are open until six. Come in, please!", Some("joe"), 1.5).await.unwrap();
        let asked = mouth.asked.all();
        assert!(asked.len() > 1 && asked.iter().all(|phrase| phrase.voice.as_deref() == Some("joe")));
        assert!(asked.iter().all(|phrase| phrase.priority == Priority::Background && phrase.speed == 1.5));
        let chars: usize = asked.iter().map(|phrase| phrase.text.chars().count()).sum();
        let samples = chars * RATE as usize * PER_CHAR.as_millis() as usize / 1000;
        assert_eq!((pcm.rate, pcm.samples.len()), (RATE, samples));
        assert!(matches!(speaker.speak("…", None, 1.0).await, Err(Unspoken::Nothing)));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let slow = FakeSynthesizer::default().delayed(PATIENCE);
        let speaker = Speaker { patience: Duration::from_millis(10), ..Speaker::new(Arc::new(slow)) };
        assert!(matches!(speaker.speak("Hello.", None, 1.0).await, Err(Unspoken::Busy)));
    }
}
