//! A phone of our own making registers, refreshes and leaves, while the network loses, doubles and delays. Whatever becomes
//! of it, the registrar holds one binding while the phone is there, none afterwards, and nothing else.

mod support;

use std::time::Duration;

use sip::{Config, RegistrationId};
use support::phone::registrar;
use support::*;

fn world(fate: impl FnMut(usize) -> Fate + 'static) -> (World, RegistrationId) {
    let mut world = World::with_fate(fate);
    std::mem::swap(&mut world.endpoints, &mut registrar(Config::default()).endpoints);
    world.add(ALICE, Config::default());
    let register = sip::Register {
        aor: uri("sip:201@offhook"),
        credentials: sip::Credentials { username: "201".into(), password: "secret-1".into() },
        expires: Duration::from_secs(600),
        ..register(ALICE, BOB)
    };
    let id = world.act(ALICE, |e, now| e.register(now, register));
    (world, id)
}

fn play(what: &str, fate: impl FnMut(usize) -> Fate + 'static) -> usize {
    let (mut world, id) = world(fate);
    let mut most = 0;
    for _ in 0..1_000 {
        world.run_for(Duration::from_secs(1));
        most = most.max(world.endpoints[&addr(BOB)].stats().bindings);
    }
    assert!(most <= 1, "{what}: {most} bindings of one phone");
    assert_eq!(world.endpoints[&addr(BOB)].stats().failed_auth, 0, "{what}");
    world.act(ALICE, |e, now| e.unregister(now, id));
    // What nobody has taken back runs out.
    world.run_for(Duration::from_secs(700));
    assert_eq!(world.endpoints[&addr(BOB)].stats().bindings, 0, "{what}");
    assert_eq!(world.endpoints[&addr(ALICE)].stats().registrations, 0, "{what}");
    world.assert_drained();
    world.log.len()
}

/// As `play`, and the phone must have been bound from the first half minute on, to its end.
fn play_through(what: &str, fate: impl FnMut(usize) -> Fate + 'static) -> usize {
    let (mut world, _) = world(fate);
    world.run_for(Duration::from_secs(30));
    for second in 30..1_300 {
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.endpoints[&addr(BOB)].stats().bindings, 1, "{what}, after {second} s");
    }
    world.log.len()
}

#[test]
fn one_packet_lost_doubled_or_late() {
    let packets = play_through("undisturbed", |_| Fate::Deliver);
    assert!(packets >= 12, "{packets}");
    for fate in [Fate::Drop, Fate::Duplicate, Fate::Late] {
        for victim in 1..=packets {
            let what = format!("{fate:?} {victim}");
            play_through(&what, move |n| if n == victim { fate } else { Fate::Deliver });
        }
    }
}

#[test]
fn everything_doubled_or_late() {
    play_through("all doubled", |_| Fate::Duplicate);
    play_through("every other late", |n| if n % 2 == 0 { Fate::Late } else { Fate::Deliver });
    play_through("every third doubled", |n| if n % 3 == 0 { Fate::Duplicate } else { Fate::Late });
}

#[test]
fn the_network_goes_away_or_loses_half() {
    for from in 1..=12 {
        play(&format!("gone from {from}"), move |n| if n >= from { Fate::Drop } else { Fate::Deliver });
    }
    for seed in 0..20_usize {
        let mut state = seed.wrapping_mul(2_654_435_761) + 12_345;
        play(&format!("half lost, seed {seed}"), move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if state >> 33 & 1 == 0 { Fate::Deliver } else { Fate::Drop }
        });
    }
}
