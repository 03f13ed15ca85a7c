//! The far end says where else to call: 300, 301 and 302 to our INVITE (RFC 3261 §8.1.3.4).
//!
//! ```text
//!   Calling ─3xx─► Redirecting, Event::Redirected ─redirect─► Calling, one CSeq higher
//!                    └─no way there─► the next that was named, or the end
//!   Calling at such a place ─400–599, nobody─► the next that was named, or the end
//! ```
//!
//! Behind an outbound proxy the way stays the same, and nobody has to be asked. So it does for a `tel:` URI, which names no host.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Cancel, Leg, State, cause};
use crate::config::Path;
use crate::context::Context;
use crate::event::{CauseKind, EndedBy, Event};
use crate::message::{Headers, NameAddr, Request, Response, Uri, name};
use crate::transaction::{Owner, TransactionId};

/// Places of one 3xx that are looked at.
const MOST_CONTACTS: usize = 8;

/// Where the call may still go.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    /// So many more places may be called.
    left: u8,
    /// Best first.
    next: VecDeque<Uri>,
    /// Was called, or is among the next: nobody is called twice.
    seen: Vec<Uri>,
    /// The INVITE, without what belongs to one hop or one server.
    request: Option<Request>,
}

impl Redirects {
    pub(super) fn new(first: &Uri, most: u8) -> Self {
        Self { left: most, seen: vec![first.clone()], ..Self::default() }
    }

    /// The Contacts of a 3xx: what can be called and was not, by preference.
    fn learn(&mut self, response: &Response) {
        let is_secure = self.seen.first().and_then(Uri::as_sip).is_some_and(|sip| sip.secure);
        let contacts = response.headers.list(name::CONTACT);
        let contacts = contacts.iter().take(MOST_CONTACTS).filter_map(|one| one.parse::<NameAddr>().ok());
        let mut found: Vec<(u16, Uri)> = contacts.map(|one| (preference(&one), bare(one.uri))).collect();
        found.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        let mut better = VecDeque::new();
        for (_, uri) in found {
            let fits = match &uri {
                // Who was called securely is not called any other way.
                Uri::Sip(sip) => sip.secure || !is_secure,
                Uri::Tel(_) => !is_secure,
                Uri::Other(_) => false,
            };
            if fits && !self.seen.iter().any(|one| is_same(one, &uri)) {
                self.seen.push(uri.clone());
                better.push_back(uri);
            }
        }
        // What is said later is said by who knows more.
        better.append(&mut self.next);
        better.truncate(usize::from(self.left));
        self.next = better;
    }
}

impl Leg {
    /// A 3xx to our INVITE. `true`: the call goes on elsewhere.
    pub(super) fn moved(
        &mut self,
        now: Instant,
        cx: &mut Context,
        invite: TransactionId,
        response: &Response,
    ) -> bool {
        if self.ended || self.redirects.left == 0 || !matches!(response.status, 300..=302) {
            return false;
        }
        self.redirects.learn(response);
        if self.redirects.request.is_none() {
            self.redirects.request = cx.transactions.client(invite).map(|client| template(client.request()));
        }
        self.call_next(now, cx)
    }

    /// A place that a 3xx has named does not take the call. `true`: there is another.
    pub(super) fn call_next(&mut self, now: Instant, cx: &mut Context) -> bool {
        let redirects = &mut self.redirects;
        if self.ended || redirects.left == 0 || redirects.request.is_none() {
            return false;
        }
        let Some(to) = redirects.next.pop_front() else {
            return false;
        };
        redirects.left -= 1;
        self.drop_offers(now, cx);
        self.early.clear();
        // What was agreed with one server is not for the next one to see.
        self.auth = self.auth.take().map(|auth| auth.afresh());
        self.dialog.target = to.clone();
        self.state = State::Redirecting;
        if !self.dialog.routes.is_empty() || to.as_sip().is_none() {
            self.invite_there(now, cx, self.dialog.path);
        } else {
            cx.emit(Event::Redirected { leg: self.id, to });
        }
        true
    }

    pub(crate) fn redirect(&mut self, now: Instant, cx: &mut Context, path: Option<Path>) {
        if self.state != State::Redirecting {
            return;
        }
        match path {
            Some(path) => self.invite_there(now, cx, path),
            None if self.call_next(now, cx) => {}
            None => {
                self.end(cx, cause(EndedBy::Network, CauseKind::TransportError, Some(503), None));
                self.finish(now, cx);
            }
        }
    }

    /// §8.1.3.4: the same To, From and Call-ID.
    fn invite_there(&mut self, now: Instant, cx: &mut Context, path: Path) {
        let Some(mut request) = self.redirects.request.clone() else {
            return;
        };
        let user = self.contact.uri.user().unwrap_or_default();
        self.contact = cx.contact(path, &user);
        self.dialog.path = path;
        self.dialog.local_cseq += 1;
        request.uri = self.dialog.target.clone();
        request.headers.set(name::CONTACT, &self.contact);
        request.headers.set(name::CSEQ, format!("{} INVITE", self.dialog.local_cseq));
        self.session.ask(&mut request.headers);
        let invite = cx.send_request(now, path, request, Owner::Leg(self.id));
        self.state = State::Calling { invite, cancel: Cancel::No };
    }
}

fn template(sent: &Request) -> Request {
    const NOT_ON: [&str; 5] =
        [name::VIA, name::MAX_FORWARDS, name::USER_AGENT, name::AUTHORIZATION, name::PROXY_AUTHORIZATION];
    let mut headers = Headers::new();
    for (header, value) in sent.headers.iter().filter(|(header, _)| !NOT_ON.contains(header)) {
        headers.push_raw(header, value.clone());
    }
    Request { headers, ..sent.clone() }
}

/// §20.10: `q` in thousandths; 1 where it is not said or makes no sense.
fn preference(contact: &NameAddr) -> u16 {
    let q = contact.params.get("q").and_then(|q| q.parse::<f32>().ok()).filter(|q| (0.0..=1.0).contains(q));
    (q.unwrap_or(1.0) * 1000.0) as u16
}

/// Headers in a URI would be the far end's hand in our INVITE (§19.1.5), and its method is settled.
fn bare(mut uri: Uri) -> Uri {
    if let Uri::Sip(sip) = &mut uri {
        sip.headers = None;
        sip.params.remove("method");
    }
    uri
}

/// The same place, whatever else is said of it.
fn is_same(a: &Uri, b: &Uri) -> bool {
    match (a, b) {
        (Uri::Sip(x), Uri::Sip(y)) => {
            let port = |uri: &Uri| uri.port().or(uri.transport().map(|one| one.default_port()));
            a.user() == b.user()
                && x.host == y.host
                && x.secure == y.secure
                && a.transport() == b.transport()
                && port(a) == port(b)
        }
        _ => a.number().is_some() && a.number() == b.number() && a.as_sip().is_some() == b.as_sip().is_some(),
    }
}
