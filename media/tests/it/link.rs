//! A line that loses, delays, doubles and reorders packets, by a seed: the same seed, the same fate. It knows nothing of sound or sessions and needs
//! nothing but `std`, so that tests and benches share it (`#[path = …] mod link;`).

/// A small generator with good enough bits (xorshift64*).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Mean 0, deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.share()).ln()
    }
}

/// How the random part of the delay is distributed. `jitter_ms` is its spread.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub enum Shape {
    /// Each delay from 0 to `jitter_ms` is as likely as any other.
    #[default]
    Uniform,
    /// A bell whose deviation is `jitter_ms`, cut off at 0 below (the bell stands at two deviations).
    Normal,
    /// Most come at once, few take long: the mean is `jitter_ms`.
    Exponential,
    /// A queue that fills and empties slowly: neighbours fare alike, the deviation over time is about `jitter_ms`.
    Wander,
}

/// What happens to packets on their way. All zero is a perfect line.
#[derive(Clone, Copy, Default, Debug)]
pub struct Link {
    pub seed: u64,
    /// The share of packets that is lost.
    pub loss: f64,
    /// The mean length of a burst of losses in packets (Gilbert's model). 0 and 1: each packet for itself.
    pub burst: usize,
    /// The share of packets that comes through within a burst (Elliott's addition).
    pub spared: f64,
    pub duplicate: f64,
    /// The least delay, and what is added at random.
    pub delay_ms: f64,
    pub jitter_ms: f64,
    pub shape: Shape,
    /// Packets never overtake one another, as in one queue.
    pub ordered: bool,
    /// One packet in a hundred takes so much longer.
    pub spike_ms: f64,
    /// Every five seconds nothing comes for so long, and then everything at once.
    pub stall_ms: f64,
    /// How much faster the sender's clock runs, parts per million.
    pub drift_ppm: f64,
}

/// The state of a [`Link`], packet by packet.
pub struct Path {
    link: Link,
    chance: Chance,
    bad: bool,
    wander: f64,
    latest: u64,
    trace: Vec<Option<f32>>,
    sent: usize,
    pub dropped: u64,
}

impl Path {
    pub fn new(link: Link) -> Self {
        let chance = Chance::new(link.seed);
        Path { link, chance, bad: false, wander: 0.0, latest: 0, trace: Vec::new(), sent: 0, dropped: 0 }
    }

    /// The packets fare as a trace says, one entry each, over and over: the delay in milliseconds, or lost. What the link does comes on top.
    #[allow(dead_code, reason = "not every user of this file has traces")]
    pub fn along(link: Link, trace: Vec<Option<f32>>) -> Self {
        Path { trace, ..Path::new(link) }
    }

    /// A packet leaves at `at_ns`. When it arrives, and when it arrives once more; none if it is lost.
    pub fn send(&mut self, at_ns: u64) -> impl Iterator<Item = u64> + use<> {
        let traced = match self.trace.len() {
            0 => Some(0.0),
            length => self.trace[self.sent % length],
        };
        self.sent += 1;
        let lost = self.loses();
        let (Some(traced), false) = (traced, lost) else {
            self.dropped += 1;
            return [None, None].into_iter().flatten();
        };
        let delay_ms = f64::from(traced) + self.delay_ms();
        let first = self.arrival(at_ns, delay_ms);
        let second = (self.chance.share() < self.link.duplicate).then(|| {
            let later = delay_ms + 15.0 * self.chance.share();
            self.arrival(at_ns, later)
        });
        [Some(first), second].into_iter().flatten()
    }

    fn loses(&mut self) -> bool {
        let burst = self.link.burst as f64;
        if burst <= 1.0 {
            return self.link.loss > 0.0 && self.chance.share() < self.link.loss;
        }
        // The share of time in the bad state is what makes the share of losses right.
        let share = (self.link.loss / (1.0 - self.link.spared)).min(0.99);
        let leave = 1.0 / burst;
        let enter = leave * share / (1.0 - share);
        let chance = self.chance.share();
        self.bad = if self.bad { chance >= leave } else { chance < enter };
        self.bad && self.chance.share() >= self.link.spared
    }

    fn delay_ms(&mut self) -> f64 {
        let Link { delay_ms, jitter_ms, shape, spike_ms, .. } = self.link;
        let spike = if self.chance.share() < 0.01 { spike_ms } else { 0.0 };
        let added = match shape {
            Shape::Uniform => jitter_ms * self.chance.share(),
            Shape::Normal => jitter_ms * (self.chance.normal() + 2.0).max(0.0),
            Shape::Exponential => jitter_ms * self.chance.exponential(),
            Shape::Wander => {
                // About a second of memory at 50 packets a second.
                self.wander = 0.98 * self.wander + 0.2 * self.chance.normal();
                jitter_ms * self.wander.abs()
            }
        };
        delay_ms + added + spike
    }

    fn arrival(&mut self, at_ns: u64, delay_ms: f64) -> u64 {
        const PERIOD: u64 = 5_000_000_000;
        let mut arrival = at_ns + (delay_ms * 1e6) as u64;
        let stall = (self.link.stall_ms * 1e6) as u64;
        let into = arrival % PERIOD;
        if into < stall {
            arrival += stall - into;
        }
        if self.link.ordered {
            arrival = arrival.max(self.latest);
        }
        self.latest = self.latest.max(arrival);
        arrival
    }
}
