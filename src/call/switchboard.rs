//! Takes calls and places them: one task that knows which leg belongs to which call, how many there may be, and who
//! may call at all. It carries words between the SIP stack and the actors, and holds no call's state.

mod incoming;
mod otherwise;
mod outgoing;
mod steer;
mod waiting;

pub use steer::{Unrecorded, Unsent};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::sdp::LocalMedia;
use sip::{Body, CauseKind, Event, LegId, Reject};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::actor::{Actor, Command, Company, Given, Media, Signal, Transfer};
use super::bridge::NotNow;
use super::exchange::Exchange;
use super::ledger::{Ledger, close_abandoned};
use super::messages::{self, Draft, Kept, Letter, NotTaken, Notice, Post, SendError};
use super::queue::{Full, Hold, Limits, Pace, Queue};
use super::{NoBrain, Resolved, Waves};
use crate::config::Config;
use crate::domain::{
    Call, CallId, Direction, EndReason, KeyId, Message, MessageId, Metadata, Number, Private,
};

/// Words for one call that may wait for its actor. An actor that is so far behind is stuck, and its call is ended.
const COMMANDS: usize = 64;
/// Orders from the API that may wait; one more is told `Busy`.
const ORDERS: usize = 256;
/// How long a refused caller is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// What goodbye may take at the stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// One side of a call as its actor knows it: by the first leg that was tried for it, whichever has it in the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SideId(pub(super) LegId);

/// A further leg that is being called.
pub(super) struct Dialled {
    pub(super) side: SideId,
    /// The trunk or extension that is tried first.
    pub(super) trunk: String,
}

/// An outbound call that has been checked.
#[derive(Clone)]
pub struct Placement {
    /// One of ours.
    pub from: Arc<Number>,
    pub to: Private<String>,
    pub who: Resolved,
    /// The key that asked for it; calls of one key are dialled in their order.
    pub key_id: Option<KeyId>,
    /// Outbound calls that the key may have at once, where it says so itself.
    pub at_once: Option<usize>,
    pub metadata: Metadata,
    /// False: refused where it cannot be dialled at once.
    pub may_wait: bool,
    /// As [`Exchange::route`] gives them now; found anew when the call has waited.
    pub waves: Waves,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{0}, and the call may not wait")]
    NotNow(Hold),
    #[error(transparent)]
    QueueFull(Full),
    #[error("every trunk that the call could take carries as many calls as it may (trunk.max_calls)")]
    TrunksFull,
    #[error("the gateway is stopping and takes no new calls")]
    Stopping,
    #[error("the gateway is too busy to take the order; try again")]
    Busy,
    #[error("there is no line for the call: {0}")]
    NoLine(String),
    #[error("the call cannot be written down, and so it is not placed; see the log")]
    NotWritten,
    #[error(transparent)]
    NoBrain(#[from] NoBrain),
    #[error("the call could not be set up: {0}")]
    SetUp(String),
}

/// Why a call is not transferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransferError {
    #[error("the call is not up")]
    NotUp,
    #[error(transparent)]
    NotNow(#[from] NotNow),
}

/// A further leg of a call that is up.
pub(super) struct Further {
    pub(super) call: CallId,
    /// As [`Exchange::route`] gives them.
    pub(super) waves: Waves,
    pub(super) local: LocalMedia,
}

enum Order {
    Place(Box<Placement>, oneshot::Sender<Result<Call, PlaceError>>),
    Dial(Box<Further>, oneshot::Sender<Result<Dialled, PlaceError>>),
    Transfer(CallId, Box<Transfer>, oneshot::Sender<Result<(), TransferError>>),
    /// The leg that this one is joined with, for another call of its peer.
    AskFor(LegId, oneshot::Sender<Given>),
    /// The leg belongs to that call from now on. False where the leg is over.
    Adopt(CallId, LegId, oneshot::Sender<bool>),
    HangUp(CallId, oneshot::Sender<bool>),
    /// The command brings the way back along.
    Tell(CallId, Box<Command>),
    Send(Box<Draft>, oneshot::Sender<Result<Message, SendError>>),
    /// Of a trunk's carrier, by HTTP.
    Told(String, Box<Notice>, oneshot::Sender<Result<Kept, NotTaken>>),
    Drain {
        grace: Duration,
        done: oneshot::Sender<()>,
    },
}

/// The way to the switchboard.
#[derive(Clone)]
pub struct Switchboard {
    orders: mpsc::Sender<Order>,
    live: watch::Receiver<usize>,
    waiting: watch::Receiver<usize>,
}

impl Switchboard {
    /// Starts the task; it ends when the stack's events do, or when all handles are gone.
    pub fn start(
        exchange: Arc<Exchange>,
        events: mpsc::Receiver<Event>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (count, live) = watch::channel(0);
        let (queued, waiting) = watch::channel(0);
        let queue = Queue::new(queue_limits(&exchange.config));
        let (post, post_task) = post(exchange.clone()).start();
        let desk = Desk {
            exchange,
            orders: orders.downgrade(),
            post,
            legs: HashMap::new(),
            live: HashMap::new(),
            calls: JoinSet::new(),
            queue,
            tickets: HashMap::new(),
            preparing: HashMap::new(),
            clerks: JoinSet::new(),
            prospects: HashMap::new(),
            takeovers: 0,
            unrecorded: HashSet::new(),
            trunk_of: HashMap::new(),
            count,
            queued,
            is_stopping: false,
            draining: None,
        };
        (Self { orders, live, waiting }, tokio::spawn(desk.run(events, ordered, post_task)))
    }

