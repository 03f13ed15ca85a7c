//! The caller's side: voice, words and keys, and when they amount to a turn.

use std::time::{Duration, Instant};

use super::ladder::between;
use super::speech::Kind;
use super::{Action, Conversation, DIGIT_PAUSE, Floor, Line, Note, SEAL_AFTER, Scope, words};
use crate::domain::{
    DisputeReason, EndOfTurnReason, EndReason, Private, Speaker, StageKind, StageOutcome, Verdict, millis,
};

impl Conversation {
    pub(super) fn voice_start(&mut self, now: Instant, onset: Instant) {
        self.learn(onset);
        if self.hearing.seal(now, SEAL_AFTER) {
            self.recorder.sealed();
            self.drop_sound();
        }
        self.goes_on(now, onset);
        self.hearing.voice_started(onset);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Thinking => self.caller_goes_on(now),
            Floor::Speaking => self.pause(now),
            _ => {}
        }
    }

    /// There is a voice, and so nothing has ended that was being waited for.
    fn goes_on(&mut self, now: Instant, onset: Instant) {
        self.doubt(now);
        self.recorder.voice_began(onset);
    }

    /// Whoever goes on after a pause that could have been the end shows how they pause.
    fn learn(&mut self, onset: Instant) {
        match self.floor {
            Floor::Listening { .. } if !self.hearing.is_known() => self.habit.begins(),
            // While it thinks, nothing of the answer sounds yet: it came too early.
            Floor::Listening { .. } | Floor::Thinking => {
                self.habit.went_on(between(self.hearing.quiet_since(), onset));
            }
            _ => self.habit.begins(),
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

    /// Silence for a moment: if it is the end, the words will be known all the sooner.
    pub(super) fn voice_dip(&mut self, now: Instant, since: Instant) {
        if let Some(job) = self.hearing.dips(now, since) {
            self.transcribe(job, since);
        }
    }

    pub(super) fn voice_back(&mut self, now: Instant, onset: Instant) {
        if self.hearing.is_back(onset) {
            self.goes_on(now, onset);
        }
    }

    pub(super) fn voice_end(&mut self, now: Instant, since: Instant) {
        if !self.hearing.voicing() {
            return;
        }
        match self.hearing.voice_ended(now, since) {
            Some(job) => self.transcribe(job, since),
            None => {
                self.recorder.voice_ended(since);
                // Words that came before the end was certain.
                if self.hearing.pending().is_none() {
                    self.words_are_known(now, false);
                }
            }
        }
    }

    fn transcribe(&mut self, job: u64, since: Instant) {
        self.recorder.voice_ended(since);
        self.recorder.stage_began(Scope::Utterance, StageKind::Transcription, job);
        self.actions.push_back(Action::Transcribe { job });
    }

    /// What the sound says of the end may bring it forward.
    pub(super) fn judged(&mut self, now: Instant, job: u64, probability: f32) {
        if !self.hearing.judged(job, probability) {
            return;
        }
        self.recorder.stage_took(Scope::Utterance, StageKind::TurnModel, self.hearing.asked_before(now));
        if self.decide_at().is_some_and(|at| now >= at) {
            self.take_turn(now);
        }
    }

    pub(super) fn heard(&mut self, now: Instant, job: u64, text: &str, stt: Duration) {
        if !self.hearing.heard(job, &words::spoken(text), stt, &self.manners.language) {
            return;
        }
        self.recorder.stage_ended(Scope::Utterance, StageKind::Transcription, job, StageOutcome::Used);
        self.deafness = 0;
        self.words_are_known(now, true);
    }

    /// The words up to the silence that lasts. `fresh`: they have just come; else it has just become certain that it is one.
    fn words_are_known(&mut self, now: Instant, fresh: bool) {
        let text = self.hearing.words().to_owned();
        let certain = !self.hearing.voicing();
        match self.floor {
            Floor::Paused { since } => match self.no_interruption(&text) {
                // "Yeah, but …": more may come.
                Some(_) if !certain || now < self.dispute_ends_at(since) => return,
                Some(because) => return self.go_on(now, because),
                None => {
                    self.decided(Verdict::Interrupted, DisputeReason::Words);
                    self.interrupt(now);
                }
            },
            // The words came after the pause was given up: an interruption all the same, unless they are none.
            Floor::Speaking if self.may_be_paused(now) => {
                if self.no_interruption(&text).is_some() {
                    if certain {
                        self.pass_over(now);
                    }
                    return;
                }
                self.decided(Verdict::Interrupted, DisputeReason::Words);
                self.interrupt(now);
            }
            // What was said over the goodbye or in the protected start of the greeting stays for later; but noise does not, or it
            // would be waited for for ever.
            Floor::Speaking | Floor::Thinking | Floor::Waiting | Floor::Away | Floor::Over => {
                if certain && self.hearing.text().is_empty() {
                    self.forget();
                }
                return;
            }
            Floor::Listening { .. } => {}
        }
        let text = self.hearing.text();
        if text.is_empty() {
            if certain {
                self.nothing_was_said(now);
            }
            return;
        }
        if fresh {
            self.note(Note::Heard { text, is_final: false });
        }
        if let (true, Some(text), Some((wait, _))) = (certain, self.hearing.completeness(), self.wait()) {
            self.habit.paused(text, wait);
        }
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
        // The end of the voice brings another try.
        if self.hearing.voicing() {
            return;
        }
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
        self.throw_away();
        self.digits.push(digit);
        self.idle_prompts = 0;
        match self.floor {
            Floor::Speaking | Floor::Paused { .. } if !self.is_leaving() => {
                self.decided(Verdict::Interrupted, DisputeReason::Digit);
                self.interrupt_by_key(now);
            }
            Floor::Thinking if !self.is_leaving() => self.drop_unheard(now),
            _ => {}
        }
        self.digits_until = Some(if digit == '#' { now } else { now + DIGIT_PAUSE });
    }

    /// The caller's turn is over: what was heard and pressed goes to the brain.
    pub(super) fn take_turn(&mut self, now: Instant) {
        // A cut comes first, so that the history is in order; `hushed` comes back here.
        let is_held = self.opening.is_held() || self.is_leaving() || !self.cut_off.is_empty();
        if !matches!(self.floor, Floor::Listening { .. }) || is_held {
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
        // What is written down of it.
        let kept = match self.manners.keeps_digits || pressed.is_empty() {
            true => text.clone(),
            false => words::join(&spoken, "(The caller pressed keys.)"),
        };
        let quiet_since = self.hearing.quiet_since();
        if text.is_empty() {
            return self.forget();
        }
        let because = match self.wait() {
            Some((_, because)) if pressed.is_empty() => because,
            _ => EndOfTurnReason::Digits,
        };
        let probability = self.hearing.probability();
        self.unsaid.clear();
        self.quiet_until = None;
        self.note(Note::Heard { text: kept.clone(), is_final: true });
        let speech = self.answer(now, &text);
        speech.record.heard = Private::new(kept);
        speech.record.stt_ms = stt.map(millis);
        speech.answers = quiet_since;
        let turn = speech.turn;
        self.history.push(Line::new(Speaker::Caller, text));
        self.recorder.end_of_turn(turn, quiet_since, because, probability);
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.hearing.forget();
        self.recorder.forget(self.hearing.opened_at());
        self.drop_sound();
    }

    /// The ear begins a new utterance; partial words of the one before no longer count.
    fn drop_sound(&mut self) {
        self.read = 0;
        self.hearing.next_utterance();
        self.actions.push_back(Action::Forget);
    }

    /// Words so far of a voice that goes on: they are told, and decide nothing but a dispute.
    pub(super) fn partial(&mut self, now: Instant, utterance: u64, text: &str, stt: Duration) {
        let text = words::spoken(text);
        if !self.hearing.heard_partly(utterance, &text) {
            return;
        }
        self.recorder.stage_took(Scope::Utterance, StageKind::Partial, stt);
        match self.floor {
            Floor::Listening { .. } => {}
            // Words decide a dispute as soon as they are there.
            Floor::Paused { .. } if self.no_interruption(&text).is_none() => {
                self.decided(Verdict::Interrupted, DisputeReason::Words);
                self.interrupt(now);
            }
            _ => return,
        }
        self.note(Note::Heard { text: self.hearing.text_so_far(), is_final: false });
        self.read_ahead();
    }
}

fn spaced(digits: &str) -> String {
    digits.chars().map(String::from).collect::<Vec<_>>().join(" ")
}
