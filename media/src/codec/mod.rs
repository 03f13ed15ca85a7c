//! Codecs: what turns 20 ms of sound into the bytes of a packet, and back.
//!
//! A session holds one [`Encoder`] and one [`Decoder`], made when its codec is agreed and never within a tick. Both work at the
//! [`Rate`] of that codec. The decoder takes packets of G.711 at any time, as peers change between what was listed.

pub mod g711;
mod g722;
mod opus;

pub(crate) use g722::LAG;

use crate::rate::{Converter, Rate};
use crate::sdp::{Codec, OpusSettings};

/// Room for what waits to become a packet: 60 ms and a tick, wide.
const ROOM: usize = 2 * 1_280;

/// Sound to packets of the agreed length. What is coded runs on from packet to packet.
pub(crate) struct Encoder {
    kind: Kind,
    /// Of the codecs with a byte for each unit of line time: less than a packet of them. Of Opus nothing.
    bytes: Vec<u8>,
    /// What Opus will code as a whole: less than a packet.
    pcm: Vec<i16>,
}

enum Kind {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
    Opus(Box<opus::Encoder>),
    /// Nothing can be coded: libopus had no memory.
    Mute,
}

impl Encoder {
    pub(crate) fn new(codec: Codec, settings: &OpusSettings) -> Self {
        let kind = match codec {
            Codec::Pcmu => Kind::Pcmu,
            Codec::Pcma => Kind::Pcma,
            Codec::G722 => Kind::G722(Box::new(g722::Encoder::new())),
            Codec::Opus => match opus::Encoder::new(settings) {
                Some(encoder) => Kind::Opus(Box::new(encoder)),
                None => Kind::Mute,
            },
        };
        let pcm = if matches!(kind, Kind::Opus(_)) { ROOM } else { 0 };
        Encoder { kind, bytes: Vec::with_capacity(ROOM / 2), pcm: Vec::with_capacity(pcm) }
    }

    /// Codes a tick of sound. Gives each packet of `units` line time that is full, and how long it is; an empty one need not be sent.
    pub(crate) fn encode(&mut self, pcm: &[i16], units: usize, mut packet: impl FnMut(usize, &[u8])) {
        match &mut self.kind {
            Kind::Pcmu => self.bytes.extend(pcm.iter().map(|&sample| g711::encode_ulaw(sample))),
            Kind::Pcma => self.bytes.extend(pcm.iter().map(|&sample| g711::encode_alaw(sample))),
            Kind::G722(encoder) => encoder.encode(pcm, &mut self.bytes),
            Kind::Opus(encoder) => {
                let units = opus::packet_units(units);
                self.pcm.extend_from_slice(pcm);
                let whole = self.pcm.chunks_exact(units * Rate::Wide.scale());
                let rest = whole.remainder().len();
                whole.for_each(|pcm| packet(units, encoder.encode(pcm).unwrap_or_default()));
                self.pcm.drain(..self.pcm.len() - rest);
                return;
            }
            Kind::Mute => return,
        }
        let whole = self.bytes.chunks_exact(units);
        let rest = whole.remainder().len();
        whole.for_each(|payload| packet(units, payload));
        self.bytes.drain(..self.bytes.len() - rest);
    }

    /// Whether nothing waits for the rest of a packet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.pcm.is_empty()
    }

    /// Forgets what waits for the rest of a packet.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.pcm.clear();
    }

    /// The peer loses this share of our packets.
    pub(crate) fn expect_loss(&mut self, share: f32) {
        if let Kind::Opus(encoder) = &mut self.kind {
            encoder.expect_loss(share);
        }
    }
}

/// Bytes to sound, at one rate whatever comes.
pub(crate) struct Decoder {
    rate: Rate,
    g722: Option<Box<g722::Decoder>>,
    /// Its state where [`mark`](Self::mark) was called.
    marked: Option<Box<g722::Decoder>>,
    opus: Option<Box<opus::Decoder>>,
    /// Lifts G.711 to the rate of a wide session.
    up: Option<Box<(Converter, Vec<i16>)>>,
}

impl Decoder {
    pub(crate) fn new(codec: Codec) -> Self {
        let rate = codec.rate();
        Decoder {
            rate,
            g722: (codec == Codec::G722).then(|| Box::new(g722::Decoder::new())),
            marked: (codec == Codec::G722).then(|| Box::new(g722::Decoder::new())),
            opus: (codec == Codec::Opus).then(opus::Decoder::new).flatten().map(Box::new),
            up: (rate == Rate::Wide).then(|| Box::new((Converter::new(), Vec::with_capacity(1_600)))),
        }
    }

    /// Appends `payload`, decoded, to `out`.
    pub(crate) fn decode(&mut self, codec: Codec, payload: &[u8], out: &mut Vec<i16>) {
        match codec {
            // A law for each loop: one that is called by its address, byte by byte, takes thrice as long.
            Codec::Pcmu => self.expand(payload.iter().map(|&byte| g711::decode_ulaw(byte)), out),
            Codec::Pcma => self.expand(payload.iter().map(|&byte| g711::decode_alaw(byte)), out),
            Codec::G722 => self.g722.iter_mut().for_each(|decoder| decoder.decode(payload, out)),
            Codec::Opus => self.opus.iter_mut().for_each(|decoder| decoder.decode(payload, out)),
        }
    }

    /// Appends G.711's samples at the session's rate.
    fn expand(&mut self, narrow: impl Iterator<Item = i16>, out: &mut Vec<i16>) {
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

    /// Appends what stands in for `units` of lost line time, where the codec knows better than a [`Concealer`](crate::conceal::Concealer);
    /// says whether it does. `next` is the packet behind the gap, if it is here and the gap ends with it.
    pub(crate) fn conceal(&mut self, units: usize, next: Option<(Codec, &[u8])>, out: &mut Vec<i16>) -> bool {
        let Some(decoder) = &mut self.opus else { return false };
        match next {
            Some((Codec::Opus, payload)) => decoder.recover(payload, units, out),
            _ => decoder.conceal(units, out),
        }
        true
    }

    /// Whether a codec's decoder must [`follow`](Self::follow) what was lost.
    pub(crate) fn follows(&self, codec: Codec) -> bool {
        codec == Codec::G722 && self.g722.is_some()
    }

    /// The state that [`follow`](Self::follow) begins with, as often as it is asked.
    pub(crate) fn mark(&mut self) {
        if let (Some(marked), Some(decoder)) = (&mut self.marked, &self.g722) {
            marked.clone_from(decoder);
        }
    }

    /// Behind the mark `pcm` was lost, in which [`LAG`] samples are of what follows the loss: what comes next is decoded as behind that.
    pub(crate) fn follow(&mut self, pcm: &[i16]) {
        if let (Some(marked), Some(decoder)) = (&self.marked, &mut self.g722) {
            decoder.clone_from(marked);
            decoder.follow(pcm);
        }
    }

    /// Appends the noise of a silent peer, where the codec knows it; says whether it does.
    pub(crate) fn comfort(&mut self, units: usize, out: &mut Vec<i16>) -> bool {
        self.opus.as_mut().is_some_and(|decoder| decoder.comfort(units, out))
    }
}

/// How much line time a payload holds.
pub(crate) fn units_in(codec: Codec, payload: &[u8]) -> usize {
    match codec {
        // 64 kbit/s, all three.
        Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len(),
        Codec::Opus => opus::units_in(payload),
    }
}
