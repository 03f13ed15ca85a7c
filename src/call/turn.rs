//! One turn of the agent: tokens → clauses → sound → gate → line. Dropping its task is its cancellation.
//!
//! Up to the gate all is work that may be thrown away. What the caller, the record or anybody else could notice comes after it:
//! sound, phrases, the wish to hang up, the end of the turn, and what it has used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use media::net::Line;
use media::{Mark, PlayChunk};
use models::phrase::Phraser;
use models::{BoxStream, Delta, Generator, LlmError, Pace, Pcm, Priority, Prompt, TtsError};
use tokio::sync::{mpsc, watch};

use super::Input;
use super::course::Course;
use super::ears::may_come_back;
use super::gate::Gate;
use super::stock::Slot;
use super::tools::{Asked, Hands, Outcome, Round, Then, Thought};
use super::voice::Voice;
use crate::domain::CallUsage;

/// An answer that holds this asks to hang up when it has been said; the mark itself is not spoken.
pub const HANG_UP_MARK: &str = "[hangup]";
/// The place of a filler in its turn: no clause has it.
const FILLER: u64 = 0xffff;
/// Clauses that may wait for their sound.
const CLAUSES_AHEAD: usize = 4;
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(400);

/// The voice of an agent, with the sentences that are synthesized before they are needed.
#[derive(Clone)]
pub struct Mouth {
    voice: Voice,
    ready: Arc<HashMap<String, Slot>>,
}

impl Mouth {
    /// `ready`: the sound of whole sentences, now or when it has come.
    pub(super) fn new(voice: Voice, ready: HashMap<String, Slot>) -> Self {
        Self { voice, ready: Arc::new(ready) }
    }

    #[cfg(test)]
    pub(super) fn ready(&self) -> &HashMap<String, Slot> {
        &self.ready
    }
}

/// What a call has used of brain and voice so far, counted where it is used: a turn that is cut has used what it has.
#[derive(Debug, Default)]
pub(super) struct Meter {
    tokens: AtomicU64,
    characters: AtomicU64,
}

impl Meter {
    /// Sets what was counted here.
    pub(super) fn read(&self, usage: &mut CallUsage) {
        usage.tokens = self.tokens.load(Ordering::Relaxed);
        usage.characters = self.characters.load(Ordering::Relaxed);
    }

    fn tokens(&self, count: u64) {
        self.tokens.fetch_add(count, Ordering::Relaxed);
    }

    fn characters(&self, text: &str) {
        self.characters.fetch_add(text.chars().count() as u64, Ordering::Relaxed);
    }

