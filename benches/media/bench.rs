//! What a line costs: `make bench-media`. N peers speak to N lines of an engine in another process, where a stub of an agent speaks to each of them; beside
//! it, in the same run, a process that only sends every packet back. `make soak` is the same engine for an hour, with calls that come and go.
//!
//! | measured | how |
//! |---|---|
//! | CPU | what the kernel says that the threads of the measured process ran, over the window, of one core and per call |
//! | memory | resident memory of the process, less what it had without a call, per call |
//! | spacing | the kernel's arrival times at the peers: how far two packets of a line in a row are from 20 ms apart |
//! | lost | by sequence numbers, both ways; and what the engine counts as late |
//!
//! A number of calls is clean if none was refused for good, nothing was lost or late, either way, no frame dropped, no tick skipped, and 99 of 100 packets were
//! spaced to within 5 ms. What a call costs is shared among those that were let in.

#![allow(clippy::disallowed_methods, reason = "a measurement has a clock, and waits")]

mod child;
mod generate;
mod reflect;
mod serve;
mod sipp;
mod soak;
mod speech;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use child::Child;
use generate::{Counted, Generator};
use serve::{Pattern, REFUSED};
use sipp::Sipp;

/// Ports of the measured engine, and of the reflector: below those that the system gives to the generator's sockets.
const ENGINE_PORT: u16 = 10_000;
const REFLECTOR_PORT: u16 = 20_000;
/// Of the engine on the other side, where the peers are not the generator's.
const PEER_PORT: u16 = 15_000;
/// Of the engine that runs for an hour, so that others may be measured meanwhile.
const SOAK_PORT: u16 = 28_000;
/// Until the first figures count: latches, jitter buffers and caches have settled.
const SETTLED: Duration = Duration::from_secs(4);
/// A line that was refused is asked for again for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const SPACING_MS: f64 = 5.0;

/// How it was called.
struct Wanted {
    calls: Vec<usize>,
    window: Duration,
    threads: usize,
    pattern: Pattern,
    only: Option<String>,
}

fn main() -> ExitCode {
    // Cargo says `--bench` to every benchmark.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    match args.first().map(String::as_str) {
        Some("serve") => serve::run(args[1].parse()?, args[2].parse()?, pattern_named(&args[3])?),
        Some("reflect") => reflect::run(args[1].parse()?, args[2].parse()?),
        Some("soak") => soak::run(&args[1..]),
        _ => measure(&wanted(args)?),
    }
}

fn pattern_named(name: &str) -> Result<Pattern, String> {
    match name {
        "both" => Ok(Pattern::Both),
        "turns" => Ok(Pattern::Turns),
        other => Err(format!("{other}? They speak in turns, or both.")),
    }
}

fn wanted(args: &[String]) -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted {
        calls: vec![50, 100, 200, 400, 500, 600, 800],
        window: Duration::from_secs(20),
        threads: 1,
        pattern: Pattern::Both,
        only: None,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} wants a value"))?;
        match arg.as_str() {
            "--calls" => wanted.calls = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--seconds" => wanted.window = Duration::from_secs(value.parse()?),
            "--threads" => wanted.threads = value.parse()?,
            "--pattern" => wanted.pattern = pattern_named(value)?,
            "--only" => wanted.only = Some(value.clone()),
            other => return Err(format!("{other}? --calls, --seconds, --threads, --pattern, --only").into()),
        }
    }
    Ok(wanted)
}

/// What is different from the plain case.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    kind: &'static str,
    recorded: bool,
    /// They take turns, whatever the other rows do.
    turns: bool,
    /// Who is refused tries again.
    patient: bool,
    /// The peers are lines of another process of ours, agreed with by offer and answer: the generator only speaks G.711 in clear. Then nobody times
    /// the packets.
    paired: bool,
    /// The peers are SIPp's. It does not time the packets either.
    sipp: bool,
}

