//! Transfers: REFER with its progress in both directions (RFC 3515), and calls that take another's place (RFC 3891).

mod support;

use std::time::Duration;

use sip::{Config, Event, Invite, LegId, ReferRequest};
use support::*;

const CAROL: &str = "192.0.2.3:5060";

fn config() -> Config {
    Config { take_refers: true, take_replaces: true, ..Config::default() }
}

/// Alice, Bob and Carol; Alice has called Bob.
fn three() -> (World, LegId, LegId) {
    let mut world = World::new();
    for at in [ALICE, BOB, CAROL] {
        world.add(at, config());
    }
    let (alice, bob) = world.call();
    world.take(ALICE);
    world.take(BOB);
    (world, alice, bob)
}

fn progress(world: &mut World, at: &str) -> Vec<(u16, bool)> {
    let all = world.take(at).into_iter();
    all.filter_map(|event| match event {
        Event::ReferProgress { status, over, .. } => Some((status, over)),
        _ => None,
    })
    .collect()
}

fn referred(world: &mut World, at: &str) -> ReferRequest {
    match &world.take(at)[..] {
        [Event::Refer { refer, .. }] => ReferRequest::clone(refer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blind_transfer_tells_how_it_fares() {
    let (mut world, alice, bob) = three();
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.settle();
    let refer = referred(&mut world, BOB);
    assert_eq!(refer.to.uri, uri("sip:carol@192.0.2.3"));
    assert_eq!(refer.referred_by.expect("an author").uri.user().as_deref(), Some("alice"));
    assert!(refer.replaces.is_none());
    assert!(progress(&mut world, ALICE).is_empty());
    world.act(BOB, |e, now| e.accept_refer(now, bob));
    world.settle();
    assert_eq!(progress(&mut world, ALICE), [(202, false), (100, false)]);
    let notify = world.last("NOTIFY").clone();
    assert_eq!(notify.header("Event").as_deref(), Some("refer"));
    assert_eq!(notify.header("Subscription-State").as_deref(), Some("active;expires=300"));
    assert_eq!(notify.header("Content-Type").as_deref(), Some("message/sipfrag;version=2.0"));
    assert!(notify.bytes.ends_with(b"\r\n\r\nSIP/2.0 100 Trying\r\n"));
    for status in [180, 200] {
        world.act(BOB, |e, now| e.refer_progress(now, bob, status));
        world.settle();
    }
    assert_eq!(progress(&mut world, ALICE), [(180, false), (200, true)]);
    assert_eq!(
        world.last("NOTIFY").header("Subscription-State").as_deref(),
        Some("terminated;reason=noresource")
    );
    // It is over: nothing more is said, and the call is still there.
    world.act(BOB, |e, now| e.refer_progress(now, bob, 200));
    world.settle();
    assert_eq!(world.count("NOTIFY"), 3);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn a_transfer_that_fails_leaves_the_call() {
    let (mut world, alice, bob) = three();
    world.act(ALICE, |e, now| e.refer(now, alice, uri("tel:+15551234")));
    world.settle();
    world.act(BOB, |e, now| e.refuse_refer(now, bob, 0));
    world.settle();
    assert_eq!(progress(&mut world, ALICE), [(603, true)]);
    // Another try; the target is busy. The second subscription has its id (RFC 3515 §2.4.6).
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:dave@192.0.2.4")));
    world.settle();
    assert_eq!(progress(&mut world, ALICE), [(491, true)], "one at a time");
    world.act(BOB, |e, now| e.accept_refer(now, bob));
    world.act(BOB, |e, now| e.refer_progress(now, bob, 486));
    world.settle();
    assert_eq!(progress(&mut world, ALICE), [(202, false), (100, false), (486, true)]);
    assert_eq!(
        world.last("NOTIFY").header("Event"),
        world
            .last("REFER")
            .header("CSeq")
            .map(|cseq| { format!("refer;id={}", cseq.split(' ').next().unwrap_or_default()) })
    );
    world.act(ALICE, |e, now| e.reoffer(now, alice, offer()));
    world.settle();
    assert!(matches!(world.take(BOB).last(), Some(Event::Reoffer { .. })), "and the call goes on");
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn nobody_tells_the_outcome() {
    let (mut world, alice, bob) = three();
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.settle();
    world.act(BOB, |e, now| e.accept_refer(now, bob));
    world.run_for(Duration::from_secs(220));
    assert_eq!(progress(&mut world, ALICE), [(202, false), (100, false), (408, true)]);
    // A NOTIFY that comes later is for nobody, and the call does not die of it.
    world.act(BOB, |e, now| e.refer_progress(now, bob, 180));
    world.settle();
    assert_eq!(world.count("481 NOTIFY"), 1);
    world.act(BOB, |e, now| e.refer_progress(now, bob, 200));
    world.settle();
    assert_eq!(world.count("481 NOTIFY"), 1, "who is told so says no more");
    assert!(ended(&world.take(BOB)).is_empty());
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

#[test]
fn a_refer_that_is_open_when_the_call_ends() {
    let (mut world, alice, bob) = three();
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.settle();
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.settle();
    assert_eq!(world.count("487 REFER"), 1);
    assert_eq!(ended(&world.take(ALICE)).len(), 1);
    world.assert_drained();
    // A program that never answers: the peer is told nothing, and may ask again.
    let (mut world, alice, bob) = three();
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.run_for(Duration::from_secs(33));
    assert_eq!(ended(&world.take(ALICE)).len(), 1, "408 inside a dialog ends it");
    world.act(BOB, |e, now| e.accept_refer(now, bob));
    world.assert_drained();
}

#[test]
fn an_attended_transfer_joins_the_other_two() {
    let (mut world, alice, bob) = three();
    // Alice asks Carol, and then hands Bob over to her.
    let alice2 = world.act(ALICE, |e, now| {
        e.invite(now, Invite { to: uri("sip:carol@192.0.2.3"), ..invite(ALICE, CAROL) })
    });
    world.settle();
    let (carol, _) = world.incoming(CAROL);
    world.act(ALICE, |e, now| e.refer_to_leg(now, alice, alice2));
    assert_eq!(progress(&mut world, ALICE), [(491, true)], "she has not answered yet");
    world.act(CAROL, |e, now| e.answer(now, carol, reply()));
    world.settle();
    world.take(ALICE);
    world.act(ALICE, |e, now| e.refer_to_leg(now, alice, alice2));
    world.settle();
    let refer = referred(&mut world, BOB);
    let replaces = refer.replaces.expect("a dialog to replace");
    assert!(refer.to.uri.to_string().starts_with("sip:carol@192.0.2.3"), "{}", refer.to);
    assert!(!refer.to.to_string().contains('?'));
    world.act(BOB, |e, now| e.accept_refer(now, bob));
    let headers = vec![("Replaces".to_owned(), replaces.to_string())];
    let bob2 = world
        .act(BOB, |e, now| e.invite(now, Invite { to: refer.to.uri.clone(), headers, ..invite(BOB, CAROL) }));
    world.settle();
    let (carol2, call) = world.incoming(CAROL);
    assert_eq!(call.replaces, Some(carol));
    world.act(CAROL, |e, now| e.answer(now, carol2, reply()));
    world.act(CAROL, |e, now| e.hangup(now, carol, None));
    world.settle();
    world.act(BOB, |e, now| e.refer_progress(now, bob, 200));
    world.settle();
    let events = world.take(ALICE);
    assert_eq!(ended(&events).len(), 1);
    assert!(events.iter().any(|e| matches!(e, Event::ReferProgress { status: 200, over: true, .. })));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.act(BOB, |e, now| e.hangup(now, bob2, None));
    world.assert_drained();
}

#[test]
fn what_may_not_be_replaced() {
    let (mut world, _, bob) = three();
    let ok = world.last("200 INVITE").clone();
    let tag = |header: &str| {
        ok.header(header).and_then(|v| v.split("tag=").nth(1).map(str::to_owned)).expect("a tag")
    };
    let (call_id, to, from) = (ok.header("Call-ID").expect("a Call-ID"), tag("To"), tag("From"));
    let mut ask = |replaces: &str| {
        let headers = vec![("Replaces".to_owned(), replaces.to_owned())];
        world.act(CAROL, |e, now| e.invite(now, Invite { headers, ..invite(CAROL, BOB) }));
        world.settle();
        let cause = ended(&world.take(CAROL)).pop();
        (cause.and_then(|cause| cause.status), world.take(BOB).len())
    };
    assert_eq!(ask(&format!("{call_id};to-tag={to}")), (Some(400), 0));
    assert_eq!(ask(&format!("{call_id};to-tag={from};from-tag={to}")), (Some(481), 0));
    assert_eq!(ask(&format!("{call_id};to-tag={to};from-tag=x")), (Some(481), 0));
    assert_eq!(ask(&format!("{call_id};to-tag={to};from-tag={from};early-only")), (Some(486), 0));
    assert_eq!(ask(&format!("{call_id};from-tag={from};to-tag={to}")), (None, 1));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
}

#[test]
fn nothing_of_it_where_it_is_off() {
    let mut world = World::pair();
    let (alice, _) = world.call();
    world.take(ALICE);
    let allow = world.last("200 INVITE").header("Allow").expect("an Allow");
    assert!(!allow.contains("REFER") && allow.contains("NOTIFY"), "{allow}");
    world.act(ALICE, |e, now| e.refer(now, alice, uri("sip:carol@192.0.2.3")));
    world.settle();
    assert_eq!(progress(&mut world, ALICE), [(405, true)]);
    let headers = vec![("Replaces".to_owned(), "x;to-tag=1;from-tag=2".to_owned())];
    world.act(ALICE, |e, now| e.invite(now, Invite { headers, ..invite(ALICE, BOB) }));
    world.settle();
    assert_eq!(world.incoming(BOB).1.replaces, None, "passed over");
}

#[test]
fn odd_requests() {
    let (mut world, _, bob) = three();
    let invite = world.last("INVITE").clone();
    let to = world.last("200 INVITE").header("To").expect("a To");
    let mut cseq = 10;
    let mut send = |world: &mut World, method: &str, extra: &str, body: &str| {
        cseq += 1;
        let text = format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{cseq}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
            invite.header("From").expect("a From"),
            invite.header("Call-ID").expect("a Call-ID"),
            body.len()
        );
        let before = world.log.len();
        world.inject(ALICE, BOB, text.as_bytes());
        world.log.get(before).map(Sent::kind).unwrap_or_default()
    };
    for extra in [
        "",
        "Refer-To: <sip:x\r\n",
        "Refer-To: <sip:a@b>, <sip:c@d>\r\n",
        "Refer-To: <sip:a@b>\r\nr: <sip:c@d>\r\n",
    ] {
        assert_eq!(send(&mut world, "REFER", extra, ""), "400 REFER", "{extra}");
    }
    assert_eq!(send(&mut world, "NOTIFY", "Event: presence\r\n", ""), "489 NOTIFY");
    assert_eq!(send(&mut world, "NOTIFY", "Event: refer\r\n", ""), "481 NOTIFY", "Bob has sent nobody on");
    world.act(BOB, |e, now| e.refer(now, bob, uri("sip:carol@192.0.2.3")));
    let active = "o: Refer;id=7\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n";
    for body in ["", "x", "SIP/2.0", "SIP/2.0 ", "SIP/2.0 99 x", "SIP/2.0 700 x"] {
        assert_eq!(send(&mut world, "NOTIFY", active, body), "400 NOTIFY", "{body}");
    }
    assert_eq!(send(&mut world, "NOTIFY", active, "SIP/2.0 183\r\nContact: <sip:x@y>\r\n"), "200 NOTIFY");
    assert_eq!(progress(&mut world, BOB), [(183, false)]);
    // The end of the subscription without a word is no success.
    let over = "Event: refer\r\nSubscription-State: terminated;reason=timeout\r\n";
    assert_eq!(send(&mut world, "NOTIFY", over, ""), "200 NOTIFY");
    assert_eq!(progress(&mut world, BOB), [(408, true)]);
    // One REFER at a time.
    assert_eq!(send(&mut world, "REFER", "Refer-To: <sip:carol@192.0.2.3?Subject=x>\r\n", ""), "");
    assert_eq!(send(&mut world, "REFER", "Refer-To: sip:carol@192.0.2.3\r\n", ""), "491 REFER");
    assert!(world.take(BOB).iter().any(|e| matches!(e, Event::Refer { leg, .. } if *leg == bob)));
    world.act(BOB, |e, now| e.refuse_refer(now, bob, 403));
    assert_eq!(world.count("403 REFER"), 1);
}
