//! The jitter buffer: puts packets into the order in which they were spoken, and decides when each is played.
//!
//! All times are line time, in units of 1/8,000 s whatever the codec. A packet's *transit* is its arrival minus its timestamp; where the sender's clock
//! began is unknown, so only differences mean something. The smallest transit of the last seconds is the *base*: a packet that
//! met no queue on its way. What a packet took longer than that is its *delay*, and a histogram with a fading memory holds the
//! distribution of these. The *target* is the delay that all but a few in a hundred keep, not the worst that ever was.
//!
//! The *slack* of a moment is how much later than the base we play. A talk spurt begins when its first packet has the target as slack. Within the
//! spurt, media time runs with the clock: a packet that is missing while a later one is there is lost, and its time passes
//! ([`Next::Lost`]); but when nothing is there, the network is late rather than lossy, so media time waits ([`Next::Starved`]) and the slack
//! grows by as much as was needed. Slack that is no longer needed is taken back by shortening the sound ([`Jitter::excess`]), but never
//! more than is really held: the base may be out of date.
//! As the base is a moving minimum, a sender whose clock is a little faster or slower than ours just shifts the slack, and the same two
//! motions keep it near the target for as long as the call lasts.

use std::collections::VecDeque;
use std::time::Duration;

use crate::LINE_RATE;
use crate::codec;
use crate::sdp::Codec;

/// How much delay the jitter buffer may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitterConfig {
    /// What it aims at on a clean line, and at first.
    pub min: Duration,
    /// What it never aims beyond, however late packets are.
    pub max: Duration,
}

impl Default for JitterConfig {
    fn default() -> Self {
        JitterConfig { min: Duration::from_millis(20), max: Duration::from_millis(240) }
    }
}

/// Packets that are held at most: 1.28 s at 20 ms.
const CAPACITY: usize = 64;
/// The base is the minimum over the last one to two of these.
const BASE_WINDOW: i64 = LINE_RATE as i64;
/// A histogram bin: 5 ms.
const BIN: i64 = 40;
/// The histogram reaches to 320 ms.
const BINS: usize = 64;
/// What each new delay weighs: a memory of about 200 packets.
const WEIGHT: f32 = 0.005;
/// The share of packets that shall come in time.
const QUANTILE: f32 = 0.97;
/// After so long without a packet the spurt is over.
const SPURT_END: i64 = 1_600;
/// Slack above the target that is left alone: a tick, and a bit so that it does not swing.
const TOLERANCE: i64 = 200;

pub(crate) struct Jitter {
    min: i64,
    max: i64,
    packets: VecDeque<Packet>,
    /// Payload buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// The timestamp to be played next; `None` between spurts.
    next: Option<i64>,
    /// The extended sequence number of the packet played last.
    played: i64,
    /// How long media time has been waiting.
    starved: i64,
    base: Base,
    histogram: [f32; BINS],
    target: i64,
}

pub(crate) struct Packet {
    pub(crate) sequence: i64,
    pub(crate) timestamp: i64,
    /// How many units of line time the payload holds.
    pub(crate) samples: usize,
    pub(crate) codec: Codec,
    pub(crate) payload: Vec<u8>,
}

/// What is to be played.
pub(crate) enum Next {
    /// This, without its first `skip` samples. Give the packet back by [`Jitter::recycle`].
    Packet { packet: Packet, skip: usize },
    /// So many samples are lost; what follows them is already here.
    Lost { samples: usize },
    /// Nothing is here, but something should be.
    Starved,
    /// Nothing is here, and nothing need be.
    Idle,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    Queued,
    /// Its time had passed.
    Late,
    /// It was queued, but the oldest had to go for it.
    Overflow,
}

impl Jitter {
    pub(crate) fn new(config: &JitterConfig) -> Self {
        let samples =
            |duration: Duration| (duration.as_millis() as i64 * i64::from(LINE_RATE) / 1_000).min(80_000);
        let min = samples(config.min);
        let mut histogram = [0.0; BINS];
        histogram[0] = 1.0;
        Jitter {
            min,
            max: samples(config.max).max(min),
            packets: VecDeque::with_capacity(CAPACITY + 1),
            spare: Vec::with_capacity(CAPACITY + 1),
            next: None,
            played: i64::MIN,
            starved: 0,
            base: Base::default(),
            histogram,
            target: min,
        }
    }

    /// Another stream begins. What was learnt about the network stays.
    pub(crate) fn restart(&mut self) {
        while let Some(packet) = self.packets.pop_front() {
            self.recycle(packet);
        }
        self.next = None;
        self.played = i64::MIN;
        self.starved = 0;
        self.base = Base::default();
    }

    /// How much longer this packet took than the fastest; `None` for the first.
    pub(crate) fn delay_of(&self, now: i64, timestamp: i64) -> Option<i64> {
        self.base.value().map(|base| now - timestamp - base)
    }

