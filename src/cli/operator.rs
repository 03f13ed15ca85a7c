//! What an operator does with accounts and keys: through the gateway that runs, or on the data folder where none does.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::gateway::{Door, Gateway, safe};
use crate::domain::{AccountId, Key, Principal};
use crate::gateway::{GrantCredits, NewAccount, NewKey, Registry};

/// Where accounts and keys are.
#[derive(Args, Debug)]
pub(super) struct Where {
    #[command(flatten)]
    pub(super) door: Door,
    /// The data folder, which is used directly where no gateway runs
    #[arg(long, default_value = "data", value_name = "FOLDER", global = true)]
    pub(super) data: PathBuf,
}

impl Where {
    /// The gateway, if one answers.
    pub(super) async fn running(&self) -> Option<Gateway> {
        let gateway = self.door.open().ok()?;
        gateway.answers().await.then_some(gateway)
    }
}

pub(super) enum Operator {
    Running(Gateway),
    Folder(Registry),
}

impl Operator {
    pub(super) async fn at(place: &Where) -> anyhow::Result<Self> {
        if let Some(gateway) = place.running().await {
            return Ok(Self::Running(gateway));
        }
        eprintln!("no gateway answers at {}; using the folder {}", place.door.url, place.data.display());
        let registry = Registry::open(&place.data, crate::app::chance::<32>);
        Ok(Self::Folder(registry.with_context(|| format!("the data folder {}", place.data.display()))?))
    }

    pub(super) async fn create_account(&self, name: String) -> anyhow::Result<Value> {
        match self {
            Self::Running(gateway) => gateway.post("/v1/admin/accounts", &json!({ "name": name })).await,
            Self::Folder(registry) => {
                let new = NewAccount { name, settings: Default::default(), monthly_limit: None };
                Ok(serde_json::to_value(registry.create_account(new)?)?)
            }
        }
    }

    /// The newest first.
    pub(super) async fn accounts(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Running(gateway) => gateway.list("/v1/admin/accounts?limit=200").await,
            Self::Folder(registry) => {
                let page = registry.accounts(None, usize::MAX)?;
                page.items.iter().map(|account| Ok(serde_json::to_value(account)?)).collect()
            }
        }
    }

    /// The answer has the key itself in `key`.
    pub(super) async fn create_key(&self, new: NewKey) -> anyhow::Result<Value> {
        match self {
            Self::Running(gateway) => {
                let NewKey { account_id, name, scopes, max_calls } = new;
                let body = json!({ "account_id": account_id, "name": name, "scopes": scopes, "max_calls": max_calls });
                gateway.post("/v1/admin/keys", &body).await
            }
            Self::Folder(registry) => {
                let (secret, key) = registry.create_key(new)?;
                let mut shown = shown(&key);
                shown["key"] = secret.reveal().into();
                Ok(shown)
            }
        }
    }

    /// The new entry.
    pub(super) async fn grant(&self, grant: GrantCredits) -> anyhow::Result<Value> {
        match self {
            Self::Running(gateway) => {
                let GrantCredits { account_id, amount, note } = grant;
                let body = json!({ "account_id": account_id, "amount": amount, "note": note });
                gateway.post("/v1/admin/credits", &body).await
            }
            Self::Folder(registry) => {
                Ok(serde_json::to_value(registry.grant(&Principal::operator(), grant)?)?)
            }
        }
    }

    /// What has changed an account's credits, the newest first.
    pub(super) async fn credits(&self, account: Option<&AccountId>) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Running(gateway) => {
                let of = account.map_or_else(String::new, |account| format!("&account_id={account}"));
                gateway.list(&format!("/v1/credits/entries?limit=200{of}")).await
            }
            Self::Folder(registry) => {
                let account = account.cloned().unwrap_or_default();
                let entries = registry.credits(&account, usize::MAX)?.items;
                entries.iter().map(|entry| Ok(serde_json::to_value(entry)?)).collect()
            }
        }
    }

    /// The newest first.
    pub(super) async fn keys(&self) -> anyhow::Result<Vec<Value>> {
        match self {
            Self::Running(gateway) => gateway.list("/v1/admin/keys?limit=200").await,
            Self::Folder(registry) => {
                Ok(registry.keys(None, None, usize::MAX)?.items.iter().map(shown).collect())
            }
        }
    }

    pub(super) async fn revoke_key(&self, id: &str) -> anyhow::Result<Value> {
        match self {
            Self::Running(gateway) => gateway.delete(&format!("/v1/admin/keys/{}", safe(id))).await,
            Self::Folder(registry) => {
                let id = id.parse().map_err(anyhow::Error::msg)?;
                Ok(shown(&registry.revoke_key(&id)?))
            }
        }
    }
}

/// As the API shows it.
fn shown(key: &Key) -> Value {
    json!({
        "id": key.id, "account_id": key.account, "name": key.name, "hint": key.hint, "scopes": key.scopes,
        "max_calls": key.max_calls, "created_at": key.created_at, "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    })
}
