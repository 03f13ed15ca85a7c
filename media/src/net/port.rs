//! Pairs of ports: an even one for RTP and the odd one above it for RTCP (RFC 3550 §11), given out in turn and rested after use.
//!
//! A pair that rests stays bound, unread: what still comes for the old call ends in its buffers and with them, nobody is told that the port is closed
//! (ICMP), and no other program gets it. When it has rested, the sockets are closed.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// Pairs that are tried when others turn out to be taken by somebody else on this machine.
const TRIES: usize = 64;
/// Pairs that stay bound while they rest: a crowd that hangs up at once must not keep the descriptors that others need.
const BOUND: usize = 128;

/// How sockets are made.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) address: IpAddr,
    /// The network interface by name; absent: as the routes go.
    pub(super) interface: Option<String>,
    /// The code point of what is sent (RFC 2474), 0–63.
    pub(super) dscp: u8,
}

pub(super) struct Pool {
    binding: Binding,
    /// Even ports. The one that has been free for longest comes first.
    free: VecDeque<u16>,
    resting: VecDeque<Resting>,
    rest: Duration,
    in_use: usize,
    /// Sockets that the system did not let us mark.
    unmarked: u64,
}

struct Resting {
    until: Instant,
    port: u16,
    /// Absent where somebody else has the port.
    sockets: Option<(UdpSocket, UdpSocket)>,
}

