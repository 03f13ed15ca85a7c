//! Calls that we place, until somebody has taken them: which places are being called, and what the others are told then.

use media::sdp::{self, LocalMedia};
use sip::{Body, Cause, CauseKind, EndedBy, LegId};
use tracing::warn;

use super::otherwise::Otherwise;
use super::{Attached, Desk, Dialled, Further, PlaceError, SideId, reason};
use crate::call::actor::{Command, Media, Signal};
use crate::call::hunt::{Hunt, Step, nobody_was_there};
use crate::call::route::{CALL_ID, Place, Waves};
use crate::domain::CallId;

/// A side of a call that nobody has taken yet.
pub(super) struct Prospect {
    pub(super) call: CallId,
    pub(super) hunt: Hunt<Place>,
    pub(super) calling: Vec<Calling>,
    local: LocalMedia,
}

/// A place that is being called.
pub(super) struct Calling {
    pub(super) leg: LegId,
    pub(super) trunk: String,
    pub(super) server: Option<usize>,
    pub(super) path: sip::Path,
    pub(super) local: LocalMedia,
    /// What it was offered: the trunk's own, with keys that nobody else was told.
    pub(super) capabilities: sdp::Capabilities,
    /// How it is called once more, should it refuse what it was offered.
    pub(super) otherwise: Option<Otherwise>,
}

impl Desk {
    /// Calls the places of a further side.
    pub(super) async fn dial(&mut self, further: Further) -> Result<Dialled, PlaceError> {
        let Further { call, waves, local } = further;
        if !self.live.contains_key(&call) {
            return Err(PlaceError::SetUp("the call is not up".into()));
        }
        let (hunt, first) = self.hunt(waves)?;
        let mut prospect = Prospect { call, hunt, calling: Vec::new(), local };
        self.call_places(&mut prospect, first).await;
        let (leg, trunk) = prospect.first()?;
        self.trunk_of.insert(SideId(leg), trunk.clone());
        self.attach(SideId(leg), prospect);
        Ok(Dialled { side: SideId(leg), trunk })
    }

    /// The places that there is room for, and the first of them.
    pub(super) fn hunt(&self, waves: Waves) -> Result<(Hunt<Place>, Vec<Place>), PlaceError> {
        let free = |place: &Place| !self.is_full(&place.trunk);
        let waves = waves.into_iter().map(|wave| wave.into_iter().filter(free).collect());
        let mut hunt = Hunt::new(waves.collect::<Vec<_>>());
        let first = hunt.begin().ok_or(PlaceError::TrunksFull)?;
        Ok((hunt, first))
    }

    /// Sends an INVITE to each. A stack that has stopped takes none.
    pub(super) async fn call_places(&mut self, prospect: &mut Prospect, places: Vec<Place>) {
        for place in places {
            let mut invite = place.invite;
            for (_, value) in &mut invite.headers {
                if value.contains(CALL_ID) {
                    *value = value.replace(CALL_ID, prospect.call.as_str());
                }
            }
            let (path, mut local) = (invite.path, prospect.local);
            if let Ok(ip) = self.exchange.told_ip(path.remote) {
                local.ip = ip;
            }
            let capabilities = self.exchange.capabilities(&place.trunk);
            let offer = sdp::offer(&capabilities, &local, sdp::Direction::SendRecv);
            let otherwise = Otherwise::of(&invite, &capabilities, &local);
            invite.body = Some(Body::sdp(offer));
            let Ok(leg) = self.exchange.stack.invite(invite).await else { return };
            prospect.hunt.is_calling(leg);
            let Place { trunk, server, .. } = place;
            prospect.calling.push(Calling { leg, trunk, server, path, local, capabilities, otherwise });
        }
    }

    /// Lets all legs of a prospect speak for one side of its call.
    pub(super) fn attach(&mut self, side: SideId, prospect: Prospect) {
        for leg in prospect.hunt.legs() {
            self.legs.insert(*leg, Attached { call: prospect.call.clone(), side, outbound: true });
        }
        self.prospects.insert(side, prospect);
    }

    /// Somebody rings: the call will not be placed again.
    pub(super) fn rang(&mut self, leg: LegId) {
        let Some(prospect) = self.legs.get(&leg).and_then(|of| self.prospects.get_mut(&of.side)) else {
            return;
        };
        prospect.hunt.rang();
        let calling = prospect.calling.iter().find(|calling| calling.leg == leg);
        if let Some((calling, server)) = calling.and_then(|calling| Some((calling, calling.server?))) {
            self.exchange.trunks.called(server, calling.path, true);
        }
    }

