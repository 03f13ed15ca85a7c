//! What a trunk's carrier tells by HTTP: messages for our numbers, and what became of those that we sent.

use chrono::Utc;
use tracing::info;

use super::carrier::{NotTaken, Notice};
use super::contact::named;
use super::inbox::{Admitted, Teller};
use super::outgoing::Outgoing;
use super::{Kept, Room, STORING, Told, Written};
use crate::config::Format;
use crate::domain::{
    Content, Direction, Event, EventKind, Keyword, Message, MessageId, MessageStatus, Private,
};
use crate::store::{Entry, Record, Store, StoreError};

impl Room {
    pub(super) fn told(&mut self, trunk: &str, notice: Notice, answer: Told) {
        // Whoever asked may have gone.
        match notice {
            Notice::Nothing => drop(answer.send(Ok(Kept::Nothing))),
            Notice::Message { from, to, text, id } => self.carried(trunk, [from, to, text], &id, answer),
            Notice::Receipt { reference, carrier_id, arrived } => {
                self.receipt(trunk, reference, carrier_id, arrived, answer);
            }
        }
    }

    fn carried(
        &mut self,
        trunk: &str,
        [from, to, text]: [Private<String>; 3],
        carrier_id: &str,
        answer: Told,
    ) {
        let config = &self.post.config;
        let format = config.trunk(trunk).map_or(&Format::E164, |trunk| &trunk.identity.format);
        let dialled = format.read(to.reveal()).map_or(to.reveal().clone(), |number| number.to_string());
        let number = self.post.directory.dialled(&dialled).filter(|number| number.trunk == trunk);
        let Some(number) = number else {
            info!(trunk, "a carrier's message to a number that is not here is refused");
            let _ = answer.send(Err(NotTaken::NoSuchNumber(to)));
            return;
        };
        // Some write numbers without their plus, whatever they want to be sent.
        let written = |text: &str| {
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            format.read(text).or_else(|| format!("+{text}").parse().ok().filter(|_| is_digits))
        };
        let contact = match written(from.reveal()) {
            Some(number) => number.to_string(),
            None => match from.reveal().parse() {
                Ok(uri) if from.reveal().contains(':') => named(&uri, format),
                _ => from.reveal().clone(),
            },
        };
        let keyword = Keyword::of(text.reveal(), &config.messages.stop_words);
        // The same for the same message, however often and after whatever restart it comes.
        let id = MessageId::from_name(&format!("{trunk} {carrier_id}"));
        let (content, from) = (Content::Text(text), Private::new(contact.clone()));
        let record =
            Message::new(id.clone(), Direction::Inbound, number.number.clone(), from, content, Utc::now());
        let record = Message {
            account: number.account.clone(),
            number_id: Some(number.id.clone()),
            agent_id: number.agent_id.clone(),
            trunk: trunk.to_owned(),
            keyword,
            ..record
        };
        let record = record.in_thread(&contact);
        let key = self.memory.key_of(&id);
        match self.admit(key, &record) {
            Admitted::Later => drop(answer.send(Err(NotTaken::Later))),
            Admitted::Known => drop(answer.send(Ok(Kept::Message(id)))),
            Admitted::New => self.keep(record, key, Teller::Carrier(answer)),
        }
    }

    fn receipt(
        &mut self,
        trunk: &str,
        reference: Option<MessageId>,
        carrier_id: Option<String>,
        arrived: Result<(), String>,
        answer: Told,
    ) {
        // The answer to what was handed over may be on its way still, and with it the name that this is found by.
        let of_trunk = |one: &Outgoing| one.record.trunk == trunk;
        let is_handing = !self.handing.is_empty() && self.lanes.values().flatten().any(of_trunk);
        if self.storing.len() >= STORING {
            let _ = answer.send(Err(NotTaken::Later));
            return;
        }
        let (journal, store, trunk) = (self.post.journal.clone(), self.post.store.clone(), trunk.to_owned());
        let unknown = if is_handing { NotTaken::Later } else { NotTaken::NoSuchMessage };
        let noting = self.noting.clone();
        self.storing.spawn(async move {
            let _alone = noting.lock().await;
            let find = move || sent(&store, &trunk, reference, carrier_id);
            let found = tokio::task::spawn_blocking(find).await;
            let outcome = match found {
                Ok(Ok(Some((mut record, seq)))) => {
                    let id = record.id.clone();
                    if record.status == MessageStatus::Queued {
                        Err(NotTaken::Later)
                    } else if record.receipt(arrived, Utc::now()) {
                        let kind = EventKind::of_message(&record);
                        let event = kind.map(|kind| Event::of_message(&record, seq, Utc::now(), kind));
                        let entry = Entry {
                            record: Record::Message(Box::new(record)),
                            events: event.into_iter().collect(),
                        };
                        journal.store(entry).await.map(|()| Kept::Receipt(id)).map_err(|_| NotTaken::Later)
                    } else {
                        Ok(Kept::Receipt(id))
                    }
                }
                Ok(Ok(None)) => Err(unknown),
                Ok(Err(_)) | Err(_) => Err(NotTaken::Later),
            };
            Written::Receipt { answer, outcome }
        });
    }
}

/// A message that we sent over this trunk, and the number of its next event.
fn sent(
    store: &Store,
    trunk: &str,
    reference: Option<MessageId>,
    carrier_id: Option<String>,
) -> Result<Option<(Message, u64)>, StoreError> {
    let mut found = match reference {
        Some(id) => store.message(&id)?,
        None => None,
    };
    if let (None, Some(id)) = (&found, carrier_id) {
        found = store.message_of_carrier(trunk, &id)?;
    }
    // Another trunk's carrier has nothing to say of it.
    let is_theirs = |one: &Message| one.trunk == trunk && one.direction == Direction::Outbound;
    let Some(message) = found.filter(is_theirs) else { return Ok(None) };
    let seq = store.events(&message.id)?.last().map_or(1, |event| event.seq + 1);
    Ok(Some((message, seq)))
}
