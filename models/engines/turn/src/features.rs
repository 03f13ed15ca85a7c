//! What the network hears: Whisper's log-mel spectrogram of the last eight seconds.
//!
//! As in "Robust Speech Recognition via Large-Scale Weak Supervision" (Radford et al., 2022): windows of 25 ms (Hann) every
//! 10 ms, 80 mel bands after Slaney, decadic logarithm, the lowest 8 decades below the loudest cut off, moved to about
//! -1 to 1. Before it the sound is brought to mean 0 and variance 1, as this network was trained; shorter sound has silence
//! in front, so that its end is always at the end.

const RATE: usize = 16_000;
const SAMPLES: usize = RATE * 8;
const WINDOW: usize = 400;
const HOP: usize = RATE / 100;
const BINS: usize = WINDOW / 2 + 1;
pub(crate) const MELS: usize = 80;
pub(crate) const HOPS: usize = SAMPLES / HOP;
/// Keeps silence from dividing by nothing.
const LEAST_VARIANCE: f64 = 1e-7;
const LEAST_POWER: f64 = 1e-10;

pub(crate) struct Features {
    hann: Vec<f64>,
    filters: Vec<Filter>,
    transform: Fourier,
}

/// One triangle over a few neighbouring bins.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl Features {
    pub(crate) fn new() -> Features {
        let turn = std::f64::consts::TAU / WINDOW as f64;
        let hann = (0..WINDOW).map(|i| 0.5 - 0.5 * (turn * i as f64).cos()).collect();
        Features { hann, filters: filters(), transform: Fourier::new() }
    }

    /// By mel band, then by time: [`MELS`] × [`HOPS`].
    pub(crate) fn of(&mut self, pcm: &[i16]) -> Vec<f32> {
        let pcm = &pcm[pcm.len().saturating_sub(SAMPLES)..];
        let silence = SAMPLES - pcm.len();
        let sum: f64 = pcm.iter().map(|s| f64::from(*s)).sum();
        let mean = sum / SAMPLES as f64;
        let squares: f64 = pcm.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum();
        let variance = (squares + silence as f64 * mean * mean) / SAMPLES as f64;
        // In the scale of the samples; the network's own is 1 for full scale.
        let scale = 1.0 / (variance + LEAST_VARIANCE * 32_768f64.powi(2)).sqrt();
        let sample = |at: usize| {
            let raw = at.checked_sub(silence).map_or(0.0, |at| f64::from(pcm[at]));
            (raw - mean) * scale
        };
        let mut out = vec![0f32; MELS * HOPS];
        let mut frame = [Complex::default(); WINDOW];
        let mut highest = f64::MIN;
        // Frames that lie in the silence in front are all the same.
        let mut still: Option<[f64; MELS]> = None;
        for hop in 0..HOPS {
            let begin = hop * HOP;
            let is_still = begin >= WINDOW / 2 && begin + WINDOW / 2 <= silence;
            let bands = match still.filter(|_| is_still) {
                Some(bands) => bands,
                None => {
                    for (i, value) in frame.iter_mut().enumerate() {
                        // Centred, with the sound mirrored at its ends.
                        let at = (begin + i).abs_diff(WINDOW / 2);
                        let at = if at < SAMPLES { at } else { 2 * (SAMPLES - 1) - at };
                        *value = Complex { re: sample(at) * self.hann[i], im: 0.0 };
                    }
                    self.bands(&frame)
                }
            };
            if is_still {
                still = Some(bands);
            }
            for (mel, value) in bands.into_iter().enumerate() {
                highest = highest.max(value);
                out[mel * HOPS + hop] = value as f32;
            }
        }
        let least = (highest - 8.0) as f32;
        for value in &mut out {
            *value = (value.max(least) + 4.0) / 4.0;
        }
        out
    }

    fn bands(&mut self, frame: &[Complex; WINDOW]) -> [f64; MELS] {
        let spectrum = self.transform.of(frame);
        let mut power = [0.0; BINS];
        for (power, c) in power.iter_mut().zip(spectrum) {
            *power = c.re * c.re + c.im * c.im;
        }
        let mut bands = [0.0; MELS];
        for (band, filter) in bands.iter_mut().zip(&self.filters) {
            let sum: f64 = filter.weights.iter().zip(&power[filter.first..]).map(|(w, p)| w * p).sum();
            *band = sum.max(LEAST_POWER).log10();
        }
        bands
    }
}

/// Slaney's triangles, each with area 1: linear below 1 kHz, logarithmic above.
fn filters() -> Vec<Filter> {
    let step = 6.4f64.ln() / 27.0;
    let mel = |hz: f64| if hz < 1000.0 { hz * 3.0 / 200.0 } else { 15.0 + (hz / 1000.0).ln() / step };
    let hertz = |mel: f64| if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * step).exp() };
    let highest = mel(RATE as f64 / 2.0);
    let edge = |n: usize| hertz(highest * n as f64 / (MELS + 1) as f64);
    let bin = RATE as f64 / WINDOW as f64;
    let triangle = |n: usize| {
        let (low, peak, high) = (edge(n), edge(n + 1), edge(n + 2));
        let weight = |k: usize| {
            let hz = k as f64 * bin;
            ((hz - low) / (peak - low)).min((high - hz) / (high - peak)).max(0.0) * 2.0 / (high - low)
        };
        let first = (0..BINS).find(|k| weight(*k) > 0.0).unwrap_or(0);
        let weights = (first..BINS).map(weight).take_while(|w| *w > 0.0).collect();
        Filter { first, weights }
    };
    (0..MELS).map(triangle).collect()
}

