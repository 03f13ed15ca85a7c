//! Who knocks: API keys, by their hashes. The keys that count lie in memory, so that no request costs a read of the disk.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::{Account, AccountId, Key, KeyId, Principal, Scope};
use crate::store::{OpenError, Store, StoreError};

/// What every key begins with, so that one that leaked is recognised.
const PREFIX: &str = "offhook_";
/// Letters of a key that are kept to tell it by: 32 of its 256 bits.
const HINT: usize = PREFIX.len() + 8;
/// The least time between two notes of a key's use.
const NOTED_EVERY: chrono::Duration = chrono::Duration::minutes(1);

/// A key as it is shown once. `Debug` is not derived, so that it cannot reach a log.
pub struct Secret(String);

impl Secret {
    /// Of 256 random bits.
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", hex(&random)))
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A new key, and how it is kept. `random` makes the key, `id` its id.
pub(super) fn issue(
    random: [u8; 32],
    id: KeyId,
    account: AccountId,
    name: &str,
    scopes: Vec<Scope>,
    now: DateTime<Utc>,
) -> (Secret, Key) {
    let secret = Secret::new(random);
    let key = kept(&secret, id, account, name, scopes, now);
    (secret, key)
}

fn kept(
    secret: &Secret,
    id: KeyId,
    account: AccountId,
    name: &str,
    scopes: Vec<Scope>,
    now: DateTime<Utc>,
) -> Key {
    Key {
        id,
        account,
        name: name.to_owned(),
        hash: hash(&secret.0),
        hint: secret.0.chars().take(HINT).collect(),
        scopes,
        max_calls: None,
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    }
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the admin key in the data folder: {0}")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Folder(#[from] OpenError),
}

/// The keys that open something, by their hashes.
pub struct Keyring {
    held: ArcSwap<HashMap<String, Held>>,
}

struct Held {
    hash: String,
    id: KeyId,
    principal: Arc<Principal>,
    /// Microseconds since 1970.
    used_at: Arc<AtomicI64>,
}

impl Keyring {
    /// Reads the keys of the database; makes the account of the house and its first key where they are missing.
    ///
    /// The first key lies in the data folder too, for the command line. A key that lies there and that the database does
    /// not know (it is of an earlier offhook) is taken in. Gives the key when it was made just now, to be shown once.
    ///
    /// # Errors
    /// The folder or the database cannot be used.
    pub fn open(
        store: &Store,
        data: &Path,
        chance: impl Fn() -> [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<(Self, Option<Secret>), KeyringError> {
        let house = AccountId::house();
        if store.account(&house)?.is_none() {
            let (name, settings) = ("house".to_owned(), crate::domain::Settings::default());
            let account = Account { id: house.clone(), name, created_at: now, settings, monthly_limit: None };
            store.put_account(&account)?;
        }
        let mut keys = store.all_keys()?;
        let id = || {
            let random = chance();
            KeyId::from_random(std::array::from_fn(|n| random[n]))
        };
        let admin = vec![Scope::Admin];
        let mut made = None;
        match read_admin_key(data)? {
            Some(secret) if !keys.iter().any(|key| key.hash == hash(&secret.0)) => {
                let key = kept(&secret, id(), house, "first key", admin, now);
                store.put_key(&key)?;
                keys.push(key);
            }
            Some(_) => {}
            None if keys.iter().any(|key| opens(key) && key.scopes.contains(&Scope::Admin)) => {}
            None => {
                let (secret, key) = issue(chance(), id(), house, "first key", admin, now);
                write_admin_key(data, &secret)?;
                store.put_key(&key)?;
                keys.push(key);
                made = Some(secret);
            }
        }
        let ring = Self { held: ArcSwap::default() };
        ring.hold(&keys);
        Ok((ring, made))
    }

    /// Reads them anew, after a change.
    pub(super) fn reload(&self, store: &Store) -> Result<(), StoreError> {
        self.hold(&store.all_keys()?);
        Ok(())
    }

    fn hold(&self, keys: &[Key]) {
        let before = self.held.load();
        let held = |key: &Key| {
            let used = key.last_used_at.map_or(0, |at| at.timestamp_micros());
            let principal = Principal {
                account: key.account.clone(),
                key: Some(key.id.clone()),
                scopes: key.scopes.clone(),
                max_calls: key.max_calls,
            };
            let used_at = before.get(&key.hash).map(|held| held.used_at.clone());
            Held {
                hash: key.hash.clone(),
                id: key.id.clone(),
                principal: Arc::new(principal),
                used_at: used_at.unwrap_or_else(|| Arc::new(AtomicI64::new(used))),
            }
        };
        let keys = keys.iter().filter(|key| opens(key)).map(|key| (key.hash.clone(), held(key)));
        self.held.store(Arc::new(keys.collect()));
    }

    /// Whose key it is; `None`: nobody's, or a revoked one. And whether its use is to be noted.
    pub(super) fn who(&self, secret: &str, now: DateTime<Utc>) -> Option<(Arc<Principal>, Option<KeyId>)> {
        let hash = hash(secret);
        let held = self.held.load();
        let found = held.get(&hash).filter(|held| held.hash.as_bytes().ct_eq(hash.as_bytes()).into())?;
        let (used, now) = (found.used_at.load(Ordering::Relaxed), now.timestamp_micros());
        let is_due = now.saturating_sub(used) >= NOTED_EVERY.num_microseconds().unwrap_or(i64::MAX)
            && found.used_at.compare_exchange(used, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Some((found.principal.clone(), is_due.then(|| found.id.clone())))
    }
}

fn opens(key: &Key) -> bool {
    key.revoked_at.is_none()
}

/// Where the first key lies for the command line.
pub fn admin_key_path(data: &Path) -> PathBuf {
    data.join("admin.key")
}

fn read_admin_key(data: &Path) -> std::io::Result<Option<Secret>> {
    let path = admin_key_path(data);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => Ok(Some(Secret(text.trim().to_owned()))),
        // What a crash left half-written opens nothing.
        Ok(_) => std::fs::remove_file(&path).map(|()| None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Only the owner of the folder can read it.
fn write_admin_key(data: &Path, secret: &Secret) -> std::io::Result<()> {
    let path = admin_key_path(data);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(secret.0.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::days(1) + chrono::Duration::seconds(second)
    }

    fn open(folder: &Path, store: &Store, random: u8) -> (Keyring, Option<Secret>) {
        Keyring::open(store, folder, || [random; 32], at(0)).unwrap()
    }

    #[test]
    fn the_first_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (_, made) = open(folder.path(), &store, 7);
        let made = made.unwrap();
        let (ring, again) = open(folder.path(), &store, 8);
        assert!(again.is_none());
        let (who, _) = ring.who(made.reveal(), at(1)).unwrap();
        assert_eq!((&who.account, who.scopes.as_slice()), (&AccountId::house(), &[Scope::Admin][..]));
        assert!(ring.who("offhook_", at(1)).is_none());
        let mode = std::fs::metadata(admin_key_path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!store.all_keys().unwrap()[0].hash.contains(&made.reveal()[PREFIX.len()..]));
    }

    #[test]
    fn a_key_file_of_an_earlier_offhook_is_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let old = format!("offhook_{}", "ab".repeat(32));
        std::fs::write(admin_key_path(folder.path()), &old).unwrap();
        let (ring, made) = open(folder.path(), &store, 7);
        assert!(made.is_none() && ring.who(&old, at(1)).is_some());
    }

    #[test]
    fn a_revoked_first_key_is_not_made_again_while_another_admin_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let made = open(folder.path(), &store, 7).1.unwrap();
        let first = store.all_keys().unwrap().remove(0).id;
        let id = KeyId::from_random([9; 10]);
        let (_, other) = issue([9; 32], id, AccountId::house(), "other", vec![Scope::Admin], at(1));
        store.put_key(&other).unwrap();
        store.revoke_key(&first, at(2)).unwrap();
        let (ring, again) = open(folder.path(), &store, 8);
        assert!(again.is_none() && ring.who(made.reveal(), at(3)).is_none());
        std::fs::remove_file(admin_key_path(folder.path())).unwrap();
        assert!(open(folder.path(), &store, 8).1.is_none());
    }

    #[test]
    fn the_use_of_a_key_is_noted_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (ring, made) = open(folder.path(), &store, 7);
        let made = made.unwrap();
        let noted = |second| ring.who(made.reveal(), at(second)).unwrap().1.is_some();
        assert_eq!([0, 1, 59, 60, 61].map(noted), [true, false, false, true, false]);
    }
}
