//! UPDATE in an early dialog, from the caller and from the called, and offers in a PRACK: answered where an answer has come
//! reliably before, else 491 or 500 as RFC 3311 §5.2 has it.

mod support;

use std::time::Duration;

use sip::{Body, Config, Event, LegId};
use support::*;

fn body(text: &str) -> Body {
    Body::sdp(format!("v=0\r\ns={text}\r\n"))
}

/// A call that rings at Bob's with an answer that Alice has acknowledged.
fn early_media(world: &mut World) -> (LegId, LegId) {
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.ring(now, bob, 183, Some(reply())));
    world.settle();
    world.take(ALICE);
    (alice, bob)
}

fn reoffers(events: &[Event]) -> Vec<String> {
    let text = |body: &Option<Body>| {
        String::from_utf8(body.as_ref().expect("an offer").bytes.clone()).expect("text")
    };
    events
        .iter()
        .filter_map(|e| if let Event::Reoffer { body, .. } = e { Some(text(body)) } else { None })
        .collect()
}

fn reanswers(events: &[Event]) -> Vec<(u16, bool)> {
    events
        .iter()
        .filter_map(|e| match e {
            Event::Reanswer { status, body, .. } => Some((*status, body.is_some())),
            _ => None,
        })
        .collect()
}

fn finish(world: &mut World, alice: LegId, bob: LegId) {
    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.settle();
    assert!(world.take(ALICE).iter().any(|event| matches!(event, Event::Answered { .. })));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.settle();
    assert_eq!(world.count("200 BYE"), 1, "{alice:?}: {:?}", world.kinds());
    world.assert_drained();
}

#[test]
fn the_caller_changes_its_mind_while_it_rings() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("hold")));
    world.settle();
    assert_eq!(reoffers(&world.take(BOB)), ["v=0\r\ns=hold\r\n"]);
    let update = world.last("UPDATE").clone();
    assert_eq!(update.header("CSeq").as_deref(), Some("3 UPDATE"), "the PRACK was the second");
    world.act(BOB, |e, now| e.accept_offer(now, bob, body("held")));
    world.settle();
    assert_eq!(reanswers(&world.take(ALICE)), [(200, true)]);
    let answer = world.last("200 UPDATE");
    assert!(answer.header("Contact").is_some());
    finish(&mut world, alice, bob);
}

#[test]
fn the_called_changes_its_mind_while_it_rings() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    for round in ["one", "two"] {
        world.act(BOB, |e, now| e.reoffer(now, bob, body(round)));
        world.settle();
        assert_eq!(reoffers(&world.take(ALICE)), [format!("v=0\r\ns={round}\r\n")]);
        world.act(ALICE, |e, now| e.accept_offer(now, alice, body("yes")));
        world.settle();
        assert_eq!(reanswers(&world.take(BOB)), [(200, true)]);
    }
    finish(&mut world, alice, bob);
    assert_eq!(world.last("BYE").header("CSeq").as_deref(), Some("3 BYE"), "the UPDATEs were before");
}

#[test]
fn a_refusal_leaves_the_call_as_it_was() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.settle();
    world.act(BOB, |e, now| e.refuse_offer(now, bob, 488));
    world.settle();
    assert_eq!(reanswers(&world.take(ALICE)), [(488, false)]);
    finish(&mut world, alice, bob);
}

#[test]
fn before_an_acknowledged_answer_there_is_nothing_to_change() {
    // 180 without a session: neither side may offer.
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.ring(now, bob, 180, None));
    world.settle();
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.act(BOB, |e, now| e.reoffer(now, bob, body("x")));
    assert_eq!(reanswers(&world.take(ALICE)), [(491, false)]);
    assert_eq!(reanswers(&world.take(BOB)), [(491, false)]);
    assert_eq!(world.count("UPDATE"), 0);
    // A peer that does so all the same owes patience: its own offer has no answer yet.
    let invite = world.log.iter().find(|sent| sent.kind() == "INVITE").expect("an INVITE").clone();
    let to = world.last("180 INVITE").header("To").expect("a To");
    let update = format!(
        "UPDATE sip:bob@{BOB} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKx\r\nFrom: {}\r\nTo: {to}\r\n\
         Call-ID: {}\r\nCSeq: 7 UPDATE\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
        invite.header("From").expect("a From"),
        invite.header("Call-ID").expect("a Call-ID"),
    );
    world.inject(ALICE, BOB, update.as_bytes());
    let refused = world.last("500 UPDATE");
    let after: u32 = refused.header("Retry-After").and_then(|v| v.parse().ok()).expect("a Retry-After");
    assert!(after <= 10);
    finish(&mut world, alice, bob);
}

#[test]
fn offers_that_cross_are_glare_and_come_again() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("a")));
    world.act(BOB, |e, now| e.reoffer(now, bob, body("b")));
    world.settle();
    assert_eq!(world.count("491 UPDATE"), 2);
    assert!(reanswers(&world.take(ALICE)).is_empty() && reanswers(&world.take(BOB)).is_empty());
    // Who made the Call-ID waits longer, so Bob is first.
    let mut done = Vec::new();
    let until = world.now + Duration::from_secs(10);
    while world.step(until) {
        for (at, leg) in [(ALICE, alice), (BOB, bob)] {
            let events = world.take(at);
            if !reoffers(&events).is_empty() {
                world.act(at, |e, now| e.accept_offer(now, leg, body("yes")));
            }
            done.extend(reanswers(&events).iter().map(|(status, _)| (at, *status)));
        }
    }
    assert_eq!(done, [(BOB, 200), (ALICE, 200)]);
    finish(&mut world, alice, bob);
}