    /// Calls up or being set up.
    pub fn live(&self) -> usize {
        *self.live.borrow()
    }

    /// Calls that wait to be dialled.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Takes a call into the queue. Its record is on disk when this returns.
    pub async fn place(&self, placement: Placement) -> Result<Call, PlaceError> {
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

    /// Takes what a trunk's carrier tells, who has proven who it is. It is written down when this returns.
    pub async fn told(&self, trunk: String, notice: Notice) -> Result<Kept, NotTaken> {
        let (answer, told) = oneshot::channel();
        let order = Order::Told(trunk, Box::new(notice), answer);
        self.orders.try_send(order).map_err(|_| NotTaken::Later)?;
        told.await.unwrap_or(Err(NotTaken::Later))
    }

    /// Places a further leg of a call; what happens to it is told to that call from now on. The switchboard waits for no actor, so
    /// an actor may wait for it.
    pub(super) async fn dial(&self, further: Further) -> Result<Dialled, PlaceError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Dial(Box::new(further), reply);
        self.orders.send(order).await.map_err(|_| PlaceError::Stopping)?;
        answer.await.unwrap_or(Err(PlaceError::Stopping))
    }

    /// Returns when the transfer has begun; its outcome is told by events.
    pub async fn transfer(&self, id: CallId, transfer: Transfer) -> Result<(), TransferError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Transfer(id, Box::new(transfer), reply);
        self.orders.send(order).await.map_err(|_| TransferError::NotUp)?;
        answer.await.unwrap_or(Err(TransferError::NotUp))
    }

