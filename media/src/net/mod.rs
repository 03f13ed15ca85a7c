//! placeholder
use crate::sdp::Negotiated;
use crate::wav::Recording;
use crate::*;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The address that the sockets are bound to; may be unspecified.
    pub bind: IpAddr,
    /// Each call takes an even port for RTP and the odd one above it for RTCP (RFC 3550 §11).
    pub ports: RangeInclusive<u16>,
    /// Threads; each ticks its share of the calls.
    pub threads: usize,
    /// How long a port rests after a call, so that stragglers of the old call do not reach a new one.
    pub quarantine: Duration,
    /// [`Line::play`] waits while more than this is queued.
    pub queue_ahead: Duration,
}
impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            bind: IpAddr::from([127, 0, 0, 1]),
            ports: 16_384..=32_767,
            threads: 1,
            quarantine: Duration::from_secs(5),
            queue_ahead: Duration::from_secs(10),
        }
    }
}
/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the port range {0}–{1} holds no even-odd pair")]
    NoPairs(u16, u16),
    #[error("cannot bind to {0}: {1}")]
    Bind(IpAddr, std::io::Error),
    #[error("cannot start a media thread: {0}")]
    Thread(std::io::Error),
}
/// Why no line was opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// All pairs are in use or in quarantine: 503.
    #[error("no media port is free ({in_use} in use, {resting} in quarantine)")]
    NoPorts { in_use: usize, resting: usize },
    #[error("cannot open a socket: {0}")]
    Socket(std::io::Error),
    #[error("cannot create the recording {0}: {1}")]
    Recording(std::path::PathBuf, std::io::Error),
    #[error("the engine has stopped")]
    Closed,
}
/// The line is gone: closed, or its session panicked, or the engine stopped.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("the line is closed")]
pub struct Closed;
/// What an engine has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub sessions: usize,
    pub ports_free: usize,
    pub ports_resting: usize,
    /// Ticks of the clock, over all threads.
    pub ticks: u64,
    /// Ticks that began more than 5 ms late.
    pub late_ticks: u64,
    /// The longest that one tick of all sessions took.
    pub longest_tick_us: u64,
    /// Sessions that ended in a panic.
    pub panics: u64,
    /// Packets that the operating system did not take.
    pub send_errors: u64,
}
/// Runs many sessions. Cheap to clone; the last clone that goes stops it.
#[derive(Clone)]
pub struct Engine {}
impl Engine {
    pub fn start(_config: EngineConfig) -> Result<Engine, StartError> {
        Ok(Engine {})
    }
    pub fn open(
        &self,
        _config: SessionConfig,
        _recording: Option<Recording>,
    ) -> Result<(Line, mpsc::Receiver<Event>), OpenError> {
        Err(OpenError::Closed)
    }
    pub fn stats(&self) -> EngineStats {
        EngineStats::default()
    }
    /// Ends all sessions, finishes their recordings and joins the threads. Blocks for at most a few ticks.
    pub fn shutdown(&self) {}
}
/// One call's handle. Dropping it closes the session and frees the port after quarantine.
pub struct Line {}
impl Line {
    pub fn local_port(&self) -> u16 {
        0
    }
    pub async fn configure(&self, _agreed: Negotiated) -> Result<(), Closed> {
        Ok(())
    }
    /// Waits while more than [`EngineConfig::queue_ahead`] is queued.
    pub async fn play(&self, _chunk: PlayChunk) -> Result<(), Closed> {
        Ok(())
    }
    /// Drops everything that was given to [`play`](Self::play) before this call and says what left. Never behind queued audio.
    pub async fn hush(&self) -> Result<Hushed, Closed> {
        Ok(Hushed::default())
    }
    pub fn pause(&self) {}
    pub fn resume(&self) {}
    pub async fn send_digits(&self, _digits: &str) -> Result<(), DigitsError> {
        Ok(())
    }
    pub async fn stats(&self) -> Result<Stats, Closed> {
        Ok(Stats::default())
    }
    /// Ends the session, finishes the recording, and gives the last figures.
    pub async fn close(self) -> Stats {
        Stats::default()
    }
}
