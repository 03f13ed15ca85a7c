//! TLS with programs that are not ours: OpenSSL as server and as client, and baresip as a telephone, called and calling.
//! Each bad certificate has its own fault, whoever presents it. What is not installed is skipped, and said so.

#![cfg(feature = "net")]

#[path = "support/real.rs"]
mod real;
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path as FilePath;
use std::process::Stdio;

use real::{invite, next, reach, soon};
use sip::net::{Stack, TlsError};
use sip::{Body, CauseKind, Event, NameAddr, Ping, Uri};
use support::papers::{Papers, papers};
use support::ports::free_ports;
use support::respond;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Receiver;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

const CERTIFICATES: [(&str, Result<(), TlsError>); 4] = [
    ("good", Ok(())),
    ("expired", Err(TlsError::Expired)),
    ("wrong-name", Err(TlsError::WrongName)),
    ("unknown-ca", Err(TlsError::UnknownCa)),
];

fn uri(text: &str) -> Uri {
    text.parse().expect("a uri")
}

/// Until somebody listens there.
async fn listening(port: u16) {
    soon(async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn is_installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("-h").output().is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found
}

/// Trusts our authority, and has a certificate for its address.
async fn alice(papers: &Papers) -> (Stack, Receiver<Event>) {
    papers.stack("address").await
}

fn openssl_server(papers: &Papers, certificate: &str, version: &str, port: u16) -> Child {
    Command::new("openssl")
        .current_dir(papers.dir())
        .args(["s_server", "-quiet", version, "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &format!("{certificate}.pem"), "-key", &format!("{certificate}.key")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl")
}

/// Up to the empty line.
async fn head(from: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(soon(from.read_u8()).await.expect("open"));
    }
    bytes
}

#[tokio::test]
async fn a_server_of_openssl_is_known_by_its_certificate() {
    let Some(papers) = papers() else { return };
    let (stack, mut events) = alice(papers).await;
    for version in ["-tls1_2", "-tls1_3"] {
        for (certificate, verdict) in CERTIFICATES {
            let port = free_ports(HERE, 1);
            let mut server = openssl_server(papers, certificate, version, port);
            listening(port).await;
            let to = uri(&format!("sips:localhost:{port}"));
            assert_eq!(reach(&stack, &to).await, verdict, "{certificate} {version}");
            let path = stack.resolve(&to).await.expect("loopback");
            let from = NameAddr::from(uri("sip:alice@localhost"));
            let ping = stack.ping(Ping { to, from, path }).await.expect("open");
            if verdict.is_ok() {
                let request = head(server.stdout.as_mut().expect("piped")).await;
                assert!(request.starts_with(b"OPTIONS sips:localhost:"));
                let answer = respond(&request, 200, "");
                server.stdin.as_mut().expect("piped").write_all(&answer).await.expect("open");
            }
            let Event::Pong { id, status, .. } = next(&mut events).await else { panic!("no pong") };
            let expected = if verdict.is_ok() { 200 } else { 503 };
            assert_eq!((id, status), (ping, expected), "{certificate} {version}");
            server.kill().await.expect("ours");
        }
    }
    stack.shutdown().await;
}

/// It says in its own words what is wrong with a certificate, so the certificates are what these tests take them for; and
/// a peer that breaks off leaves us standing.
#[tokio::test]
async fn a_client_of_openssl_knows_us_by_our_certificate() {
    let Some(papers) = papers() else { return };
    for (certificate, complaint) in [
        ("good", None),
        ("expired", Some("certificate has expired")),
        ("wrong-name", Some("ostname mismatch")),
        ("unknown-ca", Some("unable to")),
    ] {
        let (stack, _events) = papers.stack(certificate).await;
        for version in ["-tls1_2", "-tls1_3"] {
            let output = Command::new("openssl")
                .current_dir(papers.dir())
                .args(["s_client", "-verify_return_error", "-CAfile", "ca.pem", version])
                .args(["-servername", "localhost", "-verify_hostname", "localhost", "-connect"])
                .arg(stack.local_addr().to_string())
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output();
            let output = soon(output).await.expect("openssl");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.success(), complaint.is_none(), "{certificate} {version}: {said}");
            assert!(said.contains(complaint.unwrap_or("Verify return code: 0 (ok)")), "{said}");
        }
        assert_eq!(stack.stats().await.expect("alive").malformed, 0);
        stack.shutdown().await;
    }
}

/// A telephone that speaks TLS on `port`, answers every call, and may be told to dial.
struct Baresip {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Baresip {
    /// What is tested begins when it is ready: one that ends before that has another try, with other ports.
    async fn start(papers: &Papers, certificate: &str, dial: Option<&str>) -> Self {
        for _ in 0..3 {
            match Self::begin(papers, certificate, dial).await {
                Ok(ready) => return ready,
                Err(said) => eprintln!("{said}"),
            }
        }
        panic!("baresip does not start");
    }

