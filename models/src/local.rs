//! Everything local, started: engines found, models verified, processes up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::{self, Purpose};
use crate::fetch::{self, VerifyError};
use crate::permits::Permits;
use crate::process::{self, Command, Cores, Limits, Supervisor};
use crate::{Generator, Synthesizer, Transcriber, TurnJudge, llm, stt, tts, turn};

/// What to start. The default is the starter set with engines beside this executable.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Where `offhook-whisper`, `offhook-turn`, `offhook-llama` and `offhook-piper` lie.
    pub engines_dir: PathBuf,
    /// Where models lie, see [`fetch::models_dir`].
    pub models_dir: PathBuf,
    /// A name of the catalogue or a path to a file (a path has a `/`). `None`: this engine is not started.
    pub stt: Option<String>,
    /// The judge of turns. The one thing that a call does without: where the model of the starter set or its engine is
    /// not there, that is logged and nothing judges.
    pub turn: Option<String>,
    pub llm: Option<String>,
    /// The default voice.
    pub tts: Option<String>,
    /// Further voices that a phrase may ask for by name.
    pub voices: Vec<String>,
    /// The cores that models may use. Share one pool with whatever else computes.
    pub permits: Permits,
    /// The most threads of one job; 0 chooses by the cores.
    pub stt_threads: usize,
    pub llm_threads: usize,
    pub tts_threads: usize,
    /// Tokens that a conversation may hold, prompt and reply together.
    pub llm_context: u32,
    /// Conversations whose reading is kept at once.
    pub llm_slots: u32,
    /// Layers that go to a GPU, where the engine was built for one.
    pub gpu_layers: u32,
    pub limits: Limits,
}

impl Default for LocalConfig {
    fn default() -> LocalConfig {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        LocalConfig {
            engines_dir: beside.unwrap_or_else(|| PathBuf::from(".")),
            models_dir: fetch::models_dir(),
            stt: Some(catalog::STARTER_STT.into()),
            turn: Some(catalog::STARTER_TURN.into()),
            llm: Some(catalog::STARTER_LLM.into()),
            tts: Some(catalog::STARTER_TTS.into()),
            voices: Vec::new(),
            permits: Permits::new(std::thread::available_parallelism().map_or(1, usize::from)),
            stt_threads: 0,
            llm_threads: 0,
            tts_threads: 0,
            llm_context: 2048,
            llm_slots: 4,
            gpu_layers: 999,
            limits: Limits::default(),
        }
    }
}

/// The engines that were asked for, ready. Dropping a supervisor kills its engine.
#[derive(Default)]
pub struct Local {
    pub stt: Option<Arc<dyn Transcriber>>,
    pub turn: Option<Arc<dyn TurnJudge>>,
    pub llm: Option<Arc<dyn Generator>>,
    pub tts: Option<Arc<dyn Synthesizer>>,
    pub supervisors: Supervisors,
}

/// For health, tests and the end.
#[derive(Debug, Default)]
pub struct Supervisors {
    pub stt: Option<Supervisor>,
    pub turn: Option<Supervisor>,
    pub llm: Option<Supervisor>,
    pub tts: Option<Supervisor>,
}

impl Supervisors {
    pub fn iter(&self) -> impl Iterator<Item = &Supervisor> {
        [&self.stt, &self.turn, &self.llm, &self.tts].into_iter().flatten()
    }

