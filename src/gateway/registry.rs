//! Accounts and keys: what the operator makes, changes and ends. Blocks on the disk, so that the command line can do it without a
//! gateway that runs.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use super::keys::{Keyring, KeyringError, Secret, issue};
use super::settings::{At, SettingsPatch};
use super::{Error, Gateway, Kind};
use crate::domain::{Account, AccountId, Key, KeyId, Money, Principal, Scope, Settings};
use crate::store::{Cursor, Page, Revoked, Store};

/// Letters of a name.
const LONGEST_NAME: usize = 100;

/// An account to be made.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Clinic", "monthly_limit": "50.00", "settings": { "language": "en" } }))]
pub struct NewAccount {
    /// For people; 1 to 100 letters.
    pub name: String,
    /// What its agents use where they say nothing themselves.
    #[serde(default)]
    pub settings: Settings,
    /// What may be spent in a calendar month (UTC); absent: as the configuration says.
    #[serde(default)]
    pub monthly_limit: Option<Money>,
}

/// What to change of an account; what is left out stays.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Clinic, ground floor", "monthly_limit": null }))]
pub struct PatchAccount {
    #[serde(default)]
    pub name: Option<String>,
    /// What is left out stays, and `null` takes a setting away.
    #[serde(default)]
    #[schema(value_type = Option<Settings>)]
    pub settings: Option<SettingsPatch>,
    /// `null`: as the configuration says.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Money>)]
    pub monthly_limit: Option<Option<Money>>,
}

/// A key to be made.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "CRM", "scopes": ["calls:read", "calls:write"], "max_calls": 2 }))]
pub struct NewKey {
    /// Whose it is; absent: the box's own.
    #[serde(default)]
    pub account_id: Option<AccountId>,
    /// For people; 1 to 100 letters.
    pub name: String,
    /// What it allows; at least one.
    pub scopes: Vec<Scope>,
    /// Outbound calls at once with this key; absent: as the configuration says.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_calls: Option<u32>,
}

/// A field that is there, `null` or not.
pub(super) fn given<'de, T, D>(reader: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(reader).map(Some)
}

/// Makes, lists and ends accounts and keys.
#[derive(Clone)]
pub struct Registry {
    pub(super) store: Store,
    keys: Arc<Keyring>,
    chance: fn() -> [u8; 32],
}

impl Registry {
    pub fn new(store: Store, keys: Arc<Keyring>, chance: fn() -> [u8; 32]) -> Self {
        Self { store, keys, chance }
    }

    /// Of a data folder that no gateway has.
    ///
    /// # Errors
    /// The folder cannot be used, or a gateway has it.
    pub fn open(data: &Path, chance: fn() -> [u8; 32]) -> Result<Self, KeyringError> {
        let store = Store::open(data)?;
        let (keys, _) = Keyring::open(&store, data, chance, Utc::now())?;
        Ok(Self::new(store, Arc::new(keys), chance))
    }

    pub(super) fn random_id(&self) -> [u8; 10] {
        let random = (self.chance)();
        std::array::from_fn(|n| random[n])
    }

    pub fn create_account(&self, new: NewAccount) -> Result<Account, Error> {
        let account = Account {
            id: AccountId::from_random(self.random_id()),
            name: checked_name(new.name)?,
            created_at: Utc::now(),
            settings: new.settings,
            monthly_limit: checked_limit(new.monthly_limit)?,
        };
        self.store.put_account(&account)?;
        Ok(account)
    }

    pub fn account(&self, id: &AccountId) -> Result<Account, Error> {
        self.store.account(id)?.ok_or_else(|| Error::missing("account", id))
    }

    pub fn accounts(&self, after: Option<&Cursor>, limit: usize) -> Result<Page<Account>, Error> {
        Ok(self.store.accounts_page(after, limit)?)
    }

