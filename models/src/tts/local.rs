//! Piper in its own process.

use futures_util::stream::{self, BoxStream, StreamExt};

use super::MAX_CHARS;
use crate::catalog;
use crate::process::{EngineHandle, Event, Order, Status};
use crate::wire::{Synthesize, Task};
use crate::{Pcm, Phrase, Synthesizer, TtsError};

#[derive(Clone, Debug)]
pub struct Piper {
    engine: EngineHandle,
    rate: u32,
    threads: usize,
    default: String,
}

impl Piper {
    /// `threads`: the most that one phrase may use, when that many cores are free. `default`: the name of the voice that
    /// speaks where none is named.
    pub fn new(engine: EngineHandle, threads: usize, default: &str) -> Piper {
        let rate = match engine.status() {
            Status::Ready { hello, .. } if hello.rate > 0 => hello.rate,
            _ => 22_050,
        };
        Piper { engine, rate, threads: threads.max(1), default: default.to_owned() }
    }
}

impl Synthesizer for Piper {
    fn synthesize(&self, phrase: Phrase) -> BoxStream<'static, Result<Pcm, TtsError>> {
        let chars = phrase.text.chars().count();
        if chars > MAX_CHARS {
            return stream::once(std::future::ready(Err(TtsError::TooLong { chars, max: MAX_CHARS })))
                .boxed();
        }
        let order = Order {
            task: Task::Synthesize(Synthesize {
                text: phrase.text,
                voice: phrase.voice,
                speed: phrase.speed,
                threads: 1,
            }),
            pcm: [].into(),
            priority: phrase.priority,
            threads: 1..=self.threads,
        };
        match self.engine.submit(order) {
            Err(e) => stream::once(std::future::ready(Err(e.into()))).boxed(),
            Ok(job) => stream::unfold(job, |mut job| async move {
                loop {
                    let piece = match job.next().await? {
                        Ok(Event::Pcm { rate, pcm }) => Ok(Pcm { rate, samples: pcm }),
                        Ok(_) => continue,
                        Err(e) => Err(e.into()),
                    };
                    return Some((piece, job));
                }
            })
            .boxed(),
        }
    }

    fn rate(&self) -> u32 {
        self.rate
    }

    fn language(&self, voice: Option<&str>) -> Option<String> {
        let locale = catalog::locale(voice.unwrap_or(&self.default))?;
        Some(locale[..2].to_owned())
    }
}
