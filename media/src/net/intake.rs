//! What waits at a socket, taken by the handful: one system call brings up to eight datagrams, each with the kernel's time of its arrival.
//!
//! So nobody has to be woken for a packet. It waits in its socket until the tick that wants it, and the jitter buffer still learns when it came.

use std::io::IoSliceMut;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

use mio::net::UdpSocket;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, setsockopt, sockopt,
};

/// Datagrams of one system call. Two are what a busy call has for a tick; more only wait after a stall.
const HANDFUL: usize = 8;
/// Handfuls of one socket before the others have their turn: what came in 200 ms of stall, and a flood no further.
const HANDFULS: usize = 8;
/// The longest datagram; more of it is cut off.
const LONGEST: usize = 2_048;
/// A wall clock may be set: an arrival is believed to have been at most so long ago.
const OLDEST: Duration = Duration::from_millis(500);

/// Has the kernel note when datagrams come. Where it refuses, they come when they are taken.
pub(super) fn note_arrivals(socket: &UdpSocket) {
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
}

/// One thread's buffers. Made once; nothing allocates afterwards. Its sockets are all of one family, as an engine's are: the room for an address is as
/// long as the last one was.
pub(super) struct Intake {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; LONGEST]; HANDFUL]>,
}

/// The same moment on two clocks: ours, and the one by which the kernel notes arrivals.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    wall: Duration,
}

impl Moment {
    pub(super) fn now() -> Moment {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { now: Instant::now(), wall }
    }

    fn arrival(&self, noted: Option<Duration>) -> Instant {
        let age = noted.map_or(Duration::ZERO, |noted| self.wall.saturating_sub(noted).min(OLDEST));
        self.now.checked_sub(age).unwrap_or(self.now)
    }
}

impl Intake {
    pub(super) fn new() -> Intake {
        Intake { headers: headers(), buffers: Box::new([[0; LONGEST]; HANDFUL]) }
    }

    /// Hands over what waits at a socket, in the order of arrival.
    pub(super) fn take(
        &mut self,
        socket: &UdpSocket,
        moment: &Moment,
        mut each: impl FnMut(Instant, SocketAddr, &[u8]),
    ) {
        for _ in 0..HANDFULS {
            let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
            // Nothing waits, or an error that belongs to a packet that we sent; neither is a reason to stop listening.
            let Ok(datagrams) = recvmmsg(
                socket.as_raw_fd(),
                &mut self.headers,
                slices.iter_mut(),
                MsgFlags::MSG_DONTWAIT,
                None,
            ) else {
                return;
            };
            let mut taken = 0;
            for datagram in datagrams {
                taken += 1;
                let Some(from) = datagram.address.as_ref().and_then(address) else { continue };
                let bytes = datagram.iovs().next().unwrap_or_default();
                each(moment.arrival(noted(&datagram)), from, bytes);
            }
            if taken < HANDFUL {
                return;
            }
        }
    }
}

fn headers() -> MultiHeaders<SockaddrStorage> {
    MultiHeaders::preallocate(HANDFUL, Some(nix::cmsg_space!(nix::sys::time::TimeSpec)))
}

fn noted<S>(datagram: &RecvMsg<'_, '_, S>) -> Option<Duration> {
    datagram.cmsgs().ok()?.find_map(|said| match said {
        ControlMessageOwned::ScmTimestampns(at) => {
            Some(Duration::new(u64::try_from(at.tv_sec()).ok()?, u32::try_from(at.tv_nsec()).ok()?))
        }
        _ => None,
    })
}

/// As IPv4 where it is, also on a socket for both families.
fn address(from: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(from) = from.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*from).into());
    }
    let from = SocketAddr::from(SocketAddrV6::from(*from.as_sockaddr_in6()?));
    Some(SocketAddr::new(from.ip().to_canonical(), from.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ip: &str) -> Option<(UdpSocket, std::net::UdpSocket)> {
        let ours = UdpSocket::bind(SocketAddr::new(ip.parse().ok()?, 0)).ok()?;
        note_arrivals(&ours);
        let theirs = std::net::UdpSocket::bind(SocketAddr::new(ip.parse().ok()?, 0)).ok()?;
        theirs.connect(ours.local_addr().ok()?).ok()?;
        Some((ours, theirs))
    }

    #[test]
    fn what_waits_comes_in_order_with_its_time_and_its_sender() {
        for ip in ["127.0.0.1", "::1"] {
            let mut intake = Intake::new();
            let Some((ours, theirs)) = pair(ip) else { continue };
            let from = theirs.local_addr().expect("bound");
            for round in 0..3u8 {
                let before = Instant::now();
                for number in 0..20 {
                    theirs.send(&[round, number]).expect("sent");
                }
                let sent = Instant::now();
                let mut came = Vec::new();
                intake.take(&ours, &Moment::now(), |at, who, bytes| {
                    assert_eq!(who, from);
                    // Two clocks are read one after the other.
                    assert!(at + Duration::from_millis(1) > before && at < sent + Duration::from_millis(1));
                    came.push([bytes[0], bytes[1]]);
                });
                assert_eq!(came, (0..20).map(|number| [round, number]).collect::<Vec<_>>());
            }
            intake.take(&ours, &Moment::now(), |_, _, _| panic!("nothing is left"));
        }
    }

    #[test]
    fn an_empty_and_an_endless_datagram_are_datagrams() {
        let mut intake = Intake::new();
        let (ours, theirs) = pair("127.0.0.1").expect("loopback");
        theirs.send(&[]).expect("sent");
        theirs.send(&[7; 9_000]).expect("sent");
        let mut lengths = Vec::new();
        intake.take(&ours, &Moment::now(), |_, _, bytes| lengths.push(bytes.len()));
        assert_eq!(lengths, [0, LONGEST]);
    }

    #[test]
    fn a_flood_is_taken_up_to_a_bound() {
        let mut intake = Intake::new();
        let (ours, theirs) = pair("127.0.0.1").expect("loopback");
        for _ in 0..HANDFUL * HANDFULS + 10 {
            theirs.send(&[1]).expect("sent");
        }
        let mut count = 0;
        intake.take(&ours, &Moment::now(), |_, _, _| count += 1);
        assert_eq!(count, HANDFUL * HANDFULS);
    }
}
