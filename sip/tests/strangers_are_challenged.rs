//! Digest authentication of those who come to us: RFC 7616, RFC 8760, and old clients of RFC 2617 and RFC 2069.

mod support;

use std::time::Duration;

use sip::{Algorithm, Config, Event, Guard, IncomingCall, Registrar};
use support::phone::*;
use support::*;

const OFFER: &str = "Contact: <sip:201@198.51.100.20>\r\nContent-Type: application/sdp\r\n";

fn phone() -> Phone {
    Phone::new(PHONE, "201", "secret-1")
}

fn challenges(sent: &Sent) -> Vec<String> {
    sent.message().headers().get_all("WWW-Authenticate").map(|line| line.into_owned()).collect()
}

fn calls(world: &mut World) -> Vec<IncomingCall> {
    let mut calls = Vec::new();
    for event in world.take(BOB) {
        if let Event::Incoming { request, .. } = event {
            calls.push(*request);
        }
    }
    calls
}

fn stats(world: &World) -> sip::Stats {
    world.endpoints[&addr(BOB)].stats()
}

#[test]
fn every_algorithm_is_offered_and_taken() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    let first = phone.plain("REGISTER", "sip:offhook", "");
    let answer = phone.say(&mut world, &first).expect("an answer");
    let lines = challenges(&answer);
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, algorithm) in lines.iter().zip(["SHA-256", "MD5"]) {
        assert!(line.starts_with("Digest realm=\"offhook\", nonce=\""), "{line}");
        assert!(line.ends_with(&format!("\", algorithm={algorithm}, qop=\"auth\"")), "{line}");
    }
    for algorithm in ["SHA-256", "MD5"] {
        for old in [false, true] {
            let mut phone = Phone { algorithm, old, call_id: format!("{algorithm}-{old}"), ..phone.clone() };
            assert_eq!(phone.register(&mut world, "").kind(), "200 REGISTER", "{algorithm} {old}");
        }
    }
    // Only what was offered is taken.
    let only = Registrar { algorithms: vec![Algorithm::Sha256], ..Registrar::default() };
    let mut world = registrar(Config { registrar: Some(only), ..Config::default() });
    let mut phone = Phone { call_id: "x".into(), ..phone };
    phone.register(&mut world, "");
    phone.algorithm = "MD5";
    let request = phone.signed("REGISTER", "sip:offhook", "");
    assert_eq!(phone.say(&mut world, &request).map(|sent| sent.kind()), Some("401 REGISTER".into()));
    assert_eq!(stats(&world).failed_auth, 0);
}

#[test]
fn a_call_and_a_message_say_whose_they_are() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    assert_eq!(phone.ask(&mut world, "INVITE", "sip:agent@offhook", OFFER).kind(), "100 INVITE");
    let calls = calls(&mut world);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].account.as_deref(), Some("201"));
    let text = "Content-Type: text/plain\r\n";
    let mut phone = Phone { call_id: "message".into(), ..phone };
    let first = phone.plain("MESSAGE", "sip:agent@offhook", text);
    let answer = phone.say(&mut world, &first).expect("an answer");
    phone.take(&answer);
    let second = phone.signed("MESSAGE", "sip:agent@offhook", text);
    phone.say(&mut world, &second);
    let message = world.take(BOB).into_iter().find_map(|event| match event {
        Event::Message { message, .. } => Some(message),
        _ => None,
    });
    assert_eq!(message.expect("a message").account.as_deref(), Some("201"));
}

#[test]
fn whoever_calls_says_their_own_name_or_none() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    let from = |phone: &mut Phone, from: &str| {
        let request = phone.signed("INVITE", "sip:agent@offhook", OFFER);
        request.replace("From: <sip:201@offhook>", &format!("From: {from}"))
    };
    phone.register(&mut world, "");
    let forged = from(&mut phone, "\"201\" <sip:202@offhook>");
    assert_eq!(phone.say(&mut world, &forged).map(|sent| sent.kind()), Some("403 INVITE".into()));
    // RFC 3323 §4.1.
    let nobody = from(&mut phone, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    phone.say(&mut world, &nobody);
    assert_eq!(calls(&mut world)[0].account.as_deref(), Some("201"));
    // A trunk says who calls.
    let mut carrier = Phone::new(PHONE, "carrier", "secret-3");
    let first = carrier.plain("INVITE", "sip:agent@offhook", OFFER);
    let answer = carrier.say(&mut world, &first).expect("an answer");
    carrier.take(&answer);
    let request = carrier.signed("INVITE", "sip:agent@offhook", OFFER);
    let request = request.replace("From: <sip:carrier@offhook>", "From: <sip:+15550100@carrier.example>");
    carrier.say(&mut world, &request);
    assert_eq!(calls(&mut world)[0].account.as_deref(), Some("carrier"));
}

