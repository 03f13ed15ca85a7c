//! The 49 messages of RFC 4475, each with the verdict that we stand by. They are read from the folder that
//! `OFFHOOK_TORTURE` names; where it is absent, the test says that it skipped.

mod support;

use std::time::Duration;

use sip::message::{Defect, Head, Message, ParseError, parse};
use sip::{Config, Event};
use support::*;

/// What the endpoint does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Read, and passed on as a call.
    Rings,
    /// Read, and answered with this.
    Answers(u16),
    /// Read; a response or ACK that belongs to nothing of ours.
    Stray,
    /// A response that is none: dropped and counted.
    Malformed,
}
use Verdict::{Answers, Malformed, Rings, Stray};

/// RFC 4475's name, section, our verdict.
const VERDICTS: [(&str, &str, Verdict); 49] = [
    // 3.1.1: valid.
    // Read in full; it speaks of a dialog that there is not.
    ("wsinv", "3.1.1.1", Answers(481)),
    // An unknown method, read to the last odd character.
    ("intmeth", "3.1.1.2", Answers(501)),
    ("esc01", "3.1.1.3", Rings),
    // REGISTER is read, and we are no registrar.
    ("escnull", "3.1.1.4", Answers(405)),
    // `RE%47IST%45R` is not REGISTER.
    ("esc02", "3.1.1.5", Answers(501)),
    ("lwsdisp", "3.1.1.6", Answers(200)),
    ("longreq", "3.1.1.7", Rings),
    ("dblreq", "3.1.1.8", Answers(405)),
    ("semiuri", "3.1.1.9", Answers(200)),
    ("transports", "3.1.1.10", Answers(200)),
    ("mpart01", "3.1.1.11", Answers(405)),
    ("unreason", "3.1.1.12", Stray),
    ("noreason", "3.1.1.13", Stray),
    // 3.1.2: invalid.
    ("badinv01", "3.1.2.1", Answers(400)),
    ("clerr", "3.1.2.2", Answers(400)),
    ("ncl", "3.1.2.3", Answers(400)),
    ("scalar02", "3.1.2.4", Answers(400)),
    ("scalarlg", "3.1.2.5", Malformed),
    ("quotbal", "3.1.2.6", Answers(400)),
    ("ltgtruri", "3.1.2.7", Answers(400)),
    ("lwsruri", "3.1.2.8", Answers(400)),
    ("lwsstart", "3.1.2.9", Answers(400)),
    ("trws", "3.1.2.10", Answers(400)),
    ("escruri", "3.1.2.11", Answers(400)),
    // Date is not read; the RFC leaves the choice.
    ("baddate", "3.1.2.12", Rings),
    ("regbadct", "3.1.2.13", Answers(400)),
    // Blanks inside the brackets are passed over; the RFC leaves the choice.
    ("badaspec", "3.1.2.14", Answers(200)),
    ("baddn", "3.1.2.15", Answers(400)),
    ("badvers", "3.1.2.16", Answers(505)),
    ("mismatch01", "3.1.2.17", Answers(400)),
    ("mismatch02", "3.1.2.18", Answers(400)),
    ("bigcode", "3.1.2.19", Malformed),
    // 3.2: transaction layer.
    ("badbranch", "3.2.1", Answers(200)),
    // 3.3: application layer.
    ("insuf", "3.3.1", Answers(400)),
    ("unkscm", "3.3.2", Answers(416)),
    ("novelsc", "3.3.3", Answers(416)),
    ("unksm2", "3.3.4", Answers(405)),
    ("bext01", "3.3.5", Answers(420)),
    ("invut", "3.3.6", Answers(415)),
    ("regaut01", "3.3.7", Answers(405)),
    ("multi01", "3.3.8", Answers(400)),
    ("mcl01", "3.3.9", Answers(400)),
    ("bcast", "3.3.10", Stray),
    // Max-Forwards is for proxies; the one it reaches answers.
    ("zeromf", "3.3.11", Answers(200)),
    ("cparam01", "3.3.12", Answers(405)),
    ("cparam02", "3.3.13", Answers(405)),
    ("regescrt", "3.3.14", Answers(405)),
    // The Accept of the caller is the program's affair.
    ("sdp01", "3.3.15", Rings),
    // 3.4: RFC 2543.
    ("inv2543", "3.4.1", Rings),
];

type Case = (&'static str, &'static str, Verdict, Vec<u8>);

