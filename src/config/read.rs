//! From a file's tables to a [`Config`]: which keys there are, what they allow, and how they agree with one another.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::agent::agent;
use super::codecs::{codecs, opus};
use super::dialect::dialects;
use super::extension::extension;
use super::file::{Mistake, Section};
use super::guards::guards;
use super::http::http;
use super::messages::messages;
use super::outside::outside;
use super::rates::{credits, rates};
use super::signalling::{file, sip};
use super::trunk::trunk;
use super::webhooks::webhooks;
use super::{
    Brain, Config, Engines, Limits, Log, Media, Number, Numbering, Queue, Recording, Secret, TurnTaking,
};
use crate::domain::{BrainChoice, NumberKind, Region};

pub(super) const ADDRESS: &str = "an address and a port, as in \"0.0.0.0:5060\"";
pub(super) const IP: &str = "an IP address, as in \"203.0.113.7\"";
const COUNTRY: &str = "a country of ISO 3166-1, as in \"US\"";
pub(super) const SIP_URI: &str = "a SIP URI, as in \"sip:sip.example.net\"";

pub(super) fn config(text: &str) -> Result<Config, Vec<Mistake>> {
    let (root, notes) = Section::parse(text);
    let unknown = Config::default();
    let config = Config {
        data: root.parsed("data", unknown.data, "a folder"),
        sip: sip(root.section("sip"), unknown.sip),
        media: media(root.section("media"), unknown.media),
        http: http(root.section("http"), unknown.http),
        outside: outside(root.section("outside")),
        webhooks: webhooks(root.section("webhooks"), &unknown.webhooks),
        engines: engines(root.section("engines"), unknown.engines),
        limits: limits(root.section("limits"), &unknown.limits),
        queue: queue(root.section("queue"), &unknown.queue),
        numbering: numbering(root.section("numbers"), &unknown.numbering),
        guards: guards(root.section("guards"), unknown.guards),
        rates: rates(root.section("rates")),
        credits: credits(root.section("credits"), unknown.credits),
        recording: recording(root.section("recording"), &unknown.recording),
        turn_taking: turn_taking(root.section("turn_taking"), &unknown.turn_taking),
        messages: messages(root.section("messages"), unknown.messages),
        log: log(root.section("log"), unknown.log),
        dialects: dialects(root.section("dialect")),
        trunks: root.sections("trunk").into_iter().map(trunk).collect(),
        extensions: root.sections("extension").into_iter().map(extension).collect(),
        brains: root.sections("brain").into_iter().map(brain).collect(),
        agents: root.sections("agent").into_iter().map(agent).collect(),
        numbers: root.sections("number").into_iter().filter_map(number).collect(),
    };
    agree(&root, &config);
    root.finish();
    let list = notes.take();
    if list.is_empty() { Ok(config) } else { Err(list) }
}

fn media(s: Section, default: Media) -> Media {
    let allowed = "two ports from 1024 to 65535, the first even, as in \"20000-20999\"";
    let ports = match s.text("ports") {
        None => default.ports,
        Some(text) => ports(&text).unwrap_or_else(|| {
            s.wrong("ports", format!("is {text:?}, and must be {allowed}"));
            default.ports
        }),
    };
    let media = Media {
        bind: s.maybe("bind", IP),
        advertise: s.maybe("advertise", IP),
        ports,
        threads: size(s.count("threads", default.threads as u64, 1, 64)),
        max_load: u8::try_from(s.count("max_load", default.max_load.into(), 1, 100))
            .unwrap_or(default.max_load),
        timeout: s.seconds("timeout_s", default.timeout, 0, 3600),
        dscp: s.count("dscp", default.dscp.into(), 0, 63).try_into().unwrap_or(default.dscp),
        interface: s.text("interface"),
        rtcp_mux: s.flag("rtcp_mux", default.rtcp_mux),
        srtp_suites: super::srtp::suites(&s, default.srtp_suites),
        hold_music: file(&s, "hold_music").filter(|path| is_music(&s, path)),
        codecs: codecs(&s).unwrap_or(default.codecs),
        opus: opus(s.section("opus"), default.opus),
    };
    // The system's own bound, IFNAMSIZ less its zero.
    if media.interface.as_ref().is_some_and(|name| name.is_empty() || name.len() > 15 || name.contains('/')) {
        s.wrong("interface", "must be the name of a network interface, as in \"eth0\"");
    }
    s.finish();
    media
}

