//! placeholder
use crate::sdp::Negotiated;
use crate::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Seeds SSRC, first sequence number and first timestamp (RFC 3550 §5.1 wants them unpredictable).
    pub ssrc_seed: u64,
    pub jitter: JitterConfig,
    pub vad: VadConfig,
    /// Whether [`MediaSession::poll_recording`] gives both sides of every tick. [`net::Engine::open`] sets it.
    pub record: bool,
    /// How much audio may be queued: beyond it [`MediaSession::play`] says `QueueFull`.
    pub max_queue: Duration,
    /// [`Event::Silence`] comes after so long without a packet, and again at each doubling.
    pub silence_after: Duration,
    /// How long each digit that we send is held.
    pub digit_length: Duration,
    /// How long the pause between two digits is.
    pub digit_gap: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            ssrc_seed: 0,
            jitter: JitterConfig::default(),
            vad: VadConfig::default(),
            record: false,
            max_queue: Duration::from_secs(60),
            silence_after: Duration::from_secs(1),
            digit_length: Duration::from_millis(160),
            digit_gap: Duration::from_millis(80),
        }
    }
}
/// Which of the two ports a packet goes out of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    Rtp,
    Rtcp,
}
/// A packet for the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit<'a> {
    pub to: SocketAddr,
    pub channel: Channel,
    pub bytes: &'a [u8],
}
/// One call's sound.
pub struct MediaSession {}
impl MediaSession {
    pub fn new(_config: SessionConfig, _now: Instant) -> Self {
        MediaSession {}
    }
    pub fn configure(&mut self, _now: Instant, _agreed: &Negotiated) {}
    pub fn handle_packet(&mut self, _now: Instant, _from: SocketAddr, _bytes: &[u8]) {}
    pub fn handle_rtcp(&mut self, _now: Instant, _from: SocketAddr, _bytes: &[u8]) {}
    pub fn tick(&mut self, _now: Instant) {}
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub fn poll_recording(&mut self) -> Option<&[i16; FRAME]> {
        None
    }
    pub fn play(&mut self, _chunk: PlayChunk) -> Result<(), PlayError> {
        Ok(())
    }
    pub fn hush(&mut self) -> Hushed {
        Hushed::default()
    }
    pub fn pause(&mut self) {}
    pub fn resume(&mut self) {}
    pub fn send_digits(&mut self, _digits: &str) -> Result<(), DigitsError> {
        Ok(())
    }
    pub fn queued(&self) -> Duration {
        Duration::ZERO
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
