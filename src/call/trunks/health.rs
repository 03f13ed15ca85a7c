//! Is a server there? A machine per server, fed with the answers to our OPTIONS and with how calls fare.
//!
//! ```text
//!            an answer                    three misses, or a call that failed
//!   Unknown ───────────► Up ─────────────────────────────► Down
//!      ▲                  ▲      two answers in a row        │
//!      │                  └──────────────────────────────────┤
//!      └──────── half a minute, where no OPTIONS are sent ───┘
//! ```
//!
//! Any final response is a sign of life, a refusal too; 503 and silence are none. A server that is down is not left out: it is
//! tried after all the others.

use std::time::{Duration, Instant};

/// Misses in a row that bring a server down.
const MISSES: u8 = 3;
/// Answers in a row that bring it up again, so that one which comes and goes is not taken for well.
const ANSWERS: u8 = 2;
/// What does not answer for so long is missed.
const PATIENCE: Duration = Duration::from_secs(4);
/// The next OPTIONS after a miss, or while a server comes back, where they are rarer otherwise.
const IN_DOUBT: Duration = Duration::from_secs(5);
/// How long a failed call is held against a server that gets no OPTIONS.
const RESENT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nothing speaks against it.
    Unknown,
    Up,
    Down,
}

#[derive(Clone, Debug)]
pub(super) struct Health {
    /// Between two OPTIONS; zero: none.
    every: Duration,
    reach: Reach,
    misses: u8,
    answers: u8,
    /// When the next is due.
    next: Instant,
    /// Since when one is out.
    asked: Option<Instant>,
    pub(super) round_trip: Option<Duration>,
}

impl Health {
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        Self { every, reach: Reach::Unknown, misses: 0, answers: 0, next: now, asked: None, round_trip: None }
    }

    pub(super) fn reach(&self, now: Instant) -> Reach {
        let is_forgiven = self.every.is_zero() && now >= self.next;
        if is_forgiven { Reach::Unknown } else { self.reach }
    }

    /// When something is to be done: to ask, or to see that nobody answers.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.asked.map_or(self.next, |asked| asked + PATIENCE);
        (!self.every.is_zero()).then_some(due)
    }

    /// Whether OPTIONS are to be sent now. It counts as sent then.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.asked.is_some_and(|asked| now >= asked + PATIENCE) {
            self.missed(now);
        }
        let is_due = !self.every.is_zero() && self.asked.is_none() && now >= self.next;
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }

    /// The answer to OPTIONS; one that nobody waits for any more counts as well, if it is an answer.
    pub(super) fn answered(&mut self, now: Instant, status: u16, round_trip: Option<Duration>) {
        let was_asked = self.asked.is_some();
        if matches!(status, 408 | 503) {
            // What was missed in time is not missed twice.
            if was_asked {
                self.missed(now);
            }
            return;
        }
        self.asked = None;
        self.round_trip = round_trip;
        self.misses = 0;
        self.answers = self.answers.saturating_add(1);
        if self.reach != Reach::Down || self.answers >= ANSWERS {
            self.reach = Reach::Up;
        }
        self.next = now + if self.reach == Reach::Down { self.soon() } else { self.every };
    }

    fn missed(&mut self, now: Instant) {
        self.asked = None;
        self.answers = 0;
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES {
            self.reach = Reach::Down;
            self.round_trip = None;
        }
        self.next = now + self.soon();
    }

    fn soon(&self) -> Duration {
        self.every.min(IN_DOUBT)
    }

    /// A call found nobody there, or was told 408 or 503.
    pub(super) fn call_failed(&mut self, now: Instant) {
        (self.reach, self.answers) = (Reach::Down, 0);
        self.next = now + if self.every.is_zero() { RESENT } else { self.soon() };
    }

    /// A call got through to somebody.
    pub(super) fn call_passed(&mut self, now: Instant) {
        if self.every.is_zero() {
            (self.reach, self.next) = (Reach::Unknown, now);
        }
    }
}

/// A trunk as a call sees it: its servers in their order, each with how it stands.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) priority: Option<u32>,
    /// It has no registration to lose, or has not lost it.
    pub(super) is_usable: bool,
    pub(super) servers: Vec<Reach>,
}

