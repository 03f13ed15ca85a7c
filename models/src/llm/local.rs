//! llama.cpp in its own process.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::process::{EngineHandle, Event, JobStream, Order};
use crate::wire::{Generate, Generated, Message, Outcome, Task};
use crate::{Delta, EngineError, FinishReason, Generator, LlmError, Prompt, Usage};

#[derive(Clone, Debug)]
pub struct Llama {
    engine: EngineHandle,
    threads: usize,
}

impl Llama {
    /// `threads`: what the engine was started with; all replies are thought by the same ones. Leave at least one core
    /// to the mouth, which speaks the first clause while the rest is still being thought.
    pub fn new(engine: EngineHandle, threads: usize) -> Llama {
        Llama { engine, threads: threads.max(1) }
    }

    fn submit(&self, prompt: Prompt, max_tokens: u32) -> Result<JobStream, EngineError> {
        let s = prompt.sampling;
        let task = Generate {
            messages: prompt
                .messages
                .into_iter()
                .map(|m| Message { role: m.role.as_str().to_owned(), content: m.content })
                .collect(),
            max_tokens,
            temperature: s.temperature,
            top_p: s.top_p,
            top_k: s.top_k,
            repeat_penalty: s.repeat_penalty,
            repeat_window: s.repeat_window,
            frequency_penalty: s.frequency_penalty,
            presence_penalty: s.presence_penalty,
            seed: s.seed,
            stop: prompt.stop,
            session: prompt.session,
            threads: 1,
        };
        self.engine.submit(Order {
            task: Task::Generate(task),
            pcm: [].into(),
            priority: prompt.priority,
            threads: self.threads..=self.threads,
        })
    }
}

impl Generator for Llama {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let max = prompt.max_tokens.max(1);
        match self.submit(prompt, max) {
            Err(e) => stream::once(std::future::ready(Err(e.into()))).boxed(),
            Ok(job) => stream::unfold(job, |mut job| async move {
                loop {
                    let delta = match job.next().await? {
                        Ok(Event::Text(text)) => Ok(Delta::Text(text)),
                        Ok(Event::Done(Outcome::Generated(g))) => Ok(done(g)),
                        Ok(_) => continue,
                        Err(e) => Err(e.into()),
                    };
                    return Some((delta, job));
                }
            })
            .boxed(),
        }
    }

    fn prefill(&self, prompt: Prompt) -> BoxFuture<'static, Result<(), LlmError>> {
        let job = self.submit(prompt, 0);
        Box::pin(async move {
            let mut job = job?;
            while let Some(event) = job.next().await {
                event?;
            }
            Ok(())
        })
    }
}

fn done(g: Generated) -> Delta {
    Delta::Done {
        reason: if g.reason == "length" { FinishReason::Length } else { FinishReason::Stop },
        usage: Usage {
            prompt_tokens: g.prompt_tokens,
            cached_tokens: g.cached_tokens,
            completion_tokens: g.completion_tokens,
            first_token: g.first_token_us.map(Duration::from_micros),
            elapsed: Duration::from_micros(g.elapsed_us),
        },
    }
}
