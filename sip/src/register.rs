//! A registration that keeps itself alive: RFC 3261 §10.2.
//!
//! ```text
//!   send ─200─► wait for the refresh ─► send …
//!     ├─401/407─► send with credentials (a second refusal: stop)
//!     ├─423─► send with the longer time that is asked for
//!     ├─403, 401 again─► Rejected, nothing more is sent
//!     └─anything else, nobody answers─► back off with jitter ─► send …
//! ```
//!
//! Three things make it go out before its time: its connection has broken (RFC 5626 §4.4 and §4.5 in spirit), its Contact has
//! changed, or its servers have moved.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::auth::Session;
use crate::compose::loose;
use crate::config::Path;
use crate::context::Context;
use crate::event::{Event, Register, RegistrationId, RegistrationState};
use crate::message::{Headers, Method, NameAddr, Request, Response, Uri, name};
use crate::timer::Timer;
use crate::transaction::{Owner, TransactionId};

/// First wait after a failure; doubles up to the longest. Each is stretched by chance, so that a whole
/// neighbourhood does not come back in the same second.
const BACK_OFF_FIRST: Duration = Duration::from_secs(4);
const BACK_OFF_LONGEST: Duration = Duration::from_secs(300);
/// The refresh leaves this much room for a lost minute, where the time granted is long enough.
const REFRESH_AHEAD: Duration = Duration::from_secs(90);
/// A registrar that wants more than a week in its 423 is not to be believed.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest Service-Route that is taken.
const MOST_ROUTES: usize = 8;
/// 423 in a row.
const MOST_RAISES: u8 = 3;
/// After a connection broke: within this time by chance, for all its other users come back as well. Doubled each time that
/// the new one did not last either.
const RETURN_WITHIN: Duration = Duration::from_secs(2);
/// RFC 5626 §4.5: a connection that held so long is no failure.
const LASTING: Duration = Duration::from_secs(120);
/// Contacts of ours that the registrar still has to be told to forget.
const MOST_STALE: usize = 4;

#[derive(Debug)]
pub(crate) struct Registration {
    id: RegistrationId,
    register: Register,
    contact: NameAddr,
    /// Where we were to be found before.
    stale: Vec<NameAddr>,
    from: NameAddr,
    call_id: String,
    cseq: u32,
    auth: Session,
    expires: Duration,
    transaction: Option<TransactionId>,
    failures: u32,
    raises: u8,
    /// Until when the registrar holds our binding.
    bound_until: Option<Instant>,
    service_route: Vec<Uri>,
    /// When the connection broke last, and how often before one lasted.
    lost: Option<Instant>,
    losses: u32,
    /// What the REGISTER that is out says is not true any more.
    outdated: bool,
    leaving: bool,
    /// The REGISTER that is out takes the binding away.
    farewell: bool,
    gone: bool,
    stopped: bool,
}

impl Registration {
    pub(crate) fn start(now: Instant, cx: &mut Context, id: RegistrationId, register: Register) -> Self {
        let contact = cx.contact(register.path, &register.contact_user);
        let tag = cx.random.token();
        let mut registration = Self {
            id,
            contact,
            stale: Vec::new(),
            from: NameAddr::from(register.aor.clone()).with_tag(&tag),
            call_id: cx.random.long_token(),
            cseq: 0,
            auth: Session::new(register.credentials.clone()),
            expires: register.expires.clamp(Duration::from_secs(1), LONGEST),
            register,
            transaction: None,
            failures: 0,
            raises: 0,
            bound_until: None,
            service_route: Vec::new(),
            lost: None,
            losses: 0,
            outdated: false,
            leaving: false,
            farewell: false,
            gone: false,
            stopped: false,
        };
        registration.send(now, cx);
        registration
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Does this Request-URI call our Contact? A NAT or a proxy may have changed all of it but the user.
    pub(crate) fn is_called(&self, uri: &Uri) -> bool {
        !self.stopped && self.contact.uri.user() == uri.user()
    }

    pub(crate) fn is_with(&self, registrar: IpAddr) -> bool {
        self.register.path.remote.ip() == registrar
    }

    /// The servers are elsewhere now. What is out on the old way may wait there for ever, and is given up.
    pub(crate) fn move_to(&mut self, now: Instant, cx: &mut Context, path: Path) {
        if self.register.path == path || self.leaving {
            return;
        }
        self.register.path = path;
        (self.losses, self.failures) = (0, 0);
        if let Some(id) = self.transaction.take() {
            cx.forget_client(id);
        }
        self.renew_contact(now, cx);
        self.send_early(now, cx);
    }

    pub(crate) fn contact_may_have_changed(&mut self, now: Instant, cx: &mut Context) {
        if !self.leaving && self.renew_contact(now, cx) {
            self.send_early(now, cx);
        }
    }

    /// `true`: it is another now.
    fn renew_contact(&mut self, now: Instant, cx: &Context) -> bool {
        let contact = cx.contact(self.register.path, &self.register.contact_user);
        if contact == self.contact {
            return false;
        }
        let old = std::mem::replace(&mut self.contact, contact);
        self.stale.retain(|one| *one != self.contact);
        let may_be_bound = self.transaction.is_some() || self.bound_until.is_some_and(|until| until > now);
        if may_be_bound && self.stale.len() < MOST_STALE {
            self.stale.push(old);
        }
        true
    }

    fn send_early(&mut self, now: Instant, cx: &mut Context) {
        if self.stopped {
            return;
        }
        // §10.2: one at a time.
        if self.transaction.is_some() {
            self.outdated = true;
            return;
        }
        cx.timers.stop(Timer::Registration(self.id));
        self.send(now, cx);
    }

    /// The registrar has no way to us any more. What was out has failed already, and comes again by itself.
    pub(crate) fn flow_lost(&mut self, now: Instant, cx: &mut Context, path: Path) {
        let is_bound = self.bound_until.is_some_and(|until| until > now);
        let waits = self.transaction.is_some() || self.failures > 0;
        if self.register.path != path || !is_bound || waits || self.leaving || self.stopped {
            return;
        }
        let lasted = self.lost.is_none_or(|lost| now.saturating_duration_since(lost) >= LASTING);
        self.losses = if lasted { 0 } else { self.losses.saturating_add(1) };
        self.lost = Some(now);
        let longest = RETURN_WITHIN.saturating_mul(1 << self.losses.min(10)).min(BACK_OFF_LONGEST);
        let shortest = if lasted { Duration::ZERO } else { longest / 2 };
        let wait = cx.random.between(shortest, longest);
        cx.timers.set(Timer::Registration(self.id), now + wait);
    }

    /// Takes the binding away. While a REGISTER is out, this waits for its answer (§10.2: one at a time).
    pub(crate) fn leave(&mut self, now: Instant, cx: &mut Context) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        cx.timers.stop(Timer::Registration(self.id));
        if self.transaction.is_none() {
            self.send_farewell(now, cx);
        }
    }

