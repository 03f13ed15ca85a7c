//! What the agent does besides talking: tools that run while it thinks, and what waits until it has been heard out.

use std::time::{Duration, Instant};

use super::recorder::Scope;
use super::speech::{Kind, Speech};
use super::{Action, Conversation, Deed, Floor, Line, Note};
use crate::domain::{Private, Speaker, StageKind, StageOutcome, ToolUse, millis};

impl Conversation {
    /// Nothing sounds meanwhile, and nothing hangs.
    pub(super) fn tool_began(&mut self, now: Instant, turn: u32, name: &str, within: Duration) {
        let scope = Scope::Turn(turn);
        self.recorder.stage_began(scope, StageKind::Tool, 0);
        self.recorder.stage_detail(scope, StageKind::Tool, 0, name);
        self.of_turn(turn, |speech| speech.busy(now, Some(within)));
    }

    /// Also of a turn that was cut meanwhile: later turns have to know what was done.
    pub(super) fn tool_over(&mut self, now: Instant, turn: u32, deed: Deed, ok: bool, took: Duration) {
        let outcome = if ok { StageOutcome::Used } else { StageOutcome::Failed };
        self.recorder.stage_ended(Scope::Turn(turn), StageKind::Tool, 0, outcome);
        self.of_turn(turn, |speech| speech.busy(now, None));
        self.remember(turn, deed, ok, took);
    }

    pub(super) fn remember(&mut self, turn: u32, deed: Deed, ok: bool, took: Duration) {
        self.note(Note::Tool(ToolUse {
            turn,
            name: deed.name.clone(),
            arguments: Private::new(deed.arguments.clone()),
            result: Private::new(deed.result.clone()),
            ok,
            ms: millis(took),
        }));
        self.history.push(Line { deeds: vec![deed], ..Line::new(Speaker::Agent, "") });
    }

    /// What was to be done when a speech has been heard out.
    pub(super) fn heard_out(&mut self, now: Instant, speech: Speech, text: String) {
        let (turn, transfer, quiet) = (speech.turn, speech.then_transfer, speech.then_quiet);
        self.close(speech, text, false);
        if transfer {
            self.actions.push_back(Action::Transfer { turn });
        }
        self.quiet_until = quiet.map(|quiet| now + quiet);
    }

    /// The caller is still here, and is told so.
    pub(super) fn not_transferred(&mut self, now: Instant) {
        if matches!(self.floor, Floor::Listening { .. }) && !self.is_leaving() && !self.machine.is_on() {
            let text = self.manners.transfer_failed.clone();
            self.say(now, Kind::Stock, text);
        }
    }
}
