//! What the caller says: voice, pauses, and the words that the ear makes of them.

use std::time::{Duration, Instant};

use super::words::{self, Completeness};
use crate::config::TurnTaking;
use crate::domain::EndOfTurnReason;

#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// There is sound of an utterance that no turn has used yet.
    open: bool,
    voicing: bool,
    /// When the utterance's sound began.
    opened_at: Option<Instant>,
    /// When the voice began that lasts or was the last.
    onset: Option<Instant>,
    /// When it ended: its last voiced sample.
    quiet_since: Option<Instant>,
    /// The transcription that is under way, and since when.
    job: Option<(u64, Instant)>,
    jobs: u64,
    /// Words from before the caller went on.
    before: String,
    /// Words of the utterance, once known for its last pause.
    words: Option<String>,
    /// Which utterance this is: how many were used up before it.
    utterance: u64,
    /// Its words so far, while it is still being spoken.
    partial: String,
    stt: Option<Duration>,
}

impl Hearing {
    pub(super) fn voicing(&self) -> bool {
        self.voicing
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn quiet_since(&self) -> Option<Instant> {
        self.quiet_since
    }

    /// When the voice began that lasts or was the last.
    pub(super) fn onset(&self) -> Option<Instant> {
        self.onset
    }

    /// When the sound began that no turn has used yet.
    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    pub(super) fn stt(&self) -> Option<Duration> {
        self.stt
    }

    /// The words so far, with those from before the caller went on.
    pub(super) fn text(&self) -> String {
        words::join(&self.before, self.words.as_deref().unwrap_or_default())
    }

    /// The same while they are still being spoken.
    pub(super) fn text_so_far(&self) -> String {
        words::join(&self.before, &self.partial)
    }

    pub(super) fn next_utterance(&mut self) {
        self.utterance += 1;
        self.partial.clear();
    }

    /// Takes words of an utterance that is still being spoken; false where they are stale or nothing new.
    pub(super) fn heard_partly(&mut self, utterance: u64, text: &str) -> bool {
        let news = self.open && self.words.is_none() && utterance == self.utterance && self.partial != text;
        if news && !text.is_empty() {
            self.partial = text.to_owned();
            return true;
        }
        false
    }

    /// An utterance of many pauses is longer than a transcriber hears at once: when the caller goes on after so long, the
    /// words so far are kept as words, and its sound can be dropped. True where that was done.
    pub(super) fn seal(&mut self, now: Instant, after: Duration) -> bool {
        let long = self.opened_at.is_some_and(|at| now.saturating_duration_since(at) >= after);
        match self.words.take_if(|words| long && !words.is_empty()) {
            Some(words) => self.before = words::join(&self.before, &words),
            None => return false,
        }
        self.opened_at = None;
        true
    }

    pub(super) fn voice_started(&mut self, onset: Instant) {
        self.opened_at.get_or_insert(onset);
        self.open = true;
        self.voicing = true;
        self.onset = Some(onset);
        // The utterance grows: words for its first part alone no longer count.
        self.job = None;
        self.words = None;
    }

    /// Opens a transcription of the utterance so far.
    pub(super) fn voice_ended(&mut self, now: Instant, since: Instant) -> Option<u64> {
        if !std::mem::take(&mut self.voicing) {
            return None;
        }
        self.quiet_since = Some(since);
        self.jobs += 1;
        self.job = Some((self.jobs, now));
        Some(self.jobs)
    }

    /// Takes the words of a transcription; false where it is stale.
    pub(super) fn heard(&mut self, job: u64, text: &str, stt: Duration) -> bool {
        if self.job.is_none_or(|(current, _)| current != job) {
            return false;
        }
        self.job = None;
        self.words = Some(text.to_owned());
        self.stt = Some(stt);
        true
    }

    pub(super) fn failed(&mut self, job: u64) -> bool {
        let current = self.job.is_some_and(|(current, _)| current == job);
        if current {
            self.job = None;
            self.open = false;
        }
        current
    }

    pub(super) fn pending(&self) -> Option<u64> {
        self.job.map(|(job, _)| job)
    }

    pub(super) fn deaf_at(&self, deadline: Duration) -> Option<Instant> {
        self.job.map(|(_, since)| since + deadline)
    }

    /// When a voice that lasts must be turned into words although no pause came.
    pub(super) fn breathless_at(&self, longest: Duration) -> Option<Instant> {
        self.onset.filter(|_| self.voicing).map(|onset| onset + longest)
    }

    pub(super) fn overdue(&self, now: Instant, deadline: Duration) -> Option<u64> {
        self.job.filter(|(_, since)| now >= *since + deadline).map(|(job, _)| job)
    }

    /// An answer was being made when the caller went on.
    pub(super) fn goes_on_from(&mut self, before: String) {
        self.before = words::join(&before, &self.before);
    }

    /// When the utterance counts as finished: the silence that its words ask for. `None` while that is not known.
    pub(super) fn decide_at(&self, timing: &TurnTaking) -> Option<Instant> {
        let words = self.words.as_deref().filter(|_| self.open && !self.voicing)?;
        if words.is_empty() && self.before.is_empty() {
            return None;
        }
        let patience = match self.completeness(words) {
            Completeness::Complete => timing.pause_complete,
            Completeness::Unsure => timing.pause_unsure,
            Completeness::Trailing => timing.pause_trailing,
        };
        Some(self.quiet_since? + patience)
    }

    fn completeness(&self, words: &str) -> Completeness {
        words::completeness(if words.is_empty() { &self.before } else { words })
    }

    /// Why the caller's turn is over, when it is.
    pub(super) fn end_of_turn(&self) -> EndOfTurnReason {
        match self.completeness(self.words.as_deref().unwrap_or_default()) {
            Completeness::Complete => EndOfTurnReason::Complete,
            Completeness::Unsure => EndOfTurnReason::Unsure,
            Completeness::Trailing => EndOfTurnReason::Trailing,
        }
    }

    pub(super) fn forget(&mut self) {
        self.open = self.voicing;
        self.opened_at = self.onset.filter(|_| self.voicing);
        self.job = None;
        self.words = None;
        self.stt = None;
        self.before.clear();
    }

    /// Listens no more: whatever the caller is saying is for somebody else.
    pub(super) fn close(&mut self) {
        *self = Self { jobs: self.jobs, utterance: self.utterance, ..Self::default() };
    }

    /// How long before `at` the voice began.
    pub(super) fn onset_before(&self, at: Instant) -> Duration {
        self.onset.map_or(Duration::ZERO, |onset| at.saturating_duration_since(onset))
    }
}
