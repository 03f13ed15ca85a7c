//! What the jitter buffer pays in delay and in loss on lines of many kinds, beside buffers of fixed length: `cargo bench -p media --bench jitter`.
//!
//! The lines are generated from a seed (`tests/it/link.rs`), or recorded: `-- --trace FILE …` takes more of these, one packet of 20 ms a line, its
//! delay in milliseconds against any fixed zero, or `lost`; what follows a `#` is a remark. Time is virtual, so the figures depend on no
//! machine. The last line is JSON.
//!
//! A fixed buffer is modelled as well as there can be one: it knows the fastest packet of the whole trace beforehand, plays each packet so much
//! after that, follows the sender's clock exactly, and loses what comes later. Ours knows nothing, plays at ticks of 20 ms, and pays
//! for clocks, phases and changes. `made up` counts its ticks in which sound had to be invented for any reason, the network's own losses
//! among them; `cost` is delay plus 50 ms for each percent late.

#[path = "../tests/it/link.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use more of it")]
mod link;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::time::Duration;

use link::{Link, Path, Shape};
use media::JitterConfig;
use media::simulate::Listener;

const PACKET_NS: f64 = 20e6;
const MINUTES: usize = 10;
const FIXED_MS: [f64; 8] = [20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 160.0, 200.0];
const RECORDED: &str = include_str!("traces/busy-loopback.txt");

/// Packets on their way: when each was sent and arrived, in nanoseconds.
struct Line {
    name: String,
    packets: Vec<(f64, Option<u64>)>,
}

impl Line {
    fn new(name: &str, link: Link, trace: Vec<Option<f32>>) -> Line {
        let count = MINUTES * 3_000;
        let mut path = Path::along(link, trace);
        // Neither clock begins at a whole tick of the other.
        let packets = (1..=count)
            .map(|number| {
                let at = number as f64 * PACKET_NS / (1.0 + link.drift_ppm * 1e-6) + 7e6;
                (at, path.send(at as u64).next())
            })
            .collect();
        Line { name: name.to_owned(), packets }
    }

    fn delays_ms(&self) -> Vec<f64> {
        let taken = |&(at, arrival): &(f64, Option<u64>)| Some((arrival? as f64 - at) / 1e6);
        let delays: Vec<f64> = self.packets.iter().filter_map(taken).collect();
        let least = delays.iter().copied().fold(f64::MAX, f64::min);
        delays.iter().map(|delay| delay - least).collect()
    }
}

struct Course {
    delay_ms: f64,
    p95_ms: f64,
    late: f64,
    made_up: f64,
    stats: media::Stats,
}

fn ours(line: &Line) -> Course {
    let mut listener = Listener::new(JitterConfig::default());
    let mut flying: BinaryHeap<Reverse<(u64, usize)>> = line
        .packets
        .iter()
        .enumerate()
        .filter_map(|(number, packet)| Some(Reverse((packet.1?, number))))
        .collect();
    let least =
        line.packets.iter().filter_map(|&(at, arrival)| Some(arrival? as f64 - at)).fold(f64::MAX, f64::min);
    let payload = [0xff; 160];
    let (mut delays, mut made_up, mut heard) = (Vec::new(), 0, 0);
    for tick in 0..line.packets.len() as u64 {
        let now = tick * 20_000_000;
        while flying.peek().is_some_and(|next| next.0.0 <= now) {
            let Some(Reverse((at, number))) = flying.pop() else { break };
            listener.packet(Duration::from_nanos(at), number as u16, number as u32 * 160, &payload);
        }
        let frame = listener.tick(Duration::from_nanos(now));
        if let Some(until) = frame.until {
            heard += 1;
            made_up += u32::from(frame.concealed);
            // What will be played at the next tick was recorded when its packet, which holds 20 ms, began.
            let place = until as f64 / 160.0;
            let (sent, _) = line.packets[(place as usize).min(line.packets.len() - 1)];
            delays.push((now as f64 + 20e6 - sent - least - place.fract() * PACKET_NS) / 1e6);
        }
    }
    let stats = listener.stats().clone();
    let mean = delays.iter().sum::<f64>() / delays.len().max(1) as f64;
    delays.sort_by(f64::total_cmp);
    Course {
        delay_ms: mean,
        p95_ms: delays.get(delays.len() * 95 / 100).copied().unwrap_or(0.0),
        late: 100.0 * stats.late as f64 / stats.received.max(1) as f64,
        made_up: 100.0 * f64::from(made_up) / f64::from(heard.max(1)),
        stats,
    }
}

/// The share of packets in percent that a fixed buffer of so many milliseconds has not got in time.
fn late(delays: &[f64], buffer_ms: f64) -> f64 {
    100.0 * delays.iter().filter(|&&delay| delay > buffer_ms).count() as f64 / delays.len().max(1) as f64
}

/// The shortest fixed buffer that loses no more.
fn equal(delays: &[f64], percent: f64) -> f64 {
    let mut sorted = delays.to_vec();
    sorted.sort_by(f64::total_cmp);
    let keep = (sorted.len() as f64 * (1.0 - percent / 100.0)).ceil() as usize;
    sorted.get(keep.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn read_trace(text: &str) -> Vec<Option<f32>> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().ok())
        .collect()
}

