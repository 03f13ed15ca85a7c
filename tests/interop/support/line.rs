//! A bare UDP socket that speaks SIP by hand: for messages that no well-behaved phone would send, and for looking at
//! the very bytes of an answer.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::place::HERE;

pub(crate) struct Line {
    socket: UdpSocket,
    to: SocketAddr,
    tag: u32,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    text: String,
}

impl Answer {
    /// A header field's value; the name in its long form, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn to_tag(&self) -> &str {
        let to = self.header("To").unwrap_or_default();
        to.split_once(";tag=").map_or("", |(_, tag)| tag.split(';').next().unwrap_or_default())
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// Where the other side wants its RTP, from the SDP.
    pub(crate) fn media(&self) -> Option<SocketAddr> {
        let line =
            |start: &str| self.body().lines().find_map(|line| line.strip_prefix(start).map(str::to_owned));
        let ip = line("c=IN IP4 ")?.trim().parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    }
}

impl Line {
    pub(crate) fn to(to: SocketAddr) -> Line {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let socket = UdpSocket::bind((HERE, 0)).expect("loopback has a free port");
        Line { socket, to, tag: COUNT.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.to).expect("a datagram to loopback leaves");
    }

    /// An offer of these `m=` and `a=` lines, at this port of ours.
    pub(crate) fn offer(&self, port: u16, payloads: &str, attributes: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 {HERE}\r\ns=-\r\nc=IN IP4 {HERE}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {payloads}\r\n{attributes}"
        )
    }

    pub(crate) fn invite(&self, number: &str, offer: &str) {
        self.request("INVITE", "INVITE-1", number, 1, "", "Content-Type: application/sdp\r\n", offer);
    }

    pub(crate) fn register(&self, user: &str) {
        self.request("REGISTER", "REGISTER-1", user, 1, "", "Expires: 60\r\n", "");
    }

    /// The final answer to our INVITE; provisional ones are passed over. Sends the ACK that it deserves.
    pub(crate) fn final_answer(&self, number: &str, within: Duration) -> Answer {
        let answer = self.answer(within, |answer| {
            answer.status >= 200 && answer.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"))
        });
        // The ACK of a refusal belongs to the INVITE's transaction; that of a 200 is one of its own (RFC 3261 §17.1.1.3).
        let branch = if answer.status >= 300 { "INVITE-1" } else { "ACK-1" };
        self.request("ACK", branch, number, 1, answer.to_tag(), "", "");
        answer
    }

    pub(crate) fn bye(&self, number: &str, answer: &Answer, within: Duration) -> Answer {
        self.request("BYE", "BYE-2", number, 2, answer.to_tag(), "", "");
        self.answer(within, |answer| answer.header("CSeq").is_some_and(|cseq| cseq.ends_with("BYE")))
    }

    /// The first answer of the wanted kind.
    pub(crate) fn answer(&self, within: Duration, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + within;
        let mut seen = Vec::new();
        while let Some(text) = self.receive(deadline) {
            let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
            match status.map(|status| Answer { status, text: text.clone() }) {
                Some(answer) if wanted(&answer) => return answer,
                _ => seen.push(text),
            }
        }
        panic!("no such answer within {within:?}; there came:\n{}", seen.join("\n----\n"))
    }

    /// One datagram, or nothing until the deadline.
    pub(crate) fn receive(&self, deadline: Instant) -> Option<String> {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        self.socket.set_read_timeout(Some(left)).expect("the time is not zero");
        let mut buffer = [0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    #[allow(clippy::too_many_arguments, reason = "a request is made of these parts, here and nowhere else")]
    fn request(
        &self,
        method: &str,
        branch: &str,
        number: &str,
        cseq: u32,
        to_tag: &str,
        headers: &str,
        body: &str,
    ) {
        let (to, me, tag) = (self.to, self.address(), self.tag);
        let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        self.send(
            format!(
                "{method} sip:{number}@{to} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {me};branch=z9hG4bK-{tag}-{branch};rport\r\n\
                 Max-Forwards: 70\r\n\
                 From: <sip:+15550100099@{me}>;tag=line-{tag}\r\n\
                 To: <sip:{number}@{to}>{to_tag}\r\n\
                 Call-ID: line-{tag}-{}@{me}\r\n\
                 CSeq: {cseq} {method}\r\n\
                 Contact: <sip:line@{me}>\r\n\
                 {headers}Content-Length: {}\r\n\r\n{body}",
                std::process::id(),
                body.len(),
            )
            .as_bytes(),
        );
    }
}
