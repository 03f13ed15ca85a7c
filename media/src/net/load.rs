//! How much of a thread its calls take, and whether there is room for one more.
//!
//! A thread measures, second by second, for how much of the time it works; all the rest it sleeps. If it has no time left to sleep its ticks
//! come late, and every call on it suffers. So a new one is refused while there still is some: what the calls take
//! on average, one more would take too.
//!
//! Who has just come has not been measured: nobody speaks yet, and the measure is the mean of two seconds. A hundred new calls in a second would all
//! be in before it rose. So for their first seconds calls are reckoned at what is *dear*: what calls have been seen to take, and a quarter more; and
//! until that has been seen, at [`UNSEEN`]. A flood is let in as far as there surely is room for it, and further as it turns out to take less.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is measured at a time.
const WINDOW: Duration = Duration::from_secs(1);
/// With fewer calls than this, an average says nothing.
const TELLING: usize = 10;
/// A call is new for so many windows: it was greeted and has answered, and the mean of two windows knows it.
const NEW: usize = 5;
/// What a call is thought to take before any was measured, of a million: G.711 takes 1,200 to 1,600 on an ordinary machine where both sides speak without end.
const UNSEEN: u32 = 2_500;
/// And never less than this, however still the calls have been.
const LEAST: u32 = 500;
/// What was seen counts less by such a part in each window in which less is seen.
const FADING: u32 = 16;

/// What a thread tells those who open lines.
pub(super) struct Load {
    /// Lines that are open or opening.
    lines: AtomicUsize,
    /// All that ever were, and how many these were [`NEW`] windows ago.
    opened: AtomicUsize,
    settled: AtomicUsize,
    /// Of 1,000, lately.
    busy: AtomicU32,
    /// What a line takes, of a million: those that were heard lately, and those that are new.
    each: AtomicU32,
    dear: AtomicU32,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            lines: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            busy: AtomicU32::new(0),
            each: AtomicU32::new(0),
            dear: AtomicU32::new(UNSEEN),
        }
    }
}

impl Load {
    /// Lines that are open or opening.
    pub(super) fn lines(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }

    pub(super) fn comes(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn goes(&self) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
    }

    /// Of 1,000.
    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// What it would be with one line more, of 1,000.
    pub(super) fn with_one_more(&self) -> u32 {
        let lines = self.lines();
        let new = self.new_of(lines);
        let each = u64::from(self.each.load(Ordering::Relaxed));
        let dear = u64::from(self.dear.load(Ordering::Relaxed)).max(each);
        // Of a few calls there is no average: whatever the thread does, it does anyway.
        let old = if each == 0 { u64::from(self.busy()) * 1_000 } else { each * (lines - new) as u64 };
        u32::try_from((old + (new as u64 + 1) * dear) / 1_000).unwrap_or(u32::MAX)
    }

    /// How many of so many lines are new: those that go are the old ones, as far as anybody knows.
    fn new_of(&self, lines: usize) -> usize {
        let (opened, settled) = (self.opened.load(Ordering::Relaxed), self.settled.load(Ordering::Relaxed));
        opened.wrapping_sub(settled).min(lines)
    }

    /// Takes what was measured, and how many lines had been opened [`NEW`] windows ago.
    fn tell(&self, busy: u32, settled: usize) {
        let lines = self.lines();
        self.busy.store(busy, Ordering::Relaxed);
        self.settled.store(settled, Ordering::Relaxed);
        if lines < TELLING {
            return self.each.store(0, Ordering::Relaxed);
        }
        let new = self.new_of(lines);
        // Half of what the others take, the new ones did: they have not all been talking.
        let each = u32::try_from(u64::from(busy) * 2_000 / (2 * lines - new) as u64).unwrap_or(u32::MAX);
        self.each.store(each, Ordering::Relaxed);
        let each = each.saturating_add(each / 4).max(LEAST);
        let dear = self.dear.load(Ordering::Relaxed);
        // That it is more is believed at once; that it is less only of calls of which most have been heard speak.
        if each > dear {
            self.dear.store(each, Ordering::Relaxed);
        } else if new * 4 <= lines {
            self.dear.store(dear - (dear - each).div_ceil(FADING), Ordering::Relaxed);
        }
    }
}

/// The thread's own account.
pub(super) struct Meter {
    began: Instant,
    worked: Duration,
    last: u32,
    /// How many lines had been opened at the ends of the last windows, the oldest first.
    opened: [usize; NEW],
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        Meter { began: now, worked: Duration::ZERO, last: 0, opened: [0; NEW] }
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
        load.tell((busy + self.last) / 2, self.opened[0]);
        self.opened.copy_within(1.., 0);
        self.opened[NEW - 1] = load.opened.load(Ordering::Relaxed);
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