#[test]
fn what_needs_no_name_is_not_asked_for_one() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    for (method, wanted) in [
        ("OPTIONS", "200"),
        ("BYE", "481"),
        ("INFO", "481"),
        ("NOTIFY", "481"),
        ("CANCEL", "481"),
        ("INVITE", "401"),
        ("MESSAGE", "401"),
        ("REGISTER", "401"),
        ("SUBSCRIBE", "401"),
        ("REFER", "401"),
        ("DANCE", "401"),
    ] {
        let request = phone.plain(method, "sip:agent@offhook", &phone.contact());
        let answer = phone.say(&mut world, &request).expect("an answer");
        assert_eq!(answer.kind(), format!("{wanted} {method}"));
    }
    let ack = phone.plain("ACK", "sip:agent@offhook", "");
    assert!(phone.say(&mut world, &ack).is_none());
    // Who has a name hears what is the matter with the rest.
    phone.register(&mut world, "");
    for (method, wanted) in [("SUBSCRIBE", "405"), ("REFER", "405"), ("DANCE", "501")] {
        let request = phone.signed(method, "sip:agent@offhook", "");
        assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), format!("{wanted} {method}"));
    }
    assert_eq!((stats(&world).legs, stats(&world).bindings), (0, 0));
}

#[test]
fn trusted_sources_are_taken_at_their_address() {
    let guard = Guard { trusted: vec!["198.51.100.0/24".parse().expect("a network")], ..Guard::default() };
    let mut world = registrar(Config { guard, ..Config::default() });
    let mut trunk = Phone { user: "+15550100".into(), ..Phone::new("198.51.100.1:5060", "x", "x") };
    let call = trunk.plain("INVITE", "sip:agent@offhook", OFFER);
    trunk.say(&mut world, &call);
    assert_eq!(calls(&mut world)[0].account, None);
    // But a binding belongs to somebody, and so does a call from where one has registered.
    let mut phone = phone();
    assert_eq!(phone.register(&mut world, &phone.contact()).kind(), "200 REGISTER");
    phone.call_id = "call".into();
    assert_eq!(phone.ask(&mut world, "INVITE", "sip:agent@offhook", OFFER).kind(), "100 INVITE");
    assert_eq!(calls(&mut world)[0].account.as_deref(), Some("201"));
    // The list changes while it runs.
    world.act(BOB, |e, _| e.set_trusted(Vec::new()));
    let mut trunk = Phone { call_id: "again".into(), ..trunk };
    let call = trunk.plain("INVITE", "sip:agent@offhook", OFFER);
    assert_eq!(trunk.say(&mut world, &call).expect("an answer").kind(), "401 INVITE");
    // Without accounts nobody could answer.
    world.act(BOB, |e, _| e.set_accounts(Vec::new()));
    let call = trunk.plain("INVITE", "sip:agent@offhook", OFFER);
    assert_eq!(trunk.say(&mut world, &call).expect("an answer").kind(), "100 INVITE");
}

#[test]
fn an_old_challenge_is_stale_and_not_wrong() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    world.run_for(Duration::from_secs(299));
    let request = phone.signed("REGISTER", "sip:offhook", "");
    assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
    world.run_for(Duration::from_secs(2));
    let request = phone.signed("REGISTER", "sip:offhook", "");
    let answer = phone.say(&mut world, &request).expect("an answer");
    assert!(challenges(&answer).iter().all(|line| line.ends_with(", stale=true")));
    phone.take(&answer);
    let request = phone.signed("REGISTER", "sip:offhook", "");
    assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
    assert_eq!(stats(&world).failed_auth, 0);
}

#[test]
fn a_challenge_is_good_only_where_it_was_given() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    // From another port of the same host, as behind a NAT.
    let request = phone.signed("REGISTER", "sip:offhook", "");
    let elsewhere = Phone { at: "198.51.100.20:61000", ..phone.clone() };
    assert_eq!(elsewhere.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
    // From another host, and with what we have never said: stale, whether the password is right or not.
    let thief = Phone { at: "203.0.113.66:5060", ..phone.clone() };
    for (password, nonce) in [
        ("secret-1", phone.nonce.clone()),
        ("guess", phone.nonce.clone()),
        ("secret-1", Some("0000000000000001000000000000000000000000".into())),
        ("guess", Some("made-up".into())),
        ("guess", Some(String::new())),
        ("guess", Some("\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}".into())),
    ] {
        let mut thief = Phone { password: password.into(), nonce, ..thief.clone() };
        let request = thief.signed("REGISTER", "sip:offhook", "");
        let answer = thief.say(&mut world, &request).expect("an answer");
        assert!(challenges(&answer)[0].ends_with(", stale=true"), "{password}");
    }
    assert_eq!(stats(&world).failed_auth, 0, "and so a forged sender gets nobody banned");
}

