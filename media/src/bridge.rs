//! Calls joined: what one session has heard goes to the peer of another.
//!
//! ```text
//!   peer A ──RTP──► session A ──poll_passed()──► feed() session B ──RTP──► peer B     and the same the other way
//! ```
//!
//! A session has a few legs. The first is the bridge, the other end of a call; the rest are for those who listen in, or speak to one side. What
//! a leg passes on is its [`Tap`]: nothing, the peer's voice, or both sides of the call without what came by that leg itself. What comes by the legs
//! is mixed with what is being played.
//!
//! What passes is decoded sound, 20 ms per tick, after the jitter buffer and concealment of the side that heard it; so codecs and packet
//! lengths may differ, and a lost packet is mended once. Over the bridge keys pass as names, each when it was released, and are pressed anew towards
//! the other peer in the way that was agreed with it.
//!
//! Sessions tick every 20 ms by the same clock, but not at the same moment: between threads one may come late. A frame that is not
//! there yet is made up like a lost packet, and from then on one more waits in the queue, so the same lateness does no harm
//! again. Where for seconds at least one frame was left over, one is taken out, in a quiet moment if there is one.

use std::collections::VecDeque;

use crate::conceal::Concealer;
use crate::dtmf::MAX_QUEUED_DIGITS;
use crate::mix::{self, Limiter};
use crate::rate::{Converter, Rate, Sound};
use crate::{FRAME, Stats};

/// Legs of a session: the bridge, and three who attend.
pub const LEGS: usize = 4;
/// Frames that may wait for the tick: 160 ms.
const CAPACITY: usize = 8;
/// So many ticks in a row with a frame left over: it is one too many, 5 s.
const SPARE: u32 = 250;
/// Then it goes as soon as it is quiet, and after so many ticks more in any case.
const GRACE: u32 = 100;
/// The loudest sample of a frame whose loss is not heard.
const QUIET: u16 = 200;
/// Missing frames in a row after which the other side counts as silent (on hold) rather than late.
const GONE: u32 = 4;

/// What a session gives by a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tap {
    #[default]
    Nothing,
    /// What the peer says.
    Voice,
    /// What the peer says and what it hears, without what came by this very leg.
    Both,
}

/// What goes from one session to the other in a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// 20 ms, at the rate of the session that heard it.
    pub pcm: Sound,
    /// A key that the peer has released.
    pub digit: Option<char>,
}

/// The legs of a session, and what of them is heard in a tick.
pub(crate) struct Legs {
    rate: Rate,
    legs: [Option<Box<Leg>>; LEGS],
    /// Keys that have not gone over the bridge yet.
    keys: VecDeque<char>,
    limiter: Limiter,
    /// What is played and what came by the legs, before it is made to fit.
    sum: [i32; FRAME],
    /// `sum` is what the peer hears in this tick.
    mixed: bool,
}

struct Leg {
    tap: Tap,
    passed: Option<Passed>,
    feed: Feed,
    /// What came by it for this tick, if something did.
    frame: Sound,
    sounds: bool,
    limiter: Limiter,
}

impl Legs {
    pub(crate) fn new() -> Self {
        Legs {
            rate: Rate::Narrow,
            legs: [const { None }; LEGS],
            keys: VecDeque::with_capacity(MAX_QUEUED_DIGITS),
            limiter: Limiter::new(),
            sum: [0; FRAME],
            mixed: false,
        }
    }

