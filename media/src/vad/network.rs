//! The network of `earshot` 1.2.2 (Carson M. of pyke.io, MIT or Apache-2.0), whose weights are in `earshot.bin`, bit by bit those of that crate. What
//! it says is what the crate says, which a test compares over real speech; only the order of the work is ours.
//!
//! 1. The last 48 ms, with the treble raised, through a Hann window and a Fourier transform; the energies of 40 bands of the mel scale, their
//!    logarithms, brought to one size.
//! 2. Three such, 16 ms apart, through three layers of convolutions to 80 whole numbers.
//! 3. These through two recurrent layers (minimal gated units) of 64 cells, which are its memory; one sum of which is the answer.
//!
//! It is the largest part of what a call costs while its peer speaks. The crate's own takes twice the time: its transform is a simple one, its sums
//! wait for one another, and it cannot be told to work on sixteen channels abreast.

use std::sync::{Arc, OnceLock};

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use crate::resample::round;
use crate::widest::{PAIRS, Width, widest};

/// Samples that it takes at a time: 16 ms at 16 kHz.
pub(super) const WINDOW: usize = 256;
/// Samples that it looks at: three windows.
const SPAN: usize = 3 * WINDOW;
/// Complex numbers of the transform: twice as many samples, of which the last are silence.
const TRANSFORM: usize = 512;
const TREBLE: f32 = 0.97;
const BANDS: usize = 40;
/// Moments that the convolutions see, and taps of each.
const TAPS: usize = 3;
const CHANNELS: usize = 16;
/// Places along the bands after each layer, and numbers that the last one gives.
const FIRST: usize = (BANDS - 2 - 3) / 2 + 1;
const SECOND: usize = FIRST / 2;
const THIRD: usize = SECOND.div_ceil(2);
const INPUTS: usize = THIRD * CHANNELS;
const CELLS: usize = 64;
/// Numbers that are added up abreast in a band.
const ROW: usize = 8;
/// One, in the recurrent layers' sums.
const ONE: i64 = (1 << 24) - 1;
/// Where the bands begin, have their peak, and end, in steps of 15.6 Hz: each at the peak of the one before, and at that of the one after.
const EDGES: [usize; BANDS + 2] = [
    4, 7, 10, 13, 17, 21, 25, 29, 33, 38, 43, 48, 54, 60, 66, 73, 80, 87, 95, 103, 112, 122, 132, 142, 153,
    165, 178, 191, 205, 220, 236, 253, 270, 289, 309, 330, 353, 376, 402, 428, 456, 486,
];

type Channels = [f32; CHANNELS];

pub(super) struct Network {
    /// What was heard last, and the sample before it.
    heard: [i16; SPAN + 1],
    features: [[f32; BANDS]; TAPS],
    cells: [[i16; CELLS]; 2],
    fixed: &'static Fixed,
}

impl Network {
    pub(super) fn new() -> Self {
        Network {
            heard: [0; SPAN + 1],
            features: [[0.0; BANDS]; TAPS],
            cells: [[0; CELLS]; 2],
            fixed: Fixed::get(),
        }
    }

    /// How likely the sound that ends with this is voice, 0 to 1. Allocates nothing; needs some 14 kilobytes of stack.
    pub(super) fn hear(&mut self, window: &[i16; WINDOW]) -> f32 {
        widest(
            #[inline(always)]
            |width| self.judge(width, window),
        )
    }

    #[inline(always)]
    fn judge(&mut self, width: Width, window: &[i16; WINDOW]) -> f32 {
        self.heard.copy_within(WINDOW.., 0);
        self.heard[SPAN + 1 - WINDOW..].copy_from_slice(window);
        self.features.copy_within(1.., 0);
        self.features[TAPS - 1] = self.fixed.bands(&self.heard);
        let inputs = self.fixed.convolve(&self.features);
        let [first, second] = &mut self.cells;
        recur(width, &inputs, first, &self.fixed.first);
        recur(width, first, second, &self.fixed.second);
        let [of_first, of_second] = &self.fixed.output;
        let sum =
            width.sum_of_products(first, of_first).wrapping_add(width.sum_of_products(second, of_second));
        1.0 / (1.0 + (-(sum as f32 / (1 << 24) as f32)).exp())
    }
}

