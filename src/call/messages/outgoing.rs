//! A message on its way out: what an answer means, and when it is tried again.

use std::time::Duration;

use sip::SendMessage;

use crate::call::route::CALL_ID;
use crate::domain::Message;

/// Servers and phones that one message is offered to.
const MOST_DESTINATIONS: usize = 8;

/// How stubborn we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How often a message is sent at most.
    pub(super) tries: u32,
    /// Between the first two; four times as long each time.
    pub(super) first_wait: Duration,
    /// A `Retry-After` above this is a refusal.
    pub(super) longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 4, first_wait: Duration::from_secs(2), longest_wait: Duration::from_secs(300) }
    }
}

/// What came back: 408 where nobody answered, 503 also where nobody could be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) struct Outcome {
    pub(in super::super) status: u16,
    pub(in super::super) reason: Option<String>,
    pub(in super::super) retry_after: Option<Duration>,
}

impl Outcome {
    /// Whether anybody said so, and not we ourselves.
    fn is_answer(&self) -> bool {
        self.reason.is_some()
    }
}

/// A place where a message may be left: a server of a trunk, or a phone.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The trunk or the extension, for the record.
    pub trunk: String,
    /// Its body and Call-ID are set by the post.
    pub request: SendMessage,
}

impl Destination {
    /// Whether a text of so many bytes does not fit into a datagram there (RFC 3428 §8), and the way is by datagrams.
    pub fn is_too_long_for_udp(&self, bytes: usize) -> bool {
        let body = sip::Body { content_type: "text/plain;charset=utf-8".into(), bytes: vec![0; bytes] };
        let path = self.request.path;
        path.transport == sip::Transport::Udp && SendMessage { body, ..self.request.clone() }.needs_stream()
    }
}

/// One message: its record, and where it can be left, the best first.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) record: Message,
    /// Never empty.
    destinations: Vec<Destination>,
    at: usize,
    call_id: String,
    /// It is not tried again.
    pub(super) recipient_stopped: bool,
}

impl Outgoing {
    /// `None`: there is nowhere to send it.
    pub(super) fn new(mut record: Message, mut destinations: Vec<Destination>) -> Option<Self> {
        let call_id = record.id.to_string();
        let bytes = record.content.text().unwrap_or_default().as_bytes().to_vec();
        let body = sip::Body { content_type: record.content_type.clone(), bytes };
        record.trunk.clone_from(&destinations.first()?.trunk);
        destinations.truncate(MOST_DESTINATIONS);
        for Destination { request, .. } in &mut destinations {
            request.body.clone_from(&body);
            for (_, value) in &mut request.headers {
                *value = value.replace(CALL_ID, &call_id);
            }
        }
        Some(Self { record, destinations, at: 0, call_id, recipient_stopped: false })
    }

    /// The request of the next try, which is counted.
    pub(super) fn next_request(&mut self) -> SendMessage {
        let Destination { trunk, request } = &self.destinations[self.at];
        self.record.tries += 1;
        self.record.trunk.clone_from(trunk);
        SendMessage { call_id: Some(self.call_id.clone()), ..request.clone() }
    }

    /// After a try that failed: how long to wait before the next one; `None`: the outcome is the last.
    ///
    /// Tried again is only what nobody has taken: no answer, no way there, or a server that is busy. The next place is
    /// tried at once (RFC 3263 §4.3); when each has been, the first again after a while.
    pub(super) fn again_in(&mut self, outcome: &Outcome, patience: &Patience) -> Option<Duration> {
        let transient = match outcome.status {
            408 | 503 => true,
            // These may mean "never"; with a time they mean "later" (RFC 3261 §20.33).
            480 | 500 | 504 => outcome.retry_after.is_some(),
            _ => false,
        };
        let places = u32::try_from(self.destinations.len()).unwrap_or(u32::MAX);
        if !transient || self.recipient_stopped || self.record.tries >= patience.tries.max(places) {
            return None;
        }
        let mut wait = Duration::ZERO;
        if self.record.tries.is_multiple_of(places) {
            let rounds = self.record.tries / places;
            wait = patience.first_wait * 4_u32.saturating_pow(rounds.saturating_sub(1));
            wait = wait.max(outcome.retry_after.unwrap_or_default());
            if wait > patience.longest_wait {
                return None;
            }
        }
        self.at = (self.at + 1) % self.destinations.len();
        // The same request where nobody answered, so that a far end whose answer was lost can tell that it has it already;
        // a new one where somebody did, who would take the same for a loop (RFC 3261 §8.2.2.2).
        if outcome.is_answer() {
            self.call_id = format!("{}.{}", self.record.id, self.record.tries);
        }
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Content, Private, received};

