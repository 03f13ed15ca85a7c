//! Session timers: RFC 4028, both roles. A call whose far end has vanished without a word ends by itself.
//!
//! ```text
//! both sides    2xx with Session-Expires ─► counting ─refresh answered─► counting anew
//! we refresh      └─half the time─► UPDATE, or re-INVITE with the same description
//! they refresh    └─a little before the end─► BYE
//! ```

use std::time::{Duration, Instant};

use super::{Leg, OurOffer, State, cause};
use crate::context::Context;
use crate::event::{Body, CauseKind, EndedBy, ReasonHeader};
use crate::message::{Headers, Method, Params, Response, name};
use crate::timer::{LegTimer, Timer};

/// §4: the least that anybody may ask for, and what a request without Min-SE means (§5).
const LEAST: Duration = Duration::from_secs(90);
/// Who asks for more than this in a 422 wants no session timer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// 422 in a row.
const MOST_RAISES: u8 = 3;
/// §10: how long before its end a session that nobody refreshes is given up, and no more than a third of it.
const GIVE_UP_AHEAD: Duration = Duration::from_secs(32);
/// Between two tries of a refresh that was refused, or for which the moment was wrong.
const TRY_AGAIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Agreed {
    interval: Duration,
    /// Is it we who refresh?
    ours: bool,
}

#[derive(Debug)]
pub(super) struct SessionTimer {
    /// What we ask for; `None`: we do not take part.
    wanted: Option<Duration>,
    /// Less than this is refused. A peer's 422 raises it.
    least: Duration,
    raises: u8,
    agreed: Option<Agreed>,
    /// The peer says that it takes UPDATE.
    takes_update: bool,
    /// What a re-INVITE has to say again: the session as we last described it.
    described: Option<Body>,
}

impl SessionTimer {
    pub(super) fn new(cx: &Context) -> Self {
        Self {
            wanted: cx.config.session_expires.map(|wanted| wanted.clamp(LEAST, LONGEST)),
            least: cx.config.min_session_expires.clamp(LEAST, LONGEST),
            raises: 0,
            agreed: None,
            takes_update: false,
            described: None,
        }
    }

    pub(super) fn describe(&mut self, body: &Body) {
        self.described = Some(body.clone());
    }

    pub(super) fn learn_methods(&mut self, headers: &Headers) {
        if headers.contains(name::ALLOW) {
            self.takes_update = headers.has_option(name::ALLOW, Method::Update.as_str());
        }
    }

    pub(super) fn takes_update(&self) -> bool {
        self.takes_update
    }

    /// §7.1, §7.4: what an INVITE or UPDATE of ours asks for. Who refreshes stays as it is.
    pub(super) fn ask(&self, headers: &mut Headers) {
        let Some(wanted) = self.wanted else {
            return;
        };
        let interval = self.agreed.map_or(wanted, |agreed| agreed.interval).max(self.least).as_secs();
        let refresher = match self.agreed {
            None => "",
            Some(Agreed { ours: true, .. }) => ";refresher=uac",
            Some(_) => ";refresher=uas",
        };
        headers.set(name::SESSION_EXPIRES, format!("{interval}{refresher}"));
        if self.least > LEAST {
            headers.set(name::MIN_SE, self.least.as_secs());
        }
    }

    /// §7.3: a 422 names the least that its sender takes. `false`: asking again is of no use.
    pub(super) fn raise(&mut self, response: &Response) -> bool {
        let least = seconds(&response.headers, name::MIN_SE).unwrap_or_default();
        let asked = self.agreed.map(|agreed| agreed.interval).or(self.wanted).unwrap_or_default();
        if self.raises >= MOST_RAISES || least <= asked.max(self.least) || least > LONGEST {
            return false;
        }
        self.raises += 1;
        self.least = least;
        true
    }

    /// §9: the Min-SE of the 422 that a request gets which wants too short a session. One whose sender knows
    /// nothing of timers has it from a proxy, and could do nothing with a 422.
    pub(super) fn too_short(&self, headers: &Headers) -> Option<Duration> {
        self.wanted?;
        let asked = seconds(headers, name::SESSION_EXPIRES)?;
        (asked < self.least && supports_timer(headers)).then_some(self.least)
    }

    /// §9: what our 2xx says to this request.
    fn agree(&self, request: &Headers) -> Option<Agreed> {
        let wanted = self.wanted?;
        let supported = supports_timer(request);
        let least = seconds(request, name::MIN_SE).unwrap_or(LEAST).clamp(LEAST, LONGEST);
        match seconds(request, name::SESSION_EXPIRES) {
            None if !supported => None,
            None => {
                let ours = self.agreed.is_none_or(|agreed| agreed.ours);
                Some(Agreed { interval: wanted.max(least).max(self.least), ours })
            }
            // It may be made shorter, never longer, and never less than any Min-SE on the way.
            Some(asked) => {
                let interval = asked.clamp(least, wanted.max(least));
                let ours = !supported || refresher(request).as_deref() == Some("uas");
                Some(Agreed { interval, ours })
            }
        }
    }
}

