//! SIPp as the far end: a scenario of `tests/interop/sipp`, played once with a stack of ours over real sockets.
//!
//! Every stack and every SIPp has an address of 127.0.0.0/8 to itself, so that any number of them may run side by side. SIPp asserts what
//! is on the wire and must end with 0; the test asserts events. Where a protocol timer has to pass, the clock of the
//! stack jumps ([`Stage::jump`]) and nobody waits: the base timers are so long that none fires without such a jump.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

#[path = "../../../tests/support/ports.rs"]
mod ports;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ports::free_ports;
use sip::net::{Stack, StackConfig, bind};
use sip::{
    Body, CauseKind, Credentials, EndedBy, Event, IncomingCall, Invite, LegId, NameAddr, Register,
    RegistrationState, Stats, Timers, Transport, Uri,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};
use tokio::time::timeout;

/// A fence for what goes wrong. Nothing waits for it.
const FENCE: Duration = Duration::from_secs(30);
/// Longer than any machine stands still: whatever is repeated is repeated by a jump.
pub const T1: Duration = Duration::from_secs(10);
/// Where SIPp listens when it is called, and calls from.
const PORT: u16 = 5060;

/// Where the scenarios are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop/sipp")
}

/// An address that nobody else has, in this process or another.
fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    // 127.0.x.x is left to those who ask for any free port of 127.0.0.1.
    let high = high % 254 + 1;
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

pub fn sdp(what: &str) -> Body {
    Body::sdp(format!(
        "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\na={what}\r\n"
    ))
}

pub fn text(body: Option<Body>) -> String {
    body.map_or_else(String::new, |body| String::from_utf8_lossy(&body.bytes).into_owned())
}

