//! The same work by wider instructions, where the processor has them: found out at run time, as a program that is built for them dies elsewhere.

use std::sync::OnceLock;

use pulp::Arch;
#[cfg(target_arch = "x86_64")]
use pulp::Simd;

/// Does this with AVX2 where there is AVX2. That holds for what is compiled into `work` itself, so it and whatever it calls for many numbers at a time must be
/// `#[inline(always)]`, and no closure within it may be left to be called. The result is the same, bit by bit: no sum is made in another order, no product joined
/// with a sum.
#[inline(always)]
pub(crate) fn widest<R>(work: impl FnOnce(Width) -> R) -> R {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    match *ARCH.get_or_init(Arch::new) {
        #[cfg(target_arch = "x86_64")]
        Arch::V3(v3) => v3.vectorize(
            #[inline(always)]
            || work(Width::Avx2(v3)),
        ),
        _ => work(Width::Plain),
    }
}

/// The sum of the products of numbers, of which there are as many here as there.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    widest(
        #[inline(always)]
        |width| width.dot(a, b),
    )
}

/// Whole numbers of 16 bits that are taken abreast, and sums of their products two by two.
pub(crate) const PAIRS: usize = 16;
const SUMS: usize = PAIRS / 2;
const FLOATS: usize = 32;

/// What the processor was found to have, for what no compiler finds by itself.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
}

impl Width {
    /// The sum of the products of whole numbers, two by two. It wraps: where that is checked at each step there are no steps of sixteen.
    #[inline(always)]
    pub(crate) fn sum_of_products<const N: usize>(self, a: &[i16; N], b: &[i16; N]) -> i32 {
        const { assert!(N.is_multiple_of(PAIRS)) };
        match self {
            Width::Plain => a.iter().zip(b).fold(0i32, |sum, (a, b)| {
                // It has room for a product of two of the smallest.
                sum.wrapping_add(i32::from(*a).wrapping_mul(i32::from(*b)))
            }),
            #[cfg(target_arch = "x86_64")]
            Width::Avx2(v3) => {
                let mut sums = v3.splat_i32x8(0);
                for (a, b) in a.as_chunks::<PAIRS>().0.iter().zip(b.as_chunks::<PAIRS>().0) {
                    let pairs = v3.multiply_wrapping_add_adjacent_i16x16(pulp::cast(*a), pulp::cast(*b));
                    sums = v3.wrapping_add_i32x8(sums, pairs);
                }
                let lanes: [i32; SUMS] = pulp::cast(sums);
                lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
            }
        }
    }

    /// The sum of the products of numbers, of which there are as many here as there: in sums that do not wait for one another, the same ones with each width.
    #[inline(always)]
    pub(crate) fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<FLOATS>(), b.as_chunks::<FLOATS>());
        let rows = a.iter().zip(b);
        let lanes: [[f32; 8]; FLOATS / 8] = match self {
            Width::Plain => {
                let mut lanes = [0.0f32; FLOATS];
                for (a, b) in rows {
                    for lane in 0..FLOATS {
                        lanes[lane] += a[lane] * b[lane];
                    }
                }
                pulp::cast(lanes)
            }
            #[cfg(target_arch = "x86_64")]
            Width::Avx2(v3) => {
                let mut sums = [v3.splat_f32x8(0.0); FLOATS / 8];
                for (a, b) in rows {
                    let (a, b): ([pulp::f32x8; FLOATS / 8], [pulp::f32x8; FLOATS / 8]) =
                        (pulp::cast(*a), pulp::cast(*b));
                    for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                        *sum = v3.add_f32s(*sum, v3.mul_f32s(a, b));
                    }
                }
                pulp::cast(sums)
            }
        };
        let lane = |lane: usize| (lanes[0][lane] + lanes[1][lane]) + (lanes[2][lane] + lanes[3][lane]);
        let all = ((lane(0) + lane(4)) + (lane(1) + lane(5))) + ((lane(2) + lane(6)) + (lane(3) + lane(7)));
        all + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
    }

    /// As [`sum_of_products`](Self::sum_of_products) for many sums at a time: each pair of numbers goes into all of them, by two weights for each, which are neighbours.
    #[inline(always)]
    pub(crate) fn sums_of_pairs<const ROWS: usize>(
        self,
        pairs: &[[i16; 2]],
        weights: &[[[i16; PAIRS]; ROWS]],
    ) -> [[i32; SUMS]; ROWS] {
        match self {
            Width::Plain => {
                let mut sums = [[0i32; SUMS]; ROWS];
                for (pair, rows) in pairs.iter().zip(weights) {
                    let [even, odd] = pair.map(i32::from);
                    for (sum, weights) in
                        sums.as_flattened_mut().iter_mut().zip(rows.as_flattened().as_chunks().0)
                    {
                        let [of_even, of_odd] = weights.map(i32::from);
                        let both = even.wrapping_mul(of_even).wrapping_add(odd.wrapping_mul(of_odd));
                        *sum = sum.wrapping_add(both);
                    }
                }
                sums
            }
            #[cfg(target_arch = "x86_64")]
            Width::Avx2(v3) => {
                let mut sums = [v3.splat_i32x8(0); ROWS];
                for (pair, rows) in pairs.iter().zip(weights) {
                    let both = pulp::cast(v3.splat_i32x8(pulp::cast(*pair)));
                    for (sum, row) in sums.iter_mut().zip(rows) {
                        let products = v3.multiply_wrapping_add_adjacent_i16x16(both, pulp::cast(*row));
                        *sum = v3.wrapping_add_i32x8(*sum, products);
                    }
                }
                sums.map(pulp::cast)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_same_however_they_are_made() {
        let mut state = 7u32;
        for round in 0..1_000 {
            let mut number = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if round == 0 { i16::MIN } else { (state >> 16) as i16 }
            };
            let (a, b): ([i16; 80], [i16; 80]) =
                (std::array::from_fn(|_| number()), std::array::from_fn(|_| number()));
            let plain = Width::Plain.sum_of_products(&a, &b);
            let exact: i64 = a.iter().zip(&b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum();
            assert_eq!(plain, exact as i32);
            assert_eq!(widest(|width| width.sum_of_products(&a, &b)), plain);
            let (c, d) = (a.map(f32::from), b.map(|number| f32::from(number) / 3.0));
            assert_eq!(widest(|width| width.dot(&c[1..], &d[..79])), Width::Plain.dot(&c[1..], &d[..79]));
            let exact: f64 = c.iter().zip(&d).map(|(c, d)| f64::from(*c) * f64::from(*d)).sum();
            assert!((f64::from(Width::Plain.dot(&c, &d)) - exact).abs() < 1e-5 * 80.0 * f64::from(1 << 30));
            let weights: [[[i16; PAIRS]; 3]; 40] =
                std::array::from_fn(|_| std::array::from_fn(|_| std::array::from_fn(|_| number())));
            let pairs = a.as_chunks().0;
            let plain = Width::Plain.sums_of_pairs(pairs, &weights);
            for (index, sum) in plain.as_flattened().iter().enumerate() {
                let (row, place) = (index / SUMS, 2 * (index % SUMS));
                let exact: i64 = (0..80)
                    .map(|at| i64::from(a[at]) * i64::from(weights[at / 2][row][place + at % 2]))
                    .sum();
                assert_eq!(*sum, exact as i32);
            }
            assert_eq!(widest(|width| width.sums_of_pairs(pairs, &weights)), plain);
        }
    }
}
