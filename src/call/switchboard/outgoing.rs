//! Calls that we place, until somebody has taken them: which places are being called, and what the others are told then.

use media::sdp::{self, LocalMedia};
use sip::{Body, Cause, LegId};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Desk, PlaceError, Placement, local_ip_towards, new_call, reason};
use crate::call::actor::Command;
use crate::call::hunt::{Hunt, Step, nobody_was_there};
use crate::call::route::{CALL_ID, Place};
use crate::domain::{CallId, Direction};

/// A call that nobody has taken yet.
pub(super) struct Prospect {
    hunt: Hunt<Place>,
    calling: Vec<Calling>,
    capabilities: sdp::Capabilities,
    local: LocalMedia,
}

/// A place that is being called.
struct Calling {
    leg: LegId,
    trunk: String,
    server: Option<usize>,
    path: sip::Path,
    local: LocalMedia,
}

impl Desk {
    pub(super) async fn place(&mut self, placement: Placement) -> Result<CallId, PlaceError> {
        let exchange = self.exchange.clone();
        if self.is_stopping {
            return Err(PlaceError::Stopping);
        }
        if self.calls.len() >= exchange.config.limits.max_calls {
            return Err(PlaceError::NoCapacity(exchange.config.limits.max_calls));
        }
        let persona = exchange
            .personas
            .get(&placement.agent)
            .ok_or_else(|| PlaceError::SetUp(format!("there is no agent {:?}", placement.agent)))?;
        let free = |place: &Place| !self.is_full(&place.trunk);
        let waves = placement.waves.into_iter().map(|wave| wave.into_iter().filter(free).collect());
        let mut hunt = Hunt::new(waves.collect::<Vec<_>>());
        let first = hunt.begin().ok_or(PlaceError::TrunksFull)?;
        let id = self.new_id();
        let media = self.open(&id, first[0].invite.path.remote).map_err(PlaceError::SetUp)?;
        let trunk = first[0].trunk.clone();
        let mut prospect = Prospect {
            hunt,
            calling: Vec::new(),
            capabilities: media.capabilities.clone(),
            local: media.local,
        };
        self.call_places(&id, &mut prospect, first).await;
        let Some(leg) = prospect.hunt.legs().first().copied() else {
            return Err(PlaceError::SetUp("the SIP stack has stopped".into()));
        };
        let (from, to) = (placement.from.reveal().clone(), placement.to.reveal().clone());
        let call = new_call(&id, Direction::Outbound, from, to, &placement.agent, &trunk);
        info!(call = %id, from = %call.from, to = %call.to, trunk, "a call goes out");
        self.spawn(leg, call, persona.clone(), media);
        self.trunk_of.insert(id.clone(), trunk);
        if let Some(actor) = self.legs.get(&leg).cloned() {
            self.attach(&id, &prospect, &actor);
        }
        self.prospects.insert(id.clone(), prospect);
        Ok(id)
    }

    /// Sends an INVITE to each. A stack that has stopped takes none.
    async fn call_places(&mut self, id: &CallId, prospect: &mut Prospect, places: Vec<Place>) {
        for place in places {
            let mut invite = place.invite;
            for (_, value) in &mut invite.headers {
                if value.contains(CALL_ID) {
                    *value = value.replace(CALL_ID, id.as_str());
                }
            }
            let (path, mut local) = (invite.path, prospect.local);
            let config = &self.exchange.config;
            if config.media.advertise.or(config.sip.advertise).is_none()
                && let Ok(ip) = local_ip_towards(path.remote)
            {
                local.ip = ip;
            }
            let offer = sdp::offer(&prospect.capabilities, &local, sdp::Direction::SendRecv);
            invite.body = Some(Body::sdp(offer));
            let Ok(leg) = self.exchange.stack.invite(invite).await else { return };
            prospect.hunt.is_calling(leg);
            prospect.calling.push(Calling { leg, trunk: place.trunk, server: place.server, path, local });
        }
    }

    /// Lets all legs of a prospect speak to its actor.
    fn attach(&mut self, id: &CallId, prospect: &Prospect, actor: &mpsc::Sender<Command>) {
        for leg in prospect.hunt.legs() {
            self.legs.insert(*leg, actor.clone());
            self.outbound.insert(*leg, id.clone());
        }
    }