fn torture() -> Option<Vec<Case>> {
    let Some(folder) = std::env::var_os("OFFHOOK_TORTURE") else {
        eprintln!("skipped: OFFHOOK_TORTURE does not name the folder of the RFC 4475 messages");
        return None;
    };
    let read = |name: &str| {
        let file = std::path::Path::new(&folder).join(format!("{name}.dat"));
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    Some(VERDICTS.iter().map(|&(name, section, verdict)| (name, section, verdict, read(name))).collect())
}

#[test]
fn every_message_gets_its_verdict() {
    let Some(messages) = torture() else {
        return;
    };
    for (name, section, verdict, bytes) in messages {
        let mut world = World::new();
        world.add(BOB, Config::default());
        world.inject(ALICE, BOB, &bytes);
        let stats = world.endpoints[&addr(BOB)].stats();
        let rang = world.take(BOB).iter().any(|event| matches!(event, Event::Incoming { .. }));
        let answers: Vec<String> = world.kinds();
        let found = match &answers[..] {
            [] if stats.malformed == 1 => Malformed,
            [] if stats.stray_responses == 1 => Stray,
            [one] if rang && one.starts_with("100 ") => Rings,
            [one] if !rang => Answers(one[..3].parse().expect("a status")),
            other => panic!("{name} ({section}): {other:?}"),
        };
        assert_eq!(found, verdict, "{name} ({section})");
        // Whatever it was: nothing of it stays.
        world.run_for(Duration::from_secs(200));
        world.assert_drained();
    }
}

/// What was read is what stands there, for the messages where a careless reader gets it wrong.
#[test]
fn the_odd_ones_are_read_to_the_letter() {
    let Some(messages) = torture() else {
        return;
    };
    let read = |name: &str| {
        let bytes = &messages.iter().find(|(n, ..)| *n == name).expect("a message").3;
        match parse(bytes) {
            Ok(Message::Request(request)) => request,
            other => panic!("{name}: {other:?}"),
        }
    };
    let head = |name: &str| Head::of_request(&read(name)).unwrap_or_else(|defect| panic!("{name}: {defect}"));

    let wsinv = head("wsinv");
    assert_eq!(wsinv.from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!((wsinv.to.tag(), wsinv.from.tag()), (Some("1918181833n"), Some("98asjd8")));
    assert_eq!((wsinv.cseq.number, wsinv.max_forwards, wsinv.vias), (9, Some(68), 3));
    assert_eq!(wsinv.via.branch(), Some("390skdjuw"));
    let wsinv = read("wsinv");
    assert_eq!(wsinv.headers.get("Subject").as_deref(), Some(""));
    assert_eq!(
        wsinv.headers.get("NewFangledHeader").as_deref(),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(
        wsinv.headers.name_addrs("Contact").expect("a contact")[0].params.get("newparam"),
        Some("newvalue")
    );
    assert_eq!(wsinv.body.len(), 150);

    let intmeth = read("intmeth");
    assert_eq!(intmeth.method.as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(intmeth.uri.host().map(ToString::to_string).as_deref(), Some("example.com"));
    assert_eq!(head("intmeth").to.display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));

    let esc01 = read("esc01");
    assert_eq!(esc01.uri.user().as_deref(), Some("sips:user@example.com"));
    assert_eq!(head("esc01").to.uri.user().as_deref(), Some("user"));
    assert_eq!(
        read("escnull").headers.name_addrs("Contact").expect("contacts")[1].uri.user().as_deref(),
        Some("\0\0")
    );
    assert_eq!(head("esc02").to.display.as_deref(), Some("%Z%45"));
    assert_eq!(read("semiuri").uri.user().as_deref(), Some("user;par=u@example.net"));
    assert!(read("dblreq").body.is_empty());
    assert_eq!(read("mpart01").body.len(), 553);
    assert_eq!(read("longreq").headers.list("Via").len(), 34);
}

#[test]
fn the_broken_ones_say_what_is_broken() {
    let Some(messages) = torture() else {
        return;
    };
    for (name, defect) in [
        ("clerr", Defect::Truncated),
        ("ncl", Defect::ContentLength),
        ("ltgtruri", Defect::RequestUri),
        ("lwsruri", Defect::RequestUri),
        ("escruri", Defect::RequestUri),
        ("trws", Defect::StartLine),
        ("badvers", Defect::Version),
    ] {
        let bytes = &messages.iter().find(|(n, ..)| *n == name).expect("a message").3;
        match parse(bytes) {
            Err(ParseError::BadRequest { defect: found, .. }) => assert_eq!(found, defect, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Over real sockets.
#[cfg(feature = "net")]
mod on_the_wire {
    use support::verdict::Verdict as Seen;
    use support::wire::{After, Wire};

    use super::*;

    fn seen(verdict: Verdict) -> Seen {
        match verdict {
            Rings => Seen::Rings,
            Answers(status) => Seen::Answers(status),
            Stray | Malformed => Seen::Silent,
        }
    }

    /// What only a stream does, because it has to know where a message ends (RFC 3261 §18.3).
    fn on_a_stream(name: &str, verdict: Verdict) -> (Seen, After) {
        match name {
            // No number, two numbers, none at all.
            "ncl" | "mcl01" | "inv2543" => (Seen::Answers(400), After::Closes),
            // More body than comes; and no empty line behind the headers.
            "clerr" | "baddn" => (Seen::Answers(400), After::Waits),
            _ => (seen(verdict), After::Goes),
        }
    }

    #[tokio::test]
    async fn the_same_verdict_over_udp() {
        let Some(messages) = torture() else {
            return;
        };
        let Some(mut wire) = Wire::with_default_port(Config::default()).await else {
            return;
        };
        for (name, section, verdict, bytes) in messages {
            assert_eq!(wire.udp(&bytes).await, seen(verdict), "{name} ({section})");
        }
        wire.serves().await;
        wire.end().await;
    }

    #[tokio::test]
    async fn the_same_verdict_over_tcp() {
        let Some(messages) = torture() else {
            return;
        };
        let mut wire = Wire::new(Config::default()).await;
        let mut wrong = Vec::new();
        // On a stream, what stands behind the first request of `dblreq` is a second one.
        for (name, section, verdict, bytes) in messages.into_iter().filter(|case| case.0 != "dblreq") {
            let (verdict, after) = on_a_stream(name, verdict);
            let found = wire.tcp(&bytes, after).await;
            if found != Ok(verdict) {
                wrong.push(format!("{name} ({section}): {found:?}, not {verdict:?} ({after:?})"));
            }
            wire.serves().await;
        }
        wire.end().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
