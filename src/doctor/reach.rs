//! Asks a server by OPTIONS, found and reached exactly as a call would be: NAPTR, SRV, TCP, and TLS with its certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use sip::net::{Roots, Stack, StackConfig, TlsConfig};
use sip::{Event, NameAddr, Ping, Transport, Uri};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::probe::Reach;

/// Some retransmissions of a datagram, or a slow handshake; then the trunk counts as silent.
const PATIENCE: Duration = Duration::from_secs(4);

/// `ca`: PEM, in place of the authorities that the system trusts.
pub(super) fn ask(uri: &Uri, ca: Option<&Path>) -> Reach {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask_first(uri, ca)).unwrap_or_else(|reach| reach),
        Err(error) => Reach::Failed(error.to_string()),
    }
}

/// Of what DNS says, the first, as a call would try it.
async fn ask_first(uri: &Uri, ca: Option<&Path>) -> Result<Reach, Reach> {
    let failed = |reason: String| Reach::Failed(reason);
    let roots = match ca {
        Some(path) => Roots::Pem(std::fs::read(path).map_err(|error| failed(error.to_string()))?),
        None => Roots::System,
    };
    let (stack, events) = bind(roots).await.map_err(|error| failed(error.to_string()))?;
    let outcome = timeout(2 * PATIENCE, ping(uri, &stack, events)).await;
    stack.shutdown().await;
    outcome.unwrap_or(Ok(Reach::Silent { after: 2 * PATIENCE }))
}

async fn bind(roots: Roots) -> Result<(Stack, mpsc::Receiver<Event>), sip::net::BindError> {
    let bind = |any: &'static [&'static str]| {
        let any: Vec<SocketAddr> = any.iter().filter_map(|any| any.parse().ok()).collect();
        let tls = TlsConfig { roots: roots.clone(), ..TlsConfig::default() };
        sip::net::bind(StackConfig { udp: any.clone(), tcp: any, tls: Some(tls), ..StackConfig::default() })
    };
    // Some machines have no IPv6.
    match bind(&["0.0.0.0:0", "[::]:0"]).await {
        Ok(bound) => Ok(bound),
        Err(_) => bind(&["0.0.0.0:0"]).await,
    }
}

async fn ping(uri: &Uri, stack: &Stack, mut events: mpsc::Receiver<Event>) -> Result<Reach, Reach> {
    let path = stack.resolve(uri).await.map_err(|error| Reach::Unresolved(error.to_string()))?;
    let start = Instant::now();
    if path.transport != Transport::Udp {
        let connected = timeout(PATIENCE, stack.connect(path)).await;
        let connected = connected.map_err(|_| Reach::Silent { after: start.elapsed() })?;
        connected.map_err(|error| Reach::Failed(error.to_string()))?;
    }
    let host = uri.host().ok_or_else(|| Reach::Unresolved("it is no SIP URI".into()))?;
    let to = Uri::sip(None, host.clone(), uri.port());
    let from = NameAddr::new(None, Uri::sip(Some("doctor"), host.clone(), uri.port()));
    let closed = || Reach::Failed("the SIP stack has stopped".into());
    stack.ping(Ping { to, from, path }).await.map_err(|_| closed())?;
    let answer = async {
        while let Some(event) = events.recv().await {
            if let Event::Pong { status, round_trip, .. } = event {
                return match round_trip {
                    Some(after) => Reach::Answered { status, after },
                    None => Reach::Failed("it cannot be sent there".into()),
                };
            }
        }
        closed()
    };
    timeout(PATIENCE, answer).await.map_err(|_| Reach::Silent { after: start.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_peer_that_answers_options_is_told_from_one_that_does_not() {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = StackConfig { udp: vec![here], tcp: vec![here], ..StackConfig::default() };
        let (peer, _events) = sip::net::bind(config).await.unwrap();
        let by_udp = format!("sip:{}", peer.local_addr());
        let by_tcp = format!("sip:{};transport=tcp", peer.local_addrs(Transport::Tcp)[0]);
        let asked = |uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            tokio::task::spawn_blocking(move || ask(&uri, None))
        };
        for uri in [&by_udp, &by_tcp] {
            let reach = asked(uri).await.unwrap();
            assert!(matches!(reach, Reach::Answered { status: 200, .. }), "{uri}: {reach:?}");
        }
        peer.shutdown().await;
        for uri in [&by_udp, &by_tcp] {
            let reach = asked(uri).await.unwrap();
            assert!(matches!(reach, Reach::Failed(_) | Reach::Silent { .. }), "{uri}: {reach:?}");
        }
        assert!(matches!(asked("sip:no.such.invalid").await.unwrap(), Reach::Unresolved(_)));
    }
}
