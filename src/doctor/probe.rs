//! What the doctor can ask about a box.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;

/// The questions. All are read-only, but for ports, which are bound for a moment.
pub trait Probe {
    /// Features of the processor that the speech and language engines were built for, and those of them that are absent.
    fn cpu(&self) -> (usize, Vec<&'static str>);
    fn memory(&self) -> Option<Memory>;
    /// Is a Debian package installed? `None`: this is no Debian.
    fn package(&self, name: &str) -> Option<bool>;
    /// Folder in which the engines are looked for, and whether this one is there.
    fn engine(&self, config: &Config, name: &str) -> (PathBuf, bool);
    /// The shared library that runs the Piper voices.
    fn runtime(&self, config: &Config) -> Runtime;
    fn model(&self, config: &Config, name: &str) -> ModelState;
    fn bind_udp(&self, addr: SocketAddr) -> Bind;
    fn bind_tcp(&self, addr: SocketAddr) -> Bind;
    /// Sends OPTIONS and waits. `ca`: PEM, whom to trust in place of the system's authorities.
    fn options(&self, uri: &sip::Uri, ca: Option<&Path>) -> Reach;
    fn clocks(&self) -> Clocks;
    /// Bytes that can be written to the file system of this path, or of the nearest parent that exists.
    fn free_bytes(&self, path: &Path) -> Option<u64>;
    /// Can files be made there?
    fn writable(&self, path: &Path) -> Result<(), String>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    pub total: u64,
    pub available: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runtime {
    Found(PathBuf),
    Missing(PathBuf),
    Broken(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ModelState {
    /// In the catalogue, on disk, and its SHA-256 is right.
    Verified {
        bytes: u64,
    },
    /// The operator's own file: there is no sum to compare it with.
    OwnFile {
        path: PathBuf,
    },
    Missing {
        path: PathBuf,
    },
    Corrupt {
        reason: String,
    },
    /// Neither a catalogue name nor a path.
    Unknown {
        known: Vec<String>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bind {
    Free,
    InUse,
    Failed(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reach {
    Answered { status: u16, after: Duration },
    Silent { after: Duration },
    Unresolved(String),
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clocks {
    /// Seconds since 1970.
    pub wall: u64,
    /// The monotonic clock never went back in a run of readings.
    pub monotonic: bool,
    /// By how much the two clocks disagreed over a short wait.
    pub drift: Duration,
    /// Is the clock kept by NTP? `None`: cannot be told.
    pub synchronized: Option<bool>,
}
