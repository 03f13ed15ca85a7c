//! The database itself, which is not there while its disk refuses.
//!
//! `redb` refuses everything after the first error of the disk until it is opened again. So the database is closed on such an
//! error, and opened again by whoever needs it next: a disk that was full and has room again needs no restart.

use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::StoreError;

type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) struct Shelf {
    held: Mutex<Option<Arc<Database>>>,
    open: Open,
}

impl Shelf {
    pub(super) fn new(
        database: Option<Database>,
        open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Self {
        Self { held: Mutex::new(database.map(Arc::new)), open: Box::new(open) }
    }

    /// The lock is held for no longer than this, so that nobody who reads waits for somebody who writes.
    fn database(&self) -> Result<Arc<Database>, StoreError> {
        // Nothing is left half-changed by a panic under this lock.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*held {
            return Ok(database.clone());
        }
        let database = Arc::new((self.open)().map_err(StoreError::Reopen)?);
        *held = Some(database.clone());
        Ok(database)
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.database()?.begin_read()?)
    }

    /// Several changes, together or not at all: on disk when this returns. One at a time; others wait.
    pub(super) fn change<T>(
        &self,
        act: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database()?;
        let changed = database.begin_write().map_err(StoreError::from).and_then(|transaction| {
            let outcome = act(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        });
        if matches!(changed, Err(StoreError::Database(redb::Error::Io(_) | redb::Error::PreviousIo))) {
            self.close(&database);
        }
        changed
    }

    /// Whoever failed with one that was opened again meanwhile does not close the new one.
    fn close(&self, failed: &Arc<Database>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|database| Arc::ptr_eq(database, failed)) {
            *held = None;
        }
    }
}

#[cfg(test)]
pub(super) mod bad_disk {
    use std::io::{Error, Result};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use redb::StorageBackend;

    /// Its bytes survive the database that lay on it.
    #[derive(Clone, Debug)]
    pub(in crate::store) struct BadDisk {
        pub(in crate::store) bytes: Arc<Mutex<Vec<u8>>>,
        pub(in crate::store) broken: Arc<AtomicBool>,
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
