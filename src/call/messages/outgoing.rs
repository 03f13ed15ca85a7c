//! A message on its way out: what an answer means, and when it is tried again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sip::SendMessage;

use super::carrier::Handed;
use crate::call::route::CALL_ID;
use crate::domain::{Failure, Message, MessageStatus};

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

/// A place where a message may be left: a server of a trunk, a phone, or a carrier.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The trunk or the extension, for the record.
    pub trunk: String,
    pub way: Way,
}

/// How it is left there.
#[derive(Clone, Debug)]
pub enum Way {
    /// Its body and Call-ID are set by the post.
    Sip(Box<SendMessage>),
    /// By the trunk's HTTP interface.
    Carrier,
}

/// The next try of a message.
pub(super) enum Try {
    Sip(Box<SendMessage>),
    Carrier { trunk: String },
}

/// What came of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Came {
    Sip(Outcome),
    Carrier(Handed),
}

impl Came {
    /// For the log: the words of an answer may hold a number.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Came::Sip(Outcome { status, .. })
            | Came::Carrier(Handed::Taken { status, .. } | Handed::Refused { status, .. }) => Some(*status),
            Came::Carrier(Handed::Unknown { status, .. }) => *status,
            Came::Carrier(Handed::NotReached { .. }) => None,
        }
    }
}

impl Destination {
    /// Whether a text of so many bytes does not fit into a datagram there (RFC 3428 §8), and the way is by datagrams.
    pub fn is_too_long_for_udp(&self, bytes: usize) -> bool {
        let body = sip::Body { content_type: "text/plain;charset=utf-8".into(), bytes: vec![0; bytes] };
        let Way::Sip(request) = &self.way else { return false };
        request.path.transport == sip::Transport::Udp
            && SendMessage { body, ..(**request).clone() }.needs_stream()
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
        for Destination { way, .. } in &mut destinations {
            let Way::Sip(request) = way else { continue };
            request.body.clone_from(&body);
            for (_, value) in &mut request.headers {
                *value = value.replace(CALL_ID, &call_id);
            }
        }
        Some(Self { record, destinations, at: 0, call_id, recipient_stopped: false })
    }

    /// The next try, which is counted.
    pub(super) fn next_try(&mut self) -> Try {
        let Destination { trunk, way } = &self.destinations[self.at];
        self.record.tries += 1;
        self.record.trunk.clone_from(trunk);
        match way {
            Way::Carrier => Try::Carrier { trunk: trunk.clone() },
            Way::Sip(request) => {
                let call_id = Some(self.call_id.clone());
                Try::Sip(Box::new(SendMessage { call_id, ..(**request).clone() }))
            }
        }
    }

    /// After a try that failed: how long to wait before the next one; `None`: the outcome is the last. `is_idempotent`: the carrier
    /// takes the same message once only.
    ///
    /// Tried again is only what nobody has taken: no answer, no way there, or a server that is busy. The next place is
    /// tried at once (RFC 3263 §4.3); when each has been, the first again after a while.
    pub(super) fn again_in(
        &mut self,
        came: &Came,
        is_idempotent: bool,
        patience: &Patience,
    ) -> Option<Duration> {
        let (transient, retry_after) = match came {
            Came::Sip(Outcome { status: 408 | 503, retry_after, .. }) => (true, *retry_after),
            // These may mean "never"; with a time they mean "later" (RFC 3261 §20.33).
            Came::Sip(Outcome { status: 480 | 500 | 504, retry_after, .. }) => {
                (retry_after.is_some(), *retry_after)
            }
            Came::Carrier(Handed::Refused { status: 429 | 503, retry_after, .. }) => (true, *retry_after),
            Came::Carrier(Handed::NotReached { .. }) => (true, None),
            Came::Carrier(Handed::Unknown { .. }) => (is_idempotent, None),
            Came::Sip(_) | Came::Carrier(_) => (false, None),
        };
        let places = u32::try_from(self.destinations.len()).unwrap_or(u32::MAX);
        if !transient || self.recipient_stopped || self.record.tries >= patience.tries.max(places) {
            return None;
        }
        let mut wait = Duration::ZERO;
        if self.record.tries.is_multiple_of(places) {
            let rounds = self.record.tries / places;
            wait = patience.first_wait * 4_u32.saturating_pow(rounds.saturating_sub(1));
            wait = wait.max(retry_after.unwrap_or_default());
            if wait > patience.longest_wait {
                return None;
            }
        }
        self.at = (self.at + 1) % self.destinations.len();
        // The same request where nobody answered, so that a far end whose answer was lost can tell that it has it already;
        // a new one where somebody did, who would take the same for a loop (RFC 3261 §8.2.2.2).
        if matches!(came, Came::Sip(outcome) if outcome.is_answer()) {
            self.call_id = format!("{}.{}", self.record.id, self.record.tries);
        }
        Some(wait)
    }

