//! An echo that this end puts on the line, as a bad hybrid or a loud loudspeaker would.
//!
//! No gateway wants that. It is for the telephones of tests and benchmarks, which show how the other side bears it.

use std::time::Duration;

use crate::{LINE_FRAME, LINE_RATE};

/// What comes back of what is heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Returns {
    /// From the tick in which it is heard.
    pub delay: Duration,
    /// How much weaker it is, in dB.
    pub loss: f32,
}

pub(crate) struct Returning {
    /// What was heard; the oldest sample first.
    heard: Box<[i16]>,
    gain: f32,
}

impl Returning {
    pub(crate) fn new(returns: Returns) -> Self {
        let delay = (returns.delay.as_secs_f64() * f64::from(LINE_RATE)) as usize;
        Returning {
            heard: vec![0; delay + LINE_FRAME].into_boxed_slice(),
            gain: 10f32.powf(-returns.loss / 20.0),
        }
    }

    /// Takes a tick of what is heard, and adds what comes back to what is sent.
    pub(crate) fn tick(&mut self, heard: &[i16; LINE_FRAME], sent: &mut [i16; LINE_FRAME]) {
        self.heard.copy_within(LINE_FRAME.., 0);
        let newest = self.heard.len() - LINE_FRAME;
        self.heard[newest..].copy_from_slice(heard);
        for (sent, &heard) in sent.iter_mut().zip(self.heard.iter()) {
            *sent = sent.saturating_add((f32::from(heard) * self.gain) as i16);
        }
    }
}