    /// Somebody rings: the call will not be placed again.
    pub(super) fn rang(&mut self, leg: LegId) {
        let Some(prospect) = self.outbound.get(&leg).and_then(|id| self.prospects.get_mut(id)) else {
            return;
        };
        prospect.hunt.rang();
        let calling = prospect.calling.iter().find(|calling| calling.leg == leg);
        if let Some((calling, server)) = calling.and_then(|calling| Some((calling, calling.server?))) {
            self.exchange.trunks.called(server, calling.path, true);
        }
    }

    /// Somebody has taken it: the others stop ringing.
    pub(super) async fn taken(&mut self, leg: LegId) {
        let Some(id) = self.outbound.get(&leg).cloned() else { return };
        let Some(mut prospect) = self.prospects.remove(&id) else { return };
        let winner = prospect.calling.iter().position(|calling| calling.leg == leg);
        for other in prospect.hunt.answered(leg) {
            self.detach(other);
            let _ = self.exchange.stack.hangup(other, None).await;
        }
        if let Some(winner) = winner {
            let Calling { trunk, server, path, local, .. } = prospect.calling.swap_remove(winner);
            if let Some(server) = server {
                self.exchange.trunks.called(server, path, true);
            }
            self.leg_of.insert(id.clone(), leg);
            self.trunk_of.insert(id, trunk.clone());
            self.tell(leg, Command::Taken { leg, trunk, local }).await;
        }
    }

    /// A leg that we placed is over. True where that is not yet the end of its call.
    pub(super) async fn goes_on_without(&mut self, leg: LegId, cause: &Cause) -> bool {
        let Some(id) = self.outbound.get(&leg).cloned() else { return false };
        let Some(mut prospect) = self.prospects.remove(&id) else { return false };
        if let Some(at) = prospect.calling.iter().position(|calling| calling.leg == leg) {
            let Calling { server, path, .. } = prospect.calling.swap_remove(at);
            if let Some(server) = server {
                self.exchange.trunks.called(server, path, !nobody_was_there(cause));
            }
        }
        let goes_on = match prospect.hunt.ended(leg, cause.clone()) {
            Step::Wait => {
                self.detach(leg);
                true
            }
            Step::Call(places) => {
                warn!(call = %id, status = cause.status, trunk = places[0].trunk, "nobody was there; the next is tried");
                self.call_places(&id, &mut prospect, places).await;
                let actor = self.legs.get(&leg).cloned();
                if let (Some(actor), Some(next)) = (actor, prospect.hunt.legs().first()) {
                    self.trunk_of.insert(id.clone(), prospect.calling[0].trunk.clone());
                    self.leg_of.insert(id.clone(), *next);
                    self.attach(&id, &prospect, &actor);
                    self.detach(leg);
                    true
                } else {
                    false
                }
            }
            Step::Over(worst, others) => {
                for other in others {
                    self.detach(other);
                    let _ = self.exchange.stack.hangup(other, None).await;
                }
                let command = Command::Ended { reason: reason(&worst, true), status: worst.status };
                self.tell(leg, command).await;
                return true;
            }
        };
        if goes_on {
            self.prospects.insert(id, prospect);
        }
        goes_on
    }

    /// The call is over for its actor: whatever still rings for it stops.
    pub(super) async fn give_up(&mut self, id: &CallId) {
        let Some(prospect) = self.prospects.remove(id) else { return };
        for leg in prospect.hunt.legs() {
            self.detach(*leg);
            let _ = self.exchange.stack.hangup(*leg, None).await;
        }
    }

    fn detach(&mut self, leg: LegId) {
        self.legs.remove(&leg);
        self.outbound.remove(&leg);
    }

    /// Whether a trunk carries as many calls as it may.
    pub(super) fn is_full(&self, trunk: &str) -> bool {
        let most = self.exchange.config.trunk(trunk).and_then(|trunk| trunk.max_calls);
        most.is_some_and(|most| self.trunk_of.values().filter(|of| *of == trunk).count() >= most)
    }
}
