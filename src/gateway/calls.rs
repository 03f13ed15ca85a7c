//! Calls: placed, listed, steered, ended.

use super::{Error, Gateway, Kind, metadata_fits};
use crate::call::{Full, Hold, PlaceError, Placement, Transfer, TransferError};
use crate::config::Number;
use crate::domain::{
    AgentId, Call, CallId, Metadata, NumberId, Principal, Private, Scope, Settings, TransferMode,
};
use crate::store::{CallFilter, Cursor, Page};

/// A call that a client asks for.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "from": "+15550100001", "to": "+14155550123",
    "settings": { "prompt": "You call to remind of an appointment.", "first_message": "Good morning!" },
    "metadata": { "order": 17 },
}))]
pub struct PlaceCall {
    /// One of the account's numbers, by its id or in E.164.
    #[schema(value_type = String, example = "+15550100001")]
    pub from: Private<String>,
    /// An E.164 number, a SIP URI, or the number of an extension.
    #[schema(value_type = String, example = "+14155550123")]
    pub to: Private<String>,
    /// Who speaks: the id or the name of an agent. Absent: the agent of `from`.
    #[serde(default)]
    pub agent: Option<String>,
    /// What this call changes of its agent's settings.
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    /// False: the call is refused where it cannot be dialled at once.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub queue: bool,
    /// True: everything is checked, and no call is placed.
    #[serde(default)]
    pub dry_run: bool,
}

