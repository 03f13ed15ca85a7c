//! The source list: who is not on it is not there for us, and we not for them.

mod support;

use sip::{Config, Event, Network, Sources};
use support::*;

const OPTIONS: &str = "OPTIONS sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-x\r\nFrom: <sip:h@h>;tag=h\r\n\
    To: <sip:b@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n";

fn networks(all: &[&str]) -> Sources {
    Sources::Only(all.iter().map(|one| one.parse().expect("a network")).collect())
}

#[test]
fn networks_are_read_and_compared_by_their_prefix() {
    let within = |network: &str, ip: &str| {
        network.parse::<Network>().expect("a network").contains(ip.parse().expect("an address"))
    };
    assert!(within("192.0.2.0/24", "192.0.2.255") && !within("192.0.2.0/24", "192.0.3.0"));
    assert!(within("192.0.2.7", "192.0.2.7") && !within("192.0.2.7", "192.0.2.6"));
    assert!(within("0.0.0.0/0", "203.0.113.1") && !within("0.0.0.0/0", "::1"));
    assert!(within("192.0.2.128/25", "::ffff:192.0.2.200"));
    assert!(within("2001:db8::/32", "2001:db8:ffff::1") && !within("2001:db8::/32", "2001:db9::1"));
    assert!(within("::/0", "::1"));
    assert!(within("10.0.0.5/8", "10.9.9.9"), "host bits in the network are passed over");
    for bad in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/x", "::/129", "192.0.2", "a/8", "192.0.2.0/-1"] {
        assert!(bad.parse::<Network>().is_err(), "{bad}");
    }
    assert_eq!("192.0.2.7".parse::<Network>().expect("a network").to_string(), "192.0.2.7/32");
}

#[test]
fn a_stranger_hears_nothing_and_leaves_nothing() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.act(BOB, |e, _| e.set_sources(networks(&["192.0.2.1", "2001:db8::/32"])));
    for (from, answers) in [("198.51.100.1:5060", 0), (ALICE, 1), ("192.0.2.10:5060", 0)] {
        world.log.clear();
        world.inject(from, BOB, OPTIONS.as_bytes());
        world.inject(from, BOB, b"no sip at all");
        assert_eq!(world.log.len(), answers, "{from}");
    }
    let stats = world.endpoints[&addr(BOB)].stats();
    assert_eq!((stats.strangers, stats.malformed, stats.legs, stats.transactions), (4, 1, 0, 0));
    // The list may change while it runs.
    world.act(BOB, |e, _| e.set_sources(Sources::Any));
    world.inject("198.51.100.1:5060", BOB, OPTIONS.as_bytes());
    assert_eq!(world.count("200 OPTIONS"), 1);
}

#[test]
fn an_answer_to_our_own_call_is_let_in_from_anywhere() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.act(ALICE, |e, _| e.set_sources(networks(&["203.0.113.1"])));
    world.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 486, ""));
    assert!(matches!(world.take(ALICE)[..], [Event::Ended { .. }]));
}
