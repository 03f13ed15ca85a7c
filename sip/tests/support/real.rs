//! What tests with stacks on real sockets have in common.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::time::Duration;

use sip::net::{ConnectError, Stack, TlsError};
use sip::{Body, Event, Invite, NameAddr, Transport, Uri};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A fence, not a measure.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), what).await.expect("in time")
}

/// What comes next, but for connections that go.
pub async fn next(events: &mut Receiver<Event>) -> Event {
    loop {
        let event = soon(events.recv()).await.expect("an open stack");
        if !matches!(event, Event::FlowLost { .. }) {
            return event;
        }
    }
}

/// What becomes of a connection by TLS.
pub async fn reach(client: &Stack, to: &Uri) -> Result<(), TlsError> {
    let path = client.resolve(to).await.expect("loopback");
    assert_eq!(path.transport, Transport::Tls);
    match soon(client.connect(path)).await {
        Ok(()) => Ok(()),
        Err(ConnectError::Tls { source, .. }) => Err(source),
        Err(other) => panic!("{other}"),
    }
}

/// Alice calls, from where her stack is.
pub async fn invite(from: &Stack, to: &str, sdp: &str) -> Invite {
    let to: Uri = to.parse().expect("a uri");
    let path = from.resolve(&to).await.expect("loopback");
    let caller: Uri = format!("sip:alice@{}", from.local_addr()).parse().expect("a uri");
    Invite {
        to,
        from: NameAddr::from(caller),
        credentials: None,
        path,
        route: vec![],
        headers: vec![],
        body: Some(Body::sdp(sdp)),
        redirects: 0,
    }
}
