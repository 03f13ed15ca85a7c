//! Outbound calls that wait to be dialled: which of them may be dialled now. A machine without a clock, task or call.
//!
//! Each key has a lane, and a lane is first come, first served. The lanes take turns: who has asked for a thousand calls delays
//! nobody who asks for one. A call begins when its record is on disk, when there is room on the box, when fewer calls are up than
//! the box and the key may have, and when no pace is exceeded. One that found every line of its trunk taken goes back to
//! the head of its lane, and is tried again when some call has ended.
//!
//! What a call is made of is not known here: only its id, and whose it is.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::domain::{CallId, KeyId};

/// No more than `most` beginnings in any stretch of time that is `span` long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    pub most: usize,
    pub span: Duration,
}

/// What outbound calls are held to.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Outbound calls at once, of all keys.
    pub at_once: usize,
    /// … of one key that has no number of its own.
    pub at_once_per_key: usize,
    pub paces: Vec<Pace>,
    pub paces_per_key: Vec<Pace>,
    /// Calls that may wait, of all keys and of one.
    pub waiting: usize,
    pub waiting_per_key: usize,
}

/// No call more can wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Full {
    #[error("{0} calls wait already, as many as may (queue.max_waiting)")]
    Box(usize),
    #[error("{0} calls of this key wait already, as many as may (queue.max_waiting_per_key)")]
    Key(usize),
}

/// Why a call cannot begin at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Hold {
    #[error("all lines of the box are taken")]
    Room,
    #[error("as many outbound calls are up as may be")]
    Lines,
    #[error("as many calls of this key are up as may be")]
    LinesOfKey,
    #[error("calls begin as fast as they may")]
    Pace,
    #[error("calls of this key begin as fast as they may")]
    PaceOfKey,
    #[error("other calls of this key wait")]
    Turn,
}

/// Whose calls they are; `None`: the gateway's own.
type Lane = Option<KeyId>;

struct Waiting {
    id: CallId,
    is_written: bool,
    /// Nothing can carry it before some call has ended.
    is_stuck: bool,
}

/// The last beginnings that a [`Pace`] looks at.
struct Window {
    pace: Pace,
    begun: VecDeque<Instant>,
}

#[derive(Default)]
struct Track {
    waiting: VecDeque<Waiting>,
    up: usize,
    /// As the key says.
    at_once: Option<usize>,
    windows: Vec<Window>,
}

pub(super) struct Queue {
    limits: Limits,
    tracks: HashMap<Lane, Track>,
    /// Those that wait, whose turn it is at the front.
    turns: VecDeque<Lane>,
    waiting: usize,
    /// Calls that have begun and not ended.
    up: HashMap<CallId, Lane>,
    windows: Vec<Window>,
    /// When a pace next lets a call begin that nothing else holds.
    again: Option<Instant>,
}

impl Window {
    fn of(paces: &[Pace]) -> Vec<Self> {
        paces.iter().map(|pace| Self { pace: *pace, begun: VecDeque::new() }).collect()
    }

    fn note(&mut self, now: Instant) {
        self.begun.push_back(now);
        while self.begun.len() > self.pace.most {
            self.begun.pop_front();
        }
    }

    /// When one more may begin.
    fn free_at(&self) -> Option<Instant> {
        let oldest = self.begun.front().filter(|_| self.begun.len() >= self.pace.most);
        oldest.map(|oldest| *oldest + self.pace.span)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.begun.back().is_none_or(|last| *last + self.pace.span <= now)
    }
}

/// When all of them let one more begin; `None`: now, as they have always done.
fn free_at(windows: &[Window]) -> Option<Instant> {
    windows.iter().filter_map(Window::free_at).max()
}

impl Track {
    fn most(&self, limits: &Limits) -> usize {
        self.at_once.unwrap_or(limits.at_once_per_key)
    }

