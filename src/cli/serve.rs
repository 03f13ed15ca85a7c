//! `offhook serve` and `offhook check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::Config;

/// A configuration with mistakes: EX_USAGE of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;

/// Take and place calls until told to stop.
///
/// Reads the whole configuration first: with a mistake in it, nothing is started. SIGINT or SIGTERM once lets calls
/// end within the grace of the configuration, says goodbye and hangs up; a second time ends at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  offhook serve --config config/offhook.toml
  offhook serve --config /etc/offhook/offhook.toml     (as the systemd unit does)

The key for the HTTP interface is written to admin.key in the data folder:
  curl -H \"Authorization: Bearer $(cat data/admin.key)\" http://127.0.0.1:8080/v1/calls")]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Look for mistakes in a configuration, and name each by its key.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 when the file is right, 64 when it is not.

Example:
  offhook check --config config/offhook.toml")]
pub(super) struct CheckArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn serve(args: &ServeArgs) -> ExitCode {
    crate::app::serve(&args.config)
}

pub(super) fn check(args: &CheckArgs) -> ExitCode {
    match Config::load(&args.config) {
        Ok(config) => {
            println!(
                "{}: right ({} trunk(s), {} number(s), {} agent(s))",
                args.config.display(),
                config.trunks.len(),
                config.numbers.len(),
                config.agents.len()
            );
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            eprint!("{mistakes}");
            eprintln!("{} mistake(s)", mistakes.list.len());
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
