//! Scripted models, for tests of whoever uses the traits: no engine, no file, no time but what the script says.
//!
//! Each takes what it is asked from a script, in order, and keeps what it was asked. A script that has run out goes
//! on with its last line.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::{
    Delta, EngineError, FinishReason, Generator, LlmError, Pcm, Phrase, Priority, Prompt, SttError,
    Synthesizer, ToolCall, Transcriber, Transcript, TtsError, TurnJudge, Usage, Utterance,
};

/// What has been asked so far, oldest first.
#[derive(Debug)]
pub struct Asked<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Asked<T> {
    pub fn all(&self) -> Vec<T> {
        lock(&self.0).clone()
    }

    pub fn count(&self) -> usize {
        lock(&self.0).len()
    }

    /// For a model of a test's own.
    pub fn push(&self, asked: T) {
        lock(&self.0).push(asked);
    }
}

impl<T> Clone for Asked<T> {
    fn clone(&self) -> Asked<T> {
        Asked(self.0.clone())
    }
}

impl<T> Default for Asked<T> {
    fn default() -> Asked<T> {
        Asked(Arc::default())
    }
}

/// Hears what the script says.
#[derive(Debug, Default)]
pub struct FakeTranscriber {
    pub asked: Asked<Utterance>,
    script: Mutex<VecDeque<Result<Transcript, SttError>>>,
    delay: Duration,
    looks: bool,
}

impl FakeTranscriber {
    /// Takes looks at utterances that are still being spoken from the script too. Without this it has no time for
    /// them, so that the script is one line per utterance.
    pub fn looking(self) -> FakeTranscriber {
        FakeTranscriber { looks: true, ..self }
    }

    /// One text per utterance.
    pub fn says<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> FakeTranscriber {
        let line =
            |text: T| Ok(Transcript { text: text.into(), language: "en".into(), ..Transcript::default() });
        FakeTranscriber::script(texts.into_iter().map(line))
    }

    pub fn script(lines: impl IntoIterator<Item = Result<Transcript, SttError>>) -> FakeTranscriber {
        FakeTranscriber { script: Mutex::new(lines.into_iter().collect()), ..FakeTranscriber::default() }
    }

    /// Each answer takes this long.
    pub fn delayed(self, delay: Duration) -> FakeTranscriber {
        FakeTranscriber { delay, ..self }
    }
}

impl Transcriber for FakeTranscriber {
    fn transcribe(&self, utterance: Utterance) -> BoxFuture<'static, Result<Transcript, SttError>> {
        if matches!(utterance.priority, Priority::Partial | Priority::Pause) && !self.looks {
            return Box::pin(std::future::ready(Err(EngineError::Busy { engine: "fake", queued: 0 }.into())));
        }
        lock(&self.asked.0).push(utterance);
        let line = next(&self.script).unwrap_or_else(|| Ok(Transcript::default()));
        let delay = self.delay;
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            line
        })
    }
}

/// Finds each utterance as finished as the script says.
#[derive(Debug, Default)]
pub struct FakeTurnJudge {
    pub asked: Asked<Arc<[i16]>>,
    script: Mutex<VecDeque<Result<f32, EngineError>>>,
    delay: Duration,
}

impl FakeTurnJudge {
    /// One probability per question.
    pub fn says(probabilities: impl IntoIterator<Item = f32>) -> FakeTurnJudge {
        FakeTurnJudge::script(probabilities.into_iter().map(Ok))
    }

    pub fn script(answers: impl IntoIterator<Item = Result<f32, EngineError>>) -> FakeTurnJudge {
        FakeTurnJudge { script: Mutex::new(answers.into_iter().collect()), ..FakeTurnJudge::default() }
    }

    /// Each answer takes this long.
    pub fn delayed(self, delay: Duration) -> FakeTurnJudge {
        FakeTurnJudge { delay, ..self }
    }
}

impl TurnJudge for FakeTurnJudge {
    fn judge(&self, pcm: Arc<[i16]>) -> BoxFuture<'static, Result<f32, EngineError>> {
        lock(&self.asked.0).push(pcm);
        let answer = next(&self.script).unwrap_or(Ok(0.5));
        let delay = self.delay;
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            answer
        })
    }
}

