//! Local engines for the subcommands that speak or understand by themselves.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use models::local::{Local, LocalConfig};
use models::{Synthesizer, Transcriber, catalog};

/// Where engines and models lie.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engines and models")]
pub(super) struct Folders {
    /// Folder of the engine programs; without it, that of offhook itself
    #[arg(long, value_name = "FOLDER", env = "OFFHOOK_ENGINES")]
    pub(super) engines: Option<PathBuf>,
    /// Folder of the models; without it, the user's cache
    #[arg(long, value_name = "FOLDER", env = "OFFHOOK_MODELS")]
    pub(super) models: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engines and models")]
pub(super) struct VoiceArgs {
    /// Voice: a name out of `offhook models list`, or the path of a Piper voice
    #[arg(long, value_name = "NAME", default_value = catalog::STARTER_TTS)]
    pub(super) voice: String,
    #[command(flatten)]
    pub(super) folders: Folders,
}

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engines and models")]
pub(super) struct EarArgs {
    /// Ear: a name out of `offhook models list`, or the path of Whisper weights
    #[arg(long, value_name = "NAME", default_value = catalog::STARTER_STT)]
    pub(super) ear: String,
    #[command(flatten)]
    pub(super) folders: Folders,
}

/// Engines that run until they are shut down, or dropped.
pub(super) struct Engines(Local);

pub(super) async fn start_voice(args: &VoiceArgs) -> anyhow::Result<Engines> {
    start(LocalConfig { tts: Some(args.voice.clone()), ..none(&args.folders) }).await
}

pub(super) async fn start_ear(args: &EarArgs) -> anyhow::Result<Engines> {
    start(LocalConfig { stt: Some(args.ear.clone()), ..none(&args.folders) }).await
}

fn none(folders: &Folders) -> LocalConfig {
    let beside = LocalConfig::default();
    LocalConfig {
        engines_dir: folders.engines.clone().unwrap_or(beside.engines_dir.clone()),
        models_dir: folders.models.clone().unwrap_or(beside.models_dir.clone()),
        stt: None,
        turn: None,
        llm: None,
        tts: None,
        ..beside
    }
}

async fn start(config: LocalConfig) -> anyhow::Result<Engines> {
    Ok(Engines(models::local::start(config).await?))
}

impl Engines {
    pub(super) fn voice(&self) -> anyhow::Result<Arc<dyn Synthesizer>> {
        self.0.tts.clone().context("no voice was started")
    }

    pub(super) fn ear(&self) -> anyhow::Result<Arc<dyn Transcriber>> {
        self.0.stt.clone().context("no ear was started")
    }

    pub(super) async fn shut_down(self) {
        self.0.supervisors.shutdown().await;
    }
}
