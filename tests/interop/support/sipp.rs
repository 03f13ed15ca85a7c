//! A real load tool: SIPp, with its own default scenarios, and its own count of what went well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::place::{Folder, HERE, free_port, free_ports};
use super::process::Process;

pub(crate) struct Sipp {
    process: Process,
    folder: Folder,
    pub(crate) address: SocketAddr,
}

/// What SIPp itself counted.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) retransmitted: u64,
    pub(crate) unexpected: u64,
}

impl Sipp {
    /// The default caller: INVITE, ACK, BYE, `calls` times at `rate` a second, at most `at_once` of them together.
    pub(crate) fn call(to: SocketAddr, number: &str, calls: u32, rate: u32, at_once: u32) -> Sipp {
        let (calls, rate, at_once) = (calls.to_string(), rate.to_string(), at_once.to_string());
        let to = to.to_string();
        Sipp::run(&["-sn", "uac", "-s", number, "-m", &calls, "-r", &rate, "-l", &at_once, &to])
    }

    /// One call, as a scenario of ours says (`tests/interop/sipp`).
    pub(crate) fn play(scenario: &str, to: SocketAddr, number: &str, more: &[&str]) -> Sipp {
        let file = format!("{}/tests/interop/sipp/{scenario}.xml", env!("CARGO_MANIFEST_DIR"));
        let to = to.to_string();
        Sipp::run(&[&["-sf", &file, "-s", number, "-m", "1"], more, &[to.as_str()]].concat())
    }

    /// The default answerer.
    pub(crate) fn answer() -> Sipp {
        Sipp::run(&["-sn", "uas"])
    }

    fn run(scenario: &[&str]) -> Sipp {
        let folder = Folder::new("sipp");
        let address = free_port(HERE);
        // SIPp takes six ports from its media port on.
        let (media, _) = free_ports(8);
        let (ip, port, media) = (address.ip().to_string(), address.port().to_string(), media.to_string());
        let place = ["-i", &ip, "-p", &port, "-mi", &ip, "-mp", &media];
        let record = [
            "-nostdin",
            "-trace_err",
            "-error_file",
            "errors.log",
            "-trace_stat",
            "-stf",
            "score.csv",
            "-fd",
            "1",
        ];
        let arguments = [scenario, &place, &record].concat();
        let process = Process::spawn("sipp", "sipp", &arguments, |command| {
            command.current_dir(folder.path()).env("TERM", "dumb");
        });
        Sipp { process, folder, address }
    }

    /// Waits for its end. Panics with its errors if a call failed.
    pub(crate) fn finish(&self, within: Duration) -> Score {
        let status = self.process.wait(within);
        let score = self.score();
        assert!(
            status.success(),
            "sipp ended with {status}: {score:?}\nits errors:\n{}\n{}",
            self.errors(),
            self.process.tail()
        );
        score
    }

    pub(crate) fn errors(&self) -> String {
        let errors = std::fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
        errors.lines().take(60).collect::<Vec<_>>().join("\n")
    }

    fn score(&self) -> Score {
        let table = std::fs::read_to_string(self.folder.join("score.csv"))
            .unwrap_or_else(|error| panic!("sipp wrote no score: {error}\n{}", self.process.tail()));
        let mut lines = table.lines();
        let names = lines.next().unwrap_or_default().split(';');
        let last = lines.next_back().unwrap_or_default().split(';');
        let row: HashMap<&str, &str> = names.zip(last).collect();
        let number = |name: &str| {
            row.get(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {table}"))
        };
        Score {
            succeeded: number("SuccessfulCall(C)"),
            failed: number("FailedCall(C)"),
            retransmitted: number("Retransmissions(C)"),
            unexpected: number("FailedUnexpectedMessage(C)"),
        }
    }
}
