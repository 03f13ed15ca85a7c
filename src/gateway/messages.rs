//! Messages: sent, listed.

use super::{Error, Gateway, Kind};
use crate::call::{Destination, Draft, Place, SendError};
use crate::domain::{AccountId, E164, Message, MessageId, Private};
use crate::store::{Cursor, MessageFilter, Page, Store};

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
    pub next_cursor: Option<Cursor>,
}

impl Gateway {
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
        let number = self.number_of(&AccountId::house(), request.from.reveal())?;
        let body =
            sip::Body { content_type: "text/plain;charset=utf-8".into(), bytes: text.clone().into_bytes() };
        let page = |Place { trunk, invite, .. }: Place| {
            let sip::Invite { to, from, credentials, path, route, headers, .. } = invite;
            let body = body.clone();
            let request =
                sip::SendMessage { to, from, credentials, path, route, headers, call_id: None, body };
            Destination { trunk, request }
        };
        let places = self.route(&number, request.to.reveal()).await?;
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
        let cursor = cursor.map(str::parse::<Cursor>).transpose().map_err(wrong("cursor"))?;
        let filter = MessageFilter { number, ..MessageFilter::default() };
        let page = move |store: &Store| store.messages(&AccountId::house(), &filter, cursor.as_ref(), limit);
        let Page { items, next } = self.read(page).await?;
        Ok(Messages { messages: items, next_cursor: next })
    }
}
