//! Dialogs: RFC 3261 §12.

use std::collections::HashSet;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::config::Path;
use crate::context::is_private;
use crate::error::SyntaxError;
use crate::message::{Head, Headers, Method, NameAddr, Request, Response, Uri, contact, name};

/// Longest route set that is taken over. Nobody has more proxies; a forged message may claim so.
const MOST_ROUTES: usize = 32;

/// The peer-to-peer relation that a leg lives in. Before the far end has a tag it is only our half.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// With our tag.
    pub(crate) local: NameAddr,
    /// With its tag, once there is one.
    pub(crate) remote: NameAddr,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    /// Remote target: the peer's Contact.
    pub(crate) target: Uri,
    /// Nearest first.
    pub(crate) routes: Vec<NameAddr>,
    /// How the peer was last reached.
    pub(crate) path: Path,
}

impl Dialog {
    /// §12.1.1: from the request that we answer.
    pub(crate) fn uas(request: &Request, head: &Head, tag: &str, path: Path) -> Result<Self, SyntaxError> {
        let routes = request.headers.name_addrs(name::RECORD_ROUTE)?;
        // With a part of its routes a call could be answered and never ended.
        if routes.len() > MOST_ROUTES {
            return Err(SyntaxError::TooMany);
        }
        // RFC 2543 allowed an INVITE without Contact; then only its From tells where to go.
        let contact = request.headers_contact().ok().flatten();
        let target = contact.map_or_else(|| head.from.uri.clone(), |contact| contact.uri);
        Ok(Self {
            call_id: head.call_id.clone(),
            local: head.to.clone().with_tag(tag),
            remote: head.from.clone(),
            local_cseq: 0,
            remote_cseq: Some(head.cseq.number),
            target,
            routes,
            path,
        })
    }

    /// §12.1.2: what a response makes of our half.
    pub(crate) fn confirm(&mut self, response: &Response, head: &Head) {
        self.remote = head.to.clone();
        // Record-Route stands nearest to the callee first: for us the other way round.
        if let Ok(routes) = response.headers.name_addrs(name::RECORD_ROUTE) {
            self.routes = routes.into_iter().take(MOST_ROUTES).rev().collect();
        }
        self.refresh_target(&response.headers);
    }

    /// §12.2.1.2, §12.2.2: a target refresh brings a new Contact.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Ok(Some(contact)) = contact(headers) {
            self.target = contact.uri;
        }
    }

    pub(crate) fn remote_tag(&self) -> &str {
        self.remote.tag().unwrap_or_default()
    }

    pub(crate) fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or_default()
    }

    /// A new request inside the dialog: CSeq one higher (§12.2.1.1).
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        self.request_with(method, self.local_cseq)
    }

    /// §12.2.1.1. With a CSeq of the past: the ACK, which has its INVITE's.
    pub(crate) fn request_with(&self, method: Method, number: u32) -> Request {
        let mut headers = Headers::new();
        let mut uri = self.target.clone();
        match self.routes.split_first() {
            // A strict router finds itself in the Request-URI, and the target at the end of the routes.
            Some((first, rest)) if first.uri.param("lr").is_none() => {
                for route in rest {
                    headers.push(name::ROUTE, route);
                }
                headers.push(name::ROUTE, NameAddr::from(uri));
                uri = first.uri.clone();
            }
            _ => {
                for route in &self.routes {
                    headers.push(name::ROUTE, route);
                }
            }
        }
        headers.push(name::FROM, &self.local);
        headers.push(name::TO, &self.remote);
        headers.push(name::CALL_ID, &self.call_id);
        headers.push(name::CSEQ, format!("{number} {method}"));
        Request { method, uri, headers, body: Bytes::new() }
    }

    /// Where the next request goes: the first route, else the target (§12.2.1.1, §8.1.2).
    ///
    /// A name would need the resolver, and a private address behind a public source is a NAT: in both cases the
    /// way that the peer was last reached is the one that is known to work. A phone is always called by the way that it has
    /// registered by (`flows`), whatever it says of itself.
    pub(crate) fn next_hop(&self, flows: &HashSet<Path>) -> Path {
        if self.routes.is_empty() && flows.contains(&self.path) {
            return self.path;
        }
        let hop = self.routes.first().map_or(&self.target, |route| &route.uri);
        let Some(sip) = hop.as_sip() else {
            return self.path;
        };
        let maddr = sip.params.get("maddr").and_then(|m| m.parse::<crate::Host>().ok());
        let Some(ip) = maddr.as_ref().unwrap_or(&sip.host).ip() else {
            return self.path;
        };
        let seen = self.path.remote;
        let behind_nat = ip != seen.ip() && is_private(ip) && !is_private(seen.ip());
        let same_transport = hop.transport() == Some(self.path.transport);
        if behind_nat || !same_transport || ip.is_ipv4() != self.path.local.is_ipv4() {
            return self.path;
        }
        let port = sip.port.unwrap_or_else(|| self.path.transport.default_port());
        Path { remote: SocketAddr::new(ip, port), ..self.path }
    }
}
