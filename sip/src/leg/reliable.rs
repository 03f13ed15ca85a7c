//! Provisional responses that arrive for certain: RFC 3262, both roles.
//!
//! ```text
//! we are called  18x with RSeq ─T1, 2*T1, 4*T1…─► again; PRACK ─► 200, and what had to wait goes out
//!                   └─64*T1 without PRACK─► 504
//! we call        18x with RSeq, the next in order ─► PRACK, Progress; any other is passed over
//! ```

use std::time::{Duration, Instant};

use super::{Leg, State, cause};
use crate::config::Path;
use crate::context::{Context, RELIABLE};
use crate::dialog::Dialog;
use crate::event::{Body, CauseKind, EndedBy};
use crate::message::{Head, Headers, Method, Request, Response, name};
use crate::timer::{LegTimer, Timer};
use crate::transaction::{Owner, ServerKey};

/// Early dialogs of one INVITE that are remembered. Whoever forks more often is no proxy.
const MOST_EARLY: usize = 8;

/// What the caller says of reliability, and where we stand with it.
#[derive(Debug, Default)]
pub(super) struct Reliable {
    supported: bool,
    required: bool,
    /// The INVITE brought an offer.
    offered: bool,
    cseq: u32,
    /// The first and the last RSeq that we gave; 0 before.
    first: u32,
    last: u32,
    waiting: Option<Waiting>,
    /// The caller has our answer: one of them brought it, and has its PRACK.
    answered: bool,
    /// Said by the program while a PRACK was awaited: one at a time (§3). Only the newest counts.
    next: Option<Response>,
    answer: Option<Body>,
}

/// A reliable response without PRACK.
#[derive(Debug)]
struct Waiting {
    response: Response,
    since: Instant,
    interval: Duration,
}

/// A dialog that a reliable response made, of an INVITE of ours that is not answered.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) dialog: Dialog,
    rseq: u32,
    /// Our offer has its answer.
    pub(super) answered: bool,
    pub(super) takes_update: bool,
}

impl Early {
    pub(super) fn is_with(&self, tag: &str) -> bool {
        self.dialog.remote_tag() == tag
    }
}

