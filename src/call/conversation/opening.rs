//! How a call begins and that it will end: who speaks first, what must be said first, and the word that time is nearly up.
//!
//! Who is called speaks first, as people do: the greeting of an outbound call waits up to [`LISTEN_FIRST`] for their "hello", and
//! follows at once when that is over. It needs no words of it and holds no longer than [`LONGEST_HELLO`].

use std::time::{Duration, Instant};

use super::speech::Kind;
use super::{Conversation, Floor, Input, Line, Note, words};
use crate::domain::Speaker;

/// How long the one who was called may take to say "hello".
const LISTEN_FIRST: Duration = Duration::from_millis(1200);
/// A "hello" that lasts is talked over after so long: it is an announcement.
const LONGEST_HELLO: Duration = Duration::from_secs(6);
/// How long before the end of the longest call the caller is told.
const WARNED_BEFORE: Duration = Duration::from_secs(60);
/// With less time left than this the warning is not said any more: it would be wrong.
const WARNED_AT_LEAST: Duration = Duration::from_secs(30);

/// What the start of a call still waits for.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// The greeting waits: until when if nobody speaks, and at the latest.
    held: Option<(Instant, Instant)>,
    /// The transcription of the callee's "hello", which needs no answer but the greeting.
    hello: Option<u64>,
    /// When the warning is due.
    warn_at: Option<Instant>,
}

impl Opening {
    /// Whether the one who was called may speak first.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn close(&mut self) {
        (self.held, self.hello) = (None, None);
    }
}

impl Conversation {
    pub(super) fn answered(&mut self, now: Instant) {
        if self.floor != Floor::Waiting {
            return;
        }
        let ends_at = now + self.manners.max_duration;
        self.ends_at = Some(ends_at);
        self.recorder.answered();
        // In a call of a minute or two the warning would come before there is anything to hurry.
        if !self.manners.time_warning.is_empty() && self.manners.max_duration >= 2 * WARNED_BEFORE {
            self.opening.warn_at = Some(now + (self.manners.max_duration - WARNED_BEFORE));
        }
        self.floor = Floor::Listening { since: now };
        if !self.manners.is_outbound {
            return self.open(now);
        }
        // What sounded before the answer was the network's: ringing, announcements.
        self.forget();
        self.machine.answered(now, self.hearing.voicing());
        if !(self.manners.disclosure.is_empty() && self.manners.first_message.is_empty()) {
            self.opening.held = Some((now + LISTEN_FIRST, now + LONGEST_HELLO));
        }
    }

    /// When the greeting waits no longer.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let (quiet, latest) = self.opening.held?;
        Some(if self.hearing.voicing() { latest } else { quiet })
    }

    /// The callee has said "hello", or whatever it was: now they are greeted.
    pub(super) fn hello_is_over(&mut self, now: Instant) {
        if self.opening.is_held() && !self.hearing.voicing() {
            self.open(now);
            self.opening.hello = self.hearing.pending();
            // Its words may have come while it was not certain yet that nothing follows.
            if let Some(text) = self.hearing.paused_text().filter(|text| words::is_hello(text)) {
                self.answer_with_greeting(text);
            }
        }
    }

    /// Says what comes first in a call.
    pub(super) fn open(&mut self, now: Instant) {
        self.opening.close();
        if self.manners.disclosure.is_empty() {
            return self.greet(now);
        }
        let text = self.manners.disclosure.clone();
        self.say(now, Kind::Disclosure, text);
    }

    pub(super) fn greet(&mut self, now: Instant) {
        self.floor = Floor::Listening { since: now };
        if self.manners.first_message.is_empty() {
            return self.catch_up(now);
        }
        let text = self.manners.first_message.clone();
        self.say(now, Kind::Greeting, text);
    }

    /// Words of the callee's "hello", which come when the greeting is on its way: they are written down, and answered by it. True
    /// where these were that.
    pub(super) fn was_hello(&mut self, input: &Input) -> bool {
        let Input::Heard { job, text, stt } = input else { return false };
        let (text, is_answered) = (words::spoken(text), self.speech.is_some());
        if !self.hearing.waits_for(input)
            || self.opening.hello.take_if(|hello| hello == job).is_none()
            || !is_answered
            || !words::is_hello(&text)
        {
            return false;
        }
        if self.hearing.heard(*job, &text, *stt, &self.manners.language) {
            self.answer_with_greeting(text);
        }
        true
    }

    fn answer_with_greeting(&mut self, hello: String) {
        self.forget();
        if !hello.is_empty() {
            self.history.push(Line::new(Speaker::Caller, hello.clone()));
            self.note(Note::Heard { text: hello, is_final: true });
        }
    }

    /// When the caller is to be told that time is nearly up.
    pub(super) fn warn_at(&self) -> Option<Instant> {
        self.opening.warn_at.filter(|_| !self.is_leaving())
    }

    /// Lines the warning up: it is said when nobody speaks.
    pub(super) fn warn(&mut self) {
        self.opening.warn_at = None;
        self.prompted.push_back(self.manners.time_warning.clone());
    }

    /// Takes the warning back where it has waited for too long.
    pub(super) fn forget_late_warning(&mut self, now: Instant) {
        let is_late = self.ends_at.is_none_or(|at| now + WARNED_AT_LEAST > at);
        let warning = &self.manners.time_warning;
        if is_late && !warning.is_empty() {
            self.prompted.retain(|text| text != warning);
        }
    }
}
