//! A whole gateway on loopback: real sockets, real store, real media; models as the test wants them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use models::fake::{FakeGenerator, FakeSynthesizer, FakeTranscriber};
use models::{Generator, Synthesizer, Transcriber, TurnJudge};
use offhook::app::{Appliance, Minds, Premises, brains};
use offhook::config::Config;
use offhook::domain::{Call, CallId, Event, Principal};
use offhook::gateway::Gateway;
use offhook::store::recording_file;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::time::timeout;

use crate::ports::free_ports;

pub(crate) const NUMBER: &str = "+15550100001";
/// What a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test sets before its world begins.
pub(crate) struct Setting {
    pub(crate) transcriber: Arc<dyn Transcriber>,
    pub(crate) judge: Option<Arc<dyn TurnJudge>>,
    pub(crate) synthesizer: Arc<dyn Synthesizer>,
    pub(crate) generator: Arc<dyn Generator>,
    /// Further lines of the agent's table. No report is written where they say nothing of it.
    pub(crate) agent: &'static str,
    /// Whose calls are the trunk's.
    pub(crate) allow: &'static str,
    /// Further lines of the trunk's table.
    pub(crate) trunk: &'static str,
    /// The addresses of UDP, as they stand in the file.
    pub(crate) listen: &'static str,
    /// Further lines of the table [sip].
    pub(crate) sip: &'static str,
    /// Further lines of the table [http].
    pub(crate) http: &'static str,
    /// Further lines of the table [media].
    pub(crate) media: String,
    /// Further tables of the file.
    pub(crate) more: String,
    pub(crate) max_calls: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            transcriber: Arc::new(FakeTranscriber::says(["Do you open today?"])),
            judge: None,
            synthesizer: Arc::new(FakeSynthesizer::default()),
            generator: Arc::new(FakeGenerator::says(["Yes, at nine."])),
            agent: "",
            allow: "127.0.0.0/8",
            trunk: "",
            listen: "'127.0.0.1:0'",
            sip: "",
            http: "",
            media: String::new(),
            more: String::new(),
            max_calls: 10,
        }
    }
}

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) sip: SocketAddr,
    pub(crate) http: SocketAddr,
    events: broadcast::Receiver<Event>,
    seen: Vec<Event>,
    appliance: Appliance,
    pub(crate) data: TempDir,
}

impl World {
    pub(crate) async fn start(setting: Setting) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), setting).await
    }

    /// With what an earlier world has left.
    pub(crate) async fn start_in(data: TempDir, setting: Setting) -> Self {
        // Each world has its own RTP ports, so that tests run side by side.
        let first = free_ports(Ipv4Addr::UNSPECIFIED.into(), 40);
        // Tests that are about something else have the greeting first.
        let disclosure = if setting.agent.contains("disclosure") { "" } else { "disclosure = ''\n" };
        let report = if setting.agent.contains("report =") { "" } else { "report = false\n" };
        let text = format!(
            "data = {:?}\n\
             [sip]\nlisten = {}\n{}\n\
             [http]\nlisten = '127.0.0.1:0'\n{}\n\
             [media]\nports = '{first}-{}'\n{}\n\
             [limits]\nmax_calls = {}\ngrace_s = 1\n\
             [[trunk]]\nname = 'lan'\nallow = ['{}']\n{}\n\
             [[agent]]\nname = 'desk'\nfirst_message = 'Hello there.'\n{disclosure}{report}{}\n\
             [[number]]\nnumber = '{NUMBER}'\naliases = ['100']\nagent = 'desk'\ntrunk = 'lan'\n{}\n",
            data.path().display().to_string(),
            setting.listen,
            setting.sip,
            setting.http,
            first + 39,
            setting.media,
            setting.max_calls,
            setting.allow,
            setting.trunk,
            setting.agent,
            setting.more,
        );
        let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let mut generators = brains(&config);
        generators.insert(None, setting.generator);
        let premises = Premises::take(config).await.unwrap();
        let minds = Minds {
            transcriber: setting.transcriber,
            judge: setting.judge,
            synthesizer: setting.synthesizer,
            generators,
            engines: Vec::new(),
        };
        let appliance = Appliance::start(premises, minds).await.unwrap();
        let gateway = appliance.gateway().clone();
        let events = gateway.subscribe();
        World {
            sip: appliance.sip_address(),
            http: appliance.http_address(),
            gateway,
            events,
            seen: Vec::new(),
            appliance,
            data,
        }
    }

    /// Every address of UDP.
    pub(crate) fn sip_addresses(&self) -> Vec<SocketAddr> {
        self.appliance.sip_addresses().to_vec()
    }

    /// For a world whose table [sip] has `tcp`.
    pub(crate) fn sip_by_tcp(&self) -> SocketAddr {
        self.appliance.sip_address_by_tcp().unwrap()
    }

    /// The first event that fits, of those seen so far or still to come.
    pub(crate) async fn event(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        self.event_within(PATIENCE, what, fits).await
    }

    /// The same for what a real engine thinks about, while other tests have theirs think.
    pub(crate) async fn event_within(
        &mut self,
        patience: Duration,
        what: &str,
        fits: impl Fn(&Event) -> bool,
    ) -> Event {
        if let Some(event) = self.seen.iter().find(|event| fits(event)) {
            return event.clone();
        }
        loop {
            let event = timeout(patience, self.events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("no {what} came; seen: {:#?}", self.seen)).unwrap();
            self.seen.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    /// The first event of this name.
    pub(crate) async fn named(&mut self, name: &str) -> Event {
        self.event(name, |event| event.kind.name() == name).await
    }

    /// The call that the first event of this name tells of.
    pub(crate) async fn call_id(&mut self, name: &str) -> CallId {
        self.named(name).await.call().unwrap().clone()
    }

    /// All events of a call, once it has ended.
    pub(crate) async fn until_ended(&mut self) -> (Call, Vec<Event>) {
        let ended = self.named("call.ended").await;
        (self.call(ended.call().unwrap()).await, self.seen.clone())
    }

    pub(crate) async fn call(&self, id: &CallId) -> Call {
        self.gateway.call(&Principal::operator(), id.clone()).await.unwrap()
    }

    /// The file of a call's recording, which its record says is there.
    pub(crate) fn recording(&self, call: &Call) -> PathBuf {
        assert_eq!(call.recordings.iter().map(|recording| recording.part).next(), Some(0));
        recording_file(self.data.path(), &call.account, &call.id)
    }

    /// What a first signal does.
    pub(crate) async fn drain(&self) {
        self.appliance.drain().await;
    }

    /// Everything ends; the data folder stays.
    pub(crate) async fn stop(self) -> TempDir {
        let Self { appliance, gateway, events, data, .. } = self;
        drop((gateway, events));
        appliance.stop().await;
        data
    }
}