/// All that never changes, made once.
struct Fixed {
    transform: Arc<dyn Fft<f32>>,
    /// By which the transform's two halves are turned towards one another, the cosines and then the sines.
    turns: [[f32; TRANSFORM / 2]; 2],
    hann: [f32; SPAN],
    /// Of each band where it begins, and its weights, in rows.
    slopes: Vec<(usize, Vec<[f32; ROW]>)>,
    norm: [f32; BANDS],
    kernel: [f32; TAPS * TAPS],
    /// By what the first layer multiplies where that is positive, and where it is negative; what it adds.
    rising: Channels,
    falling: Channels,
    bias: Channels,
    middle: Layer,
    middle_bias: Channels,
    last: Layer,
    first: Weights,
    second: Weights,
    output: [[i16; CELLS]; 2],
}

/// Of a recurrent layer, once for its cells' values and once for their gates: by pairs of what goes in, those of all cells, two neighbours each.
type Weights = [Vec<[[i16; PAIRS]; CELLS * 2 / PAIRS]>; 2];

fn by_pairs<const IN: usize>(by_cell: &[[i16; IN]; 2 * CELLS]) -> Weights {
    let [values, gates] = [&by_cell[..CELLS], &by_cell[CELLS..]].map(|by_cell| {
        let pairs = (0..IN / 2).map(|pair| {
            std::array::from_fn(|row| {
                std::array::from_fn(|place| {
                    let cell = (row * PAIRS + place) / 2;
                    by_cell[cell][2 * pair + place % 2]
                })
            })
        });
        pairs.collect()
    });
    [values, gates]
}

/// A convolution along the bands, channel by channel, and the channels' mixture.
struct Layer {
    kernel: [Channels; TAPS],
    /// By the channel that goes in.
    mixture: [Channels; CHANNELS],
}

