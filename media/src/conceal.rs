//! Concealment of what is missing: in the manner of G.711 Appendix I, the last pitch period is repeated until sound comes again.
//!
//! A period of the voice looks much like the one before it, so for one lost packet the ear hears nothing. The longer the gap, the
//! more a repeated period sounds like a machine: so more periods are taken in turn, and the sound fades out until after 120 ms
//! there is silence. Where the real sound returns, the two are cross-faded.
//!
//! It differs from the Appendix in more than these figures. No delay of 3.75 ms is spent on cross-fading into the gap: the step between the last real
//! sample and the first repeated one is bridged by an offset that dies away within 4 ms. And where the sound behind the gap is
//! already here, which is what tells a loss from a delay, the last 20 ms are filled from both sides ([`Concealer::between`]): the past is
//! stretched a little, so that its periods meet those of the future in phase, and glides into them.
//!
//! Works at 8 kHz or a multiple (`scale`).

use crate::stretch::{PITCH_MAX, best_lag, is_quiet, likeness};

/// The shortest pitch period that is looked for, in samples at 8 kHz: 333 Hz. The Appendix begins at 200 Hz, and gets high voices by two
/// periods at once.
const PITCH_MIN: usize = 24;
/// How much of the past is matched: 10 ms, half as much as in the Appendix, so that what was before does not outvote what is now.
const MATCH: usize = 80;
/// How much of the past is kept: three periods are repeated, and a quarter before them is blended in.
pub(crate) const HISTORY: usize = PITCH_MAX * 3 + PITCH_MAX / 4;
/// After so many samples one more period is taken in turn, and the sound begins to fade.
const STEP: usize = 80;
/// After so many there is silence: twice the time of the Appendix, which sounds better in bursts of loss.
const END: usize = 12 * STEP;
/// The cross-fade when sound returns, longer after a longer gap.
const MERGE_MIN: usize = 32;
const MERGE_MAX: usize = 80;
/// Samples over which a step is bridged.
const BRIDGE: usize = 32;
/// The longest gap that is filled from both sides, and how far the past may be stretched for it.
pub(crate) const BETWEEN: usize = 160;
const SHIFT: usize = 24;
/// The same with what G.722's filters spoil behind a gap, rounded up.
const LONGEST: usize = BETWEEN + 16;
/// How much more alike past and future must be for that.
const FAR: f32 = 0.5;
/// How much of past and future is compared to bring them in phase.
const PHASE: usize = 32;
/// Sounds that are less alike than this have no common phase.
const ALIKE: f32 = 0.25;

pub(crate) struct Concealer {
    /// The rate in units of 8 kHz.
    scale: usize,
    history: Vec<i16>,
    /// What was made up since the last real sample, as far as it fits: it becomes history.
    made: Vec<i16>,
    /// Room for filling from both sides.
    ahead: Vec<f32>,
    /// Samples made up since the last real one.
    lost: usize,
    period: usize,
    /// Where we are in the repeated stretch, and how many periods it has.
    position: usize,
    periods: usize,
    bridge: f32,
}

impl Concealer {
    /// For sound of so many Hz, a multiple of 8,000.
    pub(crate) fn new(rate: u32) -> Self {
        let scale = (rate / 8_000).max(1) as usize;
        Concealer {
            scale,
            history: vec![0; HISTORY * scale],
            made: Vec::with_capacity(HISTORY * scale),
            ahead: Vec::with_capacity((LONGEST + SHIFT + PHASE) * scale),
            lost: 0,
            period: PITCH_MIN * scale,
            position: 0,
            periods: 1,
            bridge: 0.0,
        }
    }

    /// Real sound: remembered, and where it follows a gap its beginning is blended with what was made up.
    pub(crate) fn received(&mut self, pcm: &mut [i16]) {
        if self.lost > 0 {
            let merge = (MERGE_MIN * self.scale + self.lost / 8).min(MERGE_MAX * self.scale).min(pcm.len());
            for (index, sample) in pcm[..merge].iter_mut().enumerate() {
                let share = (index + 1) as f32 / (merge + 1) as f32;
                let made = self.synthesize();
                *sample = (f32::from(*sample) * share + made * (1.0 - share)) as i16;
            }
            self.settle();
        }
        remember(&mut self.history, pcm);
    }

    /// Fills a gap of which nobody knows what follows.
    pub(crate) fn lost(&mut self, pcm: &mut [i16]) {
        self.begin();
        for sample in pcm.iter_mut() {
            *sample = self.synthesize() as i16;
        }
        self.keep(pcm);
    }

