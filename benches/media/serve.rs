//! The process that is measured: an engine, and behind each line a stub of an agent that speaks without end and takes every frame.
//!
//! It is told what to do by lines on its standard input, and answers each with one line:
//!
//! | order | answer |
//! |---|---|
//! | `open ADDRESS KIND RECORDED` | the number of the line and its port, or `refused` where the engine has no time for one more |
//! | `offer KIND` | the number of the line, and what it offers (SDP, with tabs for its ends of line), or `refused` |
//! | `answer KIND OFFER` | the number of the line, and its answer, or `refused` when there is no time for one more within 20 s |
//! | `accept NUMBER ANSWER` | `ok` |
//! | `close NUMBER` | the line's figures |
//! | `stats NUMBER` | the same, while it goes on |
//! | `engine` | the engine's figures |

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use media::net::{Engine, EngineConfig, Line, OpenError};
use media::sdp::{self, Capabilities, Codec, Direction, Encryption, LocalMedia, Negotiated};
use media::srtp::{KeySeed, Suite};
use media::wav::Recording;
use media::{Event, Mark, PlayChunk, SessionConfig, Stats};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::speech;

/// What a synthesizer gives.
const VOICE_RATE: u32 = 22_050;
/// A clause at a time, as a synthesizer does.
const CLAUSE: usize = VOICE_RATE as usize / 4;

/// Who talks when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Both sides without end: nobody really does, and nothing costs more.
    Both,
    /// They take turns of four seconds.
    Turns,
}

pub(crate) const REFUSED: &str = "refused";

pub(crate) const TURN: Duration = Duration::from_secs(4);

struct Call {
    line: Arc<Line>,
    tasks: [JoinHandle<()>; 2],
    capabilities: Capabilities,
}

