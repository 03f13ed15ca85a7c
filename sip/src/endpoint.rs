//! The user agent as one state machine: what comes in finds its transaction, its dialog, its leg.
//!
//! The order of checks on a new request is RFC 3261 §8.2's: method, header (Request-URI, merged, Require),
//! content; then whether there is room. Whatever is refused before a leg exists is refused without state.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::{Admission, Advertised, Config, Path, Transport};
use crate::context::Context;
use crate::event::{
    Body, Event, IncomingCall, Invite, LegId, MessageId, MessageReply, Ping, PingId, ReasonHeader, Register,
    RegistrationId, Reject, RequestId, SendMessage, Stats, Transmit,
};
use crate::guard::{BanReason, Guard, Verdict, Watch};
use crate::leg::Leg;
use crate::message::{
    Defect, Head, Message, Method, NameAddr, ParseError, Request, Response, Uri, name, parse,
};
use crate::pager::{self, Outgoing, Sender};
use crate::ping::Pinging;
use crate::register::Registration;
use crate::registrar::{Refused, Registry};
use crate::replaces::Replaces;
use crate::source::Sources;
use crate::timer::Timer;
use crate::transaction::{AckFor, Owner, ServerKey, TransactionId};

/// A SIP user agent without sockets and clock. See the [crate] documentation.
///
/// ```
/// use std::time::Instant;
/// use sip::{Config, Endpoint};
///
/// let mut endpoint = Endpoint::new(Config::default(), [7; 32]);
/// let path = sip::Path {
///     transport: sip::Transport::Udp,
///     local: "192.0.2.1:5060".parse().unwrap(),
///     remote: "192.0.2.2:5060".parse().unwrap(),
/// };
/// endpoint.handle_message(Instant::now(), path, b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\n\
///     Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nFrom: <sip:b@192.0.2.2>;tag=1\r\n\
///     To: <sip:a@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n");
/// let answer = endpoint.poll_transmit().unwrap();
/// assert!(answer.bytes.starts_with(b"SIP/2.0 200 OK\r\n"));
/// ```
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) cx: Context,
    admission: Admission,
    sources: Sources,
    next_id: u64,
    legs: BTreeMap<LegId, Leg>,
    /// Call-ID and our tag.
    dialogs: HashMap<(String, String), LegId>,
    registrations: BTreeMap<RegistrationId, Registration>,
    messages: BTreeMap<MessageId, Outgoing>,
    pings: BTreeMap<PingId, Pinging>,
    pub(crate) watch: Watch,
    pub(crate) registry: Registry,
}

