//! Logs: to standard error, as text or JSON.

use std::io::IsTerminal;

use crate::config::Log;

/// Installs the process's logger. Once, at start; a second call changes nothing.
pub fn start(log: &Log) {
    crate::domain::show_in_logs(log.private);
    let filter = tracing_subscriber::EnvFilter::try_from_env("OFFHOOK_LOG")
        .or_else(|_| log.level.parse())
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let installed = if log.json { builder.json().try_init() } else { builder.try_init() };
    if let Err(error) = installed {
        tracing::debug!(%error, "the logger stands already");
    }
}
