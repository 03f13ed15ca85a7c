//! RFC 3261 §10.3: what a REGISTER changes, what it is told, and what it may not.

mod support;

use std::time::Duration;

use sip::{Account, Binding, Config, Event, NameAddr, Registrar};
use support::phone::*;
use support::*;

fn bindings(world: &World, user: &str) -> Vec<Binding> {
    world.endpoints[&addr(BOB)].bindings(world.now, user)
}

fn contacts(world: &World, user: &str) -> Vec<String> {
    bindings(world, user).iter().map(|one| one.contact.to_string()).collect()
}

fn phone() -> Phone {
    Phone::new(PHONE, "201", "secret-1")
}

fn lines(sent: &Sent, name: &str) -> Vec<String> {
    sent.message().headers().get_all(name).map(|line| line.into_owned()).collect()
}

fn reason(sent: &Sent) -> String {
    match sent.message() {
        sip::message::Message::Response(response) => format!("{} {}", response.status, response.reason),
        sip::message::Message::Request(_) => panic!("a request"),
    }
}

#[test]
fn a_phone_of_our_own_making_comes_and_goes() {
    let mut world = registrar(Config::default());
    world.add(ALICE, Config::default());
    let register = sip::Register {
        aor: uri("sip:201@offhook"),
        credentials: sip::Credentials { username: "201".into(), password: "secret-1".into() },
        expires: Duration::from_secs(600),
        ..register(ALICE, BOB)
    };
    let id = world.act(ALICE, |e, now| e.register(now, register));
    world.settle();
    let told = bound(&world.take(BOB));
    let [(user, now_bound)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(user, "201");
    let [binding] = &now_bound[..] else { panic!("{now_bound:?}") };
    assert_eq!(binding.contact.to_string(), "sip:alice@192.0.2.1:5060");
    assert_eq!(binding.path, path(BOB, ALICE));
    assert_eq!((binding.expires, binding.q), (Duration::from_secs(600), 1_000));
    assert!(binding.user_agent.as_deref().is_some_and(|agent| agent.starts_with("offhook/")));
    // It keeps itself refreshed for a day, and then says goodbye.
    world.run_for(Duration::from_secs(24 * 3_600));
    assert_eq!(contacts(&world, "201").len(), 1);
    assert!(bound(&world.take(BOB)).iter().all(|(_, bindings)| bindings.len() == 1));
    world.act(ALICE, |e, now| e.unregister(now, id));
    world.settle();
    assert_eq!(bound(&world.take(BOB)), [("201".to_owned(), Vec::new())]);
    world.assert_drained();
}

#[test]
fn the_answer_lists_all_that_is_bound_and_how_long_yet() {
    let mut world = registrar(Config::default());
    let mut desk = phone();
    let answer = desk
        .register(&mut world, "Contact: \"Desk\" <sip:201@198.51.100.20:5060>;q=0.5;x=y\r\nExpires: 600\r\n");
    assert_eq!(lines(&answer, "Contact"), ["<sip:201@198.51.100.20:5060>;q=0.5;x=y;expires=600"]);
    world.run_for(Duration::from_secs(100));
    let mut mobile = Phone { call_id: "mobile".into(), ..phone() };
    let answer = mobile.register(&mut world, "Contact: <sip:201@203.0.113.5:40000;ob>;expires=300\r\n");
    // Best first.
    let both =
        ["<sip:201@203.0.113.5:40000;ob>;expires=300", "<sip:201@198.51.100.20:5060>;q=0.5;x=y;expires=500"];
    assert_eq!(lines(&answer, "Contact"), both);
    // A question changes nothing, and is told to nobody.
    world.take(BOB);
    let answer = desk.register(&mut world, "");
    assert_eq!(lines(&answer, "Contact"), both);
    assert!(world.take(BOB).is_empty());
    let all = bindings(&world, "201");
    assert_eq!(
        all.iter().map(|one| (one.q, one.expires.as_secs())).collect::<Vec<_>>(),
        [(1_000, 300), (500, 500)]
    );
    assert!(bindings(&world, "202").is_empty() && bindings(&world, "nobody").is_empty());
    // Each ends at its own time.
    world.run_for(Duration::from_secs(300));
    assert_eq!(contacts(&world, "201"), ["sip:201@198.51.100.20:5060"]);
    world.run_for(Duration::from_secs(200));
    assert_eq!(contacts(&world, "201"), [""; 0]);
    let told: Vec<_> = bound(&world.take(BOB)).into_iter().map(|(_, bindings)| bindings.len()).collect();
    assert_eq!(told, [1, 0]);
    world.assert_drained();
}

#[test]
fn the_time_granted_is_theirs_within_our_bounds() {
    let cases = [
        ("Contact: <sip:a@h>;expires=90\r\nExpires: 600\r\n", "200 OK", 90),
        ("Contact: <sip:a@h>\r\nExpires: 600\r\n", "200 OK", 600),
        ("Contact: <sip:a@h>\r\n", "200 OK", 3_600),
        ("Contact: <sip:a@h>;expires=soon\r\n", "200 OK", 3_600),
        ("Contact: <sip:a@h>;expires=99999999999999999999\r\n", "200 OK", 7_200),
        ("Contact: <sip:a@h>;expires=60\r\n", "200 OK", 60),
        ("Contact: <sip:a@h>;expires=59\r\n", "423 Interval Too Brief", 0),
        ("Contact: <sip:a@h>;expires=3600, <sip:b@h>;expires=1\r\n", "423 Interval Too Brief", 0),
        ("Contact: <sip:a@h>;expires=0\r\n", "200 OK", 0),
    ];
    for (extra, wanted, granted) in cases {
        let mut world = registrar(Config::default());
        let answer = phone().register(&mut world, extra);
        assert_eq!(reason(&answer), wanted, "{extra}");
        let seconds = bindings(&world, "201").first().map_or(0, |one| one.expires.as_secs());
        assert_eq!(seconds, granted, "{extra}");
        assert_eq!(answer.header("Min-Expires").is_some(), wanted.starts_with("423"), "{extra}");
    }
}

#[test]
fn contacts_are_taken_away_one_by_one_or_all_at_once() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "Contact: <sip:a@h>, <sip:b@h>;q=0.9\r\nContact: sip:c@h;q=0.8\r\n");
    assert_eq!(contacts(&world, "201"), ["sip:a@h", "sip:b@h", "sip:c@h"]);
    // Compared as RFC 3261 §19.1.4 has it: another spelling, the same place; another port, another place.
    phone.register(&mut world, "Contact: <sip:%62@H>;expires=0, <sip:a@h:5060>;expires=0\r\n");
    assert_eq!(contacts(&world, "201"), ["sip:a@h", "sip:c@h"]);
    for bad in ["Contact: *\r\n", "Contact: *\r\nExpires: 60\r\n", "Contact: *, <sip:a@h>\r\nExpires: 0\r\n"]
    {
        let answer = phone.register(&mut world, bad);
        assert!(reason(&answer).starts_with("400 "), "{bad}: {}", reason(&answer));
    }
    assert_eq!(contacts(&world, "201").len(), 2);
    let answer = phone.register(&mut world, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!((reason(&answer).as_str(), lines(&answer, "Contact").len()), ("200 OK", 0));
    assert_eq!(contacts(&world, "201").len(), 0);
    // Nothing left to take away, and that is no error.
    assert_eq!(reason(&phone.register(&mut world, "Contact: *\r\nExpires: 0\r\n")), "200 OK");
    world.assert_drained();
}

