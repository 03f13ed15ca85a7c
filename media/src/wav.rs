//! WAV files of 16-bit PCM: recordings that survive a kill, and clips to be played.
//!
//! A [`Writer`] appends sound first and corrects the two lengths in the header after: so whenever the process dies, the file is valid up to
//! the flush before. It does not decide when to flush; its owner does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Bytes before the sound, in files that we write.
const HEADER: usize = 44;
/// Where the header holds the length of all that follows it, and the length of the sound.
const RIFF_LENGTH_AT: u64 = 4;
const DATA_LENGTH_AT: u64 = 40;
/// The longest sound that the header can state.
const MAX_BYTES: u64 = u32::MAX as u64 - HEADER as u64;

/// Where a call is recorded: stereo WAV at the rate of the call's codec, the peer left, we right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Created, or replaced. Its folder must exist.
    pub path: PathBuf,
}

/// A whole WAV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /// Hz.
    pub rate: u32,
    pub channels: u16,
    /// Interleaved.
    pub samples: Vec<i16>,
}

impl Wav {
    /// One channel alone, from 0; empty if there is no such channel.
    pub fn channel(&self, index: u16) -> Vec<i16> {
        let channels = usize::from(self.channels.max(1));
        if index >= self.channels {
            return Vec::new();
        }
        self.samples.iter().skip(usize::from(index)).step_by(channels).copied().collect()
    }

    /// All channels mixed into one.
    pub fn mono(&self) -> Vec<i16> {
        let channels = usize::from(self.channels.max(1));
        let mean = |frame: &[i16]| {
            (frame.iter().map(|&sample| i32::from(sample)).sum::<i32>() / frame.len().max(1) as i32) as i16
        };
        self.samples.chunks(channels).map(mean).collect()
    }
}

/// Why a WAV file cannot be read or written.
#[derive(Debug, Error)]
pub enum WavError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// Only PCM of 16 bits is read.
    #[error("{path}: {reason}")]
    Unsupported { path: PathBuf, reason: String },
}

/// Reads all of a WAV file. A length that goes beyond the end of the file, as players leave it that were killed, is taken to mean the end.
///
/// # Errors
/// The file cannot be read, or is something else than 16-bit PCM.
pub fn read(path: impl AsRef<Path>) -> Result<Wav, WavError> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|source| WavError::Io { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|reason| WavError::Unsupported { path: path.to_owned(), reason: reason.to_owned() })
}

/// Writes all of a WAV file.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: impl AsRef<Path>, wav: &Wav) -> Result<(), WavError> {
    let path = path.as_ref();
    let written = Writer::create(path, wav.rate, wav.channels).and_then(|mut writer| {
        writer.push(&wav.samples);
        writer.finish()
    });
    written.map_err(|source| WavError::Io { path: path.to_owned(), source })
}

/// Parses the bytes of a WAV file.
///
/// # Errors
/// Says what is not as it should be.
pub fn parse(bytes: &[u8]) -> Result<Wav, &'static str> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err("not a WAV file");
    }
    let mut at = 12;
    let mut format = None;
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), u32_at(bytes, at + 4)) {
        let start = at + 8;
        let end = start.saturating_add(length as usize);
        match name {
            b"fmt " => {
                let words = (u16_at(bytes, start), u16_at(bytes, start + 2), u16_at(bytes, start + 14));
                let (Some(kind), Some(channels), Some(bits)) = words else {
                    return Err("its format is cut short");
                };
                // 0xfffe: "extensible", whose real kind follows.
                let kind = if kind == 0xfffe { u16_at(bytes, start + 24).unwrap_or(kind) } else { kind };
                let rate = u32_at(bytes, start + 4).unwrap_or(0);
                if kind != 1 || bits != 16 {
                    return Err("not PCM of 16 bits");
                }
                if channels == 0 || rate == 0 {
                    return Err("its format is nonsense");
                }
                format = Some((rate, channels));
            }
            b"data" => {
                let (rate, channels) = format.ok_or("its sound comes before its format")?;
                let sound = &bytes[start..end.min(bytes.len())];
                let samples =
                    sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                return Ok(Wav { rate, channels, samples });
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = end.saturating_add(length as usize & 1);
    }
    Err("it holds no sound")
}

/// Writes a WAV file bit by bit. Nothing reaches the file before [`flush`](Self::flush).
#[derive(Debug)]
pub struct Writer {
    file: File,
    rate: u32,
    channels: u16,
    /// The header in the file says another rate.
    is_header_due: bool,
    pending: Vec<u8>,
    /// Bytes of sound in the file.
    written: u64,
}

impl Writer {
    /// Creates or replaces the file, and writes a header that says "no sound yet".
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub fn create(path: impl AsRef<Path>, rate: u32, channels: u16) -> io::Result<Writer> {
        let mut file = File::create(path)?;
        file.write_all(&header(rate, channels))?;
        Ok(Writer { file, rate, channels, is_header_due: false, pending: Vec::new(), written: 0 })
    }

    /// Another rate, which is for before the first sound: it holds for the whole file. The header says it from the next flush on.
    pub fn set_rate(&mut self, rate: u32) {
        self.is_header_due |= self.rate != rate;
        self.rate = rate;
    }

    /// Over a file that need not take anything, to see what happens then.
    #[cfg(test)]
    pub(crate) fn over(file: File) -> Writer {
        Writer {
            file,
            rate: crate::LINE_RATE,
            channels: 2,
            is_header_due: false,
            pending: Vec::new(),
            written: 0,
        }
    }

    /// Goes on in another file; gives the one so far.
    #[cfg(all(test, feature = "net"))]
    pub(crate) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Appends interleaved samples.
    pub fn push(&mut self, samples: &[i16]) {
        self.pending.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }

    /// Bytes that wait for a flush.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What waits for a flush, as it will stand in the file: little-endian, interleaved.
    pub fn unwritten(&mut self) -> &mut [u8] {
        &mut self.pending
    }

    /// Gives up what waits for a flush. Its time stays: there is silence in the file, should a later flush succeed.
    pub fn skip(&mut self) {
        self.written += self.pending.len() as u64;
        self.pending.clear();
    }

    /// Puts everything into the file, the sound first and its length after.
    ///
    /// # Errors
    /// The disk is full, for instance. The file stays valid up to the flush before.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flush_but(0)
    }

    /// As [`flush`](Self::flush), but the last so many bytes wait on.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn flush_but(&mut self, bytes: usize) -> io::Result<()> {
        let ready = self.pending.len().saturating_sub(bytes);
        let length = self.written + ready as u64;
        if length > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a WAV file holds 4 GiB at most"));
        }
        if self.is_header_due {
            self.file.write_all_at(&header(self.rate, self.channels)[..DATA_LENGTH_AT as usize], 0)?;
            self.is_header_due = false;
        }
        self.file.write_all_at(&self.pending[..ready], HEADER as u64 + self.written)?;
        self.written = length;
        self.pending.drain(..ready);
        // At most MAX_BYTES, so it fits.
        let length = length as u32;
        self.file.write_all_at(&length.to_le_bytes(), DATA_LENGTH_AT)?;
        self.file.write_all_at(&(length + HEADER as u32 - 8).to_le_bytes(), RIFF_LENGTH_AT)
    }

    /// Flushes, down to the disk.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }
}

fn header(rate: u32, channels: u16) -> [u8; HEADER] {
    let frame = channels * 2;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(HEADER as u32 - 8).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&channels.to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&(rate * u32::from(frame)).to_le_bytes());
    header[32..34].copy_from_slice(&frame.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}
