//! Keys heard in the sound: the two tones of ITU-T Q.23, within what Q.24 asks of a receiver.
//!
//! The sound is taken in halves of 6.4 ms, and each half is correlated with the eight tones by Goertzel's recursion. Two halves side by side are a
//! window of 12.75 ms. A window shows a key if one row and one column stand out, they are about as loud as each other, and nothing else
//! is there (so speech, which has harmonics everywhere, is no key). How far a tone's phase went on from one window to the next
//! tells its frequency much more sharply than a window alone could: within 1.5 % it must be taken, beyond 3.5 % it must not.
//! A key that four windows in a row show is pressed (so 40 ms are enough, and 23 ms are not); it is released when four do not show it
//! (a gap of 10 ms is none, one of 40 ms is).
//!
//! Nothing is computed for frames so quiet that they could hold no key.

use super::tone::{COLUMNS, PLACES, ROWS};
use super::{Pressed, digit_of};

/// Halves per second, nearly.
const HALVES: f32 = 8_000.0 / 51.0;
/// Windows that must show a key for it to be pressed, and windows without it after which it is released.
const BEGINS: u32 = 4;
const ENDS: u32 = 4;
/// By so much a tone may be off: between the 1.5 % that must be taken and the 3.5 % that must not.
const OFF: f32 = 0.025;
/// Mean square of the quietest tone that is taken: an amplitude of 200, 41 dB below the loudest.
const LEAST: f32 = 20_000.0;
/// Mean square of a frame that holds no key.
const QUIET: f32 = 4_000.0;
/// The row may be louder than the column by 8 dB, and the column louder than the row by 4 dB, as lines lose more of the high frequencies; and 1 dB
/// each for what a window makes of it.
const TWIST: f32 = 7.94;
const REVERSE_TWIST: f32 = 3.16;
/// The tones of the other rows and columns are weaker by 6 dB.
const STANDS_OUT: f32 = 4.0;
/// Of all that is heard, so much is the two tones: at the beginning of a key, and while it lasts.
const SHARE: f32 = 0.7;
const SHARE_HELD: f32 = 0.5;
const TONES: usize = 8;

/// A complex number.
#[derive(Clone, Copy, Default)]
struct Turn(f32, f32);

impl Turn {
    fn by(angle: f32) -> Turn {
        Turn(angle.cos(), angle.sin())
    }

    fn times(self, other: Turn) -> Turn {
        Turn(self.0 * other.0 - self.1 * other.1, self.0 * other.1 + self.1 * other.0)
    }

    fn plus(self, other: Turn) -> Turn {
        Turn(self.0 + other.0, self.1 + other.1)
    }

    fn back(self) -> Turn {
        Turn(self.0, -self.1)
    }

    fn square(self) -> f32 {
        self.0 * self.0 + self.1 * self.1
    }
}

/// What the correlations of half a window are, and its energy.
#[derive(Clone, Copy, Default)]
struct Half {
    tones: [Turn; TONES],
    energy: f32,
}

/// A key that a window shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shown {
    code: u8,
    /// Well enough for a press to begin; else only for one to go on.
    clearly: bool,
}

pub(crate) struct Detector {
    rate: u32,
    /// Samples of half a window.
    half: usize,
    /// Goertzel's: twice the cosine of the angle per sample, and the last two states.
    twice: [f32; TONES],
    state: [[f32; TONES]; 2],
    /// Out of the states: the angle of one sample, of all samples of a half but one, and of a whole half.
    sample: [Turn; TONES],
    rest: [Turn; TONES],
    whole: [Turn; TONES],
    taken: usize,
    energy: f32,
    before: Option<Half>,
    window: Option<[Turn; TONES]>,
    candidate: Option<u8>,
    shown: u32,
    press: Option<Press>,
}

struct Press {
    code: u8,
    /// In samples, up to where it was heard last.
    length: usize,
    /// Windows since then.
    missing: u32,
}

