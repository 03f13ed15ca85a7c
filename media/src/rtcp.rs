//! RTCP packets (RFC 3550 §6): reports, a CNAME, BYE, and of the extended reports (RFC 3611) the one on telephony. Reading and writing only;
//! when they are sent and what they mean for the call stands in `session/control.rs`.
//!
//! The NTP timestamp of our sender reports is the time since the session began, which §6.4.1 allows to a system without wall clock; the
//! peer only hands its middle back, and from that the round-trip time comes.

use crate::receive::Reception;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;
/// The block of RFC 3611 §4.7, and its length in words behind its first.
const VOIP_METRICS: u8 = 7;
const VOIP_WORDS: u16 = 8;
/// "Not known", in the fields of a VoIP metrics block that hold a rating.
pub(crate) const UNKNOWN: u8 = 127;

/// Whether a datagram on a port that carries both RTP and RTCP is RTCP (RFC 5761 §4). An RTP packet looks the same where its payload type is from
/// 64 to 95 and its marker set, so such numbers and one port for both exclude each other.
pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [flags, 192..=223, _, _, ..] if flags >> 6 == 2)
}

/// The name that ties our streams together, also when an SSRC changes: 96 random bits (RFC 7022 §4.2), so it says nothing about anybody.
#[derive(Clone, Debug)]
pub(crate) struct Cname([u8; 16]);

impl Cname {
    pub(crate) fn new(high: u64, low: u64) -> Self {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits = u128::from(high) << 64 | u128::from(low);
        Cname(std::array::from_fn(|n| LETTERS[(bits >> (6 * n)) as usize & 63]))
    }
}

/// What we tell of what we sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Time since the session began, as NTP fixed point: seconds above, fraction below.
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// The last sender report that came: the middle of its NTP timestamp, and how long ago, in 1/65,536 s.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Heard {
    pub(crate) last: u32,
    pub(crate) since: u32,
}

/// What RFC 3611 §4.7 tells of a stream, as it stands in the packet: shares of 256, milliseconds, ratings with [`UNKNOWN`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct VoipMetrics {
    /// Of the stream that is judged.
    pub(crate) ssrc: u32,
    pub(crate) loss: u8,
    pub(crate) discard: u8,
    pub(crate) burst_density: u8,
    pub(crate) gap_density: u8,
    pub(crate) burst_ms: u16,
    pub(crate) gap_ms: u16,
    pub(crate) round_trip_ms: u16,
    pub(crate) end_system_ms: u16,
    /// 0–100.
    pub(crate) r: u8,
    /// Tenths, 10–50: of listening alone, and with the delay.
    pub(crate) mos_lq: u8,
    pub(crate) mos_cq: u8,
    pub(crate) buffer_ms: u16,
    pub(crate) buffer_max_ms: u16,
}

/// A compound packet to be written (§6.1).
#[derive(Debug)]
pub(crate) struct Compound<'a> {
    pub(crate) ssrc: u32,
    pub(crate) cname: &'a Cname,
    pub(crate) sent: Option<Sent>,
    pub(crate) reception: Option<Reception>,
    pub(crate) heard: Heard,
    pub(crate) voip: Option<VoipMetrics>,
    /// The last packet of this SSRC.
    pub(crate) bye: bool,
}

