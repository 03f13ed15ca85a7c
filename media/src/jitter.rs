//! The jitter buffer: puts packets into the order in which they were spoken, and decides when each is played.
//!
//! All times are line time, in units of 1/8,000 s whatever the codec. A packet's *transit* is its arrival minus its timestamp; where the sender's clock
//! began is unknown, so only differences mean something. The smallest transit of the last seconds is the *base*: a packet that
//! met no queue on its way. What a packet took longer than that is its *delay*, and a [histogram](Delays) with a fading memory holds the
//! distribution of these. The *target* is the delay that costs least: each millisecond costs one, and each percent of the packets that would
//! come too late costs [`LOSS_COST`]. So a line whose delays are spread evenly is waited for to its end, and one packet in a hundred that
//! takes very long is not.
//!
//! A line that loses packets is given one packet's length more, so that what follows a gap is here when the gap is to be filled.
//!
//! Packets are taken at ticks, so one may have to be here for up to a tick before its first sample is played. How long before *that* moment the
//! fastest packet would be here is its *margin*, and it is the margin that shall be the target.
//!
//! The *slack* of a moment is how much later than the base we play. A talk spurt begins when its first packet has the target as slack. Within the
//! spurt, media time runs with the clock: a packet that is missing while a later one is there is lost, and its time passes
//! ([`Next::Lost`]); but when nothing is there, the network is late rather than lossy, so media time waits ([`Next::Starved`]) and the slack
//! grows by as much as was needed. When what comes then lies behind a loss, the wait was the beginning of that, and the slack stays. Slack that is no longer needed is taken back by shortening the sound ([`Jitter::excess`]), but never
//! more than is really held: the base may be out of date. Slack that is needed and not there is gained by lengthening it
//! ([`Jitter::deficit`]).
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
    /// What it aims at on a line that has been clean for a while (400 packets).
    pub min: Duration,
    /// What it aims at, at least, until then.
    pub initial: Duration,
    /// What it never aims beyond, however late packets are.
    pub max: Duration,
}

