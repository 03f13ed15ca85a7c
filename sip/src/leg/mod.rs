//! A leg: one call between us and one peer, from the first INVITE to the last answer.
//!
//! One file per role and verb, as methods of [`Leg`]: `uac` (we call), `uas` (we are called), `modify` (requests
//! inside the dialog), `reliable` (18x with PRACK), `early` (offers before the answer), `redirect` (3xx), `refer` (transfers), `session` (how long it lives unrefreshed). A leg owns its dialog and knows its transactions by id. `Event::Ended` goes out exactly
//! once, when the outcome is certain for the program; what manners still demand (the BYE's answer, the ACK of a
//! 2xx that crossed our CANCEL) goes on behind it, and then the leg is gone.
//!
//! ```text
//! we call        Calling ─2xx─► Established ─BYE─► Closing ─► gone
//!                   └─CANCEL, 3xx–6xx, B─► gone
//! we are called  Ringing ─2xx─► Accepted ─ACK─► Established
//!                   └─3xx–6xx, CANCEL─► gone
//! ```

mod early;
mod modify;
mod redirect;
mod refer;
mod reliable;
mod session;
mod uac;
mod uas;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::Session;
use crate::config::Path;
use crate::context::Context;
use crate::dialog::Dialog;
use crate::event::{Body, Cause, CauseKind, EndedBy, Event, LegId, ReasonHeader};
use crate::message::{Head, Headers, Method, NameAddr, Request, Response, name};
use crate::replaces::Replaces;
use crate::timer::LegTimer;
use crate::transaction::{Owner, TransactionId};

use redirect::Redirects;
use refer::Referred;
use reliable::{Early, Reliable};
use session::SessionTimer;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Our INVITE has no final response.
    Calling {
        invite: TransactionId,
        cancel: Cancel,
    },
    /// A 3xx has ended our INVITE, and the way to the next place is looked for.
    Redirecting,
    /// Their INVITE has no final response.
    Ringing {
        invite: TransactionId,
    },
    /// Our 2xx has no ACK.
    Accepted,
    Established,
    /// The program is told; a BYE of ours waits for its answer.
    Closing,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cancel {
    No,
    /// §9.1: CANCEL may not go out before a provisional response came in.
    Wanted,
    Sent,
}

/// A request of ours in a transaction of its own. Kept for a challenge: it then goes out again.
#[derive(Debug)]
struct Pending {
    id: TransactionId,
    request: Request,
    /// The peer's tag, where it went to one branch of a call of ours that rang.
    branch: Option<String>,
}

/// A 2xx to INVITE that is repeated until its ACK comes (§13.3.1.4).
#[derive(Debug)]
struct Repeating {
    cseq: u32,
    path: Path,
    bytes: Bytes,
    interval: Duration,
    /// The offer was ours, so the answer is in the ACK.
    offered: bool,
}

/// An ACK of ours, to be repeated for every copy of its 2xx (§13.2.2.4).
#[derive(Debug)]
struct SentAck {
    cseq: u32,
    tag: String,
    path: Path,
    bytes: Bytes,
}

/// The ACK of our call that the program has to put its answer into.
#[derive(Debug)]
struct AnswerDue {
    invite: TransactionId,
    cseq: u32,
}

/// re-INVITE or UPDATE of theirs that the program has not answered.
#[derive(Debug)]
struct TheirOffer {
    transaction: TransactionId,
    method: Method,
    cseq: u32,
    has_body: bool,
    /// Taken as the new target when we agree.
    headers: Headers,
}

/// re-INVITE of ours.
#[derive(Debug)]
struct OurOffer {
    body: Body,
    /// `None` while it waits out a glare.
    transaction: Option<TransactionId>,
    /// It says only what was said before (RFC 4028): the program has not asked for it.
    refresh: bool,
}

#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    state: State,
    dialog: Dialog,
    contact: NameAddr,
    outbound: bool,
    ended: bool,
    auth: Option<Session>,
    pending: Vec<Pending>,
    repeating: Option<Repeating>,
    acks: Vec<SentAck>,
    /// Our INVITE brought an offer.
    offered: bool,
    answer_due: Option<AnswerDue>,
    /// For a CANCEL that may not go out yet.
    cancel_reason: Option<String>,
    /// What a caller is told whom nobody answers in time.
    lapse: u16,
    theirs: Option<TheirOffer>,
    /// UPDATE or PRACK of theirs with an offer, while the INVITE has no final response.
    early_theirs: Option<TheirOffer>,
    ours: Option<OurOffer>,
    session: SessionTimer,
    reliable: Reliable,
    early: Vec<Early>,
    redirects: Redirects,
    /// Our REFER is not over.
    referring: bool,
    referred: Option<Referred>,
    /// REFERs of theirs so far.
    refers: u32,
    /// The last provisional response, to be said again every minute.
    provisional: Option<Response>,
    /// §15: a UAS may not say BYE before the ACK.
    bye_after_ack: Option<Option<ReasonHeader>>,
    /// Keys that wait for the one before to be answered.
    keys: VecDeque<(char, Duration)>,
    /// The peer takes keys only in the plain form.
    keys_plain: bool,
}

