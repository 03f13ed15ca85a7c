//! The tokio shell: sockets, the clock, the seed and one task around an [`Endpoint`].
//!
//! One task owns the endpoint; nobody locks it. [`Stack`] is a handle on a bounded channel of commands, and every
//! verb of the endpoint has its async twin there.
//!
//! | channel | bound | when full |
//! |---|---|---|
//! | commands, to the task | 256 | the caller waits |
//! | packets, from sockets and connections | 1,024 | the reader waits; then the kernel drops, and the peer retransmits; a stream's peer waits |
//! | messages, to a connection | 256 | the peer does not read: its connection is closed |
//! | events, to the program | [`StackConfig::event_capacity`] | no packet is read until there is room; commands go on |

mod connection;
mod driver;
mod frame;
mod local;
mod lookup;
mod resolve;
mod stream;
mod stun;
mod tls;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::{Admission, Advertised, Config, Path, Transport};
use crate::endpoint::Endpoint;
use crate::event::{
    Body, Event, Invite, LegId, MessageId, MessageReply, Ping, PingId, ReasonHeader, Register,
    RegistrationId, Reject, RequestId, SendMessage, Stats,
};
use crate::message::Uri;
use crate::random::Random;
use crate::registrar::{Account, Binding};
use crate::replaces::Replaces;
use crate::source::{Network, Sources};

pub use resolve::{
    Answer, Dns, Kind, Lookup, Naptr, Paths, Record, ResolveError, Srv, SystemDns, Target, Targets, locate,
};
pub use stream::{ConnectError, StreamLimits};
pub use stun::StunConfig;
pub use tls::{Identity, Roots, TlsConfig, TlsConfigError, TlsError};

const COMMANDS: usize = 256;
/// How long [`Stack::shutdown`] waits for the last answers.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct StackConfig {
    pub endpoint: Config,
    /// Local UDP addresses; port 0 takes any free one. At least one address must be given, of whatever transport.
    pub udp: Vec<SocketAddr>,
    /// Local TCP addresses. Without any, TCP is not spoken at all.
    pub tcp: Vec<SocketAddr>,
    /// `None`: TLS is not spoken.
    pub tls: Option<TlsConfig>,
    /// Who answers questions about names. `None`: the system.
    pub dns: Option<Arc<dyn Dns>>,
    /// Who tells us our public address. `None`: nobody is asked.
    pub stun: Option<StunConfig>,
    /// Bounds of connections.
    pub streams: StreamLimits,
    /// `None`: from the operating system.
    pub seed: Option<[u8; 32]>,
    /// Events that may wait for the reader. When full, the stack reads no packets until there is room.
    pub event_capacity: usize,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            endpoint: Config::default(),
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: None,
            dns: None,
            stun: None,
            streams: StreamLimits::default(),
            seed: None,
            event_capacity: 1024,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("cannot listen on udp {addr}: {source}")]
    Udp { addr: SocketAddr, source: io::Error },
    #[error("cannot listen on {} {addr}: {source}", .transport.as_str().to_ascii_lowercase())]
    Stream { transport: Transport, addr: SocketAddr, source: io::Error },
    #[error("tls: {0}")]
    Tls(#[from] TlsConfigError),
    #[error("no local address is given")]
    NoAddress,
    #[error("the operating system gives no randomness: {0}")]
    Seed(io::Error),
}

/// The stack has shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sip stack has shut down")]
pub struct Closed;

/// What a command does, in the task that owns the endpoint.
type Act = Box<dyn FnOnce(&mut Endpoint, Instant) + Send>;

enum Command {
    Act(Act),
    Connect {
        path: Path,
        waiter: stream::Waiter,
    },
    /// What the URI calls a far end that is reached by TLS.
    Name {
        remote: SocketAddr,
        name: Option<String>,
    },
    Shutdown,
}

/// A handle on a running stack. When the last one is dropped, the task ends too, without saying goodbye;
/// [`shutdown`](Self::shutdown) is the civil way.
#[derive(Clone, Debug)]
pub struct Stack {
    commands: mpsc::Sender<Command>,
    /// What is bound. Only the task holds the sockets themselves, so that they close with it.
    locals: Arc<local::Locals>,
    dns: Arc<dyn Dns>,
    /// Chance between servers of equal priority, a new one at every turn.
    chance: Arc<Random>,
    turn: Arc<AtomicU64>,
}

