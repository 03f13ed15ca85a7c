//! The sums of products of a short piece of sound with a long one, at every place: by Fourier transforms.
//!
//! Sum by sum these are 600,000 multiplications, and were the most of what a call cost in which both sides speak. A product of transforms gives the
//! same sums, but around the corner: so the long piece is cut in two that overlap by the short one, and from each only the places at
//! which the short one fits are taken. Transforms are of complex numbers: one half of the long piece goes as the real part, the other as the imaginary one.

use std::sync::{Arc, OnceLock};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::{LONGEST, WINDOW};

/// Places that a part gives, less the one that the next gives again.
const STEP: usize = LONGEST / 2;
/// Samples of a part: 1,280 = 2⁸ · 5, which transforms well.
const PART: usize = STEP + WINDOW;

type Part = [Complex<f32>; PART];

/// Made once; all calls share it.
pub(super) struct Transforms {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

impl Transforms {
    pub(super) fn get() -> &'static Transforms {
        static TRANSFORMS: OnceLock<Transforms> = OnceLock::new();
        TRANSFORMS.get_or_init(|| {
            let mut planner = FftPlanner::new();
            let (forward, inverse) = (planner.plan_fft_forward(PART), planner.plan_fft_inverse(PART));
            // Which way it goes depends on the processor; no way asks for more. Better to learn it here than in a tick.
            assert!(forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len()) <= PART);
            Transforms { forward, inverse }
        })
    }

    /// Sums of the products of `short` with what stands at each place of `long`. Needs some 30 kilobytes of stack, and allocates nothing.
    #[inline(always)]
    pub(super) fn products(
        &self,
        short: &[f32; WINDOW],
        long: &[f32; LONGEST + WINDOW],
        out: &mut [f32; LONGEST + 1],
    ) {
        let mut scratch = [Complex::default(); PART];
        let mut spectrum = [Complex::default(); PART];
        for (value, short) in spectrum.iter_mut().zip(short) {
            // Less the length by which a transform and its inverse multiply.
            value.re = short / PART as f32;
        }
        transform(&*self.forward, &mut spectrum, &mut scratch);
        let mut both = [Complex::default(); PART];
        for ((value, re), im) in both.iter_mut().zip(long).zip(&long[STEP..]) {
            *value = Complex::new(*re, *im);
        }
        transform(&*self.forward, &mut both, &mut scratch);
        // The sum runs along with the long piece, and not against it: so it is the conjugate of the short one's spectrum.
        for (value, short) in both.iter_mut().zip(&spectrum) {
            *value *= short.conj();
        }
        transform(&*self.inverse, &mut both, &mut scratch);
        for (out, value) in out.iter_mut().zip(&both[..=STEP]) {
            *out = value.re;
        }
        for (out, value) in out[STEP..].iter_mut().zip(&both[..=STEP]) {
            *out = value.im;
        }
    }
}

fn transform(by: &dyn Fft<f32>, part: &mut Part, scratch: &mut Part) {
    by.process_with_scratch(part, &mut scratch[..by.get_inplace_scratch_len()]);
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