    fn come(load: &Load, lines: usize) {
        (0..lines).for_each(|_| load.comes());
    }

    #[test]
    fn one_more_is_reckoned_with_at_what_the_others_take() {
        let mut now = Instant::now();
        let (load, mut meter) = (Load::default(), Meter::new(now));
        assert_eq!(load.with_one_more(), 2, "nothing is known yet");
        come(&load, 100);
        work(&mut meter, &mut now, &load, 200, 4);
        // A quarter more than each of the others, as it is new.
        assert_eq!((load.busy(), load.with_one_more()), (800, 810));
        // Twenty-four came within a moment: nobody has measured them yet.
        come(&load, 24);
        assert_eq!(load.with_one_more(), 1_050);
        work(&mut meter, &mut now, &load, 8, 5);
        assert_eq!(load.busy(), 1_000);
        // Most have gone.
        (0..114).for_each(|_| load.goes());
        assert!(load.with_one_more() < 100, "{}", load.with_one_more());
    }

    #[test]
    fn a_few_calls_are_no_average_and_one_bad_second_no_trend() {
        let mut now = Instant::now();
        let (load, mut meter) = (Load::default(), Meter::new(now));
        come(&load, 2);
        work(&mut meter, &mut now, &load, 6, 0);
        work(&mut meter, &mut now, &load, 1, 5);
        assert_eq!((load.busy(), load.with_one_more()), (500, 502));
    }

    /// A thread whose calls take a third of `each` (of a million) at first and then, one after the other, all of it; and who opens lines as long as it
    /// has time for them.
    struct Machine {
        load: Load,
        meter: Meter,
        now: Instant,
        each: u64,
        /// Slots of 5 ms that calls have been there for.
        ages: Vec<u64>,
        /// Opened, and the most that the thread worked, of 1,000.
        busiest: u64,
    }

    impl Machine {
        fn new(each: u64) -> Machine {
            let now = Instant::now();
            let (load, meter) = (Load::default(), Meter::new(now));
            Machine { load, meter, now, each, ages: Vec::new(), busiest: 0 }
        }

        /// So many want to come in each second; says how many were let in.
        fn flood(&mut self, seconds: u64, a_second: u64) -> usize {
            let before = self.ages.len();
            for slot in 0..seconds * 200 {
                let due = (slot + 1) * a_second / 200 - slot * a_second / 200;
                for _ in 0..due {
                    if self.load.with_one_more() <= 800 {
                        self.load.comes();
                        self.ages.push(0);
                    }
                }
                // From one second to five.
                let begins = |call: usize| 200 + call as u64 * 37 % 800;
                let takes = self.ages.iter().enumerate().map(|(call, &age)| match age < begins(call) {
                    true => self.each / 3,
                    false => self.each,
                });
                let busy: u64 = takes.sum();
                self.busiest = self.busiest.max(busy / 1_000);
                let worked = Duration::from_nanos((busy * 5).min(5_000_000));
                let since = self.now + Duration::from_millis(5) - worked;
                self.now += Duration::from_millis(5);
                self.meter.worked(since, self.now, &self.load);
                self.ages.iter_mut().for_each(|age| *age += 1);
            }
            self.ages.len() - before
        }
    }

    #[test]
    fn a_flood_is_let_in_as_far_as_there_is_time_for_it() {
        for (each, there_is_room_for) in [(1_000, 800), (1_500, 533), (2_400, 333)] {
            let mut machine = Machine::new(each);
            let at_once = machine.flood(10, 100);
            assert!(machine.busiest <= 810, "{each}: {}", machine.busiest);
            assert!(at_once >= 290, "{each}: {at_once} let in");
            // And soon all for whom there is room.
            let later = machine.flood(50, 20);
            assert!(machine.busiest <= 810, "{each}: {}", machine.busiest);
            assert!(at_once + later >= there_is_room_for * 19 / 20, "{each}: {at_once} and {later}");
        }
    }

    #[test]
    fn where_there_is_time_nobody_is_refused() {
        let mut machine = Machine::new(1_200);
        assert_eq!(machine.flood(1, 200), 200, "a burst");
        let mut machine = Machine::new(1_200);
        assert_eq!(machine.flood(60, 8), 480, "as they usually come");
    }

    #[test]
    fn what_was_seen_to_be_dear_is_reckoned_with() {
        // Twenty calls, each as dear as three.
        let mut machine = Machine::new(4_800);
        machine.flood(30, 1);
        let before = machine.busiest;
        assert!(before < 150, "{before}");
        machine.flood(10, 100);
        assert!(machine.busiest <= 810, "{}", machine.busiest);
    }
}
