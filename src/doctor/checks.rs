//! The judgements. Each function asks the probe one thing and says what that means for calls.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use models::llm::remote::WEBHOOK_MODEL;

use super::probe::{Bind, ModelState, Probe, Reach, Runtime};
use super::{Check, Status};
use crate::config::{Agent, Config, Mistakes};
use crate::domain::{BrainChoice, Tools};

/// What must be installed to run: (package, what it is for).
const PACKAGES: &[(&str, &str)] = &[
    ("libespeak-ng1", "turns words into sounds for the Piper voices"),
    ("espeak-ng-data", "the rules of pronunciation that go with it"),
];
const ENGINES: &[(&str, &str)] = &[
    ("offhook-whisper", "understands callers"),
    (JUDGE, "hears whether they have finished"),
    ("offhook-llama", "thinks of answers"),
    ("offhook-piper", "speaks"),
];
/// The one engine that a call does without.
const JUDGE: &str = "offhook-turn";
/// The starter engines with their models stay below this.
const NEEDED_MEMORY: u64 = 1 << 30;
const LITTLE_DISK: u64 = 200 << 20;
const ENOUGH_DISK: u64 = 2 << 30;
/// 2025-01-01: before that, the clock was never set.
const EARLIEST: u64 = 1_735_689_600;

pub(super) fn note(name: &str, detail: impl Into<String>) -> Check {
    Check { name: name.into(), status: Status::Skip, detail: detail.into(), advice: None }
}

fn ok(name: &str, detail: impl Into<String>) -> Check {
    Check { name: name.into(), status: Status::Ok, detail: detail.into(), advice: None }
}

fn warn(name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name: name.into(), status: Status::Warn, detail: detail.into(), advice: Some(advice.into()) }
}

fn fail(name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name: name.into(), status: Status::Fail, detail: detail.into(), advice: Some(advice.into()) }
}

/// Encryption whose keys anybody can read on the way is none. Nothing to be said where all is well, or none is asked for.
pub(super) fn keys(config: &Config) -> Option<Check> {
    let open = config.keys_in_clear();
    (!open.is_empty()).then(|| {
        let detail = format!("the keys of encrypted sound may travel in clear: {}", open.join(", "));
        warn(
            "encryption",
            detail,
            "let SIP go by TLS there (transport = \"tls\", [sip.tls]), or do without srtp",
        )
    })
}

/// A chat webhook is told of no tools, whatever its agent may do. Nothing to be said of others.
pub(super) fn brains(config: &Config) -> Vec<Check> {
    let plain = |choice: &BrainChoice| {
        let BrainChoice::Configured { name } = choice else { return None };
        config.brains.iter().find(|brain| brain.name == *name && brain.model == WEBHOOK_MODEL)
    };
    let warning = |agent: &Agent| {
        // It can hang up by what it writes.
        let other_tools = agent.tools != Tools { hang_up: agent.tools.hang_up, ..Tools::default() };
        let brain = plain(&agent.brain).filter(|_| other_tools)?;
        let detail = format!("the brain {} of agent {} is asked as a chat webhook", brain.name, agent.name);
        let advice = "name its model in [[brain]], or it is told nothing of the agent's tools";
        Some(warn(&format!("brain {}", brain.name), detail, advice))
    };
    config.agents.iter().filter_map(warning).collect()
}

pub(super) fn configuration(path: &Path, config: &Config) -> Check {
    let detail = format!(
        "{}: {} trunk(s), {} number(s), {} agent(s)",
        path.display(),
        config.trunks.len(),
        config.numbers.len(),
        config.agents.len()
    );
    if config.numbers.is_empty() {
        return warn("configuration", detail, "declare at least one [[number]], or every caller hears 404");
    }
    ok("configuration", detail)
}

pub(super) fn mistakes(mistakes: &Mistakes) -> Vec<Check> {
    let file = mistakes.path.display();
    mistakes
        .list
        .iter()
        .map(|m| {
            let key = if m.key.is_empty() { "the file".to_owned() } else { m.key.clone() };
            fail("configuration", format!("{file}: {key} {}", m.reason), format!("correct {key} in {file}"))
        })
        .collect()
}

pub(super) fn cpu(probe: &dyn Probe) -> Check {
    let (cores, missing) = probe.cpu();
    if !missing.is_empty() {
        return fail(
            "processor",
            format!("{cores} core(s), without {}", missing.join(", ")),
            "the engines are built for AVX2, FMA and F16C; build them for this processor with GGML_AVX2=OFF GGML_FMA=OFF \
             GGML_F16C=OFF in .cargo/config.toml, or use a processor made after 2013",
        );
    }
    if cores < 2 {
        return warn(
            "processor",
            "1 core",
            "give the machine 2 cores or more: with one, sound and models wait for one another",
        );
    }
    ok("processor", format!("{cores} cores with all needed features"))
}

