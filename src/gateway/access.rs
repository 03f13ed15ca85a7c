//! Who asks, and what an operator changes of that.

use std::sync::Arc;

use chrono::Utc;

use super::settings::At;
use super::{Error, Gateway, Kind, NewAccount, PatchAccount, Registry};
use crate::domain::{Account, AccountId, Principal, Scope};

impl Gateway {
    /// Whose key this is; `None`: nobody's.
    pub fn authenticate(&self, secret: &str) -> Option<Arc<Principal>> {
        let now = Utc::now();
        let (who, note) = self.keys.who(secret, now)?;
        if let Some(id) = note {
            let store = self.store.clone();
            // Nobody waits for it: at worst a use is told a minute late.
            tokio::task::spawn_blocking(move || {
                if let Err(error) = store.note_key_uses(&[(id, now)]) {
                    tracing::warn!(%error, "the use of a key could not be noted");
                }
            });
        }
        Some(who)
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

    pub async fn create_account(&self, who: &Principal, new: NewAccount) -> Result<Account, Error> {
        who.require(Scope::Admin)?;
        self.check_settings(&new.settings, At::Settings).await?;
        let made = self.registry(who, move |registry| registry.create_account(new)).await?;
        self.exchange.directory.put_account(&made.id, &made.settings);
        Ok(made)
    }

    /// Calls that are up keep the settings that they began with.
    pub async fn patch_account(
        &self,
        who: &Principal,
        id: AccountId,
        patch: PatchAccount,
    ) -> Result<Account, Error> {
        who.require(Scope::Admin)?;
        let _changing = self.exchange.directory.changing().await;
        let PatchAccount { name, settings, monthly_limit } = patch;
        let wanted = id.clone();
        let now = self.registry(who, move |registry| registry.account(&wanted)).await?;
        let settings = settings.map(|patch| patch.apply(&now.settings, At::Settings)).transpose()?;
        if let Some(settings) = &settings {
            self.check_settings(settings, At::Settings).await?;
        }
        let change = move |registry: &Registry| registry.change_account(&id, name, settings, monthly_limit);
        let changed = self.registry(who, change).await?;
        self.exchange.directory.put_account(&changed.id, &changed.settings);
        Ok(changed)
    }
}
