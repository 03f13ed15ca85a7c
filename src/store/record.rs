//! A change and what follows from it, in one transaction.

use redb::WriteTransaction;

use super::collection::put;
use super::events::tell;
use super::sound::put_words;
use super::{Store, StoreError, threads};
use crate::domain::{Call, Event, Message};

/// What is kept of one thing.
#[derive(Clone, Debug)]
pub enum Record {
    Call(Box<Call>),
    Message(Box<Message>),
}

impl Record {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Record::Call(call) => call.id.as_str(),
            Record::Message(message) => message.id.as_str(),
        }
    }
}

/// A record as it now stands, and what there is to tell of it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub record: Record,
    pub events: Vec<Event>,
}

impl Store {
    /// Writes records and the events of their change, together or not at all. Blocks until it is on disk.
    pub fn record(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.change(|transaction| entries.iter().try_for_each(|entry| write(transaction, entry)))
    }
}

/// Keeps a call: its words by themselves.
pub(super) fn put_call(transaction: &WriteTransaction, call: &Call) -> Result<(), StoreError> {
    let bare = put_words(transaction, call)?;
    put(transaction, &bare).map(drop)
}

/// Everything that one entry changes: the record, its events, and whatever those bring about (deliveries, charges).
fn write(transaction: &WriteTransaction, entry: &Entry) -> Result<(), StoreError> {
    match &entry.record {
        Record::Call(call) => put_call(transaction, call)?,
        Record::Message(message) => {
            if put(transaction, &**message)?.is_none() {
                threads::follow(transaction, message)?;
            }
        }
    }
    tell(transaction, &entry.events)
}
