//! `offhook bench turn`: how long does a caller wait, and is the caller let finish?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use serde_json::json;

use super::super::rehearsal::{Rehearsal, Turn, stop_at_signal};
use super::instant;
use super::prompts::{Prompt, prompts};
use super::wer::{Words, offline};
use super::{Spread, load};
use crate::config::Config;
use crate::phone::{Clip, Exchange, Line, Script, Settings, Step, Stop};

/// Voice to voice, at the caller's ear
///
/// A gateway is started and called on loopback, G.711 both ways. A turn is measured from the last voiced sample
/// that the phone sent to the first voiced sample that it received, jitter buffers on both sides included. Half of what
/// callers say are recordings of a person, half are synthesized questions.
#[derive(Args, Debug)]
pub(super) struct TurnArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", default_value = "config/demo.toml")]
    config: PathBuf,
    /// How many turns are measured, of one call at a time, with the configured brain and with the instant one
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Turns of each call where several are held at once
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10))]
    per_call: u32,
    /// What is measured
    #[arg(long, value_name = "PART", value_delimiter = ',', default_values_t = [Part::Brain, Part::Crowd, Part::Instant, Part::Words])]
    parts: Vec<Part>,
    /// Writes what callers say as WAV files into this folder, and ends
    #[arg(long, value_name = "FOLDER")]
    write_lines: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// One call at a time, with the configured brain
    Brain,
    /// Two and four at once
    Crowd,
    /// One at a time, with a webhook that answers at once: the machine's own share
    Instant,
    /// How well the recordings are understood, in calls and by the same ear offline
    Words,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Brain => "brain",
            Part::Crowd => "crowd",
            Part::Instant => "instant",
            Part::Words => "words",
        })
    }
}

/// What callers ask. `config/demo.toml` knows some of the answers; to the measurement they do not matter.
const QUESTIONS: [&str; 20] = [
    "What time do you open on Saturday?",
    "How much does a cleaning cost?",
    "Where is your office?",
    "Do you take new patients?",
    "Can I park my car somewhere near you?",
    "I have a bad toothache, what should I do?",
    "What is the name of the dentist?",
    "Are you open on Sunday morning?",
    "Can I pay with a credit card?",
    "How long does a first visit take?",
    "I would like to make an appointment for my daughter.",
    "Could you tell me whether the building has an elevator?",
    "My tooth broke yesterday evening while I was eating.",
    "Do you have anything free next Tuesday afternoon?",
    "I need to move my appointment to another day.",
    "Is there a bus stop close to your office?",
    "Does it hurt?",
    "Please tell me your address again.",
    "What should I bring when I come for the first time?",
    "Thank you, that was all I wanted to know today.",
];
/// A silence that a caller would call long.
const LATE: u64 = 1200;
/// Recordings of people are taken from this range.
const SHORTEST: Duration = Duration::from_millis(1500);
const LONGEST: Duration = Duration::from_millis(6000);

/// One exchange, from both sides.
struct Sample {
    recorded: bool,
    exchange: Exchange,
    turn: Turn,
}

/// What one way of calling gave.
struct Measured {
    samples: Vec<Sample>,
    /// Of one core.
    cpu: f64,
}

