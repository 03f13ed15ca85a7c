//! Transfers: REFER and its NOTIFYs in both directions (RFC 3515, RFC 3420), one of each at a time.
//!
//! ```text
//! we send them on   REFER ─2xx─► NOTIFY… ─final, or terminated─► over
//!                     └─refusal─► over
//! they send us on   REFER ─► the program: accept ─202─► NOTIFY 100 … ─final─► over
//!                                          └─refuse─► over
//! ```
//!
//! The call itself goes on beside it: who ends it, and when, is for the programs at both ends.

use std::time::{Duration, Instant};

use super::{Leg, State, put_body};
use crate::config::Path;
use crate::context::Context;
use crate::event::{Body, Event, ReferRequest};
use crate::message::{Head, Headers, Method, NameAddr, Request, Response, name, phrase};
use crate::replaces::Replaces;
use crate::timer::{LegTimer, Timer};
use crate::transaction::{ServerKey, TransactionId};

/// RFC 3420.
const SIPFRAG: &str = "message/sipfrag";
/// What a NOTIFY of ours says of the subscription's length: longer than any ringing.
const SUBSCRIBED: Duration = Duration::from_secs(300);

/// A REFER of theirs.
#[derive(Debug)]
pub(super) struct Referred {
    transaction: TransactionId,
    /// For the `Event` header: the second one and all later ones have an id (§2.4.6).
    event: String,
    accepted: bool,
}

impl Leg {
    /// The verb. `to` is the value of Refer-To.
    pub(crate) fn refer(&mut self, now: Instant, cx: &mut Context, to: String) {
        if self.ended {
            return;
        }
        if self.state != State::Established || self.referring {
            return self.refuse_own_refer(cx);
        }
        self.referring = true;
        // A callee that never answers is given up by its caller well before.
        let wait = cx.config.ring_timeout + 64 * cx.config.timers.t1;
        cx.timers.set(Timer::Leg(self.id, LegTimer::Refer), now + wait);
        let mut headers = Headers::new();
        headers.push(name::CONTACT, &self.contact);
        cx.capabilities(&mut headers);
        headers.push(name::REFER_TO, to);
        let mut by = self.dialog.local.clone();
        by.params.remove("tag");
        headers.push(name::REFERRED_BY, by);
        self.send(now, cx, Method::Refer, |request| request.headers.append(headers));
    }

    /// Not now: the program hears it as if the peer had said so.
    pub(crate) fn refuse_own_refer(&self, cx: &mut Context) {
        if !self.ended {
            cx.emit(Event::ReferProgress { leg: self.id, status: 491, over: true });
        }
    }

    pub(super) fn refer_response(&mut self, cx: &mut Context, response: &Response) {
        if self.referring && !self.ended {
            self.refer_progress_told(cx, response.status, response.status >= 300);
        }
    }

    pub(super) fn notify_response(&mut self, response: &Response) {
        if response.status == 481 {
            self.referred.take_if(|referred| referred.accepted);
        }
    }

    /// Nobody has told the outcome.
    pub(super) fn refer_timeout(&mut self, cx: &mut Context) {
        if self.referring {
            self.refer_progress_told(cx, 408, true);
        }
    }

    fn refer_progress_told(&mut self, cx: &mut Context, status: u16, over: bool) {
        if over {
            self.referring = false;
            cx.timers.stop(Timer::Leg(self.id, LegTimer::Refer));
        }
        cx.emit(Event::ReferProgress { leg: self.id, status, over });
    }

