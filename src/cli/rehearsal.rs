//! A gateway and a phone that calls it, on loopback: what the demo and the benchmark are made of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::child::Child;
use super::gateway::Gateway;
use super::local::{self, EarArgs, Folders, VoiceArgs};
use crate::config::Config;
use crate::domain::Event;
use crate::phone::{Clip, Exchange, Line, Outcome, Phone, Script, Settings, Stamped, Stop, clip, wer};
use crate::store::recording_file;

/// What was seen, on either side, while a call went on.
pub(super) enum Seen<'a> {
    Phone(&'a Stamped),
    Gateway(&'a Value),
}

pub(super) struct Rehearsal {
    pub(super) config: Config,
    /// The gateway's own ear, to check what it says.
    pub(super) ear: EarArgs,
    child: Child,
    gateway: Gateway,
    target: sip::Uri,
}

/// A call that is over.
pub(super) struct Held {
    pub(super) outcome: Outcome,
    /// One for each line that the phone said, in order.
    pub(super) turns: Vec<Turn>,
    /// The gateway's own recording.
    pub(super) recording: Option<PathBuf>,
}

/// One exchange as the gateway reports it; where it took several of its turns, together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turn {
    pub(super) heard: String,
    pub(super) said: String,
    pub(super) interrupted: bool,
    pub(super) stt_ms: Option<u64>,
    pub(super) llm_first_token_ms: Option<u64>,
    pub(super) tts_first_audio_ms: Option<u64>,
    /// The silence that the gateway waited for before it took the floor.
    pub(super) waited_ms: Option<u64>,
}

/// A busy machine may pause between two clauses. A caller who took that for the end would interrupt.
const PATIENCE: Duration = Duration::from_millis(1200);
/// For the events that follow a hang-up.
const LAST_EVENTS: Duration = Duration::from_secs(15);

impl Rehearsal {
    /// Starts a gateway with this configuration and, while it loads, makes the lines of the scripts ready.
    ///
    /// Where a port is taken, a free one is used instead.
    pub(super) async fn start(
        file: &Path,
        scripts: &[&Script],
        stop: &Stop,
        tick: impl FnMut(Duration),
    ) -> anyhow::Result<(Rehearsal, Vec<Vec<Clip>>)> {
        let config =
            Config::load(file).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.to_string().trim_end()))?;
        let (config, file) = on_free_ports(config, file)?;
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("cannot make the folder {}", config.data.display()))?;
        let engines = &config.engines;
        let folders = Folders { engines: engines.folder.clone(), models: engines.models.clone() };
        let voice = VoiceArgs { voice: engines.tts.clone(), folders: folders.clone() };
        let ear = EarArgs { ear: engines.stt.clone(), folders };
        let target = target(&config)?;
        let url = format!("http://{}", reachable(config.http.listen));
        let mut child = Child::start(&file, &config.data.join("gateway.log"))?;
        let key = config.data.join("admin.key");
        let ready = tokio::select! {
            ready = async { tokio::try_join!(child.ready(&url, &key, tick), clips(scripts, &voice)) } => ready,
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped")),
        };
        match ready {
            Ok((gateway, clips)) => Ok((Rehearsal { config, ear, child, gateway, target }, clips)),
            Err(error) => {
                child.stop().await.ok();
                Err(error)
            }
        }
    }

    /// Holds one call, and shows `see` what happens.
    pub(super) async fn call(
        &self,
        script: &Script,
        clips: Vec<Clip>,
        record: Option<PathBuf>,
        stop: &Stop,
        see: impl FnMut(Seen<'_>),
    ) -> anyhow::Result<Held> {
        let settings = Settings { record, display: Some("Demo caller".into()), ..Settings::default() };
        self.call_as(settings, script, clips, stop, see).await
    }

    /// As [`call`](Self::call), from a phone of its own: several such calls may be held at once, each under another user name.
    pub(super) async fn call_as(
        &self,
        mut settings: Settings,
        script: &Script,
        clips: Vec<Clip>,
        stop: &Stop,
        mut see: impl FnMut(Seen<'_>),
    ) -> anyhow::Result<Held> {
        let user = settings.user.clone();
        let mut ours: Option<Value> = None;
        let mut events = Box::pin(self.gateway.events().await?);
        let (out, mut told) = mpsc::channel(1024);
        settings.ear.pause = PATIENCE;
        let mut phone = Phone::start(settings, out).await?;
        let mut seen: Vec<Value> = Vec::new();
        let mut outcome = None;
        {
            let mut call = Box::pin(phone.call(&self.target, script, clips, stop));
            let deadline = tokio::time::sleep(LAST_EVENTS);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    done = &mut call, if outcome.is_none() => {
                        outcome = Some(done);
                        deadline.as_mut().reset(tokio::time::Instant::now() + LAST_EVENTS);
                    }
                    Some(stamped) = told.recv() => see(Seen::Phone(&stamped)),
                    event = events.next() => match event {
                        Some(event) => {
                            let event = event?;
                            if event["type"] == "call.ringing" && event["data"]["from"] == user.as_str() {
                                ours = Some(event["call_id"].clone());
                            }
                            if ours.as_ref() == Some(&event["call_id"]) {
                                see(Seen::Gateway(&event));
                                seen.push(event);
                            }
                        }
                        None => bail!("the gateway closed its event stream:\n{}", self.child.tail()),
                    },
                    () = &mut deadline, if outcome.is_some() => break,
                }
                if outcome.is_some() && self.all_told(&seen) {
                    break;
                }
            }
        }
        phone.shut_down().await;
        while let Ok(stamped) = told.try_recv() {
            see(Seen::Phone(&stamped));
        }
        let outcome = outcome.context("the call had no end")??;
        let reported: Vec<Turn> = seen.iter().filter(|e| e["type"] == "call.turn").map(turn).collect();
        let turns = gather(&outcome.exchanges, &reported);
        let recording = seen
            .iter()
            .find(|e| e["type"] == "call.recording.ready")
            .and_then(|event| serde_json::from_value::<Event>(event.clone()).ok())
            .and_then(|event| Some(recording_file(&self.config.data, &event.account, event.call()?)));
        Ok(Held { outcome, turns, recording })
    }

    /// Processor time that the gateway and its engines have used so far.
    pub(super) fn cpu(&self) -> Duration {
        self.child.cpu()
    }

    /// Ends the gateway and waits for it.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let status = self.child.stop().await?;
        if !status.success() {
            bail!("the gateway ended with {status}");
        }
        Ok(())
    }

    fn all_told(&self, seen: &[Value]) -> bool {
        let has = |kind: &str| seen.iter().any(|event| event["type"] == kind);
        has("call.ended") && (has("call.recording.ready") || !self.config.recording.enabled)
    }
}

