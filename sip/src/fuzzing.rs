//! What must hold for any bytes at all. Beside the code, so that libFuzzer targets and the test on the stable
//! toolchain run the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::{Admission, Advertised, Config, Path, Transport};
use crate::endpoint::Endpoint;
use crate::event::{Body, Event, Invite, LegId, Ping, Register, RegistrationId, RequestId, SendMessage};
use crate::identity;
use crate::message::{Head, Message, NameAddr, Params, ParseError, Uri, Via, parse};
use crate::passport;
use crate::registrar::{Account, Registrar};
use crate::source::Network;

/// Any bytes: read without a panic; what is read prints to something that reads the same.
pub fn message(bytes: &[u8]) {
    match parse(bytes) {
        Ok(message) => {
            let again = parse(&message.to_bytes());
            // Content-Length is ours when printing; all else must be the same.
            let strip = |mut message: Message| {
                match &mut message {
                    Message::Request(request) => request.headers.remove("Content-Length"),
                    Message::Response(response) => response.headers.remove("Content-Length"),
                }
                message
            };
            assert_eq!(again.map(strip), Ok(strip(message.clone())));
            let head = match &message {
                Message::Request(request) => Head::of_request(request),
                Message::Response(response) => Head::of_response(response),
            };
            if let Ok(head) = head {
                header::<NameAddr>(&head.from.to_string());
                header::<NameAddr>(&head.to.to_string());
                header::<Via>(&head.via.to_string());
            }
            for (name, _) in message.headers().iter() {
                let _ = message.headers().name_addrs(name);
                let _ = message.headers().seconds(name);
            }
        }
        Err(ParseError::BadRequest { request, .. }) => {
            let _ = request.to_bytes();
        }
        Err(_) => {}
    }
}

/// Any bytes as STUN.
pub fn stun(bytes: &[u8]) {
    if let Some((id, crate::stun::Response::Mapped(_))) = crate::stun::response(bytes) {
        assert!(crate::stun::is_stun(bytes) && bytes[8..20] == id);
    }
}

/// Any messages from a stranger, before an endpoint whose program does nothing: no answer is much longer than its question, no
/// table grows beyond its ceiling, and when the last timer has gone nothing is left.
pub fn stranger(start: Instant, messages: &[Vec<u8>]) {
    let config = Config {
        max_legs: 3,
        max_transactions: 20,
        message_types: vec!["text/plain".into()],
        take_refers: true,
        take_replaces: true,
        registrar: Some(Registrar::default()),
        ..Config::default()
    };
    let mut endpoint = Endpoint::new(config, [3; 32]);
    if messages.len().is_multiple_of(2) {
        // Then everybody is asked for a password, and nobody gets far.
        let account =
            Account { username: "a".into(), password: "p".into(), register: true, max_contacts: None };
        endpoint.set_accounts(vec![account]);
    }
    let at = |last: u8| SocketAddr::from(([192, 0, 2, last], 5060));
    let path = Path { transport: Transport::Udp, local: at(1), remote: at(2) };
    let mut now = start;
    for bytes in messages {
        endpoint.handle_message(now, path, bytes);
        while let Some(sent) = endpoint.poll_transmit() {
            assert!(sent.bytes.len() <= bytes.len() + 400, "{} for {}", sent.bytes.len(), bytes.len());
        }
        let stats = endpoint.stats();
        // A leg of ours has transactions of its own beyond the ceiling, to end decently.
        assert!(stats.legs <= 3 && stats.transactions <= 20 + 2 * 3, "{stats:?}");
        now += Duration::from_millis(100);
    }
    for _ in 0..10_000 {
        let Some(next) = endpoint.poll_timeout() else {
            break;
        };
        assert!(next <= start + Duration::from_secs(3_600), "a timer of more than an hour");
        now = now.max(next);
        endpoint.handle_timeout(now);
        while endpoint.poll_transmit().is_some() || endpoint.poll_event().is_some() {}
    }
    let stats = endpoint.stats();
    assert_eq!((stats.legs, stats.transactions, endpoint.poll_timeout()), (0, 0, None), "left behind");
}

/// Any text as each typed header: no panic, and what is read prints to something that reads the same.
pub fn text(text: &str) {
    header::<Uri>(text);
    header::<NameAddr>(text);
    header::<Via>(text);
    let _ = passport::parse(text);
    let names =
        ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "Privacy", "Identity"];
    let headers: Vec<_> = names.iter().map(|name| (name.to_string(), text.to_owned())).collect();
    let _ = identity::of(&headers);
}

