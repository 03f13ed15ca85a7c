//! SIPp, and what it counts.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// SIPp ends by itself; this is for a SIPp that does not.
const LONGEST: &str = "120s";

pub(crate) struct Caller {
    folder: tempfile::TempDir,
}

pub(crate) struct Load {
    /// Calls a second.
    pub(crate) rate: u32,
    pub(crate) calls: u32,
    /// Between ACK and BYE.
    pub(crate) stay: Duration,
}

pub(crate) struct Running {
    process: std::process::Child,
    folder: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Score {
    succeeded: u64,
    failed: u64,
    repeated: u64,
    /// Calls a second, from the first to the end of the last.
    rate: f64,
    /// The first thing that went wrong, in SIPp's words.
    complaint: Option<String>,
}

impl Caller {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("call.xml"), include_str!("call.xml"))?;
        Ok(Self { folder })
    }

    pub(crate) fn call(&self, to: SocketAddr, load: &Load) -> Result<Score, Box<dyn Error>> {
        self.start(to, load)?.finish()
    }

    pub(crate) fn start(&self, to: SocketAddr, load: &Load) -> Result<Running, Box<dyn Error>> {
        // SIPp binds ports for media, used or not.
        let media = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let (rate, calls) = (load.rate.to_string(), load.calls.to_string());
        let (stay, media) = (load.stay.as_millis().to_string(), media.to_string());
        let folder = self.folder.path().to_owned();
        for old in ["score.csv", "errors.log"] {
            // The first run finds none.
            let _ = fs::remove_file(folder.join(old));
        }
        let log = fs::File::create(folder.join("sipp.log"))?;
        let process = Command::new("timeout")
            .current_dir(&folder)
            .env("TERM", "dumb")
            .args([LONGEST, "sipp", "-sf", "call.xml", "-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1"])
            .args(["-mp", &media, "-r", &rate, "-m", &calls, "-l", "5000", "-d", &stay, "-timer_resol", "1"])
            // What comes while SIPp has no turn must not be lost: it counts as our failure.
            .args(["-buff_size", "212992"])
            .args(["-trace_err", "-error_file", "errors.log"])
            .args(["-trace_stat", "-stf", "score.csv", "-fd", "1"])
            .arg(to.to_string())
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()
            .map_err(|error| format!("sipp: {error}"))?;
        Ok(Running { process, folder })
    }
}

impl Running {
    pub(crate) fn finish(mut self) -> Result<Score, Box<dyn Error>> {
        let status = self.process.wait()?;
        // 1: at least one call failed.
        if !matches!(status.code(), Some(0 | 1)) {
            let log = fs::read_to_string(self.folder.join("sipp.log")).unwrap_or_default();
            return Err(format!("sipp ended with {status}: {log}").into());
        }
        let table = fs::read_to_string(self.folder.join("score.csv"))?;
        let mut lines = table.lines();
        let names = lines.next().unwrap_or_default().split(';');
        let last = lines.next_back().unwrap_or_default().split(';');
        let row: HashMap<&str, &str> = names.zip(last).collect();
        let number = |name: &str| -> Result<f64, Box<dyn Error>> {
            Ok(row.get(name).ok_or_else(|| format!("sipp counts no {name}"))?.parse()?)
        };
        Ok(Score {
            succeeded: number("SuccessfulCall(C)")? as u64,
            failed: number("FailedCall(C)")? as u64,
            repeated: number("Retransmissions(C)")? as u64,
            rate: number("CallRate(C)")?,
            complaint: self.complaint(),
        })
    }

    fn complaint(&self) -> Option<String> {
        let errors = fs::read_to_string(self.folder.join("errors.log")).ok()?;
        // What comes for a call that is over is no failure of one.
        errors.lines().find(|line| line.contains("call") && !line.contains("Dead call")).map(str::to_owned)
    }
}

impl Score {
    /// Nothing lost, next to nothing repeated, and really as fast as it was to be.
    pub(crate) fn is_clean(&self, rate: u32) -> bool {
        self.failed == 0 && self.repeated * 1_000 <= self.succeeded && self.rate >= f64::from(rate) * 0.95
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { succeeded, failed, repeated, rate, .. } = self;
        write!(f, "{succeeded} calls, {failed} failed, {repeated} messages repeated, {rate:.0}/s")?;
        match &self.complaint {
            Some(complaint) if *failed > 0 => write!(f, " ({complaint})"),
            _ => Ok(()),
        }
    }
}
