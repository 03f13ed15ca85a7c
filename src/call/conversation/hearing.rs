//! What the caller says: voice, pauses, and the words that the ear makes of them.

use std::time::{Duration, Instant};

use super::completeness::{Completeness, completeness};
use super::{Input, words};

#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// There is sound of an utterance that no turn has used yet.
    open: bool,
    voicing: bool,
    /// Within a voice there is silence for a moment, and what was said before it is worked on.
    dipped: bool,
    /// When the utterance's sound began.
    opened_at: Option<Instant>,
    /// When the voice began that lasts or was the last.
    onset: Option<Instant>,
    /// When it ended: its last voiced sample.
    quiet_since: Option<Instant>,
    /// The transcription that is under way, and since when.
    job: Option<(u64, Instant)>,
    jobs: u64,
    /// When the last one was asked for.
    asked_at: Option<Instant>,
    /// Words from before the caller went on.
    before: String,
    /// Words of the utterance, once known for its last pause.
    words: Option<String>,
    /// How finished they are.
    completeness: Option<Completeness>,
    /// How likely the caller has finished, by the sound before the last pause.
    judged: Option<f32>,
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

    /// Those of the last pause alone; none while they are not known.
    pub(super) fn words(&self) -> &str {
        self.words.as_deref().unwrap_or_default()
    }

    /// How long ago the last transcription was asked for.
    pub(super) fn asked_before(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.asked_at.unwrap_or(now))
    }

    /// The same while they are still being spoken.
    pub(super) fn text_so_far(&self) -> String {
        words::join(&self.before, &self.partial)
    }

    #[cfg(test)]
    pub(super) fn utterance(&self) -> u64 {
        self.utterance
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
        self.grows();
    }

    /// Words for its first part alone no longer count.
    fn grows(&mut self) {
        self.dipped = false;
        self.job = None;
        self.words = None;
        self.completeness = None;
        self.judged = None;
    }

    /// Opens a transcription of the utterance up to a silence that may be its end.
    pub(super) fn dips(&mut self, now: Instant, since: Instant) -> Option<u64> {
        if !self.voicing || self.dipped {
            return None;
        }
        self.dipped = true;
        Some(self.new_job(now, since))
    }

    /// It was not the end.
    pub(super) fn is_back(&mut self, onset: Instant) -> bool {
        let back = self.voicing && self.dipped;
        if back {
            self.onset = Some(onset);
            self.grows();
        }
        back
    }

    /// Opens a transcription of the utterance so far, unless that was done when the silence began.
    pub(super) fn voice_ended(&mut self, now: Instant, since: Instant) -> Option<u64> {
        if !std::mem::take(&mut self.voicing) {
            return None;
        }
        let begun = std::mem::take(&mut self.dipped) && (self.job.is_some() || self.words.is_some());
        self.quiet_since = Some(since);
        (!begun).then(|| self.new_job(now, since))
    }

    fn new_job(&mut self, now: Instant, since: Instant) -> u64 {
        self.quiet_since = Some(since);
        self.jobs += 1;
        self.job = Some((self.jobs, now));
        self.asked_at = Some(now);
        self.judged = None;
        self.jobs
    }

    /// Takes the words of a transcription; false where it is stale.
    pub(super) fn heard(&mut self, job: u64, text: &str, stt: Duration, language: &str) -> bool {
        if self.job.is_none_or(|(current, _)| current != job) {
            return false;
        }
        self.job = None;
        self.words = Some(text.to_owned());
        self.completeness = Some(completeness(&self.text(), language));
        self.stt = Some(stt);
        true
    }

    /// Takes what the sound says of the end; false where it is stale.
    pub(super) fn judged(&mut self, job: u64, probability: f32) -> bool {
        let current = self.open && job == self.jobs && (self.dipped || !self.voicing);
        if current {
            self.judged = Some(probability);
        }
        current
    }

    /// What the sound before the last pause said of the end.
    pub(super) fn probability(&self) -> Option<f32> {
        self.judged
    }

    pub(super) fn completeness(&self) -> Option<Completeness> {
        self.completeness
    }

    /// The words so far, where they are known up to the silence that lasts.
    pub(super) fn paused_text(&self) -> Option<String> {
        let known = self.open && (self.dipped || !self.voicing) && self.words.is_some();
        known.then(|| self.text()).filter(|text| !text.is_empty())
    }

    /// Whether it is known what was said up to the silence, be it nothing.
    pub(super) fn is_heard(&self) -> bool {
        !self.voicing && self.words.is_some()
    }

    pub(super) fn failed(&mut self, job: u64) -> bool {
        let current = self.job.is_some_and(|(current, _)| current == job);
        if current {
            self.job = None;
            // Where only a moment of silence was, the end brings another transcription.
            self.open = self.voicing;
        }
        current
    }

    pub(super) fn pending(&self) -> Option<u64> {
        self.job.map(|(job, _)| job)
    }

    /// Whether these words are those that are being waited for, and not of something earlier.
    pub(super) fn waits_for(&self, words: &Input) -> bool {
        match words {
            Input::Heard { job, .. } => self.pending() == Some(*job),
            Input::Partial { utterance, .. } => self.open && self.utterance == *utterance,
            _ => false,
        }
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

    /// Whether all that was said is known, and nobody is speaking.
    pub(super) fn is_known(&self) -> bool {
        !self.voicing && self.paused_text().is_some()
    }

    pub(super) fn forget(&mut self) {
        self.open = self.voicing;
        self.opened_at = self.onset.filter(|_| self.voicing);
        self.grows();
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
