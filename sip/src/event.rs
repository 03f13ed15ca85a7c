//! What goes out of the [`Endpoint`](crate::Endpoint): events and datagrams; and what goes in with its verbs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use crate::config::{Path, Transport};
use crate::guard::BanReason;
use crate::message::{NameAddr, Uri};
use crate::registrar::Binding;
use crate::replaces::Replaces;

/// One call leg: one dialog (or the attempt at one) between us and one peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// One registration that keeps itself refreshed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RegistrationId(pub u64);

/// One MESSAGE of ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// One OPTIONS of ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct PingId(pub u64);

/// A request of theirs that waits for the program's word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One message to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    pub path: Path,
    pub bytes: Bytes,
}

/// A body that we carry and do not understand; SDP for the most part.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl Body {
    pub fn sdp(bytes: impl Into<Vec<u8>>) -> Self {
        Self { content_type: "application/sdp".into(), bytes: bytes.into() }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys of encrypted sound stand in lines of their own (RFC 4568), and are no matter for a log.
        let text = String::from_utf8_lossy(&self.bytes);
        let is_key = |line: &str| line.to_ascii_lowercase().contains("inline:");
        let lines = text.split_inclusive(['\r', '\n']);
        let text: String = lines.map(|line| if is_key(line) { "a=crypto:…" } else { line }).collect();
        f.debug_struct("Body").field("content_type", &self.content_type).field("bytes", &text).finish()
    }
}

/// A password that stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Password,
}

/// What to register. See [`Endpoint::register`](crate::Endpoint::register).
#[derive(Clone, Debug)]
pub struct Register {
    /// The Request-URI: the registrar's domain, no user part.
    pub registrar: Uri,
    /// Address of record: goes into To and From.
    pub aor: Uri,
    pub contact_user: String,
    pub credentials: Credentials,
    /// What we ask for. The registrar may give less, or demand more (423).
    pub expires: Duration,
    /// Transport and resolved next hop (of the first route, where there is one, else of `registrar`).
    pub path: Path,
    /// Outbound proxies on the way to the registrar, nearest first. `;lr` is added where it is missing.
    pub route: Vec<Uri>,
}

/// A call to place. See [`Endpoint::invite`](crate::Endpoint::invite).
#[derive(Clone, Debug)]
pub struct Invite {
    /// Request-URI and To.
    pub to: Uri,
    pub from: NameAddr,
    pub credentials: Option<Credentials>,
    /// Transport and resolved next hop (of the first route, where there is one, else of `to`).
    pub path: Path,
    /// Preloaded Route set (outbound proxy, Service-Route), nearest first. `;lr` is added where it is missing.
    pub route: Vec<Uri>,
    /// Further headers, for instance P-Asserted-Identity. Those that the endpoint itself writes are ignored.
    pub headers: Vec<(String, String)>,
    /// The offer; `None` asks the far end to offer: its offer comes in `Answered`, ours to answer.
    pub body: Option<Body>,
    /// So many further places may be called that a 3xx names (RFC 3261 §8.1.3.4). 0: the call ends with the 3xx. Whoever is called
    /// decides which places those are: only for far ends that may.
    pub redirects: u8,
}

/// An OPTIONS to send, outside any call. See [`Endpoint::ping`](crate::Endpoint::ping).
#[derive(Clone, Debug)]
pub struct Ping {
    /// Request-URI and To.
    pub to: Uri,
    pub from: NameAddr,
    /// Transport and resolved next hop.
    pub path: Path,
}

