//! Sentences that are known before they are said, synthesized ahead: greetings, apologies, goodbyes.
//!
//! Nobody on a call waits for one. A [`Mouth`] is given at once; what has its sound by the time it is to be said is played from
//! memory, and anything else is synthesized then, as an answer is. One task works through what is wanted, behind all live work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::StreamExt;
use models::{Pcm, Priority, TtsError};
use tokio::sync::mpsc;
use tracing::warn;

use super::turn::Mouth;
use super::voice::Voice;

/// Sentences that may wait for their sound; further ones are said without.
const WAITING: usize = 256;
/// Sound that is kept, in samples: some 25 minutes at 22,050 Hz, 64 MB.
const KEPT: usize = 32 << 20;

/// The sound of a sentence, once it is there.
pub(super) type Slot = Arc<OnceLock<Pcm>>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    voice: Option<String>,
    /// Bits of an `f32`.
    speed: u32,
    /// As it is said, which depends on the language.
    said: String,
}

impl Key {
    fn new(voice: &Voice, text: &str) -> Self {
        let (name, speed) = (voice.name().cloned(), voice.speed().to_bits());
        Self { voice: name, speed, said: voice.spoken(text).text }
    }
}

/// A sentence whose sound is wanted.
struct Wanted {
    key: Key,
    slot: Slot,
    voice: Voice,
    text: String,
}

/// What is kept, and what is wanted.
pub(super) struct Stock {
    shelf: Arc<Mutex<Shelf>>,
    wanted: mpsc::Sender<Wanted>,
}

#[derive(Default)]
struct Shelf {
    slots: HashMap<Key, Kept>,
    samples: usize,
    /// Rises with each use.
    clock: u64,
}

struct Kept {
    slot: Slot,
    samples: usize,
    used: u64,
}

impl Stock {
    /// Its task ends when the stock is dropped.
    pub(super) fn start() -> Self {
        Self::start_with(KEPT)
    }

    fn start_with(most: usize) -> Self {
        let (wanted, mut queue) = mpsc::channel::<Wanted>(WAITING);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = shelf.clone();
        tokio::spawn(async move {
            while let Some(Wanted { key, slot, voice, text }) = queue.recv().await {
                let sound = whole(&voice, &text, Priority::Background).await;
                lock(&shared).arrived(&key, &slot, sound, most);
            }
        });
        Self { shelf, wanted }
    }

    /// A mouth that has, or soon will have, the sound of these sentences.
    pub(super) fn mouth(&self, voice: Voice, sentences: &[&str]) -> Mouth {
        let mut ready = HashMap::new();
        for text in sentences.iter().filter(|text| !text.is_empty()) {
            let key = Key::new(&voice, text);
            let mut shelf = lock(&self.shelf);
            let (slot, is_new) = shelf.slot(&key);
            if is_new {
                let (voice, text) = (voice.clone(), (*text).to_owned());
                let wanted = Wanted { key: key.clone(), slot: slot.clone(), voice, text };
                if self.wanted.try_send(wanted).is_err() {
                    shelf.slots.remove(&key);
                }
            }
            ready.insert((*text).to_owned(), slot);
        }
        Mouth::new(voice, ready)
    }

    /// The same, when all of them are there. What fails is logged, and tried again when it is to be said.
    pub(super) async fn prepared(&self, voice: Voice, sentences: &[&str]) -> Mouth {
        let mut ready = HashMap::new();
        for text in sentences.iter().filter(|text| !text.is_empty()) {
            let key = Key::new(&voice, text);
            let (slot, is_new) = lock(&self.shelf).slot(&key);
            if is_new {
                let sound = whole(&voice, text, Priority::Reply).await;
                lock(&self.shelf).arrived(&key, &slot, sound, KEPT);
            }
            ready.insert((*text).to_owned(), slot);
        }
        Mouth::new(voice, ready)
    }
}

