//! One voice: a VITS network in ONNX and the JSON beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use models::engine::readable;
use models::phrase::{Clause, clauses};
use models::wire::Failure;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use serde::Deserialize;

use crate::espeak;

/// A sentence up to so many characters is one breath; a longer one is cut at its commas, because the wait for the first
/// sound and the memory grow with the length.
const BREATH: usize = 110;
/// Pauses behind a breath, in ms: the network ends each with a little silence of its own.
const AFTER_SENTENCE: u32 = 80;
const AFTER_CLAUSE: u32 = 20;
/// Silence in front that is not worth waiting for: below this level (of 1), all but so many ms of it.
const FLOOR: f32 = 0.004;
const LEAD_MS: u32 = 5;

pub(crate) struct Voice {
    pub(crate) name: String,
    pub(crate) rate: u32,
    session: Session,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    audio: Audio,
    espeak: Espeak,
    #[serde(default)]
    inference: Inference,
    #[serde(default = "one")]
    num_speakers: u32,
    #[serde(default)]
    speaker_id_map: HashMap<String, i64>,
    phoneme_id_map: HashMap<String, Vec<i64>>,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
struct Audio {
    sample_rate: u32,
}

#[derive(Deserialize)]
struct Espeak {
    voice: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct Inference {
    noise_scale: f32,
    length_scale: f32,
    noise_w: f32,
}

impl Default for Inference {
    fn default() -> Inference {
        Inference { noise_scale: 0.667, length_scale: 1.0, noise_w: 0.8 }
    }
}

impl Voice {
    /// Loads `NAME.onnx` with the `NAME.onnx.json` beside it, for `threads` threads, and says a word.
    pub(crate) fn load(environment: &Environment, model: &Path, threads: usize) -> Result<Voice, Failure> {
        let json = PathBuf::from(format!("{}.json", model.display()));
        let failed =
            |path: &Path, e: &dyn std::fmt::Display| Failure::new("load", format!("{}: {e}", path.display()));
        let text = std::fs::read(readable(&json)?).map_err(|e| failed(&json, &e))?;
        let config: Config = serde_json::from_slice(&text).map_err(|e| failed(&json, &e))?;
        for needed in ["^", "_", "$"] {
            if !config.phoneme_id_map.contains_key(needed) {
                return Err(failed(&json, &format!("phoneme_id_map lacks {needed:?}")));
            }
        }
        readable(model)?;
        let session = session(environment, model, threads).map_err(|e| failed(model, &e))?;
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut voice = Voice { name, rate: config.audio.sample_rate, session, config };
        // The first run makes the buffers; and a voice without its language is found out now.
        let warm = voice.breaths("Ready when you are.");
        voice.say(&warm[0], 1.0, 0).map_err(|e| failed(model, &e))?;
        Ok(voice)
    }

    /// A speaker of a voice with several: by name or by number.
    pub(crate) fn speaker(&self, wanted: Option<&str>) -> Result<i64, Failure> {
        let Some(wanted) = wanted else { return Ok(0) };
        let known = self.config.speaker_id_map.get(wanted).copied();
        let number = wanted.parse().ok().filter(|n| (0..i64::from(self.config.num_speakers)).contains(n));
        known
            .or(number)
            .ok_or_else(|| Failure::new("unsupported", format!("{} has no speaker {wanted:?}", self.name)))
    }

    /// What is synthesized at once: whole sentences, long ones in parts.
    pub(crate) fn breaths(&self, text: &str) -> Vec<Vec<Clause>> {
        let mut breaths: Vec<Vec<Clause>> = Vec::new();
        let mut open: Option<usize> = None;
        for clause in clauses(text) {
            let chars = clause.text.chars().count();
            let ends = matches!(clause.mark, Some('.' | '!' | '?'));
            match (open.filter(|n| n + chars <= BREATH), breaths.last_mut()) {
                (Some(n), Some(breath)) => {
                    breath.push(clause);
                    open = Some(n + chars);
                }
                _ => {
                    breaths.push(vec![clause]);
                    open = Some(chars);
                }
            }
            if ends {
                open = None;
            }
        }
        breaths
    }

    /// The sound of one breath, silence behind it included.
    pub(crate) fn say(&mut self, breath: &[Clause], speed: f32, speaker: i64) -> Result<Vec<i16>, Failure> {
        let ids = self.ids(breath)?;
        let failed = |e: ort::Error| Failure::new("engine", e);
        let speed = if speed.is_finite() { speed.clamp(0.5, 2.0) } else { 1.0 };
        let i = &self.config.inference;
        let scales = vec![i.noise_scale, i.length_scale / speed, i.noise_w];
        let count = ids.len();
        let mut inputs = ort::inputs![
            "input" => Tensor::from_array(([1, count], ids)).map_err(failed)?,
            "input_lengths" => Tensor::from_array(([1], vec![count as i64])).map_err(failed)?,
            "scales" => Tensor::from_array(([3], scales)).map_err(failed)?,
        ];
        if self.config.num_speakers > 1 {
            let sid = Tensor::from_array(([1], vec![speaker])).map_err(failed)?;
            inputs.push(("sid".into(), sid.into()));
        }
        let outputs = self.session.run(inputs).map_err(failed)?;
        let (_, sound) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        let samples = |ms: u32| (u64::from(self.rate) * u64::from(ms) / 1000) as usize;
        let lead = sound.iter().position(|s| s.abs() > FLOOR).unwrap_or(0).saturating_sub(samples(LEAD_MS));
        let pause = match breath.last().and_then(|c| c.mark) {
            Some('.' | '!' | '?') => AFTER_SENTENCE,
            Some(_) => AFTER_CLAUSE,
            None => 0,
        };
        let mut pcm: Vec<i16> =
            sound[lead..].iter().map(|s| (s.clamp(-1.0, 1.0) * 32_767.0) as i16).collect();
        pcm.resize(pcm.len() + samples(pause), 0);
        Ok(pcm)
    }

    /// `^ p a d d e d $`: a pad behind every id but the last, as these networks were trained.
    fn ids(&self, breath: &[Clause]) -> Result<Vec<i64>, Failure> {
        let map = &self.config.phoneme_id_map;
        let id = |name: &str| map.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut ids = Vec::new();
        let mut add = |phoneme: &str| {
            // A sound that this voice never learned is left out.
            for n in id(phoneme) {
                ids.push(*n);
                ids.extend_from_slice(id("_"));
            }
        };
        add("^");
        let mut buffer = [0; 4];
        for (i, clause) in breath.iter().enumerate() {
            if i > 0 {
                add(" ");
            }
            for c in espeak::phonemes(&clause.text, &self.config.espeak.voice)?.chars() {
                add(c.encode_utf8(&mut buffer));
            }
            if let Some(mark) = clause.mark {
                add(mark.encode_utf8(&mut buffer));
            }
        }
        ids.extend_from_slice(id("$"));
        Ok(ids)
    }
}

fn session(environment: &Environment, model: &Path, threads: usize) -> Result<Session, ort::Error> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // A thread that spins takes the core from a call's media.
        .with_config_entry("session.intra_op.allow_spinning", "0")?
        // Every length of text would keep its own plan.
        .with_memory_pattern(false)?
        .commit_from_file(model)
}
