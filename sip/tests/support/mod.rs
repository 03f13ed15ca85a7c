//! A network of endpoints on a virtual clock. No sockets, no sleeps: time jumps to whatever is due next.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, reason = "the virtual clock has to start somewhere")]

pub mod handmade;
#[cfg(feature = "net")]
pub mod papers;
pub mod phone;
#[path = "../../../tests/support/ports.rs"]
pub mod ports;
pub mod verdict;
#[cfg(feature = "net")]
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::message::{Message, Method, parse};
use sip::{
    Body, Cause, Config, Credentials, Endpoint, Event, Invite, LegId, NameAddr, Path, Register,
    RegistrationState, Transport, Uri,
};

pub const ALICE: &str = "192.0.2.1:5060";
pub const BOB: &str = "192.0.2.2:5060";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn uri(text: &str) -> Uri {
    text.parse().expect("a uri")
}

pub fn path(local: &str, remote: &str) -> Path {
    Path { transport: Transport::Udp, local: addr(local), remote: addr(remote) }
}

pub fn offer() -> Body {
    Body::sdp(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
    )
}

pub fn reply() -> Body {
    Body::sdp(
        "v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n",
    )
}

pub fn invite(from: &str, to: &str) -> Invite {
    Invite {
        to: uri(&format!("sip:bob@{to}")),
        from: NameAddr::new(Some("Alice".into()), uri(&format!("sip:alice@{from}"))),
        credentials: None,
        path: path(from, to),
        route: Vec::new(),
        headers: Vec::new(),
        body: Some(offer()),
        redirects: 0,
    }
}

pub fn register(from: &str, to: &str) -> Register {
    Register {
        registrar: uri("sip:example.com"),
        aor: uri("sip:alice@example.com"),
        contact_user: "alice".into(),
        credentials: Credentials { username: "alice".into(), password: "secret".into() },
        expires: Duration::from_secs(3600),
        path: path(from, to),
        route: Vec::new(),
    }
}

/// What the network does to the packet with this number (from 1 on, in the order of sending).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Deliver,
    Drop,
    Duplicate,
    /// Arrives after everything that is sent within the next 100 ms.
    Late,
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub number: usize,
    pub at: Duration,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    pub dropped: bool,
}

impl Sent {
    /// `INVITE`, or `200 INVITE`.
    pub fn kind(&self) -> String {
        match parse(&self.bytes) {
            Ok(Message::Request(request)) => request.method.to_string(),
            Ok(Message::Response(response)) => {
                let cseq = response.headers.get("CSeq").unwrap_or_default().into_owned();
                format!("{} {}", response.status, cseq.split(' ').nth(1).unwrap_or_default())
            }
            Err(error) => error.to_string(),
        }
    }

    pub fn message(&self) -> Message {
        parse(&self.bytes).expect("our own messages parse")
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.message().headers().get(name).map(|v| v.into_owned())
    }
}

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub endpoints: BTreeMap<SocketAddr, Endpoint>,
    /// Events per endpoint that no script has taken.
    pub events: BTreeMap<SocketAddr, Vec<Event>>,
    /// Every packet that was sent, in order.
    pub log: Vec<Sent>,
    /// Packets for addresses where no endpoint lives.
    pub outside: VecDeque<Sent>,
    flying: BTreeMap<(Instant, usize), Sent>,
    fate: Box<dyn FnMut(usize) -> Fate>,
    copies: usize,
}

const DELAY: Duration = Duration::from_millis(10);

impl World {
    pub fn new() -> Self {
        Self::with_fate(|_| Fate::Deliver)
    }