    /// Asks the call of this leg for the leg that it is joined with. As with [`dial`](Self::dial), an actor may wait for it.
    pub(super) async fn ask_for(&self, leg: LegId) -> Option<Given> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::AskFor(leg, reply)).await.ok()?;
        answer.await.ok()
    }

    /// From now on a call is told what happens to this leg. False where the leg is over.
    pub(super) async fn adopt(&self, call: CallId, leg: LegId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Adopt(call, leg, reply)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Ends a call, or takes it back where it is not dialled yet. False where it is neither.
    pub async fn hang_up(&self, id: CallId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::HangUp(id, reply)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Ends a call for a reason of the gateway's own; politely: with a goodbye. One that is over already stays as it is.
    pub(super) async fn end(&self, id: CallId, reason: EndReason, politely: bool) {
        let command = if politely { Command::Leave(reason) } else { Command::HangUp(reason) };
        // A switchboard that is gone has ended all calls.
        let _ = self.orders.send(Order::Tell(id, Box::new(command))).await;
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

/// What a leg belongs to.
struct Attached {
    call: CallId,
    side: SideId,
    /// We placed it.
    outbound: bool,
}

struct Desk {
    exchange: Arc<Exchange>,
    /// Who looks after messages.
    post: mpsc::Sender<Letter>,
    /// For actors; not a handle of our own, or we would never see that nobody else has one.
    orders: mpsc::WeakSender<Order>,
    legs: HashMap<LegId, Attached>,
    live: HashMap<CallId, mpsc::Sender<Command>>,
    /// Sides that we placed and nobody has taken yet.
    prospects: HashMap<SideId, outgoing::Prospect>,
    trunk_of: HashMap<SideId, String>,
    /// Of all calls: names their recordings.
    takeovers: u32,
    /// Calls that want no recording.
    unrecorded: HashSet<CallId>,
    calls: JoinSet<CallId>,
    /// Which outbound call is dialled next.
    queue: Queue,
    /// Calls in the queue …
    tickets: HashMap<CallId, waiting::Ticket>,
    /// … and those that have left it and are not dialled yet.
    preparing: HashMap<CallId, waiting::Ticket>,
    /// They write and prepare what is not dialled yet.
    clerks: JoinSet<waiting::Done>,
    count: watch::Sender<usize>,
    queued: watch::Sender<usize>,
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
            let pace = self.queue.poll_timeout();
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
                Some(done) = self.clerks.join_next() => self.done(done).await,
                () = tokio::time::sleep_until(pace.unwrap_or_else(Instant::now).into()), if pace.is_some() => {}
                () = tokio::time::sleep_until(step.unwrap_or_else(tokio::time::Instant::now)), if step.is_some() => {
                    self.drain_further();
                }
            }
            self.begin_calls();
            self.count.send_replace(self.calls.len());
            self.queued.send_replace(self.queue.waiting());
            if self.calls.is_empty()
                && self.clerks.is_empty()
                && let Some(draining) = self.draining.take()
            {
                let _ = draining.done.send(());
            }
        }
        // Every actor sees its commands closed and ends its call; none waits for an order any more.
        drop(orders);
        self.live.clear();
        self.is_stopping = true;
        self.withdraw_all(EndReason::ShuttingDown);
        while let Some(done) = self.clerks.join_next().await {
            self.done(done).await;
        }
        while self.calls.join_next().await.is_some() {}
        drop(self);
        if let Err(panic) = post.await {
            tracing::error!(%panic, "the post panicked");
        }
    }

    async fn ended(&mut self, ended: Result<CallId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.live.remove(&id);
                self.queue.ended(Instant::now(), &id);
                self.forget(&id).await;
            }
            // A panic ends that call and no other: the one whose actor no longer listens.
            Err(panic) => {
                tracing::error!(%panic, "a call's task panicked");
                let dead: Vec<_> =
                    self.live.extract_if(|_, actor| actor.is_closed()).map(|(id, _)| id).collect();
                for id in dead {
                    self.queue.ended(Instant::now(), &id);
                    self.forget(&id).await;
                    close_abandoned(&self.exchange.store, &self.exchange.journal, id).await;
                }
            }
        }
    }

    /// Hangs up what is left of a call. Legs that are over already are not there any more.
    async fn forget(&mut self, id: &CallId) {
        self.unrecorded.remove(id);
        let legs: Vec<_> = self.legs.extract_if(|_, of| of.call == *id).collect();
        for (leg, of) in legs {
            self.prospects.remove(&of.side);
            self.trunk_of.remove(&of.side);
            let _ = self.exchange.stack.hangup(leg, None).await;
        }
    }

    async fn event(&mut self, event: Event) {
        let (leg, signal) = match event {
            Event::Incoming { leg, request } => return self.incoming(leg, *request).await,
            Event::Progress { leg, status, body } => {
                self.rang(leg);
                if status != 180 && status != 183 {
                    return;
                }
                (leg, Signal::Ringing { body, offered: self.offered_to(leg) })
            }
            Event::Answered { leg, body, .. } => {
                self.taken(leg).await;
                (leg, Signal::Answered { body })
            }
            Event::Established { leg, body } => (leg, Signal::Established { body }),
            Event::Reoffer { leg, body } => (leg, Signal::Reoffer { body }),
            Event::Reanswer { leg, status, body } => (leg, Signal::Reanswer { status, body }),
            Event::Dtmf { leg, digit, duration } => (leg, Signal::Digit(digit, duration)),
            Event::Refer { leg, refer } => (leg, Signal::Refer(refer)),
            Event::ReferProgress { leg, status, over } => (leg, Signal::Progress { status, over }),
            // Also those that we ended: an actor that knows does not listen any more.
            Event::Ended { leg, cause } => return self.leg_ended(leg, &cause).await,
            other => return self.news(other).await,
        };
        self.tell_of(leg, signal).await;
    }

    /// What is no call's.
    async fn news(&mut self, event: Event) {
        match event {
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
            Event::PublicAddress { addr, .. } => {
                info!(%addr, "this is our public address");
                self.exchange.trunks.seen_as(addr.ip());
            }
            Event::Banned { ip, reason, time } => {
                warn!(%ip, ?reason, for_s = time.as_secs(), "an address is banned");
            }
            _ => {}
        }
    }

    async fn leg_ended(&mut self, leg: LegId, cause: &sip::Cause) {
        if self.goes_on_without(leg, cause).await {
            return;
        }
        let Some(Attached { call, side, outbound }) = self.legs.remove(&leg) else { return };
        self.trunk_of.remove(&side);
        let signal = Signal::Ended { reason: reason(cause, outbound), status: cause.status };
        self.tell(&call, Command::Leg(side, signal)).await;
    }

    async fn tell_of(&mut self, leg: LegId, signal: Signal) {
        let of = self.legs.get(&leg).map(|of| (of.call.clone(), of.side));
        if let Some((call, side)) = of {
            self.tell(&call, Command::Leg(side, signal)).await;
        }
    }

    /// False where the call is not up.
    async fn tell(&mut self, id: &CallId, command: Command) -> bool {
        let Some(actor) = self.live.get(id) else { return false };
        match actor.try_send(command) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(command)) => {
                warn!(call = %id, ?command, "a call's task is stuck; the call is ended");
                self.live.remove(id);
                self.forget(id).await;
                false
            }
        }
    }

    async fn refuse(&self, leg: LegId, reason: EndReason, why: &str) {
        info!(status = reason.sip_status(), reason = reason.code(), why, "a call is refused");
        let mut reject = Reject::new(reason.sip_status());
        reject.retry_after = (reject.status == 503).then_some(RETRY_AFTER);
        let _ = self.exchange.stack.reject(leg, reject).await;
    }

    async fn message(&self, request: sip::RequestId, message: Box<sip::IncomingMessage>) {
        let in_call = message.leg.and_then(|leg| self.legs.get(&leg)).map(|of| of.call.clone());
        if self.post.try_send(Letter::Incoming { request, message, in_call }).is_err() {
            warn!("messages come faster than they are sorted; one is put off");
            let _ = self.exchange.stack.answer_message(request, messages::later()).await;
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Place(placement, reply) => {
                // The client may have gone; the call is placed all the same and can be found in the list.
                self.take_order(*placement, reply);
            }
            Order::Dial(further, reply) => {
                let _ = reply.send(self.dial(*further).await);
            }
            Order::Transfer(id, transfer, reply) => {
                let (outcome, began) = oneshot::channel();
                self.tell(&id, Command::Transfer(transfer, outcome)).await;
                // The actor answers soon; it is not waited for here.
                tokio::spawn(async move {
                    let began = began.await.map_err(|_| TransferError::NotUp);
                    let _ = reply.send(began.and_then(|began| began.map_err(TransferError::from)));
                });
            }
            Order::AskFor(leg, reply) => {
                if let Some((call, side)) = self.legs.get(&leg).map(|of| (of.call.clone(), of.side)) {
                    self.tell(&call, Command::Give(side, reply)).await;
                }
            }
            Order::Adopt(call, leg, reply) => {
                let attached = self.legs.get_mut(&leg).filter(|_| self.live.contains_key(&call));
                let _ = reply.send(attached.is_some());
                if let Some(attached) = attached {
                    attached.call = call;
                }
            }
            Order::HangUp(id, reply) => {
                let is_done = self.cancel(&id) || self.tell(&id, Command::HangUp(EndReason::ApiHungUp)).await;
                let _ = reply.send(is_done);
            }
            Order::Tell(id, command) => {
                self.tell(&id, *command).await;
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
            Order::Told(trunk, notice, answer) => {
                let letter = Letter::Told { trunk, notice, answer };
                // Whose answer is dropped is told "later".
                if !self.is_stopping && self.post.try_send(letter).is_err() {
                    warn!("messages come faster than they are sorted; one is put off");
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
                self.withdraw_all(EndReason::ShuttingDown);
                self.draining = Some(Draining { next, said_goodbye: false, done });
            }
        }
    }

    fn new_id(&self) -> CallId {
        CallId::from_random(ten_bytes(&self.exchange))
    }

    fn agent(&self, who: &Resolved) -> Result<Company, NoBrain> {
        let session = u64::from_le_bytes((self.exchange.chance)()[..8].try_into().unwrap_or_default());
        Ok(Company::Agent { persona: Box::new(self.exchange.cast.persona(who)?), session })
    }

    /// `description`: what an inbound leg is to be answered with, where it is not answered yet.
    fn spawn(
        &mut self,
        leg: LegId,
        ledger: Ledger,
        company: Company,
        media: Media,
        description: Option<Body>,
    ) {
        // Whoever gave the order to place a call holds the other end; and without orders there are no calls.
        let Some(orders) = self.orders.upgrade() else { return };
        let (commands, queue) = mpsc::channel(COMMANDS);
        let id = ledger.call.id.clone();
        let side = SideId(leg);
        let outbound = ledger.call.direction == Direction::Outbound;
        self.trunk_of.insert(side, ledger.call.trunk.clone());
        let actor = Actor {
            leg,
            exchange: self.exchange.clone(),
            switchboard: Switchboard {
                orders,
                live: self.count.subscribe(),
                waiting: self.queued.subscribe(),
            },
            ledger,
            company,
            commands: queue,
            media,
            description,
        };
        self.legs.insert(leg, Attached { call: id.clone(), side, outbound });
        self.live.insert(id.clone(), commands);
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
        for actor in self.live.values() {
            // A full queue belongs to an actor that is stuck; the next step drops it.
            let _ = actor.try_send(command());
        }
        if draining.said_goodbye {
            self.live.clear();
        }
        draining.said_goodbye = true;
        draining.next = tokio::time::Instant::now() + FAREWELL;
    }
}

/// What outbound calls are held to.
fn queue_limits(config: &Config) -> Limits {
    let (queue, guards) = (&config.queue, &config.guards);
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let per_minute =
        |most: u32| (most > 0).then(|| Pace { most: count(most), span: Duration::from_secs(60) }).into_iter();
    let at_once = guards.max_calls.map_or(config.limits.max_calls, count);
    let per_second = Pace { most: queue.calls_per_second, span: Duration::from_secs(1) };
    Limits {
        at_once,
        at_once_per_key: guards.max_calls_per_key.map_or(at_once, count),
        paces: per_minute(guards.calls_per_minute).chain([per_second]).collect(),
        paces_per_key: per_minute(guards.calls_per_minute_per_key).collect(),
        waiting: queue.max_waiting,
        waiting_per_key: queue.max_waiting_per_key,
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
        directory: exchange.directory.clone(),
        stack: exchange.stack.clone(),
        journal: exchange.journal.clone(),
        store: exchange.store.clone(),
        trunks: exchange.trunks.clone(),
        ways: ways(exchange.clone()),
        new_id: Box::new(move || MessageId::from_random(ten_bytes(&exchange))),
    }
}

fn ways(exchange: Arc<Exchange>) -> messages::Ways {
    Box::new(move |from, to| {
        let exchange = exchange.clone();
        Box::pin(async move {
            let Some(number) = exchange.directory.dialled(from.as_str()) else { return Vec::new() };
            exchange.ways(&number, &to).await.unwrap_or_else(|error| {
                warn!(%error, "there is no way back to whoever wrote");
                Vec::new()
            })
        })
    })
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
}