impl Fixed {
    fn get() -> &'static Fixed {
        static FIXED: OnceLock<Box<Fixed>> = OnceLock::new();
        FIXED.get_or_init(|| Box::new(Fixed::read(include_bytes!("earshot.bin"))))
    }

    fn read(bytes: &[u8]) -> Fixed {
        let mut rest = Rest(bytes);
        let norm = rest.floats();
        let kernel = rest.floats();
        let weights: Channels = rest.floats();
        let bias = rest.floats();
        let (middle, middle_bias) = (Layer::read(&mut rest), rest.floats());
        let last = Layer::read(&mut rest);
        let first = by_pairs(&std::array::from_fn(|_| rest.shorts::<INPUTS>()));
        let second = by_pairs(&std::array::from_fn(|_| rest.shorts::<CELLS>()));
        let output = std::array::from_fn(|_| rest.shorts());
        let transform = FftPlanner::new().plan_fft_forward(TRANSFORM);
        // Which way it goes depends on the processor. Better to learn it here than in a tick.
        assert!(transform.get_inplace_scratch_len() <= TRANSFORM && rest.0.is_empty());
        let turn = |k: usize| std::f64::consts::PI * k as f64 / TRANSFORM as f64;
        Fixed {
            transform,
            turns: [
                std::array::from_fn(|k| turn(k).cos() as f32),
                std::array::from_fn(|k| -turn(k).sin() as f32),
            ],
            hann: std::array::from_fn(|n| {
                let turn = std::f64::consts::TAU * n as f64 / SPAN as f64;
                (0.5 - 0.5 * turn.cos()) as f32
            }),
            slopes: EDGES.windows(3).map(slope).collect(),
            norm,
            kernel,
            rising: weights.map(|weight| weight.max(0.0)),
            falling: weights.map(|weight| weight.min(0.0)),
            bias,
            middle,
            middle_bias,
            last,
            first,
            second,
            output,
        }
    }

    /// The logarithms of the bands' energies, brought to one size.
    #[inline(always)]
    fn bands(&self, heard: &[i16; SPAN + 1]) -> [f32; BANDS] {
        let mut part = [0.0f32; SPAN];
        for (((out, before), now), hann) in part.iter_mut().zip(heard).zip(&heard[1..]).zip(&self.hann) {
            *out = (f32::from(*now) - TREBLE * f32::from(*before)) * hann;
        }
        let mut spectrum = [Complex::default(); TRANSFORM];
        for (value, [re, im]) in spectrum.iter_mut().zip(part.as_chunks().0) {
            *value = Complex::new(*re, *im);
        }
        let mut scratch = [Complex::default(); TRANSFORM];
        let scratch = &mut scratch[..self.transform.get_inplace_scratch_len()];
        self.transform.process_with_scratch(&mut spectrum, scratch);
        let power = self.power(&spectrum);
        let mut bands = [0.0f32; BANDS];
        for (band, (start, rows)) in bands.iter_mut().zip(&self.slopes) {
            let mut lanes = [0.0f32; ROW];
            for (row, power) in rows.iter().zip(power[*start..].chunks_exact(ROW)) {
                for lane in 0..ROW {
                    lanes[lane] += row[lane] * power[lane];
                }
            }
            let [a, b, c, d, e, f, g, h] = lanes;
            *band = ((a + e) + (b + f)) + ((c + g) + (d + h)) + 1e-20;
        }
        for band in &mut bands {
            *band = ln(*band);
        }
        let squares: f32 = bands.iter().map(|band| band * band).sum();
        let size = (squares / BANDS as f32).sqrt().recip();
        for (band, norm) in bands.iter_mut().zip(&self.norm) {
            *band = norm * *band * size;
        }
        bands
    }

    /// The power of 1,024 real samples at each frequency but the highest, of the transform of 512 complex numbers into which they were put two by two: that of
    /// the even ones and that of the odd ones are what is even and what is odd in it. The constant part is left out.
    #[inline(always)]
    fn power(&self, spectrum: &[Complex<f32>; TRANSFORM]) -> [f32; TRANSFORM] {
        const HALF: usize = TRANSFORM / 2;
        const SCALE: f32 = 1.0 / (1u32 << 30) as f32;
        let mut power = [0.0; TRANSFORM];
        let [cosines, sines] = &self.turns;
        let (low, high) = power.split_at_mut(HALF);
        for k in 1..HALF {
            let (a, b) = (spectrum[k], spectrum[TRANSFORM - k]);
            let (even_re, even_im) = (0.5 * (a.re + b.re), 0.5 * (a.im - b.im));
            let (odd_re, odd_im) = (0.5 * (a.im + b.im), 0.5 * (b.re - a.re));
            let re = cosines[k] * odd_re - sines[k] * odd_im;
            let im = cosines[k] * odd_im + sines[k] * odd_re;
            low[k] = square(even_re + re, even_im + im) * SCALE;
            high[HALF - k] = square(even_re - re, even_im - im) * SCALE;
        }
        high[0] = square(spectrum[HALF].re, spectrum[HALF].im) * SCALE;
        power
    }

    #[inline(always)]
    fn convolve(&self, features: &[[f32; BANDS]; TAPS]) -> [i16; INPUTS] {
        // The last two are of no use; they are made because forty go in whole rows.
        let mut sums = [0.0f32; BANDS];
        for (features, kernel) in features.iter().zip(self.kernel.as_chunks::<TAPS>().0) {
            let mut padded = [0.0; BANDS + ROW];
            padded[..BANDS].copy_from_slice(features);
            for tap in 0..TAPS {
                for lane in 0..BANDS {
                    sums[lane] += padded[tap + lane] * kernel[tap];
                }
            }
        }
        // Each channel is these sums times its weight, and of three in a row only the largest counts: that is the largest sum or, where the weight is
        // negative, the least.
        let mut first = [[0.0; CHANNELS]; FIRST];
        for (place, out) in first.iter_mut().enumerate() {
            let of = &sums[2 * place..2 * place + 3];
            let (most, least) = (larger(larger(of[0], of[1]), of[2]), smaller(smaller(of[0], of[1]), of[2]));
            let channels = self.rising.iter().zip(&self.falling).zip(&self.bias);
            for (out, ((rising, falling), bias)) in out.iter_mut().zip(channels) {
                *out = larger(rising * most + falling * least + bias, 0.0);
            }
        }
        let mut second: [Channels; SECOND] = self.middle.apply(&first);
        for out in &mut second {
            for (out, bias) in out.iter_mut().zip(&self.middle_bias) {
                *out = larger(*out + bias, 0.0);
            }
        }
        let third: [Channels; THIRD] = self.last.apply(&second);
        let mut inputs = [0; INPUTS];
        for (input, value) in inputs.iter_mut().zip(third.as_flattened()) {
            // To the nearest, and no further than there are numbers.
            *input = round(value * 32_768.0);
        }
        inputs
    }
}

