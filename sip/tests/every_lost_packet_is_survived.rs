//! Every scenario again and again: with packet 1 lost, then 2, then 3…; the same with packets doubled, and late;
//! and with the network gone from packet n on. Each ends in a defined state on both sides and leaves nothing.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sip::{Config, EndedBy, Event, LegId};
use support::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plot {
    CallerHangsUp,
    CalledHangsUp,
    Refused,
    Cancelled,
    CancelledAtOnce,
    HeldThenHungUp,
    KeyPressed,
    BothHangUp,
    Refreshed,
    EarlyMedia,
    EarlyMediaThenCancelled,
    CallerChangesEarly,
    CalledChangesEarly,
    SentOn,
    DelayedOffer,
}

const PLOTS: [Plot; 15] = [
    Plot::CallerHangsUp,
    Plot::CalledHangsUp,
    Plot::Refused,
    Plot::Cancelled,
    Plot::CancelledAtOnce,
    Plot::HeldThenHungUp,
    Plot::KeyPressed,
    Plot::BothHangUp,
    Plot::Refreshed,
    Plot::EarlyMedia,
    Plot::EarlyMediaThenCancelled,
    Plot::CallerChangesEarly,
    Plot::CalledChangesEarly,
    Plot::SentOn,
    Plot::DelayedOffer,
];

/// Plays a plot by reacting to events, as a program does. Returns how many packets it took.
fn play(plot: Plot, what: &str, fate: impl FnMut(usize) -> Fate + 'static) -> usize {
    let mut world = World::with_fate(fate);
    let config = match plot {
        Plot::Refreshed => Config { session_expires: Some(Duration::from_secs(90)), ..Config::default() },
        Plot::SentOn => Config { take_refers: true, ..Config::default() },
        _ => Config::default(),
    };
    world.add(ALICE, config.clone());
    world.add(BOB, config);
    let body = (plot != Plot::DelayedOffer).then(offer);
    let call = sip::Invite { body, ..invite(ALICE, BOB) };
    let alice = world.act(ALICE, |e, now| e.invite(now, call));
    if plot == Plot::CancelledAtOnce {
        world.act(ALICE, |e, now| e.hangup(now, alice, None));
    }
    let mut known: BTreeMap<(SocketAddr, LegId), u32> = BTreeMap::from([((addr(ALICE), alice), 0)]);
    let mut bobs: Option<LegId> = None;
    let mut end_at = None;
    let mut change_at = None;
    let until = world.now + Duration::from_secs(600);
    loop {
        for at in [ALICE, BOB] {
            for event in world.take(at) {
                let wait = Duration::from_millis(300);
                match (plot, &event) {
                    (_, Event::Incoming { leg, .. }) => {
                        bobs = Some(*leg);
                        known.insert((addr(at), *leg), 0);
                        let leg = *leg;
                        world.act(at, |e, now| match plot {
                            Plot::Refused => e.reject(now, leg, 486),
                            Plot::Cancelled | Plot::CancelledAtOnce => e.ring(now, leg, 180, None),
                            Plot::CallerChangesEarly | Plot::CalledChangesEarly => {
                                e.ring(now, leg, 183, Some(reply()));
                            }
                            Plot::EarlyMediaThenCancelled => e.ring(now, leg, 183, Some(reply())),
                            Plot::EarlyMedia => {
                                e.ring(now, leg, 183, Some(reply()));
                                e.ring(now, leg, 183, Some(reply()));
                                e.answer(now, leg, reply());
                            }
                            _ => {
                                e.ring(now, leg, 180, None);
                                e.answer(now, leg, reply());
                            }
                        });
                    }
                    (Plot::Cancelled | Plot::EarlyMediaThenCancelled, Event::Progress { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.hangup(now, leg, None));
                    }
                    (Plot::CallerChangesEarly, Event::Progress { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.reoffer(now, leg, offer()));
                        change_at = Some(world.now + wait);
                    }
                    (Plot::CalledChangesEarly, Event::Progress { .. }) => {
                        change_at = Some(world.now + wait);
                    }
                    (Plot::CallerChangesEarly | Plot::CalledChangesEarly, Event::Reoffer { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.accept_offer(now, leg, reply()));
                    }
                    (Plot::HeldThenHungUp, Event::Answered { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.reoffer(now, leg, offer()));
                    }
                    (Plot::HeldThenHungUp, Event::Reoffer { leg, body }) => {
                        assert!(body.is_some(), "{what}");
                        let leg = *leg;
                        world.act(at, |e, now| e.accept_offer(now, leg, reply()));
                    }
                    (Plot::HeldThenHungUp, Event::Reanswer { status, .. }) => {
                        assert!(*status == 200 || *status == 491, "{what}: {status}");
                        end_at = Some(world.now + wait);
                    }
                    (Plot::KeyPressed, Event::Answered { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.send_dtmf(now, leg, '5', Duration::from_millis(200)));
                        end_at = Some(world.now + Duration::from_secs(40));
                    }
                    (Plot::DelayedOffer, Event::Answered { leg, body, .. }) => {
                        assert!(body.is_some(), "{what}");
                        let leg = *leg;
                        world.act(at, |e, now| e.answer(now, leg, reply()));
                        end_at = Some(world.now + wait);
                    }
                    (Plot::DelayedOffer, Event::Established { body, .. }) => {
                        assert!(body.is_some(), "{what}")
                    }
                    (Plot::SentOn, Event::Answered { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| e.refer(now, leg, uri("sip:carol@192.0.2.3")));
                    }
                    (Plot::SentOn, Event::Refer { leg, .. }) => {
                        let leg = *leg;
                        world.act(at, |e, now| {
                            e.accept_refer(now, leg);
                            e.refer_progress(now, leg, 180);
                            e.refer_progress(now, leg, 200);
                        });
                    }
                    (Plot::SentOn, Event::ReferProgress { over: true, .. }) => {
                        end_at = Some(world.now + wait)
                    }
                    (Plot::Refreshed, Event::Answered { .. }) => {
                        end_at = Some(world.now + Duration::from_secs(200));
                    }
                    (_, Event::Answered { .. }) => end_at = Some(world.now + wait),
                    (_, Event::Ended { leg, cause }) => {
                        let count = known
                            .get_mut(&(addr(at), *leg))
                            .unwrap_or_else(|| panic!("{what}: who is {leg:?}"));
                        *count += 1;
                        assert_eq!(*count, 1, "{what}: {leg:?} at {at} ended twice: {cause:?}");
                    }
                    _ => {}
                }
            }
        }
        if let Some(at) = end_at
            && at <= world.now
        {
            end_at = None;
            if plot != Plot::CalledHangsUp {
                world.act(ALICE, |e, now| e.hangup(now, alice, None));
            }
            if let (Plot::CalledHangsUp | Plot::BothHangUp, Some(bob)) = (plot, bobs) {
                world.act(BOB, |e, now| e.hangup(now, bob, None));
            }
        }
        if let (Some(at), Some(bob)) = (change_at, bobs)
            && at <= world.now
        {
            change_at = None;
            world.act(BOB, |e, now| {
                if plot == Plot::CalledChangesEarly {
                    e.reoffer(now, bob, offer());
                }
                e.answer(now, bob, reply());
            });
        }
        let next = end_at.into_iter().chain(change_at).min().unwrap_or(until);
        if !world.step(next) {
            if next == until {
                break;
            }
            world.now = next;
        }
    }
    // Where the network died, a side may be left that nobody told: its program hangs up.
    for ((at, leg), count) in known.clone() {
        if count == 0 {
            let at = at.to_string();
            world.act(&at, |e, now| e.hangup(now, leg, None));
            world.run_for(Duration::from_secs(100));
            let causes = ended(&world.take(&at));
            assert_eq!(causes.len(), 1, "{what}: {leg:?} at {at} never ended: {:?}", world.kinds());
            assert_eq!(causes[0].by, EndedBy::Local);
        }
    }
    world.assert_drained();
    world.log.len()
}

