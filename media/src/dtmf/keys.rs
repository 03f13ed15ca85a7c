//! One stream of presses, by whichever ways they come.
//!
//! A peer may report a press as telephone-event, by SIP INFO and as tones that can be heard, all three at once: some phones do, and some
//! gateways make tones of events and leave the events. The reports come at different times: the tone is heard behind the
//! jitter buffer, INFO takes the way of the signalling. Two reports of the same key by different ways that lie within a second of each
//! other are one press, and the first one counts. Two reports by the same way are always two presses, so a key that is really pressed
//! twice is never lost.

use std::collections::VecDeque;
use std::time::Duration;

use super::detect::Detector;
use super::event::{Payload, Presses};
use super::{MAX_QUEUED_DIGITS, Mode, Pressed, code_of, digit_of};
use crate::LINE_RATE;

/// Reports that are remembered. Nobody presses more keys in a second.
const REMEMBERED: usize = 16;
/// Between the end of the one and the beginning of the other report, in line time: 1 s.
const APART: i64 = LINE_RATE as i64;

/// The way by which a press was reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Event = 1,
    Info = 2,
    Sound = 4,
}

struct Report {
    digit: char,
    /// In line time.
    from: i64,
    until: i64,
    /// A bit for each way.
    ways: u8,
}

/// What a peer presses.
pub(crate) struct Keys {
    presses: Presses,
    detector: Detector,
    /// Tones are to be found, and to be told.
    watches: bool,
    listens: bool,
    merged: Merged,
}

struct Merged {
    reports: VecDeque<Report>,
    found: VecDeque<Pressed>,
    /// Reports of what had been reported by another way.
    again: u64,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Keys {
            presses: Presses::default(),
            detector: Detector::new(LINE_RATE),
            watches: false,
            listens: false,
            merged: Merged {
                reports: VecDeque::with_capacity(REMEMBERED),
                found: VecDeque::with_capacity(MAX_QUEUED_DIGITS),
                again: 0,
            },
        }
    }

    /// As it was agreed: whether telephone-event is spoken. `watch`: tones are to be noticed also where they are no keys of their own, so that
    /// they are not recorded.
    pub(crate) fn configure(&mut self, mode: Mode, has_events: bool, watch: bool) {
        self.listens = match mode {
            Mode::Auto => !has_events,
            Mode::Inband => true,
            Mode::Rfc4733 | Mode::Info => false,
        };
        self.watches = self.listens || watch;
    }

    /// A telephone-event has come. `clock`: timestamp units per second.
    pub(crate) fn packet(&mut self, now: i64, timestamp: u32, marker: bool, payload: Payload, clock: u32) {
        let merged = &mut self.merged;
        self.presses.packet(timestamp, marker, payload, clock, &mut |pressed| {
            merged.take(now, Way::Event, pressed);
        });
    }

    /// An INFO has come. False: it is no key.
    pub(crate) fn info(&mut self, now: i64, digit: char, duration: Duration) -> bool {
        let Some(digit) = code_of(digit).and_then(digit_of) else { return false };
        let duration_ms = duration.as_millis().min(60_000) as u32;
        self.merged.take(now, Way::Info, Pressed { digit, duration_ms });
        true
    }

    /// What the peer said in this tick.
    pub(crate) fn heard(&mut self, now: i64, pcm: &[i16], rate: u32) {
        let (merged, listens) = (&mut self.merged, self.listens);
        let released = &mut |pressed| {
            if listens {
                merged.take(now, Way::Sound, pressed);
            }
        };
        if self.watches {
            self.detector.heard(pcm, rate, released);
        } else {
            self.detector.end(released);
        }
    }

    pub(crate) fn tick(&mut self, now: i64) {
        let merged = &mut self.merged;
        self.presses.tick(&mut |pressed| merged.take(now, Way::Event, pressed));
    }

    /// Another stream of packets begins.
    pub(crate) fn restart(&mut self, now: i64) {
        let merged = &mut self.merged;
        self.presses.restart(&mut |pressed| merged.take(now, Way::Event, pressed));
    }

    /// Whether a key is held now.
    pub(crate) fn held(&self) -> bool {
        self.presses.held() || self.detector.held()
    }

    /// Whether a key is heard in the sound now.
    pub(crate) fn sounds(&self) -> bool {
        self.detector.held()
    }

    /// The next press, when it is over.
    pub(crate) fn poll(&mut self) -> Option<Pressed> {
        self.merged.found.pop_front()
    }

    /// Reports of what had been reported by another way.
    pub(crate) fn again(&self) -> u64 {
        self.merged.again
    }
}

