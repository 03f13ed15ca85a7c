//! Takes calls and places them: one task that knows which leg belongs to which call, how many there may be, and who
//! may call at all. It carries words between the SIP stack and the actors, and holds no call's state.

mod outgoing;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use media::sdp::{self, LocalMedia};
use sip::{Body, CauseKind, Event, IncomingCall, LegId, Reject};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::actor::{Actor, Command, Media, Persona};
use super::extensions::{Dialled, Extensions, dialled};
use super::ledger::{Journal, Ledger, close_abandoned};
use super::messages::{self, Draft, Letter, Post, SendError};
use super::{Manners, Place, trunks::Trunks};
use crate::config::Config;
use crate::domain::{Attestation, Call, CallId, Direction, EndReason, Message, MessageId, Private, Status};
use crate::store::Store;

/// Words for one call that may wait for its actor. An actor that is so far behind is stuck, and its call is ended.
const COMMANDS: usize = 64;
/// Orders from the API that may wait; one more is told `Busy`.
const ORDERS: usize = 64;
/// How long a refused caller is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// What goodbye may take at the stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Everything that calls are made of. Shared, unchanging.
pub struct Exchange {
    pub config: Config,
    pub stack: sip::net::Stack,
    pub engine: media::net::Engine,
    pub personas: HashMap<String, Persona>,
    pub trunks: Trunks,
    pub extensions: Extensions,
    pub journal: Journal,
    pub store: Store,
    /// Randomness for ids, SSRCs and sessions.
    pub chance: Box<dyn Fn() -> [u8; 16] + Send + Sync>,
}

/// An outbound call that has been checked.
#[derive(Clone, Debug)]
pub struct Placement {
    pub from: Private<String>,
    pub to: Private<String>,
    pub agent: String,
    /// As [`Exchange::route`] gives them.
    pub waves: Vec<Vec<Place>>,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("all {0} lines are taken; try again when a call has ended")]
    NoCapacity(usize),
    #[error("every trunk that the call could take carries as many calls as it may (trunk.max_calls)")]
    TrunksFull,
    #[error("the gateway is stopping and takes no new calls")]
    Stopping,
    #[error("the gateway is too busy to take the order; try again")]
    Busy,
    #[error("the call could not be set up: {0}")]
    SetUp(String),
}

enum Order {
    Place(Box<Placement>, oneshot::Sender<Result<CallId, PlaceError>>),
    HangUp(CallId, oneshot::Sender<bool>),
    Send(Box<Draft>, oneshot::Sender<Result<Message, SendError>>),
    Drain { grace: Duration, done: oneshot::Sender<()> },
}

/// The way to the switchboard.
#[derive(Clone)]
pub struct Switchboard {
    orders: mpsc::Sender<Order>,
    live: watch::Receiver<usize>,
}

impl Switchboard {
    /// Starts the task; it ends when the stack's events do, or when all handles are gone.
    pub fn start(
        exchange: Arc<Exchange>,
        events: mpsc::Receiver<Event>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (orders, queue) = mpsc::channel(ORDERS);
        let (count, live) = watch::channel(0);
        let (post, post_task) = post(exchange.clone()).start();
        let desk = Desk {
            exchange,
            post,
            legs: HashMap::new(),
            calls: JoinSet::new(),
            leg_of: HashMap::new(),
            outbound: HashMap::new(),
            prospects: HashMap::new(),
            trunk_of: HashMap::new(),
            count,
            is_stopping: false,
            draining: None,
        };
        (Self { orders, live }, tokio::spawn(desk.run(events, queue, post_task)))
    }

    /// Calls up or being set up.
    pub fn live(&self) -> usize {
        *self.live.borrow()
    }

