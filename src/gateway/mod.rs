//! The verbs of the product: what can be asked of a running gateway, whoever asks. One file per noun.

mod access;
mod agents;
mod backup;
mod calls;
mod carriers;
mod coder;
mod credits;
mod error;
mod events;
mod guards;
mod keys;
mod messages;
mod metrics;
mod numbers;
mod once;
mod registry;
mod settings;
mod speech;
mod supervise;
mod usage;
mod webhooks;
mod words;

use std::sync::Arc;

use models::process::{EngineHandle, Status};
use tokio::sync::broadcast;

pub use agents::{NewAgent, PatchAgent};
pub use calls::{DryRun, PlaceCall, Press, Say, TransferCall};
pub use credits::{Balance, GrantCredits, PurchaseCredits};
pub use error::{Error, Kind};
pub use events::{Listener, Told};
pub use keys::{Keyring, KeyringError, Secret, admin_key_path};
pub use messages::{SendText, number_in_query};
pub use numbers::{PatchNumber, ProvisionNumber, Want};
pub use once::Once;
pub use registry::{NewAccount, NewKey, PatchAccount, Registry};
pub use settings::{At, SettingsPatch};
pub use speech::{Gender, Speak, Spoken, Voice};
pub use supervise::{Instruct, SuperviseCall};
pub use usage::{DayOfUsage, UsageReport};
pub use webhooks::{CreateWebhook, DeliveryFilter, PatchWebhook, RotateSecret};
pub use words::{Link, Pieces, Sound, SoundFormat, Transcript, WantLink};

use crate::call::{Exchange, ExtensionReport, Journal, Switchboard, TrunkReport, Waves};
use crate::config::Config;
use crate::domain::{AccountId, Event, Number, Principal, Scope};
use crate::store::{Store, StoreError};

#[derive(Clone)]
pub struct Gateway {
    exchange: Arc<Exchange>,
    switchboard: Switchboard,
    journal: Journal,
    store: Store,
    keys: Arc<Keyring>,
    /// Signs links to recordings.
    seal: words::Seal,
    registry: Registry,
    /// Tells this process from those before it.
    process: u64,
    metrics: Arc<metrics::Metrics>,
}

/// Counters of the whole box.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Report {
    pub calls: usize,
    /// Outbound calls that are not dialled yet.
    pub waiting: usize,
    pub max_calls: usize,
    pub sip: SipReport,
    pub media: MediaReport,
    pub trunks: Vec<TrunkReport>,
    pub extensions: Vec<ExtensionReport>,
    pub engines: Vec<EngineReport>,
    pub store_healthy: bool,
}

/// An engine of the box: what hears, thinks or speaks.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct EngineReport {
    /// `whisper`, `llama` or `piper`.
    pub name: &'static str,
    pub ready: bool,
    /// Jobs that wait for it, or for a core.
    pub waiting: usize,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SipReport {
    pub received: u64,
    pub sent: u64,
    pub malformed: u64,
    pub retransmits_sent: u64,
    pub refused: u64,
    pub legs: usize,
    pub transactions: usize,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MediaReport {
    pub sessions: usize,
    pub ports_free: usize,
    pub ports_resting: usize,
    pub late_ticks: u64,
    /// Ticks that were never made, because a thread stood still for too long.
    pub skipped_ticks: u64,
    pub longest_tick_us: u64,
    /// How much of its time the busiest media thread works, per cent.
    pub load: u32,
    /// Calls that were refused because one more would have made the others' ticks late.
    pub overloaded: u64,
    /// Packets that the operating system did not take.
    pub send_errors: u64,
    pub panics: u64,
}

impl Gateway {
    /// `links`: signs links to recordings, the same after every start.
    pub fn new(
        exchange: Arc<Exchange>,
        switchboard: Switchboard,
        journal: Journal,
        store: Store,
        keys: Arc<Keyring>,
        links: [u8; 32],
        chance: fn() -> [u8; 32],
    ) -> Self {
        let registry = Registry::new(store.clone(), keys.clone(), chance);
        let random = chance();
        let process = u64::from_le_bytes(std::array::from_fn(|n| random[n]));
        let seal = words::Seal::new(links);
        let metrics = metrics::shared();
        Self { exchange, switchboard, journal, store, keys, seal, registry, process, metrics }
    }

    /// A random number that tells this process from those before it.
    pub fn process(&self) -> u64 {
        self.process
    }

    /// Places for a call or a message, the best first.
    async fn route(&self, from: &Number, to: &str) -> Result<Waves, Error> {
        self.exchange.route(from, to).await.map_err(Error::route)
    }

    /// The account's number that a client calls or writes from, by its id or in E.164.
    fn number_of(&self, account: &AccountId, from: &str) -> Result<Arc<Number>, Error> {
        self.exchange.directory.number(account, from).map_err(|error| Error::field("from", error.to_string()))
    }

    /// For ids.
    fn random_id(&self) -> [u8; 10] {
        let random = (self.exchange.chance)();
        std::array::from_fn(|n| random[n])
    }

    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || act(&store)).await;
        Ok(read.map_err(|_| Error::new(Kind::Internal, "reading failed; see the log"))??)
    }

    /// What the operator has said.
    pub fn config(&self) -> &Config {
        &self.exchange.config
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.journal.subscribe()
    }

    /// The counters, for who may see the whole box.
    pub async fn report_to(&self, who: &Principal) -> Result<Report, Error> {
        who.require(Scope::Admin)?;
        Ok(self.report().await)
    }

    pub async fn report(&self) -> Report {
        let sip = self.exchange.stack.stats().await.unwrap_or_default();
        let media = self.exchange.engine.stats();
        Report {
            calls: self.switchboard.live(),
            waiting: self.switchboard.waiting(),
            max_calls: self.exchange.config.limits.max_calls,
            sip: SipReport {
                received: sip.received,
                sent: sip.sent,
                malformed: sip.malformed,
                retransmits_sent: sip.retransmits_sent,
                refused: sip.refused_admission,
                legs: sip.legs,
                transactions: sip.transactions,
            },
            media: MediaReport {
                sessions: media.sessions,
                ports_free: media.ports_free,
                ports_resting: media.ports_resting,
                late_ticks: media.late_ticks,
                skipped_ticks: media.skipped_ticks,
                longest_tick_us: media.longest_tick_us,
                load: media.load,
                overloaded: media.overloaded,
                send_errors: media.send_errors,
                panics: media.panics,
            },
            trunks: self.exchange.trunks.report(),
            extensions: self.exchange.extensions.report(),
            engines: self.exchange.engines.iter().map(engine).collect(),
            store_healthy: self.journal.healthy(),
        }
    }
}

fn engine(handle: &EngineHandle) -> EngineReport {
    let ready = matches!(handle.status(), Status::Ready { .. });
    EngineReport { name: handle.name(), ready, waiting: handle.waiting() }
}
