//! RFC 3262: PRACK by us for their 18x, and by them for ours.

mod support;

use std::time::Duration;

use sip::{CauseKind, Config, EndedBy, Event, LegId};
use support::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.2>\r\n";

fn calling() -> (World, LegId, Vec<u8>) {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let alice = world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    (world, alice, request)
}

fn progress(world: &mut World) -> usize {
    world.take(ALICE).iter().filter(|event| matches!(event, Event::Progress { .. })).count()
}

fn reliable(rseq: u64) -> String {
    format!("{CONTACT}Require: 100rel\r\nRSeq: {rseq}\r\n")
}

#[test]
fn their_ringing_is_acknowledged_in_order_and_told_once() {
    let (mut world, alice, request) = calling();
    assert!(world.log[0].header("Supported").expect("extensions").contains("100rel"));
    world.inject(BOB, ALICE, &respond(&request, 180, &reliable(7)));
    let prack = world.last("PRACK").clone();
    assert_eq!(prack.header("RAck").as_deref(), Some("7 1 INVITE"));
    assert_eq!(prack.header("CSeq").as_deref(), Some("2 PRACK"));
    assert!(prack.header("To").expect("a To").contains("tag=srv"));
    assert_eq!(progress(&mut world), 1);
    // A copy, and one that comes too early: neither is heard.
    world.inject(BOB, ALICE, &respond(&request, 180, &reliable(7)));
    world.inject(BOB, ALICE, &respond(&request, 183, &reliable(9)));
    assert_eq!((progress(&mut world), world.count("PRACK")), (0, 1));
    world.inject(BOB, ALICE, &respond(&prack.bytes, 200, ""));
    world.inject(BOB, ALICE, &respond(&request, 183, &reliable(8)));
    assert_eq!(world.last("PRACK").header("RAck").as_deref(), Some("8 1 INVITE"));
    assert_eq!(world.last("PRACK").header("CSeq").as_deref(), Some("3 PRACK"));
    assert_eq!(progress(&mut world), 1);
    // An unreliable one in between is as it always was.
    world.inject(BOB, ALICE, &respond(&request, 180, CONTACT));
    assert_eq!((progress(&mut world), world.count("PRACK")), (1, 2));
    let prack = world.last("PRACK").bytes.clone();
    world.inject(BOB, ALICE, &respond(&prack, 200, ""));
    world.inject(BOB, ALICE, &respond(&request, 200, CONTACT));
    assert_eq!(world.last("ACK").header("CSeq").as_deref(), Some("1 ACK"));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    assert_eq!(world.last("BYE").header("CSeq").as_deref(), Some("4 BYE"), "higher than the last PRACK");
    world.assert_drained();
}

#[test]
fn each_branch_of_a_fork_counts_for_itself() {
    let (mut world, alice, request) = calling();
    for (tag, rseq) in [("one", 5), ("two", 900)] {
        world.inject(BOB, ALICE, &respond_tagged(&request, 180, tag, &reliable(rseq)));
        assert_eq!(world.last("PRACK").header("RAck"), Some(format!("{rseq} 1 INVITE")));
        assert_eq!(world.last("PRACK").header("CSeq").as_deref(), Some("2 PRACK"));
    }
    for tag in ["one", "two"] {
        world.inject(BOB, ALICE, &respond_tagged(&request, 200, tag, CONTACT));
    }
    assert_eq!(world.last("BYE").header("CSeq").as_deref(), Some("3 BYE"));
    // Who forks without end is not followed.
    for n in 0..100 {
        world.inject(BOB, ALICE, &respond_tagged(&request, 180, &format!("t{n}"), &reliable(1)));
    }
    assert!(world.count("PRACK") <= 8);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.run_for(Duration::from_secs(40));
    world.assert_drained();
}

#[test]
fn without_an_offer_reliability_is_not_offered() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.act(ALICE, |e, now| e.invite(now, sip::Invite { body: None, ..invite(ALICE, BOB) }));
    assert_eq!(world.log[0].header("Supported").as_deref(), Some("timer"));
}

/// Bob is called by a peer that we write by hand.
struct Called {
    world: World,
    leg: LegId,
    cseq: u32,
}

