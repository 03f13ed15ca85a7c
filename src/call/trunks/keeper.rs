//! One task per trunk: finds its servers again when DNS says so, registers, follows the registrar when it moves, and asks by
//! OPTIONS who is there.

use std::time::{Duration, Instant};

use sip::net::Stack;
use sip::{NameAddr, Path, Ping, Register, Uri};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{info, warn};

use super::{Health, Known, Reach, Server, Standing, Trunks, address_of, credentials};
use crate::config::Trunk;

/// Between two tries to find a trunk's address.
const RESOLVE_AGAIN: Duration = Duration::from_secs(15);
/// Bounds of what DNS says about how long an answer holds: some say 0, and some a week.
const SHORTEST_BELIEF: Duration = Duration::from_secs(30);
const LONGEST_BELIEF: Duration = Duration::from_secs(3600);
/// Addresses of one trunk, over all its servers.
const MOST_ADDRESSES: usize = 16;

impl Trunks {
    /// Looks after each trunk that has servers.
    pub fn start(&self, stack: &Stack, tasks: &mut JoinSet<()>) {
        for index in (0..self.configured.len()).filter(|index| !self.configured[*index].servers.is_empty()) {
            let (trunks, stack) = (self.clone(), stack.clone());
            tasks.spawn(async move { trunks.keep(index, &stack).await });
        }
    }

    async fn keep(self, index: usize, stack: &Stack) {
        let mut resolve_at = Instant::now();
        loop {
            if Instant::now() >= resolve_at {
                resolve_at = Instant::now() + self.find(index, stack).await;
            }
            self.register(index, stack).await;
            self.ask(index, stack).await;
            let asking = {
                let lock = self.lock();
                lock.trunks[index].servers.iter().filter_map(|server| server.health.poll_timeout()).min()
            };
            let next = asking.map_or(resolve_at, |at| at.min(resolve_at));
            tokio::select! {
                () = sleep_until(next.into()) => {}
                () = self.woken[index].notified() => {}
            }
        }
    }

    /// Finds the servers; gives how long that may be believed.
    async fn find(&self, index: usize, stack: &Stack) -> Duration {
        let trunk = &self.configured[index];
        let (mut found, mut hosts, mut belief, mut failure) = (Vec::new(), Vec::new(), LONGEST_BELIEF, None);
        for uri in &trunk.servers {
            match stack.resolve_all(uri).await {
                Ok(paths) => {
                    belief = belief.min(paths.ttl.max(SHORTEST_BELIEF));
                    found.extend(paths.list.into_iter().map(|path| (uri.clone(), path)));
                }
                Err(error) => {
                    belief = RESOLVE_AGAIN;
                    // What DNS said before is better than nothing.
                    let lock = self.lock();
                    let before = lock.trunks[index].servers.iter().filter(|server| server.uri == *uri);
                    found.extend(before.map(|server| (server.uri.clone(), server.path)));
                    failure = Some(format!("{uri}: {error}"));
                }
            }
        }
        found.truncate(MOST_ADDRESSES);
        hosts.extend(found.iter().map(|(_, path)| path.remote.ip()));
        // Calls may come from the registrar where they do not go to it.
        if let Some(registrar) = &trunk.registrar
            && !trunk.servers.contains(registrar)
            && let Ok(paths) = stack.resolve_all(registrar).await
        {
            hosts.extend(paths.list.iter().map(|path| path.remote.ip()));
        }
        if let Some(reason) = &failure {
            warn!(trunk = trunk.name, reason, "a server of the trunk cannot be found; trying again");
        }
        let is_empty = found.is_empty();
        {
            let mut lock = self.lock();
            let known = &mut lock.trunks[index];
            known.standing = match (failure, &known.standing) {
                (Some(reason), _) if is_empty => Standing::Unresolved { reason },
                (_, Standing::Unresolved { .. }) => first_standing(trunk),
                (_, standing) => standing.clone(),
            };
            if !is_empty {
                take_servers(known, found, trunk.qualify);
                known.hosts = hosts.into_iter().map(|ip| ip.to_canonical()).collect();
            }
        }
        self.tell_sources(stack).await;
        belief
    }

    /// Registers, or follows the registrar to where it is now.
    async fn register(&self, index: usize, stack: &Stack) {
        let trunk = &self.configured[index];
        let Some(registrar) = &trunk.registrar else { return };
        let (current, target) = {
            let mut lock = self.lock();
            let known = &mut lock.trunks[index];
            let target = registration_target(known, Instant::now());
            known.wants_another = false;
            (known.registration.zip(known.registered_at), target)
        };
        let Some((server, path)) = target else { return };
        let route = route_over(&server);
        if let Some((id, at)) = current {
            if at == path {
                return;
            }
            info!(trunk = trunk.name, address = %path.remote, "the registration goes to another server");
            if route.is_empty() {
                self.lock().trunks[index].registered_at = Some(path);
                let _ = stack.move_registration(id, path).await;
                return;
            }
            let _ = stack.unregister(id).await;
        }
        let aor = match &trunk.aor {
            Some(aor) => Ok(aor.clone()),
            None => address_of(&trunk.username, registrar),
        };
        // A registrar without host was refused by the configuration.
        let Ok(aor) = aor else { return };
        let register = Register {
            registrar: registrar.clone(),
            aor,
            contact_user: trunk.username.clone(),
            credentials: credentials(trunk),
            expires: trunk.expires,
            path,
            route,
        };
        let Ok(id) = stack.register(register).await else { return };
        let mut lock = self.lock();
        // Whatever else is unclaimed belongs to registrations that were given up.
        let unclaimed = lock.unclaimed.remove(&id).unwrap_or_default();
        let known = &mut lock.trunks[index];
        (known.registration, known.registered_at) = (Some(id), Some(path));
        known.service_route = unclaimed.service_route;
        if let Some(state) = unclaimed.state {
            self.note_registration(known, index, &state);
        }
    }

