//! Sound as an Ogg file of Opus (RFC 7845), made piece by piece: what is pushed comes back as pages when a second of it is together.
//!
//! A decoder gives back exactly as many samples as were pushed, each at its place: the header says how long the encoder's delay is
//! (pre-skip), and the last page where the sound ends. Two channels are one stream (mapping family 0), left and right as they came.
//!
//! It is for files that somebody waits for, not for the tick: it allocates.

use std::io;

use ogg::{PacketWriteEndInfo, PacketWriter};
use opus::{Application, Bitrate, Channels, Encoder, Signal};

use crate::resample::Resampler;

/// The rates that Opus codes, in Hz. Sound of any other is brought to the next one above.
const RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
/// Positions are counted in samples of this rate, whatever was coded (RFC 7845 §4).
const CLOCK: u32 = 48_000;
/// A packet is 20 ms, in units of [`CLOCK`].
const PACKET: u64 = 960;
/// Packets of a page: a second (RFC 7845 §6 wants no longer ones).
const PAGE: u64 = 50;
/// Bits a second of each channel.
const BITRATE: i32 = 24_000;
/// How hard the encoder tries, 0 to 10. With less it codes two telephone voices at this rate by its model of one mouth, which is no better (correlation
/// 0.976 in place of 0.995 with real speech).
const COMPLEXITY: i32 = 10;
/// No packet of 20 ms is longer, bytes.
const MAX_BYTES: usize = 1_275;

/// Turns PCM of 16 bits into the bytes of an Ogg Opus file.
pub struct OpusFile {
    encoder: Encoder,
    pages: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    channels: usize,
    /// Units of [`CLOCK`] in a sample that the encoder takes.
    scale: u64,
    /// The encoder's delay.
    pre_skip: u64,
    /// Interleaved, at the encoder's rate: less than a packet.
    waiting: Vec<i16>,
    /// One for each channel, where the encoder's rate is another one.
    resamplers: Vec<Resampler>,
    /// What was pushed and what has become packets, in units of [`CLOCK`].
    taken: u64,
    coded: u64,
}

