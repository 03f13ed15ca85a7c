//! How good a line sounds, from what was counted: losses, bursts and delay into a rating (ITU-T G.107, simplified) and a mean opinion score.
//!
//! Two directions: what we hear is counted here, packet by packet; what the peer hears of us it tells by RTCP (RFC 3550 §6.4, RFC 3611
//! §4.7), if it does. Each is rated over the whole call and over the last interval of reports (about 5 s), of which the worst is kept:
//! an average forgives what the ear does not.
//!
//! The model: `R = 93.2 − Id − Ie,eff`, with the delay's part `Id = 0.024·d + 0.11·(d − 177.3)⁺` and the loss's part `Ie,eff = Ie + (95 − Ie)
//! · Ppl / (Ppl/BurstR + Bpl)`. All else of G.107 is at its default: no echo, no noise, usual loudness. It is the narrow-band scale for
//! every codec, so a wide codec gains nothing by its width, and 4.41 is the best there is.

use std::time::Duration;

use crate::Stats;
use crate::rtcp::{Block, VoipMetrics};
use crate::sdp::Codec;

/// Packets in a row that came and so part two bursts (RFC 3611 §4.7.2, Gmin).
const GMIN: u64 = 16;
/// So many packets behind the newest a number that has not come never will.
const WINDOW: u32 = 64;
/// An interval with fewer packets says nothing.
const ENOUGH: u64 = 50;
/// What is assumed to wait at the peer where it does not say: a packet, at least.
const PEER_BUFFER_MS: f32 = 20.0;

/// How a line sounds, as far as can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// What we hear of the peer. Absent until a second of it has come.
    pub heard: Option<Listening>,
    /// What the peer hears of us, by its reports. Absent if it sends none.
    pub peer: Option<Listening>,
    /// The mean over the call, ms.
    pub round_trip_ms: Option<f32>,
}

/// One direction. Shares are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listening {
    /// Packets that never came.
    pub loss: f32,
    /// Packets that came too late to be played, or found no room.
    pub discard: f32,
    /// How much longer runs of missing packets are than if chance had spread them: 1 is chance.
    pub burst_ratio: f32,
    /// Absent where the peer does not tell.
    pub bursts: Option<Bursts>,
    /// Interarrival jitter, ms (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// From mouth to ear, as far as it is known: half of the round trip, a packet, and the jitter buffer.
    pub delay_ms: f32,
    /// The rating of the whole call, 0 to 93.2.
    pub r: f32,
    /// The mean opinion score that it stands for, 1 to 4.5.
    pub mos: f32,
    /// Of the last interval of reports, and of the worst one.
    pub mos_now: Option<f32>,
    pub mos_worst: Option<f32>,
    /// What the peer itself says that it hears (RFC 3611).
    pub mos_told: Option<f32>,
}

/// Where the missing packets are (RFC 3611 §4.7.2): in bursts, or alone in the gaps between.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bursts {
    /// Share of missing packets within bursts, and outside.
    pub burst_density: f32,
    pub gap_density: f32,
    /// Mean lengths, ms.
    pub burst_ms: f32,
    pub gap_ms: f32,
}

/// The rating of a line (G.107, simplified as the module says). `loss`: 0 to 1, `burst_ratio`: at least 1.
pub fn rating(codec: Codec, loss: f32, burst_ratio: f32, delay_ms: f32) -> f32 {
    let (ie, bpl) = robustness(codec);
    let percent = 100.0 * loss.clamp(0.0, 1.0);
    let delay = delay_ms.clamp(0.0, 10_000.0);
    let by_loss = ie + (95.0 - ie) * percent / (percent / burst_ratio.clamp(1.0, 8.0) + bpl);
    let by_delay = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    (93.2 - by_loss - by_delay).clamp(0.0, 93.2)
}