impl Layer {
    fn read(rest: &mut Rest<'_>) -> Layer {
        let kernel: [[f32; TAPS]; CHANNELS] = std::array::from_fn(|_| rest.floats());
        let mixture: [Channels; CHANNELS] = std::array::from_fn(|_| rest.floats());
        Layer {
            kernel: std::array::from_fn(|tap| std::array::from_fn(|channel| kernel[channel][tap])),
            mixture: std::array::from_fn(|from| std::array::from_fn(|to| mixture[to][from])),
        }
    }

    /// Every second place, with the one before and the one after it; beyond the ends there is nothing.
    #[inline(always)]
    fn apply<const FROM: usize, const TO: usize>(&self, from: &[Channels; FROM]) -> [Channels; TO] {
        let mut out = [[0.0; CHANNELS]; TO];
        for (place, out) in out.iter_mut().enumerate() {
            let mut sums = [0.0f32; CHANNELS];
            for (tap, weights) in self.kernel.iter().enumerate() {
                let Some(from) = (2 * place + tap).checked_sub(1).and_then(|place| from.get(place)) else {
                    continue;
                };
                for lane in 0..CHANNELS {
                    sums[lane] += from[lane] * weights[lane];
                }
            }
            for (sum, weights) in sums.iter().zip(&self.mixture) {
                for lane in 0..CHANNELS {
                    out[lane] += sum * weights[lane];
                }
            }
        }
        out
    }
}

/// One layer of minimal gated units, `IN` to [`CELLS`]. Numbers are parts of 32,768, weights of 512, so that sums are parts of 16,777,216.
#[inline(always)]
fn recur<const IN: usize>(
    width: Width,
    from: &[i16; IN],
    cells: &mut [i16; CELLS],
    [values, gates]: &Weights,
) {
    // The weights are such that no sum wraps.
    let pairs = from.as_chunks().0;
    let (values, gates) = (width.sums_of_pairs(pairs, values), width.sums_of_pairs(pairs, gates));
    for ((cell, value), gate) in cells.iter_mut().zip(values.as_flattened()).zip(gates.as_flattened()) {
        let gate = i64::from(gate.wrapping_mul(4)).clamp(0, ONE);
        let mixed = (ONE - gate) * (i64::from(*cell) << 9) + gate * i64::from(*value);
        // In two steps, as the upper half of many at a time is quickly had.
        let mixed = (mixed >> 32) as i32 >> 1;
        *cell = mixed.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    }
}

#[inline(always)]
fn square(re: f32, im: f32) -> f32 {
    re * re + im * im
}

/// The natural logarithm of a normal number above zero, to some 10⁻⁷ of it, many at a time: by the exponent, and the series of the hyperbolic tangent's inverse
/// for what is left, √½ to √2.
#[inline(always)]
fn ln(value: f32) -> f32 {
    const ROOT: u32 = 0x3f35_04f3;
    let above = value.to_bits().wrapping_sub(ROOT);
    let exponent = (above as i32 >> 23) as f32;
    let left = f32::from_bits((above & 0x7f_ffff).wrapping_add(ROOT));
    let part = (left - 1.0) / (left + 1.0);
    let square = part * part;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0)));
    exponent * std::f32::consts::LN_2 + 2.0 * part * series
}

