//! The plain life of a call, both ways, and every way in which it can end.

mod support;

use std::time::Duration;

use sip::{Admission, CauseKind, Config, EndedBy, Event, ReasonHeader, Reject};
use support::*;

#[test]
fn answered_and_hung_up_by_the_caller() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, call) = world.incoming(BOB);
    assert_eq!(call.from.display.as_deref(), Some("Alice"));
    assert_eq!(call.request_uri.user().as_deref(), Some("bob"));
    assert_eq!(call.body, Some(offer()));
    assert_eq!(call.header("user-agent"), Some(Config::default().user_agent.as_str()));

    world.act(BOB, |e, now| e.ring(now, bob, 180, None));
    world.settle();
    assert!(matches!(world.take(ALICE)[..], [Event::Progress { status: 180, body: None, .. }]));

    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.settle();
    match &world.take(ALICE)[..] {
        [Event::Answered { leg, status: 200, body }] => {
            assert_eq!(*leg, alice);
            assert_eq!(*body, Some(reply()));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(world.take(BOB)[..], [Event::Established { body: None, .. }]));

    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    let cause = &ended(&world.take(BOB))[0];
    assert_eq!((cause.by, cause.kind), (EndedBy::Remote, CauseKind::Bye));
    let cause = &ended(&world.take(ALICE))[0];
    assert_eq!((cause.by, cause.kind), (EndedBy::Local, CauseKind::Bye));
    assert_eq!(world.kinds(), ["INVITE", "100 INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]);
    world.assert_drained();
}

#[test]
fn hung_up_by_the_called_with_a_reason() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    let reason = ReasonHeader { protocol: "Q.850".into(), cause: 16, text: Some("Terminated".into()) };
    world.act(BOB, |e, now| e.hangup(now, bob, Some(reason)));
    world.settle();
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Remote, CauseKind::Bye));
    assert_eq!(cause.reason.as_deref(), Some("Q.850;cause=16;text=\"Terminated\""));
    // Commands for a leg that is gone do nothing.
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn refused_with_status_warning_and_retry_after() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    let reject = Reject {
        status: 488,
        reason: None,
        retry_after: Some(Duration::from_secs(9)),
        warning: Some("no common codec".into()),
    };
    world.act(BOB, |e, now| e.reject(now, bob, reject));
    world.settle();
    let sent = world.last("488 INVITE");
    assert_eq!(sent.header("Warning").as_deref(), Some("399 192.0.2.2 \"no common codec\""));
    assert_eq!(sent.header("Retry-After").as_deref(), Some("9"));
    match &world.take(ALICE)[..] {
        [Event::Ended { leg, cause }] => {
            assert_eq!(*leg, alice);
            assert_eq!(
                (cause.by, cause.kind, cause.status),
                (EndedBy::Remote, CauseKind::Rejected, Some(488))
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.kinds(), ["INVITE", "100 INVITE", "488 INVITE", "ACK"]);
    world.assert_drained();
}

#[test]
fn cancelled_while_it_rings() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    let cause = ended(&world.take(BOB)).remove(0);
    assert_eq!((cause.by, cause.kind, cause.status), (EndedBy::Remote, CauseKind::Cancel, Some(487)));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Local, CauseKind::Cancel));
    assert_eq!(world.kinds(), ["INVITE", "100 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"]);
    world.assert_drained();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    assert_eq!(world.kinds(), ["INVITE"]);
    world.settle();
    assert_eq!(world.kinds(), ["INVITE", "100 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"]);
    world.assert_drained();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended_with_bye() {
    let mut world = World::pair();
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.settle();
    let cause = ended(&world.take(BOB)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Remote, CauseKind::Bye));
    assert_eq!(ended(&world.take(ALICE)).len(), 1);
    assert_eq!(world.count("ACK"), 1);
    assert_eq!(world.count("BYE"), 1);
    world.assert_drained();
}

#[test]
fn hangup_before_the_ack_waits_for_it() {
    let mut world = World::pair();
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    assert_eq!(world.count("BYE"), 0, "RFC 3261 §15: not before the ACK");
    world.settle();
    assert_eq!(world.kinds()[2..], ["200 INVITE", "ACK", "BYE", "200 BYE"]);
    world.assert_drained();
}

#[test]
fn both_hang_up_at_once() {
    let mut world = World::pair();
    let (alice, bob) = world.call();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.settle();
    assert_eq!(ended(&world.take(ALICE)).len(), 1);
    assert_eq!(ended(&world.take(BOB)).len(), 1);
    assert_eq!(world.count("200 BYE"), 2);
    world.assert_drained();
}

#[test]
fn nobody_answers_the_phone() {
    let mut world = World::pair();
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.ring(now, bob, 180, None));
    world.run_for(Duration::from_secs(200));
    // §13.3.1.1: said again every minute, so that no proxy gives up.
    assert_eq!(world.count("180 INVITE"), 4);
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!(cause.kind, CauseKind::Timeout);
    assert_eq!(ended(&world.take(BOB)).len(), 1);
    world.assert_drained();
}

#[test]
fn nobody_is_there() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.run_for(Duration::from_secs(31));
    assert!(world.take(ALICE).is_empty());
    world.run_for(Duration::from_secs(2));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.by, cause.kind, cause.status), (EndedBy::Network, CauseKind::Timeout, Some(408)));
    world.assert_drained();
}

