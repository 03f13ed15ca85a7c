//! `offhook bench bargein`: who may talk over the agent, and how soon does it give way or go on?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use media::Returns;
use media::wav::{self, Wav};
use serde_json::{Value, json};

use super::super::rehearsal::{Rehearsal, Seen, stop_at_signal};
use super::prompts::prompts;
use super::{Spread, instant, load, noises, turn};
use crate::config::Config;
use crate::phone::{Clip, Line, Script, Settings, Step, Stop};

/// Voices and noises over the agent, at the caller's ear
///
/// A gateway is started and called on loopback, G.711 both ways; its brain answers at once and at length. Coughs, noises and nods are laid over
/// what it says, and then somebody interrupts it, again and again at other times; on some of the lines its own voice comes back. The times
/// are taken from the phone's recording: from the first voiced sample that the phone said to the last that it heard of the agent.
#[derive(Args, Debug)]
pub(super) struct BargeinArgs {
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", default_value = "config/demo.toml")]
    config: PathBuf,
    /// How many calls are held: each has 4 interruptions and 12 other sounds
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
    /// Keep the phone's recordings in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// What the agent says, whatever it is asked: for longer than any round lasts, and without long pauses.
const SPEECH: &str = "The river begins as a small stream high in the mountains and runs down through a forest of old trees. \
    After some miles it meets a second stream that comes from a lake and together they turn to the south. \
    There the valley becomes wider and farmers have built their houses along the water for hundreds of years. \
    They grow apples and pears and in the spring the whole valley is white with their flowers. \
    Then the river passes a town with a stone bridge and a market where people sell bread and honey. \
    Behind the town it becomes slow and broad and boats with red sails go up and down with the wind. \
    In the evening the fishermen come home and hang their nets on the wooden fence beside the harbor. \
    At last the water reaches the sea and nobody can say any more where the one ends and the other begins.";

/// Not "mm-hm": the starter voice spells it.
const NODS: [&str; 6] = ["Yes.", "Yeah.", "Okay.", "Uh-huh.", "Right.", "I see."];
const SHORT: [&str; 4] = ["No, wait.", "Stop, please.", "Excuse me, one question.", "Hold on a second."];
/// Of each call: rounds that end with an interruption, and sounds before it.
const ROUNDS: u32 = 4;
const SOUNDS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Interruption,
    Cough,
    Noise,
    Nod,
    /// Nothing but the agent's own voice.
    Echo,
}

/// A sound of the caller's.
struct Laid {
    kind: Kind,
    line: Line,
    /// Silence before it.
    wait: Duration,
}

/// What the agent did about it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    /// It said nothing at that moment.
    Idle,
    /// It was silent after this time, and stayed so.
    GaveWay(u64),
    /// It spoke on.
    SpokeOn,
    /// It was silent for so long and went on.
    WentOn(u64),
    /// It took a noise for an interruption.
    Fooled,
    /// It was never heard again.
    Stuck,
}

pub(super) async fn run(args: BargeinArgs) -> anyhow::Result<ExitCode> {
    let before = load();
    let stop = Stop::new();
    tokio::spawn(stop_at_signal(stop.clone()));
    let brain = instant::Instant::saying(SPEECH).await?;
    let config = long_winded(&turn::variant(&args.config, Some(&format!("http://{}/", brain.address)))?)?;
    let folder =
        Config::load(&config).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?.data.join("bargein");
    std::fs::create_dir_all(&folder)?;
    let laid: Vec<Vec<Laid>> = (0..args.calls).map(|call| laid(call, &folder)).collect::<Result<_, _>>()?;
    let scripts: Vec<Script> = laid.iter().map(|laid| script(laid)).collect();
    let all: Vec<&Script> = scripts.iter().collect();
    eprintln!("starting a gateway with a brain that answers at once and at length");
    let (rehearsal, clips) = Rehearsal::start(&config, &all, &stop, |_| {}).await?;
    let mut outcomes: Vec<(Kind, Outcome)> = Vec::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (call, ((laid, script), clips)) in laid.iter().zip(&scripts).zip(clips).enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let record = args.keep.as_ref().unwrap_or(&folder).join(format!("call-{call}.wav"));
        let echo = echo(call);
        let settings = Settings { record: Some(record.clone()), echo, ..Settings::default() };
        let mut disputes = Vec::new();
        rehearsal
            .call_as(settings, script, clips.clone(), &stop, |seen| {
                if let Seen::Gateway(event) = seen {
                    disputes.extend(disputes_of(event));
                }
            })
            .await?;
        for dispute in &disputes {
            *reasons.entry(format!("{} by {}", dispute.verdict, dispute.because)).or_default() += 1;
        }
        let found = judge(&Sides::read(&record)?, laid, &clips, &disputes, echo.is_some());
        eprintln!("call {} of {}: {found:?}", call + 1, args.calls);
        outcomes.extend(found);
    }
    rehearsal.stop().await?;
    if stop.is_cancelled() {
        bail!("stopped");
    }
    report(&outcomes, &reasons, &before)
}

