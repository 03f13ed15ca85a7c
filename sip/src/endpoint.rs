//! The user agent as one state machine.

use std::time::{Duration, Instant};

use crate::config::{Admission, Config, Path};
use crate::event::{
    Body, Event, Invite, LegId, ReasonHeader, Register, RegistrationId, Reject, Stats, Transmit,
};

#[derive(Debug)]
pub struct Endpoint {
    _config: Config,
}

#[allow(unused_variables)]
impl Endpoint {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self { _config: config }
    }
    pub fn handle_message(&mut self, now: Instant, path: Path, bytes: &[u8]) {}
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn register(&mut self, now: Instant, register: Register) -> RegistrationId {
        RegistrationId(0)
    }
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {}
    pub fn invite(&mut self, now: Instant, invite: Invite) -> LegId {
        LegId(0)
    }
    pub fn ring(&mut self, now: Instant, leg: LegId, status: u16, body: Option<Body>) {}
    pub fn answer(&mut self, now: Instant, leg: LegId, body: Body) {}
    pub fn reject(&mut self, now: Instant, leg: LegId, reject: Reject) {}
    pub fn accept_offer(&mut self, now: Instant, leg: LegId, body: Body) {}
    pub fn refuse_offer(&mut self, now: Instant, leg: LegId, status: u16) {}
    pub fn reoffer(&mut self, now: Instant, leg: LegId, body: Option<Body>) {}
    pub fn send_dtmf(&mut self, now: Instant, leg: LegId, digit: char, duration: Duration) {}
    pub fn hangup(&mut self, now: Instant, leg: LegId, reason: Option<ReasonHeader>) {}
    pub fn set_admission(&mut self, admission: Admission) {}
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