#[test]
fn what_was_said_once_is_not_believed_again() {
    for old in [false, true] {
        let mut world = registrar(Config::default());
        let mut phone = Phone { old, ..phone() };
        phone.register(&mut world, &phone.contact());
        // Somebody has listened, and says it again: the same credentials, another request.
        let recorded = world.log.iter().filter(|sent| sent.kind() == "200 REGISTER").count();
        let (nc, cseq) = (phone.nc - 1, phone.cseq);
        let mut thief = Phone { nc, call_id: "thief".into(), cseq, ..phone.clone() };
        let request = thief.signed("REGISTER", "sip:offhook", "Contact: <sip:thief@h>\r\n");
        let answer = thief.say(&mut world, &request).expect("an answer");
        assert!(challenges(&answer)[0].ends_with(", stale=true"));
        assert_eq!(recorded, world.count("200 REGISTER"));
        assert_eq!(stats(&world).bindings, 1);
    }
}

#[test]
fn counts_may_overtake_each_other_but_not_come_twice() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    let mut say = |nc: u32| {
        phone.nc = nc - 1;
        let request = phone.signed("REGISTER", "sip:offhook", "");
        phone.say(&mut world, &request).expect("an answer").kind() == "200 REGISTER"
    };
    let order = [
        (1, false),
        (3, true),
        (2, true),
        (2, false),
        (3, false),
        (90, true),
        (27, true),
        (26, false),
        (27, false),
    ];
    for (nc, taken) in order {
        assert_eq!(say(nc), taken, "{nc}");
    }
    assert!(say(u32::MAX) && !say(u32::MAX) && say(u32::MAX - 1));
    // Some phones begin at one with every cnonce.
    phone.cnonce = "another".into();
    phone.nc = 0;
    let request = phone.signed("REGISTER", "sip:offhook", "");
    assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
}

#[test]
fn nobody_can_tell_a_wrong_name_from_a_wrong_password() {
    let mut world = registrar(Config::default());
    let mut answers = Vec::new();
    for (user, password) in [("201", "guess"), ("999", "guess"), ("2", ""), ("carrier", "guess")] {
        let mut phone = Phone { call_id: "same".into(), ..Phone::new(PHONE, user, password) };
        let answer = phone.register(&mut world, "");
        let text = String::from_utf8(answer.bytes.clone()).expect("text");
        let nonce = challenges(&answer)[0].split('"').nth(3).expect("a nonce").to_owned();
        let tag =
            answer.header("To").and_then(|to| to.split("tag=").nth(1).map(str::to_owned)).expect("a tag");
        let name = format!("<sip:{user}@offhook>");
        answers.push(text.replace(&nonce, "N").replace(&tag, "T").replace(&name, "U"));
    }
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:#?}");
    assert!(!answers[0].contains("stale"));
    assert_eq!(stats(&world).failed_auth, 4);
}

#[test]
fn answers_for_others_and_broken_ones_are_as_if_they_were_not_there() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    let good = phone.authorization("REGISTER", "sip:offhook");
    let broken = [
        good.replace("realm=\"offhook\"", "realm=\"other\""),
        good.replace("algorithm=SHA-256", "algorithm=SHA-256-sess"),
        good.replace("algorithm=SHA-256", "algorithm=AKAv1-MD5"),
        good.replace("qop=auth", "qop=auth-int"),
        good.replace("nc=", "x="),
        good.replace("nc=0000000", "nc="),
        good.replace("nc=0000", "nc=+000"),
        good.replace("cnonce=", "x="),
        good.replace("username=", "x="),
        good.replace("response=", "x="),
        good.replace("nonce=\"0", "x=\"0"),
        good.replace("uri=", "x="),
        good.replace("Digest", "Basic"),
        "Authorization: Digest\r\n".into(),
        "Authorization: \r\n".into(),
    ];
    for line in broken {
        let request = phone.plain("REGISTER", "sip:offhook", &line);
        let answer = phone.say(&mut world, &request).expect("an answer");
        assert_eq!(answer.kind(), "401 REGISTER", "{line}");
        assert!(!challenges(&answer)[0].contains("stale"), "{line}");
    }
    assert_eq!(stats(&world).failed_auth, 0);
    // Between those of others ours is found, on its own line or not.
    let other = "Digest username=\"201\", realm=\"other\", nonce=\"x\", uri=\"sip:x\", response=\"y\"";
    let value = good.trim_start_matches("Authorization: ").trim_end();
    let request = phone.plain("REGISTER", "sip:offhook", &format!("Authorization: {other}, {value}\r\n"));
    assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
    let good = phone.authorization("REGISTER", "sip:offhook");
    let request = phone.plain("REGISTER", "sip:offhook", &format!("Authorization: {other}\r\n{good}"));
    assert_eq!(phone.say(&mut world, &request).expect("an answer").kind(), "200 REGISTER");
}

