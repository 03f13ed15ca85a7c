//! The table of connections: who is connected, who may connect, and what is sent to whom.
//!
//! A connection is known by transport and far end (RFC 3261 §18: requests use one that is open, and responses go back
//! on the one that the request came by). The driver owns the table, so nothing here waits: each connection has a
//! task and a bounded queue, and a full queue means a peer that does not read.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::BindError;
use super::connection::{Link, run};
use super::driver::Input;
use super::tls::{Tls, TlsError};
use crate::config::{Path, Transport};

/// Messages that may wait for one peer.
const QUEUE: usize = 256;
/// Far ends whose name is remembered.
const NAMES: usize = 4_096;
const BACKLOG: i32 = 1024;
/// How long the last messages of a stack that closes may take.
const LINGER: Duration = Duration::from_millis(500);

/// Bounds of TCP and TLS connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at once, in and out. One more is closed at once.
    pub total: usize,
    /// Of these, from or to one address.
    pub per_source: usize,
    /// Longest message. [`bind`](super::bind) lowers it to [`Config::max_message`](crate::Config::max_message).
    pub message: usize,
    /// Until a connection of ours must stand, TLS included.
    pub connect: Duration,
    /// How long a message may take to become complete; the first one counts from the beginning of the connection.
    pub unfinished: Duration,
    /// How long a peer may leave one of our messages unread.
    pub stall: Duration,
    /// A connection without a message for so long is closed; a peer's keep-alive counts as one.
    pub idle: Duration,
    /// RFC 5626 §4.4.1: pings on connections that we opened.
    pub keep_alive: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            total: 4_096,
            per_source: 1_024,
            message: 65_535,
            connect: Duration::from_secs(5),
            unfinished: Duration::from_secs(32),
            stall: Duration::from_secs(10),
            // A phone that registers by the hour has to be found at its end.
            idle: Duration::from_secs(3_900),
            keep_alive: Duration::from_secs(110),
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error("{remote}: {source}")]
    Tcp { remote: SocketAddr, source: Arc<io::Error> },
    #[error("{0} does not answer in time")]
    Timeout(SocketAddr),
    #[error("{remote} as {name}: {source}")]
    Tls { remote: SocketAddr, name: String, source: TlsError },
    #[error("there are too many connections")]
    TooMany,
    #[error("{} is not spoken here", .0.as_str())]
    NotSpoken(Transport),
    #[error("the sip stack has shut down")]
    Closed,
}

/// Whom to tell when a connection stands, or why it does not.
pub(super) type Waiter = oneshot::Sender<Result<(), ConnectError>>;

