//! Opus (RFC 6716), by libopus: 16 kHz mono at some 32 kbit/s.
//!
//! The codec mends for itself what the others need help with. A packet may hold a coarse copy of the one before it (in-band FEC, which the
//! encoder adds the more eagerly the more loss the peer reports); what is not copied either is made up from the decoder's own state, and so
//! is the background noise between the words of a peer that falls silent (DTX).
//!
//! Encoder and decoder take their memory when they are made, and none after; a packet is coded on the stack.

use opus::{Application, Bandwidth, Bitrate, Channels, Signal};

use crate::Rate;
use crate::sdp::OpusSettings;

/// Hz, and samples per unit of line time.
const HZ: u32 = Rate::Wide.hz();
const SCALE: usize = Rate::Wide.scale();
/// Packets are multiples of 2.5 ms; this in line time.
const GRAIN: usize = 20;
/// The longest frame that speech is coded in, and made up in: 20 ms.
const FRAME: usize = 160;
/// The longest packet: 120 ms.
const LONGEST: usize = 960;
/// No packet that we send is longer: 60 ms at the highest bit rate that we set.
const MAX_BYTES: usize = 1_275;
/// Shorter packets need not be sent: the peer makes up the silence (`opus_encode` in libopus' documentation).
const DTX_BYTES: usize = 2;
/// How hard the encoder tries, 0 to 10; see `docs/decisions/opus.md` for what each step costs and gives.
const COMPLEXITY: i32 = 1;
/// Percent of loss that is provided for before the peer has reported, and at most.
const LEAST_LOSS: f32 = 10.0;
const MOST_LOSS: f32 = 30.0;
/// How long the noise of a silent peer is made up after its last word, in line time: it repeats that every 400 ms.
const LONGEST_NOISE: usize = 16_000;

pub(crate) struct Encoder {
    inner: opus::Encoder,
    fec: bool,
    bytes: Box<[u8; MAX_BYTES]>,
}

impl Encoder {
    /// `None` where libopus has no memory.
    pub(crate) fn new(settings: &OpusSettings) -> Option<Self> {
        let mut inner = opus::Encoder::new(HZ, Channels::Mono, Application::Voip).ok()?;
        let bandwidth = match settings.max_rate {
            0..12_000 => Bandwidth::Narrowband,
            12_000..16_000 => Bandwidth::Mediumband,
            _ => Bandwidth::Wideband,
        };
        // None of these can fail: they are within what libopus documents.
        let bitrate = Bitrate::Bits(i32::try_from(settings.bitrate).unwrap_or(i32::MAX));
        let set = [
            inner.set_bitrate(bitrate),
            inner.set_complexity(COMPLEXITY),
            inner.set_max_bandwidth(bandwidth),
            inner.set_signal(Signal::Voice),
            inner.set_vbr(!settings.cbr),
            inner.set_dtx(settings.dtx),
            inner.set_inband_fec(settings.fec),
            inner.set_packet_loss_perc(if settings.fec { LEAST_LOSS as i32 } else { 0 }),
        ];
        debug_assert!(set.iter().all(Result::is_ok), "{set:?}");
        Some(Encoder { inner, fec: settings.fec, bytes: Box::new([0; MAX_BYTES]) })
    }

    /// The peer loses this share of what we send: that much is provided for.
    pub(crate) fn expect_loss(&mut self, share: f32) {
        if self.fec {
            let percent = (share * 100.0).clamp(LEAST_LOSS, MOST_LOSS);
            // A percentage; it cannot be refused.
            let _ = self.inner.set_packet_loss_perc(percent as i32);
        }
    }

    /// One packet of 10, 20, 40 or 60 ms; `None` where it need not be sent.
    pub(crate) fn encode(&mut self, pcm: &[i16]) -> Option<&[u8]> {
        let length = self.inner.encode(pcm, &mut self.bytes[..]).unwrap_or(0);
        (length > DTX_BYTES).then(|| &self.bytes[..length])
    }
}

pub(crate) struct Decoder {
    inner: opus::Decoder,
    /// The last packet said that the peer falls silent; and how much noise has been made up since.
    silent: bool,
    noise: usize,
    /// How long the last packet's frames were, at most, in line time.
    frame: usize,
    /// What was made up of a frame and not asked for yet.
    rest: Vec<i16>,
}

impl Decoder {
    /// `None` where libopus has no memory.
    pub(crate) fn new() -> Option<Self> {
        let inner = opus::Decoder::new(HZ, Channels::Mono).ok()?;
        let rest = Vec::with_capacity(FRAME * SCALE);
        Some(Decoder { inner, silent: false, noise: 0, frame: FRAME, rest })
    }

