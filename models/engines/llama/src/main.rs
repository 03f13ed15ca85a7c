//! `offhook-llama`: a mind in a process of its own.
//!
//! `--model FILE` names a GGUF, `--context N` the tokens of one conversation, `--slots N` how many conversations are kept
//! and answered at once, `--threads N` the threads that answer them all, `--gpu-layers N` what goes to a GPU if this
//! binary was built for one.

use std::process::ExitCode;

use models::engine::{self, Args};
use models::wire::{Failure, Hello};

mod chat;
mod choice;
mod mind;
mod pieces;

use mind::{Mind, Options};

/// Below the gateway's media threads and the ear, above batch work.
const NICE: i32 = 6;

fn main() -> ExitCode {
    engine::run(NICE, load, |mind, inbox| mind.serve(inbox))
}

fn load() -> Result<(Hello, Mind), Failure> {
    let args = Args::read(&["--model", "--context", "--slots", "--threads", "--gpu-layers"])?;
    let options = Options {
        context: args.number("--context", 2048)?,
        slots: args.number("--slots", 4)?.clamp(1, 64),
        threads: args.number("--threads", 1)?.clamp(1, 256),
        gpu_layers: args.number("--gpu-layers", 0)?,
    };
    let mind = Mind::load(&args.path("--model")?, &options)?;
    let hello = Hello {
        name: "llama".into(),
        model: mind.about().to_owned(),
        lanes: mind.slots() as u32,
        ..Hello::default()
    };
    Ok((hello, mind))
}
