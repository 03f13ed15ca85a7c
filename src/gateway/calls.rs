//! Calls: placed, listed, hung up, handed on.

use super::{Error, Gateway, Kind};
use crate::call::{PlaceError, Placement, Transfer, TransferError, Wanted};
use crate::domain::{AccountId, Call, CallId, Direction, Metadata, Private, Settings, TransferMode};
use crate::store::{CallFilter, Store};

/// A call that a client asks for.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceCall {
    /// One of our numbers.
    pub from: Private<String>,
    /// An E.164 number, a SIP URI, or the number of an extension.
    pub to: Private<String>,
    /// Absent: the agent of `from`.
    pub agent: Option<String>,
}

/// A transfer that a client asks for.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferCall {
    /// An E.164 number, a SIP URI, or the number of an extension.
    pub to: Private<String>,
    /// Absent or `auto`: as the trunk's configuration says.
    pub mode: Option<TransferMode>,
}

impl Gateway {
    /// Places a call. It is dialling when this returns.
    pub async fn place(&self, request: PlaceCall) -> Result<CallId, Error> {
        let number = self.number_of(&AccountId::house(), request.from.reveal())?;
        let directory = &self.exchange.directory;
        let agent = match &request.agent {
            None => None,
            Some(name) => Some(directory.agent(&number.account, name).ok_or_else(|| {
                Error::field("agent", format!("there is no agent {name:?}; GET /v1/agents lists them"))
            })?),
        };
        let who = directory.resolve(&Wanted {
            account: &number.account,
            own: &Settings::default(),
            number: Some(&number),
            direction: Direction::Outbound,
            agent: agent.as_deref(),
        });
        let waves = self.route(&number, request.to.reveal()).await?;
        let (key_id, metadata) = (None, Metadata::new());
        let placement = Placement { from: number, to: request.to, who, key_id, metadata, waves };
        self.switchboard.place(placement).await.map_err(|error| {
            let kind = match error {
                PlaceError::NoCapacity(_) | PlaceError::TrunksFull => Kind::Busy,
                PlaceError::Busy | PlaceError::Stopping => Kind::Busy,
                PlaceError::NoBrain(_) => Kind::Invalid,
                PlaceError::SetUp(_) => Kind::Internal,
            };
            Error::new(kind, error.to_string())
        })
    }

    /// Hands a call on. Returns when that has begun; what came of it is told by events and stands in the call's record.
    pub async fn transfer(&self, id: CallId, request: TransferCall) -> Result<(), Error> {
        let call = self.call(id.clone()).await?;
        if call.status.is_over() {
            return Err(Error::new(Kind::Conflict, "the call is over already"));
        }
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
            TransferError::NotUp | TransferError::NotNow(_) => Error::new(Kind::Conflict, error.to_string()),
        })
    }

    pub async fn hang_up(&self, id: CallId) -> Result<(), Error> {
        if self.switchboard.hang_up(id.clone()).await {
            return Ok(());
        }
        match self.call(id).await?.status.is_over() {
            true => Err(Error::new(Kind::Invalid, "the call is over already")),
            false => Err(Error::new(Kind::Busy, "the call is just beginning; try again")),
        }
    }

    pub async fn call(&self, id: CallId) -> Result<Call, Error> {
        let missing = format!("there is no call {id}");
        self.read(move |store| store.call(&id)).await?.ok_or_else(|| Error::new(Kind::NotFound, missing))
    }

    /// The newest first.
    pub async fn calls(&self, limit: usize) -> Result<Vec<Call>, Error> {
        let page = move |store: &Store| store.calls(&AccountId::house(), &CallFilter::default(), None, limit);
        Ok(self.read(page).await?.items)
    }
}
