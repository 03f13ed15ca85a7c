//! Our own addresses, and which of them a peer sees.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Path, Transport};

/// What is bound, by transport, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Locals {
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
    pub(super) tls: Vec<SocketAddr>,
}

impl Locals {
    pub(super) fn of(&self, transport: Transport) -> &[SocketAddr] {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
        }
    }

    pub(super) fn first(&self) -> Option<SocketAddr> {
        self.udp.iter().chain(&self.tcp).chain(&self.tls).next().copied()
    }

    /// Nothing listens for TLS: the addresses of the other sockets stand in, with the default port. Answers come back on
    /// our connections all the same (RFC 3261 §18.2.2).
    pub(super) fn only_connect_by_tls(&mut self) {
        for addr in self.udp.iter().chain(&self.tcp) {
            let addr = SocketAddr::new(addr.ip(), Transport::Tls.default_port());
            if !self.tls.contains(&addr) {
                self.tls.push(addr);
            }
        }
    }

    /// The path to a peer from the first of our addresses that has its family.
    pub(super) fn path_to(&self, transport: Transport, remote: SocketAddr) -> Option<io::Result<Path>> {
        let bound = self.of(transport).iter().find(|addr| addr.is_ipv4() == remote.is_ipv4())?;
        Some(local_for(*bound, remote).map(|local| Path { transport, local, remote }))
    }
}

/// Which of our addresses does `remote` see? Only a question when we listen on all of them; then the kernel's
/// routing table answers. No packet is sent.
pub(super) fn local_for(bound: SocketAddr, remote: SocketAddr) -> io::Result<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(remote)?;
    Ok(SocketAddr::new(probe.local_addr()?.ip(), bound.port()))
}