impl Leg {
    /// Puts into our 2xx what is agreed on, and counts from now.
    pub(super) fn agree_session(
        &mut self,
        now: Instant,
        cx: &mut Context,
        request: &Headers,
        response: &mut Headers,
    ) {
        self.session.learn_methods(request);
        let agreed = self.session.agree(request);
        if let Some(Agreed { interval, ours }) = agreed {
            let refresher = if ours { "uas" } else { "uac" };
            response.push(name::SESSION_EXPIRES, format!("{};refresher={refresher}", interval.as_secs()));
            if !ours {
                // §9, table 2.
                response.push(name::REQUIRE, "timer");
            }
        }
        self.count_session(now, cx, agreed);
    }

    /// §7.2: the 2xx to an INVITE or UPDATE of ours. Without Session-Expires the session has no end.
    pub(super) fn session_answered(&mut self, now: Instant, cx: &mut Context, response: &Headers) {
        self.session.learn_methods(response);
        self.session.raises = 0;
        let agreed =
            self.session.wanted.and(seconds(response, name::SESSION_EXPIRES)).map(|interval| Agreed {
                interval: interval.clamp(LEAST, LONGEST),
                ours: refresher(response).as_deref() != Some("uas"),
            });
        self.count_session(now, cx, agreed);
    }

    fn count_session(&mut self, now: Instant, cx: &mut Context, agreed: Option<Agreed>) {
        self.session.agreed = agreed;
        cx.timers.stop(Timer::Leg(self.id, LegTimer::Refresh));
        cx.timers.stop(Timer::Leg(self.id, LegTimer::SessionEnd));
        if self.ended {
            return;
        }
        if let Some(Agreed { interval, ours }) = agreed {
            if ours {
                cx.timers.set(Timer::Leg(self.id, LegTimer::Refresh), now + interval / 2);
            }
            let end = interval - GIVE_UP_AHEAD.min(interval / 3);
            cx.timers.set(Timer::Leg(self.id, LegTimer::SessionEnd), now + end);
        }
    }

    /// §7.4: half the time is over. UPDATE is preferred, for it brings no new offer.
    pub(super) fn refresh(&mut self, now: Instant, cx: &mut Context) {
        let busy = self.ours.is_some()
            || self.theirs.is_some()
            || self.early_theirs.is_some()
            || self.repeating.is_some()
            || self.answer_due.is_some();
        match self.session.described.clone() {
            _ if self.state != State::Established => self.refresh_later(now, cx),
            Some(_) if !self.session.takes_update && busy => self.refresh_later(now, cx),
            Some(body) if !self.session.takes_update => {
                self.ours = Some(OurOffer { body, transaction: None, refresh: true });
                self.send_offer(now, cx);
            }
            _ => {
                let mut headers = Headers::new();
                headers.push(name::CONTACT, &self.contact);
                cx.capabilities(&mut headers);
                self.session.ask(&mut headers);
                self.send(now, cx, Method::Update, |request| request.headers.append(headers));
            }
        }
    }

    /// A refresh was refused, or has to wait. The session's end stands where it stood.
    pub(super) fn refresh_later(&mut self, now: Instant, cx: &mut Context) {
        cx.timers.set(Timer::Leg(self.id, LegTimer::Refresh), now + TRY_AGAIN);
    }

    /// The final response to our UPDATE. 408 and 481 are dealt with before.
    pub(super) fn update_response(&mut self, now: Instant, cx: &mut Context, response: &Response) {
        if self.state != State::Established {
            return;
        }
        match response.status {
            200..=299 => {
                self.dialog.refresh_target(&response.headers);
                self.session_answered(now, cx, &response.headers);
            }
            405 | 501 if self.session.takes_update => {
                self.session.takes_update = false;
                self.refresh(now, cx);
            }
            _ => self.refresh_later(now, cx),
        }
    }

    /// §10: nobody has refreshed the session.
    pub(super) fn session_over(&mut self, now: Instant, cx: &mut Context) {
        if self.state == State::Established {
            self.end(cx, cause(EndedBy::Network, CauseKind::SessionExpired, None, None));
            let reason =
                ReasonHeader { protocol: "SIP".into(), cause: 408, text: Some("Session Expired".into()) };
            self.bye(now, cx, Some(reason.to_string()));
        }
    }
}

fn seconds(headers: &Headers, name: &str) -> Option<Duration> {
    headers.seconds(name).map(|seconds| Duration::from_secs(seconds.into()))
}

fn refresher(headers: &Headers) -> Option<String> {
    let value = headers.get(name::SESSION_EXPIRES)?;
    let params = Params::parse_header(&value[value.find(';')?..]).ok()?;
    params.get("refresher").map(str::to_ascii_lowercase)
}

fn supports_timer(headers: &Headers) -> bool {
    headers.has_option(name::SUPPORTED, "timer") || headers.has_option(name::REQUIRE, "timer")
}
