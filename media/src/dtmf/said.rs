//! Keys as telephone-events, going out (RFC 4733 §2.5.1): the timestamp stands at the key's beginning, the duration grows, the end is said
//! three times. What lasts longer than the duration's 16 bits can say goes on in a new segment, whose timestamp is the end of the one
//! before (§2.5.1.3).

use super::Dialling;
use super::event::{Payload, SEGMENT};
use crate::LINE_RATE;

/// The event that is being sent.
#[derive(Default)]
pub(crate) struct Said {
    /// Of its present segment.
    timestamp: u32,
    /// What the segments before it lasted, in timestamp units.
    before: u32,
}

/// One packet: marker, timestamp, payload.
pub(crate) type Packet = (bool, u32, Payload);

impl Said {
    /// The packets of this tick: one, and one more where a segment ends in the same tick as the key. `now`: the timestamp at the tick's
    /// beginning; `clock`: timestamp units per second; `volume`: as [`Payload::volume`].
    pub(crate) fn tick(
        &mut self,
        dialling: Dialling,
        now: u32,
        clock: u32,
        volume: u8,
    ) -> [Option<Packet>; 2] {
        let (code, held, first, end) = match dialling {
            Dialling::Key { code, held, first, last, .. } => (code, held, first, last),
            Dialling::Released { code, held } => (code, held, false, true),
            Dialling::Idle | Dialling::Gap => return [None, None],
        };
        if first {
            (self.timestamp, self.before) = (now, 0);
        }
        let whole = u64::from(held) * u64::from(clock) / u64::from(LINE_RATE);
        let mut duration = u32::try_from(whole).unwrap_or(u32::MAX).saturating_sub(self.before);
        let payload =
            |end, duration: u32| Payload { code, end, volume, duration: duration.min(SEGMENT) as u16 };
        let mut full = None;
        if duration > SEGMENT {
            full = Some((first, self.timestamp, payload(false, SEGMENT)));
            self.timestamp = self.timestamp.wrapping_add(SEGMENT);
            self.before = self.before.saturating_add(SEGMENT);
            duration -= SEGMENT;
        }
        [full, Some((first && full.is_none(), self.timestamp, payload(end, duration)))]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dtmf::Dialler;
    use crate::dtmf::event::Presses;

    /// `(marker, timestamp, end, duration)` of all packets of one key.
    fn key(length_ms: u64, clock: u32) -> Vec<(bool, u32, bool, u16)> {
        let mut dialler = Dialler::new(Duration::from_millis(length_ms), Duration::from_millis(80));
        dialler.dial("7").expect("a key");
        let (mut said, mut packets) = (Said::default(), Vec::new());
        for tick in 0.. {
            let dialling = dialler.tick();
            if dialling == Dialling::Idle {
                break;
            }
            let now = (u32::MAX - 500).wrapping_add(tick * clock / 50);
            for (marker, timestamp, payload) in said.tick(dialling, now, clock, 10).into_iter().flatten() {
                packets.push((marker, timestamp.wrapping_sub(u32::MAX - 500), payload.end, payload.duration));
            }
        }
        packets
    }

    #[test]
    fn a_long_press_goes_on_in_segments() {
        for (length_ms, clock) in
            [(9_000, 8_000), (20_000, 8_000), (1_400, 48_000), (1_366, 48_000), (4_100, 48_000)]
        {
            let packets = key(length_ms, clock);
            assert_eq!(packets.iter().filter(|packet| packet.0).count(), 1, "one marker");
            assert!(packets[0].0);
            let mut reached = 0;
            for two in packets.windows(2) {
                let ((_, at, _, lasts), (_, next, ..)) = (two[0], two[1]);
                if next != at {
                    // The segment before was complete, and the new one begins where it ended.
                    assert_eq!((u32::from(lasts), next - at), (SEGMENT, SEGMENT));
                    reached += SEGMENT;
                }
            }
            let last = packets[packets.len() - 1];
            assert_eq!(u64::from(reached + u32::from(last.3)), length_ms * u64::from(clock) / 1_000);
            assert_eq!(packets.iter().filter(|packet| packet.2).count(), 3, "three ends");
            // And is heard as one press of that length.
            let (mut presses, mut heard) = (Presses::default(), Vec::new());
            for (marker, timestamp, end, duration) in packets {
                let payload = Payload { code: 7, end, volume: 10, duration };
                presses.packet(timestamp, marker, payload, clock, &mut |pressed| {
                    heard.push(pressed.duration_ms)
                });
            }
            assert_eq!(heard, [length_ms as u32]);
        }
    }
}
