//! Calls: placed, listed, steered, ended.

use std::sync::Arc;

use super::settings::{At, check_metadata};
use super::{Error, Gateway, Kind};
use crate::call::{
    Errand, Full, Hold, PlaceError, Placement, Resolved, Transfer, TransferError, Unrecorded, Unsaid, Unsent,
    Wanted, Waves, note_line,
};
use crate::domain::{
    AgentId, Call, CallId, Direction, Metadata, Number, NumberId, Principal, Private, Scope, Settings,
    TransferMode,
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

/// Words that the agent is to say.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "text": "Please hold the line." }))]
pub struct Say {
    /// At most 2,000 characters.
    #[schema(value_type = String, min_length = 1, max_length = 2000)]
    pub text: Private<String>,
    /// True: instead of what the agent is saying, which is cut. False: when it has finished. The caller is never talked over.
    #[serde(default)]
    pub interrupt: bool,
}

/// Keys to be sent to the other side.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "digits": "1,,42#" }))]
pub struct Press {
    /// `0`–`9`, `*`, `#`, `A`–`D`; `,` is a pause of a second. At most 32.
    #[schema(value_type = String, pattern = "^[0-9A-D*#,]{1,32}$")]
    pub digits: Private<String>,
}

/// What a text to be said may be long, characters.
pub(super) const MOST_SAID: usize = 2_000;
/// Keys that may be sent at once.
const MOST_KEYS: usize = 32;

/// A call whose every part is known.
struct Checked {
    from: Arc<Number>,
    speaker: Resolved,
    waves: Waves,
}

impl Gateway {
    /// Places a call: it is written down and queued when this returns, and dialled as soon as it may be.
    pub async fn place(&self, who: &Principal, request: PlaceCall) -> Result<Call, Error> {
        let Checked { from, speaker, waves } = self.check(who, &request).await?;
        let placement = Placement {
            from,
            to: request.to,
            who: speaker,
            key_id: who.key.clone(),
            at_once: who.max_calls.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            metadata: request.metadata,
            may_wait: request.queue,
            waves,
        };
        self.switchboard.place(placement).await.map_err(refused)
    }

    /// Checks all that [`place`](Self::place) checks, and places nothing.
    pub async fn rehearse(&self, who: &Principal, request: PlaceCall) -> Result<DryRun, Error> {
        let Checked { from, speaker, waves } = self.check(who, &request).await?;
        let mut trunks: Vec<String> = waves.into_iter().flatten().map(|place| place.trunk).collect();
        trunks.dedup();
        Ok(DryRun {
            dry_run: true,
            from: Private::new(from.number.to_string()),
            to: request.to,
            number_id: Some(from.id.clone()),
            agent: speaker.agent.name,
            agent_id: speaker.agent_id,
            trunks,
            waiting: self.switchboard.waiting(),
        })
    }

    async fn check(&self, who: &Principal, request: &PlaceCall) -> Result<Checked, Error> {
        who.require(Scope::CallsWrite)?;
        check_metadata(&request.metadata)?;
        self.check_settings(&request.settings, At::Settings).await?;
        let from = self.number_of(&who.account, request.from.reveal())?;
        let directory = &self.exchange.directory;
        let agent = match &request.agent {
            None => None,
            Some(name) => Some(directory.agent(&who.account, name).ok_or_else(|| {
                Error::field("agent", format!("there is no agent {name:?}; GET /v1/agents lists them"))
            })?),
        };
        let speaker = directory.resolve(&Wanted {
            account: &who.account,
            own: &request.settings,
            number: Some(&from),
            direction: Direction::Outbound,
            agent: agent.as_deref(),
        });
        let brain = self.exchange.cast.can_think(&speaker.agent.brain);
        brain.map_err(|error| Error::field("settings.brain", error.to_string()))?;
        self.guard(who, Errand::Call, request.to.reveal()).await?;
        let waves = self.route(&from, request.to.reveal()).await?;
        Ok(Checked { from, speaker, waves })
    }

    /// Hands a call on. Returns when that has begun; what came of it is told by events and stands in the call's record.
    pub async fn transfer(&self, who: &Principal, id: CallId, request: TransferCall) -> Result<(), Error> {
        let call = self.call_to_steer(who, &id).await?;
        let asked = request.mode.unwrap_or_default();
        let mode = self.exchange.transfer_mode(&call, request.to.reveal(), asked);
        self.guard(who, Errand::Transfer, request.to.reveal()).await?;
        let waves = self.exchange.route_beside(&call, request.to.reveal()).await.map_err(Error::route)?;
        let transfer = Transfer { to: request.to, mode, waves };
        let begun = self.switchboard.transfer(id, transfer).await;
        begun.map_err(|error| match error {
            TransferError::NotUp => not_up(),
            TransferError::NotNow(_) => Error::new(Kind::Conflict, error.to_string()),
        })
    }

    /// Has the agent say something. Returns when that is taken; the transcript tells when it has been said.
    pub async fn say(&self, who: &Principal, id: CallId, request: Say) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        let length = request.text.reveal().chars().count();
        if request.text.reveal().trim().is_empty() {
            return Err(Error::field("text", "is empty; it must hold what is to be said"));
        }
        if length > MOST_SAID {
            return Err(Error::field(
                "text",
                format!("has {length} characters; at most {MOST_SAID} are said at once"),
            ));
        }
        self.switchboard.say(id, request.text, request.interrupt).await.map_err(|error| match error {
            Unsaid::NotUp => not_up(),
            Unsaid::Away => Error::coded(Kind::Conflict, "agent_away", error.to_string()),
            Unsaid::TooMany => Error::coded(Kind::TooMany, "too_much_to_say", error.to_string()),
        })
    }

    /// Sends keys to the other side. Returns when they are on their way.
    pub async fn press(&self, who: &Principal, id: CallId, request: Press) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        let keys = request.digits.reveal();
        let is_key = |key: char| matches!(key, '0'..='9' | 'A'..='D' | '*' | '#' | ',');
        if keys.is_empty() || keys.len() > MOST_KEYS || !keys.chars().all(is_key) {
            let reason = format!("must be 1 to {MOST_KEYS} of 0–9, A–D, *, # and , (a pause of a second)");
            return Err(Error::field("digits", reason));
        }
        self.switchboard.press(id, request.digits).await.map_err(|error| match error {
            Unsent::NotUp => not_up(),
            Unsent::Keys(error) => Error::coded(Kind::Busy, "keys_waiting", error.to_string()),
        })
    }

    /// Pauses the recording of a call that lasts, or lets it go on.
    pub async fn record(&self, who: &Principal, id: CallId, on: bool) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        self.switchboard.record(id, on).await.map_err(|error| match error {
            Unrecorded::NotUp => not_up(),
            Unrecorded::NoTape => Error::coded(Kind::Conflict, "not_recorded", error.to_string()),
        })
    }

    /// Ends a call, or takes it back where it is not dialled yet. Returns when that has begun.
    pub async fn hang_up(&self, who: &Principal, id: CallId) -> Result<(), Error> {
        self.call_to_steer(who, &id).await?;
        if self.switchboard.hang_up(id.clone()).await {
            return Ok(());
        }
        match self.call_of(who, &id).await?.status.is_over() {
            true => Err(over()),
            false => Err(Error::new(Kind::Busy, "the call is just beginning; try again")),
        }
    }

    pub async fn call(&self, who: &Principal, id: CallId) -> Result<Call, Error> {
        who.require(Scope::CallsRead)?;
        let mut call = self.call_of(who, &id).await?;
        if !call.status.is_over()
            && let Some(stats) = self.journal.meter().line(&id).await
        {
            note_line(call.line.get_or_insert_default(), &stats);
        }
        Ok(call)
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
    pub(super) async fn call_to_steer(&self, who: &Principal, id: &CallId) -> Result<Call, Error> {
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

pub(super) fn not_up() -> Error {
    Error::coded(Kind::Conflict, "call_not_up", "the call is not up: nobody has answered it, or it is ending")
}

fn refused(error: PlaceError) -> Error {
    let (kind, code) = match error {
        PlaceError::NotNow(Hold::Room) => (Kind::Busy, "no_capacity"),
        PlaceError::NotNow(Hold::Lines) => (Kind::TooMany, "box_calls_limit"),
        PlaceError::NotNow(Hold::LinesOfKey | Hold::Turn) => (Kind::TooMany, "key_calls_limit"),
        PlaceError::NotNow(Hold::Pace) => (Kind::TooMany, "box_rate_limit"),
        PlaceError::NotNow(Hold::PaceOfKey) => (Kind::TooMany, "key_rate_limit"),
        PlaceError::QueueFull(Full::Box(_)) => (Kind::Busy, "queue_full"),
        PlaceError::QueueFull(Full::Key(_)) => (Kind::TooMany, "queue_full"),
        PlaceError::TrunksFull | PlaceError::NoLine(_) | PlaceError::Busy => (Kind::Busy, "no_capacity"),
        PlaceError::Stopping => (Kind::Busy, "stopping"),
        PlaceError::NotWritten => (Kind::Busy, "store_unavailable"),
        PlaceError::NoBrain(_) => (Kind::Invalid, "invalid"),
        PlaceError::SetUp(_) => (Kind::Internal, "internal_error"),
    };
    Error::coded(kind, code, error.to_string())
}
