//! Filters for one change of the sampling rate, shared by all streams that make it.
//!
//! Where `to / from` is a fraction of small numbers, L / M, only L positions between two input samples ever occur. For each there is a filter: a
//! sinc under a Kaiser window around that very position. A bank of them has some ten kilobytes and takes a millisecond to make; so it is made
//! once and kept for whoever comes next, and a stream has nothing but its past.
//!
//! Taps are integers, as samples are: every x86-64 and ARM multiplies eight pairs of those with one instruction, and AVX2 sixteen, but only half as many pairs of
//! floats. What rounding them to 1/16,384 adds is 71 dB below the sound.

use std::sync::{Arc, Mutex, PoisonError};

use crate::resample::kaiser;
use crate::widest::{Width, widest};

/// Taps of each filter.
pub(crate) const TAPS: usize = 96;
/// The Kaiser window's: it leaves 60 dB less of what is beyond the band, where G.711 adds noise 38 dB below the sound. As sharp as a Blackman window of 128 taps.
const BETA: f64 = 5.65;
/// Positions up to which there is a filter for each; beyond, others interpolate.
const MOST: u32 = 512;
/// The middle of the transition, as a share of the lower of the two bands: the window is so wide that the stop band begins at its edge, nearly.
const EDGE: f64 = 0.97;
/// The taps of a filter add up to this. Their sizes add up to less than four times as much, so that no sum of products overflows.
const ONE: i32 = 1 << 14;
/// Banks that are kept, the one used last first. Speech has one rate or two, so there is seldom a third.
const KEPT: usize = 8;
/// Input that is taken at a time.
const PIECE: usize = 512;

static BANKS: Mutex<Vec<Arc<Bank>>> = Mutex::new(Vec::new());

pub(crate) struct Bank {
    from: u32,
    to: u32,
    /// From one output to the next: whole input samples, and positions.
    step: (usize, usize),
    filters: Box<[Filter]>,
}

/// Begins where a line of the cache does, so that it lies in three of them and not in four.
#[repr(align(64))]
struct Filter([i16; TAPS]);

impl Bank {
    /// `None` where it would need too many filters. Looks among those made before; may take a millisecond.
    pub(crate) fn of(from: u32, to: u32) -> Option<Arc<Bank>> {
        if to / gcd(from, to) > MOST {
            return None;
        }
        // Nothing panics under this lock; if something did, the banks would still be whole.
        Some(Bank::among(&mut BANKS.lock().unwrap_or_else(PoisonError::into_inner), from, to))
    }

    fn among(banks: &mut Vec<Arc<Bank>>, from: u32, to: u32) -> Arc<Bank> {
        let bank = match banks.iter().position(|bank| (bank.from, bank.to) == (from, to)) {
            Some(index) => banks.remove(index),
            None => Arc::new(Bank::new(from, to)),
        };
        banks.insert(0, Arc::clone(&bank));
        banks.truncate(KEPT);
        bank
    }

    fn new(from: u32, to: u32) -> Bank {
        let common = gcd(from, to);
        let (positions, stride) = ((to / common) as usize, (from / common) as usize);
        let band = EDGE * (f64::from(to) / f64::from(from)).min(1.0);
        let filters =
            (0..positions).map(|position| Filter(taps(position as f64 / positions as f64, band))).collect();
        Bank { from, to, step: (stride / positions, stride % positions), filters }
    }
}

/// The filter for what lies so far (0 to 1) behind the middle tap.
fn taps(position: f64, band: f64) -> [i16; TAPS] {
    let mut taps = [0.0; TAPS];
    for (index, tap) in taps.iter_mut().enumerate() {
        let offset = index as f64 - (TAPS / 2 - 1) as f64 - position;
        let x = std::f64::consts::PI * band * offset;
        let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
        *tap = sinc * kaiser(BETA, 2.0 * offset / TAPS as f64);
    }
    let sum: f64 = taps.iter().sum();
    let mut taps = taps.map(|tap: f64| (tap / sum * f64::from(ONE)).round() as i16);
    // What is constant stays so: the largest tap bears what rounding took from all, or gave.
    let rounded: i32 = taps.iter().map(|&tap| i32::from(tap)).sum();
    if let Some(largest) = taps.iter_mut().max() {
        *largest += (ONE - rounded) as i16;
    }
    taps
}

pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One stream that goes through a bank.
pub(crate) struct Stream {
    bank: Arc<Bank>,
    samples: [i16; TAPS + PIECE],
    filled: usize,
    /// Where the next output's window begins, possibly beyond what is there, and its position.
    start: usize,
    position: usize,
}

