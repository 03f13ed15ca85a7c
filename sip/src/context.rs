//! What every part of the endpoint works with: settings, chance, timers, the transaction layer, and the queues
//! that go out. Legs and registrations get it as an argument, so that each stays a plain value beside it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

use crate::config::{Config, Path, Transport};
use crate::event::{Event, Stats, Transmit};
use crate::message::{Headers, Host, NameAddr, Uri, Via, name};
use crate::random::Random;
use crate::timer::Timers;
use crate::transaction::Transactions;

/// The option tag of RFC 3262 §8.
pub(crate) const RELIABLE: &str = "100rel";

/// What every UAS here understands (§20.5).
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, NOTIFY";

/// §18.1.1: longer than this may not fit the path in one piece.
const LARGE: usize = 1_300;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) timers: Timers,
    pub(crate) transactions: Transactions,
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) stats: Stats,
    /// UDP sockets of ours, as they are bound, and how they are seen from outside.
    pub(crate) public: Vec<(SocketAddr, SocketAddr)>,
    /// Peers that take no TCP, and until when we believe so.
    pub(crate) udp_only: HashMap<SocketAddr, Instant>,
    /// The ways that phones have registered by: nothing for them goes another.
    pub(crate) flows: HashSet<Path>,
}

impl Context {
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(seed),
            timers: Timers::default(),
            transactions: Transactions::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            public: Vec::new(),
            udp_only: HashMap::new(),
            flows: HashSet::new(),
        }
    }

    pub(crate) fn transmit(&mut self, path: Path, bytes: Bytes) {
        self.stats.sent += 1;
        self.transmits.push_back(Transmit { path, bytes });
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Host and port by which the far end of `path` reaches us.
    pub(crate) fn sent_by(&self, path: Path) -> (Host, Option<u16>) {
        let local = path.local;
        let fits = |host: &Host| host.ip().is_none_or(|ip| ip.is_ipv4() == local.is_ipv4());
        self.config
            .advertised
            .iter()
            .filter(|one| one.transport == path.transport)
            .find_map(|one| Some((one.host.parse::<Host>().ok().filter(fits)?, one.port)))
            .map_or_else(
                || {
                    let seen = self.seen_from(path).unwrap_or(local);
                    (Host::from(seen.ip()), Some(seen.port()))
                },
                |(host, port)| (host, Some(port.unwrap_or(local.port()))),
            )
    }

    /// Our address as the far end sees it, where a NAT is between. A peer on our side of it needs no detour.
    fn seen_from(&self, path: Path) -> Option<SocketAddr> {
        let (_, public) = self.public.iter().find(|(bound, _)| is_bound_to(*bound, path.local))?;
        let is_near = is_private(path.remote.ip()) && !is_private(public.ip());
        (path.transport == Transport::Udp && !is_near).then_some(*public)
    }

    /// §8.1.1.7. `rport` asks for the answer at the port that we sent from (RFC 3581).
    pub(crate) fn via(&self, path: Path, branch: &str) -> Via {
        let (host, port) = self.sent_by(path);
        let mut via =
            Via { transport: path.transport.as_str().into(), host, port, params: Default::default() };
        if !path.transport.is_reliable() {
            via.params.set("rport", None);
        }
        via.params.set("branch", Some(branch));
        via
    }

    /// §18.1.1: the way of a large request, where it is not the one that was chosen.
    pub(crate) fn path_for(&self, now: Instant, path: Path, length: usize) -> Option<Path> {
        if path.transport != Transport::Udp
            || length <= LARGE
            || self.flows.contains(&path)
            || self.udp_only.get(&path.remote).is_some_and(|until| now < *until)
        {
            return None;
        }
        let same_family = |addr: &&SocketAddr| addr.is_ipv4() == path.local.is_ipv4();
        let listener = self.config.large_over_tcp.iter().find(same_family)?;
        let ip = if listener.ip().is_unspecified() { path.local.ip() } else { listener.ip() };
        let local = SocketAddr::new(ip, listener.port());
        Some(Path { transport: Transport::Tcp, local, remote: path.remote })
    }

    /// §8.1.1.8.
    pub(crate) fn contact(&self, path: Path, user: &str) -> NameAddr {
        let (host, port) = self.sent_by(path);
        let mut uri = Uri::sip(Some(user), host, port);
        if let Uri::Sip(sip) = &mut uri
            && path.transport.is_reliable()
        {
            sip.params.set("transport", Some(&path.transport.as_str().to_ascii_lowercase()));
        }
        NameAddr::new(None, uri)
    }

    /// Headers that any message of ours outside a failure ends with.
    pub(crate) fn capabilities(&self, headers: &mut Headers) {
        headers.push(name::ALLOW, self.allow());
        self.supported(headers, |tag| tag != RELIABLE);
    }

    /// For an INVITE that brings an offer: only there would a reliable response need nothing but its PRACK.
    pub(crate) fn capabilities_with_reliable(&self, headers: &mut Headers) {
        headers.push(name::ALLOW, self.allow());
        self.supported(headers, |_| true);
    }

    fn supported(&self, headers: &mut Headers, which: impl Fn(&str) -> bool) {
        let tags: Vec<_> = self.extensions().into_iter().filter(|tag| which(tag)).collect();
        if !tags.is_empty() {
            headers.push(name::SUPPORTED, tags.join(", "));
        }
    }

    /// §20.5.
    pub(crate) fn allow(&self) -> String {
        let mut allow = ALLOW.to_owned();
        if self.config.reliable_provisional {
            allow.push_str(", PRACK");
        }
        if self.config.take_refers {
            allow.push_str(", REFER");
        }
        if self.config.registrar.is_some() {
            allow.push_str(", REGISTER");
        }
        if !self.config.message_types.is_empty() {
            allow.push_str(", MESSAGE");
        }
        allow
    }

    /// The option tags that a peer may require (§19.2).
    pub(crate) fn extensions(&self) -> Vec<&'static str> {
        let timer = self.config.session_expires.map(|_| "timer");
        let reliable = self.config.reliable_provisional.then_some(RELIABLE);
        let replaces = self.config.take_replaces.then_some("replaces");
        timer.into_iter().chain(reliable).chain(replaces).collect()
    }
}

/// Where a response goes: RFC 3261 §18.2.2 and RFC 3581 §4. `maddr` is not followed: it would let anyone aim our
/// answers at a third party.
pub(crate) fn response_path(path: Path, via: &Via) -> Path {
    if path.transport.is_reliable() || via.params.contains("rport") {
        return path;
    }
    // A sent-by that is not the source shows a NAT, and then only the source port leads back through it.
    let source = path.remote;
    let port = match via.host.ip() {
        Some(ip) if ip != source.ip() => source.port(),
        _ => via.port.unwrap_or_else(|| path.transport.default_port()),
    };
    Path { remote: SocketAddr::new(source.ip(), port), ..path }
}

/// Is it this socket that has this address? One that is bound to all addresses has each of its family.
pub(crate) fn is_bound_to(bound: SocketAddr, local: SocketAddr) -> bool {
    bound.port() == local.port()
        && bound.is_ipv4() == local.is_ipv4()
        && (bound.ip() == local.ip() || bound.ip().is_unspecified())
}

/// Addresses that mean nothing outside the network that they stand in.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}