#[test]
fn a_full_house_and_a_draining_one_say_503() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.add(BOB, Config { max_legs: 1, overload_retry_after: Duration::from_secs(7), ..Config::default() });
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    let (first, _) = world.incoming(BOB);
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    assert_eq!(world.last("503 INVITE").header("Retry-After").as_deref(), Some("7"));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!(cause.status, Some(503));

    // Live calls go on while draining; new ones do not come in.
    world.act(BOB, |e, _| e.set_admission(Admission::Draining { retry_after: Duration::from_secs(30) }));
    world.act(BOB, |e, now| e.answer(now, first, reply()));
    world.settle();
    assert!(matches!(world.take(BOB)[..], [Event::Established { .. }]));
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.settle();
    assert_eq!(world.last("503 INVITE").header("Retry-After").as_deref(), Some("30"));
    assert_eq!(world.endpoints[&addr(BOB)].stats().refused_admission, 2);
    world.act(BOB, |e, now| e.hangup(now, first, None));
    world.assert_drained();
}

#[test]
fn early_media_and_a_delayed_offer() {
    let mut world = World::pair();
    let mut call = invite(ALICE, BOB);
    call.body = None;
    world.act(ALICE, |e, now| e.invite(now, call));
    world.settle();
    let (bob, call) = world.incoming(BOB);
    assert_eq!(call.body, None);
    world.act(BOB, |e, now| e.ring(now, bob, 183, Some(offer())));
    world.settle();
    match &world.take(ALICE)[..] {
        [Event::Progress { status: 183, body, .. }] => assert_eq!(*body, Some(offer())),
        other => panic!("{other:?}"),
    }
    world.act(BOB, |e, now| e.answer(now, bob, offer()));
    world.settle();
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.assert_drained();
}

#[test]
fn a_message_that_cannot_be_sent_fails_at_once() {
    let mut world = World::pair();
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.act(ALICE, |e, now| e.register(now, register(ALICE, BOB)));
    world.act(ALICE, |e, now| e.handle_transport_error(now, path(ALICE, "192.0.2.77:5060")));
    assert!(world.take(ALICE).is_empty(), "another path");
    world.act(ALICE, |e, now| e.handle_transport_error(now, path(ALICE, BOB)));
    let events = world.take(ALICE);
    let cause = ended(&events).remove(0);
    assert_eq!(
        (cause.by, cause.kind, cause.status),
        (EndedBy::Network, CauseKind::TransportError, Some(503))
    );
    assert!(matches!(states(&events)[..], [sip::RegistrationState::Failed { status: 503, .. }]));
}

const INVITE: &str = "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1\r\nFrom: <sip:h@192.0.2.1>;tag=h\r\n\
    To: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\nContact: <sip:h@192.0.2.1>\r\n\r\n";

#[test]
fn a_cancel_tells_why_and_one_that_is_too_late_changes_nothing() {
    let cancel = INVITE
        .replace("INVITE", "CANCEL")
        .replace("Contact", "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\nContact");
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject(ALICE, BOB, INVITE.as_bytes());
    world.inject(ALICE, BOB, cancel.as_bytes());
    world.inject(ALICE, BOB, cancel.as_bytes());
    assert_eq!(world.kinds(), ["100 INVITE", "200 CANCEL", "487 INVITE", "200 CANCEL"]);
    let cause = ended(&world.take(BOB)).remove(0);
    assert_eq!(cause.reason.as_deref(), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    world.assert_drained();

    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, leg, reply()));
    world.inject(ALICE, BOB, cancel.as_bytes());
    assert_eq!(world.kinds(), ["100 INVITE", "200 INVITE", "200 CANCEL"]);
    assert!(world.take(BOB).is_empty());
    world.assert_drained();
}

#[test]
fn a_caller_may_say_bye_before_the_answer() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.ring(now, leg, 183, Some(reply())));
    let to = world.last("183 INVITE").header("To").expect("a To");
    let bye = INVITE
        .replace("INVITE", "BYE")
        .replace("To: <sip:bob@192.0.2.2>", &format!("To: {to}"))
        .replace("CSeq: 1", "CSeq: 2")
        .replace("bK-1", "bK-2");
    world.inject(ALICE, BOB, bye.as_bytes());
    assert_eq!(world.kinds()[2..], ["200 BYE", "487 INVITE"]);
    let cause = ended(&world.take(BOB)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Remote, CauseKind::Bye));
    world.assert_drained();
}

#[test]
fn nothing_is_heard_of_a_leg_after_its_end() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, leg, reply()));
    world.act(BOB, |e, now| e.hangup(now, leg, None));
    assert_eq!(ended(&world.take(BOB)).len(), 1);
    let to = world.last("200 INVITE").header("To").expect("a To");
    let update = INVITE
        .replace("INVITE", "UPDATE")
        .replace("To: <sip:bob@192.0.2.2>", &format!("To: {to}"))
        .replace("CSeq: 1", "CSeq: 2")
        .replace("bK-1", "bK-2")
        .replace("\r\n\r\n", "\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n");
    world.inject(ALICE, BOB, update.as_bytes());
    assert_eq!(world.kinds().last().map(String::as_str), Some("481 UPDATE"));
    assert!(world.take(BOB).is_empty());
    world.assert_drained();
}