impl Detector {
    /// `rate`: samples per second.
    pub(crate) fn new(rate: u32) -> Self {
        let mut detector = Detector {
            rate,
            half: 1,
            twice: [0.0; TONES],
            state: [[0.0; TONES]; 2],
            sample: [Turn::default(); TONES],
            rest: [Turn::default(); TONES],
            whole: [Turn::default(); TONES],
            taken: 0,
            energy: 0.0,
            before: None,
            window: None,
            candidate: None,
            shown: 0,
            press: None,
        };
        detector.tune(rate);
        detector
    }

    fn tune(&mut self, rate: u32) {
        self.rate = rate;
        self.half = ((rate as f32 / HALVES) as usize).max(8);
        for tone in 0..TONES {
            let angle = std::f32::consts::TAU * frequency(tone) / rate as f32;
            self.twice[tone] = 2.0 * angle.cos();
            self.sample[tone] = Turn::by(-angle);
            self.rest[tone] = Turn::by(-angle * (self.half - 1) as f32);
            self.whole[tone] = Turn::by(-angle * self.half as f32);
        }
        self.forget();
    }

    /// Whether a key is held now.
    pub(crate) fn held(&self) -> bool {
        self.press.is_some()
    }

    /// Takes the sound of a tick; a key that was released in it goes to `released`.
    pub(crate) fn heard(&mut self, pcm: &[i16], rate: u32, released: &mut impl FnMut(Pressed)) {
        if rate != self.rate {
            self.end(released);
            self.tune(rate);
        }
        let energy: f32 = pcm.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
        if energy <= QUIET * pcm.len() as f32 {
            // A whole frame of silence ends what there was.
            self.end(released);
            self.forget();
            return;
        }
        let mut rest = pcm;
        while !rest.is_empty() {
            let (now, later) = rest.split_at((self.half - self.taken).min(rest.len()));
            rest = later;
            self.correlate(now);
            if self.taken == self.half {
                self.half_is_over(released);
            }
        }
    }

    /// What was heard last goes on: no key is held any more.
    pub(crate) fn end(&mut self, released: &mut impl FnMut(Pressed)) {
        let Some(press) = self.press.take() else { return };
        if let Some(digit) = digit_of(press.code) {
            let duration_ms = (press.length as u64 * 1_000 / u64::from(self.rate.max(1))) as u32;
            released(Pressed { digit, duration_ms });
        }
    }

    fn forget(&mut self) {
        (self.taken, self.energy, self.state) = (0, 0.0, [[0.0; TONES]; 2]);
        (self.before, self.window, self.candidate, self.shown) = (None, None, None, 0);
    }

    fn correlate(&mut self, pcm: &[i16]) {
        let [mut last, mut before] = self.state;
        let mut energy = 0.0;
        for &sample in pcm {
            let sample = f32::from(sample);
            energy += sample * sample;
            for tone in 0..TONES {
                let next = sample + self.twice[tone] * last[tone] - before[tone];
                before[tone] = last[tone];
                last[tone] = next;
            }
        }
        self.state = [last, before];
        self.energy += energy;
        self.taken += pcm.len();
    }

    fn half_is_over(&mut self, released: &mut impl FnMut(Pressed)) {
        let [last, before] = self.state;
        let mut half = Half { energy: self.energy, ..Half::default() };
        for tone in 0..TONES {
            let Turn(cos, sin) = self.sample[tone];
            let end = Turn(last[tone] - before[tone] * cos, -before[tone] * sin);
            half.tones[tone] = end.times(self.rest[tone]);
        }
        (self.taken, self.energy, self.state) = (0, 0.0, [[0.0; TONES]; 2]);
        let Some(first) = self.before.replace(half) else { return };
        let mut window = [Turn::default(); TONES];
        for (tone, sum) in window.iter_mut().enumerate() {
            *sum = first.tones[tone].plus(half.tones[tone].times(self.whole[tone]));
        }
        let earlier = self.window.replace(window);
        let shown = self.judge(&window, earlier.as_ref(), first.energy + half.energy);
        self.follow(shown, released);
    }

