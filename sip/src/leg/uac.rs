//! We call: RFC 3261 §13.2, §9.1, and the forks of §13.2.2.4.

use std::time::Instant;

use super::redirect::Redirects;
use super::session::SessionTimer;
use super::{AnswerDue, Cancel, Leg, SentAck, State, body_of, cause, put_body};
use crate::auth::Session;
use crate::compose::{loose, put_headers};
use crate::context::Context;
use crate::dialog::Dialog;
use crate::event::{Body, CauseKind, EndedBy, Event, Invite, LegId};
use crate::message::{Head, Method, NameAddr, Request, Response, contact, name};
use crate::timer::{LegTimer, Timer};
use crate::transaction::{Owner, TransactionId};

/// Forks of one INVITE that are acknowledged. Whoever answers more often than this is no fork.
const MOST_FORKS: usize = 8;

impl Leg {
    pub(crate) fn call(now: Instant, cx: &mut Context, id: LegId, invite: Invite) -> Self {
        let redirects = Redirects::new(&invite.to, invite.redirects);
        let tag = cx.random.token();
        let mut from = invite.from;
        from.params.remove("tag");
        let contact_user = from.uri.user().unwrap_or_else(|| cx.config.contact_user.clone());
        let contact = cx.contact(invite.path, &contact_user);
        let mut dialog = Dialog {
            call_id: cx.random.long_token(),
            local: from.with_tag(&tag),
            remote: NameAddr::from(invite.to.clone()),
            local_cseq: 0,
            remote_cseq: None,
            target: invite.to,
            routes: invite.route.into_iter().map(loose).map(NameAddr::from).collect(),
            path: invite.path,
        };
        let mut request = dialog.request(Method::Invite);
        request.headers.push(name::CONTACT, &contact);
        let offered = invite.body.is_some();
        if offered {
            cx.capabilities_with_reliable(&mut request.headers);
        } else {
            cx.capabilities(&mut request.headers);
        }
        let mut session = SessionTimer::new(cx);
        session.ask(&mut request.headers);
        put_headers(&mut request.headers, invite.headers);
        if let Some(body) = invite.body {
            session.describe(&body);
            put_body(&mut request.headers, &mut request.body, body);
        }
        let transaction = cx.send_request(now, invite.path, request, Owner::Leg(id));
        cx.timers.set(Timer::Leg(id, LegTimer::Ring), now + cx.config.ring_timeout);
        cx.stats.calls_out += 1;
        let state = State::Calling { invite: transaction, cancel: Cancel::No };
        let mut leg = Self::new(id, state, dialog, contact, session, true);
        leg.offered = offered;
        leg.redirects = redirects;
        leg.auth = invite.credentials.map(Session::new);
        leg
    }

