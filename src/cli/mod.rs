//! The command line: one file per subcommand.
//!
//! Results go to standard output, so that they can be piped; everything said to a person goes to standard error.
//! Exit status: 0 done, 1 failed, 2 not understood (by clap), 64 a configuration with mistakes.

mod backup;
mod bench;
mod calls;
mod child;
mod credits;
mod demo;
mod doctor;
mod gateway;
mod keys;
mod local;
mod messages;
mod models;
mod operator;
mod phone;
mod rehearsal;
mod serve;
mod sound;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A self-hosted voice gateway: AI agents on real phone numbers over your own SIP trunk.
#[derive(Parser, Debug)]
#[command(
    name = "offhook",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
First steps:
  offhook models pull starter                 fetch the starter models (once)
  offhook doctor                              is this machine fit for calls?
  offhook demo --config config/demo.toml      hear it talk to itself over a real SIP call
  offhook serve --config config/offhook.toml  take calls"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::ServeArgs),
    Check(serve::CheckArgs),
    Phone(Box<phone::PhoneArgs>),
    Calls(calls::CallsArgs),
    Messages(messages::MessagesArgs),
    Keys(keys::KeysArgs),
    Accounts(keys::AccountsArgs),
    Credits(credits::CreditsArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Models(models::ModelsArgs),
    Doctor(doctor::DoctorArgs),
    Transcribe(sound::TranscribeArgs),
    Speak(sound::SpeakArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Serve(_)) {
        end_with_the_reader();
    }
    let done = match command {
        Command::Serve(args) => return serve::serve(&args),
        Command::Check(args) => return serve::check(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Phone(args) => wait(phone::run(*args)),
        Command::Calls(args) => wait(calls::run(args)),
        Command::Messages(args) => wait(messages::run(args)),
        Command::Keys(args) => wait(keys::keys(args)),
        Command::Accounts(args) => wait(keys::accounts(args)),
        Command::Credits(args) => wait(credits::run(args)),
        Command::Backup(args) => wait(backup::backup(args)),
        Command::Restore(args) => backup::run_restore(&args),
        Command::Models(args) => wait(models::run(args)),
        Command::Transcribe(args) => wait(sound::transcribe(args)),
        Command::Speak(args) => wait(sound::speak(args)),
        Command::Demo(args) => wait(demo::run(args)),
        Command::Bench(args) => wait(bench::run(args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("offhook: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whoever reads our output may have read enough (`offhook calls list | head`): then that is the end, as for other programs.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let why = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        let read_enough = why.starts_with("failed printing to stdout") && why.contains("Broken pipe");
        if read_enough {
            std::process::exit(0);
        }
        report(panic);
    }));
}

fn wait<F: Future<Output = anyhow::Result<ExitCode>>>(work: F) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(work);
    // Whatever still blocks (a DNS lookup) is not worth waiting for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does_and_shows_examples() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli.get_subcommands().filter(|c| c.get_name() != "help") {
            assert!(command.get_about().is_some(), "{} has no description", command.get_name());
            assert!(command.get_after_help().is_some(), "{} has no examples", command.get_name());
        }
    }
}
