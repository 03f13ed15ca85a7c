//! Changing the sampling rate of a stream: 8 ↔ 16 kHz by a short half-band filter, what else has a simple ratio by a [bank](crate::bank) of filters that
//! all streams share, and the rest by `rubato`'s sinc.
//!
//! A stream is [pushed](Resampler::push) in pieces of any size and [finished](Resampler::finish). What comes out does not depend on how it was
//! cut into pieces, begins without the filter's delay, and has exactly ⌊input · to / from⌋ samples: so marks, recordings and "how much was
//! really played" can be counted to the sample.
//!
//! Nothing allocates after construction, except that the caller's output vector may grow.

use crate::bank::{self, Bank};
use crate::widest::widest;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Indexing, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

/// The rates that can be converted from and to, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// Converts one mono stream from one rate to another.
pub struct Resampler {
    from: u64,
    to: u64,
    kind: Kind,
    /// Samples pushed and samples given since the stream began.
    taken: u64,
    given: u64,
    /// Samples of the filter's delay that are still to be dropped.
    skip: usize,
}

enum Kind {
    Same,
    Double(Box<Double>),
    Halve(Box<Halve>),
    Bank(Box<bank::Stream>),
    Sinc(Box<Sinc>),
}

impl Resampler {
    /// From and to Hz, within [`RATES`]; rates outside are moved to its ends.
    pub fn new(from: u32, to: u32) -> Self {
        let from = from.clamp(*RATES.start(), *RATES.end());
        let to = to.clamp(*RATES.start(), *RATES.end());
        let kind = if from == to {
            Kind::Same
        } else if to == 2 * from {
            Kind::Double(Box::new(Double::new()))
        } else if from == 2 * to {
            Kind::Halve(Box::new(Halve::new()))
        } else if let Some(bank) = Bank::of(from, to) {
            Kind::Bank(Box::new(bank::Stream::new(bank)))
        } else {
            Kind::Sinc(Box::new(Sinc::new(from, to)))
        };
        let mut resampler =
            Resampler { from: u64::from(from), to: u64::from(to), kind, taken: 0, given: 0, skip: 0 };
        resampler.skip = resampler.delay();
        resampler
    }

    /// The rates that it converts from and to, in Hz.
    pub fn rates(&self) -> (u32, u32) {
        // Both came as `u32`.
        (self.from as u32, self.to as u32)
    }

    /// Appends to `out` what can be made of `input` and what came before it.
    pub fn push(&mut self, input: &[i16], out: &mut Vec<i16>) {
        self.taken += input.len() as u64;
        self.feed(input, out);
    }

    /// Appends the tail of the stream, and is then ready for another.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        let silence = [0i16; 64];
        while self.given < self.due(0) {
            self.feed(&silence, out);
        }
        self.reset();
    }

    /// How many samples would still come if `more` were pushed and the stream then finished.
    pub fn pending(&self, more: u64) -> u64 {
        self.due(more) - self.given
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Same => {}
            Kind::Double(filter) => **filter = Double::new(),
            Kind::Halve(filter) => **filter = Halve::new(),
            Kind::Bank(stream) => stream.reset(),
            Kind::Sinc(sinc) => sinc.reset(),
        }
        self.taken = 0;
        self.given = 0;
        self.skip = self.delay();
    }

    fn due(&self, more: u64) -> u64 {
        (self.taken + more) * self.to / self.from
    }

    /// The filter's delay in samples of the output.
    fn delay(&self) -> usize {
        match &self.kind {
            Kind::Same | Kind::Bank(_) => 0,
            Kind::Double(_) => Double::DELAY,
            Kind::Halve(_) => Halve::DELAY,
            Kind::Sinc(sinc) => sinc.delay(),
        }
    }

    fn feed(&mut self, input: &[i16], out: &mut Vec<i16>) {
        let start = out.len();
        match &mut self.kind {
            Kind::Same => out.extend_from_slice(input),
            Kind::Double(filter) => filter.process(input, out),
            Kind::Halve(filter) => filter.process(input, out),
            Kind::Bank(stream) => stream.process(input, out),
            Kind::Sinc(sinc) => sinc.process(input, out),
        }
        let skipped = self.skip.min(out.len() - start);
        if skipped > 0 {
            out.drain(start..start + skipped);
            self.skip -= skipped;
        }
        // Past the end of what was pushed there is only the filter ringing out.
        let room = self.due(0) - self.given;
        let fresh = (out.len() - start).min(usize::try_from(room).unwrap_or(usize::MAX));
        out.truncate(start + fresh);
        self.given += fresh as u64;
    }
}

