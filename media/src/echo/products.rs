//! The sums of products of a short piece of sound with a long one, at every place: by Fourier transforms.
//!
//! Sum by sum these are 600,000 multiplications, and were the most of what a call cost in which both sides speak. A product of transforms gives the
//! same sums, but around the corner: so the long piece is cut in two that overlap by the short one, and from each only the places at
//! which the short one fits are taken.

use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::{LONGEST, WINDOW};

/// Places that a part gives, less the one that the next gives again.
const STEP: usize = LONGEST / 2;
/// Samples of a part: 1,280 = 2⁸ · 5, which transforms well.
const PART: usize = STEP + WINDOW;
const SPECTRUM: usize = PART / 2 + 1;
/// Room for what a transform puts aside: it asks for half as much.
const SCRATCH: usize = PART;

type Scratch = [Complex<f32>; SCRATCH];

/// Made once; all calls share it.
pub(super) struct Transforms {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Transforms {
    pub(super) fn get() -> &'static Transforms {
        static TRANSFORMS: OnceLock<Transforms> = OnceLock::new();
        TRANSFORMS.get_or_init(|| {
            let mut planner = RealFftPlanner::new();
            let (forward, inverse) = (planner.plan_fft_forward(PART), planner.plan_fft_inverse(PART));
            // Which way it goes depends on the processor; no way asks for more. Better to learn it here than in a tick.
            assert!(forward.get_scratch_len().max(inverse.get_scratch_len()) <= SCRATCH);
            Transforms { forward, inverse }
        })
    }

    /// Sums of the products of `short` with what stands at each place of `long`. Needs some 25 kilobytes of stack, and allocates nothing.
    pub(super) fn products(
        &self,
        short: &[f32; WINDOW],
        long: &[f32; LONGEST + WINDOW],
        out: &mut [f32; LONGEST + 1],
    ) {
        let mut part = [0.0; PART];
        part[..WINDOW].copy_from_slice(short);
        let mut spectrum = [Complex::default(); SPECTRUM];
        let mut scratch = [Complex::default(); SCRATCH];
        self.forward(&mut part, &mut spectrum, &mut scratch);
        // The sum runs along with the long piece, and not against it; and a transform and its inverse multiply by the length.
        let short = spectrum.map(|value| value.conj() / PART as f32);
        for start in [0, STEP] {
            part.copy_from_slice(&long[start..start + PART]);
            self.forward(&mut part, &mut spectrum, &mut scratch);
            for (value, short) in spectrum.iter_mut().zip(&short) {
                *value *= short;
            }
            // They are real, but for what rounding leaves.
            spectrum[0].im = 0.0;
            spectrum[SPECTRUM - 1].im = 0.0;
            self.inverse(&mut spectrum, &mut part, &mut scratch);
            out[start..=start + STEP].copy_from_slice(&part[..=STEP]);
        }
    }

    fn forward(&self, from: &mut [f32; PART], to: &mut [Complex<f32>; SPECTRUM], scratch: &mut Scratch) {
        let length = self.forward.get_scratch_len();
        let done = self.forward.process_with_scratch(from, to, &mut scratch[..length]);
        debug_assert!(done.is_ok(), "the lengths are those that were planned");
    }

    fn inverse(&self, from: &mut [Complex<f32>; SPECTRUM], to: &mut [f32; PART], scratch: &mut Scratch) {
        let length = self.inverse.get_scratch_len();
        let done = self.inverse.process_with_scratch(from, to, &mut scratch[..length]);
        debug_assert!(done.is_ok(), "the lengths are those that were planned");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_are_sum_by_sum() {
        let noise = |n: usize| ((n as u32).wrapping_mul(2_654_435_769) >> 16) as f32 - 32_768.0;
        let short: [f32; WINDOW] = std::array::from_fn(noise);
        let long: [f32; LONGEST + WINDOW] = std::array::from_fn(|n| noise(n * 7 + 3));
        let mut out = [0.0; LONGEST + 1];
        Transforms::get().products(&short, &long, &mut out);
        let largest = WINDOW as f32 * 32_768.0 * 32_768.0;
        for (place, product) in out.iter().enumerate() {
            let exact: f64 =
                short.iter().zip(&long[place..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((exact as f32 - product).abs() < largest * 1e-6, "{place}: {product}, not {exact}");
        }
    }
}
