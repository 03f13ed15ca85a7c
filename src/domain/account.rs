//! Who may ask for what: accounts, their keys, and what a key allows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, KeyId, Money, Settings};

/// A tenant of the box.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    /// What its agents use where they say nothing themselves.
    #[serde(default)]
    pub settings: Settings,
    /// What may be spent in a calendar month (UTC); absent: as the configuration says.
    #[serde(default)]
    pub monthly_limit: Option<Money>,
}

/// An API key. The key itself is shown once and nowhere kept: here lies its SHA-256.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Key {
    pub id: KeyId,
    pub account: AccountId,
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub hash: String,
    /// The first characters of the key, by which a person tells keys apart.
    pub hint: String,
    pub scopes: Vec<Scope>,
    /// Outbound calls at once with this key; absent: as the configuration says.
    #[serde(default)]
    pub max_calls: Option<u32>,
    pub created_at: DateTime<Utc>,
    #[serde(default)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub revoked_at: Option<DateTime<Utc>>,
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident $code:tt;)*) => {
        /// What a key allows.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Scope { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl Scope {
            pub const ALL: &'static [Scope] = &[$(Scope::$name,)*];

            pub fn code(self) -> &'static str {
                match self { $(Scope::$name => $code,)* }
            }
        }
    };
}

scopes! {
    /// What an operator may: accounts, keys and the box itself, and everything that the other scopes allow in its account.
    Admin "admin";
    CallsRead "calls:read";
    CallsWrite "calls:write";
    MessagesRead "messages:read";
    MessagesWrite "messages:write";
    NumbersRead "numbers:read";
    NumbersWrite "numbers:write";
    AgentsRead "agents:read";
    AgentsWrite "agents:write";
    WebhooksRead "webhooks:read";
    WebhooksWrite "webhooks:write";
    UsageRead "usage:read";
    /// Buying credits, where that is allowed.
    CreditsWrite "credits:write";
    SpeechWrite "speech:write";
    /// The counters of the whole box, for a monitor.
    MetricsRead "metrics:read";
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|scope| scope.code() == text);
        let all = || Self::ALL.iter().map(|scope| scope.code()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("{text:?} is no scope; there are {}", all()))
    }
}

/// What a key may not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this key may not do that: it needs the scope {}", .0.code())]
pub struct MissingScope(pub Scope);

/// Who asks: the account, and the key that was shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Principal {
    pub account: AccountId,
    /// `None`: the gateway itself.
    pub key: Option<KeyId>,
    pub scopes: Vec<Scope>,
    /// As in [`Key::max_calls`].
    pub max_calls: Option<u32>,
}

impl Principal {
    /// The box's own account with every right.
    pub fn operator() -> Self {
        Self { account: AccountId::house(), key: None, scopes: vec![Scope::Admin], max_calls: None }
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|has| *has == scope || *has == Scope::Admin)
    }

    /// The first thing that a verb asks.
    ///
    /// # Errors
    /// The key has not that scope.
    pub fn require(&self, scope: Scope) -> Result<(), MissingScope> {
        if self.may(scope) { Ok(()) } else { Err(MissingScope(scope)) }
    }
}