    /// Takes over what `other` has counted, and empties it.
    fn take(&self, other: &Meter) {
        self.tokens.fetch_add(other.tokens.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.characters.fetch_add(other.characters.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// What a turn works with.
pub(super) struct TurnTask {
    pub(super) turn: u32,
    pub(super) mouth: Mouth,
    pub(super) line: Arc<Line>,
    pub(super) reports: mpsc::Sender<Input>,
    pub(super) meter: Arc<Meter>,
    pub(super) hands: Arc<dyn Hands>,
    /// What was used before the gate opened: the call has used it only if it opens.
    pub(super) spent: Meter,
    /// Until it opens, nothing of the turn is heard, done or written.
    pub(super) gate: Gate,
    pub(super) course: Course,
    /// Whether the brain may rest while the first clause is synthesized.
    pub(super) pace: watch::Sender<Pace>,
}

impl TurnTask {
    /// Says one sentence.
    pub(super) async fn say(self, text: String) {
        let mut course = Course::default();
        let failed = match self.speak(&mut course, 0, &text, Instant::now()).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(%error, "a sentence could not be said");
                true
            }
        };
        self.finish(failed).await;
    }

    /// Asks the brain and says what it answers, clause by clause, while it is still answering.
    pub(super) async fn reply(mut self, generator: Arc<dyn Generator>, prompt: Prompt) {
        let (clauses, queue) = mpsc::channel(CLAUSES_AHEAD);
        let mut course = std::mem::take(&mut self.course);
        let speaking = self.speak_all(&mut course, queue);
        let (thought, said) = tokio::join!(self.think(&*generator, prompt, clauses), speaking);
        if let Err(error) = &thought {
            tracing::error!(%error, turn = self.turn, "the brain failed");
        }
        if let Err(error) = &said {
            tracing::error!(%error, turn = self.turn, "an answer could not be said");
        }
        let is_silent = matches!(thought, Ok(Thought::Silent));
        self.finish(is_silent || thought.is_err() || said.is_err()).await;
    }

    async fn finish(&self, failed: bool) {
        self.released().await;
        self.report(Input::ReplyOver { turn: self.turn, failed }).await;
    }

    /// Returns when the turn is no longer a mere guess that it is the agent's. Whatever has a side effect waits for this.
    async fn released(&self) {
        self.gate.opened().await;
        self.meter.take(&self.spent);
    }

    /// Where use is counted.
    fn counter(&self) -> &Meter {
        if self.gate.is_open() { &self.meter } else { &self.spent }
    }

    async fn think(
        &self,
        generator: &dyn Generator,
        prompt: Prompt,
        clauses: mpsc::Sender<(String, Instant)>,
    ) -> Result<Thought, LlmError> {
        if !generator.may_be_asked_ahead() {
            self.released().await;
        }
        let mut round = Round::first(prompt);
        loop {
            let asked = self.think_a_round(generator, &round.prompt, &clauses).await?;
            if asked.calls.is_empty() || round.is_the_last() {
                return Ok(round.conclude(&asked));
            }
            self.released().await;
            for call in round.begin(asked) {
                let outcome = self.hands.clone().run(self.turn, &self.line, &call).await;
                self.act_on(&outcome, &clauses).await;
                if !round.told(&call, &outcome) {
                    break;
                }
            }
            if !round.next() {
                return Ok(Thought::Whole);
            }
        }
    }

    /// What a tool leads to is said and noted.
    async fn act_on(&self, outcome: &Outcome, clauses: &mpsc::Sender<(String, Instant)>) {
        let now = Instant::now();
        let mut phraser = Phraser::new();
        let mut said: Vec<_> = phraser.push(outcome.say.as_deref().unwrap_or_default()).collect();
        said.extend(phraser.finish());
        for clause in said {
            let _ = clauses.send((clause, now)).await;
        }
        let turn = self.turn;
        match outcome.then {
            Then::Think => {}
            Then::HangUp => self.report(Input::WantsHangUp { turn }).await,
            Then::Transfer => self.report(Input::WantsTransfer { turn }).await,
            Then::Quiet(quiet) => self.report(Input::WantsQuiet { turn, quiet }).await,
        }
    }

    async fn think_a_round(
        &self,
        generator: &dyn Generator,
        prompt: &Prompt,
        clauses: &mpsc::Sender<(String, Instant)>,
    ) -> Result<Asked, LlmError> {
        let asked = Instant::now();
        let mut attempt = 1;
        loop {
            let mut spoke = false;
            match self.think_once(generator, prompt.clone(), clauses, asked, &mut spoke).await {
                Err(LlmError::Engine(error)) if !spoke && attempt < TRIES && may_come_back(&error) => {
                    tracing::warn!(%error, attempt, "the local model failed; once more");
                    attempt += 1;
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                result => return result,
            }
        }
    }

    async fn think_once(
        &self,
        generator: &dyn Generator,
        prompt: Prompt,
        clauses: &mpsc::Sender<(String, Instant)>,
        asked: Instant,
        spoke: &mut bool,
    ) -> Result<Asked, LlmError> {
        let pace = Some(self.pace.subscribe());
        let mut deltas = generator.generate(Prompt { pace, ..prompt });
        let mut phraser = Phraser::new();
        let mut marks = MarkFilter::default();
        let mut first = true;
        let mut pieces = 0;
        let mut wanted = Asked::default();
        while let Some(delta) = deltas.next().await {
            let text = match delta? {
                Delta::Text(text) => text,
                Delta::ToolCall(call) => {
                    wanted.calls.push(call);
                    continue;
                }
                Delta::Fallback { because } => {
                    tracing::warn!(because, turn = self.turn, "another brain is asked");
                    self.report(Input::Fallback { turn: self.turn, because }).await;
                    continue;
                }
                // Brains that do not count for themselves have had each piece counted as a token.
                Delta::Done { usage, .. } => {
                    let said = u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
                    self.counter().tokens(said.saturating_sub(pieces));
                    break;
                }
            };
            pieces += 1;
            self.counter().tokens(1);
            if std::mem::take(&mut first) {
                self.report(Input::FirstToken { turn: self.turn, after: asked.elapsed() }).await;
            }
            wanted.text.push_str(&text);
            for clause in phraser.push(&marks.push(&text)) {
                *spoke = true;
                if clauses.send((clause, Instant::now())).await.is_err() {
                    return Ok(Asked::default());
                }
                self.pace.send_if_modified(|pace| {
                    let first = *pace == Pace::Begin;
                    *pace = if first { Pace::Rest } else { *pace };
                    first
                });
            }
        }
        for clause in phraser.push(&marks.finish()).chain(phraser.finish()) {
            // The reader has gone only if it could not speak, and says so itself.
            let _ = clauses.send((clause, Instant::now())).await;
        }
        if marks.seen {
            self.released().await;
            self.report(Input::WantsHangUp { turn: self.turn }).await;
        }
        Ok(wanted)
    }

    async fn speak_all(
        &self,
        course: &mut Course,
        mut queue: mpsc::Receiver<(String, Instant)>,
    ) -> Result<(), TtsError> {
        let mut n = 0;
        let mut last = Ok(());
        loop {
            let (clause, since) = tokio::select! {
                biased;
                next = queue.recv() => match next {
                    Some(clause) => clause,
                    None => return last,
                },
                text = course.asked() => {
                    self.fill(course, &text).await;
                    continue;
                }
            };
            let now = tokio::time::Instant::now();
            let wait = course.next_at(now) - now;
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            // One clause that cannot be said does not silence the ones after it. That it had to wait is no fault of the voice.
            last = self.speak(course, n, &clause, since + wait).await;
            n += 1;
        }
    }

    /// Says in front of the answer that it takes long. Where that fails, the answer is waited for in silence.
    async fn fill(&self, course: &mut Course, text: &str) {
        self.released().await;
        self.count(text);
        let mut sound = self.sound_of(text);
        let mut pieces = Vec::new();
        // Whole, so that no clause can come between its pieces.
        while let Some(pcm) = sound.next().await {
            match pcm {
                Ok(pcm) => pieces.push(pcm),
                Err(error) => return tracing::debug!(%error, "a filler could not be said"),
            }
        }
        let (turn, mark) = (self.turn, self.mark(FILLER));
        let duration = pieces.iter().map(duration_of).sum::<Duration>();
        if duration.is_zero() {
            return;
        }
        self.report(Input::Filler { turn, mark, text: text.to_owned() }).await;
        for mut pcm in pieces {
            self.mouth.voice.gain().apply(&mut pcm.samples);
            course.put(tokio::time::Instant::now(), duration_of(&pcm));
            self.put(mark, pcm.rate, pcm.samples.into(), false).await;
        }
        self.report(Input::Measured { turn, mark, duration }).await;
        self.put(mark, media::LINE_RATE, Arc::from([]), true).await;
    }

    fn mark(&self, n: u64) -> u64 {
        (u64::from(self.turn) << 16) | n
    }

    /// What lies in the stock was synthesized for all calls, and costs this one nothing.
    fn count(&self, text: &str) {
        if self.mouth.ready.get(text).is_none_or(|slot| slot.get().is_none()) {
            self.counter().characters(text);
        }
    }

    /// From the stock, if it is there; else synthesized now.
    fn sound_of(&self, text: &str) -> BoxStream<'static, Result<Pcm, TtsError>> {
        match self.mouth.ready.get(text).and_then(|slot| slot.get()) {
            Some(pcm) => stream::iter([Ok(pcm.clone())]).boxed(),
            None => self.mouth.voice.sound(text, Priority::Reply),
        }
    }

    /// Puts the sound of one clause on the line. `n`: its place in the turn.
    async fn speak(&self, course: &mut Course, n: u64, text: &str, since: Instant) -> Result<(), TtsError> {
        self.count(text);
        let mut attempt = 1;
        loop {
            match self.play(course, n, text, since).await {
                Ok(()) => return Ok(()),
                Err((TtsError::Engine(error), false)) if attempt < TRIES && may_come_back(&error) => {
                    tracing::warn!(%error, attempt, "synthesis failed; once more");
                    attempt += 1;
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// On failure also says whether a part of it sounds already. In front of the gate the sound is made all the same, and kept.
    async fn play(
        &self,
        course: &mut Course,
        n: u64,
        text: &str,
        since: Instant,
    ) -> Result<(), (TtsError, bool)> {
        let mark = self.mark(n);
        let mut sound = self.sound_of(text);
        let mut duration = Duration::ZERO;
        let mut sounds = false;
        let mut kept = Vec::new();
        let mut failure = None;
        loop {
            let next = tokio::select! {
                biased;
                () = self.released(), if !kept.is_empty() => {
                    self.sound(course, mark, text, &mut sounds, kept.drain(..)).await;
                    continue;
                }
                next = sound.next() => next,
                // The voice takes long as well.
                filler = course.asked(), if duration.is_zero() => {
                    self.fill(course, &filler).await;
                    continue;
                }
            };
            match next {
                None => break,
                Some(Err(error)) => {
                    failure = Some(error);
                    break;
                }
                Some(Ok(pcm)) if pcm.samples.is_empty() => {}
                Some(Ok(mut pcm)) => {
                    self.mouth.voice.gain().apply(&mut pcm.samples);
                    if duration.is_zero() && n == 0 {
                        self.pace.send_replace(Pace::GoOn);
                        self.report(Input::FirstAudio { turn: self.turn, after: since.elapsed() }).await;
                    }
                    duration += duration_of(&pcm);
                    match self.gate.is_open() {
                        true => {
                            self.sound(course, mark, text, &mut sounds, kept.drain(..).chain([pcm])).await
                        }
                        false => kept.push(pcm),
                    }
                }
            }
        }
        // Where the first clause has no sound, the second is waited for.
        self.pace.send_replace(Pace::GoOn);
        if !duration.is_zero() && (failure.is_none() || sounds) {
            self.sound(course, mark, text, &mut sounds, kept.drain(..)).await;
            self.report(Input::Measured { turn: self.turn, mark, duration }).await;
            self.put(mark, media::LINE_RATE, Arc::from([]), true).await;
        }
        failure.map_or(Ok(()), |error| Err((error, sounds)))
    }

    /// Puts pieces of a phrase on the line, and tells of it before the first. `sounds`: whether that was done.
    async fn sound(
        &self,
        course: &mut Course,
        mark: u64,
        text: &str,
        sounds: &mut bool,
        pieces: impl Iterator<Item = Pcm>,
    ) {
        self.released().await;
        if !std::mem::replace(sounds, true) {
            self.report(Input::Phrase { turn: self.turn, mark, text: text.to_owned() }).await;
        }
        for pcm in pieces {
            course.put(tokio::time::Instant::now(), duration_of(&pcm));
            self.put(mark, pcm.rate, pcm.samples.into(), false).await;
        }
    }

    async fn put(&self, mark: u64, rate: u32, pcm: Arc<[i16]>, last: bool) {
        // A closed line means that the call is over; its actor knows and drops us.
        let _ = self.line.play(PlayChunk { mark: Mark(mark), rate, pcm, last }).await;
    }

    async fn report(&self, input: Input) {
        let _ = self.reports.send(input).await;
    }
}

fn duration_of(pcm: &Pcm) -> Duration {
    Duration::from_secs_f64(pcm.samples.len() as f64 / f64::from(pcm.rate.max(1)))
}

/// Takes [`HANG_UP_MARK`] out of a stream of pieces, even where it comes in parts.
#[derive(Default)]
struct MarkFilter {
    held: String,
    seen: bool,
}

impl MarkFilter {
    fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        while let Some(at) = self.held.find(HANG_UP_MARK) {
            self.held.replace_range(at..at + HANG_UP_MARK.len(), "");
            self.seen = true;
        }
        // A tail that may yet become the mark is held back.
        let keep =
            (1..HANG_UP_MARK.len()).rev().find(|&n| self.held.ends_with(&HANG_UP_MARK[..n])).unwrap_or(0);
        let out = self.held.len() - keep;
        self.held.drain(..out).collect()
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod ahead;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_taken_out_wherever_the_pieces_part() {
        let text = "Goodbye, see [you] soon. [hangup]";
        for cut in 0..=text.len() {
            let mut filter = MarkFilter::default();
            let out = filter.push(&text[..cut]) + &filter.push(&text[cut..]) + &filter.finish();
            assert_eq!((out.as_str(), filter.seen), ("Goodbye, see [you] soon. ", true), "cut at {cut}");
        }
        let mut filter = MarkFilter::default();
        assert_eq!(filter.push("a [hang") + &filter.finish(), "a [hang");
        assert!(!filter.seen);
    }
}
