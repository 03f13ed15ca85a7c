//! The floor in dispute: who pauses, who goes on, what was heard of a speech that was cut.

use std::time::{Duration, Instant};

use super::speech::{Kind, Speech};
use super::{Action, Conversation, Floor, Note, STAGE_DEADLINE, words};
use crate::domain::{DisputeReason, EndOfTurnReason, Verdict, millis};

/// A nod in so much of the end of a question is the answer to it.
const LAST_WORDS: Duration = Duration::from_millis(1500);
/// Whoever has said nothing yet, or a nod, may be in the middle of it: the agent goes on after so much silence at the earliest.
const SETTLED: Duration = Duration::from_millis(270);

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
        let free = self.hearing.is_known()
            && !self.is_leaving()
            && self.cut_off.is_empty()
            && !self.opening.is_held();
        let (wait, _) = self.wait().filter(|_| free)?;
        Some(self.hearing.quiet_since()? + wait.max(self.machine.pause()))
    }

    /// The silence that the words ask for, and what it means.
    pub(super) fn wait(&self) -> Option<(Duration, EndOfTurnReason)> {
        let (timing, patience) = (&self.manners.timing, self.manners.patience);
        let (text, sound) = (self.hearing.completeness()?, self.hearing.probability());
        Some(self.habit.wait(timing, patience, text, sound))
    }

    pub(super) fn may_be_paused(&self, now: Instant) -> bool {
        if self.speech.as_ref().is_some_and(is_said_whole) {
            return false;
        }
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

    /// Long voice decides for the caller; silence without words decides for the agent, where they are known to be none that count a
    /// shorter one.
    pub(super) fn dispute_ends_at(&self, since: Instant) -> Instant {
        let timing = &self.manners.timing;
        if self.hearing.voicing() {
            return since + timing.interrupt_after;
        }
        let silence = if self.hearing.is_heard() { SETTLED } else { timing.resume_after };
        self.hearing.quiet_since().map_or(since, |quiet| quiet.max(since)) + silence.min(timing.resume_after)
    }

    /// Why what was heard over the agent does not take the floor; `None` where it does.
    pub(super) fn no_interruption(&self, text: &str) -> Option<DisputeReason> {
        let ours = self.speech.as_ref().map(Speech::text).unwrap_or_default();
        if text.is_empty() {
            Some(DisputeReason::NoWords)
        } else if words::is_back_channel(text) {
            Some(DisputeReason::BackChannel)
        } else if words::repeats(text, &ours) {
            Some(DisputeReason::Echo)
        } else {
            None
        }
    }

    /// The dispute was none: the agent goes on from the same sample.
    pub(super) fn go_on(&mut self, now: Instant, because: DisputeReason) {
        self.decided(Verdict::Resumed, because);
        self.pass_over(now);
        self.resume(now);
    }

    /// What was heard counts for nothing; but a "yes" on the last words of a question answers it.
    pub(super) fn pass_over(&mut self, now: Instant) {
        let since = if let Floor::Paused { since } = self.floor { since } else { now };
        let asked = self.speech.as_ref().is_some_and(|speech| {
            speech.is_nearly_said(since, LAST_WORDS) && speech.text().trim_end().ends_with('?')
        });
        if !asked || !words::is_nod(&self.hearing.text()) {
            self.forget();
        }
    }

    /// Keys were pressed while the agent was about to say something.
    pub(super) fn drop_unheard(&mut self, now: Instant) {
        self.caller_goes_on(now);
        // What must be said is said first, and then the keys are answered.
        if let Some(mut speech) = self.speech.take_if(|speech| !is_said_whole(speech)) {
            speech.withdrawn = true;
            self.recorder.withdrawn(speech.turn);
            self.cut(speech);
            self.floor = Floor::Listening { since: now };
        }
    }

    pub(super) fn resume(&mut self, now: Instant) {
        if let Floor::Paused { since } = self.floor {
            self.floor = Floor::Speaking;
            if let Some(speech) = &mut self.speech {
                speech.paused_for(now.saturating_duration_since(since));
            }
            self.note(Note::BargeIn { turn: self.turn, stop: Duration::ZERO, resumed: true });
            tracing::debug!(paused_ms = millis(now - since), "a false interruption");
        }
        self.actions.push_back(Action::Resume);
        self.finish_if_done(now);
    }

    /// The caller has taken the floor, by voice.
    pub(super) fn interrupt(&mut self, now: Instant) {
        let since = if let Floor::Paused { since } = self.floor { since } else { now };
        self.taken_after(self.hearing.onset_before(since));
        self.break_off(now);
    }

    /// … or by a key, which has no onset before itself.
    pub(super) fn interrupt_by_key(&mut self, now: Instant) {
        match self.floor {
            Floor::Paused { .. } => self.interrupt(now),
            _ => {
                self.taken_after(Duration::ZERO);
                self.break_off(now);
            }
        }
    }

    fn taken_after(&mut self, stop: Duration) {
        if let Some(speech) = self.speech.as_ref().filter(|speech| speech.started_at.is_some()) {
            let turn = speech.turn;
            self.note(Note::BargeIn { turn, stop, resumed: false });
        }
    }

    /// What is being said ends here; nobody has interrupted it.
    pub(super) fn break_off(&mut self, now: Instant) {
        self.floor = Floor::Listening { since: now };
        if let Some(speech) = self.speech.take() {
            self.cut(speech);
        }
    }

    pub(super) fn hushed(&mut self, now: Instant, mark: Option<u64>, played: Duration) {
        self.close_cut(mark, played);
        self.catch_up(now);
    }

    pub(super) fn close_cut(&mut self, mark: Option<u64>, played: Duration) {
        let Some(speech) = self.cut_off.pop_front() else { return };
        let (heard, unheard) = speech.split_at(mark, played, &self.manners.diction);
        // A key cuts this too; but it must be said, whatever comes of the key.
        if speech.kind == Kind::Disclosure && !unheard.is_empty() && !self.is_leaving() {
            self.prompted.push_front(self.manners.disclosure.clone());
        }
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

/// No voice stops it.
fn is_said_whole(speech: &Speech) -> bool {
    matches!(speech.kind, Kind::Disclosure | Kind::Voicemail)
}
