//! Deadlines by name. One name has at most one; setting it again moves it, and a stopped one is gone at once, so
//! that the next deadline is always a true one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::event::{LegId, RegistrationId};
use crate::transaction::TransactionId;

/// Everything that waits. Letters are those of RFC 3261 §17 and RFC 6026.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// A, E, G: send again.
    Retransmit(TransactionId),
    /// B, F, H: the peer does not answer.
    GiveUp(TransactionId),
    /// D, I, J, K, L, M: no retransmission can come any more.
    Forget(TransactionId),
    Leg(LegId, LegTimer),
    Registration(RegistrationId),
    /// The binding of a phone runs out.
    Bindings,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LegTimer {
    /// Nobody answers the call.
    Ring,
    /// §13.3.1.1: a provisional response every minute keeps proxies waiting.
    KeepRinging,
    /// §13.3.1.4: the 2xx again.
    Repeat2xx,
    /// §13.3.1.4: 64*T1 without ACK.
    NoAck,
    /// §9.1: 64*T1 after CANCEL without a final response.
    Cancel,
    /// §14.1: our re-INVITE again after 491.
    Glare,
    /// RFC 3262 §3: a reliable provisional response again.
    Reliable,
    /// Nobody tells how the one fares that we sent on.
    Refer,
    /// RFC 4028 §7.4: we refresh the session.
    Refresh,
    /// RFC 4028 §10: nobody has refreshed it.
    SessionEnd,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_name: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        self.by_name.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        if let Some(at) = self.by_name.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn stop_leg(&mut self, leg: LegId) {
        for which in [
            LegTimer::Ring,
            LegTimer::KeepRinging,
            LegTimer::Repeat2xx,
            LegTimer::NoAck,
            LegTimer::Cancel,
            LegTimer::Glare,
            LegTimer::Reliable,
            LegTimer::Refer,
            LegTimer::Refresh,
            LegTimer::SessionEnd,
        ] {
            self.stop(Timer::Leg(leg, which));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The earliest timer that is due, taken out.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}
