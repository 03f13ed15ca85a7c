//! We are called: RFC 3261 §13.3, §9.2, §15.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::reliable::Reliable;
use super::session::SessionTimer;
use super::{Leg, Repeating, State, TheirOffer, body_of, cause, put_body, reason_of};
use crate::config::Path;
use crate::context::Context;
use crate::dialog::Dialog;
use crate::event::{Body, CauseKind, EndedBy, Event, IncomingCall, LegId, Reject};
use crate::message::{Head, Method, Request, name};
use crate::timer::{LegTimer, Timer};
use crate::transaction::{ServerKey, TransactionId};

/// §13.3.1.1.
const PROVISIONAL_EVERY: Duration = Duration::from_secs(60);

impl Leg {
    /// A new INVITE, and what the program is told of it. `None`: it was refused here.
    pub(crate) fn incoming(
        now: Instant,
        cx: &mut Context,
        id: LegId,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) -> Option<(Self, IncomingCall)> {
        let tag = cx.random.token();
        let Ok(dialog) = Dialog::uas(request, head, &tag, path) else {
            cx.stats.malformed += 1;
            cx.respond_stateless(path, request, 400, Some("Bad Record-Route"), &[]);
            return None;
        };
        let session = SessionTimer::new(cx);
        if let Some(least) = session.too_short(&request.headers) {
            let least = least.as_secs().to_string();
            cx.respond_stateless(path, request, 422, None, &[(name::MIN_SE, least)]);
            return None;
        }
        let transaction = cx.open_server(path, key, request, head, &tag, Some(id));
        // §17.2.1 gives the program 200 ms before 100 must be sent. At once is simpler, and stops Timer A sooner.
        cx.respond_status(now, transaction, 100);
        // §13.3.1: the caller may say how long it waits.
        let ring = cx.config.ring_timeout;
        let patience = request.headers.seconds(name::EXPIRES).map(|s| Duration::from_secs(s.max(1).into()));
        let patience = patience.filter(|patience| *patience < ring);
        cx.timers.set(Timer::Leg(id, LegTimer::Ring), now + patience.unwrap_or(ring));
        let contact_user = request.uri.user().unwrap_or_else(|| cx.config.contact_user.clone());
        let contact = cx.contact(path, &contact_user);
        cx.stats.calls_in += 1;
        let asserted = request.headers.name_addrs(name::P_ASSERTED_IDENTITY).ok();
        let call = IncomingCall {
            path,
            request_uri: request.uri.clone(),
            to: head.to.clone(),
            from: head.from.clone(),
            account: None,
            asserted: asserted.and_then(|all| all.into_iter().next()),
            call_id: head.call_id.clone(),
            body: body_of(&request.headers, &request.body),
            registration: None,
            replaces: None,
            headers: request.headers.to_texts(),
        };
        let mut leg = Self::new(id, State::Ringing { invite: transaction }, dialog, contact, session, false);
        if patience.is_some() {
            leg.lapse = 487;
        }
        leg.reliable = Reliable::of(cx, request, head);
        leg.session.learn_methods(&request.headers);
        leg.theirs = Some(TheirOffer {
            transaction,
            method: Method::Invite,
            cseq: head.cseq.number,
            has_body: !request.body.is_empty(),
            headers: request.headers.clone(),
        });
        Some((leg, call))
    }

    pub(crate) fn ring(&mut self, now: Instant, cx: &mut Context, status: u16, body: Option<Body>) {
        let State::Ringing { invite } = self.state else {
            return;
        };
        let status = if (101..=199).contains(&status) { status } else { 180 };
        let Some(mut response) = cx.response_for(invite, status) else {
            return;
        };
        response.headers.push(name::CONTACT, &self.contact);
        cx.capabilities(&mut response.headers);
        if let Some(body) = body {
            put_body(&mut response.headers, &mut response.body, body);
        }
        self.provisional = Some(response.clone());
        self.send_provisional(now, cx, response);
        cx.timers.set(Timer::Leg(self.id, LegTimer::KeepRinging), now + PROVISIONAL_EVERY);
    }

    pub(super) fn keep_ringing(&mut self, now: Instant, cx: &mut Context) {
        if let (State::Ringing { .. }, Some(response)) = (self.state, self.provisional.clone()) {
            self.send_provisional(now, cx, response);
            cx.timers.set(Timer::Leg(self.id, LegTimer::KeepRinging), now + PROVISIONAL_EVERY);
        }
    }

    pub(crate) fn answer(&mut self, now: Instant, cx: &mut Context, body: Body) {
        if self.answer_due.is_some() && !self.ended {
            self.session.describe(&body);
            return self.send_due_ack(cx, Some(body));
        }
        let State::Ringing { .. } = self.state else {
            return;
        };
        self.refuse_early(now, cx);
        let Some(body) = self.hold_answer(cx, body) else {
            return;
        };
        let Some(offer) = self.theirs.take() else {
            return;
        };
        cx.timers.stop_leg(self.id);
        self.provisional = None;
        self.state = State::Accepted;
        self.resume_glare(now, cx);
        self.accept(now, cx, offer, body);
    }

