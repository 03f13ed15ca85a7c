//! Is this voice? The small neural network of `earshot`, and two gates before its word counts: one for the noise floor, one for tones.
//!
//! The network takes steady noise and pure tones for voice, as others do; but neither is hard to tell. Noise does not pause: what is not louder
//! than the least of the last two seconds is noise. And a tone is what a recurrence of four terms explains. On a line that is silent the
//! network is not asked at all. The figures are in `docs/decisions/vad.md`.

mod network;

use std::time::{Duration, Instant};

use crate::widest::{Width, dot, widest};
use crate::{FRAME, TICK_MS};
use network::{Network, WINDOW};

/// When speech counts as begun and as ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadConfig {
    /// Voice must last so long before [`crate::Event::VoiceStart`].
    pub onset: Duration,
    /// Silence must last so long before [`crate::Event::VoiceDip`]: less than the hangover, and no longer than the stops within
    /// words usually are.
    pub dip: Duration,
    /// Silence must last so long before [`crate::Event::VoiceEnd`].
    pub hangover: Duration,
    /// From which probability on a frame is voice, 0 to 1.
    pub threshold: f32,
}

impl Default for VadConfig {
    fn default() -> Self {
        VadConfig {
            onset: Duration::from_millis(60),
            dip: Duration::from_millis(80),
            hangover: Duration::from_millis(200),
            threshold: 0.5,
        }
    }
}

/// Below this nothing is voice and the network is not asked, dBFS: the hiss of a muted line.
const ABSOLUTE_GATE: f32 = -58.0;
/// Ticks for which it is still asked after the last frame above, so that the ends of words are judged.
const GATE_HOLD: u32 = 10;
/// Voice stands so many dB above the noise floor.
const ABOVE_FLOOR: f32 = 5.0;
/// The floor is the least level of the last two seconds, kept as minima of ten ticks each: nobody speaks for so long without
/// a stop, but noise and tones do not stop.
const FLOOR_STEP: u32 = 10;
const FLOOR_STEPS: usize = 10;
/// The floor is not believed to be higher than this: whoever shouts without a pause is still heard. dBFS.
const HIGHEST_FLOOR: f32 = -20.0;
/// A frame that two sinusoids explain to within so many dB is a tone, whatever came before; voiced speech hardly reaches that.
const TONE_GAIN: f32 = 30.0;
/// With less it is one if its level is steady, which speech is not, from one frame to the next.
const STEADY_TONE_GAIN: f32 = 19.0;
const STEADY: f32 = 0.7;

/// Judges 20 ms at a time.
pub struct Vad {
    config: VadConfig,
    network: Box<Network>,
    window: [i16; WINDOW],
    filled: usize,
    probability: f32,
    gate: u32,
    level: f32,
    minima: [f32; FLOOR_STEPS],
    step: usize,
    step_ticks: u32,
    /// Milliseconds of voice, less what was doubtful in between; and of unbroken silence.
    voiced: u32,
    unvoiced: u32,
    began: Option<Instant>,
    ended: Option<Instant>,
    speaking: bool,
    /// The silence that lasts was told as a dip.
    dipped: bool,
}

/// What the VAD says of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// The network's word, 0 to 1; 0 if the gate was closed.
    pub probability: f32,
    /// RMS relative to full scale; −100 for digital silence.
    pub level_dbfs: f32,
    /// Between the debounced beginning and end.
    pub speaking: bool,
    /// What has become of the voice with this frame; and since when, really.
    pub change: Option<(Change, Instant)>,
}

/// What may become of a voice, debounced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    Start,
    /// It is silent for a moment, and may go on.
    Dip,
    /// It goes on after a dip.
    Back,
    End,
}

impl Vad {
    pub fn new(config: VadConfig) -> Self {
        Vad {
            config,
            network: Box::new(Network::new()),
            window: [0; WINDOW],
            filled: 0,
            probability: 0.0,
            gate: 0,
            level: -100.0,
            minima: [ABSOLUTE_GATE; FLOOR_STEPS],
            step: 0,
            step_ticks: 0,
            voiced: 0,
            unvoiced: 0,
            began: None,
            ended: None,
            speaking: false,
            dipped: false,
        }
    }

    /// Judges a frame that was taken at `now`. Where it sounds like voice, `excused` is asked whether it is none nevertheless: a key, an
    /// echo.
    pub fn judge(&mut self, now: Instant, pcm: &[i16; FRAME], excused: impl FnOnce() -> bool) -> Judgement {
        let level_dbfs = level(pcm);
        let floor = self.floor(level_dbfs);
        self.gate = if level_dbfs > ABSOLUTE_GATE { GATE_HOLD } else { self.gate.saturating_sub(1) };
        let mut probability = 0.0;
        if self.gate == 0 {
            self.filled = 0;
        } else {
            // It has a memory, so it must hear noise and tones too, whatever is made of its word.
            let heard = self.ask(pcm);
            let steady = (level_dbfs - self.level).abs() < STEADY;
            let tone = if steady { STEADY_TONE_GAIN } else { TONE_GAIN };
            let doubtful = heard < self.config.threshold;
            if level_dbfs > floor + ABOVE_FLOOR && (doubtful || sinusoidal_gain(pcm) < tone) {
                probability = heard;
            }
        }
        self.level = level_dbfs;
        let voiced = probability >= self.config.threshold && !excused();
        let change = self.debounce(now, voiced);
        Judgement { probability, level_dbfs, speaking: self.speaking, change }
    }

