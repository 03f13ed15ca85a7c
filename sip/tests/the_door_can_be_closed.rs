//! Bans with an end, scanners by their name, rates per source and in all; and what always passes.

mod support;

use std::time::Duration;

use sip::{BanReason, Config, Event, Guard, Rate};
use support::*;

fn world(guard: Guard) -> World {
    let mut world = World::new();
    world.add(BOB, Config { guard, ..Config::default() });
    world
}

fn options(n: usize, agent: &str) -> String {
    format!(
        "OPTIONS sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{n}\r\nFrom: <sip:h@h>;tag=h\r\nTo: <sip:b@b>\r\n\
         Call-ID: {n}\r\nCSeq: 1 OPTIONS\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// How many of so many requests from there are answered 200.
fn ask(world: &mut World, from: &str, times: usize) -> usize {
    let before = world.count("200 OPTIONS");
    for _ in 0..times {
        let n = world.endpoints[&addr(BOB)].stats().received as usize;
        world.inject(from, BOB, options(n, "phone").as_bytes());
    }
    world.count("200 OPTIONS") - before
}

fn banned(world: &mut World) -> Vec<(String, BanReason)> {
    let all = world.take(BOB).into_iter();
    all.filter_map(|event| match event {
        Event::Banned { ip, reason, .. } => Some((ip.to_string(), reason)),
        _ => None,
    })
    .collect()
}

#[test]
fn a_scanner_is_known_by_its_name() {
    for answer in [false, true] {
        let guard = Guard {
            scanners: vec!["friendly-scanner".into(), "sipvicious".into()],
            answer,
            ..Guard::default()
        };
        let mut world = world(guard);
        world.inject("203.0.113.9:5060", BOB, options(1, "Friendly-Scanner/1.8").as_bytes());
        assert_eq!(banned(&mut world), [("203.0.113.9".to_owned(), BanReason::Scanner)]);
        let kinds = if answer { vec!["403 OPTIONS"] } else { Vec::new() };
        assert_eq!(world.kinds(), kinds);
        // Then also by any other name, and now without a word. Others are not touched.
        assert_eq!(ask(&mut world, "203.0.113.9:40000", 5), 0);
        assert_eq!(world.kinds(), kinds);
        assert_eq!(ask(&mut world, "203.0.113.10:5060", 5), 5);
        assert_eq!(world.endpoints[&addr(BOB)].stats().refused_by_guard, 6);
        world.run_for(Duration::from_secs(3_600));
        assert_eq!(ask(&mut world, "203.0.113.9:5060", 5), 5, "a ban has an end");
    }
}

#[test]
fn each_source_has_its_rate() {
    let per_source = Some(Rate { per_second: 2, burst: 10 });
    let mut world = world(Guard { per_source, strikes: 15, ..Guard::default() });
    assert_eq!(ask(&mut world, "203.0.113.1:5060", 20), 10);
    assert_eq!(ask(&mut world, "203.0.113.2:5060", 10), 10, "another is another");
    world.run_for(Duration::from_secs(3));
    assert_eq!(ask(&mut world, "203.0.113.1:5060", 8), 6);
    world.run_for(Duration::from_millis(1_400));
    assert_eq!(ask(&mut world, "203.0.113.1:5060", 2), 2);
    assert!(banned(&mut world).is_empty());
    // Who never stops is banned: ten and two strikes so far, the fifteenth is one too many.
    ask(&mut world, "203.0.113.1:5060", 10);
    assert_eq!(banned(&mut world), [("203.0.113.1".to_owned(), BanReason::Rate)]);
    world.run_for(Duration::from_secs(60));
    assert_eq!(ask(&mut world, "203.0.113.1:5060", 1), 0);
}

#[test]
fn a_whole_64_of_ipv6_is_one_source() {
    let mut endpoint = sip::Endpoint::new(
        Config {
            guard: Guard { per_source: Some(Rate { per_second: 1, burst: 3 }), ..Guard::default() },
            ..Config::default()
        },
        [1; 32],
    );
    let now = World::new().now;
    for n in 0..6_u16 {
        let path = sip::Path {
            transport: sip::Transport::Udp,
            local: addr("[2001:db8::1]:5060"),
            remote: format!("[2001:db8:0:7::{n:x}]:5060").parse().expect("an address"),
        };
        endpoint.handle_message(now, path, options(usize::from(n), "phone").as_bytes());
    }
    assert_eq!(std::iter::from_fn(|| endpoint.poll_transmit()).count(), 3);
}

#[test]
fn all_together_have_one_and_trunks_have_none() {
    let guard = Guard {
        trusted: vec!["198.51.100.0/24".parse().expect("a network")],
        total: Some(Rate { per_second: 1, burst: 5 }),
        per_source: Some(Rate { per_second: 1, burst: 3 }),
        scanners: vec!["phone".into()],
        ..Guard::default()
    };
    let mut world = world(Guard { scanners: Vec::new(), ..guard.clone() });
    let answered: usize = (1..=9).map(|n| ask(&mut world, &format!("203.0.113.{n}:5060"), 1)).sum();
    assert_eq!(answered, 5);
    assert_eq!(ask(&mut world, "198.51.100.7:5060", 500), 500);
    // Not even by their name.
    let mut world = self::world(guard);
    assert_eq!(ask(&mut world, "198.51.100.7:5060", 5), 5);
}

#[test]
fn a_flood_of_forged_sources_takes_no_memory_and_nobodys_allowance() {
    let per_source = Some(Rate { per_second: 1, burst: 3 });
    let mut world = world(Guard { per_source, ..Guard::default() });
    assert_eq!(ask(&mut world, "192.0.2.77:5060", 1), 1);
    for n in 0..10_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        world.inject(&format!("10.{a}.{b}.{c}:5060"), BOB, options(n as usize + 100, "phone").as_bytes());
    }
    // Who was known, those who found room, and three of all the rest.
    assert_eq!(world.log.len(), 1 + 4_095 + 3);
    world.log.clear();
    assert_eq!(ask(&mut world, "192.0.2.77:5060", 3), 2, "who was known has what was left");
    // When all have their allowance back, there is room again.
    world.run_for(Duration::from_secs(5));
    assert_eq!(ask(&mut world, "10.200.0.1:5060", 4), 3);
}

#[test]
fn the_program_bans_and_unbans() {
    let mut world = world(Guard::default());
    let ip = "203.0.113.9".parse().expect("an address");
    world.act(BOB, |e, now| e.ban(now, ip, Duration::from_secs(60)));
    assert_eq!(banned(&mut world), [("203.0.113.9".to_owned(), BanReason::Told)]);
    assert_eq!(ask(&mut world, "203.0.113.9:5060", 3), 0);
    world.run_for(Duration::from_secs(20));
    let bans = world.act(BOB, |e, now| e.bans(now).collect::<Vec<_>>());
    assert_eq!(bans, [(ip, Duration::from_secs(40))]);
    world.act(BOB, |e, _| e.unban(ip));
    assert_eq!(ask(&mut world, "203.0.113.9:5060", 3), 3);
    // A program that bans the whole world keeps to the ceiling; the ban that ends first makes room.
    for n in 0..5_000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + n).into();
        world.act(BOB, |e, now| e.ban(now, ip, Duration::from_secs(60 + u64::from(n))));
    }
    assert_eq!(world.act(BOB, |e, now| e.bans(now).count()), 4_096);
    assert_eq!(ask(&mut world, "10.0.0.0:5060", 1), 1);
    assert_eq!(ask(&mut world, "10.0.19.135:5060", 1), 0);
}

#[test]
fn what_belongs_to_a_call_is_not_counted() {
    let per_source = Some(Rate { per_second: 1, burst: 1 });
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.add(BOB, Config { guard: Guard { per_source, ..Guard::default() }, ..Config::default() });
    let (alice, bob) = world.call();
    for _ in 0..20 {
        world.act(ALICE, |e, now| e.send_dtmf(now, alice, '1', Duration::from_millis(100)));
    }
    // Each is sent when the one before it was answered.
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count("200 INFO"), 20);
    // A banned peer cannot even end its call; but we can, and its answer is heard.
    world.act(BOB, |e, now| e.ban(now, addr(ALICE).ip(), Duration::from_secs(600)));
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.assert_drained();
}
