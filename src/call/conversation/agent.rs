//! The agent's side: speeches asked for, sounding, done; and what is written down of them.

use std::time::Instant;

use super::speech::{Kind, Speech};
use super::{Action, Conversation, Floor, Line, Note, PATIENCE_WITH_FAILURE, Scope};
use crate::domain::{EndReason, Private, Speaker, StageKind, StageOutcome, Turn};

impl Conversation {
    pub(super) fn begin(&mut self, now: Instant, kind: Kind) -> &mut Speech {
        self.throw_away();
        self.turn += 1;
        self.recorder.turn_began(self.turn);
        self.floor = Floor::Thinking;
        self.speech.insert(Speech::new(self.turn, kind, now))
    }

    pub(super) fn say(&mut self, now: Instant, kind: Kind, text: String) {
        self.begin(now, kind);
        self.actions.push_back(Action::Say { turn: self.turn, text });
    }

    pub(super) fn of_turn(&mut self, turn: u32, act: impl FnOnce(&mut Speech)) {
        if let Some(speech) = self.speech.as_mut().filter(|speech| speech.turn == turn) {
            act(speech);
        }
    }

    pub(super) fn started(&mut self, now: Instant, mark: u64) {
        let Some(speech) = self.speech.as_mut().filter(|speech| speech.has(mark)) else { return };
        let sounded = speech.started_at.is_some();
        speech.started(now, mark);
        if sounded {
            return;
        }
        self.recorder.sound_began(speech.turn);
        if self.floor == Floor::Thinking {
            self.floor = Floor::Speaking;
            // Voice that began before the first sample left is over it just the same.
            if self.hearing.voicing() {
                self.pause(now);
            }
        }
    }

    pub(super) fn played(&mut self, now: Instant, mark: u64) {
        for speech in self.speech.iter_mut().chain(&mut self.cut_off) {
            speech.played(now, mark);
            if speech.has(mark) {
                self.recorder.sound_ended(speech.turn);
            }
            if speech.is_filler(mark) {
                let scope = Scope::Turn(speech.turn);
                self.recorder.stage_ended(scope, StageKind::Filler, 0, StageOutcome::Used);
            }
        }
        self.finish_if_done(now);
    }

    pub(super) fn reply_over(&mut self, now: Instant, turn: u32, failed: bool) {
        let Some(speech) = self.speech.as_mut().filter(|speech| speech.turn == turn) else { return };
        speech.over = true;
        if failed {
            speech.owes = speech.kind == Kind::Answer;
            self.recorder.failed(turn);
        }
        if !speech.is_empty() {
            return self.finish_if_done(now);
        }
        let Some(speech) = self.speech.take() else { return };
        self.floor = Floor::Listening { since: now };
        // Nothing to say is a failure too, unless the brain wants to leave, or to do something, without a word.
        let (kind, leaves, does) = (speech.kind, speech.then_hang_up, speech.does_something());
        if !does {
            self.close(speech, String::new(), false);
            return self.unanswered(now, kind);
        }
        self.failures = 0;
        self.heard_out(now, speech, String::new());
        if leaves { self.leave(now, EndReason::AgentHungUp) } else { self.catch_up(now) }
    }

    /// Nothing came of a speech.
    pub(super) fn unanswered(&mut self, now: Instant, kind: Kind) {
        match kind {
            Kind::Goodbye(reason) => self.hang_up(reason),
            Kind::Voicemail => self.hang_up(EndReason::AgentHungUp),
            Kind::Answer => {
                self.failures += 1;
                self.apologize(now, self.failures, EndReason::BrainFailed);
            }
            // Not even a sentence of ours could be said.
            Kind::Disclosure | Kind::Greeting | Kind::Stock => {
                self.failures += 1;
                if self.failures >= PATIENCE_WITH_FAILURE {
                    self.leave(now, EndReason::EngineFailed);
                } else if kind == Kind::Disclosure {
                    self.greet(now);
                }
            }
        }
    }

    /// The brain or the ear failed: say so, and after some more in a row give up.
    pub(super) fn apologize(&mut self, now: Instant, in_a_row: u32, reason: EndReason) {
        self.forget();
        if in_a_row >= PATIENCE_WITH_FAILURE {
            self.leave(now, reason);
        } else {
            let apology = self.manners.apology.clone();
            self.say(now, Kind::Stock, apology);
        }
    }

    pub(super) fn finish_if_done(&mut self, now: Instant) {
        let Some(speech) = self.speech.take_if(|speech| speech.is_done()) else { return };
        let (text, kind, then_hang_up) = (speech.text(), speech.kind, speech.then_hang_up);
        if matches!(self.floor, Floor::Paused { .. }) {
            // The voice came with the last sample. A line that stays paused would swallow the next speech.
            self.actions.push_back(Action::Resume);
        }
        let owes = (speech.owes || speech.is_hollow()) && !speech.does_something();
        self.floor = Floor::Listening { since: now };
        self.heard_out(now, speech, text.clone());
        if kind == Kind::Answer && !owes {
            self.failures = 0;
            self.habit.held();
        }
        // "One moment, please", and then nothing, or half an answer: the brain could not go on.
        if owes {
            return self.unanswered(now, kind);
        }
        let lower = text.to_lowercase();
        let parting = kind == Kind::Answer && self.manners.end_call_phrases.iter().any(|p| lower.contains(p));
        match kind {
            Kind::Goodbye(reason) => self.hang_up(reason),
            Kind::Voicemail => self.message_left(),
            Kind::Disclosure => self.greet(now),
            _ if then_hang_up || parting => self.hang_up(EndReason::AgentHungUp),
            _ => self.catch_up(now),
        }
    }

    /// What the caller said or pressed meanwhile, in the protected start or under a nod, is the next turn.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let pressed = !self.digits.is_empty() && self.digits_until.is_none_or(|at| now >= at);
        if pressed || self.decide_at().is_some_and(|at| now >= at) {
            self.take_turn(now);
        }
    }

    /// Writes a speech into history, transcript and timings.
    pub(super) fn close(&mut self, speech: Speech, heard: String, interrupted: bool) {
        if interrupted && speech.started_at.is_some() {
            self.recorder.sound_cut(speech.turn);
        }
        let explanation = self.recorder.close(speech.turn);
        if speech.withdrawn && heard.is_empty() {
            return;
        }
        if !heard.is_empty() {
            let own = speech.without_filler(&heard);
            if !own.is_empty() {
                self.history.push(Line::new(Speaker::Agent, own));
            }
            let started_at = speech.started_at.unwrap_or(speech.asked_at);
            self.note(Note::Said { text: heard.clone(), interrupted, started_at });
        }
        let turn = Turn { said: Private::new(heard), interrupted, explanation, ..speech.record };
        self.note(Note::Turn(Box::new(turn)));
    }
}
