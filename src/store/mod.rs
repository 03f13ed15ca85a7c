//! The one room that knows the database.
//!
//! A `redb` file in the data folder: a commit is on disk when it returns. A value is a version byte and JSON. The
//! record of a call or a message, the events that tell of its change and whatever these bring about are written in one
//! transaction.

mod backup;
mod calls;
mod collection;
mod credits;
mod directory;
mod events;
mod hooks;
mod idempotency;
mod keys;
mod messages;
mod record;
mod schema;
mod secrets;
mod shelf;
mod sound;
mod tables;
mod threads;
mod usage;

pub use backup::{Extent, RestoreError, Snapshot, check_backup, restore};
pub use calls::CallFilter;
pub use collection::{Cursor, Page};
pub use directory::{NumberFilter, Registered};
pub use hooks::{Asked, Head, Lane, Settled};
pub use idempotency::{Begun, KeptAnswer};
pub use keys::Revoked;
pub use messages::MessageFilter;
pub use record::{Entry, Record};
pub use sound::{Reading, Tape, Words, recording_file};
pub use threads::ThreadFilter;
pub use usage::Terms;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use redb::{DatabaseError, ReadTransaction};
use tokio::sync::Notify;

use crate::domain::Rates;

use shelf::Shelf;

/// The file in the data folder.
const DATABASE: &str = "offhook.redb";
/// First byte of every value.
const VERSION: u8 = 1;

#[derive(Clone)]
pub struct Store {
    shelf: Arc<Shelf>,
    folder: PathBuf,
    /// Told after each change; one listens.
    changed: Arc<Notify>,
    terms: Arc<OnceLock<Terms>>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database {0} is in use by another offhook; stop that one, or give this one its own `data`")]
    InUse(PathBuf),
    #[error("the data folder {path} cannot be used: {reason}")]
    Folder { path: PathBuf, reason: String },
    #[error("the database {path} cannot be opened: {reason}")]
    Database { path: PathBuf, reason: String },
    #[error(
        "the database {path} was written by a newer offhook (schema {found}; this one knows up to {known}); \
         start that one, or restore a backup of this one's time"
    )]
    Newer { path: PathBuf, found: u64, known: u64 },
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
    #[error("the recordings cannot be reached: {0}")]
    Recordings(#[from] std::io::Error),
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
        sound::make_folders(folder).map_err(fail)?;
        let path = folder.join(DATABASE);
        let database = schema::open(&path)?;
        // Nobody else is here.
        backup::tidy(folder).map_err(fail)?;
        Ok(Self::on(Shelf::new(Some(database), move || schema::open_as_it_is(&path)), folder))
    }

    fn on(shelf: Shelf, folder: &Path) -> Self {
        Self {
            shelf: Arc::new(shelf),
            folder: folder.to_owned(),
            changed: Arc::default(),
            terms: Arc::default(),
        }
    }

    /// Opens a folder only if it is one already, and of the present schema.
    pub fn open_present(folder: &Path) -> Result<Self, OpenError> {
        schema::expect_present(&folder.join(DATABASE))?;
        Self::open(folder)
    }

    /// One in memory whose disk refuses everything while `broken` is true.
    #[cfg(test)]
    pub(crate) fn on_a_bad_disk(broken: Arc<std::sync::atomic::AtomicBool>) -> Self {
        let disk = shelf::bad_disk::BadDisk { bytes: Arc::default(), broken };
        let shelf = Shelf::new(None, move || redb::Database::builder().create_with_backend(disk.clone()));
        let store = Self::on(shelf, Path::new("nowhere"));
        store.change(|transaction| tables::visit(&mut tables::Make(transaction))).unwrap();
        store
    }

    /// Says what things cost, once and before anything is written; until then they cost nothing.
    pub fn agree(&self, terms: Terms) {
        // A second word changes nothing: what was charged stays as it was.
        let _ = self.terms.set(terms);
    }

    /// Size of the database's file; zero where it has none.
    pub fn bytes(&self) -> u64 {
        std::fs::metadata(self.folder.join(DATABASE)).map_or(0, |file| file.len())
    }

    /// What things cost here.
    pub fn rates(&self) -> &Rates {
        &self.terms().rates
    }

    fn terms(&self) -> &Terms {
        static FREE: LazyLock<Terms> = LazyLock::new(Terms::default);
        self.terms.get().unwrap_or(&FREE)
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.shelf.begin_read()
    }
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
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::calls::tests::{call, entry};
    use super::*;
    use crate::domain::{AccountId, CallId, Status};

    #[test]
    fn a_folder_belongs_to_one() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(OpenError::InUse(_))));
    }

    #[test]
    fn a_disk_that_comes_back_is_written_to_again() {
        let broken = Arc::new(AtomicBool::new(false));
        let switch = |is_broken| broken.store(is_broken, Ordering::SeqCst);
        let store = Store::on_a_bad_disk(broken.clone());
        store.record(&[entry(call(1, Status::Completed))]).unwrap();
        switch(true);
        for _ in 0..3 {
            store.record(&[entry(call(2, Status::Completed))]).unwrap_err();
        }
        switch(false);
        store.record(&[entry(call(3, Status::Completed))]).unwrap();
        let calls = store.calls(&AccountId::house(), &CallFilter::default(), None, 9).unwrap();
        let ids: Vec<_> = calls.items.into_iter().map(|call| call.id).collect();
        assert_eq!(ids, [3, 1].map(|n| CallId::from_random([n; 10])));
    }
}
