//! An engine for an hour, with calls that come and go: whether memory and descriptors stay what they were. `make soak`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{self, Child};
use crate::generate::Generator;
use crate::serve::Pattern;
use crate::{SOAK_PORT, figure, speech};

/// Calls last from a quarter to one and three quarters of this.
const MEAN: Duration = Duration::from_secs(60);
/// One in so many is recorded.
const RECORDED: u64 = 10;
/// The first part of the run, in which pools and caches fill.
const WARM: f64 = 0.2;

struct Call {
    number: String,
    ends: Instant,
}

struct Sample {
    at: Duration,
    rss_kb: f64,
    descriptors: usize,
}

pub(crate) fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let (mut minutes, mut calls) = (60.0, 100usize);
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--minutes" => minutes = value.parse()?,
            [name, value] if name == "--calls" => calls = value.parse()?,
            _ => return Err("soak: --minutes, --calls".into()),
        }
    }
    println!("soak: {}", child::conditions()?);
    println!(
        "{calls} calls at a time for {minutes} minutes, {} s each on average, both sides speak",
        MEAN.as_secs()
    );
    let said: Arc<[u8]> = speech::person().iter().map(|&sample| media::g711::encode_ulaw(sample)).collect();
    let args = ["serve", &SOAK_PORT.to_string(), "1", "both"].map(str::to_owned);
    let mut child = Child::start(&args)?;
    let generator = Generator::start(calls, said, Pattern::Both)?;
    let began = Instant::now();
    let lasts = Duration::from_secs_f64(minutes * 60.0);
    let mut chance = 1u64;
    let mut live: Vec<Option<Call>> = (0..calls).map(|_| None).collect();
    let (mut samples, mut opened, mut lost, mut late, mut received) = (Vec::new(), 0u64, 0, 0, 0);
    let mut next_sample = Duration::ZERO;
    while began.elapsed() < lasts {
        let now = Instant::now();
        for (index, place) in live.iter_mut().enumerate() {
            if let Some(call) = place.take_if(|call| call.ends <= now) {
                let figures = child.ask(&format!("close {}", call.number))?;
                generator.remove(index);
                lost += figure(&figures, "lost");
                late += figure(&figures, "late");
                received += figure(&figures, "received");
            }
            if place.is_none() {
                opened += 1;
                let recorded = if opened.is_multiple_of(RECORDED) { "recorded" } else { "-" };
                let answer = child.ask(&format!("open {} pcmu {recorded}", generator.address(index)))?;
                let (number, port) = answer.split_once(' ').ok_or("an odd answer")?;
                generator.add(index, SocketAddr::from(([127, 0, 0, 1], port.parse::<u16>()?)));
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let share = (chance >> 33) as f64 / f64::from(u32::MAX >> 1);
                *place =
                    Some(Call { number: number.to_owned(), ends: now + MEAN.mul_f64(0.25 + 1.5 * share) });
            }
        }
        if began.elapsed() >= next_sample {
            let sample =
                Sample { at: began.elapsed(), rss_kb: child.rss_kb()?, descriptors: child.descriptors()? };
            println!(
                "{:>6.1} min: {:>8.0} KiB, {:>4} descriptors, {opened} calls so far",
                sample.at.as_secs_f64() / 60.0,
                sample.rss_kb,
                sample.descriptors
            );
            samples.push(sample);
            next_sample += lasts.div_f64(30.0).max(Duration::from_secs(1));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let engine = child.ask("engine")?;
    for call in live.into_iter().flatten() {
        child.ask(&format!("close {}", call.number))?;
    }
    // Ports rest, and the last recordings are written.
    thread::sleep(Duration::from_secs(1));
    let idle_descriptors = child.descriptors()?;
    let warm: Vec<&Sample> = samples.iter().filter(|sample| sample.at >= lasts.mul_f64(WARM)).collect();
    let (early, late_half) = warm.split_at(warm.len() / 2);
    let mean = |samples: &[&Sample]| {
        samples.iter().map(|sample| sample.rss_kb).sum::<f64>() / samples.len().max(1) as f64
    };
    let growth = 100.0 * (mean(late_half) / mean(early).max(1.0) - 1.0);
    let peers = generator.counted();
    println!("engine: {engine}; {} of our packets lost on the way to the peers", peers.lost);
    println!(
        "{{\"bench\":\"soak\",\"minutes\":{minutes},\"calls\":{opened},\"at_once\":{calls},\"received\":{received},\"lost\":{lost},\"late\":{late},\"rss_growth_pct\":{growth:.2},\"descriptors_live\":{},\"descriptors_after\":{idle_descriptors},\"p99_spacing_ms\":{:.2}}}",
        warm.last().map_or(0, |sample| sample.descriptors),
        peers.spacing_ms(990)
    );
    if growth > 3.0 {
        return Err(format!("memory grew by {growth:.1} % in the second half").into());
    }
    Ok(())
}
