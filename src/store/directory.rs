//! Numbers and agents: what the directory in memory is made of, and the lists of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use redb::WriteTransaction;

use super::collection::{self, Kept};
use super::events::tell;
use super::{Cursor, Page, Store, StoreError};
use crate::domain::{AccountId, Agent, AgentId, Number, NumberId, NumberStatus, Settings, Source};

impl Kept for Number {
    const TABLE: &'static str = "numbers";
    const LISTS: &'static str = "numbers_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        let status =
            |status| list(&self.account, &NumberFilter { status: Some(status), ..NumberFilter::default() });
        let of_agent = self.agent_id.clone().map(|agent| {
            list(&self.account, &NumberFilter { agent: Some(agent), ..NumberFilter::default() })
        });
        [self.account.to_string(), status(self.status)].into_iter().chain(of_agent).collect()
    }
}

impl Kept for Agent {
    const TABLE: &'static str = "agents";
    const LISTS: &'static str = "agents_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![self.account.to_string()]
    }
}

/// Which numbers of an account.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct NumberFilter {
    pub status: Option<NumberStatus>,
    /// Those that it answers.
    pub agent: Option<AgentId>,
}

/// The narrowest list that holds what fits.
fn list(account: &AccountId, filter: &NumberFilter) -> String {
    match filter {
        NumberFilter { agent: Some(agent), .. } => format!("{account}/agent={agent}"),
        NumberFilter { status: Some(NumberStatus::Active), .. } => format!("{account}/status=active"),
        NumberFilter { status: Some(NumberStatus::Released), .. } => format!("{account}/status=released"),
        NumberFilter { status: None, agent: None } => account.to_string(),
    }
}

/// What is kept of numbers and agents, and the settings of accounts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Registered {
    pub numbers: Vec<Number>,
    pub agents: Vec<Agent>,
    pub accounts: Vec<(AccountId, Settings)>,
}

impl Store {
    /// Brings what is kept into line with the configuration, and reads all of it. `numbers` and `agents` are those that the
    /// configuration declares; of them the store keeps what clients hang on them, and when they were first seen.
    ///
    /// An account that has a number which the configuration now gives to an agent of its own loses it, and is told so.
    pub fn register(
        &self,
        numbers: &[Number],
        agents: &[Agent],
        now: DateTime<Utc>,
    ) -> Result<Registered, StoreError> {
        self.change(|tx| {
            register_agents(tx, agents)?;
            register_numbers(tx, numbers, now)
        })?;
        let transaction = self.begin_read()?;
        Ok(Registered {
            numbers: collection::all(&transaction)?,
            agents: collection::all(&transaction)?,
            accounts: self.all_accounts()?.into_iter().map(|one| (one.id, one.settings)).collect(),
        })
    }