/// A bound pair.
pub(super) struct Pair {
    pub(super) port: u16,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

impl Pool {
    pub(super) fn new(binding: Binding, ports: RangeInclusive<u16>, rest: Duration) -> Self {
        let even = |port: &u16| port.is_multiple_of(2) && *port > 0 && *port < *ports.end();
        let free = ports.clone().filter(even).collect();
        Pool { binding, free, resting: VecDeque::new(), rest, in_use: 0, unmarked: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Whether a socket can be had at all: a wrong address or interface shows at start, not at the first call.
    pub(super) fn probe(&self) -> io::Result<()> {
        bind(&self.binding, 0).map(|_| ())
    }

    /// Free, resting, in use.
    pub(super) fn counts(&mut self, now: Instant) -> (usize, usize, usize) {
        self.wake(now);
        (self.free.len(), self.resting.len(), self.in_use)
    }

    pub(super) fn unmarked(&self) -> u64 {
        self.unmarked
    }

    /// Binds the next free pair, or the one that has rested longest: rest is a courtesy, a call is a promise. `None` if
    /// all are in use.
    pub(super) fn take(&mut self, now: Instant) -> Option<io::Result<Pair>> {
        self.wake(now);
        let mut trouble = None;
        // Those that turn out to be somebody else's go to rest too, and are not tried again in this round.
        let mut rested = self.resting.len();
        for _ in 0..TRIES {
            let next = self.free.pop_front().or_else(|| {
                rested = rested.checked_sub(1)?;
                // Its sockets close here.
                self.resting.pop_front().map(|resting| resting.port)
            });
            let Some(port) = next else { break };
            match self.bind_pair(port) {
                Ok(pair) => {
                    self.in_use += 1;
                    return Some(Ok(pair));
                }
                Err(error) => {
                    let theirs = error.kind() == io::ErrorKind::AddrInUse;
                    if !theirs && self.let_go() {
                        // There may have been no descriptors left; now there are some.
                        self.free.push_front(port);
                        continue;
                    }
                    self.resting.push_back(Resting { until: now + self.rest, port, sockets: None });
                    trouble = Some(error);
                    // Anything else (no such address, say) will not get better with another port.
                    if !theirs {
                        break;
                    }
                }
            }
        }
        trouble.map(Err)
    }

    /// After a call; its sockets rest with the port, where there are any.
    pub(super) fn give_back(&mut self, now: Instant, port: u16, sockets: Option<(UdpSocket, UdpSocket)>) {
        self.in_use = self.in_use.saturating_sub(1);
        self.wake(now);
        self.resting.push_back(Resting { until: now + self.rest, port, sockets });
        if let Some(oldest) = self.resting.len().checked_sub(BOUND + 1) {
            self.resting[oldest].sockets = None;
        }
    }

    /// Frees what has rested.
    pub(super) fn wake(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|first| first.until <= now) {
            self.free.extend(self.resting.pop_front().map(|resting| resting.port));
        }
    }

    /// Closes the sockets of all that rest; says whether there were any.
    fn let_go(&mut self) -> bool {
        self.resting.iter_mut().filter_map(|resting| resting.sockets.take()).count() > 0
    }

    fn bind_pair(&mut self, port: u16) -> io::Result<Pair> {
        let (rtp, rtp_is_marked) = bind(&self.binding, port)?;
        let (rtcp, rtcp_is_marked) = bind(&self.binding, port + 1)?;
        self.unmarked += u64::from(!rtp_is_marked) + u64::from(!rtcp_is_marked);
        Ok(Pair { port, rtp, rtcp })
    }
}

/// A socket, and whether what it sends is marked.
fn bind(binding: &Binding, port: u16) -> io::Result<(UdpSocket, bool)> {
    let address = SocketAddr::new(binding.address, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(interface) = &binding.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    let is_marked = mark(&socket, address, binding.dscp).is_ok();
    Ok((UdpSocket::from_std(socket.into()), is_marked))
}

/// RFC 2474: the upper six bits of the octet that once was the type of service.
fn mark(socket: &Socket, address: SocketAddr, dscp: u8) -> io::Result<()> {
    let octet = u32::from(dscp) << 2;
    // A socket of IPv6 that takes both sends to IPv4 by the other mark.
    let of_v4 = socket.set_tos_v4(octet);
    if address.is_ipv4() { of_v4 } else { socket.set_tclass_v6(octet) }
}

#[cfg(test)]
mod tests {
    use super::super::ports::free_ports;
    use super::*;

    /// The first of so many, an even one.
    fn free(count: u16) -> u16 {
        free_ports([127, 0, 0, 1].into(), count)
    }

    fn pool(ports: RangeInclusive<u16>) -> Pool {
        let binding = Binding { address: IpAddr::from([127, 0, 0, 1]), interface: None, dscp: 46 };
        Pool::new(binding, ports, Duration::from_secs(5))
    }

    #[test]
    fn pairs_are_even_and_rest_after_use() {
        let now = Instant::now();
        let rest = Duration::from_secs(5);
        let first = free(6);
        // The first of the range is odd.
        let mut pool = pool(first + 1..=first + 5);
        assert_eq!(pool.counts(now), (2, 0, 0));
        let pair = pool.take(now).expect("a free pair").expect("bound");
        assert_eq!(pair.port, first + 2);
        assert_eq!(pair.rtcp.local_addr().map(|address| address.port()).ok(), Some(first + 3));
        pool.give_back(now, pair.port, None);
        drop((pair.rtp, pair.rtcp));
        assert_eq!(pool.counts(now), (1, 1, 0));
        assert_eq!(pool.counts(now + rest), (2, 0, 0));
        // The one that rested longest comes first.
        assert_eq!(pool.take(now + rest).expect("free").expect("bound").port, first + 4);
    }

    #[test]
    fn rest_ends_early_where_nothing_else_is_free() {
        let now = Instant::now();
        let port = free(4);
        let mut pool = pool(port..=port + 3);
        let (first, second) = (pool.take(now).unwrap().unwrap(), pool.take(now).unwrap().unwrap());
        assert!(pool.take(now).is_none(), "all are in use");
        let ports = [second.port, first.port];
        drop((first, second));
        ports.into_iter().for_each(|port| pool.give_back(now, port, None));
        assert_eq!(pool.take(now).unwrap().unwrap().port, ports[0], "the one that rested longest");
    }

    #[test]
    fn a_pair_taken_by_somebody_else_is_stepped_over() {
        let now = Instant::now();
        let first = free(6);
        let _theirs = std::net::UdpSocket::bind(("127.0.0.1", first + 1)).expect("bound");
        let mut pool = pool(first..=first + 5);
        assert_eq!(pool.take(now).expect("free").expect("bound").port, first + 2);
        assert_eq!(pool.counts(now), (1, 1, 1));
        pool.take(now).expect("free").expect("bound");
        assert!(pool.take(now).expect("tried").is_err(), "theirs is tried once more, and no more than that");
    }

    #[test]
    fn a_pair_that_rests_is_nobody_elses() {
        let now = Instant::now();
        let first = free(2);
        let mut pool = pool(first..=first + 1);
        let pair = pool.take(now).expect("free").expect("bound");
        pool.give_back(now, pair.port, Some((pair.rtp, pair.rtcp)));
        let stranger = || std::net::UdpSocket::bind(("127.0.0.1", first));
        assert!(stranger().is_err(), "it is still bound");
        pool.wake(now + pool.rest);
        assert!(stranger().is_ok(), "it has rested");
        // Where it is needed before that, it begins anew, with nothing of the old call in it.
        let pair = pool.take(now).expect("free").expect("bound");
        pool.give_back(now, pair.port, Some((pair.rtp, pair.rtcp)));
        let straggler = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("bound");
        straggler.send_to(b"late", ("127.0.0.1", first)).expect("sent");
        let pair = pool.take(now).expect("free").expect("bound");
        assert!(pair.rtp.recv_from(&mut [0; 16]).is_err());
        // A system that has no descriptors left gets those that rest.
        pool.give_back(now, pair.port, Some((pair.rtp, pair.rtcp)));
        assert!(pool.let_go() && !pool.let_go());
    }

    #[test]
    fn a_crowd_that_leaves_at_once_frees_its_descriptors() {
        let now = Instant::now();
        let first = free(400);
        let mut pool = pool(first..=first + 399);
        let pairs: Vec<Pair> = std::iter::from_fn(|| pool.take(now)?.ok()).collect();
        assert!(pairs.len() > BOUND, "{}", pairs.len());
        for pair in pairs {
            pool.give_back(now, pair.port, Some((pair.rtp, pair.rtcp)));
        }
        assert_eq!(pool.resting.iter().filter(|resting| resting.sockets.is_some()).count(), BOUND);
    }

    #[test]
    fn what_is_sent_is_marked() {
        for address in ["127.0.0.1", "::1", "::"] {
            let address = address.parse().expect("an address");
            let Ok((socket, is_marked)) = bind(&Binding { address, interface: None, dscp: 46 }, 0) else {
                assert!(address.is_ipv6(), "only a machine without IPv6 has none");
                continue;
            };
            assert!(is_marked);
            let socket = socket2::SockRef::from(&socket);
            match address {
                IpAddr::V4(_) => assert_eq!(socket.tos_v4().ok(), Some(46 << 2)),
                IpAddr::V6(_) => {
                    assert_eq!(
                        (socket.tclass_v6().ok(), socket.tos_v4().ok()),
                        (Some(46 << 2), Some(46 << 2))
                    )
                }
            }
        }
        let binding =
            Binding { address: [127, 0, 0, 1].into(), interface: Some("no-such-0".into()), dscp: 0 };
        assert!(bind(&binding, 0).is_err(), "an interface that is not there");
        let loopback = Binding { interface: Some("lo".into()), ..binding };
        assert!(bind(&loopback, 0).is_ok());
    }
}
