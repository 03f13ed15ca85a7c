//! OPTIONS out: is the other side there, and how far away (RFC 3261 §11)?
//!
//! One transaction, one answer. Whatever final response comes is a sign of life, so a challenge is not answered: what a
//! 401 or a 503 means for a trunk is for the program to say.

use std::time::Instant;

use crate::context::Context;
use crate::event::{Event, Ping, PingId};
use crate::message::{Headers, Method, NameAddr, Request, Response, name};
use crate::transaction::Owner;

/// An OPTIONS of ours that has no final answer.
#[derive(Debug)]
pub(crate) struct Pinging {
    id: PingId,
    sent: Instant,
}

impl Pinging {
    pub(crate) fn send(now: Instant, cx: &mut Context, id: PingId, ping: Ping) -> Self {
        let tag = cx.random.token();
        let mut from = ping.from;
        from.params.remove("tag");
        let contact_user = from.uri.user().unwrap_or_else(|| cx.config.contact_user.clone());
        let mut headers = Headers::new();
        headers.push(name::FROM, from.with_tag(&tag));
        headers.push(name::TO, NameAddr::from(ping.to.clone()));
        headers.push(name::CALL_ID, cx.random.long_token());
        headers.push(name::CSEQ, "1 OPTIONS");
        headers.push(name::CONTACT, cx.contact(ping.path, &contact_user));
        headers.push(name::ACCEPT, "application/sdp");
        cx.capabilities(&mut headers);
        let request = Request { method: Method::Options, uri: ping.to, headers, body: Default::default() };
        cx.send_request(now, ping.path, request, Owner::Ping(id));
        Self { id, sent: now }
    }

    /// `true`: it is over.
    pub(crate) fn response(&self, now: Instant, cx: &mut Context, response: &Response) -> bool {
        if response.status < 200 {
            return false;
        }
        let round_trip = Some(now.saturating_duration_since(self.sent));
        cx.emit(Event::Pong { id: self.id, status: response.status, round_trip });
        true
    }

    /// Nobody answered (408), or it could not be sent (503).
    pub(crate) fn undelivered(&self, cx: &mut Context, status: u16) {
        cx.emit(Event::Pong { id: self.id, status, round_trip: None });
    }
}
