//! Errors, one small enum per operation. Nothing that a stranger sends makes an error: that is counted in [`crate::Stats`].

use thiserror::Error;

/// Why [`crate::MediaSession::play`] refused a chunk.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum PlayError {
    /// More is queued than [`crate::SessionConfig::max_queue`] allows. The chunk was not taken.
    #[error("the playout queue is full")]
    QueueFull,
    /// The rate is outside 4,000–192,000 Hz. The chunk was not taken.
    #[error("{0} Hz is no rate that can be played (4,000 to 192,000)")]
    UnsupportedRate(u32),
}

/// Why [`crate::MediaSession::send_digits`] refused.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum DigitsError {
    /// Only `0`–`9`, `*`, `#`, `A`–`D` and `,` (a pause of one second) can be sent.
    #[error("{0:?} is no DTMF digit")]
    NotADigit(char),
    /// More digits wait than [`crate::dtmf::MAX_QUEUED_DIGITS`]. None of the new ones was taken.
    #[error("too many digits are waiting to be sent")]
    QueueFull,
    /// The line is gone.
    #[error("the line is closed")]
    Closed,
}
