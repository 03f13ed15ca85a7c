//! The verbs of the product: what can be asked of a running gateway, whoever asks.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::call::{
    Destination, Draft, Exchange, ExtensionReport, Journal, Place, PlaceError, Placement, RouteError,
    SendError, Switchboard, Transfer, TransferError, TrunkReport, Waves,
};
use crate::config::Number;
use crate::domain::{Call, CallId, E164, Event, Message, MessageId, Private, TransferMode};
use crate::store::{Store, StoreError};

#[derive(Clone)]
pub struct Gateway {
    exchange: Arc<Exchange>,
    switchboard: Switchboard,
    journal: Journal,
    store: Store,
}

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

/// A message that a client asks to have sent.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendText {
    /// One of our numbers.
    pub from: Private<String>,
    /// An E.164 number, or a SIP URI.
    pub to: Private<String>,
    pub text: Private<String>,
}

/// A page of messages, the newest first.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Messages {
    pub messages: Vec<Message>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<MessageId>,
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

/// What kind of failure it was; each vocabulary turns it into its own status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Invalid,
    NotFound,
    /// Not in the state that it is in.
    Conflict,
    /// No room now; later perhaps.
    Busy,
    /// The trunk or the store does not do its part.
    Unavailable,
    Internal,
}

/// `public` may be shown to the client.
#[derive(Debug, thiserror::Error)]
#[error("{public}")]
pub struct Error {
    pub kind: Kind,
    pub field: Option<&'static str>,
    pub public: String,
}

impl Error {
    fn new(kind: Kind, public: impl Into<String>) -> Self {
        Self { kind, field: None, public: public.into() }
    }

    fn route(error: RouteError) -> Self {
        match error {
            RouteError::Refused(reason) => Error::field("to", reason),
            RouteError::Unreachable(reason) => Error::new(Kind::Unavailable, reason),
        }
    }

    fn field(field: &'static str, public: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, field: Some(field), public: public.into() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Error::new(Kind::Unavailable, "the store failed; see the log")
    }
}