/// Pitch of the caller over the voice's own, in percent: with one voice on both sides, a listener wants to tell them
/// apart.
const PITCH: u32 = 110;

async fn clips(scripts: &[&Script], voice: &VoiceArgs) -> anyhow::Result<Vec<Vec<Clip>>> {
    let voice = local::start_voice(voice).await?;
    let synthesizer = voice.voice()?;
    let mut all = Vec::new();
    for script in scripts {
        let mut clips = clip::prepare(script, Some(&*synthesizer), None).await?;
        for (clip, line) in clips.iter_mut().zip(script.lines()) {
            if matches!(line, Line::Text(_)) {
                *clip = Clip::new(clip.text.clone(), clip.rate * PITCH / 100, clip.pcm.to_vec());
            }
        }
        all.push(clips);
    }
    voice.shut_down().await;
    Ok(all)
}

fn target(config: &Config) -> anyhow::Result<sip::Uri> {
    let Some(number) = config.numbers.first() else {
        bail!("the configuration declares no number to be called")
    };
    let user = number.aliases.first().map_or(number.number.as_str(), String::as_str);
    let address = reachable(config.sip.listen);
    let host = match address.ip() {
        IpAddr::V4(ip) => sip::Host::V4(ip),
        IpAddr::V6(ip) => sip::Host::V6(ip),
    };
    Ok(sip::Uri::sip(Some(user), host, Some(address.port())))
}

/// Where an address that listens everywhere is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        _ => listen,
    }
}

/// The configuration itself where its ports are free; else a copy in its data folder that uses others.
fn on_free_ports(mut config: Config, file: &Path) -> anyhow::Result<(Config, PathBuf)> {
    let sip_taken = UdpSocket::bind(config.sip.listen).is_err();
    let http_taken = TcpListener::bind(config.http.listen).is_err();
    if !sip_taken && !http_taken {
        return Ok((config, file.to_owned()));
    }
    if sip_taken {
        config.sip.listen.set_port(UdpSocket::bind((config.sip.listen.ip(), 0))?.local_addr()?.port());
    }
    if http_taken {
        config.http.listen.set_port(TcpListener::bind((config.http.listen.ip(), 0))?.local_addr()?.port());
    }
    let mut table: toml::Table = std::fs::read_to_string(file)?.parse()?;
    for (section, listen) in [("sip", config.sip.listen), ("http", config.http.listen)] {
        let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
        let section = section.as_table_mut().context("a section is no table")?;
        section.insert("listen".into(), listen.to_string().into());
    }
    std::fs::create_dir_all(&config.data)?;
    let copy = config.data.join("free-ports.toml");
    std::fs::write(&copy, toml::to_string(&table)?)?;
    eprintln!(
        "a port of {} is taken; using {} and {}",
        file.display(),
        config.sip.listen,
        config.http.listen
    );
    Ok((config, copy))
}

