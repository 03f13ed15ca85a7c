//! telephone-event payloads (RFC 4733 §2.3), and one digit per press out of whatever really arrives.
//!
//! A press is a row of packets with the same timestamp and a growing duration; the last is sent three times with the E bit. Any of them may be
//! lost, doubled or late, the marker may be missing, the next press may begin before the ends of this one have come. What tells
//! two presses apart is the timestamp alone. Two habits are tolerated: senders that let the timestamp run on within a press, and
//! presses longer than 8 s, which continue under a new timestamp (§2.5.1.3).

use super::{Pressed, digit_of};

/// Ticks without a packet after which a press counts as released: its ends were lost.
const LOST_ENDS: u32 = 10;
/// By so many milliseconds a sender that does not freeze its timestamp may let it run on between two packets.
const RUNNING_MS: u32 = 60;
/// What a segment of a long press lasts, in timestamp units, if its sender keeps to §2.5.1.3.
pub(crate) const SEGMENT: u32 = 0xffff;

/// One packet's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Payload {
    pub(crate) code: u8,
    pub(crate) end: bool,
    /// Attenuation in dB.
    pub(crate) volume: u8,
    /// In timestamp units.
    pub(crate) duration: u16,
}

impl Payload {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[code, flags, high, low, ..] = bytes else { return None };
        Some(Payload {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    pub(crate) fn bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | self.volume & 0x3f, high, low]
    }
}

/// Turns packets into presses.
#[derive(Default)]
pub(crate) struct Presses {
    current: Option<Press>,
    /// Timestamp and code of the press that was reported last.
    reported: Option<(u32, u8)>,
    /// Timestamp units per second.
    clock: u32,
}

struct Press {
    code: u8,
    timestamp: u32,
    /// Duration of the segments before this one, and of this one.
    before: u32,
    duration: u32,
    quiet: u32,
}

impl Presses {
    /// Takes a packet; a finished press goes to `released`. `clock`: timestamp units per second.
    pub(crate) fn packet(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: Payload,
        clock: u32,
        released: &mut impl FnMut(Pressed),
    ) {
        if digit_of(payload.code).is_none() {
            return;
        }
        self.clock = clock.max(1_000);
        let running = self.clock / 1_000 * RUNNING_MS;
        let duration = u32::from(payload.duration);
        if let Some(press) = &mut self.current {
            let ahead = timestamp.wrapping_sub(press.timestamp);
            if ahead > u32::MAX / 2 {
                // Of a press before this one, which has been reported.
                return;
            }
            // The last report of the segment before may have been lost.
            let next_segment = ahead == press.duration || ahead == SEGMENT && press.duration > SEGMENT / 2;
            let continues = ahead > 0
                && press.code == payload.code
                && !marker
                && (next_segment || ahead <= running && duration > press.duration);
            if continues && next_segment && duration <= press.duration {
                press.before = press.before.saturating_add(ahead);
                press.duration = 0;
            }
            if continues || ahead == 0 && press.code == payload.code {
                press.timestamp = timestamp;
                press.duration = press.duration.max(duration);
                press.quiet = 0;
                if payload.end {
                    self.release(released);
                }
                return;
            }
            self.release(released);
        } else if let Some((last, code)) = self.reported {
            let ahead = timestamp.wrapping_sub(last);
            if ahead > u32::MAX / 2 || ahead == 0 && code == payload.code {
                return;
            }
        }
        self.current = Some(Press { code: payload.code, timestamp, before: 0, duration, quiet: 0 });
        if payload.end {
            self.release(released);
        }
    }