/// The mean opinion score that a rating stands for (G.107 Annex B), 1 to 4.5.
pub fn mos(r: f32) -> f32 {
    let r = r.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// A codec's impairment and its robustness against loss. G.711 with concealment by G.113; G.722 and Opus are not in its narrow-band
/// table: theirs are assumed, from how their concealments compare.
fn robustness(codec: Codec) -> (f32, f32) {
    match codec.name() {
        "G722" => (0.0, 16.0),
        "opus" => (0.0, 20.0),
        _ => (0.0, 25.1),
    }
}

/// Follows one call's quality. Costs a few operations per packet and allocates nothing.
pub(crate) struct Gauge {
    codec: Codec,
    runs: Runs,
    /// The last packet's number and timestamp, for the length of a packet.
    last: Option<(i64, u32)>,
    packet_ms: f32,
    buffer: Mean,
    round_trip: Mean,
    /// What the last interval began with.
    counted: Tally,
    mos_now: Option<f32>,
    mos_worst: Option<f32>,
    peer: Peer,
}

/// What the peer tells of our stream.
#[derive(Clone, Copy, Default)]
struct Peer {
    highest: Option<u32>,
    expected: f32,
    lost: f32,
    loss_now: f32,
    jitter_ms: f32,
    told: Option<VoipMetrics>,
    mos_worst: Option<f32>,
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f32,
    count: u32,
}

impl Mean {
    fn take(&mut self, value: f32) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> Option<f32> {
        (self.count > 0).then(|| self.sum / self.count as f32)
    }
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Gauge {
            codec: Codec::Pcmu,
            runs: Runs::default(),
            last: None,
            packet_ms: 20.0,
            buffer: Mean::default(),
            round_trip: Mean::default(),
            counted: Tally::default(),
            mos_now: None,
            mos_worst: None,
            peer: Peer::default(),
        }
    }

    pub(crate) fn agreed(&mut self, codec: Codec) {
        self.codec = codec;
    }

    /// The stream began anew: its numbers have nothing to do with those before.
    pub(crate) fn restart(&mut self) {
        self.runs.restart();
        self.last = None;
    }

    /// A packet came, by its extended number.
    pub(crate) fn arrived(&mut self, sequence: i64, timestamp: u32) {
        self.runs.arrived(sequence);
        if let Some((before, then)) = self.last
            && sequence == before + 1
        {
            let ms = timestamp.wrapping_sub(then) as f32 * 1_000.0 / self.codec.clock_rate() as f32;
            // Anything else is silence between them, or a keypress.
            if (2.5..=120.0).contains(&ms) {
                self.packet_ms = ms;
            }
        }
        if self.last.is_none_or(|(before, _)| sequence > before) {
            self.last = Some((sequence, timestamp));
        }
    }

    /// It came to no use.
    pub(crate) fn discarded(&mut self, sequence: i64) {
        self.runs.discarded(sequence);
    }

    pub(crate) fn round_trip(&mut self, ms: f32) {
        self.round_trip.take(ms);
    }

    /// A report of the peer on our stream.
    pub(crate) fn reported(&mut self, block: &Block) {
        let peer = &mut self.peer;
        // The first report covers what came before it, which is unknown here; five seconds are usual.
        let span = peer.highest.map_or(250, |before| block.highest.wrapping_sub(before));
        peer.highest = Some(block.highest);
        // A peer whose numbers step back or jump has begun to count anew.
        if span > 1 << 16 {
            return;
        }
        peer.loss_now = f32::from(block.fraction_lost) / 256.0;
        peer.expected += span as f32;
        peer.lost += span as f32 * peer.loss_now;
        peer.jitter_ms = (block.jitter as f32 * 1_000.0 / self.codec.clock_rate() as f32).min(10_000.0);
        if u64::from(span) >= ENOUGH {
            let now = mos(self.peer_rating(self.peer.loss_now));
            self.peer.mos_worst = Some(self.peer.mos_worst.map_or(now, |worst| worst.min(now)));
        }
    }

    /// The peer's own rating of our stream.
    pub(crate) fn told(&mut self, voip: VoipMetrics) {
        self.peer.told = Some(voip);
    }

    /// An interval of reports is over.
    pub(crate) fn mark(&mut self, buffer_ms: f32) {
        if self.runs.highest.is_none() {
            return;
        }
        self.buffer.take(buffer_ms);
        let tally = self.runs.tally;
        let total = tally.total - self.counted.total;
        if total < ENOUGH {
            return;
        }
        let missing = (tally.lost + tally.discarded) - (self.counted.lost + self.counted.discarded);
        self.counted = tally;
        let share = missing as f32 / total as f32;
        let r = rating(self.codec, share, tally.burst_ratio(), self.delay_ms(Some(buffer_ms)));
        let now = mos(r);
        self.mos_now = Some(now);
        self.mos_worst = Some(self.mos_worst.map_or(now, |worst| worst.min(now)));
    }

    /// How it stands. `packet_ms`: of what we send.
    pub(crate) fn quality(&self, stats: &Stats, packet_ms: f32) -> Quality {
        Quality {
            heard: self.heard(stats),
            peer: self.peer(packet_ms),
            round_trip_ms: self.round_trip.value(),
        }
    }

    /// What a report to the peer says of its stream.
    pub(crate) fn voip(&self, ssrc: u32, stats: &Stats, most: Duration) -> Option<VoipMetrics> {
        let heard = self.heard(stats)?;
        let bursts = heard.bursts.unwrap_or_default();
        let share = |share: f32| (share * 256.0).min(255.0) as u8;
        let ms = |ms: f32| ms.clamp(0.0, 65_535.0) as u16;
        let listening = rating(self.codec, heard.loss + heard.discard, heard.burst_ratio, 0.0);
        Some(VoipMetrics {
            ssrc,
            loss: share(heard.loss),
            discard: share(heard.discard),
            burst_density: share(bursts.burst_density),
            gap_density: share(bursts.gap_density),
            burst_ms: ms(bursts.burst_ms),
            gap_ms: ms(bursts.gap_ms),
            round_trip_ms: ms(self.round_trip.value().unwrap_or(0.0)),
            end_system_ms: ms(stats.delay_ms + self.packet_ms),
            r: heard.r.round() as u8,
            mos_lq: (10.0 * mos(listening)).round() as u8,
            mos_cq: (10.0 * heard.mos).round() as u8,
            buffer_ms: ms(stats.delay_ms),
            buffer_max_ms: ms(most.as_secs_f32() * 1_000.0),
        })
    }

    fn heard(&self, stats: &Stats) -> Option<Listening> {
        let tally = self.runs.settled();
        if tally.total < ENOUGH {
            return None;
        }
        let total = tally.total as f32;
        let (loss, discard) = (tally.lost as f32 / total, tally.discarded as f32 / total);
        let delay_ms = self.delay_ms(self.buffer.value().or(Some(stats.delay_ms)));
        let burst_ratio = tally.burst_ratio();
        let r = rating(self.codec, loss + discard, burst_ratio, delay_ms);
        Some(Listening {
            loss,
            discard,
            burst_ratio,
            bursts: Some(tally.bursts(self.packet_ms)),
            jitter_ms: stats.jitter_ms,
            delay_ms,
            r,
            mos: mos(r),
            mos_now: self.mos_now,
            mos_worst: self.mos_worst,
            mos_told: None,
        })
    }

    fn peer(&self, packet_ms: f32) -> Option<Listening> {
        let peer = &self.peer;
        if peer.highest.is_none() && peer.told.is_none() {
            return None;
        }
        let told = peer.told.as_ref();
        let of_256 = |share: u8| f32::from(share) / 256.0;
        let counted = (peer.expected > 0.0).then(|| peer.lost / peer.expected);
        let loss = counted.or(told.map(|voip| of_256(voip.loss))).unwrap_or(0.0);
        let discard = told.map_or(0.0, |voip| of_256(voip.discard));
        let r = self.peer_rating(loss + discard);
        let known = |rating: u8| (10..=50).contains(&rating).then(|| f32::from(rating) / 10.0);
        Some(Listening {
            loss,
            discard,
            burst_ratio: 1.0,
            bursts: told.map(|voip| Bursts {
                burst_density: of_256(voip.burst_density),
                gap_density: of_256(voip.gap_density),
                burst_ms: voip.burst_ms.into(),
                gap_ms: voip.gap_ms.into(),
            }),
            jitter_ms: peer.jitter_ms,
            delay_ms: self.peer_delay_ms(packet_ms),
            r,
            mos: mos(r),
            mos_now: peer.highest.map(|_| mos(self.peer_rating(peer.loss_now))),
            mos_worst: peer.mos_worst,
            mos_told: told.and_then(|voip| known(voip.mos_cq).or(known(voip.mos_lq))),
        })
    }

    fn delay_ms(&self, buffer_ms: Option<f32>) -> f32 {
        self.round_trip.value().unwrap_or(0.0) / 2.0 + self.packet_ms + buffer_ms.unwrap_or(0.0)
    }

    fn peer_rating(&self, missing: f32) -> f32 {
        rating(self.codec, missing, 1.0, self.peer_delay_ms(self.packet_ms))
    }

    /// A jitter buffer usually holds twice the jitter.
    fn peer_delay_ms(&self, packet_ms: f32) -> f32 {
        let told = self.peer.told.as_ref().map(|voip| f32::from(voip.buffer_ms)).filter(|ms| *ms > 0.0);
        let buffer = told.unwrap_or((2.0 * self.peer.jitter_ms).max(PEER_BUFFER_MS));
        self.round_trip.value().unwrap_or(0.0) / 2.0 + packet_ms + buffer
    }
}

