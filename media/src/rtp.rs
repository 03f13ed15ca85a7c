//! RTP packets (RFC 3550 §5): reading and writing the header, and the arithmetic of numbers that wrap.
//!
//! The header's bits are `rtp-rs`'s business (see `docs/decisions/rtp-headers.md`). What is ours is the meaning of the numbers over
//! time: a 16-bit sequence number that wraps every 22 minutes, a 32-bit timestamp that starts anywhere, and which of the
//! expected packets came.

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};

/// The fixed part of the header, as far as anybody asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// Header and payload, without padding, CSRCs and extensions; `None` if these bytes are no RTP.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let reader = RtpReader::new(bytes).ok()?;
    let header = Header {
        payload_type: reader.payload_type(),
        marker: reader.mark(),
        sequence: reader.sequence_number().into(),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
    };
    Some((header, reader.payload()))
}

/// Replaces the contents of `out` by a packet.
pub(crate) fn write(header: &Header, payload: &[u8], out: &mut Vec<u8>) {
    let builder = RtpPacketBuilder::new()
        .payload_type(header.payload_type & 0x7f)
        .marked(header.marker)
        .sequence(Seq::from(header.sequence))
        .timestamp(header.timestamp)
        .ssrc(header.ssrc)
        .payload(payload);
    out.clear();
    out.resize(builder.target_length(), 0);
    // Cannot fail: the buffer has the length that the builder asked for and the payload type has 7 bits.
    let written = builder.build_into(out).unwrap_or(0);
    out.truncate(written);
}

/// Where a sequence number stands among those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// Higher than all before.
    Newest,
    /// Lower, and had not come yet.
    Reordered,
    /// Had come already, or is too old to know.
    Duplicate,
    /// So far away that the sender must have started anew (RFC 3550 A.1, MAX_DROPOUT).
    Jump,
}

/// Which sequence numbers came: extended numbers, duplicates, losses (RFC 3550 A.1, A.3).
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    first: i64,
    highest: i64,
    received: u64,
    /// Bit n: `highest − n` came.
    window: u64,
}

impl Sequence {
    /// Steps ahead that are taken for loss; beyond, the sender restarted.
    const MAX_DROPOUT: i64 = 3_000;
    /// Steps back that are taken for reordering.
    const MAX_MISORDER: i64 = 100;

    pub(crate) fn new(first: u16) -> Self {
        // One wrap up, so that a reordered first packet cannot make the number negative.
        let first = i64::from(first) + 65_536;
        Sequence { first, highest: first, received: 1, window: 1 }
    }

    /// Takes a number in; gives it back extended.
    pub(crate) fn arrive(&mut self, number: u16) -> (i64, Arrival) {
        let step = i64::from(number.wrapping_sub(self.highest as u16) as i16);
        let extended = self.highest + step;
        if !(-Self::MAX_MISORDER..=Self::MAX_DROPOUT).contains(&step) {
            return (extended, Arrival::Jump);
        }
        if step > 0 {
            self.window = if step < 64 { self.window << step | 1 } else { 1 };
            self.highest = extended;
            self.received += 1;
            return (extended, Arrival::Newest);
        }
        let bit = 1u64.checked_shl((-step) as u32).unwrap_or(0);
        if bit == 0 || self.window & bit != 0 {
            return (extended, Arrival::Duplicate);
        }
        self.window |= bit;
        self.first = self.first.min(extended);
        self.received += 1;
        (extended, Arrival::Reordered)
    }

    /// The highest number so far, with the wraps in the upper half (RFC 3550 §6.4.1).
    pub(crate) fn highest(&self) -> u32 {
        (self.highest - 65_536) as u32
    }

    /// How many should have come.
    pub(crate) fn expected(&self) -> u64 {
        (self.highest - self.first + 1) as u64
    }

    pub(crate) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

/// A timestamp that wraps at 32 bits, of whatever clock, as line time, which does not wrap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    first: i64,
    last: i64,
    /// Ticks of the RTP clock per unit of line time.
    divisor: u32,
}

impl Timeline {
    pub(crate) fn new(first: u32, divisor: u32) -> Self {
        let first = i64::from(first);
        Timeline { first, last: first, divisor }
    }

    pub(crate) fn divisor(&self) -> u32 {
        self.divisor
    }

    /// Line time. The stream's first timestamp stands for itself; so what is divided are differences, which are exact.
    pub(crate) fn extend(&mut self, timestamp: u32) -> i64 {
        let extended = self.last + i64::from(timestamp.wrapping_sub(self.last as u32) as i32);
        self.last = self.last.max(extended);
        self.first + (extended - self.first).div_euclid(i64::from(self.divisor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_survives_writing_and_reading() {
        let header =
            Header { payload_type: 101, marker: true, sequence: 65_535, timestamp: u32::MAX, ssrc: 7 };
        let mut bytes = vec![9; 500];
        write(&header, b"abc", &mut bytes);
        assert_eq!(bytes.len(), 15);
        assert_eq!(parse(&bytes), Some((header, &b"abc"[..])));
    }

    #[test]
    fn padding_contributors_and_extensions_are_stepped_over() {
        let mut bytes = vec![0xb1, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4, b'x', b'y', 0, 2]);
        let (header, payload) = parse(&bytes).expect("valid");
        assert_eq!((header.sequence, header.timestamp, header.ssrc), (1, 2, 3));
        assert_eq!(payload, b"xy");
    }

    #[test]
    fn numbers_wrap_and_losses_are_counted_across_the_wrap() {
        let mut sequence = Sequence::new(65_533);
        for number in [65_534, 65_535, 1, 2] {
            assert_eq!(sequence.arrive(number).1, Arrival::Newest);
        }
        assert_eq!(sequence.lost(), 1);
        assert_eq!(sequence.arrive(0).1, Arrival::Reordered);
        assert_eq!(sequence.lost(), 0);
        assert_eq!(sequence.arrive(0).1, Arrival::Duplicate);
        assert_eq!(sequence.arrive(30_000).1, Arrival::Jump);
        assert_eq!(sequence.highest(), 65_536 + 2);
    }

    #[test]
    fn the_timeline_wraps() {
        let mut timeline = Timeline::new(u32::MAX - 100, 1);
        let before = timeline.extend(u32::MAX - 50);
        assert_eq!(timeline.extend(109), before + 160);
        assert_eq!(timeline.extend(u32::MAX - 50), before);
        // 20 ms by a clock of 48,000 Hz, across the wrap.
        let mut timeline = Timeline::new(u32::MAX - 99, 6);
        assert_eq!(timeline.extend(860) - timeline.extend(u32::MAX - 99), 160);
    }
}