    pub(super) fn invite_response(
        &mut self,
        now: Instant,
        cx: &mut Context,
        id: TransactionId,
        cancel: Cancel,
        response: &Response,
        head: &Head,
    ) {
        match response.status {
            ..=199 => {
                let new = self.acknowledge_provisional(now, cx, response, head);
                if cancel == Cancel::Wanted {
                    let reason = self.cancel_reason.take();
                    self.send_cancel(now, cx, id, reason);
                } else if new && response.status > 100 && !self.ended {
                    let body = body_of(&response.headers, &response.body);
                    cx.emit(Event::Progress { leg: self.id, status: response.status, body });
                }
            }
            200..=299 => {
                cx.timers.stop_leg(self.id);
                self.resume_glare(now, cx);
                if let Some(auth) = &mut self.auth {
                    auth.accepted(response);
                }
                self.dialog.confirm(response, head);
                let tag = self.dialog.remote_tag();
                self.dialog.local_cseq = self.dialog.local_cseq.max(self.early_cseq(tag));
                let early = self.early.iter().find(|early| early.is_with(self.dialog.remote_tag()));
                self.dialog.remote_cseq = early.and_then(|early| early.dialog.remote_cseq);
                let due = AnswerDue { invite: id, cseq: head.cseq.number };
                self.answer_due = Some(due);
                // §13.2.1: an offer in the 2xx is answered in the ACK, which so waits for the program.
                if self.offered || self.ended || response.body.is_empty() {
                    self.send_due_ack(cx, None);
                }
                self.state = State::Established;
                if self.ended {
                    // §9.1, §15: the answer crossed our CANCEL. The call exists, so it ends with BYE.
                    return self.bye(now, cx, None);
                }
                self.session_answered(now, cx, &response.headers);
                let body = body_of(&response.headers, &response.body);
                cx.emit(Event::Answered { leg: self.id, status: response.status, body });
            }
            401 | 407 if !self.ended && self.answer_challenge(cx, response) => self.invite_again(now, cx, id),
            // RFC 4028 §7.3.
            422 if !self.ended && self.session.raise(response) => self.invite_again(now, cx, id),
            300..=399 if self.moved(now, cx, id, response) => {}
            // §8.1.3.4: failures of one place are no reason not to try the next; 6xx is the word of all.
            400..=599 if self.call_next(now, cx) => {}
            status => {
                let reason = super::reason_of(&response.headers).unwrap_or_else(|| response.reason.clone());
                self.end(cx, cause(EndedBy::Remote, CauseKind::Rejected, Some(status), Some(reason)));
                self.finish(now, cx);
            }
        }
    }

    /// The ACK that our call owes, with the answer where the offer was theirs.
    pub(super) fn send_due_ack(&mut self, cx: &mut Context, body: Option<Body>) {
        if let Some(due) = self.answer_due.take() {
            let dialog = self.dialog.clone();
            self.acknowledge(cx, &dialog, Some(due.invite), due.cseq, body);
        }
    }

    /// §22.2: the same INVITE as the peer wants it; same Call-ID, From and To, CSeq one higher.
    fn invite_again(&mut self, now: Instant, cx: &mut Context, id: TransactionId) {
        let Some(client) = cx.transactions.client(id) else {
            return;
        };
        let sent = client.request().clone();
        let mut request = Request { headers: crate::message::Headers::new(), ..sent.clone() };
        for (header, value) in sent.headers.iter() {
            if ![name::VIA, name::MAX_FORWARDS, name::USER_AGENT].contains(&header) {
                request.headers.push_raw(header, value.clone());
            }
        }
        self.session.ask(&mut request.headers);
        self.dialog.local_cseq += 1;
        request.headers.set(name::CSEQ, format!("{} INVITE", self.dialog.local_cseq));
        if let Some(auth) = &mut self.auth {
            auth.authorize(&mut request);
        }
        let invite = cx.send_request(now, self.dialog.path, request, Owner::Leg(self.id));
        self.state = State::Calling { invite, cancel: Cancel::No };
    }

    /// §13.2.2.4: ACK goes outside any transaction, along the dialog's route, with the INVITE's CSeq number.
    pub(super) fn acknowledge(
        &mut self,
        cx: &mut Context,
        dialog: &Dialog,
        invite: Option<TransactionId>,
        cseq: u32,
        body: Option<Body>,
    ) {
        let mut ack = dialog.request_with(Method::Ack, cseq);
        if let Some(body) = body {
            put_body(&mut ack.headers, &mut ack.body, body);
        }
        // §22.1: the ACK carries the credentials of its INVITE.
        if let Some(client) = invite.and_then(|id| cx.transactions.client(id)) {
            ack.headers.copy_from(&client.request().headers, name::AUTHORIZATION);
            ack.headers.copy_from(&client.request().headers, name::PROXY_AUTHORIZATION);
        }
        let path = dialog.next_hop(&cx.flows);
        let bytes = cx.send_ack(path, ack);
        if self.acks.len() >= MOST_FORKS {
            self.acks.remove(0);
        }
        let tag = dialog.remote_tag().to_owned();
        self.acks.push(SentAck { cseq, tag, path, bytes });
    }

