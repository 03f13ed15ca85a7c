//! Offers before the call is answered: UPDATE in an early dialog, both ways (RFC 3311 §5), and the offer that a PRACK brings
//! (RFC 3262 §5).
//!
//! One offer follows the answer of the other (RFC 3264 §4). Before the call is answered that answer can only have come in a
//! reliable 18x, so both sides must know of one that was acknowledged; else, and while another offer is open, the answer is
//! 491 to whom we owe nothing, and 500 with Retry-After to whom we owe an answer (RFC 3311 §5.2).

use std::time::Instant;

use super::{Cancel, Leg, OurOffer, State, TheirOffer, body_of, put_body};
use crate::config::Path;
use crate::context::Context;
use crate::dialog::Dialog;
use crate::event::{Body, Event};
use crate::message::{Head, Headers, Method, NameAddr, Request, Response, name};
use crate::timer::Timer;
use crate::transaction::{ServerKey, TransactionId};

impl Leg {
    /// The dialog with this peer: while our call rings, each branch of a fork has its own.
    pub(super) fn branch(&mut self, tag: Option<&str>) -> &mut Dialog {
        let early = match self.state {
            State::Calling { .. } => {
                self.early.iter_mut().find(|early| tag == Some(early.dialog.remote_tag()))
            }
            _ => None,
        };
        early.map_or(&mut self.dialog, |early| &mut early.dialog)
    }

    /// Was this request of ours sent in a dialog whose end is not the end of the call?
    pub(super) fn is_early(&self, branch: Option<&str>) -> bool {
        let is_unanswered =
            matches!(self.state, State::Calling { .. } | State::Redirecting | State::Ringing { .. });
        is_unanswered || branch.is_some_and(|tag| tag != self.dialog.remote_tag())
    }

    /// A request on a branch of our call, which rings there.
    pub(super) fn early_request(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let tag = head.from.tag().unwrap_or_default();
        let found = self.early.iter_mut().find(|early| early.is_with(tag));
        let Some(early) = found.filter(|_| !self.ended && request.method == Method::Update) else {
            return cx.respond_stateless(path, request, 481, None, &[]);
        };
        if early.dialog.remote_cseq.is_some_and(|last| head.cseq.number < last) {
            return cx.respond_stateless(path, request, 500, Some("CSeq Too Low"), &[]);
        }
        early.dialog.remote_cseq = Some(head.cseq.number);
        early.dialog.path = path;
        if !request.body.is_empty() {
            let answered = early.answered;
            return match self.early_refusal(cx, answered) {
                Some(status) => refuse(cx, path, request, status),
                None => self.take_early_offer(now, cx, path, key, request, head),
            };
        }
        early.dialog.refresh_target(&request.headers);
        let tag = self.dialog.local_tag().to_owned();
        let transaction = cx.open_server(path, key, request, head, &tag, Some(self.id));
        if let Some(mut response) = cx.response_for(transaction, 200) {
            response.headers.push(name::CONTACT, &self.contact);
            cx.capabilities(&mut response.headers);
            cx.respond(now, transaction, response);
        }
    }

    /// Why an offer of theirs cannot be taken now. `is_answered`: the INVITE's offer has its answer.
    pub(super) fn early_refusal(&self, cx: &Context, is_answered: bool) -> Option<u16> {
        let is_sent = self.ours.as_ref().is_some_and(|ours| ours.transaction.is_some());
        if is_sent || (self.outbound && !is_answered) {
            return Some(491);
        }
        // One that the program left without answer is over with its transaction.
        let open =
            self.early_theirs.as_ref().map(|theirs| cx.transactions.server(theirs.transaction).is_some());
        (open == Some(true) || !is_answered).then_some(500)
    }

    pub(super) fn take_early_offer(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let tag = self.dialog.local_tag().to_owned();
        let transaction = cx.open_server(path, key, request, head, &tag, Some(self.id));
        self.keep_early_offer(now, cx, transaction, request, head);
    }

    fn keep_early_offer(
        &mut self,
        now: Instant,
        cx: &mut Context,
        transaction: TransactionId,
        request: &Request,
        head: &Head,
    ) {
        // By then its sender has given up (Timer F).
        cx.timers.set(Timer::GiveUp(transaction), now + 64 * cx.config.timers.t1);
        self.early_theirs = Some(TheirOffer {
            transaction,
            method: request.method.clone(),
            cseq: head.cseq.number,
            has_body: true,
            headers: request.headers.clone(),
        });
        cx.emit(Event::Reoffer { leg: self.id, body: body_of(&request.headers, &request.body) });
    }

    /// RFC 3262 §5: the PRACK has done its work already, and waits for the answer to its offer.
    pub(super) fn their_prack_offer(
        &mut self,
        now: Instant,
        cx: &mut Context,
        transaction: TransactionId,
        request: &Request,
        head: &Head,
    ) {
        match self.early_refusal(cx, self.reliable.is_answered()) {
            Some(status) => {
                if let Some(mut response) = cx.response_for(transaction, status) {
                    if status == 500 {
                        response.headers.push(name::RETRY_AFTER, cx.random.number() % 11);
                    }
                    cx.respond(now, transaction, response);
                }
            }
            None => self.keep_early_offer(now, cx, transaction, request, head),
        }
    }