/// The order in which a call tries its servers, as (trunk, server): those of its own trunk, then those of the trunks
/// with a priority; after all of them, in the same order, those that are down.
pub(super) fn order(own: usize, lines: &[Line]) -> Vec<(usize, usize)> {
    let mut trunks: Vec<usize> =
        (0..lines.len()).filter(|i| *i != own && lines[*i].priority.is_some()).collect();
    trunks.sort_by_key(|i| lines[*i].priority);
    trunks.insert(0, own);
    let all = trunks.into_iter().filter_map(|trunk| Some((trunk, lines.get(trunk)?)));
    let all = all.flat_map(|(trunk, line)| (0..line.servers.len()).map(move |server| (trunk, server)));
    let (well, down): (Vec<_>, Vec<_>) = all.partition(|(trunk, server)| {
        lines[*trunk].is_usable && lines[*trunk].servers[*server] != Reach::Down
    });
    [well, down].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(30);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Lets `seconds` pass in which nobody answers; gives when the server was found to be down.
    fn silence(health: &mut Health, from: Instant, seconds: u64) -> Option<u64> {
        (0..=seconds).find(|s| {
            health.handle_timeout(at(from, *s));
            health.reach(at(from, *s)) == Reach::Down
        })
    }

    #[test]
    fn three_misses_bring_a_server_down_and_two_answers_up_again() {
        let start = Instant::now();
        let mut health = Health::new(start, EVERY);
        assert!(health.handle_timeout(start), "it is asked at once");
        assert!(!health.handle_timeout(start), "and once");
        health.answered(start, 200, Some(Duration::from_millis(3)));
        assert_eq!(health.reach(start), Reach::Up);
        assert_eq!(health.poll_timeout(), Some(at(start, 30)));

        let down = silence(&mut health, at(start, 30), 60).expect("it is down");
        assert_eq!(down, 4 + 5 + 4 + 5 + 4, "three misses of 4 s with 5 s between");
        let later = at(start, 100);
        assert!(health.handle_timeout(later));
        health.answered(later, 200, None);
        assert_eq!(health.reach(later), Reach::Down, "one answer is not enough");
        assert_eq!(health.poll_timeout(), Some(at(later, 5)), "but it is asked again soon");
        assert!(health.handle_timeout(at(later, 5)));
        health.answered(at(later, 5), 200, None);
        assert_eq!(health.reach(at(later, 5)), Reach::Up);
    }

    #[test]
    fn a_refusal_is_a_sign_of_life_and_503_is_none() {
        let start = Instant::now();
        for (status, expected) in
            [(200, Reach::Up), (404, Reach::Up), (401, Reach::Up), (405, Reach::Up), (503, Reach::Down)]
        {
            let mut health = Health::new(start, EVERY);
            for n in 0..3 {
                assert!(health.handle_timeout(at(start, n * 30)));
                health.answered(at(start, n * 30), status, None);
            }
            assert_eq!(health.reach(at(start, 90)), expected, "{status}");
        }
    }

    #[test]
    fn the_time_out_of_a_question_that_was_given_up_is_not_counted_again() {
        let start = Instant::now();
        let mut health = Health::new(start, EVERY);
        health.handle_timeout(start);
        health.handle_timeout(at(start, 4));
        health.answered(at(start, 5), 408, None);
        health.answered(at(start, 6), 408, None);
        health.answered(at(start, 7), 408, None);
        assert_eq!(health.reach(at(start, 7)), Reach::Unknown);
    }

    #[test]
    fn without_options_a_failed_call_is_forgiven_after_a_while() {
        let start = Instant::now();
        let mut health = Health::new(start, Duration::ZERO);
        assert!(!health.handle_timeout(start));
        assert_eq!(health.poll_timeout(), None);
        health.call_failed(start);
        assert_eq!(health.reach(at(start, 29)), Reach::Down);
        assert_eq!(health.reach(at(start, 30)), Reach::Unknown);
        health.call_failed(start);
        health.call_passed(at(start, 1));
        assert_eq!(health.reach(at(start, 1)), Reach::Unknown);
    }

    #[test]
    fn a_call_tries_its_own_trunk_then_the_others_by_priority_and_the_dead_last() {
        use Reach::{Down, Unknown, Up};
        let line =
            |priority, servers: &[Reach]| Line { priority, is_usable: true, servers: servers.to_vec() };
        let lines = [
            line(Some(3), &[Unknown]),
            line(None, &[Down, Up]),
            line(Some(1), &[Down, Up]),
            line(None, &[Up]),
        ];
        assert_eq!(order(1, &lines), [(1, 1), (2, 1), (0, 0), (1, 0), (2, 0)]);
        assert_eq!(order(0, &lines), [(0, 0), (2, 1), (2, 0)]);
        let unregistered = [Line { is_usable: false, ..lines[1].clone() }, lines[2].clone()];
        assert_eq!(order(0, &unregistered), [(1, 1), (0, 0), (0, 1), (1, 0)]);
    }
}
