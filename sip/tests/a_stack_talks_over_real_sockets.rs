//! The shell on loopback: two stacks, real UDP, real time.

#![cfg(feature = "net")]

#[path = "support/real.rs"]
mod real;

use std::time::Duration;

use real::next;
use sip::net::{BindError, Closed, Stack, StackConfig, bind};
use sip::{Body, CauseKind, Credentials, EndedBy, Event, Invite, Register, RegistrationState, Uri};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

async fn stack() -> (Stack, Receiver<Event>) {
    let udp = vec!["127.0.0.1:0".parse().expect("an address")];
    bind(StackConfig { udp, ..Default::default() }).await.expect("a free port")
}

async fn invite(from: &Stack, to: &Stack) -> Invite {
    real::invite(from, &format!("sip:bob@{}", to.local_addr()), "v=0\r\n").await
}

#[tokio::test]
async fn a_call_from_end_to_end() {
    let (alice, mut to_alice) = stack().await;
    let (bob, mut to_bob) = stack().await;
    let call = alice.invite(invite(&alice, &bob).await).await.expect("open");
    let Event::Incoming { leg, request } = next(&mut to_bob).await else { panic!("no call") };
    assert_eq!(request.path.remote, alice.local_addr());
    bob.ring(leg, 180, None).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Progress { status: 180, .. }));
    bob.answer(leg, Body::sdp("v=0\r\n")).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Answered { status: 200, body: Some(_), .. }));
    assert!(matches!(next(&mut to_bob).await, Event::Established { .. }));
    alice.send_dtmf(call, '7', Duration::from_millis(100)).await.expect("open");
    assert!(matches!(next(&mut to_bob).await, Event::Dtmf { digit: '7', .. }));
    alice.hangup(call, None).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut to_bob).await else { panic!("no end") };
    assert_eq!((cause.by, cause.kind), (EndedBy::Remote, CauseKind::Bye));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn shutdown_says_goodbye_and_closes_everything() {
    let (alice, mut to_alice) = stack().await;
    let (bob, mut to_bob) = stack().await;
    let addr = bob.local_addr();
    alice.invite(invite(&alice, &bob).await).await.expect("open");
    let Event::Incoming { leg, .. } = next(&mut to_bob).await else { panic!("no call") };
    bob.answer(leg, Body::sdp("v=0\r\n")).await.expect("open");
    assert!(matches!(next(&mut to_bob).await, Event::Established { .. }));
    let other = bob.clone();
    timeout(Duration::from_secs(30), bob.shutdown()).await.expect("in time");
    assert!(matches!(next(&mut to_alice).await, Event::Answered { .. }));
    let Event::Ended { cause, .. } = next(&mut to_alice).await else { panic!("no goodbye") };
    assert_eq!(cause.kind, CauseKind::Bye);
    assert_eq!(other.stats().await, Err(Closed));
    assert!(matches!(next(&mut to_bob).await, Event::Ended { .. }));
    assert!(to_bob.recv().await.is_none(), "the events end");
    // The port is free again.
    let again = bind(StackConfig { udp: vec![addr], ..Default::default() }).await;
    again.expect("the port").0.shutdown().await;
    alice.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_no_event() {
    let (alice, mut to_alice) = stack().await;
    let udp = vec!["127.0.0.1:0".parse().expect("an address")];
    let (bob, mut to_bob) =
        bind(StackConfig { udp, event_capacity: 1, ..Default::default() }).await.expect("a port");
    for _ in 0..20 {
        alice.invite(invite(&alice, &bob).await).await.expect("open");
    }
    // Commands work although nobody takes the events.
    bob.stats().await.expect("open");
    let (mut calls, mut ends) = (0, 0);
    while ends < 20 {
        match next(&mut to_bob).await {
            Event::Incoming { leg, .. } => {
                calls += 1;
                bob.reject(leg, 486).await.expect("open");
            }
            Event::Ended { .. } => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(calls, 20);
    for _ in 0..20 {
        assert!(matches!(next(&mut to_alice).await, Event::Ended { .. }));
    }
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn every_local_address_at_once() {
    let udp = vec!["0.0.0.0:0".parse().expect("an address")];
    let (alice, _events) = bind(StackConfig { udp, ..Default::default() }).await.expect("a port");
    let (bob, mut to_bob) = stack().await;
    let call = invite(&alice, &bob).await;
    assert_eq!(call.path.local.ip().to_string(), "127.0.0.1", "not the wildcard");
    alice.invite(call).await.expect("open");
    let Event::Incoming { request, .. } = next(&mut to_bob).await else { panic!("no call") };
    assert!(request.header("Contact").expect("a Contact").contains("@127.0.0.1:"));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn names_are_looked_up_and_failures_say_why() {
    let (alice, _events) = stack().await;
    let resolve = async |text: &str| {
        let uri: Uri = text.parse().expect("a uri");
        alice.resolve(&uri).await.map(|path| path.remote.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(resolve("sip:x@localhost:5099").await.as_deref(), Ok("127.0.0.1:5099"));
    assert_eq!(resolve("sip:192.0.2.1").await.as_deref(), Ok("192.0.2.1:5060"));
    assert_eq!(resolve("tel:+15551234").await, Err("tel:+15551234 is no sip uri".into()));
    assert!(resolve("sip:x@h;transport=tcp").await.is_err());
    assert_eq!(
        resolve("sip:x@[2001:db8::1]").await,
        Err("[2001:db8::1] has no address that a local socket can reach".into())
    );
    assert!(resolve("sip:x@no-such-host.invalid").await.is_err());
    alice.shutdown().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (alice, _events) = stack().await;
    let addr = alice.local_addr();
    let error = bind(StackConfig { udp: vec![addr], ..Default::default() }).await.expect_err("in use");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    assert!(matches!(bind(StackConfig::default()).await, Err(BindError::NoAddress)));
    alice.shutdown().await;
}

#[tokio::test]
async fn a_registration_meets_a_server_that_is_none() {
    let (alice, mut to_alice) = stack().await;
    let (bob, _to_bob) = stack().await;
    let registrar: Uri = format!("sip:{}", bob.local_addr()).parse().expect("a uri");
    let path = alice.resolve(&registrar).await.expect("loopback");
    let register = Register {
        aor: registrar.clone(),
        registrar,
        contact_user: "a".into(),
        credentials: Credentials { username: "u".into(), password: "p".into() },
        expires: Duration::from_secs(60),
        path,
        route: vec![],
    };
    let id = alice.register(register).await.expect("open");
    match next(&mut to_alice).await {
        Event::Registration { state: RegistrationState::Failed { status: 405, .. }, .. } => {}
        other => panic!("{other:?}"),
    }
    alice.unregister(id).await.expect("open");
    assert!(matches!(
        next(&mut to_alice).await,
        Event::Registration { state: RegistrationState::Unregistered, .. }
    ));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn a_packet_that_the_system_refuses_fails_its_call() {
    let (alice, mut to_alice) = stack().await;
    let mut call = invite(&alice, &alice).await;
    call.body = Some(Body::sdp(vec![b'x'; 70_000]));
    alice.invite(call).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut to_alice).await else { panic!("no end") };
    assert_eq!(cause.kind, CauseKind::TransportError);
    alice.shutdown().await;
}

#[tokio::test]
async fn both_families_on_one_port() {
    let (first, _events) = stack().await;
    let port = first.local_addr().port();
    first.shutdown().await;
    let udp = vec![([0, 0, 0, 0], port).into(), ([0_u16; 8], port).into()];
    let (both, mut to_both) = match bind(StackConfig { udp, ..Default::default() }).await {
        Ok(bound) => bound,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let udp = vec!["[::1]:0".parse().expect("an address")];
    let (six, mut to_six) = bind(StackConfig { udp, ..Default::default() }).await.expect("a port");
    let to: Uri = format!("sip:bob@[::1]:{port}").parse().expect("a uri");
    let path = six.resolve(&to).await.expect("loopback");
    let call = Invite { to: to.clone(), path, ..invite(&six, &six).await };
    six.invite(call).await.expect("open");
    let Event::Incoming { leg, request } = next(&mut to_both).await else { panic!("no call") };
    assert_eq!(request.path.local, format!("[::1]:{port}").parse().expect("an address"));
    both.answer(leg, Body::sdp("v=0\r\n")).await.expect("open");
    assert!(matches!(next(&mut to_six).await, Event::Answered { .. }));
    assert!(matches!(next(&mut to_both).await, Event::Established { .. }));
    six.shutdown().await;
    assert!(matches!(next(&mut to_both).await, Event::Ended { .. }));
    both.shutdown().await;
}

/// A 302 is followed by the stack itself; the program only hears of it.
#[tokio::test]
async fn a_callee_that_has_moved_is_followed() {
    let (alice, mut to_alice) = stack().await;
    let (bob, mut to_bob) = stack().await;
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let to: Uri = format!("sip:bob@{}", server.local_addr().expect("bound")).parse().expect("a uri");
    let path = alice.resolve(&to).await.expect("loopback");
    let call = Invite { to, path, redirects: 1, ..invite(&alice, &bob).await };
    let leg = alice.invite(call).await.expect("open");
    let mut buffer = [0; 4000];
    let (length, from) = server.recv_from(&mut buffer).await.expect("open");
    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let kept: Vec<_> = request.lines().filter(|line| kept.iter().any(|one| line.starts_with(one))).collect();
    let contact = format!("<sip:bob@localhost:{}>", bob.local_addr().port());
    let answer = format!(
        "SIP/2.0 302 Moved\r\n{}\r\nContact: {contact}\r\nContent-Length: 0\r\n\r\n",
        kept.join("\r\n")
    );
    server.send_to(answer.as_bytes(), from).await.expect("sent");
    let Event::Redirected { .. } = next(&mut to_alice).await else { panic!("not redirected") };
    let Event::Incoming { leg: bobs, .. } = next(&mut to_bob).await else { panic!("nobody calls") };
    bob.answer(bobs, Body::sdp("v=0\r\n")).await.expect("open");
    let Event::Answered { .. } = next(&mut to_alice).await else { panic!("no answer") };
    alice.hangup(leg, None).await.expect("open");
    alice.shutdown().await;
    bob.shutdown().await;
}
