//! Comfort noise (RFC 3389): a peer that is silent says how its silence sounds, and we make a sound like that.
//!
//! The payload's first byte is the level in −dBov, the others are reflection coefficients of the noise's spectrum. White noise goes through the
//! lattice filter that they describe; its gain is set so that the level is right whatever the spectrum.

/// Coefficients that are taken; more are ignored, as §3.2 allows.
const ORDER: usize = 12;
/// The level of 0 dBov on the 16-bit scale: a square wave at µ-law's limit (§3.1).
const OVERLOAD: f32 = 32_124.0;
/// Noise whose level changes by steps sounds like one; of the difference, so much remains after each sample.
const GLIDE: f32 = 0.995;

/// A source of noise. The same payloads make the same noise.
#[derive(Clone, Debug)]
pub(crate) struct Comfort {
    coefficients: [f32; ORDER],
    order: usize,
    /// What the white noise is multiplied with, and what it glides to.
    gain: f32,
    goal: f32,
    state: [f32; ORDER],
    bits: u32,
}

impl Comfort {
    pub(crate) fn new() -> Self {
        Comfort {
            coefficients: [0.0; ORDER],
            order: 0,
            gain: 0.0,
            goal: 0.0,
            state: [0.0; ORDER],
            bits: 0x9e37_79b9,
        }
    }

    /// Takes a payload in. An empty one changes nothing.
    pub(crate) fn describe(&mut self, payload: &[u8]) {
        let Some((level, spectrum)) = payload.split_first() else { return };
        // §3.1: the highest bit is not part of the level.
        let level = OVERLOAD * 10f32.powf(-f32::from(level & 0x7f) / 20.0);
        if self.order != spectrum.len().min(ORDER) {
            self.state = [0.0; ORDER];
        }
        self.order = spectrum.len().min(ORDER);
        let mut power = 1.0;
        for (coefficient, &byte) in self.coefficients.iter_mut().zip(spectrum) {
            // §3.2; all but one are below 1 in magnitude, and a filter must not ring for ever.
            *coefficient = (258.0 * (f32::from(byte) - 127.0) / 32_768.0).clamp(-0.98, 0.98);
            power *= 1.0 - *coefficient * *coefficient;
        }
        // Uniform noise from −1 to 1 has a power of a third; the lattice divides it by `power`.
        self.goal = level * (3.0 * power).sqrt();
    }

    /// Begins from nothing, as after speech.
    pub(crate) fn restart(&mut self) {
        self.gain = self.goal;
        self.state = [0.0; ORDER];
    }

    pub(crate) fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.gain = self.goal + (self.gain - self.goal) * GLIDE;
            // Numerical Recipes' generator; its upper bits are good enough for noise.
            self.bits = self.bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = (self.bits >> 8) as f32 / 8_388_608.0 - 1.0;
            *sample = self.lattice(white * self.gain) as i16;
        }
    }

    /// One sample through the all-pole lattice.
    fn lattice(&mut self, input: f32) -> f32 {
        let mut forward = input;
        for stage in (0..self.order).rev() {
            let reflection = self.coefficients[stage];
            forward -= reflection * self.state[stage];
            if stage + 1 < self.order {
                self.state[stage + 1] = self.state[stage] + reflection * forward;
            }
        }
        if self.order > 0 {
            self.state[0] = forward;
        }
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stretch::energy;

    fn level_of(payload: &[u8]) -> f32 {
        let mut comfort = Comfort::new();
        comfort.describe(payload);
        comfort.restart();
        let mut pcm = vec![0; 16_000];
        comfort.fill(&mut pcm);
        10.0 * (energy(&pcm) / OVERLOAD.powi(2)).log10()
    }

    #[test]
    fn noise_has_the_level_that_was_asked_for_whatever_its_spectrum() {
        for spectrum in [
            &[][..],
            &[200],
            &[40, 160],
            &[60, 180, 110, 140, 127, 130, 120, 127, 127, 127, 127, 127, 127, 9],
        ] {
            for level in [30u8, 45, 60] {
                let mut payload = vec![level];
                payload.extend(spectrum);
                let measured = level_of(&payload);
                assert!((measured + f32::from(level)).abs() < 1.5, "{level} {spectrum:?}: {measured}");
            }
        }
    }

    #[test]
    fn the_spectrum_is_that_of_the_coefficients() {
        // One coefficient: the correlation of neighbours is its negative.
        for (byte, expected) in [(27u8, 0.787), (227, -0.787)] {
            let mut comfort = Comfort::new();
            comfort.describe(&[30, byte]);
            comfort.restart();
            let mut pcm = vec![0; 16_000];
            comfort.fill(&mut pcm);
            let neighbours = pcm.windows(2).map(|pair| f32::from(pair[0]) * f32::from(pair[1])).sum::<f32>();
            let measured = neighbours / (energy(&pcm) * 16_000.0);
            assert!((measured - expected).abs() < 0.05, "{byte}: {measured}");
        }
    }

    #[test]
    fn any_payload_is_taken() {
        let mut comfort = Comfort::new();
        let mut pcm = vec![0; 800];
        for byte in 0..=255u8 {
            comfort.describe(&vec![byte; usize::from(byte)]);
            comfort.fill(&mut pcm);
            assert!(comfort.state.iter().all(|value| value.is_finite()));
        }
        comfort.describe(&[127]);
        comfort.fill(&mut vec![0; 16_000]);
        comfort.fill(&mut pcm);
        assert!(pcm.iter().all(|sample| sample.abs() <= 1), "as good as silence");
    }
}