impl Default for JitterConfig {
    fn default() -> Self {
        JitterConfig {
            min: Duration::from_millis(10),
            initial: Duration::from_millis(20),
            max: Duration::from_millis(240),
        }
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
/// How many packets are remembered, with fading weight: some eight seconds.
const MEMORY: f32 = 400.0;
/// How many samples of delay are as bad as the loss of every hundredth packet: 50 ms. By G.107 it would be about 150 for two people (each
/// percent of G.711 with concealment costs 3.6 points, each millisecond 0.024); but who talks with a machine that thinks waits for both.
const LOSS_COST: f32 = 400.0;
/// After so long without a packet the spurt is over.
const SPURT_END: i64 = 1_600;
/// The share of lost packets above which, and below which again, the buffer holds one packet more: two of 400, and half of one.
const MANY: f32 = 0.0045;
const FEW: f32 = 0.00125;
/// A packet is not called lost before so many that left later have come as may overtake it: by how delays are spread, but at most this.
const OVERTAKING: i64 = 16;
/// That packet counts for 40 ms at most.
const MOST_AHEAD: i64 = 320;
/// Packets that come within 2 ms come together.
const TOGETHER: i64 = 16;
/// Buffers for packets that are there from the beginning.
const READY: usize = 16;
/// One tick.
const TICK: i64 = crate::LINE_FRAME as i64;
/// Margin above the target that is left alone: packets are taken at ticks, so it comes in steps of one; and a bit, so that it does not swing.
const TOLERANCE: i64 = TICK + 40;
/// The same where nobody hears a cut.
const TOLERANCE_QUIET: i64 = TICK + 16;
/// Margin below the target that is left alone.
const SHORT: i64 = 40;
/// What of a gap is asked for last, in one piece: what follows it is known then.
const LAST: i64 = crate::conceal::BETWEEN as i64;
/// Packets without sound (events) that are remembered, so that their numbers are not taken for lost sound.
const OTHERS: usize = 16;

pub(crate) struct Jitter {
    min: i64,
    initial: i64,
    max: i64,
    packets: VecDeque<Packet>,
    /// Payload buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// The timestamp to be played next; `None` between spurts.
    next: Option<i64>,
    /// The extended sequence number of the packet played last.
    played: i64,
    /// Sequence numbers of packets that hold no sound.
    others: VecDeque<i64>,
    /// How long media time has been waiting.
    starved: i64,
    base: Base,
    delays: Delays,
    losses: Losses,
    /// When the packet before came.
    arrived: i64,
    target: i64,
}

pub(crate) struct Packet {
    pub(crate) sequence: i64,
    pub(crate) timestamp: i64,
    /// How many samples the payload holds: 0 if it is [comfort noise](crate::comfort), which lasts until something else comes.
    pub(crate) samples: usize,
    pub(crate) codec: Codec,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    fn end(&self) -> i64 {
        self.timestamp + self.samples as i64
    }
}

/// What is to be played.
pub(crate) enum Next {
    /// This, without its first `skip` samples. Give the packet back by [`Jitter::recycle`].
    Packet { packet: Packet, skip: usize },
    /// The spurt is over, and this describes the noise until the next. Give the packet back by [`Jitter::recycle`].
    Comfort(Packet),
    /// So many samples are lost; what follows them is already here, and comes [`next`](Jitter::next) if this is the `last` of the gap.
    Lost { samples: usize, last: bool },
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
        let initial = samples(config.initial).max(min);
        Jitter {
            min,
            initial,
            max: samples(config.max).max(initial),
            packets: VecDeque::with_capacity(CAPACITY + 1),
            spare: spare(),
            next: None,
            played: i64::MIN / 2,
            others: VecDeque::with_capacity(OTHERS),
            starved: 0,
            base: Base::default(),
            delays: Delays::new(),
            losses: Losses::default(),
            arrived: i64::MIN / 2,
            target: initial,
        }
    }

    /// Another stream begins. What was learnt about the network stays.
    pub(crate) fn restart(&mut self) {
        while let Some(packet) = self.packets.pop_front() {
            self.recycle(packet);
        }
        self.next = None;
        self.played = i64::MIN / 2;
        self.others.clear();
        self.starved = 0;
        self.losses.restart();
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
        self.losses.observe(sequence);
        self.learn(now, timestamp, samples as i64);
        self.put(sequence, timestamp, samples, codec, payload)
    }

    /// Queues a description of the silence that begins at `timestamp`. Such packets come when they like, so nothing is learnt from them.
    pub(crate) fn insert_comfort(&mut self, sequence: i64, timestamp: i64, payload: &[u8]) -> Inserted {
        self.losses.observe(sequence);
        // The codec of what is no sound says nothing.
        self.put(sequence, timestamp, 0, Codec::Pcmu, payload)
    }

    /// A packet came that holds no sound, and takes a sequence number.
    pub(crate) fn other(&mut self, sequence: i64) {
        self.losses.observe(sequence);
        if self.others.len() == OTHERS {
            self.others.pop_front();
        }
        self.others.push_back(sequence);
    }

    /// What to play now, if `pending` decoded samples are still to be played before it and `wanted` are needed.
    pub(crate) fn next(&mut self, now: i64, pending: usize, wanted: usize) -> Next {
        self.drop_outdated();
        let pending = pending as i64;
        let Some(first) = self.packets.front() else {
            if self.next.is_none() || self.starved >= SPURT_END {
                self.next = None;
                return Next::Idle;
            }
            self.starved += wanted as i64;
            return Next::Starved;
        };
        let (timestamp, comfort) = (first.timestamp, first.samples == 0);
        let enough = self.target + out_of_step(first.samples);
        let slack = self.slack_of(now, timestamp - pending);
        let Some(next) = self.next else {
            if !comfort && slack < enough {
                return Next::Idle;
            }
            self.next = Some(timestamp);
            return self.pop();
        };
        let gap = timestamp - next;
        if gap <= 0 {
            return self.pop();
        }
        // No number is missing, so nothing is lost: the sender was silent (RFC 3551 §4.1), with or without a marker.
        if self.follows(first.sequence) {
            if slack >= enough || comfort {
                self.next = Some(timestamp);
                return self.pop();
            }
            self.starved += wanted as i64;
            return Next::Starved;
        }
        // Media time waited, and something came that is not what was waited for: if the wait was as long as what is missing, all is as
        // if that had been lost.
        if self.starved > 0 && (slack >= enough || self.starved >= gap) {
            self.next = Some(timestamp);
            return self.pop();
        }
        // What is missing is not later than it may be: it was overtaken.
        if self.slack_of(now, next - pending) < self.target - SHORT {
            self.starved += wanted as i64;
            return Next::Starved;
        }
        // What was made up while media time waited stands for the beginning of what is missing, so that its end can be mended from both sides.
        let waited = std::mem::take(&mut self.starved);
        let gap = gap - waited;
        let last = gap <= LAST;
        let samples = if last { gap } else { (gap - LAST).min(wanted as i64) };
        self.next = Some(next + waited + samples);
        Next::Lost { samples: samples as usize, last }
    }

    /// By how much the margin exceeds what is needed, beyond a tolerance, which is less where it is `quiet`; 0 if it does not, or between
    /// spurts. `pending` samples are decoded beyond this tick's.
    pub(crate) fn excess(&self, now: i64, pending: usize, quiet: bool) -> i64 {
        let tolerance = if quiet { TOLERANCE_QUIET } else { TOLERANCE };
        self.margin(now, pending).map_or(0, |margin| (margin - self.target - tolerance).max(0))
    }

    /// By how much the margin is less than what is needed; 0 if it hardly is, or between spurts, or while media time waits.
    pub(crate) fn deficit(&self, now: i64, pending: usize) -> i64 {
        let deficit = self.margin(now, pending).map_or(0, |margin| self.target - margin);
        if deficit > SHORT && self.starved == 0 { deficit } else { 0 }
    }

    /// Whether the margin is what it should be, at least.
    pub(crate) fn suffices(&self, now: i64, pending: usize) -> bool {
        self.margin(now, pending).is_some_and(|margin| margin >= self.target)
    }

    /// How long before the tick that needs it the next packet would be here, had it met no queue; `None` between spurts.
    fn margin(&self, now: i64, pending: usize) -> Option<i64> {
        let tick = now + TICK * (1 + pending as i64 / TICK);
        self.next.map(|next| self.slack_of(tick, next))
    }

    /// How much media time is held, in samples: from what is played next to the end of the newest packet.
    pub(crate) fn held(&self) -> i64 {
        match (self.next, self.packets.back()) {
            (Some(next), Some(newest)) => (newest.end() - next).max(0),
            _ => 0,
        }
    }

    /// Whether the very next packet is here, and holds sound.
    pub(crate) fn has_next(&self) -> bool {
        matches!((self.next, self.packets.front()), (Some(next), Some(first)) if first.timestamp <= next && first.samples > 0)
    }

    /// How much later than the fastest packet we play, in samples; `None` between spurts.
    pub(crate) fn delay(&self, now: i64, pending: usize) -> Option<i64> {
        self.next.map(|next| self.slack_of(now, next - pending as i64))
    }

    /// The timestamp to be played next; `None` between spurts.
    pub(crate) fn position(&self) -> Option<i64> {
        self.next
    }

    pub(crate) fn target(&self) -> i64 {
        self.target
    }

    pub(crate) fn recycle(&mut self, packet: Packet) {
        if self.spare.len() < CAPACITY {
            self.spare.push(packet.payload);
        }
    }

    fn put(
        &mut self,
        sequence: i64,
        timestamp: i64,
        samples: usize,
        codec: Codec,
        payload: &[u8],
    ) -> Inserted {
        let end = timestamp + samples as i64;
        if self.next.is_some_and(|next| end < next || end == next && samples > 0) {
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

    fn pop(&mut self) -> Next {
        // All callers saw a packet at the front, and `next` is set.
        let (Some(packet), Some(next)) = (self.packets.pop_front(), self.next) else { return Next::Idle };
        self.played = packet.sequence;
        self.starved = 0;
        if packet.samples == 0 {
            self.next = None;
            return Next::Comfort(packet);
        }
        let skip = (next - packet.timestamp).clamp(0, packet.samples as i64) as usize;
        self.next = Some(packet.end());
        Next::Packet { packet, skip }
    }

    /// Whether there is no sound between what was played last and this number.
    fn follows(&self, sequence: i64) -> bool {
        let missing = sequence - self.played - 1;
        missing == 0
            || (0..OTHERS as i64).contains(&missing) && {
                let between = |&&other: &&i64| other > self.played && other < sequence;
                self.others.iter().filter(between).count() as i64 >= missing
            }
    }

    fn drop_outdated(&mut self) {
        let Some(next) = self.next else { return };
        while let Some(first) = self.packets.front() {
            // Noise may begin where speech ends.
            if first.end() > next || first.samples == 0 && first.timestamp == next {
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

    fn learn(&mut self, now: i64, timestamp: i64, samples: i64) {
        let transit = now - timestamp;
        let before = self.base.value();
        let base = self.base.observe(now, transit);
        // What was delay against the old base is less against a higher one: the path has become longer, not more uneven.
        self.delays.sink(before.map_or(0, |before| base - before));
        // What comes together with the packet before it was held up by the same thing, and media time waits for it only once.
        let together = now - self.arrived < TOGETHER;
        self.arrived = now;
        self.delays.observe(transit - base, if together { 0.25 } else { 1.0 });
        let clean = if self.delays.seen < MEMORY { self.initial } else { self.min };
        self.target = self.delays.cheapest(clean, self.max);
        let spread = if clean == self.min { self.target } else { self.delays.cheapest(self.min, self.max) };
        self.losses.expect(spread, samples);
        // Where packets are lost, one more shall be here: a gap whose other side is known is mended much better.
        if self.losses.many {
            self.target = self.target.max(spread + samples.min(MOST_AHEAD)).min(self.max);
        }
    }
}

/// Room for as many packets as a line with jitter holds, 60 ms each: what is held for the first time in mid-call costs no allocation.
fn spare() -> Vec<Vec<u8>> {
    let mut spare = Vec::with_capacity(CAPACITY + 1);
    spare.resize_with(READY, || Vec::with_capacity(480));
    spare
}

/// How much earlier than it is played the latest packet must be here, if packets of so many samples are taken at ticks: 0 where they are
/// whole ticks.
fn out_of_step(samples: usize) -> i64 {
    let (mut one, mut other) = (TICK, samples as i64);
    while other != 0 {
        (one, other) = (other, one % other);
    }
    TICK - one
}

/// How long packets took, beyond the fastest: shares of the last [`MEMORY`] packets.
struct Delays {
    shares: [f32; BINS],
    seen: f32,
}

impl Delays {
    fn new() -> Self {
        let mut shares = [0.0; BINS];
        shares[0] = 1.0;
        Delays { shares, seen: 1.0 }
    }

    fn observe(&mut self, delay: i64, counts: f32) {
        // At first every packet counts alike, so that little is learnt quickly; later the old ones fade.
        self.seen = (self.seen + 1.0).min(MEMORY);
        let weight = counts / self.seen;
        let bin = (delay / BIN).clamp(0, BINS as i64 - 1) as usize;
        for share in &mut self.shares {
            *share *= 1.0 - weight;
        }
        self.shares[bin] += weight;
    }

    /// All delays are less by so much; by a bin at least, or it is noise.
    fn sink(&mut self, by: i64) {
        let bins = (by.max(0) / BIN) as usize;
        if bins == 0 {
            return;
        }
        let bins = bins.min(BINS - 1);
        let none: f32 = self.shares[..bins].iter().sum();
        self.shares.copy_within(bins.., 0);
        self.shares[BINS - bins..].fill(0.0);
        self.shares[0] += none;
    }

    /// The delay between `min` and `max` for which delay and late packets together cost least.
    fn cheapest(&self, min: i64, max: i64) -> i64 {
        let mut late: f32 = 1.0;
        let mut best = (f32::MAX, min);
        for (bin, share) in self.shares.iter().enumerate() {
            late -= share;
            let delay = ((bin as i64 + 1) * BIN).clamp(min, max);
            let cost = delay as f32 + late.max(0.0) * 100.0 * LOSS_COST;
            if cost < best.0 {
                best = (cost, delay);
            }
            // From here on delay alone costs as much.
            if delay == max || delay as f32 >= best.0 {
                break;
            }
        }
        best.1
    }
}

/// How many packets are lost: a share of the last [`MEMORY`].
struct Losses {
    highest: Option<i64>,
    /// Which of the last 64 numbers have come or been counted, the highest in the lowest bit.
    settled: u64,
    /// How many may overtake one that is not lost.
    overtaking: i64,
    share: f32,
    many: bool,
}

impl Default for Losses {
    fn default() -> Self {
        Losses { highest: None, settled: u64::MAX, overtaking: 0, share: 0.0, many: false }
    }
}

impl Losses {
    fn observe(&mut self, sequence: i64) {
        let step = self.highest.map_or(1, |highest| sequence - highest);
        self.share *= 1.0 - 1.0 / MEMORY;
        if step > OVERTAKING {
            // A long absence is no lossy line.
            self.highest = Some(sequence);
            self.settled = u64::MAX;
            self.share += 8.0 / MEMORY;
        } else if step > 0 {
            self.highest = Some(sequence);
            self.settled = self.settled << step | 1;
            let lost = !self.settled >> (self.overtaking + 1) << (self.overtaking + 1);
            self.settled |= lost;
            self.share += lost.count_ones().min(8) as f32 / MEMORY;
        } else {
            let bit = 1u64.checked_shl(-step as u32).unwrap_or(0);
            if self.settled & bit == bit {
                // It was counted, and is only late.
                self.share = (self.share - 1.0 / MEMORY).max(0.0);
            }
            self.settled |= bit;
        }
        self.many = self.share > if self.many { FEW } else { MANY };
    }

    /// Packets of so many samples are delayed by so much.
    fn expect(&mut self, spread: i64, samples: i64) {
        self.overtaking = (spread / samples.max(1)).min(OVERTAKING);
    }

    /// Numbers begin anew.
    fn restart(&mut self) {
        self.highest = None;
        self.settled = u64::MAX;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Delays in milliseconds, as a share of 400 packets.
    fn target(delays: &[(i64, usize)]) -> i64 {
        let mut learnt = Delays::new();
        for round in 0..400 {
            // Spread evenly over the memory.
            let mut place = round;
            for &(delay, count) in delays {
                if place % 400 < count {
                    learnt.observe(delay * 8, 1.0);
                    break;
                }
                place -= count;
            }
        }
        learnt.cheapest(160, 1_920) / 8
    }

    #[test]
    fn the_target_is_what_costs_least() {
        assert_eq!(target(&[(0, 400)]), 20, "a clean line");
        assert_eq!(
            target(&[(0, 100), (20, 100), (40, 100), (60, 100)]),
            65,
            "spread evenly: all are waited for"
        );
        assert_eq!(target(&[(0, 396), (150, 4)]), 20, "one in a hundred is not worth 150 ms");
        assert_eq!(target(&[(0, 392), (50, 8)]), 55, "two in a hundred are worth 50 ms");
        assert_eq!(target(&[(0, 100), (100, 100), (239, 100), (300, 100)]), 240, "never beyond the limit");
    }

    /// The numbers in the order in which they come, each packet 20 ms long, and how many of them then count as lost.
    fn lost(spread_ms: i64, numbers: &[i64]) -> f32 {
        let mut losses = Losses::default();
        losses.expect(spread_ms * 8, 160);
        for &number in numbers {
            losses.observe(number);
        }
        losses.share * MEMORY
    }

    #[test]
    fn what_was_overtaken_is_not_lost() {
        assert_eq!(lost(0, &[1, 2, 3]), 0.0);
        assert!((lost(0, &[1, 2, 4]) - 1.0).abs() < 0.01, "nothing overtakes here, so it is known at once");
        assert_eq!(lost(80, &[1, 3, 5, 2, 6, 4, 7, 8, 9]), 0.0, "they come within what is usual");
        assert_eq!(lost(80, &[1, 3, 4, 5, 6]), 0.0, "it may still come");
        assert!((lost(80, &[1, 3, 4, 5, 6, 7]) - 1.0).abs() < 0.01, "now it is lost");
        assert!(lost(80, &[1, 3, 4, 5, 6, 7, 2]) < 0.01, "and was only late");
        assert!((lost(80, &[1, 1_000]) - 8.0).abs() < 0.01, "a long absence is no lossy line");
        assert!((lost(0, &[1, 5, 6, 7, 8, 9]) - 3.0).abs() < 0.05, "each is counted once");
    }

    #[test]
    fn a_wait_counts_as_the_beginning_of_a_gap() {
        let mut jitter = Jitter::new(&JitterConfig::default());
        let mut at =
            |packet: i64, now: i64| jitter.insert(now, packet, packet * 160, Codec::Pcmu, &[0xff; 160]);
        // 4 and 5 are lost, and 6 comes when 4 has been waited for in vain.
        (1..=3).for_each(|packet| assert_eq!(at(packet, packet * 160), Inserted::Queued));
        let mut now = 3 * 160 + 80;
        while let Next::Idle = jitter.next(now, 0, 160) {
            now += 160;
        }
        for _ in 2..=3 {
            now += 160;
            assert!(matches!(jitter.next(now, 0, 160), Next::Packet { .. }));
        }
        now += 160;
        assert!(matches!(jitter.next(now, 0, 160), Next::Starved));
        jitter.insert(now + 10, 6, 6 * 160, Codec::Pcmu, &[0xff; 160]);
        now += 160;
        assert!(matches!(jitter.next(now, 0, 160), Next::Lost { samples: 160, last: true }));
        let Next::Packet { packet, skip: 0 } = jitter.next(now, 160, 160) else { panic!("it is here") };
        assert_eq!(packet.sequence, 6);
    }
}
