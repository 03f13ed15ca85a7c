//! Who has which number, who answers it, and with which settings: in memory, as it now stands.
//!
//! Calls and messages ask here and never wait: what they see is a snapshot, which is replaced as a whole when somebody changes
//! something. What is true stands in the store and in the configuration; whoever changes it changes it here right after,
//! one change at a time ([`Directory::changing`]).

mod declared;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, MutexGuard};
use tracing::warn;

use crate::config::{Config, Example};
use crate::domain::{
    AccountId, Agent, AgentId, E164, Number, NumberId, NumberStatus, Region, Settings, Source,
};
use crate::store::{Registered, Store, StoreError};

pub use declared::Available;
pub use resolve::{Resolved, Wanted};

/// Shared by whoever asks.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

struct Shared {
    now: ArcSwap<Snapshot>,
    changes: Mutex<()>,
    /// Numbers that clients can have, in the order of the configuration.
    pool: Vec<Available>,
    quarantine: TimeDelta,
    region: Region,
    /// Other user parts that reach a number.
    aliases: HashMap<String, E164>,
    /// The lowest layer.
    base: crate::config::Agent,
    /// The examples of the configuration's agents, and the prompt that they belong to.
    examples: HashMap<AgentId, (String, Vec<Example>)>,
    limits: resolve::Limits,
}

/// Everything at one moment.
#[derive(Clone, Default)]
struct Snapshot {
    /// Those that are active.
    numbers: HashMap<NumberId, Arc<Number>>,
    by_e164: HashMap<E164, NumberId>,
    /// When numbers were last given back.
    released: HashMap<E164, DateTime<Utc>>,
    agents: HashMap<AgentId, Arc<Agent>>,
    /// The settings of accounts.
    accounts: HashMap<AccountId, Arc<Settings>>,
}

/// Why a number that a client has named is not to be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotANumber {
    /// A sentence that says what would be right.
    #[error("{0}")]
    Malformed(String),
    /// Nobody's, or somebody else's.
    #[error("is none of this account's numbers; GET /v1/numbers lists them")]
    NotOurs,
}

impl Directory {
    /// What the configuration declares and what clients have made, after the store was told of the former.
    ///
    /// # Errors
    /// The store fails.
    pub fn open(config: &Config, store: &Store, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let agents: Vec<_> = config.agents.iter().map(|agent| declared::agent(agent, now)).collect();
        let numbers: Vec<_> =
            config.numbers.iter().filter_map(|number| declared::assigned(number, now)).collect();
        let mut registered = store.register(&numbers, &agents, now)?;
        for number in registered.numbers.iter_mut().filter(|number| number.status == NumberStatus::Active) {
            match config.numbers.iter().find(|declared| declared.number == number.number) {
                // The operator may have moved it.
                Some(declared) => number.trunk.clone_from(&declared.trunk),
                None => warn!(number = %number.id, "a provisioned number is no longer in the configuration"),
            }
        }
        Ok(Self::new(config, registered))
    }

    /// What the configuration declares, all of the house account.
    #[cfg(test)]
    pub(crate) fn of(config: &Config) -> Self {
        let now = DateTime::UNIX_EPOCH;
        let agents = config.agents.iter().map(|agent| declared::agent(agent, now)).collect();
        let numbers = config.numbers.iter().filter_map(|number| declared::assigned(number, now)).collect();
        Self::new(config, Registered { numbers, agents, accounts: Vec::new() })
    }