    /// The first one could begin, for all that its lane and its trunk know.
    fn is_ready(&self, limits: &Limits) -> bool {
        let can = |head: &Waiting| head.is_written && !head.is_stuck;
        self.up < self.most(limits) && self.waiting.front().is_some_and(can)
    }
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let windows = Window::of(&limits.paces);
        Self {
            limits,
            tracks: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            up: HashMap::new(),
            windows,
            again: None,
        }
    }

    /// Calls that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a call at the end of its lane. It does not begin before it is [`written`](Self::written). `at_once`: what its key may have.
    pub(super) fn push(&mut self, id: CallId, key: Lane, at_once: Option<usize>) -> Result<(), Full> {
        if self.waiting >= self.limits.waiting {
            return Err(Full::Box(self.waiting));
        }
        let paces = &self.limits.paces_per_key;
        let track = self
            .tracks
            .entry(key.clone())
            .or_insert_with(|| Track { windows: Window::of(paces), ..Track::default() });
        if track.waiting.len() >= self.limits.waiting_per_key {
            return Err(Full::Key(track.waiting.len()));
        }
        track.at_once = at_once;
        if track.waiting.is_empty() {
            self.turns.push_back(key);
        }
        track.waiting.push_back(Waiting { id, is_written: false, is_stuck: false });
        self.waiting += 1;
        Ok(())
    }

    /// The record of a call is on disk.
    pub(super) fn written(&mut self, id: &CallId, key: &Lane) {
        let waiting = self.tracks.get_mut(key).into_iter().flat_map(|track| &mut track.waiting);
        // Records are written in their order, so it is one of the first.
        if let Some(call) = waiting.into_iter().find(|waiting| waiting.id == *id) {
            call.is_written = true;
        }
    }

    /// A call that begun finds no line: it is the first of its lane again, and waits until some call ends.
    pub(super) fn put_back(&mut self, id: CallId) {
        let Some(lane) = self.up.remove(&id) else { return };
        let Some(track) = self.tracks.get_mut(&lane) else { return };
        track.up -= 1;
        if track.waiting.is_empty() {
            self.turns.push_back(lane);
        }
        track.waiting.push_front(Waiting { id, is_written: true, is_stuck: true });
        self.waiting += 1;
    }

    /// A call that waits is not wanted any more. False where it does not wait.
    pub(super) fn remove(&mut self, id: &CallId, key: &Lane) -> bool {
        let Some(track) = self.tracks.get_mut(key) else { return false };
        let Some(at) = track.waiting.iter().position(|waiting| waiting.id == *id) else { return false };
        track.waiting.remove(at);
        self.waiting -= 1;
        if track.waiting.is_empty() {
            self.turns.retain(|lane| lane != key);
        }
        true
    }

    /// A call is over, whether or not it was one of these: a line is free.
    pub(super) fn ended(&mut self, now: Instant, id: &CallId) {
        if let Some(track) = self.up.remove(id).and_then(|lane| self.tracks.get_mut(&lane)) {
            track.up -= 1;
        }
        self.tracks.retain(|_, track| {
            for waiting in &mut track.waiting {
                waiting.is_stuck = false;
            }
            track.up > 0 || !track.waiting.is_empty() || !track.windows.iter().all(|w| w.is_idle(now))
        });
    }

    /// Why a call of this key could not begin now, if it were the next; `room`: lines of the box that are free.
    pub(super) fn hold(&self, now: Instant, key: &Lane, at_once: Option<usize>, room: usize) -> Option<Hold> {
        let is_late = |windows: &[Window]| free_at(windows).is_some_and(|at| at > now);
        let track = self.tracks.get(key);
        let up = track.map_or(0, |track| track.up);
        if room == 0 {
            Some(Hold::Room)
        } else if self.up.len() >= self.limits.at_once {
            Some(Hold::Lines)
        } else if up >= at_once.unwrap_or(self.limits.at_once_per_key) {
            Some(Hold::LinesOfKey)
        } else if is_late(&self.windows) {
            Some(Hold::Pace)
        } else if track.is_some_and(|track| is_late(&track.windows)) {
            Some(Hold::PaceOfKey)
        } else if track.is_some_and(|track| !track.waiting.is_empty()) {
            Some(Hold::Turn)
        } else {
            None
        }
    }

    /// The next call that may begin; from then on it counts as one that is up. `room`: lines of the box that are free.
    pub(super) fn poll(&mut self, now: Instant, room: usize) -> Option<CallId> {
        self.again = None;
        if room == 0 || self.up.len() >= self.limits.at_once {
            return None;
        }
        let of_box = free_at(&self.windows);
        for _ in 0..self.turns.len() {
            let lane = self.turns.pop_front()?;
            let Some(track) = self.tracks.get_mut(&lane) else { continue };
            let free_at = of_box.max(free_at(&track.windows));
            if !track.is_ready(&self.limits) {
                self.turns.push_back(lane);
            } else if let Some(at) = free_at.filter(|at| *at > now) {
                self.again = Some(self.again.map_or(at, |again| again.min(at)));
                self.turns.push_back(lane);
            } else {
                let call = track.waiting.pop_front()?;
                track.up += 1;
                self.waiting -= 1;
                self.windows.iter_mut().chain(&mut track.windows).for_each(|window| window.note(now));
                self.up.insert(call.id.clone(), lane.clone());
                if !track.waiting.is_empty() {
                    self.turns.push_back(lane);
                }
                return Some(call.id);
            }
        }
        None
    }

    /// When to [`poll`](Self::poll) again, although nothing happens before: a pace has gone by then. Of the time of the last poll.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(n: u8) -> CallId {
        CallId::from_random([n; 10])
    }

    fn key(n: u8) -> Lane {
        Some(KeyId::from_random([n; 10]))
    }

    fn limits() -> Limits {
        Limits {
            at_once: 100,
            at_once_per_key: 100,
            paces: Vec::new(),
            paces_per_key: Vec::new(),
            waiting: 1000,
            waiting_per_key: 1000,
        }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn waits(queue: &mut Queue, n: u8, of: u8) {
        queue.push(call(n), key(of), None).unwrap();
        queue.written(&call(n), &key(of));
    }

    fn all(queue: &mut Queue, now: Instant, room: usize) -> Vec<CallId> {
        let mut found = Vec::new();
        while let Some(id) = queue.poll(now, room - found.len()) {
            found.push(id);
        }
        found
    }

    #[test]
    fn keys_take_turns_and_each_keeps_its_order() {
        let (mut queue, now) = (Queue::new(limits()), Instant::now());
        for n in 1..=4 {
            waits(&mut queue, n, 1);
        }
        waits(&mut queue, 10, 2);
        waits(&mut queue, 20, 3);
        assert_eq!(all(&mut queue, now, 9), [1, 10, 20, 2, 3, 4].map(call));
        assert_eq!((queue.waiting(), queue.poll_timeout()), (0, None));
    }

    #[test]
    fn nothing_begins_before_it_is_written() {
        let (mut queue, now) = (Queue::new(limits()), Instant::now());
        queue.push(call(1), key(1), None).unwrap();
        waits(&mut queue, 2, 1);
        assert_eq!(queue.poll(now, 9), None, "the second does not overtake the first");
        queue.written(&call(1), &key(1));
        assert_eq!(all(&mut queue, now, 9), [1, 2].map(call));
    }

    #[test]
    fn no_more_are_up_than_box_and_key_may_have() {
        let mut queue = Queue::new(Limits { at_once: 3, at_once_per_key: 2, ..limits() });
        let now = Instant::now();
        for n in 1..=3 {
            waits(&mut queue, n, 1);
        }
        for n in 11..=13 {
            waits(&mut queue, n, 2);
        }
        assert_eq!(all(&mut queue, now, 1), [1].map(call), "there is one line");
        assert_eq!(all(&mut queue, now, 9), [11, 2].map(call));
        assert_eq!(queue.hold(now, &key(3), None, 9), Some(Hold::Lines));
        queue.ended(now, &call(11));
        assert_eq!(queue.hold(now, &key(1), None, 9), Some(Hold::LinesOfKey));
        assert_eq!(all(&mut queue, now, 9), [12].map(call), "the first key has its two");
        queue.ended(now, &call(1));
        queue.ended(now, &call(1));
        assert_eq!(all(&mut queue, now, 9), [3].map(call), "it was the turn of the first");
        queue.ended(now, &call(2));
        assert_eq!(all(&mut queue, now, 9), [13].map(call));
    }

    #[test]
    fn a_key_may_have_a_number_of_its_own() {
        let (mut queue, now) = (Queue::new(limits()), Instant::now());
        for n in 1..=2 {
            queue.push(call(n), key(1), Some(1)).unwrap();
            queue.written(&call(n), &key(1));
        }
        assert_eq!(all(&mut queue, now, 9), [1].map(call));
        assert_eq!(queue.hold(now, &key(1), Some(1), 9), Some(Hold::LinesOfKey));
    }

    #[test]
    fn calls_begin_no_faster_than_the_paces_say() {
        let minute = Pace { most: 3, span: seconds(60) };
        let second = Pace { most: 1, span: seconds(1) };
        let mut queue = Queue::new(Limits { paces: vec![second], paces_per_key: vec![minute], ..limits() });
        let start = Instant::now();
        for n in 1..=5 {
            waits(&mut queue, n, 1);
        }
        let mut begun = Vec::new();
        let mut now = start;
        loop {
            match queue.poll(now, 9) {
                Some(_) => begun.push((now - start).as_secs()),
                None => match queue.poll_timeout() {
                    Some(at) => now = at,
                    None => break,
                },
            }
        }
        assert_eq!(begun, [0, 1, 2, 60, 61]);
        assert_eq!(queue.hold(now, &key(2), None, 9), Some(Hold::Pace));
        assert_eq!(queue.hold(now + seconds(2), &key(2), None, 9), None);
    }

    #[test]
    fn what_found_no_line_is_the_first_again_when_a_call_has_ended() {
        let (mut queue, now) = (Queue::new(limits()), Instant::now());
        waits(&mut queue, 1, 1);
        waits(&mut queue, 2, 1);
        assert_eq!(queue.poll(now, 9), Some(call(1)));
        queue.put_back(call(1));
        assert_eq!((queue.poll(now, 9), queue.poll_timeout()), (None, None));
        queue.ended(now, &call(99));
        assert_eq!(all(&mut queue, now, 9), [1, 2].map(call));
    }

    #[test]
    fn a_full_queue_says_whose_it_is() {
        let mut queue = Queue::new(Limits { waiting: 3, waiting_per_key: 2, ..limits() });
        for n in 1..=2 {
            waits(&mut queue, n, 1);
        }
        assert_eq!(queue.push(call(3), key(1), None), Err(Full::Key(2)));
        waits(&mut queue, 4, 2);
        assert_eq!(queue.push(call(5), key(3), None), Err(Full::Box(3)));
        assert!(queue.remove(&call(1), &key(1)));
        assert!(!queue.remove(&call(1), &key(1)), "once");
        queue.push(call(5), key(3), None).unwrap();
    }

    proptest! {
        /// Whatever happens: nothing begins twice, nothing that was taken back begins, no limit is exceeded, and all that
        /// is left begins when everything has ended.
        #[test]
        fn the_laws_hold_in_every_world(steps in prop::collection::vec((0..6u8, 0..3u8, 0..4u64), 1..200)) {
            let pace = Pace { most: 5, span: seconds(10) };
            let limits = Limits { at_once: 4, at_once_per_key: 2, paces: vec![pace], ..limits() };
            let mut queue = Queue::new(limits);
            let mut now = Instant::now();
            let (mut next, mut up, mut waiting, mut begun) = (0u8, Vec::new(), Vec::new(), Vec::new());
            for (what, of, time) in steps {
                now += seconds(time);
                match what {
                    0 | 1 if next < 200 => {
                        next += 1;
                        waits(&mut queue, next, of);
                        waiting.push((next, of));
                    }
                    2 if !waiting.is_empty() => {
                        let (n, of) = waiting.swap_remove(usize::from(of) % waiting.len());
                        prop_assert!(queue.remove(&call(n), &key(of)));
                    }
                    3 if !up.is_empty() => {
                        let (id, _) = up.swap_remove(usize::from(of) % up.len());
                        queue.ended(now, &id);
                    }
                    _ => {}
                }
                while let Some(id) = queue.poll(now, 9) {
                    let at = waiting.iter().position(|(n, _)| call(*n) == id);
                    let (_, of) = waiting.remove(at.expect("it waited"));
                    up.push((id, of));
                    begun.push(now);
                }
                prop_assert!(up.len() <= 4);
                for of in 0..3 {
                    prop_assert!(up.iter().filter(|(_, whose)| *whose == of).count() <= 2);
                }
                for window in begun.windows(6) {
                    prop_assert!(window[5] >= window[0] + seconds(10));
                }
                prop_assert_eq!(queue.waiting(), waiting.len());
            }
            while !waiting.is_empty() {
                for (id, _) in up.drain(..) {
                    queue.ended(now, &id);
                }
                now += seconds(10);
                while let Some(id) = queue.poll(now, 9) {
                    waiting.retain(|(n, _)| call(*n) != id);
                    up.push((id, 0));
                }
                prop_assert!(!up.is_empty(), "something begins");
            }
        }
    }
}
