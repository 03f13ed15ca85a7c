//! Several sounds on one line: added without loss, and turned down together where the sum is more than a line can carry.
//!
//! What fits is the plain sum, to the bit; so one voice alone passes unchanged however loud it is. What does not fit is made to fit by a gain for
//! all: it falls ahead of the first sample that is too loud, as far as the frame shows it coming, and rises again within a second. So two who
//! speak at once stay two voices, where clipping would make a noise of them.

/// What a sample may be.
const FULL: f32 = i16::MAX as f32;
/// What the gain regains in a frame of 20 ms: from silence to all of it in 800 ms.
const RELEASE: f32 = 1.0 / 40.0;

/// Turns down sums that are too loud, each frame joining the one before without a step.
pub(crate) struct Limiter {
    gain: f32,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        Limiter { gain: 1.0 }
    }

    /// The frame that these sums become. `out` has their length.
    pub(crate) fn limit(&mut self, sum: &[i32], out: &mut [i16]) {
        let peak = sum.iter().map(|&sample| height(sample)).max().unwrap_or(0) as f32;
        let fits = if peak > FULL { FULL / peak } else { 1.0 };
        if self.gain >= 1.0 && fits >= 1.0 {
            for (out, &sample) in out.iter_mut().zip(sum) {
                *out = sample as i16;
            }
            return;
        }
        let (from, to, steps) = if fits < self.gain {
            let too_loud = |&sample: &i32| height(sample) as f32 * self.gain > FULL;
            (self.gain, fits, sum.iter().position(too_loud).unwrap_or(sum.len()))
        } else {
            (self.gain, fits.min(self.gain + RELEASE), sum.len())
        };
        let slope = (to - from) / steps.max(1) as f32;
        for (index, (out, &sample)) in out.iter_mut().zip(sum).enumerate() {
            let gain = if index < steps { from + slope * index as f32 } else { to };
            // The cast saturates.
            *out = (sample as f32 * gain).round() as i16;
        }
        self.gain = to;
    }
}

/// How far a sample stands from zero, where −32,768 is as far as 32,767: both are the last that fit.
fn height(sample: i32) -> u32 {
    if sample < 0 { !sample as u32 } else { sample as u32 }
}

/// Adds a frame to sums.
pub(crate) fn add(sum: &mut [i32], frame: &[i16]) {
    for (sum, &sample) in sum.iter_mut().zip(frame) {
        *sum += i32::from(sample);
    }
}

/// Takes a frame out of sums again.
pub(crate) fn subtract(sum: &mut [i32], frame: &[i16]) {
    for (sum, &sample) in sum.iter_mut().zip(frame) {
        *sum -= i32::from(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn tone(hz: f64, loudness: f64, frames: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hz / 8_000.0;
        (0..FRAME * frames).map(|n| (loudness * (step * n as f64).sin()) as i16).collect()
    }

    fn mix(parts: &[&[i16]]) -> Vec<i16> {
        let mut limiter = Limiter::new();
        let mut mixed = Vec::new();
        for at in (0..parts[0].len()).step_by(FRAME) {
            let mut sum = [0; FRAME];
            for part in parts {
                add(&mut sum, &part[at..at + FRAME]);
            }
            let mut out = [0; FRAME];
            limiter.limit(&sum, &mut out);
            mixed.extend(out);
        }
        mixed
    }

    #[test]
    fn what_fits_is_the_plain_sum_and_one_voice_alone_is_never_changed() {
        let loud: Vec<i16> = (0..FRAME * 4).map(|n| if n % 7 < 3 { i16::MAX } else { i16::MIN }).collect();
        assert_eq!(mix(&[&loud]), loud);
        let (one, other) = (tone(440.0, 9_000.0, 20), tone(700.0, 9_000.0, 20));
        let sum: Vec<i16> = one.iter().zip(&other).map(|(one, other)| one + other).collect();
        assert_eq!(mix(&[&one, &other]), sum);
    }

    #[test]
    fn what_does_not_fit_is_turned_down_and_stays_two_tones() {
        let parts = [tone(440.0, 30_000.0, 50), tone(700.0, 30_000.0, 50), tone(1_100.0, 20_000.0, 50)];
        let mixed = mix(&[&parts[0], &parts[1], &parts[2]]);
        // From the second frame on: the gain has settled, and what comes out is what went in, but for its loudness.
        let (mixed, wanted): (Vec<f64>, Vec<f64>) = mixed
            .iter()
            .zip(parts[0].iter().zip(&parts[1]).zip(&parts[2]))
            .skip(FRAME * 5)
            .map(|(&out, ((&a, &b), &c))| (f64::from(out), f64::from(a) + f64::from(b) + f64::from(c)))
            .unzip();
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let gain = dot(&mixed, &wanted) / dot(&wanted, &wanted);
        let noise: f64 = mixed.iter().zip(&wanted).map(|(out, sum)| (out - gain * sum).powi(2)).sum();
        let snr = 10.0 * (dot(&mixed, &mixed) / noise).log10();
        let clipped: f64 = wanted.iter().map(|sum| (sum - sum.clamp(-32_767.0, 32_767.0)).powi(2)).sum();
        let by_clipping = 10.0 * (dot(&wanted, &wanted) / clipped).log10();
        assert!(snr > 25.0 && snr > by_clipping + 10.0, "{snr:.1} dB; clipping: {by_clipping:.1} dB");
        assert!((0.3..0.6).contains(&gain), "{gain}");
    }

    #[test]
    fn the_gain_comes_back_and_makes_no_step() {
        let (one, mut other) = (tone(440.0, 30_000.0, 60), tone(440.0, 30_000.0, 60));
        other[FRAME * 10..].fill(0);
        let mixed = mix(&[&one, &other]);
        assert_eq!(mixed[FRAME * 40..], one[FRAME * 40..], "alone again, it is as it was");
        let steepest = one.windows(2).map(|pair| i32::from(pair[0]).abs_diff(pair[1].into())).max();
        let step =
            mixed[FRAME * 11..].windows(2).map(|pair| i32::from(pair[0]).abs_diff(pair[1].into())).max();
        assert!(step <= steepest.map(|most| most + 64), "{step:?} {steepest:?}");
    }
}
