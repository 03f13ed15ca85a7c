//! Is this voice? An energy gate that follows the noise floor, and behind it `earshot`, a small recurrent network in pure Rust.
//!
//! Most of a call is silence on one side; the gate answers that for the price of a sum, and the network is asked only when
//! there is something to judge. Why this network: `docs/decisions/vad.md`.

use std::time::{Duration, Instant};

use crate::{FRAME, TICK_MS};

/// When speech counts as begun and as ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadConfig {
    /// Voice must last so long before [`crate::Event::VoiceStart`].
    pub onset: Duration,
    /// Silence must last so long before [`crate::Event::VoiceEnd`].
    pub hangover: Duration,
    /// From which probability on a frame is voice, 0 to 1.
    pub threshold: f32,
}

impl Default for VadConfig {
    fn default() -> Self {
        VadConfig { onset: Duration::from_millis(60), hangover: Duration::from_millis(200), threshold: 0.5 }
    }
}

/// Samples that the network takes at a time: 16 ms at 16 kHz.
const WINDOW: usize = 256;
/// Below this nothing is voice, dBFS.
const ABSOLUTE_GATE: f32 = -58.0;
/// Voice stands so many dB above the noise floor.
const ABOVE_FLOOR: f32 = 5.0;
/// Ticks for which the gate stays open after the last loud frame, so that the ends of words are judged.
const GATE_HOLD: u32 = 10;
/// How fast the floor rises, dB per tick: 2.5 dB per second.
const FLOOR_RISE: f32 = 0.05;
/// The floor lies in this range, dBFS.
const FLOOR: std::ops::RangeInclusive<f32> = -90.0..=-30.0;

/// Judges 20 ms at a time.
pub struct Vad {
    config: VadConfig,
    detector: Box<earshot::Detector>,
    window: [i16; WINDOW],
    filled: usize,
    probability: f32,
    floor: f32,
    gate: u32,
    /// Milliseconds of unbroken voice, and of unbroken silence.
    voiced: u32,
    unvoiced: u32,
    began: Option<Instant>,
    ended: Option<Instant>,
    speaking: bool,
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
    /// Speech began (`Some(true)`) or ended with this frame; and when, really.
    pub change: Option<(bool, Instant)>,
}

impl Vad {
    pub fn new(config: VadConfig) -> Self {
        Vad {
            config,
            detector: earshot::Detector::default_boxed(),
            window: [0; WINDOW],
            filled: 0,
            probability: 0.0,
            floor: -60.0,
            gate: 0,
            voiced: 0,
            unvoiced: 0,
            began: None,
            ended: None,
            speaking: false,
        }
    }

    /// Judges a frame that was taken at `now`. If `never` is set, it is not voice whatever it sounds like.
    pub fn judge(&mut self, now: Instant, pcm: &[i16; FRAME], never: bool) -> Judgement {
        let level_dbfs = level(pcm);
        self.follow(level_dbfs);
        let loud = level_dbfs > ABSOLUTE_GATE && level_dbfs > self.floor + ABOVE_FLOOR;
        self.gate = if loud { GATE_HOLD } else { self.gate.saturating_sub(1) };
        let probability = if self.gate == 0 {
            self.filled = 0;
            0.0
        } else {
            self.ask(pcm)
        };
        let voiced = !never && probability >= self.config.threshold;
        let change = self.debounce(now, voiced);
        Judgement { probability, level_dbfs, speaking: self.speaking, change }
    }

    fn follow(&mut self, level: f32) {
        let floor = if level < self.floor {
            self.floor + (level - self.floor) * 0.2
        } else {
            self.floor + FLOOR_RISE
        };
        self.floor = floor.clamp(*FLOOR.start(), *FLOOR.end());
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
                let probability = self.detector.predict_i16(&self.window).clamp(0.0, 1.0);
                heard = Some(heard.map_or(probability, |before| before.max(probability)));
            }
        }
        self.probability = heard.unwrap_or(self.probability);
        self.probability
    }

    fn debounce(&mut self, now: Instant, voiced: bool) -> Option<(bool, Instant)> {
        if voiced {
            self.began.get_or_insert(now);
            self.ended = None;
            self.voiced += TICK_MS;
            self.unvoiced = 0;
            if !self.speaking && u128::from(self.voiced) >= self.config.onset.as_millis() {
                self.speaking = true;
                return self.began.map(|began| (true, began));
            }
        } else {
            self.ended.get_or_insert(now);
            self.began = None;
            self.voiced = 0;
            self.unvoiced += TICK_MS;
            if self.speaking && u128::from(self.unvoiced) >= self.config.hangover.as_millis() {
                self.speaking = false;
                return self.ended.map(|ended| (false, ended));
            }
        }
        None
    }
}

/// RMS in dB relative to full scale.
fn level(pcm: &[i16]) -> f32 {
    let energy: f32 = pcm.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>() / pcm.len() as f32;
    if energy < 0.5 { -100.0 } else { 10.0 * (energy / (32_768.0 * 32_768.0)).log10() }
}
