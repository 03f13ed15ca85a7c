//! Messages and the conversations that they make: sent, listed.

use chrono::Utc;

use super::{Error, Gateway, Kind};
use crate::call::{Destination, Draft, Errand, SendError, contact_of};
use crate::domain::{
    Content, Direction, E164, Message, MessageId, Metadata, Principal, Private, Scope, Thread, ThreadId,
};
use crate::store::{Cursor, MessageFilter, Page, ThreadFilter};

/// A message that a client asks to have sent.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "from": "+14155550100", "to": "+14155550123", "text": "We are open until six." }))]
pub struct SendText {
    /// One of your numbers: E.164, or its id.
    #[schema(value_type = String, example = "+14155550100")]
    pub from: Private<String>,
    /// An E.164 number, an extension, or a SIP URI.
    #[schema(value_type = String, example = "+14155550123")]
    pub to: Private<String>,
    /// In UTF-8 not longer than `sip.max_message_bytes` of the configuration.
    #[schema(value_type = String, min_length = 1, example = "We are open until six.")]
    pub text: Private<String>,
    /// Kept with the message and shown; never read.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Metadata,
}

impl Gateway {
    /// Sends a message. It is written down when this returns; what becomes of it is told by its record and an event.
    pub async fn send(&self, who: &Principal, request: SendText) -> Result<Message, Error> {
        who.require(Scope::MessagesWrite)?;
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
        let number = self.number_of(&who.account, request.from.reveal())?;
        let id = MessageId::from_random(self.ten_bytes());
        let content = Content::Text(request.text.clone());
        let ours = number.number.clone();
        let record = Message::new(id, Direction::Outbound, ours, request.to.clone(), content, Utc::now());
        let record = Message {
            account: who.account.clone(),
            number_id: Some(number.id.clone()),
            agent_id: number.agent_id.clone(),
            key_id: who.key.clone(),
            metadata: request.metadata,
            ..record
        };
        let record = record.in_thread(&contact_of(request.to.reveal()));
        self.still_wanted(&record).await?;
        self.guard(who, Errand::Message, request.to.reveal()).await?;
        let mut destinations =
            self.exchange.ways(&number, request.to.reveal()).await.map_err(Error::route)?;
        let no_tcp = self.exchange.stack.local_addrs(sip::Transport::Tcp).is_empty();
        let is_too_long = |one: &Destination| no_tcp && one.is_too_long_for_udp(text.len());
        if !destinations.is_empty() && destinations.iter().all(is_too_long) {
            let reason =
                format!("is {} bytes long, too many for UDP, and this gateway speaks no TCP", text.len());
            return Err(Error::field("text", reason));
        }
        destinations.retain(|one| !is_too_long(one));
        self.switchboard.send(Draft { record, destinations }).await.map_err(|error| match error {
            SendError::Busy | SendError::Stopping => Error::new(Kind::Busy, error.to_string()),
            SendError::NotStored => Error::coded(Kind::Busy, "store_unavailable", error.to_string()),
            SendError::Nowhere => Error::new(Kind::Unavailable, error.to_string()),
            SendError::RecipientStopped => stopped(),
        })
    }

    /// Before any way is looked for: whoever has asked for no more messages gets none.
    async fn still_wanted(&self, record: &Message) -> Result<(), Error> {
        let Some(id) = record.thread_id.clone() else { return Ok(()) };
        let thread = self.read(move |store| store.thread(&id)).await?;
        match thread.is_some_and(|thread| thread.stopped_at.is_some()) {
            true => Err(stopped()),
            false => Ok(()),
        }
    }

    pub async fn message(&self, who: &Principal, id: MessageId) -> Result<Message, Error> {
        who.require(Scope::MessagesRead)?;
        let wanted = id.clone();
        let found = self.read(move |store| store.message(&wanted)).await?;
        found.filter(|message| message.account == who.account).ok_or_else(|| Error::missing("message", id))
    }

    /// The newest first.
    pub async fn messages(
        &self,
        who: &Principal,
        filter: MessageFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Message>, Error> {
        who.require(Scope::MessagesRead)?;
        let account = who.account.clone();
        self.read(move |store| store.messages(&account, &filter, after.as_ref(), limit)).await
    }

    pub async fn thread(&self, who: &Principal, id: ThreadId) -> Result<Thread, Error> {
        who.require(Scope::MessagesRead)?;
        let wanted = id.clone();
        let found = self.read(move |store| store.thread(&wanted)).await?;
        found.filter(|thread| thread.account == who.account).ok_or_else(|| Error::missing("conversation", id))
    }

    /// The one that was alive last first.
    pub async fn threads(
        &self,
        who: &Principal,
        filter: ThreadFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Thread>, Error> {
        who.require(Scope::MessagesRead)?;
        let account = who.account.clone();
        self.read(move |store| store.threads(&account, &filter, after.as_ref(), limit)).await
    }

    fn ten_bytes(&self) -> [u8; 10] {
        let chance = (self.exchange.chance)();
        std::array::from_fn(|n| chance[n])
    }
}

/// Nobody is written to who has asked for no more.
fn stopped() -> Error {
    let text = "has asked for no more messages from this number; only they can change that, by sending START";
    Error { field: Some("to"), ..Error::coded(Kind::Forbidden, "recipient_stopped", text) }
}

/// A number in a query, where a bare `+` means a blank.
pub fn number_in_query(text: &str) -> Result<E164, String> {
    let digits = text.trim_start_matches(['+', ' ']);
    format!("+{digits}").parse().map_err(|error: crate::domain::NumberError| error.to_string())
}
