//! Wrong passwords are counted for each source, and end in a ban; everything else about a challenge is no failure.

mod support;

use std::time::Duration;

use sip::{BanReason, Config, Event, Guard};
use support::phone::*;
use support::*;

const GUESSER: &str = "203.0.113.66:5060";

fn banned(world: &mut World) -> Vec<(String, BanReason, Duration)> {
    let all = world.take(BOB).into_iter();
    all.filter_map(|event| match event {
        Event::Banned { ip, reason, time } => Some((ip.to_string(), reason, time)),
        _ => None,
    })
    .collect()
}

/// How many of so many guesses are answered.
fn guess(world: &mut World, phone: &mut Phone, times: usize) -> usize {
    (0..times)
        .filter(|_| {
            let first = phone.plain("REGISTER", "sip:offhook", "");
            let Some(answer) = phone.say(world, &first) else {
                return false;
            };
            phone.take(&answer);
            let second = phone.signed("REGISTER", "sip:offhook", "");
            phone.say(world, &second).is_some()
        })
        .count()
}

#[test]
fn ten_wrong_passwords_in_five_minutes_are_enough() {
    for answer in [false, true] {
        let mut world =
            registrar(Config { guard: Guard { answer, ..Guard::default() }, ..Config::default() });
        let mut guesser = Phone::new(GUESSER, "201", "guess");
        assert_eq!(guess(&mut world, &mut guesser, 9), 9);
        assert!(banned(&mut world).is_empty());
        assert_eq!(guess(&mut world, &mut guesser, 1), usize::from(answer));
        let wanted = ("203.0.113.66".to_owned(), BanReason::FailedAuth, Duration::from_secs(3_600));
        assert_eq!(banned(&mut world), [wanted]);
        // Now not even the right one helps; from elsewhere it does.
        guesser.password = "secret-1".into();
        assert_eq!(guess(&mut world, &mut guesser, 3), 0);
        let mut phone = Phone::new(PHONE, "201", "secret-1");
        assert_eq!(phone.register(&mut world, "").kind(), "200 REGISTER");
        world.run_for(Duration::from_secs(3_600));
        assert_eq!(guess(&mut world, &mut guesser, 1), 1, "a ban has an end");
        assert_eq!(world.endpoints[&addr(BOB)].stats().failed_auth, 10);
    }
}

#[test]
fn slow_guesses_and_the_right_one_begin_anew() {
    let mut world = registrar(Config::default());
    let mut guesser = Phone::new(GUESSER, "201", "guess");
    for _ in 0..5 {
        assert_eq!(guess(&mut world, &mut guesser, 9), 9);
        world.run_for(Duration::from_secs(301));
    }
    for _ in 0..5 {
        assert_eq!(guess(&mut world, &mut guesser, 9), 9);
        let mut right = Phone { password: "secret-1".into(), ..guesser.clone() };
        assert_eq!(right.register(&mut world, "").kind(), "200 REGISTER");
        guesser.cseq = right.cseq;
        guesser.branch = right.branch;
    }
    assert!(banned(&mut world).is_empty());
    // The numbers are the program's.
    let guard = Guard {
        failures: 3,
        failures_within: Duration::from_secs(10),
        ban: Duration::from_secs(60),
        ..Guard::default()
    };
    let mut world = registrar(Config { guard, ..Config::default() });
    assert_eq!(guess(&mut world, &mut guesser, 5), 2);
    assert_eq!(banned(&mut world)[0].2, Duration::from_secs(60));
}

#[test]
fn a_first_question_and_a_stale_answer_are_no_failures() {
    let mut world = registrar(Config::default());
    let mut phone = Phone::new(PHONE, "201", "secret-1");
    for _ in 0..100 {
        let request = phone.plain("REGISTER", "sip:offhook", "");
        let answer = phone.say(&mut world, &request).expect("an answer");
        phone.take(&answer);
    }
    world.run_for(Duration::from_secs(400));
    for _ in 0..100 {
        let request = phone.signed("REGISTER", "sip:offhook", "");
        assert!(phone.say(&mut world, &request).is_some());
    }
    assert!(banned(&mut world).is_empty());
    assert_eq!(world.endpoints[&addr(BOB)].stats().failed_auth, 0);
}

#[test]
fn nobody_is_banned_by_what_another_sends_in_their_name() {
    let mut world = registrar(Config::default());
    // The forger sees no answer, so it has no challenge that was given to its victim.
    let mut forger = Phone::new(GUESSER, "201", "guess");
    let request = forger.plain("REGISTER", "sip:offhook", "");
    let answer = forger.say(&mut world, &request).expect("an answer");
    forger.take(&answer);
    let mut victim = Phone { at: PHONE, ..forger };
    for _ in 0..100 {
        let request = victim.signed("REGISTER", "sip:offhook", "");
        victim.say(&mut world, &request);
    }
    assert!(banned(&mut world).is_empty());
}

#[test]
fn trusted_sources_may_mistype() {
    let guard = Guard { trusted: vec!["203.0.113.0/24".parse().expect("a network")], ..Guard::default() };
    let mut world = registrar(Config { guard, ..Config::default() });
    let mut guesser = Phone::new(GUESSER, "201", "guess");
    assert_eq!(guess(&mut world, &mut guesser, 50), 50);
    assert!(banned(&mut world).is_empty());
}

#[test]
fn the_table_of_failures_has_a_ceiling() {
    let mut world = registrar(Config::default());
    let mut guesser = Phone::new(GUESSER, "201", "guess");
    assert_eq!(guess(&mut world, &mut guesser, 9), 9);
    // So many others that the oldest is forgotten: they all have an address of their own, where our challenge arrived.
    for n in 0..4_200_u32 {
        let [_, _, a, b] = n.to_be_bytes();
        let from = format!("10.0.{a}.{b}:5060");
        let mut other = Phone { call_id: format!("c{n}"), ..Phone::new(PHONE, "201", "guess") };
        world.log.clear();
        let first = other.plain("REGISTER", "sip:offhook", "");
        world.now += Duration::from_millis(1);
        world.inject(&from, BOB, first.as_bytes());
        other.take(&world.log[0].clone());
        let second = other.signed("REGISTER", "sip:offhook", "");
        world.inject(&from, BOB, second.as_bytes());
        assert_eq!(world.log.len(), 2);
    }
    assert_eq!(guess(&mut world, &mut guesser, 9), 9, "its nine were forgotten");
    assert!(banned(&mut world).is_empty());
    assert_eq!(guess(&mut world, &mut guesser, 1), 0);
    assert_eq!(banned(&mut world).len(), 1);
}
