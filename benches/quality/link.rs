//! What a line does to packets, by a seed: it loses some, one by one or in bursts, and delays each by another while.

use std::time::Duration;

/// Packets that a burst takes, on average.
const BURST: f64 = 3.0;
/// How far the share that is really lost may be from what was asked for, in percent of it.
const NEAR: f64 = 3.0;

/// One condition of the line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Link {
    /// Percent of the packets.
    pub(crate) loss: u32,
    /// In bursts of three packets on average (Gilbert's model), or each by its own chance.
    pub(crate) bursty: bool,
    /// Each packet takes 0 to so much longer, all as likely, whatever its neighbours take: some overtake others.
    pub(crate) jitter_ms: u32,
}

/// When a packet that left in the tick `sent` comes.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    pub(crate) sent: usize,
}

impl Link {
    /// The fate of packets that leave every 20 ms. The same link gives the same fate.
    pub(crate) fn journey(&self, packets: usize) -> Vec<Arrival> {
        let lost = self.losses(packets);
        let mut chance = Chance::new(u64::from(self.jitter_ms) + 1);
        let mut arrivals = Vec::with_capacity(packets);
        for (sent, lost) in lost.into_iter().enumerate() {
            // Drawn for lost ones too, so that a line with more loss has the same jitter.
            let delay = chance.share() * f64::from(self.jitter_ms) / 1_000.0;
            let at = Duration::from_millis(20 * sent as u64) + Duration::from_secs_f64(delay);
            if !lost {
                arrivals.push(Arrival { at, sent });
            }
        }
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }

    /// Which packets are lost. A few thousand packets scatter widely, so the first seed is taken that gives the wanted share.
    fn losses(&self, packets: usize) -> Vec<bool> {
        let wanted = packets as f64 * f64::from(self.loss) / 100.0;
        let room = (wanted * NEAR / 100.0).max(0.5);
        let fits = |lost: &[bool]| (lost.iter().filter(|lost| **lost).count() as f64 - wanted).abs() <= room;
        let mut draws = (0u64..).map(|seed| self.draw(packets, 1_000 * seed + u64::from(self.loss)));
        draws.find(|lost| fits(lost)).unwrap_or_default()
    }

    fn draw(&self, packets: usize, seed: u64) -> Vec<bool> {
        let mut chance = Chance::new(seed);
        let loss = f64::from(self.loss) / 100.0;
        let (begins, goes_on) =
            if self.bursty { (loss / (1.0 - loss) / BURST, 1.0 - 1.0 / BURST) } else { (loss, loss) };
        let mut bad = false;
        let mut next = || {
            bad = chance.share() < if bad { goes_on } else { begins };
            bad
        };
        (0..packets).map(|_| next()).collect()
    }
}

/// A small generator with good enough bits (xorshift64*).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Small seeds look alike at first.
        for _ in 0..8 {
            chance.share();
        }
        chance
    }

    /// 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}