pub(super) async fn run(args: TurnArgs) -> anyhow::Result<ExitCode> {
    let recorded: Vec<Prompt> =
        prompts()?.into_iter().filter(|p| (SHORTEST..=LONGEST).contains(&p.duration)).collect();
    let lines = lines(&recorded, args.turns as usize);
    let stop = Stop::new();
    tokio::spawn(stop_at_signal(stop.clone()));
    let before = load();
    let is_wanted = |part| args.parts.contains(&part);
    let mut measured: BTreeMap<&str, Measured> = BTreeMap::new();
    let scripts: Vec<Script> = lines.chunks(args.per_call as usize).map(script).collect();
    let all: Vec<&Script> = scripts.iter().collect();
    let mut engines = None;

    if args.write_lines.is_some() || is_wanted(Part::Brain) || is_wanted(Part::Crowd) {
        eprintln!("starting a gateway with {}", args.config.display());
        let (rehearsal, clips) = Rehearsal::start(&variant(&args.config, None)?, &all, &stop, |_| {}).await?;
        let clips = named(clips, &scripts, &recorded);
        if let Some(folder) = &args.write_lines {
            rehearsal.stop().await?;
            return write(folder, clips.iter().flatten());
        }
        engines = Some(rehearsal.ear.clone());
        let calls: Vec<_> = scripts.iter().zip(clips).collect();
        if is_wanted(Part::Brain) {
            measured.insert("brain", hold(&rehearsal, "the brain", &calls, 1, &stop).await?);
        }
        for (name, at_once) in [("two", 2), ("four", 4)] {
            if is_wanted(Part::Crowd) && !stop.is_cancelled() {
                let some = &calls[..calls.len().min(4)];
                measured.insert(name, hold(&rehearsal, name, some, at_once, &stop).await?);
            }
        }
        rehearsal.stop().await?;
    }
    if is_wanted(Part::Instant) && !stop.is_cancelled() {
        let brain = instant::Instant::start().await?;
        let config = variant(&args.config, Some(&format!("http://{}/", brain.address)))?;
        eprintln!("starting a gateway with a brain that answers at once");
        let (rehearsal, clips) = Rehearsal::start(&config, &all, &stop, |_| {}).await?;
        engines.get_or_insert(rehearsal.ear.clone());
        let calls: Vec<_> = scripts.iter().zip(named(clips, &scripts, &recorded)).collect();
        measured.insert("instant", hold(&rehearsal, "the instant brain", &calls, 1, &stop).await?);
        rehearsal.stop().await?;
    }
    if stop.is_cancelled() {
        bail!("stopped");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; G.711 over loopback; load average before {before}, after {}", load());
    for (name, measured) in &measured {
        table(name, measured);
    }
    let words: Vec<&Measured> = ["brain", "instant"].iter().filter_map(|name| measured.get(name)).collect();
    let in_calls = words
        .iter()
        .flat_map(|m| &m.samples)
        .filter(|s| s.recorded)
        .fold(Words::default(), |words, sample| {
            words.and(sample.exchange.said.as_deref().unwrap_or_default(), &sample.turn.heard)
        });
    let by_itself = match engines.filter(|_| is_wanted(Part::Words)) {
        Some(ear) => {
            let used = recorded.iter().take(lines.len().div_ceil(2));
            Some(offline(&ear, used).await?)
        }
        None => None,
    };
    if let Some(offline) = &by_itself {
        println!(
            "words heard wrongly: {in_calls} in calls, {offline} by the same ear from the same µ-law sound offline"
        );
    }
    let spread = |name: &str| measured.get(name).map(|m| voice(&m.samples));
    let main = spread("brain").or(spread("instant")).context("no turns were measured")?;
    let whole = words.iter().flat_map(|m| &m.samples);
    let (n, early, late) = whole.fold((0, 0, 0), |(n, early, late), sample| {
        let is_late = sample.turn.waited_ms.is_some_and(|waited| waited >= LATE);
        (n + 1, early + usize::from(sample.exchange.is_cut_in()), late + usize::from(is_late))
    });
    let unanswered = measured.values().flat_map(|m| &m.samples).filter(|s| is_unanswered(s)).count();
    println!(
        "{}",
        json!({
            "bench": "turn", "n": main.n, "p50_ms": main.p50, "p95_ms": main.p95, "p99_ms": main.p99,
            "instant_p50_ms": spread("instant").map(|s| s.p50), "instant_p95_ms": spread("instant").map(|s| s.p95),
            "two_p50_ms": spread("two").map(|s| s.p50), "two_p95_ms": spread("two").map(|s| s.p95),
            "four_p50_ms": spread("four").map(|s| s.p50), "four_p95_ms": spread("four").map(|s| s.p95),
            "early_cut_pct": percent(early, n), "late_end_pct": percent(late, n), "unanswered": unanswered,
            "wer_pct": in_calls.percent(), "wer_offline_pct": by_itself.map(|words| words.percent()),
        })
    );
    if unanswered > 0 {
        bail!("{unanswered} turns were not answered");
    }
    Ok(ExitCode::SUCCESS)
}

/// A recording and a question by turns.
fn lines(recorded: &[Prompt], wanted: usize) -> Vec<Line> {
    let spoken = recorded.iter().map(|prompt| Line::File(prompt.path.clone())).cycle();
    let asked = QUESTIONS.iter().map(|text| Line::Text((*text).to_owned())).cycle();
    spoken.zip(asked).flat_map(|(spoken, asked)| [spoken, asked]).take(wanted).collect()
}

fn script(lines: &[Line]) -> Script {
    let listen = "listen".parse::<Step>().expect("listen is a step");
    let turns = lines.iter().flat_map(|line| [Step::Speak(line.clone()), listen.clone()]);
    Script { steps: std::iter::once(listen.clone()).chain(turns).collect() }
}

/// Clips under their words, where they were read from files.
fn named(mut clips: Vec<Vec<Clip>>, scripts: &[Script], recorded: &[Prompt]) -> Vec<Vec<Clip>> {
    for (clips, script) in clips.iter_mut().zip(scripts) {
        for (clip, line) in clips.iter_mut().zip(script.lines()) {
            if let Line::File(path) = line
                && let Some(prompt) = recorded.iter().find(|prompt| prompt.path == *path)
            {
                clip.text.clone_from(&prompt.text);
            }
        }
    }
    clips
}

/// So that other pipelines can be asked the same (`make bench-compare`).
fn write<'a>(folder: &Path, clips: impl Iterator<Item = &'a Clip>) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut list = String::new();
    for (n, clip) in clips.enumerate() {
        let name = format!("{n:03}.wav");
        let wav = media::wav::Wav { rate: clip.rate, channels: 1, samples: clip.pcm.to_vec() };
        media::wav::write(folder.join(&name), &wav)?;
        list.push_str(&format!("{name}\t{}\n", clip.text));
    }
    std::fs::write(folder.join("lines.tsv"), list)?;
    Ok(ExitCode::SUCCESS)
}

