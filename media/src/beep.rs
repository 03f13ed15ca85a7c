//! The beep after which an answering machine records: one steady tone that ends in silence.
//!
//! A sinusoid obeys a linear recurrence of two terms, whose one coefficient tells its frequency. What the best such recurrence leaves
//! unexplained of a frame tells whether the frame is one. In the 209 prompts of Debian's `asterisk-core-sounds-en-wav`, speech of
//! a trained voice, the longest stretch that would pass for a tone lasts 140 ms; [`SHORTEST`] is well above.

use std::time::Duration;

use crate::widest::dot;
use crate::{FRAME, TICK_MS};

/// Tones of dialling, ringing and faxes lie outside of this, or are two at once, Hz.
const LOWEST: f32 = 390.0;
const HIGHEST: f32 = 2050.0;
/// A tone lasts at least so many frames …
const SHORTEST: u32 = 200 / TICK_MS;
/// … and no longer: what goes on is no beep.
const LONGEST: u32 = 3000 / TICK_MS;
/// So many frames of silence after it make sure that it is over.
const SILENCE: u32 = 60 / TICK_MS;
/// Of silence against the tone before it, dB.
const FALL: f32 = 15.0;
/// So much louder than what it leaves unexplained is a tone, dB.
const PURE: f32 = 12.0;
/// Weaker ones are crosstalk, dBFS.
const WEAKEST: f32 = -45.0;
/// How far its loudness may stray, dB, and its frequency, as a share.
const STEADY: f32 = 3.0;
const STEADY_HZ: f32 = 0.02;
/// Two tones beat: so far may the quarters of a frame lie apart, as a ratio of their energies.
const BEATS: f32 = 2.0;
/// A tone does not begin and end with a frame: so many that are neither may stand between tone and silence.
const EDGE: u32 = 2;

/// A tone that has ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Beep {
    pub hz: f32,
    pub lasted: Duration,
}

/// Looks for beeps, 20 ms at a time. Allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct BeepDetector {
    /// Of the tone that lasts, or has just ended.
    frames: u32,
    hz: f32,
    level: f32,
    /// Since it ended.
    edge: u32,
    silence: u32,
}

impl BeepDetector {
    /// Judges a frame. Gives a beep once, 60 ms after its end.
    pub fn judge(&mut self, pcm: &[i16; FRAME]) -> Option<Beep> {
        let Tone { gain, hz, level, beats } = tone(pcm);
        let is_pure = gain >= PURE && beats <= BEATS;
        let is_tone = is_pure && (LOWEST..=HIGHEST).contains(&hz) && level > WEAKEST;
        let goes_on = is_tone
            && self.frames > 0
            && self.edge == 0
            && self.silence == 0
            && (hz - self.hz).abs() <= STEADY_HZ * self.hz
            && (level - self.level).abs() <= STEADY;
        if goes_on {
            self.frames = (self.frames + 1).min(LONGEST + 1);
            // The mean of what there was: the first frame holds the tone's onset.
            self.hz += (hz - self.hz) / self.frames as f32;
            self.level += (level - self.level) / self.frames as f32;
            return None;
        }
        let is_candidate = (SHORTEST..=LONGEST).contains(&self.frames);
        if is_candidate && level < self.level - FALL {
            self.silence += 1;
            if self.silence == SILENCE {
                let lasted = Duration::from_millis(u64::from(self.frames * TICK_MS));
                let beep = Beep { hz: self.hz, lasted };
                *self = Self::default();
                return Some(beep);
            }
        } else if is_candidate && self.silence == 0 && self.edge < EDGE {
            self.edge += 1;
        } else {
            *self = Self { frames: u32::from(is_tone), hz, level, edge: 0, silence: 0 };
        }
        None
    }
}

struct Tone {
    /// dB.
    gain: f32,
    hz: f32,
    /// dBFS.
    level: f32,
    /// The loudest quarter's energy over the faintest's.
    beats: f32,
}

