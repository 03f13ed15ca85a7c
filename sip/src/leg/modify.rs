//! Requests inside the dialog: BYE, re-INVITE, UPDATE, INFO, OPTIONS (RFC 3261 §12.2.2, §14, §15; RFC 3311).

use std::time::{Duration, Instant};

use super::{Leg, OurOffer, State, TheirOffer, body_of, cause, early, put_body, reason_of};
use crate::config::Path;
use crate::context::Context;
use crate::event::{Body, CauseKind, EndedBy, Event};
use crate::message::{Head, Headers, Method, Request, name};
use crate::timer::{LegTimer, Timer};
use crate::transaction::ServerKey;

/// The two forms in which keys are sent by INFO: with a duration, and as the bare key.
const DTMF_RELAY: &str = "application/dtmf-relay";
const DTMF_PLAIN: &str = "application/dtmf";
/// Keys that may wait to be sent; what is beyond is passed over.
const KEYS_WAIT: usize = 128;
/// When INFO names no duration (and for absurd ones).
const DTMF_DEFAULT: Duration = Duration::from_millis(160);
const DTMF_LONGEST: Duration = Duration::from_secs(10);

impl Leg {
    /// A request that found this dialog by its tags. ACK and CANCEL go elsewhere.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        if let State::Calling { .. } = self.state {
            return self.early_request(now, cx, path, key, request, head);
        }
        // §12.2.2: out of order is refused; the same number can only be a new request after a gap of ours.
        if self.dialog.remote_cseq.is_some_and(|last| head.cseq.number < last) {
            return cx.respond_stateless(path, request, 500, Some("CSeq Too Low"), &[]);
        }
        self.dialog.remote_cseq = Some(head.cseq.number);
        self.dialog.path = path;
        // The program has heard the end of it.
        if self.ended && request.method != Method::Bye {
            return cx.respond_stateless(path, request, 481, None, &[]);
        }
        match &request.method {
            Method::Bye => self.their_bye(now, cx, path, key, request, head),
            Method::Invite | Method::Update => self.their_offer(now, cx, path, key, request, head),
            Method::Info => self.info(now, cx, path, key, request, head),
            Method::Prack if cx.config.reliable_provisional => self.prack(now, cx, path, key, request, head),
            Method::Notify => self.notify(now, cx, path, key, request, head),
            Method::Refer if cx.config.take_refers => self.their_refer(now, cx, path, key, request, head),
            Method::Message => {
                let place = crate::pager::Sender::Leg(self.id, self.dialog.local_tag());
                crate::pager::take(now, cx, path, key, request, head, place);
            }
            Method::Options => {
                let extra = [(name::ALLOW, cx.allow()), (name::ACCEPT, "application/sdp".to_owned())];
                cx.respond_stateless(path, request, 200, None, &extra);
            }
            _ => {
                let status = if matches!(request.method, Method::Other(_)) { 501 } else { 405 };
                let allow = cx.allow();
                cx.respond_stateless(path, request, status, None, &[(name::ALLOW, allow)]);
            }
        }
    }

    fn their_bye(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let tag = self.dialog.local_tag().to_owned();
        let id = cx.open_server(path, key, request, head, &tag, Some(self.id));
        cx.respond_status(now, id, 200);
        self.bye_while_ringing(now, cx);
        self.end(cx, cause(EndedBy::Remote, CauseKind::Bye, None, reason_of(&request.headers)));
        // Our own BYE may be on its way: its answer is still awaited.
        if self.state != State::Closing {
            self.finish(now, cx);
        }
    }

    fn their_offer(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let is_invite = request.method == Method::Invite;
        // Only who has our 2xx can send a re-INVITE. Where its ACK had no answer to bring, its loss costs nothing.
        if is_invite && self.repeating.as_ref().is_some_and(|repeating| !repeating.offered) {
            self.acknowledged(now, cx, None);
            if self.state == State::Closing {
                return cx.respond_stateless(path, request, 481, None, &[]);
            }
        }
        // RFC 4028 §9.
        if let Some(least) = self.session.too_short(&request.headers) {
            let least = least.as_secs().to_string();
            return cx.respond_stateless(path, request, 422, None, &[(name::MIN_SE, least)]);
        }
        let offers = is_invite || !request.body.is_empty();
        if offers {
            if let State::Ringing { .. } = self.state
                && !is_invite
            {
                return match self.early_refusal(cx, self.reliable.is_answered()) {
                    Some(status) => early::refuse(cx, path, request, status),
                    None => self.take_early_offer(now, cx, path, key, request, head),
                };
            }
            // §14.2 and RFC 3311 §5.2: not while one of theirs is open; nor while one of ours is (glare).
            let open = self.theirs.is_some()
                || self.early_theirs.is_some()
                || (is_invite && self.repeating.is_some());
            if open || matches!(self.state, State::Ringing { .. }) {
                return early::refuse(cx, path, request, 500);
            }
            // An offer that they asked for waits for its answer in the ACK, also where it is an UPDATE that overtakes that.
            let asked = self.repeating.as_ref().is_some_and(|repeating| repeating.offered);
            if asked || self.ours.as_ref().is_some_and(|ours| ours.transaction.is_some()) {
                return cx.respond_stateless(path, request, 491, None, &[]);
            }
        }
        let tag = self.dialog.local_tag().to_owned();
        let transaction = cx.open_server(path, key, request, head, &tag, Some(self.id));
        if !offers {
            // RFC 3311: an UPDATE without an offer refreshes the target, and is agreed to.
            self.dialog.refresh_target(&request.headers);
            if let Some(mut response) = cx.response_for(transaction, 200) {
                response.headers.push(name::CONTACT, &self.contact);
                cx.capabilities(&mut response.headers);
                self.agree_session(now, cx, &request.headers, &mut response.headers);
                cx.respond(now, transaction, response);
            }
            return;
        }
        if is_invite {
            cx.respond_status(now, transaction, 100);
        }
        self.theirs = Some(TheirOffer {
            transaction,
            method: request.method.clone(),
            cseq: head.cseq.number,
            has_body: !request.body.is_empty(),
            headers: request.headers.clone(),
        });
        let body = body_of(&request.headers, &request.body);
        cx.emit(Event::Reoffer { leg: self.id, body });
    }

    pub(crate) fn accept_offer(&mut self, now: Instant, cx: &mut Context, body: Body) {
        if let Some(offer) = self.early_theirs.take() {
            self.accept_early(now, cx, offer, body);
        } else if self.state == State::Established
            && let Some(offer) = self.theirs.take()
        {
            self.accept(now, cx, offer, body);
        }
    }

    /// The session stays as it was (§14.2).
    pub(crate) fn refuse_offer(&mut self, now: Instant, cx: &mut Context, status: u16) {
        let theirs = if self.state == State::Established { &mut self.theirs } else { &mut None };
        if let Some(offer) = self.early_theirs.take().or_else(|| theirs.take()) {
            let status = if (400..=699).contains(&status) { status } else { 488 };
            cx.respond_status(now, offer.transaction, status);
        }
    }

    /// Our own re-INVITE, or UPDATE before the answer: hold, resume, another address.
    pub(crate) fn reoffer(&mut self, now: Instant, cx: &mut Context, body: Body) {
        if self.ended {
            return;
        }
        match self.state {
            State::Established => {}
            State::Calling { .. } | State::Ringing { .. } => return self.early_reoffer(now, cx, body),
            _ => return,
        }
        // §14.1: one at a time, in either direction. The program hears it as the glare that it is.
        let busy = self.ours.is_some() || self.theirs.is_some() || self.repeating.is_some();
        if busy || self.answer_due.is_some() || self.early_theirs.is_some() {
            return cx.emit(Event::Reanswer { leg: self.id, status: 491, body: None });
        }
        self.ours = Some(OurOffer { body, transaction: None, refresh: false });
        self.send_offer(now, cx);
    }

    pub(super) fn send_offer(&mut self, now: Instant, cx: &mut Context) {
        let Some(body) = self.ours.as_ref().map(|ours| ours.body.clone()) else {
            return;
        };
        let mut headers = Headers::new();
        headers.push(name::CONTACT, &self.contact);
        cx.capabilities(&mut headers);
        self.session.ask(&mut headers);
        let id = self.send(now, cx, Method::Invite, |request| {
            request.headers.append(headers);
            put_body(&mut request.headers, &mut request.body, body);
        });
        if let Some(ours) = &mut self.ours {
            ours.transaction = Some(id);
        }
    }

    /// §14.1: both sides offered at once. Who made the Call-ID waits longer, so that they do not meet again.
    pub(super) fn glare(&mut self, now: Instant, cx: &mut Context) {
        let ms = Duration::from_millis;
        let (low, high) = if self.outbound { (ms(2_100), ms(4_000)) } else { (ms(0), ms(2_000)) };
        let wait = cx.random.between(low, high);
        if let Some(ours) = &mut self.ours {
            ours.transaction = None;
        }
        cx.timers.set(Timer::Leg(self.id, LegTimer::Glare), now + wait);
    }

    pub(super) fn glare_over(&mut self, now: Instant, cx: &mut Context) {
        let is_free = self.theirs.is_none() && self.early_theirs.is_none() && self.repeating.is_none();
        match self.state {
            State::Established if is_free => self.send_offer(now, cx),
            State::Calling { .. } | State::Ringing { .. } if self.early_theirs.is_none() => {
                self.send_early_offer(now, cx);
            }
            State::Closing | State::Gone | State::Redirecting => {}
            _ => self.glare(now, cx),
        }
    }

    /// The call is answered, and all its timers are stopped: an offer of ours that waits out a glare waits on.
    pub(super) fn resume_glare(&mut self, now: Instant, cx: &mut Context) {
        if self.ours.as_ref().is_some_and(|ours| ours.transaction.is_none()) {
            self.glare(now, cx);
        }
    }

    /// A key pressed, out of band of the media: `application/dtmf-relay`, or `application/dtmf` where the peer takes only that. One at a time: of
    /// two on their way the second might arrive first, and the first would then be refused for its CSeq (§12.2.2).
    pub(crate) fn send_dtmf(&mut self, now: Instant, cx: &mut Context, digit: char, duration: Duration) {
        if self.state != State::Established || !is_dtmf(digit) || self.keys.len() == KEYS_WAIT {
            return;
        }
        self.keys.push_back((digit, duration));
        self.next_key(now, cx);
    }

    fn next_key(&mut self, now: Instant, cx: &mut Context) {
        if self.state != State::Established || self.pending.iter().any(|p| p.request.method == Method::Info) {
            return;
        }
        let Some((digit, duration)) = self.keys.pop_front() else { return };
        let (kind, text) = match self.keys_plain {
            true => (DTMF_PLAIN, digit.to_string()),
            false => {
                let duration = duration.min(DTMF_LONGEST).as_millis();
                (DTMF_RELAY, format!("Signal={digit}\r\nDuration={duration}\r\n"))
            }
        };
        let body = Body { content_type: kind.into(), bytes: text.into_bytes() };
        self.send(now, cx, Method::Info, |request| put_body(&mut request.headers, &mut request.body, body));
    }

    /// A key has arrived. Or it was refused with 415: then it is sent once more in the other form, and so is every key after it.
    pub(super) fn key_answered(&mut self, now: Instant, cx: &mut Context, key: &Request, status: u16) {
        if status == 415 && key.headers.get(name::CONTENT_TYPE).as_deref() == Some(DTMF_RELAY) {
            self.keys_plain = true;
            if let Some(press) = relay_press(&String::from_utf8_lossy(&key.body)) {
                self.keys.push_front(press);
            }
        }
        self.next_key(now, cx);
    }

    fn info(
        &mut self,
        now: Instant,
        cx: &mut Context,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
    ) {
        let tag = self.dialog.local_tag().to_owned();
        let kind = request.headers.get(name::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let press = match kind.as_str() {
            // RFC 6086 §4.2.2 for packages that nobody agreed on; an empty INFO is a keep-alive.
            _ if request.headers.contains(name::INFO_PACKAGE) => {
                return cx.respond_stateless(path, request, 469, None, &[]);
            }
            _ if request.body.is_empty() => None,
            DTMF_RELAY => Some(relay_press(&text)),
            DTMF_PLAIN => Some(plain_press(&text)),
            _ => {
                let accept = format!("{DTMF_RELAY}, {DTMF_PLAIN}");
                return cx.respond_stateless(path, request, 415, None, &[(name::ACCEPT, accept)]);
            }
        };
        let id = cx.open_server(path, key, request, head, &tag, Some(self.id));
        match press {
            Some(None) => cx.respond_status(now, id, 400),
            Some(Some((digit, duration))) => {
                cx.respond_status(now, id, 200);
                cx.emit(Event::Dtmf { leg: self.id, digit, duration });
            }
            None => cx.respond_status(now, id, 200),
        }
    }
}

fn is_dtmf(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')
}

/// `10` and `11` are how some gateways write star and hash.
fn digit(text: &str) -> Option<char> {
    let text = text.trim().to_ascii_uppercase();
    match text.as_str() {
        "10" => return Some('*'),
        "11" => return Some('#'),
        _ => {}
    }
    let mut chars = text.chars();
    chars.next().filter(|&c| is_dtmf(c) && chars.next().is_none())
}

fn relay_press(text: &str) -> Option<(char, Duration)> {
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    };
    let digit = digit(value("Signal")?)?;
    let duration = value("Duration")
        .and_then(|v| v.trim().parse().ok())
        .map_or(DTMF_DEFAULT, Duration::from_millis)
        .min(DTMF_LONGEST);
    Some((digit, duration))
}

fn plain_press(text: &str) -> Option<(char, Duration)> {
    // Some senders write `Signal=` here as well.
    if text.contains('=') { relay_press(text) } else { digit(text).map(|digit| (digit, DTMF_DEFAULT)) }
}
