//! re-INVITE, UPDATE, INFO, OPTIONS, glare, retransmissions, routes: what happens between answer and BYE.

mod support;

use std::time::Duration;

use sip::{Config, Credentials, EndedBy, Event, Path, Transport};
use support::handmade::Handmade;
use support::*;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn hold_and_resume_both_ways() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    for (from, to, leg, other) in [(ALICE, BOB, alice, bob), (BOB, ALICE, bob, alice)] {
        world.take(ALICE);
        world.take(BOB);
        world.act(from, |e, now| e.reoffer(now, leg, offer()));
        world.settle();
        match &world.take(to)[..] {
            [Event::Reoffer { leg, body }] => assert_eq!((*leg, body), (other, &Some(offer()))),
            events => panic!("{events:?}"),
        }
        world.act(to, |e, now| e.accept_offer(now, other, reply()));
        world.settle();
        match &world.take(from)[..] {
            [Event::Reanswer { status: 200, body, .. }] => assert_eq!(*body, Some(reply())),
            events => panic!("{events:?}"),
        }
        assert!(world.take(to).is_empty(), "an ACK without a body is no news");
    }
    // And a refusal leaves the call as it was.
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    world.settle();
    world.act(BOB, |e, now| e.refuse_offer(now, bob, 488));
    world.settle();
    assert!(matches!(world.take(ALICE)[..], [Event::Reanswer { status: 488, body: None, .. }]));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn glare_is_resolved_by_waiting() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    world.take(ALICE);
    world.take(BOB);
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    world.act(BOB, |e, now| e.reoffer(now, bob, reply()));
    world.settle();
    assert_eq!(world.count("491 INVITE"), 2);
    // Bob, who does not own the Call-ID, is first (§14.1).
    world.run_for(Duration::from_millis(2_050));
    assert!(matches!(world.take(ALICE)[..], [Event::Reoffer { .. }]));
    world.act(ALICE, |e, now| e.accept_offer(now, alice, offer()));
    world.run_for(Duration::from_secs(3));
    assert!(world.take(BOB).iter().any(|e| matches!(e, Event::Reanswer { status: 200, .. })));
    world.act(BOB, |e, now| e.accept_offer(now, bob, reply()));
    world.settle();
    assert!(matches!(world.take(ALICE)[..], [Event::Reanswer { status: 200, .. }]));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.assert_drained();
}

#[test]
fn a_call_that_ends_answers_what_is_open() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    world.settle();
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.settle();
    assert_eq!(world.count("487 INVITE"), 1);
    world.assert_drained();
}

/// Found by random scripts: the 100 took the last timer away from a re-INVITE that nobody waited for any more.
#[test]
fn a_provisional_response_after_the_end_keeps_nothing_alive() {
    let mut world = World::pair();
    let (alice, _) = world.call();
    world.endpoints.remove(&addr(BOB));
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    let reinvite = world.last("INVITE").bytes.clone();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.run_for(Duration::from_secs(20));
    world.inject(BOB, ALICE, &respond(&reinvite, 100, ""));
    world.assert_drained();
}

