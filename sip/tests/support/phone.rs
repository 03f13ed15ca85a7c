//! A phone that writes its requests by hand, and computes its digests without the crate.

use md5::{Digest, Md5};
use sha2::Sha256;
use sip::{Account, Algorithm, Binding, Config, Event, Registrar};

use super::*;

/// Where the phone of most tests is.
pub const PHONE: &str = "198.51.100.20:5060";

pub fn accounts() -> Vec<Account> {
    let account = |username: &str, password: &str, register| Account {
        username: username.into(),
        password: password.into(),
        register,
        max_contacts: None,
    };
    vec![
        account("201", "secret-1", true),
        account("202", "secret-2", true),
        account("carrier", "secret-3", false),
    ]
}

/// With both algorithms.
pub fn both() -> Registrar {
    Registrar { algorithms: vec![Algorithm::Sha256, Algorithm::Md5], ..Registrar::default() }
}

/// Bob is the registrar.
pub fn registrar(config: Config) -> World {
    let mut world = World::new();
    let config = Config {
        registrar: config.registrar.or_else(|| Some(both())),
        message_types: vec!["text/plain".into()],
        ..config
    };
    world.add(BOB, config);
    world.act(BOB, |e, _| e.set_accounts(accounts()));
    world
}

pub fn bound(events: &[Event]) -> Vec<(String, Vec<Binding>)> {
    let mut all = Vec::new();
    for event in events {
        if let Event::Bound { username, bindings } = event {
            all.push((username.clone(), bindings.clone()));
        }
    }
    all
}

#[derive(Clone, Debug)]
pub struct Phone {
    pub at: &'static str,
    pub user: String,
    pub password: String,
    pub realm: String,
    pub call_id: String,
    pub cseq: u32,
    pub nc: u32,
    pub cnonce: String,
    /// Leaves qop, cnonce and nc out, as RFC 2069 did.
    pub old: bool,
    /// Which of the challenges it takes.
    pub algorithm: &'static str,
    pub nonce: Option<String>,
    pub branch: u32,
}

impl Phone {
    pub fn new(at: &'static str, user: &str, password: &str) -> Self {
        Self {
            at,
            user: user.into(),
            password: password.into(),
            realm: "offhook".into(),
            call_id: format!("call-of-{user}-{at}"),
            cseq: 0,
            nc: 0,
            cnonce: "0a4f113b".into(),
            old: false,
            algorithm: "SHA-256",
            nonce: None,
            branch: 0,
        }
    }

    /// A request without credentials. `extra` are whole header lines.
    pub fn plain(&mut self, method: &str, uri: &str, extra: &str) -> String {
        self.cseq += 1;
        self.branch += 1;
        let Self { at, user, call_id, cseq, branch, .. } = self;
        let to = if method == "REGISTER" { user.as_str() } else { "agent" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{call_id}-{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@offhook>;tag=ft\r\nTo: <sip:{to}@offhook>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{extra}\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// The same with an answer to the last challenge.
    pub fn signed(&mut self, method: &str, uri: &str, extra: &str) -> String {
        let line = self.authorization(method, uri);
        self.plain(method, uri, &format!("{line}{extra}"))
    }

    pub fn authorization(&mut self, method: &str, uri: &str) -> String {
        self.nc += 1;
        let nonce = self.nonce.clone().expect("a challenge");
        let algorithm = self.algorithm;
        let hash = |text: String| match algorithm {
            "SHA-256" => hex(&Sha256::digest(text)),
            _ => hex(&Md5::digest(text)),
        };
        let Self { user, password, realm, cnonce, .. } = &*self;
        let a1 = hash(format!("{user}:{realm}:{password}"));
        let a2 = hash(format!("{method}:{uri}"));
        let nc = format!("{:08x}", self.nc);
        let (response, count) = if self.old {
            (hash(format!("{a1}:{nonce}:{a2}")), String::new())
        } else {
            let count = format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\"");
            (hash(format!("{a1}:{nonce}:{nc}:{cnonce}:auth:{a2}")), count)
        };
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={algorithm}{count}\r\n"
        )
    }

    /// Sends a request to Bob, and returns the last thing he says to it at once.
    pub fn say(&self, world: &mut World, request: &str) -> Option<Sent> {
        let before = world.log.len();
        world.inject(self.at, BOB, request.as_bytes());
        world.log[before..].last().cloned()
    }

    /// Remembers the challenge of this algorithm.
    pub fn take(&mut self, answer: &Sent) {
        let lines: Vec<_> =
            answer.message().headers().get_all("WWW-Authenticate").map(|line| line.into_owned()).collect();
        let wanted = format!("algorithm={},", self.algorithm);
        let line = lines.iter().find(|line| line.contains(&wanted)).unwrap_or_else(|| panic!("{lines:?}"));
        self.nonce = line.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
        self.nc = 0;
    }

    /// Asks, is challenged, and asks again.
    pub fn ask(&mut self, world: &mut World, method: &str, uri: &str, extra: &str) -> Sent {
        let first = self.plain(method, uri, extra);
        let answer = self.say(world, &first).expect("an answer");
        assert_eq!(answer.kind(), format!("401 {method}"));
        self.take(&answer);
        let second = self.signed(method, uri, extra);
        self.say(world, &second).expect("an answer")
    }

    /// REGISTER with these header lines.
    pub fn register(&mut self, world: &mut World, extra: &str) -> Sent {
        self.ask(world, "REGISTER", "sip:offhook", extra)
    }

    pub fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>\r\n", self.user, self.at)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
