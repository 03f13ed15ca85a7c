//! What is said while the brain takes long: one short sentence per turn, in front of what it will say.

use std::time::{Duration, Instant};

use super::recorder::Scope;
use super::speech::Kind;
use super::{Action, Conversation, Floor};
use crate::domain::StageKind;

impl Conversation {
    /// When the silence of a turn that answers the caller has become too long; `None` where nothing is to be said for it.
    pub(super) fn filler_at(&self) -> Option<Instant> {
        let filler = &self.manners.filler;
        let wanted = filler.after_ms > 0 && !filler.phrases.is_empty() && !self.is_leaving();
        let speech = self.speech.as_ref().filter(|speech| wanted && speech.kind == Kind::Answer)?;
        if speech.filled || speech.over {
            return None;
        }
        let silent_since = match self.floor {
            // Sound that is queued leaves at once.
            Floor::Thinking if speech.is_empty() => speech.answers.unwrap_or(speech.asked_at),
            // All that there was has left, and more is to come: a tool is at work.
            Floor::Speaking => speech.silent_since()?,
            _ => return None,
        };
        Some(silent_since + Duration::from_millis(filler.after_ms.into()))
    }

    pub(super) fn fill(&mut self) {
        let phrases = &self.manners.filler.phrases;
        let Some(speech) = self.speech.as_mut() else { return };
        speech.filled = true;
        let text = phrases[self.fillers % phrases.len()].clone();
        self.fillers += 1;
        let turn = speech.turn;
        self.recorder.stage_began(Scope::Turn(turn), StageKind::Filler, 0);
        self.actions.push_back(Action::Fill { turn, text });
    }
}