/// A MESSAGE to send (RFC 3428). See [`Endpoint::message`](crate::Endpoint::message).
#[derive(Clone, Debug)]
pub struct SendMessage {
    /// Request-URI and To.
    pub to: Uri,
    pub from: NameAddr,
    pub credentials: Option<Credentials>,
    /// Transport and resolved next hop. A datagram carries about 1,000 bytes; what is longer needs a stream.
    pub path: Path,
    /// As in [`Invite::route`].
    pub route: Vec<Uri>,
    /// As in [`Invite::headers`].
    pub headers: Vec<(String, String)>,
    /// `None`: one that nobody else has. A message that nobody answered is tried again with the same, and with it comes the
    /// same tag in From, so that a far end whose answer was lost knows that it has it already. After an answer, even a
    /// 503, it must be another: the same request would be refused as merged (RFC 3261 §8.2.2.2).
    pub call_id: Option<String>,
    pub body: Body,
}

/// What a MESSAGE of theirs is told. See [`Endpoint::answer_message`](crate::Endpoint::answer_message).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageReply {
    /// 200 where it is delivered, 202 where it is stored (RFC 3428 §7), or a failure of 400–699; anything else becomes 500.
    pub status: u16,
    /// Reason phrase; `None` gives the RFC's.
    pub reason: Option<String>,
    /// When the sender may try again; told in whole seconds.
    pub retry_after: Option<Duration>,
    /// What would be taken instead: for a 415.
    pub accept: Option<String>,
}

impl MessageReply {
    pub fn new(status: u16) -> Self {
        Self { status, reason: None, retry_after: None, accept: None }
    }
}

impl From<u16> for MessageReply {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

/// A MESSAGE that came in. Nothing in it is proven but `path` and `account`.
#[derive(Clone, Debug)]
pub struct IncomingMessage {
    pub path: Path,
    /// The call that it came in, if it came inside one.
    pub leg: Option<LegId>,
    pub request_uri: Uri,
    pub to: NameAddr,
    pub from: NameAddr,
    /// Who has proven by their password that it is theirs. `None` of trusted sources, and while there are no accounts.
    pub account: Option<String>,
    /// P-Asserted-Identity (RFC 3325): to be believed only of a trusted `path`.
    pub asserted: Option<NameAddr>,
    pub call_id: String,
    /// May be empty. Text is UTF-8 where its type names no other charset.
    pub body: Body,
    /// All headers in their order, names in the RFC's spelling.
    pub headers: Vec<(String, String)>,
}

impl IncomingMessage {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// How to refuse an inbound call. See [`Endpoint::reject`](crate::Endpoint::reject).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// 300–699; anything else becomes 500.
    pub status: u16,
    /// Reason phrase; `None` gives the RFC's.
    pub reason: Option<String>,
    pub retry_after: Option<Duration>,
    /// The text of a `Warning: 399`.
    pub warning: Option<String>,
}

impl Reject {
    pub fn new(status: u16) -> Self {
        Self { status, reason: None, retry_after: None, warning: None }
    }
}

impl From<u16> for Reject {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

/// RFC 3326.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReasonHeader {
    /// `SIP` or `Q.850`.
    pub protocol: String,
    pub cause: u16,
    pub text: Option<String>,
}

impl fmt::Display for ReasonHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};cause={}", self.protocol, self.cause)?;
        if let Some(text) = &self.text {
            write!(f, ";text={}", crate::message::quote(text))?;
        }
        Ok(())
    }
}

/// An inbound call, as its INVITE tells it. Nothing in it is proven but `path` and `account`.
#[derive(Clone, Debug)]
pub struct IncomingCall {
    pub path: Path,
    pub request_uri: Uri,
    pub to: NameAddr,
    pub from: NameAddr,
    /// Who has proven by their password that it is theirs. `None` of trusted sources, and while there are no accounts.
    pub account: Option<String>,
    /// P-Asserted-Identity (RFC 3325): to be believed only of a trusted `path`.
    pub asserted: Option<NameAddr>,
    pub call_id: String,
    /// The offer; `None` when the caller wants ours (delayed offer).
    pub body: Option<Body>,
    /// Which of our registrations it came by: the one whose Contact the caller's proxy has called.
    pub registration: Option<RegistrationId>,
    /// The call whose place this one wants to take (RFC 3891). Whoever answers it hangs that one up.
    pub replaces: Option<LegId>,
    /// All headers in their order, names in the RFC's spelling.
    pub headers: Vec<(String, String)>,
}