pub(crate) fn run(first_port: u16, threads: usize, pattern: Pattern) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let engine = Engine::start(EngineConfig {
        ports: first_port..=first_port + 4_200,
        threads,
        ..EngineConfig::default()
    })?;
    // What is said waits before the line; all agents share it, so that it does not count as the calls'.
    let said: Arc<[Arc<[i16]>]> = media::resample::convert(&speech::person(), 8_000, VOICE_RATE)
        .chunks_exact(CLAUSE)
        .map(Arc::from)
        .collect();
    let folder = std::env::temp_dir().join(format!("offhook-bench-media-{}", std::process::id()));
    let mut calls: HashMap<u64, Call> = HashMap::new();
    // Where each agent begins to speak follows from its number. Those of two processes that call one another must not say the same at the same time:
    // each would hear its own words, and take them for its echo.
    let mut number = u64::from(first_port);
    // Tasks are spawned from here, too.
    let _guard = runtime.enter();
    let mut answers = std::io::stdout();
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        let words: Vec<&str> = order.split_whitespace().collect();
        let answer = match words[..] {
            ["open", address, kind, recorded] => {
                number += 1;
                let recording = (recorded == "recorded").then(|| folder.join(format!("{number}.wav")));
                let capabilities = capabilities_named(kind, number)?;
                let agreed = Negotiated::plain(capabilities.codecs[0], address.parse()?);
                match open(&engine, capabilities, recording, &said, number, pattern)? {
                    None => REFUSED.to_owned(),
                    Some(call) => {
                        runtime.block_on(call.line.configure(agreed))?;
                        let port = call.line.local_port();
                        calls.insert(number, call);
                        format!("{number} {port}")
                    }
                }
            }
            ["offer", kind] => {
                number += 1;
                match open(&engine, capabilities_named(kind, number)?, None, &said, number, pattern)? {
                    None => REFUSED.to_owned(),
                    Some(call) => {
                        let offer = sdp::offer(&call.capabilities, &here(&call.line), Direction::SendRecv);
                        calls.insert(number, call);
                        format!("{number} {}", in_one_line(&offer))
                    }
                }
            }
            ["answer", kind, ..] => {
                number += 1;
                let until = Instant::now() + Duration::from_secs(20);
                let call = loop {
                    match open(&engine, capabilities_named(kind, number)?, None, &said, number, pattern)? {
                        None if Instant::now() < until => std::thread::sleep(Duration::from_millis(100)),
                        other => break other,
                    }
                };
                let Some(call) = call else {
                    writeln!(answers, "{REFUSED}")?;
                    answers.flush()?;
                    continue;
                };
                let (answer, agreed) = sdp::answer(&sdp_in(&order), &call.capabilities, &here(&call.line))?;
                runtime.block_on(call.line.configure(agreed))?;
                calls.insert(number, call);
                format!("{number} {}", in_one_line(&answer))
            }
            ["accept", which, ..] => {
                let call = calls.get(&which.parse()?).ok_or("no such call")?;
                runtime.block_on(call.line.configure(sdp::accept(&sdp_in(&order), &call.capabilities)?))?;
                "ok".to_owned()
            }
            ["stats", which] => {
                let call = calls.get(&which.parse()?).ok_or("no such call")?;
                line_figures(&runtime.block_on(call.line.stats())?)
            }
            ["close", which] => {
                let call = calls.remove(&which.parse()?).ok_or("no such call")?;
                line_figures(&runtime.block_on(close(call)))
            }
            ["engine"] => {
                let stats = engine.stats();
                format!(
                    "sessions {} load {} late {} skipped {} longest_us {} send_errors {} panics {}",
                    stats.sessions,
                    stats.load,
                    stats.late_ticks,
                    stats.skipped_ticks,
                    stats.longest_tick_us,
                    stats.send_errors,
                    stats.panics
                )
            }
            _ => return Err(format!("{order}? There is no such order.").into()),
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    drop(calls);
    engine.shutdown();
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

fn capabilities_named(kind: &str, number: u64) -> Result<Capabilities, String> {
    let plain = Capabilities { codecs: vec![Codec::Pcmu], rtcp_mux: false, ..Capabilities::default() };
    match kind {
        "pcmu" => Ok(plain),
        "g722" => Ok(Capabilities { codecs: vec![Codec::G722], ..plain }),
        "opus" => Ok(Capabilities { codecs: vec![Codec::Opus], ..plain }),
        "srtp" => {
            let mut seed = [0x5a; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            seed[8..12].copy_from_slice(&std::process::id().to_le_bytes());
            let encryption = Encryption::on(true, Suite::ALL.to_vec(), KeySeed::new(seed));
            Ok(Capabilities { encryption, ..plain })
        }
        other => Err(format!("{other}? There is no such kind of call.")),
    }
}

fn here(line: &Line) -> LocalMedia {
    LocalMedia { ip: [127, 0, 0, 1].into(), port: line.local_port(), session_id: 1, version: 1 }
}

fn in_one_line(sdp: &[u8]) -> String {
    String::from_utf8_lossy(sdp).replace("\r\n", "\t")
}

/// From the third word of an order on.
fn sdp_in(order: &str) -> Vec<u8> {
    order.splitn(3, ' ').nth(2).unwrap_or_default().replace('\t', "\r\n").into_bytes()
}

/// `None`: refused.
fn open(
    engine: &Engine,
    capabilities: Capabilities,
    recording: Option<PathBuf>,
    said: &Arc<[Arc<[i16]>]>,
    number: u64,
    pattern: Pattern,
) -> Result<Option<Call>, Box<dyn Error>> {
    let recording = match recording {
        Some(path) => {
            std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
            Some(Recording { path })
        }
        None => None,
    };
    let config = SessionConfig { ssrc_seed: number, ..SessionConfig::default() };
    let (line, events) = match engine.open(config, recording) {
        Err(OpenError::Overloaded(_)) => return Ok(None),
        other => other?,
    };
    let line = Arc::new(line);
    let played = Arc::new((AtomicU64::new(0), Notify::new()));
    let ears = tokio::spawn(listen(events, Arc::clone(&played)));
    let mouth = tokio::spawn(speak(Arc::clone(&line), Arc::clone(said), number, pattern, played));
    Ok(Some(Call { line, tasks: [ears, mouth], capabilities }))
}

async fn close(call: Call) -> Stats {
    for task in call.tasks {
        task.abort();
        // Aborted, which is what we wanted.
        let _ = task.await;
    }
    match Arc::try_unwrap(call.line) {
        Ok(line) => line.close().await,
        Err(line) => line.stats().await.unwrap_or_default(),
    }
}

/// Every frame is taken.
async fn listen(mut events: mpsc::Receiver<Event>, played: Arc<(AtomicU64, Notify)>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Frame { pcm, .. } => {
                std::hint::black_box(&pcm);
            }
            Event::Played { .. } => {
                played.0.fetch_add(1, Ordering::Relaxed);
                played.1.notify_one();
            }
            _ => {}
        }
    }
}

/// Sentences of four seconds, in clauses; the next when the last has been heard, so that as much waits as in a real turn.
async fn speak(
    line: Arc<Line>,
    said: Arc<[Arc<[i16]>]>,
    number: u64,
    pattern: Pattern,
    played: Arc<(AtomicU64, Notify)>,
) {
    let sentence = TURN.as_secs() as usize * VOICE_RATE as usize / CLAUSE;
    let mut at = number as usize * 7_919;
    for mark in 0.. {
        if pattern == Pattern::Turns || mark == 0 {
            // Not all at once.
            let wait = if mark == 0 { Duration::from_millis(number * 37 % 4_000) } else { TURN };
            tokio::time::sleep(wait).await;
        }
        let end = at + sentence;
        while at < end {
            let pcm = Arc::clone(&said[at % said.len()]);
            at += 1;
            let chunk = PlayChunk { mark: Mark(mark), rate: VOICE_RATE, pcm, last: at >= end };
            if line.play(chunk).await.is_err() {
                return;
            }
        }
        // Without end means without a gap: the next sentence is given while this one is being said.
        let wanted = if pattern == Pattern::Both { mark } else { mark + 1 };
        while played.0.load(Ordering::Relaxed) < wanted {
            played.1.notified().await;
        }
    }
}

fn line_figures(stats: &Stats) -> String {
    format!(
        "received {} sent {} lost {} late {} concealed {} overflow {} dropped {} events_lost {} gaps {} frames {}",
        stats.received,
        stats.sent,
        stats.lost,
        stats.late,
        stats.concealed_frames,
        stats.overflow,
        stats.frames_dropped,
        stats.events_lost,
        stats.recording_gaps,
        stats.frames
    )
}
