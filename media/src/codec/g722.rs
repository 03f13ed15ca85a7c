//! G.722: 7 kHz of sound in the 64 kbit/s of G.711 (ITU-T G.722, mode 1).
//!
//! The band is split in two by a filter of 24 taps; each half is coded by an adaptive difference from what its own past foretells: six
//! bits for the lower, two for the upper. The arithmetic is the Recommendation's to the bit, saturation included, so that our decoder
//! goes the same way as the encoder of any other maker; the tests hold it against the Recommendation's own sequences.
//!
//! State that must run on from packet to packet is all there is; nothing allocates.

/// Every second tap of the splitting filter (table 11), oldest first; the taps between are the same in reverse.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];
/// Pairs of samples that the filter takes at a time.
const BLOCK: usize = 80;
const PAST: usize = TAPS.len() - 1;

/// Decision levels of the lower band's quantizer (table 14).
const LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121,
    1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// What each of the 64 codes of the lower band stands for, in parts of the scale factor (table 17).
const LOWER_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232,
    -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776,
    -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280,
    11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576, 3_168,
    2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432, 136, -432, -136,
];
/// The same of its upper four bits, by which both sides adapt (table 19).
const LOWER_4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584,
    1_200, 0,
];
/// What these four bits do to the logarithm of the scale (tables 20 and 21).
const LOWER_STEP: [i32; 16] =
    [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];
/// The upper band's two bits likewise (tables 18, 22 and 23).
const UPPER_2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];
const UPPER_STEP: [i32; 4] = [798, -214, 798, -214];
/// The decision level of the upper band (table 15).
const UPPER_LEVEL: i32 = 564;
/// A part of 32 of an octave, from logarithm to scale (table 16).
const OCTAVE: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774,
    2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838,
    3_922, 4_008,
];

/// One half of the band: its scale, and what foretells its next sample (§3.6).
#[derive(Clone, Copy)]
struct Band {
    /// The foretold sample, and the part of it that comes from the six differences.
    predicted: i32,
    from_differences: i32,
    /// Coefficients on the last two samples and on the last six differences, newest first.
    poles: [i32; 2],
    zeros: [i32; 6],
    samples: [i32; 2],
    differences: [i32; 6],
    /// Sums of difference and foretelling by differences, whose signs steer the poles.
    partial: [i32; 2],
    log_scale: i32,
    scale: i32,
    /// The largest logarithm, and the octaves between it and a scale of one.
    most: i32,
    octaves: i32,
}

impl Band {
    fn lower() -> Band {
        Band::new(32, 18_432, 8)
    }

    fn upper() -> Band {
        Band::new(8, 22_528, 10)
    }

    fn new(scale: i32, most: i32, octaves: i32) -> Band {
        Band {
            predicted: 0,
            from_differences: 0,
            poles: [0; 2],
            zeros: [0; 6],
            samples: [0; 2],
            differences: [0; 6],
            partial: [0; 2],
            log_scale: 0,
            scale,
            most,
            octaves,
        }
    }

    /// A quantized difference is known: adapts the scale and foretells the next sample.
    fn adapt(&mut self, difference: i32, step: i32) {
        self.log_scale = (((self.log_scale * 127) >> 7) + step).clamp(0, self.most);
        let part = OCTAVE[(self.log_scale >> 6 & 31) as usize];
        let down = self.octaves - (self.log_scale >> 11);
        self.scale = (if down < 0 { part << -down } else { part >> down }) << 2;
        self.foretell(difference);
    }

    fn foretell(&mut self, difference: i32) {
        let sample = saturate(self.predicted + difference);
        let partial = saturate(self.from_differences + difference);
        let [before, earlier] = self.partial;
        // The second pole (UPPOL2), then the first within what it leaves stable (UPPOL1).
        let first = saturate(self.poles[0] << 2);
        let first = if alike(partial, before) { (-first).min(32_767) } else { first };
        let kept = (self.poles[1] * 32_512) >> 15;
        let second = (first >> 7) + if alike(partial, earlier) { 128 } else { -128 } + kept;
        let second = second.clamp(-12_288, 12_288);
        let kept = (self.poles[0] * 32_640) >> 15;
        let first = saturate(if alike(partial, before) { 192 } else { -192 } + kept);
        let limit = saturate(15_360 - second);
        self.poles = [first.clamp(-limit, limit), second];
        // The zeros (UPZERO).
        let nudge = if difference == 0 { 0 } else { 128 };
        for (zero, &past) in self.zeros.iter_mut().zip(&self.differences) {
            let by = if alike(difference, past) { nudge } else { -nudge };
            *zero = saturate(by + ((*zero * 32_640) >> 15));
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.samples = [sample, self.samples[0]];
        self.partial = [partial, before];
        // FILTEP, FILTEZ, PREDIC.
        let poles =
            self.poles.iter().zip(&self.samples).map(|(pole, &past)| (pole * saturate(2 * past)) >> 15);
        let from_samples = saturate(poles.sum());
        let zeros = self.zeros.iter().zip(&self.differences).rev();
        self.from_differences =
            zeros.fold(0, |sum, (zero, &past)| saturate(sum + ((zero * saturate(2 * past)) >> 15)));
        self.predicted = saturate(from_samples + self.from_differences);
    }
}

/// 16,000 samples a second to 8,000 bytes.
pub(crate) struct Encoder {
    split: Windows,
    lower: Band,
    upper: Band,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Encoder { split: Windows::new(), lower: Band::lower(), upper: Band::upper() }
    }

