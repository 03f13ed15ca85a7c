//! Ears.

pub mod local;

/// The longest utterance that is accepted, in seconds. Whisper hears 30 s at a time; the engine cuts longer ones.
pub const MAX_SECONDS: u32 = 60;
