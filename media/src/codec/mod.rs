//! Codecs: what turns 20 ms of sound into the bytes of a packet, and back.
//!
//! A session holds one [`Encoder`] and one [`Decoder`], made when its codec is agreed and never within a tick. Both work at the
//! [`Rate`] of that codec. The decoder takes packets of G.711 at any time, as peers change between what was listed.

pub mod g711;
mod g722;

use crate::rate::{Converter, Rate};
use crate::sdp::Codec;

/// Sound to bytes. What is coded runs on from tick to tick.
pub(crate) enum Encoder {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
}

impl Encoder {
    pub(crate) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Encoder::Pcmu,
            Codec::Pcma => Encoder::Pcma,
            Codec::G722 => Encoder::G722(Box::new(g722::Encoder::new())),
        }
    }

    /// Appends `pcm`, encoded, to `out`: a byte for each unit of line time.
    pub(crate) fn encode(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        match self {
            Encoder::Pcmu => out.extend(pcm.iter().map(|&sample| g711::encode_ulaw(sample))),
            Encoder::Pcma => out.extend(pcm.iter().map(|&sample| g711::encode_alaw(sample))),
            Encoder::G722(encoder) => encoder.encode(pcm, out),
        }
    }
}

/// Bytes to sound, at one rate whatever comes.
pub(crate) struct Decoder {
    rate: Rate,
    g722: Option<Box<g722::Decoder>>,
    /// Lifts G.711 to the rate of a wide session.
    up: Option<Box<(Converter, Vec<i16>)>>,
}

impl Decoder {
    pub(crate) fn new(codec: Codec) -> Self {
        let rate = codec.rate();
        Decoder {
            rate,
            g722: (codec == Codec::G722).then(|| Box::new(g722::Decoder::new())),
            up: (rate == Rate::Wide).then(|| Box::new((Converter::new(), Vec::with_capacity(1_600)))),
        }
    }

    /// Appends `payload`, decoded, to `out`.
    pub(crate) fn decode(&mut self, codec: Codec, payload: &[u8], out: &mut Vec<i16>) {
        let law = match codec {
            Codec::Pcmu => g711::decode_ulaw,
            Codec::Pcma => g711::decode_alaw,
            Codec::G722 => {
                if let Some(decoder) = &mut self.g722 {
                    decoder.decode(payload, out);
                }
                return;
            }
        };
        let narrow = payload.iter().map(|&byte| law(byte));
        match &mut self.up {
            None => out.extend(narrow),
            Some(up) => {
                let (converter, scratch) = &mut **up;
                scratch.clear();
                scratch.extend(narrow);
                converter.append(scratch, Rate::Narrow, self.rate, out);
            }
        }
    }
}

/// How much line time a payload holds.
pub(crate) fn units_in(codec: Codec, payload: &[u8]) -> usize {
    match codec {
        // 64 kbit/s, all three.
        Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len(),
    }
}
