//! The one room that knows the database.
//!
//! A `redb` file in the data folder: a commit is on disk when it returns. A value is a version byte and JSON. The
//! record of a call or a message and the events that tell of its change are written in one transaction; the events stay as
//! the outbox from which deliveries will be made.
//!
//! `redb` refuses everything after the first error of the disk until it is opened again. So the database is closed on such an
//! error, and opened again by whoever needs it next: a disk that was full and has room again needs no restart.

mod collection;
mod keys;
mod messages;

pub use collection::{Cursor, Page};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use crate::domain::{Account, Call, CallId, EndReason, Event, EventKind, Key, Message};

const CALLS: TableDefinition<&str, &[u8]> = TableDefinition::new("calls");
/// Created-at (ms) and id, so that a list is a walk from the end.
const CALLS_BY_TIME: TableDefinition<(u64, &str), ()> = TableDefinition::new("calls_by_time");
/// Id of the call or message, and the event's number in it.
const EVENTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("events");

/// First byte of every value.
const VERSION: u8 = 1;

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

#[derive(Clone)]
pub struct Store {
    shelf: Arc<Shelf>,
    folder: PathBuf,
}

/// The database, which is not there while its disk refuses.
struct Shelf {
    held: Mutex<Option<Database>>,
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
}

impl Shelf {
    fn with<T>(&self, act: impl FnOnce(&Database) -> T) -> Result<T, StoreError> {
        // Nothing is left half-changed by a panic under this lock.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match held.take() {
            Some(database) => database,
            None => (self.open)().map_err(StoreError::Reopen)?,
        };
        Ok(act(held.insert(database)))
    }

    fn close(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data folder {0} is in use by another offhook; stop that one, or give this one its own `data`"
    )]
    InUse(PathBuf),
    #[error("the data folder {path} cannot be used: {reason}")]
    Folder { path: PathBuf, reason: String },
    #[error("the database {path} cannot be opened: {reason}")]
    Database { path: PathBuf, reason: String },
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed: {0}")]
    Database(#[from] redb::Error),
    #[error("the database failed before, and cannot be opened again yet: {0}")]
    Reopen(DatabaseError),
    #[error("a stored value has version {0}, which this offhook does not know")]
    Version(u8),
    #[error("a stored value cannot be read: {0}")]
    Value(#[from] serde_json::Error),
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self { StoreError::Database(error.into()) }
        }
    )*};
}
from_redb!(TransactionError TableError StorageError CommitError);

impl Store {
    /// Opens the folder, which it makes where it is missing. Only one process can.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let fail =
            |error: std::io::Error| OpenError::Folder { path: folder.to_owned(), reason: error.to_string() };
        std::fs::create_dir_all(folder.join("recordings")).map_err(fail)?;
        let path = folder.join("offhook.redb");
        let database = Database::create(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(folder.to_owned()),
            other => OpenError::Database { path: path.clone(), reason: other.to_string() },
        })?;
        let again = path.clone();
        let shelf =
            Shelf { held: Mutex::new(Some(database)), open: Box::new(move || Database::create(&again)) };
        let store = Self { shelf: Arc::new(shelf), folder: folder.to_owned() };
        store.make_tables().map_err(|error| OpenError::Database { path, reason: error.to_string() })?;
        Ok(store)
    }

    /// One in memory whose disk refuses everything while `broken` is true.
    #[cfg(test)]
    pub(crate) fn on_a_bad_disk(broken: Arc<std::sync::atomic::AtomicBool>) -> Self {
        let disk = bad_disk::BadDisk { bytes: Arc::default(), broken };
        let open = move || Database::builder().create_with_backend(disk.clone());
        let shelf = Shelf { held: Mutex::new(None), open: Box::new(open) };
        let store = Self { shelf: Arc::new(shelf), folder: PathBuf::from("nowhere") };
        store.make_tables().unwrap();
        store
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.shelf.with(Database::begin_read)??)
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        Ok(self.shelf.with(Database::begin_write)??)
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        let transaction = self.begin_write()?;
        transaction.open_table(CALLS)?;
        transaction.open_table(CALLS_BY_TIME)?;
        transaction.open_table(EVENTS)?;
        messages::make_tables(&transaction)?;
        collection::make_tables::<Account>(&transaction)?;
        collection::make_tables::<Key>(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Where a call's recording goes. Made of the id alone, so that no client can name a path.
    pub fn recording_path(&self, call: &CallId) -> PathBuf {
        self.folder.join("recordings").join(format!("{call}.wav"))
    }

    /// Writes records and the events of their change, together or not at all. Blocks until it is on disk.
    pub fn record(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let written = self.write(entries);
        if matches!(written, Err(StoreError::Database(redb::Error::Io(_) | redb::Error::PreviousIo))) {
            self.shelf.close();
        }
        written
    }

    fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let transaction = self.begin_write()?;
        {
            let mut calls = transaction.open_table(CALLS)?;
            let mut by_time = transaction.open_table(CALLS_BY_TIME)?;
            let mut outbox = transaction.open_table(EVENTS)?;
            for Entry { record, events } in entries {
                let id = record.id();
                if let Record::Call(call) = record {
                    calls.insert(id, encode(call)?.as_slice())?;
                    by_time.insert((millis(call.created_at), id), ())?;
                }
                for event in events {
                    outbox.insert((id, event.seq), encode(event)?.as_slice())?;
                }
            }
        }
        let messages = entries.iter().filter_map(|entry| match &entry.record {
            Record::Message(message) => Some(&**message),
            Record::Call(_) => None,
        });
        messages::write(&transaction, messages)?;
        transaction.commit()?;
        Ok(())
    }

    pub fn call(&self, id: &CallId) -> Result<Option<Call>, StoreError> {
        let table = self.begin_read()?.open_table(CALLS)?;
        table.get(id.as_str())?.map(|value| decode(value.value())).transpose()
    }

    /// The newest calls first.
    pub fn calls(&self, limit: usize) -> Result<Vec<Call>, StoreError> {
        let transaction = self.begin_read()?;
        let (index, table) = (transaction.open_table(CALLS_BY_TIME)?, transaction.open_table(CALLS)?);
        let mut calls = Vec::new();
        for entry in index.iter()?.rev().take(limit) {
            let (key, _) = entry?;
            if let Some(value) = table.get(key.value().1)? {
                calls.push(decode(value.value())?);
            }
        }
        Ok(calls)
    }

    /// The events of a call or a message in their order.
    pub fn events(&self, id: impl AsRef<str>) -> Result<Vec<Event>, StoreError> {
        let (table, id) = (self.begin_read()?.open_table(EVENTS)?, id.as_ref());
        let mut events = Vec::new();
        for entry in table.range((id, 0)..=(id, u64::MAX))? {
            events.push(decode(entry?.1.value())?);
        }
        Ok(events)
    }

    /// Closes every call that an earlier process left open: it was killed before it could. Returns how many.
    pub fn close_interrupted(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let open: Vec<Call> = {
            let table = self.begin_read()?.open_table(CALLS)?;
            let mut open = Vec::new();
            for entry in table.iter()? {
                let call: Call = decode(entry?.1.value())?;
                if !call.status.is_over() {
                    open.push(call);
                }
            }
            open
        };
        for mut call in open.iter().cloned() {
            call.end(EndReason::Interrupted, None, now);
            let seq = self.events(&call.id)?.last().map_or(1, |event| event.seq + 1);
            let event = Event::of_call(&call, seq, now, EventKind::ended(&call, EndReason::Interrupted));
            self.record(&[Entry { record: Record::Call(Box::new(call)), events: vec![event] }])?;
        }
        Ok(open.len())
    }
}