/// The agent's greeting is as long as its answers.
fn long_winded(file: &Path) -> anyhow::Result<PathBuf> {
    let mut table: toml::Table = std::fs::read_to_string(file)?.parse()?;
    let agents = table.get_mut("agent").and_then(toml::Value::as_array_mut).context("there is no agent")?;
    for agent in agents.iter_mut().filter_map(toml::Value::as_table_mut) {
        agent.insert("first_message".into(), SPEECH.into());
        // Nobody else shall use the machine.
        agent.insert("report".into(), false.into());
    }
    let copy = file.with_file_name("bargein.toml");
    std::fs::write(&copy, toml::to_string(&table)?)?;
    Ok(copy)
}

/// Every third line returns what the agent says, 20 dB below, after 60 to 300 ms.
fn echo(call: usize) -> Option<Returns> {
    let delay = Duration::from_millis([60, 180, 300][call / 3 % 3]);
    (call % 3 == 2).then_some(Returns { delay, loss: 20.0 })
}

/// What is laid over the agent in a call.
fn laid(call: u32, folder: &Path) -> anyhow::Result<Vec<Laid>> {
    let spoken: Vec<_> =
        prompts()?.into_iter().filter(|prompt| prompt.duration.as_millis() < 4_500).collect();
    let write = |name: &str, samples: Vec<i16>| -> anyhow::Result<Line> {
        let path = folder.join(format!("{name}.wav"));
        wav::write(&path, &Wav { rate: noises::RATE, channels: 1, samples })?;
        Ok(Line::File(path))
    };
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let n = call * ROUNDS + round;
        for sound in 0..SOUNDS {
            let m = n * SOUNDS + sound;
            let (kind, line) = match (n + sound) % 3 {
                0 => (Kind::Cough, write(&format!("cough-{m}"), noises::cough(u64::from(m)))?),
                1 => {
                    let (name, samples) = noises::noise(u64::from(m / 3));
                    (Kind::Noise, write(&format!("{name}-{m}"), samples)?)
                }
                _ => (Kind::Nod, Line::Text(NODS[m as usize / 3 % NODS.len()].into())),
            };
            all.push(Laid { kind, line, wait: Duration::from_millis(2_600 + u64::from(m * 337 % 1_300)) });
        }
        // A person's sentence, and every third time a few words.
        let line = match n % 3 {
            2 => Line::Text(SHORT[n as usize / 3 % SHORT.len()].into()),
            _ => Line::File(spoken[n as usize * 7 % spoken.len()].path.clone()),
        };
        let wait = Duration::from_millis(2_300 + u64::from(n * 419 % 1_700));
        all.push(Laid { kind: Kind::Interruption, line, wait });
    }
    Ok(all)
}