fn header<T>(text: &str)
where
    T: std::str::FromStr + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        match printed.parse::<T>() {
            Ok(again) => assert_eq!(again, value, "{printed:?}"),
            Err(_) => panic!("{text:?} printed as {printed:?}, which does not read"),
        }
    }
}

/// Bytes as a script of what the world and the program do to one endpoint, which talks to a second one over a
/// network that loses, mangles and repeats. At the end everything is hung up: nothing may be left.
pub fn endpoint(start: Instant, script: &[u8]) {
    let addr = |last: u8| SocketAddr::from(([192, 0, 2, last], 5060));
    let path = |from: u8, to: u8| Path { transport: Transport::Udp, local: addr(from), remote: addr(to) };
    let mut now = start;
    let config = Config {
        max_legs: 20,
        max_transactions: 100,
        message_types: vec!["text/plain".into()],
        take_refers: true,
        take_replaces: true,
        registrar: Some(Registrar { max_expires: Duration::from_secs(300), ..Registrar::default() }),
        ..Config::default()
    };
    let mut ends = [Endpoint::new(config.clone(), [1; 32]), Endpoint::new(config, [2; 32])];
    let account = |n: usize| Account {
        username: if n & 1 == 0 { "a".into() } else { "b".into() },
        password: "p".into(),
        register: n & 2 == 0,
        max_contacts: None,
    };
    let everybody: Vec<Network> = [addr(1), addr(2)].iter().map(|addr| addr.ip().into()).collect();
    for end in &mut ends {
        end.set_accounts(vec![account(0)]);
        end.set_trusted(everybody.clone());
    }
    let mut seen = Seen::default();
    let mut registrations: Vec<RegistrationId> = Vec::new();
    let uri = |text: &str| -> Uri { text.parse().unwrap_or_else(|_| Uri::Other("x:y".into())) };
    let sdp = || Body::sdp("v=0\r\n");
    for pair in script.chunks(2) {
        let (op, arg) = (pair[0], usize::from(*pair.get(1).unwrap_or(&0)));
        let side = usize::from(op >> 7);
        let (from, to) = (side as u8 + 1, 2 - side as u8);
        let legs = &seen.legs[side];
        let leg = legs.get(arg % legs.len().max(1)).copied().unwrap_or(LegId(arg as u64));
        let end = &mut ends[side];
        match op & 0x1f {
            0 => {
                let invite = Invite {
                    to: uri("sip:b@192.0.2.2"),
                    from: NameAddr::from(uri("sip:a@192.0.2.1")),
                    credentials: (arg & 2 == 0)
                        .then(|| crate::Credentials { username: "a".into(), password: "p".into() }),
                    path: path(from, to),
                    route: Vec::new(),
                    headers: vec![("X".into(), "y\r\nz".into())],
                    body: (arg & 1 == 0).then(sdp),
                    redirects: 2,
                };
                // The program is not bound by the ceiling; the script is, so that a run stays short.
                if end.stats().legs < 20 {
                    seen.legs[side].push(end.invite(now, invite));
                }
            }
            1 => end.ring(now, leg, 180 + arg as u16 % 4, (arg & 8 != 0).then(sdp)),
            2 | 3 => end.answer(now, leg, sdp()),
            4 => end.reject(now, leg, 400 + arg as u16),
            5 | 6 => end.hangup(now, leg, None),
            7 => end.reoffer(now, leg, sdp()),
            8 => end.accept_offer(now, leg, sdp()),
            9 => end.refuse_offer(now, leg, 488),
            10 => end.send_dtmf(now, leg, '#', Duration::from_millis(arg as u64)),
            11 => end.set_admission(if arg & 1 == 0 {
                Admission::Open
            } else {
                Admission::Draining { retry_after: Duration::ZERO }
            }),
            12 if registrations.len() < 4 => {
                let register = Register {
                    registrar: uri("sip:192.0.2.2"),
                    aor: uri("sip:a@192.0.2.2"),
                    contact_user: "a".into(),
                    credentials: crate::Credentials { username: "a".into(), password: "p".into() },
                    expires: Duration::from_secs(arg as u64),
                    path: path(1, 2),
                    route: Vec::new(),
                };
                registrations.push(ends[0].register(now, register));
            }
            13 => {
                // An old packet again, one byte of it changed.
                if let Some((to, bytes)) = seen.packets.get(arg % seen.packets.len().max(1)) {
                    let (to, mut bytes) = (*to, bytes.clone());
                    let at = (arg * 7919) % bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = byte.wrapping_add(op);
                    }
                    ends[to].handle_message(now, path(to as u8 + 1, 2 - to as u8), &bytes);
                }
            }
            14 => {
                if let Some((to, bytes)) = seen.packets.get(arg % seen.packets.len().max(1)) {
                    ends[*to].handle_message(now, path(*to as u8 + 1, 2 - *to as u8), bytes);
                }
            }
            16 => {
                let message = SendMessage {
                    to: uri("sip:b@192.0.2.2"),
                    from: NameAddr::from(uri("sip:a@192.0.2.1")),
                    credentials: Some(crate::Credentials { username: "a".into(), password: "p".into() }),
                    path: path(from, to),
                    route: Vec::new(),
                    headers: Vec::new(),
                    call_id: (arg & 1 == 0).then(|| format!("again-{}", arg & 6)),
                    body: Body { content_type: "text/plain".into(), bytes: vec![b'x'; arg * 5] },
                };
                if seen.messages < 20 {
                    seen.messages += 1;
                    end.message(now, message);
                }
            }
            17 => {
                if let Some(id) = seen.requests.get(arg % seen.requests.len().max(1)) {
                    end.answer_message(now, *id, 200 + arg as u16);
                }
            }
            18 if arg & 1 == 0 => end.refer(now, leg, uri("sip:c@192.0.2.3")),
            18 => end.refer_to_leg(now, leg, LegId(arg as u64)),
            19 => end.accept_refer(now, leg),
            20 => end.refuse_refer(now, leg, 400 + arg as u16),
            21 => end.refer_progress(now, leg, 100 + arg as u16 * 2),
            22 if seen.pings < 20 => {
                let ping = Ping {
                    to: uri("sip:192.0.2.2"),
                    from: NameAddr::from(uri("sip:a@192.0.2.1")),
                    path: path(from, to),
                };
                seen.pings += 1;
                end.ping(now, ping);
            }
            23 => {
                let host = format!("198.51.100.{}", arg % 4);
                let port = (arg & 1 == 0).then_some(5060);
                end.set_advertised(now, vec![Advertised { transport: Transport::Udp, host, port }]);
            }
            24 => {
                if let Some(id) = registrations.get(arg % registrations.len().max(1)) {
                    let remote = SocketAddr::from(([192, 0, 2, 2], 5060 + arg as u16 % 3));
                    ends[0].move_registration(now, *id, Path { remote, ..path(1, 2) });
                }
            }
            26 => end.redirect(now, leg, (arg & 1 == 0).then(|| path(from, to))),
            27 => end.reject(now, leg, 300 + arg as u16 % 10),
            28 => {
                end.set_public_address(now, addr(from), SocketAddr::from(([198, 51, 100, 1], 1 + arg as u16)))
            }
            25 => end.handle_flow_lost(now, path(from, to)),
            29 if arg & 4 == 0 => end.set_accounts((0..arg % 4).map(account).collect()),
            29 => end.set_trusted(if arg & 1 == 0 { everybody.clone() } else { Vec::new() }),
            30 => {
                for binding in end.bindings(now, "a") {
                    assert!(binding.expires > Duration::ZERO, "{binding:?}");
                }
            }
            15 => now += Duration::from_secs(arg as u64),
            _ => now += Duration::from_millis(arg as u64 * 4),
        }
        let lose = op & 0x60 == 0x60;
        exchange(&mut ends, now, lose, &mut seen);
    }
    for id in registrations {
        ends[0].unregister(now, id);
    }
    for _ in 0..400 {
        // Also the calls that were on their way when all others were hung up.
        for (end, legs) in ends.iter_mut().zip(seen.legs.clone()) {
            for leg in legs {
                end.hangup(now, leg, None);
            }
        }
        exchange(&mut ends, now, false, &mut seen);
        now += Duration::from_secs(1);
    }
    for (side, end) in ends.iter().enumerate() {
        let stats = end.stats();
        assert_eq!((stats.legs, stats.transactions), (0, 0), "left behind");
        assert_eq!((stats.registrations, stats.bindings), (0, 0), "left behind");
        assert_eq!(end.poll_timeout(), None, "a timer is left");
        assert!(seen.legs[side].is_empty(), "every leg ends");
    }
    assert_eq!(seen.messages, 0, "every message has its result");
    assert_eq!(seen.pings, 0, "every ping has its answer");
}

