//! What is *sounded* on a call: SDP, RTP, jitter, codecs, DTMF, voice activity, playout and recording.
//!
//! The heart is [`MediaSession`], a state machine that owns no socket, no clock, no thread and no lock:
//!
//! ```text
//!   handle_packet(now, from, bytes) ──►┌──────────────┐──► poll_transmit()  → packets for the peer
//!   tick(now)        every 20 ms    ──►│ MediaSession │──► poll_event()     → frames, voice, digits, marks
//!   play, hush, pause, send_digits  ──►└──────────────┘──► poll_recording() → 20 ms of both sides
//!   feed(what another one passed)   ──►                └─► poll_passed()    → what this one passes on, while joined
//! ```
//!
//! One clock drives everything. A tick takes 20 ms out of the jitter buffer (or conceals it), lifts it to 16 kHz if it is not, asks
//! whether it is voice, and puts 20 ms of what is queued (or silence) on the wire. So the two directions, the recording and
//! every reported time share one ruler, and a test is a loop over a virtual clock.
//!
//! [`net::Engine`] is the shell: a thread with sockets that ticks many sessions. It is behind the feature `net`; without it the
//! crate has no threads and no async runtime.
//!
//! Units: PCM is mono `i16`. Towards the ears it is 16,000 Hz in frames of [`FRAME`] samples; what is to be spoken comes at any
//! rate. In between a session works at the [`Rate`] of its codec; its time, though, is line time, [`LINE_RATE`] units a second. Durations are `std::time::Duration`, or say their unit in their name.

#![forbid(unsafe_code)]

mod bank;
mod beep;
mod bridge;
mod codec;
mod comfort;
mod conceal;
pub mod dtmf;
mod echo;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod jitter;
mod latch;
mod mix;
#[cfg(feature = "net")]
pub mod net;
mod opus_file;
mod playout;
pub mod quality;
mod rate;
mod receive;
pub mod resample;
mod returns;
mod rtcp;
mod rtp;
pub mod sdp;
mod send;
mod session;
#[doc(hidden)]
pub mod simulate;
pub mod srtp;
mod stats;
mod stretch;
pub mod vad;
pub mod wav;
mod widest;

pub use beep::{Beep, BeepDetector};
pub use bridge::{LEGS, Passed, Tap};
pub use codec::g711;
pub use error::{DigitsError, PlayError};
pub use event::{Event, Hushed, Mark, PlayChunk};
pub use jitter::JitterConfig;
pub use opus_file::OpusFile;
pub use quality::Quality;
pub use rate::{Block, Rate, Sound};
pub use returns::Returns;
pub use session::{Channel, MediaSession, SessionConfig, Transmit};
pub use stats::Stats;
pub use vad::VadConfig;

/// Units of line time per second: a sample of G.711 (RFC 3551 §4.5.14), half as much as two of the wider codecs.
pub const LINE_RATE: u32 = 8_000;
/// Samples per second of the frames that go to the ears.
pub const EAR_RATE: u32 = 16_000;
/// Samples in one [`Event::Frame`]: 20 ms at [`EAR_RATE`].
pub const FRAME: usize = 320;
/// Units of line time in one tick: 20 ms at [`LINE_RATE`].
pub const LINE_FRAME: usize = 160;
/// Milliseconds between two ticks.
pub const TICK_MS: u32 = 20;