fn millis(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)?;
    Ok(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, json)) => Ok(serde_json::from_slice(json)?),
        Some((&version, _)) => Err(StoreError::Version(version)),
        None => Err(StoreError::Version(0)),
    }
}

#[cfg(test)]
mod bad_disk {
    use std::io::{Error, Result};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use redb::StorageBackend;

    /// Its bytes survive the database that lay on it.
    #[derive(Clone, Debug)]
    pub(super) struct BadDisk {
        pub(super) bytes: Arc<Mutex<Vec<u8>>>,
        pub(super) broken: Arc<AtomicBool>,
    }

    impl BadDisk {
        fn check(&self) -> Result<()> {
            if self.broken.load(Ordering::SeqCst) { Err(Error::other("the disk is gone")) } else { Ok(()) }
        }
    }

    impl StorageBackend for BadDisk {
        fn len(&self) -> Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            let offset = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
            Ok(())
        }

        fn set_len(&self, len: u64) -> Result<()> {
            self.check()?;
            self.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        }

        fn sync_data(&self) -> Result<()> {
            self.check()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
            self.check()?;
            let offset = usize::try_from(offset).unwrap();
            self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Direction, Status};

    fn call(n: u8, status: Status) -> Call {
        let at = DateTime::UNIX_EPOCH + chrono::Duration::seconds(n.into());
        let (from, to) = ("+14155550123".into(), "+15550100001".into());
        Call { status, ..Call::new(CallId::from_random([n; 10]), Direction::Inbound, from, to, at) }
    }

    fn entry(n: u8, status: Status) -> Entry {
        Entry { record: Record::Call(Box::new(call(n, status))), events: Vec::new() }
    }

    #[test]
    fn calls_come_back_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for n in 1..=5 {
            store.record(&[entry(n, Status::Completed)]).unwrap();
        }
        let ids: Vec<_> = store.calls(3).unwrap().into_iter().map(|c| c.id).collect();
        assert_eq!(ids, [5, 4, 3].map(|n| CallId::from_random([n; 10])));
        assert_eq!(store.call(&CallId::from_random([9; 10])).unwrap(), None);
    }

    #[test]
    fn a_folder_belongs_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(OpenError::InUse(_))));
    }

    #[test]
    fn a_call_that_a_killed_process_left_open_is_closed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.record(&[entry(1, Status::InProgress), entry(2, Status::Completed)]).unwrap();
        assert_eq!(store.close_interrupted(Utc::now()).unwrap(), 1);
        let closed = store.call(&CallId::from_random([1; 10])).unwrap().unwrap();
        assert_eq!((closed.status, closed.end_reason), (Status::Failed, Some(EndReason::Interrupted)));
        assert_eq!(store.events(&closed.id).unwrap()[0].kind.name(), "call.ended");
        assert_eq!(store.close_interrupted(Utc::now()).unwrap(), 0);
    }

    #[test]
    fn a_disk_that_comes_back_is_written_to_again() {
        let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let switch = |is_broken| broken.store(is_broken, std::sync::atomic::Ordering::SeqCst);
        let store = Store::on_a_bad_disk(broken.clone());
        store.record(&[entry(1, Status::Completed)]).unwrap();
        switch(true);
        for _ in 0..3 {
            store.record(&[entry(2, Status::Completed)]).unwrap_err();
        }
        switch(false);
        store.record(&[entry(3, Status::Completed)]).unwrap();
        let ids: Vec<_> = store.calls(9).unwrap().into_iter().map(|c| c.id).collect();
        assert_eq!(ids, [3, 1].map(|n| CallId::from_random([n; 10])));
    }
}