/// Our side: a stack, and the program over it, which is the test.
pub struct Stage {
    pub stack: Stack,
    events: Receiver<Event>,
    ip: IpAddr,
    /// Messages that break SIP's rules, which the scenario sends on purpose.
    pub malformed: u64,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut StackConfig)) -> Self {
        Self::at(own_address(), change).await
    }

    /// `None` where the machine has no IPv6.
    pub async fn ipv6() -> Option<Self> {
        let six = IpAddr::from(Ipv6Addr::LOCALHOST);
        std::net::UdpSocket::bind((six, 0)).ok()?;
        Some(Self::at(six, |_| {}).await)
    }

    async fn at(ip: IpAddr, change: impl FnOnce(&mut StackConfig)) -> Self {
        let mut config = StackConfig { udp: vec![(ip, 0).into()], ..StackConfig::default() };
        config.endpoint.timers = Timers { t1: T1, t2: 4 * T1, t4: T1 };
        change(&mut config);
        let (stack, events) = bind(config).await.expect("free ports");
        Self { stack, events, ip, malformed: 0 }
    }

    /// Where the next SIPp is at home.
    fn far(&self) -> IpAddr {
        if self.ip.is_ipv4() { own_address() } else { self.ip }
    }

    /// SIPp plays a scenario that begins with a request to us.
    pub fn called_by(&self, scenario: &str) -> Sipp {
        self.called_by_with(scenario, &[])
    }

    pub fn called_by_with(&self, scenario: &str, options: &[&str]) -> Sipp {
        let ours = self.stack.local_addr().to_string();
        Sipp::start(scenario, self.far(), &[options, &[&ours]].concat())
    }

    /// SIPp plays a scenario that begins with a request of ours, and is ready for it.
    pub async fn met_by(&self, scenario: &str) -> Sipp {
        self.met_by_with(scenario, &[]).await
    }

    pub async fn met_by_with(&self, scenario: &str, options: &[&str]) -> Sipp {
        let mut sipp = Sipp::start(scenario, self.far(), options);
        sipp.listens(options.contains(&"t1")).await;
        sipp
    }

    /// An INVITE for whoever listens there.
    pub async fn invite(&self, sipp: &Sipp) -> Invite {
        let to = sipp.uri("bob");
        let path = self.stack.resolve(&to).await.expect("an address");
        let caller: Uri = format!("sip:alice@{}", self.stack.local_addr()).parse().expect("a uri");
        Invite {
            to,
            from: NameAddr::new(Some("Alice".into()), caller),
            credentials: None,
            path,
            route: Vec::new(),
            redirects: 0,
            headers: Vec::new(),
            body: Some(sdp("sendrecv")),
        }
    }

    pub async fn call(&self, sipp: &Sipp) -> LegId {
        self.stack.invite(self.invite(sipp).await).await.expect("an open stack")
    }

    /// A registration with whoever listens there.
    pub async fn register(&self, sipp: &Sipp) -> Register {
        let registrar: Uri = format!("sip:{}", sipp.addr).parse().expect("a uri");
        let path = self.stack.resolve(&registrar).await.expect("an address");
        Register {
            registrar,
            aor: sipp.uri("alice"),
            contact_user: "alice".into(),
            credentials: credentials(),
            expires: Duration::from_secs(600),
            path,
            route: Vec::new(),
        }
    }

    pub async fn next(&mut self) -> Event {
        timeout(FENCE, self.events.recv()).await.expect("no event in time").expect("an open stack")
    }

    pub async fn incoming(&mut self) -> (LegId, Box<IncomingCall>) {
        match self.next().await {
            Event::Incoming { leg, request } => (leg, request),
            other => panic!("not a call: {other:?}"),
        }
    }

    /// A call that comes in and is answered at once.
    pub async fn answered_call(&mut self) -> LegId {
        let (leg, _) = self.incoming().await;
        self.stack.answer(leg, sdp("sendrecv")).await.expect("an open stack");
        assert_eq!(self.established().await, "");
        leg
    }

    /// The body of the ACK.
    pub async fn established(&mut self) -> String {
        match self.next().await {
            Event::Established { body, .. } => text(body),
            other => panic!("not established: {other:?}"),
        }
    }

    pub async fn progress(&mut self) -> (u16, String) {
        match self.next().await {
            Event::Progress { status, body, .. } => (status, text(body)),
            other => panic!("no progress: {other:?}"),
        }
    }

    /// The body of the 200.
    pub async fn answered(&mut self) -> String {
        match self.next().await {
            Event::Answered { status: 200, body, .. } => text(body),
            other => panic!("not answered: {other:?}"),
        }
    }

    pub async fn reoffer(&mut self) -> String {
        match self.next().await {
            Event::Reoffer { body, .. } => text(body),
            other => panic!("no new offer: {other:?}"),
        }
    }

    pub async fn reanswer(&mut self) -> (u16, String) {
        match self.next().await {
            Event::Reanswer { status, body, .. } => (status, text(body)),
            other => panic!("no answer to an offer: {other:?}"),
        }
    }

    pub async fn refer_progress(&mut self) -> (u16, bool) {
        match self.next().await {
            Event::ReferProgress { status, over, .. } => (status, over),
            other => panic!("no news of a transfer: {other:?}"),
        }
    }

    pub async fn message_result(&mut self) -> u16 {
        match self.next().await {
            Event::MessageResult { status, .. } => status,
            other => panic!("not a result: {other:?}"),
        }
    }

    pub async fn registration(&mut self) -> RegistrationState {
        match self.next().await {
            Event::Registration { state, .. } => state,
            other => panic!("not of a registration: {other:?}"),
        }
    }

    /// Who ended it and how, the status and the reason.
    pub async fn ended(&mut self) -> (EndedBy, CauseKind, Option<u16>, Option<String>) {
        match self.next().await {
            Event::Ended { cause, .. } => (cause.by, cause.kind, cause.status, cause.reason),
            other => panic!("not the end: {other:?}"),
        }
    }

    pub async fn ended_by_their_bye(&mut self) {
        let (by, kind, ..) = self.ended().await;
        assert_eq!((by, kind), (EndedBy::Remote, CauseKind::Bye));
    }

    pub async fn hang_up(&mut self, leg: LegId) {
        self.stack.hangup(leg, None).await.expect("an open stack");
        let (by, kind, ..) = self.ended().await;
        assert_eq!((by, kind), (EndedBy::Local, CauseKind::Bye));
    }

    /// Time passes for the stack, and what is due is done.
    pub async fn jump(&self, time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
        // Timers have their turn behind the first command, at the latest.
        for _ in 0..2 {
            self.stats().await;
        }
    }

    pub async fn stats(&self) -> Stats {
        self.stack.stats().await.expect("an open stack")
    }

    /// Waits until the stack has counted what it was sent.
    pub async fn until(&self, what: impl Fn(&Stats) -> bool) {
        let met = async {
            while !what(&self.stats().await) {
                tokio::task::yield_now().await;
            }
        };
        timeout(FENCE, met).await.expect("never came about");
    }

    /// SIPp is content, nothing is left to tell, and after the last timer the stack holds nothing.
    pub async fn end(mut self, mut sipp: Sipp) {
        sipp.end().await;
        self.until(|stats| stats.legs == 0).await;
        for _ in 0..2 {
            self.jump(64 * T1).await;
        }
        loop {
            match self.events.try_recv() {
                // SIPp closes its connection when it leaves.
                Ok(Event::FlowLost { .. }) => {}
                Err(TryRecvError::Empty) => break,
                other => panic!("one event more: {other:?}"),
            }
        }
        let stats = self.stats().await;
        assert_eq!((stats.legs, stats.transactions), (0, 0), "{stats:?}");
        assert_eq!((stats.malformed, stats.stray_responses), (self.malformed, 0), "{stats:?}");
        self.stack.shutdown().await;
        while let Some(event) = self.events.recv().await {
            assert!(matches!(event, Event::FlowLost { .. }), "{event:?}");
        }
    }
}

