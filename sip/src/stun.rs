//! STUN, the one question of it that a SIP user agent has: what is my address, seen from outside (RFC 8489, RFC 5389)?
//!
//! The codec, and one Binding transaction as a state machine. The sockets are those of SIP itself, for a NAT gives every socket
//! another address; a STUN message tells itself apart from SIP by its first two bits, which no letter has, and by the
//! magic cookie (§5).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const COOKIE: u32 = 0x2112_a442;
const HEADER: usize = 20;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// §18.3: below this, an attribute that is not known spoils the message.
const OPTIONAL: u16 = 0x8000;
/// Those of RFC 8489, and the addresses of RFC 3489 that old servers add.
const KNOWN: [u16; 13] = [
    MAPPED_ADDRESS,
    0x0004,
    0x0005,
    0x0006,
    0x0008,
    0x0009,
    0x000a,
    0x0014,
    0x0015,
    0x001c,
    0x001d,
    0x001e,
    XOR_MAPPED_ADDRESS,
];

/// §6.2.1: the first interval; each is twice the one before.
const FIRST: Duration = Duration::from_millis(500);
/// Rc.
const SENDS: u32 = 7;
/// Rm: the wait after the last, in first intervals.
const LAST: u32 = 16;

pub(crate) type Id = [u8; 12];

/// Is this STUN, and no SIP?
pub(crate) fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && bytes[0] & 0xc0 == 0 && bytes[4..8] == COOKIE.to_be_bytes()
}

/// A Binding request (§3), without attributes: none is needed to be answered.
pub(crate) fn request(id: &Id) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend(REQUEST.to_be_bytes());
    out.extend([0, 0]);
    out.extend(COOKIE.to_be_bytes());
    out.extend(id);
    out
}

/// What a server says to our request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Response {
    Mapped(SocketAddr),
    Refused,
}

/// A response with its transaction id. `None`: it is none, or is broken.
pub(crate) fn response(bytes: &[u8]) -> Option<(Id, Response)> {
    if !is_stun(bytes) {
        return None;
    }
    let (header, mut rest) = bytes.split_at(HEADER);
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if usize::from(word(2)) != rest.len() || rest.len() % 4 != 0 {
        return None;
    }
    let id: Id = header[8..].try_into().ok()?;
    match word(0) {
        SUCCESS => {}
        ERROR => return Some((id, Response::Refused)),
        _ => return None,
    }
    let (mut xored, mut plain) = (None, None);
    while let [a, b, c, d, value @ ..] = rest {
        let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        if kind < OPTIONAL && !KNOWN.contains(&kind) {
            // §6.3.3: the transaction has failed.
            return Some((id, Response::Refused));
        }
        let content = value.get(..length)?;
        match kind {
            XOR_MAPPED_ADDRESS if xored.is_none() => xored = Some(address(content, &mask(&id))?),
            MAPPED_ADDRESS if plain.is_none() => plain = Some(address(content, &[0; 16])?),
            _ => {}
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    // §14.1: the plain one is all that servers of RFC 3489 give.
    Some((id, Response::Mapped(xored.or(plain)?)))
}

/// §14.2: what hides an address from boxes that rewrite every address they see.
fn mask(id: &Id) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(id);
    mask
}

/// The port is masked by the first two bytes, as the address is from the first on.
fn address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, high, low], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([high ^ mask[0], low ^ mask[1]]);
    let ip = match family {
        1 => {
            let address: [u8; 4] = address.try_into().ok()?;
            IpAddr::from(std::array::from_fn::<u8, 4, _>(|i| address[i] ^ mask[i]))
        }
        2 => {
            let address: [u8; 16] = address.try_into().ok()?;
            IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| address[i] ^ mask[i]))
        }
        _ => return None,
    };
    (port != 0 && !ip.is_unspecified()).then(|| SocketAddr::new(ip, port))
}

/// One question to one server.
#[derive(Debug)]
pub(crate) struct Query {
    id: Id,
    server: SocketAddr,
    sent: u32,
    interval: Duration,
    /// When to send again, or to give up.
    next: Instant,
}

/// What a [`Query`] has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Mapped(SocketAddr),
    /// The server refuses, or does not answer.
    Failed,
}

impl Query {
    /// `id` must be unpredictable (§5): it is all that tells an answer from a forgery.
    pub(crate) fn new(now: Instant, server: SocketAddr, id: Id) -> Self {
        Self { id, server, sent: 0, interval: FIRST, next: now }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// What is due: a request to send, or the end.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Result<(SocketAddr, Vec<u8>), Outcome>> {
        if now < self.next {
            return None;
        }
        if self.sent >= SENDS {
            return Some(Err(Outcome::Failed));
        }
        self.sent += 1;
        self.next = now + if self.sent == SENDS { FIRST * LAST } else { self.interval };
        self.interval *= 2;
        Some(Ok((self.server, request(&self.id))))
    }

