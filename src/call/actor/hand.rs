//! Deeds of the [`Bridge`](crate::call::bridge::Bridge): legs called, joined, swapped, sent on.

use std::time::Instant;

use sip::{Body, LegId, ReferRequest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::{Given, Running, Side, TakeOver, Target, Transfer, Way};
use crate::call::bridge::{Action, Input, NotNow, Note, Role};
use crate::call::ringback;
use crate::call::route::{RouteError, Waves};
use crate::call::switchboard::{Dialled, Further, PlaceError, SideId, Switchboard};
use crate::call::tools::Handover;
use crate::domain::{CallId, EndReason, EventKind, Private, TransferMode};

/// The way to a target, once it is known; never, where none is looked for.
pub(super) async fn routed(routing: Option<&mut JoinHandle<Result<Way, RouteError>>>) -> Option<Way> {
    match routing {
        Some(task) => match task.await {
            Ok(Ok(way)) => Some(way),
            Ok(Err(error)) => {
                info!(%error, "the target of a transfer cannot be called");
                None
            }
            Err(panic) => {
                warn!(%panic, "the way to a target was not found");
                None
            }
        },
        None => std::future::pending().await,
    }
}

/// Out of another call, the leg that is joined with this one.
async fn fetch(switchboard: &Switchboard, call: CallId, leg: LegId) -> Result<Side, RouteError> {
    let refused = || RouteError::Refused("the other call does not give its leg away".into());
    let Given { side, taken } = switchboard.ask_for(leg).await.ok_or_else(refused)?;
    let is_up = switchboard.adopt(call, side.leg).await;
    let _ = taken.send(());
    if is_up { Ok(side) } else { Err(RouteError::Unreachable("the leg was gone before it arrived".into())) }
}

impl Running {
    pub(super) fn transfer(&mut self, transfer: Transfer) -> Result<(), NotNow> {
        if !self.is_steady() {
            return Err(NotNow);
        }
        self.bridge.transfer(transfer.mode)?;
        self.ledger.later(EventKind::Transferring { to: transfer.to.clone(), mode: transfer.mode });
        self.target = Some(Target::new(transfer.to, transfer.waves));
        Ok(())
    }

    /// The agent has been heard out, and leaves the caller to whom it has chosen.
    pub(super) fn hand_on(&mut self, turn: u32) {
        let handover = self.mind.as_ref().and_then(|mind| mind.toolbox.take_handover(turn));
        let begun = handover.ok_or(NotNow).and_then(|Handover { to, waves }| {
            let mode = self.exchange.transfer_mode(&self.ledger.call, to.reveal(), TransferMode::Auto);
            self.transfer(Transfer { to, mode, waves })
        });
        if begun.is_err() {
            self.converse(Instant::now(), crate::call::Input::NotTransferred);
        }
    }

    /// Whether the agent, if it has the call, can leave it: it is not saying goodbye.
    fn is_steady(&self) -> bool {
        self.bridge.is_joined() || self.mind.as_ref().is_none_or(|mind| mind.conversation.may_step_aside())
    }

    /// A peer asks that somebody else take its place (RFC 3515): by policy of where it belongs.
    pub(super) async fn referred(&mut self, role: Role, refer: ReferRequest) {
        let found = self.side(role).map(|side| (side.leg, side.trunk.clone()));
        let Some((leg, trunk)) = found else { return };
        let stack = self.exchange.stack.clone();
        let allowed = self.exchange.takes_refers(&trunk) && self.is_steady();
        if !allowed || self.bridge.refer(role).is_err() {
            debug!(call = %self.ledger.call.id, trunk, "a REFER is refused");
            let _ = stack.refuse_refer(leg, 603).await;
            return;
        }
        let _ = stack.accept_refer(leg).await;
        let to = Private::new(refer.to.uri.to_string());
        self.ledger.later(EventKind::Transferring { to: to.clone(), mode: TransferMode::Bridge });
        self.target = Some(Target { to, refer_to: None, waves: None });
        let (exchange, call) = (self.exchange.clone(), self.ledger.call.clone());
        let switchboard = self.switchboard.clone();
        self.routing = Some(tokio::spawn(async move {
            let leg = match &refer.replaces {
                Some(dialog) => exchange.stack.leg_of(dialog.clone()).await.ok().flatten(),
                None => None,
            };
            match leg {
                Some(leg) => Ok(Way::Have(Box::new(fetch(&switchboard, call.id, leg).await?))),
                None => Ok(Way::Call(exchange.route_referred(&call, &refer).await?)),
            }
        }));
    }

    /// Attended transfer between two calls that both go through us: the far leg leaves for the call that its peer has asked for, and
    /// this one is over. An agent stays where it is, and so does a leg whose line is being recorded for this call.
    pub(super) async fn give(&mut self, asked_by: SideId, reply: oneshot::Sender<Given>) {
        if self.role_of(asked_by) != Some(Role::Near) || !self.bridge.may_give() {
            return debug!(call = %self.ledger.call.id, "a leg is not given away");
        }
        if self.far.as_ref().is_none_or(|far| far.recording.is_some()) {
            return;
        }
        self.bridge.give();
        self.act().await;
        let Some(side) = self.far.take() else { return };
        let (taken, is_taken) = oneshot::channel();
        match reply.send(Given { side, taken }) {
            Ok(()) => {
                let _ = is_taken.await;
                self.bridge.handle(Instant::now(), Input::End(EndReason::Transferred));
            }
            // The other call is gone meanwhile: all stays as it was.
            Err(given) => {
                self.far = Some(given.side);
                self.bridge.take_back();
            }
        }
    }

    /// INVITE with Replaces: whoever called is put where the leg is that they named.
    pub(super) async fn take_over(&mut self, mut request: TakeOver) {
        let role = self.role_of(request.place);
        let unrecorded = request.media.unrecorded.take();
        let stack = self.exchange.stack.clone();
        let recording = request.media.recording.clone();
        let id = SideId(request.leg);
        let mut side = Side::new(id, request.trunk, request.media, Some(request.description), stack);
        match role.filter(|_| self.is_steady()).map(|role| self.bridge.take_over(role)) {
            Some(Ok(())) => {
                side.answer().await;
                if !side.configure().await {
                    self.end = Some(EndReason::Internal);
                }
                side.line.record(!self.tape_paused);
                self.tapes.extend(recording);
                self.ledger.unrecorded(unrecorded);
                self.new = Some(side);
            }
            _ => side.hang_up(EndReason::Busy.sip_status()).await,
        }
    }

    pub(super) async fn routed(&mut self, way: Option<Way>) {
        self.routing = None;
        match (way, &mut self.target) {
            (Some(Way::Call(waves)), Some(target)) => {
                target.waves = Some(waves);
                self.dial().await;
            }
            (Some(Way::Have(side)), _) => {
                self.new = Some(*side);
                self.bridge.handle(Instant::now(), Input::Answered);
            }
            _ => self.not_dialled(EndReason::Unreachable),
        }
    }

    /// Places the new leg.
    async fn dial(&mut self) {
        // It is still looked for: `routed` comes back here.
        if self.routing.is_some() {
            return;
        }
        let waves = self.target.as_mut().and_then(|target| target.waves.take()).unwrap_or_default();
        match self.call_places(waves).await {
            Ok(side) => self.new = Some(side),
            Err(reason) => self.not_dialled(reason),
        }
    }

    /// Calls these places for a further side of the call.
    pub(super) async fn call_places(&self, waves: Waves) -> Result<Side, EndReason> {
        let first = waves.iter().flatten().next().ok_or(EndReason::Unreachable)?;
        let call = &self.ledger.call.id;
        let media = self.exchange.open(first.invite.path.remote, &first.trunk, None).map_err(|error| {
            warn!(%call, error, "no line for a further leg");
            EndReason::NoCapacity
        })?;
        let further = Further { call: call.clone(), waves, local: media.local };
        match self.switchboard.dial(further).await {
            Ok(Dialled { side, trunk }) => {
                Ok(Side::new(side, trunk, media, None, self.exchange.stack.clone()))
            }
            Err(PlaceError::TrunksFull) => Err(EndReason::NoCapacity),
            Err(error) => {
                warn!(%call, %error, "a further leg could not be placed");
                Err(EndReason::Internal)
            }
        }
    }

    fn not_dialled(&mut self, reason: EndReason) {
        self.bridge.handle(Instant::now(), Input::Ended(Role::New, reason));
    }

    pub(super) async fn new_rings(
        &mut self,
        now: Instant,
        body: Option<Body>,
        offered: Option<Box<media::sdp::Capabilities>>,
    ) {
        if let (Some(body), Some(new)) = (&body, &self.new) {
            new.listen_early(body, offered.as_deref()).await;
        }
        self.bridge.handle(now, Input::Ringing { sound: false });
    }

    pub(super) async fn new_answers(&mut self, now: Instant, body: Option<Body>) {
        let Some(new) = &mut self.new else { return };
        if let Err(error) = new.accept(body.as_ref()).await {
            warn!(call = %self.ledger.call.id, error, "the target's media cannot be used");
            new.hang_up(EndReason::NoCommonCodec.sip_status()).await;
            self.not_dialled(EndReason::NoCommonCodec);
            return self.forget_new(Role::New);
        }
        self.bridge.handle(now, Input::Answered);
    }

    /// The answer to an offer of ours in a 200.
    pub(super) async fn agree(&mut self, role: Role, body: Option<Body>) {
        if let (Some(side), Some(body)) = (self.side(role), body) {
            // What is no answer leaves that side silent, and who is there will hang up.
            let _ = side.accept(Some(&body)).await;
        }
    }

    /// … inside the call. A leg that cannot be heard any more is hung up: the near one with the call, another for itself, which its end then tells.
    pub(super) async fn reanswered(&mut self, now: Instant, role: Role, status: u16, body: Option<Body>) {
        let Some(side) = self.side(role) else { return };
        if !side.reanswer(status, body).await {
            return match role {
                Role::Near => self.bridge.handle(now, Input::End(EndReason::NoCommonCodec)),
                Role::Far | Role::New => side.hang_up(EndReason::NoCommonCodec.sip_status()).await,
            };
        }
        self.note_codec();
        self.note_hold(now, role);
    }

    /// The agent learns that the caller is gone, unless the call goes on with another in their place.
    pub(super) fn converse_unless_swapping(&mut self, now: Instant) {
        if !self.bridge.survives_near() {
            self.converse(now, crate::call::Input::Gone);
        }
    }

    pub(super) fn forget_new(&mut self, role: Role) {
        if role == Role::New {
            self.new = None;
        }
    }

    pub(super) async fn carry_out(&mut self, action: Action) {
        let now = Instant::now();
        let stack = self.exchange.stack.clone();
        match action {
            Action::Away => self.converse(now, crate::call::Input::Away),
            Action::Back { failed } => {
                let say = match &self.mind {
                    Some(mind) if failed => mind.persona.agent.transfer_failed.clone(),
                    _ => String::new(),
                };
                self.converse(now, crate::call::Input::Back { say });
            }
            Action::Refer => {
                if let Some(to) = self.target.as_ref().and_then(|target| target.refer_to.clone()) {
                    let _ = stack.refer(self.near.leg, to).await;
                }
            }
            Action::Dial => self.dial().await,
            Action::Ring(role) | Action::Comfort(role) => self.ring(role),
            Action::Quiet => self.quiet().await,
            Action::PassRinging { sound } => self.near.ring(sound).await,
            Action::AnswerNear => self.near.answer().await,
            Action::Join => self.join().await,
            Action::Overhear(role) => self.overhear(role).await,
            Action::Part => {
                let _ = self.near.line.unbridge().await;
            }
            Action::Promote(place) => self.promote(place).await,
            Action::Hand => {
                if let Some(far) = &self.far {
                    let _ = stack.refer_to_leg(self.near.leg, far.leg).await;
                }
            }
            Action::Tell(role, status) => {
                if let Some(leg) = self.side(role).map(|side| side.leg) {
                    let _ = stack.refer_progress(leg, status).await;
                }
            }
            Action::Note(note) => self.note(note),
            Action::End(reason) => {
                self.end_legs(reason).await;
                self.converse(now, crate::call::Input::Gone);
                self.end = Some(reason);
            }
        }
    }

    fn note(&mut self, note: Note) {
        let Some(to) = self.target.as_ref().map(|target| target.to.clone()) else { return };
        match note {
            Note::Transferred { bridged } => {
                self.ledger.call.transferred_to = Some(to.clone());
                if bridged {
                    self.ledger.joined(to.reveal(), Instant::now());
                }
                self.ledger.later(EventKind::Transferred { to, bridged });
            }
            Note::Failed(reason) => self.ledger.later(EventKind::TransferFailed { to, reason }),
        }
    }

    /// Music, where there is some; else the tone of the country.
    fn ring(&mut self, role: Role) {
        let Some(line) = self.side(role).map(|side| side.line.clone()) else { return };
        if let Some(music) = self.exchange.music.clone() {
            self.ringback = Some((role, tokio::spawn(music.play(line))));
            return;
        }
        let language = match &self.mind {
            Some(mind) => mind.persona.agent.language.clone(),
            None => String::from("en"),
        };
        self.ringback = Some((role, tokio::spawn(ringback::play(line, language))));
    }

    async fn quiet(&mut self) {
        let Some((role, task)) = self.ringback.take() else { return };
        task.abort();
        let _ = task.await;
        if let Some(side) = self.side(role) {
            let _ = side.line.hush().await;
        }
    }

    /// The new one, where there is no far leg yet.
    async fn join(&mut self) {
        let Some(other) = self.far.as_ref().or(self.new.as_ref()) else { return };
        if self.near.line.bridge(&other.line).await.is_err() {
            warn!(call = %self.ledger.call.id, "a line was gone before it could be joined");
        }
    }

    /// What the new leg sends before it answers goes to this one.
    async fn overhear(&mut self, role: Role) {
        let Some(line) = self.side(role).map(|side| side.line.clone()) else { return };
        if let Some(new) = &self.new
            && line.bridge(&new.line).await.is_err()
        {
            warn!(call = %self.ledger.call.id, "a line was gone before it could be joined");
        }
    }

    /// A leg has said anew what it wants to hear.
    pub(super) fn note_hold(&mut self, now: Instant, role: Role) {
        if let Some(holds) = self.side(role).map(|side| side.holds()) {
            self.bridge.handle(now, Input::Holds(role, holds));
        }
    }

    /// The new leg takes its place; what had it is hung up, and its line closed.
    async fn promote(&mut self, place: Role) {
        let Some(new) = self.new.take() else { return };
        let old = match place {
            Role::Far => self.far.replace(new),
            Role::Near => {
                let old = std::mem::replace(&mut self.near, new);
                self.note_codec();
                Some(old)
            }
            Role::New => None,
        };
        if let Some(mut old) = old {
            old.hang_up(EndReason::Transferred.sip_status()).await;
        }
        self.note_hold(Instant::now(), place);
    }

    pub(super) async fn end_legs(&mut self, reason: EndReason) {
        self.quiet().await;
        if let Some(routing) = self.routing.take() {
            routing.abort();
        }
        let status = reason.sip_status();
        self.near.hang_up(status).await;
        for side in self.far.iter_mut().chain(&mut self.new) {
            side.hang_up(status).await;
        }
        if let Some(third) = &mut self.third {
            third.side.hang_up(status).await;
            self.third_is_gone();
        }
    }
}
