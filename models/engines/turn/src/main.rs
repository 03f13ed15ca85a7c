//! `offhook-turn`: hears whether whoever speaks has finished, in a process of its own.
//!
//! `--runtime FILE` names ONNX Runtime's shared library, `--model FILE` the network. One lane: it is asked once per pause
//! of a caller and answers in a few tens of milliseconds. It could share a process with the voices, which run on the
//! same library; but that program links espeak-ng, and a judgement would wait behind a clause.

use std::process::ExitCode;

use models::engine::{self, Args, Inbox, Job};
use models::wire::{Failure, Hello, Outcome, Task};

mod features;
mod judge;

use judge::Judge;

/// Like the ear: a caller waits, but the media threads come first.
const NICE: i32 = 5;

fn main() -> ExitCode {
    engine::run(NICE, load, serve)
}

fn load() -> Result<(Hello, Judge), Failure> {
    let args = Args::read(&["--runtime", "--model"])?;
    let judge = Judge::load(&args.path("--runtime")?, &args.path("--model")?)?;
    let hello = Hello { name: "turn".into(), model: judge.name().into(), lanes: 1, ..Hello::default() };
    Ok((hello, judge))
}

fn serve(mut judge: Judge, inbox: &Inbox) {
    loop {
        let mut job: Job = inbox.next();
        let pcm = job.take_pcm();
        let result = match job.take_task() {
            // There is nothing to interrupt: it is over before a cancellation could help.
            Some(Task::Judge(_)) => judge.judge(&pcm),
            _ => Err(Failure::new("unsupported", "a judge of turns judges, and nothing else")),
        };
        match result {
            _ if job.is_cancelled() => job.give_up(),
            Ok(judged) => job.done(Outcome::Judged(judged)),
            Err(failure) => job.fail(failure),
        }
    }
}
