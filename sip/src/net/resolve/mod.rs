//! From a URI to an ordered list of servers: RFC 3263 §4.
//!
//! | the URI has | transport | where |
//! |---|---|---|
//! | an address | its parameter, else UDP (`sips`: TLS) | the address, its port or the default one |
//! | a name and a port | the same | A and AAAA of the name |
//! | a name and a transport | the parameter | SRV of that transport, else A and AAAA |
//! | a name alone | NAPTR, else the transports that have SRV records | SRV, else A and AAAA |
//!
//! What is found later in the list is for whom the earlier ones fail (§4.3); [`Targets::ttl`] says when to ask again.
//! DNS itself stands behind [`Dns`]: the system's, or a script.

mod dns;
mod srv;
mod system;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::local::Locals;
use crate::config::{Path, Transport};
use crate::message::{Host, Uri};
use crate::random::Random;

pub use dns::{Answer, Dns, Kind, Lookup, Naptr, Record, Srv};
pub use system::SystemDns;

/// Nobody fails over to more servers than this; a list from DNS may be longer.
const MOST_TARGETS: usize = 32;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    #[error("{0} is no sip uri")]
    NotSip(Uri),
    #[error("{0} wants a transport that is not spoken here")]
    Transport(Uri),
    #[error("{host}: {source}")]
    Dns { host: String, source: io::Error },
    #[error("{host} has no address that a local socket can reach")]
    NoAddress { host: String },
    #[error("no route to {remote}: {source}")]
    NoRoute { remote: SocketAddr, source: io::Error },
}

/// One server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    pub transport: Transport,
    pub remote: SocketAddr,
}

/// Servers in the order in which they are to be tried. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Targets {
    pub list: Vec<Target>,
    /// How long this may be believed; [`Duration::MAX`] where nothing was asked.
    pub ttl: Duration,
}

/// Finds the servers of a URI. `spoken` says what can be reached from here: transport, and IPv4 or not. `seed` decides
/// between SRV records of equal priority (RFC 2782): the same seed, the same order.
pub async fn locate(
    dns: &dyn Dns,
    uri: &Uri,
    spoken: &(dyn Fn(Transport, bool) -> bool + Sync),
    seed: [u8; 32],
) -> Result<Targets, ResolveError> {
    let sip = uri.as_sip().ok_or_else(|| ResolveError::NotSip(uri.clone()))?;
    let not_spoken = || ResolveError::Transport(uri.clone());
    let is_spoken = |transport: &Transport| spoken(*transport, true) || spoken(*transport, false);
    let asked = match sip.params.get("transport") {
        None => None,
        Some(_) => Some(uri.transport().filter(is_spoken).ok_or_else(not_spoken)?),
    };
    // §4.1: UDP for sip, TLS for sips. Where one has no UDP the next best must do.
    let usual: &[Transport] =
        if sip.secure { &[Transport::Tls] } else { &[Transport::Udp, Transport::Tcp, Transport::Tls] };
    let possible: Vec<Transport> = usual.iter().copied().filter(is_spoken).collect();
    let transport = asked.or(possible.first().copied()).ok_or_else(not_spoken)?;
    // §4: where there is a maddr parameter, it is the target.
    let maddr = sip.params.get("maddr").and_then(|maddr| maddr.parse::<Host>().ok());
    let target = maddr.as_ref().unwrap_or(&sip.host);
    let host = target.to_string();
    let port = sip.port.unwrap_or(transport.default_port());

    let mut search = Search { dns, spoken, list: Vec::new(), ttl: Duration::MAX, error: None };
    if let Some(ip) = target.ip() {
        search.add(transport, SocketAddr::new(ip, port));
    } else if sip.port.is_some() {
        search.addresses(transport, &host, port).await;
    } else {
        let services = match asked {
            Some(transport) => vec![(transport, service(transport, &host))],
            None => search.services(&host, sip.secure, &possible).await,
        };
        let mut random = Random::new(seed);
        let mut is_served = false;
        for (transport, name) in services {
            is_served |= search.servers(transport, &name, &mut random).await;
        }
        // §4.2: without SRV records the name itself. With some, a server that they do not name is not asked.
        if !is_served {
            search.addresses(transport, &host, port).await;
        }
    }
    match (search.list.is_empty(), search.error) {
        (false, _) => Ok(Targets { list: search.list, ttl: search.ttl }),
        (true, Some((host, source))) => Err(ResolveError::Dns { host, source }),
        (true, None) => Err(ResolveError::NoAddress { host }),
    }
}

