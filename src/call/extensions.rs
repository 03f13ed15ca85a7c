//! Phones of our own: who may register, where they are, and whom they may dial.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sip::{Account, Binding, Password};
use tracing::info;

use super::Directory;
use crate::config::{Config, Extension, Login};
use crate::domain::{Agent, Number};

/// An extension, for people to read.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ExtensionReport {
    pub number: String,
    pub name: String,
    pub phones: Vec<PhoneReport>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PhoneReport {
    pub address: String,
    pub transport: &'static str,
    /// When it was told of last.
    pub expires_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Who is registered as the stack has told it. Shared by the switchboard, which writes it, and those who read.
#[derive(Clone)]
pub struct Extensions {
    configured: Arc<[Extension]>,
    bound: Arc<Mutex<HashMap<String, Vec<Binding>>>>,
}

impl Extensions {
    pub fn new(config: &Config) -> Self {
        Self { configured: config.extensions.as_slice().into(), bound: Arc::default() }
    }

    pub(super) fn bound(&self, number: String, bindings: Vec<Binding>) {
        // The stack tells of accounts that it has from us.
        let before = self.lock().insert(number.clone(), bindings.clone()).map_or(0, |before| before.len());
        if before != bindings.len() {
            info!(extension = number, phones = bindings.len(), "the phones of an extension have changed");
        }
    }

    /// Each extension in the order of the configuration.
    pub fn report(&self) -> Vec<ExtensionReport> {
        let lock = self.lock();
        let phone = |binding: &Binding| PhoneReport {
            address: binding.path.remote.to_string(),
            transport: binding.path.transport.as_str(),
            expires_s: binding.expires.as_secs(),
            user_agent: binding.user_agent.clone(),
        };
        let report = |extension: &Extension| ExtensionReport {
            number: extension.number.clone(),
            name: extension.name.clone(),
            phones: lock.get(&extension.number).into_iter().flatten().map(phone).collect(),
        };
        self.configured.iter().map(report).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Binding>>> {
        // Nothing is left half-changed by a panic under this lock.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody who can prove a password: extensions, which register, and trunks, which only call.
pub fn accounts(config: &Config) -> Vec<Account> {
    let account = |login: &Login, max_contacts: Option<usize>| Account {
        username: login.username.clone(),
        password: Password::new(login.password.reveal()),
        register: max_contacts.is_some(),
        max_contacts,
    };
    let extensions = config.extensions.iter().map(|one| account(&one.login, Some(one.max_contacts)));
    let trunks = config.trunks.iter().filter_map(|trunk| trunk.auth.as_ref());
    extensions.chain(trunks.map(|login| account(login, None))).collect()
}

/// Whom an extension has dialled.
#[derive(PartialEq, Debug)]
pub(super) enum Dialled<'a> {
    Number(Arc<Number>),
    /// An agent, and the name that it was dialled by.
    Agent {
        agent: Arc<Agent>,
        to: String,
    },
    Extension(&'a Extension),
    /// Somebody whom it may not dial.
    Forbidden,
    Nobody,
}

/// Numbers first, then agents by name in any case of letters, then other extensions; what is nobody's goes to the
/// extension's own agent, if it has one.
pub(super) fn dialled<'a>(
    config: &'a Config,
    directory: &Directory,
    by: &'a Extension,
    user: &str,
) -> Dialled<'a> {
    let (found, may) = if let Some(number) = directory.dialled(user) {
        let agent = directory.agent_at(&number);
        let names =
            [Some(user), Some(number.number.as_str()), agent.as_ref().map(|agent| agent.name.as_str())];
        let may = by.may_dial(names.into_iter().flatten());
        (Dialled::Number(number), may)
    } else if let Some(agent) = directory.agent_called(user) {
        let (to, may) = (agent.name.clone(), by.may_dial([agent.name.as_str()]));
        (Dialled::Agent { agent, to }, may)
    } else if let Some(other) = config.extension(user).filter(|other| other.number != by.number) {
        (Dialled::Extension(other), by.may_dial([other.number.as_str()]))
    } else {
        let agent = by.agent.as_deref().and_then(|agent| directory.agent_called(agent));
        return match agent {
            Some(agent) => Dialled::Agent { agent, to: user.to_owned() },
            None => Dialled::Nobody,
        };
    };
    if may { found } else { Dialled::Forbidden }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "[[trunk]]\nname='t'\nallow=['192.0.2.0/24']\nauth={username='peer',password='p'}\n\
             [[agent]]\nname='desk'\n[[agent]]\nname='boss'\n\
             [[number]]\nnumber='+15550100001'\naliases=['100']\nagent='desk'\ntrunk='t'\n\
             [[extension]]\nnumber='201'\npassword='p'\n\
             [[extension]]\nnumber='202'\npassword='p'\nmay_dial=['desk']\nagent='desk'\n";
        Config::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
    }

    #[test]
    fn an_extension_dials_numbers_names_and_other_extensions() {
        let config = config();
        let directory = Directory::of(&config);
        let agent = |name: &str, to: &str| Dialled::Agent {
            agent: directory.agent_called(name).unwrap(),
            to: to.to_owned(),
        };
        let number = || Dialled::Number(directory.dialled("+15550100001").unwrap());
        for (by, user, expected) in [
            (0, "100", number()),
            (0, "15550100001", number()),
            (0, "Boss", agent("boss", "boss")),
            (0, "202", Dialled::Extension(&config.extensions[1])),
            (0, "201", Dialled::Nobody),
            (0, "999", Dialled::Nobody),
            (1, "100", number()),
            (1, "boss", Dialled::Forbidden),
            (1, "201", Dialled::Forbidden),
            (1, "999", agent("desk", "999")),
        ] {
            let found = dialled(&config, &directory, &config.extensions[by], user);
            assert_eq!(found, expected, "{by} dials {user}");
        }
    }

    #[test]
    fn extensions_register_and_trunks_only_prove_themselves() {
        let accounts = accounts(&config());
        let names: Vec<_> =
            accounts.iter().map(|account| (account.username.as_str(), account.register)).collect();
        assert_eq!(names, [("201", true), ("202", true), ("peer", false)]);
    }
}
