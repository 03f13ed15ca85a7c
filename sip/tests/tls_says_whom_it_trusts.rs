//! TLS on loopback, with certificates that `openssl` makes on the spot. Where there is no `openssl`, the tests say so.

#![cfg(feature = "net")]

#[path = "support/real.rs"]
mod real;
mod support;

use std::net::SocketAddr;
use std::process::Stdio;

use real::{next, reach, soon};
use sip::net::{BindError, Identity, Roots, Stack, StackConfig, TlsConfig, TlsConfigError, TlsError, bind};
use sip::{Body, CauseKind, Event, Transport, Uri};
use support::papers::papers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;

const SDP: &str = "v=0\r\n";

fn any() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().expect("an address")]
}

/// A stack that only connects.
async fn client(tls: TlsConfig) -> (Stack, Receiver<Event>) {
    bind(StackConfig { udp: any(), tls: Some(tls), ..Default::default() }).await.expect("a free port")
}

fn uri(host: &str, server: &Stack) -> Uri {
    format!("sips:bob@{host}:{}", server.local_addr().port()).parse().expect("a uri")
}

#[tokio::test]
async fn a_call_from_end_to_end() {
    let Some(papers) = papers() else { return };
    let (alice, mut to_alice) = papers.stack("address").await;
    let (bob, mut to_bob) = papers.stack("good").await;
    let call = real::invite(&alice, &uri("localhost", &bob).to_string(), SDP).await;
    let call = alice.invite(call).await.expect("open");
    let Event::Incoming { leg, request } = next(&mut to_bob).await else { panic!("no call") };
    assert_eq!(request.path.transport, Transport::Tls);
    assert!(request.header("Contact").expect("a Contact").contains(";transport=tls"));
    bob.answer(leg, Body::sdp(SDP)).await.expect("open");
    assert!(matches!(next(&mut to_alice).await, Event::Answered { .. }));
    assert!(matches!(next(&mut to_bob).await, Event::Established { .. }));
    // Bob calls back at her Contact: an address, and her certificate is for it.
    bob.hangup(leg, None).await.expect("open");
    let Event::Ended { leg, cause } = next(&mut to_alice).await else { panic!("no end") };
    assert_eq!((leg, cause.kind), (call, CauseKind::Bye));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn every_bad_certificate_is_refused_by_its_fault() {
    let Some(papers) = papers() else { return };
    let (alice, mut to_alice) = client(TlsConfig { roots: papers.roots(), ..Default::default() }).await;
    for (certificate, verdict) in [
        ("good", Ok(())),
        ("expired", Err(TlsError::Expired)),
        ("wrong-name", Err(TlsError::WrongName)),
        ("unknown-ca", Err(TlsError::UnknownCa)),
    ] {
        let (bob, _events) = papers.stack(certificate).await;
        assert_eq!(reach(&alice, &uri("localhost", &bob)).await, verdict, "{certificate}");
        if verdict.is_err() {
            let call = real::invite(&alice, &uri("localhost", &bob).to_string(), SDP).await;
            alice.invite(call).await.expect("open");
            let Event::Ended { cause, .. } = next(&mut to_alice).await else { panic!("no end") };
            assert_eq!(cause.kind, CauseKind::TransportError);
        }
        bob.shutdown().await;
    }
    alice.shutdown().await;
}

#[tokio::test]
async fn trust_is_the_systems_unless_it_is_given_by_name() {
    let Some(papers) = papers() else { return };
    let (bob, _events) = papers.stack("good").await;
    let (system, _events) = client(TlsConfig::default()).await;
    assert_eq!(reach(&system, &uri("localhost", &bob)).await, Err(TlsError::UnknownCa));
    system.shutdown().await;
    let roots_of = [("localhost".to_owned(), papers.roots())].into();
    let (named, _events) = client(TlsConfig { roots_of, ..Default::default() }).await;
    assert_eq!(reach(&named, &uri("LOCALHOST", &bob)).await, Ok(()));
    named.shutdown().await;
    let (anybody, _events) = client(TlsConfig { roots: Roots::Unverified, ..Default::default() }).await;
    assert_eq!(reach(&anybody, &uri("127.0.0.1", &bob)).await, Ok(()));
    anybody.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_trusted_for_its_own_name_only() {
    let Some(papers) = papers() else { return };
    let (bob, _events) = papers.stack("good").await;
    let (alice, _events) = client(TlsConfig { roots: papers.roots(), ..Default::default() }).await;
    assert_eq!(reach(&alice, &uri("localhost", &bob)).await, Ok(()));
    // The same address and port by another name: the open connection proves nothing for it.
    assert_eq!(reach(&alice, &uri("127.0.0.1", &bob)).await, Err(TlsError::WrongName));
    assert_eq!(reach(&alice, &uri("localhost", &bob)).await, Ok(()));
    bob.shutdown().await;
    let (bob, _events) = papers.stack("address").await;
    assert_eq!(reach(&alice, &uri("127.0.0.1", &bob)).await, Ok(()));
    assert_eq!(reach(&alice, &uri("localhost", &bob)).await, Err(TlsError::WrongName));
    alice.shutdown().await;
    bob.shutdown().await;
}

#[tokio::test]
async fn openssl_shakes_hands_and_gets_its_answer() {
    let Some(papers) = papers() else { return };
    let (bob, _events) = papers.stack("good").await;
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = tokio::process::Command::new("openssl")
            .current_dir(papers.dir())
            .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem", version])
            .args(["-servername", "localhost", "-verify_hostname", "localhost", "-connect"])
            .arg(bob.local_addr().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("openssl");
        let mut stdin = openssl.stdin.take().expect("piped");
        let mut stdout = openssl.stdout.take().expect("piped");
        let text = b"OPTIONS sip:a@localhost SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bK1\r\n\
            From: <sip:b@localhost>;tag=1\r\nTo: <sip:a@localhost>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
            Content-Length: 0\r\n\r\n";
        stdin.write_all(text).await.expect("open");
        let mut answer = vec![0; 15];
        soon(stdout.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "SIP/2.0 200 OK\r", "{version}");
        openssl.kill().await.expect("ours");
    }
    bob.shutdown().await;
}

#[tokio::test]
async fn plain_text_on_the_port_of_tls_is_closed() {
    let Some(papers) = papers() else { return };
    let (bob, _events) = papers.stack("good").await;
    let mut stream = tokio::net::TcpStream::connect(bob.local_addr()).await.expect("a listener");
    stream.write_all(b"OPTIONS sip:a@localhost SIP/2.0\r\n\r\n").await.expect("open");
    let mut bytes = Vec::new();
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    assert!(!bytes.starts_with(b"SIP"), "an alert at most: {bytes:?}");
    bob.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_told_before_anything_starts() {
    let Some(papers) = papers() else { return };
    let fault = async |tls: TlsConfig| match bind(StackConfig { tls: Some(tls), ..Default::default() }).await
    {
        Err(BindError::Tls(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let listen = any();
    let none = TlsConfig { listen: listen.clone(), ..Default::default() };
    assert_eq!(fault(none).await, TlsConfigError::NoIdentity);
    let with =
        |identity| TlsConfig { listen: listen.clone(), identity: Some(identity), ..Default::default() };
    let good = papers.identity("good");
    let no_chain = Identity { chain: b"nothing".to_vec(), key: good.key.clone() };
    assert_eq!(fault(with(no_chain)).await, TlsConfigError::NoCertificate);
    let no_key = Identity { chain: good.chain.clone(), key: good.chain.clone() };
    assert_eq!(fault(with(no_key)).await, TlsConfigError::NoKey);
    let mixed = Identity { chain: good.chain.clone(), key: papers.identity("expired").key };
    assert!(matches!(fault(with(mixed)).await, TlsConfigError::Identity(_)));
    let no_roots = TlsConfig { roots: Roots::Pem(vec![]), ..with(good.clone()) };
    assert_eq!(fault(no_roots).await, TlsConfigError::NoRoots);
    assert!(!format!("{:?}", with(good)).contains("PRIVATE"));
}