fn turn(event: &Value) -> Turn {
    let event = &event["data"];
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    Turn {
        heard: text("heard"),
        said: text("said"),
        interrupted: event["interrupted"].as_bool().unwrap_or(false),
        stt_ms: event["stt_ms"].as_u64(),
        llm_first_token_ms: event["llm_first_token_ms"].as_u64(),
        tts_first_audio_ms: event["tts_first_audio_ms"].as_u64(),
        waited_ms: event["explanation"]["end_of_turn"]["waited_ms"].as_u64(),
    }
}

/// Brings the gateway's turns to the phone's exchanges, by what was heard in them.
///
/// The result is as long as `exchanges`; the first is the greeting. A turn that heard nothing (the greeting, "are you
/// still there?") stays with the exchange before it.
fn gather(exchanges: &[Exchange], reported: &[Turn]) -> Vec<Turn> {
    let mut turns = vec![Turn::default(); exchanges.len().max(1)];
    let mut at = 0;
    let mut used = false;
    for report in reported {
        if !report.heard.is_empty() {
            // The turns come in order, so the search goes forward only.
            let first = if at == 0 { 1 } else { at };
            let rate =
                |i: &usize| wer::word_error_rate(exchanges[*i].said.as_deref().unwrap_or(""), &report.heard);
            let next = (first..exchanges.len()).min_by(|a, b| rate(a).total_cmp(&rate(b)));
            at = next.unwrap_or(at);
            used = true;
        } else if !used {
            at = 0;
        }
        let turn = &mut turns[at];
        join(&mut turn.heard, &report.heard);
        join(&mut turn.said, &report.said);
        turn.interrupted |= report.interrupted;
        turn.stt_ms = report.stt_ms.or(turn.stt_ms);
        turn.llm_first_token_ms = report.llm_first_token_ms.or(turn.llm_first_token_ms);
        turn.tts_first_audio_ms = report.tts_first_audio_ms.or(turn.tts_first_audio_ms);
        turn.waited_ms = report.waited_ms.or(turn.waited_ms);
    }
    turns
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// Ctrl-C, and whatever else tells a program to end, ends the call in hand, and with it the whole: in order, so that no
/// gateway is left behind.
pub(super) async fn stop_at_signal(stop: Stop) {
    let listen = |kind| signal(kind).ok();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(listen).collect();
    let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    if any.len() == 0 {
        return;
    }
    futures_util::future::select_all(any).await;
    stop.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(said: Option<&str>) -> Exchange {
        Exchange { said: said.map(str::to_owned), ..Exchange::default() }
    }

    fn report(heard: &str, said: &str) -> Turn {
        Turn { heard: heard.into(), said: said.into(), stt_ms: Some(100), ..Turn::default() }
    }

    #[test]
    fn turns_find_their_exchanges_by_what_was_heard() {
        let exchanges =
            [exchange(None), exchange(Some("When do you open?")), exchange(Some("How much is a cleaning?"))];
        let turns = gather(
            &exchanges,
            &[
                report("", "Hello."),
                report("When do you open", "At nine."),
                report("How much", "Is there"),
                report("is a cleaning?", "Ninety dollars."),
            ],
        );
        assert_eq!(turns[0].said, "Hello.");
        assert_eq!(turns[1].said, "At nine.");
        assert_eq!(turns[2].heard, "How much is a cleaning?");
        assert_eq!(turns[2].said, "Is there Ninety dollars.");
    }

    #[test]
    fn a_missing_turn_leaves_its_exchange_empty() {
        let exchanges =
            [exchange(None), exchange(Some("Is anybody there?")), exchange(Some("Where are you?"))];
        let turns = gather(&exchanges, &[report("Where are you?", "On Maple Street.")]);
        assert_eq!(turns[1], Turn::default());
        assert_eq!(turns[2].said, "On Maple Street.");
        assert_eq!(gather(&[], &[report("", "Hello.")]).len(), 1);
    }

    #[test]
    fn a_taken_port_is_replaced_by_a_free_one() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let data = folder.path().join("data");
        let sip = taken.local_addr().unwrap();
        std::fs::write(
            &file,
            format!("data = '{}'\n[sip]\nlisten = '{sip}'\n[http]\nlisten = '127.0.0.1:0'\n", data.display()),
        )
        .unwrap();
        let (config, copy) = on_free_ports(Config::load(&file).unwrap(), &file).unwrap();
        assert_ne!(config.sip.listen, sip);
        assert_eq!(Config::load(&copy).unwrap(), config);
    }
}