pub fn credentials() -> Credentials {
    Credentials { username: "alice".into(), password: "secret".into() }
}

pub struct Sipp {
    child: Child,
    scenario: String,
    folder: TempDir,
    pub addr: SocketAddr,
    transport: Transport,
}

impl Sipp {
    fn start(scenario: &str, ip: IpAddr, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = self::folder().join(scenario).with_extension("xml");
        assert!(file.is_file(), "no scenario {scenario}");
        let port = if ip.is_ipv4() { PORT } else { free_ports(ip, 1) };
        let (text, number) = (ip.to_string(), port.to_string());
        let errors = std::fs::File::create(folder.path().join("stderr.log")).expect("a file");
        let mut command = Command::new("sipp");
        command
            .current_dir(folder.path())
            .arg("-sf")
            .arg(file)
            .args(["-i", &text, "-bind_local", "-p", &number, "-mi", &text, "-ci", &text])
            .args(["-m", "1", "-nostdin", "-cid_str", "%u-%p"])
            .args(["-timeout", "60s", "-timeout_error", "-recv_timeout", "30000"])
            .args(["-trace_err", "-error_file", "errors.log", "-trace_msg", "-message_file", "messages.log"])
            .args(options)
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "sipp does not start: {error}. The Debian package sip-tester brings it: scripts/setup-test.sh"
            )
        });
        let transport = if options.contains(&"t1") { Transport::Tcp } else { Transport::Udp };
        Self { child, scenario: scenario.to_owned(), folder, addr: (ip, port).into(), transport }
    }

    pub fn uri(&self, user: &str) -> Uri {
        let transport = if self.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        format!("sip:{user}@{}{transport}", self.addr).parse().expect("a uri")
    }

    /// Until its socket is in the kernel's table.
    async fn listens(&mut self, tcp: bool) {
        let family = if self.addr.is_ipv4() { "" } else { "6" };
        let table = format!("/proc/net/{}{family}", if tcp { "tcp" } else { "udp" });
        let entry = kernel_name(self.addr);
        let ready = async {
            loop {
                let sockets = std::fs::read_to_string(&table).expect("/proc is mounted");
                if sockets.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some(&entry)) {
                    return;
                }
                let left = self.child.try_wait().expect("a child of ours");
                assert!(left.is_none(), "{} left before it listened", self.scenario);
                // The kernel tells nobody; this only spares it from being asked without pause.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(FENCE, ready).await.expect("sipp does not listen");
    }

    pub async fn end(&mut self) {
        let status = timeout(FENCE, self.child.wait()).await;
        let status = status.expect("sipp goes on").expect("a child of ours");
        assert!(status.success(), "{}: {status}", self.scenario);
    }

    /// What SIPp complains of, and every message that it saw.
    fn story(&self) -> String {
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let parts = ["stderr.log", "errors.log", "messages.log"];
        parts.map(|name| format!("---- {name}\n{}", String::from_utf8_lossy(&read(name)))).join("\n")
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.scenario, self.story());
        }
    }
}

/// As `/proc/net` writes an address: words of 32 bits in the order of this machine.
fn kernel_name(addr: SocketAddr) -> String {
    let bytes = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{ip}:{:04X}", addr.port())
}
