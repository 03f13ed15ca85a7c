//! What signalling costs: SIPp calls a stack of ours on loopback, with an application behind it that answers at once
//! and no media. `make bench-sip` runs it; SIPp must be installed.
//!
//! The application runs in a process of its own (this program, called with `answer`), so that its CPU time and its
//! memory are its own and not SIPp's. Everything is the product's default but the address. Each process has its own figures, so that no
//! figure is another's aftermath:
//!
//! | process | figures |
//! |---|---|
//! | first | CPU of a call; memory after two loads of 20,000 calls each, when the last transaction has gone |
//! | second | set-up time at 75 calls a second, with a caller of our own: SIPp's clock has milliseconds |
//! | third | memory of 1,000 calls that stay |
//! | others | the highest rate without a lost call and (nearly) without a repeated message |
//!
//! SIPp shares the cores with what it measures, so the rate says what both together can do.

#![allow(clippy::disallowed_methods, reason = "a measurement has a clock, and waits")]

mod answering;
mod caller;
mod child;
mod setup;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use caller::{Caller, Load};
use child::Child;

/// Calls of one load, after which memory is looked at.
const LOAD: u32 = 20_000;
/// Calls a second of such a load.
const LOAD_RATE: u32 = 700;
const SETUP_RATE: u32 = 75;
const DIALOGS: u32 = 1_000;
/// The rates that are tried. For longer than 32 s, `Config::max_transactions` carries 1,562 calls a second: to search
/// above that is to measure a number that nobody can use.
const RATES: [u32; 7] = [400, 600, 800, 1_000, 1_200, 1_400, 1_550];
/// How long a rate has to hold.
const HELD: Duration = Duration::from_secs(10);
/// A transaction lingers for 64*T1.
const LINGER: Duration = Duration::from_secs(33);

fn main() -> ExitCode {
    // Cargo says `--bench` to every benchmark.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let done = match args.first().map(String::as_str) {
        Some("answer") => answering::run(),
        None => measure(),
        Some(other) => Err(format!("{other}? There is nothing to choose.").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-sip: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let caller = Caller::new()?;
    println!("{}", child::conditions()?);

    let mut first = Child::start()?;
    println!("load 1 of 2: {LOAD} calls at {LOAD_RATE}/s");
    let cpu = first.cpu_ms()?;
    let load = caller.call(first.addr, &Load { rate: LOAD_RATE, calls: LOAD, stay: Duration::ZERO })?;
    let cpu_ms_per_call = (first.cpu_ms()? - cpu) / f64::from(LOAD);
    println!("  {load}; {cpu_ms_per_call:.3} ms of CPU per call");
    let loaded = Instant::now();

    // While the transactions of the first process linger.
    let second = Child::start()?;
    println!("setup: {} calls at {SETUP_RATE}/s", SETUP_RATE * 10);
    let setup = setup::times(second.addr, SETUP_RATE, SETUP_RATE * 10)?;
    println!(
        "  INVITE to 200: p50 {:.2} ms, p95 {:.2} ms, longest {:.2} ms",
        setup.p50_ms, setup.p95_ms, setup.longest_ms
    );
    drop(second);
    let kb_per_dialog = memory_of_dialogs(&caller)?;

    let before = first.wait_until_idle(loaded + LINGER)?;
    let rss = first.rss_kb()?;
    println!(
        "load 2 of 2: {LOAD} calls at {LOAD_RATE}/s, from {:.0} KiB in use, {rss} resident",
        before.heap_kb
    );
    let load = caller.call(first.addr, &Load { rate: LOAD_RATE, calls: LOAD, stay: Duration::ZERO })?;
    println!("  {load}; waiting {} s for its transactions to end", LINGER.as_secs());
    let after = first.wait_until_idle(Instant::now() + LINGER)?;
    let leak_kb = after.heap_kb - before.heap_kb;
    println!("  {leak_kb:+.1} KiB in use, {:+} resident", first.rss_kb()? - rss);
    drop(first);

    let cps_clean = highest_clean_rate(&caller)?;
    println!(
        "{{\"bench\":\"sip\",\"cps_clean\":{cps_clean},\"setup_p50_ms\":{:.2},\"setup_p95_ms\":{:.2},\
         \"cpu_ms_per_call\":{cpu_ms_per_call:.3},\"kb_per_dialog\":{kb_per_dialog:.1},\"leak_kb\":{leak_kb:.1}}}",
        setup.p50_ms, setup.p95_ms,
    );
    Ok(())
}

/// What a process grows by from nothing to 1,000 calls that stay, with the transactions that they came with.
fn memory_of_dialogs(caller: &Caller) -> Result<f64, Box<dyn Error>> {
    println!("memory: {DIALOGS} calls at once");
    let mut child = Child::start()?;
    // A few first, so that what is built once is not counted with the thousand.
    caller.call(child.addr, &Load { rate: 10, calls: 10, stay: Duration::ZERO })?;
    let before = child.rss_kb()?;
    let staying =
        caller.start(child.addr, &Load { rate: 400, calls: DIALOGS, stay: Duration::from_secs(6) })?;
    let until = Instant::now() + Duration::from_secs(8);
    let (mut legs, mut rss) = (0, before);
    while Instant::now() < until && legs < DIALOGS as usize {
        thread::sleep(Duration::from_millis(50));
        (legs, rss) = (legs.max(child.alive()?.legs), rss.max(child.rss_kb()?));
    }
    let load = staying.finish()?;
    let each = (rss - before) as f64 / legs.max(1) as f64;
    println!("  {load}; {legs} together, {before} to {rss} KiB resident: {each:.1} KiB each");
    if legs < DIALOGS as usize * 9 / 10 {
        return Err(format!("only {legs} calls were up together").into());
    }
    Ok(each)
}

/// Upwards until a rate fails twice: once may be somebody else's doing. Each has a new process, so that no rate bears the
/// transactions of another.
fn highest_clean_rate(caller: &Caller) -> Result<u32, Box<dyn Error>> {
    let mut clean = 0;
    for rate in RATES {
        let calls = rate * HELD.as_secs() as u32;
        if !(0..2)
            .try_fold(false, |held, _| Ok::<_, Box<dyn Error>>(held || is_clean(caller, rate, calls)?))?
        {
            break;
        }
        clean = rate;
    }
    Ok(clean)
}

fn is_clean(caller: &Caller, rate: u32, calls: u32) -> Result<bool, Box<dyn Error>> {
    println!("rate: {rate}/s for {} s", HELD.as_secs());
    let child = Child::start()?;
    let score = caller.call(child.addr, &Load { rate, calls, stay: Duration::ZERO })?;
    let clean = score.is_clean(rate);
    println!("  {score}: {}", if clean { "clean" } else { "not clean" });
    Ok(clean)
}