    fn send_farewell(&mut self, now: Instant, cx: &mut Context) {
        if self.stopped || self.bound_until.is_none_or(|until| until <= now) {
            return self.left(cx);
        }
        self.send(now, cx);
    }

    fn left(&mut self, cx: &mut Context) {
        self.gone = true;
        cx.timers.stop(Timer::Registration(self.id));
        self.tell(cx, RegistrationState::Unregistered);
    }

    /// §10.2: same Call-ID, CSeq one higher.
    fn send(&mut self, now: Instant, cx: &mut Context) {
        self.cseq += 1;
        self.farewell = self.leaving;
        self.outdated = false;
        let expires = if self.leaving { 0 } else { self.expires.as_secs() };
        let mut contact = self.contact.clone();
        contact.params.set("expires", Some(&expires.to_string()));
        let mut headers = Headers::new();
        for route in &self.register.route {
            headers.push(name::ROUTE, NameAddr::from(loose(route.clone())));
        }
        headers.push(name::FROM, &self.from);
        headers.push(name::TO, NameAddr::from(self.register.aor.clone()));
        headers.push(name::CALL_ID, &self.call_id);
        headers.push(name::CSEQ, format!("{} REGISTER", self.cseq));
        headers.push(name::CONTACT, contact);
        // §10.2.2: the new place and the end of the old ones in one request, so that no moment knows neither.
        for old in &self.stale {
            let mut old = old.clone();
            old.params.set("expires", Some("0"));
            headers.push(name::CONTACT, old);
        }
        headers.push(name::EXPIRES, expires);
        cx.capabilities(&mut headers);
        // RFC 3327 §5.1: proxies on the way may write themselves into the binding.
        headers.push(name::SUPPORTED, "path");
        let mut request = Request {
            method: Method::Register,
            uri: self.register.registrar.clone(),
            headers,
            body: Default::default(),
        };
        self.auth.authorize(&mut request);
        let owner = Owner::Registration(self.id);
        self.transaction = Some(cx.send_request(now, self.register.path, request, owner));
    }

    pub(crate) fn response(
        &mut self,
        now: Instant,
        cx: &mut Context,
        id: TransactionId,
        response: &Response,
    ) {
        if response.status < 200 || self.transaction != Some(id) {
            return;
        }
        self.transaction = None;
        match response.status {
            200..=299 => self.registered(now, cx, response),
            401 | 407 => {
                if self.auth.challenged(response, &mut cx.random) {
                    cx.stats.challenges_answered += 1;
                    self.send(now, cx);
                } else {
                    self.rejected(cx, response.status);
                }
            }
            // §10.2.8.
            423 if !self.leaving && self.raises < MOST_RAISES => {
                let least =
                    response.headers.seconds(name::MIN_EXPIRES).map(|s| Duration::from_secs(s.into()));
                match least.filter(|least| *least > self.expires && *least <= LONGEST) {
                    Some(least) => {
                        self.raises += 1;
                        self.expires = least;
                        self.send(now, cx);
                    }
                    None => self.failed(now, cx, 423, None),
                }
            }
            403 => self.rejected(cx, 403),
            status => {
                let after =
                    response.headers.seconds(name::RETRY_AFTER).map(|s| Duration::from_secs(s.into()));
                self.failed(now, cx, status, after);
            }
        }
    }