    /// The 200 to the UPDATE or PRACK.
    pub(super) fn accept_early(&mut self, now: Instant, cx: &mut Context, offer: TheirOffer, body: Body) {
        let Some(mut response) = cx.response_for(offer.transaction, 200) else {
            return;
        };
        if offer.method == Method::Update {
            response.headers.push(name::CONTACT, &self.contact);
            cx.capabilities(&mut response.headers);
            let peer = offer.headers.get(name::FROM).and_then(|from| from.parse::<NameAddr>().ok());
            let tag = peer.as_ref().and_then(NameAddr::tag);
            if !self.is_early(tag) || tag == Some(self.branch(tag).remote_tag()) {
                self.branch(tag).refresh_target(&offer.headers);
            }
        }
        self.session.describe(&body);
        put_body(&mut response.headers, &mut response.body, body);
        cx.respond(now, offer.transaction, response);
    }

    /// The call is answered while an offer of theirs waits: the answer goes first, and they may ask again.
    pub(super) fn refuse_early(&mut self, now: Instant, cx: &mut Context) {
        if let Some(offer) = self.early_theirs.take()
            && let Some(mut response) = cx.response_for(offer.transaction, 500)
        {
            response.headers.push(name::RETRY_AFTER, cx.random.number() % 11);
            cx.respond(now, offer.transaction, response);
        }
    }

    /// UPDATE of ours.
    pub(super) fn early_reoffer(&mut self, now: Instant, cx: &mut Context, body: Body) {
        if self.ours.is_some() || self.early_theirs.is_some() || self.early_way().is_none() {
            return cx.emit(Event::Reanswer { leg: self.id, status: 491, body: None });
        }
        self.ours = Some(OurOffer { body, transaction: None, refresh: false });
        self.send_early_offer(now, cx);
    }

    /// Where an UPDATE with an offer may go: to the caller, or to the branch of our call that has answered last.
    fn early_way(&self) -> Option<Option<String>> {
        match self.state {
            State::Ringing { .. } if self.reliable.may_offer() && self.session.takes_update() => Some(None),
            State::Calling { cancel: Cancel::No, .. } => {
                let early = self.early.iter().rev().find(|early| early.answered && early.takes_update)?;
                Some(Some(early.dialog.remote_tag().to_owned()))
            }
            _ => None,
        }
    }

    pub(super) fn send_early_offer(&mut self, now: Instant, cx: &mut Context) {
        let (Some(branch), Some(ours)) = (self.early_way(), &self.ours) else {
            self.ours = None;
            return cx.emit(Event::Reanswer { leg: self.id, status: 491, body: None });
        };
        let body = ours.body.clone();
        let mut headers = Headers::new();
        headers.push(name::CONTACT, &self.contact);
        cx.capabilities(&mut headers);
        let mut request = self.branch(branch.as_deref()).request(Method::Update);
        request.headers.append(headers);
        put_body(&mut request.headers, &mut request.body, body);
        let id = self.send_again(now, cx, request, branch);
        if let Some(ours) = &mut self.ours {
            ours.transaction = Some(id);
        }
    }

    /// The final response to an UPDATE that brought an offer. `false`: that was another.
    pub(super) fn early_answered(
        &mut self,
        now: Instant,
        cx: &mut Context,
        id: TransactionId,
        branch: Option<&str>,
        response: &Response,
    ) -> bool {
        if self.ended || self.ours.as_ref().is_none_or(|ours| ours.transaction != Some(id)) {
            return false;
        }
        if response.status == 491 {
            self.glare(now, cx);
            return true;
        }
        let accepted = (200..300).contains(&response.status);
        if let Some(ours) = self.ours.take().filter(|_| accepted) {
            self.session.describe(&ours.body);
            if branch.is_none_or(|tag| tag == self.branch(branch).remote_tag()) {
                self.branch(branch).refresh_target(&response.headers);
            }
        }
        let body = accepted.then(|| body_of(&response.headers, &response.body)).flatten();
        cx.emit(Event::Reanswer { leg: self.id, status: response.status, body });
        true
    }

    /// An UPDATE of ours that found nobody. The call has its own timers, and goes on.
    pub(super) fn early_undelivered(&mut self, cx: &mut Context, id: TransactionId, status: u16) {
        if !self.ended && self.ours.as_ref().is_some_and(|ours| ours.transaction == Some(id)) {
            self.ours = None;
            cx.emit(Event::Reanswer { leg: self.id, status, body: None });
        }
    }
}

/// RFC 3311 §5.2.
pub(super) fn refuse(cx: &mut Context, path: Path, request: &Request, status: u16) {
    let wait = (name::RETRY_AFTER, (cx.random.number() % 11).to_string());
    let extra = if status == 500 { std::slice::from_ref(&wait) } else { &[] };
    cx.respond_stateless(path, request, status, None, extra);
}
