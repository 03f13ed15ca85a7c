//! Whisper in its own process.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::MAX_SECONDS;
use crate::permits::Permits;
use crate::process::{EngineHandle, Event, Order};
use crate::wire::{Outcome, Task, Transcribe};
use crate::{EngineError, Priority, Rejected, Segment, SttError, Transcriber, Transcript, Utterance};

#[derive(Clone, Debug)]
pub struct Whisper {
    engine: EngineHandle,
    permits: Permits,
    threads: usize,
}

impl Whisper {
    /// `threads`: the most that one utterance may use, when that many cores are free. `permits`: the pool of the engine.
    pub fn new(engine: EngineHandle, permits: Permits, threads: usize) -> Whisper {
        Whisper { engine, permits, threads: threads.max(1) }
    }
}

impl Transcriber for Whisper {
    fn transcribe(&self, utterance: Utterance) -> BoxFuture<'static, Result<Transcript, SttError>> {
        let seconds = utterance.pcm.len() as f32 / 16_000.0;
        if seconds > MAX_SECONDS as f32 {
            return Box::pin(std::future::ready(Err(SttError::TooLong { seconds, max: MAX_SECONDS })));
        }
        let name = self.engine.name();
        // A look is worth something now or not at all.
        let queued = self.engine.waiting();
        let look = matches!(utterance.priority, Priority::Partial | Priority::Pause);
        if look && (queued > 0 || self.permits.free() == 0) {
            return Box::pin(std::future::ready(Err(EngineError::Busy { engine: name, queued }.into())));
        }
        let order = Order {
            task: Task::Transcribe(Transcribe {
                language: utterance.language,
                prompt: utterance.prompt,
                threads: 1,
            }),
            pcm: utterance.pcm,
            priority: utterance.priority,
            threads: 1..=self.threads,
        };
        let job = self.engine.submit(order);
        Box::pin(async move {
            let mut job = job?;
            loop {
                match job.next().await {
                    Some(Ok(Event::Done(Outcome::Transcribed(t)))) => return Ok(transcript(t)),
                    Some(Ok(_)) => {}
                    Some(Err(e)) => return Err(e.into()),
                    None => return Err(EngineError::Stopped { engine: name }.into()),
                }
            }
        })
    }
}

fn transcript(t: crate::wire::Transcribed) -> Transcript {
    let ms = |n: u32| Duration::from_millis(u64::from(n));
    Transcript {
        text: t.text,
        no_speech: t.no_speech,
        confidence: t.confidence,
        language: t.language,
        segments: t
            .segments
            .into_iter()
            .map(|s| Segment { start: ms(s.start_ms), end: ms(s.end_ms), text: s.text })
            .collect(),
        rejected: t.rejected.map(|(text, guard)| Rejected { text, guard }),
        elapsed: Duration::from_micros(t.elapsed_us),
    }
}