/// Puts packets into the order of their numbers and, when nothing can change it any more, tells the tally what became of each.
#[derive(Clone, Copy, Default)]
struct Runs {
    highest: Option<i64>,
    /// Bit n is the packet `highest − n`: it came, it came to no use.
    came: u64,
    useless: u64,
    /// How many of the bits stand for packets that should have come.
    expected: u32,
    tally: Tally,
}

impl Runs {
    fn arrived(&mut self, sequence: i64) {
        let Some(highest) = self.highest else {
            (self.highest, self.came, self.useless, self.expected) = (Some(sequence), 1, 0, 1);
            return;
        };
        let step = sequence - highest;
        if step <= 0 {
            let Ok(bit) = u32::try_from(-step) else { return };
            if bit < WINDOW {
                self.came |= 1 << bit;
                // One from before the first.
                self.expected = self.expected.max(bit + 1);
            }
            return;
        }
        for _ in 0..step {
            self.step();
        }
        self.came |= 1;
        self.highest = Some(sequence);
    }

    fn discarded(&mut self, sequence: i64) {
        let Some(highest) = self.highest else { return };
        if let Ok(bit) = u32::try_from(highest - sequence)
            && bit < WINDOW
        {
            self.useless |= 1 << bit;
        }
    }

    fn restart(&mut self) {
        let mut tally = self.settled();
        tally.part();
        *self = Runs { tally, ..Runs::default() };
    }

