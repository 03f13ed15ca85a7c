//! placeholder
use std::path::{Path, PathBuf};
use thiserror::Error;
/// Where a call is recorded: stereo WAV at 8 kHz, the peer left, we right.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Created, or replaced. Its folder must exist.
    pub path: PathBuf,
}
/// A whole WAV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    /** Hz */
    pub rate: u32,
    pub channels: u16,
    /** interleaved */
    pub samples: Vec<i16>,
}
/// Why a WAV file cannot be read.
#[derive(Debug, Error)]
pub enum WavError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// Only PCM of 16 bits is read.
    #[error("{path}: {reason}")]
    Unsupported { path: PathBuf, reason: String },
}
/// Reads all of a WAV file.
pub fn read(path: impl AsRef<Path>) -> Result<Wav, WavError> {
    Err(WavError::Unsupported { path: path.as_ref().to_owned(), reason: "nothing".into() })
}
/// Writes all of a WAV file.
pub fn write(_path: impl AsRef<Path>, _wav: &Wav) -> Result<(), WavError> {
    Ok(())
}
