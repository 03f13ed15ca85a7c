//! How long does a caller wait? `cargo bench --bench turn` is `offhook bench turn`, with what follows `--` handed on:
//! a whole gateway and real engines are measured from outside, so there is nothing here to be timed.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo says `--bench` to every benchmark.
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(["bench", "turn"]);
    if !given.iter().any(|arg| arg.starts_with("--config")) {
        command.args(["--config", config]);
    }
    match command.args(given).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("offhook cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
