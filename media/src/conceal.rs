//! Concealment of lost packets, in the manner of G.711 Appendix I: the last pitch period is repeated until sound comes again.
//!
//! A period of the voice looks much like the one before it, so for one lost packet the ear hears nothing. The longer the gap, the
//! more a repeated period sounds like a machine: so more periods are taken in turn, and the sound fades out until after 60 ms
//! there is silence. Where the real sound returns, the two are cross-faded.
//!
//! Unlike the Appendix, no delay of 3.75 ms is spent on cross-fading into the gap: the step between the last real
//! sample and the first repeated one is bridged by an offset that dies away within 4 ms.

use crate::rate::Rate;

// All lengths are in line time (1/8,000 s); at the wider rate each is twice as many samples.

/// The shortest and the longest pitch period that are looked for: 200 Hz to 66 Hz.
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;
/// How much of the past is matched.
const MATCH: usize = 160;
/// How much of the past is kept: three periods are repeated, and a quarter before them is blended in.
const HISTORY: usize = PITCH_MAX * 3 + PITCH_MAX / 4;
/// After so long one more period is taken in turn, and the fade takes its next fifth.
const STEP: usize = 80;
/// After so long there is silence.
const END: usize = 6 * STEP;
/// The cross-fade when sound returns, longer after a longer gap.
const MERGE_MIN: usize = 32;
const MERGE_MAX: usize = 80;
/// Over this the step into the gap is bridged.
const BRIDGE: usize = 32;

pub(crate) struct Concealer {
    scale: usize,
    history: Box<[i16]>,
    /// Samples made up since the last real one.
    lost: usize,
    period: usize,
    /// Where we are in the repeated stretch, and how many periods it has.
    position: usize,
    periods: usize,
    bridge: f32,
}

impl Concealer {
    pub(crate) fn new(rate: Rate) -> Self {
        let scale = rate.scale();
        Concealer {
            scale,
            history: vec![0; HISTORY * scale].into_boxed_slice(),
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
            self.lost = 0;
        }
        remember(&mut self.history, pcm);
    }

    /// Fills a gap.
    pub(crate) fn lost(&mut self, pcm: &mut [i16]) {
        if self.lost == 0 {
            self.begin();
        }
        for sample in pcm {
            *sample = self.synthesize() as i16;
        }
    }

    /// Nothing was expected: what comes next follows silence.
    pub(crate) fn silence(&mut self) {
        let end = END * self.scale;
        if self.lost < end {
            self.lost = end;
            self.history.fill(0);
        }
    }

    fn begin(&mut self) {
        self.period = pitch(&self.history, self.scale);
        self.position = 0;
        self.periods = 1;
        let newest = self.history.len() - 1;
        let last = f32::from(self.history[newest]);
        let before = f32::from(self.history[newest - self.period]);
        self.bridge = last - before;
    }

    /// The next made-up sample.
    fn synthesize(&mut self) -> f32 {
        let (step, end, bridge) = (STEP * self.scale, END * self.scale, BRIDGE * self.scale);
        if self.lost >= end {
            self.lost = self.lost.saturating_add(1);
            return 0.0;
        }
        // A longer gap cycles through more periods, but only from where a cycle ends, so that nothing jumps.
        let wanted = (self.lost / step + 1).min(3);
        let length = self.period * self.periods;
        if self.position == length {
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
            let next = (self.lost / step + 1).min(3) * self.period;
            let before = self.history.len() - next.max(self.period) - from_end;
            value = value * (1.0 - share) + f32::from(self.history[before]) * share;
        }
        if self.lost < bridge {
            value += self.bridge * (1.0 - (self.lost + 1) as f32 / (bridge + 1) as f32);
        }
        // Full for 10 ms, then a fifth less with each 10 ms (Appendix I.2.4).
        let gain = if self.lost < step { 1.0 } else { 1.0 - (self.lost - step) as f32 / (end - step) as f32 };
        self.position += 1;
        self.lost += 1;
        (value * gain).clamp(-32_768.0, 32_767.0)
    }
}

fn remember(history: &mut [i16], pcm: &[i16]) {
    let taken = pcm.len().min(history.len());
    history.copy_within(taken.., 0);
    let kept = history.len() - taken;
    history[kept..].copy_from_slice(&pcm[pcm.len() - taken..]);
}

/// The lag at which the latest 20 ms are most like what came before them.
fn pitch(history: &[i16], scale: usize) -> usize {
    let recent = &history[history.len() - (MATCH + PITCH_MAX) * scale..];
    best_lag(recent, PITCH_MIN * scale, PITCH_MAX * scale, scale).0
}

