//! How often a key may ask: a bucket that fills evenly, and empties with each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::KeyId;

/// Keys whose buckets are held before full ones are forgotten.
const MANY: usize = 1024;
const WINDOW: Duration = Duration::from_secs(60);
/// draft-ietf-httpapi-ratelimit-headers-10.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Of all keys.
pub(super) struct Rates {
    /// Requests per [`WINDOW`]; 0: as many as one likes.
    quota: u32,
    /// When the bucket of a key is full again.
    full_at: Mutex<HashMap<KeyId, Instant>>,
}

/// What a request is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    quota: u32,
    /// Requests that may come at once.
    pub(super) remaining: u32,
    /// Until there are as many as there can be.
    reset: Duration,
    /// Refused: until the next one may come.
    pub(super) wait: Option<Duration>,
}

impl Rates {
    pub(super) fn new(quota: u32) -> Self {
        Self { quota, full_at: Mutex::default() }
    }

    /// Counts a request. `None`: there is no bound.
    pub(super) fn take(&self, key: &KeyId, now: Instant) -> Option<Standing> {
        let quota = self.quota;
        let step = WINDOW.checked_div(quota)?;
        // Nothing is left half-changed by a panic under this lock.
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY && !all.contains_key(key) {
            all.retain(|_, full_at| *full_at > now);
        }
        let full_at = all.get(key).copied().unwrap_or(now).max(now);
        let after = full_at + step;
        // A request may come while what is missing of a full bucket is no more than the whole of it.
        let missing = after.saturating_duration_since(now);
        if missing > step * quota {
            let (reset, wait) = (full_at - now, missing - step * quota);
            return Some(Standing { quota, remaining: 0, reset, wait: Some(wait) });
        }
        all.insert(key.clone(), after);
        let taken = missing.as_nanos().div_ceil(step.as_nanos().max(1));
        let remaining = quota.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        Some(Standing { quota, remaining, reset: missing, wait: None })
    }
}

impl Standing {
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let limit = format!("\"key\";r={};t={}", self.remaining, seconds(self.reset));
        let policy = format!("\"key\";q={};w={}", self.quota, WINDOW.as_secs());
        for (name, text) in [(LIMIT, limit), (POLICY, policy)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Rounded up: who comes then is not too early.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> KeyId {
        KeyId::from_random([n; 10])
    }

    #[test]
    fn a_quota_comes_at_once_and_then_evenly() {
        let (rates, start) = (Rates::new(60), Instant::now());
        let take = |second: u64| rates.take(&key(1), start + Duration::from_secs(second)).unwrap();
        for n in 1..=60 {
            assert_eq!(take(0).remaining, 60 - n);
        }
        assert_eq!(take(0).wait, Some(Duration::from_secs(1)));
        assert_eq!(take(1).wait, None);
        assert!(take(1).wait.is_some());
        assert_eq!(take(61).remaining, 59);
    }

    #[test]
    fn one_key_does_not_wait_for_another() {
        let (rates, now) = (Rates::new(1), Instant::now());
        assert!(rates.take(&key(1), now).unwrap().wait.is_none());
        assert!(rates.take(&key(1), now).unwrap().wait.is_some());
        assert!(rates.take(&key(2), now).unwrap().wait.is_none());
        assert_eq!(Rates::new(0).take(&key(1), now), None);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (rates, now) = (Rates::new(60), Instant::now());
        let later = now + WINDOW;
        for n in 0..u16::try_from(MANY).unwrap() {
            let [high, low] = n.to_be_bytes();
            rates.take(&KeyId::from_random([high, low, 0, 0, 0, 0, 0, 0, 0, 0]), now);
        }
        rates.take(&key(255), later);
        assert_eq!(rates.full_at.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let mut headers = HeaderMap::new();
        Rates::new(60).take(&key(1), Instant::now()).unwrap().tell(&mut headers);
        assert_eq!(
            (&headers[LIMIT], &headers[POLICY]),
            (&HeaderValue::from_static("\"key\";r=59;t=1"), &HeaderValue::from_static("\"key\";q=60;w=60"))
        );
    }
}
