//! Client transactions: RFC 3261 §17.1, with the Accepted state of RFC 6026 §7.2.
//!
//! ```text
//! INVITE       Calling ─1xx─► Proceeding ─2xx─► Accepted ──M──► gone
//!                 │ └──────────────┴─3xx–6xx─► Completed ──D──► gone
//!                 └─B─► gone, owner told
//! others       Trying ─1xx─► Proceeding ─final─► Completed ──K──► gone
//!                 └───────────────┴─F─► gone, owner told
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Owner, TransactionId};
use crate::config::Path;
use crate::context::Context;
use crate::message::{Head, Headers, Method, Request, Response, name};
use crate::timer::Timer;

/// §17.1.1.2: at least 32 s for unreliable transports.
const TIMER_D: Duration = Duration::from_secs(32);

/// How long a peer without TCP is spared the next attempt.
const UDP_ONLY: Duration = Duration::from_secs(600);
const MOST_UDP_ONLY: usize = 1_024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// INVITE: Calling. Others: Trying.
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

#[derive(Debug)]
pub(crate) struct Client {
    owner: Owner,
    path: Path,
    /// §18.1.1: too large for this way, which is the second choice.
    fallback: Option<Path>,
    /// With its Via: ACK and CANCEL are cut from it.
    request: Request,
    branch: String,
    bytes: Bytes,
    state: State,
    interval: Duration,
    ack: Option<Bytes>,
    /// The owner is gone, and no provisional response keeps it alive.
    limited: bool,
}

impl Client {
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    pub(crate) fn is_unanswered_on(&self, path: Path) -> bool {
        self.state == State::Calling && self.path == path
    }

    fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    /// §17.1.1.3 and §9.1: same Request-URI, Via, From, Call-ID, Route and CSeq number.
    fn derive(&self, method: Method) -> Request {
        let from = &self.request.headers;
        let mut headers = Headers::new();
        for one in [name::VIA, name::MAX_FORWARDS, name::ROUTE, name::FROM, name::TO, name::CALL_ID] {
            headers.copy_from(from, one);
        }
        let number =
            from.get(name::CSEQ).and_then(|v| v.split(' ').next().map(str::to_owned)).unwrap_or_default();
        headers.push(name::CSEQ, format!("{number} {method}"));
        // Whoever let the INVITE through wants to see why the ACK may pass (§22.1).
        headers.copy_from(from, name::AUTHORIZATION);
        headers.copy_from(from, name::PROXY_AUTHORIZATION);
        headers.copy_from(from, name::USER_AGENT);
        Request { method, uri: self.request.uri.clone(), headers, body: Bytes::new() }
    }
}

/// A response that found its transaction.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) id: TransactionId,
    pub(crate) owner: Owner,
}

impl Context {
    /// Sends a request in a transaction of its own. The caller leaves out Via, Max-Forwards and User-Agent.
    pub(crate) fn send_request(
        &mut self,
        now: Instant,
        path: Path,
        mut request: Request,
        owner: Owner,
    ) -> TransactionId {
        let branch = format!("{}{}", crate::message::MAGIC_COOKIE, self.random.token());
        self.dress(path, &branch, &mut request);
        self.start_client(now, path, request, branch, owner)
    }

    /// A request without a transaction: the ACK for a 2xx (§13.2.2.4).
    pub(crate) fn send_ack(&mut self, path: Path, mut request: Request) -> Bytes {
        let branch = format!("{}{}", crate::message::MAGIC_COOKIE, self.random.token());
        self.dress(path, &branch, &mut request);
        let bytes = request.to_bytes();
        self.transmit(path, bytes.clone());
        bytes
    }

    /// CANCEL of an INVITE that has had a provisional response: its own transaction with the INVITE's branch
    /// (§9.1).
    pub(crate) fn send_cancel(&mut self, now: Instant, invite: TransactionId, reason: Option<String>) {
        let Some(client) = self.transactions.client(invite) else {
            return;
        };
        let mut cancel = client.derive(Method::Cancel);
        let (path, branch) = (client.path, client.branch.clone());
        if let Some(reason) = reason {
            cancel.headers.push(name::REASON, reason);
        }
        self.start_client(now, path, cancel, branch, Owner::Nobody);
    }

