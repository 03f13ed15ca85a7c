//! Where one message ends and the next begins on a stream: RFC 3261 §18.3.
//!
//! A state machine without IO: bytes are put into [`Framer::buffer`], frames are taken out of [`Framer::next`]. It reads
//! lines and Content-Length exactly as `message::parse` does; two readings of one stream would let a stranger hide
//! a second message in the first. Where the length is missing, doubtful or too large, nobody can say where the next
//! message begins: the connection has to end.

use bytes::{Buf, Bytes, BytesMut};

use crate::message::{Defect, name};

/// Longest head that is waited for. The longest of the torture messages has 3 KiB.
const LONGEST_HEAD: usize = 32 * 1024;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    Message(Bytes),
    /// One CRLF between messages: the pong of RFC 5626 §3.5.1, or padding (RFC 3261 §7.5).
    LineEnd,
    /// The second CRLF in a row: the ping of RFC 5626 §3.5.1.
    Ping,
}

/// The stream cannot be read any further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Broken {
    /// What was read of the message, for whoever wants to answer it.
    pub(super) head: Bytes,
    pub(super) defect: Defect,
}

#[derive(Debug)]
pub(super) struct Framer {
    buffer: BytesMut,
    limit: usize,
    /// Where the line begins that is being read.
    line: usize,
    /// Up to here there is no line end.
    scanned: usize,
    /// The whole length of the message, once its head is there.
    length: Option<usize>,
    /// The last frame was one line end.
    half_ping: bool,
}

