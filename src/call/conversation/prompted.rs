//! What a client of the API wants said in a call that is up.

use std::time::Instant;

use super::speech::Kind;
use super::{Conversation, Floor};

/// Texts that may wait to be said.
const MOST: usize = 8;

/// Why something is not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsaid {
    #[error("the call is not up, or it is ending")]
    NotUp,
    #[error("the agent is away: the call is being handed on, or the caller talks with somebody else")]
    Away,
    #[error("{MOST} texts wait to be said already")]
    TooMany,
}

impl Conversation {
    /// Whether something can be said now, or when whoever speaks has finished.
    pub fn may_say(&self) -> Result<(), Unsaid> {
        match self.floor {
            Floor::Waiting | Floor::Over => Err(Unsaid::NotUp),
            _ if self.is_leaving() || self.machine.is_on() => Err(Unsaid::NotUp),
            Floor::Away => Err(Unsaid::Away),
            _ if self.prompted.len() >= MOST => Err(Unsaid::TooMany),
            _ => Ok(()),
        }
    }

    /// `interrupt`: instead of what the agent is saying, which is cut and not said again; the caller is never talked over.
    pub(super) fn prompt(&mut self, now: Instant, text: String, interrupt: bool) {
        if self.may_say().is_err() {
            return;
        }
        if !interrupt {
            return self.prompted.push_back(text);
        }
        self.prompted.push_front(text);
        if let Some(mut speech) = self.speech.take() {
            speech.withdrawn = true;
            self.cut(speech);
            self.floor = Floor::Listening { since: now };
        }
    }

    /// Says what waits, as soon as nobody speaks and nobody is to be answered.
    pub(super) fn say_prompted(&mut self, now: Instant) {
        let is_quiet = matches!(self.floor, Floor::Listening { .. })
            && !self.hearing.is_open()
            && self.digits_until.is_none()
            && self.cut_off.is_empty()
            && !self.opening.is_held()
            && !self.machine.is_on()
            && !self.is_leaving();
        if is_quiet && !self.prompted.is_empty() {
            self.forget_late_warning(now);
        }
        if is_quiet && let Some(text) = self.prompted.pop_front() {
            self.idle_prompts = 0;
            self.say(now, Kind::Stock, text);
        }
    }
}