impl Default for PlaceCall {
    fn default() -> Self {
        Self {
            from: Private::default(),
            to: Private::default(),
            agent: None,
            settings: Settings::default(),
            metadata: Metadata::new(),
            queue: true,
            dry_run: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// A call that would be placed.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct DryRun {
    /// True.
    pub dry_run: bool,
    #[schema(value_type = String, example = "+15550100001")]
    pub from: Private<String>,
    #[schema(value_type = String, example = "+14155550123")]
    pub to: Private<String>,
    pub number_id: Option<NumberId>,
    pub agent: String,
    pub agent_id: Option<AgentId>,
    /// Trunks and extensions that would be tried, in this order.
    pub trunks: Vec<String>,
    /// Calls that wait to be dialled now, of all accounts.
    pub waiting: usize,
}

/// A transfer that a client asks for.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "to": "+14155550123", "mode": "auto" }))]
pub struct TransferCall {
    /// An E.164 number, a SIP URI, or the number of an extension.
    #[schema(value_type = String, example = "+14155550123")]
    pub to: Private<String>,
    /// Absent or `auto`: as the trunk's configuration says.
    pub mode: Option<TransferMode>,
}

/// A call whose every part is known.
struct Checked {
    number: Number,
    number_id: Option<NumberId>,
    agent: String,
    agent_id: Option<AgentId>,
    waves: crate::call::Waves,
}

impl Gateway {
    /// Places a call: it is written down and queued when this returns, and dialled as soon as it may be.
    pub async fn place(&self, who: &Principal, request: PlaceCall) -> Result<Call, Error> {
        let checked = self.check(who, &request).await?;
        let placement = Placement {
            account: who.account.clone(),
            key: who.key.clone(),
            at_once: who.max_calls.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            number: checked.number,
            number_id: checked.number_id,
            to: request.to,
            agent: checked.agent,
            agent_id: checked.agent_id,
            metadata: request.metadata,
            may_wait: request.queue,
            waves: checked.waves,
        };
        self.switchboard.place(placement).await.map_err(refused)
    }

    /// Checks all that [`place`](Self::place) checks, and places nothing.
    pub async fn rehearse(&self, who: &Principal, request: PlaceCall) -> Result<DryRun, Error> {
        let Checked { number, number_id, agent, agent_id, waves } = self.check(who, &request).await?;
        let mut trunks: Vec<String> = waves.into_iter().flatten().map(|place| place.trunk).collect();
        trunks.dedup();
        let from = Private::new(number.number.to_string());
        let waiting = self.switchboard.waiting();
        Ok(DryRun { dry_run: true, from, to: request.to, number_id, agent, agent_id, trunks, waiting })
    }

    async fn check(&self, who: &Principal, request: &PlaceCall) -> Result<Checked, Error> {
        who.require(Scope::CallsWrite)?;
        metadata_fits(&request.metadata)?;
        let number = self.number_of(request.from.reveal())?.clone();
        let agent = request.agent.clone().unwrap_or_else(|| number.agent.clone());
        if !self.exchange.personas.contains_key(&agent) {
            return Err(Error::field("agent", format!("there is no agent {agent:?} in the configuration")));
        }
        let waves = self.route(&number, request.to.reveal()).await?;
        Ok(Checked { number, number_id: None, agent, agent_id: None, waves })
    }

    /// Hands a call on. Returns when that has begun; what came of it is told by events and stands in the call's record.
    pub async fn transfer(&self, who: &Principal, id: CallId, request: TransferCall) -> Result<(), Error> {
        let call = self.call_to_steer(who, &id).await?;
        let config = &self.exchange.config;
        let mode = match request.mode.unwrap_or_default() {
            // Nobody but us reaches a phone of ours.
            TransferMode::Auto if config.extension(request.to.reveal()).is_some() => TransferMode::Bridge,
            TransferMode::Auto => {
                config.trunk(&call.trunk).map_or(TransferMode::Auto, |trunk| trunk.transfer)
            }
            mode => mode,
        };
        let waves = self.exchange.route_beside(&call, request.to.reveal()).await.map_err(Error::route)?;
        let transfer = Transfer { to: request.to, mode, waves };
        let begun = self.switchboard.transfer(id, transfer).await;
        begun.map_err(|error| match error {
            TransferError::NotUp => not_up(),
            TransferError::NotNow(_) => Error::new(Kind::Conflict, error.to_string()),
        })
    }

    /// Ends a call, or takes it back where it is not dialled yet. Returns when that has begun.
    pub async fn hang_up(&self, who: &Principal, id: CallId) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        if self.switchboard.hang_up(id.clone()).await {
            return Ok(());
        }
        match self.call(who, id).await?.status.is_over() {
            true => Err(over()),
            false => Err(Error::new(Kind::Busy, "the call is just beginning; try again")),
        }
    }

    pub async fn call(&self, who: &Principal, id: CallId) -> Result<Call, Error> {
        who.require(Scope::CallsRead)?;
        self.call_of(who, &id).await
    }

    /// The newest first.
    pub async fn calls(
        &self,
        who: &Principal,
        filter: CallFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Call>, Error> {
        who.require(Scope::CallsRead)?;
        let account = who.account.clone();
        self.read(move |store| store.calls(&account, &filter, after.as_ref(), limit)).await
    }

    /// A call that is not over, for who may steer calls.
    async fn call_to_steer(&self, who: &Principal, id: &CallId) -> Result<Call, Error> {
        who.require(Scope::CallsWrite)?;
        let call = self.call_of(who, id).await?;
        if call.status.is_over() { Err(over()) } else { Ok(call) }
    }

    async fn call_of(&self, who: &Principal, id: &CallId) -> Result<Call, Error> {
        let wanted = id.clone();
        let call = self.read(move |store| store.call(&wanted)).await?;
        let call = call.filter(|call| call.account == who.account || who.may(Scope::Admin));
        call.ok_or_else(|| Error::missing("call", id))
    }
}

fn over() -> Error {
    Error::coded(Kind::Conflict, "call_over", "the call is over already")
}

fn not_up() -> Error {
    Error::coded(Kind::Conflict, "call_not_up", "the call is not up: nobody has answered it, or it is ending")
}

fn refused(error: PlaceError) -> Error {
    let (kind, code) = match error {
        PlaceError::NotNow(Hold::Room | Hold::Lines) => (Kind::Busy, "no_capacity"),
        PlaceError::NotNow(Hold::LinesOfKey | Hold::Turn) => (Kind::TooMany, "too_many_calls"),
        PlaceError::NotNow(Hold::Pace | Hold::PaceOfKey) => (Kind::TooMany, "too_fast"),
        PlaceError::QueueFull(Full::Box(_)) => (Kind::Busy, "queue_full"),
        PlaceError::QueueFull(Full::Key(_)) => (Kind::TooMany, "queue_full"),
        PlaceError::TrunksFull | PlaceError::NoLine(_) | PlaceError::Busy => (Kind::Busy, "no_capacity"),
        PlaceError::Stopping => (Kind::Busy, "stopping"),
        PlaceError::NotWritten => (Kind::Busy, "store_unavailable"),
        PlaceError::SetUp(_) => (Kind::Internal, "internal_error"),
    };
    Error::coded(kind, code, error.to_string())
}