fn sweep(fate: Fate) {
    for plot in PLOTS {
        let packets = play(plot, &format!("{plot:?} undisturbed"), |_| Fate::Deliver);
        for victim in 1..=packets + 3 {
            play(plot, &format!("{plot:?}, {fate:?} packet {victim}"), move |n| {
                if n == victim { fate } else { Fate::Deliver }
            });
        }
    }
}

#[test]
fn one_packet_lost() {
    sweep(Fate::Drop);
}

#[test]
fn one_packet_doubled() {
    sweep(Fate::Duplicate);
}

#[test]
fn one_packet_late() {
    sweep(Fate::Late);
}

#[test]
fn every_packet_doubled_or_late() {
    for plot in PLOTS {
        play(plot, &format!("{plot:?}, all doubled"), |_| Fate::Duplicate);
        play(plot, &format!("{plot:?}, every other late"), |n| {
            if n % 2 == 0 { Fate::Late } else { Fate::Deliver }
        });
    }
}

#[test]
fn two_packets_lost() {
    for plot in PLOTS {
        for first in 1..=8 {
            for second in first + 1..=10 {
                let what = format!("{plot:?}, {first} and {second} lost");
                play(
                    plot,
                    &what,
                    move |n| if n == first || n == second { Fate::Drop } else { Fate::Deliver },
                );
            }
        }
    }
}

#[test]
fn the_network_goes_away() {
    for plot in PLOTS {
        for from in 1..=14 {
            play(plot, &format!("{plot:?}, gone from {from}"), move |n| {
                if n >= from { Fate::Drop } else { Fate::Deliver }
            });
        }
    }
}

#[test]
fn half_of_everything_is_lost() {
    for plot in PLOTS {
        for seed in 0..50_usize {
            let mut state = seed.wrapping_mul(2_654_435_761) + 12_345;
            play(plot, &format!("{plot:?}, half lost, seed {seed}"), move |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 33 & 1 == 0 { Fate::Deliver } else { Fate::Drop }
            });
        }
    }
}
