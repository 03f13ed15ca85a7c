//! `offhook-piper`: a mouth in a process of its own, and the only one that links espeak-ng.
//!
//! `--runtime FILE` names ONNX Runtime's shared library, `--voice FILE` a voice (the first is the default; more may
//! follow), `--lanes N` how many phrases are said at once: each lane has its own copy of the voices.

use std::process::ExitCode;
use std::time::Instant;

use models::engine::{self, Args, Inbox, Job, readable};
use models::wire::{Failure, Hello, Outcome, Synthesize, Synthesized, Task};

mod espeak;
mod voice;

use voice::Voice;

/// Below the gateway's media threads, above the other engines: the caller hears every pause it makes.
const NICE: i32 = 4;
/// Samples per frame: a second or so, far below what a frame may hold.
const PIECE: usize = 24_000;

fn main() -> ExitCode {
    engine::run(NICE, load, |lanes, inbox| engine::share(lanes, inbox, serve))
}

/// Per lane, all voices; at least one of each.
fn load() -> Result<(Hello, Vec<Vec<Voice>>), Failure> {
    let args = Args::read(&["--runtime", "--voice", "--lanes", "--threads"])?;
    let runtime = args.path("--runtime")?;
    let failed = |e: &dyn std::fmt::Display| Failure::new("load", format!("{}: {e}", runtime.display()));
    let environment = ort::init_from(&runtime).map_err(|e| failed(&e))?;
    let environment =
        environment.with_name("offhook").with_telemetry(false).build().map_err(|e| failed(&e))?;
    let threads = args.number("--threads", 1)?.clamp(1, 64) as usize;
    let paths = args.all("--voice").map(readable).collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() {
        return Err(Failure::new("load", "--voice is missing"));
    }
    let lane =
        || paths.iter().map(|path| Voice::load(&environment, path, threads)).collect::<Result<Vec<_>, _>>();
    let lanes =
        (0..args.number("--lanes", 1)?.clamp(1, 16)).map(|_| lane()).collect::<Result<Vec<_>, _>>()?;
    let voices = &lanes[0];
    let hello = Hello {
        name: "piper".into(),
        model: voices.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(", "),
        lanes: lanes.len() as u32,
        rate: voices[0].rate,
        choices: voices.iter().map(|v| v.name.clone()).collect(),
        ..Hello::default()
    };
    Ok((hello, lanes))
}

fn serve(mut voices: Vec<Voice>, inbox: &Inbox) {
    loop {
        let mut job: Job = inbox.next();
        let result = match job.take_task() {
            Some(Task::Synthesize(task)) => say(&mut voices, &task, &job),
            _ => Err(Failure::new("unsupported", "a mouth synthesizes, and nothing else")),
        };
        match result {
            Ok(None) => job.give_up(),
            Ok(Some(said)) => job.done(Outcome::Synthesized(said)),
            Err(failure) => job.fail(failure),
        }
    }
}

/// Says it breath by breath; `None` if nobody wants it any more.
fn say(voices: &mut [Voice], task: &Synthesize, job: &Job) -> Result<Option<Synthesized>, Failure> {
    let begun = Instant::now();
    let (name, speaker) = match task.voice.as_deref().map(|v| v.split_once('#').unwrap_or((v, ""))) {
        Some((name, speaker)) => (Some(name.strip_prefix("piper-").unwrap_or(name)), Some(speaker)),
        None => (None, None),
    };
    let voice = match name.filter(|n| !n.is_empty()) {
        None => voices.first_mut(),
        Some(name) => voices.iter_mut().find(|v| v.name == name),
    };
    let voice = voice
        .ok_or_else(|| Failure::new("unsupported", format!("no voice is called {:?}", name.unwrap_or(""))))?;
    let speaker = voice.speaker(speaker.filter(|s| !s.is_empty()))?;
    let mut samples = 0;
    for breath in voice.breaths(&task.text) {
        if job.is_cancelled() {
            return Ok(None);
        }
        let pcm = voice.say(&breath, task.speed, speaker)?;
        samples += pcm.len() as u64;
        for piece in pcm.chunks(PIECE) {
            job.pcm(voice.rate, piece.to_vec());
        }
    }
    Ok(Some(Synthesized { samples, elapsed_us: begun.elapsed().as_micros() as u64 }))
}