/// Appends a compound packet.
pub(crate) fn write(packet: &Compound<'_>, out: &mut Vec<u8>) {
    let ssrc = packet.ssrc.to_be_bytes();
    let blocks = u8::from(packet.reception.is_some());
    let words = 1 + if packet.sent.is_some() { 5 } else { 0 } + 6 * u16::from(blocks);
    out.extend([0x80 | blocks, if packet.sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT }]);
    out.extend(words.to_be_bytes());
    out.extend(ssrc);
    if let Some(sent) = &packet.sent {
        out.extend(sent.ntp.to_be_bytes());
        out.extend(sent.timestamp.to_be_bytes());
        out.extend(sent.packets.to_be_bytes());
        out.extend(sent.bytes.to_be_bytes());
    }
    if let Some(reception) = &packet.reception {
        out.extend(reception.ssrc.to_be_bytes());
        let lost = reception.lost & 0xff_ffff;
        out.extend((u32::from(reception.fraction_lost) << 24 | lost).to_be_bytes());
        out.extend(reception.highest.to_be_bytes());
        out.extend(reception.jitter.to_be_bytes());
        out.extend(packet.heard.last.to_be_bytes());
        out.extend(packet.heard.since.to_be_bytes());
    }
    // One chunk of six words: SSRC, an item of 2 + 16 bytes, at least one zero, to a multiple of four.
    out.extend([0x81, SOURCE_DESCRIPTION, 0, 6]);
    out.extend(ssrc);
    out.extend([1, 16]);
    out.extend(packet.cname.0);
    out.extend([0, 0]);
    if let Some(voip) = &packet.voip {
        out.extend([0x80, EXTENDED_REPORT]);
        out.extend((2 + VOIP_WORDS).to_be_bytes());
        out.extend(ssrc);
        write_voip(voip, out);
    }
    if packet.bye {
        out.extend([0x81, GOODBYE, 0, 1]);
        out.extend(ssrc);
    }
}

fn write_voip(voip: &VoipMetrics, out: &mut Vec<u8>) {
    /// Bursts are told apart by sixteen packets in a row that came.
    const GMIN: u8 = 16;
    /// Lost packets are filled from the sound before them; the jitter buffer adapts, in about half a second.
    const CONFIG: u8 = 0b1111_1100;
    out.extend([VOIP_METRICS, 0]);
    out.extend(VOIP_WORDS.to_be_bytes());
    out.extend(voip.ssrc.to_be_bytes());
    out.extend([voip.loss, voip.discard, voip.burst_density, voip.gap_density]);
    for ms in [voip.burst_ms, voip.gap_ms, voip.round_trip_ms, voip.end_system_ms] {
        out.extend(ms.to_be_bytes());
    }
    // Signal level, noise level and echo return loss are not measured; nor is there another network behind us to be rated.
    out.extend([UNKNOWN, UNKNOWN, UNKNOWN, GMIN, voip.r, UNKNOWN, voip.mos_lq, voip.mos_cq, CONFIG, 0]);
    for ms in [voip.buffer_ms, voip.buffer_max_ms, voip.buffer_max_ms] {
        out.extend(ms.to_be_bytes());
    }
}

/// What a compound packet says that we care for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// Who reports.
    pub(crate) ssrc: Option<u32>,
    /// The middle of the NTP timestamp of the peer's sender report.
    pub(crate) sender: Option<u32>,
    /// The peer's block on our stream, and its rating of it.
    pub(crate) block: Option<Block>,
    pub(crate) voip: Option<VoipMetrics>,
    /// Who says goodbye.
    pub(crate) gone: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) fraction_lost: u8,
    /// Our highest sequence number that came, with its wraps above.
    pub(crate) highest: u32,
    /// In units of the RTP clock.
    pub(crate) jitter: u32,
    /// The middle of the NTP timestamp of our last report, and how long the peer had it, in 1/65,536 s.
    pub(crate) last: u32,
    pub(crate) since: u32,
}