pub(super) fn memory(probe: &dyn Probe) -> Check {
    match probe.memory() {
        None => note("memory", "cannot be told on this system"),
        Some(memory) if memory.available < NEEDED_MEMORY => warn(
            "memory",
            format!("{} of {} available", size(memory.available), size(memory.total)),
            format!("the starter models need about {}; free some, or add memory", size(NEEDED_MEMORY)),
        ),
        Some(memory) => {
            ok("memory", format!("{} of {} available", size(memory.available), size(memory.total)))
        }
    }
}

pub(super) fn packages(probe: &dyn Probe) -> Vec<Check> {
    let check = |(package, purpose): &(&str, &str)| {
        let name = format!("package {package}");
        match probe.package(package) {
            Some(true) => ok(&name, "installed"),
            Some(false) => fail(
                &name,
                format!("not installed; it {purpose}"),
                format!("sudo apt-get install --no-install-recommends {package}"),
            ),
            None => note(&name, "no dpkg here, so it cannot be told"),
        }
    };
    PACKAGES.iter().map(check).collect()
}

pub(super) fn engines(config: &Config, probe: &dyn Probe) -> Vec<Check> {
    let check = |(engine, purpose): &(&str, &str)| {
        let name = format!("engine {engine}");
        match probe.engine(config, engine) {
            (path, true) => ok(&name, path.display().to_string()),
            (path, false) if *engine == JUDGE => warn(
                &name,
                format!("not at {}; it {purpose}, and without it the words must tell", path.display()),
                "build the engines (`make engines`), or set engines.turn = \"\"",
            ),
            (path, false) => fail(
                &name,
                format!("not at {}; it {purpose}", path.display()),
                "build the engines (`make engines`), or say where they are with engines.folder",
            ),
        }
    };
    let judges = !config.engines.turn.is_empty();
    ENGINES.iter().filter(|(engine, _)| judges || *engine != JUDGE).map(check).collect()
}

pub(super) fn runtime(config: &Config, probe: &dyn Probe) -> Check {
    let advice = "run `offhook models pull starter`; without it nothing is spoken";
    match probe.runtime(config) {
        Runtime::Found(path) => ok("ONNX Runtime", format!("{}, SHA-256 verified", path.display())),
        Runtime::Missing(path) => fail("ONNX Runtime", format!("not at {}", path.display()), advice),
        Runtime::Broken(reason) => fail("ONNX Runtime", reason, advice),
    }
}

pub(super) fn models(config: &Config, probe: &dyn Probe) -> Vec<Check> {
    let check = |(key, name): (&str, &String)| {
        let title = format!("model {name}");
        match probe.model(config, name) {
            ModelState::Verified { bytes } => ok(&title, format!("{}, SHA-256 verified", size(bytes))),
            ModelState::OwnFile { path } => {
                ok(&title, format!("{} (your own file, not verified)", path.display()))
            }
            ModelState::Missing { path } if key == "engines.turn" => warn(
                &title,
                format!(
                    "not at {}; without it the words must tell when a caller has finished",
                    path.display()
                ),
                format!("offhook models pull {name}   (or `starter` for all that a first call needs)"),
            ),
            ModelState::Missing { path } => fail(
                &title,
                format!("not at {}", path.display()),
                format!("offhook models pull {name}   (or `starter` for all that a first call needs)"),
            ),
            ModelState::Corrupt { reason } => {
                fail(&title, reason, format!("offhook models pull {name}   fetches it anew"))
            }
            ModelState::Unknown { known } => fail(
                &title,
                format!("{key} names neither a model of the catalogue nor a file"),
                format!("use a path or one of {}", known.join(", ")),
            ),
        }
    };
    let engines = &config.engines;
    [
        ("engines.stt", &engines.stt),
        ("engines.turn", &engines.turn),
        ("engines.llm", &engines.llm),
        ("engines.tts", &engines.tts),
    ]
    .into_iter()
    .filter(|(_, name)| !name.is_empty())
    .map(check)
    .collect()
}

