//! What a stranger may do before somebody closes the door: bans with an end, rates, and wrong passwords.
//!
//! Three tables, each with a ceiling, and no timer: what has lapsed is found out when it is looked at. A source that
//! finds the table full shares one allowance with all others in that place, so that a flood of forged addresses takes
//! neither memory nor the allowance of those who are known.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::source::Network;

/// Sources whose rate is known apart, and sources that are banned.
const MOST_SOURCES: usize = 4_096;
/// How often a full table is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// So many new requests a second, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// Who is kept out, beyond [`Sources`](crate::Sources). Nobody, unless it is said here.
///
/// Only requests that begin something count: what belongs to a call or is repeated always passes.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Never limited and never banned: the trunks.
    pub trusted: Vec<Network>,
    /// For each source by itself (of IPv6, a /64 is one source).
    pub per_source: Option<Rate>,
    /// For all sources together that are not trusted.
    pub total: Option<Rate>,
    /// Who sends a User-Agent that holds one of these words, in any case of letters, is banned at once.
    pub scanners: Vec<String>,
    /// Requests above its rate that ban a source.
    pub strikes: u32,
    /// Wrong passwords that ban a source: so many...
    pub failures: u32,
    /// ...within this time of the first. Who gets it right begins anew.
    pub failures_within: Duration,
    pub ban: Duration,
    /// 403 to what is refused; else silence, which tells a scanner nothing. Who is banned already is not even read.
    pub answer: bool,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            per_source: None,
            total: None,
            scanners: Vec::new(),
            strikes: 100,
            failures: 10,
            failures_within: Duration::from_secs(300),
            ban: Duration::from_secs(3_600),
            answer: false,
        }
    }
}

impl Guard {
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }
}

/// Why a source was banned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BanReason {
    /// Its User-Agent.
    Scanner,
    /// It went on above its rate.
    Rate,
    /// It gave wrong passwords.
    FailedAuth,
    /// The program said so.
    Told,
}

/// A bucket that fills with time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In thousandths of a request.
    level: u64,
    at: Instant,
    strikes: u32,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { level: u64::from(rate.burst) * 1_000, at: now, strikes: 0 }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        // Whole milliseconds; what is left of one counts the next time.
        let millis = now.saturating_duration_since(self.at).as_millis() as u64;
        self.at += Duration::from_millis(millis);
        let gained = millis.saturating_mul(rate.per_second.into());
        self.level = self.level.saturating_add(gained).min(u64::from(rate.burst) * 1_000);
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let has = self.level >= 1_000;
        if has {
            self.level -= 1_000;
        }
        has
    }
}

/// What the guard says to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Pass,
    Refuse,
    /// Refuse, and tell the program.
    Ban(BanReason),
}

#[derive(Debug, Default)]
pub(crate) struct Watch {
    sources: HashMap<IpAddr, Bucket>,
    /// Everyone for whom there was no room.
    crowd: Option<Bucket>,
    total: Option<Bucket>,
    swept: Option<Instant>,
    bans: HashMap<IpAddr, Instant>,
    failures: HashMap<IpAddr, Failures>,
}