#[derive(Debug)]
struct Entry {
    key: (Transport, SocketAddr),
    outbound: bool,
    /// What its certificate was verified for, where we opened it.
    name: Option<String>,
    /// Every path that was sent by; one, as a rule.
    paths: Vec<Path>,
    /// `None`: closing.
    queue: Option<mpsc::Sender<Bytes>>,
    is_open: bool,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
pub(super) struct Streams {
    limits: Arc<StreamLimits>,
    tls: Option<Arc<Tls>>,
    /// What the URI called the far end, which its certificate must be for.
    names: HashMap<SocketAddr, String>,
    inbox: mpsc::Sender<Input>,
    next_id: u64,
    entries: HashMap<u64, Entry>,
    by_remote: HashMap<(Transport, SocketAddr), u64>,
    per_source: HashMap<IpAddr, usize>,
    tasks: JoinSet<()>,
}

impl Streams {
    pub(super) fn new(limits: Arc<StreamLimits>, tls: Option<Arc<Tls>>, inbox: mpsc::Sender<Input>) -> Self {
        Self {
            limits,
            tls,
            names: HashMap::new(),
            inbox,
            next_id: 0,
            entries: HashMap::new(),
            by_remote: HashMap::new(),
            per_source: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Somebody has connected. Without room the connection is closed by being dropped.
    pub(super) fn accept(&mut self, transport: Transport, stream: TcpStream) {
        let (Ok(local), Ok(remote)) = (stream.local_addr(), stream.peer_addr()) else {
            return;
        };
        if !self.has_room(remote.ip()) {
            return;
        }
        let path = Path { transport, local, remote };
        let (link, queue, own) = self.enter(path, false);
        let (limits, inbox) = (Arc::clone(&self.limits), self.inbox.clone());
        let tls = self.tls.clone().filter(|_| transport == Transport::Tls);
        self.tasks.spawn(serve(stream, link, tls, limits, inbox, queue, own));
    }

    /// From now on the far end has this name (or none but its address). A connection that was verified for another
    /// is not used any more.
    pub(super) fn name(&mut self, remote: SocketAddr, name: Option<String>) {
        if self.names.len() >= NAMES && !self.names.contains_key(&remote) {
            // Without a name the certificate must be for the address: a loss that fails, and does not open.
            self.names.clear();
        }
        match name {
            Some(name) => self.names.insert(remote, name),
            None => self.names.remove(&remote),
        };
        let found = self.by_remote.get(&(Transport::Tls, remote)).copied();
        if let Some(id) = found
            && let Some(entry) = self.entries.get(&id)
            && entry.outbound
            && entry.name.as_ref() != self.names.get(&remote)
        {
            self.close(id);
        }
    }

    /// Queues a message. `false`: it cannot be sent.
    pub(super) fn send(&mut self, path: Path, bytes: Bytes) -> bool {
        let found = self.by_remote.get(&(path.transport, path.remote)).copied();
        let id = match found {
            Some(id) => id,
            // §18.2.2: a response belongs on the connection of its request, and that one has gone.
            None if bytes.starts_with(b"SIP/2.0 ") => return true,
            None => match self.open(path) {
                Ok(id) => id,
                Err(_) => return false,
            },
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if !entry.paths.contains(&path) {
            entry.paths.push(path);
        }
        let sent = entry.queue.as_ref().is_some_and(|queue| queue.try_send(bytes).is_ok());
        if !sent {
            self.close(id);
        }
        sent
    }

    /// Opens a connection where there is none, and tells when it stands.
    pub(super) fn connect(&mut self, path: Path, waiter: Waiter) {
        let found = self.by_remote.get(&(path.transport, path.remote)).copied();
        let id = match found.map_or_else(|| self.open(path), Ok) {
            Ok(id) => id,
            Err(error) => {
                // Whoever asked may have gone.
                let _ = waiter.send(Err(error));
                return;
            }
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            if entry.is_open {
                let _ = waiter.send(Ok(()));
            } else {
                entry.waiting.push(waiter);
            }
        }
    }

    fn open(&mut self, path: Path) -> Result<u64, ConnectError> {
        if !self.has_room(path.remote.ip()) {
            return Err(ConnectError::TooMany);
        }
        let (link, queue, own) = self.enter(path, true);
        let (limits, inbox) = (Arc::clone(&self.limits), self.inbox.clone());
        let name = self.names.get(&path.remote).cloned();
        let tls = self.tls.clone();
        self.tasks.spawn(dial(link, name, tls, limits, inbox, queue, own));
        Ok(link.id)
    }

    fn enter(
        &mut self,
        path: Path,
        outbound: bool,
    ) -> (Link, mpsc::Receiver<Bytes>, mpsc::WeakSender<Bytes>) {
        while self.tasks.try_join_next().is_some() {}
        self.next_id += 1;
        let id = self.next_id;
        let (sender, queue) = mpsc::channel(QUEUE);
        let own = sender.downgrade();
        let key = (path.transport, path.remote);
        let entry = Entry {
            key,
            outbound,
            name: self.names.get(&path.remote).cloned(),
            paths: vec![path],
            queue: Some(sender),
            is_open: !outbound,
            waiting: Vec::new(),
        };
        self.entries.insert(id, entry);
        self.by_remote.insert(key, id);
        *self.per_source.entry(path.remote.ip()).or_default() += 1;
        (Link { id, path, outbound }, queue, own)
    }

    fn has_room(&self, ip: IpAddr) -> bool {
        self.entries.len() < self.limits.total
            && self.per_source.get(&ip).is_none_or(|count| *count < self.limits.per_source)
    }

    /// A connection of ours stands.
    pub(super) fn opened(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_open = true;
            for waiter in entry.waiting.drain(..) {
                let _ = waiter.send(Ok(()));
            }
        }
    }

    /// Lets nothing more in; what is queued still goes out. The entry counts until its task has ended.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.queue = None;
            if self.by_remote.get(&entry.key) == Some(&id) {
                self.by_remote.remove(&entry.key);
            }
        }
    }

