//! RTP packets made by hand (RFC 3550 §5.1), G.711 µ-law, 20 ms each.

use super::speech::Wav;

pub(crate) struct Rtp {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Rtp {
    pub(crate) fn new(ssrc: u32) -> Rtp {
        Rtp { ssrc, sequence: 1_000, timestamp: 160_000 }
    }

    pub(crate) fn silence(&mut self) -> Vec<u8> {
        self.packet(&[0xff; 160])
    }

    pub(crate) fn speech(&mut self, wav: &Wav) -> Vec<Vec<u8>> {
        let ulaw: Vec<u8> = wav.samples().iter().map(|sample| ulaw(*sample)).collect();
        ulaw.chunks_exact(160).map(|frame| self.packet(frame)).collect()
    }

    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}

/// ITU-T G.711, µ-law.
fn ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + 132;
    let exponent = 8 - magnitude.leading_zeros() as u8;
    let mantissa = (magnitude >> (exponent + 3)) as u8 & 0x0f;
    !(sign | exponent << 4 | mantissa)
}

#[test]
fn ulaw_meets_the_table_of_g711() {
    assert_eq!([0, 8, -8, 32_767, -32_768, 1_000].map(ulaw), [0xff, 0xfe, 0x7e, 0x80, 0x00, 0xce]);
}