    /// NOTIFY: how the one that we sent on fares. It may come before the answer to our REFER.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let event = request.headers.get(name::EVENT).unwrap_or_default();
        if !event.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("refer") {
            return cx.respond_stateless(path, request, 489, None, &[(name::ALLOW_EVENTS, "refer".into())]);
        }
        if !self.referring {
            return cx.respond_stateless(path, request, 481, None, &[]);
        }
        let state = request.headers.get(name::SUBSCRIPTION_STATE).unwrap_or_default();
        let terminated =
            state.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("terminated");
        let Some(status) = fragment(request).or(terminated.then_some(408)) else {
            return cx.respond_stateless(path, request, 400, Some("Bad Fragment"), &[]);
        };
        let tag = self.dialog.local_tag().to_owned();
        let id = cx.open_server(path, key, request, head, &tag, Some(self.id));
        cx.respond_status(now, id, 200);
        self.refer_progress_told(cx, status, terminated || status >= 200);
    }

    /// REFER: they want us to call somebody else.
    pub(super) fn their_refer(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let open = self.referred.as_ref().is_some_and(|referred| {
            referred.accepted
                || cx.transactions.waiting(referred.transaction.number(), &Method::Refer).is_some()
        });
        if open || self.state != State::Established {
            return cx.respond_stateless(path, request, 491, None, &[]);
        }
        // §2.4.2: exactly one.
        let targets = request.headers.name_addrs(name::REFER_TO).unwrap_or_default();
        let [target] = &targets[..] else {
            return cx.respond_stateless(path, request, 400, Some("Bad Refer-To"), &[]);
        };
        let (to, replaces) = Replaces::out_of(target);
        let tag = self.dialog.local_tag().to_owned();
        let transaction = cx.open_server(path, key, request, head, &tag, Some(self.id));
        cx.timers.set(Timer::GiveUp(transaction), now + 64 * cx.config.timers.t1);
        self.refers += 1;
        let event =
            if self.refers == 1 { "refer".to_owned() } else { format!("refer;id={}", head.cseq.number) };
        self.referred = Some(Referred { transaction, event, accepted: false });
        let by = request.headers.name_addrs(name::REFERRED_BY).ok();
        let refer = ReferRequest {
            to,
            replaces,
            referred_by: by.and_then(|all: Vec<NameAddr>| all.into_iter().next()),
        };
        cx.emit(Event::Refer { leg: self.id, refer: Box::new(refer) });
    }

    /// 202, and at once the NOTIFY that tells the subscription's state (§2.4.4).
    pub(crate) fn accept_refer(&mut self, now: Instant, cx: &mut Context) {
        let Some(referred) = self.referred.as_mut().filter(|referred| !referred.accepted) else {
            return;
        };
        let Some(mut response) = cx.response_for(referred.transaction, 202) else {
            self.referred = None;
            return;
        };
        referred.accepted = true;
        let transaction = referred.transaction;
        response.headers.push(name::CONTACT, &self.contact);
        cx.respond(now, transaction, response);
        self.refer_progress(now, cx, 100);
    }

    /// 603, unless `status` is another failure.
    pub(crate) fn refuse_refer(&mut self, now: Instant, cx: &mut Context, status: u16) {
        if let Some(referred) = self.referred.take_if(|referred| !referred.accepted) {
            let status = if (400..=699).contains(&status) { status } else { 603 };
            cx.respond_status(now, referred.transaction, status);
        }
    }

    /// NOTIFY with a status line. A final one ends the subscription.
    pub(crate) fn refer_progress(&mut self, now: Instant, cx: &mut Context, status: u16) {
        let Some(referred) = self.referred.as_ref().filter(|referred| referred.accepted) else {
            return;
        };
        if self.ended || self.state != State::Established || !(100..=699).contains(&status) {
            return;
        }
        let over = status >= 200;
        let mut headers = Headers::new();
        headers.push(name::CONTACT, &self.contact);
        headers.push(name::EVENT, &referred.event);
        let state = if over {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={}", SUBSCRIBED.as_secs())
        };
        headers.push(name::SUBSCRIPTION_STATE, state);
        let line = format!("SIP/2.0 {status} {}\r\n", phrase(status));
        let body = Body { content_type: format!("{SIPFRAG};version=2.0"), bytes: line.into_bytes() };
        self.send(now, cx, Method::Notify, |request| {
            request.headers.append(headers);
            put_body(&mut request.headers, &mut request.body, body);
        });
        if over {
            self.referred = None;
        }
    }
}

/// The status of a status line, which is all that is read of a fragment.
fn fragment(notify: &Request) -> Option<u16> {
    let kind = notify.headers.get(name::CONTENT_TYPE)?;
    if !kind.split(';').next()?.trim().eq_ignore_ascii_case(SIPFRAG) {
        return None;
    }
    let text = String::from_utf8_lossy(&notify.body);
    let status = text.strip_prefix("SIP/2.0 ")?.split([' ', '\r', '\n']).next()?.parse().ok()?;
    (100..=699).contains(&status).then_some(status)
}