    fn new(config: &Config, registered: Registered) -> Self {
        let free = config.numbers.iter().filter(|number| number.agent.is_none());
        let aliases = config
            .numbers
            .iter()
            .flat_map(|number| number.aliases.iter().map(|alias| (alias.clone(), number.number.clone())));
        let examples = config.agents.iter().filter(|agent| !agent.examples.is_empty());
        let shared = Shared {
            now: ArcSwap::from_pointee(Snapshot::of(registered)),
            changes: Mutex::new(()),
            pool: free.map(Available::new).collect(),
            quarantine: TimeDelta::from_std(config.numbering.quarantine).unwrap_or(TimeDelta::MAX),
            region: config.numbering.region,
            aliases: aliases.collect(),
            base: resolve::base(config),
            examples: examples
                .map(|agent| {
                    (AgentId::from_name(&agent.name), (agent.prompt.clone(), agent.examples.clone()))
                })
                .collect(),
            limits: resolve::Limits::new(config),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Held by whoever changes something, from looking to writing to telling this directory.
    pub async fn changing(&self) -> MutexGuard<'_, ()> {
        self.shared.changes.lock().await
    }

    /// Where a number without country code is meant.
    pub fn region(&self) -> Region {
        self.shared.region
    }

    /// The active number of an account by its id or in E.164.
    ///
    /// # Errors
    /// See [`NotANumber`]; another account's number is as good as nobody's.
    pub fn number(&self, account: &AccountId, id_or_e164: &str) -> Result<Arc<Number>, NotANumber> {
        let now = self.shared.now.load();
        let found = if id_or_e164.starts_with("num_") {
            let id: NumberId = id_or_e164.parse().map_err(NotANumber::Malformed)?;
            now.numbers.get(&id)
        } else {
            let number = E164::read(id_or_e164, self.shared.region).map_err(NotANumber::Malformed)?;
            now.by_e164.get(&number).and_then(|id| now.numbers.get(id))
        };
        found.filter(|number| number.account == *account).cloned().ok_or(NotANumber::NotOurs)
    }

    /// The number that a Request-URI's user part means, whosever it is: with or without its `+`, or one of its aliases.
    pub fn dialled(&self, user: &str) -> Option<Arc<Number>> {
        let now = self.shared.now.load();
        let digits = format!("+{}", user.strip_prefix('+').unwrap_or(user));
        let number = digits.parse().ok().filter(|number| now.by_e164.contains_key(number));
        let number: E164 = number.or_else(|| self.shared.aliases.get(user).cloned())?;
        now.by_e164.get(&number).and_then(|id| now.numbers.get(id)).cloned()
    }

    /// The agent of an account by its id or its name.
    pub fn agent(&self, account: &AccountId, id_or_name: &str) -> Option<Arc<Agent>> {
        let now = self.shared.now.load();
        let by_id = id_or_name.parse().ok().and_then(|id: AgentId| now.agents.get(&id));
        let of_name = || {
            let agents = now.agents.values();
            let agents = agents.filter(|agent| agent.account == *account && agent.name == id_or_name);
            // The configuration may have named one of its own so since.
            agents.min_by_key(|agent| agent.source != Source::Configuration)
        };
        by_id.filter(|agent| agent.account == *account).or_else(of_name).cloned()
    }

    /// An agent by its id, whosever it is.
    pub fn agent_of(&self, id: &AgentId) -> Option<Arc<Agent>> {
        self.shared.now.load().agents.get(id).cloned()
    }

    /// Who answers a number.
    pub fn agent_at(&self, number: &Number) -> Option<Arc<Agent>> {
        self.agent_of(number.agent_id.as_ref()?)
    }

    /// The house account's agent of this name, in any case of letters: for our own phones, which dial by name.
    pub(super) fn agent_called(&self, name: &str) -> Option<Arc<Agent>> {
        let now = self.shared.now.load();
        let house = AccountId::house();
        let is = |agent: &&Arc<Agent>| agent.account == house && agent.name.eq_ignore_ascii_case(name);
        now.agents.values().find(is).cloned()
    }

    /// The numbers that an agent answers, in order.
    pub fn numbers_of(&self, agent: &AgentId) -> Vec<Arc<Number>> {
        let now = self.shared.now.load();
        let mut numbers: Vec<_> =
            now.numbers.values().filter(|number| number.agent_id.as_ref() == Some(agent)).cloned().collect();
        numbers.sort_by(|a, b| a.number.cmp(&b.number));
        numbers
    }

    /// Numbers that nobody has and whose quarantine is over, in the order of the configuration, each with its place in the pool.
    pub fn available(&self, now: DateTime<Utc>) -> impl Iterator<Item = (usize, &Available)> {
        let (snapshot, quarantine) = (self.shared.now.load_full(), self.shared.quarantine);
        self.shared.pool.iter().enumerate().filter(move |(_, one)| {
            let rests = |at: &DateTime<Utc>| now - *at < quarantine;
            !snapshot.by_e164.contains_key(&one.number)
                && !snapshot.released.get(&one.number).is_some_and(rests)
        })
    }

    /// How many agents an account has.
    pub fn agents_of(&self, account: &AccountId) -> usize {
        self.shared.now.load().agents.values().filter(|agent| agent.account == *account).count()
    }

    /// A number as it now stands; one that is not active goes.
    pub fn put_number(&self, number: &Number) {
        self.shared.now.rcu(|now| {
            let mut next = Snapshot::clone(now);
            next.put(number.clone());
            next
        });
    }

    pub fn put_agent(&self, agent: &Agent) {
        self.shared.now.rcu(|now| {
            let mut next = Snapshot::clone(now);
            next.agents.insert(agent.id.clone(), Arc::new(agent.clone()));
            next
        });
    }

    pub fn remove_agent(&self, id: &AgentId) {
        self.shared.now.rcu(|now| {
            let mut next = Snapshot::clone(now);
            next.agents.remove(id);
            next
        });
    }

    pub fn put_account(&self, id: &AccountId, settings: &Settings) {
        self.shared.now.rcu(|now| {
            let mut next = Snapshot::clone(now);
            next.accounts.insert(id.clone(), Arc::new(settings.clone()));
            next
        });
    }
}

impl Snapshot {
    fn of(Registered { numbers, agents, accounts }: Registered) -> Self {
        let agents = agents.into_iter().map(|agent| (agent.id.clone(), Arc::new(agent))).collect();
        let accounts = accounts.into_iter().map(|(id, settings)| (id, Arc::new(settings))).collect();
        let mut snapshot = Self { agents, accounts, ..Self::default() };
        for number in numbers {
            snapshot.put(number);
        }
        snapshot
    }

    fn put(&mut self, number: Number) {
        if number.status == NumberStatus::Active {
            self.by_e164.insert(number.number.clone(), number.id.clone());
            self.numbers.insert(number.id.clone(), Arc::new(number));
            return;
        }
        if self.numbers.remove(&number.id).is_some() {
            self.by_e164.remove(&number.number);
        }
        if let Some(at) = number.released_at {
            let last = self.released.entry(number.number).or_insert(at);
            *last = at.max(*last);
        }
    }
}