/// A queue at a narrow upload that somebody else fills for a while and then leaves: up by 150 ms in three seconds, down in one, each half minute.
fn upload() -> Vec<Option<f32>> {
    let height = |packet: usize| match packet % 1_500 {
        up @ 0..150 => up as f32,
        high @ 150..500 => 150.0 + (high % 10) as f32,
        down @ 500..550 => (550 - down) as f32 * 3.0,
        _ => 0.0,
    };
    (0..1_500).map(|packet| Some(height(packet))).collect()
}

/// Radio: most packets wait for a slot of up to 8 ms, every tenth is sent again 8 ms later, and each 10 s the terminal looks for other
/// cells for 60 ms.
fn radio() -> Vec<Option<f32>> {
    let mut chance = link::Chance::new(77);
    let mut trace = Vec::new();
    for packet in 0..3_000 {
        let slot = 8.0 * chance.share();
        let again = if chance.share() < 0.1 { 8.0 } else { 0.0 };
        let away = [60.0, 40.0, 20.0].get(packet % 500).copied().unwrap_or(0.0);
        trace.push(Some((slot + again + away) as f32));
    }
    trace
}

fn lines() -> Vec<Line> {
    let base = Link { seed: 6, delay_ms: 10.0, ..Link::default() };
    let some = |name: &str, link: Link| Line::new(name, link, Vec::new());
    let mut lines = vec![
        some("clean (1 ms)", Link { jitter_ms: 1.0, shape: Shape::Normal, ..base }),
        some("uniform 0–20 ms", Link { jitter_ms: 20.0, ..base }),
        some("uniform 0–40 ms", Link { jitter_ms: 40.0, ..base }),
        some("uniform 0–80 ms", Link { jitter_ms: 80.0, ..base }),
        some("exponential, mean 10 ms", Link { jitter_ms: 10.0, shape: Shape::Exponential, ..base }),
        some(
            "a queue that wanders, 20 ms",
            Link { jitter_ms: 20.0, shape: Shape::Wander, ordered: true, ..base },
        ),
        some("1 of 100 takes 150 ms more", Link { jitter_ms: 4.0, spike_ms: 150.0, ..base }),
        some("each 5 s nothing for 180 ms", Link { jitter_ms: 4.0, stall_ms: 180.0, ordered: true, ..base }),
        some("5 % lost in bursts of 3", Link { jitter_ms: 8.0, loss: 0.05, burst: 3, ..base }),
        some(
            "sender's clock +200 ppm",
            Link { jitter_ms: 3.0, shape: Shape::Exponential, drift_ppm: 200.0, ..base },
        ),
        some(
            "sender's clock −200 ppm",
            Link { jitter_ms: 3.0, shape: Shape::Exponential, drift_ppm: -200.0, ..base },
        ),
        Line::new("upload filled by another", Link { jitter_ms: 3.0, ..base }, upload()),
        Line::new("radio", base, radio()),
        Line::new("recorded: a busy machine", Link { delay_ms: 0.0, ..base }, read_trace(RECORDED)),
    ];
    let arguments: Vec<String> = std::env::args().collect();
    for pair in arguments.windows(2).filter(|pair| pair[0] == "--trace") {
        match std::fs::read_to_string(&pair[1]) {
            Ok(text) => lines.push(Line::new(&pair[1], Link { delay_ms: 0.0, ..base }, read_trace(&text))),
            Err(error) => eprintln!("{}: {error}", pair[1]),
        }
    }
    lines
}

fn main() {
    let minutes = MINUTES;
    println!(
        "{minutes} minutes each, packets of 20 ms, seeded; delay beyond the fastest packet; shares in percent of the packets\n"
    );
    print!(
        "{:<28} | {:>6} {:>6} {:>6} {:>7} {:>6} {:>5} {:>5} | {:>9} | fixed buffer of",
        "line", "delay", "p95", "late", "made up", "cost", "cuts", "adds", "fixed for"
    );
    println!();
    print!(
        "{:<28} | {:>6} {:>6} {:>6} {:>7} {:>6} {:>5} {:>5} | {:>9} |",
        "", "ms", "ms", "%", "%", "", "", "", "same, ms"
    );
    FIXED_MS.iter().for_each(|ms| print!(" {ms:>5}"));
    println!(" ms: % late");
    let mut json = String::new();
    for line in lines() {
        let result = ours(&line);
        let delays = line.delays_ms();
        let equal = equal(&delays, result.late);
        let cost = result.delay_ms + 50.0 * result.late;
        print!(
            "{:<28} | {:>6.1} {:>6.1} {:>6.2} {:>7.2} {:>6.1} {:>5} {:>5} | {:>9.1} |",
            line.name,
            result.delay_ms,
            result.p95_ms,
            result.late,
            result.made_up,
            cost,
            result.stats.accelerated,
            result.stats.lengthened,
            equal
        );
        FIXED_MS.iter().for_each(|&ms| print!(" {:>5.2}", late(&delays, ms)));
        println!();
        let _ = write!(
            json,
            "{}{{\"line\":{:?},\"delay_ms\":{:.1},\"p95_ms\":{:.1},\"late_pct\":{:.3},\"made_up_pct\":{:.3},\"fixed_for_same_ms\":{:.1}}}",
            if json.is_empty() { "" } else { "," },
            line.name,
            result.delay_ms,
            result.p95_ms,
            result.late,
            result.made_up,
            equal
        );
    }
    println!("{{\"bench\":\"jitter\",\"minutes\":{minutes},\"lines\":[{json}]}}");
}