impl Endpoint {
    /// `seed` must come from the operating system's randomness: tags, branches and cnonces are made of it.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            cx: Context::new(config, seed),
            admission: Admission::Open,
            sources: Sources::Any,
            next_id: 0,
            legs: BTreeMap::new(),
            dialogs: HashMap::new(),
            registrations: BTreeMap::new(),
            messages: BTreeMap::new(),
            pings: BTreeMap::new(),
            watch: Watch::default(),
            registry: Registry::default(),
        }
    }

    /// One whole message that came by `path`. Never fails: what is wrong is counted, or answered.
    pub fn handle_message(&mut self, now: Instant, path: Path, bytes: &[u8]) {
        self.cx.stats.received += 1;
        // Before anything is read or kept: a scanner costs a comparison.
        if !bytes.starts_with(b"SIP/2.0 ") && self.is_shut_out(now, path.remote.ip()) {
            return;
        }
        if bytes.len() > self.cx.config.max_message {
            self.cx.stats.malformed += 1;
            return;
        }
        match parse(bytes) {
            Ok(Message::Request(request)) => match Head::of_request(&request) {
                Ok(head) => self.request(now, path, &request, &head),
                Err(defect) => self.guarded_bad_request(now, path, &request, defect),
            },
            Ok(Message::Response(response)) => match Head::of_response(&response) {
                Ok(head) => self.response(now, &response, &head),
                Err(_) => self.cx.stats.malformed += 1,
            },
            Err(ParseError::BadRequest { defect, request }) => {
                self.guarded_bad_request(now, path, &request, defect)
            }
            Err(ParseError::KeepAlive) => {}
            Err(ParseError::NotSip | ParseError::BadResponse(_)) => self.cx.stats.malformed += 1,
        }
    }

    /// The beginning of a message on a stream whose end nobody can tell (§18.3): it is answered where it can be, and
    /// the connection has to be closed behind the answer.
    #[cfg(feature = "net")]
    pub(crate) fn handle_unframed(&mut self, now: Instant, path: Path, head: &[u8], defect: Defect) {
        if self.is_shut_out(now, path.remote.ip()) {
            return;
        }
        match parse(head) {
            Ok(Message::Request(request)) => self.guarded_bad_request(now, path, &request, defect),
            Err(ParseError::BadRequest { request, .. }) => {
                self.guarded_bad_request(now, path, &request, defect);
            }
            _ => self.cx.stats.malformed += 1,
        }
    }

    fn is_shut_out(&mut self, now: Instant, ip: IpAddr) -> bool {
        let (is_stranger, is_banned) = (!self.sources.allows(ip), self.watch.is_banned(now, ip));
        self.cx.stats.strangers += u64::from(is_stranger);
        self.cx.stats.refused_by_guard += u64::from(is_banned && !is_stranger);
        is_stranger || is_banned
    }

    #[cfg(feature = "net")]
    pub(crate) fn is_banned(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.watch.is_banned(now, ip)
    }

    /// Are requests taken from there? See [`set_sources`](Self::set_sources).
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.sources.allows(ip)
    }

    /// Everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.cx.timers.pop_due(now) {
            match timer {
                Timer::Retransmit(id) if self.cx.transactions.client(id).is_some() => {
                    self.cx.client_retransmit(now, id);
                }
                Timer::Retransmit(id) => self.cx.server_retransmit(now, id),
                Timer::GiveUp(id) if self.cx.transactions.client(id).is_some() => {
                    self.undelivered(now, id, 408);
                }
                // Timer H: no ACK for a failure. §17.2.1 tells the user, who can do nothing.
                Timer::GiveUp(id) | Timer::Forget(id) => {
                    if !self.cx.forget_server(id) {
                        self.cx.forget_client(id);
                    }
                }
                Timer::Leg(leg, which) => self.with_leg(leg, |leg, cx| leg.timer(now, cx, which)),
                Timer::Bindings => self.bindings_due(now),
                Timer::Registration(one) => self.with_registration(one, |one, cx| one.timer(now, cx)),
            }
        }
    }

    /// The transport could not send by this path (§18.4): whatever waits for a first answer there fails now, and
    /// not after 32 s.
    pub fn handle_transport_error(&mut self, now: Instant, path: Path) {
        for id in self.cx.transactions.unanswered_on(path) {
            if !self.cx.client_fall_back(now, id) {
                self.undelivered(now, id, 503);
            }
        }
    }

    /// A connection that stood is gone: what waits there for a first answer fails, and registrations that went over it
    /// go out again.
    pub fn handle_flow_lost(&mut self, now: Instant, path: Path) {
        self.cx.emit(Event::FlowLost { path });
        self.handle_transport_error(now, path);
        for registration in self.registrations.values_mut() {
            registration.flow_lost(now, &mut self.cx, path);
        }
        self.bindings_lost(now, path);
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.cx.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.cx.timers.next()
    }

    /// Registers, and keeps the registration refreshed until [`unregister`](Self::unregister).
    pub fn register(&mut self, now: Instant, register: Register) -> RegistrationId {
        let id = RegistrationId(self.next_id());
        let registration = Registration::start(now, &mut self.cx, id, register);
        self.registrations.insert(id, registration);
        id
    }

    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {
        self.with_registration(id, |registration, cx| registration.leave(now, cx));
    }

    /// From now on the registration goes this way: its servers have another address. It registers there at once, and what
    /// is out on the old way is given up.
    pub fn move_registration(&mut self, now: Instant, id: RegistrationId, path: Path) {
        self.with_registration(id, |registration, cx| registration.move_to(now, cx, path));
    }

    /// The addresses that others reach us by, from now on. Registrations whose Contact they change are refreshed at once, and
    /// take the old Contact back. A call keeps what it has said.
    pub fn set_advertised(&mut self, now: Instant, advertised: Vec<Advertised>) {
        self.cx.config.advertised = advertised;
        for registration in self.registrations.values_mut() {
            registration.contact_may_have_changed(now, &mut self.cx);
        }
    }

    /// A UDP socket of ours is seen from outside by this address: it stands in Via and Contact towards all who are not in our own
    /// network, where `Config::advertised` says nothing else. Registrations are refreshed at once.
    pub fn set_public_address(&mut self, now: Instant, local: SocketAddr, public: SocketAddr) {
        let known = self.cx.public.iter_mut().find(|(bound, _)| *bound == local);
        match known {
            Some((_, known)) if *known == public => return,
            Some((_, known)) => *known = public,
            None => self.cx.public.push((local, public)),
        }
        self.cx.emit(Event::PublicAddress { transport: Transport::Udp, local, addr: public });
        for registration in self.registrations.values_mut() {
            registration.contact_may_have_changed(now, &mut self.cx);
        }
    }

    /// Asks by OPTIONS whether somebody is there. [`Event::Pong`] brings the answer, after 32 s at the latest.
    pub fn ping(&mut self, now: Instant, ping: Ping) -> PingId {
        let id = PingId(self.next_id());
        let pinging = Pinging::send(now, &mut self.cx, id, ping);
        self.pings.insert(id, pinging);
        id
    }

    /// Places a call. Its outcome comes as events, `Ended` at the latest.
    pub fn invite(&mut self, now: Instant, invite: Invite) -> LegId {
        let id = LegId(self.next_id());
        let leg = Leg::call(now, &mut self.cx, id, invite);
        self.dialogs.insert(leg.dialog_key(), id);
        self.legs.insert(id, leg);
        id
    }

    /// The way to the place of an [`Event::Redirected`]. `None`: there is none, and the next place is tried, or the call ends.
    pub fn redirect(&mut self, now: Instant, leg: LegId, path: Option<Path>) {
        self.with_leg(leg, |leg, cx| leg.redirect(now, cx, path));
    }

    /// 180, or 183 with a body for early media. Does nothing once the call is answered.
    pub fn ring(&mut self, now: Instant, leg: LegId, status: u16, body: Option<Body>) {
        self.with_leg(leg, |leg, cx| leg.ring(now, cx, status, body));
    }

    /// 200 with the answer (or, to an INVITE without offer, with ours). On a call of ours that was placed without offer:
    /// the ACK, with the answer to what `Answered` brought.
    pub fn answer(&mut self, now: Instant, leg: LegId, body: Body) {
        self.with_leg(leg, |leg, cx| leg.answer(now, cx, body));
    }

    /// Refuses an inbound call that is not answered yet.
    pub fn reject(&mut self, now: Instant, leg: LegId, reject: impl Into<Reject>) {
        let reject = reject.into();
        self.with_leg(leg, |leg, cx| leg.reject(now, cx, reject));
    }

    /// Agrees to an [`Event::Reoffer`].
    pub fn accept_offer(&mut self, now: Instant, leg: LegId, body: Body) {
        self.with_leg(leg, |leg, cx| leg.accept_offer(now, cx, body));
    }

    /// Refuses an [`Event::Reoffer`]; the call goes on as it was. 488, unless `status` is another failure.
    pub fn refuse_offer(&mut self, now: Instant, leg: LegId, status: u16) {
        self.with_leg(leg, |leg, cx| leg.refuse_offer(now, cx, status));
    }

    /// re-INVITE with a new offer (hold, resume); before the call is answered UPDATE, where the first offer has been answered
    /// reliably and the peer takes one. [`Event::Reanswer`] brings the outcome; 491 when it is not the time.
    pub fn reoffer(&mut self, now: Instant, leg: LegId, body: Body) {
        self.with_leg(leg, |leg, cx| leg.reoffer(now, cx, body));
    }

    /// One key by INFO. `digit` is one of `0-9 * # A-D`; anything else is passed over.
    pub fn send_dtmf(&mut self, now: Instant, leg: LegId, digit: char, duration: Duration) {
        self.with_leg(leg, |leg, cx| leg.send_dtmf(now, cx, digit, duration));
    }

    /// Sends the peer on to another (blind transfer): [`Event::ReferProgress`] tells how it fares. The call goes on meanwhile.
    pub fn refer(&mut self, now: Instant, leg: LegId, to: Uri) {
        let to = NameAddr::from(to).to_string();
        self.with_leg(leg, |leg, cx| leg.refer(now, cx, to));
    }

    /// Sends the peer on to whom we talk to in `other`, in our place (attended transfer, RFC 5589 §7).
    pub fn refer_to_leg(&mut self, now: Instant, leg: LegId, other: LegId) {
        match self.legs.get(&other).and_then(Leg::as_refer_to) {
            Some(to) => self.with_leg(leg, |leg, cx| leg.refer(now, cx, to)),
            None => self.with_leg(leg, |leg, cx| leg.refuse_own_refer(cx)),
        }
    }

    /// Agrees to an [`Event::Refer`].
    pub fn accept_refer(&mut self, now: Instant, leg: LegId) {
        self.with_leg(leg, |leg, cx| leg.accept_refer(now, cx));
    }

    /// Refuses an [`Event::Refer`]. 603, unless `status` is another failure.
    pub fn refuse_refer(&mut self, now: Instant, leg: LegId, status: u16) {
        self.with_leg(leg, |leg, cx| leg.refuse_refer(now, cx, status));
    }

    /// Tells the peer how the call fares that it asked for. A status from 200 on is the last.
    pub fn refer_progress(&mut self, now: Instant, leg: LegId, status: u16) {
        self.with_leg(leg, |leg, cx| leg.refer_progress(now, cx, status));
    }

    /// Ends a call in whatever state it is. `Ended` follows at once; the last messages go on behind it.
    pub fn hangup(&mut self, now: Instant, leg: LegId, reason: Option<ReasonHeader>) {
        self.with_leg(leg, |leg, cx| leg.hangup(now, cx, reason));
    }

    /// Sends a MESSAGE, once: [`Event::MessageResult`] brings the outcome, and to try again is the program's to decide.
    pub fn message(&mut self, now: Instant, message: SendMessage) -> MessageId {
        let id = MessageId(self.next_id());
        if let Some(outgoing) = Outgoing::send(now, &mut self.cx, id, message) {
            self.messages.insert(id, outgoing);
        }
        id
    }

    /// Answers an [`Event::Message`]: a status alone, or all that a [`MessageReply`] says.
    pub fn answer_message(&mut self, now: Instant, id: RequestId, reply: impl Into<MessageReply>) {
        if let Some(id) = self.cx.transactions.waiting(id.0, &Method::Message) {
            pager::answer(now, &mut self.cx, id, reply.into());
        }
    }

    pub fn set_admission(&mut self, admission: Admission) {
        self.admission = admission;
    }

    /// From where requests are taken, from now on: those inside a call as well, so the list must hold every address
    /// that a trunk signals from. A trunk's addresses change; this may be called at any time.
    pub fn set_sources(&mut self, sources: Sources) {
        self.sources = sources;
    }

    /// Drops every request from there, calls or not, for so long; responses still come through.
    pub fn ban(&mut self, now: Instant, ip: IpAddr, time: Duration) {
        self.watch.ban(now, ip, time);
        self.cx.emit(Event::Banned { ip, reason: BanReason::Told, time });
    }

    pub fn unban(&mut self, ip: IpAddr) {
        self.watch.unban(ip);
    }

    /// Who is banned, and for how long yet. Of an IPv6 address the /64.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Duration)> {
        self.watch.bans(now)
    }

    pub fn stats(&self) -> Stats {
        Stats {
            legs: self.legs.len(),
            transactions: self.cx.transactions.len(),
            registrations: self.registrations.len(),
            bindings: self.registry.bindings(),
            ..self.cx.stats
        }
    }

    /// Every leg that the program has not heard the end of, or that still has manners to keep.
    pub fn legs(&self) -> impl Iterator<Item = LegId> {
        self.legs.keys().copied()
    }

    /// Every registration.
    pub fn registrations(&self) -> impl Iterator<Item = RegistrationId> {
        self.registrations.keys().copied()
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn with_leg(&mut self, id: LegId, act: impl FnOnce(&mut Leg, &mut Context)) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        act(leg, &mut self.cx);
        if leg.is_gone() {
            self.dialogs.remove(&leg.dialog_key());
            self.legs.remove(&id);
        }
    }

    fn with_registration(&mut self, id: RegistrationId, act: impl FnOnce(&mut Registration, &mut Context)) {
        let Some(registration) = self.registrations.get_mut(&id) else {
            return;
        };
        act(registration, &mut self.cx);
        if registration.is_gone() {
            self.registrations.remove(&id);
        }
    }

    fn undelivered(&mut self, now: Instant, id: TransactionId, status: u16) {
        match self.cx.client_give_up(id) {
            Some(Owner::Leg(leg)) => self.with_leg(leg, |leg, cx| leg.undelivered(now, cx, id, status)),
            Some(Owner::Registration(one)) => {
                self.with_registration(one, |one, cx| one.undelivered(now, cx, id, status));
            }
            Some(Owner::Message(id)) => {
                if let Some(message) = self.messages.remove(&id) {
                    message.undelivered(&mut self.cx, status);
                }
            }
            Some(Owner::Ping(id)) => {
                if let Some(ping) = self.pings.remove(&id) {
                    ping.undelivered(&mut self.cx, status);
                }
            }
            Some(Owner::Nobody) | None => {}
        }
    }

    fn guarded_bad_request(&mut self, now: Instant, path: Path, request: &Request, defect: Defect) {
        if !self.is_kept_out(now, path, request) {
            self.bad_request(path, request, defect);
        }
    }

    fn bad_request(&mut self, path: Path, request: &Request, defect: Defect) {
        self.cx.stats.malformed += 1;
        // §8.2.6.2: the Vias of a response are those of its request. One without any is read by nobody.
        if request.headers.get(name::VIA).is_none_or(|via| via.is_empty()) {
            return;
        }
        let status = match defect {
            Defect::Version => 505,
            Defect::TooLong => 513,
            _ => 400,
        };
        self.cx.respond_stateless(path, request, status, Some(&defect.to_string()), &[]);
    }

    fn response(&mut self, now: Instant, response: &Response, head: &Head) {
        // §8.1.3.3: more than one Via means that it was meant for somebody before us.
        if head.vias != 1 {
            self.cx.stats.stray_responses += 1;
            return;
        }
        let Some(matched) = self.cx.client_response(now, response, head) else {
            return;
        };
        match matched.owner {
            Owner::Leg(leg) => {
                self.with_leg(leg, |leg, cx| leg.response(now, cx, matched.id, response, head));
            }
            Owner::Registration(one) => {
                self.with_registration(one, |one, cx| one.response(now, cx, matched.id, response));
            }
            Owner::Message(id) => {
                if let Some(message) = self.messages.get_mut(&id)
                    && message.response(now, &mut self.cx, matched.id, response)
                {
                    self.messages.remove(&id);
                }
            }
            Owner::Ping(id) => {
                if let Some(ping) = self.pings.get(&id)
                    && ping.response(now, &mut self.cx, response)
                {
                    self.pings.remove(&id);
                }
            }
            Owner::Nobody => {}
        }
    }

    fn request(&mut self, now: Instant, path: Path, request: &Request, head: &Head) {
        let key = ServerKey::of(request, head);
        match request.method {
            Method::Ack => return self.ack(now, request, head, &key),
            _ if self.cx.transactions.server_of(&key).is_some() => {
                if let Some(id) = self.cx.transactions.server_of(&key) {
                    self.cx.server_retransmission(id);
                }
                return;
            }
            Method::Cancel => return self.cancel(now, path, request, head, key),
            _ => {}
        }
        let mut account = None;
        if head.to.tag().is_none() {
            if self.is_kept_out(now, path, request) {
                return;
            }
            // §8.2.2.2. Before the credentials, which are the same: a count is good for one request.
            if self.cx.transactions.is_merged(head) {
                return self.cx.respond_stateless(path, request, 482, None, &[]);
            }
            account = match self.authenticate(now, path, request, head) {
                Ok(account) => account,
                Err(Refused) => return,
            };
        }
        if !self.is_understood(path, request) {
            return;
        }
        if head.to.tag().is_some() {
            // A peer inside a call is a stranger too. What ends a call is always let in.
            if self.is_full() && request.method != Method::Bye {
                let after = self.cx.config.overload_retry_after;
                return self.busy(path, request, after);
            }
            let found = self.dialog_of(head);
            return match found {
                Some(leg) => self.with_leg(leg, |leg, cx| leg.request(now, cx, path, key, request, head)),
                // §12.2.2.
                None => self.cx.respond_stateless(path, request, 481, None, &[]),
            };
        }
        match request.method {
            Method::Invite => self.incoming(now, path, key, request, head, account),
            Method::Options => self.options(path, request),
            Method::Message => self.message_outside(now, path, key, request, head, account),
            Method::Register if self.is_full() => {
                self.busy(path, request, self.cx.config.overload_retry_after);
            }
            Method::Register => {
                if let Some(username) = account {
                    self.register_phone(now, path, key, request, head, &username);
                }
            }
            // §15.1.2 and their like: these speak of a dialog, and there is none.
            _ => self.cx.respond_stateless(path, request, 481, None, &[]),
        }
    }

    /// Does the guard refuse a request that would begin something?
    fn is_kept_out(&mut self, now: Instant, path: Path, request: &Request) -> bool {
        let ip = path.remote.ip();
        let guard = &self.cx.config.guard;
        let agent = request.headers.get(name::USER_AGENT).unwrap_or_default();
        let verdict = self.watch.judge(now, guard, ip, &agent);
        if verdict == Verdict::Pass {
            return false;
        }
        let reason = if let Verdict::Ban(reason) = verdict { Some(reason) } else { None };
        self.shut_out(path, request, reason);
        true
    }

    /// Silence, or 403; and the program is told of a ban.
    pub(crate) fn shut_out(&mut self, path: Path, request: &Request, ban: Option<BanReason>) {
        self.cx.stats.refused_by_guard += 1;
        let Guard { ban: time, answer, .. } = self.cx.config.guard;
        if let Some(reason) = ban {
            self.cx.emit(Event::Banned { ip: path.remote.ip(), reason, time });
        }
        if answer {
            self.cx.respond_stateless(path, request, 403, None, &[]);
        }
    }

    /// §8.2.1 – §8.2.3.
    fn is_understood(&mut self, path: Path, request: &Request) -> bool {
        let refuse = |cx: &mut Context, status, extra: &[(&str, String)]| {
            cx.respond_stateless(path, request, status, None, extra);
            false
        };
        match request.method {
            Method::Invite | Method::Bye | Method::Options | Method::Update | Method::Info => {}
            Method::Prack if self.cx.config.reliable_provisional => {}
            Method::Notify => {}
            Method::Register if self.cx.config.registrar.is_some() => {}
            Method::Refer if self.cx.config.take_refers => {}
            Method::Message if !self.cx.config.message_types.is_empty() => {}
            // §21.5.2: 501 for what nobody here has heard of, 405 for what we know and do not do.
            _ => {
                let status = if matches!(request.method, Method::Other(_)) { 501 } else { 405 };
                let allow = self.cx.allow();
                return refuse(&mut self.cx, status, &[(name::ALLOW, allow)]);
            }
        }
        if matches!(request.uri, Uri::Other(_)) {
            return refuse(&mut self.cx, 416, &[]);
        }
        // §8.2.2.3.
        let mut known = self.cx.extensions();
        if request.method == Method::Register {
            known.push("path");
        }
        let mut required = request.headers.list(name::REQUIRE);
        required.retain(|option| !known.iter().any(|one| one.eq_ignore_ascii_case(option)));
        if !required.is_empty() {
            return refuse(&mut self.cx, 420, &[(name::UNSUPPORTED, required.join(", "))]);
        }
        // §8.2.3.
        let identity = |encoding: &String| encoding.eq_ignore_ascii_case("identity");
        if !request.headers.list(name::CONTENT_ENCODING).iter().all(identity) {
            return refuse(&mut self.cx, 415, &[(name::ACCEPT_ENCODING, "identity".into())]);
        }
        let offers = matches!(request.method, Method::Invite | Method::Update);
        if offers && !request.body.is_empty() && !carries_sdp(request) {
            return refuse(&mut self.cx, 415, &[(name::ACCEPT, "application/sdp".into())]);
        }
        if request.method == Method::Message
            && let Some((status, extra)) = pager::refusal(&self.cx, request)
        {
            return refuse(&mut self.cx, status, &extra);
        }
        true
    }

    fn incoming(
        &mut self,
        now: Instant,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
        account: Option<String>,
    ) {
        let full = self.legs.len() >= self.cx.config.max_legs || self.is_full();
        let refusal = match self.admission {
            Admission::Draining { retry_after } => Some(retry_after),
            Admission::Open if full => Some(self.cx.config.overload_retry_after),
            Admission::Open => None,
        };
        if let Some(after) = refusal {
            self.cx.stats.refused_admission += 1;
            return self.busy(path, request, after);
        }
        let replaces = match self.replaced(request) {
            Ok(replaces) => replaces,
            Err(status) => return self.cx.respond_stateless(path, request, status, None, &[]),
        };
        let id = LegId(self.next_id());
        if let Some((leg, call)) = Leg::incoming(now, &mut self.cx, id, path, key, request, head) {
            let registration = self.registration_of(path, &call.request_uri);
            let request = Box::new(IncomingCall { registration, replaces, account, ..call });
            self.cx.emit(Event::Incoming { leg: id, request });
            self.dialogs.insert(leg.dialog_key(), id);
            self.legs.insert(id, leg);
        }
    }

    /// The registration whose Contact is called. Of several with the same user the one at this far end.
    fn registration_of(&self, path: Path, called: &Uri) -> Option<RegistrationId> {
        let mut all = self.registrations.iter().filter(|(_, one)| one.is_called(called));
        let first = all.next()?;
        let same_end = |(_, one): &(&RegistrationId, &Registration)| one.is_with(path.remote.ip());
        match all.next() {
            None => Some(*first.0),
            Some(second) => {
                let mut near = [first, second].into_iter().chain(all).filter(same_end);
                let found = near.next()?;
                near.next().is_none().then_some(*found.0)
            }
        }
    }

    fn message_outside(
        &mut self,
        now: Instant,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
        account: Option<String>,
    ) {
        let refusal = match self.admission {
            Admission::Draining { retry_after } => Some(retry_after),
            Admission::Open => self.is_full().then_some(self.cx.config.overload_retry_after),
        };
        match refusal {
            Some(after) => self.busy(path, request, after),
            None => pager::take(now, &mut self.cx, path, key, request, head, Sender::Account(account)),
        }
    }

    /// RFC 3891 §3: the call that an INVITE wants to replace, or why it cannot.
    fn replaced(&self, request: &Request) -> Result<Option<LegId>, u16> {
        if !self.cx.config.take_replaces {
            return Ok(None);
        }
        let Some(replaces) = Replaces::of(&request.headers).map_err(|_| 400_u16)? else {
            return Ok(None);
        };
        let early_only = replaces.early_only;
        let id = self.leg_of(replaces).ok_or(481_u16)?;
        self.legs[&id].may_be_replaced(early_only).map(|()| Some(id))
    }

    /// The leg of ours whose dialog that is, as its far end names it.
    pub fn leg_of(&self, dialog: Replaces) -> Option<LegId> {
        let id = *self.dialogs.get(&(dialog.call_id, dialog.to_tag))?;
        self.legs.get(&id)?.is_peer(Some(&dialog.from_tag)).then_some(id)
    }

    fn is_full(&self) -> bool {
        self.cx.transactions.len() >= self.cx.config.max_transactions
    }

    /// §11.2: as an INVITE would fare.
    fn options(&mut self, path: Path, request: &Request) {
        if let Admission::Draining { retry_after } = self.admission {
            return self.busy(path, request, retry_after);
        }
        let extra = [
            (name::ALLOW, self.cx.allow()),
            (name::ACCEPT, "application/sdp".to_owned()),
            (name::ACCEPT_ENCODING, "identity".to_owned()),
            (name::ACCEPT_LANGUAGE, "en".to_owned()),
            (name::SUPPORTED, self.cx.extensions().join(", ")),
        ];
        self.cx.respond_stateless(path, request, 200, None, &extra);
    }

    fn busy(&mut self, path: Path, request: &Request, after: Duration) {
        let seconds = after.as_secs().max(1).to_string();
        self.cx.respond_stateless(path, request, 503, None, &[(name::RETRY_AFTER, seconds)]);
    }

    fn ack(&mut self, now: Instant, request: &Request, head: &Head, key: &ServerKey) {
        if let Some(id) = self.cx.transactions.server_of(&key.of_invite())
            && self.cx.server_ack(now, id) == AckFor::Failure
        {
            return;
        }
        match self.dialog_of(head) {
            Some(leg) => self.with_leg(leg, |leg, cx| leg.ack(now, cx, request, head)),
            None => self.cx.stats.stray_acks += 1,
        }
    }

    /// §9.2.
    fn cancel(&mut self, now: Instant, path: Path, request: &Request, head: &Head, key: ServerKey) {
        let invite = self.cx.transactions.server_of(&key.of_invite());
        let Some((invite, leg, tag)) = invite.and_then(|id| self.invite_of(id)) else {
            return self.cx.respond_stateless(path, request, 481, None, &[]);
        };
        let id = self.cx.open_server(path, key, request, head, &tag, Some(leg));
        self.cx.respond_status(now, id, 200);
        self.with_leg(leg, |leg, cx| leg.cancelled(now, cx, invite, request));
    }

    fn invite_of(&self, id: TransactionId) -> Option<(TransactionId, LegId, String)> {
        let server = self.cx.transactions.server(id)?;
        Some((id, server.leg()?, server.tag().to_owned()))
    }

    fn dialog_of(&self, head: &Head) -> Option<LegId> {
        let tag = head.to.tag()?.to_owned();
        let id = *self.dialogs.get(&(head.call_id.clone(), tag))?;
        self.legs.get(&id).filter(|leg| leg.is_peer(head.from.tag())).map(|_| id)
    }
}

/// The body is for the program, which reads SDP, alone or inside a multipart.
fn carries_sdp(request: &Request) -> bool {
    let kind = request.headers.get(name::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/sdp" || kind.starts_with("multipart/")
}