    fn dress(&mut self, path: Path, branch: &str, request: &mut Request) {
        let mut headers = Headers::new();
        headers.push(name::VIA, self.via(path, branch));
        headers.push(name::MAX_FORWARDS, 70);
        for (one, value) in request.headers.iter() {
            headers.push_raw(one, value.clone());
        }
        headers.push(name::USER_AGENT, &self.config.user_agent);
        request.headers = headers;
    }

    fn start_client(
        &mut self,
        now: Instant,
        path: Path,
        mut request: Request,
        branch: String,
        owner: Owner,
    ) -> TransactionId {
        let id = self.transactions.next_id();
        let mut bytes = request.to_bytes();
        let better = self.path_for(now, path, bytes.len());
        let (path, fallback) = better.map_or((path, None), |better| (better, Some(path)));
        if fallback.is_some() {
            request.headers.replace_first(name::VIA, self.via(path, &branch));
            bytes = request.to_bytes();
        }
        let t1 = self.config.timers.t1;
        if !path.transport.is_reliable() {
            self.timers.set(Timer::Retransmit(id), now + t1);
        }
        // Timer B, Timer F.
        self.timers.set(Timer::GiveUp(id), now + 64 * t1);
        self.transactions.client_keys.insert((branch.clone(), request.method.clone()), id);
        self.transmit(path, bytes.clone());
        let client = Client {
            owner,
            path,
            fallback,
            request,
            branch,
            bytes,
            state: State::Calling,
            interval: t1,
            ack: None,
            limited: false,
        };
        self.transactions.clients.insert(id, client);
        id
    }

    /// §18.1.1: nobody takes a large request by TCP, so it goes by UDP after all. `false`: there is no second way.
    pub(crate) fn client_fall_back(&mut self, now: Instant, id: TransactionId) -> bool {
        let Some((path, failed, branch)) = self
            .transactions
            .clients
            .get_mut(&id)
            .and_then(|client| Some((client.fallback.take()?, client.path, client.branch.clone())))
        else {
            return false;
        };
        self.udp_only.retain(|_, until| now < *until);
        if self.udp_only.len() < MOST_UDP_ONLY {
            self.udp_only.insert(failed.remote, now + UDP_ONLY);
        }
        let via = self.via(path, &branch);
        let timers = self.config.timers;
        if let Some(client) = self.transactions.clients.get_mut(&id) {
            client.request.headers.replace_first(name::VIA, via);
            client.bytes = client.request.to_bytes();
            client.path = path;
            let bytes = client.bytes.clone();
            self.timers.set(Timer::Retransmit(id), now + timers.t1);
            self.timers.set(Timer::GiveUp(id), now + 64 * timers.t1);
            self.transmit(path, bytes);
        }
        true
    }