impl OpusFile {
    /// `rate`: samples a second of each channel, in Hz; one channel or two. `serial` names the stream: files that are put one behind the other
    /// must differ in it (RFC 3533 §4).
    ///
    /// # Errors
    /// There is no memory for an encoder, or there are other channels.
    pub fn new(rate: u32, channels: u16, serial: u32) -> io::Result<OpusFile> {
        let layout = match channels {
            1 => Channels::Mono,
            2 => Channels::Stereo,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "Opus of one channel or two")),
        };
        let coded = RATES.into_iter().find(|&known| known >= rate).unwrap_or(CLOCK);
        let mut encoder = Encoder::new(coded, layout, Application::Audio).map_err(failed)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE * i32::from(channels))).map_err(failed)?;
        encoder.set_complexity(COMPLEXITY).map_err(failed)?;
        encoder.set_signal(Signal::Voice).map_err(failed)?;
        // Each voice stays on its side, and both are there when the sides are added up.
        encoder.set_force_channels(Some(layout)).map_err(failed)?;
        encoder.set_phase_inversion_disabled(true).map_err(failed)?;
        let scale = u64::from(CLOCK / coded);
        let delay = u64::try_from(encoder.get_lookahead().map_err(failed)?).unwrap_or(0);
        let resamplers = match coded == rate {
            true => Vec::new(),
            false => (0..channels).map(|_| Resampler::new(rate, coded)).collect(),
        };
        let mut file = OpusFile {
            encoder,
            pages: PacketWriter::new(Vec::new()),
            serial,
            channels: channels.into(),
            scale,
            pre_skip: delay * scale,
            waiting: Vec::new(),
            resamplers,
            taken: 0,
            coded: 0,
        };
        // Each of the two headers has a page of its own, and ends it (RFC 7845 §3).
        for header in [file.head(rate), tags()] {
            file.pages.write_packet(header, serial, PacketWriteEndInfo::EndPage, 0)?;
        }
        Ok(file)
    }

    /// RFC 7845 §5.1; `rate` is what the sound had before it was coded.
    fn head(&self, rate: u32) -> Vec<u8> {
        let mut head = b"OpusHead\x01".to_vec();
        // One or two, and less than a tenth of a second.
        head.push(self.channels as u8);
        head.extend((self.pre_skip as u16).to_le_bytes());
        head.extend(rate.to_le_bytes());
        // No gain; family 0.
        head.extend([0, 0, 0]);
        head
    }

    /// Takes samples, those of two channels in turn, and gives the bytes that are ready. A part of a sample is dropped.
    ///
    /// # Errors
    /// The encoder fails.
    pub fn push(&mut self, pcm: &[i16]) -> io::Result<Vec<u8>> {
        let pcm = &pcm[..pcm.len() - pcm.len() % self.channels];
        if self.resamplers.is_empty() {
            self.take(pcm);
        } else {
            self.resample(|resampler, index, channels, out| {
                let side: Vec<i16> = pcm.iter().skip(index).step_by(channels).copied().collect();
                resampler.push(&side, out);
            });
        }
        let length = self.packet();
        let waiting = std::mem::take(&mut self.waiting);
        let whole = waiting.chunks_exact(length);
        self.waiting = whole.remainder().to_vec();
        for pcm in whole {
            self.code(pcm, None)?;
        }
        Ok(std::mem::take(self.pages.inner_mut()))
    }

    /// The last pages.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.resample(|resampler, _, _, out| resampler.finish(out));
        // What the encoder still holds back comes out behind silence; the file ends before that (RFC 7845 §4.4).
        let end = self.pre_skip + self.taken;
        let length = self.packet();
        let mut rest = std::mem::take(&mut self.waiting).into_iter();
        while self.coded < end {
            let pcm: Vec<i16> = rest.by_ref().chain(std::iter::repeat(0)).take(length).collect();
            self.code(&pcm, Some(end))?;
        }
        Ok(self.pages.into_inner())
    }

    /// Samples of a packet, of all channels.
    fn packet(&self) -> usize {
        (PACKET / self.scale) as usize * self.channels
    }

    fn take(&mut self, pcm: &[i16]) {
        self.taken += (pcm.len() / self.channels) as u64 * self.scale;
        self.waiting.extend_from_slice(pcm);
    }

    /// Takes what the resamplers make of what they are given: resampler, its channel, of how many, its output.
    fn resample(&mut self, mut give: impl FnMut(&mut Resampler, usize, usize, &mut Vec<i16>)) {
        let channels = self.channels;
        let mut sides = vec![Vec::new(); self.resamplers.len()];
        for (index, (resampler, side)) in self.resamplers.iter_mut().zip(&mut sides).enumerate() {
            give(resampler, index, channels, side);
        }
        let length = sides.first().map_or(0, Vec::len);
        // Both had as much, so both give as much.
        let pcm: Vec<i16> = (0..length).flat_map(|at| sides.iter().map(move |side| side[at])).collect();
        self.take(&pcm);
    }

    /// Makes a packet. `end`: where the sound ends, once that is known; the packet that reaches it is the last.
    fn code(&mut self, pcm: &[i16], end: Option<u64>) -> io::Result<()> {
        let bytes = self.encoder.encode_vec(pcm, MAX_BYTES).map_err(failed)?;
        self.coded += PACKET;
        let (how, at) = match end {
            Some(end) if self.coded >= end => (PacketWriteEndInfo::EndStream, end),
            _ if self.coded.is_multiple_of(PAGE * PACKET) => (PacketWriteEndInfo::EndPage, self.coded),
            _ => (PacketWriteEndInfo::NormalPacket, self.coded),
        };
        self.pages.write_packet(bytes, self.serial, how, at)
    }
}

/// RFC 7845 §5.2: what coded it, and nothing about anybody.
fn tags() -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    let mut text = |text: &str| {
        tags.extend((text.len() as u32).to_le_bytes());
        tags.extend(text.as_bytes());
    };
    text(opus::version());
    tags.extend(0u32.to_le_bytes());
    tags
}

fn failed(error: opus::Error) -> io::Error {
    io::Error::other(format!("the Opus encoder failed: {error}"))
}