const PLAIN: Kind = Kind {
    name: "pcmu",
    kind: "pcmu",
    recorded: false,
    turns: false,
    patient: true,
    paired: false,
    sipp: false,
};
/// As many at once as want to come.
const FLOOD: Kind = Kind { name: "flood", patient: false, ..PLAIN };
/// As many as SIPp can carry beside the engine.
const SIPP: Kind = Kind { name: "sipp", sipp: true, ..PLAIN };
const OTHERS: [Kind; 6] = [
    Kind { name: "turns", turns: true, ..PLAIN },
    Kind { name: "recorded", recorded: true, ..PLAIN },
    // What the next three are to be compared with.
    Kind { name: "pcmu, paired", paired: true, ..PLAIN },
    Kind { name: "srtp", kind: "srtp", paired: true, ..PLAIN },
    Kind { name: "g722", kind: "g722", paired: true, ..PLAIN },
    Kind { name: "opus", kind: "opus", paired: true, ..PLAIN },
];

/// The figures of one number of calls.
struct Measured {
    /// That were let in, and that were not: the engine refuses what would take its threads beyond their limit.
    calls: usize,
    refused: usize,
    /// Of one core, all threads; those that tick, those of the agents, and the one that records.
    core_pct: f64,
    shares: [f64; 3],
    kb_per_call: f64,
    peers: Counted,
    engine: Sums,
    late_ticks: u64,
    skipped: u64,
    longest_us: u64,
    /// Of what was due in the window, the share that was sent, and that came.
    sent: f64,
    received: f64,
}

/// What the lines counted together.
#[derive(Default)]
struct Sums {
    sent: u64,
    received: u64,
    lost: u64,
    /// Came too late, or too many at once.
    late: u64,
    dropped: u64,
}

impl Measured {
    fn per_call(&self) -> f64 {
        self.core_pct / self.calls as f64
    }

    /// What was not as it should be.
    fn troubles(&self) -> Vec<String> {
        let Sums { lost, late, dropped, .. } = self.engine;
        let mut troubles = Vec::new();
        let mut count = |count: u64, what: &str| {
            if count > 0 {
                troubles.push(format!("{count} {what}"));
            }
        };
        count(self.refused as u64, "calls refused");
        count(self.peers.lost + lost, "packets lost");
        count(late, "packets late");
        count(dropped, "frames dropped");
        count(self.skipped, "ticks skipped");
        if self.sent < 0.995 {
            troubles.push(format!("only {:.1} % of the packets sent", 100.0 * self.sent));
        }
        if self.received < 0.99 {
            troubles.push(format!("only {:.1} % of the packets came", 100.0 * self.received));
        }
        let spacing = self.peers.spacing_ms(990);
        if spacing > SPACING_MS {
            troubles.push(format!("spacing {spacing:.1} ms"));
        }
        if !troubles.is_empty() && self.peers.own_delay_us > 5_000 {
            troubles.push(format!("the generator itself up to {} ms late", self.peers.own_delay_us / 1_000));
        }
        troubles
    }

    fn is_clean(&self) -> bool {
        self.troubles().is_empty()
    }
}

