//! 3xx to an INVITE: followed by preference, never twice to the same place, never too far, and with losses.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use sip::message::{Message, parse};
use sip::{CauseKind, Config, Credentials, EndedBy, Event, Invite, LegId, Path, Transport, Uri};
use support::*;

/// Where the first INVITE goes: a script.
const SERVER: &str = "192.0.2.9:5060";
const CAROL: &str = "192.0.2.3:5060";

fn call(redirects: u8) -> Invite {
    Invite { to: uri(&format!("sip:bob@{SERVER}")), redirects, ..invite(ALICE, SERVER) }
}

fn world(invite: Invite) -> (World, LegId) {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let leg = world.act(ALICE, |e, now| e.invite(now, invite));
    (world, leg)
}

/// The next INVITE that reaches a place where no endpoint lives.
fn caught(world: &mut World) -> Sent {
    let until = world.now + Duration::from_secs(40);
    loop {
        while world.outside.is_empty() && world.step(until) {}
        let sent = world.outside.pop_front().unwrap_or_else(|| panic!("no INVITE: {:?}", world.kinds()));
        if sent.kind() == "INVITE" {
            return sent;
        }
    }
}

fn answer(world: &mut World, sent: &Sent, status: u16, extra: &str) {
    world.inject(&sent.to.to_string(), ALICE, &respond(&sent.bytes, status, extra));
}

fn redirected(events: &[Event]) -> Vec<String> {
    let to = |event: &Event| match event {
        Event::Redirected { to, .. } => Some(to.to_string()),
        _ => None,
    };
    events.iter().filter_map(to).collect()
}

fn target(sent: &Sent) -> String {
    match parse(&sent.bytes).expect("our own messages parse") {
        Message::Request(request) => request.uri.to_string(),
        Message::Response(_) => panic!("a response"),
    }
}

/// The path of a URI whose host is an address, as a resolver would find it.
fn way(to: &Uri) -> Option<Path> {
    let remote = SocketAddr::new(to.host()?.ip()?, to.port().unwrap_or(5060));
    Some(Path { transport: Transport::Udp, local: addr(ALICE), remote })
}

#[test]
fn the_call_goes_where_it_is_sent() {
    let (mut world, leg) = world(call(3));
    world.add(BOB, Config::default());
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
    assert_eq!(redirected(&world.take(ALICE)), [format!("sip:bob@{BOB}")]);
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    world.settle();
    let second = world.last("INVITE").clone();
    for same in ["Call-ID", "From", "To", "Content-Type", "Allow", "Contact"] {
        assert_eq!(first.header(same), second.header(same), "{same}");
    }
    assert_ne!(first.header("Via"), second.header("Via"));
    assert_eq!(second.header("CSeq").as_deref(), Some("2 INVITE"));
    let body = |sent: &Sent| {
        sent.bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| sent.bytes[at..].to_vec())
    };
    assert_eq!(body(&first), body(&second));
    assert_eq!(world.count("ACK"), 1, "the 3xx is acknowledged");
    let (bob, _) = world.incoming(BOB);
    world.act(BOB, |e, now| e.answer(now, bob, reply()));
    world.settle();
    assert!(world.take(ALICE).iter().any(|event| matches!(event, Event::Answered { .. })));
    world.act(ALICE, |e, now| e.hangup(now, leg, None));
    world.settle();
    assert_eq!(world.count("200 BYE"), 1);
    world.assert_drained();
}

#[test]
fn preference_decides_and_what_cannot_be_called_is_left_out() {
    let (mut world, leg) = world(call(3));
    let first = caught(&mut world);
    let contacts = format!(
        "Contact: <sip:c@{CAROL}>;q=0.1, <mailto:bob@example.net>;q=1.0, not-an-address\r\n\
         Contact: \"B\" <sip:b@{BOB};method=BYE?Subject=x>;q=0.7, <sip:bob@{SERVER};x=y>;q=0.9\r\n"
    );
    answer(&mut world, &first, 300, &contacts);
    assert_eq!(
        redirected(&world.take(ALICE)),
        [format!("sip:b@{BOB}")],
        "no headers, and not the first again"
    );
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    // It is busy there: the next one.
    let second = caught(&mut world);
    assert_eq!((second.to, target(&second)), (addr(BOB), format!("sip:b@{BOB}")));
    answer(&mut world, &second, 486, "");
    assert_eq!(redirected(&world.take(ALICE)), [format!("sip:c@{CAROL}")]);
    // There is no way there: the end.
    world.act(ALICE, |e, now| e.redirect(now, leg, None));
    let causes = ended(&world.take(ALICE));
    assert_eq!((causes[0].by, causes[0].kind), (EndedBy::Network, CauseKind::TransportError));
    world.assert_drained();
}

#[test]
fn a_circle_is_walked_once() {
    let (mut world, leg) = world(call(200));
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    let second = caught(&mut world);
    answer(&mut world, &second, 302, &format!("Contact: <sip:bob@{SERVER}>, <sip:bob@{BOB}:5060>\r\n"));
    let events = world.take(ALICE);
    assert_eq!(redirected(&events).len(), 1);
    let causes = ended(&events);
    assert_eq!((causes[0].kind, causes[0].status), (CauseKind::Rejected, Some(302)));
    world.assert_drained();
}

