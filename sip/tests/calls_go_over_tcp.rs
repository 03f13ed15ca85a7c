//! Streams on loopback: calls, reuse, keep-alive, garbage, bounds, and large requests.

#![cfg(feature = "net")]

#[path = "support/real.rs"]
mod real;

use std::net::SocketAddr;
use std::time::Duration;

use real::{next, soon};
use sip::net::{ConnectError, ResolveError, Stack, StackConfig, StreamLimits, bind};
use sip::{Advertised, Body, CauseKind, Config, Event, Invite, Sources, Timers, Transport, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const SDP: &str = "v=0\r\n";

fn any() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().expect("an address")]
}

async fn tcp() -> (Stack, Receiver<Event>) {
    bind(StackConfig { tcp: any(), ..Default::default() }).await.expect("a free port")
}

async fn both() -> (Stack, Receiver<Event>) {
    bind(StackConfig { udp: any(), tcp: any(), ..Default::default() }).await.expect("free ports")
}

async fn invite(from: &Stack, to: &str) -> Invite {
    real::invite(from, to, SDP).await
}

fn options(branch: u32) -> String {
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{branch}\r\n\
         From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: c{branch}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Reads until the text ends so.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut buffer = [0; 4096];
        let length = soon(stream.read(&mut buffer)).await.expect("open");
        assert!(length > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A machine that stands still for half a second must not look like a retransmission.
fn patient() -> Config {
    Config { timers: Timers { t1: Duration::from_secs(30), ..Timers::default() }, ..Config::default() }
}

#[tokio::test]
async fn a_call_from_end_to_end_without_retransmission() {
    let stack = async || {
        let config = StackConfig { tcp: any(), endpoint: patient(), ..Default::default() };
        bind(config).await.expect("a free port")
    };
    let (alice, mut to_alice) = stack().await;
    let (bob, mut to_bob) = stack().await;
    let call = invite(&alice, &format!("sip:bob@{};transport=tcp", bob.local_addr())).await;
    assert_eq!(call.path.transport, Transport::Tcp);
    let call = alice.invite(call).await.expect("open");
    let Event::Incoming { leg, request } = next(&mut to_bob).await else { panic!("no call") };
    assert_eq!(request.path.transport, Transport::Tcp);
    assert_eq!(request.path.local, bob.local_addr());
    assert!(
        request.header("Via").expect("a Via").starts_with(&format!("SIP/2.0/TCP {}", alice.local_addr()))
    );
    let contact = request.header("Contact").expect("a Contact").to_string();
    assert!(contact.contains(&format!("{};transport=tcp", alice.local_addr())), "{contact}");
    bob.ring(leg, 180, None).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Progress { status: 180, .. }));
    bob.answer(leg, Body::sdp(SDP)).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Answered { .. }));
    assert!(matches!(next(&mut to_bob).await, Event::Established { .. }));
    // Bob's own requests go to Alice's Contact: her listener, not the port that she called from.
    bob.send_dtmf(leg, '7', Duration::from_millis(100)).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Dtmf { digit: '7', .. }));
    alice.hangup(call, None).await.expect("open");
    assert!(matches!(next(&mut to_bob).await, Event::Ended { .. }));
    for stack in [alice, bob] {
        assert_eq!(stack.stats().await.expect("open").retransmits_sent, 0);
        stack.shutdown().await;
    }
}

#[tokio::test]
async fn one_connection_carries_everything_to_one_peer() {
    let (alice, _to_alice) = tcp().await;
    let peer = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = format!("sip:bob@{};transport=tcp", peer.local_addr().expect("bound"));
    let first = invite(&alice, &to).await;
    soon(alice.connect(first.path)).await.expect("a listener");
    let (mut stream, _) = soon(peer.accept()).await.expect("a connection");
    soon(alice.connect(first.path)).await.expect("still open");
    alice.invite(first.clone()).await.expect("open");
    alice.invite(first).await.expect("open");
    let mut text = String::new();
    while text.matches("INVITE sip:").count() < 2 {
        text.push_str(&read_until(&mut stream, SDP).await);
    }
    // The peer asks on the connection that it did not open (§18: both directions).
    stream.write_all(options(1).as_bytes()).await.expect("open");
    assert!(read_until(&mut stream, "\r\n\r\n").await.contains("SIP/2.0 200"));
    assert!(timeout(Duration::ZERO, peer.accept()).await.is_err(), "no second connection");
    alice.shutdown().await;
}