pub(super) fn ports(config: &Config, probe: &dyn Probe) -> Vec<Check> {
    let judge = |key: &str, addr: SocketAddr, kind: &str, bind: Bind| {
        let name = format!("port {key}");
        match bind {
            Bind::Free => ok(&name, format!("{kind} {addr} is free")),
            Bind::InUse => warn(
                &name,
                format!("{kind} {addr} is in use"),
                format!(
                    "good if that is offhook itself; else see `ss -lnp sport = :{}`, or change {key}",
                    addr.port()
                ),
            ),
            Bind::Failed(reason) => fail(
                &name,
                format!("{kind} {addr}: {reason}"),
                format!("give {key} an address of this machine"),
            ),
        }
    };
    let media_ip = config.media_ip();
    let first = SocketAddr::new(media_ip, *config.media.ports.start());
    let busy = config
        .media
        .ports
        .clone()
        .filter(|&port| probe.bind_udp(SocketAddr::new(media_ip, port)) == Bind::InUse)
        .count();
    let all = config.media.ports.clone().count();
    let media = match probe.bind_udp(first) {
        Bind::Failed(reason) => judge("media.ports", first, "UDP", Bind::Failed(reason)),
        _ if busy * 2 > all => warn(
            "port media.ports",
            format!("{busy} of {all} ports are in use"),
            "move media.ports to a range that nothing else uses",
        ),
        _ => ok("port media.ports", format!("{} of {all} ports are free", all - busy)),
    };
    let sip = &config.sip;
    let udp = std::iter::once(&sip.listen).chain(&sip.also);
    let mut checks: Vec<_> =
        udp.map(|&addr| judge("sip.listen", addr, "UDP", probe.bind_udp(addr))).collect();
    let tcp = [
        ("sip.tcp", sip.tcp.as_slice()),
        ("sip.tls.listen", sip.tls.listen.as_slice()),
        ("http.listen", &[config.http.listen]),
    ];
    for (key, addrs) in tcp {
        checks.extend(addrs.iter().map(|&addr| judge(key, addr, "TCP", probe.bind_tcp(addr))));
    }
    checks.push(media);
    checks
}

pub(super) fn trunks(config: &Config, probe: &dyn Probe) -> Vec<Check> {
    if config.trunks.is_empty() {
        return vec![note("trunk", "none is declared")];
    }
    let check = |trunk: &crate::config::Trunk| match trunk.servers.as_slice() {
        [] => vec![note(&format!("trunk {}", trunk.name), "has no servers, so there is nobody to be asked")],
        servers => servers.iter().map(|uri| server(trunk, uri, probe)).collect(),
    };
    config.trunks.iter().flat_map(check).collect()
}

fn server(trunk: &crate::config::Trunk, uri: &sip::Uri, probe: &dyn Probe) -> Check {
    let name = format!("trunk {}", trunk.name);
    match probe.options(uri, trunk.ca.as_deref()) {
        Reach::Answered { status, after } => {
            ok(&name, format!("{uri} answered {status} after {} ms", after.as_millis()))
        }
        Reach::Silent { after } => fail(
            &name,
            format!("{uri} did not answer OPTIONS within {:.1} s", after.as_secs_f32()),
            "check the address and that a firewall lets SIP out and its answers in; some carriers answer only to \
                 addresses that they know",
        ),
        Reach::Unresolved(reason) => fail(
            &name,
            format!("{uri} has no address: {reason}"),
            "check the name and this machine's DNS (`getent hosts NAME`)",
        ),
        Reach::Failed(reason) => fail(
            &name,
            format!("{uri}: {reason}"),
            "check this machine's network and routes; where a certificate is meant, its name and trunk.ca",
        ),
    }
}

pub(super) fn clock(probe: &dyn Probe) -> Check {
    let clocks = probe.clocks();
    if clocks.wall < EARLIEST {
        return fail(
            "clock",
            "the clock stands before 2025, so it was never set",
            "set it (`timedatectl set-ntp true`): certificates, records and digest nonces depend on it",
        );
    }
    if !clocks.monotonic || clocks.drift > Duration::from_millis(50) {
        return warn(
            "clock",
            format!("unsteady: {} ms off over a short wait", clocks.drift.as_millis()),
            "sound goes out every 20 ms by this clock; on a virtual machine, choose another clock source or less load",
        );
    }
    if clocks.synchronized == Some(false) {
        return warn(
            "clock",
            "steady, but not kept by NTP",
            "timedatectl set-ntp true   keeps the records' times right",
        );
    }
    ok("clock", "set and steady")
}