    pub fn patch_account(&self, id: &AccountId, patch: PatchAccount) -> Result<Account, Error> {
        let name = patch.name.map(checked_name).transpose()?;
        let limit = patch.monthly_limit.map(checked_limit).transpose()?;
        let settings = match patch.settings {
            Some(settings) => Some(settings.apply(&self.account(id)?.settings, At::Settings)?),
            None => None,
        };
        let changed = self.store.change_account(id, |account| {
            if let Some(name) = name {
                account.name = name;
            }
            if let Some(settings) = settings {
                account.settings = settings;
            }
            if let Some(limit) = limit {
                account.monthly_limit = limit;
            }
        })?;
        changed.ok_or_else(|| Error::missing("account", id))
    }

    /// The key itself is in the answer and nowhere else.
    pub fn create_key(&self, new: NewKey) -> Result<(Secret, Key), Error> {
        let name = checked_name(new.name)?;
        let account = new.account_id.unwrap_or_default();
        if self.store.account(&account)?.is_none() {
            return Err(Error::field("account_id", format!("there is no account {account}")));
        }
        let mut scopes = new.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(Error::field("scopes", "is empty, and must hold at least one scope"));
        }
        if scopes.contains(&Scope::Admin) && account != AccountId::house() {
            return Err(Error::field("scopes", "holds admin, which only keys of the box's own account have"));
        }
        if new.max_calls == Some(0) {
            return Err(Error::field("max_calls", "is 0, and must be at least 1, or absent"));
        }
        let id = KeyId::from_random(self.random_id());
        let (secret, mut key) = issue((self.chance)(), id, account, &name, scopes, Utc::now());
        key.max_calls = new.max_calls;
        self.store.put_key(&key)?;
        self.keys.reload(&self.store)?;
        Ok((secret, key))
    }

    pub fn key(&self, id: &KeyId) -> Result<Key, Error> {
        self.store.key(id)?.ok_or_else(|| Error::missing("key", id))
    }

    /// Of one account, or of all; also the revoked.
    pub fn keys(
        &self,
        account: Option<&AccountId>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Key>, Error> {
        Ok(self.store.keys_page(account, after, limit)?)
    }

    /// Opens nothing from now on.
    pub fn revoke_key(&self, id: &KeyId) -> Result<Key, Error> {
        let revoked = self.store.revoke_key(id, Utc::now())?;
        match revoked.ok_or_else(|| Error::missing("key", id))? {
            Revoked::Done(key) => {
                self.keys.reload(&self.store)?;
                Ok(key)
            }
            Revoked::LastAdmin => Err(Error::coded(
                Kind::Conflict,
                "last_admin_key",
                "this is the last key with the scope admin; make another one before you revoke it",
            )),
        }
    }
}

fn checked_name(name: String) -> Result<String, Error> {
    let name = name.trim().to_owned();
    let letters = name.chars().count();
    if (1..=LONGEST_NAME).contains(&letters) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(Error::field("name", format!("must be 1 to {LONGEST_NAME} letters of one line")))
}

fn checked_limit(limit: Option<Money>) -> Result<Option<Money>, Error> {
    match limit {
        Some(limit) if limit < Money::ZERO => {
            Err(Error::field("monthly_limit", "is less than nothing; \"0\" lets nothing be spent"))
        }
        limit => Ok(limit),
    }
}

impl Gateway {
    /// Calls heed its settings from the moment that this returns.
    pub async fn create_account(&self, who: &Principal, new: NewAccount) -> Result<Account, Error> {
        who.require(Scope::Admin)?;
        self.check_settings(&new.settings, At::Settings).await?;
        let _changing = self.exchange.directory.changing().await;
        let account = self.registry(who, move |registry| registry.create_account(new)).await?;
        self.exchange.directory.put_account(&account.id, &account.settings);
        Ok(account)
    }