    pub async fn place(&self, placement: Placement) -> Result<CallId, PlaceError> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(Order::Place(Box::new(placement), reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PlaceError::Busy,
            mpsc::error::TrySendError::Closed(_) => PlaceError::Stopping,
        })?;
        answer.await.unwrap_or(Err(PlaceError::Stopping))
    }

    /// Sends a message. It is written down when this returns, and on its way.
    pub async fn send(&self, draft: Draft) -> Result<Message, SendError> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(Order::Send(Box::new(draft), reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Busy,
            mpsc::error::TrySendError::Closed(_) => SendError::Stopping,
        })?;
        answer.await.unwrap_or(Err(SendError::Stopping))
    }

    /// False where the call is not up.
    pub async fn hang_up(&self, id: CallId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::HangUp(id, reply)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Takes no more calls, lets those that are up end by themselves for `grace`, then says goodbye and ends them.
    pub async fn drain(&self, grace: Duration) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::Drain { grace, done }).await.is_ok() {
            let _ = ended.await;
        }
    }
}

/// How far a stop has come.
struct Draining {
    /// When the next step is due, and which.
    next: tokio::time::Instant,
    said_goodbye: bool,
    done: oneshot::Sender<()>,
}

struct Desk {
    exchange: Arc<Exchange>,
    /// Who looks after messages.
    post: mpsc::Sender<Letter>,
    legs: HashMap<LegId, mpsc::Sender<Command>>,
    leg_of: HashMap<CallId, LegId>,
    /// Those that we placed. While a call rings in several places, it has several.
    outbound: HashMap<LegId, CallId>,
    /// Calls that we placed and nobody has taken yet.
    prospects: HashMap<CallId, outgoing::Prospect>,
    trunk_of: HashMap<CallId, String>,
    calls: JoinSet<CallId>,
    count: watch::Sender<usize>,
    /// From the start of a drain to the end of the process.
    is_stopping: bool,
    draining: Option<Draining>,
}

