//! `offhook-whisper`: an ear in a process of its own.
//!
//! `--model FILE` names ggml weights, `--lanes N` how many utterances are heard at once: each lane has a state of its
//! own and shares the weights.

use std::process::ExitCode;

use models::engine::{self, Args, Inbox, Job};
use models::wire::{Failure, Hello, Outcome, Task};

mod ear;
mod guards;

use ear::{Ear, Lane};

/// Below the gateway's media threads, above batch work.
const NICE: i32 = 5;

fn main() -> ExitCode {
    engine::run(NICE, load, |lanes, inbox| engine::share(lanes, inbox, serve))
}

fn load() -> Result<(Hello, Vec<Lane>), Failure> {
    let args = Args::read(&["--model", "--lanes"])?;
    let ear = Ear::load(&args.path("--model")?)?;
    let lanes =
        (0..args.number("--lanes", 1)?.clamp(1, 16)).map(|_| ear.lane()).collect::<Result<Vec<_>, _>>()?;
    let hello = Hello {
        name: "whisper".into(),
        model: ear.about().to_owned(),
        lanes: lanes.len() as u32,
        choices: ear.languages(),
        ..Hello::default()
    };
    Ok((hello, lanes))
}

fn serve(mut lane: Lane, inbox: &Inbox) {
    loop {
        let mut job: Job = inbox.next();
        let pcm = job.take_pcm();
        let result = match job.take_task() {
            Some(Task::Transcribe(task)) => lane.transcribe(&task, &pcm, &job.cancellation()),
            _ => Err(Failure::new("unsupported", "an ear transcribes, and nothing else")),
        };
        match result {
            _ if job.is_cancelled() => job.give_up(),
            Ok(heard) => job.done(Outcome::Transcribed(heard)),
            Err(failure) => job.fail(failure),
        }
    }
}
