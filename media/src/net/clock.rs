//! When a thread wakes: a timer of the kernel's, which a poll waits for. A poll by itself only knows whole milliseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Beyond the time that the timer was set to: should it ever fail, the clock goes on.
const GRACE: Duration = Duration::from_millis(2);
const ALARM: Token = Token(0);
/// Somebody has put a command on the desk.
pub(super) const WAKE: Token = Token(1);

pub(super) struct Clock {
    poll: Poll,
    timer: TimerFd,
    set: Option<Instant>,
    events: Events,
}

impl Clock {
    pub(super) fn new() -> io::Result<Clock> {
        let poll = Poll::new()?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let fd = timer.as_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), ALARM, Interest::READABLE)?;
        Ok(Clock { poll, timer, set: None, events: Events::with_capacity(4) })
    }

    /// Wakes the thread that sleeps by this clock.
    pub(super) fn waker(&self) -> io::Result<mio::Waker> {
        mio::Waker::new(self.poll.registry(), WAKE)
    }

    /// Sleeps until then, or until woken. Says whether there was time to sleep.
    pub(super) fn sleep(&mut self, until: Instant) -> bool {
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return false;
        }
        if self.set != Some(until) {
            let at = Expiration::OneShot(TimeSpec::from_duration(wait));
            // Its edge wakes the poll, so nobody need read it.
            let _ = self.timer.set(at, TimerSetTimeFlags::empty());
            self.set = Some(until);
        }
        // Interrupted by a signal is the only failure, and is as good as being woken.
        let _ = self.poll.poll(&mut self.events, Some(wait + GRACE));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wakes_not_before_the_time_and_earlier_when_woken() {
        let mut clock = Clock::new().expect("a clock");
        for ms in [1, 3, 5] {
            let until = Instant::now() + Duration::from_millis(ms);
            while clock.sleep(until) {}
            assert!(Instant::now() >= until);
        }
        let waker = clock.waker().expect("a waker");
        waker.wake().expect("woken");
        let until = Instant::now() + Duration::from_secs(30);
        assert!(clock.sleep(until));
        assert!(Instant::now() < until);
    }
}