/// The same configuration in a file beside its data: no reports, which the local model would write between the calls, and, where
/// one is given, another brain for all agents.
pub(super) fn variant(file: &Path, brain: Option<&str>) -> anyhow::Result<PathBuf> {
    let config =
        Config::load(file).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.to_string().trim_end()))?;
    let mut table: toml::Table = std::fs::read_to_string(file)?.parse()?;
    if let Some(url) = brain {
        let mut brain = toml::Table::new();
        brain.insert("name".into(), "instant".into());
        brain.insert("url".into(), url.into());
        table.insert("brain".into(), toml::Value::Array(vec![brain.into()]));
    }
    let agents = table.get_mut("agent").and_then(toml::Value::as_array_mut).context("there is no agent")?;
    for agent in agents.iter_mut().filter_map(toml::Value::as_table_mut) {
        agent.insert("report".into(), false.into());
        // A call is to last as long as its script.
        agent.insert("end_call_phrases".into(), toml::Value::Array(Vec::new()));
        if brain.is_some() {
            agent.insert("brain".into(), "instant".into());
        }
    }
    std::fs::create_dir_all(&config.data)?;
    let copy = config.data.join("bench.toml");
    std::fs::write(&copy, toml::to_string(&table)?)?;
    Ok(copy)
}

/// Holds these calls, so many at a time.
async fn hold(
    rehearsal: &Rehearsal,
    name: &str,
    calls: &[(&Script, Vec<Clip>)],
    at_once: usize,
    stop: &Stop,
) -> anyhow::Result<Measured> {
    let (began, cpu) = (Instant::now(), rehearsal.cpu());
    let mut samples = Vec::new();
    for (n, group) in calls.chunks(at_once).enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let held = join_all(group.iter().enumerate().map(|(n, (script, clips))| {
            let settings = Settings { user: format!("phone{n}"), ..Settings::default() };
            rehearsal.call_as(settings, script, clips.clone(), stop, |_| {})
        }));
        for (held, (script, _)) in held.await.into_iter().zip(group) {
            let held = held?;
            let exchanges = held.outcome.exchanges.into_iter().zip(held.turns).skip(1);
            let spoken = exchanges.zip(script.lines()).map(|((exchange, turn), line)| Sample {
                recorded: matches!(line, Line::File(_)),
                exchange,
                turn,
            });
            samples.extend(spoken);
        }
        eprintln!("{name}: {} of {} calls, {} turns", (n + 1) * group.len(), calls.len(), samples.len());
    }
    let cpu = rehearsal.cpu().saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    Ok(Measured { samples, cpu })
}