#[test]
fn what_comes_late_changes_nothing() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "Contact: <sip:a@h>\r\nExpires: 600\r\n");
    // The same client counts upwards: a goodbye that was overtaken is not to be believed.
    for late in [
        "Contact: <sip:a@h>;expires=0\r\n",
        "Contact: *\r\nExpires: 0\r\n",
        "Contact: <sip:b@h>, <sip:a@h>\r\n",
    ] {
        // By now nobody takes it for the same request by another way (482).
        world.run_for(Duration::from_secs(40));
        phone.cseq -= 2;
        let answer = phone.register(&mut world, late);
        assert_eq!(reason(&answer), "500 CSeq Out of Order", "{late}");
        assert_eq!(contacts(&world, "201"), ["sip:a@h"], "all or nothing: {late}");
    }
    // Another client, or the same after a restart, begins where it likes.
    let mut again = Phone { call_id: "new".into(), cseq: 0, ..phone.clone() };
    assert_eq!(reason(&again.register(&mut world, "Contact: <sip:a@h>;expires=90\r\n")), "200 OK");
    // One REGISTER may name a place twice; the last word counts.
    assert_eq!(
        reason(&again.register(&mut world, "Contact: <sip:a@h>;expires=90, <sip:a@h>;expires=0\r\n")),
        "200 OK"
    );
    assert_eq!(contacts(&world, "201").len(), 0);
}