    /// Takes a level in and gives the noise floor.
    fn floor(&mut self, level: f32) -> f32 {
        if self.step_ticks == FLOOR_STEP {
            self.step_ticks = 0;
            self.step = (self.step + 1) % FLOOR_STEPS;
            self.minima[self.step] = level;
        }
        self.step_ticks += 1;
        self.minima[self.step] = self.minima[self.step].min(level);
        self.minima.iter().fold(HIGHEST_FLOOR, |least, &minimum| least.min(minimum))
    }

    fn ask(&mut self, pcm: &[i16; FRAME]) -> f32 {
        let mut rest = &pcm[..];
        let mut heard = None::<f32>;
        while !rest.is_empty() {
            let taken = (WINDOW - self.filled).min(rest.len());
            self.window[self.filled..self.filled + taken].copy_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            self.filled += taken;
            if self.filled == WINDOW {
                self.filled = 0;
                let probability = self.network.hear(&self.window);
                heard = Some(heard.map_or(probability, |before| before.max(probability)));
            }
        }
        self.probability = heard.unwrap_or(self.probability);
        self.probability
    }

    fn debounce(&mut self, now: Instant, voiced: bool) -> Option<(Change, Instant)> {
        let lasted = |ms: u32, wanted: Duration| u128::from(ms) >= wanted.as_millis();
        if voiced {
            let began = *self.began.get_or_insert(now);
            self.ended = None;
            self.voiced += TICK_MS;
            self.unvoiced = 0;
            if !self.speaking && lasted(self.voiced, self.config.onset) {
                self.speaking = true;
                return Some((Change::Start, began));
            }
            // A single frame is a click as easily as a voice.
            if self.dipped && self.voiced >= 2 * TICK_MS {
                self.dipped = false;
                return Some((Change::Back, began));
            }
        } else {
            let ended = *self.ended.get_or_insert(now);
            // One doubtful frame in the middle of an onset does not undo it.
            self.voiced = self.voiced.min(60).saturating_sub(TICK_MS);
            if self.voiced == 0 {
                self.began = None;
            }
            self.unvoiced += TICK_MS;
            if self.speaking && lasted(self.unvoiced, self.config.hangover) {
                self.speaking = false;
                self.dipped = false;
                return Some((Change::End, ended));
            }
            if self.speaking && !self.dipped && lasted(self.unvoiced, self.config.dip) {
                self.dipped = true;
                return Some((Change::Dip, ended));
            }
        }
        None
    }
}

/// How well one or two sinusoids explain a frame, in dB: dial, busy and ring-back tones, DTMF and beeps give much, speech little. Two sinusoids
/// obey a linear recurrence of four terms; so the best such recurrence is found (least squares over the frame, on every second
/// sample, which is the line's rate), and what it leaves unexplained is measured.
fn sinusoidal_gain(pcm: &[i16; FRAME]) -> f32 {
    widest(
        #[inline(always)]
        |width| explained_by_sinusoids(width, pcm),
    )
}

#[inline(always)]
fn explained_by_sinusoids(width: Width, pcm: &[i16; FRAME]) -> f32 {
    const ORDER: usize = 4;
    let mut line = [0.0f32; FRAME / 2];
    for (index, sample) in line.iter_mut().enumerate() {
        *sample = f32::from(pcm[2 * index]);
    }
    // Covariances of the signal with its own past; along a diagonal each follows from the one before.
    let length = line.len();
    let mut covariance = [[0.0f64; ORDER + 1]; ORDER + 1];
    for column in 0..=ORDER {
        let value = f64::from(width.dot(&line[ORDER..], &line[ORDER - column..length - column]));
        covariance[0][column] = value;
        covariance[column][0] = value;
    }
    for row in 1..=ORDER {
        for column in row..=ORDER {
            let entering = f64::from(line[ORDER - row]) * f64::from(line[ORDER - column]);
            let leaving = f64::from(line[length - row]) * f64::from(line[length - column]);
            let value = covariance[row - 1][column - 1] + entering - leaving;
            covariance[row][column] = value;
            covariance[column][row] = value;
        }
    }
    let energy = covariance[0][0];
    if energy <= 0.0 {
        return 0.0;
    }
    // Elimination from the farthest past on leaves the unexplained energy in the corner. The small addition keeps a single sinusoid,
    // which needs but two terms, from dividing by nothing.
    for (index, values) in covariance.iter_mut().enumerate().skip(1) {
        values[index] += energy * 1e-6;
    }
    for pivot in (1..=ORDER).rev() {
        let (above, below) = covariance.split_at_mut(pivot);
        let pivots = below[0];
        for values in above {
            let share = values[pivot] / pivots[pivot];
            for (value, by) in values.iter_mut().zip(pivots).take(pivot) {
                *value -= share * by;
            }
        }
    }
    let left = covariance[0][0].max(energy * 1e-9);
    (10.0 * (energy / left).log10()) as f32
}

/// RMS in dB relative to full scale.
fn level(pcm: &[i16; FRAME]) -> f32 {
    let samples = pcm.map(f32::from);
    let energy = dot(&samples, &samples) / FRAME as f32;
    if energy < 0.5 { -100.0 } else { 10.0 * (energy / (32_768.0 * 32_768.0)).log10() }
}
