//! Mutated messages and random scripts: no panic, no leak. Deterministic; `OFFHOOK_FUZZ_INPUTS` makes the run
//! longer (default 50,000 inputs).

#![allow(clippy::disallowed_methods, reason = "the virtual clock has to start somewhere")]

use std::time::Instant;

use sip::fuzzing::{self, Dice};
use sip::{Config, Endpoint, Path, Transport};

const SEEDS: [&str; 8] = [
    "INVITE sip:bob@[2001:db8::1]:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776;rport\r\nMax-Forwards: 70\r\n\
     From: \"A \\\"B\\\" C\" <sip:a@b>;tag=1\r\nTo: <sip:bob@[2001:db8::1]>\r\nCall-ID: abc@h\r\nCSeq: 314159 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n\
     Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nSupported: timer, 100rel\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx;received=1.2.3.4;rport=9\r\nf: <sip:a@b>;tag=1\r\nt: sip:c@d;tag=2\r\ni: x\r\nCSeq: 1 INVITE\r\nm: *\r\nl: 0\r\n\r\n",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 1 REGISTER\r\n\
     WWW-Authenticate: Digest realm=\"a, b\", nonce=\"x\", qop=\"auth,auth-int\", algorithm=SHA-256, stale=true\r\n\r\n",
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP / 2.0 / UDP h : 5060 ;branch=z9hG4bKx\r\nFrom: a<tel:+1-201;phone-context=x>;tag=1\r\nTo: <sips:c@d>\r\n\
     Call-ID: i\r\nCSeq: 1\r\n REGISTER\r\nContact: \"x\" <sip:a@h;ob>;q=0.5;expires=60;+sip.instance=\"<urn:uuid:1>\"\r\n\r\n",
    "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 2 BYE\r\nReason: Q.850;cause=16\r\n\r\n",
    "CANCEL sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 CANCEL\r\n\r\n",
    "INFO sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKy\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: i\r\nCSeq: 3 INFO\r\n\
     Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n",
    "OPTIONS urn:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKz\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\nCSeq: 1 OPTIONS\r\nRequire: x\r\n\r\n",
];

fn inputs() -> usize {
    std::env::var("OFFHOOK_FUZZ_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000)
}

#[test]
fn mutated_messages_are_read_or_refused() {
    let mut dice = Dice::new(1);
    let now = Instant::now();
    let new = || Endpoint::new(Config { max_legs: 100, ..Config::default() }, [9; 32]);
    let mut endpoint = new();
    let path = Path {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().expect("an address"),
        remote: "192.0.2.2:5060".parse().expect("an address"),
    };
    for n in 0..inputs() {
        let bytes = dice.mutate(SEEDS[dice.clone().roll(SEEDS.len())].as_bytes());
        fuzzing::message(&bytes);
        if n % 1000 == 0 {
            endpoint = new();
        }
        endpoint.handle_message(now, path, &bytes);
        while let Some(sent) = endpoint.poll_transmit() {
            // No amplification: an answer is hardly longer than its question.
            assert!(sent.bytes.len() < bytes.len() + 400, "{} for {}", sent.bytes.len(), bytes.len());
        }
        while endpoint.poll_event().is_some() {}
        assert!(endpoint.stats().legs <= 100 && endpoint.stats().transactions <= 300);
    }
}

#[test]
fn strangers_leave_nothing_behind() {
    let start = Instant::now();
    let mut dice = Dice::new(4);
    for _ in 0..inputs() / 50 {
        let messages: Vec<Vec<u8>> = (0..1 + dice.roll(4))
            .map(|_| {
                let seed = dice.roll(SEEDS.len());
                dice.mutate(SEEDS[seed].as_bytes())
            })
            .collect();
        fuzzing::stranger(start, &messages);
    }
}

#[test]
fn mutated_headers_are_read_or_refused() {
    let seeds = [
        "sip:+1-201-555;x=y@[2001:db8::1]:5070;transport=udp;lr?a=b&c=%20",
        "\"A \\\" <sip:x@y>\" <sips:a:b@h;x>;tag=1;q=0.5;x=\"y;z\"",
        "tel:+1-201-555-0123;phone-context=x;isub=1",
        "SIP / 2.0 / UDP [::1]:5060 ;branch=z9hG4bKx;rport;received=::1",
        "Anna Bell <sip:a@b>;tag",
        "eyJ0eXAiOiJwYXNzcG9ydCJ9.e30.AAAA;info=<https://a.example/b>;alg=ES256;ppt=\"shaken\"",
        "\"A\" <sip:1@h>;reason=user-busy;counter=3;privacy=full;screen=yes;party=called, <tel:+1>",
    ];
    let mut dice = Dice::new(2);
    for _ in 0..inputs() {
        let bytes = dice.mutate(seeds[dice.clone().roll(seeds.len())].as_bytes());
        let text = String::from_utf8_lossy(&bytes);
        fuzzing::text(&text);
        fuzzing::params(&text);
    }
}

#[test]
fn mutated_stun_is_read_or_refused() {
    let mut seed =
        b"\x01\x01\x00\x24\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae".to_vec();
    seed.extend(b"\x80\x22\x00\x0btest vector \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
    seed.extend(b"\x80\x28\x00\x04\xc0\x7d\x4c\x96");
    let mut dice = Dice::new(5);
    for _ in 0..inputs() {
        fuzzing::stun(&dice.mutate(&seed));
    }
}

#[test]
fn random_scripts_leave_nothing_behind() {
    let start = Instant::now();
    let mut dice = Dice::new(3);
    for _ in 0..inputs() / 100 {
        let script: Vec<u8> = (0..20 + dice.roll(200)).map(|_| dice.roll(256) as u8).collect();
        fuzzing::endpoint(start, &script);
    }
}