    /// The session's rate has become another one. What waits in the legs is dropped.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        if self.rate != rate {
            self.rate = rate;
            self.legs.iter_mut().flatten().for_each(|leg| leg.set_rate(rate));
        }
    }

    /// Whether the peer talks with another peer.
    pub(crate) fn are_bridged(&self) -> bool {
        self.legs[0].is_some()
    }

    /// Makes a leg, anew where there is one, or takes it away.
    pub(crate) fn set(&mut self, leg: usize, tap: Option<Tap>) {
        if let Some(place) = self.legs.get_mut(leg) {
            *place = tap.map(|tap| Box::new(Leg::new(tap, self.rate)));
        }
        if leg == 0 {
            self.keys.clear();
        }
    }

    /// What a leg passes on from here on; what comes by it goes on.
    pub(crate) fn tap(&mut self, leg: usize, tap: Tap) {
        if let Some(leg) = self.at(leg) {
            leg.tap = tap;
        }
    }

    fn at(&mut self, leg: usize) -> Option<&mut Leg> {
        self.legs.get_mut(leg)?.as_deref_mut()
    }

    /// The peer has released a key.
    pub(crate) fn key(&mut self, key: char) {
        if self.are_bridged() && self.keys.len() < MAX_QUEUED_DIGITS {
            self.keys.push_back(key);
        }
    }

    /// Takes what another session has passed. False where there is no such leg.
    pub(crate) fn feed(&mut self, leg: usize, passed: &Passed, stats: &mut Stats) -> bool {
        let leg = self.at(leg);
        let taken = leg.is_some();
        if let Some(leg) = leg {
            leg.feed.push(passed.pcm, stats);
        }
        taken
    }

    /// A tick begins: takes what is due of each leg. In any case, as what the peer does not get, because it holds or a key is pressed, must
    /// not wait.
    pub(crate) fn pull(&mut self, stats: &mut Stats) {
        self.mixed = false;
        for leg in self.legs.iter_mut().flatten() {
            leg.passed = None;
            leg.sounds = leg.feed.pull(&mut leg.frame, stats);
        }
    }

    /// Adds what came by the legs to what is played.
    pub(crate) fn mix(&mut self, ours: &mut Sound) {
        if self.legs.iter().all(Option::is_none) {
            return;
        }
        self.mixed = true;
        let sum = &mut self.sum[..ours.len()];
        sum.fill(0);
        mix::add(sum, ours);
        for leg in self.legs.iter().flatten().filter(|leg| leg.sounds) {
            mix::add(sum, &leg.frame);
        }
        self.limiter.limit(sum, ours);
    }

    /// A tick ends: `theirs` is what the peer said, where it is heard, and `ours` what it was sent.
    pub(crate) fn pass(&mut self, theirs: Option<&Sound>, ours: &Sound, stats: &mut Stats) {
        let keys = &mut self.keys;
        for (index, leg) in self.legs.iter_mut().enumerate() {
            let Some(leg) = leg else { continue };
            let pcm = match leg.tap {
                Tap::Nothing => None,
                Tap::Voice => theirs.copied(),
                Tap::Both => {
                    let mut both = [0; FRAME];
                    if self.mixed {
                        both = self.sum;
                        if leg.sounds {
                            mix::subtract(&mut both, &leg.frame);
                        }
                    } else {
                        mix::add(&mut both, ours);
                    }
                    if let Some(theirs) = theirs {
                        mix::add(&mut both, theirs);
                    }
                    let mut pcm = Sound::silence(ours.rate());
                    leg.limiter.limit(&both[..ours.len()], &mut pcm);
                    Some(pcm)
                }
            };
            if let Some(pcm) = pcm {
                let digit = if index == 0 { keys.pop_front() } else { None };
                leg.passed = Some(Passed { pcm, digit });
                stats.bridge_passed += 1;
            }
        }
    }

    /// What the last tick has for the session at the other end of a leg.
    pub(crate) fn take_passed(&mut self, leg: usize) -> Option<Passed> {
        self.at(leg)?.passed.take()
    }
}

impl Leg {
    fn new(tap: Tap, rate: Rate) -> Self {
        Leg {
            tap,
            passed: None,
            feed: Feed::new(rate),
            frame: Sound::silence(rate),
            sounds: false,
            limiter: Limiter::new(),
        }
    }

    fn set_rate(&mut self, rate: Rate) {
        self.feed = Feed::new(rate);
        self.frame = Sound::silence(rate);
    }
}

/// What waits to be sent on behalf of the other session.
struct Feed {
    /// At our rate.
    frames: VecDeque<Sound>,
    rate: Rate,
    converter: Converter,
    concealer: Concealer,
    /// Ticks in a row with nothing to send.
    dry: u32,
    /// Ticks in a row after which something was left.
    spare: u32,
}

impl Feed {
    fn new(rate: Rate) -> Self {
        Feed {
            frames: VecDeque::with_capacity(CAPACITY),
            rate,
            converter: Converter::new(),
            concealer: Concealer::new(rate.hz()),
            dry: GONE,
            spare: 0,
        }
    }

    fn push(&mut self, frame: Sound, stats: &mut Stats) {
        if self.frames.len() == CAPACITY {
            self.frames.pop_front();
            stats.bridge_dropped += 1;
        }
        let frame = self.converter.convert(&frame, self.rate);
        self.frames.push_back(frame);
    }

    /// The sound of this tick. False: there is none, and the frame is as it was.
    fn pull(&mut self, frame: &mut Sound, stats: &mut Stats) -> bool {
        let Some(theirs) = self.frames.pop_front() else {
            self.dry = self.dry.saturating_add(1);
            self.spare = 0;
            if self.dry > GONE {
                self.concealer.silence();
                return false;
            }
            stats.bridge_missed += 1;
            self.concealer.lost(frame);
            return true;
        };
        self.dry = 0;
        *frame = theirs;
        self.concealer.received(frame);
        stats.bridge_sent += 1;
        self.shorten(stats);
        true
    }

