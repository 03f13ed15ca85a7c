//! When which endpoint is tried: a machine without clock, socket or store.
//!
//! The shell shows it what is pending ([`Schedule::handle_lanes`]: of each endpoint the lanes that are due first), asks it whom to try
//! ([`Schedule::poll_try`]) and tells it what came of it ([`Schedule::handle_tried`], then [`Schedule::handle_written`]).
//!
//! | an endpoint is | since | and is tried |
//! |---|---|---|
//! | well | its last answer was a 2xx | in up to so many lanes at once; a lane whose first was refused waits by itself, longer each time |
//! | failing | three tries in a row failed | with one lane at a time, after a wait that grows with each failure; its lanes do not wait by themselves, so that all go on as soon as one try succeeds |
//!
//! An endpoint that is down costs one try now and then, however much is pending for it, and nothing of what others may use. What
//! was asked for by hand is tried at once, also where the endpoint waits. Within a lane nothing overtakes: the shell tries only its
//! first, and a lane that is being tried is not tried again until the outcome is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Webhooks;
use crate::domain::WebhookId;
use crate::store::Lane;

/// Failures in a row that make an endpoint a failing one.
const FAILING: u32 = 3;
/// Each wait is so many times the one before.
const GROWTH: u32 = 3;
/// After a disk that refused.
const DISK: Duration = Duration::from_secs(5);

type Time = DateTime<Utc>;

/// What came of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Taken,
    /// `later`: how long the endpoint asked to be left alone.
    Refused {
        later: Option<Duration>,
    },
}

/// What is to be written of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Delivered,
    /// `lane`: when the lane is due; `next`: the earliest time of the next try.
    Again {
        lane: Time,
        next: Time,
    },
    GivenUp,
}

#[derive(Default)]
struct Endpoint {
    /// As the store last showed them, the first due first.
    lanes: Vec<Lane>,
    flying: BTreeSet<String>,
    failures: u32,
    rest_until: Option<Time>,
}

pub(super) struct Schedule {
    settings: Webhooks,
    endpoints: BTreeMap<WebhookId, Endpoint>,
    flying: usize,
    /// Who had the last turn.
    last: Option<WebhookId>,
    /// Nothing is tried before: what came of it could not be written.
    not_before: Option<Time>,
}

impl Endpoint {
    fn is_failing(&self) -> bool {
        self.failures >= FAILING
    }

    /// When this lane may be tried.
    fn start(&self, lane: &Lane, now: Time, longest: TimeDelta) -> Time {
        let Some(due) = lane.due else { return Time::MIN_UTC };
        // Nothing is put off for so long: the clock was set back meanwhile.
        let due = if due - now > longest { now } else { due };
        match self.rest_until.filter(|_| self.is_failing()) {
            Some(until) if until - now <= longest => due.max(until),
            _ => due,
        }
    }
}

impl Schedule {
    pub(super) fn new(settings: Webhooks) -> Self {
        Self { settings, endpoints: BTreeMap::new(), flying: 0, last: None, not_before: None }
    }

    /// Of how many lanes of each endpoint it must know: those that fly may stand before those that do not.
    pub(super) fn window(&self) -> usize {
        2 * self.settings.at_once_each
    }

