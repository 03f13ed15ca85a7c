//! Sound made a little shorter without a hole, and where in a sound it repeats itself.
//!
//! A voice repeats its pitch period; one period less is no word less (the overlap-add of time-domain stretching). The opposite, one
//! period more, is what a concealer does anyway: see [`Concealer::lengthen`](crate::conceal::Concealer::lengthen).
//!
//! Lengths are given for 8 kHz and multiplied by `scale`, the rate in units of that.

/// The shortest stretch that is worth taking out, and the longest pitch period that is looked for (66 Hz), in samples at 8 kHz.
pub(crate) const CUT_MIN: usize = 40;
pub(crate) const PITCH_MAX: usize = 120;
/// One frame at 8 kHz.
const FRAME: usize = 160;
/// Below about −50 dBFS nobody hears a seam.
const QUIET: f32 = 100.0 * 100.0;

/// Mean of the squares.
pub(crate) fn energy(pcm: &[i16]) -> f32 {
    pcm.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / pcm.len().max(1) as f32
}

/// Whether a seam in this sound would not be heard.
pub(crate) fn is_quiet(pcm: &[i16]) -> bool {
    energy(pcm) < QUIET
}

/// Compares the last `pcm.len() − most` samples with themselves, `least..=most` earlier. Gives the lag and the correlation, −1 to 1.
///
/// A part of the lags and samples is looked at first (at 8 kHz every other), then the neighbours of the best with all samples.
pub(crate) fn best_lag(pcm: &[i16], scale: usize, least: usize, most: usize) -> (usize, f32) {
    let step = 2 * scale;
    let mut best = (most, -1.0);
    for lag in (least..=most).step_by(step) {
        let correlation = correlation(pcm, most, lag, step);
        // A little better is not enough to prefer a multiple of the period.
        if correlation > best.1 + 0.01 {
            best = (lag, correlation);
        }
    }
    let coarse = best.0;
    best.1 = -1.0;
    for lag in coarse.saturating_sub(2 * step).max(least)..=(coarse + 2 * step).min(most) {
        let correlation = correlation(pcm, most, lag, 1);
        if correlation > best.1 {
            best = (lag, correlation);
        }
    }
    best
}

fn correlation(pcm: &[i16], most: usize, lag: usize, step: usize) -> f32 {
    let now = pcm[most..].iter().step_by(step);
    let then = pcm[most - lag..pcm.len() - lag].iter().step_by(step);
    likeness(now.copied().map(f32::from).zip(then.copied().map(f32::from)))
}

/// The normalised correlation of two sounds, −1 to 1.
pub(crate) fn likeness(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (product, one, other) = pairs.fold((0.0f32, 0.0f32, 0.0f32), |(product, one, other), (a, b)| {
        (product + a * b, one + a * a, other + b * b)
    });
    product / (one * other).sqrt().max(1.0)
}

/// Shortens `pcm` by one stretch of 5 ms to `most` samples that is like what follows it, so that delay is lost and no sound. Gives the number
/// of samples taken out: 0 if nothing fits and `force` does not demand it. Needs a frame and [`CUT_MIN`]; `most` is a frame at most.
pub(crate) fn accelerate(pcm: &mut Vec<i16>, scale: usize, most: usize, force: bool) -> usize {
    let frame = FRAME * scale;
    let (least, most) = (CUT_MIN * scale, most.min(frame));
    // Samples that are cross-faded.
    let fade = (80 * scale).min(pcm.len().saturating_sub(frame));
    if fade < least || most < least {
        return 0;
    }
    let (cut, likeness) =
        if is_quiet(pcm) { (most, 1.0) } else { best_lag(&pcm[..frame + fade], scale, least, most) };
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

    fn tone(rate: u32, frequency: f32, samples: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * frequency / rate as f32;
        (0..samples).map(|n| (8_000.0 * (step * n as f32).sin()) as i16).collect()
    }

    #[test]
    fn acceleration_takes_whole_periods_out_at_either_rate() {
        for (scale, steepest_allowed) in [(1, 700), (2, 350)] {
            let mut pcm = tone(8_000 * scale as u32, 100.0, 480 * scale);
            let cut = accelerate(&mut pcm, scale, 160 * scale, false);
            assert!(cut.abs_diff(80 * scale) <= 1 || cut.abs_diff(160 * scale) <= 1, "{cut}");
            assert_eq!(pcm.len(), 480 * scale - cut);
            let steepest = pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
            assert!(steepest < Some(steepest_allowed), "{steepest:?}");
        }
    }

    #[test]
    fn what_does_not_repeat_is_left_alone_unless_it_must_go() {
        let mut bits = 1u32;
        let mut noise = || {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (bits >> 18) as i16 - 8_192
        };
        let mut pcm: Vec<i16> = (0..480).map(|_| noise()).collect();
        assert_eq!(accelerate(&mut pcm, 1, 160, false), 0);
        assert!(accelerate(&mut pcm, 1, 160, true) >= CUT_MIN);
        assert_eq!(accelerate(&mut pcm[..100].to_vec(), 1, 160, true), 0, "too little to cut from");
    }
}