impl Shelf {
    /// The place of a sentence, and whether it was made just now.
    fn slot(&mut self, key: &Key) -> (Slot, bool) {
        self.clock += 1;
        let is_new = !self.slots.contains_key(key);
        let kept = self.slots.entry(key.clone()).or_insert_with(|| Kept {
            slot: Slot::default(),
            samples: 0,
            used: 0,
        });
        kept.used = self.clock;
        (kept.slot.clone(), is_new)
    }

    fn arrived(&mut self, key: &Key, slot: &Slot, sound: Result<Pcm, TtsError>, most: usize) {
        match sound {
            Ok(pcm) => {
                let samples = pcm.samples.len();
                // Nobody else fills it.
                let _ = slot.set(pcm);
                if let Some(kept) = self.slots.get_mut(key) {
                    kept.samples = samples;
                    self.samples += samples;
                }
                self.make_room(most);
            }
            Err(error) => {
                warn!(%error, "a stock sentence could not be synthesized ahead");
                self.slots.remove(key);
            }
        }
    }

    /// Gives up what was not used for longest. A call that has it keeps it.
    fn make_room(&mut self, most: usize) {
        while self.samples > most {
            let oldest =
                self.slots.iter().filter(|(_, kept)| kept.samples > 0).min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(kept) = self.slots.remove(&key) {
                self.samples -= kept.samples;
            }
        }
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    // Nothing is left half-changed by a panic under this lock.
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn whole(voice: &Voice, text: &str, priority: Priority) -> Result<Pcm, TtsError> {
    let mut sound = voice.sound(text, priority);
    let mut whole = Pcm { rate: voice.rate(), samples: Vec::new() };
    while let Some(pcm) = sound.next().await {
        let pcm = pcm?;
        whole.rate = pcm.rate;
        whole.samples.extend(pcm.samples);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use models::fake::FakeSynthesizer;

    use super::*;

    fn voice(synthesizer: &Arc<FakeSynthesizer>, speed: f32) -> Voice {
        Voice::new(synthesizer.clone(), None, speed, "en", 0.0)
    }

    async fn has(slot: &Slot) {
        while slot.get().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_mouth_is_there_before_its_sentences_are() {
        let synthesizer = Arc::new(FakeSynthesizer::default());
        let stock = Stock::start();
        // Nothing is awaited here, so the task has not run yet.
        let mouth = stock.mouth(voice(&synthesizer, 1.0), &["Hello.", "", "Goodbye."]);
        assert_eq!((mouth.ready().len(), synthesizer.asked.count()), (2, 0));
        has(&mouth.ready()["Hello."]).await;
        assert_eq!(synthesizer.asked.all()[0].priority, Priority::Background);
    }

    #[tokio::test]
    async fn one_sentence_is_synthesized_once_per_voice() {
        let synthesizer = Arc::new(FakeSynthesizer::default());
        let stock = Stock::start();
        let first = stock.prepared(voice(&synthesizer, 1.0), &["Hello."]).await;
        let again = stock.mouth(voice(&synthesizer, 1.0), &["Hello."]);
        assert!(Arc::ptr_eq(&first.ready()["Hello."], &again.ready()["Hello."]));
        has(&stock.mouth(voice(&synthesizer, 1.5), &["Hello."]).ready()["Hello."]).await;
        assert_eq!(synthesizer.asked.count(), 2);
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_goes_first() {
        let synthesizer = Arc::new(FakeSynthesizer::default());
        // A character is 960 samples there: room for two of these.
        let stock = Stock::start_with(5000);
        for text in ["aa", "bb", "aa", "cc"] {
            has(&stock.mouth(voice(&synthesizer, 1.0), &[text]).ready()[text]).await;
        }
        has(&stock.mouth(voice(&synthesizer, 1.0), &["aa"]).ready()["aa"]).await;
        assert_eq!(synthesizer.asked.count(), 3, "aa is still there");
        has(&stock.mouth(voice(&synthesizer, 1.0), &["bb"]).ready()["bb"]).await;
        assert_eq!(synthesizer.asked.count(), 4, "bb had to go");
    }
}