fn measure(wanted: &Wanted) -> Result<(), Box<dyn Error>> {
    let said: Arc<[u8]> = speech::person().iter().map(|&sample| media::g711::encode_ulaw(sample)).collect();
    let voice = if speech::is_a_person() { "a person's prompts" } else { "made of syllables" };
    println!("bench-media: {}", child::conditions()?);
    println!(
        "both sides speak {}; speech: {voice}; {} media thread(s); {} s for each row",
        if wanted.pattern == Pattern::Both { "all the time" } else { "in turns of 4 s" },
        wanted.threads,
        wanted.window.as_secs()
    );
    println!(
        "\n{:<16} {:>5} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7}",
        "",
        "calls",
        "% / call",
        "ticks",
        "agents",
        "record",
        "KiB",
        "p50 ms",
        "p95",
        "p99",
        "lost",
        "late",
        "drop",
        "slow",
        "longest"
    );
    let mut plain = Vec::new();
    let wants = |name: &str| wanted.only.as_ref().is_none_or(|only| only == name);
    if wants(PLAIN.name) {
        for &calls in &wanted.calls {
            let measured = engine(calls, PLAIN, wanted, &said)?;
            row(PLAIN.name, &measured);
            plain.push(measured);
        }
    }
    let few = wanted.calls.iter().copied().filter(|&calls| calls <= 200).max().unwrap_or(50);
    let mut others = Vec::new();
    for kind in OTHERS.into_iter().filter(|kind| wants(kind.name)) {
        let measured = engine(few, kind, wanted, &said)?;
        row(kind.name, &measured);
        others.push((kind.name, measured.per_call()));
    }
    let mut by_sipp = Vec::new();
    for &calls in wanted.calls.iter().filter(|&&calls| calls <= few && wants(SIPP.name)) {
        let measured = engine(calls, SIPP, wanted, &said)?;
        row(SIPP.name, &measured);
        by_sipp.push((calls, measured.per_call()));
    }
    if let Some((_, pct)) = by_sipp.into_iter().find(|(calls, _)| *calls == few) {
        others.push((SIPP.name, pct));
    }
    let most = wanted.calls.iter().copied().max().filter(|_| wants(FLOOD.name));
    let flood = most.map(|calls| engine(calls, FLOOD, wanted, &said)).transpose()?;
    if let Some(flood) = &flood {
        row(FLOOD.name, flood);
    }
    let floor = if wants("reflector") { Some(reflector(few, wanted, &said)?) } else { None };
    let at = plain.iter().find(|measured| measured.calls == few).or(plain.first());
    let clean = plain.iter().take_while(|measured| measured.is_clean()).last();
    let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.4}"));
    let flood = flood.map_or("null".to_owned(), |flood| {
        format!(
            "{{\"calls\":{},\"refused\":{},\"skipped_ticks\":{}}}",
            flood.calls, flood.refused, flood.skipped
        )
    });
    let others: String = others
        .iter()
        .map(|(name, pct)| format!("\"{}_pct_per_call\":{pct:.4},", name.replace(", ", "_")))
        .collect();
    println!(
        "\n{{\"bench\":\"media\",\"core_pct_per_call\":{},\"kb_per_call\":{},\"max_clean_calls\":{},\"p99_spacing_ms\":{},\"vs_udp_reflector\":{},\"reflector_pct\":{},{others}\"flood\":{flood},\"calls\":{few}}}",
        number(at.map(Measured::per_call)),
        number(at.map(|measured| measured.kb_per_call)),
        clean.map_or(0, |measured| measured.calls),
        number(clean.map(|measured| measured.peers.spacing_ms(990))),
        number(at.zip(floor).map(|(measured, floor)| measured.per_call() / floor)),
        number(floor),
    );
    Ok(())
}

fn row(name: &str, measured: &Measured) {
    let Measured { calls, peers, engine, shares, .. } = measured;
    let each = |value: f64| value / *calls as f64;
    let spacing = |permille| match peers.received {
        0 => "-".to_owned(),
        _ => format!("{:.2}", peers.spacing_ms(permille)),
    };
    println!(
        "{name:<16} {calls:>5} {:>8.4} {:>7.4} {:>7.4} {:>7.4} {:>7.0} {:>8} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>5} µs{}",
        measured.per_call(),
        each(shares[0]),
        each(shares[1]),
        each(shares[2]),
        measured.kb_per_call,
        spacing(500),
        spacing(950),
        spacing(990),
        peers.lost + engine.lost,
        engine.late,
        engine.dropped,
        measured.late_ticks,
        measured.longest_us,
        if measured.is_clean() { String::new() } else { format!("  {}", measured.troubles().join(", ")) },
    );
}