#[test]
fn the_uri_of_a_digest_may_be_spelt_as_phones_spell_it() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    let mut ask = |method: &str, request_uri: &str, digest_uri: &str| {
        let line = phone.authorization(method, digest_uri);
        let request = phone.plain(method, request_uri, &format!("{line}{OFFER}"));
        phone.say(&mut world, &request).expect("an answer").kind()
    };
    for (request_uri, digest_uri) in [
        ("sip:offhook", "sip:192.0.2.2:5060;transport=udp"),
        ("sip:offhook", "sip:201@offhook"),
        ("sip:192.0.2.2", "sip:offhook"),
    ] {
        assert_eq!(ask("REGISTER", request_uri, digest_uri), "200 REGISTER", "{digest_uri}");
    }
    assert_eq!(ask("INVITE", "sip:agent@192.0.2.2:5060", "sip:agent@offhook"), "100 INVITE");
    // Credentials for a call to one are none for a call to another.
    assert_eq!(ask("INVITE", "sip:premium@offhook", "sip:agent@offhook"), "400 INVITE");
    assert_eq!(ask("INVITE", "sip:agent@offhook", "no uri"), "400 INVITE");
}

#[test]
fn a_forked_call_is_told_482_before_it_is_asked() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    let request = phone.signed("INVITE", "sip:agent@offhook", OFFER);
    phone.say(&mut world, &request);
    let fork = request.replace("branch=z9hG4bK", "branch=z9hG4bK-other-way-");
    assert_eq!(phone.say(&mut world, &fork).expect("an answer").kind(), "482 INVITE");
}

#[test]
fn a_challenge_keeps_nothing_and_is_hardly_longer_than_its_question() {
    let mut world = registrar(Config::default());
    // The shortest question, and the longest answer to it.
    let least = |n: usize, line: &str| {
        format!(
            "REGISTER sip:a SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK{n}\r\nf:<sip:a@a>;tag=1\r\nt:<sip:a@a>\r\ni:{n}\r\nCSeq:1 REGISTER\r\n{line}\r\n"
        )
    };
    let stale =
        "Authorization:Digest username=\"\",realm=\"offhook\",nonce=\"\",uri=\"sip:a\",response=\"\"\r\n";
    for n in 0..20_000 {
        let line = if n % 2 == 0 { "" } else { stale };
        let question = least(n, line);
        world.log.clear();
        world.inject("[2001:db8:1111:2222:3333:4444:5555:6666]:5060", BOB, question.as_bytes());
        assert_eq!(world.log.len(), 1);
        let longer = world.log[0].bytes.len() - question.len();
        assert!(longer <= 400, "{longer} more");
    }
    let stats = stats(&world);
    assert_eq!((stats.transactions, stats.legs, stats.bindings), (0, 0, 0));
    assert_eq!(stats.challenges_sent, 20_000);
    assert_eq!(world.endpoints[&addr(BOB)].poll_timeout(), None);
}

#[test]
fn a_full_table_of_counts_forgets_without_being_fooled() {
    let mut world = registrar(Config::default());
    let mut phone = phone();
    phone.register(&mut world, "");
    let recorded = phone.nonce.clone();
    // Somebody who knows a password uses one nonce after the other.
    let mut busy = Phone::new("198.51.100.21:5060", "202", "secret-2");
    for _ in 0..4_200 {
        world.now += Duration::from_millis(1);
        assert_eq!(busy.register(&mut world, "").kind(), "200 REGISTER");
    }
    // What the first phone has said was forgotten: it is stale now, and not new.
    let mut thief = Phone { nonce: recorded, nc: 0, call_id: "thief".into(), ..phone.clone() };
    let request = thief.signed("REGISTER", "sip:offhook", "Contact: <sip:thief@h>\r\n");
    let answer = thief.say(&mut world, &request).expect("an answer");
    assert!(challenges(&answer)[0].ends_with(", stale=true"));
    // And the first phone has only to ask again.
    assert_eq!(phone.register(&mut world, "").kind(), "200 REGISTER");
}