impl Reliable {
    pub(super) fn of(cx: &Context, request: &Request, head: &Head) -> Self {
        let has = |name| cx.config.reliable_provisional && request.headers.has_option(name, RELIABLE);
        Self {
            supported: has(name::SUPPORTED),
            required: has(name::REQUIRE),
            offered: !request.body.is_empty(),
            cseq: head.cseq.number,
            ..Self::default()
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// RFC 3311 §5.1: an UPDATE with an offer may follow.
    pub(super) fn may_offer(&self) -> bool {
        self.answered && self.waiting.is_none()
    }

    /// §3: all of them where the caller demands it. Else those that carry a session, for the caller hears early
    /// media only by them.
    fn concerns(&self, response: &Response) -> bool {
        self.required || (self.supported && self.offered && !response.body.is_empty())
    }
}

impl Leg {
    /// 18x of ours, reliably where that is wanted.
    pub(super) fn send_provisional(&mut self, now: Instant, cx: &mut Context, mut response: Response) {
        let State::Ringing { invite } = self.state else {
            return;
        };
        let reliable = &mut self.reliable;
        if !reliable.concerns(&response) {
            cx.respond(now, invite, response);
            return;
        }
        // §5: to an INVITE without offer the first reliable response would have to bring ours. The 200 does.
        if !reliable.offered {
            return;
        }
        if reliable.waiting.is_some() {
            reliable.next = Some(response);
            return;
        }
        if reliable.first == 0 {
            // §3: chosen by chance, below 2^31.
            reliable.first = 1 + (cx.random.number() % 1_000_000) as u32;
            reliable.last = reliable.first;
        } else {
            reliable.last += 1;
        }
        response.headers.push(name::REQUIRE, RELIABLE);
        response.headers.push(name::RSEQ, reliable.last);
        let t1 = cx.config.timers.t1;
        reliable.waiting = Some(Waiting { response: response.clone(), since: now, interval: t1 });
        cx.timers.set(Timer::Leg(self.id, LegTimer::Reliable), now + t1);
        cx.respond(now, invite, response);
    }

    /// §3: T1, doubled every time; after 64*T1 the call cannot come about.
    pub(super) fn repeat_provisional(&mut self, now: Instant, cx: &mut Context) {
        let (State::Ringing { invite }, Some(waiting)) = (self.state, &mut self.reliable.waiting) else {
            return;
        };
        let end = waiting.since + 64 * cx.config.timers.t1;
        if now >= end {
            cx.respond_status(now, invite, 504);
            self.theirs = None;
            self.end(cx, cause(EndedBy::Network, CauseKind::NoAck, Some(504), None));
            return self.finish(now, cx);
        }
        waiting.interval *= 2;
        let at = (now + waiting.interval).min(end);
        cx.timers.set(Timer::Leg(self.id, LegTimer::Reliable), at);
        cx.stats.retransmits_sent += 1;
        let response = waiting.response.clone();
        cx.respond(now, invite, response);
    }

    /// §3: no 2xx while a session description is not acknowledged. `Some`: the answer may go out now.
    pub(super) fn hold_answer(&mut self, cx: &mut Context, body: Body) -> Option<Body> {
        if self.reliable.waiting.as_ref().is_some_and(|waiting| !waiting.response.body.is_empty()) {
            self.reliable.answer = Some(body);
            return None;
        }
        // The final response stands for all before it.
        self.reliable.waiting = None;
        self.reliable.next = None;
        cx.timers.stop(Timer::Leg(self.id, LegTimer::Reliable));
        Some(body)
    }

    /// PRACK for a response of ours.
    pub(super) fn prack(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let reliable = &mut self.reliable;
        let rseq = rack(&request.headers).filter(|(_, cseq)| *cseq == reliable.cseq).map(|(rseq, _)| rseq);
        let Some(rseq) = rseq.filter(|rseq| (reliable.first..=reliable.last).contains(rseq) && *rseq > 0)
        else {
            return cx.respond_stateless(path, request, 481, None, &[]);
        };
        let tag = self.dialog.local_tag().to_owned();
        let id = cx.open_server(path, key, request, head, &tag, Some(self.id));
        let newest = if rseq == reliable.last { reliable.waiting.take() } else { None };
        if let Some(waiting) = &newest {
            reliable.answered |= reliable.offered && !waiting.response.body.is_empty();
            cx.timers.stop(Timer::Leg(self.id, LegTimer::Reliable));
        }
        if request.body.is_empty() {
            cx.respond_status(now, id, 200);
        } else {
            self.their_prack_offer(now, cx, id, request, head);
        }
        if newest.is_none() {
            return;
        }
        if let Some(body) = self.reliable.answer.take() {
            self.answer(now, cx, body);
        } else if let Some(response) = self.reliable.next.take() {
            self.send_provisional(now, cx, response);
        }
    }

    /// 18x to our INVITE. `false`: it is a copy, or out of order, and the program shall not hear it (§4).
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        cx: &mut Context,
        response: &Response,
        head: &Head,
    ) -> bool {
        if !response.headers.has_option(name::REQUIRE, RELIABLE) {
            return true;
        }
        let tag = head.to.tag().unwrap_or_default();
        let (Some(rseq), false) = (response.headers.seconds(name::RSEQ), tag.is_empty()) else {
            return true;
        };
        let known = self.early.iter().position(|early| early.dialog.remote_tag() == tag);
        let at = match known {
            Some(at) if self.early[at].rseq.checked_add(1) == Some(rseq) => at,
            Some(_) => return false,
            None if self.early.len() >= MOST_EARLY => return false,
            None => {
                let mut dialog = self.dialog.clone();
                dialog.confirm(response, head);
                dialog.local_cseq = head.cseq.number;
                self.early.push(Early { dialog, rseq, answered: false, takes_update: false });
                self.early.len() - 1
            }
        };
        let early = &mut self.early[at];
        early.rseq = rseq;
        early.answered |= self.offered && !response.body.is_empty();
        early.takes_update |= response.headers.has_option(name::ALLOW, Method::Update.as_str());
        let mut prack = early.dialog.request(Method::Prack);
        prack.headers.push(name::RACK, format!("{rseq} {} INVITE", head.cseq.number));
        if let Some(auth) = &mut self.auth {
            auth.authorize(&mut prack);
        }
        // Its answer changes nothing: without one the peer gives up by itself.
        let path = early.dialog.next_hop(&cx.flows);
        cx.send_request(now, path, prack, Owner::Nobody);
        true
    }

    /// The last CSeq that this branch of the INVITE has seen from us.
    pub(super) fn early_cseq(&self, tag: &str) -> u32 {
        let early = self.early.iter().find(|early| early.dialog.remote_tag() == tag);
        early.map_or(0, |early| early.dialog.local_cseq)
    }
}

/// `RAck: 776656 1 INVITE` (§7.2): RSeq and CSeq.
fn rack(headers: &Headers) -> Option<(u32, u32)> {
    let value = headers.get(name::RACK)?;
    let mut words = value.split_ascii_whitespace();
    let (rseq, cseq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("INVITE") && words.next().is_none()).then_some((rseq, cseq))
}