    /// Appends a byte for every two samples. An odd sample at the end is left out.
    pub(crate) fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        for block in pcm.chunks(2 * BLOCK) {
            let pairs = block.len() / 2;
            for (index, pair) in block.chunks_exact(2).enumerate() {
                self.split.first[PAST + index] = i32::from(pair[0]);
                self.split.second[PAST + index] = i32::from(pair[1]);
            }
            for index in 0..pairs {
                let (first, second) = self.split.sums(index);
                let code = self.code((first + second) >> 14, (second - first) >> 14);
                out.push(code);
            }
            self.split.keep(pairs);
        }
    }

    /// One sample of each half of the band, 15 bits each.
    fn code(&mut self, low: i32, high: i32) -> u8 {
        let byte = quantize(&self.lower, &self.upper, low, high);
        expand(&mut self.lower, &mut self.upper, byte);
        byte
    }
}

/// The byte for a sample of each half of the band, 15 bits each.
fn quantize(lower: &Band, upper: &Band, low: i32, high: i32) -> u8 {
    let off = saturate(low - lower.predicted);
    let size = if off < 0 { !off } else { off };
    // As the levels rise, the first that is not reached is found by halving.
    let level = LEVELS.partition_point(|level| (level * lower.scale) >> 12 <= size) as i32;
    // Of 30 levels on each side, two codes less on the negative one (table 14).
    let code = match (off < 0, level) {
        (true, 0 | 1) => 63 - level,
        (true, _) => 33 - level,
        (false, _) => 61 - level,
    };
    let off = saturate(high - upper.predicted);
    let size = if off < 0 { !off } else { off };
    let outer = size >= (UPPER_LEVEL * upper.scale) >> 12;
    let bits = match (off < 0, outer) {
        (true, false) => 1,
        (true, true) => 0,
        (false, false) => 3,
        (false, true) => 2,
    };
    bits << 6 | code as u8
}

/// What a byte stands for in each half of the band; both adapt to it, as the encoder did.
fn expand(lower: &mut Band, upper: &mut Band, byte: u8) -> (i32, i32) {
    let code = usize::from(byte & 63);
    let low = lower.predicted + ((lower.scale * LOWER_6[code]) >> 15);
    lower.adapt((lower.scale * LOWER_4[code >> 2]) >> 15, LOWER_STEP[code >> 2]);
    let bits = usize::from(byte >> 6);
    let difference = (upper.scale * UPPER_2[bits]) >> 15;
    let high = upper.predicted + difference;
    upper.adapt(difference, UPPER_STEP[bits]);
    (low.clamp(-16_384, 16_383), high.clamp(-16_384, 16_383))
}

/// By how much both filters together delay the sound, in samples. So much at the beginning of a packet is of the one before it.
pub(crate) const LAG: usize = 2 * PAST;