impl Leg {
    fn new(
        id: LegId,
        state: State,
        dialog: Dialog,
        contact: NameAddr,
        session: SessionTimer,
        outbound: bool,
    ) -> Self {
        Self {
            id,
            state,
            dialog,
            contact,
            outbound,
            ended: false,
            auth: None,
            pending: Vec::new(),
            repeating: None,
            acks: Vec::new(),
            offered: false,
            answer_due: None,
            cancel_reason: None,
            lapse: 480,
            theirs: None,
            early_theirs: None,
            ours: None,
            session,
            reliable: Reliable::default(),
            early: Vec::new(),
            redirects: Redirects::default(),
            referring: false,
            referred: None,
            refers: 0,
            provisional: None,
            bye_after_ack: None,
            keys: VecDeque::new(),
            keys_plain: false,
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// By what messages inside the dialog find this leg.
    pub(crate) fn dialog_key(&self) -> (String, String) {
        (self.dialog.call_id.clone(), self.dialog.local_tag().to_owned())
    }

    /// May another call take the place of this one (RFC 3891 §3)? The status to refuse it with, if not.
    pub(crate) fn may_be_replaced(&self, early_only: bool) -> Result<(), u16> {
        match self.state {
            _ if self.ended => Err(603),
            State::Accepted | State::Established if early_only => Err(486),
            State::Accepted | State::Established => Ok(()),
            // An early dialog that the far end began is not to be taken over.
            _ => Err(481),
        }
    }

    /// This call as a Refer-To that takes its place; `None` when it is not up.
    pub(crate) fn as_refer_to(&self) -> Option<String> {
        let replaces = Replaces {
            call_id: self.dialog.call_id.clone(),
            to_tag: self.dialog.remote_tag().to_owned(),
            from_tag: self.dialog.local_tag().to_owned(),
            early_only: false,
        };
        (self.state == State::Established).then(|| replaces.refer_to(&self.dialog.target))
    }

    /// Does the peer's tag fit? A dialog without one yet fits none; while we call, each branch that rings reliably has one.
    pub(crate) fn is_peer(&self, tag: Option<&str>) -> bool {
        let tag = tag.unwrap_or_default();
        match self.state {
            State::Calling { .. } => self.early.iter().any(|early| early.is_with(tag)),
            State::Redirecting => false,
            _ => self.dialog.remote_tag() == tag,
        }
    }

    /// Ends the call from our side: BYE, CANCEL or a refusal, whatever fits the state.
    pub(crate) fn hangup(&mut self, now: Instant, cx: &mut Context, reason: Option<ReasonHeader>) {
        if self.ended {
            return;
        }
        let text = reason.as_ref().map(ToString::to_string);
        match self.state {
            State::Calling { .. } => {
                self.cancel(now, cx, text);
                self.end(cx, cause(EndedBy::Local, CauseKind::Cancel, None, None));
            }
            State::Redirecting => {
                self.end(cx, cause(EndedBy::Local, CauseKind::Cancel, None, None));
                self.finish(now, cx);
            }
            State::Ringing { invite } => {
                if let Some(mut response) = cx.response_for(invite, 603) {
                    if let Some(text) = text {
                        response.headers.push(name::REASON, text);
                    }
                    cx.respond(now, invite, response);
                }
                self.end(cx, cause(EndedBy::Local, CauseKind::Rejected, Some(603), None));
                self.finish(now, cx);
            }
            State::Accepted => {
                self.bye_after_ack = Some(reason);
                self.end(cx, cause(EndedBy::Local, CauseKind::Bye, None, None));
            }
            State::Established => {
                self.bye(now, cx, text);
                self.end(cx, cause(EndedBy::Local, CauseKind::Bye, None, None));
            }
            State::Closing | State::Gone => {}
        }
    }

    fn bye(&mut self, now: Instant, cx: &mut Context, reason: Option<String>) {
        // §13.2.2.4: a 2xx is acknowledged even where the call ends at once.
        self.send_due_ack(cx, None);
        self.drop_offers(now, cx);
        self.state = State::Closing;
        cx.timers.stop_leg(self.id);
        self.repeating = None;
        self.send(now, cx, Method::Bye, |request| {
            if let Some(reason) = reason {
                request.headers.push(name::REASON, reason);
            }
        });
    }

    /// Sends a request inside the dialog.
    fn send(
        &mut self,
        now: Instant,
        cx: &mut Context,
        method: Method,
        fill: impl FnOnce(&mut Request),
    ) -> TransactionId {
        let mut request = self.dialog.request(method);
        fill(&mut request);
        self.send_again(now, cx, request, None)
    }

    /// Sends a request that has its CSeq already.
    fn send_again(
        &mut self,
        now: Instant,
        cx: &mut Context,
        mut request: Request,
        branch: Option<String>,
    ) -> TransactionId {
        if let Some(auth) = &mut self.auth {
            auth.authorize(&mut request);
        }
        let path = self.branch(branch.as_deref()).next_hop(&cx.flows);
        let id = cx.send_request(now, path, request.clone(), Owner::Leg(self.id));
        self.pending.push(Pending { id, request, branch });
        id
    }

    /// A response to a request of ours.
    pub(crate) fn response(
        &mut self,
        now: Instant,
        cx: &mut Context,
        id: TransactionId,
        response: &Response,
        head: &Head,
    ) {
        if let State::Calling { invite, cancel } = self.state
            && invite == id
        {
            return self.invite_response(now, cx, id, cancel, response, head);
        }
        if response.status < 200 {
            return;
        }
        if head.cseq.method == Method::Invite
            && (200..300).contains(&response.status)
            && !self.pending.iter().any(|p| p.id == id)
        {
            return self.repeated_2xx(now, cx, response, head);
        }
        let Some(at) = self.pending.iter().position(|p| p.id == id) else {
            return;
        };
        let Pending { request, branch, .. } = self.pending.swap_remove(at);
        let is_early = request.method == Method::Update && self.is_early(branch.as_deref());
        let better = match response.status {
            401 | 407 => self.answer_challenge(cx, response),
            // RFC 4028 §7.3.
            422 if !is_early => self.session.raise(response),
            _ => false,
        };
        if better {
            // §22.2: the same request, as the peer wants it, with a higher CSeq.
            let dialog = self.branch(branch.as_deref());
            dialog.local_cseq += 1;
            let number = dialog.local_cseq;
            let mut again = request;
            if response.status == 422 {
                self.session.ask(&mut again.headers);
            }
            again.headers.set(name::CSEQ, format!("{number} {}", again.method));
            let new = self.send_again(now, cx, again, branch);
            if let Some(ours) = self.ours.as_mut().filter(|ours| ours.transaction == Some(id)) {
                ours.transaction = Some(new);
            }
            return;
        }
        if let (200..=299, Some(auth)) = (response.status, &mut self.auth) {
            auth.accepted(response);
        }
        match request.method {
            Method::Bye => self.finish(now, cx),
            Method::Invite => self.reoffer_response(now, cx, response, head),
            Method::Update if self.early_answered(now, cx, id, branch.as_deref(), response) => {}
            Method::Update if is_early => {}
            // RFC 5057 §5.1: a NOTIFY that nobody awaits ends the subscription, and not the call.
            Method::Notify => self.notify_response(response),
            // §12.2.1.2: the peer has no such dialog any more.
            _ if matches!(response.status, 408 | 481) => self.dialog_gone(now, cx, response.status),
            Method::Refer => self.refer_response(cx, response),
            Method::Update => self.update_response(now, cx, response),
            Method::Info => self.key_answered(now, cx, &request, response.status),
            _ => {}
        }
    }

    fn answer_challenge(&mut self, cx: &mut Context, response: &Response) -> bool {
        let good = self.auth.as_mut().is_some_and(|auth| auth.challenged(response, &mut cx.random));
        cx.stats.challenges_answered += u64::from(good);
        good
    }

    /// A request of ours found nobody: by Timer B or F (408), or because it could not be sent (503), as §8.1.3.1
    /// has it.
    pub(crate) fn undelivered(&mut self, now: Instant, cx: &mut Context, id: TransactionId, status: u16) {
        if let State::Calling { invite, .. } = self.state
            && invite == id
        {
            if self.call_next(now, cx) {
                return;
            }
            let kind = if status == 408 { CauseKind::Timeout } else { CauseKind::TransportError };
            self.end(cx, cause(EndedBy::Network, kind, Some(status), None));
            return self.finish(now, cx);
        }
        let Some(at) = self.pending.iter().position(|p| p.id == id) else {
            return;
        };
        let Pending { request, branch, .. } = self.pending.swap_remove(at);
        if request.method == Method::Bye {
            self.finish(now, cx);
        } else if request.method == Method::Update && self.is_early(branch.as_deref()) {
            self.early_undelivered(cx, id, status);
        } else {
            self.dialog_gone(now, cx, status);
        }
    }

    fn dialog_gone(&mut self, now: Instant, cx: &mut Context, status: u16) {
        if matches!(self.state, State::Closing | State::Gone) {
            return;
        }
        self.end(cx, cause(EndedBy::Network, CauseKind::DialogGone, Some(status), None));
        // Whoever is still there should not be left with half a call.
        self.bye(now, cx, None);
    }

    pub(crate) fn timer(&mut self, now: Instant, cx: &mut Context, which: LegTimer) {
        match which {
            LegTimer::Ring => self.ring_timeout(now, cx),
            LegTimer::KeepRinging => self.keep_ringing(now, cx),
            LegTimer::Repeat2xx => self.repeat_2xx(now, cx),
            LegTimer::NoAck => self.no_ack(now, cx),
            LegTimer::Cancel => self.cancel_timeout(now, cx),
            LegTimer::Glare => self.glare_over(now, cx),
            LegTimer::Refer => self.refer_timeout(cx),
            LegTimer::Reliable => self.repeat_provisional(now, cx),
            LegTimer::Refresh => self.refresh(now, cx),
            LegTimer::SessionEnd => self.session_over(now, cx),
        }
    }

    fn ring_timeout(&mut self, now: Instant, cx: &mut Context) {
        match self.state {
            State::Calling { .. } => {
                let reason =
                    ReasonHeader { protocol: "SIP".into(), cause: 408, text: Some("Ring Timeout".into()) };
                self.cancel(now, cx, Some(reason.to_string()));
                self.end(cx, cause(EndedBy::Local, CauseKind::Timeout, None, None));
            }
            State::Redirecting => {
                self.end(cx, cause(EndedBy::Local, CauseKind::Timeout, None, None));
                self.finish(now, cx);
            }
            State::Ringing { invite } => {
                cx.respond_status(now, invite, self.lapse);
                self.end(cx, cause(EndedBy::Local, CauseKind::Timeout, Some(self.lapse), None));
                self.finish(now, cx);
            }
            _ => {}
        }
    }

    /// Tells the program, once.
    fn end(&mut self, cx: &mut Context, cause: Cause) {
        if !self.ended {
            self.ended = true;
            cx.emit(Event::Ended { leg: self.id, cause });
        }
    }

    /// Nothing more is to be said: the leg may be taken away.
    fn finish(&mut self, now: Instant, cx: &mut Context) {
        self.drop_offers(now, cx);
        cx.timers.stop_leg(self.id);
        for pending in self.pending.drain(..) {
            cx.limit_client(now, pending.id);
        }
        self.state = State::Gone;
    }

    /// §15.1.2: what is still open is answered 487 when the call ends.
    fn drop_offers(&mut self, now: Instant, cx: &mut Context) {
        for theirs in [self.theirs.take(), self.early_theirs.take()].into_iter().flatten() {
            cx.respond_status(now, theirs.transaction, 487);
        }
        self.refuse_refer(now, cx, 487);
        self.ours = None;
    }
}

fn cause(by: EndedBy, kind: CauseKind, status: Option<u16>, reason: Option<String>) -> Cause {
    Cause { by, kind, status, reason }
}

/// The Reason header of a BYE or CANCEL, as it stands.
fn reason_of(headers: &Headers) -> Option<String> {
    headers.get(name::REASON).map(std::borrow::Cow::into_owned)
}

fn body_of(headers: &Headers, body: &Bytes) -> Option<Body> {
    if body.is_empty() {
        return None;
    }
    let content_type = headers.get(name::CONTENT_TYPE).map_or_else(String::new, std::borrow::Cow::into_owned);
    Some(Body { content_type, bytes: body.to_vec() })
}

fn put_body(headers: &mut Headers, slot: &mut Bytes, body: Body) {
    headers.push(name::CONTENT_TYPE, body.content_type);
    *slot = Bytes::from(body.bytes);
}