#[test]
fn an_account_has_so_many_contacts_and_no_more() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    for n in 0..5 {
        assert_eq!(reason(&phone.register(&mut world, &format!("Contact: <sip:{n}@h>\r\n"))), "200 OK");
    }
    let answer = phone.register(&mut world, "Contact: <sip:0@h>;expires=0, <sip:5@h>, <sip:6@h>\r\n");
    assert_eq!(reason(&answer), "403 Too Many Contacts");
    assert_eq!(contacts(&world, "201"), ["sip:4@h", "sip:3@h", "sip:2@h", "sip:1@h", "sip:0@h"]);
    // One out, one in.
    assert_eq!(reason(&phone.register(&mut world, "Contact: <sip:0@h>;expires=0, <sip:5@h>\r\n")), "200 OK");
    // A phone that was started again, on another port, takes its own place.
    let instance = |port: u16| format!("Contact: <sip:1@h:{port}>;+sip.instance=\"<urn:uuid:1>\"\r\n");
    phone.register(&mut world, "Contact: <sip:1@h>;expires=0\r\n");
    for port in 5_060..5_070 {
        assert_eq!(reason(&phone.register(&mut world, &instance(port))), "200 OK");
        assert_eq!(contacts(&world, "201").len(), 5);
    }
    assert_eq!(contacts(&world, "201")[0], "sip:1@h:5069");
    // Another account has its own.
    let mut other = Phone::new("198.51.100.21:5060", "202", "secret-2");
    assert_eq!(reason(&other.register(&mut world, "Contact: <sip:0@h>\r\n")), "200 OK");
    assert_eq!(world.endpoints[&addr(BOB)].stats().bindings, 6);
    // And may have fewer than others.
    let mut few = accounts();
    few[1].max_contacts = Some(1);
    world.act(BOB, |e, _| e.set_accounts(few));
    assert_eq!(reason(&other.register(&mut world, "Contact: <sip:1@h>\r\n")), "403 Too Many Contacts");
}

#[test]
fn nobody_registers_for_another() {
    let mut world = registrar(Config::default());
    let mut thief = phone();
    let line = |thief: &mut Phone| {
        let request = thief.signed("REGISTER", "sip:offhook", "Contact: <sip:thief@h>\r\n");
        request.replace("To: <sip:201@offhook>", "To: <sip:202@offhook>")
    };
    thief.register(&mut world, "");
    let request = line(&mut thief);
    assert_eq!(reason(&thief.say(&mut world, &request).expect("an answer")), "403 Forbidden");
    // A trunk that is challenged may not register.
    let mut carrier = Phone::new(PHONE, "carrier", "secret-3");
    assert_eq!(reason(&carrier.register(&mut world, "Contact: <sip:carrier@h>\r\n")), "403 Forbidden");
    assert!(contacts(&world, "202").is_empty() && contacts(&world, "carrier").is_empty());
    assert!(world.take(BOB).is_empty());
}

