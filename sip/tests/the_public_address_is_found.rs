//! STUN over the socket of SIP: against a server made here, which answers late, wrongly, or as somebody else.

use std::net::SocketAddr;
use std::time::Duration;

use sip::net::{Stack, StackConfig, StunConfig, bind};
use sip::{Credentials, Event, Register, Uri};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
const PUBLIC: &str = "127.0.0.9:40404";

async fn stack(server: SocketAddr, every: Duration) -> (Stack, Receiver<Event>) {
    let config = StackConfig {
        udp: vec!["127.0.0.1:0".parse().expect("an address")],
        stun: Some(StunConfig { server: server.to_string(), every }),
        ..StackConfig::default()
    };
    bind(config).await.expect("a free port")
}

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let addr = socket.local_addr().expect("bound");
    (socket, addr)
}

/// The next Binding request: its sender and its bytes. SIP that comes along is passed over.
async fn asked(server: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 2000];
    loop {
        let (length, from) =
            timeout(LONG, server.recv_from(&mut buffer)).await.expect("in time").expect("open");
        if buffer[0] == 0 {
            assert_eq!((length, &buffer[..8]), (20, &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..]));
            return (from, buffer[..length].to_vec());
        }
    }
}

/// A success response, written apart from the reader.
fn success(request: &[u8], public: &str) -> Vec<u8> {
    let SocketAddr::V4(public) = public.parse().expect("an address") else { panic!("IPv4") };
    let mut out = vec![0x01, 0x01, 0, 12];
    out.extend(&request[4..20]);
    out.extend([0, 0x20, 0, 8, 0, 1]);
    out.extend((public.port() ^ 0x2112).to_be_bytes());
    out.extend(public.ip().octets().iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b));
    out
}

async fn told(events: &mut Receiver<Event>) -> (SocketAddr, SocketAddr) {
    loop {
        match timeout(LONG, events.recv()).await.expect("in time").expect("open") {
            Event::PublicAddress { local, addr, .. } => return (local, addr),
            Event::Registration { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_answer_of_the_server_is_told_and_stands_in_the_contact() {
    let (server, addr) = socket().await;
    let (stack, mut events) = stack(addr, Duration::from_secs(1)).await;
    let (from, request) = asked(&server).await;
    assert_eq!(from, stack.local_addr(), "it asks from the socket of SIP");
    server.send_to(&success(&request, PUBLIC), from).await.expect("sent");
    assert_eq!(told(&mut events).await, (stack.local_addr(), PUBLIC.parse().expect("an address")));
    // The same server as registrar: our Contact is what the outside can reach.
    let registrar: Uri = format!("sip:{addr}").parse().expect("a uri");
    let register = Register {
        aor: registrar.clone(),
        path: stack.resolve(&registrar).await.expect("loopback"),
        registrar,
        contact_user: "a".into(),
        credentials: Credentials { username: "u".into(), password: "p".into() },
        expires: Duration::from_secs(60),
        route: vec![],
    };
    stack.register(register).await.expect("open");
    let contact = registered_contact(&server).await;
    assert_eq!(contact, format!("<sip:a@{PUBLIC}>;expires=60"));
    // The next round finds another address, and the one after that the same.
    for public in ["127.0.0.9:40405", "127.0.0.9:40405", "127.0.0.9:40406"] {
        let (from, request) = asked(&server).await;
        server.send_to(&success(&request, public), from).await.expect("sent");
        if public != "127.0.0.9:40405" {
            assert_eq!(told(&mut events).await.1.port(), 40405);
            assert_eq!(told(&mut events).await.1.port(), 40406, "the same is told once");
        }
    }
    stack.shutdown().await;
}

async fn registered_contact(server: &UdpSocket) -> String {
    let mut buffer = [0; 2000];
    loop {
        let (length, _) = timeout(LONG, server.recv_from(&mut buffer)).await.expect("in time").expect("open");
        if buffer.starts_with(b"REGISTER ") {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let contact = text.lines().find_map(|line| line.strip_prefix("Contact: "));
            return contact.expect("a Contact").to_owned();
        }
    }
}

/// `OFFHOOK_STUN` names a server that is to be asked as well: coturn, for instance.
#[tokio::test]
async fn a_real_server_answers() {
    let Ok(server) = std::env::var("OFFHOOK_STUN") else { return };
    let config = StackConfig {
        udp: vec!["0.0.0.0:0".parse().expect("an address")],
        stun: Some(StunConfig { server, every: Duration::from_secs(600) }),
        ..StackConfig::default()
    };
    let (stack, mut events) = bind(config).await.expect("a free port");
    let (local, public) = told(&mut events).await;
    println!("{local} is seen as {public}");
    assert_eq!(local, stack.local_addr());
    stack.shutdown().await;
}

#[tokio::test]
async fn a_forgery_finds_nobody_and_a_lost_question_comes_again() {
    let (server, addr) = socket().await;
    let (stranger, _) = socket().await;
    let (stack, mut events) = stack(addr, Duration::from_secs(600)).await;
    let (from, first) = asked(&server).await;
    // From elsewhere; with another transaction id; and what is cut off.
    stranger.send_to(&success(&first, "127.0.0.1:1"), from).await.expect("sent");
    let mut other = success(&first, "127.0.0.1:2");
    other[8] ^= 1;
    server.send_to(&other, from).await.expect("sent");
    server.send_to(&success(&first, "127.0.0.1:3")[..28], from).await.expect("sent");
    // Nothing of that was an answer, so it asks again, with the same id.
    let (_, second) = asked(&server).await;
    assert_eq!(first, second);
    server.send_to(&success(&second, PUBLIC), from).await.expect("sent");
    assert_eq!(told(&mut events).await.1, PUBLIC.parse().expect("an address"));
    let counted = stack.stats().await.expect("open").malformed;
    assert_eq!(counted, 0, "STUN is no broken SIP");
    stack.shutdown().await;
}