impl Desk {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut orders: mpsc::Receiver<Order>,
        post: tokio::task::JoinHandle<()>,
    ) {
        loop {
            let step = self.draining.as_ref().map(|draining| draining.next);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event).await,
                    None => break,
                },
                order = orders.recv() => match order {
                    Some(order) => self.order(order).await,
                    None => break,
                },
                Some(ended) = self.calls.join_next() => self.ended(ended).await,
                () = tokio::time::sleep_until(step.unwrap_or_else(tokio::time::Instant::now)), if step.is_some() => {
                    self.drain_further();
                }
            }
            self.count.send_replace(self.calls.len());
            if self.calls.is_empty()
                && let Some(draining) = self.draining.take()
            {
                let _ = draining.done.send(());
            }
        }
        // Every actor sees its commands closed and ends its call.
        self.legs.clear();
        while self.calls.join_next().await.is_some() {}
        drop(self);
        if let Err(panic) = post.await {
            tracing::error!(%panic, "the post panicked");
        }
    }

    async fn ended(&mut self, ended: Result<CallId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.give_up(&id).await;
                if let Some(leg) = self.leg_of.remove(&id) {
                    self.legs.remove(&leg);
                    self.outbound.remove(&leg);
                }
                self.trunk_of.remove(&id);
            }
            // A panic ends that call and no other. Its legs are those whose actor no longer listens.
            Err(panic) => {
                tracing::error!(%panic, "a call's task panicked");
                let dead: Vec<_> =
                    self.legs.iter().filter(|(_, tx)| tx.is_closed()).map(|(leg, _)| *leg).collect();
                for leg in dead {
                    self.legs.remove(&leg);
                    self.outbound.remove(&leg);
                    let _ = self.exchange.stack.hangup(leg, None).await;
                    let ids: Vec<_> = self.leg_of.extract_if(|_, of| *of == leg).map(|(id, _)| id).collect();
                    for id in ids {
                        self.prospects.remove(&id);
                        self.trunk_of.remove(&id);
                        close_abandoned(&self.exchange.store, &self.exchange.journal, id).await;
                    }
                }
            }
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Incoming { leg, request } => self.incoming(leg, *request).await,
            Event::Progress { leg, status, .. } => {
                self.rang(leg);
                if status == 180 || status == 183 {
                    self.tell(leg, Command::Ringing).await;
                }
            }
            Event::Answered { leg, body, .. } => {
                self.taken(leg).await;
                self.tell(leg, Command::Answered { body }).await;
            }
            Event::Established { leg, body } => self.tell(leg, Command::Established { body }).await,
            Event::Reoffer { leg, body } => self.tell(leg, Command::Reoffer { body }).await,
            Event::Dtmf { leg, digit, duration } => self.tell(leg, Command::Digit(digit, duration)).await,
            // Also those that we ended: an actor that knows does not listen any more.
            Event::Ended { leg, cause } => {
                if self.goes_on_without(leg, &cause).await {
                    return;
                }
                let outbound = self.outbound.contains_key(&leg);
                let command = Command::Ended { reason: reason(&cause, outbound), status: cause.status };
                self.tell(leg, command).await;
            }
            Event::Registration { id, state } => self.exchange.trunks.registration(id, &state),
            Event::Message { id, message } => self.message(id, message).await,
            Event::MessageResult { id, status, reason, retry_after } => {
                let outcome = messages::Outcome { status, reason, retry_after };
                // The post never waits for this task, so there will be room; it is gone only where it panicked.
                let _ = self.post.send(Letter::Outcome(id, outcome)).await;
            }
            Event::ServiceRoute { id, route } => self.exchange.trunks.service_route(id, route),
            Event::Pong { id, status, round_trip } => self.exchange.trunks.pong(id, status, round_trip),
            Event::Bound { username, bindings } => self.exchange.extensions.bound(username, bindings),
            Event::Banned { ip, reason, time } => {
                warn!(%ip, ?reason, for_s = time.as_secs(), "an address is banned");
            }
            _ => {}
        }
    }

    async fn message(&self, request: sip::RequestId, message: Box<sip::IncomingMessage>) {
        let call_of = |leg| self.leg_of.iter().find(|(_, of)| **of == leg).map(|(id, _)| id.clone());
        let in_call = message.leg.and_then(call_of);
        if self.post.try_send(Letter::Incoming { request, message, in_call }).is_err() {
            warn!("messages come faster than they are sorted; one is put off");
            let _ = self.exchange.stack.answer_message(request, messages::later()).await;
        }
    }

    async fn tell(&mut self, leg: LegId, command: Command) {
        let Some(actor) = self.legs.get(&leg) else { return };
        if let Err(mpsc::error::TrySendError::Full(command)) = actor.try_send(command) {
            warn!(?leg, ?command, "a call's task is stuck; the call is ended");
            self.legs.remove(&leg);
            let _ = self.exchange.stack.hangup(leg, None).await;
        }
    }

    async fn refuse(&self, leg: LegId, reason: EndReason, why: &str) {
        info!(status = reason.sip_status(), reason = reason.code(), why, "a call is refused");
        let mut reject = Reject::new(reason.sip_status());
        reject.retry_after = (reject.status == 503).then_some(RETRY_AFTER);
        let _ = self.exchange.stack.reject(leg, reject).await;
    }

    async fn incoming(&mut self, leg: LegId, request: IncomingCall) {
        let exchange = self.exchange.clone();
        let caller = match self.who_calls(&request) {
            Ok(caller) => caller,
            Err(Unwelcome::Forbidden(why)) => {
                warn!(source = %request.path.remote.ip(), why, "a call is refused");
                let _ = exchange.stack.reject(leg, 403).await;
                return;
            }
            Err(Unwelcome::Unknown(why)) => return self.refuse(leg, EndReason::UnknownNumber, why).await,
        };
        let Caller { trunk, agent, to, is_trusted } = caller;
        if self.is_stopping {
            return self.refuse(leg, EndReason::ShuttingDown, "the gateway is stopping").await;
        }
        if self.calls.len() >= exchange.config.limits.max_calls {
            return self.refuse(leg, EndReason::NoCapacity, "limits.max_calls is reached").await;
        }
        if self.is_full(&trunk) {
            return self.refuse(leg, EndReason::NoCapacity, "trunk.max_calls is reached").await;
        }
        let Some(persona) = exchange.personas.get(&agent) else {
            return self.refuse(leg, EndReason::Internal, "the number's agent is missing").await;
        };
        let id = self.new_id();
        let mut media = match self.open(&id, request.path.remote) {
            Ok(media) => media,
            Err(error) => return self.refuse(leg, EndReason::NoCapacity, &error).await,
        };
        let capabilities = &media.capabilities;
        let description = match &request.body {
            None => sdp::offer(capabilities, &media.local, sdp::Direction::SendRecv),
            Some(offer) => match sdp::answer(&offer.bytes, capabilities, &media.local) {
                Ok((answer, agreed)) => {
                    media.agreed = Some(agreed);
                    answer
                }
                Err(error) => {
                    info!(%error, "a call is refused");
                    let reject = Reject { warning: Some(error.to_string()), ..Reject::new(error.status()) };
                    let _ = exchange.stack.reject(leg, reject).await;
                    return;
                }
            },
        };
        let claimed = sip::identity::of(&request.headers);
        let caller = claimed.caller(&request.from, is_trusted);
        let from = match &request.account {
            Some(account) if !is_trusted => account.clone(),
            _ => caller.uri.user().unwrap_or_else(|| caller.uri.to_string()),
        };
        let mut call = new_call(&id, Direction::Inbound, from, to, &agent, &trunk);
        call.attestation = claimed.attestation.map(attestation).filter(|_| is_trusted);
        let diverted = claimed.diversion.first().filter(|_| is_trusted);
        let diverted = diverted.map(|turn| &turn.address.uri);
        call.diverted_from = diverted.map(|uri| Private::new(uri.user().unwrap_or_else(|| uri.to_string())));
        info!(call = %id, from = %call.from, to = %call.to, trunk, agent, "a call comes in");
        let _ = exchange.stack.ring(leg, 180, None).await;
        let _ = exchange.stack.answer(leg, Body::sdp(description)).await;
        self.spawn(leg, call, persona.clone(), media);
        self.trunk_of.insert(id, trunk);
    }

    /// Who calls, and whom: an extension that has proven itself, or else a trunk.
    fn who_calls(&self, request: &IncomingCall) -> Result<Caller, Unwelcome> {
        let config = &self.exchange.config;
        // Some carriers keep our Contact in the Request-URI and name the number in To.
        let users: Vec<_> =
            [request.request_uri.user(), request.to.uri.user()].into_iter().flatten().collect();
        let extension = request.account.as_deref().and_then(|account| config.extension(account));
        if let Some(extension) = extension {
            let user = users.first().map_or("", String::as_str);
            return match dialled(config, extension, user) {
                Dialled::Agent { agent, to } => {
                    Ok(Caller { trunk: extension.line(), agent: agent.to_owned(), to, is_trusted: false })
                }
                Dialled::Forbidden => Err(Unwelcome::Forbidden("the extension may not dial it")),
                Dialled::Extension(_) => {
                    Err(Unwelcome::Unknown("extensions are not joined with one another"))
                }
                Dialled::Nobody => Err(Unwelcome::Unknown("nobody here has such a name")),
            };
        }
        let number = users.iter().find_map(|user| config.number_dialled(user));
        let trunk = self.exchange.trunks.of_call(request, number.map(|number| number.trunk.as_str()));
        let trunk = trunk.ok_or(Unwelcome::Forbidden("its address belongs to no trunk"))?;
        let number = number.ok_or(Unwelcome::Unknown("no such number here"))?;
        Ok(Caller { trunk, agent: number.agent.clone(), to: number.number.to_string(), is_trusted: true })
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Place(placement, reply) => {
                // The client may have gone; the call is placed all the same and can be found in the list.
                let _ = reply.send(self.place(*placement).await);
            }
            Order::HangUp(id, reply) => {
                let leg = self.leg_of.get(&id).copied();
                if let Some(leg) = leg {
                    self.tell(leg, Command::HangUp(EndReason::ApiHungUp)).await;
                }
                let _ = reply.send(leg.is_some());
            }
            Order::Send(draft, reply) => {
                if self.is_stopping {
                    let _ = reply.send(Err(SendError::Stopping));
                } else if let Err(mpsc::error::TrySendError::Full(Letter::Send(_, reply))) =
                    self.post.try_send(Letter::Send(draft, reply))
                {
                    let _ = reply.send(Err(SendError::Busy));
                }
            }
            Order::Drain { grace, done } => {
                info!(
                    calls = self.calls.len(),
                    grace_s = grace.as_secs(),
                    "no new calls; those that are up may end"
                );
                let admission = sip::Admission::Draining { retry_after: RETRY_AFTER };
                let _ = self.exchange.stack.set_admission(admission).await;
                let next = tokio::time::Instant::now() + grace;
                self.is_stopping = true;
                self.draining = Some(Draining { next, said_goodbye: false, done });
            }
        }
    }

    fn new_id(&self) -> CallId {
        CallId::from_random(ten_bytes(&self.exchange))
    }

    /// A line towards `peer`, with what our side of the SDP says of it.
    fn open(&self, id: &CallId, peer: SocketAddr) -> Result<Media, String> {
        let config = &self.exchange.config;
        let chance = u128::from_le_bytes((self.exchange.chance)());
        #[expect(clippy::cast_possible_truncation, reason = "halves of a random number")]
        let (ssrc_seed, session_id) = (chance as u64, (chance >> 65) as u64);
        let recording = config.recording.enabled.then(|| self.exchange.store.recording_path(id));
        let (line, events) = self
            .exchange
            .engine
            .open(
                media::SessionConfig { ssrc_seed, ..media::SessionConfig::default() },
                recording.clone().map(|path| media::wav::Recording { path }),
            )
            .map_err(|error| error.to_string())?;
        let ip = config.media.advertise.or(config.sip.advertise);
        let ip = ip.map_or_else(|| local_ip_towards(peer), Ok).map_err(|error| error.to_string())?;
        let local = LocalMedia { ip, port: line.local_port(), session_id, version: 1 };
        Ok(Media {
            line,
            events,
            local,
            capabilities: sdp::Capabilities::default(),
            agreed: None,
            recording,
            timeout: config.media.timeout,
        })
    }

    fn spawn(&mut self, leg: LegId, call: Call, persona: Persona, media: Media) {
        let config = &self.exchange.config;
        let (commands, queue) = mpsc::channel(COMMANDS);
        let id = call.id.clone();
        let session = u64::from_le_bytes((self.exchange.chance)()[..8].try_into().unwrap_or_default());
        let actor = Actor {
            leg,
            stack: self.exchange.stack.clone(),
            ledger: Ledger::new(call, self.exchange.journal.clone()),
            manners: Manners::new(&persona.agent, &config.turn_taking, config.limits.max_duration),
            persona,
            commands: queue,
            media,
            session,
        };
        self.legs.insert(leg, commands);
        self.leg_of.insert(id.clone(), leg);
        self.calls.spawn(async move {
            actor.run().await;
            id
        });
    }

    fn drain_further(&mut self) {
        let Some(draining) = &mut self.draining else { return };
        let command = || match draining.said_goodbye {
            false => Command::Leave(EndReason::ShuttingDown),
            true => Command::HangUp(EndReason::ShuttingDown),
        };
        for actor in self.legs.values() {
            // A full queue belongs to an actor that is stuck; the next step drops it.
            let _ = actor.try_send(command());
        }
        if draining.said_goodbye {
            self.legs.clear();
        }
        draining.said_goodbye = true;
        draining.next = tokio::time::Instant::now() + FAREWELL;
    }
}

