//! What makes a registration go out before its time: its connection breaks, our address changes, its servers move.

mod support;

use std::time::Duration;

use sip::{Advertised, Config, Endpoint, Event, Path, Register, RegistrationId, Transport};
use support::*;

const REGISTRAR: &str = "192.0.2.9:5060";
const SECOND: &str = "192.0.2.10:5060";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The next REGISTER that goes out, if one does within this time, and how long that took.
fn next(world: &mut World, within: Duration) -> Option<(Sent, Duration)> {
    let (start, until) = (world.now, world.now + within);
    while world.outside.is_empty() && world.step(until) {}
    let sent = world.outside.pop_front()?;
    assert_eq!(sent.kind(), "REGISTER");
    Some((sent, world.now - start))
}

fn contacts(sent: &Sent) -> Vec<String> {
    sent.message().headers().get_all("Contact").map(|one| one.into_owned()).collect()
}

fn cseq(sent: &Sent) -> u32 {
    let cseq = sent.header("CSeq").expect("a CSeq");
    cseq.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
}

fn grant(world: &mut World, sent: &Sent) {
    world.inject(&sent.to.to_string(), ALICE, &respond(&sent.bytes, 200, "Expires: 3600\r\n"));
}

fn registered(register: Register) -> (World, RegistrationId) {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let id = world.act(ALICE, |e, now| e.register(now, register));
    let (sent, _) = next(&mut world, seconds(1)).expect("the first");
    grant(&mut world, &sent);
    world.take(ALICE);
    (world, id)
}

fn over_tcp() -> Path {
    Path { transport: Transport::Tcp, ..path(ALICE, REGISTRAR) }
}

fn advertise(host: &str) -> Vec<Advertised> {
    vec![Advertised { transport: Transport::Udp, host: host.into(), port: Some(5070) }]
}

#[test]
fn a_broken_connection_brings_it_back_within_seconds() {
    let (mut world, _) = registered(Register { path: over_tcp(), ..register(ALICE, REGISTRAR) });
    world.run_for(seconds(600));
    world.act(ALICE, |e, now| e.handle_flow_lost(now, over_tcp()));
    assert!(matches!(world.take(ALICE)[..], [Event::FlowLost { path }] if path == over_tcp()));
    let (sent, wait) = next(&mut world, seconds(10)).expect("again");
    assert!(wait <= seconds(3), "{wait:?}");
    assert_eq!(cseq(&sent), 2);
}

#[test]
fn somebody_elses_connection_is_no_reason() {
    let (mut world, _) = registered(Register { path: over_tcp(), ..register(ALICE, REGISTRAR) });
    let other = Path { remote: addr(SECOND), ..over_tcp() };
    world.act(ALICE, |e, now| e.handle_flow_lost(now, other));
    assert!(next(&mut world, seconds(600)).is_none());
}

#[test]
fn a_connection_that_never_lasts_is_opened_ever_more_seldom() {
    let (mut world, _) = registered(Register { path: over_tcp(), ..register(ALICE, REGISTRAR) });
    let mut waits = Vec::new();
    for _ in 0..12 {
        world.act(ALICE, |e, now| e.handle_flow_lost(now, over_tcp()));
        let (sent, wait) = next(&mut world, seconds(400)).expect("again");
        grant(&mut world, &sent);
        waits.push(wait);
    }
    assert!(waits[0] <= seconds(3), "{waits:?}");
    assert!(waits[3] >= seconds(7), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= seconds(301)), "{waits:?}");
    // One that held for a while is as good as the first.
    world.run_for(seconds(700));
    world.act(ALICE, |e, now| e.handle_flow_lost(now, over_tcp()));
    assert!(next(&mut world, seconds(3)).is_some());
}

#[test]
fn a_register_that_was_out_when_the_connection_broke_backs_off_as_ever() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let register = Register { path: over_tcp(), ..register(ALICE, REGISTRAR) };
    world.act(ALICE, |e, now| e.register(now, register));
    next(&mut world, seconds(1)).expect("the first");
    world.act(ALICE, |e, now| e.handle_flow_lost(now, over_tcp()));
    let (_, wait) = next(&mut world, seconds(10)).expect("again");
    assert!(wait >= seconds(2), "{wait:?}");
}

#[test]
fn another_address_is_told_at_once_and_the_old_one_taken_back() {
    let (mut world, _) = registered(register(ALICE, REGISTRAR));
    world.act(ALICE, |e, now| e.set_advertised(now, advertise("198.51.100.7")));
    let (sent, _) = next(&mut world, seconds(1)).expect("at once");
    let new = "<sip:alice@198.51.100.7:5070>;expires=3600";
    assert_eq!(contacts(&sent), [new, "<sip:alice@192.0.2.1:5060>;expires=0"]);
    // Until somebody has heard it, it is said again.
    world.inject(REGISTRAR, ALICE, &respond(&sent.bytes, 500, ""));
    let (sent, _) = next(&mut world, seconds(10)).expect("again");
    assert_eq!(contacts(&sent).len(), 2);
    grant(&mut world, &sent);
    world.act(ALICE, |e, now| e.set_advertised(now, advertise("198.51.100.7")));
    let (sent, wait) = next(&mut world, seconds(4000)).expect("the refresh");
    assert!(wait > seconds(1000), "the same address is no news: {wait:?}");
    assert_eq!(contacts(&sent), [new]);
}