    /// A 2xx to an INVITE that was answered before: a copy, or another branch of a fork.
    pub(super) fn repeated_2xx(&mut self, now: Instant, cx: &mut Context, response: &Response, head: &Head) {
        let tag = head.to.tag().unwrap_or_default();
        if let Some(ack) = self.acks.iter().find(|ack| ack.cseq == head.cseq.number && ack.tag == tag) {
            cx.stats.retransmits_sent += 1;
            let (path, bytes) = (ack.path, ack.bytes.clone());
            return cx.transmit(path, bytes);
        }
        if self.answer_due.is_some() && tag == self.dialog.remote_tag() {
            return;
        }
        if self.acks.iter().filter(|ack| ack.cseq == head.cseq.number).count() >= MOST_FORKS {
            return;
        }
        // §13.2.2.4: one call is enough. The other is acknowledged, and ended.
        let mut fork = self.dialog.clone();
        fork.confirm(response, head);
        fork.local_cseq = head.cseq.number.max(self.early_cseq(tag));
        self.acknowledge(cx, &fork, None, head.cseq.number, None);
        let bye = fork.request(Method::Bye);
        let path = fork.next_hop(&cx.flows);
        cx.send_request(now, path, bye, Owner::Nobody);
    }

    pub(super) fn cancel(&mut self, now: Instant, cx: &mut Context, reason: Option<String>) {
        let State::Calling { invite, cancel: Cancel::No } = self.state else {
            return;
        };
        cx.timers.stop(Timer::Leg(self.id, LegTimer::Ring));
        if cx.transactions.client(invite).is_some_and(|client| client.is_proceeding()) {
            self.send_cancel(now, cx, invite, reason);
        } else {
            self.cancel_reason = reason;
            self.state = State::Calling { invite, cancel: Cancel::Wanted };
        }
    }

    fn send_cancel(&mut self, now: Instant, cx: &mut Context, invite: TransactionId, reason: Option<String>) {
        cx.send_cancel(now, invite, reason);
        self.state = State::Calling { invite, cancel: Cancel::Sent };
        cx.timers.set(Timer::Leg(self.id, LegTimer::Cancel), now + 64 * cx.config.timers.t1);
    }

    /// §9.1: after 64*T1 without a final response the INVITE counts as cancelled.
    pub(super) fn cancel_timeout(&mut self, now: Instant, cx: &mut Context) {
        if let State::Calling { invite, .. } = self.state {
            cx.forget_client(invite);
            self.finish(now, cx);
        }
    }

    /// The final response to our re-INVITE (§14.1).
    pub(super) fn reoffer_response(
        &mut self,
        now: Instant,
        cx: &mut Context,
        response: &Response,
        head: &Head,
    ) {
        let accepted = (200..300).contains(&response.status);
        if accepted {
            if contact(&response.headers).is_ok() {
                self.dialog.refresh_target(&response.headers);
            }
            let dialog = self.dialog.clone();
            self.acknowledge(cx, &dialog, None, head.cseq.number, None);
        }
        if matches!(self.state, State::Closing | State::Gone) {
            return;
        }
        match response.status {
            408 | 481 => return self.dialog_gone(now, cx, response.status),
            491 if self.ours.is_some() => return self.glare(now, cx),
            _ => {}
        }
        if accepted {
            self.session_answered(now, cx, &response.headers);
        }
        if let Some(ours) = self.ours.take() {
            let body = if accepted { body_of(&response.headers, &response.body) } else { None };
            if accepted {
                self.session.describe(&ours.body);
            }
            // A refresh is no affair of the program, unless the peer used it to say something new.
            if ours.refresh && body.is_none() {
                if !accepted {
                    self.refresh_later(now, cx);
                }
                return;
            }
            cx.emit(Event::Reanswer { leg: self.id, status: response.status, body });
        }
    }
}
