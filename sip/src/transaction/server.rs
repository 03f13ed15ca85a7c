//! Server transactions: RFC 3261 §17.2, with the Accepted state of RFC 6026 §7.1.
//!
//! ```text
//! INVITE   Proceeding ─2xx─► Accepted ──L──► gone        (the leg repeats the 2xx)
//!              └─3xx–6xx─► Completed ─ACK─► Confirmed ──I──► gone
//!                              └──H──► gone
//! others   Trying ─final─► Completed ──J──► gone
//! ```
//!
//! What a stranger may cause without a leg is answered statelessly (§8.2.7): a scanner fills no table.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MergeKey, ServerKey, TransactionId};
use crate::config::Path;
use crate::context::{Context, response_path};
use crate::event::LegId;
use crate::message::{Head, Headers, Method, Request, Response, Via, name, phrase, split_list};
use crate::random::hex;
use crate::timer::Timer;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// INVITE: Proceeding. Others: Trying.
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
}

#[derive(Debug)]
pub(crate) struct Server {
    key: ServerKey,
    merge: Option<MergeKey>,
    /// `None`: it is outside any call.
    leg: Option<LegId>,
    path: Path,
    template: Template,
    state: State,
    last: Option<Bytes>,
    interval: Duration,
}

impl Server {
    fn is_invite(&self) -> bool {
        self.key.method == Method::Invite
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.state != State::Proceeding
    }

    pub(crate) fn is_waiting(&self, method: &Method) -> bool {
        self.key.method == *method && !self.is_answered()
    }

    pub(crate) fn leg(&self) -> Option<LegId> {
        self.leg
    }

    /// Where its responses go.
    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// Our half of the dialog, as this transaction answers.
    pub(crate) fn tag(&self) -> &str {
        &self.template.tag
    }
}

/// The headers that every response to a request repeats (§8.2.6.2).
#[derive(Clone, Debug)]
pub(crate) struct Template {
    headers: Headers,
    tag: String,
}

impl Template {
    /// From a request that may be broken: what is there is copied as it came.
    pub(crate) fn new(request: &Request, path: Path, tag: String) -> Self {
        let mut headers = Headers::new();
        let mut first = true;
        for line in request.headers.get_all(name::VIA) {
            if first && let Some(stamped) = stamp(&line, path) {
                headers.push(name::VIA, stamped);
            } else {
                headers.push(name::VIA, line);
            }
            first = false;
        }
        for one in [name::FROM, name::TO, name::CALL_ID, name::CSEQ, name::RECORD_ROUTE, name::TIMESTAMP] {
            headers.copy_from(&request.headers, one);
        }
        Self { headers, tag }
    }

    pub(crate) fn response(&self, status: u16, reason: Option<&str>) -> Response {
        let mut headers = self.headers.clone();
        if status != 100 {
            headers.remove(name::TIMESTAMP);
            let to = headers.get(name::TO).map(std::borrow::Cow::into_owned);
            // A To that was in the dialog keeps its tag.
            if let Some(to) = to.and_then(|to| to.parse::<crate::NameAddr>().ok())
                && to.tag().is_none()
            {
                headers.replace_first(name::TO, to.with_tag(&self.tag));
            }
        }
        // §12.1.1: only what may make a dialog carries the route back.
        if !(101..300).contains(&status) {
            headers.remove(name::RECORD_ROUTE);
        }
        Response { status, reason: reason.unwrap_or(phrase(status)).to_owned(), headers, body: Bytes::new() }
    }
}

fn stamp(line: &str, path: Path) -> Option<String> {
    let mut parts = split_list(line);
    let first = parts.first_mut()?;
    let mut via: Via = first.parse().ok()?;
    via.stamp(path.remote);
    let stamped = via.to_string();
    *first = &stamped;
    Some(parts.join(", "))
}

/// What an ACK turned out to be for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckFor {
    /// A failure response: the transaction has taken it.
    Failure,
    /// A 2xx: the leg must see it.
    Dialog,
}

impl Context {
    /// Opens a transaction for a new request. `tag` is our half of the dialog.
    pub(crate) fn open_server(
        &mut self,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
        tag: &str,
        leg: Option<LegId>,
    ) -> TransactionId {
        let id = self.transactions.next_id();
        let merge = head.to.tag().is_none().then(|| MergeKey::of(head));
        if let Some(merge) = &merge {
            self.transactions.merges.insert(merge.clone(), id);
        }
        self.transactions.server_keys.insert(key.clone(), id);
        let server = Server {
            key,
            merge,
            leg,
            path: response_path(path, &head.via),
            template: Template::new(request, path, tag.to_owned()),
            state: State::Proceeding,
            last: None,
            interval: self.config.timers.t1,
        };
        self.transactions.servers.insert(id, server);
        id
    }

    /// The same request again (§17.2.1, §17.2.2): the last response again, if there is one.
    pub(crate) fn server_retransmission(&mut self, id: TransactionId) {
        self.stats.retransmits_received += 1;
        let Some(server) = self.transactions.servers.get(&id) else {
            return;
        };
        // RFC 6026 §7.1: in Accepted the INVITE is absorbed; the leg repeats its 2xx by its own timer.
        if matches!(server.state, State::Proceeding | State::Completed)
            && let Some(bytes) = server.last.clone()
        {
            let path = server.path;
            self.stats.retransmits_sent += 1;
            self.transmit(path, bytes);
        }
    }

