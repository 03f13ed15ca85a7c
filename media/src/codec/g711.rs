//! G.711: logarithmic PCM at 64 kbit/s, µ-law and A-law.
//!
//! Decoding is a table of 256 samples, made by the compiler from the law itself; encoding finds the segment by the position of
//! the highest bit, which is the exponent of a floating-point number. Both are tested exhaustively against the definition: each of the 65,536 samples must fall into the interval
//! that the standard's decision values give it.

/// What is added to the magnitude in µ-law before its logarithm is taken, on the 16-bit scale.
const ULAW_BIAS: i32 = 0x84;
/// The largest magnitude that µ-law can hold on the 16-bit scale.
const ULAW_CLIP: i32 = 32_635;

static ULAW: [i16; 256] = ulaw_table();
static ALAW: [i16; 256] = alaw_table();

/// The µ-law byte of silence.
pub const ULAW_SILENCE: u8 = 0xff;
/// The A-law byte nearest to silence.
pub const ALAW_SILENCE: u8 = 0xd5;

/// One µ-law byte to a 16-bit sample.
pub fn decode_ulaw(byte: u8) -> i16 {
    ULAW[byte as usize]
}

/// One A-law byte to a 16-bit sample.
pub fn decode_alaw(byte: u8) -> i16 {
    ALAW[byte as usize]
}

/// One 16-bit sample to a µ-law byte. The wire carries the bits inverted (G.711 table 2).
pub fn encode_ulaw(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    // The bias makes bit 7 the lowest that can be highest.
    let magnitude = i32::from(sample).abs().min(ULAW_CLIP) + ULAW_BIAS;
    !(sign | logarithm(magnitude, 7))
}

/// One 16-bit sample to an A-law byte. The wire carries the even bits inverted (G.711 table 1).
pub fn encode_alaw(sample: i16) -> u8 {
    // A-law has 13 bits; a negative sample counts from −1, so that both signs have 4,096 steps.
    let (sign, magnitude) =
        if sample >= 0 { (0x80, i32::from(sample) >> 3) } else { (0, !i32::from(sample) >> 3) };
    // The two lowest segments have the same steps.
    let code = if magnitude < 32 { (magnitude >> 1) as u8 } else { logarithm(magnitude, 4) };
    (sign | code) ^ 0x55
}

/// The number of the highest bit, from `lowest` on, and the four bits below it: a floating-point number has both side by side, and the processor makes many of those at a
/// time, where it counts leading zeroes one by one.
fn logarithm(magnitude: i32, lowest: u32) -> u8 {
    const BIAS: u32 = 127;
    let bits = (magnitude as f32).to_bits() >> (f32::MANTISSA_DIGITS - 1 - 4);
    bits.wrapping_sub((BIAS + lowest) << 4) as u8
}

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = !(byte as u8);
        let segment = (code >> 4) & 7;
        let magnitude = (((((code & 0x0f) as i32) << 3) + ULAW_BIAS) << segment) - ULAW_BIAS;
        table[byte] = if code & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 };
        byte += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = byte as u8 ^ 0x55;
        let segment = (code >> 4) & 7;
        let mantissa = (code & 0x0f) as i32;
        let magnitude =
            if segment == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (segment - 1) };
        table[byte] = if code & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The laws as G.711 draws them: value of segment and step, in 14 (µ) and 13 (A) bit units.
    fn reference_ulaw(byte: u8) -> i32 {
        let code = !byte;
        let (segment, step) = ((code >> 4 & 7) as u32, (code & 15) as i32);
        let value = (2 * step + 33) * 2i32.pow(segment) - 33;
        4 * if code & 0x80 == 0 { value } else { -value }
    }

    fn reference_alaw(byte: u8) -> i32 {
        let code = byte ^ 0x55;
        let (segment, step) = ((code >> 4 & 7) as u32, (code & 15) as i32);
        let value = if segment == 0 { 2 * step + 1 } else { (2 * step + 33) * 2i32.pow(segment - 1) };
        8 * if code & 0x80 != 0 { value } else { -value }
    }

    #[test]
    fn decoding_is_the_law() {
        for byte in 0..=255 {
            assert_eq!(decode_ulaw(byte) as i32, reference_ulaw(byte), "µ {byte:#x}");
            assert_eq!(decode_alaw(byte) as i32, reference_alaw(byte), "A {byte:#x}");
        }
        assert_eq!(decode_ulaw(ULAW_SILENCE), 0);
        assert_eq!(decode_alaw(ALAW_SILENCE), 8);
    }

    #[test]
    fn every_byte_survives_the_round_trip() {
        for byte in 0..=255u8 {
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
            // µ-law has two zeroes; the negative one (0x7f) comes back as the positive.
            assert_eq!(encode_ulaw(decode_ulaw(byte)), if byte == 0x7f { 0xff } else { byte });
        }
    }

    /// The last of the 128 intervals whose lower decision value is not above the magnitude.
    fn interval(magnitude: i32, lower: impl Fn(u32, i32) -> i32) -> u8 {
        (0..128u8)
            .rev()
            .find(|code| lower(u32::from(code >> 4), i32::from(code & 15)) <= magnitude)
            .unwrap_or(0)
    }

    #[test]
    fn every_sample_falls_into_its_interval() {
        for sample in i16::MIN..=i16::MAX {
            let value = i32::from(sample);
            let ulaw = interval(value.abs().min(ULAW_CLIP), |segment, step| {
                4 * ((2 * step + 32) * 2i32.pow(segment) - 33)
            });
            assert_eq!(encode_ulaw(sample), !(ulaw | if value < 0 { 0x80 } else { 0 }), "µ {sample}");
            let alaw = interval(if value < 0 { -value - 1 } else { value }, |segment, step| {
                8 * if segment == 0 { 2 * step } else { (2 * step + 32) * 2i32.pow(segment - 1) }
            });
            assert_eq!(encode_alaw(sample), (alaw | if value < 0 { 0 } else { 0x80 }) ^ 0x55, "A {sample}");
        }
    }
}
