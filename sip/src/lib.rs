//! A SIP user agent that owns no socket, no clock, no task and no lock.
//!
//! [`Endpoint`] is a state machine in the manner of quinn-proto: `handle_*` puts the world in, verbs put commands
//! in, `poll_*` takes everything out, `poll_timeout` says when to come back. What is signalled is decided here;
//! bodies (SDP for the most part) are carried and never looked into.
//!
//! ```text
//!   bytes ─► message ─► transaction ─► leg / register ─► Event
//!   bytes ◄─ message ◄─ transaction ◄─ leg / register ◄─ verb
//! ```
//!
//! [`net`] (cargo feature `net`, on by default) is the thin shell: sockets, the clock, the seed, and one task.
//!
//! Which sentences of the RFCs are kept, which are not and why: `docs/sip.md`.

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

mod auth;
mod compose;
mod config;
mod context;
mod dialog;
mod digest;
mod endpoint;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
pub mod identity;
mod leg;
pub mod message;
#[cfg(feature = "net")]
pub mod net;
mod pager;
pub mod passport;
mod ping;
mod random;
mod register;
mod registrar;
mod replaces;
mod source;
#[cfg_attr(not(feature = "net"), allow(dead_code, reason = "the shell asks"))]
mod stun;
mod timer;
mod transaction;

pub use config::{Admission, Advertised, Config, Path, Timers, Transport};
pub use digest::Algorithm;
pub use endpoint::Endpoint;
pub use error::SyntaxError;
pub use event::{
    Body, Cause, CauseKind, Credentials, EndedBy, Event, IncomingCall, IncomingMessage, Invite, LegId,
    MessageId, MessageReply, Password, Ping, PingId, ReasonHeader, ReferRequest, Register, RegistrationId,
    RegistrationState, Reject, RequestId, SendMessage, Stats, Transmit,
};
pub use guard::{BanReason, Guard, Rate};
pub use message::{Host, NameAddr, Params, SipUri, TelUri, Uri};
pub use registrar::{Account, Binding, Registrar};
pub use replaces::Replaces;
pub use source::{Network, Sources};