/// 8,000 bytes a second to 16,000 samples.
#[derive(Clone)]
pub(crate) struct Decoder {
    join: Windows,
    lower: Band,
    upper: Band,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Decoder { join: Windows::new(), lower: Band::lower(), upper: Band::upper() }
    }

    /// Appends two samples for every byte.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for block in payload.chunks(BLOCK) {
            for (index, &byte) in block.iter().enumerate() {
                let (low, high) = self.halves(byte);
                self.join.first[PAST + index] = low + high;
                self.join.second[PAST + index] = low - high;
            }
            for index in 0..block.len() {
                let (first, second) = self.join.sums(index);
                out.push(saturate(second >> 11) as i16);
                out.push(saturate(first >> 11) as i16);
            }
            self.join.keep(block.len());
        }
    }

    /// A packet is lost whose sound may have been `pcm`, with [`LAG`] samples more of what follows it: the state becomes what it would be
    /// had that been decoded, so that the next packet finds it near to the state that it was coded with.
    pub(crate) fn follow(&mut self, pcm: &[i16]) {
        let mut pairs = pcm.chunks_exact(2);
        if pairs.len() <= PAST {
            return;
        }
        let mut split = Windows::new();
        for index in 0..PAST {
            let Some(pair) = pairs.next() else { return };
            split.first[index] = i32::from(pair[0]);
            split.second[index] = i32::from(pair[1]);
        }
        for pair in pairs {
            split.first[PAST] = i32::from(pair[0]);
            split.second[PAST] = i32::from(pair[1]);
            let (first, second) = split.sums(0);
            split.keep(1);
            let (low, high) = ((first + second) >> 14, (second - first) >> 14);
            let byte = quantize(&self.lower, &self.upper, low, high);
            let (low, high) = self.halves(byte);
            self.join.first[PAST] = low + high;
            self.join.second[PAST] = low - high;
            self.join.keep(1);
        }
    }

    /// One sample of each half of the band, 15 bits each.
    fn halves(&mut self, byte: u8) -> (i32, i32) {
        expand(&mut self.lower, &mut self.upper, byte)
    }
}

/// The past and a block of the two streams that the splitting filter works on.
#[derive(Clone)]
struct Windows {
    first: [i32; PAST + BLOCK],
    second: [i32; PAST + BLOCK],
}

impl Windows {
    fn new() -> Self {
        Windows { first: [0; PAST + BLOCK], second: [0; PAST + BLOCK] }
    }

    fn sums(&self, index: usize) -> (i32, i32) {
        let first = &self.first[index..index + TAPS.len()];
        let second = &self.second[index..index + TAPS.len()];
        let sum = first.iter().zip(&TAPS).map(|(sample, tap)| sample * tap).sum();
        (sum, second.iter().zip(TAPS.iter().rev()).map(|(sample, tap)| sample * tap).sum())
    }