fn ten_bytes(exchange: &Exchange) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&(exchange.chance)()[..10]);
    bytes
}

fn post(exchange: Arc<Exchange>) -> Post {
    Post {
        config: exchange.config.clone(),
        stack: exchange.stack.clone(),
        journal: exchange.journal.clone(),
        trunks: exchange.trunks.clone(),
        new_id: Box::new(move || MessageId::from_random(ten_bytes(&exchange))),
    }
}

/// An inbound call whose caller is known.
struct Caller {
    /// For the record: the name of a trunk, or an extension.
    trunk: String,
    agent: String,
    to: String,
    /// A trunk, which is believed what it says of the caller.
    is_trusted: bool,
}

/// Why a call is not taken, before anything is asked of the box.
enum Unwelcome {
    Forbidden(&'static str),
    Unknown(&'static str),
}

/// What the originating carrier says that it knows of its caller (RFC 8588).
fn attestation(claimed: sip::passport::Attestation) -> Attestation {
    match claimed {
        sip::passport::Attestation::Full => Attestation::Full,
        sip::passport::Attestation::Partial => Attestation::Partial,
        sip::passport::Attestation::Gateway => Attestation::Gateway,
    }
}

fn new_call(id: &CallId, direction: Direction, from: String, to: String, agent: &str, trunk: &str) -> Call {
    Call {
        id: id.clone(),
        direction,
        status: match direction {
            Direction::Inbound => Status::Ringing,
            Direction::Outbound => Status::Dialing,
        },
        from: Private::new(from),
        to: Private::new(to),
        agent: agent.to_owned(),
        trunk: trunk.to_owned(),
        created_at: Utc::now(),
        answered_at: None,
        ended_at: None,
        duration_ms: 0,
        end_reason: None,
        fault: None,
        sip_status: None,
        transcript: Vec::new(),
        turns: Vec::new(),
        digits: Private::default(),
        recording: None,
        line: None,
        attestation: None,
        diverted_from: None,
    }
}

/// What an end on the SIP side means for the call.
fn reason(cause: &sip::Cause, outbound: bool) -> EndReason {
    match (cause.kind, cause.status) {
        (CauseKind::Bye, _) if outbound => EndReason::CalleeHungUp,
        (CauseKind::Bye, _) => EndReason::CallerHungUp,
        (CauseKind::Cancel, _) => EndReason::CallerCanceled,
        (CauseKind::NoAck, _) => EndReason::NoAck,
        (CauseKind::Timeout, _) | (CauseKind::Rejected, Some(408 | 480)) => EndReason::NoAnswer,
        (CauseKind::Rejected, Some(486 | 600)) => EndReason::Busy,
        (CauseKind::Rejected, Some(603)) => EndReason::Declined,
        (CauseKind::Rejected, Some(404 | 410 | 484 | 604)) => EndReason::Unreachable,
        (CauseKind::Rejected, Some(488 | 606)) => EndReason::NoCommonCodec,
        _ => EndReason::TrunkFailed,
    }
}

/// The address of ours that packets to `peer` leave from. Asks the routing table; sends nothing.
pub fn local_ip_towards(peer: SocketAddr) -> std::io::Result<IpAddr> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let cause = |kind, status| sip::Cause { by: sip::EndedBy::Remote, kind, status, reason: None };
        for (kind, status, expected) in [
            (CauseKind::Rejected, Some(486), EndReason::Busy),
            (CauseKind::Rejected, Some(603), EndReason::Declined),
            (CauseKind::Rejected, Some(480), EndReason::NoAnswer),
            (CauseKind::Timeout, None, EndReason::NoAnswer),
            (CauseKind::Rejected, Some(404), EndReason::Unreachable),
            (CauseKind::Rejected, Some(503), EndReason::TrunkFailed),
            (CauseKind::Bye, None, EndReason::CalleeHungUp),
        ] {
            assert_eq!(reason(&cause(kind, status), true), expected, "{kind:?} {status:?}");
        }
        assert_eq!(reason(&cause(CauseKind::Bye, None), false), EndReason::CallerHungUp);
    }

    #[test]
    fn loopback_peers_see_loopback() {
        assert_eq!(
            local_ip_towards("127.0.0.1:5060".parse().unwrap()).unwrap(),
            IpAddr::from([127, 0, 0, 1])
        );
    }
}