#[test]
fn an_address_that_changes_while_a_register_is_out_waits_for_its_answer() {
    let (mut world, id) = registered(register(ALICE, REGISTRAR));
    world.act(ALICE, |e, now| e.set_advertised(now, advertise("198.51.100.7")));
    let (first, _) = next(&mut world, seconds(1)).expect("at once");
    world.act(ALICE, |e, now| e.set_advertised(now, advertise("198.51.100.8")));
    assert!(next(&mut world, Duration::from_millis(100)).is_none(), "one at a time");
    grant(&mut world, &first);
    let (second, _) = next(&mut world, seconds(1)).expect("now");
    assert_eq!(
        contacts(&second),
        [
            "<sip:alice@198.51.100.8:5070>;expires=3600",
            "<sip:alice@192.0.2.1:5060>;expires=0",
            "<sip:alice@198.51.100.7:5070>;expires=0",
        ]
    );
    grant(&mut world, &second);
    world.act(ALICE, |e, now| e.unregister(now, id));
    let (farewell, _) = next(&mut world, seconds(1)).expect("a farewell");
    assert_eq!(contacts(&farewell), ["<sip:alice@198.51.100.8:5070>;expires=0"]);
    grant(&mut world, &farewell);
    world.assert_drained();
}

#[test]
fn moved_servers_are_asked_at_once_and_the_old_ones_no_more() {
    let (mut world, id) = registered(register(ALICE, REGISTRAR));
    world.act(ALICE, |e, now| e.move_registration(now, id, path(ALICE, SECOND)));
    let (sent, _) = next(&mut world, seconds(1)).expect("at once");
    assert_eq!((sent.to, cseq(&sent)), (addr(SECOND), 2));
    assert_eq!(contacts(&sent).len(), 1, "the Contact is what it was");
    // The second is dead as well: nobody waits for it.
    world.act(ALICE, |e, now| e.move_registration(now, id, path(ALICE, REGISTRAR)));
    let (sent, _) = next(&mut world, Duration::from_millis(100)).expect("at once");
    assert_eq!((sent.to, cseq(&sent)), (addr(REGISTRAR), 3));
    grant(&mut world, &sent);
    let (_, wait) = next(&mut world, seconds(4000)).expect("the refresh");
    assert!(wait > seconds(1000), "{wait:?}");
}

#[test]
fn an_outbound_proxy_stands_in_the_route() {
    let route = vec![uri("sip:edge.example.net:5080"), uri("sip:core.example.net;lr")];
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.act(ALICE, |e, now| e.register(now, Register { route, ..register(ALICE, REGISTRAR) }));
    let (sent, _) = next(&mut world, seconds(1)).expect("the first");
    let routes: Vec<_> = sent.message().headers().get_all("Route").map(|one| one.into_owned()).collect();
    assert_eq!(routes, ["<sip:edge.example.net:5080;lr>", "<sip:core.example.net;lr>"]);
    assert!(sent.bytes.starts_with(b"REGISTER sip:example.com SIP/2.0\r\n"));
}

#[test]
fn a_call_says_which_registration_it_came_by() {
    let (mut world, first) = registered(register(ALICE, REGISTRAR));
    let second = Register { contact_user: "office".into(), ..register(ALICE, REGISTRAR) };
    let elsewhere = Register { contact_user: "office".into(), ..register(ALICE, SECOND) };
    let second = world.act(ALICE, |e, now| e.register(now, second));
    let elsewhere = world.act(ALICE, |e, now| e.register(now, elsewhere));
    world.add(REGISTRAR, Config::default());
    world.add(SECOND, Config::default());
    for (user, from, expected) in [
        ("alice", REGISTRAR, Some(first)),
        ("alice", SECOND, Some(first)),
        ("office", REGISTRAR, Some(second)),
        ("office", SECOND, Some(elsewhere)),
        ("nobody", REGISTRAR, None),
    ] {
        let to = uri(&format!("sip:{user}@{ALICE}"));
        world.act(from, |e: &mut Endpoint, now| e.invite(now, sip::Invite { to, ..invite(from, ALICE) }));
        world.settle();
        let (leg, call) = world.incoming(ALICE);
        assert_eq!(call.registration, expected, "{user} from {from}");
        world.act(ALICE, |e, now| e.reject(now, leg, 486));
        world.settle();
    }
}
