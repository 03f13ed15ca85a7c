//! The transaction layer: RFC 3261 §17 as RFC 6026 corrects it.
//!
//! One table of client and one of server transactions, each found by its key (§17.1.3, §17.2.3). The state
//! machines stand in `client` and `server`; both are methods of [`Context`](crate::context::Context), because a
//! transition sends, sets timers and counts. A transaction knows its owner by id only and never calls it: what
//! the owner must know is returned.

mod client;
mod server;

use std::collections::{BTreeMap, HashMap};

use crate::config::Path;
use crate::event::{LegId, MessageId, PingId, RegistrationId};
use crate::message::{Head, Method, Request};

pub(crate) use client::Client;
pub(crate) use server::{AckFor, Server};

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct TransactionId(u64);

impl TransactionId {
    /// As the program knows a request that waits for its answer.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Who is told of responses and time-outs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Leg(LegId),
    Registration(RegistrationId),
    Message(MessageId),
    Ping(PingId),
    /// Nobody waits: a BYE for a fork that lost.
    Nobody,
}

/// §17.1.3: the branch is ours and unique; the method tells an INVITE from its CANCEL.
pub(crate) type ClientKey = (String, Method);

/// §17.2.3.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ServerKey {
    /// Branch and sent-by; for a peer of RFC 2543 (no cookie) all that identifies the request.
    place: String,
    method: Method,
}

impl ServerKey {
    pub(crate) fn of(request: &Request, head: &Head) -> Self {
        let via = &head.via;
        let port = via.port.unwrap_or(0);
        let place = match via.unique_branch() {
            Some(branch) => format!("{branch} {}:{port}", via.host),
            // To is left out: an ACK has a tag there that its INVITE had not.
            None => format!(
                "2543 {} {} {} {} {} {}:{port}",
                request.uri,
                head.from.tag().unwrap_or_default(),
                head.call_id,
                head.cseq.number,
                via.branch().unwrap_or_default(),
                via.host,
            ),
        };
        Self { place, method: request.method.clone() }
    }

    /// The INVITE that an ACK or CANCEL speaks of.
    pub(crate) fn of_invite(&self) -> Self {
        Self { place: self.place.clone(), method: Method::Invite }
    }
}

/// §8.2.2.2: the same request by another way has these in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct MergeKey {
    call_id: String,
    from_tag: String,
    number: u32,
    method: Method,
}

impl MergeKey {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            call_id: head.call_id.clone(),
            from_tag: head.from.tag().unwrap_or_default().to_owned(),
            number: head.cseq.number,
            method: head.cseq.method.clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    next: u64,
    clients: BTreeMap<TransactionId, Client>,
    client_keys: HashMap<ClientKey, TransactionId>,
    servers: BTreeMap<TransactionId, Server>,
    server_keys: HashMap<ServerKey, TransactionId>,
    merges: HashMap<MergeKey, TransactionId>,
}

impl Transactions {
    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn next_id(&mut self) -> TransactionId {
        self.next += 1;
        TransactionId(self.next)
    }

    pub(crate) fn server_of(&self, key: &ServerKey) -> Option<TransactionId> {
        self.server_keys.get(key).copied()
    }

    pub(crate) fn server(&self, id: TransactionId) -> Option<&Server> {
        self.servers.get(&id)
    }

    /// The request of this method that the program has not answered yet.
    pub(crate) fn waiting(&self, number: u64, method: &Method) -> Option<TransactionId> {
        let id = TransactionId(number);
        self.servers.get(&id).filter(|server| server.is_waiting(method)).map(|_| id)
    }

    pub(crate) fn client(&self, id: TransactionId) -> Option<&Client> {
        self.clients.get(&id)
    }

    /// Client transactions on a path that no response has come for.
    pub(crate) fn unanswered_on(&self, path: Path) -> Vec<TransactionId> {
        self.clients.iter().filter(|(_, client)| client.is_unanswered_on(path)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn is_merged(&self, head: &Head) -> bool {
        self.merges.contains_key(&MergeKey::of(head))
    }
}