/// A piece that can be played in a circle; it stays in memory.
fn is_music(s: &Section, path: &Path) -> bool {
    let seconds =
        media::wav::read(path).map(|wav| wav.samples.len() / usize::from(wav.channels) / wav.rate as usize);
    let wrong = match seconds {
        Ok(1..=600) => return true,
        Ok(seconds) => format!("lasts {seconds} s, and must last 1 to 600"),
        Err(error) => format!("must be a WAV file of 16-bit PCM: {error}"),
    };
    s.wrong("hold_music", wrong);
    false
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first >= 1024 && first % 2 == 0 && last > first).then_some(first..=last)
}

fn engines(s: Section, default: Engines) -> Engines {
    let engines = Engines {
        folder: s.maybe("folder", "a folder"),
        models: s.maybe("models", "a folder"),
        stt: s.text("stt").unwrap_or(default.stt),
        turn: s.text("turn").unwrap_or(default.turn),
        llm: s.text("llm").unwrap_or(default.llm),
        tts: s.text("tts").unwrap_or(default.tts),
        voices: s.texts("voices", &[]),
        cores: size(s.count("cores", default.cores as u64, 0, 256)),
    };
    s.finish();
    engines
}

fn limits(s: Section, default: &Limits) -> Limits {
    let limits = Limits {
        max_calls: size(s.count("max_calls", default.max_calls as u64, 1, 10_000)),
        max_duration: s.seconds("max_duration_s", default.max_duration, 1, 86_400),
        grace: s.seconds("grace_s", default.grace, 0, 3600),
        ring: s.seconds("ring_s", default.ring, 1, 300),
    };
    s.finish();
    limits
}

fn queue(s: Section, default: &Queue) -> Queue {
    let count = |key, default: usize, most| size(s.count(key, default as u64, 1, most));
    let queue = Queue {
        max_waiting: count("max_waiting", default.max_waiting, 1_000_000),
        max_waiting_per_key: count("max_waiting_per_key", default.max_waiting_per_key, 1_000_000),
        calls_per_second: count("calls_per_second", default.calls_per_second, 1000),
    };
    s.finish();
    queue
}

fn recording(s: Section, default: &Recording) -> Recording {
    let recording = Recording {
        enabled: s.flag("enabled", default.enabled),
        mask_digits: s.flag("mask_digits", default.mask_digits),
        mask_after: s.millis("mask_after_ms", default.mask_after, 0, 10_000),
        keep_digits: s.flag("keep_digits", default.keep_digits),
    };
    s.finish();
    recording
}

fn turn_taking(s: Section, default: &TurnTaking) -> TurnTaking {
    let turn_taking = TurnTaking {
        pause_agreed: s.millis("pause_agreed_ms", default.pause_agreed, 200, 5000),
        pause_complete: s.millis("pause_complete_ms", default.pause_complete, 200, 5000),
        pause_unsure: s.millis("pause_unsure_ms", default.pause_unsure, 200, 5000),
        pause_trailing: s.millis("pause_trailing_ms", default.pause_trailing, 200, 10_000),
        pause_dictation: s.millis("pause_dictation_ms", default.pause_dictation, 200, 10_000),
        pause_longest: s.millis("pause_longest_ms", default.pause_longest, 200, 10_000),
        interrupt_after: s.millis("interrupt_after_ms", default.interrupt_after, 60, 5000),
        resume_after: s.millis("resume_after_ms", default.resume_after, 200, 5000),
        protect_greeting: s.millis("protect_greeting_ms", default.protect_greeting, 0, 10_000),
        idle: s.seconds("idle_s", default.idle, 2, 600),
        idle_prompts: u32::try_from(s.count("idle_prompts", default.idle_prompts.into(), 0, 10)).unwrap_or(0),
    };
    s.finish();
    turn_taking
}

fn log(s: Section, default: Log) -> Log {
    let log = Log {
        level: s.text("level").unwrap_or(default.level),
        json: s.flag("json", default.json),
        private: s.flag("private", default.private),
    };
    if log.level.parse::<tracing_subscriber::EnvFilter>().is_err() {
        s.wrong(
            "level",
            format!("is {:?}, and must be error, warn, info, debug, trace or a filter", log.level),
        );
    }
    s.finish();
    log
}

