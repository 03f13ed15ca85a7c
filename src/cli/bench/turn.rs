//! `offhook bench turn`: how long does a caller wait?

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::super::rehearsal::{Rehearsal, Turn, stop_at_signal};
use super::{Spread, load};
use crate::phone::{Exchange, Script, Stop};

/// Voice to voice, at the caller's ear
///
/// A gateway is started and called on loopback, G.711 both ways. A turn is measured from the last voiced sample
/// that the phone sent to the first voiced sample that it received, jitter buffers on both sides included.
#[derive(Args, Debug)]
pub(super) struct TurnArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", default_value = "config/demo.toml")]
    config: PathBuf,
    /// How many turns are measured
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Turns in one call: the conversation, and with it the prompt, grows
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10))]
    per_call: u32,
}

/// What callers ask. `config/demo.toml` knows the answers; to the measurement they do not matter.
const QUESTIONS: [&str; 10] = [
    "What time do you open on Saturday?",
    "How much does a cleaning cost?",
    "Where is your office?",
    "Do you take new patients?",
    "Can I park my car somewhere near you?",
    "I have a bad toothache, what should I do?",
    "What is the name of the dentist?",
    "Are you open on Sunday morning?",
    "Can I pay with a credit card?",
    "How long does a first visit take?",
];

pub(super) async fn run(args: TurnArgs) -> anyhow::Result<ExitCode> {
    let TurnArgs { config, turns, per_call } = args;
    let wanted = turns as usize;
    let calls = wanted.div_ceil(per_call as usize);
    let scripts: Vec<Script> = (0..calls).map(|call| script(call, per_call as usize)).collect();
    let all: Vec<&Script> = scripts.iter().collect();
    eprintln!("starting a gateway with {}", config.display());
    let before = load();
    let stop = Stop::new();
    tokio::spawn(stop_at_signal(stop.clone()));
    let (rehearsal, clips) = Rehearsal::start(&config, &all, &stop, |_| {}).await?;
    let mut measured = Vec::new();
    let mut failure = None;
    for (i, (script, clips)) in scripts.iter().zip(clips).enumerate() {
        if stop.is_cancelled() {
            break;
        }
        match rehearsal.call(script, clips, None, &stop, |_| {}).await {
            Ok(held) => {
                let exchanges = held.outcome.exchanges.into_iter().zip(held.turns).skip(1);
                measured.extend(exchanges.filter(|(exchange, _)| exchange.voice_to_voice.is_some()));
                eprintln!("call {} of {calls}: {} turns so far", i + 1, measured.len());
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let engines = rehearsal.config.engines.clone();
    rehearsal.stop().await?;
    if let Some(error) = failure {
        return Err(error);
    }
    measured.truncate(wanted);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{} turns in {calls} calls, {cores} cores; {}, {}, {}; G.711 over loopback; load average before {before}, after {}",
        measured.len(),
        engines.stt,
        engines.llm,
        engines.tts,
        load()
    );
    let voice = table(&measured);
    if measured.len() < wanted {
        bail!("only {} of {wanted} turns were answered", measured.len());
    }
    println!(
        "{}",
        json!({ "bench": "turn", "n": measured.len(), "p50_ms": voice.p50, "p95_ms": voice.p95, "p99_ms": voice.p99 })
    );
    Ok(ExitCode::SUCCESS)
}

fn script(call: usize, per_call: usize) -> Script {
    let mut text = String::from("listen\n");
    for turn in 0..per_call {
        let question = QUESTIONS[(call * per_call + turn) % QUESTIONS.len()];
        text.push_str(&format!("say {question}\nlisten\n"));
    }
    Script::parse(&text).expect("the questions are steps")
}

/// Prints the stages, and gives back the whole.
fn table(measured: &[(Exchange, Turn)]) -> Spread {
    let stage =
        |of: &dyn Fn(&(Exchange, Turn)) -> Option<u64>| Spread::of(measured.iter().filter_map(of).collect());
    let voice = stage(&|(exchange, _)| exchange.voice_to_voice.map(|d| d.as_millis() as u64));
    let rows = [
        ("voice to voice", voice),
        ("  transcription", stage(&|(_, turn)| turn.stt_ms)),
        ("  first token", stage(&|(_, turn)| turn.llm_first_token_ms)),
        ("  first sound", stage(&|(_, turn)| turn.tts_first_audio_ms)),
    ];
    println!("{:18} {:>5} {:>7} {:>7} {:>7} {:>7}", "ms", "n", "p50", "p95", "p99", "max");
    for (name, spread) in rows {
        let Spread { n, p50, p95, p99, max } = spread;
        println!("{name:18} {n:>5} {p50:>7} {p95:>7} {p99:>7} {max:>7}");
    }
    voice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_asks_its_own_questions() {
        assert_eq!(script(0, 6).lines().count(), 6);
        assert_ne!(script(0, 6), script(1, 6));
    }
}
