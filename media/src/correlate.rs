//! How alike a short piece of sound and each stretch of a long one are: all the sums of products at once, by Fourier transforms.
//!
//! One by one the sums of a search over half a second are 600,000 multiplications, in every tick in which both sides speak; by transforms they are
//! some 60,000. The tables are made once, by the first who asks; a search allocates nothing.

use std::sync::{Arc, OnceLock};

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Samples of a transform: a product of twos and threes, which are the fastest.
const SIZE: usize = 2_304;
const SPECTRUM: usize = SIZE / 2 + 1;
/// The longest sound that is searched.
pub(crate) const LONGEST: usize = SIZE;

pub(crate) struct Correlator {
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
}

impl Correlator {
    /// The one of all sessions. To make it takes about a millisecond.
    pub(crate) fn get() -> &'static Correlator {
        static CORRELATOR: OnceLock<Correlator> = OnceLock::new();
        CORRELATOR.get_or_init(|| {
            let mut planner = RealFftPlanner::new();
            Correlator { forward: planner.plan_fft_forward(SIZE), backward: planner.plan_fft_inverse(SIZE) }
        })
    }

    /// `sums[n]` is the sum of the products of `short` with `long[n..]`, for every `n` at which it lies within `long`.
    pub(crate) fn correlate(&self, short: &[f32], long: &[f32], sums: &mut [f32]) {
        let zero = Complex32::new(0.0, 0.0);
        let (mut padded, mut scratch) = ([0.0f32; SIZE], [zero; SIZE]);
        let (mut short_spectrum, mut spectrum) = ([zero; SPECTRUM], [zero; SPECTRUM]);
        let mut forward = |sound: &[f32], spectrum: &mut [Complex32; SPECTRUM]| {
            let length = sound.len().min(SIZE);
            padded[..length].copy_from_slice(&sound[..length]);
            padded[length..].fill(0.0);
            let scratch = &mut scratch[..self.forward.get_scratch_len().min(SIZE)];
            self.forward.process_with_scratch(&mut padded, spectrum, scratch)
        };
        let done = forward(short, &mut short_spectrum).and_then(|()| forward(long, &mut spectrum));
        for (value, short) in spectrum.iter_mut().zip(&short_spectrum) {
            *value *= short.conj();
        }
        // Real by nature; rounding must not say otherwise.
        spectrum[0].im = 0.0;
        spectrum[SPECTRUM - 1].im = 0.0;
        let scratch = &mut scratch[..self.backward.get_scratch_len().min(SIZE)];
        let done =
            done.and_then(|()| self.backward.process_with_scratch(&mut spectrum, &mut padded, scratch));
        // All lengths are as the transforms want them, which a test sees to: nothing fails. Nothing found would be the right answer if it did.
        if done.is_err() {
            return sums.fill(0.0);
        }
        for (sum, value) in sums.iter_mut().zip(padded) {
            *sum = value / SIZE as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_sums_of_products() {
        let correlator = Correlator::get();
        assert!(correlator.forward.get_scratch_len().max(correlator.backward.get_scratch_len()) <= SIZE);
        let mut seed = 1u32;
        let mut noise = |count: usize| -> Vec<f32> {
            (0..count)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 16) as f32 - 32_768.0
                })
                .collect()
        };
        let (short, long) = (noise(320), noise(2_240));
        let mut sums = [0.0; 1_921];
        correlator.correlate(&short, &long, &mut sums);
        let largest = short.iter().map(|sample| sample * sample).sum::<f32>();
        for (start, sum) in sums.iter().enumerate() {
            let exact: f64 =
                short.iter().zip(&long[start..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!(
                (f64::from(*sum) - exact).abs() < f64::from(largest) * 1e-5,
                "{start}: {sum}, not {exact}"
            );
        }
    }
}
