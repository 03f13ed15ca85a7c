//! The peers: streams of G.711 at 50 packets a second each, and what comes back for them, timed by the kernel.
//!
//! SIPp can send such streams, but never looks at what comes back, so it can say nothing of lost packets or of spacing. A thread of ours costs less, too.
//! Streams share sockets, 50 on each: peers are not what is measured.

use std::error::Error;
use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt};

use crate::serve::{Pattern, TURN};

const PER_SOCKET: usize = 50;
/// Streams are spread over the 20 ms in so many steps.
const STEPS: u32 = 20;
const STEP: Duration = Duration::from_millis(1);
/// Packets that are taken with one system call.
const HANDFUL: usize = 32;
/// Only the header is looked at.
const HEAD: usize = 16;
/// Longest spacing error that is told apart, µs.
const LONGEST_US: usize = 100_000;

#[derive(Clone)]
pub(crate) struct Counted {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// By their sequence numbers.
    pub(crate) lost: u64,
    /// How many packets came so many µs too early or too late after the one before.
    errors: Vec<u32>,
    /// How late the generator itself was at worst, µs.
    pub(crate) own_delay_us: u64,
}

impl Counted {
    pub(crate) fn new() -> Self {
        Counted { sent: 0, received: 0, lost: 0, errors: vec![0; LONGEST_US], own_delay_us: 0 }
    }

    /// The error of spacing that so many of a thousand packets keep below, ms.
    pub(crate) fn spacing_ms(&self, permille: u64) -> f64 {
        let all: u64 = self.errors.iter().map(|&count| u64::from(count)).sum();
        let mut left = all * permille / 1_000;
        for (us, &count) in self.errors.iter().enumerate() {
            match left.checked_sub(u64::from(count)) {
                Some(less) if less > 0 => left = less,
                _ => return us as f64 / 1_000.0,
            }
        }
        LONGEST_US as f64 / 1_000.0
    }
}

struct Stream {
    number: usize,
    to: SocketAddr,
    sequence: u16,
    timestamp: u32,
    /// Where in the speech it is.
    at: usize,
    heard: Option<(u16, i64)>,
}

enum Order {
    Add(usize, SocketAddr),
    Remove(usize),
}

pub(crate) struct Generator {
    pub(crate) addresses: Vec<SocketAddr>,
    orders: mpsc::Sender<Order>,
    stop: Arc<AtomicBool>,
    counted: Arc<Mutex<Counted>>,
    thread: Option<JoinHandle<()>>,
}