#[test]
fn a_key_by_info() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    world.take(BOB);
    for digit in ['5', '*', '#', 'D', 'x'] {
        world.act(ALICE, |e, now| e.send_dtmf(now, alice, digit, Duration::from_millis(200)));
    }
    world.settle();
    let heard: Vec<_> = world
        .take(BOB)
        .iter()
        .map(|event| match event {
            Event::Dtmf { leg, digit, duration } => (*leg, *digit, duration.as_millis()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, [(bob, '5', 200), (bob, '*', 200), (bob, '#', 200), (bob, 'D', 200)]);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn keys_by_info_go_one_after_the_other_and_as_the_peer_takes_them() {
    let mut made = handmade();
    let leg = made.leg;
    for digit in ['1', '2', '3'] {
        made.world.act(BOB, |e, now| e.send_dtmf(now, leg, digit, Duration::from_millis(200)));
    }
    made.world.settle();
    let info = |made: &Handmade| {
        let sent = made.world.last("INFO");
        let body =
            String::from_utf8_lossy(&sent.bytes).split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
        (sent.header("Content-Type").expect("a type"), body)
    };
    let count = |made: &Handmade| {
        let mut numbers: Vec<_> = made
            .world
            .log
            .iter()
            .filter(|sent| sent.kind() == "INFO")
            .filter_map(|sent| sent.header("CSeq"))
            .collect();
        numbers.dedup();
        numbers.len()
    };
    // The second waits for the first to be answered.
    assert_eq!(
        (count(&made), info(&made)),
        (1, ("application/dtmf-relay".into(), "Signal=1\r\nDuration=200\r\n".into()))
    );
    for (status, digit, sent) in [(415, "1", 2), (200, "2", 3), (200, "3", 4)] {
        let request = made.world.last("INFO").bytes.clone();
        made.world.inject(ALICE, BOB, &respond(&request, status, "Accept: application/dtmf\r\n"));
        assert_eq!((count(&made), info(&made)), (sent, ("application/dtmf".into(), digit.to_owned())));
    }
    let request = made.world.last("INFO").bytes.clone();
    made.world.inject(ALICE, BOB, &respond(&request, 415, ""));
    assert_eq!(count(&made), 4, "who takes neither gets no more of it");
    made.world.act(BOB, |e, now| e.hangup(now, leg, None));
    made.world.assert_drained();
}

const INVITE: &str = "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1;rport\r\nMax-Forwards: 70\r\n\
    From: <sip:h@192.0.2.1>;tag=h\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\nContact: <sip:h@192.0.2.1:5060>\r\n\
    Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";

fn handmade() -> Handmade {
    Handmade::established(Config::default())
}

#[test]
fn requests_that_do_not_fit_are_told_so() {
    let mut made = handmade();
    assert_eq!(made.send("OPTIONS", 2, "", ""), ["200 OPTIONS"]);
    assert_eq!(made.send("INFO", 1, "", ""), ["500 INFO"], "CSeq too low");
    assert_eq!(made.send("INFO", 3, "", ""), ["200 INFO"], "an empty one is a keep-alive");
    assert_eq!(made.send("INFO", 4, "Content-Type: text/plain\r\n", "x"), ["415 INFO"]);
    assert_eq!(made.send("INFO", 5, "Info-Package: foo\r\n", "x"), ["469 INFO"]);
    assert_eq!(made.send("INFO", 6, "Content-Type: application/dtmf-relay\r\n", "x"), ["400 INFO"]);
    assert_eq!(made.send("REFER", 7, "Refer-To: <sip:x@y>\r\n", ""), ["405 REFER"]);
    assert_eq!(made.send("FROBNICATE", 8, "", ""), ["501 FROBNICATE"]);
    assert_eq!(made.send("UPDATE", 9, "Require: magic\r\n", ""), ["420 UPDATE"]);
    assert_eq!(made.world.last("420 UPDATE").header("Unsupported").as_deref(), Some("magic"));
    assert_eq!(made.send("CANCEL", 10, "", ""), ["481 CANCEL"]);
    made.to = "<sip:bob@192.0.2.2>;tag=wrong".into();
    assert_eq!(made.send("BYE", 11, "", ""), ["481 BYE"]);
    assert_eq!(made.send("ACK", 11, "", ""), [""; 0], "an ACK is never answered");
    assert!(made.world.take(BOB).is_empty());
    let leg = made.leg;
    made.world.act(BOB, |e, now| e.hangup(now, leg, None));
    made.world.assert_drained();
}

#[test]
fn dtmf_in_every_spelling() {
    let mut made = handmade();
    let relay = "Content-Type: application/dtmf-relay\r\n";
    let plain = "Content-Type: application/dtmf\r\n";
    for (cseq, (kind, body, digit, ms)) in [
        (relay, "Signal=5\r\nDuration=160\r\n", '5', 160),
        (relay, "Signal= *\r\nDuration= 250", '*', 250),
        (relay, "signal=11\nduration=99999999", '#', 10_000),
        (relay, "Signal=a\r\n", 'A', 160),
        (plain, "7", '7', 160),
        (plain, " # \r\n", '#', 160),
        ("Content-Type: Application/DTMF-Relay; charset=x\r\n", "Signal=0\r\nDuration=100\r\n", '0', 100),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(made.send("INFO", cseq as u32 + 2, kind, body), ["200 INFO"], "{body}");
        match made.world.take(BOB)[..] {
            [Event::Dtmf { digit: heard, duration, .. }] => {
                assert_eq!((heard, duration.as_millis()), (digit, ms), "{body}")
            }
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn offers_and_target_refresh_by_update() {
    let mut made = handmade();
    let sdp = "Content-Type: application/sdp\r\n";
    // Without an offer: agreed to at once, and the new Contact counts.
    assert_eq!(made.send("UPDATE", 2, "Contact: <sip:h@192.0.2.1:7777>\r\n", ""), ["200 UPDATE"]);
    // With one: the program decides.
    assert_eq!(made.send("UPDATE", 3, sdp, "v=0\r\n"), [""; 0]);
    assert!(matches!(made.world.take(BOB)[..], [Event::Reoffer { body: Some(_), .. }]));
    // A second before the first is answered is too early (§14.2, RFC 3311 §5.2).
    assert_eq!(made.send("INVITE", 4, sdp, "v=0\r\n"), ["500 INVITE"]);
    assert!(made.world.last("500 INVITE").header("Retry-After").is_some());
    let leg = made.leg;
    made.world.act(BOB, |e, now| e.accept_offer(now, leg, reply()));
    assert_eq!(made.world.count("200 UPDATE"), 2);
    made.world.act(BOB, |e, now| e.hangup(now, leg, None));
    let bye = made.world.last("BYE").clone();
    assert!(text(&bye.bytes).starts_with("BYE sip:h@192.0.2.1:7777 SIP/2.0"), "{}", text(&bye.bytes));
    assert_eq!(bye.to, addr("192.0.2.1:7777"));
}

#[test]
fn a_delayed_offer_in_a_reinvite_is_answered_in_the_ack() {
    let mut made = handmade();
    assert_eq!(made.send("INVITE", 2, "", ""), ["100 INVITE"]);
    assert!(matches!(made.world.take(BOB)[..], [Event::Reoffer { body: None, .. }]));
    let leg = made.leg;
    made.world.act(BOB, |e, now| e.accept_offer(now, leg, offer()));
    made.send("ACK", 2, "Content-Type: application/sdp\r\n", "v=0\r\n");
    match &made.world.take(BOB)[..] {
        [Event::Reanswer { status: 200, body: Some(body), .. }] => assert_eq!(body.bytes, b"v=0\r\n"),
        other => panic!("{other:?}"),
    }
    assert_eq!(made.send("BYE", 3, "", ""), ["200 BYE"]);
    made.world.assert_drained();
}

#[test]
fn requests_without_a_dialog() {
    let ask = |method: &str, uri: &str, extra: &str| {
        let mut world = World::new();
        world.add(BOB, Config::default());
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-x\r\nFrom: <sip:h@192.0.2.1>;tag=h\r\nTo: <sip:b@192.0.2.2>\r\n\
             Call-ID: x\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        world.inject(ALICE, BOB, text.as_bytes());
        world.inject(ALICE, BOB, text.as_bytes());
        let kinds = world.kinds();
        if let [one, two] = &world.log[..] {
            assert_eq!(text_of(one), text_of(two), "stateless, and the same");
            assert!(one.header("To").expect("a To").contains(";tag="));
        }
        assert_eq!(world.endpoints[&addr(BOB)].stats().transactions, 0, "{method} cost a transaction");
        kinds.first().cloned().unwrap_or_default()
    };
    fn text_of(sent: &Sent) -> String {
        text(&sent.bytes)
    }
    let b = "sip:b@192.0.2.2";
    assert_eq!(ask("OPTIONS", b, ""), "200 OPTIONS");
    assert_eq!(ask("OPTIONS", "tel:+15551234", ""), "200 OPTIONS");
    assert_eq!(ask("OPTIONS", "mailto:x", ""), "416 OPTIONS");
    assert_eq!(ask("BYE", b, ""), "481 BYE");
    assert_eq!(ask("INFO", b, ""), "481 INFO");
    assert_eq!(ask("CANCEL", b, ""), "481 CANCEL");
    assert_eq!(ask("REGISTER", b, ""), "405 REGISTER");
    assert_eq!(ask("SUBSCRIBE", b, ""), "405 SUBSCRIBE");
    assert_eq!(ask("WHATEVER", b, ""), "501 WHATEVER");
    assert_eq!(ask("INVITE", b, "Require: magic\r\n"), "420 INVITE");
    assert_eq!(ask("INVITE", b, "Content-Encoding: gzip\r\n"), "415 INVITE");
    assert_eq!(ask("INVITE", b, "Record-Route: <sip:p\r\n"), "400 INVITE");
}

#[test]
fn the_same_call_by_two_ways_is_merged() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject(ALICE, BOB, INVITE.as_bytes());
    world.inject(ALICE, BOB, INVITE.replace("z9hG4bK-1", "z9hG4bK-2").as_bytes());
    assert_eq!(world.kinds(), ["100 INVITE", "482 INVITE"]);
    // The same way again is a retransmission.
    world.inject(ALICE, BOB, INVITE.as_bytes());
    assert_eq!(world.kinds(), ["100 INVITE", "482 INVITE", "100 INVITE"]);
    assert_eq!(world.take(BOB).len(), 1);
}

#[test]
fn answers_find_their_way() {
    for (via, remote, wanted) in [
        ("192.0.2.1;rport", "192.0.2.1:40000", "192.0.2.1:40000"),
        ("192.0.2.1", "192.0.2.1:40000", "192.0.2.1:5060"),
        ("192.0.2.1:5070", "192.0.2.1:40000", "192.0.2.1:5070"),
        // Behind a NAT without rport: only the source leads back.
        ("10.0.0.7:5070", "192.0.2.1:40000", "192.0.2.1:40000"),
        ("phone.example:5072", "192.0.2.1:40000", "192.0.2.1:5072"),
        ("192.0.2.1;maddr=203.0.113.9;rport", "192.0.2.1:40000", "192.0.2.1:40000"),
    ] {
        let mut world = World::new();
        world.add(BOB, Config::default());
        let text = format!(
            "OPTIONS sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK-x\r\nFrom: <sip:h@h>;tag=h\r\nTo: <sip:b@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        world.inject(remote, BOB, text.as_bytes());
        assert_eq!(world.log[0].to, addr(wanted), "{via}");
        let stamped = world.log[0].header("Via").expect("a Via");
        assert_eq!(stamped.contains("rport=40000"), via.contains("rport"), "{stamped}");
        assert_eq!(
            stamped.contains("received=192.0.2.1"),
            via.contains("rport") || !via.starts_with("192.0.2.1"),
            "{stamped}"
        );
    }
}

#[test]
fn loose_and_strict_routes() {
    // Bob answers a call that came over two proxies; his BYE goes back over them.
    for (record, uri, routes, hop) in [
        (
            "Record-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9:5070;lr>\r\n",
            "sip:h@192.0.2.1:5060",
            vec!["<sip:192.0.2.8;lr>", "<sip:192.0.2.9:5070;lr>"],
            "192.0.2.8:5060",
        ),
        (
            "Record-Route: <sip:192.0.2.8>\r\nRecord-Route: <sip:192.0.2.9;lr>\r\n",
            "sip:192.0.2.8",
            vec!["<sip:192.0.2.9;lr>", "<sip:h@192.0.2.1:5060>"],
            "192.0.2.8:5060",
        ),
        // A name cannot be looked up here: back to where the call came from.
        (
            "Record-Route: <sip:proxy.example;lr>\r\n",
            "sip:h@192.0.2.1:5060",
            vec!["<sip:proxy.example;lr>"],
            ALICE,
        ),
    ] {
        let mut world = World::new();
        world.add(BOB, Config::default());
        world.inject(ALICE, BOB, INVITE.replace("Max-Forwards", &format!("{record}Max-Forwards")).as_bytes());
        let (leg, _) = world.incoming(BOB);
        world.act(BOB, |e, now| e.answer(now, leg, reply()));
        assert!(
            text(&world.last("200 INVITE").bytes).contains(record.split("\r\n").next().unwrap_or_default())
        );
        let to = world.last("200 INVITE").header("To").expect("a To");
        let ack = INVITE
            .replace("INVITE", "ACK")
            .replace("To: <sip:bob@192.0.2.2>", &format!("To: {to}"))
            .replace("bK-1", "bK-a");
        world.inject(ALICE, BOB, ack.as_bytes());
        world.act(BOB, |e, now| e.hangup(now, leg, None));
        let bye = world.last("BYE").clone();
        assert!(text(&bye.bytes).starts_with(&format!("BYE {uri} SIP/2.0\r\n")), "{}", text(&bye.bytes));
        let sip::message::Message::Request(request) = bye.message() else { panic!("a request") };
        assert_eq!(request.headers.list("Route"), routes);
        assert_eq!(bye.to, addr(hop));
    }
}

#[test]
fn a_peer_behind_a_nat_is_reached_where_it_was_seen() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject("198.51.100.7:33000", BOB, INVITE.replace("192.0.2.1", "192.168.1.5").as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, leg, reply()));
    assert_eq!(world.last("200 INVITE").to, addr("198.51.100.7:33000"));
    world.run_for(Duration::from_secs(40));
    // No ACK ever: the BYE goes to the hole in the NAT, not to 192.168.1.5.
    assert_eq!(world.last("BYE").to, addr("198.51.100.7:33000"));
    let cause = ended(&world.take(BOB)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Network, sip::CauseKind::NoAck));
    world.assert_drained();
}

#[test]
fn a_fork_is_acknowledged_and_ended() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond_tagged(&request, 180, "one", ""));
    world.inject(BOB, ALICE, &respond_tagged(&request, 180, "two", ""));
    world.inject(BOB, ALICE, &respond_tagged(&request, 200, "one", "Contact: <sip:one@192.0.2.3>\r\n"));
    world.inject(BOB, ALICE, &respond_tagged(&request, 200, "two", "Contact: <sip:two@192.0.2.4>\r\n"));
    assert_eq!(world.kinds(), ["INVITE", "ACK", "ACK", "BYE"]);
    assert_eq!(world.log[1].to, addr("192.0.2.3:5060"));
    assert_eq!((world.log[2].to, world.log[3].to), (addr("192.0.2.4:5060"), addr("192.0.2.4:5060")));
    // Each repeated 2xx gets its own ACK again.
    world.inject(BOB, ALICE, &respond_tagged(&request, 200, "two", "Contact: <sip:two@192.0.2.4>\r\n"));
    world.inject(BOB, ALICE, &respond_tagged(&request, 200, "one", "Contact: <sip:one@192.0.2.3>\r\n"));
    assert_eq!(world.kinds()[4..], ["ACK", "ACK"]);
    assert_eq!(world.log[4].bytes, world.log[2].bytes);
    assert_eq!(world.log[5].bytes, world.log[1].bytes);
    assert_eq!(world.take(ALICE).len(), 3, "two Progress, one Answered");
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn a_challenged_call_carries_its_credentials_on() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let mut call = invite(ALICE, BOB);
    call.credentials = Some(Credentials { username: "u".into(), password: "p".into() });
    call.headers = vec![
        ("P-Asserted-Identity".into(), "<tel:+1555>".into()),
        ("From".into(), "<sip:evil@x>".into()),
        ("Bad Name".into(), "x".into()),
    ];
    let alice = world.act(ALICE, |e, now| e.invite(now, call));
    let first = world.log[0].clone();
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    world.inject(BOB, ALICE, &respond(&first.bytes, 407, challenge));
    assert_eq!(world.kinds(), ["INVITE", "ACK", "INVITE"]);
    let second = world.log[2].clone();
    for name in ["Call-ID", "From", "To", "Contact", "P-Asserted-Identity"] {
        assert_eq!(first.header(name), second.header(name), "{name}");
    }
    assert_eq!(
        (first.header("CSeq"), second.header("CSeq")),
        (Some("1 INVITE".into()), Some("2 INVITE".into()))
    );
    assert!(first.header("From").expect("a From").contains("alice"));
    assert!(!text(&first.bytes).contains("Bad Name"));
    assert_ne!(first.header("Via"), second.header("Via"));
    assert!(second.header("Proxy-Authorization").expect("credentials").contains("nc=00000001"));
    world.inject(BOB, ALICE, &respond(&second.bytes, 200, "Contact: <sip:b@192.0.2.2>\r\n"));
    assert_eq!(world.last("ACK").header("Proxy-Authorization"), second.header("Proxy-Authorization"));
    // The BYE is challenged too, with a nonce grown stale.
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    let bye = world.last("BYE").clone();
    assert!(bye.header("Proxy-Authorization").expect("credentials").contains("nc=00000002"));
    world.inject(
        BOB,
        ALICE,
        &respond(
            &bye.bytes,
            407,
            "Proxy-Authenticate: Digest realm=\"r\", nonce=\"m\", stale=true, qop=auth\r\n",
        ),
    );
    let again = world.last("BYE").clone();
    assert_ne!(bye.number, again.number);
    assert!(again.header("Proxy-Authorization").expect("credentials").contains("nonce=\"m\""));
    world.inject(BOB, ALICE, &respond(&again.bytes, 200, ""));
    world.assert_drained();
}