/// The sinusoid that explains a frame best, on every second sample, which is the line's rate: least squares of
/// `x[n] + x[n-2] = c · x[n-1]`, where `c` is twice the cosine of its angle per sample.
fn tone(pcm: &[i16; FRAME]) -> Tone {
    let mut line = [0.0f32; FRAME / 2];
    for (index, sample) in line.iter_mut().enumerate() {
        *sample = f32::from(pcm[2 * index]);
    }
    let (mut with, mut own, mut energy) = (0.0f64, 0.0f64, 0.0f64);
    for window in line.windows(3) {
        let (old, mid, new) = (f64::from(window[0]), f64::from(window[1]), f64::from(window[2]));
        with += mid * (old + new);
        own += mid * mid;
        energy += new * new;
    }
    if own <= 0.0 || energy <= 0.0 {
        return Tone { gain: 0.0, hz: 0.0, level: -100.0, beats: 1.0 };
    }
    let c = with / own;
    let left: f64 = line
        .windows(3)
        .map(|window| {
            let miss = f64::from(window[2]) + f64::from(window[0]) - c * f64::from(window[1]);
            miss * miss
        })
        .sum();
    let quarters = line.chunks_exact(line.len() / 4).map(|quarter| dot(quarter, quarter));
    let (least, most) =
        quarters.fold((f32::MAX, 0.0f32), |(least, most), energy| (least.min(energy), most.max(energy)));
    let angle = (c / 2.0).clamp(-1.0, 1.0).acos();
    let rate = f64::from(crate::LINE_RATE);
    let mean = energy / line.len() as f64;
    Tone {
        gain: (10.0 * (energy / left.max(energy * 1e-9)).log10()) as f32,
        hz: (angle * rate / std::f64::consts::TAU) as f32,
        level: (10.0 * (mean / (32_768.0 * 32_768.0)).log10()) as f32,
        beats: most / least.max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711;

    /// 16 kHz that has gone over a line of µ-law.
    fn over_the_line(samples: impl Iterator<Item = f32>) -> Vec<i16> {
        samples.map(|sample| g711::decode_ulaw(g711::encode_ulaw(sample as i16))).collect()
    }

    fn silence(ms: u32) -> Vec<i16> {
        // Line noise of some −65 dBFS.
        (0..ms * 16).map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as i16 * 2 - 15).collect()
    }

    fn sines(hz: &[f32], ms: u32, amplitude: f32) -> Vec<i16> {
        let at = |n: u32| {
            hz.iter().map(|hz| (n as f32 / 16_000.0 * hz * std::f32::consts::TAU).sin() * amplitude).sum()
        };
        over_the_line((0..ms * 16).map(at))
    }

    fn beeps(parts: &[Vec<i16>]) -> Vec<Beep> {
        let mut detector = BeepDetector::default();
        parts
            .concat()
            .chunks_exact(FRAME)
            .filter_map(|frame| detector.judge(frame.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn tones_of_machines_are_beeps_whatever_their_pitch() {
        for hz in [400.0, 440.0, 700.0, 850.0, 1000.0, 1400.0, 2000.0] {
            for ms in [240, 425, 1000, 2000] {
                // Not in step with the frames.
                let found = beeps(&[silence(333), sines(&[hz], ms, 4000.0), silence(300)]);
                assert_eq!(found.len(), 1, "{hz} Hz for {ms} ms: {found:?}");
                assert!((found[0].hz - hz).abs() < hz * 0.01, "{found:?} of {hz} Hz");
                let off = found[0].lasted.as_millis().abs_diff(ms.into());
                assert!(off <= 40, "{found:?} of {ms} ms");
            }
        }
    }

    #[test]
    fn other_tones_are_none() {
        for (what, parts) in [
            ("too short", vec![sines(&[1000.0], 120, 4000.0), silence(300)]),
            ("it goes on", vec![sines(&[1000.0], 4000, 4000.0), silence(300)]),
            ("it is not over", vec![silence(300), sines(&[1000.0], 500, 4000.0)]),
            ("two tones", vec![sines(&[697.0, 1336.0], 400, 4000.0), silence(300)]),
            ("ringing", vec![sines(&[440.0, 480.0], 1000, 4000.0), silence(300)]),
            ("a fax", vec![sines(&[2100.0], 1000, 4000.0), silence(300)]),
            ("faint", vec![sines(&[1000.0], 500, 60.0), silence(300)]),
            (
                "another tone follows",
                vec![
                    sines(&[950.0], 330, 4000.0),
                    sines(&[1400.0], 330, 4000.0),
                    sines(&[500.0, 800.0, 1700.0], 400, 3000.0),
                ],
            ),
            ("nothing", vec![silence(2000)]),
        ] {
            assert_eq!(beeps(&parts), [], "{what}");
        }
    }

    #[test]
    fn a_beep_is_told_once() {
        let found =
            beeps(&[sines(&[700.0], 400, 4000.0), silence(2000), sines(&[700.0], 400, 4000.0), silence(200)]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    /// Speech of a person: none of it may pass for a beep.
    #[test]
    fn recorded_speech_holds_no_beep_and_the_recorded_beep_is_one() {
        let folder = std::path::Path::new("/usr/share/asterisk/sounds/en_US_f_Allison");
        let Ok(files) = std::fs::read_dir(folder) else {
            return println!("skipped: there is no asterisk-core-sounds-en-wav");
        };
        let mut heard = 0;
        for path in files.filter_map(|file| Some(file.ok()?.path())) {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let Some(wav) = std::fs::read(&path).ok().and_then(|bytes| crate::wav::parse(&bytes).ok()) else {
                continue;
            };
            let pcm = crate::resample::convert(&wav.mono(), wav.rate, crate::EAR_RATE);
            let found = beeps(&[over_the_line(pcm.into_iter().map(f32::from)), silence(200)]);
            let is_beep = name.starts_with("beep");
            assert_eq!(!found.is_empty(), is_beep && name == "beep", "{name}: {found:?}");
            heard += 1;
        }
        assert!(heard > 100, "{heard} prompts");
    }
}
