//! Agents: made, changed, ended.

use std::sync::Arc;

use chrono::Utc;

use super::settings::{At, SettingsPatch, check_metadata};
use super::{Error, Gateway, Kind};
use crate::domain::{AccountId, Agent, AgentId, Metadata, Principal, Scope, Settings, Source};
use crate::store::{Cursor, Page};

/// Characters of a name.
const LONGEST_NAME: usize = 100;
/// Agents that one account may have.
const MOST_AGENTS: usize = 1_000;

/// An agent that a client wants to have.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "reception", "settings": { "prompt": "You answer for Clinic North. Be brief.", "first_message": "Clinic North, hello." },
}))]
pub struct NewAgent {
    /// 1 to 100 characters, unlike those of the account's other agents.
    pub name: String,
    /// What is left out the account says, then the configuration.
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
}

/// What to change of an agent; what is left out stays.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "settings": { "first_message": "Good morning, Clinic North.", "voice": null } }))]
pub struct PatchAgent {
    #[serde(default)]
    pub name: Option<String>,
    /// What is left out stays, and `null` takes a setting away.
    #[serde(default)]
    #[schema(value_type = Option<Settings>)]
    pub settings: Option<SettingsPatch>,
    /// Replaces it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Metadata>,
}

impl Gateway {
    pub async fn create_agent(&self, who: &Principal, new: NewAgent) -> Result<Agent, Error> {
        who.require(Scope::AgentsWrite)?;
        check_metadata(&new.metadata)?;
        self.check_settings(&new.settings, At::Settings).await?;
        let directory = &self.exchange.directory;
        let _changing = directory.changing().await;
        if directory.agents_of(&who.account) >= MOST_AGENTS {
            let why = format!("an account may have {MOST_AGENTS} agents; delete one that is not used");
            return Err(Error::coded(Kind::Conflict, "too_many_agents", why));
        }
        let now = Utc::now();
        let agent = Agent {
            id: AgentId::from_random(self.random_id()),
            name: self.free_name(&who.account, new.name, None)?,
            account: who.account.clone(),
            source: Source::Api,
            settings: new.settings,
            metadata: new.metadata,
            created_at: now,
            updated_at: now,
        };
        self.keep_agent(&agent).await?;
        Ok(agent)
    }

    /// The newest first.
    pub async fn agents(
        &self,
        who: &Principal,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Agent>, Error> {
        who.require(Scope::AgentsRead)?;
        let account = who.account.clone();
        self.read(move |store| store.agents(&account, cursor.as_ref(), limit)).await
    }

    pub fn agent(&self, who: &Principal, id: &AgentId) -> Result<Agent, Error> {
        who.require(Scope::AgentsRead)?;
        self.own_agent(&who.account, id).map(|agent| (*agent).clone())
    }

    /// Calls that are up keep the settings that they began with.
    pub async fn patch_agent(&self, who: &Principal, id: AgentId, patch: PatchAgent) -> Result<Agent, Error> {
        who.require(Scope::AgentsWrite)?;
        patch.metadata.as_ref().map_or(Ok(()), check_metadata)?;
        self.check_patch(patch.settings.as_ref(), At::Settings).await?;
        let _changing = self.exchange.directory.changing().await;
        let mut agent = self.agent_to_change(&who.account, &id)?;
        if let Some(settings) = patch.settings {
            agent.settings = settings.apply(&agent.settings, At::Settings)?;
        }
        if let Some(name) = patch.name {
            agent.name = self.free_name(&who.account, name, Some(&id))?;
        }
        agent.metadata = patch.metadata.unwrap_or(agent.metadata);
        agent.updated_at = Utc::now();
        self.keep_agent(&agent).await?;
        Ok(agent)
    }

    /// Ends an agent that answers no number.
    pub async fn delete_agent(&self, who: &Principal, id: AgentId) -> Result<(), Error> {
        who.require(Scope::AgentsWrite)?;
        let directory = &self.exchange.directory;
        let _changing = directory.changing().await;
        self.agent_to_change(&who.account, &id)?;
        let numbers = directory.numbers_of(&id);
        if !numbers.is_empty() {
            let list: Vec<_> = numbers.iter().map(|number| number.id.as_str()).collect();
            let why = format!("the agent answers {}; detach them first", list.join(", "));
            return Err(Error::coded(Kind::Conflict, "agent_in_use", why));
        }
        let gone = id.clone();
        self.read(move |store| store.remove_agent(&gone)).await?;
        directory.remove_agent(&id);
        Ok(())
    }

    pub(super) fn own_agent(&self, account: &AccountId, id: &AgentId) -> Result<Arc<Agent>, Error> {
        let found = self.exchange.directory.agent_of(id).filter(|agent| agent.account == *account);
        found.ok_or_else(|| Error::missing("agent", id))
    }

    fn agent_to_change(&self, account: &AccountId, id: &AgentId) -> Result<Agent, Error> {
        let agent = self.own_agent(account, id)?;
        if agent.source == Source::Configuration {
            let why = "this agent stands in the configuration; change it there ([[agent]])";
            return Err(Error::coded(Kind::Conflict, "configured", why));
        }
        Ok((*agent).clone())
    }

    fn free_name(&self, account: &AccountId, name: String, own: Option<&AgentId>) -> Result<String, Error> {
        let length = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) || name.trim() != name {
            let reason = format!("must be 1 to {LONGEST_NAME} characters, without blanks at its ends");
            return Err(Error::field("name", reason));
        }
        // It would be taken for an id where either may stand.
        if name.starts_with("agt_") {
            return Err(Error::field("name", "begins with agt_, which only ids do"));
        }
        match self.exchange.directory.agent(account, &name) {
            Some(agent) if Some(&agent.id) != own => {
                let why = format!("there is an agent {name:?} already: {}", agent.id);
                Err(Error { field: Some("name"), ..Error::coded(Kind::Conflict, "name_taken", why) })
            }
            _ => Ok(name),
        }
    }

    /// Under [`Directory::changing`](crate::call::Directory::changing).
    async fn keep_agent(&self, agent: &Agent) -> Result<(), Error> {
        let kept = agent.clone();
        self.read(move |store| store.put_agent(&kept)).await?;
        self.exchange.directory.put_agent(agent);
        Ok(())
    }
}
