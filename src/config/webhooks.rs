//! `[webhooks]`: how clients' endpoints are told of events.

use std::time::Duration;

use super::file::Section;

#[derive(Clone, PartialEq, Debug)]
pub struct Webhooks {
    /// From a failed try to the next; each further wait is three times as long.
    pub first_retry: Duration,
    /// The longest wait between two tries.
    pub longest_retry: Duration,
    /// What was not taken so long after it was asked for is given up.
    pub give_up: Duration,
    /// For one try, from the connection to the answer.
    pub timeout: Duration,
    /// Tries at once, to all endpoints.
    pub at_once: usize,
    /// Tries at once to one endpoint.
    pub at_once_each: usize,
    /// How long deliveries that are over stay listed.
    pub keep: Duration,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            first_retry: Duration::from_secs(5),
            longest_retry: Duration::from_secs(HOUR),
            give_up: Duration::from_secs(DAY),
            timeout: Duration::from_secs(10),
            at_once: 64,
            at_once_each: 4,
            keep: Duration::from_secs(30 * DAY),
        }
    }
}

pub(super) fn webhooks(s: Section, default: &Webhooks) -> Webhooks {
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let whole = |key, default: Duration, unit: u64, most| {
        Duration::from_secs(unit * s.count(key, default.as_secs() / unit, 1, most))
    };
    let webhooks = Webhooks {
        first_retry: s.millis("first_retry_ms", default.first_retry, 10, 600_000),
        longest_retry: s.seconds("longest_retry_s", default.longest_retry, 1, 86_400),
        give_up: whole("give_up_h", default.give_up, HOUR, 720),
        timeout: s.seconds("timeout_s", default.timeout, 1, 120),
        at_once: size(s.count("at_once", default.at_once as u64, 1, 1000)),
        at_once_each: size(s.count("at_once_each", default.at_once_each as u64, 1, 100)),
        keep: whole("keep_days", default.keep, DAY, 3650),
    };
    s.finish();
    webhooks
}
