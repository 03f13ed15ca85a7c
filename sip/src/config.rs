//! What the caller decides once, before the first packet.
//!
//! A default lives here and nowhere else. Everything a stranger could grow without limit has its ceiling in
//! [`Config`]: legs, transactions, bytes of one message.

use std::net::SocketAddr;
use std::time::Duration;

use crate::guard::Guard;
use crate::registrar::Registrar;

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, Debug)]
pub struct Config {
    /// Goes into `User-Agent` and `Server`.
    pub user_agent: String,
    /// The user part of our own `Contact` where no registration or number gives one.
    pub contact_user: String,
    /// The addresses that others reach us by. Where none fits the transport and address family, the local
    /// address of the [`Path`] is used, or the public one that was found for it.
    pub advertised: Vec<Advertised>,
    /// Where we listen for TCP. A request of more than 1,300 bytes that would go by UDP goes by TCP from the address
    /// of the same family, and back to UDP when nobody takes it there (RFC 3261 §18.1.1). Empty: always UDP.
    /// [`net::bind`](crate::net::bind) fills it in.
    pub large_over_tcp: Vec<SocketAddr>,
    /// RFC 3261 §17.1.1.1 base timers.
    pub timers: Timers,
    /// Calls alive at once, in and out together. One more is refused with 503.
    pub max_legs: usize,
    /// Transactions alive at once. One more request of a stranger is refused with 503, statelessly.
    pub max_transactions: usize,
    /// Longest message that is read, in bytes.
    pub max_message: usize,
    /// An unanswered inbound call ends with 480 after this time; an unanswered outbound call is cancelled.
    /// (RFC 3261 has a Timer C of more than 3 minutes for proxies; a user agent needs the same protection.)
    pub ring_timeout: Duration,
    /// How long a call may go on without a sign of life from the far end (RFC 4028); at least 90 s. It is refreshed at
    /// half the time. `None`: no session timers.
    pub session_expires: Option<Duration>,
    /// The shortest session that is taken from a peer; below, 422. At least 90 s (RFC 4028 §4).
    pub min_session_expires: Duration,
    /// Provisional responses that are acknowledged (100rel, PRACK; RFC 3262), in both directions.
    pub reliable_provisional: bool,
    /// Peers may send us on to another by REFER (RFC 3515): each is asked of the program. Without it: 405.
    pub take_refers: bool,
    /// An INVITE may take the place of a call (RFC 3891), as the last step of an attended transfer. Whoever knows a call's
    /// tags may ask for it, and the program decides. Without it, Replaces is passed over.
    pub take_replaces: bool,
    /// Phones may register here, and whoever is not trusted is challenged while there are accounts
    /// ([`Endpoint::set_accounts`](crate::Endpoint::set_accounts)). `None`: REGISTER gets 405, nobody is challenged.
    pub registrar: Option<Registrar>,
    /// Who is kept out, and how fast strangers may come.
    pub guard: Guard,
    /// Content types that a MESSAGE may have (RFC 3428), for instance `text/plain`. None: messages are not taken.
    pub message_types: Vec<String>,
    /// Longest body of a MESSAGE, in bytes; above, 413.
    pub max_message_body: usize,
    /// `Retry-After` of a 503 that a ceiling causes.
    pub overload_retry_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: concat!("offhook/", env!("CARGO_PKG_VERSION")).into(),
            contact_user: "offhook".into(),
            advertised: Vec::new(),
            large_over_tcp: Vec::new(),
            timers: Timers::default(),
            max_legs: 2_000,
            // A call leaves two behind for 32 s each: this carries 1,500 new calls a second.
            max_transactions: 100_000,
            max_message: 65_535,
            ring_timeout: Duration::from_secs(185),
            session_expires: Some(Duration::from_secs(1_800)),
            min_session_expires: Duration::from_secs(90),
            reliable_provisional: true,
            take_refers: false,
            take_replaces: false,
            registrar: None,
            guard: Guard::default(),
            message_types: Vec::new(),
            max_message_body: 8 * 1024,
            overload_retry_after: Duration::from_secs(5),
        }
    }
}

/// The three base timers of RFC 3261 §17.1.1.1; all others follow from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate. Default 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions. Default 4 s.
    pub t2: Duration,
    /// Longest time that a message stays in the network. Default 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

/// One address that we are reached by from outside, as it goes into `Contact` and `Via`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub transport: Transport,
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    /// `None`: the port of the local socket.
    pub port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// As it stands in `Via`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Does the transport itself deliver, so that we need not retransmit?
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// RFC 3261 §19.1.2.
    pub fn default_port(self) -> u16 {
        if self == Self::Tls { 5061 } else { 5060 }
    }
}

/// Where a message came from, or goes: which of our sockets, and who at the far end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Path {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// Whether new work is let in. See [`Endpoint::set_admission`](crate::Endpoint::set_admission).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Admission {
    #[default]
    Open,
    /// New INVITE and OPTIONS get 503 with this Retry-After; live calls go on.
    Draining { retry_after: Duration },
}
