//! Hostile inputs by the million, with the stable toolchain.
//!
//! `offhook-smoke [INPUTS]` spreads so many inputs over the targets and says at the end what each has taken. Every input is
//! made of its target and a number, so that a failure can be had again: `offhook-smoke TARGET NUMBER [COUNT]`. What must hold stands
//! beside the code (`sip::fuzzing`, `media::fuzzing`); here is only where the inputs come from.

mod corpus;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use corpus::Corpus;
use sip::fuzzing::Dice;

const INPUTS: u64 = 1_000_000;
const TALK_EVERY: Duration = Duration::from_secs(5);

struct Target {
    name: &'static str,
    /// Of every thousand inputs.
    share: u64,
    run: fn(&Corpus, &mut Dice),
}

const TARGETS: [Target; 9] = [
    // Read, printed, read again.
    Target { name: "message", share: 300, run: |corpus, dice| sip::fuzzing::message(&corpus.message(dice)) },
    // URIs, addresses, Vias, parameters.
    Target { name: "header", share: 200, run: |corpus, dice| header(&corpus.header(dice)) },
    // Before an endpoint, as from a stranger.
    Target { name: "stranger", share: 200, run: |corpus, dice| stranger(corpus, dice) },
    Target { name: "stun", share: 20, run: |corpus, dice| sip::fuzzing::stun(&corpus.stun(dice)) },
    Target { name: "sdp", share: 110, run: |corpus, dice| media::fuzzing::description(&corpus.sdp(dice)) },
    Target { name: "crypto", share: 20, run: |corpus, dice| media::fuzzing::crypto(&corpus.sdp(dice)) },
    // Up to 130 things that happen to two endpoints, and then the end of all calls.
    Target { name: "endpoint", share: 70, run: |_, dice| sip::fuzzing::endpoint(now(), &script(dice, 260)) },
    Target { name: "rtp", share: 20, run: |corpus, dice| media::fuzzing::packet(&corpus.rtp(dice)) },
    // A call whose peer says anything by RTCP.
    Target { name: "rtcp", share: 20, run: |_, dice| media::fuzzing::reports(now(), &script(dice, 800)) },
    Target { name: "session", share: 30, run: |_, dice| media::fuzzing::session(now(), &script(dice, 800)) },
    Target {
        name: "sealed",
        share: 10,
        run: |_, dice| media::fuzzing::sealed_session(now(), &script(dice, 800)),
    },
];

fn now() -> Instant {
    Instant::now()
}

fn header(text: &str) {
    sip::fuzzing::text(text);
    sip::fuzzing::params(text);
}

/// A few messages that have nothing to do with each other, before one endpoint.
fn stranger(corpus: &Corpus, dice: &mut Dice) {
    let messages: Vec<Vec<u8>> = (0..=dice.roll(4)).map(|_| corpus.message(dice)).collect();
    sip::fuzzing::stranger(now(), &messages);
}

fn script(dice: &mut Dice, longest: usize) -> Vec<u8> {
    (0..dice.roll(longest)).map(|_| dice.roll(256) as u8).collect()
}

/// `Err`: what it panicked with has been said already.
fn one(target: &Target, corpus: &Corpus, number: u64) -> Result<(), ()> {
    // Neighbours must not look alike.
    let mut dice = Dice::new(number ^ 0x5eed << 32);
    catch_unwind(AssertUnwindSafe(|| (target.run)(corpus, &mut dice))).map_err(|_| ())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let corpus = Corpus::read();
    match args[..] {
        [] => smoke(&corpus, INPUTS),
        [number] if number.parse::<u64>().is_ok() => smoke(&corpus, number.parse().unwrap_or(INPUTS)),
        [name, first] => again(&corpus, name, first, "1"),
        [name, first, count] => again(&corpus, name, first, count),
        _ => usage(),
    }
}

/// The inputs of one target from a number on.
fn again(corpus: &Corpus, name: &str, first: &str, count: &str) -> ExitCode {
    let target = TARGETS.iter().find(|target| target.name == name);
    let (Some(target), Ok(first), Ok(count)) = (target, first.parse::<u64>(), count.parse::<u64>()) else {
        return usage();
    };
    match (first..first.saturating_add(count)).find(|number| one(target, corpus, *number).is_err()) {
        None => ExitCode::SUCCESS,
        Some(number) => {
            println!("FAILED; again: offhook-smoke {name} {number}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("usage: offhook-smoke [INPUTS]\n       offhook-smoke {} NUMBER [COUNT]", names.join("|"));
    ExitCode::from(64)
}

fn smoke(corpus: &Corpus, inputs: u64) -> ExitCode {
    let start = Instant::now();
    let mut said = start;
    let mut counts = Vec::new();
    for target in &TARGETS {
        let most = (inputs * target.share).div_ceil(1000);
        let began = Instant::now();
        let mut slowest = (Duration::ZERO, 0);
        for number in 0..most {
            let at = Instant::now();
            if one(target, corpus, number).is_err() {
                println!(
                    "FAILED after {} s; again: offhook-smoke {} {number}",
                    start.elapsed().as_secs(),
                    target.name
                );
                return ExitCode::FAILURE;
            }
            slowest = slowest.max((at.elapsed(), number));
            if said.elapsed() >= TALK_EVERY {
                println!("  {}: {number} of {most}", target.name);
                said = Instant::now();
            }
        }
        let took = began.elapsed().as_secs_f64();
        let (longest, number) = slowest;
        println!(
            "{:10} {most:8} inputs in {took:6.1} s; the slowest took {:.1} ms (number {number})",
            target.name,
            longest.as_secs_f64() * 1000.0
        );
        counts.push(format!("{} {most}", target.name));
    }
    println!(
        "fuzz-smoke: {inputs} inputs in {:.0} s, none failed: {}",
        start.elapsed().as_secs_f64(),
        counts.join(", ")
    );
    ExitCode::SUCCESS
}