/// A secret stands in the file itself, in another file (`KEY_file`), or in the environment (`KEY_env`).
pub(super) fn secret(
    s: &Section,
    key: &'static str,
    file: &'static str,
    env: &'static str,
) -> Option<Secret> {
    let (inline, path, variable) = (s.text(key), s.text(file), s.text(env));
    match (inline, path, variable) {
        (None, None, None) => None,
        (Some(text), None, None) => Some(Secret::new(text)),
        (None, Some(path), None) => match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::new(text.trim_end().to_owned())),
            Err(error) => {
                s.wrong(file, format!("names {path:?}, which cannot be read: {error}"));
                None
            }
        },
        (None, None, Some(variable)) => {
            let value = std::env::var(&variable).ok();
            if value.is_none() {
                s.wrong(env, format!("names {variable}, which the environment does not hold"));
            }
            value.map(Secret::new)
        }
        _ => {
            s.wrong(key, format!("is given twice; use one of {key}, {file} and {env}"));
            None
        }
    }
}

fn brain(s: Section) -> Brain {
    let allowed = "\"chat-completions\", OpenAI's streaming format";
    match s.text("kind").as_deref() {
        None | Some("chat-completions") => {}
        Some(other) => s.wrong("kind", format!("is {other:?}, and must be {allowed}")),
    }
    let brain = Brain {
        name: s.required("name", "a name of your choice, to be used in agent.brain"),
        url: s.required(
            "url",
            "the address that takes the POST, as in \"http://10.0.0.5:8000/v1/chat/completions\"",
        ),
        key: secret(&s, "key", "key_file", "key_env"),
        model: s.text("model").unwrap_or_else(|| "custom".into()),
        timeout: s.millis("timeout_ms", Duration::from_millis(8000), 100, 120_000),
    };
    if brain.name == "local" {
        s.wrong("name", "is \"local\", which means the model on this box; take another");
    }
    let web = ["http://", "https://"].iter().any(|scheme| brain.url.starts_with(scheme));
    if !brain.url.is_empty() && !web {
        s.wrong("url", format!("is {:?}, and must start with http:// or https://", brain.url));
    }
    s.finish();
    brain
}

fn number(s: Section) -> Option<Number> {
    let text = s.required("number", "an E.164 number, as in \"+14155550123\"");
    let parsed = text.parse();
    if let Err(error) = &parsed
        && !text.is_empty()
    {
        s.wrong("number", format!("is {text:?}: {error}"));
    }
    let (aliases, agent) = (s.texts("aliases", &[]), s.text("agent"));
    let trunk = s.required("trunk", "the name of a [[trunk]]");
    let country: Option<Region> = s.maybe("country", COUNTRY);
    let (area_code, kind) = (s.text("area_code"), kind(&s));
    s.finish();
    let country = country.map(|region| region.to_string());
    Some(Number { number: parsed.ok()?, aliases, agent, trunk, country, area_code, kind })
}

fn kind(s: &Section) -> Option<NumberKind> {
    let text = s.text("kind")?;
    let kind = match text.as_str() {
        "local" => Some(NumberKind::Local),
        "mobile" => Some(NumberKind::Mobile),
        "toll_free" => Some(NumberKind::TollFree),
        "other" => Some(NumberKind::Other),
        _ => None,
    };
    if kind.is_none() {
        let allowed = "\"local\", \"mobile\", \"toll_free\" or \"other\"";
        s.wrong("kind", format!("is {text:?}, and must be {allowed}"));
    }
    kind
}

fn numbering(s: Section, default: &Numbering) -> Numbering {
    let days = s.count("quarantine_days", default.quarantine.as_secs() / 86_400, 0, 3650);
    let numbering = Numbering {
        region: s.parsed("region", default.region, COUNTRY),
        quarantine: Duration::from_secs(days * 86_400),
    };
    s.finish();
    numbering
}