    /// Everything that is pending, of each endpoint so many lanes as [`Schedule::window`] says. What is not named has nothing pending.
    pub(super) fn handle_lanes(&mut self, found: Vec<(WebhookId, Vec<Lane>)>) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.lanes.clear();
        }
        for (webhook, lanes) in found {
            self.endpoints.entry(webhook).or_default().lanes = lanes;
        }
        self.endpoints.retain(|_, endpoint| !endpoint.lanes.is_empty() || !endpoint.flying.is_empty());
    }

    /// The next try that is due: endpoint and subject. Each endpoint has its turn.
    pub(super) fn poll_try(&mut self, now: Time) -> Option<(WebhookId, String)> {
        let (webhook, subject) = self
            .candidates(now)
            .find(|(.., start)| *start <= now)
            .map(|(webhook, subject, _)| (webhook.clone(), subject.to_owned()))?;
        let endpoint = self.endpoints.get_mut(&webhook)?;
        endpoint.flying.insert(subject.clone());
        self.flying += 1;
        self.last = Some(webhook.clone());
        Some((webhook, subject))
    }

    /// When [`Schedule::poll_try`] has something to give, if nothing else happens.
    pub(super) fn poll_timeout(&self, now: Time) -> Option<Time> {
        self.candidates(now).map(|(.., start)| start).min()
    }

    /// Lanes that may be tried, and when: of each endpoint that has room the earliest, those after the last turn first.
    fn candidates(&self, now: Time) -> impl Iterator<Item = (&WebhookId, &str, Time)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let last = self.last.as_ref();
        let after = self.endpoints.range((last.map_or(Unbounded, Excluded), Unbounded));
        let before = last.map(|last| self.endpoints.range((Unbounded, Included(last))));
        let has_room = self.flying < self.settings.at_once;
        let in_turn = after.chain(before.into_iter().flatten()).filter(move |_| has_room);
        in_turn.filter_map(move |(webhook, endpoint)| self.earliest(webhook, endpoint, now))
    }

    fn earliest<'a>(
        &self,
        webhook: &'a WebhookId,
        endpoint: &'a Endpoint,
        now: Time,
    ) -> Option<(&'a WebhookId, &'a str, Time)> {
        let room = if endpoint.is_failing() { 1 } else { self.settings.at_once_each };
        if endpoint.flying.len() >= room {
            return None;
        }
        let waiting = endpoint.lanes.iter().filter(|lane| !endpoint.flying.contains(&lane.subject));
        let longest = delta(self.longest());
        let starts = waiting.map(|lane| (webhook, lane.subject.as_str(), endpoint.start(lane, now, longest)));
        let (webhook, subject, start) = starts.min_by_key(|(.., start)| *start)?;
        // The disk counts for what is asked for by hand as well.
        let disk = self.not_before.filter(|until| *until - now <= delta(DISK));
        Some((webhook, subject, disk.map_or(start, |until| start.max(until))))
    }

    /// What came of a try: the lane stays closed until [`Schedule::handle_written`]. `tries`: of this delivery, this one included;
    /// `asked_at`: when it was asked for; `chance`: from 0 to 1.
    pub(super) fn handle_tried(
        &mut self,
        now: Time,
        webhook: &WebhookId,
        outcome: Outcome,
        (tries, asked_at): (u32, Time),
        chance: f64,
    ) -> Verdict {
        let endpoint = self.endpoints.entry(webhook.clone()).or_default();
        let later = match outcome {
            Outcome::Taken => {
                (endpoint.failures, endpoint.rest_until) = (0, None);
                return Verdict::Delivered;
            }
            Outcome::Refused { later } => later.unwrap_or_default().min(self.settings.longest_retry),
        };
        endpoint.failures = endpoint.failures.saturating_add(1);
        if endpoint.is_failing() {
            let wait = wait(&self.settings, endpoint.failures - FAILING + 1, chance).max(later);
            endpoint.rest_until = Some(now + delta(wait));
        }
        if now - asked_at >= delta(self.settings.give_up) {
            return Verdict::GivenUp;
        }
        match endpoint.rest_until.filter(|_| endpoint.is_failing()) {
            // Behind the others that wait for this endpoint.
            Some(until) => Verdict::Again { lane: now, next: until },
            None => {
                let due = now + delta(wait(&self.settings, tries, chance).max(later));
                Verdict::Again { lane: due, next: due }
            }
        }
    }

    /// Before when something must have been asked for, to be given up along with what this endpoint has just refused. `None`: it is
    /// well, and whatever is pending gets its try.
    pub(super) fn give_up_before(&self, now: Time, webhook: &WebhookId) -> Option<Time> {
        let is_failing = self.endpoints.get(webhook).is_some_and(Endpoint::is_failing);
        is_failing.then(|| now - delta(self.settings.give_up))
    }

    /// The outcome of a try is on disk, or (`false`) could not be written: then it will be tried again, somewhat later.
    pub(super) fn handle_written(&mut self, now: Time, webhook: &WebhookId, subject: &str, is_written: bool) {
        if !is_written {
            self.not_before = Some(now + delta(DISK));
        }
        if let Some(endpoint) = self.endpoints.get_mut(webhook)
            && endpoint.flying.remove(subject)
        {
            self.flying -= 1;
            // What is known of it is old: the store shows it again.
            endpoint.lanes.retain(|lane| lane.subject != subject);
        }
    }

    /// The longest that anything is put off.
    fn longest(&self) -> Duration {
        self.settings.longest_retry.mul_f64(1.0 + JITTER)
    }
}

/// A wait is up to so much shorter or longer, so that what failed together is not tried together.
const JITTER: f64 = 0.2;

/// After so many failures, the first one being 1.
fn wait(settings: &Webhooks, failures: u32, chance: f64) -> Duration {
    let growth = GROWTH.saturating_pow(failures.saturating_sub(1));
    let wait = settings.first_retry.saturating_mul(growth).min(settings.longest_retry);
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