    /// Calls that are up keep the settings that they began with.
    pub async fn patch_account(
        &self,
        who: &Principal,
        id: AccountId,
        patch: PatchAccount,
    ) -> Result<Account, Error> {
        who.require(Scope::Admin)?;
        self.check_patch(patch.settings.as_ref(), At::Settings).await?;
        let _changing = self.exchange.directory.changing().await;
        let account = self.registry(who, move |registry| registry.patch_account(&id, patch)).await?;
        self.exchange.directory.put_account(&account.id, &account.settings);
        Ok(account)
    }

    /// Accounts and keys, for an operator.
    pub async fn registry<T: Send + 'static>(
        &self,
        who: &Principal,
        act: impl FnOnce(&Registry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        who.require(Scope::Admin)?;
        let registry = self.registry.clone();
        let done = tokio::task::spawn_blocking(move || act(&registry)).await;
        done.map_err(|_| Error::new(Kind::Internal, "this failed; see the log"))?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn registry() -> (Registry, tempfile::TempDir) {
        static DICE: AtomicU8 = AtomicU8::new(0);
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path(), || [DICE.fetch_add(1, Ordering::Relaxed); 32]).unwrap();
        (registry, folder)
    }

    fn new_key(scopes: &[Scope]) -> NewKey {
        NewKey { account_id: None, name: "crm".into(), scopes: scopes.to_vec(), max_calls: None }
    }

    #[test]
    fn a_key_opens_until_it_is_revoked() {
        let (registry, _folder) = registry();
        let (secret, key) = registry.create_key(new_key(&[Scope::CallsRead])).unwrap();
        let who = |registry: &Registry| registry.keys.who(secret.reveal(), Utc::now()).map(|(who, _)| who);
        assert_eq!(who(&registry).unwrap().key, Some(key.id.clone()));
        assert!(who(&registry).unwrap().require(Scope::CallsWrite).is_err());
        registry.revoke_key(&key.id).unwrap();
        assert!(who(&registry).is_none());
    }

    #[test]
    fn mistakes_of_a_new_key_are_named() {
        let (registry, _folder) = registry();
        let field = |new: NewKey| registry.create_key(new).err().and_then(|error| error.field);
        assert_eq!(field(new_key(&[])), Some("scopes"));
        assert_eq!(field(NewKey { name: " ".into(), ..new_key(&[Scope::CallsRead]) }), Some("name"));
        assert_eq!(field(NewKey { max_calls: Some(0), ..new_key(&[Scope::CallsRead]) }), Some("max_calls"));
        let stranger = Some(AccountId::from_random([99; 10]));
        assert_eq!(
            field(NewKey { account_id: stranger, ..new_key(&[Scope::CallsRead]) }),
            Some("account_id")
        );
        let account =
            NewAccount { name: "clinic".into(), settings: Settings::default(), monthly_limit: None };
        let clinic = Some(registry.create_account(account).unwrap().id);
        assert_eq!(field(NewKey { account_id: clinic, ..new_key(&[Scope::Admin]) }), Some("scopes"));
    }

    #[test]
    fn the_last_key_of_an_operator_cannot_be_revoked() {
        let (registry, _folder) = registry();
        let first = registry.keys(None, None, 9).unwrap().items.remove(0).id;
        assert_eq!(registry.revoke_key(&first).unwrap_err().code, "last_admin_key");
        registry.create_key(new_key(&[Scope::Admin])).unwrap();
        assert!(registry.revoke_key(&first).unwrap().revoked_at.is_some());
    }

    #[test]
    fn a_patch_leaves_what_it_does_not_name() {
        let (registry, _folder) = registry();
        let new = NewAccount {
            name: "clinic".into(),
            settings: Settings::default(),
            monthly_limit: Some(Money::from_cents(500)),
        };
        let id = registry.create_account(new).unwrap().id;
        let patched = |json: &str| registry.patch_account(&id, serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(patched(r#"{"name":"ward"}"#).monthly_limit, Some(Money::from_cents(500)));
        let patched = patched(r#"{"monthly_limit":null}"#);
        assert_eq!((patched.name.as_str(), patched.monthly_limit), ("ward", None));
    }
}