#[tokio::test]
async fn requests_in_pieces_in_heaps_and_pings_between_them() {
    let (bob, _events) = tcp().await;
    let mut stream = TcpStream::connect(bob.local_addr()).await.expect("a listener");
    stream.write_all(b"\r\n\r\n").await.expect("open");
    assert_eq!(read_until(&mut stream, "\r\n").await, "\r\n");
    let (one, two, three) = (options(1), options(2), options(3));
    stream.write_all(format!("{one}{two}{}", &three[..100]).as_bytes()).await.expect("open");
    let mut answers = String::new();
    while answers.matches("SIP/2.0 200").count() < 2 {
        answers.push_str(&read_until(&mut stream, "\r\n\r\n").await);
    }
    stream.write_all(&three.as_bytes()[100..]).await.expect("open");
    answers.push_str(&read_until(&mut stream, "\r\n\r\n").await);
    for branch in 1..=3 {
        assert!(answers.contains(&format!("branch=z9hG4bK{branch}")), "{answers}");
    }
    bob.shutdown().await;
    assert_eq!(rest(&mut stream).await, "", "closed with the stack");
}

#[tokio::test]
async fn what_cannot_be_framed_is_answered_where_possible_and_closed() {
    let (bob, _events) = tcp().await;
    let no_length = options(1).replace("Content-Length: 0\r\n", "");
    let too_long = options(1).replace("Content-Length: 0", "Content-Length: 99999999");
    for (text, answer) in [
        (no_length.as_str(), "SIP/2.0 400 Missing Content-Length"),
        (too_long.as_str(), "SIP/2.0 513 "),
        ("GET / HTTP/1.1\r\n\r\n", ""),
        ("\x16\x03\x01\x02", ""),
    ] {
        let mut stream = TcpStream::connect(bob.local_addr()).await.expect("a listener");
        stream.write_all(text.as_bytes()).await.expect("open");
        let got = rest(&mut stream).await;
        assert!(got.starts_with(answer) && got.is_empty() == answer.is_empty(), "{text:?}: {got:?}");
    }
    bob.shutdown().await;
}

#[tokio::test]
async fn whoever_has_said_all_still_hears_the_answer() {
    let (bob, _events) = tcp().await;
    let broken_off = options(1).replace("Content-Length: 0", "Content-Length: 9");
    for (text, answer) in [
        (options(1), "SIP/2.0 200 OK"),
        (broken_off, "SIP/2.0 400 Body Shorter Than Content-Length"),
        (options(1)[..170].to_owned(), "SIP/2.0 400 "),
        (String::new(), ""),
    ] {
        let mut stream = TcpStream::connect(bob.local_addr()).await.expect("a listener");
        stream.write_all(text.as_bytes()).await.expect("open");
        stream.shutdown().await.expect("open");
        let got = rest(&mut stream).await;
        assert!(got.starts_with(answer) && got.is_empty() == answer.is_empty(), "{text:?}: {got:?}");
    }
    bob.shutdown().await;
}

#[tokio::test]
async fn each_transport_and_family_has_its_own_address() {
    let six: Vec<SocketAddr> = vec!["[::1]:0".parse().expect("an address")];
    let advertised = |transport, host: &str, port| Advertised { transport, host: host.into(), port };
    let endpoint = Config {
        advertised: vec![
            advertised(Transport::Udp, "udp.example.com", Some(5099)),
            advertised(Transport::Tcp, "192.0.2.1", None),
            advertised(Transport::Tcp, "2001:db8::1", Some(5098)),
        ],
        ..Default::default()
    };
    let tcp = [any(), six.clone()].concat();
    let alice = bind(StackConfig { endpoint, udp: any(), tcp: tcp.clone(), ..Default::default() }).await;
    let bob = bind(StackConfig { udp: any(), tcp, ..Default::default() }).await;
    let (Ok((alice, _to_alice)), Ok((bob, mut to_bob))) = (alice, bob) else {
        return eprintln!("skipped: no IPv6");
    };
    let [four, six] = bob.local_addrs(Transport::Tcp) else { panic!("two addresses") };
    let own = alice.local_addrs(Transport::Tcp)[0].port();
    for (to, expected) in [
        (format!("sip:bob@{}", bob.local_addr()), "udp.example.com:5099".to_owned()),
        (format!("sip:bob@{four};transport=tcp"), format!("192.0.2.1:{own}")),
        (format!("sip:bob@{six};transport=tcp"), "[2001:db8::1]:5098".to_owned()),
    ] {
        alice.invite(invite(&alice, &to).await).await.expect("open");
        let Event::Incoming { leg, request } = next(&mut to_bob).await else { panic!("no call") };
        for header in ["Via", "Contact"] {
            let value = request.header(header).expect("a header").to_string();
            assert!(value.contains(&expected), "{header}: {value}");
        }
        bob.reject(leg, 486).await.expect("open");
        assert!(matches!(next(&mut to_bob).await, Event::Ended { .. }));
    }
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn strangers_and_the_one_too_many_are_closed_at_once() {
    let streams = StreamLimits { per_source: 1, ..Default::default() };
    let (bob, _events) =
        bind(StackConfig { tcp: any(), streams, ..Default::default() }).await.expect("a port");
    let mut first = TcpStream::connect(bob.local_addr()).await.expect("a listener");
    first.write_all(options(1).as_bytes()).await.expect("open");
    read_until(&mut first, "\r\n\r\n").await;
    let mut second = TcpStream::connect(bob.local_addr()).await.expect("a listener");
    assert_eq!(rest(&mut second).await, "");
    first.write_all(options(2).as_bytes()).await.expect("open");
    read_until(&mut first, "\r\n\r\n").await;
    bob.set_sources(Sources::Only(vec![])).await.expect("open");
    drop(first);
    let mut stranger = TcpStream::connect(bob.local_addr()).await.expect("a listener");
    let _ = stranger.write_all(options(3).as_bytes()).await;
    assert_eq!(rest(&mut stranger).await, "");
    bob.shutdown().await;
}

#[tokio::test]
async fn a_peer_that_is_not_there_fails_the_call_at_once_and_says_why() {
    let (alice, mut to_alice) = tcp().await;
    // Bound and not listening: who connects is refused, and nobody else can have the port.
    let closed = TcpSocket::new_v4().expect("a socket");
    closed.bind(any()[0]).expect("a port");
    let addr = closed.local_addr().expect("bound");
    let call = invite(&alice, &format!("sip:bob@{addr};transport=tcp")).await;
    let error = soon(alice.connect(call.path)).await.expect_err("nobody listens");
    assert!(matches!(error, ConnectError::Tcp { .. }) && error.to_string().contains("refused"), "{error}");
    alice.invite(call).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut to_alice).await else { panic!("no end") };
    assert_eq!(cause.kind, CauseKind::TransportError);
    alice.shutdown().await;
}

