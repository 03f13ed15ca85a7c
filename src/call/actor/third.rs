//! A third who attends the call of others: somebody of the house who listens, whispers to our side of it, or speaks with both.
//!
//! | mode | hears | is heard by |
//! |---|---|---|
//! | `listen` | both sides, the agent too | nobody |
//! | `whisper` | the same | the far leg: who was called, or called in, by us; never the near one |
//! | `barge` | the same | both sides. An agent who has the call is silent meanwhile, and has it again afterwards |
//!
//! A third has a leg and a line of its own, and no part in the [`Bridge`](crate::call::bridge::Bridge): the call goes on as if it were not there, and ends it.

use std::time::Instant;

use media::Tap;
use media::net::Attendance;
use sip::Body;
use tracing::warn;

use super::{Running, Side, Signal};
use super::{Supervise, Unattended};
use crate::call::Input;
use crate::call::switchboard::SideId;
use crate::domain::{EndReason, EventKind, Private, Supervision, SupervisionMode};

pub(super) struct Third {
    pub(super) side: Side,
    to: Private<String>,
    mode: SupervisionMode,
    is_up: bool,
    /// With which leg of the call each of our ears and mouths is.
    near: Option<(SideId, Attendance)>,
    far: Option<(SideId, Attendance)>,
    /// What was last arranged.
    arranged: Option<(SupervisionMode, SideId, Option<SideId>)>,
    /// The agent is silent because of us.
    has_floor: bool,
}

impl Third {
    fn event(&self, status: Supervision) -> EventKind {
        EventKind::Supervision { to: self.to.clone(), mode: self.mode, status }
    }
}

impl Running {
    /// Has somebody attend the call, or changes how they do.
    pub(super) async fn supervise(&mut self, order: Supervise) -> Result<(), Unattended> {
        if self.answered_at.is_none() {
            return Err(Unattended::NotUp);
        }
        if order.mode == SupervisionMode::Whisper && !self.bridge.is_joined() {
            return Err(Unattended::NoEar);
        }
        match (order.to, &mut self.third) {
            (None, None) => Err(Unattended::Nobody),
            (Some(_), Some(_)) => Err(Unattended::Taken),
            (None, Some(third)) => {
                if third.mode != order.mode {
                    third.mode = order.mode;
                    let event = third.event(if third.is_up { Supervision::Up } else { Supervision::Ringing });
                    self.ledger.later(event);
                }
                Ok(())
            }
            (Some((to, waves)), None) => {
                let side = self.call_places(waves).await.map_err(|_| Unattended::NoLine)?;
                let third = Third {
                    side,
                    to,
                    mode: order.mode,
                    is_up: false,
                    near: None,
                    far: None,
                    arranged: None,
                    has_floor: false,
                };
                self.ledger.later(third.event(Supervision::Ringing));
                self.third = Some(third);
                Ok(())
            }
        }
    }

    /// They leave.
    pub(super) async fn unsupervise(&mut self) -> Result<(), Unattended> {
        let third = self.third.as_mut().ok_or(Unattended::Nobody)?;
        third.side.hang_up(EndReason::ApiHungUp.sip_status()).await;
        self.third_is_gone();
        Ok(())
    }

    /// Whether this is the third's.
    pub(super) fn is_third(&self, id: SideId) -> bool {
        self.third.as_ref().is_some_and(|third| third.side.id == id)
    }

