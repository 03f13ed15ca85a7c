//! How long a caller waits from INVITE to 200, to the microsecond.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// After this a call is lost, and with it the measurement: loopback loses nothing.
const LONGEST: Duration = Duration::from_secs(5);
const SDP: &str = "v=0\r\no=carrier 20518 20518 IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 20002 RTP/AVP 9 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n";

#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) longest_ms: f64,
}

/// One call after the other, each at its time: the next begins when this one should be long over.
pub(crate) fn times(to: SocketAddr, rate: u32, calls: u32) -> Result<Setup, Box<dyn Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LONGEST))?;
    let us = socket.local_addr()?;
    let start = Instant::now();
    let mut took = Vec::new();
    for number in 0..calls {
        let due = start + Duration::from_secs(1) * number / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let call = Call { us, to, number, tag: String::new() };
        let began = Instant::now();
        socket.send(call.request("INVITE", 1, SDP).as_bytes())?;
        let answer = final_answer(&socket)?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        let call = Call { tag: tag_of(&answer)?, ..call };
        socket.send(call.request("ACK", 1, "").as_bytes())?;
        socket.send(call.request("BYE", 2, "").as_bytes())?;
        final_answer(&socket)?;
    }
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied();
    let at = |share: f64| at(share).ok_or("no calls");
    Ok(Setup { p50_ms: at(0.5)?, p95_ms: at(0.95)?, longest_ms: at(1.0)? })
}

struct Call {
    us: SocketAddr,
    to: SocketAddr,
    number: u32,
    /// With its name in front; empty before the answer.
    tag: String,
}

impl Call {
    fn request(&self, method: &str, cseq: u32, body: &str) -> String {
        let Self { us, to, number, tag } = self;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:+15551230000@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {us};rport;branch=z9hG4bK{number}-{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:ann@{us}>;tag={number}\r\nTo: <sip:+15551230000@{to}>{tag}\r\n\
             Call-ID: setup-{number}@{us}\r\nCSeq: {cseq} {method}\r\nContact: <sip:ann@{us}>\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

fn final_answer(socket: &UdpSocket) -> Result<String, Box<dyn Error>> {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer)?;
        let answer = String::from_utf8_lossy(&buffer[..length]);
        match answer.get(8..11) {
            Some("200") => return Ok(answer.into_owned()),
            Some(status) if status.starts_with('1') => {}
            _ => return Err(format!("an odd answer: {answer}").into()),
        }
    }
}

fn tag_of(answer: &str) -> Result<String, Box<dyn Error>> {
    let to = answer.lines().find(|line| line.starts_with("To:")).ok_or("no To")?;
    let tag = to.find(";tag=").ok_or("no tag")?;
    Ok(to[tag..].trim_end().to_owned())
}
