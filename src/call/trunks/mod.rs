//! The trunks as they are now: where their servers are and which of them answer, whether we are registered, and which sources
//! are theirs.
//!
//! One task per trunk looks after it (`keeper`); how a server stands is decided by a machine without a clock (`health`).

mod health;
mod keeper;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sip::net::Stack;
use sip::{
    Credentials, IncomingCall, Network, Password, Path, PingId, RegistrationId, RegistrationState, Sources,
    Uri,
};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::config::{Config, Strangers, Trunk};
pub use health::Reach;
use health::{Health, Line, order};
pub(super) use keeper::route_over;

/// Hosts beyond all trunks that we have called, and whose requests in those calls are let in.
const MOST_CALLED: usize = 256;
/// Answers to OPTIONS that came before we knew which OPTIONS they answer.
const MOST_EARLY: usize = 64;

/// How a trunk stands with its registrar.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
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
    /// None of its servers can be found; tried again by itself.
    Unresolved {
        reason: String,
    },
    Unregistered,
}

/// A trunk, for people to read.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct TrunkReport {
    pub name: String,
    #[serde(flatten)]
    pub standing: Standing,
    /// In the order of the configuration and of DNS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerReport>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ServerReport {
    pub uri: String,
    pub address: String,
    pub transport: &'static str,
    pub reach: Reach,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
}

/// Where a call can be sent: one address of one server of one trunk.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) trunk: usize,
    pub(super) server: Uri,
    pub(super) path: Path,
    /// What the registrar wants calls to go by (RFC 3608), if we are registered there.
    pub(super) service_route: Vec<Uri>,
}

struct Server {
    uri: Uri,
    path: Path,
    health: Health,
    /// What was logged of it last.
    told: Reach,
}

struct Known {
    standing: Standing,
    servers: Vec<Server>,
    /// Addresses of its registrar and its servers.
    hosts: Vec<IpAddr>,
    registration: Option<RegistrationId>,
    /// Where that goes.
    registered_at: Option<Path>,
    service_route: Vec<Uri>,
    /// The registrar was not there: another server is to be tried.
    wants_another: bool,
}

#[derive(Default)]
struct Unclaimed {
    service_route: Vec<Uri>,
    state: Option<RegistrationState>,
}

#[derive(Default)]
struct State {
    trunks: Vec<Known>,
    /// OPTIONS that are out: trunk and path.
    pings: HashMap<PingId, (usize, Path)>,
    early: VecDeque<(PingId, u16, Option<Duration>)>,
    /// What was told of registrations before we knew that they are ours.
    unclaimed: HashMap<RegistrationId, Unclaimed>,
    called: VecDeque<IpAddr>,
    /// Our own address, as a STUN server beyond the NAT sees it.
    public: Option<IpAddr>,
}

/// Shared by the switchboard, which reads it for each call, and the tasks that look after trunks. Each access is a few
/// comparisons long.
#[derive(Clone)]
pub struct Trunks {
    configured: Arc<[Trunk]>,
    strangers: Strangers,
    has_extensions: bool,
    state: Arc<Mutex<State>>,
    /// One per trunk: its task has something to do.
    woken: Arc<[Notify]>,
}

