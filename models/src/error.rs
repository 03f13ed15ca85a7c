//! One error per trait, and the one that all local engines share. A caller decides by asking
//! [`EngineError::is_retryable`]: an engine that died is back in a moment, an engine that refused will refuse again.

use std::time::Duration;

/// What can go wrong between the gateway and one of its engine processes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The queue in front of the engine is full.
    #[error("{engine} is busy: {queued} jobs wait already")]
    Busy { engine: &'static str, queued: usize },
    /// The process ended with this job in it. It is being restarted; the same job may be tried again.
    #[error("{engine} died in the middle of the job ({detail})")]
    EngineDied { engine: &'static str, detail: String },
    /// The process does not come up, so nothing is accepted for it.
    #[error("{engine} is down ({detail})")]
    EngineDown { engine: &'static str, detail: String },
    /// The engine looked at the job and could not do it.
    #[error("{engine} could not do the job: {kind}: {message}")]
    Failed { engine: &'static str, kind: String, message: String },
    /// More came out than the job's bounded queue holds: whoever reads it has stopped reading.
    #[error("{engine}: nobody read the job's results")]
    Overrun { engine: &'static str },
    /// The supervisor was shut down.
    #[error("{engine} has been stopped")]
    Stopped { engine: &'static str },
}

impl EngineError {
    /// Whether the same job may well succeed if it is tried again at once.
    pub fn is_retryable(&self) -> bool {
        matches!(self, EngineError::EngineDied { .. })
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SttError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the utterance is {seconds:.1} s long; {max} s is the most")]
    TooLong { seconds: f32, max: u32 },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TtsError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the phrase has {chars} characters; {max} is the most")]
    TooLong { chars: usize, max: usize },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LlmError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No connection, or it broke.
    #[error("no connection to {url}: {reason}")]
    Connect { url: String, reason: String },
    /// The server answered with an HTTP error.
    #[error("{url} answered {status}: {body}")]
    Status { url: String, status: u16, body: String, retry_after: Option<Duration> },
    #[error("{url}: {stage} took longer than {limit:?}")]
    Timeout { url: String, stage: Stage, limit: Duration },
    /// The answer is not in the chat-completions format, or ended in the middle.
    #[error("{url} answered what is no chat completion: {reason}")]
    Protocol { url: String, reason: String },
}

/// Which of a remote model's time limits was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connect,
    FirstToken,
    Idle,
    Total,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Connect => "connecting",
            Stage::FirstToken => "the first token",
            Stage::Idle => "the next token",
            Stage::Total => "the whole answer",
        })
    }
}
