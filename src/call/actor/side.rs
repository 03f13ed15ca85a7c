//! One leg of a call with its line: what was agreed with one peer, and the ways to agree anew.

use std::sync::Arc;

use media::net::Line;
use media::sdp::{self, LocalMedia, Negotiated};
use sip::net::Stack;
use sip::{Body, LegId, Reject};
use tokio::sync::mpsc;

use crate::call::switchboard::SideId;
use crate::store::Tape;

mod change;

/// A line with its two ends, before it belongs to a leg.
pub(in crate::call) struct Media {
    pub(in crate::call) line: Line,
    pub(in crate::call) events: mpsc::Receiver<media::Event>,
    pub(in crate::call) local: LocalMedia,
    pub(in crate::call) capabilities: sdp::Capabilities,
    /// `None` while the answer is still to come.
    pub(in crate::call) agreed: Option<Negotiated>,
    pub(in crate::call) recording: Option<Tape>,
    /// Why it is not recorded though it was to be.
    pub(in crate::call) unrecorded: Option<String>,
}

impl Media {
    /// What we offer.
    pub(in crate::call) fn offer(&self) -> Body {
        Body::sdp(sdp::offer(&self.capabilities, &self.local, sdp::Direction::SendRecv))
    }

    /// Our answer to `offer`, or our own offer where there is none.
    pub(in crate::call) fn describe(&mut self, offer: Option<&Body>) -> Result<Body, sdp::NegotiateError> {
        let Some(offer) = offer else { return Ok(self.offer()) };
        let (answer, agreed) = sdp::answer(&offer.bytes, &self.capabilities, &self.local)?;
        self.agreed = Some(agreed);
        Ok(Body::sdp(answer))
    }
}

pub(super) struct Side {
    pub(super) id: SideId,
    /// Which leg it is; may change until it is answered.
    pub(super) leg: LegId,
    /// The trunk or extension that it belongs to.
    pub(super) trunk: String,
    pub(super) line: Arc<Line>,
    pub(super) events: mpsc::Receiver<media::Event>,
    pub(super) recording: Option<Tape>,
    pub(super) agreed: Option<Negotiated>,
    /// What an inbound leg is answered with, until it is.
    pub(super) description: Option<Body>,
    /// The peer is gone: nothing is left to hang up.
    pub(super) gone: bool,
    local: LocalMedia,
    capabilities: sdp::Capabilities,
    /// The peer has asked for our offer; its answer is read with these.
    offered: Option<sdp::Capabilities>,
    stack: Stack,
}

impl Side {
    pub(super) fn new(
        id: SideId,
        trunk: String,
        media: Media,
        description: Option<Body>,
        stack: Stack,
    ) -> Self {
        Self {
            id,
            leg: id.0,
            trunk,
            line: Arc::new(media.line),
            events: media.events,
            recording: media.recording,
            agreed: media.agreed,
            description,
            gone: false,
            local: media.local,
            capabilities: media.capabilities,
            offered: None,
            stack,
        }
    }

    /// Of the places that were called for this side, this one has answered.
    pub(super) fn taken(
        &mut self,
        leg: LegId,
        trunk: String,
        capabilities: sdp::Capabilities,
        local: LocalMedia,
    ) {
        (self.leg, self.trunk, self.capabilities, self.local) = (leg, trunk, capabilities, local);
    }

    /// Lets media flow as agreed so far. False where the line is gone.
    pub(super) async fn configure(&self) -> bool {
        match &self.agreed {
            Some(agreed) => self.line.configure(agreed.clone()).await.is_ok(),
            None => true,
        }
    }

    /// Takes the peer's answer, unless there is one already; an error says what is wrong with it.
    pub(super) async fn accept(&mut self, body: Option<&Body>) -> Result<(), String> {
        if self.agreed.is_some() {
            return Ok(());
        }
        let body = body.ok_or("it does not say where its media goes")?;
        let agreed = sdp::accept(&body.bytes, &self.capabilities).map_err(|error| error.to_string())?;
        self.agreed = Some(agreed);
        if self.configure().await { Ok(()) } else { Err("the line is gone".into()) }
    }

    /// What the peer lets be heard before it answers. It may be another one that answers then.
    pub(super) async fn listen_early(&self, body: &Body, capabilities: Option<&sdp::Capabilities>) -> bool {
        match sdp::accept(&body.bytes, capabilities.unwrap_or(&self.capabilities)) {
            Ok(agreed) => self.line.configure(agreed).await.is_ok(),
            Err(_) => false,
        }
    }

    /// 200, where the leg waits for it.
    pub(super) async fn answer(&mut self) {
        if let Some(description) = self.description.take() {
            let _ = self.stack.answer(self.leg, description).await;
        }
    }

    /// 180, or 183 with our answer where there is something to be heard.
    pub(super) async fn ring(&self, sound: bool) {
        let body = self.description.clone().filter(|_| sound && self.agreed.is_some());
        let status = if body.is_some() { 183 } else { 180 };
        let _ = self.stack.ring(self.leg, status, body).await;
    }

    /// Ends the leg from our side: BYE, CANCEL or a refusal, whichever is right.
    pub(super) async fn hang_up(&mut self, status: u16) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        let _ = match self.description.take() {
            Some(_) => self.stack.reject(self.leg, Reject::new(status)).await,
            None => self.stack.hangup(self.leg, None).await,
        };
    }

    /// What its sound is encrypted with.
    pub(super) fn encryption(&self) -> Option<&'static str> {
        self.agreed.as_ref()?.srtp.as_ref().map(|keys| keys.suite.name())
    }

    /// Whether the peer wants to hear nothing for now (RFC 3264 §8.4).
    pub(super) fn holds(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| !agreed.direction.sends())
    }

    pub(super) fn codec(&self) -> Option<&'static str> {
        self.agreed.as_ref().map(|agreed| agreed.codec.name())
    }
}

/// The next thing that a line tells; never, where there is no line.
pub(super) async fn told(side: Option<&mut Side>) -> media::Event {
    match side {
        Some(side) => match side.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
