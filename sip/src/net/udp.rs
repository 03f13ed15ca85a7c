//! UDP sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use socket2::{Domain, Protocol, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::BindError;
use super::driver::Input;
use super::local::local_for;
use crate::config::{Path, Transport};

const LONGEST: usize = 65_535;
/// About two seconds of 800 calls a second.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Peers whose local address is remembered, per reader.
const REMEMBERED: usize = 4_096;

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) path: Path,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
struct Socket {
    socket: UdpSocket,
    addr: SocketAddr,
}

impl Socket {
    fn open(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            // One family per socket: an IPv4 peer must not look like `::ffff:192.0.2.1` in Via and Contact.
            socket.set_only_v6(true)?;
        }
        // A wish: the kernel gives what it allows.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let addr = socket.local_addr()?;
        Ok(Self { socket, addr })
    }
}

/// Every UDP socket of a stack.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Socket>);

impl Sockets {
    pub(super) fn bind(addrs: &[SocketAddr]) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(addrs.len());
        for &addr in addrs {
            sockets.push(Socket::open(addr).map_err(|source| BindError::Udp { addr, source })?);
        }
        Ok(Self(sockets))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The addresses that are really bound, in the order of the configuration.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|socket| socket.addr).collect()
    }

    /// Reads one socket until the task is dropped or nobody listens.
    pub(super) async fn read(self: std::sync::Arc<Self>, index: usize, packets: mpsc::Sender<Input>) {
        let Some(Socket { socket, addr }) = self.0.get(index) else {
            return;
        };
        let mut buffer = vec![0; LONGEST];
        let mut locals: HashMap<IpAddr, SocketAddr> = HashMap::new();
        loop {
            // An error here is an ICMP message about an earlier packet of ours; its transaction has a timer.
            let Ok((length, remote)) = socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let local = match locals.get(&remote.ip()) {
                Some(local) => *local,
                None => {
                    let local = local_for(*addr, remote).unwrap_or(*addr);
                    if locals.len() >= REMEMBERED {
                        locals.clear();
                    }
                    locals.insert(remote.ip(), local);
                    local
                }
            };
            let path = Path { transport: Transport::Udp, local, remote };
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            if packets.send(Input::Packet(Packet { path, bytes })).await.is_err() {
                return;
            }
        }
    }

    /// Sends from the socket of the path. An error is one of our own side: no route, too long, forbidden.
    pub(super) async fn send(&self, path: Path, bytes: &[u8]) -> io::Result<()> {
        let Path { local, remote, .. } = path;
        let fits = |socket: &&Socket| {
            socket.addr.port() == local.port()
                && (socket.addr.ip() == local.ip()
                    || (socket.addr.ip().is_unspecified() && socket.addr.is_ipv4() == local.is_ipv4()))
        };
        let Some(Socket { socket, .. }) = self.0.iter().find(fits) else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        match socket.send_to(bytes, remote).await {
            // ICMP about an earlier packet: that one has its timer.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            result => result.map(|_| ()),
        }
    }
}