    /// A STUN message from somewhere. `None`: it is not for us.
    pub(crate) fn handle(&self, from: SocketAddr, bytes: &[u8]) -> Option<Outcome> {
        if from != self.server {
            return None;
        }
        match response(bytes)? {
            (id, _) if id != self.id => None,
            (_, Response::Mapped(addr)) if addr.is_ipv4() == self.server.is_ipv4() => {
                Some(Outcome::Mapped(addr))
            }
            _ => Some(Outcome::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "the virtual clock has to start somewhere")]

    use super::*;

    /// RFC 5769 §2.2 and §2.3.
    const ID: Id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    const V4: [u8; 12] = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    const V6: [u8; 24] = [
        0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc,
        0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    ];
    const SOFTWARE: [u8; 16] = *b"\x80\x22\x00\x0btest vector ";

    fn message(kind: u16, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let mut out = request(&ID);
        out[..2].copy_from_slice(&kind.to_be_bytes());
        out[2..4].copy_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend(body);
        out
    }

    fn server() -> SocketAddr {
        "198.51.100.1:3478".parse().expect("an address")
    }

    #[test]
    fn the_vectors_of_rfc_5769() {
        let v4 = Response::Mapped("192.0.2.1:32853".parse().expect("an address"));
        assert_eq!(response(&message(SUCCESS, &[&SOFTWARE, &V4])), Some((ID, v4)));
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().expect("an address");
        assert_eq!(response(&message(SUCCESS, &[&SOFTWARE, &V6])), Some((ID, Response::Mapped(v6))));
    }

    #[test]
    fn an_old_server_gives_the_plain_address_only() {
        let plain: &[u8] = &[0, 1, 0, 8, 0, 1, 0x13, 0xc4, 192, 0, 2, 9];
        let addr = |text: &str| Response::Mapped(text.parse().expect("an address"));
        assert_eq!(response(&message(SUCCESS, &[plain])), Some((ID, addr("192.0.2.9:5060"))));
        let both = response(&message(SUCCESS, &[plain, &V4]));
        assert_eq!(
            both,
            Some((ID, addr("192.0.2.1:32853"))),
            "a box on the way may have changed the plain one"
        );
    }

    #[test]
    fn what_is_no_answer() {
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0\r\n\r\n"));
        assert!(!is_stun(b"SIP/2.0 200 OK\r\n\r\n xxxxxxxx"));
        let good = message(SUCCESS, &[&V4]);
        for cut in 0..good.len() {
            assert_eq!(response(&good[..cut]), None, "{cut}");
        }
        assert_eq!(response(&message(REQUEST, &[&V4])), None);
        assert_eq!(response(&message(SUCCESS, &[])), None);
        let bare: &[u8] = &[0, 0x20, 0, 4, 0, 1, 0xa1, 0x47];
        assert_eq!(response(&message(SUCCESS, &[bare])), None, "a family without its address");
        assert_eq!(response(&message(ERROR, &[])), Some((ID, Response::Refused)));
        let unknown: &[u8] = &[0x7f, 0xff, 0, 0];
        assert_eq!(response(&message(SUCCESS, &[unknown, &V4])), Some((ID, Response::Refused)));
        let long: &[u8] = &[0x80, 0x22, 0xff, 0xff];
        assert_eq!(response(&message(SUCCESS, &[long])), None);
    }

    #[test]
    fn only_who_was_asked_may_answer() {
        let query = Query::new(Instant::now(), server(), ID);
        let mapped = "192.0.2.1:32853".parse().expect("an address");
        let good = message(SUCCESS, &[&V4]);
        assert_eq!(query.handle(server(), &good), Some(Outcome::Mapped(mapped)));
        assert_eq!(query.handle("198.51.100.1:3479".parse().expect("an address"), &good), None);
        let mut other = good;
        other[19] ^= 1;
        assert_eq!(query.handle(server(), &other), None);
        // An address of the other family is none of this socket's.
        assert_eq!(query.handle(server(), &message(SUCCESS, &[&V6])), Some(Outcome::Failed));
    }

    #[test]
    fn it_asks_seven_times_and_gives_up_after_39_5_seconds() {
        let start = Instant::now();
        let mut query = Query::new(start, server(), ID);
        let mut times = Vec::new();
        loop {
            let now = query.poll_timeout();
            match query.handle_timeout(now).expect("due") {
                Ok((to, bytes)) => {
                    assert_eq!((to, bytes), (server(), request(&ID)));
                    times.push((now - start).as_millis());
                }
                Err(outcome) => {
                    assert_eq!((outcome, (now - start).as_millis()), (Outcome::Failed, 39_500));
                    break;
                }
            }
            assert_eq!(query.handle_timeout(now), None, "not twice at once");
        }
        assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    }
}