/// Compares the last `pcm.len() − most` samples, or every so manieth of them, with themselves, `least..=most` earlier. Gives the lag and
/// the correlation, −1 to 1.
fn best_lag(pcm: &[i16], least: usize, most: usize, every: usize) -> (usize, f32) {
    let template = &pcm[most..];
    let own: f32 = template.iter().step_by(every).map(|&sample| f32::from(sample).powi(2)).sum();
    let mut best = (most, -1.0);
    for lag in least..=most {
        let earlier = &pcm[most - lag..pcm.len() - lag];
        let (product, energy) = template.iter().zip(earlier).step_by(every).fold(
            (0.0, 0.0),
            |(product, energy): (f32, f32), (&now, &then)| {
                let (now, then) = (f32::from(now), f32::from(then));
                (product + now * then, energy + then * then)
            },
        );
        let correlation = product / (own * energy).sqrt().max(1.0);
        // A little better is not enough to prefer a multiple of the period.
        if correlation > best.1 + 0.01 {
            best = (lag, correlation);
        }
    }
    best
}

/// Shortens `pcm` by one stretch of 5–20 ms that is like what follows it, so that delay is lost and no sound. Gives the number of samples
/// taken out: 0 if nothing fits and `force` does not demand it. Needs two frames.
pub(crate) fn accelerate(pcm: &mut Vec<i16>, rate: Rate, force: bool) -> usize {
    let (frame, scale) = (rate.frame(), rate.scale());
    // What is cross-faded: 10 ms.
    let fade = frame / 2;
    if pcm.len() < 2 * frame {
        return 0;
    }
    let energy: f32 = pcm.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / pcm.len() as f32;
    // Below about −50 dBFS nobody hears a seam.
    let quiet = energy < 100.0 * 100.0;
    let (cut, likeness) =
        if quiet { (frame, 1.0) } else { best_lag(&pcm[..frame + fade], PITCH_MIN * scale, frame, scale) };
    // Line time has no halves.
    let cut = cut / scale * scale;
    if likeness < 0.7 && !force {
        return 0;
    }
    // `best_lag` matched the last `fade` samples with those `cut` before; the seam stands there.
    let seam = frame - cut;
    for index in 0..fade {
        let share = (index + 1) as f32 / (fade + 1) as f32;
        let early = f32::from(pcm[seam + index]);
        let late = f32::from(pcm[seam + cut + index]);
        pcm[seam + cut + index] = (early * (1.0 - share) + late * share) as i16;
    }
    pcm.drain(seam..seam + cut);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency: f32, from: usize, samples: usize) -> Vec<i16> {
        (from..from + samples)
            .map(|n| (8_000.0 * (std::f32::consts::TAU * frequency * n as f32 / 8_000.0).sin()) as i16)
            .collect()
    }

    fn energy(pcm: &[i16]) -> f32 {
        pcm.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / pcm.len() as f32
    }

    #[test]
    fn a_steady_tone_goes_on_through_a_lost_packet() {
        for frequency in [80.0, 100.0, 133.0, 190.0, 250.0, 400.0] {
            let mut concealer = Concealer::new(Rate::Narrow);
            concealer.received(&mut tone(frequency, 0, 800));
            let mut made = [0; 80];
            concealer.lost(&mut made);
            let truth = tone(frequency, 800, 80);
            let error: Vec<i16> = made.iter().zip(&truth).map(|(a, b)| a.wrapping_sub(*b)).collect();
            let snr = 10.0 * (energy(&truth) / energy(&error)).log10();
            assert!(snr > 12.0, "{frequency} Hz: {snr} dB");
        }
    }

    #[test]
    fn nothing_jumps_at_either_edge_of_a_gap() {
        let mut concealer = Concealer::new(Rate::Narrow);
        let mut pcm = tone(127.0, 0, 480);
        concealer.received(&mut pcm);
        let mut gap = [0; 160];
        concealer.lost(&mut gap);
        pcm.extend(gap);
        let mut after = tone(127.0, 640, 160);
        concealer.received(&mut after);
        pcm.extend(after);
        let steepest = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(steepest < Some(2_000), "{steepest:?}");
    }

    #[test]
    fn a_long_gap_fades_to_silence() {
        let mut concealer = Concealer::new(Rate::Narrow);
        concealer.received(&mut tone(150.0, 0, 800));
        let mut gap = [0; 800];
        concealer.lost(&mut gap);
        assert!(energy(&gap[..80]) > 1e7);
        assert!(energy(&gap[320..400]) < energy(&gap[..80]) / 4.0);
        assert!(gap[END..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn acceleration_takes_whole_periods_out() {
        let mut pcm = tone(100.0, 0, 480);
        let cut = accelerate(&mut pcm, Rate::Narrow, false);
        assert!(cut == 80 || cut == 160, "{cut}");
        assert_eq!(pcm.len(), 480 - cut);
        let steepest = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(steepest < Some(700), "{steepest:?}");
    }
}
