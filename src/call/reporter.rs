//! Who writes the report on a call: the agent's own brain, where that does as it is told.

use std::sync::Arc;

use models::Generator;
use models::llm::remote::WEBHOOK_MODEL;

use super::exchange::Exchange;
use crate::config::Agent;
use crate::domain::{BrainChoice, Call, CallReport};

/// What writes reports.
pub struct Reporter {
    pub generator: Arc<dyn Generator>,
    /// It shares the cores with calls that are up.
    pub is_local: bool,
}

impl Exchange {
    /// `None`: nobody here can. A webhook is an agent of its own, which talks and is not to be told to do something else; the
    /// local model writes in its place, where there is one.
    pub fn reporter(&self, brain: &BrainChoice) -> Option<Reporter> {
        if let BrainChoice::Configured { name } = brain
            && self.config.brains.iter().any(|brain| brain.name == *name && brain.model != WEBHOOK_MODEL)
        {
            let generator = self.cast.generator(brain).ok()?;
            return Some(Reporter { generator, is_local: false });
        }
        let generator = self.cast.generator(&BrainChoice::Local).ok()?;
        Some(Reporter { generator, is_local: true })
    }

    /// The report that is to be written on a call that ends; `None` where nothing was said, nobody is to write one or nobody can.
    pub(super) fn report_on(&self, call: &Call, agent: &Agent) -> Option<Box<CallReport>> {
        if !agent.report || call.transcript.is_empty() || self.reporter(&agent.brain).is_none() {
            return None;
        }
        let objective = agent.objective.clone().filter(|objective| !objective.trim().is_empty());
        Some(Box::new(CallReport::pending(agent.brain.clone(), agent.language.clone(), objective)))
    }
}
