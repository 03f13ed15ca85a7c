//! From a URI to an address: RFC 3263 §4 without NAPTR and SRV, which need a resolver of their own.

use std::io;
use std::net::SocketAddr;

use super::local::Locals;
use crate::config::{Path, Transport};
use crate::message::Uri;

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

pub(super) async fn resolve(locals: &Locals, uri: &Uri) -> Result<Path, ResolveError> {
    let sip = uri.as_sip().ok_or_else(|| ResolveError::NotSip(uri.clone()))?;
    let spoken = |transport: &Transport| !locals.of(*transport).is_empty();
    let transport = uri.transport().filter(spoken).ok_or_else(|| ResolveError::Transport(uri.clone()))?;
    let port = sip.port.unwrap_or(transport.default_port());
    let host = sip.host.to_string();
    let addrs: Vec<SocketAddr> = match sip.host.ip() {
        Some(ip) => vec![SocketAddr::new(ip, port)],
        None => tokio::net::lookup_host((host.as_str(), port))
            .await
            .map_err(|source| ResolveError::Dns { host: host.clone(), source })?
            .collect(),
    };
    let mut refused = None;
    for remote in addrs {
        match locals.path_to(transport, remote) {
            Some(Ok(path)) => return Ok(path),
            Some(Err(source)) => refused = Some(ResolveError::NoRoute { remote, source }),
            None => {}
        }
    }
    Err(refused.unwrap_or(ResolveError::NoAddress { host }))
}