/// Reads any bytes; `None` if they are no RTCP (§A.2). The first packet need not be a report (RFC 5506).
pub(crate) fn parse(bytes: &[u8], our_ssrc: u32) -> Option<Report> {
    let mut report = Report::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let [flags, kind, high, low, ..] = *rest else { return None };
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        if flags >> 6 != 2 || !(192..=223).contains(&kind) || length > rest.len() {
            return None;
        }
        let (packet, later) = rest.split_at(length);
        rest = later;
        match kind {
            SENDER_REPORT => {
                report.ssrc = report.ssrc.or_else(|| word(packet, 4));
                report.sender =
                    word(packet, 8).zip(word(packet, 12)).map(|(high, low)| high << 16 | low >> 16);
                blocks(packet, 28, our_ssrc, &mut report);
            }
            RECEIVER_REPORT => {
                report.ssrc = report.ssrc.or_else(|| word(packet, 4));
                blocks(packet, 8, our_ssrc, &mut report);
            }
            EXTENDED_REPORT => extended(packet, our_ssrc, &mut report),
            GOODBYE if flags & 0x1f > 0 => report.gone = word(packet, 4),
            _ => {}
        }
    }
    (!bytes.is_empty()).then_some(report)
}

/// The report blocks of a packet, from a byte on.
fn blocks(packet: &[u8], from: usize, our_ssrc: u32, report: &mut Report) {
    let count = usize::from(packet[0] & 0x1f);
    for block in packet.get(from..).unwrap_or_default().chunks_exact(24).take(count) {
        if word(block, 0) != Some(our_ssrc) {
            continue;
        }
        if let (Some(loss), Some(highest), Some(jitter), Some(last), Some(since)) =
            (word(block, 4), word(block, 8), word(block, 12), word(block, 16), word(block, 20))
        {
            let fraction_lost = (loss >> 24) as u8;
            report.block = Some(Block { fraction_lost, highest, jitter, last, since });
        }
    }
}