fn engine(calls: usize, kind: Kind, wanted: &Wanted, said: &Arc<[u8]>) -> Result<Measured, Box<dyn Error>> {
    let pattern = if kind.turns { Pattern::Turns } else { wanted.pattern };
    let name = if pattern == Pattern::Both { "both" } else { "turns" };
    let args = ["serve", &ENGINE_PORT.to_string(), &wanted.threads.to_string(), name].map(str::to_owned);
    let mut child = Child::start(&args)?;
    let mut peer = None;
    if kind.paired {
        let args = ["serve", &PEER_PORT.to_string(), &wanted.threads.to_string(), name].map(str::to_owned);
        peer = Some(Child::start(&args)?);
    }
    let generator = Generator::start(calls, Arc::clone(said), pattern)?;
    let mut sipp = if kind.sipp { Some(Sipp::start(calls, said)?) } else { None };
    child.ask("engine")?;
    let empty_kb = child.rss_kb()?;
    let recorded = if kind.recorded { "recorded" } else { "-" };
    let mut numbers = Vec::with_capacity(calls);
    let mut theirs = Vec::new();
    for index in 0..calls {
        let ringing = sipp.as_mut().map(Sipp::next).transpose()?;
        let order = match kind.paired {
            true => format!("offer {}", kind.kind),
            false => {
                let peer = ringing.as_ref().map_or(generator.address(index), |ringing| ringing.media);
                format!("open {peer} {} {recorded}", kind.kind)
            }
        };
        // Where one had to wait in vain there is no room for the others either.
        let patient = kind.patient && numbers.len() == index;
        let Some(answer) = let_in(&mut child, &order, patient)? else { continue };
        let (number, rest) = answer.split_once(' ').ok_or("an odd answer")?;
        if let Some(peer) = &mut peer {
            let answer = peer.ask(&format!("answer {} {rest}", kind.kind))?;
            let Some((their_number, answer)) = answer.split_once(' ') else {
                // Theirs has no time for one more, nor for any behind it.
                child.ask(&format!("close {number}"))?;
                break;
            };
            child.ask(&format!("accept {number} {answer}"))?;
            theirs.push(their_number.to_owned());
        } else if let Some((sipp, ringing)) = sipp.as_ref().zip(ringing) {
            sipp.answer(&ringing, rest.parse()?)?;
        } else {
            generator.add(index, SocketAddr::from(([127, 0, 0, 1], rest.parse::<u16>()?)));
        }
        numbers.push(number.to_owned());
        // A hundred in a second; SIPp rings when it likes.
        if sipp.is_none() {
            thread::sleep(Duration::from_millis(10));
        }
    }
    thread::sleep(SETTLED);
    let before = sums(&mut child, &numbers)?;
    let peer_lost = |peer: &mut Option<Child>| -> Result<u64, Box<dyn Error>> {
        peer.as_mut().map_or(Ok(0), |peer| Ok(sums(peer, &theirs)?.lost))
    };
    let peer_before = peer_lost(&mut peer)?;
    let engine_before = child.ask("engine")?;
    generator.counted();
    let (began, cpu_before) = (Instant::now(), child.cpu_ms()?);
    thread::sleep(wanted.window);
    let (lasted, cpu_after) = (began.elapsed(), child.cpu_ms()?);
    let mut peers = generator.counted();
    peers.lost += peer_lost(&mut peer)?.saturating_sub(peer_before);
    let rss_kb = child.rss_kb()?;
    let after = sums(&mut child, &numbers)?;
    let engine_after = child.ask("engine")?;
    let ran = |threads: &[(String, f64)], of: &dyn Fn(&str) -> bool| -> f64 {
        threads.iter().filter(|(name, _)| of(name)).map(|(_, ms)| ms).sum()
    };
    let share = |of: &dyn Fn(&str) -> bool| {
        (ran(&cpu_after, of) - ran(&cpu_before, of)) / lasted.as_secs_f64() / 10.0
    };
    let records = |name: &str| name == "media-record";
    let ticks = |name: &str| name.starts_with("media-") && !records(name);
    let due = numbers.len() as f64 * 50.0 * lasted.as_secs_f64();
    Ok(Measured {
        calls: numbers.len(),
        refused: calls - numbers.len(),
        core_pct: share(&|_| true),
        shares: [share(&ticks), share(&|name| !ticks(name) && !records(name)), share(&records)],
        kb_per_call: (rss_kb - empty_kb) / numbers.len() as f64,
        peers,
        engine: Sums {
            sent: after.sent - before.sent,
            received: after.received - before.received,
            lost: after.lost.saturating_sub(before.lost),
            late: after.late - before.late,
            dropped: after.dropped - before.dropped,
        },
        late_ticks: figure(&engine_after, "late") - figure(&engine_before, "late"),
        // Of a flood also those while it came.
        skipped: figure(&engine_after, "skipped")
            - if kind.patient { figure(&engine_before, "skipped") } else { 0 },
        longest_us: figure(&engine_after, "longest_us"),
        sent: (after.sent - before.sent) as f64 / due,
        received: (after.received - before.received) as f64 / due,
    })
}