    fn outgoing(places: usize, tries: u32) -> Outgoing {
        let uri = || "sip:a@192.0.2.1".parse::<sip::Uri>().unwrap();
        let address = "192.0.2.1:5060".parse().unwrap();
        let request = SendMessage {
            to: uri(),
            from: sip::NameAddr::from(uri()),
            credentials: None,
            path: sip::Path { transport: sip::Transport::Udp, local: address, remote: address },
            route: Vec::new(),
            headers: vec![("X-Id".into(), "<{call_id}>".into())],
            call_id: None,
            body: sip::Body { content_type: String::new(), bytes: Vec::new() },
        };
        let destination = |n| Destination { trunk: format!("trunk {n}"), request: request.clone() };
        let content = Content::Text(Private::new("hi".into()));
        let record = Message { tries, content, ..received(1, "+15550100001") };
        Outgoing::new(record, (0..places).map(destination).collect()).unwrap()
    }

    fn outcome(status: u16, reason: Option<&str>, retry_after: Option<u64>) -> Outcome {
        let retry_after = retry_after.map(Duration::from_secs);
        Outcome { status, reason: reason.map(str::to_owned), retry_after }
    }

    fn again(tries: u32, status: u16, retry_after: Option<u64>) -> Option<u64> {
        let outcome = outcome(status, None, retry_after);
        outgoing(1, tries).again_in(&outcome, &Patience::default()).map(|wait| wait.as_secs())
    }

    #[test]
    fn only_what_nobody_took_is_tried_again() {
        for status in [200, 202, 403, 404, 413, 415, 480, 482, 500, 504, 513, 600] {
            assert_eq!(again(1, status, None), None, "{status}");
        }
        assert_eq!([1, 2, 3, 4].map(|tries| again(tries, 503, None)), [Some(2), Some(8), Some(32), None]);
        assert_eq!(again(1, 408, None), Some(2));
        assert_eq!(again(1, 480, Some(5)), Some(5));
    }

    #[test]
    fn whoever_says_when_is_believed_within_reason() {
        assert_eq!(again(1, 503, Some(1)), Some(2), "not sooner than our own back-off");
        assert_eq!(again(1, 503, Some(120)), Some(120));
        assert_eq!(again(1, 503, Some(301)), None);
    }

    #[test]
    fn each_place_is_tried_before_any_is_waited_for() {
        let mut outgoing = outgoing(2, 0);
        let mut seen = Vec::new();
        loop {
            let request = outgoing.next_request();
            assert_eq!(request.body.bytes, b"hi");
            let wait = outgoing.again_in(&outcome(503, None, None), &Patience::default());
            seen.push((outgoing.record.trunk.clone(), wait.map(|wait| wait.as_secs())));
            if wait.is_none() {
                break;
            }
        }
        let expected = [("trunk 0", Some(0)), ("trunk 1", Some(2)), ("trunk 0", Some(0)), ("trunk 1", None)];
        assert_eq!(seen, expected.map(|(trunk, wait)| (trunk.to_owned(), wait)));
        // More places than tries: each is tried once.
        let mut many = self::outgoing(6, 5);
        assert_eq!(many.again_in(&outcome(408, None, None), &Patience::default()), Some(Duration::ZERO));
    }

    #[test]
    fn a_try_that_was_answered_is_not_repeated_to_the_letter() {
        let mut outgoing = outgoing(1, 0);
        let first = outgoing.next_request();
        assert_eq!(first.call_id.as_deref(), Some(outgoing.record.id.as_str()));
        assert_eq!(first.headers[0].1, format!("<{}>", outgoing.record.id));
        outgoing.again_in(&outcome(503, None, None), &Patience::default()).unwrap();
        let second = outgoing.next_request();
        assert_eq!(second.call_id, first.call_id);
        outgoing.again_in(&outcome(503, Some("Service Unavailable"), None), &Patience::default()).unwrap();
        assert_ne!(outgoing.next_request().call_id, first.call_id);
    }
}
