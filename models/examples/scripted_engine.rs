//! An engine that does what its job says, for the supervisor's tests: "echo", "sleep", "die", "hang", "flood", "fail".
//!
//! `--start ok|refuse|die|babble|late` says how it starts, `--lanes N` how many jobs it takes at once.

use std::time::Duration;

use models::engine::{self, Job};
use models::wire::{Failure, Generated, Hello, Outcome, Task};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let start = value("--start").unwrap_or_default();
    if start == "babble" {
        println!("this is no frame, and long enough to have a length that cannot be");
        std::thread::sleep(Duration::from_secs(5));
    }
    // Starts well the first time and never again.
    if let Some(once) = value("--once") {
        if std::path::Path::new(&once).exists() {
            eprintln!("not a second time");
            std::process::exit(3);
        }
        std::fs::write(&once, "").expect("the folder is there");
    }
    let (output, inbox) = engine::open().expect("standard input and output are pipes");
    match start.as_str() {
        "refuse" => return output.refuse(Failure::new("load", "the model is made of cheese")),
        "die" => {
            eprintln!("out of cheese");
            std::process::exit(7);
        }
        "late" => std::thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
    let lanes = value("--lanes").and_then(|n| n.parse().ok()).unwrap_or(1);
    output.hello(Hello { name: "scripted".into(), lanes, ..Hello::default() });
    let workers: Vec<_> = (0..lanes)
        .map(|_| {
            let inbox = inbox.clone();
            std::thread::spawn(move || {
                loop {
                    act(inbox.next());
                }
            })
        })
        .collect();
    for worker in workers {
        let _ = worker.join();
    }
}

fn act(mut job: Job) {
    let Some(Task::Generate(task)) = job.take_task() else {
        return job.fail(Failure::new("unsupported", "only generate"));
    };
    let said = task.messages.first().map(|m| m.content.clone()).unwrap_or_default();
    let threads = task.threads;
    let done = |job: Job| {
        job.done(Outcome::Generated(Generated {
            reason: "stop".into(),
            prompt_tokens: threads,
            ..Generated::default()
        }));
    };
    match said.as_str() {
        "die" => {
            eprintln!("dying as told");
            std::process::abort();
        }
        "hang" => {
            job.text("hanging");
            loop {
                std::thread::park();
            }
        }
        "fail" => job.fail(Failure::new("engine", "as told")),
        "drop" => drop(job),
        "flood" => {
            for _ in 0..20_000 {
                job.text("x");
            }
            done(job);
        }
        "sleep" => {
            job.text("asleep");
            while !job.is_cancelled() {
                std::thread::sleep(Duration::from_millis(2));
            }
            job.give_up();
        }
        other => {
            job.text(other);
            done(job);
        }
    }
}
