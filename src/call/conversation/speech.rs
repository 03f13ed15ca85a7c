//! What the agent says in one turn, phrase by phrase, and how much of it the caller's ear got.

use std::time::{Duration, Instant};

use super::words;
use crate::domain::{EndReason, Turn, millis};

/// Why the agent speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Greeting,
    /// The brain's answer to the caller.
    Answer,
    /// A sentence of ours: an apology, "are you still there?", the rest of an answer that noise cut off.
    Stock,
    /// The last words; then the call ends for this reason.
    Goodbye(EndReason),
}

#[derive(Debug)]
struct Phrase {
    mark: u64,
    text: String,
    /// Known when the last of its sound was queued.
    duration: Option<Duration>,
    played: bool,
}

/// One turn of the agent.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) turn: u32,
    pub(super) kind: Kind,
    pub(super) asked_at: Instant,
    /// The first sample left.
    pub(super) started_at: Option<Instant>,
    /// No phrase will follow.
    pub(super) over: bool,
    /// Hang up when it has been said.
    pub(super) then_hang_up: bool,
    /// A tool was done, and the caller has heard nothing of it yet.
    pub(super) owes: bool,
    /// Hand the caller on when it has been said.
    pub(super) then_transfer: bool,
    /// Nothing more needs to be said, and the caller may be silent for so long.
    pub(super) then_quiet: Option<Duration>,
    /// The caller went on before it sounded: it never was a turn.
    pub(super) withdrawn: bool,
    /// When the caller fell silent whom it answers.
    pub(super) answers: Option<Instant>,
    /// What the call's record will hold of it.
    pub(super) record: Turn,
    /// Something last came of it, or will have sounded by then.
    moved_at: Instant,
    /// A tool may take until then.
    busy_until: Option<Instant>,
    phrases: Vec<Phrase>,
}

impl Speech {
    pub(super) fn new(turn: u32, kind: Kind, now: Instant) -> Self {
        Self {
            turn,
            kind,
            asked_at: now,
            started_at: None,
            over: false,
            then_hang_up: false,
            owes: false,
            then_transfer: false,
            then_quiet: None,
            withdrawn: false,
            answers: None,
            record: Turn { turn, ..Turn::default() },
            moved_at: now,
            busy_until: None,
            phrases: Vec::new(),
        }
    }

    /// The first sample left.
    pub(super) fn started(&mut self, now: Instant) {
        self.started_at = Some(now);
        self.moved_at = self.moved_at.max(now);
        self.record.voice_to_voice_ms =
            self.answers.map(|since| millis(now.saturating_duration_since(since)));
    }

    /// A tool is at work on it, within so long; `None`: no more.
    pub(super) fn busy(&mut self, now: Instant, within: Option<Duration>) {
        self.moved_at = self.moved_at.max(now);
        self.busy_until = within.map(|within| now + within);
    }

    /// When it must have moved on, or something hangs.
    pub(super) fn stuck_at(&self, deadline: Duration) -> Instant {
        self.busy_until.map_or(self.moved_at, |until| until.max(self.moved_at)) + deadline
    }

    pub(super) fn queue(&mut self, now: Instant, mark: u64, text: String) {
        self.moved_at = self.moved_at.max(now);
        self.owes = false;
        self.phrases.push(Phrase { mark, text, duration: None, played: false });
    }

    pub(super) fn measured(&mut self, now: Instant, mark: u64, duration: Duration) {
        // Its sound follows what is queued already.
        self.moved_at = self.moved_at.max(now) + duration;
        if let Some(phrase) = self.phrases.iter_mut().find(|phrase| phrase.mark == mark) {
            phrase.duration = Some(duration);
        }
    }

    pub(super) fn played(&mut self, now: Instant, mark: u64) {
        self.moved_at = self.moved_at.max(now);
        if let Some(phrase) = self.phrases.iter_mut().find(|phrase| phrase.mark == mark) {
            phrase.played = true;
        }
    }

    /// Whether it was worth a turn although not a word of it was said.
    pub(super) fn does_something(&self) -> bool {
        self.then_hang_up || self.then_transfer || self.then_quiet.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }

    pub(super) fn has(&self, mark: u64) -> bool {
        self.phrases.iter().any(|phrase| phrase.mark == mark)
    }

    /// All that will ever be said has left.
    pub(super) fn is_done(&self) -> bool {
        self.over && self.phrases.iter().all(|phrase| phrase.played)
    }

    /// Everything queued so far.
    pub(super) fn text(&self) -> String {
        self.phrases.iter().fold(String::new(), |text, phrase| words::join(&text, &phrase.text))
    }

    /// What was heard and what was not, when the sound stopped `cut` into the phrase `mark`. `language`: in which it is said.
    pub(super) fn split_at(&self, mark: Option<u64>, cut: Duration, language: &str) -> (String, String) {
        let (mut heard, mut unheard) = (String::new(), String::new());
        let reached =
            mark.and_then(|mark| self.phrases.iter().position(|phrase| phrase.mark == mark)).unwrap_or(0);
        for (n, phrase) in self.phrases.iter().enumerate() {
            let part = if phrase.played || n < reached {
                phrase.text.as_str()
            } else if Some(phrase.mark) == mark {
                let whole =
                    phrase.duration.unwrap_or_else(|| words::estimated_duration(&phrase.text).max(cut));
                words::heard_part(&phrase.text, language, cut, whole)
            } else {
                ""
            };
            heard = words::join(&heard, part);
            unheard = words::join(&unheard, &phrase.text[part.len()..]);
        }
        (heard, unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_and_what_was_not_make_up_the_whole() {
        let now = Instant::now();
        let mut speech = Speech::new(1, Kind::Answer, now);
        speech.queue(now, 1, "Good morning.".into());
        speech.queue(now, 2, "We are open from nine to five.".into());
        speech.queue(now, 3, "Come in.".into());
        speech.played(now, 1);
        speech.measured(now, 2, Duration::from_secs(3));
        let (heard, unheard) = speech.split_at(Some(2), Duration::from_millis(1500), "en");
        assert_eq!(heard, "Good morning. We are open");
        assert_eq!(unheard, "from nine to five. Come in.");
        assert_eq!(words::join(&heard, &unheard), speech.text());
        assert!(!speech.is_done());
    }
}