/// What a REFER asks for: to call somebody else.
#[derive(Clone, Debug)]
pub struct ReferRequest {
    /// Refer-To, without the headers in its URI.
    pub to: NameAddr,
    /// The dialog at the far end that the new call is to replace: goes into its INVITE as the header `Replaces`.
    pub replaces: Option<Replaces>,
    /// Who says that it is them who ask (RFC 3892). Not proven.
    pub referred_by: Option<NameAddr>,
}

impl IncomingCall {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What happened. Taken out with [`Endpoint::poll_event`](crate::Endpoint::poll_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Someone calls. Answer with `ring`, `answer` or `reject`; 100 Trying is sent already.
    Incoming {
        leg: LegId,
        request: Box<IncomingCall>,
    },
    /// 180 or 183 (or another 1xx, not 100) on an outbound leg.
    Progress {
        leg: LegId,
        status: u16,
        body: Option<Body>,
    },
    /// 2xx to our INVITE; the ACK is sent already. Only where the offer is theirs (`Invite::body` was `None`), the ACK waits
    /// for [`answer`](crate::Endpoint::answer).
    Answered {
        leg: LegId,
        status: u16,
        body: Option<Body>,
    },
    /// A 3xx names another place to call, and [`Invite::redirects`] allows it. [`redirect`](crate::Endpoint::redirect) says which way
    /// that is; `net::Stack` does so by itself.
    Redirected {
        leg: LegId,
        to: Uri,
    },
    /// The ACK for our first 2xx came; with a body when the offer was ours.
    Established {
        leg: LegId,
        body: Option<Body>,
    },
    /// re-INVITE or UPDATE; before the call is answered UPDATE or PRACK. Answer with `accept_offer` or `refuse_offer`. No body: they
    /// want our offer.
    Reoffer {
        leg: LegId,
        body: Option<Body>,
    },
    /// The answer to an offer of ours inside the call: in the ACK of a re-INVITE that came without offer
    /// (status 200), or the final response to our own [`reoffer`](crate::Endpoint::reoffer).
    Reanswer {
        leg: LegId,
        status: u16,
        body: Option<Body>,
    },
    /// A key pressed, by INFO.
    Dtmf {
        leg: LegId,
        digit: char,
        duration: Duration,
    },
    /// The peer wants us to call somebody else. Answer with `accept_refer`, and `refer_progress` until a final status; or
    /// with `refuse_refer`.
    Refer {
        leg: LegId,
        refer: Box<ReferRequest>,
    },
    /// How the peer fares whom we sent on with [`refer`](crate::Endpoint::refer): first its answer to that, then the status of
    /// its own call. After `over` no more comes. A peer may also hang up instead of telling the end.
    ReferProgress {
        leg: LegId,
        status: u16,
        over: bool,
    },
    /// Exactly once per leg, and its last event.
    Ended {
        leg: LegId,
        cause: Cause,
    },
    /// A MESSAGE. Answer with [`answer_message`](crate::Endpoint::answer_message) within 32 s: 200 when it is delivered,
    /// 202 when it is stored.
    Message {
        id: RequestId,
        message: Box<IncomingMessage>,
    },
    /// What became of a [`message`](crate::Endpoint::message): exactly once. 408 when nobody answered, 503 when it could not
    /// be sent, 513 when it is too long for a datagram.
    MessageResult {
        id: MessageId,
        status: u16,
        reason: Option<String>,
        retry_after: Option<Duration>,
    },
    /// The answer to a [`ping`](crate::Endpoint::ping): exactly once. Any final status is a sign of life, but 408, nobody
    /// answered, and 503 without a `round_trip`, it could not be sent.
    Pong {
        id: PingId,
        status: u16,
        /// From the first sending to the final response, retransmissions included.
        round_trip: Option<Duration>,
    },
    /// A connection that stood has broken, or was closed. What waited there has failed; registrations that went over it register
    /// again by themselves within seconds. Whoever was reached only by it is not to be reached.
    FlowLost {
        path: Path,
    },
    /// How one of our sockets is seen from outside: when that was found out, and whenever it changes.
    PublicAddress {
        transport: Transport,
        /// As it is bound.
        local: SocketAddr,
        addr: SocketAddr,
    },
    /// Requests from this address are dropped unread for this long.
    Banned {
        ip: IpAddr,
        reason: BanReason,
        time: Duration,
    },
    /// Where an account is to be called has changed: it has registered, refreshed or left, its time has run out, or its
    /// connection has ended. Best first; none when it cannot be called any more.
    Bound {
        username: String,
        bindings: Vec<Binding>,
    },
    /// The registrar wants later requests to go this way (RFC 3608): for [`Invite::route`], nearest first. Told before the
    /// `Registered` that brought it, whenever it has changed.
    ServiceRoute {
        id: RegistrationId,
        route: Vec<Uri>,
    },
    Registration {
        id: RegistrationId,
        state: RegistrationState,
    },
}

/// Why a leg ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cause {
    pub by: EndedBy,
    pub kind: CauseKind,
    /// Final status, where there was one.
    pub status: Option<u16>,
    /// The Reason header, or the phrase of the final response.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    Remote,
    Local,
    Network,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CauseKind {
    /// BYE in an established call.
    Bye,
    /// The caller gave up before the answer.
    Cancel,
    /// A final response of 300–699 to the INVITE.
    Rejected,
    /// No final response in time (Timer B, or the ring timeout).
    Timeout,
    /// Our 2xx, or a reliable 18x, was never acknowledged (64*T1).
    NoAck,
    /// The transport could not deliver.
    TransportError,
    /// Nobody refreshed the session in time (RFC 4028).
    SessionExpired,
    /// The peer no longer knows the dialog (481 or 408 to a request inside it).
    DialogGone,
}

#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegistrationState {
    /// Bound for this long; the refresh is on its own.
    Registered {
        expires: Duration,
    },
    /// Not now; tried again by itself in `retry_in`. Status 408 when nobody answered.
    Failed {
        status: u16,
        retry_in: Duration,
    },
    /// Refused for good (403, or the credentials are wrong). Nothing more is tried.
    Rejected {
        status: u16,
    },
    Unregistered,
}