    pub(crate) fn server_ack(&mut self, now: Instant, id: TransactionId) -> AckFor {
        let t4 = self.config.timers.t4;
        let Some(server) = self.transactions.servers.get_mut(&id) else {
            return AckFor::Dialog;
        };
        match server.state {
            State::Accepted | State::Proceeding => AckFor::Dialog,
            State::Confirmed => AckFor::Failure,
            State::Completed => {
                // §17.2.1: Timer I absorbs further ACKs.
                server.state = State::Confirmed;
                let linger = if server.path.transport.is_reliable() { Duration::ZERO } else { t4 };
                self.stop_server(id);
                self.timers.set(Timer::Forget(id), now + linger);
                AckFor::Failure
            }
        }
    }

    /// A response of the right shape for this transaction; the caller adds to it and gives it to [`respond`](Self::respond).
    pub(crate) fn response_for(&self, id: TransactionId, status: u16) -> Option<Response> {
        let mut response = self.transactions.server(id)?.template.response(status, None);
        if status > 100 {
            response.headers.push(name::SERVER, &self.config.user_agent);
        }
        Some(response)
    }

    pub(crate) fn respond_status(&mut self, now: Instant, id: TransactionId, status: u16) {
        if let Some(response) = self.response_for(id, status) {
            self.respond(now, id, response);
        }
    }

    /// Sends a response and moves the transaction on. Returns its bytes: a 2xx to INVITE is repeated by the leg.
    pub(crate) fn respond(&mut self, now: Instant, id: TransactionId, response: Response) -> Option<Bytes> {
        let timers = self.config.timers;
        let server = self.transactions.servers.get_mut(&id)?;
        if server.is_answered() {
            return None;
        }
        let bytes = response.to_bytes();
        let path = server.path;
        let reliable = path.transport.is_reliable();
        if response.status >= 200 {
            // Nothing more will be answered: what lingers for 32 s should be small.
            server.template.headers = Headers::new();
        }
        match (response.status, server.is_invite()) {
            (100..=199, _) => server.last = Some(bytes.clone()),
            (200..=299, true) => {
                server.state = State::Accepted;
                server.last = None;
                self.timers.set(Timer::Forget(id), now + 64 * timers.t1);
            }
            (_, true) => {
                server.state = State::Completed;
                server.last = Some(bytes.clone());
                if !reliable {
                    self.timers.set(Timer::Retransmit(id), now + timers.t1);
                }
                self.timers.set(Timer::GiveUp(id), now + 64 * timers.t1);
            }
            (_, false) => {
                server.state = State::Completed;
                server.last = Some(bytes.clone());
                let linger = if reliable { Duration::ZERO } else { 64 * timers.t1 };
                self.timers.stop(Timer::GiveUp(id));
                self.timers.set(Timer::Forget(id), now + linger);
            }
        }
        self.transmit(path, bytes.clone());
        Some(bytes)
    }

    /// Timer G: MIN(2*MIN, T2).
    pub(crate) fn server_retransmit(&mut self, now: Instant, id: TransactionId) {
        let t2 = self.config.timers.t2;
        let Some(server) = self.transactions.servers.get_mut(&id) else {
            return;
        };
        server.interval = (server.interval * 2).min(t2);
        let (path, bytes, interval) = (server.path, server.last.clone(), server.interval);
        if let Some(bytes) = bytes {
            self.timers.set(Timer::Retransmit(id), now + interval);
            self.stats.retransmits_sent += 1;
            self.transmit(path, bytes);
        }
    }

    /// Timers H, I, J and L.
    pub(crate) fn forget_server(&mut self, id: TransactionId) -> bool {
        self.stop_server(id);
        self.timers.stop(Timer::Forget(id));
        let Some(server) = self.transactions.servers.remove(&id) else {
            return false;
        };
        self.transactions.server_keys.remove(&server.key);
        if let Some(merge) = server.merge {
            self.transactions.merges.remove(&merge);
        }
        true
    }

    fn stop_server(&mut self, id: TransactionId) {
        self.timers.stop(Timer::Retransmit(id));
        self.timers.stop(Timer::GiveUp(id));
    }

    /// An answer of which nothing is kept (§8.2.7). The tag comes out of the request, so a retransmission gets the
    /// same answer.
    pub(crate) fn respond_stateless(
        &mut self,
        path: Path,
        request: &Request,
        status: u16,
        reason: Option<&str>,
        extra: &[(&str, String)],
    ) {
        // §17.1.1.3: an ACK is never answered.
        if request.method == Method::Ack {
            return;
        }
        let of = |name| request.headers.get(name).unwrap_or_default();
        let parts = [of(name::VIA), of(name::CALL_ID), of(name::FROM), of(name::CSEQ)];
        let key = self.random.keyed(&parts.each_ref().map(|part| part.as_bytes()));
        let via = split_list(&parts[0]).first().and_then(|one| one.parse::<Via>().ok());
        let reply = via.as_ref().map_or(path, |via| response_path(path, via));
        let mut response = Template::new(request, path, hex(&key[..8])).response(status, reason);
        for (name, value) in extra {
            response.headers.push(name, value);
        }
        response.headers.push(name::SERVER, &self.config.user_agent);
        self.transmit(reply, response.to_bytes());
    }
}