/// Wrong passwords of one source.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Watch {
    pub(crate) fn is_banned(&mut self, now: Instant, ip: IpAddr) -> bool {
        let place = place(ip);
        match self.bans.get(&place) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.bans.remove(&place);
                false
            }
            None => false,
        }
    }

    pub(crate) fn ban(&mut self, now: Instant, ip: IpAddr, time: Duration) {
        if self.bans.len() >= MOST_SOURCES {
            self.bans.retain(|_, until| *until > now);
        }
        if self.bans.len() >= MOST_SOURCES
            && let Some(first) = self.bans.iter().min_by_key(|(_, until)| **until).map(|(ip, _)| *ip)
        {
            self.bans.remove(&first);
        }
        self.bans.insert(place(ip), now + time);
    }

    pub(crate) fn unban(&mut self, ip: IpAddr) {
        self.bans.remove(&place(ip));
        self.sources.remove(&place(ip));
        self.failures.remove(&place(ip));
    }

    pub(crate) fn bans(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Duration)> {
        self.bans.iter().filter(move |(_, until)| **until > now).map(move |(ip, until)| (*ip, *until - now))
    }

    /// A request that begins something.
    pub(crate) fn judge(&mut self, now: Instant, guard: &Guard, ip: IpAddr, agent: &str) -> Verdict {
        if guard.trusts(ip) {
            return Verdict::Pass;
        }
        if !guard.scanners.is_empty() && is_scanner(guard, &agent.to_ascii_lowercase()) {
            self.ban(now, ip, guard.ban);
            return Verdict::Ban(BanReason::Scanner);
        }
        if let Some(rate) = guard.per_source
            && let Some(verdict) = self.over_its_rate(now, guard, rate, ip)
        {
            return verdict;
        }
        if let Some(rate) = guard.total
            && !self.total.get_or_insert(Bucket::full(rate, now)).take(rate, now)
        {
            return Verdict::Refuse;
        }
        Verdict::Pass
    }

    fn over_its_rate(&mut self, now: Instant, guard: &Guard, rate: Rate, ip: IpAddr) -> Option<Verdict> {
        let place = place(ip);
        if !self.sources.contains_key(&place) && self.sources.len() >= MOST_SOURCES {
            self.sweep(now, rate);
        }
        let has_room = self.sources.len() < MOST_SOURCES;
        let bucket = match self.sources.get_mut(&place) {
            Some(bucket) => bucket,
            None if has_room => self.sources.entry(place).or_insert(Bucket::full(rate, now)),
            None => {
                let crowd = self.crowd.get_or_insert(Bucket::full(rate, now));
                return (!crowd.take(rate, now)).then_some(Verdict::Refuse);
            }
        };
        if bucket.take(rate, now) {
            return None;
        }
        bucket.strikes += 1;
        if bucket.strikes < guard.strikes.max(1) {
            return Some(Verdict::Refuse);
        }
        self.sources.remove(&place);
        self.ban(now, ip, guard.ban);
        Some(Verdict::Ban(BanReason::Rate))
    }

    /// A wrong password, in answer to a challenge that reached this source: nobody can forge that in another's name. `true`:
    /// the source is banned for it.
    pub(crate) fn has_failed(&mut self, now: Instant, guard: &Guard, ip: IpAddr) -> bool {
        if guard.trusts(ip) {
            return false;
        }
        let place = place(ip);
        let is_fresh = |one: &Failures| now < one.since + guard.failures_within;
        if self.failures.len() >= MOST_SOURCES && !self.failures.contains_key(&place) {
            self.failures.retain(|_, one| is_fresh(one));
        }
        if self.failures.len() >= MOST_SOURCES
            && !self.failures.contains_key(&place)
            && let Some(first) = self.failures.iter().min_by_key(|(_, one)| one.since).map(|(ip, _)| *ip)
        {
            self.failures.remove(&first);
        }
        let new = Failures { since: now, count: 0 };
        let failures = self.failures.entry(place).or_insert(new);
        if !is_fresh(failures) {
            *failures = new;
        }
        failures.count += 1;
        if failures.count < guard.failures.max(1) {
            return false;
        }
        self.failures.remove(&place);
        self.ban(now, ip, guard.ban);
        true
    }

    pub(crate) fn has_proven(&mut self, ip: IpAddr) {
        self.failures.remove(&place(ip));
    }

    /// Whose allowance is whole again need not be remembered.
    fn sweep(&mut self, now: Instant, rate: Rate) {
        if self.swept.is_some_and(|at| now < at + SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.sources.retain(|_, bucket| {
            bucket.refill(rate, now);
            bucket.level < u64::from(rate.burst) * 1_000
        });
    }
}

fn is_scanner(guard: &Guard, agent: &str) -> bool {
    guard.scanners.iter().any(|word| !word.is_empty() && agent.contains(&word.to_ascii_lowercase()))
}

/// One customer has a whole /64 of IPv6.
fn place(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}