#[derive(Clone, Copy, Default)]
struct Complex {
    re: f64,
    im: f64,
}

/// A discrete Fourier transform of 400 points: 400 = 4·4·5·5, so by Cooley and Tukey's way it is short work.
struct Fourier {
    roots: Vec<Complex>,
    out: [Complex; WINDOW],
}

const FACTORS: [usize; 4] = [4, 4, 5, 5];

impl Fourier {
    fn new() -> Fourier {
        let turn = -std::f64::consts::TAU / WINDOW as f64;
        let root = |i: usize| Complex { re: (turn * i as f64).cos(), im: (turn * i as f64).sin() };
        Fourier { roots: (0..WINDOW).map(root).collect(), out: [Complex::default(); WINDOW] }
    }

    fn of(&mut self, input: &[Complex; WINDOW]) -> &[Complex; WINDOW] {
        split(&self.roots, input, 0, 1, &FACTORS, &mut self.out);
        &self.out
    }
}

/// The transform of `input[offset..]` taken every `stride`, into `out`.
fn split(
    roots: &[Complex],
    input: &[Complex; WINDOW],
    offset: usize,
    stride: usize,
    factors: &[usize],
    out: &mut [Complex],
) {
    let Some((&parts, rest)) = factors.split_first() else {
        out[0] = input[offset];
        return;
    };
    let len = out.len() / parts;
    for (part, out) in out.chunks_exact_mut(len).enumerate() {
        split(roots, input, offset + part * stride, stride * parts, rest, out);
    }
    let mut column = [Complex::default(); 5];
    for k in 0..len {
        for (part, value) in column[..parts].iter_mut().enumerate() {
            *value = out[part * len + k];
        }
        for q in 0..parts {
            let mut sum = Complex::default();
            for (part, value) in column[..parts].iter().enumerate() {
                let root = roots[part * (k + q * len) * stride % WINDOW];
                sum.re += value.re * root.re - value.im * root.im;
                sum.im += value.re * root.im + value.im * root.re;
            }
            out[q * len + k] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_the_sum_that_defines_it() {
        let mut input = [Complex::default(); WINDOW];
        for (i, c) in input.iter_mut().enumerate() {
            let i = i as f64;
            *c = Complex { re: (i * 0.37).sin() + 0.2 * (i * 1.9).cos(), im: 0.0 };
        }
        let mut transform = Fourier::new();
        let fast = *transform.of(&input);
        for (k, fast) in fast.iter().enumerate() {
            let mut slow = Complex::default();
            for (i, c) in input.iter().enumerate() {
                let root = transform.roots[i * k % WINDOW];
                slow.re += c.re * root.re;
                slow.im += c.re * root.im;
            }
            assert!((fast.re - slow.re).abs() < 1e-9 && (fast.im - slow.im).abs() < 1e-9, "bin {k}");
        }
    }

    /// A saw that rises under a noise and swells twice a second; in whole numbers, so that it is the same anywhere.
    fn signal(samples: usize) -> Vec<i16> {
        let (mut seed, mut phase) = (1u64, 0i64);
        let sample = |i: usize| {
            seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
            phase = (phase + 200 + (i >> 5) as i64) & 0xffff;
            let swell = (i % 8000 / 16) as i64;
            let saw = (((phase - 32_768) * swell) >> 9).div_euclid(4);
            (saw + ((seed >> 16) as i64 - 16_384).div_euclid(64)) as i16
        };
        (0..samples).map(sample).collect()
    }

    #[derive(serde::Deserialize)]
    struct Golden {
        samples: usize,
        every: usize,
        values: Vec<f32>,
    }

    /// `features.json`: computed in Python by the front end that the network's makers publish beside it.
    #[test]
    fn features_equal_those_that_the_network_was_trained_with() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../tests/features.json")).unwrap();
        for Golden { samples, every, values } in golden {
            let found = Features::new().of(&signal(samples));
            for (i, (found, expected)) in found.iter().step_by(every).zip(values).enumerate() {
                assert!(
                    (found - expected).abs() < 1e-3,
                    "{samples} samples, value {i}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn whatever_is_heard_there_are_as_many_features_and_all_are_numbers() {
        let mut features = Features::new();
        for len in [0, 1, 159, 16_000, SAMPLES, SAMPLES + 1, 2 * SAMPLES] {
            for level in [0i16, 1, -32_768, 32_767] {
                let out = features.of(&vec![level; len]);
                assert_eq!(out.len(), MELS * HOPS);
                assert!(out.iter().all(|v| v.is_finite()), "{len} samples of {level}");
            }
        }
    }
}
