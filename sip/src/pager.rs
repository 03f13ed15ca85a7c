//! MESSAGE: RFC 3428. Each stands alone, like a page; there is no session around it.
//!
//! Out, a message is one transaction (two with a challenge), and its end is told as a status. In, it waits for
//! the program, which says 200 when it is delivered and 202 when it is stored (§7); a program that says nothing
//! leaves the sender without answer, who will try again.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::Session;
use crate::compose::{loose, put_headers};
use crate::config::Path;
use crate::context::Context;
use crate::event::{Body, Event, IncomingMessage, LegId, MessageId, MessageReply, RequestId, SendMessage};
use crate::message::{Head, Headers, Method, NameAddr, Request, Response, name};
use crate::random::hex;
use crate::timer::Timer;
use crate::transaction::{Owner, ServerKey, TransactionId};

/// §8: longest request over a transport that knows no congestion.
const LONGEST_DATAGRAM: usize = 1_300;
/// What Via, Max-Forwards, User-Agent and credentials may add to it.
const ENVELOPE: usize = 300;

/// A message of ours that has no final answer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    id: MessageId,
    path: Path,
    auth: Option<Session>,
    request: Request,
    cseq: u32,
    transaction: TransactionId,
}

impl Outgoing {
    /// `None`: it did not go out, and the program is told why.
    pub(crate) fn send(
        now: Instant,
        cx: &mut Context,
        id: MessageId,
        mut message: SendMessage,
    ) -> Option<Self> {
        // A tag that its Call-ID leads to: the same message tried again is the same request (RFC 3261 §8.2.2.2).
        let again =
            message.call_id.take().map(|id| (hex(&cx.random.keyed(&[b"message", id.as_bytes()])[..8]), id));
        let (tag, call_id) = again.unwrap_or_else(|| (cx.random.token(), cx.random.long_token()));
        let (mut path, credentials) = (message.path, message.credentials.take());
        let request = compose(message, &tag, call_id);
        let length = request.to_bytes().len() + ENVELOPE;
        if !path.transport.is_reliable() && length > LONGEST_DATAGRAM {
            // Never a longer datagram, not even where nobody takes the stream: unlike a call, a message has no way back.
            let Some(stream) = cx.path_for(now, path, length) else {
                let reason = Some("Message Too Large".to_owned());
                cx.emit(Event::MessageResult { id, status: 513, reason, retry_after: None });
                return None;
            };
            path = stream;
        }
        let transaction = cx.send_request(now, path, request.clone(), Owner::Message(id));
        let auth = credentials.map(Session::new);
        Some(Self { id, path, auth, request, cseq: 1, transaction })
    }

    /// `true`: it is over.
    pub(crate) fn response(
        &mut self,
        now: Instant,
        cx: &mut Context,
        id: TransactionId,
        response: &Response,
    ) -> bool {
        if response.status < 200 || self.transaction != id {
            return false;
        }
        if matches!(response.status, 401 | 407)
            && let Some(auth) = &mut self.auth
            && auth.challenged(response, &mut cx.random)
        {
            cx.stats.challenges_answered += 1;
            // RFC 3261 §22.2.
            self.cseq += 1;
            self.request.headers.set(name::CSEQ, format!("{} MESSAGE", self.cseq));
            auth.authorize(&mut self.request);
            self.transaction = cx.send_request(now, self.path, self.request.clone(), Owner::Message(self.id));
            return false;
        }
        let retry_after =
            response.headers.seconds(name::RETRY_AFTER).map(|seconds| Duration::from_secs(seconds.into()));
        let reason = Some(response.reason.clone());
        cx.emit(Event::MessageResult { id: self.id, status: response.status, reason, retry_after });
        true
    }

    /// Nobody answered (408), or it could not be sent (503).
    pub(crate) fn undelivered(&self, cx: &mut Context, status: u16) {
        cx.emit(Event::MessageResult { id: self.id, status, reason: None, retry_after: None });
    }
}