fn called(extra: &str, body: &str) -> Called {
    let mut world = World::new();
    world.add(BOB, Config::default());
    let text = format!(
        "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1;rport\r\n\
         From: <sip:h@192.0.2.1>;tag=h\r\nTo: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:h@192.0.2.1:5060>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.inject(ALICE, BOB, text.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.log.clear();
    Called { world, leg, cseq: 1 }
}

impl Called {
    fn ring(&mut self, status: u16, body: bool) {
        let leg = self.leg;
        self.world.act(BOB, |e, now| e.ring(now, leg, status, body.then(reply)));
    }

    fn answer(&mut self) {
        let leg = self.leg;
        self.world.act(BOB, |e, now| e.answer(now, leg, reply()));
    }

    fn rseq(&self, kind: &str) -> u32 {
        assert_eq!(self.world.last(kind).header("Require").as_deref(), Some("100rel"));
        self.world.last(kind).header("RSeq").expect("an RSeq").parse().expect("a number")
    }

    fn prack(&mut self, rack: &str, body: &str) -> String {
        let to = self.world.log.iter().rev().find_map(|sent| sent.header("To")).expect("a To");
        self.cseq += 1;
        let text = format!(
            "PRACK sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-p{};rport\r\n\
             From: <sip:h@192.0.2.1>;tag=h\r\nTo: {to}\r\nCall-ID: hand\r\nCSeq: {} PRACK\r\nRAck: {rack}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.cseq,
            self.cseq,
            body.len()
        );
        let before = self.world.log.len();
        self.world.inject(ALICE, BOB, text.as_bytes());
        self.world.log[before].kind()
    }
}

#[test]
fn ours_is_repeated_until_its_prack() {
    let mut called = called("Require: 100rel\r\n", "v=0\r\n");
    called.ring(180, false);
    let rseq = called.rseq("180 INVITE");
    called.world.run_for(Duration::from_millis(3_600));
    let at: Vec<_> = called.world.log.iter().map(|sent| sent.at.as_millis()).collect();
    assert_eq!(at, [0, 500, 1_500, 3_500]);
    assert_eq!(called.prack(&format!("{} 1 INVITE", rseq + 1), ""), "481 PRACK");
    assert_eq!(called.prack(&format!("{rseq} 9 INVITE"), ""), "481 PRACK");
    assert_eq!(called.prack("nonsense", ""), "481 PRACK");
    assert_eq!(called.prack(&format!("{rseq} 1 INVITE"), ""), "200 PRACK");
    let sent = called.world.log.len();
    called.world.run_for(Duration::from_secs(50));
    assert_eq!(called.world.log.len(), sent);
    // The next is one higher; after a minute it is said again, as one of its own.
    called.ring(183, true);
    assert_eq!(called.rseq("183 INVITE"), rseq + 1);
    assert_eq!(called.prack(&format!("{} 1 INVITE", rseq + 1), ""), "200 PRACK");
    called.world.run_for(Duration::from_secs(61));
    assert_eq!(called.rseq("183 INVITE"), rseq + 2);
    called.world.act(BOB, |e, now| e.hangup(now, called.leg, None));
    called.world.assert_drained();
}

#[test]
fn what_comes_too_soon_waits_for_the_prack() {
    let mut called = called("Supported: 100rel\r\n", "v=0\r\n");
    // Without a session it need not be reliable where nobody demands it.
    called.ring(180, false);
    assert_eq!(called.world.last("180 INVITE").header("RSeq"), None);
    called.ring(183, true);
    let rseq = called.rseq("183 INVITE");
    called.answer();
    assert_eq!(called.world.count("200 INVITE"), 0, "§3: not before the session is acknowledged");
    assert_eq!(called.prack(&format!("{rseq} 1 INVITE"), ""), "200 PRACK");
    assert_eq!(called.world.count("200 INVITE"), 1);
    called.world.act(BOB, |e, now| e.hangup(now, called.leg, None));
    called.world.run_for(Duration::from_secs(40));
    called.world.assert_drained();
}

#[test]
fn a_queue_of_one_and_an_answer_that_need_not_wait() {
    let mut called = called("Require: 100rel\r\n", "v=0\r\n");
    called.ring(180, false);
    called.ring(181, false);
    called.ring(182, false);
    assert_eq!(called.world.kinds(), ["180 INVITE"]);
    let rseq = called.rseq("180 INVITE");
    assert_eq!(called.prack(&format!("{rseq} 1 INVITE"), ""), "200 PRACK");
    assert_eq!(called.world.kinds(), ["180 INVITE", "200 PRACK", "182 INVITE"], "only the newest counts");
    called.answer();
    assert_eq!(called.world.count("200 INVITE"), 1, "nothing was described yet");
    assert_eq!(called.prack(&format!("{} 1 INVITE", rseq + 1), ""), "200 PRACK", "late, and welcome");
    called.world.run_for(Duration::from_secs(40));
    assert_eq!(called.world.count("182 INVITE"), 1);
    called.world.assert_drained();
}

#[test]
fn an_offer_in_a_prack_before_any_answer_is_refused() {
    let mut called = called("Require: 100rel\r\n", "v=0\r\n");
    called.ring(180, false);
    let rseq = called.rseq("180 INVITE");
    assert_eq!(called.prack(&format!("{rseq} 1 INVITE"), "v=0\r\n"), "500 PRACK");
    assert!(called.world.last("500 PRACK").header("Retry-After").is_some());
    called.world.run_for(Duration::from_secs(40));
    assert_eq!(called.world.count("180 INVITE"), 1, "it is acknowledged all the same");
}

#[test]
fn nobody_acknowledges() {
    let mut called = called("Require: 100rel\r\n", "v=0\r\n");
    called.ring(180, false);
    called.world.run_for(Duration::from_secs(33));
    let cause = ended(&called.world.take(BOB)).remove(0);
    assert_eq!((cause.by, cause.kind, cause.status), (EndedBy::Network, CauseKind::NoAck, Some(504)));
    assert_eq!(called.world.last("504 INVITE").at.as_secs(), 32);
    called.world.assert_drained();
}

#[test]
fn without_their_offer_there_is_no_18x_that_would_have_to_carry_ours() {
    let mut called = called("Require: 100rel\r\n", "");
    called.ring(180, false);
    assert_eq!(called.world.kinds(), [""; 0]);
    called.answer();
    assert_eq!(called.world.count("200 INVITE"), 1);
}

#[test]
fn off_means_off() {
    let mut world = World::new();
    let config = Config { reliable_provisional: false, ..Config::default() };
    world.add(ALICE, config.clone());
    world.add(BOB, config);
    let (alice, _) = world.call();
    assert_eq!(world.log[0].header("Supported").as_deref(), Some("timer"));
    assert!(!world.log[0].header("Allow").expect("an Allow").contains("PRACK"));
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}