impl Merged {
    fn take(&mut self, now: i64, way: Way, pressed: Pressed) {
        let (from, until) = (now - i64::from(pressed.duration_ms) * i64::from(LINE_RATE / 1_000), now);
        let same = self.reports.iter_mut().find(|report| {
            report.digit == pressed.digit
                && report.ways & way as u8 == 0
                && from - report.until <= APART
                && report.from - until <= APART
        });
        if let Some(report) = same {
            report.ways |= way as u8;
            self.again += 1;
            return;
        }
        if self.reports.len() == REMEMBERED {
            self.reports.pop_front();
        }
        self.reports.push_back(Report { digit: pressed.digit, from, until, ways: way as u8 });
        if self.found.len() < MAX_QUEUED_DIGITS {
            self.found.push_back(pressed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = LINE_RATE as i64 / 1_000;

    /// Reports of way, time of release in ms, key, length in ms; and what comes of them.
    fn merge(reports: &[(Way, i64, char, u32)]) -> String {
        let mut keys = Keys::new();
        for &(way, at_ms, digit, duration_ms) in reports {
            keys.merged.take(at_ms * MS, way, Pressed { digit, duration_ms });
        }
        std::iter::from_fn(|| keys.poll()).map(|pressed| pressed.digit).collect()
    }

    #[test]
    fn a_press_that_is_reported_three_times_is_one() {
        use Way::{Event, Info, Sound};
        assert_eq!(merge(&[(Info, 0, '5', 250), (Event, 100, '5', 100), (Sound, 180, '5', 90)]), "5");
        // The INFO came when the key went down, the event when it was released.
        assert_eq!(merge(&[(Info, 0, '5', 0), (Event, 4_000, '5', 4_000), (Sound, 4_100, '5', 3_900)]), "5");
        // The sound hangs in a jitter buffer, behind the next press.
        assert_eq!(
            merge(&[
                (Event, 100, '1', 80),
                (Event, 250, '1', 80),
                (Sound, 300, '1', 80),
                (Sound, 450, '1', 80)
            ]),
            "11"
        );
        assert_eq!(
            merge(&[
                (Event, 100, '1', 80),
                (Sound, 200, '1', 80),
                (Event, 300, '1', 80),
                (Sound, 400, '1', 80)
            ]),
            "11"
        );
    }

    #[test]
    fn what_was_pressed_twice_is_two() {
        use Way::{Event, Info, Sound};
        for way in [Event, Info, Sound] {
            assert_eq!(merge(&[(way, 100, '1', 80), (way, 200, '1', 80), (way, 300, '2', 80)]), "112");
        }
        assert_eq!(merge(&[(Event, 100, '1', 80), (Sound, 100, '2', 80)]), "12", "another key");
        assert_eq!(merge(&[(Event, 100, '1', 80), (Info, 1_400, '1', 80)]), "11", "much later");
    }

    #[test]
    fn tones_are_looked_for_where_they_are_to_be_expected() {
        for (mode, has_events, listens) in [
            (Mode::Auto, true, false),
            (Mode::Auto, false, true),
            (Mode::Rfc4733, false, false),
            (Mode::Info, false, false),
            (Mode::Inband, true, true),
        ] {
            let mut keys = Keys::new();
            keys.configure(mode, has_events, true);
            assert_eq!(keys.listens, listens, "{mode:?} {has_events}");
        }
        assert!(!Keys::new().info(0, 'x', Duration::ZERO));
    }
}