    /// Finds the transaction of a response and moves it on. `Some` when the owner must see the response.
    pub(crate) fn client_response(
        &mut self,
        now: Instant,
        response: &Response,
        head: &Head,
    ) -> Option<Matched> {
        let found = head.via.branch().and_then(|branch| {
            self.transactions.client_keys.get(&(branch.to_owned(), head.cseq.method.clone())).copied()
        });
        let Some(id) = found else {
            self.stats.stray_responses += 1;
            return None;
        };
        let timers = self.config.timers;
        let client = self.transactions.clients.get_mut(&id)?;
        let matched = Matched { id, owner: client.owner };
        let reliable = client.path.transport.is_reliable();
        let linger = |time: Duration| if reliable { Duration::ZERO } else { time };
        match (client.state, client.is_invite(), response.status) {
            // §17.1.1.2: the first provisional response ends retransmission and Timer B.
            (State::Calling | State::Proceeding, true, 100..=199) => {
                client.state = State::Proceeding;
                self.timers.stop(Timer::Retransmit(id));
                if !client.limited {
                    self.timers.stop(Timer::GiveUp(id));
                }
                Some(matched)
            }
            // RFC 6026 §7.2: stay for Timer M, so that every 2xx of every fork gets up to the owner.
            (State::Calling | State::Proceeding, true, 200..=299) => {
                client.state = State::Accepted;
                self.stop_client(id);
                self.timers.set(Timer::Forget(id), now + 64 * timers.t1);
                Some(matched)
            }
            (State::Accepted, true, 200..=299) => Some(matched),
            // §17.1.1.3: the ACK for a failure belongs to the transaction.
            (State::Calling | State::Proceeding, true, 300..) => {
                client.state = State::Completed;
                let mut ack = client.derive(Method::Ack);
                ack.headers.remove(name::TO);
                ack.headers.copy_from(&response.headers, name::TO);
                let (path, bytes) = (client.path, ack.to_bytes());
                client.ack = Some(bytes.clone());
                self.stop_client(id);
                self.timers.set(Timer::Forget(id), now + linger(TIMER_D));
                self.transmit(path, bytes);
                Some(matched)
            }
            (State::Completed, true, 300..) => {
                if let Some(ack) = client.ack.clone() {
                    let path = client.path;
                    self.transmit(path, ack);
                }
                None
            }
            // §17.1.2.2: Timer E goes on at T2, Timer F keeps running.
            (State::Calling | State::Proceeding, false, 100..=199) => {
                client.state = State::Proceeding;
                client.interval = timers.t2;
                Some(matched)
            }
            (State::Calling | State::Proceeding, false, _) => {
                client.state = State::Completed;
                self.stop_client(id);
                self.timers.set(Timer::Forget(id), now + linger(timers.t4));
                Some(matched)
            }
            _ => None,
        }
    }

    /// Timers A and E.
    pub(crate) fn client_retransmit(&mut self, now: Instant, id: TransactionId) {
        let t2 = self.config.timers.t2;
        let Some(client) = self.transactions.clients.get_mut(&id) else {
            return;
        };
        client.interval *= 2;
        if !client.is_invite() {
            // §17.1.2.2: MIN(2*MIN, T2); an INVITE doubles until Timer B (§17.1.1.2).
            client.interval = client.interval.min(t2);
        }
        let (path, bytes, interval) = (client.path, client.bytes.clone(), client.interval);
        self.timers.set(Timer::Retransmit(id), now + interval);
        self.stats.retransmits_sent += 1;
        self.transmit(path, bytes);
    }

    /// The owner is gone. An INVITE that had a provisional response has no timer of its own (§17.1.1.2), so it gets
    /// one: long enough to acknowledge the failure that the end of the call brings, and not for ever.
    pub(crate) fn limit_client(&mut self, now: Instant, id: TransactionId) {
        let Some(client) = self.transactions.clients.get_mut(&id) else {
            return;
        };
        client.limited = true;
        // One that has had no response has its Timer B.
        if client.is_proceeding() {
            self.timers.set(Timer::GiveUp(id), now + 64 * self.config.timers.t1);
        }
    }

    /// Timers B and F: the owner is told.
    pub(crate) fn client_give_up(&mut self, id: TransactionId) -> Option<Owner> {
        self.stats.timeouts += 1;
        self.forget_client(id).map(|client| client.owner)
    }

    /// Timers D, K and M; or the owner needs it no more.
    pub(crate) fn forget_client(&mut self, id: TransactionId) -> Option<Client> {
        self.stop_client(id);
        self.timers.stop(Timer::Forget(id));
        let client = self.transactions.clients.remove(&id)?;
        self.transactions.client_keys.remove(&(client.branch.clone(), client.request.method.clone()));
        Some(client)
    }

    fn stop_client(&mut self, id: TransactionId) {
        self.timers.stop(Timer::Retransmit(id));
        self.timers.stop(Timer::GiveUp(id));
    }
}
