//! Local engines for the subcommands that speak or understand by themselves.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use models::local::{Local, LocalConfig};
use models::{Synthesizer, Transcriber, catalog, fetch};

/// Which engines and models.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engines and models")]
pub(super) struct EngineArgs {
    /// Voice: a catalogue name or the path of a Piper voice
    #[arg(long, value_name = "NAME")]
    pub(super) voice: Option<String>,
    /// Ear: a catalogue name or the path of Whisper weights
    #[arg(long, value_name = "NAME")]
    pub(super) ear: Option<String>,
    /// Folder of the engine programs; without it, that of offhook itself
    #[arg(long, value_name = "FOLDER", env = "OFFHOOK_ENGINES")]
    pub(super) engines: Option<PathBuf>,
    /// Folder of the models; without it, the user's cache
    #[arg(long, value_name = "FOLDER", env = "OFFHOOK_MODELS")]
    pub(super) models: Option<PathBuf>,
}

/// What a subcommand wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Voice,
    Ear,
}

/// Engines that run until they are shut down, or dropped.
pub(super) struct Engines(Local);

pub(super) async fn start(args: &EngineArgs, need: Need) -> anyhow::Result<Engines> {
    let beside = LocalConfig::default();
    let name = |given: &Option<String>, usual: &str| Some(given.clone().unwrap_or_else(|| usual.to_owned()));
    let config = LocalConfig {
        engines_dir: args.engines.clone().unwrap_or(beside.engines_dir.clone()),
        models_dir: args.models.clone().unwrap_or_else(fetch::models_dir),
        stt: if need == Need::Ear { name(&args.ear, catalog::STARTER_STT) } else { None },
        llm: None,
        tts: if need == Need::Voice { name(&args.voice, catalog::STARTER_TTS) } else { None },
        ..beside
    };
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
