//! A message on its way out: what an answer means, and when it is tried again.

use std::time::Duration;

use sip::SendMessage;

use crate::domain::Message;

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

/// One message, its record and the request that carries it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) record: Message,
    pub(super) request: SendMessage,
}

impl Outgoing {
    /// How long to wait before it is sent again; `None`: the outcome is the last.
    ///
    /// Tried again is only what nobody has taken: no answer, no way there, or a server that is busy.
    pub(super) fn again_in(&self, outcome: &Outcome, patience: &Patience) -> Option<Duration> {
        let transient = match outcome.status {
            408 | 503 => true,
            // These may mean "never"; with a time they mean "later" (RFC 3261 §20.33).
            480 | 500 | 504 => outcome.retry_after.is_some(),
            _ => false,
        };
        if !transient || self.record.tries >= patience.tries {
            return None;
        }
        let wait = patience.first_wait * 4_u32.saturating_pow(self.record.tries.saturating_sub(1));
        let wait = wait.max(outcome.retry_after.unwrap_or_default());
        (wait <= patience.longest_wait).then_some(wait)
    }

    /// Makes the next try the same request where nobody answered, so that a far end whose answer was lost can tell that it
    /// has it already; and a new one where somebody did, who would take the same for a loop (RFC 3261 §8.2.2.2).
    pub(super) fn prepare_again(&mut self, outcome: &Outcome) {
        if outcome.is_answer() {
            self.request.call_id = Some(format!("{}.{}", self.record.id, self.record.tries));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::received;

    fn outgoing(tries: u32) -> Outgoing {
        let uri = || "sip:a@192.0.2.1".parse::<sip::Uri>().unwrap();
        let address = "192.0.2.1:5060".parse().unwrap();
        let request = SendMessage {
            to: uri(),
            from: sip::NameAddr::from(uri()),
            credentials: None,
            path: sip::Path { transport: sip::Transport::Udp, local: address, remote: address },
            route: Vec::new(),
            headers: Vec::new(),
            call_id: None,
            body: sip::Body { content_type: "text/plain".into(), bytes: Vec::new() },
        };
        Outgoing { record: Message { tries, ..received(1, "+15550100001") }, request }
    }

    fn again(tries: u32, status: u16, retry_after: Option<u64>) -> Option<u64> {
        let outcome = Outcome { status, reason: None, retry_after: retry_after.map(Duration::from_secs) };
        outgoing(tries).again_in(&outcome, &Patience::default()).map(|wait| wait.as_secs())
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
    fn a_try_that_was_answered_is_not_repeated_to_the_letter() {
        let mut outgoing = outgoing(1);
        let call_id = |reason: Option<&str>, outgoing: &mut Outgoing| {
            let reason = reason.map(str::to_owned);
            outgoing.prepare_again(&Outcome { status: 503, reason, retry_after: None });
            outgoing.request.call_id.clone()
        };
        let first = Some(outgoing.record.id.to_string());
        outgoing.request.call_id.clone_from(&first);
        assert_eq!(call_id(None, &mut outgoing), first);
        assert_ne!(call_id(Some("Service Unavailable"), &mut outgoing), first);
    }

    #[test]
    fn whoever_says_when_is_believed_within_reason() {
        assert_eq!(again(1, 503, Some(1)), Some(2), "not sooner than our own back-off");
        assert_eq!(again(1, 503, Some(120)), Some(120));
        assert_eq!(again(1, 503, Some(301)), None);
    }
}
