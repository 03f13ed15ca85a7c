//! A call on its way to whoever takes it: over servers one after another, to the phones of an extension all at once.
//!
//! Places come in waves. All of a wave are called together, and the first who answers has the call. The next wave is for a wave
//! of which nobody was there: no answer at all, no connection, 408, 503 (RFC 3263 §4.3). As soon as a phone has rung
//! somewhere nothing more is tried, so that no call is placed twice.

use std::collections::VecDeque;

use sip::{Cause, CauseKind, EndedBy, LegId};

/// `P`: what is needed to call a place.
#[derive(Debug)]
pub(super) struct Hunt<P> {
    waves: VecDeque<Vec<P>>,
    running: Vec<LegId>,
    has_rung: bool,
    /// The best of what was said so far by those who do not take it.
    refusal: Option<Cause>,
}

/// What is to be done now.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step<P> {
    /// Others still ring.
    Wait,
    /// Call these.
    Call(Vec<P>),
    /// Nobody takes it. The legs are still to be hung up.
    Over(Cause, Vec<LegId>),
}

impl<P> Hunt<P> {
    pub(super) fn new(waves: impl IntoIterator<Item = Vec<P>>) -> Self {
        let waves = waves.into_iter().filter(|wave| !wave.is_empty()).collect();
        Self { waves, running: Vec::new(), has_rung: false, refusal: None }
    }

    /// The first places, or the next where those before could not even be called.
    pub(super) fn begin(&mut self) -> Option<Vec<P>> {
        self.waves.pop_front()
    }

    pub(super) fn is_calling(&mut self, leg: LegId) {
        self.running.push(leg);
    }

    /// A place is called in another way: what it said to the first does not count.
    pub(super) fn is_called_again(&mut self, before: LegId, now: LegId) {
        self.running.retain(|other| *other != before);
        self.running.push(now);
    }

    pub(super) fn legs(&self) -> &[LegId] {
        &self.running
    }

    pub(super) fn rang(&mut self) {
        self.has_rung = true;
    }

    /// One has it; gives those that are to be hung up.
    pub(super) fn answered(mut self, leg: LegId) -> Vec<LegId> {
        self.running.retain(|other| *other != leg);
        self.running
    }

    pub(super) fn ended(&mut self, leg: LegId, cause: Cause) -> Step<P> {
        self.running.retain(|other| *other != leg);
        // RFC 3261 §16.7, 6: 6xx speaks for all, whatever the others would say.
        let is_final = cause.status.is_some_and(|status| status >= 600);
        if self.refusal.as_ref().is_none_or(|best| weight(&cause) > weight(best)) {
            self.refusal = Some(cause.clone());
        }
        if !self.running.is_empty() && !is_final {
            return Step::Wait;
        }
        let refusal = self.refusal.as_ref().unwrap_or(&cause);
        let is_absent = !self.has_rung && nobody_was_there(refusal);
        match self.waves.pop_front().filter(|_| is_absent && !is_final) {
            Some(wave) => Step::Call(wave),
            None => Step::Over(refusal.clone(), std::mem::take(&mut self.running)),
        }
    }
}

/// Whether another server may be asked. One that answered anything else has spoken for the callee.
pub(super) fn nobody_was_there(cause: &Cause) -> bool {
    match cause.kind {
        CauseKind::Timeout | CauseKind::TransportError => cause.by == EndedBy::Network,
        CauseKind::Rejected => matches!(cause.status, Some(408 | 503)),
        _ => false,
    }
}

/// Which of several refusals is told: who is busy or declines knows more than who is not there.
fn weight(cause: &Cause) -> u8 {
    match (cause.kind, cause.status) {
        (CauseKind::Rejected, Some(600..)) => 3,
        _ if nobody_was_there(cause) => 0,
        (CauseKind::Rejected, _) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(status: u16) -> Cause {
        Cause { by: EndedBy::Remote, kind: CauseKind::Rejected, status: Some(status), reason: None }
    }

    fn nobody() -> Cause {
        Cause { by: EndedBy::Network, kind: CauseKind::Timeout, status: Some(408), reason: None }
    }

    fn rang_in_vain() -> Cause {
        Cause { by: EndedBy::Local, kind: CauseKind::Timeout, status: None, reason: None }
    }

    #[test]
    fn the_next_server_is_for_one_that_is_not_there() {
        for (cause, goes_on) in [
            (nobody(), true),
            (rejected(503), true),
            (rejected(408), true),
            (rejected(486), false),
            (rejected(404), false),
            (rejected(500), false),
            (rang_in_vain(), false),
        ] {
            let mut hunt = Hunt::new([vec!["a"], vec!["b"]]);
            assert_eq!(hunt.begin(), Some(vec!["a"]));
            hunt.is_calling(LegId(1));
            let expected = if goes_on { Step::Call(vec!["b"]) } else { Step::Over(cause.clone(), vec![]) };
            assert_eq!(hunt.ended(LegId(1), cause.clone()), expected, "{cause:?}");
        }
    }

    #[test]
    fn what_has_rung_is_never_placed_again() {
        let mut hunt = Hunt::new([vec!["a"], vec!["b"]]);
        hunt.begin();
        hunt.is_calling(LegId(1));
        hunt.rang();
        assert_eq!(hunt.ended(LegId(1), rejected(503)), Step::Over(rejected(503), vec![]));
    }

    #[test]
    fn the_last_server_has_the_last_word() {
        let mut hunt = Hunt::new([vec!["a"], vec!["b"]]);
        hunt.begin();
        hunt.is_calling(LegId(1));
        hunt.ended(LegId(1), nobody());
        hunt.is_calling(LegId(2));
        assert_eq!(hunt.ended(LegId(2), rejected(486)), Step::Over(rejected(486), vec![]));
    }

    #[test]
    fn a_place_that_is_called_in_another_way_has_said_nothing_yet() {
        let mut hunt = Hunt::new([vec!["a"], vec!["b"]]);
        hunt.begin();
        hunt.is_calling(LegId(1));
        hunt.is_called_again(LegId(1), LegId(2));
        assert_eq!(hunt.legs(), [LegId(2)]);
        assert_eq!(hunt.ended(LegId(2), nobody()), Step::Call(vec!["b"]));
    }

    #[test]
    fn the_first_phone_that_answers_has_the_call_and_the_others_stop() {
        let mut hunt = Hunt::new([vec!["desk", "mobile", "cellar"]]);
        assert_eq!(hunt.begin().unwrap().len(), 3);
        for leg in 1..=3 {
            hunt.is_calling(LegId(leg));
        }
        hunt.rang();
        assert_eq!(hunt.ended(LegId(3), nobody()), Step::Wait);
        assert_eq!(hunt.legs(), [LegId(1), LegId(2)]);
        assert_eq!(hunt.answered(LegId(2)), [LegId(1)]);
    }

    #[test]
    fn a_phone_that_is_busy_leaves_the_others_ringing_and_one_that_declines_for_all_does_not() {
        let phones = || {
            let mut hunt = Hunt::new([vec!["desk", "mobile"]]);
            hunt.begin();
            hunt.is_calling(LegId(1));
            hunt.is_calling(LegId(2));
            hunt
        };
        let mut hunt = phones();
        assert_eq!(hunt.ended(LegId(1), rejected(486)), Step::Wait);
        assert_eq!(hunt.ended(LegId(2), nobody()), Step::Over(rejected(486), vec![]));
        let mut hunt = phones();
        assert_eq!(hunt.ended(LegId(1), rejected(603)), Step::Over(rejected(603), vec![LegId(2)]));
    }
}