    fn keep(&mut self, pairs: usize) {
        self.first.copy_within(pairs..pairs + PAST, 0);
        self.second.copy_within(pairs..pairs + PAST, 0);
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// Whether both are negative or neither is.
fn alike(a: i32, b: i32) -> bool {
    (a < 0) == (b < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a.
    fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
        bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    fn bytes(pcm: &[i16]) -> impl Iterator<Item = u8> + '_ {
        pcm.iter().flat_map(|sample| sample.to_le_bytes())
    }

    /// Noise that falls by steps from full scale to almost nothing, and again.
    fn noise(samples: usize) -> Vec<i16> {
        let mut state = 1u32;
        (0..samples)
            .map(|index| {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
                (((state >> 8 & 0xffff) as i32 - 32_768) >> (index / 1_000 % 12)) as i16
            })
            .collect()
    }

    /// The Recommendation's sequence T1C2 (Appendix II), which drives the predictors into their limits; it goes to both halves of the band,
    /// past the filter. T2R2 is what must come out, and T3L2 and T3H2 what is decoded from that. Held here: the beginning, and a
    /// checksum of the whole, which was compared with a decoder that passes all of the sequences.
    #[test]
    fn the_recommendations_overflow_sequence_is_coded_to_the_bit() {
        let mut input: Vec<i16> = [i16::MIN, 0x7ffe].repeat(320);
        input[639] = 0;
        input.extend([0xb1e0u16 as i16, 0xc000u16 as i16]);
        input.extend([i16::MIN, 0x7ffe, i16::MIN].repeat(42));
        let mut encoder = Encoder::new();
        let code: Vec<u8> =
            input.iter().map(|&word| encoder.code(i32::from(word >> 1), i32::from(word >> 1))).collect();
        assert_eq!(code[..16], [4, 160, 4, 160, 4, 160, 4, 160, 4, 160, 5, 161, 6, 163, 8, 164]);
        assert_eq!((code.len(), hash(code.iter().copied())), (768, 0xd525_ad28_cad5_30ce));
        let mut decoder = Decoder::new();
        let halves: Vec<i16> = code
            .iter()
            .flat_map(|&byte| {
                let (low, high) = decoder.halves(byte);
                [(low << 1) as i16, (high << 1) as i16]
            })
            .collect();
        let high: Vec<i16> = halves.iter().skip(1).step_by(2).take(8).copied().collect();
        assert_eq!(high, [-4, 2, -10, 6, -20, 12, -32, 22]);
        assert_eq!(hash(bytes(&halves)), 0xc636_0992_0508_e1ad);
    }

    /// The checksums are those of spandsp 0.0.6, which passes the Recommendation's sequences and is what many softphones speak.
    #[test]
    fn noise_of_all_levels_is_coded_as_others_code_it() {
        let input = noise(32_000);
        let (mut code, mut out) = (Vec::new(), Vec::new());
        let mut encoder = Encoder::new();
        input.chunks(320).for_each(|frame| encoder.encode(frame, &mut code));
        assert_eq!((code.len(), hash(code.iter().copied())), (16_000, 0x4504_9641_eb11_caca));
        // That library's output wraps around where ours stands at the limit, as the Recommendation has it; so: 12 dB below that.
        let input: Vec<i16> = input.iter().map(|sample| sample >> 2).collect();
        code.clear();
        let mut encoder = Encoder::new();
        input.chunks(480).for_each(|frame| encoder.encode(frame, &mut code));
        assert_eq!(hash(code.iter().copied()), 0xd7dc_e356_5f13_d0dc);
        let mut decoder = Decoder::new();
        code.chunks(160).for_each(|packet| decoder.decode(packet, &mut out));
        assert_eq!((out.len(), hash(bytes(&out))), (32_000, 0x83f2_d534_0831_ffbb));
        // Bytes that no encoder would send do no harm.
        let garbage: Vec<u8> = noise(12_000).iter().map(|&sample| sample as u8).collect();
        Decoder::new().decode(&garbage, &mut out);
    }

    /// A voice of so many samples at 16 kHz: 16 harmonics of a pitch that glides, louder and softer.
    fn voice(samples: usize) -> Vec<i16> {
        let mut phase = 0.0f64;
        (0..samples)
            .map(|n| {
                let t = n as f64 / 16_000.0;
                phase += std::f64::consts::TAU * (140.0 + 30.0 * (3.0 * t).sin()) / 16_000.0;
                let sum: f64 = (1..=16).map(|k| (f64::from(k) * phase).sin() / f64::from(k)).sum();
                (5_000.0 * (0.6 + 0.4 * (7.0 * t).sin()) * sum) as i16
            })
            .collect()
    }

    #[test]
    fn a_decoder_that_follows_what_was_lost_is_right_at_once() {
        let input = voice(16_000);
        let (mut code, mut truth) = (Vec::new(), Vec::new());
        Encoder::new().encode(&input, &mut code);
        Decoder::new().decode(&code, &mut truth);
        let (mut frozen, mut followed) = (0.0, 0.0);
        for lost in (3..48).step_by(3) {
            let (from, to) = (lost * 160, lost * 160 + 160);
            let mut decoder = Decoder::new();
            decoder.decode(&code[..from], &mut Vec::new());
            let snr = |decoder: &mut Decoder| {
                let mut out = Vec::new();
                decoder.decode(&code[to..to + 160], &mut out);
                let truth = &truth[2 * to..2 * to + 320];
                let off: f64 =
                    truth.iter().zip(&out).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                let all: f64 = truth.iter().map(|sample| f64::from(*sample).powi(2)).sum();
                10.0 * (all / off).log10()
            };
            frozen += snr(&mut decoder.clone()) / 15.0;
            // What was lost, to the bit, as nobody could know it: so much is to be had.
            decoder.follow(&truth[2 * from..2 * to + LAG]);
            followed += snr(&mut decoder) / 15.0;
        }
        assert!(followed > 20.0 && frozen < 10.0, "{followed:.1} dB followed, {frozen:.1} dB frozen");
        // Too little is nothing.
        let mut decoder = Decoder::new();
        decoder.follow(&[0; LAG + 1]);
        assert_eq!(decoder.lower.log_scale, 0);
    }

    #[test]
    fn what_is_above_the_telephones_band_comes_through() {
        for frequency in [300.0, 1_000.0, 3_000.0, 5_000.0, 6_500.0] {
            let tone: Vec<i16> = (0..16_000)
                .map(|n| {
                    (8_000.0 * (std::f64::consts::TAU * frequency * f64::from(n) / 16_000.0).sin()) as i16
                })
                .collect();
            let (mut code, mut out) = (Vec::new(), Vec::new());
            Encoder::new().encode(&tone, &mut code);
            Decoder::new().decode(&code, &mut out);
            // Both filters together are late by 22 samples.
            let noise: f64 =
                tone[1_000..15_000].iter().zip(&out[1_022..]).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let energy: f64 = tone[1_000..15_000].iter().map(|&sample| f64::from(sample).powi(2)).sum();
            let snr = 10.0 * (energy / noise).log10();
            assert!(snr > 12.0, "{frequency} Hz: {snr:.1} dB");
        }
    }
}
