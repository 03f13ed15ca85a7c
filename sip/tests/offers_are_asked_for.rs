//! A re-INVITE without an offer wants ours, and brings its answer in the ACK (RFC 3261 §14.1, §14.2).

mod support;

use std::time::Duration;

use sip::{CauseKind, Config, Event, LegId};
use support::*;

/// A call into Bob from a peer that we write by hand.
struct Asking {
    world: World,
    leg: LegId,
    to: String,
    contact: String,
}

const SDP: &str = "Content-Type: application/sdp\r\n";

impl Asking {
    /// Bob has been asked for an offer, and has made one.
    fn offered() -> Asking {
        let mut world = World::new();
        world.add(BOB, Config::default());
        let mut asking = Asking {
            world,
            leg: LegId(0),
            to: "<sip:bob@192.0.2.2>".into(),
            contact: "sip:bob@192.0.2.2".into(),
        };
        asking.send(
            "INVITE",
            1,
            "Contact: <sip:h@192.0.2.1:5060>\r\nContent-Type: application/sdp\r\n",
            "v=0\r\n",
        );
        let (leg, _) = asking.world.incoming(BOB);
        asking.leg = leg;
        asking.world.act(BOB, |e, now| e.answer(now, leg, reply()));
        asking.world.settle();
        let ok = asking.world.last("200 INVITE").clone();
        asking.to = ok.header("To").expect("a To");
        asking.contact = ok.header("Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
        asking.send("ACK", 1, "", "");
        asking.world.take(BOB);
        assert_eq!(asking.send("INVITE", 2, "", ""), ["100 INVITE"]);
        assert!(matches!(asking.world.take(BOB)[..], [Event::Reoffer { body: None, .. }]));
        asking.world.act(BOB, |e, now| e.accept_offer(now, leg, offer()));
        asking.world.settle();
        assert!(asking.world.last("200 INVITE").header("Content-Type").is_some(), "with the offer");
        asking
    }

    fn send(&mut self, method: &str, cseq: u32, extra: &str, body: &str) -> Vec<String> {
        let before = self.world.log.len();
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{method}{cseq}{before};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:h@192.0.2.1>;tag=h\r\nTo: {}\r\nCall-ID: hand\r\nCSeq: {cseq} {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            self.contact,
            self.to,
            body.len()
        );
        self.world.inject(ALICE, BOB, text.as_bytes());
        self.world.log[before..].iter().map(Sent::kind).collect()
    }
}

#[test]
fn the_answer_in_the_ack_is_told_once() {
    let mut asking = Asking::offered();
    for _ in 0..2 {
        asking.send("ACK", 2, SDP, "v=0\r\n");
    }
    match &asking.world.take(BOB)[..] {
        [Event::Reanswer { status: 200, body: Some(body), .. }] => assert_eq!(body.bytes, b"v=0\r\n"),
        other => panic!("{other:?}"),
    }
    assert_eq!(asking.send("BYE", 3, "", ""), ["200 BYE"]);
    asking.world.assert_drained();
}

/// What it means is for the program to say; here the session only goes on.
#[test]
fn an_ack_without_an_answer_is_told_too() {
    let mut asking = Asking::offered();
    asking.send("ACK", 2, "", "");
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reanswer { status: 200, body: None, .. }]));
    assert_eq!(asking.send("BYE", 3, "", ""), ["200 BYE"]);
    asking.world.assert_drained();
}

#[test]
fn until_the_ack_there_is_no_other_offer() {
    let mut asking = Asking::offered();
    let leg = asking.leg;
    // RFC 3261 §14.2, RFC 3311 §5.2; and none of our own (§14.1).
    assert_eq!(asking.send("INVITE", 3, SDP, "v=0\r\n"), ["500 INVITE"]);
    assert_eq!(asking.send("UPDATE", 4, SDP, "v=0\r\n"), ["491 UPDATE"]);
    assert_eq!(asking.send("UPDATE", 5, "", ""), ["200 UPDATE"], "without an offer it is none");
    asking.world.act(BOB, |e, now| e.reoffer(now, leg, offer()));
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reanswer { status: 491, body: None, .. }]));
    asking.send("ACK", 2, SDP, "v=0\r\n");
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reanswer { status: 200, body: Some(_), .. }]));
    assert_eq!(asking.send("UPDATE", 6, SDP, "v=0\r\n"), [""; 0], "the program decides");
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reoffer { body: Some(_), .. }]));
    asking.world.act(BOB, |e, now| e.accept_offer(now, leg, reply()));
    assert_eq!(asking.send("BYE", 7, "", ""), ["200 BYE"]);
    asking.world.assert_drained();
}

/// §13.3.1.4: the 200 is said again until 64*T1; then nobody knows what was agreed, and the call ends.
#[test]
fn an_answer_that_never_comes_ends_the_call() {
    let mut asking = Asking::offered();
    let before = asking.world.count("200 INVITE");
    asking.world.run_for(Duration::from_secs(33));
    assert!(asking.world.count("200 INVITE") > before + 5);
    let ended = asking.world.take(BOB);
    assert!(
        matches!(&ended[..], [Event::Ended { cause, .. }] if cause.kind == CauseKind::NoAck),
        "{ended:?}"
    );
    assert_eq!(asking.world.last("BYE").to, addr("192.0.2.1:5060"));
}
