//! Numbers: taken from the pool, set up, given back.

use std::sync::Arc;

use chrono::Utc;

use super::registry::given;
use super::settings::{At, SettingsPatch, check_metadata};
use super::{Error, Gateway, Kind};
use crate::call::Available;
use crate::domain::{
    AccountId, Agent, AgentId, E164, Event, Metadata, Number, NumberId, NumberKind, NumberStatus, Principal,
    Scope, Settings, Source,
};
use crate::store::{Cursor, Entry, NumberFilter, Page, Record};

/// Characters of a label.
const LONGEST_LABEL: usize = 200;

/// Which numbers are wanted.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Want {
    /// ISO 3166-1 alpha-2.
    #[param(example = "US")]
    pub country: Option<String>,
    /// As the country writes it, without a leading 0.
    #[param(example = "415")]
    pub area_code: Option<String>,
    /// As the country's numbering plan says, or the operator.
    pub kind: Option<NumberKind>,
}

/// A number that a client wants to have. Without `number`: the first free one of the pool that fits.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "country": "US", "area_code": "415", "label": "Front desk", "agent": "agt_0123456789abcdef" }))]
pub struct ProvisionNumber {
    /// Just this one, in E.164.
    #[serde(default)]
    pub number: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default)]
    pub country: Option<String>,
    /// As the country writes it, without a leading 0.
    #[serde(default)]
    pub area_code: Option<String>,
    #[serde(default)]
    pub kind: Option<NumberKind>,
    /// For people; at most 200 characters.
    #[serde(default)]
    pub label: Option<String>,
    /// Who answers it, by id or name. Without one the number's own settings decide, then the account's.
    #[serde(default)]
    pub agent: Option<String>,
    /// What calls to it change of the agent's settings.
    #[serde(default)]
    pub inbound: Settings,
    /// What calls from it change of the agent's settings.
    #[serde(default)]
    pub outbound: Settings,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    /// What another vocabulary keeps with it.
    #[serde(skip)]
    pub extra: Metadata,
}

/// What to change of a number; what is left out stays.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "label": "Front desk", "inbound": { "first_message": "Good morning.", "voice": null } }))]
pub struct PatchNumber {
    /// `null`: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub label: Option<Option<String>>,
    /// By id or name; `null`: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub agent: Option<Option<String>>,
    /// What is left out stays, and `null` takes a setting away.
    #[serde(default)]
    #[schema(value_type = Option<Settings>)]
    pub inbound: Option<SettingsPatch>,
    /// What is left out stays, and `null` takes a setting away.
    #[serde(default)]
    #[schema(value_type = Option<Settings>)]
    pub outbound: Option<SettingsPatch>,
    /// Replaces it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Metadata>,
    /// What another vocabulary keeps with it; replaces it.
    #[serde(skip)]
    pub extra: Option<Metadata>,
}

impl Want {
    fn fits(&self, one: &Available) -> bool {
        let is = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(has))
        };
        is(&self.country, &one.country)
            && is(&self.area_code, one.area_code.as_deref().unwrap_or_default())
            && self.kind.is_none_or(|kind| kind == one.kind)
    }
}