#[test]
fn what_cannot_be_called_or_is_too_much_is_refused() {
    let long = format!("Contact: <sip:{}@h>\r\n", "x".repeat(5_000));
    let paths =
        format!("Supported: path\r\nPath: {}\r\nContact: <sip:a@h>\r\n", ["<sip:p;lr>"; 9].join(", "));
    let cases = [
        ("Contact: <mailto:a@h>\r\n", "400 Bad Contact: Not a SIP URI"),
        ("Contact: <tel:+15550100>\r\n", "400 Bad Contact: Not a SIP URI"),
        (long.as_str(), "513 Message Too Large"),
        (paths.as_str(), "400 Path Too Long"),
        ("Supported: path\r\nPath: <sip:p\r\nContact: <sip:a@h>\r\n", "400 Bad Path"),
        ("Require: gruu\r\nContact: <sip:a@h>\r\n", "420 Bad Extension"),
    ];
    let mut world = registrar(Config::default());
    let mut phone = phone();
    for (extra, wanted) in cases {
        assert_eq!(reason(&phone.register(&mut world, extra)), wanted, "{extra:.60}");
    }
    assert!(contacts(&world, "201").is_empty());
}

#[test]
fn the_proxies_on_the_way_are_kept_for_calls() {
    let mut world = registrar(Config::default());
    let way = "Path: <sip:edge.example.com;lr>, <sip:core.example.com;lr>\r\nContact: <sip:a@h>\r\n";
    // RFC 3327 §5.3: only for phones that know of it.
    let answer = phone().register(&mut world, way);
    assert_eq!(
        (reason(&answer).as_str(), answer.header("Unsupported").as_deref()),
        ("420 Bad Extension", Some("path"))
    );
    for option in ["Supported", "Require"] {
        let mut phone = Phone { call_id: option.into(), ..phone() };
        let answer = phone.register(&mut world, &format!("{option}: path\r\n{way}"));
        assert_eq!(lines(&answer, "Path"), ["<sip:edge.example.com;lr>, <sip:core.example.com;lr>"]);
        let route: Vec<_> = bindings(&world, "201")[0].route.iter().map(ToString::to_string).collect();
        assert_eq!(route, ["sip:edge.example.com;lr", "sip:core.example.com;lr"]);
    }
}

#[test]
fn a_phone_is_called_where_its_register_came_from() {
    let mut world = registrar(Config::default());
    // Behind a NAT, and with a contact that leads nowhere from here.
    let mut phone = Phone::new("203.0.113.7:61234", "201", "secret-1");
    phone.register(&mut world, "Contact: <sip:201@203.0.113.7:5060>\r\n");
    let binding = bindings(&world, "201").remove(0);
    let invite = sip::Invite {
        to: binding.contact,
        from: NameAddr::from(uri("sip:agent@offhook")),
        path: binding.path,
        route: binding.route,
        // Long enough for TCP, if it were anyone else.
        headers: vec![("Subject".into(), "x".repeat(1_500))],
        ..invite(BOB, ALICE)
    };
    let leg = world.act(BOB, |e, now| e.invite(now, invite));
    world.settle();
    let sent = world.outside.iter().rfind(|sent| sent.kind() == "INVITE").expect("an INVITE").clone();
    assert_eq!(sent.to, addr("203.0.113.7:61234"));
    assert!(sent.bytes.starts_with(b"INVITE sip:201@203.0.113.7:5060 SIP/2.0\r\n"));
    // And so is everything that follows.
    let answer = respond(&sent.bytes, 200, "Contact: <sip:201@203.0.113.7:5060>\r\n");
    world.inject(phone.at, BOB, &answer);
    world.act(BOB, |e, now| e.hangup(now, leg, None));
    for kind in ["ACK", "BYE"] {
        assert_eq!(world.last(kind).to, addr("203.0.113.7:61234"), "{kind}");
    }
}

