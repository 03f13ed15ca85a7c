//! The sums of products of a short piece of sound with a long one, at every place: by Fourier transforms.
//!
//! Sum by sum these are 600,000 multiplications, and were the most of what a call cost in which both sides speak. A product of transforms gives the
//! same sums, but around the corner: so the long piece is cut in two that overlap by the short one, and from each only the places at
//! which the short one fits are taken. Transforms are of complex numbers: one half of the long piece goes as the real part, the other as the imaginary one.

use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};

use super::{LONGEST, WINDOW};

/// Places that a part gives, less the one that the next gives again.
const STEP: usize = LONGEST / 2;
/// Samples of a part: 1,280 = 2⁸ · 5, which transforms well.
const PART: usize = STEP + WINDOW;
const SPECTRUM: usize = PART / 2 + 1;
/// Room for what a transform puts aside: it asks for as much at most.
const SCRATCH: usize = PART;

type Scratch = [Complex<f32>; SCRATCH];

/// Made once; all calls share it.
pub(super) struct Transforms {
    short: Arc<dyn RealToComplex<f32>>,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

impl Transforms {
    pub(super) fn get() -> &'static Transforms {
        static TRANSFORMS: OnceLock<Transforms> = OnceLock::new();
        TRANSFORMS.get_or_init(|| {
            let short = RealFftPlanner::new().plan_fft_forward(PART);
            let mut planner = FftPlanner::new();
            let (forward, inverse) = (planner.plan_fft_forward(PART), planner.plan_fft_inverse(PART));
            // Which way it goes depends on the processor; no way asks for more. Better to learn it here than in a tick.
            let asked = [
                short.get_scratch_len(),
                forward.get_inplace_scratch_len(),
                inverse.get_inplace_scratch_len(),
            ];
            assert!(asked.into_iter().all(|asked| asked <= SCRATCH));
            Transforms { short, forward, inverse }
        })
    }

    /// Sums of the products of `short` with what stands at each place of `long`. Needs some 30 kilobytes of stack, and allocates nothing.
    pub(super) fn products(
        &self,
        short: &[f32; WINDOW],
        long: &[f32; LONGEST + WINDOW],
        out: &mut [f32; LONGEST + 1],
    ) {
        let mut scratch = [Complex::default(); SCRATCH];
        let short = self.spectrum(short, &mut scratch);
        let mut both = [Complex::default(); PART];
        for ((value, re), im) in both.iter_mut().zip(long).zip(&long[STEP..]) {
            *value = Complex::new(*re, *im);
        }
        let asked = self.forward.get_inplace_scratch_len();
        self.forward.process_with_scratch(&mut both, &mut scratch[..asked]);
        // The sum runs along with the long piece, and not against it: so it is the conjugate of the short one's spectrum, of which the second half
        // mirrors the first.
        let (low, high) = both.split_at_mut(SPECTRUM);
        for (value, short) in low.iter_mut().zip(&short) {
            *value *= short.conj();
        }
        for (value, short) in high.iter_mut().rev().zip(&short[1..]) {
            *value *= short;
        }
        let asked = self.inverse.get_inplace_scratch_len();
        self.inverse.process_with_scratch(&mut both, &mut scratch[..asked]);
        for (out, value) in out.iter_mut().zip(&both[..=STEP]) {
            *out = value.re;
        }
        for (out, value) in out[STEP..].iter_mut().zip(&both[..=STEP]) {
            *out = value.im;
        }
    }

    /// Of the short piece, less the length by which a transform and its inverse multiply.
    fn spectrum(&self, short: &[f32; WINDOW], scratch: &mut Scratch) -> [Complex<f32>; SPECTRUM] {
        let mut part = [0.0; PART];
        for (part, short) in part.iter_mut().zip(short) {
            *part = short / PART as f32;
        }
        let mut spectrum = [Complex::default(); SPECTRUM];
        let asked = self.short.get_scratch_len();
        let done = self.short.process_with_scratch(&mut part, &mut spectrum, &mut scratch[..asked]);
        debug_assert!(done.is_ok(), "the lengths are those that were planned");
        spectrum
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
