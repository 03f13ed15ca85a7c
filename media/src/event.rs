//! The words between a session and its owner: what it is told to play, and what it tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::FRAME;

/// The name that the owner gives to something that is to be played, usually a turn. It comes back in
/// [`Event::Started`], [`Event::Played`] and [`Hushed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark(pub u64);

/// A piece of audio to be played after everything queued before it.
///
/// Chunks may have any size. Consecutive chunks with the same mark and rate join without a seam. A chunk with another mark ends
/// the mark before it, whether that said `last` or not.
#[derive(Clone, Debug)]
pub struct PlayChunk {
    pub mark: Mark,
    /// Hz, 4,000–192,000.
    pub rate: u32,
    /// Mono.
    pub pcm: Arc<[i16]>,
    /// Nothing more comes with this mark: [`Event::Played`] follows when its last sample has left. The chunk may be empty.
    pub last: bool,
}

/// What `hush` found: how much of the audio had left, to the sample.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hushed {
    /// The mark that was being played; `None` if nothing was. A mark of which no sample had left is in `unplayed_marks`.
    pub mark: Option<Mark>,
    /// How much of that mark's audio left, the closing fade of at most 5 ms included. Resolution 1/8,000 s.
    pub played: Duration,
    /// How much queued audio, of all marks, will never leave.
    pub dropped: Duration,
    /// Marks that were queued and of which nothing left, in order.
    pub unplayed_marks: Vec<Mark>,
}

/// What a session tells its owner.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "a frame is the common case and boxing it would allocate in every tick"
)]
pub enum Event {
    /// 20 ms of what the peer said. One per tick from the first packet on, for as long as we receive (by SDP direction).
    Frame {
        /// Rises by one with each frame; a gap is a frame that was dropped because the owner was slow.
        seq: u64,
        at: Instant,
        /// 16 kHz.
        pcm: [i16; FRAME],
        /// The VAD's debounced word: between [`Event::VoiceStart`] and [`Event::VoiceEnd`].
        voice: bool,
        /// The VAD's raw word, 0 to 1.
        probability: f32,
        /// RMS level relative to full scale; −100 for digital silence.
        level_dbfs: f32,
        /// At least a part was made up, because a packet was lost or late.
        concealed: bool,
    },
    /// The peer began to speak, [`crate::VadConfig::onset`] ago; `at` is when the first voiced frame was taken.
    VoiceStart { at: Instant },
    /// Between start and end the peer has been silent for [`crate::VadConfig::dip`]; `at` is the end of the last voiced frame. Whether
    /// it is a stop within a word, a pause or the end is not known yet, but work for the end may begin.
    VoiceDip { at: Instant },
    /// It was not the end: the voice has been back since `at`. Then another dip may come. Without it the end follows a dip.
    VoiceBack { at: Instant },
    /// The peer fell silent, [`crate::VadConfig::hangover`] ago; `at` is the end of the last voiced frame.
    VoiceEnd { at: Instant },
    /// The peer pressed a key. Once per press, when it was released, by whichever ways it was reported (RFC 4733, INFO, tones).
    Digit { digit: char, duration_ms: u32 },
    /// A key of ours is to be sent by SIP INFO, which its owner does ([`crate::dtmf::Mode::Info`]).
    Press { digit: char, duration_ms: u32 },
    /// The first sample of a mark left.
    Started { mark: Mark, at: Instant },
    /// The last sample of a mark left; `duration` is all that was played of it.
    Played { mark: Mark, duration: Duration, at: Instant },
    /// No RTP has come for so long. Repeated as the silence grows (see [`crate::SessionConfig::silence_after`]).
    Silence { for_ms: u32 },
    /// Packets from this source are taken from now on, and ours go there (symmetric RTP, RFC 4961).
    Latched { remote: SocketAddr },
    /// The line that this one was bridged with is gone; the peer hears silence.
    Unbridged,
    /// The recording cannot be written, for instance because the disk is full. The call goes on, and so does the recording when there is room
    /// again.
    RecordingFailed { reason: String },
    /// The recording can be written again. So much of it is silence.
    RecordingResumed { lost_ms: u64 },
}

impl Event {
    /// Whether this may be dropped for a slow owner. Everything else has reserved room.
    pub fn is_frame(&self) -> bool {
        matches!(self, Event::Frame { .. })
    }
}
