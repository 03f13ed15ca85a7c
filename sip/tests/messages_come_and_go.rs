//! RFC 3428: MESSAGE out with its result, MESSAGE in with the program's word on it, and what is refused before.

mod support;

use std::time::Duration;

use sip::{
    Admission, Body, Config, Credentials, Endpoint, Event, IncomingMessage, MessageReply, NameAddr, Path,
    RequestId, SendMessage, Transport,
};
use support::*;

fn text(bytes: &str) -> Body {
    Body { content_type: "text/plain;charset=UTF-8".into(), bytes: bytes.as_bytes().to_vec() }
}

fn page(body: Body) -> SendMessage {
    SendMessage {
        to: uri("sip:bob@192.0.2.2"),
        from: NameAddr::from(uri("sip:alice@192.0.2.1")),
        credentials: None,
        path: path(ALICE, BOB),
        route: Vec::new(),
        headers: vec![("Subject".into(), "hello".into()), ("CSeq".into(), "9 BYE".into())],
        call_id: None,
        body,
    }
}

fn taking() -> Config {
    Config { message_types: vec!["text/plain".into()], ..Config::default() }
}

fn world() -> World {
    let mut world = World::new();
    world.add(ALICE, taking());
    world.add(BOB, taking());
    world
}

fn messages(world: &mut World, at: &str) -> Vec<(RequestId, Box<IncomingMessage>)> {
    let all = world.take(at).into_iter();
    all.filter_map(
        |event| if let Event::Message { id, message } = event { Some((id, message)) } else { None },
    )
    .collect()
}

fn results(world: &mut World) -> Vec<u16> {
    let all = world.take(ALICE).into_iter();
    all.filter_map(|event| if let Event::MessageResult { status, .. } = event { Some(status) } else { None })
        .collect()
}

#[test]
fn a_message_is_delivered_and_its_sender_told() {
    let mut world = world();
    world.act(ALICE, |e, now| e.message(now, page(text("Gr\u{fc}\u{df}e \u{2603}"))));
    world.settle();
    let (id, message) = messages(&mut world, BOB).remove(0);
    assert_eq!(String::from_utf8_lossy(&message.body.bytes), "Gr\u{fc}\u{df}e \u{2603}");
    assert_eq!(message.body.content_type, "text/plain;charset=UTF-8");
    assert_eq!((message.leg, message.from.uri.user().as_deref()), (None, Some("alice")));
    assert!(message.headers.contains(&("Subject".into(), "hello".into())));
    assert_eq!(world.last("MESSAGE").header("CSeq").as_deref(), Some("1 MESSAGE"));
    assert_eq!(world.last("MESSAGE").header("Contact"), None, "RFC 3428 §4: none");
    assert!(results(&mut world).is_empty(), "not before the program has it");
    world.act(BOB, |e, now| e.answer_message(now, id, 202));
    world.settle();
    assert_eq!(results(&mut world), [202]);
    // Once only.
    world.act(BOB, |e, now| e.answer_message(now, id, 200));
    world.settle();
    assert_eq!((world.count("202 MESSAGE"), world.count("200 MESSAGE")), (1, 0));
    world.assert_drained();
}

#[test]
fn a_challenge_is_answered_once() {
    let mut world = World::new();
    world.add(ALICE, taking());
    let who = Credentials { username: "u".into(), password: "p".into() };
    world.act(ALICE, |e, now| e.message(now, SendMessage { credentials: Some(who), ..page(text("x")) }));
    let first = world.log[0].clone();
    let challenge =
        |n| format!("Proxy-Authenticate: Digest realm=\"r\", nonce=\"{n}\", algorithm=SHA-256, qop=auth\r\n");
    world.inject(BOB, ALICE, &respond(&first.bytes, 407, &challenge(1)));
    let second = world.last("MESSAGE").clone();
    assert_eq!(second.header("CSeq").as_deref(), Some("2 MESSAGE"));
    assert_eq!(
        (first.header("Call-ID"), first.header("From")),
        (second.header("Call-ID"), second.header("From"))
    );
    assert!(second.header("Proxy-Authorization").expect("credentials").contains("algorithm=SHA-256"));
    world.inject(BOB, ALICE, &respond(&second.bytes, 407, &challenge(2)));
    assert_eq!(results(&mut world), [407]);
    assert_eq!(world.count("MESSAGE"), 2);
    world.assert_drained();
}

#[test]
fn failures_are_told_with_what_they_say() {
    let mut world = World::new();
    world.add(ALICE, taking());
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    let request = world.log[0].bytes.clone();
    world.inject(BOB, ALICE, &respond(&request, 100, ""));
    world.inject(BOB, ALICE, &respond(&request, 503, "Retry-After: 17\r\n"));
    match &world.take(ALICE)[..] {
        [Event::MessageResult { status: 503, reason: Some(reason), retry_after: Some(after), .. }] => {
            assert_eq!((reason.as_str(), after.as_secs()), ("Service Unavailable", 17));
        }
        other => panic!("{other:?}"),
    }
    // Nobody answers.
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    world.run_for(Duration::from_secs(40));
    assert_eq!(results(&mut world), [408]);
    // It cannot be sent.
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    world.act(ALICE, |e, now| e.handle_transport_error(now, path(ALICE, BOB)));
    assert_eq!(results(&mut world), [503]);
    world.assert_drained();
}

