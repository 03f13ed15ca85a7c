//! A change and what follows from it, in one transaction.

use redb::WriteTransaction;

use super::collection::put;
use super::events::tell;
use super::sound::put_words;
use super::usage::{self, Terms};
use super::{Store, StoreError, threads};
use crate::domain::{Call, Event, Message, Number};

/// What is kept of one thing.
#[derive(Clone, Debug)]
pub enum Record {
    Call(Box<Call>),
    Message(Box<Message>),
    Number(Box<Number>),
}

impl Record {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Record::Call(call) => call.id.as_str(),
            Record::Message(message) => message.id.as_str(),
            Record::Number(number) => number.id.as_str(),
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
        let terms = self.terms();
        self.change(|transaction| entries.iter().try_for_each(|entry| write(transaction, terms, entry)))
    }
}

/// Keeps a call: its words by themselves. Gives back the record that stood there before, without its words.
pub(super) fn put_call(transaction: &WriteTransaction, call: &Call) -> Result<Option<Call>, StoreError> {
    let bare = put_words(transaction, call)?;
    put(transaction, &bare)
}

/// Everything that one entry changes: the record, its events, and whatever those bring about (deliveries, charges).
fn write(transaction: &WriteTransaction, terms: &Terms, entry: &Entry) -> Result<(), StoreError> {
    let mut record = entry.record.clone();
    usage::price(&mut record, &terms.rates);
    match &record {
        Record::Call(call) => usage::call(transaction, terms, put_call(transaction, call)?.as_ref(), call)?,
        Record::Message(message) => {
            let before = put(transaction, &**message)?;
            usage::message(transaction, terms, before.as_ref(), message)?;
            if before.is_none() {
                threads::follow(transaction, message)?;
            }
        }
        Record::Number(number) => put(transaction, &**number).map(drop)?,
    }
    tell(transaction, &entry.events)
}
