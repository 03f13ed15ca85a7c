//! A text that is to be sent, whoever wants it: checked, judged, and its ways found.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Destination, Draft, contact_of};
use crate::call::exchange::Exchange;
use crate::call::guards::Errand;
use crate::call::meter::occasion;
use crate::call::route::RouteError;
use crate::domain::{AccountId, Content, Direction, KeyId, Message, MessageId, Metadata, Number, Private};
use crate::store::StoreError;

/// What is to be sent.
pub struct Text<'a> {
    pub account: &'a AccountId,
    /// Who asks for it, and pays.
    pub key: Option<&'a KeyId>,
    /// One of ours.
    pub from: &'a Number,
    /// An E.164 number, an extension, or a SIP URI.
    pub to: &'a Private<String>,
    pub text: &'a Private<String>,
    pub metadata: Metadata,
    pub at: DateTime<Utc>,
}

/// Why a text is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Undrafted {
    #[error("messages are off; see sip.messages in the configuration")]
    Off,
    #[error("is empty")]
    Empty,
    #[error("is {length} bytes long; at most {most} are sent")]
    TooLong { length: usize, most: usize },
    #[error("is {0} bytes long, too many for UDP, and this gateway speaks no TCP")]
    TooLongForUdp(usize),
    #[error("has asked for no more messages from this number; only they can change that, by sending START")]
    RecipientStopped,
    /// Nobody can be written to so, or the guards forbid it.
    #[error(transparent)]
    Route(RouteError),
    #[error("the store failed; see the log")]
    Store(StoreError),
}

impl Exchange {
    /// Whether a text may be sent, and where it can be left. Nothing is sent yet.
    ///
    /// # Errors
    /// Says what is in the way: of the text, of whom it is for, of the guards.
    pub async fn draft(self: &Arc<Self>, wanted: Text<'_>) -> Result<Draft, Undrafted> {
        let sip = &self.config.sip;
        if !sip.messages {
            return Err(Undrafted::Off);
        }
        let (length, most) = (wanted.text.reveal().len(), sip.max_message_bytes);
        if length == 0 {
            return Err(Undrafted::Empty);
        }
        if length > most {
            return Err(Undrafted::TooLong { length, most });
        }
        let chance = (self.chance)();
        let id = MessageId::from_random(std::array::from_fn(|n| chance[n]));
        let (number, to) = (wanted.from, wanted.to);
        let content = Content::Text(wanted.text.clone());
        let record =
            Message::new(id, Direction::Outbound, number.number.clone(), to.clone(), content, wanted.at);
        let record = Message {
            account: wanted.account.clone(),
            number_id: Some(number.id.clone()),
            agent_id: number.agent_id.clone(),
            key_id: wanted.key.cloned(),
            metadata: wanted.metadata,
            ..record
        };
        let record = record.in_thread(&contact_of(to.reveal()));
        self.still_wanted(&record).await?;
        self.guards.destination(to.reveal()).map_err(RouteError::Guarded).map_err(Undrafted::Route)?;
        occasion(self, wanted.account, wanted.key, Errand::Message).await.map_err(Undrafted::Route)?;
        let mut destinations = self.ways(number, to.reveal()).await.map_err(Undrafted::Route)?;
        let no_tcp = self.stack.local_addrs(sip::Transport::Tcp).is_empty();
        let is_too_long = |one: &Destination| no_tcp && one.is_too_long_for_udp(length);
        if !destinations.is_empty() && destinations.iter().all(is_too_long) {
            return Err(Undrafted::TooLongForUdp(length));
        }
        destinations.retain(|one| !is_too_long(one));
        Ok(Draft { record, destinations })
    }

    /// Before any way is looked for: whoever has asked for no more messages gets none.
    async fn still_wanted(&self, record: &Message) -> Result<(), Undrafted> {
        let Some(id) = record.thread_id.clone() else { return Ok(()) };
        let store = self.store.clone();
        let thread = match tokio::task::spawn_blocking(move || store.thread(&id)).await {
            Ok(read) => read.map_err(Undrafted::Store)?,
            // Better too few than one too many.
            Err(_) => {
                return Err(Undrafted::Route(RouteError::Unreachable("the store could not be asked".into())));
            }
        };
        match thread.is_some_and(|thread| thread.stopped_at.is_some()) {
            true => Err(Undrafted::RecipientStopped),
            false => Ok(()),
        }
    }
}
