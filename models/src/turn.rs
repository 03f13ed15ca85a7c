//! The judge of turns, in its own process.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::process::{EngineHandle, Event, Order};
use crate::wire::{Judge, Outcome, Task};
use crate::{EngineError, Priority, TurnJudge};

/// How much of the sound counts, in seconds: the last of it.
pub const SECONDS: usize = 8;

/// smart-turn behind `offhook-turn`.
#[derive(Clone, Debug)]
pub struct SmartTurn {
    engine: EngineHandle,
}

impl SmartTurn {
    pub fn new(engine: EngineHandle) -> SmartTurn {
        SmartTurn { engine }
    }
}

impl TurnJudge for SmartTurn {
    fn judge(&self, pcm: Arc<[i16]>) -> BoxFuture<'static, Result<f32, EngineError>> {
        let name = self.engine.name();
        let last = pcm.len().saturating_sub(SECONDS * 16_000);
        let order = Order {
            task: Task::Judge(Judge { threads: 1 }),
            pcm: if last == 0 { pcm } else { Arc::from(&pcm[last..]) },
            // A caller has stopped speaking and waits, as for the words.
            priority: Priority::Tail,
            threads: 1..=1,
        };
        let job = self.engine.submit(order);
        Box::pin(async move {
            let mut job = job?;
            loop {
                match job.next().await {
                    Some(Ok(Event::Done(Outcome::Judged(judged)))) => return Ok(judged.probability),
                    Some(Ok(_)) => {}
                    Some(Err(e)) => return Err(e),
                    None => return Err(EngineError::Stopped { engine: name }),
                }
            }
        })
    }
}
