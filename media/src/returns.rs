//! An echo that this end puts on the line, as a bad hybrid or a loud loudspeaker would.
//!
//! No gateway wants that. It is for the telephones of tests and benchmarks, which show how the other side bears it.

use std::time::Duration;

use crate::rate::{Rate, Sound};

/// What comes back of what is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Returns {
    /// From the tick in which it is heard.
    pub delay: Duration,
    /// How much weaker it is, in dB.
    pub loss: f32,
}

pub(crate) struct Returning {
    delay: Duration,
    /// What was heard; the oldest sample first.
    heard: Box<[i16]>,
    gain: f32,
}

impl Returning {
    pub(crate) fn new(returns: Returns) -> Self {
        let delay = returns.delay;
        let heard = Self::room(delay, Rate::Narrow);
        Returning { delay, heard, gain: 10f32.powf(-returns.loss / 20.0) }
    }

    /// The line's rate has become another one; what is on its way is lost.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        self.heard = Self::room(self.delay, rate);
    }

    fn room(delay: Duration, rate: Rate) -> Box<[i16]> {
        let delay = (delay.as_secs_f64() * f64::from(rate.hz())) as usize;
        vec![0; delay + rate.frame()].into_boxed_slice()
    }

    /// Takes a tick of what is heard, and adds what comes back to what is sent.
    pub(crate) fn tick(&mut self, heard: &Sound, sent: &mut Sound) {
        self.heard.copy_within(heard.len().., 0);
        let newest = self.heard.len() - heard.len();
        self.heard[newest..].copy_from_slice(heard);
        for (sent, &heard) in sent.iter_mut().zip(self.heard.iter()) {
            *sent = sent.saturating_add((f32::from(heard) * self.gain) as i16);
        }
    }
}