/// Counters of the whole box.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    pub calls: usize,
    pub max_calls: usize,
    pub sip: SipReport,
    pub media: MediaReport,
    pub trunks: Vec<TrunkReport>,
    pub extensions: Vec<ExtensionReport>,
    pub store_healthy: bool,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct SipReport {
    pub received: u64,
    pub sent: u64,
    pub malformed: u64,
    pub retransmits_sent: u64,
    pub refused: u64,
    pub legs: usize,
    pub transactions: usize,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct MediaReport {
    pub sessions: usize,
    pub ports_free: usize,
    pub ports_resting: usize,
    pub late_ticks: u64,
    pub longest_tick_us: u64,
    pub panics: u64,
}

impl Gateway {
    pub fn new(exchange: Arc<Exchange>, switchboard: Switchboard, journal: Journal, store: Store) -> Self {
        Self { exchange, switchboard, journal, store }
    }

    /// Places a call. It is dialling when this returns.
    pub async fn place(&self, request: PlaceCall) -> Result<CallId, Error> {
        let number = self.number_of(request.from.reveal())?;
        let agent = request.agent.unwrap_or_else(|| number.agent.clone());
        if !self.exchange.personas.contains_key(&agent) {
            return Err(Error::field("agent", format!("there is no agent {agent:?} in the configuration")));
        }
        let waves = self.route(number, request.to.reveal()).await?;
        let from = Private::new(number.number.to_string());
        let placement = Placement { from, to: request.to, agent, waves };
        self.switchboard.place(placement).await.map_err(|error| {
            let kind = match error {
                PlaceError::NoCapacity(_) | PlaceError::TrunksFull => Kind::Busy,
                PlaceError::Busy | PlaceError::Stopping => Kind::Busy,
                PlaceError::SetUp(_) => Kind::Internal,
            };
            Error::new(kind, error.to_string())
        })
    }

    /// Sends a message. It is written down when this returns; what becomes of it is told by its record and an event.
    pub async fn send(&self, request: SendText) -> Result<Message, Error> {
        let sip = &self.exchange.config.sip;
        if !sip.messages {
            return Err(Error::new(Kind::Invalid, "messages are off; see sip.messages in the configuration"));
        }
        let (text, most) = (request.text.reveal(), sip.max_message_bytes);
        if text.is_empty() {
            return Err(Error::field("text", "is empty"));
        }
        if text.len() > most {
            let length = text.len();
            return Err(Error::field("text", format!("is {length} bytes long; at most {most} are sent")));
        }
        let number = self.number_of(request.from.reveal())?;
        let body =
            sip::Body { content_type: "text/plain;charset=utf-8".into(), bytes: text.clone().into_bytes() };
        let page = |Place { trunk, invite, .. }: Place| {
            let sip::Invite { to, from, credentials, path, route, headers, .. } = invite;
            let body = body.clone();
            let request =
                sip::SendMessage { to, from, credentials, path, route, headers, call_id: None, body };
            Destination { trunk, request }
        };
        let places = self.route(number, request.to.reveal()).await?;
        let mut destinations: Vec<_> = places.into_iter().flatten().map(page).collect();
        let no_tcp = self.exchange.stack.local_addrs(sip::Transport::Tcp).is_empty();
        let is_too_long = |one: &Destination| {
            no_tcp && one.request.path.transport == sip::Transport::Udp && one.request.needs_stream()
        };
        if !destinations.is_empty() && destinations.iter().all(is_too_long) {
            let reason =
                format!("is {} bytes long, too many for UDP, and this gateway speaks no TCP", text.len());
            return Err(Error::field("text", reason));
        }
        destinations.retain(|one| !is_too_long(one));
        let draft = Draft { number: number.number.clone(), to: request.to, text: request.text, destinations };
        self.switchboard.send(draft).await.map_err(|error| {
            let kind = match error {
                SendError::Busy | SendError::Stopping => Kind::Busy,
                SendError::NotStored | SendError::Nowhere => Kind::Unavailable,
            };
            Error::new(kind, error.to_string())
        })
    }

    pub async fn message(&self, id: MessageId) -> Result<Message, Error> {
        let missing = format!("there is no message {id}");
        self.read(move |store| store.message(&id)).await?.ok_or_else(|| Error::new(Kind::NotFound, missing))
    }

    /// The newest first: of one of our numbers, or of all; behind `cursor`, where that is given.
    pub async fn messages(
        &self,
        number: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Messages, Error> {
        let wrong = |field| move |reason: String| Error::field(field, reason);
        // In a query a bare `+` means a blank.
        let number = number
            .map(|text| format!("+{}", text.trim_start_matches(['+', ' '])).parse::<E164>())
            .transpose()
            .map_err(|error| Error::field("number", error.to_string()))?;
        let cursor = cursor.map(str::parse::<MessageId>).transpose().map_err(wrong("cursor"))?;
        let before = match cursor {
            None => None,
            Some(id) => {
                let gone = || Error::field("cursor", "is none that a page of this list ended with");
                Some(self.read(move |store| store.message(&id)).await?.ok_or_else(gone)?)
            }
        };
        // One more tells whether there is another page.
        let mut messages =
            self.read(move |store| store.messages(number.as_ref(), before.as_ref(), limit + 1)).await?;
        let more = messages.len() > limit;
        messages.truncate(limit);
        let next_cursor = messages.last().filter(|_| more).map(|message| message.id.clone());
        Ok(Messages { messages, next_cursor })
    }

    /// Places for a call or a message, the best first.
    async fn route(&self, from: &Number, to: &str) -> Result<Waves, Error> {
        self.exchange.route(from, to).await.map_err(Error::route)
    }

    fn number_of(&self, from: &str) -> Result<&Number, Error> {
        let number: E164 = from.parse().map_err(|error| Error::field("from", format!("{error}")))?;
        self.exchange.config.numbers.iter().find(|ours| ours.number == number).ok_or_else(|| {
            Error::field("from", "is none of this box's numbers; see [[number]] in the configuration")
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
        self.read(move |store| store.calls(limit)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || act(&store)).await;
        Ok(read.map_err(|_| Error::new(Kind::Internal, "reading failed; see the log"))??)
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.journal.subscribe()
    }

    pub async fn report(&self) -> Report {
        let sip = self.exchange.stack.stats().await.unwrap_or_default();
        let media = self.exchange.engine.stats();
        Report {
            calls: self.switchboard.live(),
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
                longest_tick_us: media.longest_tick_us,
                panics: media.panics,
            },
            trunks: self.exchange.trunks.report(),
            extensions: self.exchange.extensions.report(),
            store_healthy: self.journal.healthy(),
        }
    }
}
