//! The caller's side: voice, words and keys, and when they amount to a turn.

use std::time::{Duration, Instant};

use super::speech::Kind;
use super::{Action, Conversation, DIGIT_PAUSE, Floor, Line, Note, SEAL_AFTER, Scope, words};
use crate::domain::{
    DisputeReason, EndOfTurnReason, EndReason, Private, Speaker, StageKind, StageOutcome, Verdict, millis,
};

impl Conversation {
    pub(super) fn voice_start(&mut self, now: Instant, onset: Instant) {
        if self.hearing.seal(now, SEAL_AFTER) {
            self.recorder.sealed();
            self.drop_sound();
        }
        self.recorder.voice_began(onset);
        self.hearing.voice_started(onset);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Thinking => self.caller_goes_on(now),
            Floor::Speaking => self.pause(now),
            _ => {}
        }
    }

    /// The caller was not finished: the answer in the making is dropped, its question becomes the beginning of the next.
    pub(super) fn caller_goes_on(&mut self, now: Instant) {
        let Some(mut speech) = self.speech.take_if(|speech| speech.kind == Kind::Answer) else { return };
        speech.withdrawn = true;
        self.recorder.withdrawn(speech.turn);
        self.cut(speech);
        if self.history.last().is_some_and(|line| line.speaker == Speaker::Caller)
            && let Some(line) = self.history.pop()
        {
            self.hearing.goes_on_from(line.text);
        }
        self.floor = Floor::Listening { since: now };
    }

    pub(super) fn voice_end(&mut self, now: Instant, since: Instant) {
        if let Some(job) = self.hearing.voice_ended(now, since) {
            self.recorder.voice_ended(since);
            self.recorder.stage_began(Scope::Utterance, StageKind::Transcription, job);
            self.actions.push_back(Action::Transcribe { job });
        }
    }

    pub(super) fn heard(&mut self, now: Instant, job: u64, text: &str, stt: Duration) {
        let text = words::spoken(text);
        if !self.hearing.heard(job, &text, stt) {
            return;
        }
        self.recorder.stage_ended(Scope::Utterance, StageKind::Transcription, job, StageOutcome::Used);
        self.deafness = 0;
        match self.floor {
            Floor::Paused { .. } if words::is_back_channel(&text) => {
                self.decided(Verdict::Resumed, DisputeReason::BackChannel);
                self.forget();
                return self.resume(now);
            }
            Floor::Paused { .. } => {
                self.decided(Verdict::Interrupted, DisputeReason::Words);
                self.interrupt(now);
            }
            // The words came after the pause was given up: an interruption all the same.
            Floor::Speaking if !words::is_back_channel(&text) && self.may_be_paused(now) => {
                self.decided(Verdict::Interrupted, DisputeReason::Words);
                self.interrupt(now);
            }
            // What was said over the goodbye or in the protected start of the greeting stays for later.
            Floor::Speaking | Floor::Thinking | Floor::Waiting | Floor::Away | Floor::Over => return,
            Floor::Listening { .. } => {}
        }
        if text.is_empty() && self.hearing.text().is_empty() {
            return self.nothing_was_said(now);
        }
        self.note(Note::Heard { text: self.hearing.text(), is_final: false });
        if self.decide_at().is_some_and(|at| now >= at) {
            self.take_turn(now);
        }
    }

    pub(super) fn nothing_was_said(&mut self, now: Instant) {
        self.forget();
        self.floor = Floor::Listening { since: now };
        let rest = std::mem::take(&mut self.unsaid);
        if !rest.is_empty() {
            self.say(now, Kind::Stock, rest);
        }
    }

    pub(super) fn deaf(&mut self, now: Instant, job: u64) {
        if !self.hearing.failed(job) {
            return;
        }
        let (scope, stage) = (Scope::Utterance, StageKind::Transcription);
        self.recorder.stage_ended(scope, stage, job, StageOutcome::Failed);
        match self.floor {
            Floor::Paused { .. } => {
                self.decided(Verdict::Resumed, DisputeReason::Deaf);
                self.resume(now);
            }
            Floor::Listening { .. } => {
                self.deafness += 1;
                self.apologize(now, self.deafness, EndReason::EngineFailed);
            }
            _ => {}
        }
    }

    pub(super) fn digit(&mut self, now: Instant, digit: char) {
        self.digits.push(digit);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Speaking | Floor::Paused { .. } if !self.is_leaving() => {
                self.decided(Verdict::Interrupted, DisputeReason::Digit);
                self.interrupt(now);
            }
            Floor::Thinking => self.caller_goes_on(now),
            _ => {}
        }
        self.digits_until = Some(if digit == '#' { now } else { now + DIGIT_PAUSE });
    }

    /// The caller's turn is over: what was heard and pressed goes to the brain.
    pub(super) fn take_turn(&mut self, now: Instant) {
        // A cut comes first, so that the history is in order; `hushed` comes back here.
        if !matches!(self.floor, Floor::Listening { .. }) || self.is_leaving() || !self.cut_off.is_empty() {
            return;
        }
        let (spoken, stt) = (self.hearing.text(), self.hearing.stt());
        let pressed = std::mem::take(&mut self.digits);
        self.digits_until = None;
        let keypad = match pressed.as_str() {
            "" => String::new(),
            digits => format!("(The caller pressed {} on the keypad.)", spaced(digits)),
        };
        let text = words::join(&spoken, &keypad);
        let quiet_since = self.hearing.quiet_since();
        if text.is_empty() {
            return self.forget();
        }
        let because = match pressed.is_empty() {
            true => self.hearing.end_of_turn(),
            false => EndOfTurnReason::Digits,
        };
        self.unsaid.clear();
        self.quiet_until = None;
        self.note(Note::Heard { text: text.clone(), is_final: true });
        self.history.push(Line::new(Speaker::Caller, text.clone()));
        let speech = self.begin(now, Kind::Answer);
        speech.record.heard = Private::new(text);
        speech.record.stt_ms = stt.map(millis);
        speech.answers = quiet_since;
        let turn = self.turn;
        self.recorder.end_of_turn(turn, quiet_since, because, None);
        self.recorder.stage_began(Scope::Turn(turn), StageKind::FirstToken, 0);
        self.forget();
        self.actions.extend([Action::Reply { turn }, Action::Release { turn }]);
    }

    pub(super) fn forget(&mut self) {
        self.hearing.forget();
        self.recorder.forget(self.hearing.opened_at());
        self.drop_sound();
    }

    /// The ear begins a new utterance; partial words of the one before no longer count.
    fn drop_sound(&mut self) {
        self.hearing.next_utterance();
        self.actions.push_back(Action::Forget);
    }

    /// Words so far of a voice that goes on: they are told, and decide nothing.
    pub(super) fn partial(&mut self, utterance: u64, text: &str) {
        let text = words::spoken(text);
        if !self.hearing.heard_partly(utterance, &text) {
            return;
        }
        if matches!(self.floor, Floor::Listening { .. }) {
            self.note(Note::Heard { text: self.hearing.text_so_far(), is_final: false });
        }
    }
}

fn spaced(digits: &str) -> String {
    digits.chars().map(String::from).collect::<Vec<_>>().join(" ")
}