    /// A connection's task has ended. Returns the paths that lead nowhere now.
    pub(super) fn closed(&mut self, id: u64, error: Option<ConnectError>) -> Vec<Path> {
        self.close(id);
        let Some(entry) = self.entries.remove(&id) else {
            return Vec::new();
        };
        let ip = entry.key.1.ip();
        if let Some(count) = self.per_source.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&ip);
            }
        }
        let error = error.unwrap_or(ConnectError::Closed);
        for waiter in entry.waiting {
            let _ = waiter.send(Err(error.clone()));
        }
        // A newer connection carries the same path on.
        if self.by_remote.contains_key(&entry.key) { Vec::new() } else { entry.paths }
    }

    /// Closes every connection behind its last message.
    pub(super) async fn shutdown(mut self) {
        self.entries.clear();
        let _ = timeout(LINGER, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
    }
}

/// The task of a connection that came in.
async fn serve(
    stream: TcpStream,
    link: Link,
    tls: Option<Arc<Tls>>,
    limits: Arc<StreamLimits>,
    inbox: mpsc::Sender<Input>,
    mut queue: mpsc::Receiver<Bytes>,
    own: mpsc::WeakSender<Bytes>,
) {
    // Latency only.
    let _ = stream.set_nodelay(true);
    match tls.and_then(|tls| tls.acceptor()) {
        None => run(stream, link, &limits, &inbox, &mut queue, own).await,
        Some(acceptor) => {
            // Whoever fails here has been told by an alert.
            if let Ok(Ok(stream)) = timeout(limits.connect, acceptor.accept(stream)).await {
                run(stream, link, &limits, &inbox, &mut queue, own).await;
            }
        }
    }
    let _ = inbox.send(Input::Closed { id: link.id, error: None }).await;
}

enum Reached {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// The task of a connection that we open.
async fn dial(
    link: Link,
    name: Option<String>,
    tls: Option<Arc<Tls>>,
    limits: Arc<StreamLimits>,
    inbox: mpsc::Sender<Input>,
    mut queue: mpsc::Receiver<Bytes>,
    own: mpsc::WeakSender<Bytes>,
) {
    let remote = link.path.remote;
    let reached = async {
        let stream = reach(link.path).await?;
        match link.path.transport {
            Transport::Tls => shake_hands(stream, remote, name, tls).await.map(Reached::Secure),
            _ => Ok(Reached::Plain(stream)),
        }
    };
    let error = match timeout(limits.connect, reached).await {
        Ok(Ok(reached)) => {
            if inbox.send(Input::Opened { id: link.id }).await.is_ok() {
                match reached {
                    Reached::Plain(plain) => run(plain, link, &limits, &inbox, &mut queue, own).await,
                    Reached::Secure(secure) => run(*secure, link, &limits, &inbox, &mut queue, own).await,
                }
            }
            None
        }
        Ok(Err(error)) => Some(error),
        Err(_) => Some(ConnectError::Timeout(remote)),
    };
    let _ = inbox.send(Input::Closed { id: link.id, error }).await;
}

async fn reach(path: Path) -> Result<TcpStream, ConnectError> {
    let remote = path.remote;
    let connect = async {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // The same source address as everything else: a trunk may know us by it.
        socket.bind(SocketAddr::new(path.local.ip(), 0))?;
        socket.set_nodelay(true)?;
        socket.connect(remote).await
    };
    connect.await.map_err(|source| ConnectError::Tcp { remote, source: Arc::new(source) })
}

async fn shake_hands(
    stream: TcpStream,
    remote: SocketAddr,
    name: Option<String>,
    tls: Option<Arc<Tls>>,
) -> Result<Box<TlsStream<TcpStream>>, ConnectError> {
    let tls = tls.ok_or(ConnectError::NotSpoken(Transport::Tls))?;
    let called = name.clone().unwrap_or_else(|| remote.ip().to_string());
    let failed = |source| ConnectError::Tls { remote, name: called.clone(), source };
    let (connector, server_name) = tls.connector(name.as_deref(), remote.ip()).map_err(failed)?;
    let secure = connector.connect(server_name, stream).await;
    secure.map(Box::new).map_err(|error| failed(TlsError::of(&error)))
}

/// A listening socket of one family.
pub(super) fn listen(transport: Transport, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of the last run that linger must not keep us from starting.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    open().map_err(|source| BindError::Stream { transport, addr, source })
}

/// Hands every new connection to the driver, until nobody listens.
pub(super) async fn accept(listener: TcpListener, transport: Transport, inbox: mpsc::Sender<Input>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if inbox.send(Input::Accepted { transport, stream }).await.is_err() {
                    return;
                }
            }
            // Out of descriptors: the queue of the kernel keeps them until some are free.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