#[tokio::test]
async fn a_large_request_goes_by_tcp_where_the_peer_takes_it() {
    let (alice, mut to_alice) = both().await;
    // The same number for both transports, as §18.1.1 has it.
    let (bob, mut to_bob) = soon(async {
        loop {
            let udp = any();
            let probe = UdpSocket::bind(udp[0]).await.expect("a port");
            let addr = vec![probe.local_addr().expect("bound")];
            drop(probe);
            let config = StackConfig { udp: addr.clone(), tcp: addr, ..Default::default() };
            if let Ok(bound) = bind(config).await {
                return bound;
            }
        }
    })
    .await;
    let mut call = invite(&alice, &format!("sip:bob@{}", bob.local_addr())).await;
    assert_eq!(call.path.transport, Transport::Udp);
    call.body = Some(Body::sdp(vec![b'x'; 1_400]));
    alice.invite(call.clone()).await.expect("open");
    let Event::Incoming { leg, request } = next(&mut to_bob).await else { panic!("no call") };
    assert_eq!(request.path.transport, Transport::Tcp);
    assert!(request.header("Via").expect("a Via").starts_with("SIP/2.0/TCP "));
    bob.answer(leg, Body::sdp(SDP)).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Answered { .. }));
    assert!(matches!(next(&mut to_bob).await, Event::Established { .. }));
    call.body = Some(Body::sdp(SDP));
    alice.invite(call).await.expect("open");
    let Event::Incoming { request, .. } = next(&mut to_bob).await else { panic!("no call") };
    assert_eq!(request.path.transport, Transport::Udp, "a small one stays");
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn a_large_request_falls_back_to_udp_where_nobody_takes_tcp() {
    let (alice, _to_alice) = both().await;
    let (bob, mut to_bob) =
        bind(StackConfig { udp: any(), ..Default::default() }).await.expect("a free port");
    let mut call = invite(&alice, &format!("sip:bob@{}", bob.local_addr())).await;
    call.body = Some(Body::sdp(vec![b'x'; 1_400]));
    for _ in 0..2 {
        alice.invite(call.clone()).await.expect("open");
        let Event::Incoming { request, .. } = next(&mut to_bob).await else { panic!("no call") };
        assert_eq!(request.path.transport, Transport::Udp);
        assert!(request.header("Via").expect("a Via").starts_with("SIP/2.0/UDP "));
    }
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn tcp_is_not_spoken_where_nothing_listens_for_it() {
    let (alice, _events) = bind(StackConfig { udp: any(), ..Default::default() }).await.expect("a free port");
    let uri: Uri = "sip:a@127.0.0.1;transport=tcp".parse().expect("a uri");
    assert!(matches!(alice.resolve(&uri).await, Err(ResolveError::Transport(_))));
    let path = sip::Path {
        transport: Transport::Tcp,
        local: alice.local_addr(),
        remote: "127.0.0.1:5060".parse().expect("an address"),
    };
    assert!(matches!(alice.connect(path).await, Err(ConnectError::NotSpoken(Transport::Tcp))));
    alice.shutdown().await;
}