/// Binds every address, and starts. Must be called inside a tokio runtime.
pub async fn bind(config: StackConfig) -> Result<(Stack, mpsc::Receiver<Event>), BindError> {
    let seed = match config.seed {
        Some(seed) => seed,
        None => system_seed().map_err(BindError::Seed)?,
    };
    let udp = udp::Sockets::bind(&config.udp)?;
    let mut locals = local::Locals { udp: udp.addrs(), ..Default::default() };
    let mut listeners = Vec::new();
    for &addr in &config.tcp {
        let (listener, bound) = stream::listen(Transport::Tcp, addr)?;
        locals.tcp.push(bound);
        listeners.push((Transport::Tcp, listener));
    }
    let tls = config.tls.as_ref().map(tls::Tls::new).transpose()?;
    for &addr in config.tls.iter().flat_map(|tls| &tls.listen) {
        let (listener, bound) = stream::listen(Transport::Tls, addr)?;
        locals.tls.push(bound);
        listeners.push((Transport::Tls, listener));
    }
    if tls.is_some() && locals.tls.is_empty() {
        locals.only_connect_by_tls();
    }
    if locals.first().is_none() {
        return Err(BindError::NoAddress);
    }
    let mut settings = config.endpoint;
    settings.large_over_tcp.clone_from(&locals.tcp);
    let limits = StreamLimits { message: settings.max_message.min(config.streams.message), ..config.streams };
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (events, receiver) = mpsc::channel(config.event_capacity.max(1));
    let endpoint = Endpoint::new(settings, seed);
    let bound = driver::Bound { udp, listeners };
    let dns = config.dns.unwrap_or_else(|| Arc::new(SystemDns::new()));
    let locals = Arc::new(locals);
    let (chance, turn) = (Arc::new(Random::new(seed)), Arc::default());
    let map = lookup::Map {
        dns: Arc::clone(&dns),
        locals: Arc::clone(&locals),
        chance: Arc::clone(&chance),
        stun: config.stun,
    };
    let driver = driver::Driver::new(endpoint, bound, limits, tls, map, inbox, events);
    // Its end is awaited by `shutdown`, which waits for the inbox to close.
    tokio::spawn(driver.run());
    Ok((Stack { commands, locals, dns, chance, turn }, receiver))
}

