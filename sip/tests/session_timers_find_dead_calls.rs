//! RFC 4028: who refreshes, with what, what is too short, and how a call ends that nobody refreshes.

mod support;

use std::time::Duration;

use sip::{CauseKind, Config, EndedBy, Event, LegId};
use support::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.2>\r\n";

/// Alice calls a peer that we write by hand, which answers with these headers.
fn answered(extra: &str) -> (World, LegId) {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 200, &format!("{CONTACT}{extra}")));
    world.take(ALICE);
    (world, alice)
}

/// Bob is called with these headers, and answers.
fn called(extra: &str) -> World {
    let mut world = World::new();
    world.add(BOB, Config::default());
    let text = format!(
        "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:h@192.0.2.1>;tag=h\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:h@192.0.2.1:5060>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    );
    world.inject(ALICE, BOB, text.as_bytes());
    if let Some(Event::Incoming { leg, .. }) = world.take(BOB).first() {
        let leg = *leg;
        world.act(BOB, |e, now| e.answer(now, leg, reply()));
        let to = world.last("200 INVITE").header("To").expect("a To");
        let ack = text
            .replace("INVITE", "ACK")
            .replace("To: <sip:bob@192.0.2.2>", &format!("To: {to}"))
            .replace("bK-1", "bK-a");
        world.inject(ALICE, BOB, ack.as_bytes());
        world.take(BOB);
    }
    world
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn two_of_us_refresh_by_update_for_hours() {
    let mut world = World::pair();
    let (alice, _) = world.call();
    let invite = world.last("INVITE").clone();
    assert_eq!(invite.header("Session-Expires").as_deref(), Some("1800"));
    assert_eq!(invite.header("Supported").as_deref(), Some("timer, 100rel"));
    let ok = world.last("200 INVITE").clone();
    assert_eq!(ok.header("Session-Expires").as_deref(), Some("1800;refresher=uac"));
    assert_eq!(ok.header("Require").as_deref(), Some("timer"));
    world.take(ALICE);
    world.take(BOB);
    world.run_for(secs(3 * 3600 + 60));
    assert_eq!((world.count("UPDATE"), world.count("200 UPDATE")), (12, 12));
    assert_eq!(world.last("UPDATE").header("Session-Expires").as_deref(), Some("1800;refresher=uac"));
    assert!(world.take(ALICE).is_empty() && world.take(BOB).is_empty(), "nobody is bothered");
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn without_update_the_same_description_is_offered_again() {
    let (mut world, alice) =
        answered("Allow: INVITE, ACK, BYE\r\nRequire: timer\r\nSession-Expires: 600;refresher=uac\r\n");
    let first = world.log[0].clone();
    world.run_for(secs(299));
    assert_eq!(world.count("INVITE"), 1);
    world.run_for(Duration::from_millis(1_200));
    assert_eq!(world.count("INVITE"), 2);
    let again = world.last("INVITE").clone();
    assert!(again.bytes.ends_with(&offer().bytes) && first.bytes.ends_with(&offer().bytes));
    assert_eq!(again.header("Session-Expires").as_deref(), Some("600;refresher=uac"));
    // Glare is waited out, and not told.
    world.inject(BOB, ALICE, &respond(&again.bytes, 491, ""));
    world.run_for(secs(5));
    assert_eq!(world.last("INVITE").header("CSeq").as_deref(), Some("3 INVITE"));
    let third = world.last("INVITE").bytes.clone();
    world.inject(
        BOB,
        ALICE,
        &respond(&third, 200, &format!("{CONTACT}Session-Expires: 600;refresher=uac\r\n")),
    );
    world.run_for(secs(290));
    assert!(world.take(ALICE).is_empty());
    world.run_for(secs(15));
    assert_eq!(world.last("INVITE").header("CSeq").as_deref(), Some("4 INVITE"), "counted anew");
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn a_refresh_that_is_refused_is_tried_again_until_the_end() {
    let (mut world, _) = answered("Allow: UPDATE\r\nSession-Expires: 90;refresher=uac\r\n");
    world.run_for(secs(46));
    let update = world.last("UPDATE").bytes.clone();
    // Whoever says Allow and then 405 gets a re-INVITE at once.
    world.inject(BOB, ALICE, &respond(&update, 405, ""));
    let again = world.last("INVITE").clone();
    assert_eq!(again.header("CSeq").as_deref(), Some("3 INVITE"));
    world.inject(BOB, ALICE, &respond(&again.bytes, 500, ""));
    world.run_for(secs(11));
    let again = world.last("INVITE").clone();
    assert_eq!(again.header("CSeq").as_deref(), Some("4 INVITE"));
    world.inject(BOB, ALICE, &respond(&again.bytes, 500, ""));
    world.run_for(secs(4));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.by, cause.kind), (EndedBy::Network, CauseKind::SessionExpired));
    let bye = world.last("BYE").clone();
    assert_eq!(bye.at.as_secs(), 60, "a third before the end");
    assert_eq!(bye.header("Reason").as_deref(), Some("SIP;cause=408;text=\"Session Expired\""));
    world.assert_drained();
}

#[test]
fn who_does_not_refresh_is_given_up() {
    for (extra, over) in
        [("Session-Expires: 1800;refresher=uas\r\n", 1_768), ("Session-Expires: 90;refresher=uas\r\n", 60)]
    {
        let (mut world, _) = answered(extra);
        world.run_for(secs(over) - Duration::from_millis(1));
        assert_eq!(world.count("BYE"), 0);
        assert!(world.take(ALICE).is_empty());
        world.run_for(secs(1));
        assert_eq!(ended(&world.take(ALICE))[0].kind, CauseKind::SessionExpired);
        world.assert_drained();
    }
}

#[test]
fn a_far_end_that_is_gone_ends_the_call() {
    let (mut world, _) = answered("Allow: UPDATE\r\nSession-Expires: 1800\r\n");
    world.run_for(secs(933));
    let cause = ended(&world.take(ALICE)).remove(0);
    assert_eq!((cause.kind, cause.status), (CauseKind::DialogGone, Some(408)));
    world.assert_drained();
}

#[test]
fn a_peer_that_knows_no_timers_has_none() {
    let (mut world, alice) = answered("");
    world.run_for(secs(100_000));
    assert_eq!(world.kinds(), ["INVITE", "ACK"]);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn too_short_for_them_is_asked_again_longer() {
    let mut world = World::new();
    world.add(ALICE, Config { session_expires: Some(secs(120)), ..Config::default() });
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    for (n, least) in [300, 400, 500].into_iter().enumerate() {
        let request = world.last("INVITE").bytes.clone();
        world.inject(BOB, ALICE, &respond(&request, 422, &format!("Min-SE: {least}\r\n")));
        let again = world.last("INVITE").clone();
        assert_eq!(again.header("CSeq"), Some(format!("{} INVITE", n + 2)));
        assert_eq!(again.header("Session-Expires"), Some(least.to_string()));
        assert_eq!(again.header("Min-SE"), Some(least.to_string()));
    }
    // Enough is enough.
    let request = world.last("INVITE").bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 422, "Min-SE: 600\r\n"));
    assert_eq!(ended(&world.take(ALICE))[0].status, Some(422));
    world.assert_drained();
    // A 422 that asks for nothing more is a refusal like any other.
    for extra in ["", "Min-SE: 90\r\n", "Min-SE: 99999999999\r\n"] {
        let mut world = World::new();
        world.add(ALICE, Config::default());
        world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
        let request = world.last("INVITE").bytes.clone();
        world.inject(BOB, ALICE, &respond(&request, 422, extra));
        assert_eq!(ended(&world.take(ALICE))[0].status, Some(422), "{extra}");
    }
}

#[test]
fn too_short_for_us_is_refused() {
    let world = called("Supported: timer\r\nSession-Expires: 89\r\n");
    assert_eq!(world.kinds(), ["422 INVITE"]);
    assert_eq!(world.last("422 INVITE").header("Min-SE").as_deref(), Some("90"));
    assert_eq!(world.endpoints[&addr(BOB)].stats().transactions, 0, "and costs nothing");
}

#[test]
fn what_we_answer_to_what_they_ask() {
    for (asked, answer, required) in [
        ("", None, None),
        ("Supported: timer\r\n", Some("1800;refresher=uas"), None),
        ("Supported: timer\r\nMin-SE: 3600\r\n", Some("3600;refresher=uas"), None),
        ("k: timer\r\nx: 600\r\n", Some("600;refresher=uac"), Some("timer")),
        ("Require: timer\r\nSession-Expires: 600;refresher=UAS\r\n", Some("600;refresher=uas"), None),
        ("Supported: timer\r\nSession-Expires: 7200\r\n", Some("1800;refresher=uac"), Some("timer")),
        (
            "Supported: timer\r\nSession-Expires: 7200\r\nMin-SE: 3600\r\n",
            Some("3600;refresher=uac"),
            Some("timer"),
        ),
        // Put in by a proxy: the caller knows nothing of it, so we refresh, and refuse nothing.
        ("Session-Expires: 600\r\n", Some("600;refresher=uas"), None),
        ("Session-Expires: 10\r\n", Some("90;refresher=uas"), None),
        ("Supported: timer\r\nSession-Expires: soon\r\n", Some("1800;refresher=uas"), None),
    ] {
        let mut world = called(asked);
        let ok = world.last("200 INVITE").clone();
        assert_eq!(ok.header("Session-Expires").as_deref(), answer, "{asked}");
        assert_eq!(ok.header("Require").as_deref(), required, "{asked}");
        // This peer's Allow says nothing of UPDATE.
        world.run_for(secs(1_801));
        assert_eq!(world.count("INVITE") > 0, answer.is_some_and(|a| a.ends_with("uas")), "{asked}");
    }
}

#[test]
fn off_means_off() {
    let mut world = World::new();
    let config = Config { session_expires: None, reliable_provisional: false, ..Config::default() };
    world.add(ALICE, config.clone());
    world.add(BOB, config);
    let (alice, _) = world.call();
    for kind in ["INVITE", "200 INVITE"] {
        assert_eq!(world.last(kind).header("Session-Expires"), None);
        assert_eq!(world.last(kind).header("Supported"), None);
    }
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
    let required = "OPTIONS sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-x\r\nFrom: <sip:h@h>;tag=h\r\n\
        To: <sip:b@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nRequire: timer\r\n\r\n";
    world.inject(ALICE, BOB, required.as_bytes());
    assert_eq!(world.last("420 OPTIONS").header("Unsupported").as_deref(), Some("timer"));
}
