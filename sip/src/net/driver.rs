//! The one task that owns the endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;

use super::connection::Link;
use super::frame::Broken;
use super::lookup::{Lookups, Map, Way};
use super::stream::{self, ConnectError, StreamLimits, Streams};
use super::stun::{Errand, StunConfig, Watch};
use super::tls::Tls;
use super::udp::{Packet, Sockets};
use super::{Command, FAREWELL};
use crate::config::{Admission, Path, Transport};
use crate::endpoint::Endpoint;
use crate::event::{Event, LegId, Transmit};
use crate::stun::is_stun;

/// Packets between the readers and the task.
pub(super) const PACKETS: usize = 1024;
/// Packets handled before timers and commands have their turn.
const BURST: usize = 64;

/// What readers, listeners and connections tell the task.
#[derive(Debug)]
pub(super) enum Input {
    Packet(Packet),
    /// A stream from which nothing more can be read; and what it broke off at.
    Finished {
        link: Link,
        broken: Option<Broken>,
    },
    Accepted {
        transport: Transport,
        stream: TcpStream,
    },
    Opened {
        id: u64,
    },
    Closed {
        id: u64,
        error: Option<ConnectError>,
    },
    /// Where a 3xx leads.
    WayFound {
        leg: LegId,
        way: Option<Way>,
    },
    /// The addresses of the STUN server.
    StunServers(Vec<SocketAddr>),
}

/// Everything that is bound.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) udp: Sockets,
    pub(super) listeners: Vec<(Transport, TcpListener)>,
}

pub(super) struct Driver {
    endpoint: Endpoint,
    // Before `commands`: whoever sees the inbox closed may bind the same ports again.
    sockets: Arc<Sockets>,
    streams: Streams,
    lookups: Lookups,
    /// Our public address, and where to ask for it.
    stun: Option<(StunConfig, Watch)>,
    readers: JoinSet<()>,
    inbox: mpsc::Receiver<Input>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// An event for which there was no room.
    backlog: Option<Event>,
    /// Set by shutdown: when we leave at the latest.
    leave_at: Option<Instant>,
}

