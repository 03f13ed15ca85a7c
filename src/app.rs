//! Composition: builds everything in order, and takes it down in the opposite one.
//!
//! Start: configuration → store → models → media → SIP → HTTP → READY. Stop: the first signal ends admission and lets
//! calls end within the grace, then says goodbye, hangs up, flushes; the second ends now.

mod signalling;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use models::llm::remote::{ChatCompletions, Timeouts};
use models::local::{Local, LocalConfig, Supervisors};
use models::permits::Permits;
use models::process::{EngineHandle, Supervisor};
use models::{Generator, Synthesizer, Transcriber, TurnJudge};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::call::{
    Cast, Directory, Exchange, Extensions, Guards, Journal, Music, Switchboard, Trunks, accounts,
    local_ip_towards, watch,
};
use crate::config::{Brain, Config, CreditMode};
use crate::gateway::{Gateway, Keyring, Secret};
use crate::http;
use crate::jobs::{Jobs, Reports};
use crate::outside::Outside;
use crate::store::{Store, Terms};
use crate::telemetry;

/// A configuration with mistakes: EX_USAGE of sysexits.h.
const BAD_CONFIGURATION: u8 = 64;
/// What the stack may take to say its last words.
const LAST_MESSAGES: Duration = Duration::from_secs(3);
/// What calls may take to finish their records.
const LAST_CALLS: Duration = Duration::from_secs(6);