    pub(crate) fn insert(
        &mut self,
        now: i64,
        sequence: i64,
        timestamp: i64,
        codec: Codec,
        payload: &[u8],
    ) -> Inserted {
        let samples = codec::units_in(codec, payload);
        self.learn(now, timestamp);
        if self.next.is_some_and(|next| timestamp + samples as i64 <= next) {
            return Inserted::Late;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(payload);
        let place = self.packets.partition_point(|packet| packet.timestamp <= timestamp);
        self.packets.insert(place, Packet { sequence, timestamp, samples, codec, payload: buffer });
        if self.packets.len() <= CAPACITY {
            return Inserted::Queued;
        }
        if let Some(oldest) = self.packets.pop_front() {
            self.recycle(oldest);
        }
        Inserted::Overflow
    }

    /// What to play now, if `pending` units of decoded sound are still to be played before it and `wanted` are needed.
    pub(crate) fn next(&mut self, now: i64, pending: usize, wanted: usize) -> Next {
        self.drop_outdated();
        let Some(next) = self.next else {
            let Some(first) = self.packets.front() else { return Next::Idle };
            if self.slack_of(now, first.timestamp - pending as i64) < self.target {
                return Next::Idle;
            }
            self.next = Some(first.timestamp);
            return self.pop();
        };
        let Some(first) = self.packets.front() else {
            if self.starved >= SPURT_END {
                self.next = None;
                return Next::Idle;
            }
            self.starved += wanted as i64;
            return Next::Starved;
        };
        let gap = first.timestamp - next;
        if gap <= 0 {
            return self.pop();
        }
        // No number is missing, so nothing is lost: the sender was silent (RFC 3551 §4.1), with or without a marker.
        let silence = first.sequence == self.played + 1;
        if silence || self.starved > 0 {
            if self.slack_of(now, first.timestamp - pending as i64) >= self.target {
                self.next = Some(first.timestamp);
                return self.pop();
            }
            self.starved += wanted as i64;
            return Next::Starved;
        }
        let samples = wanted.min(gap as usize);
        self.next = Some(next + samples as i64);
        Next::Lost { samples }
    }

    /// By how much the slack exceeds what is needed, beyond a tolerance; 0 if it does not, or between spurts.
    pub(crate) fn excess(&self, now: i64, pending: usize) -> i64 {
        self.delay(now, pending).map_or(0, |delay| (delay - self.target - TOLERANCE).max(0))
    }

    /// How much media time is held, in samples: from what is played next to the end of the newest packet.
    pub(crate) fn held(&self) -> i64 {
        match (self.next, self.packets.back()) {
            (Some(next), Some(newest)) => (newest.timestamp + newest.samples as i64 - next).max(0),
            _ => 0,
        }
    }

    /// Whether the very next packet is here.
    pub(crate) fn has_next(&self) -> bool {
        matches!((self.next, self.packets.front()), (Some(next), Some(first)) if first.timestamp <= next)
    }

    /// The packet behind a loss, if it is the very next.
    pub(crate) fn upcoming(&self) -> Option<&Packet> {
        self.packets.front().filter(|packet| Some(packet.timestamp) == self.next)
    }

    /// How much later than the fastest packet we play, in samples; `None` between spurts.
    pub(crate) fn delay(&self, now: i64, pending: usize) -> Option<i64> {
        self.next.map(|next| self.slack_of(now, next - pending as i64))
    }

    pub(crate) fn target(&self) -> i64 {
        self.target
    }

    pub(crate) fn recycle(&mut self, packet: Packet) {
        if self.spare.len() < CAPACITY {
            self.spare.push(packet.payload);
        }
    }

    fn pop(&mut self) -> Next {
        // Both callers saw a packet at the front, and `next` is set.
        let (Some(packet), Some(next)) = (self.packets.pop_front(), self.next) else { return Next::Idle };
        let skip = (next - packet.timestamp).clamp(0, packet.samples as i64) as usize;
        self.next = Some(packet.timestamp + packet.samples as i64);
        self.played = packet.sequence;
        self.starved = 0;
        Next::Packet { packet, skip }
    }

    fn drop_outdated(&mut self) {
        let Some(next) = self.next else { return };
        while let Some(first) = self.packets.front() {
            if first.timestamp + first.samples as i64 > next {
                return;
            }
            if let Some(packet) = self.packets.pop_front() {
                self.recycle(packet);
            }
        }
    }

    fn slack_of(&self, now: i64, timestamp: i64) -> i64 {
        now - timestamp - self.base.value().unwrap_or(now - timestamp)
    }

    fn learn(&mut self, now: i64, timestamp: i64) {
        let transit = now - timestamp;
        let delay = transit - self.base.observe(now, transit);
        let bin = (delay / BIN).clamp(0, BINS as i64 - 1) as usize;
        for share in &mut self.histogram {
            *share *= 1.0 - WEIGHT;
        }
        self.histogram[bin] += WEIGHT;
        let mut sum = 0.0;
        let reached = self.histogram.iter().position(|share| {
            sum += share;
            sum >= QUANTILE
        });
        let quantile = (reached.unwrap_or(BINS - 1) as i64 + 1) * BIN;
        self.target = quantile.clamp(self.min, self.max);
    }
}

/// The smallest transit of the last [`BASE_WINDOW`], at least.
#[derive(Clone, Copy, Default)]
struct Base {
    began: i64,
    current: Option<i64>,
    previous: Option<i64>,
}

impl Base {
    fn value(&self) -> Option<i64> {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => Some(current.min(previous)),
            (current, previous) => current.or(previous),
        }
    }

    /// Takes a transit in and gives the base.
    fn observe(&mut self, now: i64, transit: i64) -> i64 {
        if self.current.is_none() && self.previous.is_none() {
            self.began = now;
        } else if now - self.began > BASE_WINDOW {
            self.began = now;
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(transit, |current| current.min(transit)));
        self.value().unwrap_or(transit)
    }
}
