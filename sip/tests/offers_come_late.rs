//! Calls placed without an offer: theirs comes in the 200, our answer goes into the ACK. And callers who wait so long only.

mod support;

use std::time::Duration;

use sip::{CauseKind, Config, EndedBy, Event, Invite, LegId, ReasonHeader};
use support::*;

/// Alice has called without an offer, and Bob has answered with his.
fn answered() -> (World, LegId, LegId) {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, Invite { body: None, ..invite(ALICE, BOB) }));
    world.settle();
    let (bob, call) = world.incoming(BOB);
    assert!(call.body.is_none());
    world.act(BOB, |e, now| e.answer(now, bob, offer()));
    world.settle();
    (world, alice, bob)
}

#[test]
fn the_answer_goes_into_the_ack() {
    let (mut world, alice, bob) = answered();
    match &world.take(ALICE)[..] {
        [Event::Answered { body: Some(body), .. }] => assert_eq!(*body, offer()),
        other => panic!("{other:?}"),
    }
    // The program thinks it over; Bob says it again.
    world.run_for(Duration::from_secs(2));
    assert_eq!((world.count("ACK"), world.count("200 INVITE")), (0, 3));
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    assert!(matches!(world.take(ALICE)[..], [Event::Reanswer { status: 491, .. }]), "one offer at a time");
    world.act(ALICE, |e, now| e.answer(now, alice, reply()));
    world.settle();
    assert_eq!(world.last("ACK").header("Content-Type").as_deref(), Some("application/sdp"));
    match &world.take(BOB)[..] {
        [Event::Established { leg, body: Some(body) }] => assert_eq!((*leg, body), (bob, &reply())),
        other => panic!("{other:?}"),
    }
    // Once; and a copy of the 200 gets the same ACK again.
    world.act(ALICE, |e, now| e.answer(now, alice, offer()));
    assert_eq!(world.count("ACK"), 1);
    let ok = world.last("200 INVITE").bytes.clone();
    world.inject(BOB, ALICE, &ok);
    assert_eq!(world.count("ACK"), 2);
    assert!(world.last("ACK").bytes.ends_with(&reply().bytes));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn who_hangs_up_instead_acknowledges_first() {
    let (mut world, alice, _) = answered();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    let sent: Vec<_> = world.kinds().into_iter().filter(|kind| kind == "ACK" || kind == "BYE").collect();
    assert_eq!(sent, ["ACK", "BYE"]);
    assert_eq!(ended(&world.take(BOB))[0].by, EndedBy::Remote);
    world.assert_drained();
}

#[test]
fn a_program_that_never_answers_is_hung_up_on() {
    let (mut world, _, _) = answered();
    world.run_for(Duration::from_secs(33));
    assert_eq!(ended(&world.take(BOB))[0].kind, CauseKind::NoAck);
    assert_eq!(ended(&world.take(ALICE))[0].by, EndedBy::Remote);
    world.assert_drained();
}

#[test]
fn a_fork_does_not_wait_for_the_answer() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, Invite { body: None, ..invite(ALICE, BOB) }));
    let request = world.log[0].bytes.clone();
    let mut ok = |tag: &str| {
        let head = respond_tagged(
            &request,
            200,
            tag,
            "Contact: <sip:b@192.0.2.2>\r\nContent-Type: application/sdp\r\n",
        );
        let text =
            String::from_utf8_lossy(&head).replace("Content-Length: 0", "Content-Length: 5") + "v=0\r\n";
        world.inject(BOB, ALICE, text.as_bytes());
        world.kinds()
    };
    assert_eq!(ok("one"), ["INVITE"]);
    assert_eq!(ok("two"), ["INVITE", "ACK", "BYE"]);
    assert_eq!(ok("one"), ["INVITE", "ACK", "BYE"], "still thinking");
    world.act(ALICE, |e, now| e.answer(now, alice, reply()));
    assert!(world.last("ACK").header("To").expect("a To").contains("tag=one"));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn a_caller_says_how_long_it_waits() {
    for (expires, seconds, status) in [("30", 30, 487), ("0", 1, 487), ("9999", 185, 480), ("soon", 185, 480)]
    {
        let mut world = World::new();
        world.add(ALICE, Config { ring_timeout: Duration::from_secs(600), ..Config::default() });
        world.add(BOB, Config::default());
        let headers = vec![("Expires".to_owned(), expires.to_owned())];
        world.act(ALICE, |e, now| e.invite(now, Invite { headers, ..invite(ALICE, BOB) }));
        world.settle();
        let (bob, _) = world.incoming(BOB);
        world.act(BOB, |e, now| e.ring(now, bob, 180, None));
        world.run_for(Duration::from_secs(190));
        let cause = ended(&world.take(BOB)).remove(0);
        assert_eq!(
            (cause.by, cause.kind, cause.status),
            (EndedBy::Local, CauseKind::Timeout, Some(status)),
            "{expires}"
        );
        assert_eq!(world.last(&format!("{status} INVITE")).at.as_secs(), seconds, "{expires}");
        world.assert_drained();
    }
}

#[test]
fn a_cancel_says_why_even_when_it_had_to_wait() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let reason = ReasonHeader { protocol: "Q.850".into(), cause: 16, text: None };
    world.act(ALICE, |e, now| e.hangup(now, alice, Some(reason)));
    assert_eq!(world.count("CANCEL"), 0);
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 180, ""));
    assert_eq!(world.last("CANCEL").header("Reason").as_deref(), Some("Q.850;cause=16"));
    // And when nobody answers.
    let mut world = World::pair();
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.run_for(Duration::from_millis(184_900));
    world.endpoints.remove(&addr(BOB));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.last("CANCEL").header("Reason").as_deref(), Some("SIP;cause=408;text=\"Ring Timeout\""));
}