/// What the program knows.
#[derive(Default)]
struct Seen {
    /// Legs that have not ended, of each side.
    legs: [Vec<LegId>; 2],
    /// The last packets, and the side that they were meant for.
    packets: Vec<(usize, Vec<u8>)>,
    /// Messages of ours without result.
    messages: usize,
    /// Pings of ours without answer.
    pings: usize,
    /// Messages of theirs.
    requests: Vec<RequestId>,
}

fn exchange(ends: &mut [Endpoint; 2], now: Instant, lose: bool, seen: &mut Seen) {
    for _ in 0..50 {
        let mut quiet = true;
        for side in 0..2 {
            ends[side].handle_timeout(now);
            while let Some(transmit) = ends[side].poll_transmit() {
                quiet = false;
                if seen.packets.len() >= 64 {
                    seen.packets.remove(0);
                }
                seen.packets.push((1 - side, transmit.bytes.to_vec()));
                if !lose {
                    let back =
                        Path { local: transmit.path.remote, remote: transmit.path.local, ..transmit.path };
                    ends[1 - side].handle_message(now, back, &transmit.bytes);
                }
            }
            while let Some(event) = ends[side].poll_event() {
                let legs = &mut seen.legs[side];
                match &event {
                    Event::Incoming { leg, .. } => {
                        assert!(!legs.contains(leg), "twice");
                        legs.push(*leg);
                    }
                    Event::Progress { leg, .. }
                    | Event::Redirected { leg, .. }
                    | Event::Answered { leg, .. }
                    | Event::Established { leg, .. }
                    | Event::Reoffer { leg, .. }
                    | Event::Reanswer { leg, .. }
                    | Event::Refer { leg, .. }
                    | Event::ReferProgress { leg, .. }
                    | Event::Dtmf { leg, .. } => assert!(legs.contains(leg), "{event:?} after the end"),
                    Event::Ended { leg, .. } => {
                        assert!(legs.contains(leg), "{event:?} for the second time");
                        legs.retain(|one| one != leg);
                    }
                    Event::Message { id, .. } => seen.requests.push(*id),
                    Event::MessageResult { .. } => seen.messages -= 1,
                    Event::Pong { .. } => seen.pings -= 1,
                    Event::Registration { .. }
                    | Event::ServiceRoute { .. }
                    | Event::Bound { .. }
                    | Event::FlowLost { .. }
                    | Event::PublicAddress { .. }
                    | Event::Banned { .. } => {}
                }
            }
        }
        if quiet {
            return;
        }
    }
}