/// The block on our stream in an extended report (RFC 3611 §3).
fn extended(packet: &[u8], our_ssrc: u32, report: &mut Report) {
    let mut rest = packet.get(8..).unwrap_or_default();
    while let [kind, _, high, low, ..] = *rest {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((block, later)) = rest.split_at_checked(length) else { return };
        rest = later;
        let ours = kind == VOIP_METRICS && word(block, 4) == Some(our_ssrc);
        if ours && block.len() >= 4 + 4 * usize::from(VOIP_WORDS) {
            let half = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
            report.voip = Some(VoipMetrics {
                ssrc: our_ssrc,
                loss: block[8],
                discard: block[9],
                burst_density: block[10],
                gap_density: block[11],
                burst_ms: half(12),
                gap_ms: half(14),
                round_trip_ms: half(16),
                end_system_ms: half(18),
                r: block[24],
                mos_lq: block[26],
                mos_cq: block[27],
                buffer_ms: half(30),
                buffer_max_ms: half(32),
            });
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOIP: VoipMetrics = VoipMetrics {
        ssrc: 9,
        loss: 12,
        discard: 3,
        burst_density: 90,
        gap_density: 2,
        burst_ms: 340,
        gap_ms: 12_000,
        round_trip_ms: 48,
        end_system_ms: 60,
        r: 82,
        mos_lq: 41,
        mos_cq: 40,
        buffer_ms: 40,
        buffer_max_ms: 240,
    };

    fn compound(cname: &Cname) -> Compound<'_> {
        Compound {
            ssrc: 8,
            cname,
            sent: Some(Sent { ntp: 0x1_2345_6789, timestamp: 5, packets: 6, bytes: 7 }),
            reception: Some(Reception { ssrc: 9, fraction_lost: 64, lost: 3, highest: 70_000, jitter: 12 }),
            heard: Heard { last: 1, since: 2 },
            voip: None,
            bye: false,
        }
    }

    #[test]
    fn a_report_to_the_letter() {
        let cname = Cname::new(0, 0);
        let mut bytes = Vec::new();
        write(&Compound { voip: Some(VOIP), bye: true, ..compound(&cname) }, &mut bytes);
        let golden = [
            "81c8000c 00000008 00000001 23456789 00000005 00000006 00000007",
            "00000009 40000003 00011170 0000000c 00000001 00000002",
            "81ca0006 00000008 01104141 41414141 41414141 41414141 41410000",
            "80cf000a 00000008 07000008 00000009 0c035a02 01542ee0 0030003c 7f7f7f10 527f2928 fc000028 00f000f0",
            "81cb0001 00000008",
        ];
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, golden.concat().replace(' ', ""));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let cname = Cname::new(1, 2);
        let mut bytes = Vec::new();
        write(&compound(&cname), &mut bytes);
        assert_eq!(bytes.len(), 52 + 28);
        assert!(is_rtcp(&bytes));
        let block = Block { fraction_lost: 64, highest: 70_000, jitter: 12, last: 1, since: 2 };
        let report =
            Report { ssrc: Some(8), sender: Some(0x1_2345), block: Some(block), ..Report::default() };
        assert_eq!(parse(&bytes, 9), Some(report));
        assert_eq!(parse(&bytes, 10), Some(Report { block: None, ..report }));
        for cut in 1..bytes.len() {
            assert!(parse(&bytes[..cut], 9).is_none_or(|report| cut == 52 && report.block.is_some()));
        }
        bytes.clear();
        write(&Compound { sent: None, reception: None, bye: true, ..compound(&cname) }, &mut bytes);
        assert_eq!(parse(&bytes, 9), Some(Report { ssrc: Some(8), gone: Some(8), ..Report::default() }));
        bytes.clear();
        write(&Compound { voip: Some(VOIP), ..compound(&cname) }, &mut bytes);
        assert_eq!(parse(&bytes, 9).and_then(|report| report.voip), Some(VOIP));
        assert_eq!(parse(&bytes, 8).and_then(|report| report.voip), None);
    }

    #[test]
    fn a_name_has_sixteen_letters_of_base64() {
        let name = Cname::new(u64::MAX, 0x0123_4567_89ab_cdef);
        assert!(name.0.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)), "{name:?}");
        assert_ne!(name.0, Cname::new(u64::MAX, 0x0123_4567_89ab_cdee).0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), ssrc: u32) {
            let _ = parse(&bytes, ssrc);
            // And again with a beginning that lets them in.
            if bytes.len() >= 4 {
                bytes.truncate(bytes.len() / 4 * 4);
                let words = (bytes.len() / 4 - 1) as u16;
                bytes[0] = 0x80 | bytes[0] & 0x1f;
                bytes[1] = [200, 201, 202, 203, 207][usize::from(bytes[1]) % 5];
                bytes[2..4].copy_from_slice(&words.to_be_bytes());
                prop_assert!(is_rtcp(&bytes) && parse(&bytes, ssrc).is_some());
            }
        }

        #[test]
        fn what_is_written_is_read(
            ssrc: u32, other: u32, ntp: u64, fraction_lost: u8, lost in 0u32..0x80_0000, highest: u32, jitter: u32,
            last: u32, since: u32, metrics: [u8; 8], bye: bool,
        ) {
            let cname = Cname::new(ntp, u64::from(ssrc));
            let [loss, discard, burst_density, gap_density, r, mos_lq, mos_cq, _] = metrics;
            let voip = VoipMetrics { ssrc: other, loss, discard, burst_density, gap_density, r, mos_lq, mos_cq, ..VOIP };
            let mut bytes = Vec::new();
            write(&Compound {
                ssrc,
                cname: &cname,
                sent: Some(Sent { ntp, timestamp: last, packets: since, bytes: highest }),
                reception: Some(Reception { ssrc: other, fraction_lost, lost, highest, jitter }),
                heard: Heard { last, since },
                voip: Some(voip),
                bye,
            }, &mut bytes);
            let block = Block { fraction_lost, highest, jitter, last, since };
            let expected = Report {
                ssrc: Some(ssrc),
                sender: Some((ntp >> 16) as u32),
                block: Some(block),
                voip: Some(voip),
                gone: bye.then_some(ssrc),
            };
            prop_assert_eq!(parse(&bytes, other), Some(expected));
        }
    }
}
