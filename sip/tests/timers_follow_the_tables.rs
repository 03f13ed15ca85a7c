//! The timers of RFC 3261 §17 (table 4) and RFC 6026, to the millisecond, on UDP and on a reliable transport.

mod support;

use std::time::Duration;

use sip::{Config, Endpoint, Path, Transport};
use support::*;

/// When was each packet of this kind sent?
fn times(world: &World, kind: &str) -> Vec<u128> {
    world.log.iter().filter(|sent| sent.kind() == kind).map(|sent| sent.at.as_millis()).collect()
}

fn alone(at: &str) -> World {
    let mut world = World::new();
    world.add(at, Config::default());
    world
}

const INVITE: &str = "INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1\r\nFrom: <sip:h@192.0.2.1>;tag=h\r\n\
    To: <sip:bob@192.0.2.2>\r\nCall-ID: hand\r\nCSeq: 1 INVITE\r\nContact: <sip:h@192.0.2.1>\r\n\r\n";

#[test]
fn timer_a_doubles_and_timer_b_gives_up() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    world.run_for(Duration::from_millis(31_999));
    assert!(ended(&world.take(ALICE)).is_empty());
    world.run_for(Duration::from_millis(1));
    assert_eq!(ended(&world.take(ALICE)).len(), 1, "Timer B: 64*T1");
    assert_eq!(times(&world, "INVITE"), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
}

#[test]
fn a_provisional_response_stops_a_and_b() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.run_for(Duration::from_millis(600));
    world.inject(BOB, ALICE, &respond(&request, 100, ""));
    world.run_for(Duration::from_secs(100));
    assert_eq!(times(&world, "INVITE"), [0, 500]);
    assert!(ended(&world.take(ALICE)).is_empty());
}

#[test]
fn timer_e_doubles_to_t2_and_timer_f_gives_up() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.register(now, register(ALICE, BOB)));
    world.run_for(Duration::from_millis(32_000));
    let wanted = [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times(&world, "REGISTER"), wanted);
    assert_eq!(states(&world.take(ALICE)).len(), 1);
}

#[test]
fn after_a_provisional_response_timer_e_runs_at_t2() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.register(now, register(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.run_for(Duration::from_millis(100));
    world.inject(BOB, ALICE, &respond(&request, 100, ""));
    world.run_for(Duration::from_millis(13_000));
    assert_eq!(times(&world, "REGISTER"), [0, 500, 4_500, 8_500, 12_500]);
    world.run_for(Duration::from_millis(18_900));
    assert_eq!(states(&world.take(ALICE)).len(), 1, "Timer F still runs");
}

#[test]
fn timer_d_acknowledges_every_repeated_failure_for_32_s() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    for seconds in [1, 30] {
        world.inject(BOB, ALICE, &respond(&request, 486, ""));
        world.run_for(Duration::from_secs(seconds));
    }
    assert_eq!(world.count("ACK"), 2);
    assert_eq!(world.endpoints[&addr(ALICE)].stats().transactions, 1);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.endpoints[&addr(ALICE)].stats().transactions, 0);
    world.inject(BOB, ALICE, &respond(&request, 486, ""));
    assert_eq!(world.count("ACK"), 2);
    assert_eq!(world.endpoints[&addr(ALICE)].stats().stray_responses, 1);
}

#[test]
fn timer_m_keeps_the_accepted_transaction_for_64_t1() {
    let mut world = alone(ALICE);
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    for seconds in [31, 2] {
        world.inject(BOB, ALICE, &respond(&request, 200, "Contact: <sip:b@192.0.2.2>\r\n"));
        world.run_for(Duration::from_secs(seconds));
    }
    assert_eq!(world.count("ACK"), 2);
    assert_eq!(world.endpoints[&addr(ALICE)].stats().transactions, 0);
}

#[test]
fn timer_g_repeats_a_failure_and_timer_h_gives_up() {
    let mut world = alone(BOB);
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.reject(now, leg, 486));
    world.run_for(Duration::from_secs(40));
    let wanted = [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times(&world, "486 INVITE"), wanted);
    world.assert_drained();
}

#[test]
fn timer_i_absorbs_further_acks_for_t4() {
    let mut world = alone(BOB);
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.reject(now, leg, 486));
    let to = world.last("486 INVITE").header("To").expect("a To");
    let ack = INVITE.replace("INVITE", "ACK").replace("To: <sip:bob@192.0.2.2>", &format!("To: {to}"));
    world.inject(ALICE, BOB, ack.as_bytes());
    world.run_for(Duration::from_millis(4_999));
    world.inject(ALICE, BOB, ack.as_bytes());
    let stats = world.endpoints[&addr(BOB)].stats();
    assert_eq!((stats.transactions, stats.stray_acks), (1, 0));
    assert_eq!(world.count("486 INVITE"), 1);
    world.run_for(Duration::from_millis(1));
    world.inject(ALICE, BOB, ack.as_bytes());
    let stats = world.endpoints[&addr(BOB)].stats();
    assert_eq!((stats.transactions, stats.stray_acks), (0, 1));
}

