//! The ear: keeps the sound of the utterance, and has it turned into words.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use models::{EngineError, Priority, SttError, Transcriber, TurnJudge, Utterance};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Input;

/// Hz of the frames.
const RATE: usize = media::EAR_RATE as usize;
/// Kept from before the voice was noticed, so that first words are whole.
const PRE_ROLL: usize = RATE * 4 / 10;
/// A transcriber hears no more at once; the oldest sound goes first.
const LONGEST: usize = RATE * 29;
/// Tries of one transcription, where the engine died under it.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(400);

pub(super) struct Ears {
    transcriber: Arc<dyn Transcriber>,
    judge: Option<Arc<dyn TurnJudge>>,
    language: String,
    before: VecDeque<i16>,
    utterance: Vec<i16>,
    open: bool,
    work: Option<JoinHandle<()>>,
    results: mpsc::Sender<Input>,
}

impl Ears {
    /// Results go to `results`, whose owner reads on until the call is over.
    pub(super) fn new(
        transcriber: Arc<dyn Transcriber>,
        judge: Option<Arc<dyn TurnJudge>>,
        language: String,
        results: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            transcriber,
            judge,
            language,
            before: VecDeque::with_capacity(PRE_ROLL + media::FRAME),
            utterance: Vec::new(),
            open: false,
            work: None,
            results,
        }
    }

    /// 20 ms of the caller.
    pub(super) fn frame(&mut self, pcm: &[i16]) {
        if self.open {
            self.utterance.extend_from_slice(pcm);
            if self.utterance.len() > LONGEST {
                self.utterance.drain(..self.utterance.len() - LONGEST);
            }
        }
        self.before.extend(pcm);
        let excess = self.before.len().saturating_sub(PRE_ROLL);
        self.before.drain(..excess);
    }

    /// Voice began: what comes belongs to an utterance, and so does what came just before.
    pub(super) fn open(&mut self) {
        if !self.open {
            self.open = true;
            self.utterance.clear();
            self.utterance.extend(&self.before);
        }
    }

    /// The utterance is used up. `voicing`: another has begun already.
    pub(super) fn forget(&mut self, voicing: bool) {
        self.stop();
        self.utterance.clear();
        self.open = voicing;
        if voicing {
            self.utterance.extend(&self.before);
        }
    }

    /// Turns what there is of the utterance into words, and has it judged whether the caller has finished. An earlier
    /// transcription is dropped.
    pub(super) fn transcribe(&mut self, job: u64) {
        self.stop();
        let utterance = Utterance {
            pcm: Arc::from(self.utterance.as_slice()),
            language: Some(self.language.clone()),
            prompt: None,
            priority: Priority::Tail,
        };
        let (transcriber, results) = (self.transcriber.clone(), self.results.clone());
        let judge = self.judge.clone();
        self.work = Some(tokio::spawn(async move {
            let judged = async {
                let Some(judge) = judge else { return };
                match judge.judge(utterance.pcm.clone()).await {
                    // The reader is gone only when the call is.
                    Ok(probability) => {
                        let _ = results.send(Input::TurnJudged { job, probability }).await;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "nobody judged by sound whether the caller has finished")
                    }
                }
            };
            let heard = async {
                let input = words(&*transcriber, job, utterance.clone()).await;
                let _ = results.send(input).await;
            };
            tokio::join!(judged, heard);
        }));
    }

    /// Ends what is under way, and waits for it.
    pub(super) async fn close(mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
            let _ = work.await;
        }
    }

    fn stop(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn words(transcriber: &dyn Transcriber, job: u64, utterance: Utterance) -> Input {
    let began = Instant::now();
    for attempt in 1..=TRIES {
        match transcriber.transcribe(utterance.clone()).await {
            Ok(transcript) => return Input::Heard { job, text: transcript.text, stt: began.elapsed() },
            Err(SttError::Engine(error)) if attempt < TRIES && may_come_back(&error) => {
                tracing::warn!(%error, attempt, "transcription failed; once more");
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            Err(error) => {
                tracing::error!(%error, "transcription failed");
                break;
            }
        }
    }
    Input::Deaf { job }
}

/// Whether the engine is likely to be back in a moment.
pub(super) fn may_come_back(error: &EngineError) -> bool {
    error.is_retryable() || matches!(error, EngineError::EngineDown { .. } | EngineError::Busy { .. })
}