    /// Ends all engines, together, and waits for it.
    pub async fn shutdown(self) {
        let end = async |s: Option<Supervisor>| {
            if let Some(s) = s {
                s.shutdown().await;
            }
        };
        tokio::join!(end(self.stt), end(self.turn), end(self.llm), end(self.tts));
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("model {name} is not there ({path}); get it: {command}")]
    MissingModel { name: String, path: PathBuf, command: String },
    #[error("model {name} is corrupt ({reason}); get it again: {command}")]
    CorruptModel { name: String, reason: String, command: String },
    #[error("no model is called {name}; `offhook models list` shows those that are, and a path needs a /")]
    UnknownModel { name: String },
    #[error("{name} is no model for {wanted}")]
    WrongPurpose { name: String, wanted: &'static str },
    #[error("the engine {0} is not there; build it: make engines")]
    MissingEngine(PathBuf),
    #[error(transparent)]
    Engine(#[from] process::StartError),
}

/// Verifies the models and starts the engines, all at the same time.
pub async fn start(config: LocalConfig) -> Result<Local, StartError> {
    let cores = config.permits.cores();
    let choose =
        |asked: usize, usual: usize| if asked > 0 { asked.min(cores) } else { usual.clamp(1, cores) };
    let plan = plan(&config).await?;
    let up = async |command: Option<Command>| match command {
        Some(command) => {
            Supervisor::start(command, config.limits.clone(), config.permits.clone()).await.map(Some)
        }
        None => Ok(None),
    };
    // On an error the others are dropped, and so ended.
    let (stt, turn, llm, tts) = tokio::try_join!(up(plan.stt), up(plan.turn), up(plan.llm), up(plan.tts))?;
    let ear = stt.as_ref().map(|s| {
        let threads = choose(config.stt_threads, cores / 4);
        Arc::new(stt::local::Whisper::new(s.handle(), config.permits.clone(), threads))
            as Arc<dyn Transcriber>
    });
    let judge = turn.as_ref().map(|s| Arc::new(turn::SmartTurn::new(s.handle())) as Arc<dyn TurnJudge>);
    let mind = llm.as_ref().map(|s| {
        let threads = llm_threads(&config);
        Arc::new(llm::local::Llama::new(s.handle(), threads)) as Arc<dyn Generator>
    });
    let mouth = tts.as_ref().map(|s| {
        let threads = choose(config.tts_threads, 1);
        Arc::new(tts::local::Piper::new(s.handle(), threads, config.tts.as_deref().unwrap_or_default()))
            as Arc<dyn Synthesizer>
    });
    let supervisors = Supervisors { stt, turn, llm, tts };
    Ok(Local { stt: ear, turn: judge, llm: mind, tts: mouth, supervisors })
}

#[derive(Default)]
struct Plan {
    stt: Option<Command>,
    turn: Option<Command>,
    llm: Option<Command>,
    tts: Option<Command>,
}

async fn plan(config: &LocalConfig) -> Result<Plan, StartError> {
    let cores = config.permits.cores();
    let mut plan = Plan::default();
    if let Some(name) = &config.stt {
        let model = model(config, name, Purpose::Stt).await?;
        let args = [arg("--model"), model.into(), arg("--lanes"), arg(cores.min(4))];
        plan.stt = Some(command(config, "whisper", Cores::PerJob, args.into())?);
    }
    if let Some(name) = &config.turn {
        plan.turn = match judge(config, name).await {
            Err(error @ (StartError::MissingModel { .. } | StartError::MissingEngine(_)))
                if name == catalog::STARTER_TURN =>
            {
                tracing::warn!(%error, "nothing judges by sound whether a caller has finished; the words must do");
                None
            }
            command => Some(command?),
        };
    }
    if let Some(name) = &config.llm {
        let model = model(config, name, Purpose::Llm).await?;
        let args = [
            arg("--model"),
            model.into(),
            arg("--context"),
            arg(config.llm_context),
            arg("--slots"),
            arg(config.llm_slots),
            arg("--gpu-layers"),
            arg(config.gpu_layers),
            arg("--threads"),
            arg(llm_threads(config)),
        ];
        plan.llm = Some(command(config, "llama", Cores::Together, args.into())?);
    }
    if let Some(name) = &config.tts {
        let runtime = model(config, catalog::RUNTIME, Purpose::Runtime).await?;
        let lanes = (cores / 4).clamp(1, 4);
        // The caller waits for the first words: two threads say them a third sooner where a core is idle, and no later where none is.
        let threads = cores.clamp(1, 2);
        let mut args = vec![
            arg("--runtime"),
            runtime.into(),
            arg("--lanes"),
            arg(lanes),
            arg("--threads"),
            arg(threads),
        ];
        for voice in std::iter::once(name).chain(&config.voices) {
            args.extend([arg("--voice"), model(config, voice, Purpose::Tts).await?.into()]);
        }
        plan.tts = Some(command(config, "piper", Cores::PerJob, args)?);
    }
    Ok(plan)
}

async fn judge(config: &LocalConfig, name: &str) -> Result<Command, StartError> {
    let runtime = model(config, catalog::RUNTIME, Purpose::Runtime).await?;
    let model = model(config, name, Purpose::Turn).await?;
    let args = [arg("--runtime"), runtime.into(), arg("--model"), model.into()];
    command(config, "turn", Cores::Short, args.into())
}

fn arg(value: impl ToString) -> OsString {
    value.to_string().into()
}

/// Half of the cores: the other half hears and speaks meanwhile.
fn llm_threads(config: &LocalConfig) -> usize {
    let cores = config.permits.cores();
    if config.llm_threads > 0 { config.llm_threads.min(cores) } else { (cores / 2).max(1) }
}

fn command(
    config: &LocalConfig,
    name: &'static str,
    cores: Cores,
    args: Vec<OsString>,
) -> Result<Command, StartError> {
    let program = config.engines_dir.join(format!("offhook-{name}"));
    if !program.is_file() {
        return Err(StartError::MissingEngine(program));
    }
    Ok(Command { name, program, args, cores })
}

/// The file to load for a name or a path.
async fn model(config: &LocalConfig, name: &str, purpose: Purpose) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        let command = "put it there, or name another one in the configuration".to_owned();
        return match path.is_file() {
            true => Ok(path),
            false => Err(StartError::MissingModel { name: name.into(), path, command }),
        };
    }
    let entry = catalog::find(name).ok_or_else(|| StartError::UnknownModel { name: name.into() })?;
    if entry.purpose != purpose {
        return Err(StartError::WrongPurpose { name: name.into(), wanted: purpose.as_str() });
    }
    let dir = config.models_dir.clone();
    let found = tokio::task::spawn_blocking(move || fetch::installed(entry, &dir)).await;
    let which = if entry.starter { "starter" } else { entry.name };
    let command = format!("offhook models pull {which}");
    match found {
        Ok(Ok(installed)) => Ok(installed.path().to_owned()),
        Ok(Err(VerifyError::Missing { path, .. })) => {
            Err(StartError::MissingModel { name: name.into(), path, command })
        }
        Ok(Err(e)) => Err(StartError::CorruptModel { name: name.into(), reason: e.to_string(), command }),
        Err(e) => Err(StartError::CorruptModel { name: name.into(), reason: e.to_string(), command }),
    }
}