/// Converts a whole clip.
pub fn convert(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut out = Vec::with_capacity(pcm.len() * to as usize / from.max(1) as usize + 64);
    resampler.push(pcm, &mut out);
    resampler.finish(&mut out);
    out
}

/// Coefficients on each side of the centre of the half-band filter. It passes 3.4 kHz of 8 within 0.1 dB.
const SIDE: usize = 10;

/// The odd taps of a half-band low-pass of `4·SIDE − 1` taps (the even ones are zero, the centre is ½): a sinc under a Kaiser window, scaled
/// so that they sum to 1. Made once, by the first who asks.
fn half_band() -> &'static [f32; 2 * SIDE] {
    static TAPS: std::sync::OnceLock<[f32; 2 * SIDE]> = std::sync::OnceLock::new();
    TAPS.get_or_init(|| {
        /// Trades the stop band's depth for the transition's width.
        const BETA: f64 = 4.5;
        let length = (2 * SIDE) as f64;
        let mut taps = [0.0; 2 * SIDE];
        for (index, tap) in taps.iter_mut().enumerate() {
            let offset = index as f64 - (length - 1.0) / 2.0;
            let x = std::f64::consts::PI * offset;
            *tap = x.sin() / x * kaiser(BETA, 2.0 * offset / length);
        }
        let sum: f64 = taps.iter().sum();
        taps.map(|tap| (tap / sum) as f32)
    })
}

/// The Kaiser window, one in the middle; `at` is −1 and 1 at its ends.
pub(crate) fn kaiser(beta: f64, at: f64) -> f64 {
    bessel(beta * (1.0 - at.powi(2)).max(0.0).sqrt()) / bessel(beta)
}

/// The modified Bessel function I₀.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..32 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

/// Samples that the half-band filters take at a time.
const BLOCK: usize = 160;
/// Samples that each output still needs of the past.
const PAST: usize = 2 * SIDE - 1;

/// One sample in, two out: the sample itself, and the one that stands half-way to the next.
pub(crate) struct Double {
    /// The past, and the block after it.
    samples: [f32; PAST + BLOCK],
}

impl Double {
    /// Output samples by which the output lags: 1.2 ms at 16 kHz.
    const DELAY: usize = 2 * SIDE;

    pub(crate) fn new() -> Self {
        Double { samples: [0.0; PAST + BLOCK] }
    }

    pub(crate) fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        widest(
            #[inline(always)]
            |_| self.go_through(input, out),
        );
    }

    #[inline(always)]
    fn go_through(&mut self, input: &[i16], out: &mut Vec<i16>) {
        for block in input.chunks(BLOCK) {
            for (sample, &fresh) in self.samples[PAST..].iter_mut().zip(block) {
                *sample = f32::from(fresh);
            }
            let between = filtered(&self.samples);
            let start = out.len();
            out.resize(start + 2 * block.len(), 0);
            let pairs = out[start..].as_chunks_mut().0.iter_mut();
            for ((pair, itself), between) in pairs.zip(&self.samples[SIDE - 1..]).zip(&between) {
                *pair = [*itself as i16, round(*between)];
            }
            self.samples.copy_within(block.len()..block.len() + PAST, 0);
        }
    }
}

