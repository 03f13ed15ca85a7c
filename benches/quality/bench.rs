//! How speech sounds behind a bad line: PESQ of what our session makes of packets that were lost and delayed, beside
//! what real ones (baresip, Linphone) make of the same packets. `make bench-quality` runs it; baresip and the sentences are
//! installed by `scripts/setup-test.sh`, Linphone's engine and PESQ by `scripts/setup-quality.sh`.
//!
//! A person's sentences are encoded by our own sender, a packet every 20 ms, and each condition of the line decides by its seed which are lost
//! and when the others come. Our session hears them on a virtual clock, the phones in real time, several at once. Then
//! both recordings are judged against what was said. The delay is that of the buffers: from sending to playing on a line that takes no time.
//! baresip's is known to some 20 ms, Linphone's is not: its recording does not begin with its first packet.
//!
//! | option | |
//! |---|---|
//! | `--codecs pcmu,pcma` | which |
//! | `--loss 0,5`, `--jitter 0,80` | which conditions, percent and ms |
//! | `--ours` | without phones: a few seconds |
//! | `--company N` | phones at once |
//! | `--folder PATH` | where recordings go, and the report: `quality.json`, `.md` and `.svg` |
//! | `--publish` | the report also into `docs/` |
//! | `--python PATH` | an interpreter with `pesq` |

#![allow(clippy::disallowed_methods, reason = "a measurement has a clock, and waits")]

mod company;
mod link;
mod linphone;
mod ours;
mod phone;
mod score;
mod speech;
mod verdict;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use link::{Arrival, Link};
use media::sdp::Codec;
use ours::Heard;
use phone::Format;
use score::{Judge, Score};
use speech::Speech;

/// A condition, and how both sounded.
pub(crate) struct Point {
    pub(crate) codec: &'static str,
    pub(crate) link: Link,
    pub(crate) ours: Score,
    /// In the order of [`PEERS`]; none if they were left out.
    pub(crate) theirs: Vec<Score>,
}

struct Options {
    codecs: Vec<String>,
    losses: Vec<u32>,
    jitters: Vec<u32>,
    phones: bool,
    company: usize,
    folder: PathBuf,
    publish: bool,
    python: PathBuf,
}

/// Who hears the same packets.
pub(crate) const PEERS: [&str; 2] = ["baresip", "linphone"];

/// What can be measured: our codec, and how the peers call it.
const CODECS: [(&str, Codec, Format); 4] = [
    ("pcmu", Codec::Pcmu, Format { number: 0, name: "PCMU/8000/1", linphone: &["0"], rate: 8_000 }),
    ("pcma", Codec::Pcma, Format { number: 8, name: "PCMA/8000/1", linphone: &["8"], rate: 8_000 }),
    ("g722", Codec::G722, Format { number: 9, name: "G722/8000/1", linphone: &["9"], rate: 16_000 }),
    (
        "opus",
        Codec::Opus,
        Format {
            // `mediastream` gives this number, and no other, to a format that is described to it.
            number: 114,
            name: "opus/48000/2",
            linphone: &[
                "audio/opus/48000/2",
                "--bitrate",
                "40000",
                "--fmtp",
                "useinbandfec=1",
                "--recv_fmtp",
                "useinbandfec=1",
            ],
            rate: 48_000,
        },
    ),
];

fn main() -> ExitCode {
    match options().and_then(|options| measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-quality: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .unwrap_or_default();
    let mut options = Options {
        codecs: CODECS.iter().map(|(name, ..)| (*name).to_owned()).collect(),
        losses: vec![0, 1, 3, 5, 10],
        jitters: vec![0, 20, 40, 60, 80],
        phones: true,
        company: 45,
        folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("quality"),
        publish: false,
        python: cache.join("offhook/test-tools/quality/bin/python"),
    };
    // Cargo says `--bench` to every benchmark.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--codecs" => options.codecs = value()?.split(',').map(str::to_owned).collect(),
            "--loss" => options.losses = numbers(&value()?)?,
            "--jitter" => options.jitters = numbers(&value()?)?,
            "--ours" => options.phones = false,
            "--company" => options.company = value()?.parse()?,
            "--folder" => options.folder = value()?.into(),
            "--publish" => options.publish = true,
            "--python" => options.python = value()?.into(),
            other => return Err(format!("{other}? See benches/quality/bench.rs for the options.").into()),
        }
    }
    if options.company == 0 || options.company > 250 {
        return Err("--company: 1 to 250 phones at once".into());
    }
    Ok(options)
}

