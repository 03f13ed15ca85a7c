//! The ear: keeps the sound of the utterance, and has it turned into words, while it is being spoken (`stream`) and at its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use models::{EngineError, Priority, SttError, Transcriber, Transcript, TurnJudge, Utterance};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::stream::{Ask, Known, Loudness, Stream};
use super::Input;
use crate::config::Agent;
use crate::domain::ANY_LANGUAGE;

mod stream;
mod vocabulary;

/// Hz of the frames.
const RATE: usize = media::EAR_RATE as usize;
/// Kept from before the voice was noticed, so that first words are whole.
const PRE_ROLL: usize = RATE * 4 / 10;
/// Of what was said before, a transcriber is told so many characters: more than a sentence.
const CONTEXT: usize = 200;
/// The language that is heard in a shorter sound is not believed for the whole call.
const TELLS_LANGUAGE: usize = RATE * 3 / 2;
/// Tries of one transcription, where the engine died under it.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(400);

pub(super) struct Ears {
    listener: Listener,
    judge: Option<Arc<dyn TurnJudge>>,
    before: VecDeque<i16>,
    open: bool,
    /// A look or the end of an utterance under way, and a judgement.
    work: Option<JoinHandle<()>>,
    judging: Option<JoinHandle<()>>,
}

/// What tasks share with the ear.
#[derive(Clone)]
struct Listener {
    transcriber: Arc<dyn Transcriber>,
    vocabulary: Arc<[String]>,
    hearing: Arc<Mutex<Hearing>>,
    /// Its owner reads on until the call is over.
    results: mpsc::Sender<Input>,
}

struct Hearing {
    stream: Stream,
    /// `None` until it was found out.
    language: Option<String>,
    /// How many utterances were used up.
    utterance: u64,
    /// Tells the task whose result counts; that of any other is stale.
    task: u64,
    /// The words under way are those that the conversation waits for, since then.
    wanted: Option<(u64, Instant)>,
}

impl Ears {
    pub(super) fn new(
        transcriber: Arc<dyn Transcriber>,
        judge: Option<Arc<dyn TurnJudge>>,
        agent: &Agent,
        results: mpsc::Sender<Input>,
    ) -> Self {
        let language = Some(agent.language.clone()).filter(|language| language != ANY_LANGUAGE);
        let hearing = Hearing { stream: Stream::default(), language, utterance: 0, task: 0, wanted: None };
        let hearing = Arc::new(Mutex::new(hearing));
        Self {
            listener: Listener { transcriber, vocabulary: agent.vocabulary.clone().into(), hearing, results },
            judge,
            before: VecDeque::with_capacity(PRE_ROLL + media::FRAME),
            open: false,
            work: None,
            judging: None,
        }
    }

    /// 20 ms of the caller: the VAD's raw word on them (0 to 1), and their level.
    pub(super) fn frame(&mut self, pcm: &[i16], probability: f32, level_dbfs: f32) {
        if self.open {
            self.listen(pcm, Loudness { probability, level_dbfs });
        }
        self.before.extend(pcm);
        let excess = self.before.len().saturating_sub(PRE_ROLL);
        self.before.drain(..excess);
    }

    fn listen(&mut self, pcm: &[i16], loudness: Loudness) {
        let mut hearing = self.listener.hearing();
        hearing.stream.push(pcm, loudness);
        // What the conversation waits for is not given up for a look.
        let Some(ask) = Some(&mut *hearing).filter(|h| h.wanted.is_none()).and_then(|h| h.stream.look())
        else {
            return;
        };
        hearing.task += 1;
        let task = hearing.task;
        drop(hearing);
        stop(&mut self.work);
        self.work = Some(tokio::spawn(self.listener.clone().look(task, ask)));
    }

    /// Voice began: what comes belongs to an utterance, and so does what came just before.
    pub(super) fn open(&mut self) {
        if !self.open {
            self.open = true;
            self.listener.hearing().stream.begin(self.before.iter().copied());
        }
    }

    /// The utterance is used up. `voicing`: another has begun already.
    pub(super) fn forget(&mut self, voicing: bool) {
        stop(&mut self.work);
        stop(&mut self.judging);
        self.open = voicing;
        let mut hearing = self.listener.hearing();
        hearing.task += 1;
        hearing.utterance += 1;
        hearing.wanted = None;
        let kept = if voicing { self.before.len() } else { 0 };
        hearing.stream.begin(self.before.iter().copied().take(kept));
    }

    /// Turns what there is of the utterance into words, and has it judged whether the caller has finished. An earlier
    /// transcription is dropped, unless it is about all that was voiced.
    pub(super) fn transcribe(&mut self, job: u64) {
        let mut hearing = self.listener.hearing();
        let pcm: Arc<[i16]> = self.judge.iter().flat_map(|_| hearing.stream.sound()).copied().collect();
        let listener = self.listener.clone();
        match hearing.stream.known() {
            Known::Coming => {
                hearing.wanted = Some((job, Instant::now()));
                drop(hearing);
            }
            Known::Words(text) => {
                drop(hearing);
                stop(&mut self.work);
                let heard = Input::Heard { job, text, stt: Duration::ZERO };
                self.work = Some(tokio::spawn(async move { listener.tell(heard).await }));
            }
            Known::No => {
                let ask = hearing.stream.ask();
                hearing.task += 1;
                hearing.wanted = Some((job, Instant::now()));
                let task = hearing.task;
                drop(hearing);
                stop(&mut self.work);
                self.work = Some(tokio::spawn(listener.finish(task, ask)));
            }
        }
        self.ask_the_judge(job, pcm);
    }

