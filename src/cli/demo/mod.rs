//! `offhook demo`: the whole product in a minute, on loopback.
//!
//! A gateway is started, a phone calls it over SIP and RTP, they talk, the phone interrupts once. Then what was
//! claimed is checked against what was heard: the gateway's words against the script, and the agent's sound, written
//! down again, against the transcript.

mod stage;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::local;
use super::rehearsal::{Held, Rehearsal, Turn, stop_at_signal};
use super::sound;
use crate::domain::millis;
use crate::phone::{Exchange, Script, Stop};
use stage::Stage;

/// Start a gateway, call it with our own phone, hold a conversation with one interruption, and prove that it worked.
///
/// The transcript is printed as it happens, with the times of every turn. `voice to voice` is measured at the phone's
/// ear: from the last voiced sample sent to the first voiced sample received. The last line of standard output is one
/// line of JSON.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 only if the agent understood every line, its speech is in the phone's recording, and it stopped when it was
interrupted.

Examples:
  offhook demo --config config/demo.toml
  offhook demo --config config/demo.toml | tail -n 1 | jq .turns
  offhook demo --config my.toml --script my-call.txt       another conversation, see `offhook phone --help`")]
pub(super) struct DemoArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", default_value = "config/demo.toml")]
    config: PathBuf,
    /// What the caller does, in the steps of `offhook phone`
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

/// The caller of the demo. `config/demo.toml` knows the answers.
const CALLER: &str = include_str!("caller.txt");

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let script = match &args.script {
        None => Script::parse(CALLER)?,
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Script::parse(&text).with_context(|| path.display().to_string())?
        }
    };
    let stop = Stop::new();
    tokio::spawn(stop_at_signal(stop.clone()));
    let mut stage = Stage::new();
    stage.starting(&args.config);
    let (rehearsal, clips) =
        Rehearsal::start(&args.config, &[&script], &stop, |elapsed| stage.waiting(elapsed)).await?;
    stage.ready(&rehearsal.config);
    let record = rehearsal.config.data.join("caller-side.wav");
    let clips = clips.into_iter().next().unwrap_or_default();
    let held = rehearsal.call(&script, clips, Some(record), &stop, |seen| stage.show(&seen)).await;
    let config = rehearsal.config.clone();
    let ear = rehearsal.ear.clone();
    let ended = rehearsal.stop().await;
    let held = held?;
    ended?;
    if stop.is_cancelled() {
        bail!("stopped");
    }

    // The gateway is gone, so the ear that checks has the machine to itself.
    stage.checking();
    let ear = local::start_ear(&ear).await?;
    let spoken = transcribe(&*ear.ear()?, &held.outcome.exchanges).await;
    ear.shut_down().await;
    let spoken = spoken?;

    let problems = verdict::judge(&config, &held, &spoken);
    for problem in &problems {
        stage.problem(problem);
    }
    println!("{}", report(&held, &problems)?);
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

/// What the agent is heard to say in the phone's own recording, exchange by exchange.
async fn transcribe(ear: &dyn models::Transcriber, exchanges: &[Exchange]) -> anyhow::Result<Vec<String>> {
    let mut spoken = Vec::new();
    for exchange in exchanges {
        let segments = sound::hear(ear, &exchange.heard).await?;
        let words: Vec<_> = segments.into_iter().map(|segment| segment.text).collect();
        spoken.push(words.join(" "));
    }
    Ok(spoken)
}

/// The last line of a demo.
#[derive(Serialize)]
struct Verdict<'a> {
    demo: &'static str,
    turns: Vec<Told<'a>>,
    barge_in_stop_ms: Option<u64>,
    recording: Option<&'a Path>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    problems: &'a [String],
}

#[derive(Serialize)]
struct Told<'a> {
    heard: &'a str,
    said: &'a str,
    stt_ms: Option<u64>,
    llm_first_token_ms: Option<u64>,
    tts_first_audio_ms: Option<u64>,
    voice_to_voice_ms: Option<u64>,
}

fn report(held: &Held, problems: &[String]) -> anyhow::Result<String> {
    let told = |(exchange, turn)| {
        let (exchange, turn): (&Exchange, &Turn) = (exchange, turn);
        Told {
            heard: &turn.heard,
            said: &turn.said,
            stt_ms: turn.stt_ms,
            llm_first_token_ms: turn.llm_first_token_ms,
            tts_first_audio_ms: turn.tts_first_audio_ms,
            voice_to_voice_ms: exchange.voice_to_voice.map(millis),
        }
    };
    let exchanges = &held.outcome.exchanges;
    Ok(serde_json::to_string(&Verdict {
        demo: if problems.is_empty() { "ok" } else { "failed" },
        turns: exchanges.iter().zip(&held.turns).skip(1).map(told).collect(),
        barge_in_stop_ms: exchanges.iter().find_map(|exchange| exchange.stop).map(millis),
        recording: held.recording.as_deref(),
        problems,
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::phone::Step;

    #[test]
    fn the_caller_has_three_turns_and_interrupts_once() {
        let script = Script::parse(CALLER).unwrap();
        assert!(script.lines().count() >= 3);
        assert_eq!(script.steps.iter().filter(|step| matches!(step, Step::Interrupt { .. })).count(), 1);
    }

    #[test]
    fn the_configuration_of_the_demo_is_right_and_needs_no_carrier() {
        let config = Config::parse(include_str!("../../../config/demo.toml")).unwrap();
        assert!(config.sip.listen.ip().is_loopback() && config.http.listen.ip().is_loopback());
        assert!(config.trunks.iter().all(|trunk| trunk.registrar.is_none()));
        assert!(config.recording.enabled);
    }
}