    /// Fills the gap before `after`, which is real. Gaps longer than [`LONGEST`] (at 8 kHz) are filled from the past alone.
    pub(crate) fn between(&mut self, gap: &mut [i16], after: &mut [i16]) {
        if !self.has_two_sides(gap, after) {
            self.lost(gap);
            return self.received(after);
        }
        self.fill(gap, after);
        self.keep(gap);
        self.settle();
        remember(&mut self.history, after);
    }

    /// Appends what was made up since the last real sound, and what would be made up next, so many samples: nothing is changed by it.
    pub(crate) fn guess(&mut self, next: usize, out: &mut Vec<i16>) {
        self.begin();
        out.extend_from_slice(&self.made);
        let kept = (self.lost, self.position, self.periods);
        out.extend((0..next).map(|_| self.synthesize() as i16));
        (self.lost, self.position, self.periods) = kept;
    }

    /// What [`between`](Self::between) would put into a gap that it fills from both sides; says whether it would. Nothing is changed by it.
    pub(crate) fn try_between(&mut self, gap: &mut [i16], after: &[i16]) -> bool {
        let both = self.has_two_sides(gap, after);
        if both {
            self.fill(gap, after);
        }
        both
    }

    fn has_two_sides(&self, gap: &[i16], after: &[i16]) -> bool {
        !gap.is_empty() && gap.len() <= LONGEST * self.scale && after.len() >= PITCH_MIN * self.scale
    }

    fn fill(&mut self, gap: &mut [i16], after: &[i16]) {
        self.begin();
        let kept = (self.lost, self.position, self.periods);
        let shift = SHIFT * self.scale;
        let phase = (PHASE * self.scale).min(after.len());
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.clear();
        ahead.extend((0..gap.len() + shift + phase).map(|_| self.synthesize()));
        // Where the past, gone on, is most like the future's beginning; a period further is no better.
        let (place, alike, _) = (gap.len() - shift.min(gap.len() / 4)..=gap.len() + shift)
            .map(|place| {
                let past = ahead[place..place + phase].iter().copied();
                let alike = likeness(past.zip(after.iter().copied().map(f32::from)));
                (place, alike, alike - FAR * place.abs_diff(gap.len()) as f32 / shift as f32)
            })
            .fold((gap.len(), -1.0, f32::MIN), |best, next| if next.2 > best.2 { next } else { best });
        let place = if alike < ALIKE { gap.len() } else { place };
        let pace = place as f32 / gap.len() as f32;
        let back = Backwards::new(after, self.scale);
        let length = gap.len();
        for (index, sample) in gap.iter_mut().enumerate() {
            let at = index as f32 * pace;
            let (whole, part) = (at as usize, at.fract());
            let past = ahead[whole] * (1.0 - part) + ahead[whole + 1] * part;
            let share = (index + 1) as f32 / (length + 1) as f32;
            let future = back.at(after, length - index);
            let value = past * (1.0 - share) + future * share;
            *sample = value.clamp(-32_768.0, 32_767.0) as i16;
        }
        self.ahead = ahead;
        (self.lost, self.position, self.periods) = kept;
    }

    /// Makes one period more of what was received last, behind it, so that delay is gained and no hole. Gives the number of samples: 0
    /// if the sound does not repeat and `force` does not demand it. What is received next glides in.
    pub(crate) fn lengthen(&mut self, pcm: &mut Vec<i16>, force: bool) -> usize {
        if self.lost > 0 {
            return 0;
        }
        let (period, likeness) = self.pitch();
        let recent = &self.history[(HISTORY - MATCH) * self.scale..];
        if likeness < 0.7 && !force && !is_quiet(recent) {
            return 0;
        }
        let start = pcm.len();
        pcm.resize(start + period, 0);
        self.lost(&mut pcm[start..]);
        period
    }

    /// Nothing was expected: what comes next follows silence.
    pub(crate) fn silence(&mut self) {
        self.lost = 0;
        self.made.clear();
        self.history.fill(0);
    }

    fn begin(&mut self) {
        if self.lost > 0 {
            return;
        }
        self.period = self.pitch().0;
        self.position = 0;
        self.periods = 1;
        let end = self.history.len();
        self.bridge = f32::from(self.history[end - 1]) - f32::from(self.history[end - 1 - self.period]);
    }

    /// The lag at which the latest 20 ms are most like what came before them, and how like.
    fn pitch(&self) -> (usize, f32) {
        let recent = &self.history[(HISTORY - MATCH - PITCH_MAX) * self.scale..];
        best_lag(recent, self.scale, PITCH_MIN * self.scale, PITCH_MAX * self.scale)
    }