/// What the half-band filter makes of each place of a block. In rows of sixteen places that do not wait for one another; its taps are the
/// same from both ends.
#[inline(always)]
fn filtered(samples: &[f32; PAST + BLOCK]) -> [f32; BLOCK] {
    const ROW: usize = 16;
    let taps = half_band();
    let mut out = [0.0; BLOCK];
    for (row, out) in out.chunks_exact_mut(ROW).enumerate() {
        let samples = &samples[row * ROW..row * ROW + ROW + PAST];
        let mut sums = [0.0f32; ROW];
        for (index, tap) in taps[..SIDE].iter().enumerate() {
            let (left, right) = (&samples[index..index + ROW], &samples[PAST - index..PAST - index + ROW]);
            for lane in 0..ROW {
                sums[lane] += tap * (left[lane] + right[lane]);
            }
        }
        out.copy_from_slice(&sums);
    }
    out
}

/// Two samples in, one out.
pub(crate) struct Halve {
    /// The centre of each output is an even sample; the odd ones beside it are what is filtered.
    even: [f32; PAST + BLOCK],
    odd: [f32; PAST + BLOCK],
    first: Option<i16>,
}

impl Halve {
    /// Output samples by which the output lags.
    const DELAY: usize = SIDE - 1;

    pub(crate) fn new() -> Self {
        Halve { even: [0.0; PAST + BLOCK], odd: [0.0; PAST + BLOCK], first: None }
    }

    pub(crate) fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        widest(
            #[inline(always)]
            |_| self.go_through(input, out),
        );
    }

    #[inline(always)]
    fn go_through(&mut self, mut input: &[i16], out: &mut Vec<i16>) {
        while !input.is_empty() {
            let mut pairs = 0;
            while pairs < BLOCK {
                let [sample, rest @ ..] = input else { break };
                input = rest;
                match self.first.take() {
                    None => self.first = Some(*sample),
                    Some(first) => {
                        self.even[PAST + pairs] = f32::from(first);
                        self.odd[PAST + pairs] = f32::from(*sample);
                        pairs += 1;
                    }
                }
            }
            // SIDE odd samples stand before the centre and SIDE after it.
            let between = filtered(&self.odd);
            out.extend(
                self.even[SIDE..].iter().zip(&between[..pairs]).map(|(even, odd)| round(0.5 * (even + odd))),
            );
            self.even.copy_within(pairs..pairs + PAST, 0);
            self.odd.copy_within(pairs..pairs + PAST, 0);
        }
    }
}

/// To the nearest, and within bounds: the cast saturates. `f32::round` is a call on processors that we must run on.
#[inline(always)]
pub(crate) fn round(value: f32) -> i16 {
    (value + 0.5f32.copysign(value)) as i16
}

/// `rubato`, fed in small fixed pieces.
struct Sinc {
    resampler: Async<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Sinc {
    /// Input samples per call: small, so that little waits for the rest of a piece.
    const PIECE: usize = 64;
    /// Taps per output sample.
    const TAPS: usize = 128;
    /// Filters between which is interpolated.
    const PHASES: usize = 256;

    fn new(from: u32, to: u32) -> Self {
        let parameters = SincInterpolationParameters::new(Self::TAPS, WindowFunction::Blackman)
            .oversampling_factor(Self::PHASES)
            .interpolation(SincInterpolationType::Cubic);
        let ratio = f64::from(to) / f64::from(from);
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, Self::PIECE, 1, FixedAsync::Input)
            .expect("the ratio is positive and finite, as both rates are within RATES");
        let output = vec![0.0; rubato::Resampler::output_frames_max(&resampler)];
        Sinc { resampler, input: Vec::with_capacity(Self::PIECE), output }
    }

    fn delay(&self) -> usize {
        rubato::Resampler::output_delay(&self.resampler)
    }

    fn reset(&mut self) {
        rubato::Resampler::reset(&mut self.resampler);
        self.input.clear();
    }

