//! RTCP, the little that a telephone call needs (RFC 3550 §6.4): sender and receiver reports with one block, a CNAME, and BYE read.
//!
//! The NTP timestamp of our sender reports is the time since the session began, which §6.4.1 allows to a system without wall clock; the
//! peer only hands its middle back, and from that the round-trip time comes.

use crate::receive::Reception;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;

/// What we tell of what we sent.
pub(crate) struct Sent {
    /// Time since the session began, as NTP fixed point: seconds above, fraction below.
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// The last sender report that came: the middle of its NTP timestamp, and how long ago, in 1/65,536 s.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heard {
    pub(crate) last: u32,
    pub(crate) since: u32,
}

/// Appends a compound packet: a report and our CNAME (§6.1).
pub(crate) fn write(
    ssrc: u32,
    sent: Option<&Sent>,
    reception: Option<&Reception>,
    heard: Heard,
    out: &mut Vec<u8>,
) {
    let blocks = u8::from(reception.is_some());
    let words = 1 + if sent.is_some() { 5 } else { 0 } + 6 * u16::from(blocks);
    out.extend([0x80 | blocks, if sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT }]);
    out.extend(words.to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    if let Some(sent) = sent {
        out.extend(sent.ntp.to_be_bytes());
        out.extend(sent.timestamp.to_be_bytes());
        out.extend(sent.packets.to_be_bytes());
        out.extend(sent.bytes.to_be_bytes());
    }
    if let Some(reception) = reception {
        out.extend(reception.ssrc.to_be_bytes());
        out.extend((u32::from(reception.fraction_lost) << 24 | reception.lost).to_be_bytes());
        out.extend(reception.highest.to_be_bytes());
        out.extend(reception.jitter.to_be_bytes());
        out.extend(heard.last.to_be_bytes());
        out.extend(heard.since.to_be_bytes());
    }
    // CNAME: eight hexadecimal digits of the SSRC, unique enough and telling nothing (RFC 7022 §4.2). One chunk of 5 words: SSRC, item
    // of 2 + 8 bytes, at least one zero, to a multiple of four.
    out.extend([0x81, SOURCE_DESCRIPTION, 0, 4]);
    out.extend(ssrc.to_be_bytes());
    out.extend([1, 8]);
    out.extend((0..8).map(|digit| b"0123456789abcdef"[(ssrc >> (28 - 4 * digit)) as usize & 15]));
    out.extend([0, 0]);
}

/// What a compound packet says that we care for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// The middle of the NTP timestamp of the peer's sender report.
    pub(crate) sender: Option<u32>,
    /// The peer's block on our stream.
    pub(crate) block: Option<Block>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) fraction_lost: u8,
    /// The middle of the NTP timestamp of our last report, and how long the peer had it, in 1/65,536 s.
    pub(crate) last: u32,
    pub(crate) since: u32,
}

/// Reads any bytes; `None` if they are no RTCP (§A.2).
pub(crate) fn parse(bytes: &[u8], our_ssrc: u32) -> Option<Report> {
    let mut report = Report::default();
    let mut rest = bytes;
    let mut first = true;
    while let [flags, kind, high, low, ..] = *rest {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        if flags >> 6 != 2 || length > rest.len() || first && !(SENDER_REPORT..=204).contains(&kind) {
            return None;
        }
        first = false;
        let (packet, later) = rest.split_at(length);
        rest = later;
        let blocks_from = match kind {
            SENDER_REPORT => {
                report.sender =
                    word(packet, 8).zip(word(packet, 12)).map(|(high, low)| high << 16 | low >> 16);
                28
            }
            RECEIVER_REPORT => 8,
            _ => continue,
        };
        for index in 0..usize::from(flags & 0x1f) {
            let at = blocks_from + 24 * index;
            let (Some(ssrc), Some(loss), Some(last), Some(since)) =
                (word(packet, at), word(packet, at + 4), word(packet, at + 16), word(packet, at + 20))
            else {
                break;
            };
            if ssrc == our_ssrc {
                report.block = Some(Block { fraction_lost: (loss >> 24) as u8, last, since });
            }
        }
    }
    (!first && rest.is_empty()).then_some(report)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let sent = Sent { ntp: 0x1_2345_6789, timestamp: 5, packets: 6, bytes: 7 };
        let reception = Reception { ssrc: 9, fraction_lost: 64, lost: 3, highest: 70_000, jitter: 12 };
        let mut bytes = Vec::new();
        write(8, Some(&sent), Some(&reception), Heard { last: 1, since: 2 }, &mut bytes);
        assert_eq!(bytes.len(), 52 + 20);
        let report = parse(&bytes, 9);
        let block = Block { fraction_lost: 64, last: 1, since: 2 };
        assert_eq!(report, Some(Report { sender: Some(0x1_2345), block: Some(block) }));
        for cut in 1..bytes.len() {
            assert!(parse(&bytes[..cut], 9).is_none_or(|report| cut == 52 && report.block.is_some()));
        }
        bytes.clear();
        write(8, None, None, Heard::default(), &mut bytes);
        assert_eq!(parse(&bytes, 9), Some(Report::default()));
    }
}