    /// The key that a window shows.
    fn judge(&self, window: &[Turn; TONES], earlier: Option<&[Turn; TONES]>, energy: f32) -> Option<Shown> {
        let samples = (2 * self.half) as f32;
        // A tone's mean square, if its frequency is the nominal one.
        let power = window.map(|sum| 2.0 * sum.square() / (samples * samples));
        let row = strongest(&power, 0..4)?;
        let column = strongest(&power, 4..8)?;
        let code = PLACES.iter().position(|&place| place == (row, column - 4))? as u8;
        let off = |tone: usize| self.off(window[tone], earlier?[tone], tone);
        let (row_off, column_off) = (off(row), off(column));
        let real = |tone: usize, off: Option<f32>| power[tone] / self.seen(off.unwrap_or(0.0));
        let (row_power, column_power) = (real(row, row_off), real(column, column_off));
        let twisted = row_power > column_power * TWIST || column_power > row_power * REVERSE_TWIST;
        if twisted || row_power < LEAST || column_power < LEAST {
            return None;
        }
        let share = (row_power + column_power) * samples / energy.max(1.0);
        if share < SHARE_HELD {
            return None;
        }
        let in_tune =
            |tone: usize, off: Option<f32>| off.is_some_and(|off| off.abs() <= OFF * frequency(tone));
        let clearly = share >= SHARE && in_tune(row, row_off) && in_tune(column, column_off);
        Some(Shown { code, clearly })
    }

    /// By how many Hz a tone is above its nominal frequency.
    fn off(&self, now: Turn, earlier: Turn, tone: usize) -> Option<f32> {
        let went_on = now.times(earlier.back()).times(self.whole[tone]);
        let is_there = went_on.square() > 0.0;
        is_there.then(|| {
            went_on.1.atan2(went_on.0) * self.rate as f32 / (std::f32::consts::TAU * self.half as f32)
        })
    }

    /// What share of a tone's power a window sees that is off by so many Hz.
    fn seen(&self, off: f32) -> f32 {
        let angle = std::f32::consts::PI * off * (2 * self.half) as f32 / self.rate as f32;
        if angle.abs() < 0.01 { 1.0 } else { (angle.sin() / angle).powi(2).max(0.2) }
    }

    fn follow(&mut self, shown: Option<Shown>, released: &mut impl FnMut(Pressed)) {
        if let Some(press) = &mut self.press {
            match shown.filter(|shown| shown.code == press.code) {
                Some(_) => {
                    press.length += (1 + press.missing as usize) * self.half;
                    press.missing = 0;
                }
                None => press.missing += 1,
            }
            if press.missing >= ENDS {
                self.end(released);
            }
        }
        let clearly = shown.filter(|shown| shown.clearly).map(|shown| shown.code);
        if clearly.is_none() || clearly != self.candidate {
            (self.candidate, self.shown) = (clearly, 0);
        }
        self.shown += u32::from(clearly.is_some());
        let Some(code) = clearly.filter(|_| self.shown >= BEGINS) else { return };
        if self.press.as_ref().is_some_and(|press| press.code == code) {
            return;
        }
        self.end(released);
        self.press = Some(Press { code, length: (BEGINS as usize + 1) * self.half, missing: 0 });
    }
}

fn frequency(tone: usize) -> f32 {
    if tone < 4 { ROWS[tone] } else { COLUMNS[tone - 4] }
}

/// The one that stands out among its like.
fn strongest(power: &[f32; TONES], among: std::ops::Range<usize>) -> Option<usize> {
    let best = among.clone().max_by(|&a, &b| power[a].total_cmp(&power[b]))?;
    let stands_out = among.into_iter().all(|tone| tone == best || power[tone] * STANDS_OUT < power[best]);
    stands_out.then_some(best)
}

#[cfg(test)]
mod tests;
