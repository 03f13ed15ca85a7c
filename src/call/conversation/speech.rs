//! What the agent says in one turn, phrase by phrase, and how much of it the caller's ear got.

use std::time::{Duration, Instant};

use models::spoken::Diction;

use super::words;
use crate::domain::{EndReason, Turn, millis};

/// Why the agent speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// That the call is recorded: said whole, before the greeting.
    Disclosure,
    Greeting,
    /// What an answering machine gets.
    Voicemail,
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
    /// Not the brain's.
    filler: bool,
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
    /// The brain failed before it had said all.
    pub(super) owes: bool,
    /// Hand the caller on when it has been said.
    pub(super) then_transfer: bool,
    /// Nothing more needs to be said, and the caller may be silent for so long.
    pub(super) then_quiet: Option<Duration>,
    /// The caller went on before it sounded: it never was a turn.
    pub(super) withdrawn: bool,
    /// A filler was asked for: there is no second one.
    pub(super) filled: bool,
    /// When the caller fell silent whom it answers.
    pub(super) answers: Option<Instant>,
    /// What the call's record will hold of it.
    pub(super) record: Turn,
    /// Something last came of it, or will have sounded by then.
    moved_at: Instant,
    /// The last sample so far left.
    silent_since: Option<Instant>,
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
            filled: false,
            answers: None,
            record: Turn { turn, ..Turn::default() },
            moved_at: now,
            silent_since: None,
            busy_until: None,
            phrases: Vec::new(),
        }
    }

    /// It is the agent's turn: from here on it must move.
    pub(super) fn released(&mut self, now: Instant) {
        self.asked_at = now;
        self.moved_at = now;
    }

    /// The first sample of a phrase left. A filler is no answer yet.
    pub(super) fn started(&mut self, now: Instant, mark: u64) {
        self.started_at.get_or_insert(now);
        self.moved_at = self.moved_at.max(now);
        if !self.is_filler(mark) && self.record.voice_to_voice_ms.is_none() {
            self.record.voice_to_voice_ms =
                self.answers.map(|since| millis(now.saturating_duration_since(since)));
        }
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
        self.phrases.push(Phrase { mark, text, duration: None, played: false, filler: false });
    }

    pub(super) fn queue_filler(&mut self, now: Instant, mark: u64, text: String) {
        self.moved_at = self.moved_at.max(now);
        self.phrases.push(Phrase { mark, text, duration: None, played: false, filler: true });
    }

    pub(super) fn is_filler(&self, mark: u64) -> bool {
        self.phrases.iter().any(|phrase| phrase.mark == mark && phrase.filler)
    }

    /// Since when nothing sounds, where all that was queued has left.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silent_since.filter(|_| self.phrases.iter().all(|phrase| phrase.played))
    }

    /// Nothing was said but a filler.
    pub(super) fn is_hollow(&self) -> bool {
        !self.phrases.is_empty() && self.phrases.iter().all(|phrase| phrase.filler)
    }

    /// Of what was heard, what the brain has said itself: it is not to learn to play for time.
    pub(super) fn without_filler(&self, heard: &str) -> String {
        let Some(filler) = self.phrases.iter().find(|phrase| phrase.filler) else { return heard.to_owned() };
        match heard.split_once(filler.text.as_str()) {
            Some((before, after)) => words::join(before, after),
            // It was cut within the filler, or before it: what precedes that is whole phrases.
            None => {
                let own = self.phrases.iter().take_while(|phrase| !phrase.filler);
                let own = own.fold(String::new(), |text, phrase| words::join(&text, &phrase.text));
                if heard.len() > own.len() { own } else { heard.to_owned() }
            }
        }
    }

    pub(super) fn measured(&mut self, now: Instant, mark: u64, duration: Duration) {
        // Its sound follows what is queued already.
        self.moved_at = self.moved_at.max(now) + duration;
        if let Some(phrase) = self.phrases.iter_mut().find(|phrase| phrase.mark == mark) {
            phrase.duration = Some(duration);
        }
    }

    pub(super) fn played(&mut self, now: Instant, mark: u64) {
        if let Some(phrase) = self.phrases.iter_mut().find(|phrase| phrase.mark == mark) {
            phrase.played = true;
            self.moved_at = self.moved_at.max(now);
            self.silent_since = Some(now);
        }
    }

    /// Its sound stood still for so long: all that follows is so much later.
    pub(super) fn paused_for(&mut self, duration: Duration) {
        self.moved_at += duration;
    }

    /// All of it is queued, and at most `rest` of it had not sounded at `at`.
    pub(super) fn is_nearly_said(&self, at: Instant, rest: Duration) -> bool {
        let measured = self.phrases.iter().all(|phrase| phrase.duration.is_some());
        self.over && measured && self.moved_at.saturating_duration_since(at) <= rest
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

    /// What was heard and what was not, when the sound stopped `cut` into the phrase `mark`. `diction`: how it is said.
    pub(super) fn split_at(&self, mark: Option<u64>, cut: Duration, diction: &Diction) -> (String, String) {
        let (mut heard, mut unheard) = (String::new(), String::new());
        let reached =
            mark.and_then(|mark| self.phrases.iter().position(|phrase| phrase.mark == mark)).unwrap_or(0);
        for (n, phrase) in self.phrases.iter().enumerate() {
            let part = if phrase.played || n < reached {
                phrase.text.as_str()
            } else if Some(phrase.mark) == mark {
                let whole =
                    phrase.duration.unwrap_or_else(|| words::estimated_duration(&phrase.text).max(cut));
                words::heard_part(&phrase.text, diction, cut, whole)
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
        let (heard, unheard) = speech.split_at(Some(2), Duration::from_millis(1500), &Diction::new("en", []));
        assert_eq!(heard, "Good morning. We are open");
        assert_eq!(unheard, "from nine to five. Come in.");
        assert_eq!(words::join(&heard, &unheard), speech.text());
        assert!(!speech.is_done());
    }
}
