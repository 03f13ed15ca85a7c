//! The agent steps aside while the caller is transferred, and comes back when nothing came of it.

use std::time::Instant;

use super::speech::Kind;
use super::{Conversation, Floor, Input};

impl Conversation {
    /// Whether the caller may be transferred: there is one, and nobody says goodbye.
    pub fn may_step_aside(&self) -> bool {
        !matches!(self.floor, Floor::Waiting | Floor::Away | Floor::Over) && !self.is_leaving()
    }

    /// Whether what the caller says is for somebody else.
    pub fn is_away(&self) -> bool {
        self.floor == Floor::Away
    }

    pub(super) fn away(&mut self) {
        if !self.may_step_aside() {
            return;
        }
        if let Some(speech) = self.speech.take() {
            self.cut(speech);
        }
        self.throw_away();
        self.unsaid.clear();
        self.prompted.clear();
        self.opening.close();
        self.digits.clear();
        self.digits_until = None;
        self.idle_prompts = 0;
        self.quiet_until = None;
        self.forget();
        self.hearing.close();
        self.floor = Floor::Away;
    }

    pub(super) fn while_away(&mut self, now: Instant, input: Input) {
        match input {
            Input::Back { say } => {
                self.floor = Floor::Listening { since: now };
                if !say.is_empty() {
                    self.say(now, Kind::Stock, say);
                }
            }
            Input::Played { mark } => self.played_while_away(now, mark),
            Input::Hushed { mark, played } => self.close_cut(mark, played),
            Input::ToolOver { turn, deed, ok, took } => self.remember(turn, deed, ok, took),
            Input::Leave(reason) => self.leave(now, reason),
            Input::Gone => self.over(),
            _ => {}
        }
    }

    /// Of what was cut, the rest that had left already.
    fn played_while_away(&mut self, now: Instant, mark: u64) {
        for speech in &mut self.cut_off {
            speech.played(now, mark);
        }
    }
}
