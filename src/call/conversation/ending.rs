//! Silence, goodbye and the last truths.

use std::time::Instant;

use super::speech::Kind;
use super::{Action, Conversation, Floor, Input, LEAVE_DEADLINE, Line, Note, words};
use crate::domain::{EndReason, Speaker};

impl Conversation {
    pub(super) fn idle_at(&self, since: Instant) -> Option<Instant> {
        let answers = self.digits_until.is_some() || self.is_leaving() || self.machine.is_on();
        let waiting = !self.hearing.is_open() && !answers;
        let usual = since + self.manners.timing.idle;
        waiting.then(|| self.quiet_until.map_or(usual, |until| until.max(usual)))
    }

    pub(super) fn idle(&mut self, now: Instant) {
        if self.idle_prompts >= self.manners.timing.idle_prompts {
            return self.leave(now, EndReason::CallerSilent);
        }
        let text = self.manners.still_there.nth(self.idle_prompts as usize).to_owned();
        self.idle_prompts += 1;
        self.quiet_until = None;
        self.say(now, Kind::Stock, text);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leave_by.is_some()
    }

    /// Says goodbye, then hangs up. Whatever was being said is cut.
    pub(super) fn leave(&mut self, now: Instant, reason: EndReason) {
        if self.is_leaving() {
            return;
        }
        if self.speech.is_some() {
            self.break_off(now);
        }
        self.throw_away();
        // Who has not been greeted yet is not greeted any more.
        self.opening.close();
        self.leave_by = Some((now + LEAVE_DEADLINE, reason));
        // Who is on the way to somebody else, or talks with them, needs no goodbye of the agent's.
        let alone = matches!(self.floor, Floor::Waiting | Floor::Away);
        if alone || self.manners.goodbye.is_empty() {
            return self.hang_up(reason);
        }
        let text = self.manners.goodbye.clone();
        self.say(now, Kind::Goodbye(reason), text);
    }

    pub(super) fn hang_up(&mut self, reason: EndReason) {
        self.actions.push_back(Action::HangUp(reason));
        self.over();
    }

    pub(super) fn over(&mut self) {
        self.throw_away();
        if let Some(speech) = self.speech.take() {
            self.cut(speech);
        }
        self.floor = Floor::Over;
        self.close_machine();
    }

    /// The last truths: where the sound was cut, and the words that the caller left with.
    pub(super) fn after_the_end(&mut self, input: Input) {
        match input {
            Input::Hushed { mark, played } => self.close_cut(mark, played),
            Input::ToolOver { turn, deed, ok, took } => self.remember(turn, deed, ok, took),
            Input::Heard { job, text, stt }
                if self.hearing.heard(job, &words::spoken(&text), stt, &self.manners.language) =>
            {
                self.write_last_words();
            }
            _ => {}
        }
    }

    fn write_last_words(&mut self) {
        let text = self.hearing.text();
        if !text.is_empty() {
            self.note(Note::Heard { text: text.clone(), is_final: true });
            self.history.push(Line::new(Speaker::Caller, text));
        }
        self.hearing.forget();
    }

    /// After the end: a last utterance that was not yet turned into words. `None` where there is none.
    pub fn last_words(&mut self, now: Instant) -> Option<u64> {
        let job = self.hearing.voice_ended(now, now).or(self.hearing.pending());
        if job.is_none() {
            // They are known, but the caller did not wait for an answer.
            self.write_last_words();
        }
        job
    }
}
