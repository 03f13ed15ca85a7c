//! `offhook bench`: what a caller notices, measured with the real engines over real SIP and RTP.

mod bargein;
mod instant;
mod noises;
mod prompts;
mod turn;
mod wer;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Measure, with the real engines, over real SIP and RTP.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  offhook bench turn --config config/demo.toml --turns 30")]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Turn(turn::TurnArgs),
    Bargein(bargein::BargeinArgs),
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Turn(args) => turn::run(args).await,
        What::Bargein(args) => bargein::run(args).await,
    }
}

/// Over the last minute; what else the machine does is a condition of the measurement.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Percentiles by nearest rank: each is a value that was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Spread {
    n: usize,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Spread {
        values.sort_unstable();
        let rank = |percent: usize| {
            let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(at).copied().unwrap_or_default()
        };
        Spread { n: values.len(), p50: rank(50), p95: rank(95), p99: rank(99), max: rank(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        assert_eq!(Spread::of((1..=100).collect()), Spread { n: 100, p50: 50, p95: 95, p99: 99, max: 100 });
        assert_eq!(Spread::of(vec![7]), Spread { n: 1, p50: 7, p95: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of(vec![]), Spread::default());
    }
}