    async fn begin(papers: &Papers, certificate: &str, dial: Option<&str>) -> Result<Self, String> {
        let port = free_ports(HERE, 2);
        let folder = tempfile::tempdir().expect("a folder");
        let pem =
            [papers.read(&format!("{certificate}.key")), papers.read(&format!("{certificate}.pem"))].concat();
        let ca = papers.dir().join("ca.pem");
        let file =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
        file("both.pem", &pem);
        let account = "<sip:bob@localhost;transport=tls>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1\n";
        file("accounts", account.as_bytes());
        file("config", settings(folder.path(), &ca, port).as_bytes());
        let mut command = Command::new("baresip");
        command.arg("-4").arg("-f").arg(folder.path());
        if let Some(uri) = dial {
            command.args(["-e", &format!("/dial {uri}")]);
        }
        let process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("stderr")).expect("a file"))
            .kill_on_drop(true)
            .spawn()
            .expect("baresip");
        let mut baresip = Self { process, port: port + 1, folder };
        baresip.is_ready().await?;
        Ok(baresip)
    }

    /// Or what it said before it ended.
    async fn is_ready(&mut self) -> Result<(), String> {
        let mut lines = BufReader::new(self.process.stdout.take().expect("piped")).lines();
        let mut said = String::new();
        loop {
            let Some(line) = soon(lines.next_line()).await.expect("text") else {
                let status = soon(self.process.wait()).await.expect("ours");
                said += &std::fs::read_to_string(self.folder.path().join("stderr")).expect("text");
                return Err(format!("baresip ended with {status} before it was ready. It said:\n{said}"));
            };
            if line.contains("baresip is ready") {
                break;
            }
            said += &line;
            said.push('\n');
        }
        // Whoever stops listening stops the telephone.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }

    async fn end(mut self) {
        self.process.kill().await.expect("ours");
    }
}

fn settings(folder: &FilePath, ca: &FilePath, port: u16) -> String {
    let folder = folder.display();
    format!(
        "poll_method epoll
sip_listen 127.0.0.1:{port}
sip_certificate {folder}/both.pem
sip_cafile {}
net_interface 127.0.0.1
audio_source aubridge,line
audio_player aubridge,line
audio_alert aubridge,alert
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
",
        ca.display()
    )
}

#[tokio::test]
async fn baresip_is_called_where_its_certificate_is_good() {
    let Some(papers) = papers() else { return };
    if !is_installed("baresip") {
        return;
    }
    let (stack, mut events) = alice(papers).await;
    for (certificate, verdict) in CERTIFICATES {
        let baresip = Baresip::start(papers, certificate, None).await;
        let to = uri(&format!("sips:bob@localhost:{}", baresip.port));
        assert_eq!(reach(&stack, &to).await, verdict, "{certificate}");
        let call = invite(&stack, &to.to_string(), SDP).await;
        let leg = stack.invite(call).await.expect("open");
        loop {
            match next(&mut events).await {
                Event::Progress { .. } => {}
                Event::Answered { leg: answered, status, body, .. } if verdict.is_ok() => {
                    assert_eq!((answered, status), (leg, 200));
                    let body = body.expect("an answer");
                    assert!(String::from_utf8_lossy(&body.bytes).contains("m=audio"));
                    stack.hangup(leg, None).await.expect("open");
                }
                Event::Ended { leg: ended, cause } => {
                    let kind = if verdict.is_ok() { CauseKind::Bye } else { CauseKind::TransportError };
                    assert_eq!((ended, cause.kind), (leg, kind), "{certificate}");
                    break;
                }
                other => panic!("{certificate}: {other:?}"),
            }
        }
        baresip.end().await;
    }
    stack.shutdown().await;
}

#[tokio::test]
async fn baresip_calls_over_tls_and_hears_goodbye() {
    let Some(papers) = papers() else { return };
    if !is_installed("baresip") {
        return;
    }
    let (stack, mut events) = alice(papers).await;
    // It asks a name server even for `localhost`; and of its own account it takes the transport.
    let dial = format!("sip:alice@{}", stack.local_addr());
    let baresip = Baresip::start(papers, "good", Some(&dial)).await;
    let Event::Incoming { leg, request } = next(&mut events).await else { panic!("no call") };
    assert_eq!(request.path.transport, sip::Transport::Tls);
    assert!(request.body.is_some_and(|body| body.content_type == "application/sdp"));
    stack.ring(leg, 180, None).await.expect("open");
    stack.answer(leg, Body::sdp(SDP)).await.expect("open");
    let event = next(&mut events).await;
    assert!(matches!(event, Event::Established { .. }), "{event:?}");
    stack.hangup(leg, None).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut events).await else { panic!("no end") };
    assert_eq!(cause.kind, CauseKind::Bye);
    // Its answer to our BYE: then the leg is gone, and nothing is left to be sent again.
    soon(async {
        while stack.stats().await.expect("alive").legs > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stack.stats().await.expect("alive").retransmits_sent, 0);
    baresip.end().await;
    stack.shutdown().await;
}
