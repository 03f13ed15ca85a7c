//! Codecs: what turns 20 ms of sound into the bytes of a packet, and back.

pub mod g711;

use crate::sdp::Codec;

/// Appends `payload`, decoded, to `out`. G.711 carries one sample per byte and has no state.
pub(crate) fn decode(codec: Codec, payload: &[u8], out: &mut Vec<i16>) {
    match codec {
        Codec::Pcmu => out.extend(payload.iter().map(|&byte| g711::decode_ulaw(byte))),
        Codec::Pcma => out.extend(payload.iter().map(|&byte| g711::decode_alaw(byte))),
    }
}

/// Appends `pcm`, encoded, to `out`.
pub(crate) fn encode(codec: Codec, pcm: &[i16], out: &mut Vec<u8>) {
    match codec {
        Codec::Pcmu => out.extend(pcm.iter().map(|&sample| g711::encode_ulaw(sample))),
        Codec::Pcma => out.extend(pcm.iter().map(|&sample| g711::encode_alaw(sample))),
    }
}

/// How many samples a payload of so many bytes holds.
pub(crate) fn samples_in(codec: Codec, bytes: usize) -> usize {
    match codec {
        Codec::Pcmu | Codec::Pcma => bytes,
    }
}