#[test]
fn what_is_too_long_for_a_datagram_goes_by_a_stream_or_not_at_all() {
    let mut world = world();
    let shorter = (0..1_200).rev().find(|n| !page(text(&"x".repeat(*n))).needs_stream()).expect("some fit");
    for (length, sent) in [(shorter + 1, 0), (1_200, 0), (shorter, 1)] {
        world.act(ALICE, |e, now| e.message(now, page(text(&"x".repeat(length)))));
        let told = matches!(world.take(ALICE)[..], [Event::MessageResult { status: 513, .. }]);
        assert_eq!((world.count("MESSAGE"), told), (sent, sent == 0), "{length}");
    }
    assert!(world.log[0].bytes.len() <= 1_300);
    let mut endpoint = Endpoint::new(taking(), [9; 32]);
    let path = Path { transport: Transport::Tcp, ..path(ALICE, BOB) };
    endpoint.message(world.now, SendMessage { path, ..page(text(&"x".repeat(1_200))) });
    assert!(endpoint.poll_event().is_none() && endpoint.poll_transmit().is_some());
}

#[test]
fn what_is_too_long_for_a_datagram_takes_the_stream_that_we_listen_on() {
    let mut endpoint = Endpoint::new(Config { large_over_tcp: vec![addr(ALICE)], ..taking() }, [9; 32]);
    let now = World::new().now;
    endpoint.message(now, page(text(&"x".repeat(1_200))));
    let sent = endpoint.poll_transmit().expect("it goes out");
    assert_eq!(sent.path.transport, Transport::Tcp);
    assert!(sent.bytes.windows(13).any(|part| part == b"SIP/2.0/TCP 1"));
    // RFC 3428 §8: nobody takes the stream, and then it is too long.
    endpoint.handle_transport_error(now, sent.path);
    assert!(matches!(endpoint.poll_event(), Some(Event::MessageResult { status: 503, .. })));
    assert!(endpoint.poll_transmit().is_none());
}

#[test]
fn a_message_tried_again_is_known_for_the_same() {
    let mut world = World::new();
    world.add(ALICE, taking());
    let again = || SendMessage { call_id: Some("msg_1".into()), ..page(text("x")) };
    for _ in 0..2 {
        world.act(ALICE, |e, now| e.message(now, again()));
        let request = world.last("MESSAGE").bytes.clone();
        world.inject(BOB, ALICE, &respond(&request, 503, ""));
    }
    world.act(ALICE, |e, now| e.message(now, SendMessage { call_id: Some("msg_2".into()), ..again() }));
    let requests: Vec<_> = world.log.iter().filter(|sent| sent.kind() == "MESSAGE").collect();
    let of = |n: usize, name: &str| requests[n].header(name).expect("the header");
    for name in ["Call-ID", "From", "CSeq"] {
        assert_eq!(of(0, name), of(1, name), "{name}");
    }
    assert_eq!(of(0, "Call-ID"), "msg_1");
    assert_ne!(of(0, "Via"), of(1, "Via"));
    assert_ne!(of(0, "From"), of(2, "From"));
}

#[test]
fn an_answer_says_more_than_its_status() {
    let mut world = world();
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    world.settle();
    let (id, message) = messages(&mut world, BOB).remove(0);
    assert_eq!(message.header("cseq"), Some("1 MESSAGE"));
    let reply = MessageReply {
        reason: Some("The Disk\r\nIs Full".into()),
        retry_after: Some(Duration::from_millis(300)),
        accept: Some("text/plain".into()),
        ..MessageReply::new(503)
    };
    world.act(BOB, |e, now| e.answer_message(now, id, reply));
    let answer = world.last("503 MESSAGE");
    assert_eq!(answer.header("Retry-After").as_deref(), Some("1"));
    assert_eq!(answer.header("Accept").as_deref(), Some("text/plain"));
    assert!(String::from_utf8_lossy(&answer.bytes).starts_with("SIP/2.0 503 The Disk  Is Full\r\n"));
    world.settle();
    world.assert_drained();
}

#[test]
fn a_program_that_says_nothing_leaves_nothing_behind() {
    let mut world = world();
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    world.run_for(Duration::from_secs(33));
    let (id, _) = messages(&mut world, BOB).remove(0);
    assert_eq!(results(&mut world), [408]);
    // Too late: nobody waits.
    world.act(BOB, |e, now| e.answer_message(now, id, 200));
    assert_eq!(world.count("200 MESSAGE"), 0);
    world.assert_drained();
}