    /// With what is still open as it stands now.
    fn settled(&self) -> Tally {
        let mut rest = *self;
        while rest.expected > 0 {
            let bit = 1u64 << (rest.expected - 1);
            rest.tally.take(rest.came & bit != 0, rest.useless & bit != 0);
            rest.expected -= 1;
        }
        rest.tally
    }

    /// Room for a newer one.
    fn step(&mut self) {
        if self.expected == WINDOW {
            let oldest = 1u64 << (WINDOW - 1);
            self.tally.take(self.came & oldest != 0, self.useless & oldest != 0);
        } else {
            self.expected += 1;
        }
        self.came <<= 1;
        self.useless <<= 1;
    }
}

/// What became of packets, one after another.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    total: u64,
    lost: u64,
    discarded: u64,
    /// Runs of missing packets, whatever came between them.
    runs: u64,
    /// Whole bursts: how many, how many packets, how many of these missing.
    bursts: u64,
    burst_packets: u64,
    burst_missing: u64,
    /// The cluster that is open: from its first missing packet to its last.
    length: u64,
    missing: u64,
    /// Packets that came since the last missing one.
    since: u64,
}

impl Tally {
    fn take(&mut self, came: bool, useless: bool) {
        self.total += 1;
        if came && !useless {
            self.since += 1;
            if self.since == GMIN {
                self.close();
            }
            return;
        }
        self.lost += u64::from(!came);
        self.discarded += u64::from(came);
        if self.missing == 0 {
            (self.length, self.missing) = (1, 1);
            self.runs += 1;
        } else {
            self.runs += u64::from(self.since > 0);
            self.length += self.since + 1;
            self.missing += 1;
        }
        self.since = 0;
    }