/// A line of [`FakeGenerator::script`]: it says this, and then wants tools called, by name and arguments. Their ids are
/// `call_1` and so on within the line.
pub fn calling(said: &str, calls: &[(&str, serde_json::Value)]) -> Vec<Result<Delta, LlmError>> {
    let words = said.split_inclusive(' ').map(|w| Ok(Delta::Text(w.to_owned())));
    let calls = calls.iter().enumerate().map(|(i, (name, arguments))| {
        let (id, name) = (format!("call_{}", i + 1), (*name).to_owned());
        Ok(Delta::ToolCall(ToolCall { id, name, arguments: arguments.to_string() }))
    });
    let done = Delta::Done { reason: FinishReason::Stop, usage: Usage::default() };
    words.chain(calls).chain([Ok(done)]).collect()
}

/// Answers what the script says, word by word.
#[derive(Debug, Default)]
pub struct FakeGenerator {
    pub asked: Asked<Prompt>,
    script: Mutex<VecDeque<Vec<Result<Delta, LlmError>>>>,
    /// Before each piece.
    delay: Duration,
}

impl FakeGenerator {
    /// One reply per prompt, each streamed in words.
    pub fn says<T: AsRef<str>>(replies: impl IntoIterator<Item = T>) -> FakeGenerator {
        FakeGenerator::script(replies.into_iter().map(|reply| {
            let words = reply.as_ref().split_inclusive(' ').map(|w| Ok(Delta::Text(w.to_owned())));
            let done = Delta::Done { reason: FinishReason::Stop, usage: Usage::default() };
            words.chain([Ok(done)]).collect()
        }))
    }

    pub fn script(replies: impl IntoIterator<Item = Vec<Result<Delta, LlmError>>>) -> FakeGenerator {
        FakeGenerator { script: Mutex::new(replies.into_iter().collect()), ..FakeGenerator::default() }
    }

    /// Each piece takes this long.
    pub fn delayed(self, delay: Duration) -> FakeGenerator {
        FakeGenerator { delay, ..self }
    }
}

impl Generator for FakeGenerator {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        lock(&self.asked.0).push(prompt);
        let reply = next(&self.script)
            .unwrap_or_else(|| vec![Ok(Delta::Done { reason: FinishReason::Stop, usage: Usage::default() })]);
        let delay = self.delay;
        stream::iter(reply)
            .then(move |delta| async move {
                tokio::time::sleep(delay).await;
                delta
            })
            .boxed()
    }
}

/// Sounds a tone as long as speech of that text would be: 60 ms per character, 16 kHz.
#[derive(Debug, Default)]
pub struct FakeSynthesizer {
    pub asked: Asked<Phrase>,
    errors: Mutex<VecDeque<Option<TtsError>>>,
    /// Before each phrase's first piece.
    delay: Duration,
}

/// Sample rate of [`FakeSynthesizer`], Hz.
pub const RATE: u32 = 16_000;
/// How long one character sounds.
pub const PER_CHAR: Duration = Duration::from_millis(60);

impl FakeSynthesizer {
    /// Fails where the script has an error, phrase by phrase.
    pub fn failing(errors: impl IntoIterator<Item = Option<TtsError>>) -> FakeSynthesizer {
        FakeSynthesizer { errors: Mutex::new(errors.into_iter().collect()), ..FakeSynthesizer::default() }
    }

    pub fn delayed(self, delay: Duration) -> FakeSynthesizer {
        FakeSynthesizer { delay, ..self }
    }
}

impl Synthesizer for FakeSynthesizer {
    fn synthesize(&self, phrase: Phrase) -> BoxStream<'static, Result<Pcm, TtsError>> {
        let chars = phrase.text.chars().count();
        lock(&self.asked.0).push(phrase);
        let error = lock(&self.errors).pop_front().flatten();
        let delay = self.delay;
        let samples = chars * (RATE as usize * PER_CHAR.as_millis() as usize / 1000);
        let tone: Vec<i16> = (0..samples)
            .map(|i| ((i as f32 * std::f32::consts::TAU * 300.0 / RATE as f32).sin() * 8000.0) as i16)
            .collect();
        let pieces: Vec<Result<Pcm, TtsError>> = match error {
            Some(error) => vec![Err(error)],
            None => {
                tone.chunks(RATE as usize / 2).map(|c| Ok(Pcm { rate: RATE, samples: c.to_vec() })).collect()
            }
        };
        stream::once(tokio::time::sleep(delay)).flat_map(move |()| stream::iter(pieces.clone())).boxed()
    }

    fn rate(&self) -> u32 {
        RATE
    }
}

/// The next line; the last one stays.
fn next<T: Clone>(script: &Mutex<VecDeque<T>>) -> Option<T> {
    let mut script = lock(script);
    if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