impl Framer {
    /// `limit`: the longest message, in bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, line: 0, scanned: 0, length: None, half_ping: false }
    }

    /// What comes off the wire goes in here, at the end.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Has a message begun that is not there yet?
    pub(super) fn is_midway(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame, or `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        if self.length.is_none() {
            if self.line == 0
                && let Some(frame) = self.line_end()
            {
                return Ok(Some(frame));
            }
            let Some(head) = self.find_head()? else {
                return Ok(None);
            };
            let body = content_length(&self.buffer[..head]).map_err(|defect| self.broken(defect))?;
            match head.checked_add(body).filter(|length| *length <= self.limit) {
                Some(length) => self.length = Some(length),
                None => return Err(self.broken(Defect::TooLong)),
            }
        }
        let Some(length) = self.length.filter(|length| *length <= self.buffer.len()) else {
            return Ok(None);
        };
        let message = self.buffer.split_to(length).freeze();
        (self.line, self.scanned, self.length, self.half_ping) = (0, 0, None, false);
        Ok(Some(Frame::Message(message)))
    }

    fn line_end(&mut self) -> Option<Frame> {
        let length = match self.buffer.get(..2).or(self.buffer.get(..1))? {
            [b'\r', b'\n'] => 2,
            [b'\n', ..] => 1,
            _ => return None,
        };
        self.buffer.advance(length);
        self.half_ping = !self.half_ping;
        Some(if self.half_ping { Frame::LineEnd } else { Frame::Ping })
    }

    /// The length of the head with its empty line.
    fn find_head(&mut self) -> Result<Option<usize>, Broken> {
        // Every message begins with a token, be it a method or `SIP/2.0`: another protocol is known by its first byte.
        match &self.buffer[..] {
            [] | [b'\r'] => return Ok(None),
            [first, ..] if !first.is_ascii_graphic() => return Err(self.broken(Defect::StartLine)),
            _ => {}
        }
        while let Some(at) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') {
            let newline = self.scanned + at;
            let line = &self.buffer[self.line..newline];
            let is_empty = matches!(line, [] | [b'\r']);
            (self.line, self.scanned) = (newline + 1, newline + 1);
            // However it came, in one piece or in many.
            if newline >= self.longest_head() {
                return Err(self.broken(Defect::TooLong));
            }
            if is_empty {
                return Ok(Some(newline + 1));
            }
        }
        self.scanned = self.buffer.len();
        if self.scanned >= self.longest_head() {
            return Err(self.broken(Defect::TooLong));
        }
        Ok(None)
    }

    fn longest_head(&self) -> usize {
        LONGEST_HEAD.min(self.limit)
    }

    /// The peer has said its last. A message that it broke off can still be answered.
    pub(super) fn end(&self) -> Option<Broken> {
        self.is_midway().then(|| self.broken(Defect::Truncated))
    }

    fn broken(&self, defect: Defect) -> Broken {
        let end = self.buffer.len().min(LONGEST_HEAD);
        Broken { head: Bytes::copy_from_slice(&self.buffer[..end]), defect }
    }
}

/// §20.14: over a stream it must be there. Two different lengths leave it open where the message ends.
fn content_length(head: &[u8]) -> Result<usize, Defect> {
    let mut lines = head.split(|b| *b == b'\n').peekable();
    let mut found: Option<usize> = None;
    while let Some(first) = lines.next() {
        let mut unfolded = Vec::new();
        // §7.3.1: a line that begins with a blank continues the one before.
        while let Some(more) = lines.next_if(|line| matches!(line.first(), Some(b' ' | b'\t'))) {
            unfolded.extend_from_slice(b" ");
            unfolded.extend_from_slice(more.trim_ascii());
        }
        let Some(colon) = first.iter().position(|b| *b == b':') else {
            continue;
        };
        let header = first[..colon].trim_ascii();
        if !header.eq_ignore_ascii_case(b"content-length") && !header.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = [&first[colon + 1..], &unfolded].concat();
        let digits =
            std::str::from_utf8(value.trim_ascii()).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
        let length = digits.and_then(|v| v.parse().ok()).ok_or(Defect::ContentLength)?;
        if found.is_some_and(|before| before != length) {
            return Err(Defect::Repeated(name::CONTENT_LENGTH));
        }
        found = Some(length);
    }
    found.ok_or(Defect::Missing(name::CONTENT_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4096;

    /// Every frame, when the bytes come in pieces of this size.
    fn frames(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Defect> {
        let mut framer = Framer::new(LIMIT);
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            framer.buffer().extend_from_slice(piece);
            while let Some(frame) = framer.next().map_err(|broken| broken.defect)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn message(text: &str) -> Frame {
        Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn messages_are_cut_the_same_however_the_bytes_come() {
        let first = "INFO sip:a SIP/2.0\r\nContent-Length: 5\r\n\r\n12\r\n5";
        let second = "SIP/2.0 200 OK\r\nX: y\r\n z\r\nl : 0\r\n\r\n";
        let third = "BYE sip:a SIP/2.0\nContent-Length:\n 3\n\nabc";
        let all = format!("\r\n{first}{second}\r\n\r\n{third}\r\n");
        let expected = vec![
            Frame::LineEnd,
            message(first),
            message(second),
            Frame::LineEnd,
            Frame::Ping,
            message(third),
            Frame::LineEnd,
        ];
        for piece in 1..=all.len() {
            assert_eq!(frames(all.as_bytes(), piece).as_ref(), Ok(&expected), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_head_is_too_long_in_whatever_pieces_it_comes() {
        let limit = 4 * LONGEST_HEAD;
        let head = |length: usize| {
            let text = format!("BYE sip:a SIP/2.0\r\nl: 0\r\nX: {}\r\n\r\n", "x".repeat(length));
            (text.len(), text)
        };
        let cut = |text: &str, piece: usize| {
            let mut framer = Framer::new(limit);
            for piece in text.as_bytes().chunks(piece) {
                framer.buffer().extend_from_slice(piece);
                if let Some(frame) = framer.next().map_err(|broken| broken.defect)? {
                    return Ok(frame);
                }
            }
            panic!("no end");
        };
        let (around, _) = head(0);
        for piece in [1_000, LONGEST_HEAD - 1, LONGEST_HEAD, limit] {
            let (length, longest) = head(LONGEST_HEAD - around);
            assert_eq!((length, cut(&longest, piece)), (LONGEST_HEAD, Ok(message(&longest))), "{piece}");
            let (_, longer) = head(LONGEST_HEAD - around + 1);
            assert_eq!(cut(&longer, piece), Err(Defect::TooLong), "{piece}");
        }
    }

    #[test]
    fn a_length_that_is_in_doubt_ends_the_stream() {
        let with = |lines: &str| frames(format!("BYE sip:a SIP/2.0\r\n{lines}\r\n").as_bytes(), 7);
        assert_eq!(with(""), Err(Defect::Missing("Content-Length")));
        assert_eq!(with("Content-Length: -1\r\n"), Err(Defect::ContentLength));
        assert_eq!(with("Content-Length: \r\n"), Err(Defect::ContentLength));
        assert_eq!(with("Content-Length: 0x10\r\n"), Err(Defect::ContentLength));
        assert_eq!(with("Content-Length: 99999999999999999999999\r\n"), Err(Defect::ContentLength));
        assert_eq!(with("Content-Length: 18446744073709551615\r\n"), Err(Defect::TooLong));
        assert_eq!(with("Content-Length: 4096\r\n"), Err(Defect::TooLong));
        assert_eq!(with("Content-Length: 1\r\nl: 2\r\n"), Err(Defect::Repeated("Content-Length")));
        assert_eq!(with("Content-Length: 0\r\nl: 0\r\n").map(|frames| frames.len()), Ok(1));
    }

    #[test]
    fn other_protocols_and_heads_without_end_are_given_up() {
        assert_eq!(frames(b"\x16\x03\x01\x02\x00", 5), Err(Defect::StartLine));
        assert_eq!(frames(b" BYE", 4), Err(Defect::StartLine));
        assert_eq!(frames(&[b'x'; LIMIT + 1], 64), Err(Defect::TooLong));
        assert_eq!(frames(b"GET / HTTP/1.1\r\n\r\n", 5), Err(Defect::Missing("Content-Length")));
        assert_eq!(frames(&b"A: b\r\n".repeat(LIMIT), 600), Err(Defect::TooLong));
        assert_eq!(frames(b"\r\n\r", 3), Ok(vec![Frame::LineEnd]));
    }

    #[test]
    fn what_is_framed_is_read_to_the_same_end() {
        let text = b"INFO sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length :\r\n\t4\r\n\r\nbodyBYE";
        let Ok(Some(Frame::Message(bytes))) = ({
            let mut framer = Framer::new(LIMIT);
            framer.buffer().extend_from_slice(text);
            framer.next()
        }) else {
            panic!("no message");
        };
        assert!(bytes.ends_with(b"\r\n\r\nbody"));
        let Ok(crate::message::Message::Request(request)) = crate::message::parse(&bytes) else {
            panic!("no request");
        };
        assert_eq!(&request.body[..], b"body");
    }
}