    /// What one of the places was offered that are being called.
    pub(super) fn offered_to(&self, leg: LegId) -> Option<Box<sdp::Capabilities>> {
        let prospect = self.prospects.get(&self.legs.get(&leg)?.side)?;
        let calling = prospect.calling.iter().find(|calling| calling.leg == leg)?;
        Some(Box::new(calling.capabilities.clone()))
    }

    /// Somebody has taken it: the others stop ringing.
    pub(super) async fn taken(&mut self, leg: LegId) {
        let Some(side) = self.legs.get(&leg).map(|of| of.side) else { return };
        let Some(mut prospect) = self.prospects.remove(&side) else { return };
        let winner = prospect.calling.iter().position(|calling| calling.leg == leg);
        self.stop(prospect.hunt.answered(leg)).await;
        if let Some(winner) = winner {
            let Calling { trunk, server, path, capabilities, local, .. } =
                prospect.calling.swap_remove(winner);
            if let Some(server) = server {
                self.exchange.trunks.called(server, path, true);
            }
            self.trunk_of.insert(side, trunk.clone());
            let capabilities = Box::new(capabilities);
            self.tell_of(leg, Signal::Taken { leg, trunk, capabilities, local }).await;
        }
    }

    /// A leg that we placed is over. True where that is not yet the end of its side, or where that has been told.
    pub(super) async fn goes_on_without(&mut self, leg: LegId, cause: &Cause) -> bool {
        let Some(side) = self.legs.get(&leg).map(|of| of.side) else { return false };
        let Some(mut prospect) = self.prospects.remove(&side) else { return false };
        if cause.by == EndedBy::Local && cause.kind != CauseKind::Timeout {
            // The call has given it up: nobody else is to be tried.
            let others = prospect.hunt.legs().iter().copied().filter(|other| *other != leg).collect();
            self.stop(others).await;
            return false;
        }
        if let Some(at) = prospect.calling.iter().position(|calling| calling.leg == leg) {
            let refused = prospect.calling.swap_remove(at);
            if let Some(server) = refused.server {
                self.exchange.trunks.called(server, refused.path, !nobody_was_there(cause));
            }
            if let Some(next) = self.call_otherwise(&mut prospect, refused, cause).await {
                self.legs.remove(&leg);
                self.attach(side, prospect);
                self.tell_of(next, Signal::Tried { leg: next }).await;
                return true;
            }
        }
        match prospect.hunt.ended(leg, cause.clone()) {
            Step::Wait => {
                self.legs.remove(&leg);
                self.prospects.insert(side, prospect);
                true
            }
            Step::Call(places) => {
                let call = prospect.call.clone();
                warn!(%call, status = cause.status, trunk = places[0].trunk, "nobody was there; the next is tried");
                self.call_places(&mut prospect, places).await;
                let Ok((next, trunk)) = prospect.first() else { return false };
                self.legs.remove(&leg);
                self.trunk_of.insert(side, trunk);
                self.attach(side, prospect);
                // A leg that is not answered yet is hung up by its own name.
                self.tell_of(next, Signal::Tried { leg: next }).await;
                true
            }
            Step::Over(worst, others) => {
                self.stop(others).await;
                self.legs.remove(&leg);
                self.trunk_of.remove(&side);
                let signal = Signal::Ended { reason: reason(&worst, true), status: worst.status };
                self.tell(&prospect.call, Command::Leg(side, signal)).await;
                true
            }
        }
    }

    async fn stop(&mut self, legs: Vec<LegId>) {
        for leg in legs {
            self.legs.remove(&leg);
            let _ = self.exchange.stack.hangup(leg, None).await;
        }
    }

    /// Whether a trunk carries as many calls as it may.
    pub(super) fn is_full(&self, trunk: &str) -> bool {
        let most = self.exchange.config.trunk(trunk).and_then(|trunk| trunk.max_calls);
        most.is_some_and(|most| self.trunk_of.values().filter(|of| *of == trunk).count() >= most)
    }
}

impl Prospect {
    /// Of a call that goes out on this line.
    pub(super) fn new(call: CallId, hunt: Hunt<Place>, media: &Media) -> Self {
        Self { call, hunt, calling: Vec::new(), local: media.local }
    }

    /// Of those that are being called.
    pub(super) fn first(&self) -> Result<(LegId, String), PlaceError> {
        let first =
            self.calling.first().ok_or_else(|| PlaceError::SetUp("the SIP stack has stopped".into()))?;
        Ok((first.leg, first.trunk.clone()))
    }
}
