//! Keys and accounts. A key is found by its hash in memory (`gateway::Keyring`); here they are kept and listed.

use chrono::{DateTime, Utc};

use super::collection::{self, Kept};
use super::{Cursor, Page, Store, StoreError};
use crate::domain::{Account, AccountId, Key, KeyId, Scope};

/// The list of everything, whosesoever it is.
const ALL: &str = "all";

impl Kept for Key {
    const TABLE: &'static str = "keys";
    const LISTS: &'static str = "keys_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![ALL.into(), self.account.to_string()]
    }
}

impl Kept for Account {
    const TABLE: &'static str = "accounts";
    const LISTS: &'static str = "accounts_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![ALL.into()]
    }
}

/// What became of a key that was to end.
#[derive(Clone, PartialEq, Debug)]
pub enum Revoked {
    Done(Key),
    /// Nobody could administer the box any more: it stays.
    LastAdmin,
}

impl Store {
    pub fn put_key(&self, key: &Key) -> Result<(), StoreError> {
        self.change(|tx| collection::put(tx, key).map(drop))
    }

    pub fn key(&self, id: &KeyId) -> Result<Option<Key>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    /// Those of one account, or of all; also the revoked.
    pub fn keys_page(
        &self,
        account: Option<&AccountId>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Key>, StoreError> {
        let list = account.map_or(ALL, AccountId::as_str);
        collection::page(&self.begin_read()?, list, after, limit, |_| true)
    }

    /// All of them, for the memory.
    pub fn all_keys(&self) -> Result<Vec<Key>, StoreError> {
        collection::all(&self.begin_read()?)
    }

    /// Ends a key; one that has ended stays as it is. `None`: there is none of this id.
    pub fn revoke_key(&self, id: &KeyId, at: DateTime<Utc>) -> Result<Option<Revoked>, StoreError> {
        let opens = |key: &Key| key.revoked_at.is_none() && key.scopes.contains(&Scope::Admin);
        self.change(|tx| {
            let Some(mut key) = collection::get_to_change::<Key>(tx, id.as_str())? else { return Ok(None) };
            if key.revoked_at.is_some() {
                return Ok(Some(Revoked::Done(key)));
            }
            // Asked in the transaction that changes it: of two operators who revoke each other's key at once, one is refused.
            let others = collection::all_to_change::<Key>(tx)?;
            if opens(&key) && !others.iter().any(|other| other.id != key.id && opens(other)) {
                return Ok(Some(Revoked::LastAdmin));
            }
            key.revoked_at = Some(at);
            collection::put(tx, &key)?;
            Ok(Some(Revoked::Done(key)))
        })
    }

    /// Notes when keys were used last.
    pub fn note_key_uses(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        self.change(|tx| {
            for (id, at) in uses {
                if let Some(mut key) = collection::get_to_change::<Key>(tx, id.as_str())? {
                    key.last_used_at = key.last_used_at.max(Some(*at));
                    collection::put(tx, &key)?;
                }
            }
            Ok(())
        })
    }

    pub fn put_account(&self, account: &Account) -> Result<(), StoreError> {
        self.change(|tx| collection::put(tx, account).map(drop))
    }

    /// `None`: there is none of this id.
    pub fn change_account(
        &self,
        id: &AccountId,
        act: impl FnOnce(&mut Account),
    ) -> Result<Option<Account>, StoreError> {
        self.change(|tx| {
            let Some(mut account) = collection::get_to_change::<Account>(tx, id.as_str())? else {
                return Ok(None);
            };
            act(&mut account);
            collection::put(tx, &account)?;
            Ok(Some(account))
        })
    }

    pub fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    pub fn accounts_page(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<Account>, StoreError> {
        collection::page(&self.begin_read()?, ALL, after, limit, |_| true)
    }

    /// All of them, for the memory.
    pub fn all_accounts(&self) -> Result<Vec<Account>, StoreError> {
        collection::all(&self.begin_read()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key {
            id: KeyId::from_random([n; 10]),
            account: AccountId::house(),
            name: format!("key {n}"),
            hash: format!("{n:064x}"),
            hint: "offhook_0000".into(),
            scopes: vec![Scope::CallsRead],
            max_calls: None,
            created_at: DateTime::UNIX_EPOCH + chrono::Duration::seconds(n.into()),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_revoked_key_stays_listed_and_keeps_the_time_of_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (1..=3).for_each(|n| store.put_key(&key(n)).unwrap());
        let id = key(2).id;
        let (first, second) = (Utc::now(), Utc::now() + chrono::Duration::seconds(9));
        let ended = Revoked::Done(Key { revoked_at: Some(first), ..key(2) });
        assert_eq!(store.revoke_key(&id, first).unwrap().as_ref(), Some(&ended));
        assert_eq!(store.revoke_key(&id, second).unwrap().as_ref(), Some(&ended));
        assert_eq!(store.revoke_key(&KeyId::from_random([9; 10]), first).unwrap(), None);
        let house = AccountId::house();
        let page = store.keys_page(Some(&house), None, 2).unwrap();
        assert_eq!(page.items.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["key 3", "key 2"]);
        let rest = store.keys_page(None, page.next.as_ref(), 2).unwrap();
        assert_eq!((rest.items, rest.next), (vec![key(1)], None));
        store.note_key_uses(&[(key(1).id, second), (key(1).id, first)]).unwrap();
        assert_eq!(store.key(&key(1).id).unwrap().unwrap().last_used_at, Some(second));
    }
}