    /// 200 with a body, to the first INVITE, a re-INVITE or an UPDATE.
    pub(super) fn accept(&mut self, now: Instant, cx: &mut Context, offer: TheirOffer, body: Body) {
        let Some(mut response) = cx.response_for(offer.transaction, 200) else {
            return;
        };
        response.headers.push(name::CONTACT, &self.contact);
        cx.capabilities(&mut response.headers);
        self.agree_session(now, cx, &offer.headers, &mut response.headers);
        self.session.describe(&body);
        put_body(&mut response.headers, &mut response.body, body);
        self.dialog.refresh_target(&offer.headers);
        let path = cx.transactions.server(offer.transaction).map(|server| server.path());
        let (Some(bytes), Some(path)) = (cx.respond(now, offer.transaction, response), path) else {
            return;
        };
        if offer.method == Method::Invite {
            self.repeat_until_ack(now, cx, offer.cseq, path, bytes, !offer.has_body);
        }
    }

    /// §13.3.1.4: over any transport, because a proxy on the way may be on another.
    fn repeat_until_ack(
        &mut self,
        now: Instant,
        cx: &mut Context,
        cseq: u32,
        path: Path,
        bytes: Bytes,
        offered: bool,
    ) {
        let t1 = cx.config.timers.t1;
        self.repeating = Some(Repeating { cseq, path, bytes, interval: t1, offered });
        cx.timers.set(Timer::Leg(self.id, LegTimer::Repeat2xx), now + t1);
        cx.timers.set(Timer::Leg(self.id, LegTimer::NoAck), now + 64 * t1);
    }

    pub(super) fn repeat_2xx(&mut self, now: Instant, cx: &mut Context) {
        let t2 = cx.config.timers.t2;
        if let Some(repeating) = &mut self.repeating {
            repeating.interval = (repeating.interval * 2).min(t2);
            let (path, bytes, interval) = (repeating.path, repeating.bytes.clone(), repeating.interval);
            cx.timers.set(Timer::Leg(self.id, LegTimer::Repeat2xx), now + interval);
            cx.stats.retransmits_sent += 1;
            cx.transmit(path, bytes);
        }
    }

    /// §13.3.1.4: the dialog is confirmed, and should be ended with BYE.
    pub(super) fn no_ack(&mut self, now: Instant, cx: &mut Context) {
        if self.repeating.is_some() {
            self.end(cx, cause(EndedBy::Network, CauseKind::NoAck, None, None));
            self.bye(now, cx, None);
        }
    }

    /// An ACK inside the dialog.
    pub(crate) fn ack(&mut self, now: Instant, cx: &mut Context, request: &Request, head: &Head) {
        if self.repeating.as_ref().is_some_and(|repeating| repeating.cseq == head.cseq.number) {
            self.acknowledged(now, cx, body_of(&request.headers, &request.body));
        }
    }

    /// The caller has our 2xx: its ACK says so, or a re-INVITE that came although the ACK was lost.
    pub(super) fn acknowledged(&mut self, now: Instant, cx: &mut Context, body: Option<Body>) {
        let Some(repeating) = self.repeating.take() else {
            return;
        };
        cx.timers.stop(Timer::Leg(self.id, LegTimer::Repeat2xx));
        cx.timers.stop(Timer::Leg(self.id, LegTimer::NoAck));
        if self.state == State::Accepted {
            self.state = State::Established;
            if let Some(reason) = self.bye_after_ack.take() {
                return self.bye(now, cx, reason.map(|reason| reason.to_string()));
            }
            cx.emit(Event::Established { leg: self.id, body });
        } else if repeating.offered && self.state == State::Established {
            cx.emit(Event::Reanswer { leg: self.id, status: 200, body });
        }
    }

    pub(crate) fn reject(&mut self, now: Instant, cx: &mut Context, reject: Reject) {
        let State::Ringing { invite } = self.state else {
            return;
        };
        let status = if (300..=699).contains(&reject.status) { reject.status } else { 500 };
        let Some(mut response) = cx.response_for(invite, status) else {
            return;
        };
        if let Some(reason) = reject.reason {
            response.reason = reason;
        }
        if let Some(after) = reject.retry_after {
            response.headers.push(name::RETRY_AFTER, after.as_secs().max(1));
        }
        if let Some(warning) = reject.warning {
            let (host, _) = cx.sent_by(self.dialog.path);
            response.headers.push(name::WARNING, format!("399 {host} {}", crate::message::quote(&warning)));
        }
        self.theirs = None;
        let reason = response.reason.clone();
        cx.respond(now, invite, response);
        self.end(cx, cause(EndedBy::Local, CauseKind::Rejected, Some(status), Some(reason)));
        self.finish(now, cx);
    }

    /// §9.2: CANCEL for the INVITE of this transaction. Its own 200 is sent already.
    pub(crate) fn cancelled(
        &mut self,
        now: Instant,
        cx: &mut Context,
        invite: TransactionId,
        cancel: &Request,
    ) {
        match self.state {
            State::Ringing { invite: ringing } if ringing == invite => {
                self.theirs = None;
                cx.respond_status(now, invite, 487);
                let reason = reason_of(&cancel.headers);
                self.end(cx, cause(EndedBy::Remote, CauseKind::Cancel, Some(487), reason));
                self.finish(now, cx);
            }
            _ if self.theirs.as_ref().is_some_and(|offer| offer.transaction == invite) => {
                self.theirs = None;
                cx.respond_status(now, invite, 487);
            }
            // A final response is out: CANCEL has no effect.
            _ => {}
        }
    }

    /// BYE from a caller that has no answer yet (§15: allowed on an early dialog).
    pub(super) fn bye_while_ringing(&mut self, now: Instant, cx: &mut Context) {
        if let State::Ringing { invite } = self.state {
            self.theirs = None;
            cx.respond_status(now, invite, 487);
        }
    }
}