    /// Sends the OPTIONS that are due.
    async fn ask(&self, index: usize, stack: &Stack) {
        let trunk = &self.configured[index];
        let due: Vec<(Uri, Path)> = {
            let (mut lock, now) = (self.lock(), Instant::now());
            let servers = &mut lock.trunks[index].servers;
            let mut due = Vec::new();
            for server in servers {
                if server.health.handle_timeout(now) {
                    due.push((server.uri.clone(), server.path));
                }
                self.tell(index, server);
            }
            due
        };
        for (uri, path) in due {
            let user = Some(trunk.username.as_str()).filter(|user| !user.is_empty());
            let Ok(from) = address_of(user.unwrap_or("offhook"), trunk.registrar.as_ref().unwrap_or(&uri))
            else {
                continue;
            };
            let Some(host) = uri.host() else { continue };
            let ping =
                Ping { to: Uri::sip(None, host.clone(), uri.port()), from: NameAddr::new(None, from), path };
            let Ok(id) = stack.ping(ping).await else { return };
            let early = {
                let mut lock = self.lock();
                let early = lock.early.iter().position(|(early, ..)| *early == id);
                lock.pings.insert(id, (index, path));
                early.and_then(|at| lock.early.remove(at))
            };
            if let Some((id, status, round_trip)) = early {
                self.pong(id, status, round_trip);
            }
        }
    }
}

fn first_standing(trunk: &Trunk) -> Standing {
    if trunk.registrar.is_some() { Standing::Registering } else { Standing::Static }
}

/// What is known of an address stays known.
fn take_servers(known: &mut Known, found: Vec<(Uri, Path)>, qualify: Duration) {
    let mut before = std::mem::take(&mut known.servers);
    for (uri, path) in found {
        if known.servers.iter().any(|server| server.path == path) {
            continue;
        }
        let server = match before.iter().position(|server| server.path == path) {
            Some(at) => Server { uri, ..before.swap_remove(at) },
            None => Server { uri, path, health: Health::new(Instant::now(), qualify), told: Reach::Unknown },
        };
        known.servers.push(server);
    }
}

/// Where to register: where we are, as long as that is a server of the trunk and takes us; else the best of the others.
fn registration_target(known: &Known, now: Instant) -> Option<(Uri, Path)> {
    let servers = &known.servers;
    let current = known.registered_at.and_then(|at| servers.iter().position(|server| server.path == at));
    if let Some(at) = current
        && !known.wants_another
    {
        return Some((servers[at].uri.clone(), servers[at].path));
    }
    let first = current.map_or(0, |at| at + 1);
    let turn = (0..servers.len()).map(|n| (first + n) % servers.len());
    let is_well = |at: &usize| servers[*at].health.reach(now) != Reach::Down;
    let at = turn.clone().find(is_well).or_else(|| turn.clone().next())?;
    Some((servers[at].uri.clone(), servers[at].path))
}

/// The Route header for a server: itself, where it is an outbound proxy.
pub(in crate::call) fn route_over(server: &Uri) -> Vec<Uri> {
    let is_proxy = server.param("lr").is_some();
    if is_proxy { vec![server.clone()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path {
            transport: sip::Transport::Udp,
            local: "192.0.2.9:5060".parse().unwrap(),
            remote: format!("192.0.2.1:{port}").parse().unwrap(),
        }
    }

    fn known(ports: &[u16]) -> Known {
        let mut known = Known {
            standing: Standing::Registering,
            servers: Vec::new(),
            hosts: Vec::new(),
            registration: None,
            registered_at: None,
            service_route: Vec::new(),
            wants_another: false,
        };
        found(&mut known, ports);
        known
    }

    fn found(known: &mut Known, ports: &[u16]) {
        let uri: Uri = "sip:h".parse().unwrap();
        take_servers(known, ports.iter().map(|port| (uri.clone(), path(*port))).collect(), Duration::ZERO);
    }

    fn target(known: &Known) -> u16 {
        registration_target(known, Instant::now()).unwrap().1.remote.port()
    }

    #[test]
    fn a_registration_stays_until_its_server_moves_or_is_not_there() {
        let mut known = known(&[1, 2, 3]);
        assert_eq!(target(&known), 1);
        known.registered_at = Some(path(2));
        assert_eq!(target(&known), 2, "it stays");
        known.wants_another = true;
        assert_eq!(target(&known), 3, "the registrar was not there");
        known.servers[2].health.call_failed(Instant::now());
        assert_eq!(target(&known), 1, "nor is the one after it");
        known.wants_another = false;
        found(&mut known, &[7, 8]);
        assert_eq!(target(&known), 7, "the address has changed");
    }

    #[test]
    fn what_is_known_of_an_address_survives_another_look() {
        let mut known = known(&[1, 2]);
        known.servers[1].health.call_failed(Instant::now());
        found(&mut known, &[2, 3, 2]);
        let reach: Vec<_> = known.servers.iter().map(|server| server.health.reach(Instant::now())).collect();
        assert_eq!(reach, [Reach::Down, Reach::Unknown]);
    }

    #[test]
    fn a_loose_router_stands_in_the_route() {
        assert!(route_over(&"sip:h".parse().unwrap()).is_empty());
        assert_eq!(route_over(&"sip:h;lr".parse().unwrap()).len(), 1);
    }
}
