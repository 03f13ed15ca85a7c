//! The network, and one question to it.

use std::path::Path;
use std::time::Instant;

use models::wire::{Failure, Judged};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;

use crate::features::{Features, HOPS, MELS};

pub(crate) struct Judge {
    name: String,
    session: Session,
    features: Features,
}

impl Judge {
    /// Loads the network with ONNX Runtime from `runtime`, and asks it once, so that its buffers are there.
    pub(crate) fn load(runtime: &Path, model: &Path) -> Result<Judge, Failure> {
        let failed =
            |path: &Path, e: &dyn std::fmt::Display| Failure::new("load", format!("{}: {e}", path.display()));
        let environment = ort::init_from(runtime).map_err(|e| failed(runtime, &e))?;
        let environment = environment
            .with_name("offhook")
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(runtime, &e))?;
        let open = || -> Result<Session, ort::Error> {
            Session::builder(&environment)?
                .with_optimization_level(GraphOptimizationLevel::Level3)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                // A thread that spins takes the core from a call's media.
                .with_config_entry("session.intra_op.allow_spinning", "0")?
                // Without VNNI two products of 8 bits are added up in 16, and overflow, unless it is told to take care.
                .with_config_entry("session.x64quantprecision", "1")?
                .commit_from_file(model)
        };
        let session = open().map_err(|e| failed(model, &e))?;
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut judge = Judge { name, session, features: Features::new() };
        judge.judge(&[]).map_err(|e| failed(model, &e))?;
        Ok(judge)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `pcm`: 16 kHz, the utterance with the silence behind it.
    pub(crate) fn judge(&mut self, pcm: &[i16]) -> Result<Judged, Failure> {
        let begun = Instant::now();
        let failed = |e: ort::Error| Failure::new("engine", e);
        let features = self.features.of(pcm);
        let input = Tensor::from_array(([1, MELS, HOPS], features)).map_err(failed)?;
        let outputs = self.session.run(ort::inputs!["input_features" => input]).map_err(failed)?;
        // Called "logits", but the network ends in a sigmoid.
        let (_, probability) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        let probability = probability.first().copied().filter(|p| p.is_finite());
        let probability = probability.ok_or_else(|| Failure::new("engine", "the network gave no number"))?;
        let elapsed_us = begun.elapsed().as_micros() as u64;
        Ok(Judged { probability: probability.clamp(0.0, 1.0), elapsed_us })
    }
}
