//! How much of a thread its calls take, and whether there is room for one more.
//!
//! A thread measures, second by second, for how much of the time it works; all the rest it sleeps. If it has no time left to sleep its ticks
//! come late, and every call on it suffers. So a new one is refused while there still is some: what the calls take
//! on average, one more would take too.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is measured at a time.
const WINDOW: Duration = Duration::from_secs(1);
/// With fewer calls than this, an average says nothing.
const TELLING: usize = 10;

/// What a thread tells those who open lines.
#[derive(Default)]
pub(super) struct Load {
    /// Lines that are open or opening.
    pub(super) lines: AtomicUsize,
    /// Of 1,000, lately.
    busy: AtomicU32,
    /// How many lines that was with.
    with: AtomicUsize,
}

impl Load {
    /// Of 1,000.
    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// What it would be with one line more, of 1,000.
    pub(super) fn with_one_more(&self) -> u32 {
        let (busy, with) = (self.busy(), self.with.load(Ordering::Relaxed));
        if with < TELLING {
            return busy;
        }
        let lines = self.lines.load(Ordering::Relaxed) as u64 + 1;
        u32::try_from(u64::from(busy) * lines / with as u64).unwrap_or(u32::MAX)
    }

    fn tell(&self, busy: u32) {
        self.busy.store(busy, Ordering::Relaxed);
        self.with.store(self.lines.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The thread's own account.
pub(super) struct Meter {
    began: Instant,
    worked: Duration,
    last: u32,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        Meter { began: now, worked: Duration::ZERO, last: 0 }
    }

    /// The thread has worked from `since` to `now`.
    pub(super) fn worked(&mut self, since: Instant, now: Instant, load: &Load) {
        self.worked += now.saturating_duration_since(since);
        let lasted = now.saturating_duration_since(self.began);
        if lasted < WINDOW {
            return;
        }
        let busy = (self.worked.as_micros() * 1_000 / lasted.as_micros()).min(1_000) as u32;
        // One second in which somebody else had the processor is no trend; two are.
        load.tell((busy + self.last) / 2);
        self.last = busy;
        self.began = now;
        self.worked = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many seconds in which it works for so many ms of each 5.
    fn work(meter: &mut Meter, now: &mut Instant, load: &Load, seconds: u32, ms: u64) {
        for _ in 0..seconds * 200 {
            let since = *now + Duration::from_millis(5 - ms);
            *now += Duration::from_millis(5);
            meter.worked(since, *now, load);
        }
    }

    #[test]
    fn one_more_is_reckoned_with_at_what_the_others_take() {
        let mut now = Instant::now();
        let (load, mut meter) = (Load::default(), Meter::new(now));
        assert_eq!(load.with_one_more(), 0, "nothing is known yet");
        load.lines.store(100, Ordering::Relaxed);
        work(&mut meter, &mut now, &load, 3, 4);
        assert_eq!((load.busy(), load.with_one_more()), (800, 808));
        // Twenty-four came within a moment: nobody has measured them yet.
        load.lines.store(124, Ordering::Relaxed);
        assert_eq!(load.with_one_more(), 1_000);
        work(&mut meter, &mut now, &load, 3, 5);
        assert_eq!(load.busy(), 1_000);
        // Most have gone.
        load.lines.store(10, Ordering::Relaxed);
        assert!(load.with_one_more() < 100);
    }

    #[test]
    fn a_few_calls_are_no_average_and_one_bad_second_no_trend() {
        let mut now = Instant::now();
        let (load, mut meter) = (Load::default(), Meter::new(now));
        load.lines.store(2, Ordering::Relaxed);
        work(&mut meter, &mut now, &load, 2, 0);
        work(&mut meter, &mut now, &load, 1, 5);
        assert_eq!((load.busy(), load.with_one_more()), (500, 500));
    }
}
