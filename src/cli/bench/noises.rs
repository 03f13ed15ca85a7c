//! Coughs and noises, made of shaped noise: not recorded, but each as broad, as short and as sudden as its model, and the same in every run.

/// Hz.
pub(super) const RATE: u32 = 8_000;

/// xorshift64*.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// −1 to 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() + 1.0) / 2.0
    }
}

/// A resonance of two poles.
struct Resonance {
    turn: f32,
    damping: f32,
    before: [f32; 2],
}

impl Resonance {
    fn new(frequency: f32, width: f32) -> Self {
        let rate = RATE as f32;
        let radius = (-std::f32::consts::PI * width / rate).exp();
        let turn = 2.0 * radius * (std::f32::consts::TAU * frequency / rate).cos();
        Self { turn, damping: radius * radius, before: [0.0; 2] }
    }

    fn push(&mut self, value: f32) -> f32 {
        let out = value + self.turn * self.before[0] - self.damping * self.before[1];
        self.before = [out, self.before[0]];
        out
    }
}

fn samples(seconds: f32) -> usize {
    (seconds * RATE as f32) as usize
}

/// Noise through resonances (Hz, and how wide), loud for a moment and then dying away.
fn burst(chance: &mut Chance, seconds: f32, rise: f32, decay: f32, resonances: &[(f32, f32)]) -> Vec<f32> {
    let mut resonances: Vec<_> = resonances.iter().map(|&(at, wide)| Resonance::new(at, wide)).collect();
    (0..samples(seconds))
        .map(|n| {
            let time = n as f32 / RATE as f32;
            let loud = (time / rise).min(1.0) * (-(time - rise).max(0.0) / decay).exp();
            let noise = chance.next();
            loud * resonances.iter_mut().map(|resonance| resonance.push(noise)).sum::<f32>()
        })
        .collect()
}

/// To this peak.
fn finished(sound: Vec<f32>, peak: f32) -> Vec<i16> {
    let loudest = sound.iter().fold(1e-6f32, |loudest, value| loudest.max(value.abs()));
    sound.into_iter().map(|value| (value / loudest * peak) as i16).collect()
}

/// A cough: one or two bursts of air through a throat, 0.2 to 0.8 s.
pub(super) fn cough(seed: u64) -> Vec<i16> {
    let mut chance = Chance::new(seed + 100);
    let mut sound = Vec::new();
    for _ in 0..1 + seed % 2 {
        let throat = chance.between(450.0, 750.0);
        let resonances = [(throat, 250.0), (throat * 2.6, 400.0), (2_700.0, 600.0)];
        let (seconds, decay) = (chance.between(0.16, 0.28), chance.between(0.04, 0.08));
        sound.extend(burst(&mut chance, seconds, 0.008, decay, &resonances));
        sound.extend(vec![0.0; samples(chance.between(0.06, 0.18))]);
    }
    finished(sound, 11_000.0)
}

/// A knock, a door, a keyboard, paper, a breath, a horn; by turns.
pub(super) fn noise(seed: u64) -> (&'static str, Vec<i16>) {
    let mut chance = Chance::new(seed + 500);
    match seed % 6 {
        0 => ("knock", {
            let knock =
                |chance: &mut Chance| burst(chance, 0.13, 0.002, 0.03, &[(180.0, 80.0), (900.0, 500.0)]);
            let mut sound = knock(&mut chance);
            sound.extend(knock(&mut chance));
            finished(sound, 12_000.0)
        }),
        1 => (
            "door",
            finished(burst(&mut chance, 0.5, 0.004, 0.1, &[(110.0, 60.0), (350.0, 200.0)]), 14_000.0),
        ),
        2 => ("keyboard", {
            let mut sound = Vec::new();
            for _ in 0..6 {
                sound.extend(burst(&mut chance, 0.03, 0.001, 0.006, &[(2_400.0, 900.0), (3_300.0, 600.0)]));
                sound.extend(vec![0.0; samples(chance.between(0.05, 0.14))]);
            }
            finished(sound, 6_000.0)
        }),
        3 => ("paper", {
            let mut sound = Vec::new();
            for _ in 0..4 {
                let seconds = chance.between(0.08, 0.2);
                sound.extend(burst(&mut chance, seconds, seconds / 3.0, 0.06, &[(2_900.0, 1_500.0)]));
            }
            finished(sound, 3_500.0)
        }),
        4 => (
            "breath",
            finished(burst(&mut chance, 0.7, 0.3, 0.15, &[(900.0, 900.0), (1_900.0, 1_200.0)]), 2_500.0),
        ),
        _ => ("horn", {
            let tone = |n: usize, frequency: f32| {
                let turns = std::f32::consts::TAU * frequency * n as f32 / RATE as f32;
                turns.sin() + 0.5 * (2.0 * turns).sin()
            };
            let sound = (0..samples(0.6)).map(|n| tone(n, 400.0) + tone(n, 505.0)).collect();
            finished(sound, 9_000.0)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_short_loud_and_the_same_every_time() {
        for seed in 0..12 {
            let (_, noise_then) = noise(seed);
            for sound in [cough(seed), noise_then] {
                let peak = sound.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
                assert!((1_200..9_600).contains(&sound.len()), "{}", sound.len());
                assert!(peak > 2_000, "{peak}");
            }
            assert_eq!((cough(seed), noise(seed)), (cough(seed), noise(seed)));
        }
    }
}