#[test]
fn a_wrong_password_ends_the_call() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let mut call = invite(ALICE, BOB);
    call.credentials = Some(Credentials { username: "u".into(), password: "p".into() });
    world.act(ALICE, |e, now| e.invite(now, call));
    let challenge = |n| format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{n}\", qop=auth\r\n");
    let first = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&first, 401, &challenge(1)));
    let second = world.last("INVITE").bytes.clone();
    world.inject(BOB, ALICE, &respond(&second, 401, &challenge(2)));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.by, cause.status), (EndedBy::Remote, Some(401)));
    world.assert_drained();
}

#[test]
fn a_peer_that_forgot_the_call() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 200, "Contact: <sip:b@192.0.2.2>\r\n"));
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    let request = world.last("INVITE").bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 481, ""));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.kind, cause.status), (sip::CauseKind::DialogGone, Some(481)));
    assert_eq!(world.count("BYE"), 1);
    world.assert_drained();
}

#[test]
fn the_advertised_address_is_what_others_see() {
    let mut world = World::new();
    let advertised =
        vec![sip::Advertised { transport: Transport::Udp, host: "203.0.113.5".into(), port: Some(5099) }];
    world.add(ALICE, Config { advertised, ..Config::default() });
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let sent = world.log[0].clone();
    assert_eq!(sent.header("Contact").as_deref(), Some("<sip:alice@203.0.113.5:5099>"));
    assert!(
        sent.header("Via").expect("a Via").starts_with("SIP/2.0/UDP 203.0.113.5:5099;rport;branch=z9hG4bK")
    );
    // An IPv6 leg does not say an IPv4 address.
    let path = Path {
        transport: Transport::Udp,
        local: addr("[2001:db8::1]:5060"),
        remote: addr("[2001:db8::2]:5060"),
    };
    let mut endpoint = sip::Endpoint::new(Config::default(), [3; 32]);
    let call = sip::Invite { path, ..invite(ALICE, BOB) };
    endpoint.invite(world.now, call);
    let text = text(&endpoint.poll_transmit().expect("an INVITE").bytes);
    assert!(text.contains("Via: SIP/2.0/UDP [2001:db8::1]:5060;rport;"), "{text}");
    assert!(text.contains("Contact: <sip:alice@[2001:db8::1]:5060>"), "{text}");
}