    /// Appends a packet's sound, as much as [`units_in`] says of it. What is no packet is made up.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        let units = units_in(payload);
        if units > 0 {
            self.frame = units.min(FRAME);
        }
        self.silent = payload.len() <= DTX_BYTES;
        self.noise = 0;
        self.take(payload, units, false, out);
    }

    /// Appends what a packet before `next` held, by the copy that `next` may have of it.
    pub(crate) fn recover(&mut self, next: &[u8], units: usize, out: &mut Vec<i16>) {
        self.take(next, units, true, out);
    }

    /// Appends what may have been lost. It is made up in frames as long as those that came: of speech no less than 10 ms can be, so that of a
    /// shorter piece the end is thrown away and the next one does not fit to it. What is asked for in pieces comes in one.
    pub(crate) fn conceal(&mut self, units: usize, out: &mut Vec<i16>) {
        let mut wanted = units * SCALE;
        loop {
            let now = wanted.min(self.rest.len());
            out.extend(self.rest.drain(..now));
            wanted -= now;
            if wanted == 0 {
                return;
            }
            let mut pcm = [0i16; FRAME * SCALE];
            let frame = &mut pcm[..self.frame * SCALE];
            // It cannot fail, and silence would be right if it did.
            let _ = self.inner.decode(&[], frame, false);
            self.rest.extend_from_slice(frame);
        }
    }

    /// Appends the noise of a peer that fell silent; says whether it did.
    pub(crate) fn comfort(&mut self, units: usize, out: &mut Vec<i16>) -> bool {
        self.noise = self.noise.saturating_add(units);
        let noisy = self.silent && self.noise <= LONGEST_NOISE;
        if noisy {
            self.conceal(units, out);
        }
        noisy
    }

    /// Appends exactly so much, whatever comes of the packet.
    fn take(&mut self, payload: &[u8], units: usize, copy: bool, out: &mut Vec<i16>) {
        self.rest.clear();
        let mut pcm = [0i16; LONGEST * SCALE];
        // A copy comes in whole grains; the rest of the last one is dropped.
        let room = units.next_multiple_of(GRAIN).min(LONGEST) * SCALE;
        if self.inner.decode(payload, &mut pcm[..room], copy).is_err() && !payload.is_empty() {
            // A packet whose inside is not as its head says is as good as lost.
            return self.conceal(units.min(LONGEST), out);
        }
        out.extend_from_slice(&pcm[..(units * SCALE).min(room)]);
    }
}

/// How much line time a packet holds; 0 if it is none (RFC 6716 §3).
pub(crate) fn units_in(payload: &[u8]) -> usize {
    opus::packet::get_nb_samples(payload, 8_000).unwrap_or(0)
}

/// The packet length that is nearest to what is wished and not longer, in line time: Opus has none of 30 and 50 ms.
pub(crate) fn packet_units(wished: usize) -> usize {
    match wished {
        480.. => 480,
        320.. => 320,
        160.. => 160,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fifth of a second of a voice, more or less, as packets of 20 ms.
    fn packets() -> Vec<Vec<u8>> {
        let mut encoder = opus::Encoder::new(HZ, Channels::Mono, Application::Voip).unwrap();
        let mut bytes = [0; MAX_BYTES];
        let pcm = |n: usize| {
            let phase = n as f32 * 150.0 / HZ as f32;
            (6_000.0 * (1.0 - 2.0 * phase.fract())) as i16
        };
        (0..10)
            .map(|packet| {
                let frame: Vec<i16> = (0..FRAME * SCALE).map(|n| pcm(packet * FRAME * SCALE + n)).collect();
                let length = encoder.encode(&frame, &mut bytes[..]).unwrap();
                bytes[..length].to_vec()
            })
            .collect()
    }

    /// What it makes up of lost packets, asked for in such pieces.
    fn made_up(pieces: &[usize]) -> Vec<i16> {
        let mut decoder = Decoder::new().unwrap();
        packets().iter().for_each(|packet| decoder.decode(packet, &mut Vec::new()));
        let mut out = Vec::new();
        pieces.iter().for_each(|&units| decoder.conceal(units, &mut out));
        out
    }

    #[test]
    fn what_is_made_up_is_the_same_in_pieces() {
        let whole = made_up(&[FRAME, FRAME]);
        assert!(whole.len() == 2 * FRAME * SCALE && whole.iter().any(|sample| sample.unsigned_abs() > 500));
        for pieces in [&[113, 47, 160][..], &[1, 158, 161], &[320], &[60, 60, 60, 60, 60, 20]] {
            assert_eq!(made_up(pieces), whole, "{pieces:?}");
        }
    }

    #[test]
    fn what_was_made_up_and_not_needed_is_forgotten_when_a_packet_comes() {
        let mut decoder = Decoder::new().unwrap();
        let packets = packets();
        let mut out = Vec::new();
        decoder.decode(&packets[0], &mut out);
        decoder.conceal(60, &mut out);
        decoder.decode(&packets[2], &mut out);
        assert_eq!((out.len(), decoder.rest.len()), ((FRAME + 60 + FRAME) * SCALE, 0));
    }

    #[test]
    fn a_packet_whose_inside_is_none_counts_as_lost() {
        let mut decoder = Decoder::new().unwrap();
        packets().iter().for_each(|packet| decoder.decode(packet, &mut Vec::new()));
        // Two frames of different lengths (RFC 6716 §3.2.4), the first longer than the packet.
        let broken = [packets()[0][0] | 2, 200, 1, 2, 3];
        let units = units_in(&broken);
        let mut out = Vec::new();
        decoder.decode(&broken, &mut out);
        assert_eq!(units, 2 * FRAME);
        assert_eq!(out, made_up(&[FRAME, FRAME]));
    }
}