/// What must hold between sections.
fn agree(root: &Section, config: &Config) {
    unique(root, "trunk", config.trunks.iter().map(|t| t.name.as_str()));
    unique(root, "extension", config.extensions.iter().map(|e| e.number.as_str()));
    unique(root, "brain", config.brains.iter().map(|b| b.name.as_str()));
    unique(root, "agent", config.agents.iter().map(|a| a.name.as_str()));
    unique(root, "number", config.numbers.iter().map(|n| n.number.as_str()));
    for (i, agent) in config.agents.iter().enumerate() {
        for (key, brain) in [("brain", Some(&agent.brain)), ("fallback_brain", agent.fallback_brain.as_ref())]
        {
            if let Some(BrainChoice::Configured { name }) = brain
                && config.brain(name).is_none()
            {
                let names = listed(config.brains.iter().map(|b| b.name.as_str()).chain(["local"]));
                root.wrong(&format!("agent[{i}].{key}"), format!("is {name:?}, and must be one of {names}"));
            }
        }
    }
    for (i, number) in config.numbers.iter().enumerate() {
        if let Some(agent) = &number.agent
            && config.agent(agent).is_none()
        {
            let names = listed(config.agents.iter().map(|a| a.name.as_str()));
            root.wrong(&format!("number[{i}].agent"), format!("is {agent:?}, and must be one of {names}"));
        }
        if !number.trunk.is_empty() && config.trunk(&number.trunk).is_none() {
            let names = listed(config.trunks.iter().map(|t| t.name.as_str()));
            root.wrong(
                &format!("number[{i}].trunk"),
                format!("is {:?}, and must be one of {names}", number.trunk),
            );
        }
    }
    transports(root, config);
    extensions(root, config);
    super::guards::agree(root, config);
    let lines = config.media.ports.clone().count() / 2;
    if lines < config.limits.max_calls {
        root.wrong(
            "media.ports",
            format!("has room for {lines} calls, and limits.max_calls is {}", config.limits.max_calls),
        );
    }
}

/// What a trunk speaks must be spoken here.
fn transports(root: &Section, config: &Config) {
    for (i, trunk) in config.trunks.iter().enumerate() {
        let by_tcp = |uri: &&sip::Uri| uri.transport() == Some(sip::Transport::Tcp);
        if config.sip.tcp.is_empty()
            && let Some(server) = trunk.servers.iter().find(by_tcp)
        {
            let reason = format!("holds \"{server}\", and without sip.tcp no TCP is spoken");
            root.wrong(&format!("trunk[{i}].servers"), reason);
        }
    }
}

/// Everybody who proves a password has a name of their own, and whom they may dial is somebody.
fn extensions(root: &Section, config: &Config) {
    let mut names: BTreeSet<&str> = config.extensions.iter().map(|e| e.number.as_str()).collect();
    for (i, trunk) in config.trunks.iter().enumerate() {
        if let Some(login) = &trunk.auth
            && !names.insert(&login.username)
        {
            let reason = format!("is {:?}, which is the name of another trunk or extension", login.username);
            root.wrong(&format!("trunk[{i}].auth.username"), reason);
        }
    }
    let agents = || listed(config.agents.iter().map(|a| a.name.as_str()));
    for (i, extension) in config.extensions.iter().enumerate() {
        let key = |key| format!("extension[{i}].{key}");
        if let Some(number) = config.number_dialled(&extension.number) {
            let reason = format!("is {:?}, which reaches {} already", extension.number, number.number);
            root.wrong(&key("number"), reason);
        }
        if let Some(agent) = &extension.agent
            && config.agent(agent).is_none()
        {
            root.wrong(&key("agent"), format!("is {agent:?}, and must be one of {}", agents()));
        }
        for name in &extension.may_dial {
            let is_somebody = config.agent(name).is_some()
                || config.extension(name).is_some()
                || config.number_dialled(name).is_some();
            if !is_somebody {
                let reason = format!("holds {name:?}, which is no agent, number or extension here");
                root.wrong(&key("may_dial"), reason);
            }
        }
    }
}

fn unique<'a>(root: &Section, list: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        if !name.is_empty() && !seen.insert(name) {
            root.wrong(
                &format!("{list}[{i}]"),
                format!("{name:?} stands twice; each {list} has its own name"),
            );
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() { "those that the file declares (it declares none)".into() } else { names.join(", ") }
}

pub(super) fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