fn ask(config: Config, extra: &str, body: &str) -> Sent {
    let mut world = World::new();
    world.add(BOB, config);
    let text = format!(
        "MESSAGE sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-x\r\nFrom: <sip:h@192.0.2.1>;tag=h\r\nTo: <sip:b@192.0.2.2>\r\n\
         Call-ID: x\r\nCSeq: 1 MESSAGE\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.inject(ALICE, BOB, text.as_bytes());
    if let Some((id, _)) = messages(&mut world, BOB).first() {
        let id = *id;
        world.act(BOB, |e, now| e.answer_message(now, id, 200));
    } else {
        assert_eq!(world.endpoints[&addr(BOB)].stats().transactions, 0, "refused without state");
    }
    world.log[0].clone()
}

#[test]
fn what_is_refused() {
    let small = || Config { max_message_body: 5, ..taking() };
    assert_eq!(ask(Config::default(), "", "x").kind(), "405 MESSAGE");
    assert!(!ask(Config::default(), "", "x").header("Allow").expect("an Allow").contains("MESSAGE"));
    assert_eq!(ask(taking(), "Content-Type: text/plain\r\n", "x").kind(), "200 MESSAGE");
    assert_eq!(ask(taking(), "Content-Type: Text/Plain ; charset=utf-8\r\n", "x").kind(), "200 MESSAGE");
    assert_eq!(ask(taking(), "", "x").kind(), "200 MESSAGE");
    assert_eq!(
        ask(taking(), "Content-Type: text/html\r\n", "").kind(),
        "200 MESSAGE",
        "nothing to understand"
    );
    let refused = ask(taking(), "Content-Type: text/html\r\n", "x");
    assert_eq!(
        (refused.kind().as_str(), refused.header("Accept").as_deref()),
        ("415 MESSAGE", Some("text/plain"))
    );
    assert_eq!(ask(small(), "", "12345").kind(), "200 MESSAGE");
    assert_eq!(ask(small(), "", "123456").kind(), "413 MESSAGE");
    assert_eq!(ask(taking(), "Require: magic\r\n", "x").kind(), "420 MESSAGE");
    assert_eq!(ask(Config { max_transactions: 0, ..taking() }, "", "x").kind(), "503 MESSAGE");
}

#[test]
fn while_draining_messages_wait_elsewhere() {
    let mut world = world();
    world.act(BOB, |e, _| e.set_admission(Admission::Draining { retry_after: Duration::from_secs(9) }));
    world.act(ALICE, |e, now| e.message(now, page(text("x"))));
    world.settle();
    assert!(matches!(
        world.take(ALICE)[..],
        [Event::MessageResult { status: 503, retry_after: Some(_), .. }]
    ));
    world.assert_drained();
}

#[test]
fn inside_a_call_it_says_which() {
    let mut world = world();
    let (alice, bob) = world.call();
    world.take(BOB);
    let invite = world.last("INVITE").clone();
    let to = world.last("200 INVITE").header("To").expect("a To");
    let text = format!(
        "MESSAGE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-x\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\n\
         CSeq: 2 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
        invite.header("From").expect("a From"),
        invite.header("Call-ID").expect("a Call-ID"),
    );
    world.inject(ALICE, BOB, text.as_bytes());
    let (id, message) = messages(&mut world, BOB).remove(0);
    assert_eq!(message.leg, Some(bob));
    world.act(BOB, |e, now| e.answer_message(now, id, 200));
    assert_eq!(world.last("200 MESSAGE").header("To"), Some(to));
    // The call ends meanwhile: the answer still goes out.
    world.inject(ALICE, BOB, text.replace("CSeq: 2", "CSeq: 3").replace("bK-x", "bK-y").as_bytes());
    let (id, _) = messages(&mut world, BOB).remove(0);
    world.act(BOB, |e, now| e.hangup(now, bob, None));
    world.act(BOB, |e, now| e.answer_message(now, id, 200));
    assert_eq!(world.count("200 MESSAGE"), 2);
    world.act(ALICE, |e, now| e.hangup(now, alice, None));
    world.assert_drained();
}

/// With packet 1 lost, doubled or late, then 2, then 3: the message comes once, its result once.
#[test]
fn every_lost_packet_is_survived() {
    for fate in [Fate::Drop, Fate::Duplicate, Fate::Late] {
        for victim in 1..=5 {
            let mut world = World::with_fate(move |n| if n == victim { fate } else { Fate::Deliver });
            world.add(ALICE, taking());
            world.add(BOB, taking());
            world.act(ALICE, |e, now| e.message(now, page(text("x"))));
            let (mut came, mut told) = (0, Vec::new());
            for _ in 0..20 {
                world.run_for(Duration::from_millis(300));
                for (id, _) in messages(&mut world, BOB) {
                    came += 1;
                    world.act(BOB, |e, now| e.answer_message(now, id, 200));
                }
                told.extend(results(&mut world));
            }
            assert_eq!((came, &told[..]), (1, &[200][..]), "{fate:?} {victim}");
            world.assert_drained();
        }
    }
}
