//! Ports for those who are told theirs by number: engines with a range, and programs that a test starts.
//!
//! All crates' tests share this file. A port of the kernel's choosing that is closed again and then named to somebody is
//! anybody's in between; a fixed one is taken where two runs meet. These are neither.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Everything lies below the ports that the kernel gives to whoever asks for any (32768 and up): no connection of anybody
/// takes one before it is bound. The guards of the blocks come first, then the blocks themselves, up to where our own phone's usual range begins.
const GUARDS: u16 = 10_000;
const FIRST: u16 = 10_400;
const BLOCKS: u16 = 98;
const BLOCK: u16 = 200;

/// What this process has. Whoever listens at a block's guard has the block, until its process ends: other test runs on this
/// machine see that and take another.
struct Claims {
    /// Of the last claim, what nobody has been given.
    rest: std::ops::Range<u16>,
    blocks: VecDeque<(u16, TcpListener)>,
}

static CLAIMS: Mutex<Claims> = Mutex::new(Claims { rest: 0..0, blocks: VecDeque::new() });

/// The first of `count` ports in a row, an even one. All are free on `ip` for UDP and for TCP, and no other caller of this
/// is given one of them, in this process or in another.
pub(crate) fn free_ports(ip: IpAddr, count: u16) -> u16 {
    let free = |port| UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok();
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        let first = claims.take(count);
        if (first..first + count).all(free) {
            return first;
        }
    }
    panic!("no {count} ports in a row of {ip} are free")
}

impl Claims {
    fn take(&mut self, count: u16) -> u16 {
        if self.rest.len() < usize::from(count) {
            let blocks = count.div_ceil(BLOCK);
            // Where there are no more, this process goes round in its own: its first tests are long over.
            let first = self.claim(blocks).or_else(|| {
                self.blocks.rotate_left(1);
                Some(self.blocks.front().filter(|_| blocks == 1)?.0)
            });
            let start = FIRST + BLOCK * first.expect("no block of ports is left");
            self.rest = start..start + blocks * BLOCK;
        }
        let first = self.rest.start;
        self.rest.start = (first + count.next_multiple_of(2)).min(self.rest.end);
        first
    }

    /// So many blocks in a row that nobody has; the number of the first. Two processes begin to look at different ones.
    fn claim(&mut self, count: u16) -> Option<u16> {
        let guard = |block| Some((block, TcpListener::bind((Ipv4Addr::LOCALHOST, GUARDS + block)).ok()?));
        let begin = (std::process::id() % u32::from(BLOCKS)) as u16;
        let places = (0..BLOCKS).map(|n| (begin + n) % BLOCKS).filter(|first| first + count <= BLOCKS);
        for first in places {
            if let Some(blocks) = (first..first + count).map(guard).collect::<Option<Vec<_>>>() {
                self.blocks.extend(blocks);
                return Some(first);
            }
        }
        None
    }
}