impl Stream {
    pub(crate) fn new(bank: Arc<Bank>) -> Stream {
        let mut stream = Stream { bank, samples: [0; TAPS + PIECE], filled: 0, start: 0, position: 0 };
        stream.reset();
        stream
    }

    /// Silence stands before the first sample, so that the first output is of that very moment.
    pub(crate) fn reset(&mut self) {
        self.samples[..TAPS].fill(0);
        self.filled = TAPS / 2 - 1;
        self.start = 0;
        self.position = 0;
    }

    pub(crate) fn process(&mut self, input: &[i16], out: &mut Vec<i16>) {
        widest(
            #[inline(always)]
            |width| self.go_through(width, input, out),
        );
    }

    #[inline(always)]
    fn go_through(&mut self, width: Width, mut input: &[i16], out: &mut Vec<i16>) {
        let (whole, part) = self.bank.step;
        while !input.is_empty() {
            let taken = input.len().min(self.samples.len() - self.filled);
            let (now, later) = input.split_at(taken);
            input = later;
            self.samples[self.filled..self.filled + taken].copy_from_slice(now);
            self.filled += taken;
            let samples = &self.samples[..self.filled];
            while let Some(window) = samples.get(self.start..).and_then(|from| from.first_chunk()) {
                out.push(filtered(width, window, &self.bank.filters[self.position].0));
                self.start += whole;
                self.position += part;
                if self.position >= self.bank.filters.len() {
                    self.position -= self.bank.filters.len();
                    self.start += 1;
                }
            }
            let gone = self.start.min(self.filled);
            self.samples.copy_within(gone..self.filled, 0);
            self.filled -= gone;
            self.start -= gone;
        }
    }
}

/// The sum of products, rounded, and within bounds. It cannot wrap.
#[inline(always)]
fn filtered(width: Width, window: &[i16; TAPS], filter: &[i16; TAPS]) -> i16 {
    let sum = width.sum_of_products(window, filter) + ONE / 2;
    (sum >> ONE.trailing_zeros()).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_is_made_once_and_the_oldest_gives_way() {
        let mut banks = Vec::new();
        let first = Bank::among(&mut banks, 22_050, 8_000);
        assert_eq!((first.filters.len(), first.step), (160, (2, 121)));
        for from in 12..12 + KEPT as u32 {
            assert!(Arc::ptr_eq(&first, &Bank::among(&mut banks, 22_050, 8_000)));
            Bank::among(&mut banks, from * 1_000, 8_000);
        }
        assert_eq!((banks.len(), banks[0].from, banks[KEPT - 1].from), (KEPT, 19_000, 13_000));
        assert!(Bank::of(8_000, 7_999).is_none(), "a filter for each of 7,999 positions");
    }

    #[test]
    fn the_loudest_sound_does_not_overflow() {
        for (from, to) in [(22_050, 8_000), (192_000, 4_000), (8_000, 22_050), (24_000, 16_000)] {
            let bank = Bank::of(from, to).expect("few positions");
            for Filter(filter) in &bank.filters {
                assert_eq!(filter.iter().map(|&tap| i32::from(tap)).sum::<i32>(), ONE);
                let sizes: u32 = filter.iter().map(|tap| u32::from(tap.unsigned_abs())).sum();
                assert!(sizes < 4 * ONE as u32 - 1, "{from} → {to}: {sizes}");
                let loudest = filter.map(|tap| if tap < 0 { i16::MIN } else { i16::MAX });
                for width in [Width::Plain, widest(|width| width)] {
                    assert_eq!(filtered(width, &loudest, filter), i16::MAX);
                    assert_eq!(filtered(width, &loudest.map(|sample| !sample), filter), i16::MIN);
                }
            }
        }
    }

    #[test]
    fn what_is_constant_stays_so_wherever_it_is_cut() {
        for (from, to) in
            [(22_050, 8_000), (192_000, 4_000), (8_000, 22_050), (24_000, 16_000), (4_000, 192_000)]
        {
            let mut stream = Stream::new(Bank::of(from, to).expect("few positions"));
            let mut out = Vec::new();
            for length in [1, 700, 3, 64, 1_000, 0, 2_000] {
                stream.process(&vec![1_000; length], &mut out);
            }
            let expected = (3_768 - TAPS / 2) * to as usize / from as usize;
            assert!(
                out.len().abs_diff(expected) <= 1 + to as usize / from as usize,
                "{from} → {to}: {}",
                out.len()
            );
            let settled = TAPS * to as usize / from as usize + 1;
            assert!(out[settled..].iter().all(|&sample| sample == 1_000), "{from} → {to}");
        }
    }
}