#[test]
fn a_peer_that_floods_a_call_fills_nothing() {
    let mut made = Handmade::established(Config { max_transactions: 100, ..Config::default() });
    let mut busy = 0;
    for cseq in 2..1_000 {
        busy += usize::from(made.send("INFO", cseq, "", "") == ["503 INFO"]);
    }
    assert_eq!(busy, 998 - 99);
    assert_eq!(made.world.endpoints[&addr(BOB)].stats().transactions, 100);
    assert_eq!(made.send("BYE", 1_000, "", ""), ["200 BYE"], "but the call can end");
    made.world.assert_drained();
}

#[test]
fn a_callee_that_answers_a_thousand_times_is_heard_eight_times() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    for n in 0..1_000 {
        world.inject(
            BOB,
            ALICE,
            &respond_tagged(&request, 200, &format!("t{n}"), "Contact: <sip:b@192.0.2.2>\r\n"),
        );
    }
    assert_eq!((world.count("ACK"), world.count("BYE")), (8, 7));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn an_outbound_proxy_is_a_loose_route() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let mut call = invite(ALICE, BOB);
    call.route = vec![uri("sip:192.0.2.2"), uri("sip:192.0.2.9;lr")];
    world.act(ALICE, |e, now| e.invite(now, call));
    let sip::message::Message::Request(request) = world.log[0].message() else { panic!("a request") };
    assert_eq!(request.uri, uri("sip:bob@192.0.2.2:5060"));
    assert_eq!(request.headers.list("Route"), ["<sip:192.0.2.2;lr>", "<sip:192.0.2.9;lr>"]);
    // The answer brings its own route set, here none: the ACK goes straight to the Contact (§12.1.2).
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 200, "Contact: <sip:b@192.0.2.5>\r\n"));
    assert_eq!(world.last("ACK").to, addr("192.0.2.5:5060"));
    assert_eq!(world.last("ACK").header("Route"), None);
}