pub(super) fn disk(config: &Config, probe: &dyn Probe) -> Check {
    let path = &config.data;
    if let Err(reason) = probe.writable(path) {
        return fail(
            "disk",
            format!("{}: {reason}", path.display()),
            "let the user that runs offhook write there, or change `data`",
        );
    }
    // Stereo, 8 kHz, 16 bits.
    let hours = |bytes: u64| bytes / (8000 * 2 * 2 * 3600);
    match probe.free_bytes(path) {
        None => note("disk", format!("{}: free space cannot be told", path.display())),
        Some(free) if free < LITTLE_DISK => fail(
            "disk",
            format!("{} free for {}", size(free), path.display()),
            "make room, or move `data`: recordings and records would be lost",
        ),
        Some(free) if free < ENOUGH_DISK => warn(
            "disk",
            format!("{} free for {}, about {} hours of recordings", size(free), path.display(), hours(free)),
            "make room soon, or turn recording off",
        ),
        Some(free) => ok(
            "disk",
            format!("{} free for {}, about {} hours of recordings", size(free), path.display(), hours(free)),
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::probe::{Clocks, Memory};
    use super::super::{Report, examine};
    use super::*;

    /// A box on which everything is right, until a test breaks something.
    struct Fake {
        missing_cpu: Vec<&'static str>,
        available: u64,
        package: Option<bool>,
        engine: bool,
        runtime: Runtime,
        model: ModelState,
        bind: Bind,
        reach: Reach,
        clocks: Clocks,
        free: Option<u64>,
        writable: Result<(), String>,
    }

    impl Default for Fake {
        fn default() -> Fake {
            Fake {
                missing_cpu: Vec::new(),
                available: 8 << 30,
                package: Some(true),
                engine: true,
                runtime: Runtime::Found("/models/libonnxruntime.so".into()),
                model: ModelState::Verified { bytes: 77 << 20 },
                bind: Bind::Free,
                reach: Reach::Answered { status: 200, after: Duration::from_millis(12) },
                clocks: Clocks {
                    wall: EARLIEST + 1,
                    monotonic: true,
                    drift: Duration::ZERO,
                    synchronized: Some(true),
                },
                free: Some(100 << 30),
                writable: Ok(()),
            }
        }
    }

    impl Probe for Fake {
        fn cpu(&self) -> (usize, Vec<&'static str>) {
            (4, self.missing_cpu.clone())
        }
        fn memory(&self) -> Option<Memory> {
            Some(Memory { total: 16 << 30, available: self.available })
        }
        fn package(&self, _: &str) -> Option<bool> {
            self.package
        }
        fn engine(&self, _: &Config, name: &str) -> (PathBuf, bool) {
            (Path::new("/opt/offhook").join(name), self.engine)
        }
        fn runtime(&self, _: &Config) -> Runtime {
            self.runtime.clone()
        }
        fn model(&self, _: &Config, _: &str) -> ModelState {
            self.model.clone()
        }
        fn bind_udp(&self, _: SocketAddr) -> Bind {
            self.bind.clone()
        }
        fn bind_tcp(&self, _: SocketAddr) -> Bind {
            self.bind.clone()
        }
        fn options(&self, _: &sip::Uri, _: Option<&Path>) -> Reach {
            self.reach.clone()
        }
        fn clocks(&self) -> Clocks {
            self.clocks
        }
        fn free_bytes(&self, _: &Path) -> Option<u64> {
            self.free
        }
        fn writable(&self, _: &Path) -> Result<(), String> {
            self.writable.clone()
        }
    }

    fn with_trunk(fake: &Fake) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offhook.toml");
        std::fs::write(
            &file,
            "[[trunk]]\nname = 'carrier'\nregistrar = 'sip:sip.example.net'\nusername = 'u'\npassword = 'p'\n\
             [[agent]]\nname = 'a'\n[[number]]\nnumber = '+15550100001'\nagent = 'a'\ntrunk = 'carrier'\n",
        )
        .unwrap();
        examine(Some(&file), fake)
    }

    fn found<'a>(report: &'a Report, name: &str) -> &'a Check {
        report.checks.iter().find(|check| check.name.starts_with(name)).unwrap()
    }

    #[test]
    fn a_healthy_box_is_ok() {
        let report = with_trunk(&Fake::default());
        assert_eq!(report.status, Status::Ok, "{report:#?}");
        assert_eq!(report.exit_code(), 0);
        assert!(found(&report, "trunk carrier").detail.contains("answered 200 after 12 ms"));
    }

    #[test]
    fn whatever_fails_says_what_to_do() {
        let broken = [
            ("processor", Fake { missing_cpu: vec!["AVX2"], ..Fake::default() }),
            ("package libespeak-ng1", Fake { package: Some(false), ..Fake::default() }),
            ("engine offhook-whisper", Fake { engine: false, ..Fake::default() }),
            ("ONNX", Fake { runtime: Runtime::Missing("/models/onnxruntime".into()), ..Fake::default() }),
            ("model whisper", Fake { model: ModelState::Missing { path: "/m".into() }, ..Fake::default() }),
            (
                "model smollm2",
                Fake { model: ModelState::Corrupt { reason: "sum".into() }, ..Fake::default() },
            ),
            ("model piper", Fake { model: ModelState::Unknown { known: vec![] }, ..Fake::default() }),
            ("port sip.listen", Fake { bind: Bind::Failed("not ours".into()), ..Fake::default() }),
            ("trunk", Fake { reach: Reach::Silent { after: Duration::from_secs(3) }, ..Fake::default() }),
            ("trunk", Fake { reach: Reach::Unresolved("no such name".into()), ..Fake::default() }),
            ("clock", Fake { clocks: Clocks { wall: 0, ..Fake::default().clocks }, ..Fake::default() }),
            ("disk", Fake { free: Some(1 << 20), ..Fake::default() }),
            ("disk", Fake { writable: Err("permission denied".into()), ..Fake::default() }),
        ];
        for (name, fake) in broken {
            let report = with_trunk(&fake);
            let check = found(&report, name);
            assert_eq!(check.status, Status::Fail, "{check:?}");
            assert!(check.advice.as_ref().is_some_and(|advice| !advice.is_empty()), "{check:?}");
            assert_eq!(report.exit_code(), 1);
        }
    }

    #[test]
    fn what_still_works_is_a_warning() {
        let worse = [
            ("memory", Fake { available: 1 << 20, ..Fake::default() }),
            ("port sip.listen", Fake { bind: Bind::InUse, ..Fake::default() }),
            (
                "clock",
                Fake {
                    clocks: Clocks { synchronized: Some(false), ..Fake::default().clocks },
                    ..Fake::default()
                },
            ),
            ("disk", Fake { free: Some(1 << 30), ..Fake::default() }),
        ];
        for (name, fake) in worse {
            let report = with_trunk(&fake);
            assert_eq!(found(&report, name).status, Status::Warn, "{report:#?}");
            assert_eq!(report.exit_code(), 0);
        }
    }

    #[test]
    fn tools_that_a_brain_is_not_told_of_are_a_warning() {
        for (model, tools, warned) in [
            ("", "press_digits = true", true),
            ("model = 'custom'", "press_digits = true", true),
            ("model = 'gpt-4o-mini'", "press_digits = true", false),
            ("", "hang_up = true", false),
            ("", "", false),
        ] {
            let text = format!(
                "[[agent]]\nname = 'a'\nbrain = 'crm'\n[agent.tools]\n{tools}\n\
                 [[brain]]\nname = 'crm'\nurl = 'http://127.0.0.1:8000/'\n{model}\n"
            );
            let checks = brains(&Config::parse(&text).unwrap());
            let told: Vec<_> = checks.iter().map(|check| (check.name.as_str(), check.status)).collect();
            assert_eq!(told, [("brain crm", Status::Warn)][..usize::from(warned)], "{model}, {tools}");
        }
    }

    #[test]
    fn where_there_is_no_debian_packages_are_skipped() {
        let report = with_trunk(&Fake { package: None, ..Fake::default() });
        assert_eq!(found(&report, "package").status, Status::Skip);
        assert_eq!(report.exit_code(), 0);
    }

    #[test]
    fn every_mistake_of_the_configuration_is_a_failure_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offhook.toml");
        std::fs::write(&file, "[sip]\nlisten = 5060\n[limits]\nmax_calls = 'many'\n").unwrap();
        let report = examine(Some(&file), &Fake::default());
        let failed: Vec<_> = report.checks.iter().filter(|c| c.status == Status::Fail).collect();
        assert_eq!(failed.len(), 2, "{failed:#?}");
        assert!(failed.iter().any(|c| c.detail.contains("sip.listen")));
        assert!(failed.iter().any(|c| c.detail.contains("limits.max_calls")));
    }

    #[test]
    fn the_report_is_plain_json() {
        let json = serde_json::to_value(examine(None, &Fake::default())).unwrap();
        assert_eq!(json["status"], "ok");
        assert_eq!(json["checks"][0]["status"], "skip");
        assert_eq!(json["checks"][0]["name"], "configuration");
    }
}
