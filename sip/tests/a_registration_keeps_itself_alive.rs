//! REGISTER against a scripted registrar: challenges of every kind, refresh, refusals, back-off, farewell.

mod support;

use std::time::Duration;

use md5::{Digest, Md5};
use sha2::Sha256;
use sip::{Config, RegistrationId, RegistrationState, Stats};
use support::*;

const REGISTRAR: &str = "192.0.2.9:5060";

fn world() -> (World, RegistrationId) {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    let id = world.act(ALICE, |e, now| e.register(now, register(ALICE, REGISTRAR)));
    (world, id)
}

/// The next REGISTER that reaches the registrar, within the next ten minutes.
fn caught(world: &mut World) -> Vec<u8> {
    let until = world.now + Duration::from_secs(600);
    while world.outside.is_empty() && world.step(until) {}
    let sent = world.outside.pop_front().unwrap_or_else(|| panic!("no REGISTER: {:?}", world.kinds()));
    assert_eq!(sent.kind(), "REGISTER");
    sent.bytes
}

fn header(bytes: &[u8], name: &str) -> String {
    match sip::message::parse(bytes).expect("a message") {
        sip::message::Message::Request(request) => request.headers.get(name).unwrap_or_default().into_owned(),
        sip::message::Message::Response(_) => panic!("a response"),
    }
}

fn answer(world: &mut World, request: &[u8], status: u16, extra: &str) -> Vec<RegistrationState> {
    let response = respond(request, status, extra);
    world.inject(REGISTRAR, ALICE, &response);
    states(&world.take(ALICE))
}

fn ok(request: &[u8], seconds: u32) -> String {
    let contact = header(request, "Contact");
    let uri = contact.split('>').next().unwrap_or_default();
    format!("Contact: {uri}>;expires={seconds}\r\n")
}

fn stats(world: &World) -> Stats {
    world.endpoints[&addr(ALICE)].stats()
}