    fn process(&mut self, mut input: &[i16], out: &mut Vec<i16>) {
        while !input.is_empty() {
            let taken = (Self::PIECE - self.input.len()).min(input.len());
            let (now, later) = input.split_at(taken);
            self.input.extend(now.iter().map(|&sample| f32::from(sample)));
            input = later;
            if self.input.len() < Self::PIECE {
                return;
            }
            let capacity = self.output.len();
            let (Ok(source), Ok(mut sink)) = (
                InterleavedSlice::new(&self.input, 1, Self::PIECE),
                InterleavedSlice::new_mut(&mut self.output, 1, capacity),
            ) else {
                return;
            };
            let made = rubato::Resampler::process_into_buffer(
                &mut self.resampler,
                &source,
                &mut sink,
                None::<&Indexing>,
            );
            // Both buffers have the sizes that the resampler asked for, so this does not fail; silence would be the right answer if it did.
            let made = made.map_or(0, |(_, made)| made);
            out.extend(self.output[..made].iter().map(|&sample| round(sample)));
            self.input.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, frequency: f64, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        (0..samples).map(|n| (10_000.0 * (step * n as f64).sin()).round() as i16).collect()
    }

    /// The tone to everything else. Its phase is free: a filter may shift by less than a sample.
    fn snr(pcm: &[i16], rate: u32, frequency: f64) -> f64 {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        let inner: Vec<(f64, f64)> =
            (200..pcm.len() - 200).map(|n| (step * n as f64, f64::from(pcm[n]))).collect();
        let (re, im) = inner.iter().fold((0.0, 0.0), |(re, im), (angle, sample)| {
            (re + sample * angle.cos(), im + sample * angle.sin())
        });
        let (re, im) = (re * 2.0 / inner.len() as f64, im * 2.0 / inner.len() as f64);
        let noise: f64 =
            inner.iter().map(|(angle, sample)| (sample - re * angle.cos() - im * angle.sin()).powi(2)).sum();
        let signal = (re * re + im * im) / 2.0 * inner.len() as f64;
        assert!((signal / inner.len() as f64 / 5e7 - 1.0).abs() < 0.05, "the level changed");
        10.0 * (signal / noise.max(1e-9)).log10()
    }

    #[test]
    fn tones_come_out_where_and_as_they_went_in() {
        for (from, to, wanted) in [
            (8_000, 16_000, 45.0),
            (16_000, 8_000, 45.0),
            (22_050, 8_000, 50.0),
            (24_000, 8_000, 50.0),
            (48_000, 8_000, 50.0),
            (44_100, 16_000, 50.0),
            (8_000, 22_050, 50.0),
            (11_025, 8_000, 50.0),
        ] {
            for frequency in [200.0, 1_000.0, 2_400.0] {
                let out = convert(&tone(from, frequency, from as usize), from, to);
                assert_eq!(out.len(), to as usize);
                let snr = snr(&out, to, frequency);
                assert!(snr > wanted, "{from} to {to}, {frequency} Hz: {snr:.1} dB");
            }
        }
    }

    #[test]
    fn what_would_fold_over_is_taken_out() {
        for (from, frequency, wanted) in [
            (22_050, 5_000.0, -55.0),
            (22_050, 9_000.0, -55.0),
            (16_000, 5_000.0, -40.0),
            (48_000, 6_000.0, -35.0),
        ] {
            let out = convert(&tone(from, frequency, from as usize), from, 8_000);
            let energy = out[200..7_800].iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 7_600.0;
            let db = 10.0 * (energy.max(1e-3) / 5e7).log10();
            assert!(db < wanted, "{from}: {frequency} Hz comes through at {db:.1} dB");
        }
    }

    #[test]
    fn where_the_stream_is_cut_makes_no_difference() {
        for (from, to) in [(22_050, 8_000), (8_000, 16_000), (16_000, 8_000), (8_000, 8_000), (44_100, 8_000)]
        {
            let input = tone(from, 700.0, 12_345);
            let whole = convert(&input, from, to);
            let mut resampler = Resampler::new(from, to);
            for sizes in [[1usize, 7, 160], [441, 3, 999], [5_000, 1, 64]] {
                let mut out = Vec::new();
                let mut rest = &input[..];
                for size in sizes.iter().cycle() {
                    if rest.is_empty() {
                        break;
                    }
                    let (now, later) = rest.split_at((*size).min(rest.len()));
                    resampler.push(now, &mut out);
                    rest = later;
                    let expected = whole.len() as u64 - out.len() as u64;
                    assert_eq!(resampler.pending(rest.len() as u64), expected);
                }
                resampler.finish(&mut out);
                assert_eq!(out, whole, "{from} to {to}");
            }
        }
    }
}
