//! DTMF.
/// How many digits may wait to be sent.
pub const MAX_QUEUED_DIGITS: usize = 128;
