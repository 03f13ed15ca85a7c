//! Sound in the formats that are made while it is given out, piece by piece: MP3 here, Ogg Opus by [`media::OpusFile`].

use std::io;

use media::OpusFile;
use mp3lame_encoder::{Bitrate, Builder, Encoder, FlushNoGap, InterleavedPcm, MonoPcm, Quality};
use sha2::{Digest, Sha256};

use super::SoundFormat;

/// What LAME may need for its last frames, bytes.
const LAST: usize = 7_200;

pub(super) enum Coder {
    Mp3(Box<Mp3>),
    Opus(Box<OpusFile>),
}

impl Coder {
    /// `rate`: samples a second of each channel; one channel or two. `serial`: see [`OpusFile::new`].
    ///
    /// # Errors
    /// The format has no such sound, or is WAV.
    pub(super) fn new(format: SoundFormat, rate: u32, channels: u16, serial: u32) -> io::Result<Self> {
        Ok(match format {
            SoundFormat::Wav => return Err(io::Error::other("a WAV is given out as it is")),
            SoundFormat::Mp3 => Self::Mp3(Box::new(Mp3::new(rate, channels)?)),
            SoundFormat::Opus => Self::Opus(Box::new(OpusFile::new(rate, channels, serial)?)),
        })
    }

    /// Samples of two channels take turns. What comes of them may be nothing yet.
    pub(super) fn push(&mut self, pcm: &[i16]) -> io::Result<Vec<u8>> {
        match self {
            Self::Mp3(mp3) => mp3.push(pcm),
            Self::Opus(file) => file.push(pcm),
        }
    }

    /// What is still to come.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Mp3(mp3) => mp3.finish(),
            Self::Opus(file) => file.finish(),
        }
    }
}

/// Names a stream after what is in it. Two that are put one behind the other must have two names.
pub(super) fn serial(of: &str) -> u32 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(of).into();
    u32::from_le_bytes([a, b, c, d])
}

pub(super) struct Mp3 {
    encoder: Encoder,
    channels: u16,
}

impl Mp3 {
    /// `rate`: samples a second of each channel; one channel or two.
    ///
    /// # Errors
    /// LAME does not take such sound.
    pub(super) fn new(rate: u32, channels: u16) -> io::Result<Self> {
        // Speech needs no more; telephones pass less.
        let bitrate = if channels == 1 { Bitrate::Kbps32 } else { Bitrate::Kbps64 };
        let made = Builder::new().map(|builder| {
            builder
                .with_num_channels(if channels == 1 { 1 } else { 2 })?
                .with_sample_rate(rate)?
                .with_brate(bitrate)?
                .with_quality(Quality::Good)?
                .build()
        });
        let encoder = made.ok_or_else(|| io::Error::other("there is no memory for an MP3 encoder"))?;
        let encoder = encoder.map_err(|error| io::Error::other(format!("no MP3 of this sound: {error}")))?;
        Ok(Self { encoder, channels })
    }

    /// Samples of two channels take turns.
    pub(super) fn push(&mut self, pcm: &[i16]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(mp3lame_encoder::max_required_buffer_size(pcm.len()));
        let done = match self.channels {
            1 => self.encoder.encode_to_vec(MonoPcm(pcm), &mut bytes),
            _ => self.encoder.encode_to_vec(InterleavedPcm(pcm), &mut bytes),
        };
        done.map(|_| bytes).map_err(failed)
    }

    /// The last frames.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(LAST);
        self.encoder.flush_to_vec::<FlushNoGap>(&mut bytes).map(|_| bytes).map_err(failed)
    }
}

fn failed(error: mp3lame_encoder::EncodeError) -> io::Error {
    io::Error::other(format!("the MP3 encoder failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_tone_becomes_frames() {
        for channels in [1u16, 2] {
            let mut mp3 = Coder::new(SoundFormat::Mp3, 8_000, channels, 0).unwrap();
            let tone: Vec<i16> = (0..8_000 * i32::from(channels))
                .map(|n| (f64::from(n) / 3.0).sin().mul_add(8_000.0, 0.0) as i16)
                .collect();
            let mut bytes = Vec::new();
            for piece in tone.chunks(1_000) {
                bytes.extend(mp3.push(piece).unwrap());
            }
            bytes.extend(mp3.finish().unwrap());
            // A frame begins with eleven ones.
            assert!(bytes.windows(2).any(|two| two[0] == 0xff && two[1] & 0xe0 == 0xe0));
            assert!((1_000..20_000).contains(&bytes.len()), "{}", bytes.len());
        }
    }

    #[test]
    fn opus_is_made_in_pages_and_wav_not_at_all() {
        let mut file = Coder::new(SoundFormat::Opus, 8_000, 2, serial("a call")).unwrap();
        let head = file.push(&[]).unwrap();
        assert!(head.starts_with(b"OggS") && head.windows(8).any(|eight| eight == b"OpusHead"));
        assert!(file.push(&[5; 16]).unwrap().is_empty(), "less than a second waits");
        assert!(file.finish().unwrap().starts_with(b"OggS"));
        assert_ne!(serial("a call"), serial("another"));
        assert!(Coder::new(SoundFormat::Wav, 8_000, 2, 0).is_err());
    }
}
