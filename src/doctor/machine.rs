//! The probe that looks at the real box.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use models::catalog;
use models::fetch::{self, VerifyError};

use super::probe::{Bind, Clocks, Memory, ModelState, Probe, Reach, Runtime};
use super::reach;
use crate::config::Config;

/// This machine, as the user who runs the doctor sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Probe for Machine {
    fn cpu(&self) -> (usize, Vec<&'static str>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores, missing_features())
    }

    fn memory(&self) -> Option<Memory> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
        };
        Some(Memory { total: field("MemTotal:")?, available: field("MemAvailable:")? })
    }

    fn package(&self, name: &str) -> Option<bool> {
        let output = Command::new("dpkg-query")
            .args(["-W", "-f", "${db:Status-Status}", name])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(output.status.success() && output.stdout == b"installed")
    }

    fn engine(&self, config: &Config, name: &str) -> (PathBuf, bool) {
        let path = engines_folder(config).join(name);
        let there = path.is_file();
        (path, there)
    }

    fn runtime(&self, config: &Config) -> Runtime {
        match self.model(config, catalog::RUNTIME) {
            ModelState::Verified { .. } => Runtime::Found(models_folder(config).join(catalog::RUNTIME)),
            ModelState::Corrupt { reason } => Runtime::Broken(reason),
            _ => Runtime::Missing(models_folder(config).join(catalog::RUNTIME)),
        }
    }

    fn model(&self, config: &Config, name: &str) -> ModelState {
        if name.contains('/') {
            let path = PathBuf::from(name);
            return if path.is_file() { ModelState::OwnFile { path } } else { ModelState::Missing { path } };
        }
        let Some(entry) = catalog::find(name) else {
            let known = catalog::catalog().iter().filter(|entry| entry.name != catalog::RUNTIME);
            return ModelState::Unknown { known: known.map(|entry| entry.name.to_owned()).collect() };
        };
        match fetch::verify(entry, &models_folder(config)) {
            Ok(_) => ModelState::Verified { bytes: entry.size() },
            Err(VerifyError::Missing { path, .. }) => ModelState::Missing { path },
            Err(VerifyError::Corrupt { path, reason, .. }) => {
                ModelState::Corrupt { reason: format!("{}: {reason}", path.display()) }
            }
            Err(error) => ModelState::Corrupt { reason: error.to_string() },
        }
    }

    fn bind_udp(&self, addr: SocketAddr) -> Bind {
        judge(UdpSocket::bind(addr).map(drop))
    }

    fn bind_tcp(&self, addr: SocketAddr) -> Bind {
        judge(TcpListener::bind(addr).map(drop))
    }

    fn options(&self, uri: &sip::Uri, ca: Option<&Path>) -> Reach {
        reach::ask(uri, ca)
    }

    fn clocks(&self) -> Clocks {
        let mut monotonic = true;
        let (wall, start) = (SystemTime::now(), Instant::now());
        let mut last = start;
        while last - start < Duration::from_millis(30) {
            let now = Instant::now();
            monotonic &= now >= last;
            last = now;
            std::thread::sleep(Duration::from_micros(200));
        }
        let by_wall = wall.elapsed().unwrap_or_default();
        Clocks {
            wall: wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            monotonic,
            drift: by_wall.abs_diff(start.elapsed()),
            synchronized: synchronized(),
        }
    }

    fn free_bytes(&self, path: &Path) -> Option<u64> {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(existing(path)).output().ok()?;
        String::from_utf8(output.stdout).ok()?.lines().nth(1)?.trim().parse().ok()
    }

    fn writable(&self, path: &Path) -> Result<(), String> {
        let folder = existing(path);
        let file = folder.join(format!(".offhook-doctor-{}", std::process::id()));
        std::fs::write(&file, b"")
            .map_err(|error| format!("{} cannot be written: {error}", folder.display()))?;
        std::fs::remove_file(&file).map_err(|error| error.to_string())
    }
}

/// The engines' folder: the configured one, else the one of this program.
fn engines_folder(config: &Config) -> PathBuf {
    config.engines.folder.clone().unwrap_or_else(|| {
        let own = std::env::current_exe().ok();
        own.and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_else(|| PathBuf::from("."))
    })
}

fn models_folder(config: &Config) -> PathBuf {
    config.engines.models.clone().unwrap_or_else(fetch::models_dir)
}

#[cfg(target_arch = "x86_64")]
fn missing_features() -> Vec<&'static str> {
    let features = [
        ("AVX2", std::is_x86_feature_detected!("avx2")),
        ("FMA", std::is_x86_feature_detected!("fma")),
        ("F16C", std::is_x86_feature_detected!("f16c")),
        ("BMI2", std::is_x86_feature_detected!("bmi2")),
    ];
    features.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

/// Elsewhere the engines are built for the base instructions of the architecture.
#[cfg(not(target_arch = "x86_64"))]
fn missing_features() -> Vec<&'static str> {
    Vec::new()
}

fn judge(bound: std::io::Result<()>) -> Bind {
    match bound {
        Ok(()) => Bind::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => Bind::InUse,
        Err(error) => Bind::Failed(error.to_string()),
    }
}

fn synchronized() -> Option<bool> {
    let output = Command::new("timedatectl")
        .args(["show", "-p", "NTPSynchronized", "--value"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// The path itself, or its nearest parent that exists.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_in_use() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Machine.bind_udp(udp.local_addr().unwrap()), Bind::InUse);
        assert_eq!(Machine.bind_udp("127.0.0.1:0".parse().unwrap()), Bind::Free);
        assert!(matches!(Machine.bind_tcp("203.0.113.1:9".parse().unwrap()), Bind::Failed(_)));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Machine.writable(&folder.path().join("not/yet")), Ok(()));
        assert!(Machine.free_bytes(&folder.path().join("not/yet")).is_some());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