impl Generator {
    pub(crate) fn start(most: usize, said: Arc<[u8]>, pattern: Pattern) -> Result<Self, Box<dyn Error>> {
        let sockets = (0..most.div_ceil(PER_SOCKET))
            .map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.set_nonblocking(true)?;
                setsockopt(&socket, ReceiveTimestampns, &true)?;
                setsockopt(&socket, RcvBuf, &4_194_304)?;
                Ok(socket)
            })
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
        let (orders, inbox) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let counted = Arc::new(Mutex::new(Counted::new()));
        let peers = Peers { sockets, streams: Vec::new(), by_port: vec![None; 65_536], said, pattern, inbox };
        let thread = std::thread::Builder::new().name("peers".into()).spawn({
            let (stop, counted) = (Arc::clone(&stop), Arc::clone(&counted));
            move || peers.run(&stop, &counted)
        })?;
        Ok(Generator { addresses, orders, stop, counted, thread: Some(thread) })
    }

    /// The address from which stream `number` comes.
    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number / PER_SOCKET % self.addresses.len()]
    }

    pub(crate) fn add(&self, number: usize, to: SocketAddr) {
        let _ = self.orders.send(Order::Add(number, to));
    }

    pub(crate) fn remove(&self, number: usize) {
        let _ = self.orders.send(Order::Remove(number));
    }

    /// What was counted since it was asked last.
    pub(crate) fn counted(&self) -> Counted {
        let mut counted = self.counted.lock().expect("nothing panics with it");
        std::mem::replace(&mut *counted, Counted::new())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Peers {
    sockets: Vec<UdpSocket>,
    streams: Vec<Option<Stream>>,
    /// Which stream the other side's port belongs to.
    by_port: Vec<Option<u32>>,
    said: Arc<[u8]>,
    pattern: Pattern,
    inbox: mpsc::Receiver<Order>,
}

impl Peers {
    fn run(mut self, stop: &AtomicBool, counted: &Mutex<Counted>) {
        let began = Instant::now();
        let cmsg = Some(nix::cmsg_space!(nix::sys::time::TimeSpec));
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(HANDFUL, cmsg);
        let mut step = 0u32;
        while !stop.load(Ordering::Relaxed) {
            let due = began + STEP * step;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            while let Ok(order) = self.inbox.try_recv() {
                self.obey(order);
            }
            let late = due.elapsed().as_micros() as u64;
            let mut counted = counted.lock().expect("nothing panics with it");
            counted.own_delay_us = counted.own_delay_us.max(late);
            self.send(step % STEPS, began.elapsed(), &mut counted);
            if step.is_multiple_of(2) {
                self.receive(&mut headers, &mut counted);
            }
            step += 1;
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Add(number, to) => {
                if self.streams.len() <= number {
                    self.streams.resize_with(number + 1, || None);
                }
                let at = number * 7_919 * 160 % (self.said.len() - 160);
                self.by_port[usize::from(to.port())] = Some(number as u32);
                self.streams[number] =
                    Some(Stream { number, to, sequence: 1, timestamp: 160, at, heard: None });
            }
            Order::Remove(number) => {
                if let Some(stream) = self.streams.get_mut(number).and_then(Option::take) {
                    self.by_port[usize::from(stream.to.port())] = None;
                }
            }
        }
    }

    fn send(&mut self, step: u32, since: Duration, counted: &mut Counted) {
        let mut packet = [0u8; 172];
        packet[0] = 0x80;
        let streams = self.streams.iter_mut().skip(step as usize).step_by(STEPS as usize).flatten();
        for stream in streams {
            packet[2..4].copy_from_slice(&stream.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&stream.timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&(stream.number as u32 + 77).to_be_bytes());
            // Every other peer begins with listening.
            let turn = since.as_secs() / TURN.as_secs() + stream.number as u64;
            let speaks = self.pattern == Pattern::Both || turn.is_multiple_of(2);
            if speaks {
                packet[12..].copy_from_slice(&self.said[stream.at..stream.at + 160]);
            } else {
                packet[12..].fill(0xff);
            }
            stream.sequence = stream.sequence.wrapping_add(1);
            stream.timestamp = stream.timestamp.wrapping_add(160);
            stream.at = (stream.at + 160) % (self.said.len() - 160);
            let socket = &self.sockets[stream.number / PER_SOCKET % self.sockets.len()];
            // What the system does not take is not counted as sent.
            counted.sent += u64::from(socket.send_to(&packet, stream.to).is_ok());
        }
    }

    fn receive(&mut self, headers: &mut MultiHeaders<SockaddrIn>, counted: &mut Counted) {
        let mut buffers = [[0u8; HEAD]; HANDFUL];
        for socket in &self.sockets {
            loop {
                let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
                let taken =
                    recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
                let Ok(packets) = taken else { break };
                let mut count = 0;
                for packet in packets {
                    count += 1;
                    let Some(from) = packet.address else { continue };
                    let at = packet.cmsgs().ok().and_then(|mut said| {
                        said.find_map(|said| match said {
                            ControlMessageOwned::ScmTimestampns(at) => {
                                Some(at.tv_sec() * 1_000_000 + at.tv_nsec() / 1_000)
                            }
                            _ => None,
                        })
                    });
                    let head = packet.iovs().next().unwrap_or_default();
                    let stream = self.by_port[usize::from(from.port())]
                        .and_then(|number| self.streams.get_mut(number as usize)?.as_mut());
                    let (Some(at), Some(stream), [_, _, high, low, ..]) = (at, stream, head) else {
                        continue;
                    };
                    let sequence = u16::from_be_bytes([*high, *low]);
                    counted.received += 1;
                    if let Some((before, then)) = stream.heard {
                        let step = i64::from(sequence.wrapping_sub(before) as i16);
                        counted.lost += u64::try_from(step - 1).unwrap_or(0);
                        if step == 1 {
                            let error = (at - then - 20_000).unsigned_abs() as usize;
                            counted.errors[error.min(LONGEST_US - 1)] += 1;
                        }
                    }
                    stream.heard = Some((sequence, at));
                }
                if count < HANDFUL {
                    break;
                }
            }
        }
    }
}
