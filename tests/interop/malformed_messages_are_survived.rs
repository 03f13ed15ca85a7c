//! A stranger's bytes: answered 400 where there is somebody to answer, dropped where not, and the process goes on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::line::Line;
use crate::support::{SOON, alone};

#[test]
fn a_request_without_what_it_needs_is_answered_400() {
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new());
    for (name, broken) in [
        ("no Call-ID", "CSeq: 1 INVITE\r\n"),
        ("no CSeq", "Call-ID: broken-1@here\r\n"),
        ("a CSeq of another method", "Call-ID: broken-2@here\r\nCSeq: 1 BYE\r\n"),
        ("a CSeq that is no number", "Call-ID: broken-3@here\r\nCSeq: one INVITE\r\n"),
        (
            "a Content-Length beyond the datagram",
            "Call-ID: broken-4@here\r\nCSeq: 1 INVITE\r\nContent-Length: 9999\r\n",
        ),
    ] {
        let line = Line::to(gateway.sip);
        let me = line.address();
        line.send(
            format!(
                "INVITE sip:{DID}@{} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-{};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:x@{me}>;tag=1\r\nTo: <sip:{DID}@{me}>\r\n{broken}\r\n",
                gateway.sip,
                name.replace(' ', "-"),
            )
            .as_bytes(),
        );
        let answer = line.answer(SOON, |answer| answer.status >= 200);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    still_serves(&gateway);
}

#[test]
fn noise_is_dropped_and_the_process_lives() {
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new());
    let line = Line::to(gateway.sip);
    let zeros = vec![0; 60_000];
    let one_header = format!("OPTIONS sip:x SIP/2.0\r\nVia: {}\r\n\r\n", "x".repeat(50_000));
    let many_headers = format!("OPTIONS sip:x SIP/2.0\r\n{}\r\n", "A: b\r\n".repeat(9_000));
    let noise: [&[u8]; 10] = [
        b"",
        b"\r\n\r\n",
        b"\0",
        b"SIP/2.0",
        b"SIP/2.0 999999999999 \r\n\r\n",
        b"INVITE\r\n\r\n",
        b"\xff\xfe\xfd\xfc INVITE sip:x SIP/2.0\r\n\r\n",
        &zeros,
        one_header.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in noise {
        line.send(bytes);
    }
    still_serves(&gateway);
}

/// Every message of RFC 4475, where the folder that holds them is named by OFFHOOK_TORTURE.
#[test]
fn the_torture_messages_are_survived() {
    let Some(folder) = std::env::var_os("OFFHOOK_TORTURE").map(PathBuf::from) else {
        println!("skipped: OFFHOOK_TORTURE names no folder of RFC 4475 messages");
        return;
    };
    let _alone = alone();
    let gateway = Gateway::start(&Plan::new());
    let line = Line::to(gateway.sip);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut sent = 0;
    for file in &files {
        let message = std::fs::read(file).expect("listed just now");
        if message.len() > 60_000 || file.extension().is_none_or(|extension| extension != "dat") {
            continue;
        }
        line.send(&message);
        sent += 1;
    }
    println!("{sent} messages of {}", folder.display());
    assert!(sent > 40, "{} holds {sent} messages", folder.display());
    still_serves(&gateway);
}

/// It answers the next well-formed request, and takes a call.
fn still_serves(gateway: &Gateway) {
    let line = Line::to(gateway.sip);
    line.invite("+15550109999", &line.offer(4_000, "0", "a=rtpmap:0 PCMU/8000\r\n"));
    assert_eq!(line.final_answer("+15550109999", SOON).status, 404);
    let line = Line::to(gateway.sip);
    line.invite(DID, &line.offer(4_002, "0", "a=rtpmap:0 PCMU/8000\r\n"));
    let answer = line.final_answer(DID, SOON);
    assert_eq!(answer.status, 200);
    assert_eq!(line.bye(DID, &answer, SOON).status, 200);
    assert!(gateway.is_alive(), "{}", gateway.tail());
    // Nothing more comes for a call that is over.
    assert_eq!(line.receive(Instant::now() + Duration::from_millis(1)), None);
}