#[test]
fn a_binding_ends_with_its_connection() {
    let mut world = registrar(Config::default());
    let tcp = |port: u16| sip::Path {
        transport: sip::Transport::Tcp,
        local: addr(BOB),
        remote: std::net::SocketAddr::from(([198, 51, 100, 20], port)),
    };
    let mut phone = phone();
    for (n, port) in [40_001, 40_002].into_iter().enumerate() {
        for request in [phone.plain("REGISTER", "sip:offhook", ""), String::new()] {
            let request = if request.is_empty() {
                let answer = world.last("401 REGISTER").clone();
                phone.take(&answer);
                phone.signed("REGISTER", "sip:offhook", &format!("Contact: <sip:{n}@h;transport=tcp>\r\n"))
            } else {
                request
            };
            world.act(BOB, |e, now| e.handle_message(now, tcp(port), request.as_bytes()));
        }
    }
    phone.register(&mut world, &phone.contact());
    assert_eq!(contacts(&world, "201").len(), 3);
    world.take(BOB);
    world.act(BOB, |e, now| e.handle_flow_lost(now, tcp(40_001)));
    let told = bound(&world.take(BOB));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.len(), 2);
    assert!(told[0].1.iter().all(|one| one.path != tcp(40_001)));
    // Nothing was made over this one; and a datagram has no connection to lose.
    world.act(BOB, |e, now| e.handle_flow_lost(now, tcp(40_003)));
    world.act(BOB, |e, now| e.handle_flow_lost(now, path(BOB, PHONE)));
    assert!(bound(&world.take(BOB)).is_empty());
    assert_eq!(contacts(&world, "201").len(), 2);
}

#[test]
fn accounts_come_and_go_while_it_runs() {
    let mut world = registrar(Config::default());
    for (user, password) in [("201", "secret-1"), ("202", "secret-2")] {
        let mut phone = Phone::new(PHONE, user, password);
        phone.call_id = user.into();
        assert_eq!(reason(&phone.register(&mut world, &phone.contact())), "200 OK");
    }
    world.take(BOB);
    // One stays as it is, one has a new password.
    let new = |password: &str| {
        let mut all = accounts();
        all[1].password = password.into();
        all
    };
    world.act(BOB, |e, _| e.set_accounts(new("other")));
    assert_eq!(bound(&world.take(BOB)), [("202".to_owned(), Vec::new())]);
    assert_eq!((contacts(&world, "201").len(), contacts(&world, "202").len()), (1, 0));
    let mut phone = Phone::new(PHONE, "202", "other");
    assert_eq!(reason(&phone.register(&mut world, &phone.contact())), "200 OK");
    // One is no phone any more, and one is gone.
    let carrier = Account { register: false, ..accounts().swap_remove(0) };
    world.take(BOB);
    world.act(BOB, |e, _| e.set_accounts(vec![carrier]));
    assert_eq!(bound(&world.take(BOB)).len(), 2);
    assert_eq!(world.endpoints[&addr(BOB)].stats().bindings, 0);
    world.assert_drained();
}

#[test]
fn without_a_registrar_nothing_has_changed() {
    let mut world = World::new();
    world.add(BOB, Config::default());
    world.act(BOB, |e, _| e.set_accounts(accounts()));
    let mut phone = phone();
    let request = phone.plain("REGISTER", "sip:offhook", "");
    let answer = phone.say(&mut world, &request).expect("an answer");
    assert_eq!(answer.kind(), "405 REGISTER");
    assert!(!answer.header("Allow").expect("Allow").contains("REGISTER"));
    let request = phone.plain("INVITE", "sip:agent@offhook", &phone.contact());
    phone.say(&mut world, &request);
    assert!(
        world
            .take(BOB)
            .iter()
            .any(|event| matches!(event, Event::Incoming { request, .. } if request.account.is_none()))
    );
}

#[test]
fn our_realm_may_be_another() {
    let registrar = Registrar { realm: "a \"quoted\" realm".into(), ..Registrar::default() };
    let mut world = phone::registrar(Config { registrar: Some(registrar), ..Config::default() });
    world.add(ALICE, Config::default());
    let register = sip::Register {
        aor: uri("sip:201@offhook"),
        credentials: sip::Credentials { username: "201".into(), password: "secret-1".into() },
        ..register(ALICE, BOB)
    };
    world.act(ALICE, |e, now| e.register(now, register));
    world.settle();
    assert_eq!(contacts(&world, "201").len(), 1);
}
