//! Is this box fit to take calls? Every check says what it found and, where something is wrong, what to do about it.
//!
//! The checks are pure: they ask a [`Probe`] and judge its answers. [`Machine`] is the probe that looks at the real box;
//! tests bring their own.

mod checks;
mod machine;
mod probe;
mod reach;

use std::path::Path;

use serde::Serialize;

use crate::config::Config;

pub use machine::Machine;
pub use probe::{Bind, Clocks, Memory, ModelState, Probe, Reach, Runtime};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not asked, because there is nothing to be asked.
    Skip,
    /// Calls will work, but not as well as they could.
    Warn,
    /// Calls will not work.
    Fail,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    pub status: Status,
    pub checks: Vec<Check>,
}

impl Report {
    /// 0 when calls will work, 1 when they will not.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.status == Status::Fail)
    }
}

/// Examines the box for the configuration in `file`, or for the defaults where none is given.
pub fn examine(file: Option<&Path>, probe: &dyn Probe) -> Report {
    let mut checks = Vec::new();
    let config = match file {
        None => {
            checks.push(checks::note("configuration", "no --config given; the defaults are looked at"));
            Config::default()
        }
        Some(path) => match Config::load(path) {
            Ok(config) => {
                checks.push(checks::configuration(path, &config));
                config
            }
            Err(mistakes) => {
                checks.extend(checks::mistakes(&mistakes));
                Config::default()
            }
        },
    };
    checks.push(checks::cpu(probe));
    checks.push(checks::memory(probe));
    checks.extend(checks::packages(probe));
    checks.extend(checks::engines(&config, probe));
    checks.push(checks::runtime(&config, probe));
    checks.extend(checks::models(&config, probe));
    checks.extend(checks::ports(&config, probe));
    checks.extend(checks::trunks(&config, probe));
    checks.extend(checks::keys(&config));
    checks.extend(checks::brains(&config));
    checks.push(checks::clock(probe));
    checks.push(checks::disk(&config, probe));
    let judged = checks.iter().map(|check| check.status).filter(|status| *status != Status::Skip);
    let status = judged.max().unwrap_or(Status::Ok);
    Report { status, checks }
}