    fn keep(&mut self, pcm: &[i16]) {
        let room = (HISTORY * self.scale).saturating_sub(self.made.len()).min(pcm.len());
        self.made.extend_from_slice(&pcm[..room]);
    }

    /// The gap is over: what was made up counts as past.
    fn settle(&mut self) {
        remember(&mut self.history, &self.made);
        self.made.clear();
        self.lost = 0;
    }

    /// The next made-up sample.
    fn synthesize(&mut self) -> f32 {
        let (step, end) = (STEP * self.scale, END * self.scale);
        if self.lost >= end {
            self.lost = self.lost.saturating_add(1);
            return 0.0;
        }
        // A longer gap cycles through more periods, but only from where a cycle ends, so that nothing jumps.
        let wanted = (self.lost / step + 1).min(3);
        if self.position == self.period * self.periods {
            self.position = 0;
            self.periods = wanted;
        }
        let length = self.period * self.periods;
        let start = self.history.len() - length;
        let overlap = self.period / 4;
        let mut value = f32::from(self.history[start + self.position]);
        // The last quarter glides into what stood before the stretch, so that its end meets its beginning.
        let from_end = length - self.position;
        if from_end <= overlap {
            let share = (overlap - from_end + 1) as f32 / (overlap + 1) as f32;
            let before = self.history.len() - wanted * self.period - from_end;
            value = value * (1.0 - share) + f32::from(self.history[before]) * share;
        }
        let bridge = BRIDGE * self.scale;
        if self.lost < bridge {
            value += self.bridge * (1.0 - (self.lost + 1) as f32 / (bridge + 1) as f32);
        }
        // Full for 10 ms, then steadily less (Appendix I.2.4).
        let gain = if self.lost < step { 1.0 } else { 1.0 - (self.lost - step) as f32 / (end - step) as f32 };
        self.position += 1;
        self.lost += 1;
        (value * gain).clamp(-32_768.0, 32_767.0)
    }
}

/// How a sound may have been before it begins.
struct Backwards {
    /// It repeats with this period; `None`: it does not, and stands before itself as in a mirror.
    period: Option<usize>,
    /// The step at its beginning, and over how many samples it is bridged.
    step: f32,
    bridge: usize,
}

impl Backwards {
    fn new(after: &[i16], scale: usize) -> Self {
        // A quarter of a period at least must be left to be compared.
        let most = (PITCH_MAX * scale).min(after.len() - (after.len() / 4).max(1));
        let bridge = BRIDGE * scale;
        let least = PITCH_MIN * scale;
        let (period, alike) = if most > least { first_period(after, least, most) } else { (least, -1.0) };
        if alike < ALIKE {
            return Backwards { period: None, step: 0.0, bridge };
        }
        let step = f32::from(after[0]) - f32::from(after[period]);
        Backwards { period: Some(period), step, bridge }
    }

    /// The sample `distance` (1 or more) before the beginning.
    fn at(&self, after: &[i16], distance: usize) -> f32 {
        let Some(period) = self.period else {
            return f32::from(after[distance.min(after.len() - 1)]);
        };
        let value = f32::from(after[period - 1 - (distance - 1) % period]);
        let fade = 1.0 - distance as f32 / self.bridge as f32;
        value + self.step * fade.max(0.0)
    }
}

/// The lag by which the beginning of `pcm` comes again, and how like.
fn first_period(pcm: &[i16], least: usize, most: usize) -> (usize, f32) {
    let length = pcm.len() - most;
    let mut best = (least, -1.0);
    for lag in least..=most {
        let pairs = pcm[..length].iter().zip(&pcm[lag..]);
        let alike = likeness(pairs.map(|(&now, &later)| (f32::from(now), f32::from(later))));
        if alike > best.1 + 0.01 {
            best = (lag, alike);
        }
    }
    best
}