    pub fn number(&self, id: &NumberId) -> Result<Option<Number>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    pub fn numbers(
        &self,
        account: &AccountId,
        filter: &NumberFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Number>, StoreError> {
        let fits = |number: &Number| filter.status.is_none_or(|status| number.status == status);
        collection::page(&self.begin_read()?, &list(account, filter), after, limit, fits)
    }

    pub fn put_agent(&self, agent: &Agent) -> Result<(), StoreError> {
        self.change(|tx| collection::put(tx, agent).map(drop))
    }

    pub fn remove_agent(&self, id: &AgentId) -> Result<(), StoreError> {
        self.change(|tx| collection::remove::<Agent>(tx, id.as_str()).map(drop))
    }

    pub fn agents(
        &self,
        account: &AccountId,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Agent>, StoreError> {
        collection::page(&self.begin_read()?, account.as_str(), after, limit, |_| true)
    }
}

fn register_agents(tx: &WriteTransaction, declared: &[Agent]) -> Result<(), StoreError> {
    let kept: HashMap<_, _> = kept::<Agent>(tx)?;
    for agent in declared {
        let before = kept.get(agent.id.as_str());
        let created_at = before.map_or(agent.created_at, |before| before.created_at);
        let is_same =
            before.is_some_and(|before| before.name == agent.name && before.settings == agent.settings);
        if !is_same {
            collection::put(tx, &Agent { created_at, ..agent.clone() })?;
        }
    }
    for agent in kept.values().filter(|agent| agent.source == Source::Configuration) {
        if !declared.iter().any(|declared| declared.id == agent.id) {
            collection::remove::<Agent>(tx, agent.id.as_str())?;
        }
    }
    Ok(())
}

fn register_numbers(
    tx: &WriteTransaction,
    declared: &[Number],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let kept: HashMap<_, _> = kept::<Number>(tx)?;
    for number in declared {
        let number = match kept.get(number.id.as_str()) {
            None => number.clone(),
            Some(before) => Number {
                label: before.label.clone(),
                inbound: before.inbound.clone(),
                outbound: before.outbound.clone(),
                metadata: before.metadata.clone(),
                extra: before.extra.clone(),
                created_at: before.created_at,
                updated_at: before.updated_at,
                ..number.clone()
            },
        };
        if kept.get(number.id.as_str()) != Some(&number) {
            collection::put(tx, &number)?;
        }
    }
    for number in kept.values().filter(|number| number.status == NumberStatus::Active) {
        let declared = declared.iter().find(|declared| declared.number == number.number);
        match (number.source, declared) {
            (Source::Configuration, None) => drop(collection::remove::<Number>(tx, number.id.as_str())?),
            (Source::Api, Some(_)) => {
                tracing::warn!(number = %number.id, account = %number.account, "the configuration takes a number back from an account");
                let mut number = number.clone();
                let event = number.release(now);
                collection::put(tx, &number)?;
                tell(tx, &[event])?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn kept<T: Kept>(tx: &WriteTransaction) -> Result<HashMap<String, T>, StoreError> {
    let all = collection::all_to_change::<T>(tx)?;
    Ok(all.into_iter().map(|thing| (thing.id().to_owned(), thing)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, Metadata, NumberKind};
    use crate::store::{Entry, Record};

    fn put(store: &Store, number: &Number, events: Vec<Event>) {
        store.record(&[Entry { record: Record::Number(Box::new(number.clone())), events }]).unwrap();
    }

    fn number(last: u8, source: Source) -> Number {
        Number {
            id: match source {
                Source::Configuration => NumberId::from_name(&last.to_string()),
                Source::Api => NumberId::from_random([last; 10]),
            },
            account: match source {
                Source::Configuration => AccountId::house(),
                Source::Api => AccountId::from_name("clinic"),
            },
            number: format!("+1415555000{last}").parse().unwrap(),
            status: NumberStatus::Active,
            source,
            country: "US".into(),
            area_code: Some("415".into()),
            kind: NumberKind::Local,
            trunk: "lan".into(),
            label: None,
            agent_id: None,
            inbound: Settings::default(),
            outbound: Settings::default(),
            metadata: Metadata::new(),
            extra: Metadata::new(),
            created_at: at(1),
            updated_at: at(1),
            released_at: None,
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::seconds(second)
    }

    fn agent(name: &str, prompt: &str) -> Agent {
        Agent {
            id: AgentId::from_name(name),
            account: AccountId::house(),
            name: name.into(),
            source: Source::Configuration,
            settings: Settings { prompt: Some(prompt.into()), ..Settings::default() },
            metadata: Metadata::new(),
            created_at: at(1),
            updated_at: at(1),
        }
    }

    #[test]
    fn what_the_configuration_declares_is_kept_once_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let declared = number(1, Source::Configuration);
        store.register(std::slice::from_ref(&declared), &[agent("desk", "One.")], at(1)).unwrap();
        let labelled = Number { label: Some("Door".into()), ..declared.clone() };
        put(&store, &labelled, vec![]);
        let again = Number { created_at: at(9), trunk: "other".into(), ..declared.clone() };
        let found = store.register(&[again], &[agent("desk", "Two.")], at(9)).unwrap();
        assert_eq!(found.numbers, [Number { trunk: "other".into(), ..labelled }]);
        assert_eq!(found.agents[0].settings.prompt.as_deref(), Some("Two."));
        let found = store.register(&[], &[], at(10)).unwrap();
        assert_eq!((found.numbers, found.agents), (vec![], vec![]));
    }

    #[test]
    fn a_number_that_the_configuration_takes_back_is_released_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let theirs = number(1, Source::Api);
        put(&store, &theirs, vec![theirs.provisioned()]);
        store.register(&[number(1, Source::Configuration)], &[], at(5)).unwrap();
        let released = store.number(&theirs.id).unwrap().unwrap();
        assert_eq!((released.status, released.released_at), (NumberStatus::Released, Some(at(5))));
        let events = store.events(&theirs.id).unwrap();
        let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
        assert_eq!(names, ["number.provisioned", "number.released"]);
    }

    #[test]
    fn numbers_are_listed_by_state_and_agent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (account, desk) = (AccountId::from_name("clinic"), AgentId::from_name("desk"));
        let mut all = [1, 2, 3].map(|last| number(last, Source::Api));
        all[1].agent_id = Some(desk.clone());
        all[2].release(at(3));
        all.iter().for_each(|number| put(&store, number, vec![]));
        let listed = |status, agent: Option<&AgentId>| {
            let filter = NumberFilter { status, agent: agent.cloned() };
            store.numbers(&account, &filter, None, 9).unwrap().items.len()
        };
        assert_eq!((listed(None, None), listed(Some(NumberStatus::Active), None)), (3, 2));
        assert_eq!(listed(None, Some(&desk)), 1);
        assert_eq!(listed(Some(NumberStatus::Released), Some(&desk)), 0);
    }
}