impl Gateway {
    /// Numbers of the pool that can be had now, in the operator's order.
    pub fn available_numbers(
        &self,
        who: &Principal,
        want: &Want,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Available>, Error> {
        who.require(Scope::NumbersRead)?;
        let first = cursor.map_or(0, |cursor| usize::try_from(cursor.place()).unwrap_or(usize::MAX));
        let available = self.exchange.directory.available(Utc::now());
        let mut fitting = available.filter(|(place, one)| *place >= first && want.fits(one)).peekable();
        let items = fitting.by_ref().take(limit).map(|(_, one)| one.clone()).collect();
        let next = fitting.peek().map(|(place, one)| Cursor::new(*place as u64, one.number.as_str()));
        Ok(Page { items, next })
    }

    /// Gives a number of the pool to the account. It is called and can call from the moment that this returns.
    pub async fn provision_number(&self, who: &Principal, request: ProvisionNumber) -> Result<Number, Error> {
        who.require(Scope::NumbersWrite)?;
        check_label(request.label.as_deref())?;
        check_metadata(&request.metadata)?;
        self.check_settings(&request.inbound, At::Inbound).await?;
        self.check_settings(&request.outbound, At::Outbound).await?;
        let directory = &self.exchange.directory;
        let exact = request.number.as_deref().map(|text| E164::read(text, directory.region()));
        let exact = exact.transpose().map_err(|reason| Error::field("number", reason))?;
        let _changing = directory.changing().await;
        let agent = self.agent_named(&who.account, request.agent.as_deref())?;
        let (country, area_code) = (request.country, request.area_code);
        let want = Want { country, area_code, kind: request.kind };
        let now = Utc::now();
        let free = directory
            .available(now)
            .map(|(_, one)| one)
            .find(|one| exact.as_ref().is_none_or(|exact| *exact == one.number) && want.fits(one));
        let Some(free) = free else {
            let what = match exact {
                Some(number) => {
                    format!("{number} is not free; GET /v1/numbers/available lists those that are")
                }
                None => {
                    "no number of this kind is free; GET /v1/numbers/available lists those that are".into()
                }
            };
            return Err(Error::coded(Kind::Conflict, "no_number_available", what));
        };
        let id = NumberId::from_random(self.random_id());
        let number = Number {
            label: request.label,
            agent_id: agent.map(|agent| agent.id.clone()),
            inbound: request.inbound,
            outbound: request.outbound,
            metadata: request.metadata,
            extra: request.extra,
            ..free.of(who.account.clone(), id, now)
        };
        self.keep_number(number.clone(), vec![number.provisioned()]).await?;
        Ok(number)
    }

    /// Those of the account, also those that it has given back.
    pub async fn numbers(
        &self,
        who: &Principal,
        filter: NumberFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Number>, Error> {
        who.require(Scope::NumbersRead)?;
        let account = who.account.clone();
        self.read(move |store| store.numbers(&account, &filter, cursor.as_ref(), limit)).await
    }

    pub async fn number(&self, who: &Principal, id: NumberId) -> Result<Number, Error> {
        who.require(Scope::NumbersRead)?;
        self.own_number(&who.account, id).await
    }

    /// The number of an account, active or not.
    async fn own_number(&self, account: &AccountId, id: NumberId) -> Result<Number, Error> {
        let missing = Error::missing("number", &id);
        let found = self.read(move |store| store.number(&id)).await?;
        found.filter(|number| number.account == *account).ok_or(missing)
    }

    pub async fn patch_number(
        &self,
        who: &Principal,
        id: NumberId,
        patch: PatchNumber,
    ) -> Result<Number, Error> {
        who.require(Scope::NumbersWrite)?;
        if let Some(label) = &patch.label {
            check_label(label.as_deref())?;
        }
        patch.metadata.as_ref().map_or(Ok(()), check_metadata)?;
        self.check_patch(patch.inbound.as_ref(), At::Inbound).await?;
        self.check_patch(patch.outbound.as_ref(), At::Outbound).await?;
        let _changing = self.exchange.directory.changing().await;
        let mut number = self.active_number(&who.account, id).await?;
        if let Some(agent) = patch.agent {
            let agent = self.agent_named(&who.account, agent.as_deref())?;
            set_agent(&mut number, agent.as_deref())?;
        }
        if let Some(inbound) = patch.inbound {
            number.inbound = inbound.apply(&number.inbound, At::Inbound)?;
        }
        if let Some(outbound) = patch.outbound {
            number.outbound = outbound.apply(&number.outbound, At::Outbound)?;
        }
        number.label = patch.label.unwrap_or(number.label);
        number.metadata = patch.metadata.unwrap_or(number.metadata);
        number.extra = patch.extra.unwrap_or(number.extra);
        number.updated_at = Utc::now();
        self.keep_number(number.clone(), Vec::new()).await?;
        Ok(number)
    }

    /// Puts a number back into the pool. Nobody gets it before its quarantine is over; calls that are up go on.
    pub async fn release_number(&self, who: &Principal, id: NumberId) -> Result<Number, Error> {
        who.require(Scope::NumbersWrite)?;
        let _changing = self.exchange.directory.changing().await;
        let mut number = self.active_number(&who.account, id).await?;
        if number.source == Source::Configuration {
            let why = "the configuration gives this number to an agent; take it from there ([[number]])";
            return Err(Error::coded(Kind::Conflict, "configured", why));
        }
        let event = number.release(Utc::now());
        self.keep_number(number.clone(), vec![event]).await?;
        Ok(number)
    }

    /// Lets an agent answer a number of its account, which is named by id or in E.164.
    pub async fn attach_number(
        &self,
        who: &Principal,
        agent: AgentId,
        number: &str,
    ) -> Result<Number, Error> {
        who.require(Scope::NumbersWrite)?;
        let directory = &self.exchange.directory;
        let _changing = directory.changing().await;
        let agent = self.own_agent(&who.account, &agent)?;
        let number = directory
            .number(&who.account, number)
            .map_err(|error| Error::field("number", error.to_string()))?;
        self.put_through((*number).clone(), Some(&agent)).await
    }

    /// Takes a number from an agent.
    pub async fn detach_number(
        &self,
        who: &Principal,
        agent: AgentId,
        number: NumberId,
    ) -> Result<Number, Error> {
        who.require(Scope::NumbersWrite)?;
        let _changing = self.exchange.directory.changing().await;
        let agent = self.own_agent(&who.account, &agent)?;
        let found = self.own_number(&who.account, number.clone()).await?;
        if found.agent_id.as_ref() != Some(&agent.id) {
            return Err(Error::missing("number of this agent", number));
        }
        self.put_through(found, None).await
    }

    async fn put_through(&self, mut number: Number, agent: Option<&Agent>) -> Result<Number, Error> {
        set_agent(&mut number, agent)?;
        number.updated_at = Utc::now();
        self.keep_number(number.clone(), Vec::new()).await?;
        Ok(number)
    }

    async fn active_number(&self, account: &AccountId, id: NumberId) -> Result<Number, Error> {
        let number = self.own_number(account, id).await?;
        match number.status {
            NumberStatus::Active => Ok(number),
            NumberStatus::Released => {
                let why = "the number was given back; provision it anew when its quarantine is over";
                Err(Error::coded(Kind::Conflict, "number_released", why))
            }
        }
    }

    /// The account's agent that a request names, by id or name.
    pub(super) fn agent_named(
        &self,
        account: &AccountId,
        named: Option<&str>,
    ) -> Result<Option<Arc<Agent>>, Error> {
        let Some(name) = named else { return Ok(None) };
        let agent = self.exchange.directory.agent(account, name);
        let missing =
            || Error::field("agent", format!("there is no agent {name:?}; GET /v1/agents lists them"));
        agent.ok_or_else(missing).map(Some)
    }

    /// Writes a number with what there is to tell of it, then lets calls know. Under [`Directory::changing`](crate::call::Directory::changing).
    async fn keep_number(&self, number: Number, events: Vec<Event>) -> Result<(), Error> {
        let entry = Entry { record: Record::Number(Box::new(number.clone())), events };
        let written = self.journal.store(entry).await;
        written.map_err(|error| {
            tracing::error!(%error, number = %number.id, "a number was not changed");
            Error::coded(
                Kind::Busy,
                "store_unavailable",
                "the store failed, perhaps for want of disk space; see the log",
            )
        })?;
        self.exchange.directory.put_number(&number);
        Ok(())
    }
}

fn set_agent(number: &mut Number, agent: Option<&Agent>) -> Result<(), Error> {
    let id = agent.map(|agent| agent.id.clone());
    if number.source == Source::Configuration && number.agent_id != id {
        let why = "the configuration says who answers this number; change it there ([[number]])";
        return Err(Error::coded(Kind::Conflict, "configured", why));
    }
    number.agent_id = id;
    Ok(())
}

fn check_label(label: Option<&str>) -> Result<(), Error> {
    match label.map(|label| label.chars().count()) {
        Some(length) if length > LONGEST_LABEL => {
            let reason = format!("has {length} characters; at most {LONGEST_LABEL} are kept");
            Err(Error::field("label", reason))
        }
        _ => Ok(()),
    }
}
