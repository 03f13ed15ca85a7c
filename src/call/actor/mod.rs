//! One task per call. It owns the legs, their lines, the agent's mind and the record; it carries what lines, trunks and models tell
//! into the two machines of a call, and carries their decisions out: the [`Conversation`](super::Conversation) says what the agent
//! says, the [`Bridge`](super::bridge::Bridge) who hears whom.

mod hand;
mod mind;
mod side;
mod third;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use media::sdp::{self, LocalMedia};
use sip::{Body, LegId, ReferRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use super::bridge::{self, Bridge, NotNow, Role};
use super::exchange::Exchange;
use super::ledger::Ledger;
use super::route::{RouteError, Waves};
use super::switchboard::{SideId, Switchboard, Unrecorded, Unsent};
use super::tools::Kit;
use super::{Input, Unsaid};
use crate::domain::{
    Direction, EndReason, EventKind, LineReport, Private, Status, SupervisionMode, TransferMode,
};
use crate::store::Tape;

pub use mind::Persona;
use mind::{Mind, Wish, report};
pub(super) use side::Media;
use side::{Side, told};
use third::Third;

/// What the switchboard, and through it the world, tells a call.
#[derive(Debug)]
pub(super) enum Command {
    /// Something about one of its legs.
    Leg(SideId, Signal),
    /// End it now.
    HangUp(EndReason),
    /// Say goodbye, then end it.
    Leave(EndReason),
    Transfer(Box<Transfer>, oneshot::Sender<Result<(), NotNow>>),
    /// Have somebody attend, or attend in another way.
    Supervise(Box<Supervise>, oneshot::Sender<Result<(), Unattended>>),
    /// … and leave.
    Unsupervise(oneshot::Sender<Result<(), Unattended>>),
    /// Let the agent know this, from its next answer on.
    Instruct(Private<String>, oneshot::Sender<Result<(), Unsaid>>),
    /// Have the agent say this.
    Say {
        text: Private<String>,
        interrupt: bool,
        reply: oneshot::Sender<Result<(), Unsaid>>,
    },
    /// Send keys to the near side.
    Press(Private<String>, oneshot::Sender<Result<(), Unsent>>),
    /// Go on recording, or do not for a while.
    Record(bool, oneshot::Sender<Result<(), Unrecorded>>),
    /// A call that has come in wants the place of one of our legs (RFC 3891).
    TakeOver(Box<TakeOver>),
    /// Whoever has this leg wants the one that it is joined with to go to another call of theirs.
    Give(SideId, oneshot::Sender<Given>),
}

/// What happens on a leg.
#[derive(Debug)]
pub(super) enum Signal {
    /// Nobody was there; this one is tried now.
    Tried { leg: LegId },
    /// Of the places that were called, this one has taken the call. Then comes its answer.
    Taken { leg: LegId, trunk: String, capabilities: Box<sdp::Capabilities>, local: LocalMedia },
    /// The far end rings; with something to be heard, perhaps, in answer to what that place was offered.
    Ringing { body: Option<Body>, offered: Option<Box<sdp::Capabilities>> },
    /// Our INVITE was answered.
    Answered { body: Option<Body> },
    /// Our 200 was acknowledged.
    Established { body: Option<Body> },
    /// The far end wants other media.
    Reoffer { body: Option<Body> },
    /// … and answers what we offered inside the call.
    Reanswer { status: u16, body: Option<Body> },
    /// A key, by INFO.
    Digit(char, Duration),
    /// The far end sends us on.
    Refer(Box<ReferRequest>),
    /// How the far end fares, whom we sent on.
    Progress { status: u16, over: bool },
    /// The leg is gone; `status` is what the far end said.
    Ended { reason: EndReason, status: Option<u16> },
}

/// A transfer that a client asks for, checked.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub to: Private<String>,
    pub mode: TransferMode,
    /// How we would call the target ourselves; the first Request-URI is where REFER points.
    pub waves: Waves,
}