    /// Nothing after this belongs to what was before.
    fn part(&mut self) {
        self.close();
        self.since = 0;
    }

    /// The cluster is over. One missing packet alone is no burst but part of the gap.
    fn close(&mut self) {
        if self.missing > 1 {
            self.bursts += 1;
            self.burst_packets += self.length;
            self.burst_missing += self.missing;
        }
        (self.length, self.missing) = (0, 0);
    }

    /// Mean length of runs of missing packets, beside that which chance would give.
    fn burst_ratio(&self) -> f32 {
        if self.runs == 0 {
            return 1.0;
        }
        let missing = (self.lost + self.discarded) as f32;
        let share = missing / self.total as f32;
        (missing / self.runs as f32 * (1.0 - share)).max(1.0)
    }

    fn bursts(&self, packet_ms: f32) -> Bursts {
        let mut whole = *self;
        whole.close();
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f32 / of as f32 };
        let outside = whole.total - whole.burst_packets;
        Bursts {
            burst_density: share(whole.burst_missing, whole.burst_packets),
            gap_density: share(whole.lost + whole.discarded - whole.burst_missing, outside),
            burst_ms: share(whole.burst_packets, whole.bursts) * packet_ms,
            gap_ms: share(outside, whole.bursts + 1) * packet_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(pattern: &str) -> Tally {
        let mut runs = Runs::default();
        for (number, packet) in pattern.chars().enumerate() {
            match packet {
                '.' => runs.arrived(number as i64),
                'd' => {
                    runs.arrived(number as i64);
                    runs.discarded(number as i64);
                }
                _ => {}
            }
        }
        runs.settled()
    }

    #[test]
    fn the_model_gives_what_the_recommendation_does() {
        for (loss, delay, r, score) in [
            (0.0, 0.0, 93.2, 4.41),
            (0.0, 100.0, 90.8, 4.36),
            (0.0, 177.3, 88.9, 4.31),
            (0.0, 300.0, 72.5, 3.72),
            (0.01, 0.0, 89.6, 4.33),
            (0.05, 0.0, 77.4, 3.93),
            (0.10, 0.0, 66.1, 3.41),
        ] {
            let found = rating(Codec::Pcmu, loss, 1.0, delay);
            assert!((found - r).abs() < 0.1, "R at {loss} and {delay} ms: {found}");
            assert!((mos(found) - score).abs() < 0.01, "MOS at {loss} and {delay} ms: {}", mos(found));
        }
        // The same loss in bursts is worse.
        assert!(rating(Codec::Pcmu, 0.05, 3.0, 0.0) < 77.0);
        assert_eq!((mos(-5.0), mos(0.0)), (1.0, 1.0));
    }

    #[test]
    fn a_burst_is_what_comes_close_together() {
        let clean = ".".repeat(40);
        let far = tally(&format!("{clean}x{clean}x{clean}"));
        assert_eq!((far.total, far.lost, far.runs), (122, 2, 2));
        let bursts = far.bursts(20.0);
        assert_eq!((bursts.burst_density, bursts.burst_ms, bursts.gap_ms), (0.0, 0.0, 122.0 * 20.0));
        assert!((bursts.gap_density - 2.0 / 122.0).abs() < 1e-6);
        // Fifteen packets between two missing ones hold them together, sixteen do not.
        let held = tally(&format!("{clean}x{}d{clean}", ".".repeat(15)));
        let bursts = held.bursts(20.0);
        assert_eq!((held.lost, held.discarded, bursts.burst_ms), (1, 1, 17.0 * 20.0));
        assert!((bursts.burst_density - 2.0 / 17.0).abs() < 1e-6);
        assert_eq!(bursts.gap_ms, 80.0 * 20.0 / 2.0);
        let parted = tally(&format!("{clean}x{}x{clean}", ".".repeat(16)));
        assert_eq!(parted.bursts(20.0).burst_ms, 0.0);
        // Runs of three are three times as long as chance would make them, nearly.
        let rows = tally(&format!("{clean}xxx{clean}xxx{clean}"));
        assert_eq!(rows.runs, 2);
        assert!((rows.burst_ratio() - 3.0 * (1.0 - 6.0 / 126.0)).abs() < 1e-3);
        assert_eq!(tally(&clean).burst_ratio(), 1.0);
    }

    #[test]
    fn a_stream_that_begins_anew_is_counted_on() {
        let mut runs = Runs::default();
        [100, 101, 103].into_iter().for_each(|number| runs.arrived(number));
        runs.restart();
        [7, 8, 10].into_iter().for_each(|number| runs.arrived(number));
        let tally = runs.settled();
        assert_eq!((tally.total, tally.lost, tally.runs), (8, 2, 2));
    }

    proptest! {
        /// Whatever comes in whatever order within the window: each number is counted once, and what adds up adds up.
        #[test]
        fn each_packet_is_counted_once(
            fates in proptest::collection::vec((0u8..4, 0i64..20), 2..600),
            packet_ms in 2.5f32..100.0,
        ) {
            let mut packets: Vec<(i64, i64, u8)> = fates
                .iter()
                .zip(0..)
                .filter(|((fate, _), number)| *fate != 0 || *number == 0 || *number == fates.len() as i64 - 1)
                .map(|(&(fate, late), number)| (number + late, number, fate))
                .collect();
            // The last one closes the count, the first one begins it.
            packets[0].0 = -1;
            let lost = fates.len() - packets.len();
            packets.sort_unstable();
            let mut runs = Runs::default();
            let mut useless = 0;
            for &(_, number, fate) in &packets {
                runs.arrived(number);
                if fate == 1 {
                    runs.discarded(number);
                    useless += 1;
                }
            }
            let tally = runs.settled();
            prop_assert_eq!(tally.total, fates.len() as u64);
            prop_assert_eq!((tally.lost, tally.discarded), (lost as u64, useless));
            prop_assert!(tally.runs <= tally.lost + tally.discarded && tally.burst_ratio() >= 1.0);
            let bursts = tally.bursts(packet_ms);
            prop_assert!((0.0..=1.0).contains(&bursts.burst_density) && (0.0..=1.0).contains(&bursts.gap_density));
            let mut whole = tally;
            whole.close();
            let ms = bursts.burst_ms * whole.bursts as f32 + bursts.gap_ms * (whole.bursts + 1) as f32;
            prop_assert!((ms - tally.total as f32 * packet_ms).abs() < ms * 1e-3 + 1.0);
        }

        #[test]
        fn more_loss_and_more_delay_are_never_better(
            loss in 0.0f32..1.0, more in 0.0f32..1.0, ratio in 0.0f32..20.0, delay in 0.0f32..2_000.0, later in 0.0f32..2_000.0,
        ) {
            for codec in [Codec::Pcmu, Codec::Pcma] {
                let before = rating(codec, loss, ratio, delay);
                prop_assert!(rating(codec, loss + more, ratio, delay) <= before + 1e-3);
                prop_assert!(rating(codec, loss, ratio, delay + later) <= before + 1e-3);
                prop_assert!((0.0..=93.2).contains(&before) && (1.0..=4.5).contains(&mos(before)));
            }
        }
    }
}
