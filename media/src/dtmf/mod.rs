//! Keys. They travel in three ways: as named events in RTP (`event`, RFC 4733), as a pair of tones in the sound itself (`tone`, `detect`,
//! ITU-T Q.23 and Q.24), and in SIP INFO, which reaches the session by [`MediaSession::key_by_info`](crate::MediaSession::key_by_info). `keys`
//! makes one stream of all of them; `said` writes events.

pub(crate) mod detect;
pub(crate) mod event;
pub(crate) mod keys;
pub(crate) mod said;
pub(crate) mod tone;

use std::collections::VecDeque;
use std::time::Duration;

use crate::{DigitsError, LINE_RATE};

/// How keys travel on a line, in both directions. By whichever way a press comes, and by however many, it is one [`Event::Digit`](crate::Event::Digit).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// As telephone-event where both sides speak it. Else as tones; then the peer's sound is searched for tones as well.
    #[default]
    Auto,
    /// As telephone-event, and as tones to a peer that does not speak it. Its sound is never searched.
    Rfc4733,
    /// By SIP INFO: telephone-event is not offered, and what is to be sent is told by [`Event::Press`](crate::Event::Press).
    Info,
    /// As tones: telephone-event is not offered, and the peer's sound is searched.
    Inband,
}

impl Mode {
    /// Whether telephone-event is spoken at all.
    pub fn has_events(self) -> bool {
        matches!(self, Mode::Auto | Mode::Rfc4733)
    }
}

/// A press that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pressed {
    pub(crate) digit: char,
    pub(crate) duration_ms: u32,
}

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

/// What the dialler wants to be on the line in this tick. Lengths are in line time, 1/8,000 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialling {
    /// Nothing to dial: speak on.
    Idle,
    /// Silence between two digits.
    Gap,
    /// A key is held, for so long at the end of this tick, and for `length` in all.
    Key { code: u8, held: u32, length: u32, first: bool, last: bool },
    /// The key was released; its end is said again (RFC 4733 §2.5.1.4).
    Released { code: u8, held: u32 },
}

/// Holds keys down one after the other, by the 20 ms clock.
pub(crate) struct Dialler {
    /// Keys and pauses, each with the time that it is held.
    queue: VecDeque<(char, u32)>,
    /// How long a key is held that says nothing of its own, and what lies between two.
    length: u32,
    gap: u32,
    phase: Phase,
}

enum Phase {
    Idle,
    Key { code: u8, held: u32, length: u32 },
    Released { code: u8, held: u32, said: u32, gap: u32 },
    Gap { left: u32 },
}

/// 20 ms of line time.
const TICK: u32 = LINE_RATE / 50;
/// 40 ms is the shortest key and the shortest pause that every receiver must notice (ITU-T Q.24).
const SHORTEST: u32 = LINE_RATE / 25;
/// Nobody holds a key for longer than 30 s.
const LONGEST: u32 = 30 * LINE_RATE;
const LONGEST_GAP: u32 = 10 * LINE_RATE;
/// The end of an event is sent so often in all (RFC 4733 §2.5.1.4).
const ENDS: u32 = 3;

impl Dialler {
    pub(crate) fn new(length: Duration, gap: Duration) -> Self {
        Dialler {
            queue: VecDeque::with_capacity(MAX_QUEUED_DIGITS),
            length: held(length),
            gap: line_time(gap).clamp(SHORTEST, LONGEST_GAP),
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
        let length = self.length;
        self.queue.extend(digits.chars().map(|digit| (digit, length)));
        Ok(())
    }

    /// Whether no key is being sent, and none waits.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.queue.is_empty()
    }

    /// Moves on by a tick.
    pub(crate) fn tick(&mut self) -> Dialling {
        match &mut self.phase {
            Phase::Idle => self.next(),
            Phase::Key { code, held, length } => {
                let (code, length) = (*code, *length);
                let held = (*held + TICK).min(length);
                self.hold(code, held, length, false)
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
            Some((digit, length)) => match code_of(digit) {
                Some(code) => self.hold(code, TICK.min(length), length, true),
                None => {
                    self.phase = Phase::Gap { left: PAUSE_LENGTH - TICK };
                    Dialling::Gap
                }
            },
        }
    }

    fn hold(&mut self, code: u8, held: u32, length: u32, first: bool) -> Dialling {
        let last = held == length;
        self.phase = if last {
            Phase::Released { code, held, said: 1, gap: self.gap }
        } else {
            Phase::Key { code, held, length }
        };
        Dialling::Key { code, held, length, first, last }
    }
}

fn line_time(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).saturating_mul(LINE_RATE / 1_000)
}

fn held(length: Duration) -> u32 {
    line_time(length).clamp(SHORTEST, LONGEST)
}
