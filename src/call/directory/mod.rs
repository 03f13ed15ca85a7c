//! Who has which number, who answers it, and with which settings: in memory, as it now stands.
//!
//! Calls and messages ask here and never wait: what they see is a snapshot, which is replaced as a whole when somebody changes
//! something. What is true stands in the store and in the configuration; whoever changes it changes it here right after,
//! one change at a time ([`Directory::changing`]).

mod resolve;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, MutexGuard};

use crate::config::{Config, Example};
use crate::domain::{
    AccountId, Agent, AgentId, BrainChoice, E164, Metadata, Number, NumberId, NumberStatus, Region, Settings,
    Source,
};

pub use resolve::{Resolved, Wanted};

/// Shared by whoever asks.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

struct Shared {
    now: ArcSwap<Snapshot>,
    changes: Mutex<()>,
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
    /// What the configuration declares, all of the house account.
    pub fn new(config: &Config, now: DateTime<Utc>) -> Self {
        let agents: Vec<_> = config.agents.iter().map(|agent| of_configuration(agent, now)).collect();
        let numbers = config.numbers.iter().filter_map(|number| assigned(number, now));
        let aliases = config
            .numbers
            .iter()
            .flat_map(|number| number.aliases.iter().map(|alias| (alias.clone(), number.number.clone())));
        let examples = config.agents.iter().filter(|agent| !agent.examples.is_empty());
        let shared = Shared {
            now: ArcSwap::from_pointee(Snapshot::of(numbers, agents, [])),
            changes: Mutex::new(()),
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
        let named =
            || now.agents.values().find(|agent| agent.name == id_or_name && agent.account == *account);
        by_id.filter(|agent| agent.account == *account).or_else(named).cloned()
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
    fn of(
        numbers: impl IntoIterator<Item = Number>,
        agents: impl IntoIterator<Item = Agent>,
        accounts: impl IntoIterator<Item = (AccountId, Settings)>,
    ) -> Self {
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
        } else if self.numbers.remove(&number.id).is_some() {
            self.by_e164.remove(&number.number);
        }
    }
}

/// An agent of the configuration as the API shows it.
pub(crate) fn of_configuration(agent: &crate::config::Agent, now: DateTime<Utc>) -> Agent {
    Agent {
        id: AgentId::from_name(&agent.name),
        account: AccountId::house(),
        name: agent.name.clone(),
        source: Source::Configuration,
        settings: Settings {
            brain: Some(agent.brain.clone()),
            prompt: Some(agent.prompt.clone()),
            first_message: Some(agent.first_message.clone()),
            goodbye: Some(agent.goodbye.clone()),
            apology: Some(agent.apology.clone()),
            still_there: Some(agent.still_there.clone()),
            transfer_failed: Some(agent.transfer_failed.clone()),
            voice: agent.voice.clone(),
            speed: Some(agent.speed),
            language: Some(agent.language.clone()),
            end_call_phrases: Some(agent.end_call_phrases.clone()),
            max_tokens: Some(agent.max_tokens),
            temperature: Some(agent.temperature),
            top_p: Some(agent.top_p),
            repeat_penalty: Some(agent.repeat_penalty),
            max_duration_s: None,
            record: None,
        },
        metadata: Metadata::new(),
        created_at: now,
        updated_at: now,
    }
}

/// A number of the pool as an account has it.
pub(crate) fn in_pool(number: &crate::config::Number, id: NumberId, now: DateTime<Utc>) -> Number {
    let plan = number.number.plan();
    Number {
        id,
        account: AccountId::house(),
        number: number.number.clone(),
        status: NumberStatus::Active,
        source: Source::Api,
        country: number.country.clone().unwrap_or(plan.country),
        area_code: number.area_code.clone().or(plan.area_code),
        kind: number.kind.unwrap_or(plan.kind),
        trunk: number.trunk.clone(),
        label: None,
        agent_id: None,
        inbound: Settings::default(),
        outbound: Settings::default(),
        metadata: Metadata::new(),
        extra: Metadata::new(),
        created_at: now,
        updated_at: now,
        released_at: None,
    }
}

/// A number that the configuration gives to an agent, if it does.
pub(crate) fn assigned(number: &crate::config::Number, now: DateTime<Utc>) -> Option<Number> {
    let agent = number.agent.as_deref()?;
    let id = NumberId::from_name(number.number.as_str());
    let agent_id = Some(AgentId::from_name(agent));
    Some(Number { source: Source::Configuration, agent_id, ..in_pool(number, id, now) })
}

/// The brain of the configuration that stands for what says nothing of its brain.
pub(crate) fn usual_brain(config: &Config) -> BrainChoice {
    let first = config.brains.first().filter(|_| !config.thinks_here());
    first.map_or(BrainChoice::Local, |brain| BrainChoice::Configured { name: brain.name.clone() })
}
