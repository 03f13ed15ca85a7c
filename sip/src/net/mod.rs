//! The tokio shell.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::{Admission, Config, Path};
use crate::event::{Body, Event, Invite, LegId, ReasonHeader, Register, RegistrationId, Reject, Stats};
use crate::message::Uri;

#[derive(Clone, Debug)]
pub struct StackConfig {
    pub endpoint: Config,
    /// Local UDP addresses; port 0 takes any free one. At least one.
    pub udp: Vec<SocketAddr>,
    /// `None`: from the operating system.
    pub seed: Option<[u8; 32]>,
    /// Events that may wait for the reader. When full, the stack stops reading its sockets until there is room.
    pub event_capacity: usize,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self { endpoint: Config::default(), udp: Vec::new(), seed: None, event_capacity: 1024 }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("cannot listen on udp {addr}: {source}")]
    Udp { addr: SocketAddr, source: io::Error },
    #[error("no local address is given")]
    NoAddress,
    #[error("the operating system gives no randomness: {0}")]
    Seed(io::Error),
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    #[error("{0} is no sip uri")]
    NotSip(Uri),
    #[error("{0} wants a transport that is not spoken here")]
    Transport(Uri),
    #[error("{host}: {source}")]
    Dns { host: String, source: io::Error },
    #[error("{host} has no address that a local socket can reach")]
    NoAddress { host: String },
    #[error("no route to {remote}: {source}")]
    NoRoute { remote: SocketAddr, source: io::Error },
}

/// The stack has shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the sip stack has shut down")]
pub struct Closed;

#[derive(Clone, Debug)]
pub struct Stack {
    local: SocketAddr,
}

pub async fn bind(config: StackConfig) -> Result<(Stack, mpsc::Receiver<Event>), BindError> {
    let local = *config.udp.first().ok_or(BindError::NoAddress)?;
    let (_events, receiver) = mpsc::channel(config.event_capacity);
    Ok((Stack { local }, receiver))
}

#[allow(unused_variables)]
impl Stack {
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
    pub async fn register(&self, register: Register) -> Result<RegistrationId, Closed> {
        Err(Closed)
    }
    pub async fn unregister(&self, id: RegistrationId) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn invite(&self, invite: Invite) -> Result<LegId, Closed> {
        Err(Closed)
    }
    pub async fn ring(&self, leg: LegId, status: u16, body: Option<Body>) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn answer(&self, leg: LegId, body: Body) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn reject(&self, leg: LegId, reject: impl Into<Reject>) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn accept_offer(&self, leg: LegId, body: Body) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn refuse_offer(&self, leg: LegId, status: u16) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn reoffer(&self, leg: LegId, body: Option<Body>) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn send_dtmf(&self, leg: LegId, digit: char, duration: Duration) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn hangup(&self, leg: LegId, reason: Option<ReasonHeader>) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn set_admission(&self, admission: Admission) -> Result<(), Closed> {
        Err(Closed)
    }
    pub async fn resolve(&self, uri: &Uri) -> Result<Path, ResolveError> {
        Err(ResolveError::NotSip(uri.clone()))
    }
    pub async fn stats(&self) -> Result<Stats, Closed> {
        Err(Closed)
    }
    /// Hangs up what is left, waits for the last answers for a moment, and joins the tasks.
    pub async fn shutdown(self) {}
}
