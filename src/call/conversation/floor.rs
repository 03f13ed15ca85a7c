//! The floor in dispute: who pauses, who goes on, what was heard of a speech that was cut.

use std::time::{Duration, Instant};

use super::speech::{Kind, Speech};
use super::{Action, Conversation, Floor, Note, STAGE_DEADLINE};
use crate::domain::millis;

impl Conversation {
    /// When voice over the protected start of the greeting may pause it after all.
    pub(super) fn protected_until(&self) -> Option<Instant> {
        let speech = self.speech.as_ref().filter(|speech| speech.kind == Kind::Greeting)?;
        let until = speech.started_at? + self.manners.timing.protect_greeting;
        (self.hearing.voicing() && !self.is_leaving()).then_some(until)
    }

    /// When what is asked for or sounding must have moved on.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        self.speech.as_ref().map(|speech| speech.stuck_at(STAGE_DEADLINE))
    }

    /// When the caller's turn counts as over; `None` while that may not be decided.
    pub(super) fn decide_at(&self) -> Option<Instant> {
        let free = !self.is_leaving() && self.cut_off.is_empty();
        self.hearing.decide_at(&self.manners.timing).filter(|_| free)
    }

    pub(super) fn may_be_paused(&self, now: Instant) -> bool {
        let started =
            self.speech.as_ref().filter(|speech| speech.kind == Kind::Greeting).and_then(|s| s.started_at);
        !self.is_leaving() && started.is_none_or(|at| now >= at + self.manners.timing.protect_greeting)
    }

    pub(super) fn pause(&mut self, now: Instant) {
        if !self.may_be_paused(now) {
            return;
        }
        if let Some(speech) = &self.speech {
            self.recorder.disputed(speech.turn, self.hearing.onset());
        }
        self.floor = Floor::Paused { since: now };
        self.actions.push_back(Action::Pause);
    }

    /// Long voice decides for the caller; silence without words decides for the agent.
    pub(super) fn dispute_ends_at(&self, since: Instant) -> Instant {
        let timing = &self.manners.timing;
        match self.hearing.voicing() {
            true => since + timing.interrupt_after,
            false => self.hearing.quiet_since().map_or(since, |quiet| quiet.max(since)) + timing.resume_after,
        }
    }

    pub(super) fn resume(&mut self, now: Instant) {
        if let Floor::Paused { since } = self.floor {
            self.floor = Floor::Speaking;
            self.note(Note::BargeIn { turn: self.turn, stop: Duration::ZERO, resumed: true });
            tracing::debug!(paused_ms = millis(now - since), "a false interruption");
        }
        self.actions.push_back(Action::Resume);
        self.finish_if_done(now);
    }

    pub(super) fn interrupt(&mut self, now: Instant) {
        let since = if let Floor::Paused { since } = self.floor { since } else { now };
        self.floor = Floor::Listening { since: now };
        let Some(speech) = self.speech.take() else { return };
        if speech.started_at.is_some() {
            self.note(Note::BargeIn {
                turn: speech.turn,
                stop: self.hearing.onset_before(since),
                resumed: false,
            });
        }
        self.cut(speech);
    }

    pub(super) fn hushed(&mut self, now: Instant, mark: Option<u64>, played: Duration) {
        self.close_cut(mark, played);
        self.catch_up(now);
    }

    pub(super) fn close_cut(&mut self, mark: Option<u64>, played: Duration) {
        let Some(speech) = self.cut_off.pop_front() else { return };
        let (heard, unheard) = speech.split_at(mark, played, &self.manners.language);
        if !matches!(speech.kind, Kind::Goodbye(_)) && !speech.withdrawn {
            self.unsaid = unheard;
        }
        self.close(speech, heard, true);
    }

    /// Drops what works for a speech and what still sounds of it. Its end is written when the cut is known.
    pub(super) fn cut(&mut self, speech: Speech) {
        self.actions.push_back(Action::Cancel { turn: speech.turn });
        self.actions.push_back(Action::Hush);
        self.cut_off.push_back(speech);
    }
}
