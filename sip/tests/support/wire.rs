//! One message at a time against a stack on loopback: what it answers, and whether it goes on afterwards. No clock
//! decides anything: a request that is always answered is sent behind the message, and what has not been answered by
//! then is not answered at all.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip::net::{Stack, StackConfig, bind};
use sip::{Config, Event, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::verdict::Verdict;

/// A fence, not a measure.
const FENCE: Duration = Duration::from_secs(30);
/// The longest datagram that IPv4 carries.
const LONGEST_DATAGRAM: usize = 65_507;
const PROBE_ID: &str = "are-you-there@probe";

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// The next request on it is answered.
    Goes,
    /// The stack ends it by itself.
    Closes,
    /// More bytes are waited for; when we say that there are none, it ends.
    Waits,
}

pub struct Wire {
    stack: Stack,
    events: Receiver<Event>,
    /// Where clients send from; 0: from anywhere.
    port: u16,
}

fn probe(transport: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1;rport;branch=z9hG4bKprobe\r\n\
         From: <sip:probe@127.0.0.1>;tag=p\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: {PROBE_ID}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn is_probe(answer: &str) -> bool {
    answer.starts_with("SIP/2.0 200 ") && answer.contains(PROBE_ID)
}

fn status(answer: &str) -> u16 {
    answer.get(8..11).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no response: {answer}"))
}

impl Wire {
    pub async fn new(endpoint: Config) -> Self {
        Self::with_port(endpoint, 0).await
    }

    /// With clients at port 5060, which is where an answer goes whose Via names no port and asks for none. `None`: somebody
    /// has taken it on every address.
    pub async fn with_default_port(endpoint: Config) -> Option<Self> {
        match UdpSocket::bind("127.0.0.99:5060").await {
            Ok(_) => Some(Self::with_port(endpoint, 5060).await),
            Err(error) => {
                eprintln!("skipped: port 5060: {error}");
                None
            }
        }
    }

    async fn with_port(endpoint: Config, port: u16) -> Self {
        let any: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().expect("an address")];
        let config = StackConfig { endpoint, udp: any.clone(), tcp: any, ..Default::default() };
        let (stack, events) = bind(config).await.expect("a free port");
        Self { stack, events, port }
    }

    /// Each message comes from a socket of its own.
    async fn client(&self) -> UdpSocket {
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        if self.port == 0 {
            return UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        }
        loop {
            let n = CLIENTS.fetch_add(1, Ordering::Relaxed);
            let ip = [127, (std::process::id() % 200 + 20) as u8, (n / 200) as u8, (n % 200) as u8 + 1];
            match UdpSocket::bind(SocketAddr::from((ip, self.port))).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                bound => return bound.expect("an address of loopback"),
            }
        }
    }

    pub async fn udp(&mut self, bytes: &[u8]) -> Verdict {
        let client = self.client().await;
        let to = self.stack.local_addrs(Transport::Udp)[0];
        if bytes.len() <= LONGEST_DATAGRAM {
            assert_eq!(client.send_to(bytes, to).await.expect("loopback"), bytes.len());
        }
        client.send_to(&probe("UDP"), to).await.expect("loopback");
        let mut answers: Vec<String> = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let received = timeout(FENCE, client.recv_from(&mut buffer)).await.expect("in time");
            let (length, _) = received.expect("loopback");
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if is_probe(&answer) {
                break;
            }
            // What is repeated until an ACK comes.
            if !answers.contains(&answer) {
                answers.push(answer);
            }
        }
        self.verdict(answers).await
    }

    pub async fn tcp(&mut self, bytes: &[u8], after: After) -> Result<Verdict, String> {
        let to = self.stack.local_addrs(Transport::Tcp)[0];
        let mut stream = TcpStream::connect(to).await.expect("a listener");
        // It may be cut off in the middle.
        let _ = stream.write_all(bytes).await;
        if after == After::Goes {
            let _ = stream.write_all(&probe("TCP")).await;
        }
        if after != After::Closes {
            let _ = stream.shutdown().await;
        }
        let mut received = Vec::new();
        match timeout(FENCE, stream.read_to_end(&mut received)).await {
            Err(_) => return Err(format!("still open: {}", String::from_utf8_lossy(&received))),
            Ok(Ok(_)) => {}
            // What we said behind the end was not read.
            Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        let mut answers = responses(&received);
        if after == After::Goes {
            let last = answers.pop().unwrap_or_default();
            if !is_probe(&last) {
                return Err(format!("does not go on: {last:?} after {answers:?}"));
            }
        }
        Ok(self.verdict(answers).await)
    }

    async fn verdict(&mut self, answers: Vec<String>) -> Verdict {
        match &answers[..] {
            [] => Verdict::Silent,
            [one] if status(one) == 100 => {
                let event = self.next().await;
                let Event::Incoming { leg, .. } = event else { panic!("{event:?}") };
                self.stack.reject(leg, 486).await.expect("alive");
                let event = self.next().await;
                assert!(matches!(event, Event::Ended { .. }), "{event:?}");
                Verdict::Rings
            }
            [one] => Verdict::Answers(status(one)),
            more => panic!("{more:?}"),
        }
    }

    /// Connections come and go here.
    async fn next(&mut self) -> Event {
        loop {
            let event = timeout(FENCE, self.events.recv()).await.expect("in time").expect("alive");
            if !matches!(event, Event::FlowLost { .. }) {
                return event;
            }
        }
    }

    /// A stranger's plain question, on both transports.
    pub async fn serves(&mut self) {
        assert_eq!(self.udp(b"\r\n").await, Verdict::Silent);
        assert_eq!(self.tcp(b"", After::Goes).await, Ok(Verdict::Silent));
    }

    pub async fn end(mut self) {
        while let Ok(event) = self.events.try_recv() {
            assert!(matches!(event, Event::FlowLost { .. }), "no message was to cause {event:?}");
        }
        assert_eq!(self.stack.stats().await.expect("alive").registrations, 0);
        self.stack.shutdown().await;
    }
}

/// One after the other on a stream. Ours have no bodies here; pongs are passed over.
fn responses(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let parts = text.split_inclusive("\r\n\r\n").map(|part| part.trim_start_matches("\r\n"));
    let mut found: Vec<String> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
    assert!(found.iter().all(|one| one.contains("Content-Length: 0\r\n")), "{found:?}");
    found.dedup();
    found
}