    /// Loses the delay that has not been needed for long.
    fn shorten(&mut self, stats: &mut Stats) {
        let Some(next) = self.frames.front() else {
            self.spare = 0;
            return;
        };
        self.spare += 1;
        let quiet = next.iter().all(|sample| sample.unsigned_abs() <= QUIET);
        if self.spare >= SPARE && quiet || self.spare >= SPARE + GRACE {
            self.frames.pop_front();
            self.spare = 0;
            stats.bridge_dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last sample of a frame.
    const LAST: usize = 159;

    fn constant(sample: i16) -> Sound {
        Sound::new(Rate::Narrow, &[sample; 160])
    }

    fn pull(feed: &mut Feed, stats: &mut Stats) -> i16 {
        let mut frame = Sound::silence(Rate::Narrow);
        feed.pull(&mut frame, stats);
        frame[LAST]
    }

    #[test]
    fn a_frame_that_comes_late_costs_one_frame_of_delay_and_not_for_ever() {
        let (mut feed, mut stats) = (Feed::new(Rate::Narrow), Stats::default());
        let mut sent = 0;
        let mut push = |feed: &mut Feed, stats: &mut Stats| {
            sent += 1;
            feed.push(constant(sent * 10), stats);
            sent * 10
        };
        for _ in 0..10 {
            let newest = push(&mut feed, &mut stats);
            assert_eq!(pull(&mut feed, &mut stats), newest, "nothing waits");
        }
        pull(&mut feed, &mut stats);
        assert_eq!(stats.bridge_missed, 1);
        push(&mut feed, &mut stats);
        let mut newest = push(&mut feed, &mut stats);
        pull(&mut feed, &mut stats);
        for _ in 0..SPARE - 2 {
            newest = push(&mut feed, &mut stats);
            assert_eq!(pull(&mut feed, &mut stats), newest - 10, "one waits");
        }
        for _ in 0..GRACE + 3 {
            newest = push(&mut feed, &mut stats);
            pull(&mut feed, &mut stats);
        }
        assert_eq!(stats.bridge_dropped, 1);
        assert_eq!((newest, feed.frames.len()), (sent * 10, 0));
    }

    #[test]
    fn who_falls_silent_is_not_made_up_for_long_and_a_flood_is_bounded() {
        let (mut feed, mut stats) = (Feed::new(Rate::Narrow), Stats::default());
        assert_eq!(pull(&mut feed, &mut stats), 0);
        feed.push(constant(1_000), &mut stats);
        for _ in 0..50 {
            pull(&mut feed, &mut stats);
        }
        assert_eq!((stats.bridge_missed, pull(&mut feed, &mut stats)), (u64::from(GONE), 0));
        for _ in 0..20 {
            feed.push(constant(1), &mut stats);
        }
        assert_eq!((feed.frames.len(), stats.bridge_dropped), (CAPACITY, 12));
    }

    fn loud() -> Sound {
        constant(9_000)
    }

    /// A tick: what came by the legs `fed`, `theirs` heard, `ours` played. What the peer hears, and what each leg passes on.
    fn tick(legs: &mut Legs, fed: &[(usize, i16)], theirs: i16, ours: i16) -> (i16, [Option<i16>; LEGS]) {
        let mut stats = Stats::default();
        for &(leg, sample) in fed {
            assert!(legs.feed(leg, &Passed { pcm: constant(sample), digit: None }, &mut stats));
        }
        legs.pull(&mut stats);
        let mut ours = constant(ours);
        legs.mix(&mut ours);
        legs.pass(Some(&constant(theirs)), &ours, &mut stats);
        let passed = std::array::from_fn(|leg| legs.take_passed(leg).map(|passed| passed.pcm[LAST]));
        (ours[LAST], passed)
    }

    #[test]
    fn each_leg_gives_what_it_may_and_never_what_came_by_it() {
        let mut legs = Legs::new();
        assert_eq!(tick(&mut legs, &[], 1_000, 100), (100, [None; LEGS]), "alone");
        legs.set(0, Some(Tap::Voice));
        legs.set(1, Some(Tap::Both));
        legs.set(3, Some(Tap::Nothing));
        assert!(!legs.feed(2, &Passed { pcm: loud(), digit: None }, &mut Stats::default()));
        assert!(!legs.feed(LEGS, &Passed { pcm: loud(), digit: None }, &mut Stats::default()));
        // The peer says 1,000, is played 100, hears 10 by the bridge, 5 from who listens and speaks, 2 from who speaks only.
        let (heard, passed) = tick(&mut legs, &[(0, 10), (1, 5), (3, 2)], 1_000, 100);
        assert_eq!((heard, passed), (117, [Some(1_000), Some(1_112), None, None]));
        legs.tap(1, Tap::Voice);
        let (heard, passed) = tick(&mut legs, &[(0, 10), (1, 5), (3, 2)], 1_000, 100);
        assert_eq!((heard, passed), (117, [Some(1_000), Some(1_000), None, None]));
        legs.set(0, None);
        legs.set(3, None);
        assert_eq!(tick(&mut legs, &[(1, 5)], 1_000, 100), (105, [None, Some(1_000), None, None]));
    }

    #[test]
    fn keys_go_over_the_bridge_alone() {
        let (mut legs, mut stats) = (Legs::new(), Stats::default());
        legs.key('1');
        legs.set(0, Some(Tap::Voice));
        legs.set(1, Some(Tap::Both));
        legs.key('2');
        legs.pull(&mut stats);
        legs.pass(Some(&loud()), &loud(), &mut stats);
        assert_eq!(legs.take_passed(1).map(|passed| passed.digit), Some(None));
        assert_eq!(legs.take_passed(0).and_then(|passed| passed.digit), Some('2'));
    }
}
