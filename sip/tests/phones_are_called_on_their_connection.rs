//! A phone that has registered by TCP is called on that connection, wherever its Contact points; when the connection ends, so
//! does the binding.

#![cfg(feature = "net")]

mod support;

use std::time::Duration;

use sip::net::{StackConfig, bind};
use sip::{CauseKind, Config, Event, NameAddr, Registrar, Transport};
use support::phone::{Phone, accounts};
use support::{offer, uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A fence for what goes wrong. Nothing waits for it.
const FENCE: Duration = Duration::from_secs(30);

/// One message.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let whole = async {
        while !text.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).await.expect("an open connection");
            text.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&text).into_owned();
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        stream.read_exact(&mut body).await.expect("an open connection");
        head + &String::from_utf8_lossy(&body)
    };
    timeout(FENCE, whole).await.expect("no message in time")
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(FENCE, events.recv()).await.expect("no event in time").expect("an open stack")
}

#[tokio::test]
async fn from_the_first_register_to_the_last_byte() {
    let tcp = vec!["127.0.0.1:0".parse().expect("an address")];
    let registrar = Registrar { algorithms: vec![sip::Algorithm::Sha256], ..Registrar::default() };
    let endpoint = Config { registrar: Some(registrar), ..Config::default() };
    let (stack, mut events) =
        bind(StackConfig { endpoint, tcp, ..StackConfig::default() }).await.expect("a free port");
    stack.set_accounts(accounts()).await.expect("open");
    let mut stream = TcpStream::connect(stack.local_addr()).await.expect("a listener");
    let ours = stream.local_addr().expect("an address");
    // Nobody listens at the discard port.
    let contact = "Contact: <sip:201@127.0.0.1:9;transport=tcp>\r\n";
    let mut phone = Phone::new("127.0.0.1:9", "201", "secret-1");
    let first = phone.plain("REGISTER", "sip:offhook", contact);
    stream.write_all(first.as_bytes()).await.expect("open");
    let challenge = read(&mut stream).await;
    phone.nonce =
        challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    let second = phone.signed("REGISTER", "sip:offhook", contact);
    stream.write_all(second.as_bytes()).await.expect("open");
    assert!(read(&mut stream).await.starts_with("SIP/2.0 200 "));
    let Event::Bound { bindings, .. } = next(&mut events).await else { panic!("not bound") };
    assert_eq!((bindings[0].path.transport, bindings[0].path.remote), (Transport::Tcp, ours));

    let call = sip::Invite {
        to: bindings[0].contact.clone(),
        from: NameAddr::from(uri("sip:agent@offhook")),
        credentials: None,
        path: bindings[0].path,
        route: bindings[0].route.clone(),
        redirects: 0,
        headers: Vec::new(),
        body: Some(offer()),
    };
    let leg = stack.invite(call).await.expect("open");
    let invite = read(&mut stream).await;
    assert!(invite.starts_with("INVITE sip:201@127.0.0.1:9;transport=tcp SIP/2.0\r\n"), "{invite}");
    let answer = support::respond(invite.as_bytes(), 200, contact);
    stream.write_all(&answer).await.expect("open");
    assert!(matches!(next(&mut events).await, Event::Answered { status: 200, .. }));
    assert!(read(&mut stream).await.starts_with("ACK sip:201@127.0.0.1:9;transport=tcp "));
    stack.hangup(leg, None).await.expect("open");
    let bye = read(&mut stream).await;
    assert!(bye.starts_with("BYE sip:201@127.0.0.1:9;transport=tcp "));
    stream.write_all(&support::respond(bye.as_bytes(), 200, "")).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut events).await else { panic!("no end") };
    assert_eq!(cause.kind, CauseKind::Bye);

    drop(stream);
    assert!(matches!(next(&mut events).await, Event::FlowLost { path } if path.remote == ours));
    let Event::Bound { username, bindings } = next(&mut events).await else { panic!("still bound") };
    assert_eq!((username.as_str(), bindings.len()), ("201", 0));
    assert_eq!(stack.stats().await.expect("open").bindings, 0);
    stack.shutdown().await;
}