impl Driver {
    /// Starts to read what is bound. Must be called inside a tokio runtime.
    pub(super) fn new(
        endpoint: Endpoint,
        bound: Bound,
        limits: StreamLimits,
        tls: Option<Tls>,
        map: Map,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (sender, inbox) = mpsc::channel(PACKETS);
        let mut readers = JoinSet::new();
        let sockets = Arc::new(bound.udp);
        for index in 0..sockets.len() {
            readers.spawn(Arc::clone(&sockets).read(index, sender.clone()));
        }
        for (transport, listener) in bound.listeners {
            readers.spawn(stream::accept(listener, transport, sender.clone()));
        }
        let stun = map.stun.clone().map(|config| {
            let watch = Watch::new(now(), &config, &sockets.addrs(), Arc::clone(&map.chance));
            (config, watch)
        });
        let lookups = Lookups::new(map, sender.clone());
        let streams = Streams::new(Arc::new(limits), tls.map(Arc::new), sender);
        let (backlog, leave_at) = (None, None);
        Self {
            endpoint,
            sockets,
            streams,
            lookups,
            stun,
            readers,
            inbox,
            commands,
            events,
            backlog,
            leave_at,
        }
    }

    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        loop {
            self.send().await;
            self.deliver();
            if self.has_left() {
                break;
            }
            let stun = self.stun.as_ref().and_then(|(_, watch)| watch.poll_timeout());
            let timeout = [self.endpoint.poll_timeout(), self.leave_at, stun].into_iter().flatten().min();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Act(act)) => act(&mut self.endpoint, now()),
                    Some(Command::Connect { path, waiter }) => self.streams.connect(path, waiter),
                    Some(Command::Name { remote, name }) => self.streams.name(remote, name),
                    Some(Command::Shutdown) => self.leave(),
                    None => break,
                },
                permit = events.reserve(), if self.backlog.is_some() => {
                    // An error: nobody listens any more, and the event goes nowhere.
                    if let (Ok(permit), Some(event)) = (permit, self.backlog.take()) {
                        permit.send(event);
                    }
                }
                Some(input) = self.inbox.recv(), if self.backlog.is_none() => {
                    self.handle(input).await;
                    for _ in 1..BURST {
                        let Ok(input) = self.inbox.try_recv() else {
                            break;
                        };
                        self.handle(input).await;
                    }
                },
                () = sleep_until(timeout) => {}
            }
            if self.endpoint.poll_timeout().is_some_and(|at| at <= now()) {
                self.endpoint.handle_timeout(now());
            }
            self.ask_stun().await;
        }
        // Nobody waits for a place in the inbox any more.
        drop(self.inbox);
        self.readers.shutdown().await;
        self.streams.shutdown().await;
        self.lookups.shutdown().await;
    }

    async fn handle(&mut self, input: Input) {
        match input {
            Input::Packet(packet) if self.is_stun(&packet) => self.handle_stun(&packet),
            Input::Packet(packet) => self.endpoint.handle_message(now(), packet.path, &packet.bytes),
            Input::Finished { link, broken } => {
                if let Some(Broken { head, defect }) = broken {
                    self.endpoint.handle_unframed(now(), link.path, &head, defect);
                }
                // The answers first, then the end.
                self.send().await;
                self.streams.close(link.id);
            }
            Input::Accepted { transport, stream } => {
                let remote = stream.peer_addr().map(|remote| remote.ip());
                if remote.is_ok_and(|ip| self.endpoint.allows(ip) && !self.endpoint.is_banned(now(), ip)) {
                    self.streams.accept(transport, stream);
                }
            }
            Input::WayFound { leg, way } => {
                let path = way.map(|way| {
                    if way.path.transport == Transport::Tls {
                        self.streams.name(way.path.remote, way.name);
                    }
                    way.path
                });
                self.endpoint.redirect(now(), leg, path);
            }
            Input::StunServers(servers) => {
                if let Some((_, watch)) = &mut self.stun {
                    watch.servers(now(), &servers);
                }
            }
            Input::Opened { id } => self.streams.opened(id),
            Input::Closed { id, error } => {
                let stood = error.is_none();
                for path in self.streams.closed(id, error) {
                    if stood {
                        self.endpoint.handle_flow_lost(now(), path);
                    } else {
                        self.endpoint.handle_transport_error(now(), path);
                    }
                }
            }
        }
    }

    fn is_stun(&self, packet: &Packet) -> bool {
        self.stun.is_some() && packet.path.transport == Transport::Udp && is_stun(&packet.bytes)
    }

    fn handle_stun(&mut self, packet: &Packet) {
        let Path { local, remote, .. } = packet.path;
        let found =
            self.stun.as_mut().and_then(|(_, watch)| watch.handle(now(), local, remote, &packet.bytes));
        if let Some((socket, public)) = found {
            self.endpoint.set_public_address(now(), socket, public);
        }
    }

    async fn ask_stun(&mut self) {
        let Some((config, watch)) = &mut self.stun else {
            return;
        };
        for errand in watch.handle_timeout(now()) {
            match errand {
                Errand::FindServer => {
                    let (host, port) = config.host_and_port();
                    self.lookups.find_host(host, port);
                }
                Errand::Send { local, to, bytes } => {
                    let path = Path { transport: Transport::Udp, local, remote: to };
                    // What cannot be sent now is sent again.
                    let _ = self.sockets.send(path, &bytes).await;
                }
            }
        }
    }

    async fn send(&mut self) {
        while let Some(Transmit { path, bytes }) = self.endpoint.poll_transmit() {
            let sent = match path.transport {
                Transport::Udp => self.sockets.send(path, &bytes).await.is_ok(),
                Transport::Tcp | Transport::Tls => self.streams.send(path, bytes),
            };
            if !sent {
                self.endpoint.handle_transport_error(now(), path);
            }
        }
    }

    /// Hands events on until the program's queue is full.
    fn deliver(&mut self) {
        while self.backlog.is_none() {
            let Some(event) = self.endpoint.poll_event() else {
                return;
            };
            if let Event::Redirected { leg, to } = &event {
                self.lookups.find_way(*leg, to.clone());
            }
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                self.backlog = Some(event);
            }
        }
    }

    /// Says goodbye to everyone.
    fn leave(&mut self) {
        let at = now();
        self.endpoint.set_admission(Admission::Draining { retry_after: FAREWELL });
        for leg in self.endpoint.legs().collect::<Vec<_>>() {
            self.endpoint.hangup(at, leg, None);
        }
        for registration in self.endpoint.registrations().collect::<Vec<_>>() {
            self.endpoint.unregister(at, registration);
        }
        self.leave_at = Some(at + FAREWELL);
    }

    fn has_left(&self) -> bool {
        let stats = self.endpoint.stats();
        self.leave_at.is_some_and(|at| at <= now() || (stats.legs == 0 && stats.registrations == 0))
    }
}

/// tokio's clock, so that a paused one holds for the endpoint as well.
fn now() -> Instant {
    time::Instant::now().into_std()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
