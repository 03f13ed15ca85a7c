//! Pairs of ports: an even one for RTP and the odd one above it for RTCP (RFC 3550 §11), given out in turn and rested after use.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Pairs that are tried when others turn out to be taken by somebody else on this machine.
const TRIES: usize = 64;

pub(super) struct Pool {
    bind: IpAddr,
    /// Even ports. The one that has been free for longest comes first.
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    rest: Duration,
    in_use: usize,
}

/// A bound pair.
pub(super) struct Pair {
    pub(super) port: u16,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

impl Pool {
    pub(super) fn new(bind: IpAddr, ports: RangeInclusive<u16>, rest: Duration) -> Self {
        let even = |port: &u16| port.is_multiple_of(2) && *port > 0 && *port < *ports.end();
        let free = ports.clone().filter(even).collect();
        Pool { bind, free, resting: VecDeque::new(), rest, in_use: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Free, resting, in use.
    pub(super) fn counts(&mut self, now: Instant) -> (usize, usize, usize) {
        self.wake(now);
        (self.free.len(), self.resting.len(), self.in_use)
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
                self.resting.pop_front().map(|(_, port)| port)
            });
            let Some(port) = next else { break };
            match bind_pair(self.bind, port) {
                Ok((rtp, rtcp)) => {
                    self.in_use += 1;
                    return Some(Ok(Pair { port, rtp, rtcp }));
                }
                Err(error) => {
                    self.resting.push_back((now + self.rest, port));
                    let theirs = error.kind() == io::ErrorKind::AddrInUse;
                    trouble = Some(error);
                    // Anything else (no descriptors left, no such address) will not get better with another port.
                    if !theirs {
                        break;
                    }
                }
            }
        }
        trouble.map(Err)
    }

    pub(super) fn give_back(&mut self, now: Instant, port: u16) {
        self.in_use = self.in_use.saturating_sub(1);
        self.resting.push_back((now + self.rest, port));
    }

    fn wake(&mut self, now: Instant) {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                return;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
    }
}

fn bind_pair(address: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    let rtp = UdpSocket::bind(SocketAddr::new(address, port))?;
    let rtcp = UdpSocket::bind(SocketAddr::new(address, port + 1))?;
    rtp.set_nonblocking(true)?;
    rtcp.set_nonblocking(true)?;
    Ok((rtp, rtcp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_even_and_rest_after_use() {
        let now = Instant::now();
        let rest = Duration::from_secs(5);
        let mut pool = Pool::new(IpAddr::from([127, 0, 0, 1]), 29_001..=29_005, rest);
        // 29,002 and 29,004; 29,001 is odd.
        assert_eq!(pool.counts(now), (2, 0, 0));
        let pair = pool.take(now).expect("a free pair").expect("bound");
        assert_eq!(pair.port, 29_002);
        assert_eq!(pair.rtcp.local_addr().map(|address| address.port()).ok(), Some(29_003));
        pool.give_back(now, pair.port);
        drop(pair);
        assert_eq!(pool.counts(now), (1, 1, 0));
        assert_eq!(pool.counts(now + rest), (2, 0, 0));
        // The one that rested longest comes first.
        assert_eq!(pool.take(now + rest).expect("free").expect("bound").port, 29_004);
    }

    #[test]
    fn rest_ends_early_where_nothing_else_is_free() {
        let now = Instant::now();
        let mut pool = Pool::new(IpAddr::from([127, 0, 0, 1]), 29_020..=29_023, Duration::from_secs(5));
        let (first, second) = (pool.take(now).unwrap().unwrap(), pool.take(now).unwrap().unwrap());
        assert!(pool.take(now).is_none(), "all are in use");
        let ports = [second.port, first.port];
        drop((first, second));
        ports.into_iter().for_each(|port| pool.give_back(now, port));
        assert_eq!(pool.take(now).unwrap().unwrap().port, ports[0], "the one that rested longest");
    }

    #[test]
    fn a_pair_taken_by_somebody_else_is_stepped_over() {
        let now = Instant::now();
        let _theirs = UdpSocket::bind(("127.0.0.1", 29_013)).expect("bound");
        let mut pool = Pool::new(IpAddr::from([127, 0, 0, 1]), 29_012..=29_017, Duration::from_secs(5));
        assert_eq!(pool.take(now).expect("free").expect("bound").port, 29_014);
        assert_eq!(pool.counts(now), (1, 1, 1));
        pool.take(now).expect("free").expect("bound");
        assert!(pool.take(now).expect("tried").is_err(), "theirs is tried once more, and no more than that");
    }
}