impl Trunks {
    pub fn new(config: &Config) -> Self {
        let known = config.trunks.iter().map(|trunk| Known {
            standing: if trunk.registrar.is_some() { Standing::Registering } else { Standing::Static },
            servers: Vec::new(),
            hosts: Vec::new(),
            registration: None,
            registered_at: None,
            service_route: Vec::new(),
            wants_another: false,
        });
        Self {
            configured: config.trunks.as_slice().into(),
            strangers: config.sip.strangers,
            has_extensions: !config.extensions.is_empty(),
            state: Arc::new(Mutex::new(State { trunks: known.collect(), ..State::default() })),
            woken: config.trunks.iter().map(|_| Notify::new()).collect(),
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.configured.iter().position(|trunk| trunk.name == name)
    }

    pub(super) fn trunk(&self, index: usize) -> &Trunk {
        &self.configured[index]
    }

    /// Takes our contacts away. The answers are not waited for.
    pub async fn unregister(&self, stack: &Stack) {
        let ids: Vec<_> = self.lock().trunks.iter().filter_map(|known| known.registration).collect();
        for id in ids {
            let _ = stack.unregister(id).await;
        }
    }

    pub(super) fn registration(&self, id: RegistrationId, state: &RegistrationState) {
        let mut lock = self.lock();
        match lock.trunks.iter().position(|known| known.registration == Some(id)) {
            Some(index) => self.note_registration(&mut lock.trunks[index], index, state),
            None => {
                if let Some(unclaimed) = self.unclaimed(&mut lock, id) {
                    unclaimed.state = Some(state.clone());
                }
            }
        }
    }

    /// At most one per trunk is on its way to be known; one that was given up stays unknown.
    fn unclaimed<'a>(&self, state: &'a mut State, id: RegistrationId) -> Option<&'a mut Unclaimed> {
        let has_room = state.unclaimed.len() < self.configured.len();
        (has_room || state.unclaimed.contains_key(&id)).then(|| state.unclaimed.entry(id).or_default())
    }

    fn note_registration(&self, known: &mut Known, index: usize, state: &RegistrationState) {
        let trunk = &self.configured[index].name;
        let standing = match state {
            RegistrationState::Registered { expires } => {
                let expires_s = expires.as_secs();
                if !matches!(known.standing, Standing::Registered { .. }) {
                    info!(trunk, expires_s, "registered");
                }
                Standing::Registered { expires_s }
            }
            RegistrationState::Failed { status, retry_in } => {
                let retry_in_s = retry_in.as_secs();
                warn!(trunk, status, retry_in_s, "the registrar does not accept us now");
                known.wants_another = matches!(status, 408 | 503) && known.servers.len() > 1;
                if known.wants_another {
                    self.woken[index].notify_one();
                }
                Standing::Failing { status: *status, retry_in_s }
            }
            RegistrationState::Rejected { status } => {
                tracing::error!(trunk, status, "the registrar refuses us; check username and password");
                Standing::Rejected { status: *status }
            }
            _ => Standing::Unregistered,
        };
        known.standing = standing;
    }

    pub(super) fn service_route(&self, id: RegistrationId, route: Vec<Uri>) {
        let mut lock = self.lock();
        match lock.trunks.iter().position(|known| known.registration == Some(id)) {
            Some(index) => lock.trunks[index].service_route = route,
            None => {
                if let Some(unclaimed) = self.unclaimed(&mut lock, id) {
                    unclaimed.service_route = route;
                }
            }
        }
    }

    /// The answer to OPTIONS of ours.
    pub(super) fn pong(&self, id: PingId, status: u16, round_trip: Option<Duration>) {
        let mut lock = self.lock();
        match lock.pings.remove(&id) {
            Some((index, path)) => self.note_health(&mut lock, index, path, |health, now| {
                health.answered(now, status, round_trip);
            }),
            None => {
                lock.early.push_back((id, status, round_trip));
                if lock.early.len() > MOST_EARLY {
                    lock.early.pop_front();
                }
            }
        }
    }

    /// What a call has found out about a server.
    pub(super) fn called(&self, trunk: usize, path: Path, passed: bool) {
        self.note_health(&mut self.lock(), trunk, path, |health, now| match passed {
            true => health.call_passed(now),
            false => health.call_failed(now),
        });
    }

    fn note_health(
        &self,
        state: &mut State,
        index: usize,
        path: Path,
        act: impl FnOnce(&mut Health, Instant),
    ) {
        let servers = state.trunks.get_mut(index).map(|known| &mut known.servers);
        let server = servers.and_then(|servers| servers.iter_mut().find(|server| server.path == path));
        if let Some(server) = server {
            act(&mut server.health, Instant::now());
            self.tell(index, server);
            self.woken[index].notify_one();
        }
    }

    /// Logs how a server stands, once per change.
    fn tell(&self, index: usize, server: &mut Server) {
        let reach = server.health.reach(Instant::now());
        let before = std::mem::replace(&mut server.told, reach);
        let (trunk, uri, address) = (&self.configured[index].name, &server.uri, server.path.remote);
        match (before, reach) {
            (Reach::Unknown | Reach::Up, Reach::Down) => {
                warn!(trunk, %uri, %address, "a server of the trunk is down")
            }
            (Reach::Down, Reach::Up) => info!(trunk, %uri, %address, "a server of the trunk is up again"),
            (Reach::Unknown, Reach::Up) => info!(trunk, %uri, %address, "a server of the trunk answers"),
            _ => {}
        }
    }

    /// The places for a call of this trunk, in the order in which they are to be tried.
    pub(super) fn hops(&self, own: &str) -> Vec<Hop> {
        let Some(own) = self.index(own) else { return Vec::new() };
        let (lock, now) = (self.lock(), Instant::now());
        let line = |(trunk, known): (&Trunk, &Known)| Line {
            priority: trunk.priority,
            is_usable: !matches!(known.standing, Standing::Rejected { .. } | Standing::Failing { .. }),
            servers: known.servers.iter().map(|server| server.health.reach(now)).collect(),
        };
        let lines: Vec<_> = self.configured.iter().zip(&lock.trunks).map(line).collect();
        let hop = |(index, server): (usize, usize)| {
            let known = &lock.trunks[index];
            let Server { uri, path, .. } = &known.servers[server];
            let is_ours = known.registered_at == Some(*path);
            let service_route = if is_ours { known.service_route.clone() } else { Vec::new() };
            Hop { trunk: index, server: uri.clone(), path: *path, service_route }
        };
        order(own, &lines).into_iter().map(hop).collect()
    }

    /// The trunk that a call comes by. Several may share an address: what they have proven comes first, then which of our
    /// registrations was called, then whose number it is (`usual`), then the order of the configuration.
    pub fn of_call(&self, request: &IncomingCall, usual: Option<&str>) -> Option<String> {
        if let Some(account) = &request.account {
            return self.of_account(account);
        }
        let at = self.at_source(request.path.remote.ip());
        let by_registration = request.registration.and_then(|id| {
            let lock = self.lock();
            at.iter().copied().find(|index| lock.trunks[*index].registration == Some(id))
        });
        let by_number =
            || at.iter().copied().find(|index| Some(self.configured[*index].name.as_str()) == usual);
        let index = by_registration.or_else(by_number).or(at.first().copied())?;
        Some(self.configured[index].name.clone())
    }

    /// The trunk that has proven to be this account.
    pub(super) fn of_account(&self, account: &str) -> Option<String> {
        let proven = |trunk: &&Trunk| trunk.auth.as_ref().is_some_and(|login| login.username == account);
        self.configured.iter().find(proven).map(|trunk| trunk.name.clone())
    }

    /// The trunk whose requests come from this address.
    pub fn of_source(&self, source: IpAddr) -> Option<String> {
        self.at_source(source).first().map(|index| self.configured[*index].name.clone())
    }

    /// Those of this address that need not prove more: first those whose server it is, then those that allow its network.
    fn at_source(&self, source: IpAddr) -> Vec<usize> {
        let source = source.to_canonical();
        let lock = self.lock();
        let open = || (0..self.configured.len()).filter(|index| self.configured[*index].auth.is_none());
        let (mut found, others): (Vec<_>, Vec<_>) =
            open().partition(|index| lock.trunks[*index].hosts.contains(&source));
        let allows = |index: &usize| self.configured[*index].allow.iter().any(|net| net.contains(&source));
        found.extend(others.into_iter().filter(allows));
        found
    }

    /// Whom the stack is to trust, and whom it is to hear at all.
    fn policy(&self) -> (Vec<Network>, Sources) {
        let lock = self.lock();
        let (mut trusted, mut heard) = (Vec::new(), Vec::new());
        let mut from_anywhere = self.has_extensions || self.strangers == Strangers::Refuse;
        for (trunk, known) in self.configured.iter().zip(&lock.trunks) {
            let allowed = trunk.allow.iter().filter_map(|net| Network::new(net.addr(), net.prefix_len()));
            let networks: Vec<_> = allowed.chain(known.hosts.iter().copied().map(Network::from)).collect();
            // As long as we do not know where they are, they may be anywhere.
            from_anywhere |= networks.is_empty() || (!trunk.servers.is_empty() && known.servers.is_empty());
            heard.extend_from_slice(&networks);
            if trunk.auth.is_none() {
                trusted.extend(networks);
            }
        }
        heard.extend(lock.called.iter().copied().map(Network::from));
        (trusted, if from_anywhere { Sources::Any } else { Sources::Only(heard) })
    }

    /// Tells the stack whom it may hear.
    pub async fn tell_sources(&self, stack: &Stack) {
        let (trusted, sources) = self.policy();
        let _ = stack.set_trusted(trusted).await;
        let _ = stack.set_sources(sources).await;
    }

    /// Somebody beyond all trunks is about to be called: their BYE must be heard.
    pub(super) async fn will_call(&self, ip: IpAddr, stack: &Stack) {
        let is_new = {
            let mut lock = self.lock();
            let is_new = !lock.called.contains(&ip);
            if is_new {
                lock.called.push_back(ip);
                if lock.called.len() > MOST_CALLED {
                    lock.called.pop_front();
                }
            }
            is_new
        };
        if is_new && self.at_source(ip).is_empty() {
            self.tell_sources(stack).await;
        }
    }

    pub(super) fn seen_as(&self, public: IpAddr) {
        self.lock().public = Some(public);
    }

    pub(super) fn public(&self) -> Option<IpAddr> {
        self.lock().public
    }

    /// Each trunk in the order of the configuration.
    pub fn report(&self) -> Vec<TrunkReport> {
        let (lock, now) = (self.lock(), Instant::now());
        let server = |server: &Server| ServerReport {
            uri: server.uri.to_string(),
            address: server.path.remote.to_string(),
            transport: server.path.transport.as_str(),
            reach: server.health.reach(now),
            round_trip_ms: server
                .health
                .round_trip
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        let trunk = |(trunk, known): (&Trunk, &Known)| TrunkReport {
            name: trunk.name.clone(),
            standing: known.standing.clone(),
            servers: known.servers.iter().map(server).collect(),
        };
        self.configured.iter().zip(&lock.trunks).map(trunk).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-changed by a panic under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(in crate::call) fn credentials(trunk: &Trunk) -> Credentials {
    Credentials { username: trunk.username.clone(), password: Password::new(trunk.password.reveal()) }
}

/// `user` at the host of `at`.
pub(in crate::call) fn address_of(user: &str, at: &Uri) -> Result<Uri, String> {
    let host = at.host().ok_or_else(|| format!("{at} has no host"))?;
    Ok(Uri::sip(Some(user), host.clone(), at.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunks(text: &str) -> Trunks {
        Trunks::new(&Config::parse(text).unwrap())
    }

    const TWO: &str = "[[trunk]]\nname='a'\nallow=['10.0.0.0/8']\n[[trunk]]\nname='b'\nallow=['192.0.2.1/32','2001:db8::/32']\n";

    #[test]
    fn a_source_belongs_to_the_trunk_that_allows_it() {
        let trunks = trunks(TWO);
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

    fn call(source: &str, account: Option<&str>, registration: Option<u64>) -> IncomingCall {
        let party: sip::NameAddr = "<sip:x@h>".parse().unwrap();
        IncomingCall {
            path: Path {
                transport: sip::Transport::Udp,
                local: "192.0.2.9:5060".parse().unwrap(),
                remote: source.parse().unwrap(),
            },
            request_uri: "sip:x@h".parse().unwrap(),
            to: party.clone(),
            from: party,
            account: account.map(str::to_owned),
            asserted: None,
            call_id: String::new(),
            body: None,
            registration: registration.map(RegistrationId),
            replaces: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn trunks_at_one_address_are_told_apart_by_proof_registration_and_number() {
        let trunks = trunks(
            "[[trunk]]\nname='a'\nallow=['192.0.2.0/24']\n[[trunk]]\nname='b'\nallow=['192.0.2.0/24']\n\
             [[trunk]]\nname='c'\nauth={username='peer',password='p'}",
        );
        trunks.lock().trunks[1].registration = Some(RegistrationId(7));
        for (call, usual, expected) in [
            (call("192.0.2.1:5060", None, None), None, Some("a")),
            (call("192.0.2.1:5060", None, None), Some("b"), Some("b")),
            (call("192.0.2.1:5060", None, Some(7)), Some("a"), Some("b")),
            (call("198.51.100.1:5060", Some("peer"), None), None, Some("c")),
            (call("192.0.2.1:5060", Some("201"), None), None, None),
            (call("198.51.100.1:5060", None, None), Some("c"), None),
        ] {
            assert_eq!(trunks.of_call(&call, usual).as_deref(), expected, "{usual:?} {call:?}");
        }
    }

    #[test]
    fn strangers_are_not_heard_unless_somebody_may_come_from_anywhere() {
        let allows = |text: &str| trunks(text).policy().1.allows("198.51.100.9".parse().unwrap());
        assert!(!allows(TWO));
        assert!(allows(&format!("[sip]\nstrangers='refuse'\n{TWO}")));
        assert!(allows(&format!("{TWO}[[extension]]\nnumber='201'\npassword='p'")));
        assert!(allows(&format!("{TWO}[[trunk]]\nname='c'\nauth={{username='peer',password='p'}}")));
        // Nobody knows yet where it is.
        assert!(allows(&format!("{TWO}[[trunk]]\nname='c'\nservers=['sip:192.0.2.77']")));
    }

    #[test]
    fn who_must_prove_a_password_is_heard_and_not_trusted() {
        let (trusted, heard) = trunks(&format!(
            "{TWO}[[trunk]]\nname='c'\nallow=['203.0.113.0/24']\nauth={{username='peer',password='p'}}"
        ))
        .policy();
        let ip = "203.0.113.5".parse().unwrap();
        assert!(heard.allows(ip));
        assert!(!trusted.iter().any(|network| network.contains(ip)));
    }
}
