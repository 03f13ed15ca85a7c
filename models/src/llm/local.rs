//! llama.cpp in its own process.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::{calls, grammar};
use crate::process::{EngineHandle, Event, JobStream, Order};
use crate::wire::{Generate, Generated, Grammar, Outcome, Task};
use crate::{Delta, EngineError, FinishReason, Generator, LlmError, Pace, Priority, Prompt, ToolCall, Usage};

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
        let grammar = grammar(&prompt).map_err(|reason| EngineError::Failed {
            engine: "llama",
            kind: "schema".into(),
            message: reason,
        })?;
        let (messages, pinned) = calls::render(&prompt);
        let s = prompt.sampling;
        let task = Generate {
            messages,
            pinned,
            background: prompt.priority == Priority::Background,
            grammar,
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
        let before = calls::count(&prompt);
        let pace = prompt.pace.clone();
        match self.submit(prompt, max) {
            Err(e) => stream::once(std::future::ready(Err(e.into()))).boxed(),
            Ok(job) => stream::unfold(
                (job, pace, VecDeque::new()),
                move |(mut job, mut pace, mut last)| async move {
                    loop {
                        if let Some(delta) = last.pop_front() {
                            return Some((delta, (job, pace, last)));
                        }
                        let event = tokio::select! {
                            biased;
                            rests = changed(&mut pace) => {
                                job.rest(rests);
                                continue;
                            }
                            event = job.next() => event?,
                        };
                        match event {
                            Ok(Event::Text(text)) => return Some((Ok(Delta::Text(text)), (job, pace, last))),
                            Ok(Event::Done(Outcome::Generated(g))) => last = end(g, before).into(),
                            Ok(_) => {}
                            Err(e) => last.push_back(Err(e.into())),
                        }
                    }
                },
            )
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

/// Whether the reply is to rest, when that changes. Who cannot say any more does not want it.
async fn changed(pace: &mut Option<watch::Receiver<Pace>>) -> bool {
    let Some(seen) = pace else { return std::future::pending().await };
    if seen.changed().await.is_err() {
        *pace = None;
        return false;
    }
    *seen.borrow_and_update() == Pace::Rest
}

/// Whether the reply is free, free until it calls a tool, or bound to a schema.
fn grammar(prompt: &Prompt) -> Result<Option<Grammar>, String> {
    match (&prompt.schema, prompt.tools.is_empty()) {
        (Some(schema), _) => {
            let rules = grammar::of_schema(schema)?;
            Ok(Some(Grammar { rules, ..Grammar::default() }))
        }
        (None, false) => {
            let rules = grammar::of_calls(&prompt.tools)?;
            let trigger = Some(grammar::TRIGGER.to_owned());
            Ok(Some(Grammar { rules, trigger, begins: format!("{}\n", grammar::CALL_BEGINS) }))
        }
        (None, true) => Ok(None),
    }
}

/// What remains to be told when the engine has done. `before`: tool calls of the conversation so far.
fn end(mut g: Generated, before: usize) -> Vec<Result<Delta, LlmError>> {
    if g.left_out > 0 || g.cut {
        let (left_out, cut) = (g.left_out, g.cut);
        tracing::info!(left_out, cut, "the conversation is longer than the model's context");
    }
    let called = g.called.take();
    let mut last = Vec::new();
    if let Some(text) = called {
        match calls::parse(&text) {
            Ok(calls) => last.extend(calls.into_iter().enumerate().map(|(i, (name, arguments))| {
                let id = format!("call_{}", before + i + 1);
                Ok(Delta::ToolCall(ToolCall { id, name, arguments }))
            })),
            // It ran out of tokens in the middle.
            Err(message) => {
                let kind = "tool-call".to_owned();
                return vec![Err(EngineError::Failed { engine: "llama", kind, message }.into())];
            }
        }
    }
    last.push(Ok(done(g)));
    last
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