/// Somebody shall attend a call that is up.
#[derive(Clone, Debug)]
pub struct Supervise {
    /// Who, and how they are called. `None`: who attends already.
    pub to: Option<(Private<String>, Waves)>,
    pub mode: SupervisionMode,
}

/// Why nobody attends as was wished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unattended {
    #[error("the call is not up, or it is ending")]
    NotUp,
    #[error("nobody attends the call; \"to\" says who shall")]
    Nobody,
    #[error("somebody attends the call already; without \"to\" their mode is changed")]
    Taken,
    #[error("an agent has the call, and no ear for a whisper; POST …/instructions tells it something")]
    NoEar,
    #[error("there is no line to call them on, or no phone that could be called")]
    NoLine,
}

pub(super) struct TakeOver {
    pub(super) place: SideId,
    pub(super) leg: LegId,
    pub(super) trunk: String,
    pub(super) media: Media,
    pub(super) description: Body,
}

impl std::fmt::Debug for TakeOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakeOver({:?} by {:?})", self.place, self.leg)
    }
}

/// A leg on its way from one call to another.
pub(super) struct Given {
    side: Side,
    /// Told, or dropped, when the other call has it: until then the call that gave it does not end.
    taken: oneshot::Sender<()>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Given({:?})", self.side.leg)
    }
}

/// Who has the call beside the near leg.
pub(super) enum Company {
    Agent {
        persona: Box<Persona>,
        /// Chosen at random per call.
        session: u64,
    },
    /// Nobody: it is put through to a target at once.
    Target { to: Private<String>, waves: Waves, longest: Duration },
}

pub(super) struct Actor {
    pub(super) leg: LegId,
    pub(super) exchange: Arc<Exchange>,
    pub(super) switchboard: Switchboard,
    pub(super) ledger: Ledger,
    pub(super) company: Company,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) media: Media,
    /// What the near leg is to be answered with, where it is not answered yet.
    pub(super) description: Option<Body>,
}

/// After the last word the far end's jitter buffer still holds some of it.
const LAST_WORD_TRAVELS: Duration = Duration::from_millis(200);
/// What is louder before the answer goes to who waits for it, in the place of our own tone.
const AUDIBLE_DBFS: f32 = -50.0;

impl Actor {
    /// Runs the call to its end. The record is complete when this returns.
    pub(super) async fn run(mut self) {
        self.ledger.unrecorded(self.media.unrecorded.take());
        let has_music = self.exchange.music.is_some();
        let (mind, bridge, target) = match self.company {
            Company::Agent { mut persona, session } => {
                persona.manners.is_outbound = self.ledger.call.direction == Direction::Outbound;
                persona.manners.keeps_digits = self.exchange.config.recording.keep_digits;
                let kit = Kit { exchange: self.exchange.clone(), switchboard: self.switchboard.clone() };
                let mind = Mind::new(*persona, session, kit, self.ledger.call.clone());
                (Some(mind), Bridge::with_agent().with_music(has_music), None)
            }
            Company::Target { to, waves, longest } => {
                (None, Bridge::put_through(longest).with_music(has_music), Some(Target::new(to, waves)))
            }
        };
        let trunk = self.ledger.call.trunk.clone();
        let stack = self.exchange.stack.clone();
        let near = Side::new(SideId(self.leg), trunk, self.media, self.description, stack);
        Running {
            tapes: near.recording.iter().cloned().collect(),
            exchange: self.exchange,
            switchboard: self.switchboard,
            ledger: self.ledger,
            commands: self.commands,
            near,
            far: None,
            new: None,
            third: None,
            mind,
            bridge,
            target,
            routing: None,
            ringback: None,
            presses: Vec::new(),
            tape_paused: false,
            answered_at: None,
            end: None,
            status: None,
            hang_up_at: None,
        }
        .run()
        .await;
    }
}

/// Whom the new leg is to reach.
struct Target {
    to: Private<String>,
    /// Where REFER points.
    refer_to: Option<sip::Uri>,
    /// `None`: still to be found out, or used.
    waves: Option<Waves>,
}