    /// Nobody answered (408), or it could not be sent (503).
    pub(crate) fn undelivered(&mut self, now: Instant, cx: &mut Context, id: TransactionId, status: u16) {
        if self.transaction == Some(id) {
            self.transaction = None;
            self.failed(now, cx, status, None);
        }
    }

    /// The refresh, or the next try.
    pub(crate) fn timer(&mut self, now: Instant, cx: &mut Context) {
        if self.transaction.is_none() && !self.gone && !self.stopped {
            self.send(now, cx);
        }
    }

    fn registered(&mut self, now: Instant, cx: &mut Context, response: &Response) {
        self.auth.accepted(response);
        self.failures = 0;
        self.raises = 0;
        if !self.outdated {
            self.stale.clear();
        }
        if self.leaving {
            if self.farewell {
                return self.left(cx);
            }
            // An ordinary REGISTER was out when we were told to leave: now there is a binding to take away.
            self.bound_until = Some(now + self.expires);
            return self.send_farewell(now, cx);
        }
        let granted = self.granted(response);
        self.bound_until = Some(now + granted);
        self.learn_route(cx, response);
        // Half the time for short ones; for long ones so late that few refreshes are needed, and so early that
        // several fit in before it is over.
        let latest = (granted / 2).max(granted.saturating_sub(REFRESH_AHEAD));
        let wait = cx.random.between(latest * 9 / 10, latest).max(Duration::from_secs(1));
        cx.timers.set(Timer::Registration(self.id), now + wait);
        self.tell(cx, RegistrationState::Registered { expires: granted });
        if self.outdated {
            self.send_early(now, cx);
        }
    }

    /// RFC 3608 §5: what the newest answer says counts, also when it says nothing.
    fn learn_route(&mut self, cx: &mut Context, response: &Response) {
        let route = response.headers.name_addrs(name::SERVICE_ROUTE).unwrap_or_default();
        let route: Vec<_> = route.into_iter().take(MOST_ROUTES).map(|one| one.uri).collect();
        if route != self.service_route {
            self.service_route.clone_from(&route);
            cx.emit(Event::ServiceRoute { id: self.id, route });
        }
    }

    /// §10.2.4: the time stands at our Contact, else in Expires, else it is what we asked for.
    fn granted(&self, response: &Response) -> Duration {
        let seconds = self
            .own_contacts(response)
            .iter()
            .find_map(expires_of)
            .or_else(|| response.headers.seconds(name::EXPIRES));
        // A registrar that answers 200 and grants nothing is asked again soon, not at once for ever.
        seconds.map_or(self.expires, |s| Duration::from_secs(s.into())).clamp(Duration::from_secs(2), LONGEST)
    }

    fn own_contacts(&self, response: &Response) -> Vec<NameAddr> {
        let all = response.headers.name_addrs(name::CONTACT).unwrap_or_default();
        let same: Vec<_> =
            all.iter().filter(|one| is_same_place(&one.uri, &self.contact.uri)).cloned().collect();
        // A NAT or a proxy may have rewritten it: then a single binding can only be ours.
        if same.is_empty() && all.len() == 1 { all } else { same }
    }

    fn rejected(&mut self, cx: &mut Context, status: u16) {
        self.stopped = true;
        self.bound_until = None;
        cx.timers.stop(Timer::Registration(self.id));
        if self.leaving {
            return self.left(cx);
        }
        self.tell(cx, RegistrationState::Rejected { status });
    }

    fn failed(&mut self, now: Instant, cx: &mut Context, status: u16, after: Option<Duration>) {
        if self.leaving {
            return if self.farewell { self.left(cx) } else { self.send_farewell(now, cx) };
        }
        let longest = BACK_OFF_FIRST.saturating_mul(1 << self.failures.min(10)).min(BACK_OFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jittered = cx.random.between(longest / 2, longest);
        let retry_in = jittered.max(after.unwrap_or_default().min(LONGEST));
        cx.timers.set(Timer::Registration(self.id), now + retry_in);
        self.tell(cx, RegistrationState::Failed { status, retry_in });
    }

    fn tell(&self, cx: &mut Context, state: RegistrationState) {
        cx.emit(Event::Registration { id: self.id, state });
    }
}

fn expires_of(contact: &NameAddr) -> Option<u32> {
    contact.params.get_unquoted("expires").and_then(|v| v.parse().ok())
}

fn is_same_place(a: &Uri, b: &Uri) -> bool {
    match (a.as_sip(), b.as_sip()) {
        (Some(a), Some(b)) => {
            a.user == b.user && a.host == b.host && a.port.unwrap_or(5060) == b.port.unwrap_or(5060)
        }
        _ => false,
    }
}