/// All that is ours to write but Via, Max-Forwards, User-Agent and credentials.
fn compose(message: SendMessage, tag: &str, call_id: String) -> Request {
    let mut from = message.from;
    from.params.remove("tag");
    let mut headers = Headers::new();
    for route in message.route {
        headers.push(name::ROUTE, NameAddr::from(loose(route)));
    }
    headers.push(name::FROM, from.with_tag(tag));
    headers.push(name::TO, NameAddr::from(message.to.clone()));
    headers.push(name::CALL_ID, call_id);
    headers.push(name::CSEQ, "1 MESSAGE");
    put_headers(&mut headers, message.headers);
    headers.push(name::CONTENT_TYPE, message.body.content_type);
    let body = Bytes::from(message.body.bytes);
    Request { method: Method::Message, uri: message.to, headers, body }
}

impl SendMessage {
    /// Too long for a datagram (RFC 3428 §8): without TCP between the two, its result is 513.
    pub fn needs_stream(&self) -> bool {
        let call_id = self.call_id.clone().unwrap_or_else(|| "-".repeat(32));
        compose(self.clone(), "0123456789abcdef", call_id).to_bytes().len() + ENVELOPE > LONGEST_DATAGRAM
    }
}

/// Why a message is refused before the program sees it (§7; RFC 3261 §8.2.3, §21.4.11).
pub(crate) fn refusal(cx: &Context, request: &Request) -> Option<(u16, Vec<(&'static str, String)>)> {
    let types = &cx.config.message_types;
    if request.body.len() > cx.config.max_message_body {
        return Some((413, Vec::new()));
    }
    let kind = content_type(request);
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let known = types.iter().any(|one| one.eq_ignore_ascii_case(kind));
    (!known && !request.body.is_empty()).then(|| (415, vec![(name::ACCEPT, types.join(", "))]))
}

/// Where a message comes from.
#[derive(Debug)]
pub(crate) enum Sender<'a> {
    /// Inside a call, with our tag.
    Leg(LegId, &'a str),
    /// Outside, with the account that was proven.
    Account(Option<String>),
}

/// A message for the program, which answers it.
pub(crate) fn take(
    now: Instant,
    cx: &mut Context,
    path: Path,
    key: ServerKey,
    request: &Request,
    head: &Head,
    sender: Sender<'_>,
) {
    let (leg, tag, account) = match sender {
        Sender::Leg(id, tag) => (Some(id), tag.to_owned(), None),
        Sender::Account(account) => (None, cx.random.token(), account),
    };
    let transaction = cx.open_server(path, key, request, head, &tag, leg);
    // By then its sender has given up (Timer F).
    cx.timers.set(Timer::GiveUp(transaction), now + 64 * cx.config.timers.t1);
    let asserted = request.headers.name_addrs(name::P_ASSERTED_IDENTITY).ok();
    let message = IncomingMessage {
        path,
        leg,
        request_uri: request.uri.clone(),
        to: head.to.clone(),
        from: head.from.clone(),
        account,
        asserted: asserted.and_then(|all| all.into_iter().next()),
        call_id: head.call_id.clone(),
        body: Body { content_type: content_type(request), bytes: request.body.to_vec() },
        headers: request.headers.to_texts(),
    };
    cx.emit(Event::Message { id: RequestId(transaction.number()), message: Box::new(message) });
}

/// The program's word on a message that waits for it.
pub(crate) fn answer(now: Instant, cx: &mut Context, id: TransactionId, reply: MessageReply) {
    let status = if matches!(reply.status, 200..=299 | 400..=699) { reply.status } else { 500 };
    let Some(mut response) = cx.response_for(id, status) else { return };
    if let Some(reason) = reply.reason {
        response.reason = reason;
    }
    if let Some(after) = reply.retry_after {
        response.headers.push(name::RETRY_AFTER, after.as_secs().max(1));
    }
    if let Some(accept) = reply.accept {
        response.headers.push(name::ACCEPT, accept);
    }
    cx.respond(now, id, response);
}

/// A body that says nothing of itself is plain text (RFC 2045 §5.2).
fn content_type(request: &Request) -> String {
    request.headers.get(name::CONTENT_TYPE).map_or_else(|| "text/plain".to_owned(), |kind| kind.into_owned())
}
