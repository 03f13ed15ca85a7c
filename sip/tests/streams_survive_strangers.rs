//! Torture, garbage and sipp over TCP; where something is not at hand, the test says that it skipped.

#![cfg(feature = "net")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use sip::net::{Stack, StackConfig, bind};
use sip::{Body, Config, Event, Timers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const CALLS: usize = 200;

async fn stack() -> (Stack, Receiver<Event>) {
    let tcp: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().expect("an address")];
    bind(StackConfig { tcp, ..Default::default() }).await.expect("a free port")
}

/// What comes back when we have said this and no more.
async fn answer_to(stack: &Stack, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stack.local_addr()).await.expect("a listener");
    // It may be cut off in the middle.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let end = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    let _ = end.expect("closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

const OPTIONS: &[u8] = b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1\r\n\
    From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

#[tokio::test]
async fn torture_messages_leave_it_standing() {
    let Ok(folder) = std::env::var("OFFHOOK_TORTURE") else {
        return eprintln!("skipped: OFFHOOK_TORTURE is not set");
    };
    let (stack, mut events) = stack().await;
    // Nobody takes the calls that some of them are.
    let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "dat") {
            continue;
        }
        count += 1;
        let answer = answer_to(&stack, &std::fs::read(&path).expect("a file")).await;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Negative, and longer than what comes: the stream ends there (RFC 3261 §18.3).
        let expected = match name.as_str() {
            "clerr" | "ncl" => "SIP/2.0 400 ",
            "wsinv" => "SIP/2.0 481 ",
            _ => "",
        };
        assert!(answer.starts_with(expected), "{name}: {answer}");
        assert!(answer_to(&stack, OPTIONS).await.starts_with("SIP/2.0 200 "), "after {name}");
    }
    assert!(count >= 49, "only {count} messages");
    stack.shutdown().await;
    drain.await.expect("no panic");
}

#[tokio::test]
async fn any_bytes_are_closed_or_answered() {
    let (stack, _events) = stack().await;
    // A little chance that is the same every time.
    let mut state = 1_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for _ in 0..200 {
        let mut bytes = OPTIONS.repeat(1 + random(3));
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b"\r\n: "[random(4)]),
            }
        }
        answer_to(&stack, &bytes).await;
    }
    assert!(answer_to(&stack, OPTIONS).await.starts_with("SIP/2.0 200 "));
    stack.shutdown().await;
}

/// One connection for all calls (`t1`), and one for each (`tn`).
#[tokio::test]
async fn sipp_calls_over_one_connection_and_over_many() {
    if Command::new("sipp").arg("-v").output().is_err() {
        return eprintln!("skipped: no sipp");
    }
    // A machine that stands still for half a second must not look like a retransmission.
    let timers = Timers { t1: Duration::from_secs(30), ..Timers::default() };
    let tcp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let endpoint = Config { timers, ..Config::default() };
    let (stack, mut events) =
        bind(StackConfig { tcp, endpoint, ..Default::default() }).await.expect("a free port");
    let addr = stack.local_addr();
    let answering = stack.clone();
    let answers = tokio::spawn(async move {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
        while let Some(event) = events.recv().await {
            if let Event::Incoming { leg, .. } = event {
                let _ = answering.answer(leg, Body::sdp(sdp)).await;
            }
        }
    });
    for transport in ["t1", "tn"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sipp = tokio::process::Command::new("sipp")
            .current_dir(folder.path())
            .args(["-sn", "uac", "-i", "127.0.0.1", "-d", "50", "-nostdin", "-max_socket", "1000"])
            .args(["-t", transport, "-m", &CALLS.to_string(), "-r", "100", &addr.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("sipp");
        let end = timeout(Duration::from_secs(120), sipp.wait()).await.expect("in time").expect("ours");
        assert!(end.success(), "{transport}: {end}");
    }
    let stats = stack.stats().await.expect("open");
    assert_eq!((stats.calls_in, stats.retransmits_sent, stats.malformed), (2 * CALLS as u64, 0, 0));
    stack.shutdown().await;
    answers.abort();
}

#[tokio::test]
async fn what_breaks_off_is_judged_like_the_rest() {
    const ENDLESS: &[u8] = b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1\r\n\
        From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: x\r\n\r\n";
    let tcp: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().expect("an address")];
    let mut config = StackConfig { tcp, ..Default::default() };
    // One, and never another.
    config.endpoint.guard.per_source = Some(sip::Rate { per_second: 0, burst: 1 });
    let (stack, _events) = bind(config).await.expect("a free port");
    assert!(answer_to(&stack, ENDLESS).await.starts_with("SIP/2.0 400 "));
    assert_eq!(answer_to(&stack, ENDLESS).await, "");
    assert_eq!(stack.stats().await.expect("open").refused_by_guard, 1);
    stack.ban("127.0.0.1".parse().expect("an address"), Duration::from_secs(600)).await.expect("open");
    for _ in 0..3 {
        assert_eq!(answer_to(&stack, ENDLESS).await, "", "whoever is banned is not even let in");
    }
    assert_eq!(stack.stats().await.expect("open").refused_by_guard, 1);
    stack.shutdown().await;
}