/// Opens a line. Of a flood the engine lets in as many as there surely is time for, and more as it turns out what these take: who is patient asks again.
/// `None`: it was refused.
fn let_in(child: &mut Child, order: &str, patient: bool) -> Result<Option<String>, Box<dyn Error>> {
    let until = Instant::now() + if patient { PATIENCE } else { Duration::ZERO };
    loop {
        let answer = child.ask(order)?;
        if answer != REFUSED {
            return Ok(Some(answer));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn sums(child: &mut Child, numbers: &[String]) -> Result<Sums, Box<dyn Error>> {
    let mut sums = Sums::default();
    for number in numbers {
        let line = child.ask(&format!("stats {number}"))?;
        sums.sent += figure(&line, "sent");
        sums.received += figure(&line, "received");
        sums.lost += figure(&line, "lost");
        sums.late += figure(&line, "late") + figure(&line, "overflow");
        sums.dropped += figure(&line, "dropped");
    }
    Ok(sums)
}

/// The number behind a name.
fn figure(line: &str, name: &str) -> u64 {
    let mut words = line.split_whitespace();
    words.find(|&word| word == name).and_then(|_| words.next()?.parse().ok()).unwrap_or(0)
}

/// Of a core, per stream.
fn reflector(calls: usize, wanted: &Wanted, said: &Arc<[u8]>) -> Result<f64, Box<dyn Error>> {
    let args = ["reflect", &REFLECTOR_PORT.to_string(), &calls.to_string()].map(str::to_owned);
    let mut child = Child::start(&args)?;
    child.line()?;
    let generator = Generator::start(calls, Arc::clone(said), wanted.pattern)?;
    for index in 0..calls {
        generator.add(index, SocketAddr::from(([127, 0, 0, 1], REFLECTOR_PORT + 2 * index as u16)));
    }
    thread::sleep(SETTLED);
    generator.counted();
    let total = |threads: Vec<(String, f64)>| threads.iter().map(|(_, ms)| ms).sum::<f64>();
    let (began, before) = (Instant::now(), total(child.cpu_ms()?));
    thread::sleep(wanted.window);
    let pct = (total(child.cpu_ms()?) - before) / began.elapsed().as_secs_f64() / 10.0 / calls as f64;
    let peers = generator.counted();
    println!(
        "{:<16} {calls:>5} {pct:>8.4} {:>39.2} {:>6.2} {:>6.2} {:>6}   (generator at most {} ms late)",
        "reflector",
        peers.spacing_ms(500),
        peers.spacing_ms(950),
        peers.spacing_ms(990),
        peers.lost,
        peers.own_delay_us / 1_000
    );
    Ok(pct)
}
