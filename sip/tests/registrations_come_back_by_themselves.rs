//! A registration over TCP, and over TLS for that matter, lives on its connection: when that breaks, it comes again.

#![cfg(feature = "net")]

use std::time::Duration;

use sip::net::{StackConfig, bind};
use sip::{Credentials, Event, Register, RegistrationState, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

/// Reads one REGISTER and grants an hour.
async fn grant(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let mut buffer = [0; 4096];
        let length = timeout(LONG, stream.read(&mut buffer)).await.expect("in time").expect("open");
        assert!(length > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(text.starts_with("REGISTER "), "{text}");
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let kept: Vec<_> = text.lines().filter(|line| kept.iter().any(|one| line.starts_with(one))).collect();
    let kept = kept.join("\r\n");
    let answer = format!("SIP/2.0 200 OK\r\n{kept}\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.expect("open");
    text
}

#[tokio::test]
async fn a_broken_connection_is_told_and_mended() {
    let registrar = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("sip:{};transport=tcp", registrar.local_addr().expect("bound"));
    let uri: Uri = uri.parse().expect("a uri");
    let config = StackConfig { tcp: vec!["127.0.0.1:0".parse().expect("an address")], ..Default::default() };
    let (stack, mut events) = bind(config).await.expect("a free port");
    let path = stack.resolve(&uri).await.expect("loopback");
    let register = Register {
        registrar: uri.clone(),
        aor: uri,
        contact_user: "a".into(),
        credentials: Credentials { username: "u".into(), password: "p".into() },
        expires: Duration::from_secs(3600),
        path,
        route: vec![],
    };
    stack.register(register).await.expect("open");
    let mut told = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = timeout(LONG, registrar.accept()).await.expect("in time").expect("open");
        told.push(grant(&mut stream).await);
        loop {
            match timeout(LONG, events.recv()).await.expect("in time").expect("open") {
                Event::Registration { state: RegistrationState::Registered { .. }, .. } => break,
                Event::FlowLost { path: lost } => assert_eq!(lost, path),
                other => panic!("{other:?}"),
            }
        }
    }
    let call_id = |text: &str| text.lines().find(|line| line.starts_with("Call-ID")).map(str::to_owned);
    assert_eq!(call_id(&told[0]), call_id(&told[1]));
    assert!(told[1].contains("CSeq: 2 REGISTER"));
    stack.shutdown().await;
}
