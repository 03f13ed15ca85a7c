//! The rate at which a session's sound is worked on, and 20 ms of it.
//!
//! G.711 needs no more than 8,000 samples a second; G.722 and Opus bring 16,000, which is also what the ears take. A session runs at the
//! rate of the codec that was agreed. *Time*, though, is the same for all: jitter, marks and counters are in line time, units of
//! 1/8,000 s, whatever the codec and whatever its RTP clock.

use std::ops::{Deref, DerefMut};

use crate::resample::{Double, Halve};
use crate::{FRAME, LINE_FRAME, LINE_RATE};

/// How many samples a second has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Rate {
    /// 8,000 Hz.
    #[default]
    Narrow,
    /// 16,000 Hz.
    Wide,
}

impl Rate {
    /// Samples per second.
    pub const fn hz(self) -> u32 {
        LINE_RATE * self.scale() as u32
    }

    /// Samples of a tick.
    pub const fn frame(self) -> usize {
        LINE_FRAME * self.scale()
    }

    /// Samples per unit of line time.
    pub const fn scale(self) -> usize {
        match self {
            Rate::Narrow => 1,
            Rate::Wide => 2,
        }
    }
}

/// 20 ms of sound, mono. Gives its [`Rate::frame`] samples as a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sound {
    rate: Rate,
    pcm: [i16; FRAME],
}

impl Sound {
    pub const fn silence(rate: Rate) -> Sound {
        Sound { rate, pcm: [0; FRAME] }
    }

    /// The beginning of `pcm`; silence where it is too short.
    pub fn new(rate: Rate, pcm: &[i16]) -> Sound {
        let mut sound = Sound::silence(rate);
        let length = pcm.len().min(rate.frame());
        sound.pcm[..length].copy_from_slice(&pcm[..length]);
        sound
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }
}

impl Deref for Sound {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.pcm[..self.rate.frame()]
    }
}

impl DerefMut for Sound {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.pcm[..self.rate.frame()]
    }
}

/// Both sides of a tick: the peer left, we right. Gives its samples, interleaved, as a slice of twice [`Rate::frame`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    rate: Rate,
    pcm: [i16; 2 * FRAME],
}

impl Block {
    /// Interleaves two sides of one rate.
    pub fn new(theirs: &Sound, ours: &Sound) -> Block {
        let mut block = Block { rate: theirs.rate, pcm: [0; 2 * FRAME] };
        for (pair, (&left, &right)) in block.pcm.chunks_exact_mut(2).zip(theirs.iter().zip(ours.iter())) {
            pair[0] = left;
            pair[1] = right;
        }
        block
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The peer's side and ours.
    pub fn sides(&self) -> [Sound; 2] {
        let mut sides = [Sound::silence(self.rate); 2];
        for (index, &sample) in self.iter().enumerate() {
            sides[index % 2][index / 2] = sample;
        }
        sides
    }
}

impl Deref for Block {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.pcm[..2 * self.rate.frame()]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [i16] {
        &mut self.pcm[..2 * self.rate.frame()]
    }
}

/// Brings a stream to the other rate, 20 ms or less at a time. Allocates nothing.
pub(crate) struct Converter {
    double: Double,
    halve: Halve,
    out: Vec<i16>,
}

impl Converter {
    pub(crate) fn new() -> Self {
        Converter { double: Double::new(), halve: Halve::new(), out: Vec::with_capacity(FRAME) }
    }

    /// One tick at `rate`.
    pub(crate) fn convert(&mut self, sound: &Sound, rate: Rate) -> Sound {
        if sound.rate == rate {
            return *sound;
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.append(sound, sound.rate, rate, &mut out);
        let converted = Sound::new(rate, &out);
        self.out = out;
        converted
    }

    /// Appends `pcm`, brought from one rate to another.
    pub(crate) fn append(&mut self, pcm: &[i16], from: Rate, to: Rate, out: &mut Vec<i16>) {
        match (from, to) {
            (Rate::Narrow, Rate::Wide) => self.double.process(pcm, out),
            (Rate::Wide, Rate::Narrow) => self.halve.process(pcm, out),
            (Rate::Narrow, Rate::Narrow) | (Rate::Wide, Rate::Wide) => out.extend_from_slice(pcm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_goes_up_and_down_again() {
        let (mut up, mut down) = (Converter::new(), Converter::new());
        let mut back = Vec::new();
        let tone: Vec<i16> = (0..1_600)
            .map(|n| (8_000.0 * (std::f32::consts::TAU * 700.0 * n as f32 / 8_000.0).sin()) as i16)
            .collect();
        for piece in tone.chunks(LINE_FRAME) {
            let wide = up.convert(&Sound::new(Rate::Narrow, piece), Rate::Wide);
            assert_eq!((wide.rate(), wide.len()), (Rate::Wide, FRAME));
            let narrow = down.convert(&wide, Rate::Narrow);
            assert_eq!(narrow.len(), LINE_FRAME);
            back.extend_from_slice(&narrow);
        }
        // Each filter is late by about ten samples of the lower rate.
        let best = (0..40)
            .map(|late| tone.iter().zip(&back[late..]).skip(200).map(|(a, b)| i64::from((a - b).abs())).sum())
            .min();
        let size: i64 = tone.iter().skip(200).map(|sample| i64::from(sample.abs())).sum();
        assert!(best.is_some_and(|best: i64| best < size / 50), "{best:?} of {size}");
    }

    #[test]
    fn both_sides_stand_beside_one_another() {
        let block = Block::new(&Sound::new(Rate::Narrow, &[1; 160]), &Sound::new(Rate::Narrow, &[2; 160]));
        assert_eq!((block.len(), &block[..4]), (320, &[1, 2, 1, 2][..]));
        let block = Block::new(&Sound::silence(Rate::Wide), &Sound::new(Rate::Wide, &[3; 500]));
        assert_eq!((block.len(), block[639]), (640, 3));
        assert_eq!(block.sides(), [Sound::silence(Rate::Wide), Sound::new(Rate::Wide, &[3; 320])]);
    }
}