/// The caller finished, and heard nothing.
fn is_unanswered(sample: &Sample) -> bool {
    sample.exchange.voice_to_voice.is_none() && !sample.exchange.is_cut_in()
}

fn voice(samples: &[Sample]) -> Spread {
    Spread::of(samples.iter().filter_map(|s| Some(s.exchange.voice_to_voice?.as_millis() as u64)).collect())
}

fn percent(part: usize, whole: usize) -> f64 {
    (part as f64 * 1000.0 / whole.max(1) as f64).round() / 10.0
}

/// Prints the stages, and what went wrong.
fn table(name: &str, measured: &Measured) {
    let samples = &measured.samples;
    let stage = |of: &dyn Fn(&Sample) -> Option<u64>| Spread::of(samples.iter().filter_map(of).collect());
    let part = |recorded| {
        stage(&|s: &Sample| {
            Some(s.exchange.voice_to_voice.filter(|_| s.recorded == recorded)?.as_millis() as u64)
        })
    };
    let rows = [
        ("voice to voice", voice(samples)),
        ("  recorded", part(true)),
        ("  synthesized", part(false)),
        ("  waited", stage(&|s| s.turn.waited_ms)),
        ("  transcription", stage(&|s| s.turn.stt_ms)),
        ("  first token", stage(&|s| s.turn.llm_first_token_ms)),
        ("  first sound", stage(&|s| s.turn.tts_first_audio_ms)),
    ];
    println!("{name}: {} turns, {:.0} % of a core", samples.len(), measured.cpu * 100.0);
    println!("{:18} {:>5} {:>7} {:>7} {:>7} {:>7}", "ms", "n", "p50", "p95", "p99", "max");
    for (name, spread) in rows {
        let Spread { n, p50, p95, p99, max } = spread;
        println!("{name:18} {n:>5} {p50:>7} {p95:>7} {p99:>7} {max:>7}");
    }
    for sample in samples {
        let what = match () {
            () if sample.exchange.is_cut_in() => "cut in on",
            () if is_unanswered(sample) => "not answered",
            () if sample.turn.waited_ms.is_some_and(|waited| waited >= LATE) => "late after",
            () => continue,
        };
        let said = sample.exchange.said.as_deref().unwrap_or_default();
        println!("  {what}: {said:?}, heard as {:?}", sample.turn.heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_and_questions_take_turns() {
        let prompt = |n: u64| Prompt {
            text: format!("Sentence number {n}."),
            path: format!("{n}.wav").into(),
            duration: Duration::from_secs(n),
        };
        let lines = lines(&[prompt(2), prompt(3)], 5);
        let kinds: Vec<_> = lines.iter().map(|line| matches!(line, Line::File(_))).collect();
        assert_eq!(kinds, [true, false, true, false, true]);
        assert_eq!(script(&lines).lines().count(), 5);
    }

    #[test]
    fn another_brain_takes_the_place_of_the_configured_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("a.toml"), folder.path().join("data"));
        let text = format!("data = '{}'\n[[agent]]\nname = 'a'\nprompt = 'x'\n", data.display());
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&variant(&file, Some("http://127.0.0.1:1/")).unwrap()).unwrap();
        assert_eq!(config.brains[0].url, "http://127.0.0.1:1/");
        assert!(!config.thinks_here() && !config.agents[0].report);
    }
}