    /// The record, closed by what came last.
    pub(super) fn closed(self, came: Came, at: DateTime<Utc>) -> Message {
        let mut record = self.record;
        match came {
            Came::Sip(Outcome { status, reason, .. }) => record.settle(status, reason, at),
            Came::Carrier(Handed::Taken { status, id }) => {
                record.status = MessageStatus::Accepted;
                record.http_status = Some(status);
                record.carrier_id = id;
                record.settled_at = Some(at);
            }
            Came::Carrier(Handed::Refused { status, reason, .. }) => {
                record.http_status = Some(status);
                record.fail(Failure::Refused, reason, at);
            }
            Came::Carrier(Handed::NotReached { reason }) => record.fail(Failure::Unreachable, reason, at),
            Came::Carrier(Handed::Unknown { status, reason }) => {
                record.http_status = status;
                record.fail(Failure::OutcomeUnknown, reason, at);
            }
        }
        record
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
        let way = Way::Sip(Box::new(request));
        let destination = |n| Destination { trunk: format!("trunk {n}"), way: way.clone() };
        let content = Content::Text(Private::new("hi".into()));
        let record = Message { tries, content, ..received(1, "+15550100001") };
        Outgoing::new(record, (0..places).map(destination).collect()).unwrap()
    }

    fn outcome(status: u16, reason: Option<&str>, retry_after: Option<u64>) -> Came {
        let retry_after = retry_after.map(Duration::from_secs);
        Came::Sip(Outcome { status, reason: reason.map(str::to_owned), retry_after })
    }

    fn next_request(outgoing: &mut Outgoing) -> SendMessage {
        match outgoing.next_try() {
            Try::Sip(request) => *request,
            Try::Carrier { trunk } => panic!("{trunk} has no HTTP"),
        }
    }

    fn again(tries: u32, status: u16, retry_after: Option<u64>) -> Option<u64> {
        let outcome = outcome(status, None, retry_after);
        outgoing(1, tries).again_in(&outcome, false, &Patience::default()).map(|wait| wait.as_secs())
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
            let request = next_request(&mut outgoing);
            assert_eq!(request.body.bytes, b"hi");
            let wait = outgoing.again_in(&outcome(503, None, None), false, &Patience::default());
            seen.push((outgoing.record.trunk.clone(), wait.map(|wait| wait.as_secs())));
            if wait.is_none() {
                break;
            }
        }
        let expected = [("trunk 0", Some(0)), ("trunk 1", Some(2)), ("trunk 0", Some(0)), ("trunk 1", None)];
        assert_eq!(seen, expected.map(|(trunk, wait)| (trunk.to_owned(), wait)));
        // More places than tries: each is tried once.
        let mut many = self::outgoing(6, 5);
        assert_eq!(
            many.again_in(&outcome(408, None, None), false, &Patience::default()),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn a_try_that_was_answered_is_not_repeated_to_the_letter() {
        let mut outgoing = outgoing(1, 0);
        let first = next_request(&mut outgoing);
        assert_eq!(first.call_id.as_deref(), Some(outgoing.record.id.as_str()));
        assert_eq!(first.headers[0].1, format!("<{}>", outgoing.record.id));
        outgoing.again_in(&outcome(503, None, None), false, &Patience::default()).unwrap();
        let second = next_request(&mut outgoing);
        assert_eq!(second.call_id, first.call_id);
        outgoing
            .again_in(&outcome(503, Some("Service Unavailable"), None), false, &Patience::default())
            .unwrap();
        assert_ne!(next_request(&mut outgoing).call_id, first.call_id);
    }

    #[test]
    fn a_carrier_gets_again_only_what_it_cannot_have() {
        let wait = Some(Duration::from_secs(3));
        let refused = |status, retry_after| Handed::Refused { status, reason: String::new(), retry_after };
        let unknown = Handed::Unknown { status: None, reason: String::new() };
        for (handed, is_idempotent, expected) in [
            (Handed::Taken { status: 200, id: None }, true, None),
            (refused(400, wait), true, None),
            (refused(429, wait), false, Some(3)),
            (refused(503, None), false, Some(2)),
            (Handed::NotReached { reason: String::new() }, false, Some(2)),
            (unknown.clone(), false, None),
            (unknown, true, Some(2)),
        ] {
            let came = Came::Carrier(handed);
            let again = outgoing(1, 1).again_in(&came, is_idempotent, &Patience::default());
            assert_eq!(again.map(|wait| wait.as_secs()), expected, "{came:?} {is_idempotent}");
        }
    }
}