fn script(laid: &[Laid]) -> Script {
    let mut steps = Vec::new();
    let mut interrupted = false;
    for laid in laid {
        // After an interruption the answer must begin first.
        let more = if interrupted { Duration::from_millis(2_500) } else { Duration::ZERO };
        interrupted = laid.kind == Kind::Interruption;
        steps.extend([Step::Wait(laid.wait + more), Step::Speak(laid.line.clone())]);
    }
    steps.extend([Step::Wait(Duration::from_millis(5_000)), Step::Hangup]);
    Script { steps }
}

struct Dispute {
    onset_ms: u64,
    paused_ms: u64,
    verdict: String,
    because: String,
}

fn disputes_of(event: &Value) -> Vec<Dispute> {
    let disputes =
        event["data"]["explanation"]["disputes"].as_array().filter(|_| event["type"] == "call.turn");
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let dispute = |dispute: &Value| Dispute {
        onset_ms: dispute["onset_ms"].as_u64().unwrap_or(0),
        paused_ms: dispute["paused_ms"].as_u64().unwrap_or(0),
        verdict: text(&dispute["verdict"]),
        because: text(&dispute["because"]),
    };
    disputes.into_iter().flatten().map(dispute).collect()
}

/// The phone's recording, a loudness for each ms.
struct Sides {
    agent: Vec<bool>,
    caller: Vec<bool>,
}

/// Louder than this is voiced.
const THRESHOLD: u16 = 260;
/// A silence that is no pause between two words.
const SILENT: usize = 450;
/// Who says nothing for so long after a sound has lost the thread; in ms.
const PATIENCE: usize = 4_500;
/// In the recording and in the gateway's own times the same moment may differ by so much.
const SLACK: u64 = 250;

impl Sides {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let wav = wav::read(path)?;
        let side = |channel| {
            let samples = wav.channel(channel);
            samples.chunks(8).map(|ms| ms.iter().any(|s| s.unsigned_abs() > THRESHOLD)).collect()
        };
        Ok(Self { agent: side(0), caller: side(1) })
    }

    /// From the end of the agent's last sound at or after `from` that is followed by such a silence, to its end.
    fn silence(&self, from: usize, least: usize) -> Option<(usize, usize)> {
        let mut at = from;
        loop {
            let began = at + self.agent.get(at..)?.iter().position(|loud| !loud)?;
            let until = self.agent[began..].iter().position(|loud| *loud).map(|n| began + n);
            match until {
                Some(until) if until - began < least => at = until,
                _ => return Some((began, until.unwrap_or(usize::MAX))),
            }
        }
    }

    fn speaks(&self, from: usize, to: usize) -> bool {
        self.agent.get(from..to.min(self.agent.len())).is_some_and(|ms| ms.contains(&true))
    }
}

/// Finds each sound in the recording, and what the agent did about it.
fn judge(
    sides: &Sides,
    laid: &[Laid],
    clips: &[Clip],
    disputes: &[Dispute],
    has_echo: bool,
) -> Vec<(Kind, Outcome)> {
    let mut outcomes = Vec::new();
    let mut places = Vec::new();
    let mut at = 0;
    for clip in clips {
        let Some(began) = sides.caller.get(at..).and_then(|rest| rest.iter().position(|loud| *loud)) else {
            break;
        };
        let began = at + began;
        let voiced = clip.duration().saturating_sub(clip.lead + clip.trail).as_millis() as usize;
        places.push((began, began + voiced));
        at = began + voiced + 300;
    }
    let mut explained = vec![false; disputes.len()];
    for (laid, &(began, ended)) in laid.iter().zip(&places) {
        let of_it = |dispute: &Dispute| {
            dispute.onset_ms + SLACK > began as u64 && dispute.onset_ms < ended as u64 + SLACK + 200
        };
        let mut own = Vec::new();
        for (dispute, explained) in disputes.iter().zip(&mut explained).filter(|(d, _)| of_it(d)) {
            *explained = true;
            own.push(dispute);
        }
        let outcome = if !sides.speaks(began.saturating_sub(150), began + 20) {
            Outcome::Idle
        } else if sides.agent.len() >= ended + PATIENCE && !sides.speaks(ended + 20, ended + PATIENCE) {
            Outcome::Stuck
        } else if laid.kind == Kind::Interruption {
            match sides.silence(began, SILENT) {
                Some((silent, until)) if silent < began + 1_500 && until > ended => {
                    Outcome::GaveWay((silent - began) as u64)
                }
                _ => Outcome::SpokeOn,
            }
        } else {
            went_on(sides, &own)
        };
        outcomes.push((laid.kind, outcome));
        if has_echo && laid.kind == Kind::Interruption {
            // The round before it, in which the agent heard itself whenever nobody else was heard.
            outcomes.push((Kind::Echo, Outcome::SpokeOn));
        }
    }
    if has_echo {
        let unexplained = disputes.iter().zip(explained).filter(|(_, explained)| !explained);
        for ((dispute, _), (_, outcome)) in
            unexplained.zip(outcomes.iter_mut().filter(|(kind, _)| *kind == Kind::Echo))
        {
            *outcome = went_on(sides, &[dispute]);
        }
    }
    outcomes
}