impl Target {
    fn new(to: Private<String>, waves: Waves) -> Self {
        let refer_to = waves.iter().flatten().next().map(|place| place.invite.to.clone());
        Self { to, refer_to, waves: Some(waves) }
    }
}

/// How a target that a peer has named is reached.
enum Way {
    /// It is called.
    Call(Waves),
    /// The peer talks with it already, in another call of ours.
    Have(Box<Side>),
}

struct Running {
    exchange: Arc<Exchange>,
    switchboard: Switchboard,
    ledger: Ledger,
    commands: mpsc::Receiver<Command>,
    near: Side,
    far: Option<Side>,
    new: Option<Side>,
    third: Option<Third>,
    mind: Option<Mind>,
    bridge: Bridge,
    target: Option<Target>,
    /// Finds the way to a target that a peer has named.
    routing: Option<JoinHandle<Result<Way, RouteError>>>,
    ringback: Option<(Role, JoinHandle<()>)>,
    /// Keys to be sent by INFO.
    presses: Vec<(LegId, char, Duration)>,
    /// One for each line that the call was recorded on.
    tapes: Vec<Tape>,
    /// A client does not want to have this part recorded.
    tape_paused: bool,
    answered_at: Option<Instant>,
    end: Option<EndReason>,
    /// What the near end said when it ended.
    status: Option<u16>,
    /// The BYE waits for the last word to arrive.
    hang_up_at: Option<(Instant, EndReason)>,
}