/// A deterministic stream of numbers for scripts and mutations.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    /// A few bytes changed, cut, doubled or replaced by something that has a meaning in SIP.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        const WORDS: [&[u8]; 24] = [
            b"\r\n",
            b"\r\n\r\n",
            b"\n ",
            b"\"",
            b"<",
            b">",
            b";",
            b",",
            b":",
            b"@",
            b"%00",
            b"%",
            b"\\",
            b"[::1]",
            b"SIP/2.0",
            b"Content-Length: 99999999999999999999",
            b"l: 0\r\n",
            b";tag=",
            b"z9hG4bK",
            b"\xff\xfe",
            b"\0",
            b"sip:",
            b"tel:+",
            b"=",
        ];
        let mut out = bytes.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(out.len() + 1);
            match self.roll(6) {
                0 if at < out.len() => out[at] = self.roll(256) as u8,
                1 if at < out.len() => out[at] ^= 1 << self.roll(8),
                2 => out.truncate(at),
                3 => {
                    let until = (at + self.roll(40)).min(out.len());
                    let copy = out[at..until].to_vec();
                    let to = self.roll(out.len() + 1);
                    out.splice(to..to, copy);
                }
                4 => {
                    let until = (at + self.roll(20)).min(out.len());
                    out.drain(at..until);
                }
                _ => {
                    let word = WORDS[self.roll(WORDS.len())];
                    out.splice(at..at, word.iter().copied());
                }
            }
        }
        out
    }
}

/// Parameters stand on their own too.
pub fn params(text: &str) {
    for parse in [Params::parse_header, Params::parse_uri] {
        if let Ok(params) = parse(text) {
            assert_eq!(parse(&params.to_string()).as_ref(), Ok(&params), "{text:?}");
        }
    }
}