/// As one instruction does it, which `f32::max` is not: it asks for numbers that are none.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// A triangle from the first to the third of its edges, in rows. Where it begins it is nothing yet.
fn slope(edges: &[usize]) -> (usize, Vec<[f32; ROW]>) {
    let [from, peak, to] = [edges[0], edges[1], edges[2]];
    let weights: Vec<f32> = (from + 1..to)
        .map(|at| match at < peak {
            true => (at - from) as f32 / (peak - from) as f32,
            false => (to - at) as f32 / (to - peak) as f32,
        })
        .collect();
    let rows = weights.chunks(ROW).map(|weights| {
        let mut row = [0.0; ROW];
        row[..weights.len()].copy_from_slice(weights);
        row
    });
    (from + 1, rows.collect())
}

/// What has not been read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn floats<const N: usize>(&mut self) -> [f32; N] {
        std::array::from_fn(|_| f32::from_le_bytes(self.take()))
    }

    fn shorts<const N: usize>(&mut self) -> [i16; N] {
        std::array::from_fn(|_| i16::from_le_bytes(self.take()))
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (bytes, rest) = self.0.split_first_chunk().expect("the file is as long as its numbers");
        self.0 = rest;
        *bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{g711, resample, wav};

    /// What a person says, with noise between, tones, and silence; a minute of it at 16 kHz.
    fn sounds() -> Vec<i16> {
        let mut narrow = Vec::new();
        let mut state = 1u32;
        let mut noise = |loud: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i32 % (2 * loud + 1) - loud) as i16
        };
        let folder = std::path::Path::new("/usr/share/asterisk/sounds/en_US_f_Allison");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .map(|files| files.filter_map(|file| Some(file.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        println!("{} recordings", files.len());
        for (index, path) in files.iter().enumerate().step_by(4) {
            let Some(prompt) = std::fs::read(path).ok().and_then(|bytes| wav::parse(&bytes).ok()) else {
                continue;
            };
            let loud = [0, 3, 40, 400][index / 4 % 4];
            narrow.extend(prompt.mono().iter().map(|sample| sample.saturating_add(noise(loud))));
            narrow.extend((0..2_000).map(|_| noise(loud)));
        }
        for hertz in [425.0f32, 941.0, 2_800.0] {
            narrow.extend((0..8_000).map(|n| {
                let swell = (n as f32 / 700.0).sin();
                ((n as f32 * hertz * std::f32::consts::TAU / 8_000.0).sin() * swell * 9_000.0) as i16
            }));
        }
        narrow.extend([0; 8_000]);
        narrow.extend((0..8_000).map(|n| if n / 40 % 2 == 0 { i16::MIN } else { i16::MAX }));
        narrow.extend((0..8_000).map(|_| noise(30_000)));
        let line: Vec<i16> =
            narrow.iter().map(|&sample| g711::decode_ulaw(g711::encode_ulaw(sample))).collect();
        resample::convert(&line, 8_000, 16_000)
    }

    #[test]
    fn the_logarithm_is_one() {
        let values = (0..4_000).map(|n| 1e-20f32 * 1.05f32.powi(n % 1_800) * (1.0 + n as f32 / 4_000.0));
        for value in values.chain([1e-20, 0.5, 1.0, 2.0, std::f32::consts::SQRT_2]) {
            let exact = f64::from(value).ln();
            let apart = (f64::from(ln(value)) - exact).abs();
            assert!(apart < 3e-7 * exact.abs().max(1.0), "{value}: {}, not {exact}", ln(value));
        }
    }

    #[test]
    fn it_says_what_earshot_says() {
        let (mut ours, mut theirs) = (Network::new(), earshot::Detector::default());
        let (mut voiced, mut others, mut farthest) = (0, 0, 0.0f32);
        for (index, window) in sounds().as_chunks::<WINDOW>().0.iter().enumerate() {
            let (here, there) = (ours.hear(window), theirs.predict_i16(window));
            farthest = farthest.max((here - there).abs());
            assert!((here - there).abs() < 0.01, "window {index}: {here}, not {there}");
            voiced += u32::from(there >= 0.5);
            others += u32::from((here >= 0.5) != (there >= 0.5));
        }
        println!("{voiced} windows of voice, {others} told otherwise, {farthest} apart at most");
        assert_eq!(others, 0);
        assert!(voiced > 20, "{voiced}");
    }
}