impl Running {
    async fn run(mut self) {
        let begun = match self.ledger.call.direction {
            Direction::Inbound => EventKind::ringing(&self.ledger.call),
            Direction::Outbound => EventKind::dialing(&self.ledger.call),
        };
        self.ledger.record([begun]).await;
        if let Some(mind) = &mut self.mind {
            mind.ask_for_context(&self.exchange.outside, &self.ledger.call);
        }
        self.configured().await;
        self.act().await;
        while self.end.is_none() {
            let conversation = self.mind.as_ref().and_then(|mind| mind.conversation.poll_timeout());
            let hang_up = self.hang_up_at.map(|(at, _)| at);
            let deadline = [conversation, self.bridge.poll_timeout(), hang_up].into_iter().flatten().min();
            tokio::select! {
                biased;
                event = told(Some(&mut self.near)) => self.near_told(event),
                event = told(self.far.as_mut()) => self.far_told(Role::Far, event),
                event = told(self.new.as_mut()) => self.far_told(Role::New, event),
                // Of who attends nothing matters: what they say goes across below us, and what they press nowhere.
                _ = told(self.third.as_mut().map(|third| &mut third.side)) => {}
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    // The switchboard is gone, and with it the trunk.
                    None => self.end = Some(EndReason::Interrupted),
                },
                input = report(self.mind.as_mut()) => self.converse(Instant::now(), input),
                way = hand::routed(self.routing.as_mut()) => self.routed(way).await,
                () = sleep_until(deadline.unwrap_or_else(far_future).into()), if deadline.is_some() => self.time(),
            }
            self.act().await;
        }
        self.finish().await;
    }

    fn time(&mut self) {
        let now = Instant::now();
        if let Some((_, reason)) = self.hang_up_at.take_if(|(at, _)| now >= *at) {
            return self.bridge.handle(now, bridge::Input::End(reason));
        }
        self.bridge.handle_timeout(now);
        if let Some(mind) = &mut self.mind {
            mind.conversation.handle_timeout(now);
        }
    }

    fn converse(&mut self, now: Instant, input: Input) {
        if let Some(mind) = &mut self.mind {
            mind.conversation.handle(now, input);
        }
    }

    fn near_told(&mut self, event: media::Event) {
        let now = Instant::now();
        match event {
            media::Event::Digit { digit, duration_ms } => self.digit(now, digit, duration_ms),
            media::Event::Press { digit, duration_ms } => self.press(Role::Near, digit, duration_ms),
            media::Event::Silence { for_ms } => self.silent(now, Role::Near, for_ms),
            media::Event::Latched { remote } => debug!(call = %self.ledger.call.id, %remote, "sound flows"),
            media::Event::RecordingFailed { reason } => {
                warn!(call = %self.ledger.call.id, reason, "the recording stopped; the call goes on");
                // Where it lies is nothing to those who read the record.
                let path = self.near.recording.as_ref().map(|tape| format!("{}: ", tape.path().display()));
                let bare = path.and_then(|path| reason.strip_prefix(&path));
                self.ledger.unrecorded(Some(bare.unwrap_or("it cannot be written").to_owned()));
            }
            media::Event::RecordingResumed { lost_ms } => {
                info!(call = %self.ledger.call.id, lost_ms, "the recording goes on; what is lost is silence in it");
            }
            event => {
                if let Some(mind) = &mut self.mind {
                    mind.heard(now, event);
                }
            }
        }
    }

    /// Of a far line nothing matters here but that there is none, of a new one that there is, and of both what only SIP can send; their sound and their keys go across below us.
    fn far_told(&mut self, role: Role, event: media::Event) {
        match (role, event) {
            (Role::Far, media::Event::Silence { for_ms }) => self.silent(Instant::now(), Role::Far, for_ms),
            // A description says that there may be something to be heard; many send one, and packets of silence after it.
            (Role::New, media::Event::Frame { level_dbfs, .. }) if level_dbfs > AUDIBLE_DBFS => {
                self.bridge.handle(Instant::now(), bridge::Input::Ringing { sound: true });
            }
            (role, media::Event::Press { digit, duration_ms }) => self.press(role, digit, duration_ms),
            _ => {}
        }
    }

    /// A key of ours has its turn that goes by INFO.
    fn press(&mut self, role: Role, digit: char, duration_ms: u32) {
        let Some(leg) = self.side(role).map(|side| side.leg) else { return };
        self.presses.push((leg, digit, Duration::from_millis(duration_ms.into())));
    }

    fn silent(&mut self, now: Instant, role: Role, for_ms: u32) {
        // Phones that hold often send nothing meanwhile, however long.
        if self.side(role).is_some_and(|side| side.holds()) {
            return;
        }
        let (silent, longest) = (Duration::from_millis(for_ms.into()), self.exchange.config.media.timeout);
        if !longest.is_zero() && silent >= longest {
            info!(call = %self.ledger.call.id, for_ms, "no sound from the far end; the call ends");
            self.hang_up_at = Some((now, EndReason::MediaLost));
        }
    }

    fn digit(&mut self, now: Instant, digit: char, duration_ms: u32) {
        if self.exchange.config.recording.keep_digits {
            self.ledger.digit(digit, duration_ms);
        }
        self.converse(now, Input::Digit(digit));
    }

    async fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Leg(side, signal) if self.is_third(side) => self.of_third(signal).await,
            Command::Leg(side, signal) => match self.role_of(side) {
                Some(role) => self.signal(now, role, signal).await,
                None => debug!(?side, ?signal, "of a leg that is gone"),
            },
            Command::HangUp(reason) => self.bridge.handle(now, bridge::Input::End(reason)),
            Command::Leave(reason) => match &mut self.mind {
                Some(mind) if self.answered_at.is_some() => {
                    mind.conversation.handle(now, Input::Leave(reason))
                }
                _ => self.bridge.handle(now, bridge::Input::End(reason)),
            },
            Command::Transfer(transfer, reply) => {
                // A client that has gone is no reason to undo what it asked for.
                let _ = reply.send(self.transfer(*transfer));
            }
            Command::Supervise(order, reply) => {
                let _ = reply.send(self.supervise(*order).await);
            }
            Command::Unsupervise(reply) => {
                let _ = reply.send(self.unsupervise().await);
            }
            Command::Instruct(text, reply) => {
                let told = self.mind.as_mut().map(|mind| mind.instruct(text.reveal()));
                let _ = reply.send(told.unwrap_or(Err(Unsaid::Away)));
            }
            Command::Say { text, interrupt, reply } => {
                let _ = reply.send(self.say(now, text, interrupt));
            }
            Command::Press(keys, reply) => {
                let sent = match self.answered_at {
                    Some(_) => self.near.line.send_digits(keys.reveal()).await.map_err(Unsent::from),
                    None => Err(Unsent::NotUp),
                };
                let _ = reply.send(sent);
            }
            Command::Record(on, reply) => {
                let _ = reply.send(self.record(now, on));
            }
            Command::TakeOver(request) => self.take_over(*request).await,
            Command::Give(asked_by, reply) => self.give(asked_by, reply).await,
        }
    }

    fn say(&mut self, now: Instant, text: Private<String>, interrupt: bool) -> Result<(), Unsaid> {
        // Without an agent two people have the call.
        let conversation = &mut self.mind.as_mut().ok_or(Unsaid::Away)?.conversation;
        conversation.may_say()?;
        conversation.handle(now, Input::Say { text: text.reveal().clone(), interrupt });
        Ok(())
    }

    /// Pausing twice is pausing once.
    fn record(&mut self, now: Instant, on: bool) -> Result<(), Unrecorded> {
        if self.tapes.is_empty() {
            return Err(Unrecorded::NoTape);
        }
        if self.tape_paused == on {
            self.tape_paused = !on;
            for side in std::iter::once(&self.near).chain(&self.far).chain(&self.new) {
                side.line.record(on);
            }
            self.ledger.recording(now, on);
        }
        Ok(())
    }

    fn role_of(&self, id: SideId) -> Option<Role> {
        let is = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.id == id);
        match id {
            id if id == self.near.id => Some(Role::Near),
            _ if is(&self.far) => Some(Role::Far),
            _ if is(&self.new) => Some(Role::New),
            _ => None,
        }
    }

    fn side(&mut self, role: Role) -> Option<&mut Side> {
        match role {
            Role::Near => Some(&mut self.near),
            Role::Far => self.far.as_mut(),
            Role::New => self.new.as_mut(),
        }
    }

    async fn signal(&mut self, now: Instant, role: Role, signal: Signal) {
        match signal {
            Signal::Tried { leg } => {
                if let Some(side) = self.side(role) {
                    side.leg = leg;
                }
            }
            Signal::Taken { leg, trunk, capabilities, local } => {
                self.taken(role, leg, trunk, *capabilities, local);
            }
            Signal::Ringing { body, offered } if role == Role::New => {
                self.new_rings(now, body, offered).await;
            }
            Signal::Ringing { .. } if self.ledger.call.status == Status::Dialing => {
                self.ledger.call.status = Status::Ringing;
                self.ledger.call.rang_at = Some(Utc::now());
                let event = EventKind::ringing(&self.ledger.call);
                self.ledger.record([event]).await;
            }
            Signal::Ringing { .. } => {}
            Signal::Answered { body } if role == Role::New => self.new_answers(now, body).await,
            Signal::Answered { body } | Signal::Established { body } => match role {
                Role::Near => self.answered(now, body).await,
                Role::Far | Role::New => self.agree(role, body).await,
            },
            Signal::Reoffer { body } => {
                let alive = match self.side(role) {
                    Some(side) => side.reoffer(body).await,
                    None => true,
                };
                if !alive {
                    self.end = Some(EndReason::Internal);
                }
                self.note_codec();
                self.note_hold(now, role);
            }
            Signal::Reanswer { status, body } => self.reanswered(now, role, status, body).await,
            // The line tells it as any other key, once, and lets it cross a bridge.
            Signal::Digit(digit, duration) => {
                if let Some(side) = self.side(role) {
                    let _ = side.line.key_by_info(digit, duration).await;
                }
            }
            Signal::Refer(refer) => self.referred(role, *refer).await,
            Signal::Progress { status, over } => {
                if role == Role::Near {
                    self.bridge.handle(now, bridge::Input::Progress { status, over });
                }
            }
            Signal::Ended { reason, status } => {
                if let Some(side) = self.side(role) {
                    side.gone = true;
                }
                if role == Role::Near {
                    self.status = status;
                    self.converse_unless_swapping(now);
                }
                self.bridge.handle(now, bridge::Input::Ended(role, reason));
                self.forget_new(role);
            }
        }
    }

    fn taken(
        &mut self,
        role: Role,
        leg: LegId,
        trunk: String,
        capabilities: sdp::Capabilities,
        local: LocalMedia,
    ) {
        if role == Role::Near {
            self.ledger.call.trunk.clone_from(&trunk);
        }
        if let Some(side) = self.side(role) {
            side.taken(leg, trunk, capabilities, local);
        }
    }

    /// The near leg was answered, by them or by us.
    async fn answered(&mut self, now: Instant, body: Option<Body>) {
        if let Err(error) = self.near.accept(body.as_ref()).await {
            warn!(call = %self.ledger.call.id, error, "the far end's media cannot be used");
            return self.bridge.handle(now, bridge::Input::End(EndReason::NoCommonCodec));
        }
        self.note_codec();
        if self.answered_at.is_some() {
            return;
        }
        self.answered_at = Some(now);
        self.ledger.answered(now);
        self.ledger.on_line(self.near.line.view());
        let event = EventKind::started(&self.ledger.call);
        self.ledger.record([event]).await;
        self.bridge.handle(now, bridge::Input::NearUp);
        if let Some(mind) = &mut self.mind {
            mind.conversation.handle(now, Input::Answered);
            mind.warm_up();
        }
    }

    /// Media as agreed when the call came in.
    async fn configured(&mut self) {
        if !self.near.configure().await {
            self.end = Some(EndReason::Internal);
        }
        self.note_codec();
    }

    fn note_codec(&mut self) {
        if let Some(codec) = self.near.codec() {
            let encryption = self.near.encryption().map(str::to_owned);
            let report = LineReport { codec: codec.to_owned(), encryption, ..LineReport::default() };
            self.ledger.call.line = Some(report);
            self.ledger.on_line(self.near.line.view());
        }
    }

    /// Carries out what the two machines decided.
    async fn act(&mut self) {
        loop {
            let wish = match &mut self.mind {
                Some(mind) => mind.act(&self.near.line, &mut self.ledger).await,
                None => None,
            };
            match wish {
                Some(Wish::Hush) => self.hush().await,
                Some(Wish::Transfer(turn)) => self.hand_on(turn),
                Some(Wish::HangUp(reason)) => {
                    self.hang_up_at = Some((Instant::now() + LAST_WORD_TRAVELS, reason));
                }
                None => match self.bridge.poll_action() {
                    Some(action) => self.carry_out(action).await,
                    None => {
                        if !self.arrange().await {
                            break;
                        }
                    }
                },
            }
        }
        for (leg, digit, duration) in std::mem::take(&mut self.presses) {
            let _ = self.exchange.stack.send_dtmf(leg, digit, duration).await;
        }
        self.ledger.flush().await;
    }

    async fn hush(&mut self) {
        let hushed = self.near.line.hush().await.unwrap_or_default();
        // What was played before the cut is told before the cut.
        while let Ok(event) = self.near.events.try_recv() {
            self.near_told(event);
        }
        let input = Input::Hushed { mark: hushed.mark.map(|mark| mark.0), played: hushed.played };
        self.converse(Instant::now(), input);
    }

    /// Writes the last truths: where the sound was cut, what the caller still said, how the line was.
    async fn finish(mut self) {
        // However the call ended, no leg outlives it.
        self.end_legs(self.end.unwrap_or(EndReason::Internal)).await;
        self.act().await;
        if let Some(mut mind) = self.mind.take() {
            if self.answered_at.is_some() {
                mind.last_words().await;
                mind.last_deeds().await;
                let _ = mind.act(&self.near.line, &mut self.ledger).await;
            }
            mind.read_meter(&mut self.ledger.call.usage);
            self.ledger.call.report = self.exchange.report_on(&self.ledger.call, &mind.persona.agent);
            mind.close().await;
        }
        drop((self.far, self.new, self.third));
        if let Ok(line) = Arc::try_unwrap(self.near.line) {
            self.ledger.line(&line.close().await);
        }
        self.ledger.close(self.end.unwrap_or(EndReason::Internal), self.status, self.tapes).await;
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
