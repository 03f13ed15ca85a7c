//! Keys: as named events in RTP (`event`, RFC 4733), and as a pair of tones in the sound itself (`tone`, ITU-T Q.23) for peers that do
//! not speak telephone-event.

pub(crate) mod event;
pub(crate) mod tone;

use std::collections::VecDeque;
use std::time::Duration;

use crate::{DigitsError, LINE_FRAME, LINE_RATE};

/// How many digits may wait to be sent.
pub const MAX_QUEUED_DIGITS: usize = 128;

/// The keys in the order of their event codes (RFC 4733 §3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// Asks for a pause between digits, as dial strings have it.
const PAUSE: char = ',';
const PAUSE_LENGTH: u32 = LINE_RATE;

/// The event code of a key.
pub(crate) fn code_of(digit: char) -> Option<u8> {
    KEYS.iter().position(|&key| key == digit.to_ascii_uppercase()).map(|code| code as u8)
}

/// The key of an event code.
pub(crate) fn digit_of(code: u8) -> Option<char> {
    KEYS.get(usize::from(code)).copied()
}

/// What the dialler wants to be on the line in this tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialling {
    /// Nothing to dial: speak on.
    Idle,
    /// Silence between two digits.
    Gap,
    /// A key is held, for so many samples at the end of this tick.
    Key { code: u8, held: u32, first: bool, last: bool },
    /// The key was released; its end is said again (RFC 4733 §2.5.1.4).
    Released { code: u8, held: u32 },
}

/// Holds keys down one after the other, by the 20 ms clock.
pub(crate) struct Dialler {
    queue: VecDeque<char>,
    /// Samples that each key is held, and that lie between two.
    length: u32,
    gap: u32,
    phase: Phase,
}

enum Phase {
    Idle,
    Key { code: u8, held: u32 },
    Released { code: u8, held: u32, said: u32, gap: u32 },
    Gap { left: u32 },
}

/// The end of an event is sent so often in all (RFC 4733 §2.5.1.4).
const ENDS: u32 = 3;

impl Dialler {
    pub(crate) fn new(length: Duration, gap: Duration) -> Self {
        let samples = |duration: Duration| (duration.as_millis() as u32).saturating_mul(8);
        // 40 ms is the shortest key and the shortest pause that every receiver must notice (ITU-T Q.24).
        Dialler {
            queue: VecDeque::with_capacity(MAX_QUEUED_DIGITS),
            length: samples(length).clamp(320, 65_535 / 160 * 160),
            gap: samples(gap).clamp(320, 80_000),
            phase: Phase::Idle,
        }
    }

    pub(crate) fn dial(&mut self, digits: &str) -> Result<(), DigitsError> {
        if let Some(wrong) = digits.chars().find(|&digit| digit != PAUSE && code_of(digit).is_none()) {
            return Err(DigitsError::NotADigit(wrong));
        }
        if self.queue.len() + digits.chars().count() > MAX_QUEUED_DIGITS {
            return Err(DigitsError::QueueFull);
        }
        self.queue.extend(digits.chars());
        Ok(())
    }

    /// Moves on by a tick.
    pub(crate) fn tick(&mut self) -> Dialling {
        const TICK: u32 = LINE_FRAME as u32;
        match &mut self.phase {
            Phase::Idle => self.next(),
            Phase::Key { code, held } => {
                let code = *code;
                let held = (*held + TICK).min(self.length);
                self.hold(code, held, false)
            }
            Phase::Released { code, held, said, gap } => {
                let dialling = Dialling::Released { code: *code, held: *held };
                *said += 1;
                *gap = gap.saturating_sub(TICK);
                if *said == ENDS {
                    self.phase = Phase::Gap { left: *gap };
                }
                dialling
            }
            Phase::Gap { left: 0 } => self.next(),
            Phase::Gap { left } => {
                *left = left.saturating_sub(TICK);
                Dialling::Gap
            }
        }
    }

    fn next(&mut self) -> Dialling {
        match self.queue.pop_front() {
            None => {
                self.phase = Phase::Idle;
                Dialling::Idle
            }
            Some(digit) => match code_of(digit) {
                Some(code) => self.hold(code, (LINE_FRAME as u32).min(self.length), true),
                None => {
                    self.phase = Phase::Gap { left: PAUSE_LENGTH - LINE_FRAME as u32 };
                    Dialling::Gap
                }
            },
        }
    }

    fn hold(&mut self, code: u8, held: u32, first: bool) -> Dialling {
        let last = held == self.length;
        self.phase = if last {
            Phase::Released { code, held, said: 1, gap: self.gap }
        } else {
            Phase::Key { code, held }
        };
        Dialling::Key { code, held, first, last }
    }
}
