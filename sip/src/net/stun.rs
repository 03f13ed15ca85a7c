//! Our public address, by asking a STUN server from the very sockets of SIP, again and again.
//!
//! The questions keep the NAT's door open as well. An answer counts for the socket that it came to; a server that is silent
//! changes nothing, for the address that was true a minute ago is the best that there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::is_bound_to;
use crate::random::Random;
use crate::stun::{Outcome, Query};

/// After a failure, if the usual time is longer.
const AGAIN: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);
const PORT: u16 = 3478;

/// Whom to ask for our public address, and how often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StunConfig {
    /// `host`, `host:port` or an address; IPv6 with a port in brackets. Port 3478 where none is given.
    pub server: String,
    /// At least one second. Below 30 s it keeps the NAT's binding open (RFC 5626 §4.4.2 asks every 24 to 29 s).
    pub every: Duration,
}

impl StunConfig {
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let text = self.server.strip_prefix("stun:").unwrap_or(&self.server);
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return (addr.ip().to_string(), addr.port());
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => match port.parse() {
                Ok(port) => (host.to_owned(), port),
                Err(_) => (text.to_owned(), PORT),
            },
            _ => (text.trim_matches(['[', ']']).to_owned(), PORT),
        }
    }
}

/// One socket, and what is known of it.
#[derive(Debug)]
struct Watched {
    local: SocketAddr,
    query: Option<Query>,
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Find the server's addresses; [`Watch::servers`] wants to hear of them.
    FindServer,
    Send {
        local: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
}

/// Every UDP socket in turn. Sans-IO: the driver sends, and tells the time.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    sockets: Vec<Watched>,
    chance: Arc<Random>,
    asked: u64,
    /// When the next round begins; `None` while one goes on.
    next_round: Option<Instant>,
}

impl Watch {
    pub(super) fn new(
        now: Instant,
        config: &StunConfig,
        sockets: &[SocketAddr],
        chance: Arc<Random>,
    ) -> Self {
        let sockets = sockets.iter().map(|&local| Watched { local, query: None }).collect();
        Self { every: config.every.max(SHORTEST), sockets, chance, asked: 0, next_round: Some(now) }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let queries = self.sockets.iter().filter_map(|one| one.query.as_ref()).map(Query::poll_timeout);
        queries.chain(self.next_round).min()
    }

    /// The server's addresses, once a round: they may change. Each socket asks the first of its family.
    pub(super) fn servers(&mut self, now: Instant, servers: &[SocketAddr]) {
        for one in &mut self.sockets {
            let server = servers.iter().find(|addr| addr.is_ipv4() == one.local.is_ipv4());
            one.query = server.map(|server| {
                self.asked += 1;
                let chance = self.chance.keyed(&[b"stun", &self.asked.to_be_bytes()]);
                let mut id = [0; 12];
                id.copy_from_slice(&chance[..12]);
                Query::new(now, *server, id)
            });
        }
        if self.sockets.iter().all(|one| one.query.is_none()) {
            self.next_round = Some(now + self.every.min(AGAIN));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Errand> {
        let mut errands = Vec::new();
        if self.next_round.is_some_and(|at| at <= now) {
            self.next_round = None;
            errands.push(Errand::FindServer);
        }
        for one in &mut self.sockets {
            match one.query.as_mut().and_then(|query| query.handle_timeout(now)) {
                Some(Ok((to, bytes))) => errands.push(Errand::Send { local: one.local, to, bytes }),
                Some(Err(_)) => {
                    one.query = None;
                    self.next_round = Some(now + self.every.min(AGAIN));
                }
                None => {}
            }
        }
        errands
    }

    /// A STUN message that came to the socket with this port, of this family. Returns the socket and its public address.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        to: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<(SocketAddr, SocketAddr)> {
        let is_there = |one: &&mut Watched| is_bound_to(one.local, to);
        let one = self.sockets.iter_mut().find(is_there)?;
        let outcome = one.query.as_ref()?.handle(from, bytes)?;
        one.query = None;
        let local = one.local;
        let wait = if outcome == Outcome::Failed { self.every.min(AGAIN) } else { self.every };
        if self.sockets.iter().all(|one| one.query.is_none()) {
            self.next_round = Some(now + wait);
        }
        match outcome {
            Outcome::Mapped(public) => Some((local, public)),
            Outcome::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_written_in_many_ways() {
        for (text, host, port) in [
            ("stun.example.net", "stun.example.net", 3478),
            ("stun.example.net:19302", "stun.example.net", 19302),
            ("stun:stun.example.net:1", "stun.example.net", 1),
            ("192.0.2.1", "192.0.2.1", 3478),
            ("192.0.2.1:99", "192.0.2.1", 99),
            ("2001:db8::1", "2001:db8::1", 3478),
            ("[2001:db8::1]", "2001:db8::1", 3478),
            ("[2001:db8::1]:99", "2001:db8::1", 99),
        ] {
            let config = StunConfig { server: text.into(), every: Duration::from_secs(20) };
            assert_eq!(config.host_and_port(), (host.to_owned(), port), "{text}");
        }
    }
}
