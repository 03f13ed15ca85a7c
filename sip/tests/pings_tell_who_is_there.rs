//! OPTIONS of ours: any final answer is a sign of life, silence is 408, and each is told once.

mod support;

use std::time::Duration;

use sip::{Admission, Config, Event, Ping, PingId};
use support::*;

fn ping(world: &mut World) -> PingId {
    let ping = Ping {
        to: uri(&format!("sip:{BOB}")),
        from: uri(&format!("sip:alice@{ALICE}")).into(),
        path: path(ALICE, BOB),
    };
    world.act(ALICE, |e, now| e.ping(now, ping))
}

fn pongs(events: Vec<Event>) -> Vec<(PingId, u16, Option<Duration>)> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::Pong { id, status, round_trip } => Some((id, status, round_trip)),
            _ => None,
        })
        .collect()
}

#[test]
fn who_is_there_answers() {
    let mut world = World::pair();
    let id = ping(&mut world);
    world.settle();
    let there_and_back = Some(Duration::from_millis(20));
    assert_eq!(pongs(world.take(ALICE)), [(id, 200, there_and_back)]);
    let options = world.last("OPTIONS");
    assert_eq!(options.header("Accept").as_deref(), Some("application/sdp"));
    assert_eq!(options.header("Contact").as_deref(), Some("<sip:alice@192.0.2.1:5060>"));
    assert_eq!(options.header("Call-ID").map(|id| id.len()), Some(32));
    world.assert_drained();
}

#[test]
fn a_refusal_is_a_sign_of_life_too() {
    let mut world = World::pair();
    let after = Duration::from_secs(5);
    world.act(BOB, |e, _| e.set_admission(Admission::Draining { retry_after: after }));
    let id = ping(&mut world);
    world.settle();
    assert_eq!(pongs(world.take(ALICE)), [(id, 503, Some(Duration::from_millis(20)))]);
    world.assert_drained();
}

#[test]
fn a_provisional_answer_is_not_the_end() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let id = ping(&mut world);
    world.settle();
    let request = world.outside.pop_front().expect("an OPTIONS").bytes;
    world.inject(BOB, ALICE, &respond(&request, 100, ""));
    assert_eq!(pongs(world.take(ALICE)), []);
    world.inject(
        BOB,
        ALICE,
        &respond(&request, 401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n"),
    );
    assert_eq!(pongs(world.take(ALICE)).len(), 1);
    // A copy of it, and another opinion, find nobody.
    world.inject(BOB, ALICE, &respond(&request, 200, ""));
    assert_eq!(pongs(world.take(ALICE)), []);
    assert_eq!(world.count("OPTIONS"), 1, "a challenge is not answered: {id:?}");
    world.assert_drained();
}

#[test]
fn silence_is_told_after_timer_f() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let id = ping(&mut world);
    world.run_for(Duration::from_millis(31_999));
    assert_eq!(pongs(world.take(ALICE)), []);
    world.run_for(Duration::from_millis(1));
    assert_eq!(pongs(world.take(ALICE)), [(id, 408, None)]);
    world.assert_drained();
}

#[test]
fn a_way_that_does_not_exist_is_told_at_once() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let id = ping(&mut world);
    world.act(ALICE, |e, now| e.handle_transport_error(now, path(ALICE, BOB)));
    assert_eq!(pongs(world.take(ALICE)), [(id, 503, None)]);
    world.assert_drained();
}

#[test]
fn a_lost_packet_costs_time_and_no_answer() {
    for lost in 1..=2 {
        let mut world = World::with_fate(move |n| if n == lost { Fate::Drop } else { Fate::Deliver });
        world.add(ALICE, Config::default());
        world.add(BOB, Config::default());
        let id = ping(&mut world);
        world.run_for(Duration::from_secs(2));
        assert_eq!(pongs(world.take(ALICE)), [(id, 200, Some(Duration::from_millis(520)))]);
        world.assert_drained();
    }
}