    fn ask_the_judge(&mut self, job: u64, pcm: Arc<[i16]>) {
        stop(&mut self.judging);
        let Some(judge) = self.judge.clone() else { return };
        let listener = self.listener.clone();
        self.judging = Some(tokio::spawn(async move {
            match judge.judge(pcm).await {
                Ok(probability) => listener.tell(Input::TurnJudged { job, probability }).await,
                Err(error) => {
                    tracing::debug!(%error, "nobody judged by sound whether the caller has finished")
                }
            }
        }));
    }

    /// Ends what is under way, and waits for it.
    pub(super) async fn close(mut self) {
        for mut task in [self.work.take(), self.judging.take()].into_iter().flatten() {
            task.abort();
            let _ = (&mut task).await;
        }
    }
}

fn stop(task: &mut Option<JoinHandle<()>>) {
    if let Some(task) = task.take() {
        task.abort();
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        stop(&mut self.work);
        stop(&mut self.judging);
    }
}

impl Listener {
    /// Held for a few instructions, never across an await.
    fn hearing(&self) -> MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, input: Input) {
        // The reader is gone only when the call is.
        let _ = self.results.send(input).await;
    }

    /// Decodes what was said so far, if the engine has nothing better to do.
    async fn look(self, task: u64, ask: Ask) {
        let began = Instant::now();
        let error = match self
            .transcriber
            .transcribe(self.utterance(&ask, if ask.pause { Priority::Pause } else { Priority::Partial }))
            .await
        {
            Ok(transcript) => return self.take(task, &transcript, began).await,
            Err(error) => error,
        };
        let end = {
            let mut hearing = self.hearing();
            if hearing.task != task {
                return;
            }
            hearing.stream.missed();
            // It has become the end of the utterance meanwhile.
            hearing.wanted.is_some().then(|| hearing.stream.ask())
        };
        match end {
            Some(ask) => self.finish(task, ask).await,
            None => tracing::trace!(%error, "a look was not taken"),
        }
    }

    /// Decodes the end of an utterance, again where the engine died under it.
    async fn finish(self, task: u64, ask: Ask) {
        let began = Instant::now();
        let utterance = self.utterance(&ask, Priority::Tail);
        for attempt in 1..=TRIES {
            match self.transcriber.transcribe(utterance.clone()).await {
                Ok(transcript) => return self.take(task, &transcript, began).await,
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
        let wanted = {
            let mut hearing = self.hearing();
            if hearing.task != task {
                return;
            }
            hearing.stream.missed();
            hearing.wanted.take()
        };
        if let Some((job, _)) = wanted {
            self.tell(Input::Deaf { job }).await;
        }
    }

    /// Words have come: those that are waited for, or some on the way.
    async fn take(&self, task: u64, transcript: &Transcript, began: Instant) {
        let leaked = vocabulary::leaked(&self.vocabulary, transcript);
        let input = {
            let mut hearing = self.hearing();
            if hearing.task != task {
                return;
            }
            let text = hearing.stream.looked(if leaked { "" } else { &transcript.text });
            let wanted = hearing.wanted.take();
            let tells = !transcript.text.is_empty() && hearing.stream.sound().len() >= TELLS_LANGUAGE;
            if hearing.language.is_none() && wanted.is_some() && tells && !transcript.language.is_empty() {
                hearing.language = Some(transcript.language.clone());
            }
            match wanted {
                Some((job, since)) => Some(Input::Heard { job, text, stt: since.elapsed() }),
                None => {
                    let (utterance, stt) = (hearing.utterance, began.elapsed());
                    (!text.is_empty()).then_some(Input::Partial { utterance, text, stt })
                }
            }
        };
        if let Some(input) = input {
            self.tell(input).await;
        }
    }

    fn utterance(&self, ask: &Ask, priority: Priority) -> Utterance {
        Utterance {
            pcm: ask.pcm.clone(),
            language: self.hearing().language.clone(),
            prompt: vocabulary::prompt(&self.vocabulary, last(&ask.before, CONTEXT)),
            priority,
        }
    }
}

/// Whole words from the end of a text, at most so many bytes.
fn last(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    if from == 0 {
        return text;
    }
    text.char_indices()
        .find(|(at, c)| *at >= from && c.is_whitespace())
        .map_or("", |(at, _)| text[at..].trim_start())
}

/// Whether the engine is likely to be back in a moment.
pub(super) fn may_come_back(error: &EngineError) -> bool {
    error.is_retryable() || matches!(error, EngineError::EngineDown { .. } | EngineError::Busy { .. })
}

#[cfg(test)]
mod tests;
