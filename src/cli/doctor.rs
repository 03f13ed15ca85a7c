//! `offhook doctor`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::doctor::{Machine, Report, Status, examine};

/// Look whether this machine is fit for calls, and say what to do where it is not.
///
/// Checks the configuration, processor, memory, Debian packages, engines, models (with their SHA-256), ports, trunks
/// (they are asked with OPTIONS), clock and disk. Changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 when calls will work (warnings included), 1 when they will not.

Examples:
  offhook doctor --config config/offhook.toml
  offhook doctor --json | jq '.checks[] | select(.status != \"ok\")'")]
pub(super) struct DoctorArgs {
    /// The configuration to be looked at; without it, the defaults
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = examine(args.config.as_deref(), &Machine);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(ExitCode::from(report.exit_code()))
}

fn print(report: &Report) {
    let colour = std::io::stdout().is_terminal();
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &report.checks {
        let (word, code) = match check.status {
            Status::Ok => ("ok  ", "32"),
            Status::Skip => ("-   ", "2"),
            Status::Warn => ("warn", "33"),
            Status::Fail => ("FAIL", "31"),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        println!("{word}  {:width$}  {}", check.name, check.detail);
        if let Some(advice) = &check.advice {
            println!("      {:width$}  → {advice}", "");
        }
    }
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    println!("\n{} failed, {} warnings", count(Status::Fail), count(Status::Warn));
}