#[test]
fn a_second_offer_before_the_answer_to_the_first_has_to_wait() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.settle();
    let update = String::from_utf8(world.last("UPDATE").bytes.clone()).expect("text");
    let again = update.replace("CSeq: 3", "CSeq: 4").replace("branch=", "branch=z9hG4bKy");
    world.inject(ALICE, BOB, again.as_bytes());
    assert!(world.last("500 UPDATE").header("Retry-After").is_some());
    // And ours meets theirs.
    world.act(BOB, |e, now| e.reoffer(now, bob, body("y")));
    assert_eq!(reanswers(&world.take(BOB)), [(491, false)]);
    // The call is answered all the same, and the open offer told to come again.
    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.settle();
    assert_eq!(world.count("500 UPDATE"), 2);
    assert_eq!(reanswers(&world.take(ALICE)), [(500, false)]);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    world.assert_drained();
}

#[test]
fn an_update_without_an_offer_moves_the_branch() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    let ringing = world.last("183 INVITE").clone();
    let update = format!(
        "UPDATE sip:alice@{ALICE} SIP/2.0\r\nVia: SIP/2.0/UDP {BOB};branch=z9hG4bKx\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 1 UPDATE\r\nContact: <sip:desk@{BOB}>\r\nContent-Length: 0\r\n\r\n",
        ringing.header("To").expect("a To"),
        ringing.header("From").expect("a From"),
        ringing.header("Call-ID").expect("a Call-ID"),
    );
    world.inject(BOB, ALICE, update.as_bytes());
    assert_eq!(world.count("200 UPDATE"), 1);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.settle();
    assert!(world.last("UPDATE").bytes.starts_with(format!("UPDATE sip:desk@{BOB} ").as_bytes()));
    world.act(BOB, |e, now| e.accept_offer(now, bob, body("y")));
    world.settle();
    // Anything else on a branch that rings, and a stranger's tag, finds no dialog.
    for wrong in [update.replace("UPDATE", "INFO"), update.replace("tag=", "tag=x")] {
        world.inject(BOB, ALICE, wrong.replace("CSeq: 1", "CSeq: 9").replace("bKx", "bKz").as_bytes());
    }
    assert_eq!((world.count("481 INFO"), world.count("481 UPDATE")), (1, 1));
    finish(&mut world, alice, bob);
}

#[test]
fn an_offer_in_a_prack_is_answered() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.ring(now, bob, 183, Some(reply())));
    // Alice's own PRACK brings none, so one by hand is quicker.
    let ringing = world.last("183 INVITE").clone();
    let prack = format!(
        "PRACK sip:bob@{BOB} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKp\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 2 PRACK\r\nRAck: {} 1 INVITE\r\nContent-Type: application/sdp\r\n\
         Content-Length: 5\r\n\r\nv=0\r\n",
        ringing.header("From").expect("a From"),
        ringing.header("To").expect("a To"),
        ringing.header("Call-ID").expect("a Call-ID"),
        ringing.header("RSeq").expect("an RSeq"),
    );
    world.inject(ALICE, BOB, prack.as_bytes());
    assert_eq!(reoffers(&world.take(BOB)), ["v=0\r\n"]);
    assert_eq!(world.count("200 PRACK"), 0, "it waits for the program");
    world.act(BOB, |e, now| e.accept_offer(now, bob, body("yes")));
    let ok = world.last("200 PRACK");
    assert_eq!(ok.header("Content-Type").as_deref(), Some("application/sdp"));
    assert_eq!(ok.header("Contact"), None);
    world.settle();
    finish(&mut world, alice, bob);
}

#[test]
fn a_program_that_never_answers_an_offer_blocks_nobody() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.run_for(Duration::from_secs(40));
    assert_eq!(reanswers(&world.take(ALICE)), [(408, false)], "the call goes on");
    world.take(BOB);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("y")));
    world.settle();
    assert_eq!(reoffers(&world.take(BOB)), ["v=0\r\ns=y\r\n"]);
    world.act(BOB, |e, now| e.accept_offer(now, bob, body("yes")));
    world.settle();
    finish(&mut world, alice, bob);
}

#[test]
fn whoever_cancels_takes_the_open_offer_along() {
    let mut world = World::pair();
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.settle();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    assert_eq!((world.count("487 INVITE"), world.count("487 UPDATE")), (1, 1), "{bob:?}");
    assert!(reanswers(&world.take(ALICE)).is_empty());
    world.assert_drained();
}

#[test]
fn without_reliable_responses_nothing_of_this_is_there() {
    let mut world = World::new();
    let config = Config { reliable_provisional: false, ..Config::default() };
    world.add(ALICE, config.clone());
    world.add(BOB, config);
    let (alice, bob) = early_media(&mut world);
    world.act(ALICE, |e, now| e.reoffer(now, alice, body("x")));
    world.act(BOB, |e, now| e.reoffer(now, bob, body("x")));
    assert_eq!(world.count("UPDATE"), 0);
    finish(&mut world, alice, bob);
}
