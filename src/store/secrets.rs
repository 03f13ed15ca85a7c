//! Secrets of the box that must outlive a process.

use redb::{ReadableTable, TableDefinition};

use super::{Store, StoreError};

pub(super) const SECRETS: TableDefinition<&str, &[u8; 32]> = TableDefinition::new("secrets");

impl Store {
    /// The secret of this name; made of `chance` where there is none yet. Blocks until it is on disk.
    pub fn secret(&self, name: &str, chance: impl FnOnce() -> [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.change(|transaction| {
            let mut secrets = transaction.open_table(SECRETS)?;
            let kept = secrets.get(name)?.map(|kept| *kept.value());
            if let Some(kept) = kept {
                return Ok(kept);
            }
            let made = chance();
            secrets.insert(name, &made)?;
            Ok(made)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.secret("links", || [7; 32]).unwrap(), [7; 32]);
        assert_eq!(store.secret("others", || [9; 32]).unwrap(), [9; 32]);
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.secret("links", || [8; 32]).unwrap(), [7; 32]);
    }
}