fn numbers(list: &str) -> Result<Vec<u32>, Box<dyn Error>> {
    Ok(list.split(',').map(str::parse).collect::<Result<_, _>>()?)
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&options.folder)?;
    let judge = Judge::new(options.python.clone(), &options.folder);
    let links = links(options);
    let mut points = Vec::new();
    let mut late = Duration::ZERO;
    let cores = thread::available_parallelism()?.get();
    println!("cores: {cores}");
    for name in &options.codecs {
        let &(name, codec, format) =
            CODECS.iter().find(|(known, ..)| known == name).ok_or_else(|| format!("no codec {name}"))?;
        let speech = Speech::of(codec.rate())?;
        let packets = ours::packets(&speech, codec);
        let journeys: Vec<Vec<Arrival>> = links.iter().map(|link| link.journey(packets.len())).collect();
        println!(
            "{name}: {} pieces of speech, {:.0} s, {} packets, {} conditions",
            speech.pieces.len(),
            packets.len() as f64 / 50.0,
            packets.len(),
            links.len()
        );
        let ours: Vec<Heard> =
            journeys.iter().map(|journey| ours::listen(codec, &packets, journey)).collect();
        let ours = judge.scores(&format!("{name}-ours"), &speech, &ours)?;
        let theirs = if options.phones {
            let packets = numbered(packets, format.number);
            let calls = company::hold(&options.folder, options.company, &format, &packets, &journeys)?;
            late = calls.iter().map(|call| call.late).fold(late, Duration::max);
            let heard: Vec<Heard> = calls.into_iter().map(|call| call.heard).collect();
            let scores = judge.scores(&format!("{name}-theirs"), &speech, &heard)?;
            scores.chunks(PEERS.len()).map(<[Score]>::to_vec).collect()
        } else {
            vec![Vec::new(); ours.len()]
        };
        let scored = links.iter().zip(ours).zip(theirs);
        let begins = points.len();
        points.extend(scored.map(|((link, ours), theirs)| Point { codec: name, link: *link, ours, theirs }));
        table(&points[begins..]);
    }
    if options.phones {
        println!("\none packet of a hundred left later than {:.1} ms", late.as_secs_f64() * 1_000.0);
    }
    let company = if options.phones { options.company } else { 0 };
    let json = verdict::json(&points, cores, company, late);
    report(options, &json)?;
    println!("{}", verdict::words(&points));
    println!("{json}");
    Ok(())
}

/// Packets with the payload type that the peers know the codec by.
fn numbered(mut packets: Vec<Vec<u8>>, number: u8) -> Vec<Vec<u8>> {
    for packet in &mut packets {
        packet[1] = packet[1] & 0x80 | number;
    }
    packets
}

/// The figures as a file, a table and a picture, by `report.py`.
fn report(options: &Options, json: &str) -> Result<(), Box<dyn Error>> {
    let results = options.folder.join("quality.json");
    std::fs::write(&results, format!("{json}\n"))?;
    let mut command = Command::new(&options.python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/quality/report.py")).arg(&results);
    if options.publish {
        command.arg("--publish");
    }
    if command.status()?.success() { Ok(()) } else { Err("report.py failed".into()) }
}

/// Every loss with every jitter; without loss there are no bursts.
fn links(options: &Options) -> Vec<Link> {
    let mut links = Vec::new();
    for &jitter_ms in &options.jitters {
        for &loss in &options.losses {
            for bursty in [false, true] {
                if loss > 0 || !bursty {
                    links.push(Link { loss, bursty, jitter_ms });
                }
            }
        }
    }
    links
}

fn table(points: &[Point]) {
    println!("\n| jitter ms | loss % | PESQ, ours | {} | delay ms, ours | {} |", PEERS.join(" | "), PEERS[0]);
    println!("|---|---|---|{}---|---|", "---|".repeat(PEERS.len()));
    for Point { link, ours, theirs, .. } in points {
        let bursts = if link.bursty { " in bursts" } else { "" };
        let others: String = (0..PEERS.len())
            .map(|peer| theirs.get(peer).map_or_else(|| " |".into(), |score| format!(" {:.2} |", score.pesq)))
            .collect();
        let delays: String = theirs.iter().take(1).map(|score| format!(" {:.0} |", score.delay_ms)).collect();
        println!(
            "| {} | {}{bursts} | {:.2} |{others} {:.0} |{delays}",
            link.jitter_ms, link.loss, ours.pesq, ours.delay_ms
        );
    }
}