fn system_seed() -> io::Result<[u8; 32]> {
    use std::io::Read;
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

impl Stack {
    /// The address that the first socket is bound to: of UDP, where there is one.
    pub fn local_addr(&self) -> SocketAddr {
        // `bind` refuses to start without one.
        self.locals.first().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// The addresses that are bound for a transport, in the order of the configuration.
    pub fn local_addrs(&self, transport: Transport) -> &[SocketAddr] {
        self.locals.of(transport)
    }

    /// Opens the connection of a path ahead of the first message, or says why there is none. UDP has nothing to open.
    pub async fn connect(&self, path: Path) -> Result<(), ConnectError> {
        if path.transport == Transport::Udp {
            return Ok(());
        }
        if self.locals.of(path.transport).is_empty() {
            return Err(ConnectError::NotSpoken(path.transport));
        }
        let (waiter, answer) = oneshot::channel();
        let connect = Command::Connect { path, waiter };
        self.commands.send(connect).await.map_err(|_| ConnectError::Closed)?;
        answer.await.unwrap_or(Err(ConnectError::Closed))
    }

    pub async fn register(&self, register: Register) -> Result<RegistrationId, Closed> {
        self.ask(move |endpoint, now| endpoint.register(now, register)).await
    }

    pub async fn unregister(&self, id: RegistrationId) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.unregister(now, id)).await
    }

    pub async fn move_registration(&self, id: RegistrationId, path: Path) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.move_registration(now, id, path)).await
    }

    pub async fn set_advertised(&self, advertised: Vec<Advertised>) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.set_advertised(now, advertised)).await
    }

    /// Only for a program that resolves by itself what an [`Event::Redirected`] names: the stack does so otherwise.
    pub async fn redirect(&self, leg: LegId, path: Option<Path>) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.redirect(now, leg, path)).await
    }

    pub async fn ping(&self, ping: Ping) -> Result<PingId, Closed> {
        self.ask(move |endpoint, now| endpoint.ping(now, ping)).await
    }

    pub async fn invite(&self, invite: Invite) -> Result<LegId, Closed> {
        self.ask(move |endpoint, now| endpoint.invite(now, invite)).await
    }

    pub async fn ring(&self, leg: LegId, status: u16, body: Option<Body>) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.ring(now, leg, status, body)).await
    }

    pub async fn answer(&self, leg: LegId, body: Body) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.answer(now, leg, body)).await
    }

    pub async fn reject(&self, leg: LegId, reject: impl Into<Reject>) -> Result<(), Closed> {
        let reject = reject.into();
        self.ask(move |endpoint, now| endpoint.reject(now, leg, reject)).await
    }

    pub async fn accept_offer(&self, leg: LegId, body: Body) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.accept_offer(now, leg, body)).await
    }

    pub async fn refuse_offer(&self, leg: LegId, status: u16) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.refuse_offer(now, leg, status)).await
    }

    pub async fn reoffer(&self, leg: LegId, body: Body) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.reoffer(now, leg, body)).await
    }

    pub async fn send_dtmf(&self, leg: LegId, digit: char, duration: Duration) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.send_dtmf(now, leg, digit, duration)).await
    }

    pub async fn refer(&self, leg: LegId, to: Uri) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.refer(now, leg, to)).await
    }

    pub async fn refer_to_leg(&self, leg: LegId, other: LegId) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.refer_to_leg(now, leg, other)).await
    }

    /// See [`Endpoint::leg_of`].
    pub async fn leg_of(&self, dialog: Replaces) -> Result<Option<LegId>, Closed> {
        self.ask(move |endpoint, _| endpoint.leg_of(dialog)).await
    }

    pub async fn accept_refer(&self, leg: LegId) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.accept_refer(now, leg)).await
    }

    pub async fn refuse_refer(&self, leg: LegId, status: u16) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.refuse_refer(now, leg, status)).await
    }

    pub async fn refer_progress(&self, leg: LegId, status: u16) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.refer_progress(now, leg, status)).await
    }

    pub async fn message(&self, message: SendMessage) -> Result<MessageId, Closed> {
        self.ask(move |endpoint, now| endpoint.message(now, message)).await
    }

    pub async fn answer_message(&self, id: RequestId, reply: impl Into<MessageReply>) -> Result<(), Closed> {
        let reply = reply.into();
        self.ask(move |endpoint, now| endpoint.answer_message(now, id, reply)).await
    }

    pub async fn ban(&self, ip: IpAddr, time: Duration) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.ban(now, ip, time)).await
    }

    pub async fn unban(&self, ip: IpAddr) -> Result<(), Closed> {
        self.ask(move |endpoint, _| endpoint.unban(ip)).await
    }

    /// Who is banned, and for how long yet.
    pub async fn bans(&self) -> Result<Vec<(IpAddr, Duration)>, Closed> {
        self.ask(|endpoint, now| endpoint.bans(now).collect()).await
    }

    pub async fn hangup(&self, leg: LegId, reason: Option<ReasonHeader>) -> Result<(), Closed> {
        self.ask(move |endpoint, now| endpoint.hangup(now, leg, reason)).await
    }

    pub async fn set_admission(&self, admission: Admission) -> Result<(), Closed> {
        self.ask(move |endpoint, _| endpoint.set_admission(admission)).await
    }

    pub async fn set_sources(&self, sources: Sources) -> Result<(), Closed> {
        self.ask(move |endpoint, _| endpoint.set_sources(sources)).await
    }

    pub async fn set_accounts(&self, accounts: Vec<Account>) -> Result<(), Closed> {
        self.ask(move |endpoint, _| endpoint.set_accounts(accounts)).await
    }

    pub async fn set_trusted(&self, trusted: Vec<Network>) -> Result<(), Closed> {
        self.ask(move |endpoint, _| endpoint.set_trusted(trusted)).await
    }

    /// Where an account is to be called, best first.
    pub async fn bindings(&self, username: String) -> Result<Vec<Binding>, Closed> {
        self.ask(move |endpoint, now| endpoint.bindings(now, &username)).await
    }

    pub async fn stats(&self) -> Result<Stats, Closed> {
        self.ask(|endpoint, _| endpoint.stats()).await
    }

    /// Transport, local socket and address of the first server of a URI: the next hop for [`Invite`] and [`Register`].
    pub async fn resolve(&self, uri: &Uri) -> Result<Path, ResolveError> {
        let paths = self.resolve_all(uri).await?;
        paths.list.first().copied().ok_or_else(|| ResolveError::NoAddress { host: uri.to_string() })
    }

    /// Every server of a URI in the order in which they are to be tried, and how long that may be believed (RFC 3263
    /// §4). A far end that is reached by TLS is known by the name in this URI from now on.
    pub async fn resolve_all(&self, uri: &Uri) -> Result<Paths, ResolveError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let seed = self.chance.keyed(&[b"resolve", &turn.to_be_bytes()]);
        let paths = resolve::paths(&*self.dns, &self.locals, uri, seed).await?;
        let name = uri.host().filter(|host| host.ip().is_none()).map(ToString::to_string);
        for path in paths.list.iter().filter(|path| path.transport == Transport::Tls) {
            // A stack that has shut down connects to nobody.
            let _ = self.commands.send(Command::Name { remote: path.remote, name: name.clone() }).await;
        }
        Ok(paths)
    }

    /// Ends every call, takes every registration back, waits up to two seconds for the answers, and returns when
    /// all tasks have ended and the sockets are closed.
    pub async fn shutdown(self) {
        // An error here means that another handle was quicker.
        let _ = self.commands.send(Command::Shutdown).await;
        self.commands.closed().await;
    }

    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Endpoint, Instant) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (answer, answered) = oneshot::channel();
        let act: Act = Box::new(move |endpoint, now| {
            // Whoever asked may have gone; the deed is done all the same.
            let _ = answer.send(act(endpoint, now));
        });
        self.commands.send(Command::Act(act)).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }
}
