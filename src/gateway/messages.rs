//! Messages and the conversations that they make: sent, listed.

use chrono::Utc;

use super::{Error, Gateway, Kind};
use crate::call::{SendError, Text, Undrafted};
use crate::domain::{E164, Message, MessageId, Metadata, Principal, Private, Scope, Thread, ThreadId};
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
        let number = self.number_of(&who.account, request.from.reveal())?;
        let drafted = self.exchange.draft(Text {
            account: &who.account,
            key: who.key.as_ref(),
            from: &number,
            to: &request.to,
            text: &request.text,
            metadata: request.metadata,
            at: Utc::now(),
        });
        let draft = drafted.await.map_err(undrafted)?;
        self.switchboard.send(draft).await.map_err(|error| match error {
            SendError::Busy | SendError::Stopping => Error::new(Kind::Busy, error.to_string()),
            SendError::NotStored => Error::coded(Kind::Busy, "store_unavailable", error.to_string()),
            SendError::Nowhere => Error::new(Kind::Unavailable, error.to_string()),
            SendError::RecipientStopped => stopped(),
        })
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
}

fn undrafted(error: Undrafted) -> Error {
    let words = error.to_string();
    match error {
        Undrafted::Off => Error::new(Kind::Invalid, words),
        Undrafted::Empty | Undrafted::TooLong { .. } | Undrafted::TooLongForUdp(_) => {
            Error::field("text", words)
        }
        Undrafted::RecipientStopped => stopped(),
        Undrafted::Route(error) => Error::route(error),
        Undrafted::Store(error) => error.into(),
    }
}

/// Nobody is written to who has asked for no more.
fn stopped() -> Error {
    let text = Undrafted::RecipientStopped.to_string();
    Error { field: Some("to"), ..Error::coded(Kind::Forbidden, "recipient_stopped", text) }
}

/// A number in a query, where a bare `+` means a blank.
pub fn number_in_query(text: &str) -> Result<E164, String> {
    let digits = text.trim_start_matches(['+', ' ']);
    format!("+{digits}").parse().map_err(|error: crate::domain::NumberError| error.to_string())
}