/// Counters since start, and gauges (`legs`, `transactions`, `registrations`, `bindings`).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Messages put in.
    pub received: u64,
    /// Messages sent, retransmissions included.
    pub sent: u64,
    /// Requests from where none are taken (see [`Sources`](crate::Sources)).
    pub strangers: u64,
    /// Requests of the banned, of scanners, and above a rate (see [`Guard`](crate::Guard)).
    pub refused_by_guard: u64,
    /// Bytes that are no SIP, and SIP that breaks its own rules.
    pub malformed: u64,
    /// Messages that we sent again because nothing came back.
    pub retransmits_sent: u64,
    /// Requests that we had seen already.
    pub retransmits_received: u64,
    /// Responses that belong to nothing of ours.
    pub stray_responses: u64,
    /// ACKs that belong to nothing of ours.
    pub stray_acks: u64,
    /// Calls refused by a ceiling or while draining.
    pub refused_admission: u64,
    /// Client transactions that ended without a final response.
    pub timeouts: u64,
    /// Challenges that we sent.
    pub challenges_sent: u64,
    /// Wrong passwords, and names that nobody has.
    pub failed_auth: u64,
    /// Challenges that we answered.
    pub challenges_answered: u64,
    pub calls_in: u64,
    pub calls_out: u64,
    pub legs: usize,
    pub transactions: usize,
    pub registrations: usize,
    /// Of phones with us.
    pub bindings: usize,
}