    pub(super) async fn of_third(&mut self, signal: Signal) {
        let stack = self.exchange.stack.clone();
        let Some(third) = &mut self.third else { return };
        match signal {
            Signal::Tried { leg } => third.side.leg = leg,
            Signal::Taken { leg, trunk, capabilities, local } => {
                third.side.taken(leg, trunk, *capabilities, local);
            }
            Signal::Answered { body } | Signal::Established { body } => self.third_answers(body).await,
            Signal::Reoffer { body } => {
                third.side.reoffer(body).await;
            }
            Signal::Reanswer { status, body } => {
                if !third.side.reanswer(status, body).await {
                    third.side.hang_up(EndReason::NoCommonCodec.sip_status()).await;
                    self.third_is_gone();
                }
            }
            Signal::Refer(_) => {
                // A place beside a call is nobody's to give away.
                let _ = stack.refuse_refer(third.side.leg, 603).await;
            }
            Signal::Ended { .. } => {
                third.side.gone = true;
                self.third_is_gone();
            }
            // Told by the line as any other key of theirs, once; it goes nowhere, however it came.
            Signal::Digit(digit, duration) => {
                let _ = third.side.line.key_by_info(digit, duration).await;
            }
            Signal::Ringing { .. } | Signal::Progress { .. } => {}
        }
    }

    async fn third_answers(&mut self, body: Option<Body>) {
        let Some(third) = &mut self.third else { return };
        if third.is_up {
            return;
        }
        if let Err(error) = third.side.accept(body.as_ref()).await {
            warn!(call = %self.ledger.call.id, error, "the media of who was to listen cannot be used");
            third.side.hang_up(EndReason::NoCommonCodec.sip_status()).await;
            return self.third_is_gone();
        }
        third.is_up = true;
        let event = third.event(Supervision::Up);
        self.ledger.later(event);
    }

    /// Lets the third hear and be heard as its mode and the call now stand. Cheap where nothing has changed. True where the agent is to
    /// be asked what it does about it.
    pub(super) async fn arrange(&mut self) -> bool {
        let far = self.far.as_ref().filter(|_| self.bridge.is_joined());
        let Some(third) = self.third.as_mut().filter(|third| third.is_up) else { return false };
        let floor = third.mode == SupervisionMode::Barge && self.bridge.is_alone();
        let wanted = (third.mode, self.near.id, far.map(|far| far.id));
        if third.arranged != Some(wanted) {
            let (to_near, to_far) = match third.mode {
                SupervisionMode::Listen => (Tap::Nothing, Tap::Nothing),
                SupervisionMode::Whisper => (Tap::Nothing, Tap::Voice),
                SupervisionMode::Barge => (Tap::Voice, Tap::Voice),
            };
            let near = third.near.take();
            third.near = meet(&third.side, near, Some(&self.near), to_near, Tap::Both).await;
            let before = third.far.take();
            third.far = meet(&third.side, before, far, to_far, Tap::Nothing).await;
            third.arranged = Some(wanted);
        }
        let changes = floor != third.has_floor;
        if changes {
            third.has_floor = floor;
            self.give_floor(floor);
        }
        changes
    }

    /// The agent is silent while the third speaks with the caller.
    fn give_floor(&mut self, to_third: bool) {
        let input = match to_third {
            true => Input::Away,
            false if self.bridge.is_alone() => Input::Back { say: String::new() },
            false => return,
        };
        self.converse(Instant::now(), input);
    }

    pub(super) fn third_is_gone(&mut self) {
        let Some(third) = self.third.take() else { return };
        self.ledger.later(third.event(if third.is_up { Supervision::Over } else { Supervision::Failed }));
        if third.has_floor {
            self.give_floor(false);
        }
    }
}

/// Has the third's line attend a leg's; as before where it does already.
async fn meet(
    third: &Side,
    before: Option<(SideId, Attendance)>,
    leg: Option<&Side>,
    gives: Tap,
    takes: Tap,
) -> Option<(SideId, Attendance)> {
    let leg = leg?;
    match before {
        Some((id, attendance)) if id == leg.id => {
            attendance.set(gives, takes);
            Some((id, attendance))
        }
        _ => match third.line.attend(&leg.line, gives, takes).await {
            Ok(attendance) => Some((leg.id, attendance)),
            Err(error) => {
                warn!(%error, "who attends a call does not hear it");
                None
            }
        },
    }
}