    pub fn with_fate(fate: impl FnMut(usize) -> Fate + 'static) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            endpoints: BTreeMap::new(),
            events: BTreeMap::new(),
            log: Vec::new(),
            outside: VecDeque::new(),
            flying: BTreeMap::new(),
            fate: Box::new(fate),
            copies: 0,
        }
    }

    pub fn add(&mut self, at: &str, config: Config) {
        let seed = [self.endpoints.len() as u8 + 1; 32];
        self.endpoints.insert(addr(at), Endpoint::new(config, seed));
    }

    /// Alice and Bob.
    pub fn pair() -> Self {
        let mut world = Self::new();
        world.add(ALICE, Config::default());
        world.add(BOB, Config::default());
        world
    }

    pub fn act<T>(&mut self, at: &str, act: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.endpoints.get_mut(&addr(at)).expect("an endpoint"), now);
        self.collect();
        result
    }

    /// Puts a message of our own making in front of an endpoint, as if it came from `from`.
    pub fn inject(&mut self, from: &str, to: &str, bytes: &[u8]) {
        let now = self.now;
        let endpoint = self.endpoints.get_mut(&addr(to)).expect("an endpoint");
        endpoint.handle_message(now, path(to, from), bytes);
        self.collect();
    }

    fn collect(&mut self) {
        for (&from, endpoint) in &mut self.endpoints {
            while let Some(transmit) = endpoint.poll_transmit() {
                assert_eq!(transmit.path.local, from, "sent from a socket that is not there");
                let number = self.log.len() + 1;
                let fate = (self.fate)(number);
                let sent = Sent {
                    number,
                    at: self.now - self.start,
                    from,
                    to: transmit.path.remote,
                    bytes: transmit.bytes.to_vec(),
                    dropped: fate == Fate::Drop,
                };
                self.log.push(sent.clone());
                let delay = if fate == Fate::Late { DELAY + Duration::from_millis(100) } else { DELAY };
                let times = match fate {
                    Fate::Drop => 0,
                    Fate::Duplicate => 2,
                    Fate::Deliver | Fate::Late => 1,
                };
                for _ in 0..times {
                    self.copies += 1;
                    self.flying.insert((self.now + delay, self.copies), sent.clone());
                }
            }
            while let Some(event) = endpoint.poll_event() {
                self.events.entry(from).or_default().push(event);
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let packet = self.flying.keys().next().map(|(at, _)| *at);
        let timer = self.endpoints.values().filter_map(Endpoint::poll_timeout).min();
        [packet, timer].into_iter().flatten().min()
    }

    /// One packet or one instant of timers. `false` when nothing is left to happen before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(at) = self.next().filter(|at| *at <= until) else {
            return false;
        };
        self.now = self.now.max(at);
        if let Some((&key, _)) = self.flying.iter().next()
            && key.0 <= at
        {
            let sent = self.flying.remove(&key).expect("it was there");
            match self.endpoints.get_mut(&sent.to) {
                Some(endpoint) => {
                    let path = Path { transport: Transport::Udp, local: sent.to, remote: sent.from };
                    endpoint.handle_message(at, path, &sent.bytes);
                }
                None => self.outside.push_back(sent),
            }
        } else {
            for endpoint in self.endpoints.values_mut() {
                endpoint.handle_timeout(at);
            }
        }
        self.collect();
        true
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Until the network is empty, but no timer further than `grace` away.
    pub fn settle(&mut self) {
        self.run_for(Duration::from_millis(150));
    }

    /// Takes the events of one endpoint.
    pub fn take(&mut self, at: &str) -> Vec<Event> {
        self.events.remove(&addr(at)).unwrap_or_default()
    }

    pub fn incoming(&mut self, at: &str) -> (LegId, sip::IncomingCall) {
        for event in self.take(at) {
            if let Event::Incoming { leg, request } = event {
                return (leg, *request);
            }
        }
        panic!("nobody calls {at}; sent so far: {:?}", self.kinds());
    }

    pub fn kinds(&self) -> Vec<String> {
        self.log.iter().map(Sent::kind).collect()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.log.iter().filter(|sent| sent.kind() == kind).count()
    }

    pub fn last(&self, kind: &str) -> &Sent {
        self.log
            .iter()
            .rfind(|sent| sent.kind() == kind)
            .unwrap_or_else(|| panic!("no {kind} in {:?}", self.kinds()))
    }

    /// An established call: Alice's leg and Bob's leg.
    pub fn call(&mut self) -> (LegId, LegId) {
        let alice = self.act(ALICE, |e, now| e.invite(now, invite(ALICE, BOB)));
        self.settle();
        let (bob, _) = self.incoming(BOB);
        self.act(BOB, |e, now| e.answer(now, bob, reply()));
        self.settle();
        (alice, bob)
    }

    /// After everything is over: nothing may be left behind.
    pub fn assert_drained(&mut self) {
        self.run_for(Duration::from_secs(120));
        for (at, endpoint) in &self.endpoints {
            let stats = endpoint.stats();
            assert_eq!(stats.legs, 0, "legs left at {at}: {:?}", self.kinds());
            assert_eq!(stats.transactions, 0, "transactions left at {at}: {:?}", self.kinds());
            assert_eq!(endpoint.poll_timeout(), None, "a timer left at {at}: {:?}", self.kinds());
        }
    }
}

pub fn ended(events: &[Event]) -> Vec<Cause> {
    events
        .iter()
        .filter_map(|event| if let Event::Ended { cause, .. } = event { Some(cause.clone()) } else { None })
        .collect()
}

pub fn states(events: &[Event]) -> Vec<RegistrationState> {
    events
        .iter()
        .filter_map(
            |event| if let Event::Registration { state, .. } = event { Some(state.clone()) } else { None },
        )
        .collect()
}

/// A response as a server would write it, to a request that was caught outside.
pub fn respond(request: &[u8], status: u16, extra: &str) -> Vec<u8> {
    respond_tagged(request, status, "srv", extra)
}

pub fn respond_tagged(request: &[u8], status: u16, tag: &str, extra: &str) -> Vec<u8> {
    let Ok(Message::Request(request)) = parse(request) else {
        panic!("no request");
    };
    let get = |name| request.headers.get(name).unwrap_or_default().into_owned();
    let to = get("To");
    let to = if to.contains("tag=") || status == 100 { to } else { format!("{to};tag={tag}") };
    format!(
        "SIP/2.0 {status} {}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}Content-Length: 0\r\n\r\n",
        sip::message::phrase(status),
        get("Via"),
        get("From"),
        get("Call-ID"),
        get("CSeq"),
    )
    .into_bytes()
}

pub fn method_of(bytes: &[u8]) -> Option<Method> {
    match parse(bytes) {
        Ok(Message::Request(request)) => Some(request.method),
        _ => None,
    }
}