#[test]
fn timer_l_absorbs_the_invite_while_the_leg_repeats_its_2xx() {
    let mut world = alone(BOB);
    world.inject(ALICE, BOB, INVITE.as_bytes());
    let (leg, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, leg, reply()));
    world.run_for(Duration::from_millis(31_000));
    world.inject(ALICE, BOB, INVITE.as_bytes());
    assert!(world.take(BOB).is_empty(), "RFC 6026: a late copy of the INVITE is no new call");
    world.run_for(Duration::from_millis(1_000));
    assert_eq!(
        times(&world, "200 INVITE"),
        [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
    );
    // §13.3.1.4: no ACK in 64*T1, so BYE.
    assert_eq!(times(&world, "BYE")[0], 32_000);
    world.assert_drained();
}

#[test]
fn timer_j_answers_a_repeated_bye_for_64_t1() {
    let mut world = World::pair();
    let (alice, _) = world.call();
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    let bye = world.last("BYE").bytes.clone();
    world.run_for(Duration::from_secs(31));
    world.inject(ALICE, BOB, &bye);
    assert_eq!(world.count("200 BYE"), 2);
    world.run_for(Duration::from_secs(2));
    world.inject(ALICE, BOB, &bye);
    assert_eq!(world.count("481 BYE"), 1);
}

#[test]
fn a_reliable_transport_repeats_nothing_but_the_2xx() {
    let start = World::new().start;
    let path = Path { transport: Transport::Tcp, local: addr(BOB), remote: addr("192.0.2.1:40000") };
    let mut bob = Endpoint::new(Config::default(), [5; 32]);
    let sent = |e: &mut Endpoint| {
        let mut kinds = Vec::new();
        while let Some(t) = e.poll_transmit() {
            assert_eq!(t.path, path, "over the connection that it came by");
            kinds.push(String::from_utf8_lossy(&t.bytes).split(' ').nth(1).unwrap_or_default().to_owned());
        }
        kinds
    };
    bob.handle_message(start, path, INVITE.replace("UDP", "TCP").as_bytes());
    let leg = bob.legs().next().expect("a leg");
    bob.reject(start, leg, 404);
    bob.handle_timeout(start + Duration::from_secs(31));
    assert_eq!(sent(&mut bob), ["100", "404"]);
    bob.handle_timeout(start + Duration::from_secs(32));
    assert_eq!(bob.stats().transactions, 0);

    bob.handle_message(start, path, INVITE.replace("UDP", "TCP").as_bytes());
    let leg = bob.legs().next().expect("a leg");
    bob.answer(start, leg, reply());
    bob.handle_timeout(start + Duration::from_secs(1));
    assert_eq!(sent(&mut bob), ["100", "200", "200"]);
    assert!(bob.poll_timeout().is_some());

    let mut alice = Endpoint::new(Config::default(), [6; 32]);
    let path = Path { transport: Transport::Tcp, ..support::path(ALICE, BOB) };
    alice.invite(start, sip::Invite { path, ..invite(ALICE, BOB) });
    alice.handle_timeout(start + Duration::from_secs(31));
    let first = alice.poll_transmit().expect("an INVITE");
    let text = String::from_utf8_lossy(&first.bytes).into_owned();
    assert!(text.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;branch="), "{text}");
    assert!(text.contains("Contact: <sip:alice@192.0.2.1:5060;transport=tcp>"), "{text}");
    assert_eq!(alice.poll_transmit(), None);
    alice.handle_timeout(start + Duration::from_secs(32));
    assert!(matches!(alice.poll_event(), Some(sip::Event::Ended { .. })));
}

#[test]
fn other_base_timers_hold_everywhere() {
    let mut world = World::new();
    let timers = sip::Timers {
        t1: Duration::from_millis(100),
        t2: Duration::from_millis(400),
        t4: Duration::from_millis(500),
    };
    world.add(ALICE, Config { timers, ..Config::default() });
    world.act(ALICE, |e, now| e.register(now, register(ALICE, BOB)));
    world.run_for(Duration::from_millis(1_600));
    assert_eq!(times(&world, "REGISTER"), [0, 100, 300, 700, 1_100, 1_500]);
}