#[test]
fn only_so_many_places_are_called() {
    for most in 0..4_u8 {
        let (mut world, leg) = world(call(most));
        for step in 0..=most {
            let sent = caught(&mut world);
            answer(
                &mut world,
                &sent,
                302,
                &format!("Contact: <sip:bob{step}@{BOB}>, <sip:x{step}@{BOB}>\r\n"),
            );
            world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
        }
        assert_eq!(world.count("INVITE"), usize::from(most) + 1);
        assert_eq!(ended(&world.take(ALICE))[0].status, Some(302));
        world.assert_drained();
    }
}

#[test]
fn other_3xx_and_a_decline_by_all_end_the_call() {
    for status in [305, 380] {
        let (mut world, _) = world(call(3));
        let first = caught(&mut world);
        answer(&mut world, &first, status, &format!("Contact: <sip:bob@{BOB}>\r\n"));
        assert_eq!(ended(&world.take(ALICE))[0].status, Some(status));
        world.assert_drained();
    }
    let (mut world, leg) = world(call(3));
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:b@{BOB}>, <sip:c@{CAROL}>\r\n"));
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    let second = caught(&mut world);
    answer(&mut world, &second, 603, "");
    assert_eq!(ended(&world.take(ALICE))[0].status, Some(603));
    world.assert_drained();
}

#[test]
fn who_was_called_securely_is_not_called_in_the_open() {
    let (mut world, _) = world(Invite { to: uri("sips:bob@example.net"), ..call(3) });
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:b@{BOB}>, <sips:b@example.org>;q=0.2\r\n"));
    assert_eq!(redirected(&world.take(ALICE)), ["sips:b@example.org"]);
}

#[test]
fn behind_a_proxy_the_way_is_known() {
    for contact in ["<sip:bob@elsewhere.example>", "<tel:+14155550123>"] {
        let (mut world, _) = world(Invite { route: vec![uri("sip:edge.example.net;lr")], ..call(3) });
        let first = caught(&mut world);
        answer(&mut world, &first, 302, &format!("Contact: {contact}\r\n"));
        assert!(redirected(&world.take(ALICE)).is_empty());
        let second = caught(&mut world);
        assert_eq!((second.to, format!("<{}>", target(&second)).as_str()), (addr(SERVER), contact));
        assert_eq!(second.header("Route").as_deref(), Some("<sip:edge.example.net;lr>"));
    }
}

#[test]
fn each_server_asks_for_credentials_itself() {
    let who = Credentials { username: "alice".into(), password: "secret".into() };
    let (mut world, leg) = world(Invite { credentials: Some(who), ..call(3) });
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    let first = caught(&mut world);
    answer(&mut world, &first, 401, challenge);
    let second = caught(&mut world);
    assert!(second.header("Authorization").is_some());
    answer(&mut world, &second, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    let third = caught(&mut world);
    assert_eq!(third.header("Authorization"), None, "not shown to who has not asked");
    answer(&mut world, &third, 401, challenge);
    let fourth = caught(&mut world);
    assert!(fourth.header("Authorization").is_some());
    assert_eq!(fourth.header("CSeq").as_deref(), Some("4 INVITE"));
}

#[test]
fn whoever_hangs_up_on_the_way_calls_nobody() {
    let (mut world, leg) = world(call(3));
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
    world.act(ALICE, |e, now| e.hangup(now, leg, None));
    world.act(ALICE, |e, now| e.redirect(now, leg, Some(path(ALICE, BOB))));
    let causes = ended(&world.take(ALICE));
    assert_eq!((causes.len(), causes[0].kind), (1, CauseKind::Cancel));
    assert_eq!(world.count("INVITE"), 1);
    world.assert_drained();
}

#[test]
fn a_resolver_that_never_answers_meets_the_ring_timeout() {
    let (mut world, _) = world(call(3));
    let first = caught(&mut world);
    answer(&mut world, &first, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
    world.run_for(Duration::from_secs(200));
    assert_eq!(ended(&world.take(ALICE))[0].kind, CauseKind::Timeout);
    world.assert_drained();
}

/// Everything that Alice and Bob send may be lost, doubled or late, and each answer of the server as well.
#[test]
fn every_lost_packet_is_survived() {
    for fate in [Fate::Drop, Fate::Duplicate, Fate::Late] {
        for victim in 1..=14 {
            for deaf in [None, Some(1), Some(2)] {
                let mut world = World::with_fate(move |n| if n == victim { fate } else { Fate::Deliver });
                world.add(ALICE, Config::default());
                world.add(BOB, Config::default());
                let leg = world.act(ALICE, |e, now| e.invite(now, call(2)));
                let what = format!("{fate:?} packet {victim}, the server deaf to {deaf:?}");
                let (mut asked, mut answered) = (0, false);
                let until = world.now + Duration::from_secs(100);
                while world.step(until) {
                    while let Some(sent) = world.outside.pop_front() {
                        asked += 1;
                        if sent.kind() == "INVITE" && deaf != Some(asked) {
                            answer(&mut world, &sent, 302, &format!("Contact: <sip:bob@{BOB}>\r\n"));
                        }
                    }
                    for event in world.take(ALICE) {
                        match event {
                            Event::Redirected { leg, to } => {
                                world.act(ALICE, |e, now| e.redirect(now, leg, way(&to)))
                            }
                            Event::Answered { .. } => answered = true,
                            _ => {}
                        }
                    }
                    for event in world.take(BOB) {
                        if let Event::Incoming { leg, .. } = event {
                            world.act(BOB, |e, now| e.answer(now, leg, reply()));
                        }
                    }
                }
                assert!(answered, "{what}: {:?}", world.kinds());
                world.act(ALICE, |e, now| e.hangup(now, leg, None));
                world.assert_drained();
            }
        }
    }
}