/// What the registrar itself would compute, written independently of the crate.
fn is_right(request: &[u8], sha: bool, sess: bool) -> bool {
    let value = header(request, "Authorization");
    let field = |name: &str| {
        value
            .split([',', ' '])
            .filter_map(|part| part.trim().split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    let hash = |text: String| {
        if sha {
            Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>()
        } else {
            Md5::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>()
        }
    };
    let mut a1 = hash(format!("alice:{}:secret", field("realm")));
    if sess {
        a1 = hash(format!("{a1}:{}:{}", field("nonce"), field("cnonce")));
    }
    let a2 = hash(format!("REGISTER:{}", field("uri")));
    let wanted =
        hash(format!("{a1}:{}:{}:{}:{}:{a2}", field("nonce"), field("nc"), field("cnonce"), field("qop")));
    field("response") == wanted && field("username") == "alice"
}

#[test]
fn it_registers_and_refreshes_before_the_time_is_over() {
    let (mut world, _) = world();
    let first = caught(&mut world);
    assert_eq!(header(&first, "Expires"), "3600");
    assert_eq!(header(&first, "To"), "<sip:alice@example.com>");
    assert!(first.starts_with(b"REGISTER sip:example.com SIP/2.0\r\n"));
    assert!(
        header(&first, "Contact").starts_with("<sip:alice@192.0.2.1:5060>"),
        "{}",
        header(&first, "Contact")
    );
    let states = answer(&mut world, &first, 200, &ok(&first, 60));
    assert_eq!(states, [RegistrationState::Registered { expires: Duration::from_secs(60) }]);

    for round in 2..50 {
        let before = world.now;
        let again = caught(&mut world);
        let waited = world.now - before;
        assert!(waited > Duration::from_secs(26) && waited < Duration::from_secs(31), "{waited:?}");
        assert_eq!(header(&again, "Call-ID"), header(&first, "Call-ID"));
        assert_eq!(header(&again, "CSeq"), format!("{round} REGISTER"));
        answer(&mut world, &again, 200, &ok(&again, 60));
    }
    assert_eq!(stats(&world).registrations, 1);
}

#[test]
fn a_long_time_is_refreshed_shortly_before_its_end() {
    let (mut world, _) = world();
    let first = caught(&mut world);
    answer(&mut world, &first, 200, &ok(&first, 3600));
    world.run_for(Duration::from_secs(3100));
    assert!(world.outside.is_empty(), "too early");
    world.run_for(Duration::from_secs(411));
    assert!(!world.outside.is_empty(), "too late");
}

#[test]
fn every_kind_of_challenge_is_answered() {
    for (algorithm, sha, sess) in [
        ("", false, false),
        (", algorithm=MD5", false, false),
        (", algorithm=MD5-sess", false, true),
        (", algorithm=SHA-256", true, false),
        (", algorithm=SHA-256-sess", true, true),
    ] {
        for qop in ["auth", "\"auth,auth-int\"", "\"auth-int, auth\""] {
            let (mut world, _) = world();
            let first = caught(&mut world);
            assert_eq!(header(&first, "Authorization"), "");
            let line = format!(
                "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"abc/=\"{algorithm}, qop={qop}\r\n"
            );
            answer(&mut world, &first, 401, &line);
            let second = caught(&mut world);
            assert!(is_right(&second, sha, sess), "{line} -> {}", header(&second, "Authorization"));
            assert_eq!(header(&second, "CSeq"), "2 REGISTER");
            assert_eq!(answer(&mut world, &second, 200, &ok(&second, 60)).len(), 1);
            // The refresh carries its credentials at once.
            let third = caught(&mut world);
            assert!(is_right(&third, sha, sess));
            assert!(header(&third, "Authorization").contains("nc=00000002"));
            // The nonce has grown old meanwhile.
            let stale = format!(
                "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"def\"{algorithm}, qop={qop}, stale=true\r\n"
            );
            answer(&mut world, &third, 401, &stale);
            let fourth = caught(&mut world);
            assert!(is_right(&fourth, sha, sess));
            assert!(header(&fourth, "Authorization").contains("nc=00000001"));
            assert_eq!(answer(&mut world, &fourth, 200, &ok(&fourth, 60)).len(), 1);
        }
    }
}

#[test]
fn two_servers_on_the_way_each_get_their_answer() {
    let (mut world, _) = world();
    let first = caught(&mut world);
    answer(&mut world, &first, 407, "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"1\", qop=auth\r\n");
    let second = caught(&mut world);
    assert!(header(&second, "Proxy-Authorization").contains("realm=\"proxy\""));
    answer(&mut world, &second, 401, "WWW-Authenticate: Digest realm=\"home\", nonce=\"2\", qop=auth\r\n");
    let third = caught(&mut world);
    assert!(header(&third, "Proxy-Authorization").contains("nc=00000002"));
    assert!(header(&third, "Authorization").contains("realm=\"home\""));
    assert_eq!(answer(&mut world, &third, 200, &ok(&third, 60)).len(), 1);
}

#[test]
fn a_wrong_password_and_a_403_stop_it() {
    let challenge = |n: u32| format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{n}\", qop=auth\r\n");
    let (mut world, id) = world();
    let first = caught(&mut world);
    answer(&mut world, &first, 401, &challenge(1));
    let second = caught(&mut world);
    let states = answer(&mut world, &second, 401, &challenge(2));
    assert_eq!(states, [RegistrationState::Rejected { status: 401 }]);
    world.run_for(Duration::from_secs(3 * 3600));
    assert!(world.outside.is_empty(), "it kept trying");
    world.act(ALICE, |e, now| e.unregister(now, id));
    assert_eq!(support::states(&world.take(ALICE)), [RegistrationState::Unregistered]);
    assert_eq!(stats(&world).registrations, 0);

    let (mut world, _) = self::world();
    let first = caught(&mut world);
    assert_eq!(answer(&mut world, &first, 403, ""), [RegistrationState::Rejected { status: 403 }]);
    world.run_for(Duration::from_secs(3 * 3600));
    assert!(world.outside.is_empty(), "it kept trying");
}

#[test]
fn a_423_is_obeyed() {
    let (mut world, _) = world();
    let first = caught(&mut world);
    assert!(answer(&mut world, &first, 423, "Min-Expires: 7200\r\n").is_empty());
    let second = caught(&mut world);
    assert_eq!(header(&second, "Expires"), "7200");
    assert_eq!(answer(&mut world, &second, 200, &ok(&second, 7200)).len(), 1);

    // One without a usable time is a failure like any other.
    let (mut world, _) = self::world();
    let first = caught(&mut world);
    assert!(matches!(
        answer(&mut world, &first, 423, "")[..],
        [RegistrationState::Failed { status: 423, .. }]
    ));
}

#[test]
fn failures_back_off_with_jitter_and_recover() {
    let (mut world, _) = world();
    let mut waits = Vec::new();
    for _ in 0..12 {
        let request = caught(&mut world);
        match answer(&mut world, &request, 500, "")[..] {
            [RegistrationState::Failed { status: 500, retry_in }] => {
                waits.push(retry_in);
            }
            ref other => panic!("{other:?}"),
        }
    }
    for (n, wait) in waits.iter().enumerate() {
        let longest = Duration::from_secs((4 << n).min(300));
        assert!(*wait >= longest / 2 && *wait <= longest, "wait {n} is {wait:?}");
    }
    let request = caught(&mut world);
    assert!(matches!(
        answer(&mut world, &request, 200, &ok(&request, 60))[..],
        [RegistrationState::Registered { .. }]
    ));
    // After success the back-off starts from the beginning, and Retry-After is the least.
    let request = caught(&mut world);
    match answer(&mut world, &request, 503, "Retry-After: 120 (maintenance)\r\n")[..] {
        [RegistrationState::Failed { status: 503, retry_in }] => {
            assert_eq!(retry_in, Duration::from_secs(120))
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_dead_registrar_is_tried_again() {
    let (mut world, _) = world();
    world.run_for(Duration::from_secs(33));
    assert!(matches!(states(&world.take(ALICE))[..], [RegistrationState::Failed { status: 408, .. }]));
    // Timer E: 0.5, 1, 2, 4, 4 … s.
    assert_eq!(world.count("REGISTER"), 11);
    world.run_for(Duration::from_secs(5));
    assert!(world.count("REGISTER") > 11);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let (mut world, _) = world();
    caught(&mut world);
    let copy = caught(&mut world);
    assert_eq!(header(&copy, "CSeq"), "1 REGISTER");
    assert_eq!(answer(&mut world, &copy, 200, &ok(&copy, 60)).len(), 1);
    // The late first answer changes nothing.
    assert!(answer(&mut world, &copy, 200, &ok(&copy, 60)).is_empty());
}

#[test]
fn it_takes_its_binding_back() {
    let (mut world, id) = world();
    let first = caught(&mut world);
    answer(&mut world, &first, 200, &ok(&first, 60));
    world.act(ALICE, |e, now| e.unregister(now, id));
    let last = caught(&mut world);
    assert_eq!(header(&last, "Expires"), "0");
    assert!(header(&last, "Contact").ends_with(";expires=0"));
    // Even a farewell may be challenged.
    answer(&mut world, &last, 401, "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", qop=auth\r\n");
    let last = caught(&mut world);
    assert_eq!(header(&last, "Expires"), "0");
    assert_eq!(answer(&mut world, &last, 200, ""), [RegistrationState::Unregistered]);
    world.run_for(Duration::from_secs(100));
    assert_eq!((stats(&world).registrations, stats(&world).transactions), (0, 0));
    assert_eq!(world.endpoints[&addr(ALICE)].poll_timeout(), None);
}

#[test]
fn a_farewell_waits_for_the_register_that_is_out() {
    let (mut world, id) = world();
    let first = caught(&mut world);
    world.act(ALICE, |e, now| e.unregister(now, id));
    assert!(world.outside.is_empty(), "one REGISTER at a time");
    assert!(answer(&mut world, &first, 200, &ok(&first, 60)).is_empty());
    let last = caught(&mut world);
    assert_eq!(header(&last, "Expires"), "0");
    // Nobody answers any more: gone all the same.
    world.run_for(Duration::from_secs(40));
    assert_eq!(states(&world.take(ALICE)), [RegistrationState::Unregistered]);
    assert_eq!(stats(&world).registrations, 0);
}

#[test]
fn the_time_granted_stands_in_contact_or_expires() {
    let cases = [
        ("Contact: <sip:alice@192.0.2.1:5060>;expires=120\r\nExpires: 9\r\n", 120),
        ("Contact: <sip:other@192.0.2.77>;expires=7, <sip:alice@192.0.2.1>;expires=130\r\n", 130),
        ("Contact: <sip:alice@198.51.100.7:40000>;expires=140\r\n", 140),
        ("Contact: <sip:alice@192.0.2.1:5060>\r\nExpires: 150\r\n", 150),
        ("Expires: 160\r\n", 160),
        ("", 3600),
        ("Contact: <sip:alice@192.0.2.1:5060>;expires=99999999999999\r\n", 3600),
    ];
    for (extra, seconds) in cases {
        let (mut world, _) = world();
        let first = caught(&mut world);
        let states = answer(&mut world, &first, 200, extra);
        assert_eq!(
            states,
            [RegistrationState::Registered { expires: Duration::from_secs(seconds) }],
            "{extra}"
        );
    }
}

#[test]
fn the_registrar_names_the_way_for_calls() {
    let mut world = World::new();
    world.add(ALICE, Config::default());
    world.act(ALICE, |e, now| e.register(now, register(ALICE, BOB)));
    assert!(world.log[0].message().headers().has_option("Supported", "path"));
    let mut routes = Vec::new();
    for (n, extra) in [
        "Service-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n",
        "Service-Route: <sip:p1.example;lr>\r\nService-Route: <sip:p2.example;lr>\r\n",
        "",
        "Service-Route: <broken\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let request = world.last("REGISTER").bytes.clone();
        world.inject(BOB, ALICE, &respond(&request, 200, &format!("Expires: 60\r\n{extra}")));
        for event in world.take(ALICE) {
            match event {
                sip::Event::ServiceRoute { route, .. } => {
                    routes.push((n, route.iter().map(ToString::to_string).collect::<Vec<_>>()));
                }
                sip::Event::Registration { state, .. } => {
                    assert!(matches!(state, RegistrationState::Registered { .. }), "{state:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        // The next refresh.
        world.run_for(Duration::from_millis(30_100));
    }
    let both = vec!["sip:p1.example;lr".to_owned(), "sip:p2.example;lr".to_owned()];
    assert_eq!(routes, [(0, both), (2, Vec::new())], "told when it changes");
}