fn remember(history: &mut [i16], pcm: &[i16]) {
    let taken = pcm.len().min(history.len());
    history.copy_within(taken.., 0);
    let start = history.len() - taken;
    history[start..].copy_from_slice(&pcm[pcm.len() - taken..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stretch::energy;

    fn tone(rate: u32, frequency: f32, from: usize, samples: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * frequency / rate as f32;
        (from..from + samples).map(|n| (8_000.0 * (step * n as f32).sin()) as i16).collect()
    }

    fn snr(truth: &[i16], made: &[i16]) -> f32 {
        let error: Vec<i16> = made.iter().zip(truth).map(|(a, b)| a.wrapping_sub(*b)).collect();
        10.0 * (energy(truth) / energy(&error).max(1.0)).log10()
    }

    #[test]
    fn a_steady_tone_goes_on_through_a_lost_packet() {
        for frequency in [80.0, 100.0, 133.0, 190.0, 250.0, 400.0] {
            let mut concealer = Concealer::new(8_000);
            concealer.received(&mut tone(8_000, frequency, 0, 800));
            let mut made = [0; 80];
            concealer.lost(&mut made);
            let snr = snr(&tone(8_000, frequency, 800, 80), &made);
            assert!(snr > 12.0, "{frequency} Hz: {snr} dB");
        }
    }

    #[test]
    fn a_gap_with_two_known_sides_is_filled_as_well_at_least_as_from_the_past_alone() {
        for rate in [8_000, 16_000] {
            let unit = rate as usize / 8_000;
            for frequency in [83.0, 104.0, 131.0, 187.0, 243.0, 390.0] {
                let mut pcm = tone(rate, frequency, 0, 800 * unit);
                let mut alone = [0; 320];
                let mut concealer = Concealer::new(rate);
                concealer.received(&mut pcm);
                concealer.lost(&mut alone[..160 * unit]);
                let mut both = [0; 320];
                let mut after = tone(rate, frequency, 960 * unit, 160 * unit);
                let truth_after = after.clone();
                let mut concealer = Concealer::new(rate);
                concealer.received(&mut pcm);
                concealer.between(&mut both[..160 * unit], &mut after);
                let truth = tone(rate, frequency, 800 * unit, 160 * unit);
                let (alone, both) = (snr(&truth, &alone), snr(&truth, &both));
                assert!(
                    both > 15.0 && both > alone.min(16.0),
                    "{rate} {frequency}: {both} dB, alone {alone} dB"
                );
                assert_eq!(after, truth_after, "the real sound is not touched");
            }
        }
    }

    #[test]
    fn nothing_jumps_at_either_edge_of_a_gap() {
        for both_sides in [false, true] {
            let mut concealer = Concealer::new(8_000);
            let mut pcm = tone(8_000, 127.0, 0, 480);
            concealer.received(&mut pcm);
            let mut gap = [0; 160];
            let mut after = tone(8_000, 127.0, 640, 160);
            if both_sides {
                concealer.between(&mut gap, &mut after);
            } else {
                concealer.lost(&mut gap);
                concealer.received(&mut after);
            }
            pcm.extend(gap);
            pcm.extend(after);
            let steepest = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
            assert!(steepest < Some(2_000), "{steepest:?}");
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence() {
        let mut concealer = Concealer::new(8_000);
        concealer.received(&mut tone(8_000, 150.0, 0, 800));
        let mut gap = [0; 1_200];
        concealer.lost(&mut gap);
        assert!(energy(&gap[..80]) > 1e7);
        assert!(energy(&gap[640..720]) < energy(&gap[..80]) / 4.0);
        assert!(gap[END..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn one_period_more_is_heard_as_the_same_tone() {
        for rate in [8_000u32, 16_000] {
            let mut concealer = Concealer::new(rate);
            let unit = rate as usize / 8_000;
            let mut pcm = tone(rate, 125.0, 0, 480 * unit);
            concealer.received(&mut pcm);
            let gained = concealer.lengthen(&mut pcm, false);
            assert!(gained.is_multiple_of(64 * unit) && gained > 0, "{gained}");
            let mut after = tone(rate, 125.0, 480 * unit, 480 * unit);
            concealer.received(&mut after);
            pcm.extend(after);
            // A whole number of periods was put in, so nothing shows.
            let snr = snr(&tone(rate, 125.0, 0, 960 * unit), &pcm[..960 * unit]);
            assert!(snr > 25.0, "{rate}: {snr} dB");
            assert!(concealer.lengthen(&mut vec![], false) > 0, "and again");
        }
    }

    #[test]
    fn any_gap_and_any_rest_are_taken() {
        for gap in [0, 1, 7, 39, 80, 160, 161, 480] {
            for after in [0, 1, 39, 40, 41, 80, 160, 480] {
                let mut concealer = Concealer::new(8_000);
                concealer.received(&mut tone(8_000, 200.0, 0, 400));
                let mut made = vec![0; gap];
                concealer.between(&mut made, &mut tone(8_000, 200.0, 400 + gap, after));
                concealer.lost(&mut [0; 10]);
            }
        }
    }
}
