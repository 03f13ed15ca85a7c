//! Real peers and a real gateway, for tests that read as stories.
//!
//! Everything runs on loopback, in folders and on ports of its own, and ends with the value that stands for it. A test
//! waits for what it needs (a line, an event, a packet, an exit) with a deadline, and for nothing else.

pub(crate) mod baresip;
pub(crate) mod brain;
pub(crate) mod fidelity;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod kamailio;
pub(crate) mod line;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod rtp;
pub(crate) mod sipp;
pub(crate) mod speech;
pub(crate) mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Signalling on loopback: far more than it ever needs, even beside a compiler.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A spoken turn: hearing, thinking, speaking.
pub(crate) const A_TURN: Duration = Duration::from_secs(60);

/// Speech in real time wants the machine to itself: who holds this is the only test that runs, however the tests were
/// started. A test that failed while it held it does not fail the others.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static BENCH: Mutex<()> = Mutex::new(());
    BENCH.lock().unwrap_or_else(PoisonError::into_inner)
}