fn service(transport: Transport, host: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{prefix}.{host}")
}

struct Search<'a> {
    dns: &'a dyn Dns,
    spoken: &'a (dyn Fn(Transport, bool) -> bool + Sync),
    list: Vec<Target>,
    ttl: Duration,
    /// The first that went wrong; told when nothing is found.
    error: Option<(String, io::Error)>,
}

impl Search<'_> {
    async fn ask(&mut self, name: &str, kind: Kind) -> Vec<Record> {
        match self.dns.query(name, kind).await {
            Ok(answer) => {
                self.ttl = self.ttl.min(answer.ttl);
                answer.records
            }
            Err(error) => {
                self.error.get_or_insert((name.to_owned(), error));
                Vec::new()
            }
        }
    }

    fn add(&mut self, transport: Transport, remote: SocketAddr) {
        let target = Target { transport, remote };
        let fits = (self.spoken)(transport, remote.is_ipv4());
        if fits && self.list.len() < MOST_TARGETS && !self.list.contains(&target) {
            self.list.push(target);
        }
    }

    /// §4.1: transports in the order of the domain's NAPTR records; else ours, each to be asked for.
    async fn services(
        &mut self,
        host: &str,
        secure: bool,
        possible: &[Transport],
    ) -> Vec<(Transport, String)> {
        let mut pointers: Vec<Naptr> = Vec::new();
        for record in self.ask(host, Kind::Naptr).await {
            if let Record::Naptr(naptr) = record {
                pointers.push(naptr);
            }
        }
        pointers.sort_by_key(|naptr| (naptr.order, naptr.preference));
        let mut services = Vec::new();
        for naptr in pointers {
            if let Some(transport) = naptr.transport(secure).filter(|one| possible.contains(one)) {
                services.push((transport, naptr.replacement));
            }
        }
        services.truncate(MOST_TARGETS);
        if services.is_empty() {
            services = possible.iter().map(|one| (*one, service(*one, host))).collect();
        }
        services
    }

    /// §4.2. `true`: the domain speaks about this service, be it to say that there is none (RFC 2782: target `.`).
    async fn servers(&mut self, transport: Transport, name: &str, random: &mut Random) -> bool {
        let mut servers = Vec::new();
        for record in self.ask(name, Kind::Srv).await {
            if let Record::Srv(srv) = record {
                servers.push(srv);
            }
        }
        let is_served = !servers.is_empty();
        servers.truncate(MOST_TARGETS);
        for server in srv::order(servers, random) {
            if !server.target.trim_end_matches('.').is_empty() {
                self.addresses(transport, &server.target, server.port).await;
            }
        }
        is_served
    }

    async fn addresses(&mut self, transport: Transport, host: &str, port: u16) {
        if self.list.len() >= MOST_TARGETS {
            return;
        }
        for record in self.ask(host, Kind::Address).await {
            if let Record::Address(ip) = record {
                self.add(transport, SocketAddr::new(ip, port));
            }
        }
    }
}

/// Where to send, in order, as seen from our sockets. See [`Stack::resolve_all`](super::Stack::resolve_all).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    /// The first is to be tried first. Never empty.
    pub list: Vec<Path>,
    /// How long this may be believed.
    pub ttl: Duration,
}

pub(super) async fn paths(
    dns: &dyn Dns,
    locals: &Locals,
    uri: &Uri,
    seed: [u8; 32],
) -> Result<Paths, ResolveError> {
    let spoken =
        |transport: Transport, v4: bool| locals.of(transport).iter().any(|addr| addr.is_ipv4() == v4);
    let targets = locate(dns, uri, &spoken, seed).await?;
    let mut list = Vec::with_capacity(targets.list.len());
    let mut refused = None;
    for Target { transport, remote } in targets.list {
        match locals.path_to(transport, remote) {
            Some(Ok(path)) => list.push(path),
            Some(Err(source)) => refused = Some(ResolveError::NoRoute { remote, source }),
            None => {}
        }
    }
    match refused {
        Some(error) if list.is_empty() => Err(error),
        _ => Ok(Paths { list, ttl: targets.ttl }),
    }
}
