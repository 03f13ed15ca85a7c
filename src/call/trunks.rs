//! The trunks as they are now: where they are, whether they are registered, and which sources are theirs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sip::net::Stack;
use sip::{Credentials, Password, Register, RegistrationId, RegistrationState, Uri};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::Trunk;

/// Between two tries to find a trunk's address.
const RESOLVE_AGAIN: Duration = Duration::from_secs(15);

/// How a trunk stands.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// It needs no registration.
    Static,
    /// On its way.
    Registering,
    Registered {
        expires_s: u64,
    },
    /// Tried again by itself.
    Failing {
        status: u16,
        retry_in_s: u64,
    },
    /// Refused for good: the configuration is wrong.
    Rejected {
        status: u16,
    },
    /// Its address cannot be found; tried again by itself.
    Unresolved {
        reason: String,
    },
    Unregistered,
}

struct Known {
    standing: Standing,
    /// Addresses of its registrar and its proxy.
    hosts: Vec<IpAddr>,
    registration: Option<RegistrationId>,
}

/// Shared by the switchboard, which reads it for each call, and the tasks that look after registrations. Each access
/// is a few comparisons long.
#[derive(Clone)]
pub struct Trunks {
    configured: Arc<[Trunk]>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

impl Trunks {
    pub fn new(configured: &[Trunk]) -> Self {
        let known = configured.iter().map(|trunk| {
            let standing = if trunk.registrar.is_some() { Standing::Registering } else { Standing::Static };
            (trunk.name.clone(), Known { standing, hosts: Vec::new(), registration: None })
        });
        Self { configured: configured.into(), known: Arc::new(Mutex::new(known.collect())) }
    }

    /// Looks up each trunk and registers with those that want it. A host that cannot be found is tried again.
    pub fn start(&self, stack: &Stack, tasks: &mut JoinSet<()>) {
        for trunk in self.configured.iter().filter(|trunk| trunk.outbound().is_some()) {
            let (trunks, trunk, stack) = (self.clone(), trunk.clone(), stack.clone());
            tasks.spawn(async move {
                while let Err(reason) = trunks.connect(&trunk, &stack).await {
                    warn!(trunk = trunk.name, reason, "the trunk cannot be reached; trying again");
                    trunks.set(&trunk.name, Standing::Unresolved { reason });
                    tokio::time::sleep(RESOLVE_AGAIN).await;
                }
            });
        }
    }

    async fn connect(&self, trunk: &Trunk, stack: &Stack) -> Result<(), String> {
        for uri in trunk.registrar.iter().chain(&trunk.servers) {
            let path = stack.resolve(uri).await.map_err(|error| error.to_string())?;
            self.with(&trunk.name, |known| known.hosts.push(path.remote.ip()));
        }
        let Some(registrar) = &trunk.registrar else { return Ok(()) };
        let next_hop = trunk.outbound().unwrap_or(registrar);
        let path = stack.resolve(next_hop).await.map_err(|error| error.to_string())?;
        let aor = match &trunk.aor {
            Some(aor) => aor.clone(),
            None => address_of(&trunk.username, registrar)?,
        };
        let register = Register {
            registrar: registrar.clone(),
            aor,
            contact_user: trunk.username.clone(),
            credentials: credentials(trunk),
            expires: trunk.expires,
            path,
            route: Vec::new(),
        };
        let id = stack.register(register).await.map_err(|error| error.to_string())?;
        self.with(&trunk.name, |known| known.registration = Some(id));
        Ok(())
    }

    /// Takes our contacts away. The answers are not waited for.
    pub async fn unregister(&self, stack: &Stack) {
        let ids: Vec<_> = self.lock().values().filter_map(|known| known.registration).collect();
        for id in ids {
            let _ = stack.unregister(id).await;
        }
    }

    pub(super) fn registration(&self, id: RegistrationId, state: &RegistrationState) {
        let name = self
            .lock()
            .iter()
            .find(|(_, known)| known.registration == Some(id))
            .map(|(name, _)| name.clone());
        let Some(name) = name else { return };
        let standing = match state {
            RegistrationState::Registered { expires } => {
                info!(trunk = name, expires_s = expires.as_secs(), "registered");
                Standing::Registered { expires_s: expires.as_secs() }
            }
            RegistrationState::Failed { status, retry_in } => {
                warn!(
                    trunk = name,
                    status,
                    retry_in_s = retry_in.as_secs(),
                    "the registrar does not accept us now"
                );
                Standing::Failing { status: *status, retry_in_s: retry_in.as_secs() }
            }
            RegistrationState::Rejected { status } => {
                tracing::error!(
                    trunk = name,
                    status,
                    "the registrar refuses us; check username and password"
                );
                Standing::Rejected { status: *status }
            }
            _ => Standing::Unregistered,
        };
        self.set(&name, standing);
    }

    /// The trunk whose calls come from this address.
    pub fn of_source(&self, source: IpAddr) -> Option<String> {
        let source = source.to_canonical();
        let known = self.lock();
        let by_host = self
            .configured
            .iter()
            .find(|trunk| known.get(&trunk.name).is_some_and(|known| known.hosts.contains(&source)));
        let by_network =
            || self.configured.iter().find(|trunk| trunk.allow.iter().any(|net| net.contains(&source)));
        by_host.or_else(by_network).map(|trunk| trunk.name.clone())
    }

    /// Each trunk by name, in the order of the configuration.
    pub fn standings(&self) -> Vec<(String, Standing)> {
        let known = self.lock();
        let standing =
            |name: &str| known.get(name).map_or(Standing::Unregistered, |known| known.standing.clone());
        self.configured.iter().map(|trunk| (trunk.name.clone(), standing(&trunk.name))).collect()
    }

    fn set(&self, name: &str, standing: Standing) {
        self.with(name, |known| known.standing = standing);
    }

    fn with(&self, name: &str, act: impl FnOnce(&mut Known)) {
        if let Some(known) = self.lock().get_mut(name) {
            act(known);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        // Nothing is left half-changed by a panic under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn credentials(trunk: &Trunk) -> Credentials {
    Credentials { username: trunk.username.clone(), password: Password::new(trunk.password.reveal()) }
}

/// `user` at the host of `at`.
pub fn address_of(user: &str, at: &Uri) -> Result<Uri, String> {
    let host = at.host().ok_or_else(|| format!("{at} has no host"))?;
    Ok(Uri::sip(Some(user), host.clone(), at.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_source_belongs_to_the_trunk_that_allows_it() {
        let config = Config::parse(
            "[[trunk]]\nname='a'\nallow=['10.0.0.0/8']\n[[trunk]]\nname='b'\nallow=['192.0.2.1/32','2001:db8::/32']",
        )
        .unwrap();
        let trunks = Trunks::new(&config.trunks);
        for (source, expected) in [
            ("10.1.2.3", Some("a")),
            ("::ffff:10.1.2.3", Some("a")),
            ("192.0.2.1", Some("b")),
            ("2001:db8::7", Some("b")),
            ("192.0.2.2", None),
        ] {
            assert_eq!(trunks.of_source(source.parse().unwrap()).as_deref(), expected, "{source}");
        }
    }
}