/// Runs the gateway until it is told to stop.
pub fn serve(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(mistakes) => {
            eprint!("{mistakes}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    telemetry::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("offhook: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut stop = Signals::listen()?;
    let premises = Premises::take(config).await?;
    info!("loading the models");
    let (minds, supervisors) = tokio::select! {
        local = start_models(&premises.config) => minds(&premises.config, local?)?,
        () = stop.recv() => return Ok(()),
    };
    let appliance = Appliance::start(premises, minds).await?;
    appliance.announce();
    stop.recv().await;

    info!("stopping; a second signal ends at once");
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    tokio::select! {
        () = appliance.drain() => {}
        () = stop.recv() => warn!("ending now; calls are cut"),
    }
    appliance.stop().await;
    supervisors.shutdown().await;
    info!("stopped");
    Ok(())
}

/// Everything that only one process can have: the data folder and the addresses. Taken before anything slow begins, so
/// that what is in use is known at once.
pub struct Premises {
    config: Config,
    store: Store,
    keys: Keyring,
    /// The key of a first start, to be shown once.
    first_key: Option<Secret>,
    http: http::Server,
    stack: sip::net::Stack,
    sip_events: tokio::sync::mpsc::Receiver<sip::Event>,
    engine: media::net::Engine,
}

impl Premises {
    pub async fn take(config: Config) -> anyhow::Result<Self> {
        let store = Store::open(&config.data)?;
        let credits = config.credits.mode != CreditMode::Off;
        store.agree(Terms { rates: config.rates.clone(), credits });
        let interrupted = store.close_interrupted(chrono::Utc::now())?;
        if interrupted > 0 {
            warn!(interrupted, "calls that an earlier process left open are closed");
        }
        let unsent = store.settle_interrupted(chrono::Utc::now())?;
        if unsent > 0 {
            warn!(unsent, "messages that an earlier process left on their way are failed");
        }
        let (keys, first_key) = Keyring::open(&store, &config.data, chance::<32>, chrono::Utc::now())?;
        let http = http::Server::bind(&config.http).await?;
        let (stack, sip_events) = bind_sip(&config).await?;
        let engine = start_media(&config)?;
        for line in config.keys_in_clear() {
            warn!(line, "the keys of its encrypted sound may travel in clear, as its SIP need not go by TLS");
        }
        Ok(Self { config, store, keys, first_key, http, stack, sip_events, engine })
    }
}

/// What hears, thinks and speaks.
pub struct Minds {
    pub transcriber: Arc<dyn Transcriber>,
    /// Hears whether a caller has finished. Without it the words decide alone.
    pub judge: Option<Arc<dyn TurnJudge>>,
    pub synthesizer: Arc<dyn Synthesizer>,
    /// By the name of the brain; `None` is the local model.
    pub generators: HashMap<Option<String>, Arc<dyn Generator>>,
    /// The engines behind them that run on this box.
    pub engines: Vec<EngineHandle>,
}

/// A gateway that takes calls.
pub struct Appliance {
    exchange: Arc<Exchange>,
    switchboard: Switchboard,
    journal: Journal,
    gateway: Gateway,
    first_key: Option<Secret>,
    ready: Arc<AtomicBool>,
    http: SocketAddr,
    http_stop: CancellationToken,
    http_task: JoinHandle<()>,
    switchboard_task: JoinHandle<()>,
    journal_task: JoinHandle<()>,
    trunk_tasks: JoinSet<()>,
    jobs: Jobs,
    reports: Reports,
}

impl Appliance {
    pub async fn start(premises: Premises, minds: Minds) -> anyhow::Result<Self> {
        let Premises { config, store, keys, first_key, http: server, stack, sip_events, engine } = premises;
        let (journal, journal_task) = Journal::start(store.clone());
        let trunks = Trunks::new(&config);
        let directory = Directory::open(&config, &store, chrono::Utc::now())?;
        let outside = Outside::new(&config.outside).signing(store.secret("requests_of_calls", chance::<32>)?);
        let engines = minds.engines.clone();
        let cast = cast(&config, minds, outside.clone()).await?;
        let music = music(&config).await?;
        let exchange = Arc::new(Exchange {
            stack: stack.clone(),
            engine,
            directory,
            cast,
            engines,
            trunks: trunks.clone(),
            extensions: Extensions::new(&config),
            guards: Guards::new(&config),
            journal: journal.clone(),
            store: store.clone(),
            music,
            outside,
            chance: Box::new(chance::<16>),
            config,
        });
        let (switchboard, switchboard_task) = Switchboard::start(exchange.clone(), sip_events);
        let mut trunk_tasks = JoinSet::new();
        trunks.start(&stack, &mut trunk_tasks);
        trunk_tasks.spawn(watch(exchange.clone(), switchboard.clone()));
        let config = &exchange.config;
        let jobs = Jobs::start(store.clone(), exchange.outside.clone(), config.webhooks.clone(), chance::<8>);
        let reports = Reports::start(exchange.clone());
        let ready = Arc::new(AtomicBool::new(true));
        let http_stop = CancellationToken::new();
        let links = store.secret("recording_links", chance::<32>)?;
        let gateway = Gateway::new(
            exchange.clone(),
            switchboard.clone(),
            journal.clone(),
            store,
            Arc::new(keys),
            links,
            chance::<32>,
        );
        trunk_tasks.spawn(gateway.clone().count());
        let http = server.local_addr()?;
        let http_task = tokio::spawn(http::serve(server, gateway.clone(), ready.clone(), http_stop.clone()));
        Ok(Self {
            exchange,
            switchboard,
            journal,
            gateway,
            first_key,
            ready,
            http,
            http_stop,
            http_task,
            switchboard_task,
            journal_task,
            trunk_tasks,
            jobs,
            reports,
        })
    }

    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub fn sip_address(&self) -> SocketAddr {
        self.exchange.stack.local_addr()
    }

    /// Every address that UDP is spoken on.
    pub fn sip_addresses(&self) -> &[SocketAddr] {
        self.exchange.stack.local_addrs(sip::Transport::Udp)
    }

    /// Where TCP is spoken, if it is.
    pub fn sip_address_by_tcp(&self) -> Option<SocketAddr> {
        self.exchange.stack.local_addrs(sip::Transport::Tcp).first().copied()
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Tells systemd, and on standard output whoever started us: one line that starts with READY, then what to dial.
    fn announce(&self) {
        tell_systemd(&[sd_notify::NotifyState::Ready]);
        let (sip, config) = (self.sip_address(), &self.exchange.config);
        println!("READY sip={sip} http={} numbers={}", self.http, config.numbers.len());
        if let Some(key) = &self.first_key {
            println!(
                "key {}   (shown this once; it lies in admin.key in the data folder, too)",
                key.reveal()
            );
        }
        let reached =
            SocketAddr::new(config.sip.advertise.unwrap_or_else(|| address_on_the_lan(sip.ip())), sip.port());
        for number in &config.numbers {
            let users =
                std::iter::once(number.number.as_str()).chain(number.aliases.iter().map(String::as_str));
            let dial: Vec<_> = users.map(|user| format!("sip:{user}@{reached}")).collect();
            let who = number.agent.as_deref().unwrap_or("whoever provisions it");
            println!("dial {} to reach {who}", dial.join(" or "));
        }
    }

    /// Takes no more calls, lets those that are up end, says goodbye to the rest, leaves the registrars.
    pub async fn drain(&self) {
        self.ready.store(false, Ordering::Relaxed);
        self.switchboard.drain(self.exchange.config.limits.grace).await;
        self.exchange.trunks.unregister(&self.exchange.stack).await;
    }

    /// Ends everything now; what is known of calls is on disk when this returns.
    pub async fn stop(mut self) {
        self.ready.store(false, Ordering::Relaxed);
        self.trunk_tasks.shutdown().await;
        self.reports.stop().await;
        self.http_stop.cancel();
        let _ = timeout(LAST_MESSAGES, self.http_task).await;
        // Says BYE to whatever is left; its events end, and with them the switchboard and every call.
        let _ = timeout(LAST_MESSAGES, self.exchange.stack.clone().shutdown()).await;
        drop((self.switchboard, self.gateway));
        let _ = timeout(LAST_CALLS, self.switchboard_task).await;
        let engine = self.exchange.engine.clone();
        drop((self.exchange, self.journal));
        if timeout(LAST_MESSAGES, self.journal_task).await.is_err() {
            error!("the journal did not end in time; the last records may be missing");
        }
        // After the last records, so that what they tell may still leave.
        self.jobs.stop().await;
        let _ = tokio::task::spawn_blocking(move || engine.shutdown()).await;
    }
}

/// Read while nobody waits yet: it may be a long piece.
async fn music(config: &Config) -> anyhow::Result<Option<Arc<Music>>> {
    let Some(path) = config.media.hold_music.clone() else { return Ok(None) };
    let music = tokio::task::spawn_blocking(move || Music::load(&path)).await?;
    Ok(Some(Arc::new(music.context("media.hold_music cannot be played")?)))
}

async fn bind_sip(
    config: &Config,
) -> anyhow::Result<(sip::net::Stack, tokio::sync::mpsc::Receiver<sip::Event>)> {
    let (stack, events) = sip::net::bind(signalling::stack(config)?).await.context("sip.listen")?;
    // Before the first packet is answered, so that nobody is let in who has to prove something.
    stack.set_accounts(accounts(config)).await.context("the SIP stack")?;
    Trunks::new(config).tell_sources(&stack).await;
    Ok((stack, events))
}

fn start_media(config: &Config) -> anyhow::Result<media::net::Engine> {
    let engine = media::net::EngineConfig {
        bind: config.media_ip(),
        ports: config.media.ports.clone(),
        threads: config.media.threads,
        max_load: config.media.max_load,
        dscp: config.media.dscp,
        interface: config.media.interface.clone(),
        ..media::net::EngineConfig::default()
    };
    media::net::Engine::start(engine).context("media.bind, media.ports, media.interface")
}

/// Starts the engines that the configuration needs: the local mind only where an agent has it.
async fn start_models(config: &Config) -> anyhow::Result<Local> {
    let cores = match config.engines.cores {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        cores => cores,
    };
    let voices = config.voices().into_iter().skip(1).collect();
    let defaults = LocalConfig::default();
    let local = LocalConfig {
        engines_dir: config.engines.folder.clone().unwrap_or(defaults.engines_dir.clone()),
        models_dir: config.engines.models.clone().unwrap_or(defaults.models_dir.clone()),
        stt: Some(config.engines.stt.clone()),
        turn: Some(config.engines.turn.clone()).filter(|name| !name.is_empty()),
        llm: config.thinks_here().then(|| config.engines.llm.clone()),
        tts: Some(config.engines.tts.clone()),
        voices,
        permits: Permits::new(cores),
        ..defaults
    };
    Ok(models::local::start(local).await?)
}

fn minds(config: &Config, local: Local) -> anyhow::Result<(Minds, Supervisors)> {
    let missing = |what| anyhow!("no engine for {what} was started");
    let mut generators = brains(config);
    generators.extend(local.llm.map(|llm| (None, llm)));
    let minds = Minds {
        transcriber: local.stt.ok_or_else(|| missing("hearing"))?,
        judge: local.turn,
        synthesizer: local.tts.ok_or_else(|| missing("speaking"))?,
        generators,
        engines: local.supervisors.iter().map(Supervisor::handle).collect(),
    };
    Ok((minds, local.supervisors))
}

/// Everybody who can speak, with the stock sentences of the configuration's agents synthesized.
async fn cast(config: &Config, minds: Minds, outside: Outside) -> anyhow::Result<Cast> {
    let Minds { transcriber, judge, synthesizer, generators, .. } = minds;
    let ear = (transcriber, judge);
    let cast = Cast::new(ear, synthesizer, generators, config.turn_taking.clone(), outside);
    for agent in &config.agents {
        cast.can_think(&agent.brain).with_context(|| format!("agent {:?}", agent.name))?;
        info!(agent = agent.name, "synthesizing the stock sentences");
        cast.rehearse(agent).await;
    }
    Ok(cast)
}

/// The servers that the configuration names, by their names.
pub fn brains(config: &Config) -> HashMap<Option<String>, Arc<dyn Generator>> {
    config.brains.iter().map(|brain| (Some(brain.name.clone()), remote(brain))).collect()
}

fn remote(brain: &Brain) -> Arc<dyn Generator> {
    let timeouts = Timeouts { first_token: brain.timeout, ..Timeouts::default() };
    let key = brain.key.as_ref().map(|key| key.reveal().to_owned());
    match brain.model.as_str() {
        models::llm::remote::WEBHOOK_MODEL => Arc::new(ChatCompletions::webhook(&brain.url, key, timeouts)),
        model => Arc::new(ChatCompletions::new(&brain.url, key, model, timeouts)),
    }
}

/// What a phone on the LAN must dial where we listen on every interface: the address that the default route leaves from.
fn address_on_the_lan(listen: IpAddr) -> IpAddr {
    // An address of the documentation range (RFC 5737): only the routing table is asked, nothing is sent.
    let anywhere = SocketAddr::from(([192, 0, 2, 1], 9));
    match listen.is_unspecified() {
        true => local_ip_towards(anywhere).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        false => listen,
    }
}

fn tell_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd could not be told");
    }
}

/// Randomness of the operating system.
pub(crate) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness there are no ids, no keys and no SSRCs that a stranger cannot guess.
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