/// After what was no interruption: the longest silence of all its disputes.
fn went_on(sides: &Sides, disputes: &[&Dispute]) -> Outcome {
    if disputes.iter().any(|dispute| dispute.verdict != "resumed") {
        return Outcome::Fooled;
    }
    let silences = disputes.iter().filter_map(|dispute| {
        // The longest that begins about then: between two words it may have been silent just before.
        let paused = dispute.paused_ms as usize;
        let mut at = paused.saturating_sub(100);
        let mut longest = None;
        while let Some((began, until)) = sides.silence(at, 60)
            && began < paused + 350
            && until != usize::MAX
        {
            longest = longest.max(Some(until - began));
            at = until;
        }
        longest
    });
    silences.max().map_or(Outcome::SpokeOn, |silence| Outcome::WentOn(silence as u64))
}

fn report(
    outcomes: &[(Kind, Outcome)],
    reasons: &BTreeMap<String, usize>,
    before: &str,
) -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; G.711 over loopback; load average before {before}, after {}", load());
    println!(
        "interruptions: two of three a recorded person's, else synthesized; nods synthesized; coughs and noises of shaped noise"
    );
    let is = |kind: Kind| outcomes.iter().filter(move |(k, outcome)| *k == kind && *outcome != Outcome::Idle);
    println!(
        "{:14} {:>4} {:>8} {:>8} {:>7} {:>7} {:>7}",
        "", "n", "spoke on", "went on", "fooled", "p50", "p95"
    );
    let (mut stopped, mut resumed) = (0, Vec::new());
    for kind in [Kind::Cough, Kind::Noise, Kind::Nod, Kind::Echo] {
        let times: Vec<u64> = is(kind)
            .filter_map(|(_, o)| if let Outcome::WentOn(ms) = o { Some(*ms) } else { None })
            .collect();
        let count = |wanted: Outcome| is(kind).filter(|(_, outcome)| *outcome == wanted).count();
        let fooled = count(Outcome::Fooled);
        stopped += fooled + times.len() + count(Outcome::Stuck);
        let spread = Spread::of(times.clone());
        let (n, spoke_on) = (is(kind).count(), count(Outcome::SpokeOn));
        println!(
            "{:14} {n:>4} {spoke_on:>8} {:>8} {fooled:>7} {:>7} {:>7}",
            format!("{kind:?}").to_lowercase(),
            times.len(),
            spread.p50,
            spread.p95
        );
        resumed.extend(times);
    }
    let real: Vec<Outcome> = is(Kind::Interruption).map(|(_, outcome)| *outcome).collect();
    let stops: Vec<u64> =
        real.iter().filter_map(|o| if let Outcome::GaveWay(ms) = o { Some(*ms) } else { None }).collect();
    let missed = real.len() - stops.len();
    let stop = Spread::of(stops);
    println!(
        "interruptions: {}, missed {missed}; silent after p50 {} p95 {} max {} ms",
        real.len(),
        stop.p50,
        stop.p95,
        stop.max
    );
    for (reason, n) in reasons {
        println!("  {n:>4} {reason}");
    }
    let stuck = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Stuck).count();
    let idle = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Idle).count();
    let percent = |part: usize, whole: usize| (part as f64 * 1000.0 / whole.max(1) as f64).round() / 10.0;
    let resume = Spread::of(resumed.clone());
    println!(
        "{}",
        json!({
            "bench": "bargein", "n": outcomes.len() - idle, "stop_p95_ms": stop.p95,
            "resume_pct": if stopped == 0 { 100.0 } else { percent(resumed.len(), stopped) },
            "resume_p95_ms": resume.p95, "missed_pct": percent(missed, real.len()), "stuck": stuck,
        })
    );
    if real.is_empty() {
        bail!("nobody interrupted anybody");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(agent: &[(bool, usize)], caller: &[(bool, usize)]) -> Sides {
        let ms = |parts: &[(bool, usize)]| parts.iter().flat_map(|&(loud, n)| vec![loud; n]).collect();
        Sides { agent: ms(agent), caller: ms(caller) }
    }

    fn clip(ms: usize) -> Clip {
        Clip::new("", 1_000, vec![1_000; ms])
    }

    fn one(kind: Kind) -> Vec<Laid> {
        vec![Laid { kind, line: Line::Text(String::new()), wait: Duration::ZERO }]
    }

    fn dispute(onset_ms: u64, verdict: &str) -> Dispute {
        Dispute { onset_ms, paused_ms: onset_ms + 80, verdict: verdict.into(), because: String::new() }
    }

    #[test]
    fn an_interruption_is_heard_to_be_obeyed_or_not() {
        let caller = [(false, 2_000), (true, 1_000), (false, 4_000)];
        let obeyed = sides(&[(true, 2_140), (false, 1_800), (true, 3_060)], &caller);
        let judged = judge(&obeyed, &one(Kind::Interruption), &[clip(1_000)], &[], false);
        assert_eq!(judged, [(Kind::Interruption, Outcome::GaveWay(140))]);
        let ignored = sides(&[(true, 7_000)], &caller);
        let judged = judge(&ignored, &one(Kind::Interruption), &[clip(1_000)], &[], false);
        assert_eq!(judged, [(Kind::Interruption, Outcome::SpokeOn)]);
        let caller = [(false, 2_000), (true, 1_000), (false, 5_000)];
        let stuck = sides(&[(true, 2_140), (false, 5_860)], &caller);
        let judged = judge(&stuck, &one(Kind::Interruption), &[clip(1_000)], &[], false);
        assert_eq!(judged, [(Kind::Interruption, Outcome::Stuck)]);
    }

    #[test]
    fn a_cough_is_followed_by_the_rest() {
        let caller = [(false, 2_000), (true, 300), (false, 4_000)];
        let paused = sides(&[(true, 2_120), (false, 700), (true, 3_480)], &caller);
        let of = |disputes: &[Dispute]| judge(&paused, &one(Kind::Cough), &[clip(300)], disputes, false)[0].1;
        assert_eq!(of(&[dispute(2_010, "resumed")]), Outcome::WentOn(700));
        assert_eq!(of(&[dispute(2_010, "interrupted")]), Outcome::Fooled);
        assert_eq!(of(&[]), Outcome::SpokeOn, "a pause of its own");
    }

    #[test]
    fn who_is_fooled_by_the_own_voice_is_found_out() {
        let caller = [(false, 2_000), (true, 1_000), (false, 4_000)];
        let sides =
            sides(&[(true, 1_000), (false, 400), (true, 740), (false, 1_800), (true, 3_060)], &caller);
        let interruption = one(Kind::Interruption);
        let disputes = [dispute(920, "resumed"), dispute(2_020, "interrupted")];
        let judged = judge(&sides, &interruption, &[clip(1_000)], &disputes, true);
        assert_eq!(judged, [(Kind::Interruption, Outcome::GaveWay(140)), (Kind::Echo, Outcome::WentOn(400))]);
    }
}
