//! A re-INVITE without an offer wants ours, and brings its answer in the ACK (RFC 3261 §14.1, §14.2).

mod support;

use std::time::Duration;

use sip::{CauseKind, Config, Event};
use support::handmade::Handmade;
use support::*;

const SDP: &str = "Content-Type: application/sdp\r\n";

/// Bob has been asked for an offer, and has made one.
fn offered() -> Handmade {
    let mut asking = Handmade::established(Config::default());
    let leg = asking.leg;
    assert_eq!(asking.send("INVITE", 2, "", ""), ["100 INVITE"]);
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reoffer { body: None, .. }]));
    asking.world.act(BOB, |e, now| e.accept_offer(now, leg, offer()));
    asking.world.settle();
    assert!(asking.world.last("200 INVITE").header("Content-Type").is_some(), "with the offer");
    asking
}

#[test]
fn the_answer_in_the_ack_is_told_once() {
    let mut asking = offered();
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
    let mut asking = offered();
    asking.send("ACK", 2, "", "");
    assert!(matches!(asking.world.take(BOB)[..], [Event::Reanswer { status: 200, body: None, .. }]));
    assert_eq!(asking.send("BYE", 3, "", ""), ["200 BYE"]);
    asking.world.assert_drained();
}

#[test]
fn until_the_ack_there_is_no_other_offer() {
    let mut asking = offered();
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
    let mut asking = offered();
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