    /// Whether a key is held now.
    pub(crate) fn held(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn tick(&mut self, released: &mut impl FnMut(Pressed)) {
        if let Some(press) = &mut self.current {
            press.quiet += 1;
            if press.quiet > LOST_ENDS {
                self.release(released);
            }
        }
    }

    /// Another stream begins: its timestamps cannot be compared with those before.
    pub(crate) fn restart(&mut self, released: &mut impl FnMut(Pressed)) {
        self.release(released);
        self.reported = None;
    }

    fn release(&mut self, released: &mut impl FnMut(Pressed)) {
        let Some(press) = self.current.take() else { return };
        self.reported = Some((press.timestamp, press.code));
        if let Some(digit) = digit_of(press.code) {
            let units = press.before.saturating_add(press.duration);
            released(Pressed { digit, duration_ms: units / (self.clock / 1_000) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(timestamp, marker, code, end, duration)`
    type Packet = (u32, bool, u8, bool, u16);

    fn press(timestamp: u32, code: u8, packets: u16) -> Vec<Packet> {
        let mut row: Vec<Packet> = (1..=packets).map(|n| (timestamp, n == 1, code, false, n * 160)).collect();
        row.extend([(timestamp, false, code, true, (packets + 1) * 160); 3]);
        row
    }

    fn digits(packets: &[Packet], ticks: u32) -> Vec<(char, u32)> {
        digits_at(8_000, packets, ticks)
    }

    fn digits_at(clock: u32, packets: &[Packet], ticks: u32) -> Vec<(char, u32)> {
        let mut presses = Presses::default();
        let mut found = Vec::new();
        let mut released = |pressed: Pressed| found.push((pressed.digit, pressed.duration_ms));
        for &(timestamp, marker, code, end, duration) in packets {
            let payload = Payload { code, end, volume: 10, duration };
            presses.packet(timestamp, marker, payload, clock, &mut released);
        }
        (0..ticks).for_each(|_| presses.tick(&mut released));
        found
    }

    #[test]
    fn a_press_is_one_digit() {
        assert_eq!(digits(&press(1_000, 5, 4), 0), [('5', 100)]);
        assert_eq!(digits(&press(u32::MAX - 3, 11, 7), 0), [('#', 160)]);
    }

    #[test]
    fn a_press_is_one_digit_whichever_packets_are_lost() {
        let whole: Vec<Packet> = [press(8_000, 1, 4), press(10_000, 1, 4), press(12_000, 10, 4)].concat();
        let per_press = whole.len() / 3;
        for kept in 1u32..1 << per_press {
            let row: Vec<Packet> = whole
                .iter()
                .enumerate()
                .filter(|(index, _)| kept >> (index % per_press) & 1 == 1)
                .map(|(_, packet)| *packet)
                .collect();
            let found: Vec<char> = digits(&row, 20).iter().map(|found| found.0).collect();
            assert_eq!(found, ['1', '1', '*'], "kept {kept:b}");
        }
    }

    #[test]
    fn doubled_and_late_packets_add_nothing() {
        let (first, second) = (press(1_000, 3, 3), press(3_000, 3, 3));
        let mut row = first.clone();
        row.extend(&second[..1]);
        // The ends of the first press once more, after the second began.
        row.extend(&first[3..]);
        row.extend(&second[1..]);
        row.extend(&second);
        row.extend(&first);
        assert_eq!(digits(&row, 20), [('3', 80), ('3', 80)]);
    }

    #[test]
    fn a_missing_marker_does_not_hide_a_press() {
        let row: Vec<Packet> = [press(1_000, 7, 3), press(9_000, 7, 3)]
            .concat()
            .iter()
            .map(|&(timestamp, _, code, end, duration)| (timestamp, false, code, end, duration))
            .collect();
        assert_eq!(digits(&row, 0), [('7', 80), ('7', 80)]);
    }

    #[test]
    fn running_timestamps_and_long_presses_are_one_press() {
        let running: Vec<Packet> =
            (1..=6).map(|n| (1_000 + 160 * u32::from(n), n == 1, 9, n == 6, n * 160)).collect();
        assert_eq!(digits(&running, 20), [('9', 120)]);
        let long = [
            (1_000, true, 2, false, 30_000),
            (1_000, false, 2, false, 65_535),
            (66_535, false, 2, false, 160),
            (66_535, false, 2, true, 8_000),
        ];
        assert_eq!(digits(&long, 20), [('2', 9_191)]);
        // The report of the whole first segment was lost.
        let lost = [long[0], (1_000, false, 2, false, 65_440), long[2], long[3]];
        assert_eq!(digits(&lost, 20), [('2', 9_191)]);
    }

    #[test]
    fn opus_has_a_faster_clock() {
        let row: Vec<Packet> = (1..=5u16)
            .map(|n| (90_000, n == 1, 4, n == 5, n * 960))
            .chain([(90_000, false, 4, true, 4_800)])
            .collect();
        assert_eq!(digits_at(48_000, &row, 20), [('4', 100)]);
        // 1.4 s are more than a segment holds.
        let long = [
            (1_000, true, 8, false, 64_320),
            (1_000, false, 8, false, 65_535),
            (66_535, false, 8, false, 705),
            (66_535, false, 8, true, 1_665),
        ];
        assert_eq!(digits_at(48_000, &long, 20), [('8', 1_400)]);
    }

    #[test]
    fn other_events_are_no_digits() {
        assert_eq!(digits(&press(1_000, 16, 3), 20), []);
    }
}
