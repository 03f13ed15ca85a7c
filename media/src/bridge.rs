//! Two calls joined: what one session has heard goes to the peer of the other.
//!
//! ```text
//!   peer A ──RTP──► session A ──poll_passed()──► feed() session B ──RTP──► peer B     and the same the other way
//! ```
//!
//! What passes is decoded sound, 20 ms per tick, after the jitter buffer and concealment of the side that heard it; so codecs and packet
//! lengths may differ, and a lost packet is mended once. Keys pass as names, each when it was released, and are pressed anew towards the
//! other peer in the way that was agreed with it.
//!
//! Both sessions tick every 20 ms by the same clock, but not at the same moment: between threads one may come late. A frame that is not
//! there yet is made up like a lost packet, and from then on one more waits in the queue, so the same lateness does no harm
//! again. Where for seconds at least one frame was left over, one is taken out, in a quiet moment if there is one.

use std::collections::VecDeque;

use crate::Stats;
use crate::conceal::Concealer;
use crate::rate::{Converter, Rate, Sound};

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

/// What goes from one session to the other in a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// 20 ms, at the rate of the session that heard it.
    pub pcm: Sound,
    /// A key that the peer has released.
    pub digit: Option<char>,
}

/// What waits to be sent on behalf of the other session.
pub(crate) struct Feed {
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
    pub(crate) fn new() -> Self {
        Feed {
            frames: VecDeque::with_capacity(CAPACITY),
            rate: Rate::Narrow,
            converter: Converter::new(),
            concealer: Concealer::new(Rate::Narrow),
            dry: GONE,
            spare: 0,
        }
    }

    /// Our rate has become another one.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        if self.rate != rate {
            self.rate = rate;
            self.concealer = Concealer::new(rate);
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.concealer.silence();
        self.dry = GONE;
        self.spare = 0;
    }

    pub(crate) fn push(&mut self, frame: Sound, stats: &mut Stats) {
        if self.frames.len() == CAPACITY {
            self.frames.pop_front();
            stats.bridge_dropped += 1;
        }
        let frame = self.converter.convert(&frame, self.rate);
        self.frames.push_back(frame);
    }

    /// The sound of this tick, added to what is there.
    pub(crate) fn pull(&mut self, frame: &mut Sound, stats: &mut Stats) {
        let Some(mut theirs) = self.frames.pop_front() else {
            self.dry = self.dry.saturating_add(1);
            self.spare = 0;
            if self.dry > GONE {
                return self.concealer.silence();
            }
            stats.bridge_missed += 1;
            let mut made_up = Sound::silence(self.rate);
            self.concealer.lost(&mut made_up);
            return add(frame, &made_up);
        };
        self.dry = 0;
        self.concealer.received(&mut theirs);
        add(frame, &theirs);
        stats.bridge_sent += 1;
        self.shorten(stats);
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

pub(crate) fn add(frame: &mut [i16], other: &[i16]) {
    for (sample, other) in frame.iter_mut().zip(other) {
        *sample = sample.saturating_add(*other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(sample: i16) -> Sound {
        Sound::new(Rate::Narrow, &[sample; 160])
    }

    fn pull(feed: &mut Feed, stats: &mut Stats) -> i16 {
        let mut frame = Sound::silence(Rate::Narrow);
        feed.pull(&mut frame, stats);
        frame[frame.len() - 1]
    }

    #[test]
    fn a_frame_that_comes_late_costs_one_frame_of_delay_and_not_for_ever() {
        let (mut feed, mut stats) = (Feed::new(), Stats::default());
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
        let (mut feed, mut stats) = (Feed::new(), Stats::default());
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
}
