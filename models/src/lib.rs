//! Ears, mind and mouth of a call: speech recognition, language and speech models behind four small traits.
//!
//! The rest of the product sees [`Transcriber`], [`TurnJudge`], [`Generator`] and [`Synthesizer`], and nothing of the
//! engines behind them. A job is a future or a stream, and dropping it *is* the cancellation: nothing has to be called, and nothing
//! can be forgotten.
//!
//! The local engines are C++ and run in processes of their own ([`process`]), one per engine, behind one framed
//! protocol ([`wire`]): an engine that aborts costs the jobs it had, never the gateway. In front of each stands a
//! bounded queue ordered by [`Priority`], and all share one pool of core permits ([`permits`]), because ggml's threads
//! spin and starve one another when there are more of them than cores. The mind may also live elsewhere
//! ([`llm::remote`]). [`phrase`] turns a stream of tokens into clauses that can be spoken, and [`spoken`] what is written in them into the words
//! that people say for it; [`catalog`] and [`fetch`]
//! know where models come from and prove that they arrived whole; [`local::start`] puts it all together.
//!
//! With `default-features = false` only [`wire`], [`engine`] and [`phrase`] remain, on plain threads: what an engine binary
//! needs.

#![forbid(unsafe_code)]

pub mod engine;
pub mod wire;

#[cfg(feature = "gateway")]
pub mod catalog;
#[cfg(feature = "gateway")]
mod error;
#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "gateway")]
pub mod fetch;
#[cfg(feature = "gateway")]
pub mod llm;
#[cfg(feature = "gateway")]
pub mod local;
#[cfg(feature = "gateway")]
pub mod permits;
pub mod phrase;
#[cfg(feature = "gateway")]
pub mod process;
#[cfg(feature = "gateway")]
pub mod spoken;
#[cfg(feature = "gateway")]
pub mod stt;
#[cfg(feature = "gateway")]
pub mod tts;
#[cfg(feature = "gateway")]
pub mod turn;

#[cfg(feature = "gateway")]
pub use error::{EngineError, LlmError, Stage, SttError, TtsError};
#[cfg(feature = "gateway")]
pub use futures_util::{future::BoxFuture, stream::BoxStream};
#[cfg(feature = "gateway")]
pub use traits::*;

/// What a job is worth when cores are short. The order is the order of service: a smaller one goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Priority {
    /// The end of an utterance: a caller has stopped speaking and waits.
    Tail,
    /// What the agent is about to say: tokens, and the clauses made of them.
    Reply,
    /// A look at an utterance in a pause that may be its end. It is done at once or refused; what has begun is finished.
    Pause,
    /// A look at an utterance that is still being spoken. It is done at once or refused, and gives its core back when a
    /// caller waits for it.
    Partial,
    /// Reports, summaries, warm-ups: whenever nobody waits.
    Background,
}

#[cfg(feature = "gateway")]
mod traits {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::{future::BoxFuture, stream::BoxStream};
    use tokio::sync::watch;

    use crate::{EngineError, LlmError, Priority, SttError, TtsError};

    /// An ear: sound in, words out.
    pub trait Transcriber: Send + Sync {
        /// Transcribes one utterance. Dropping the future cancels the work.
        fn transcribe(&self, utterance: Utterance) -> BoxFuture<'static, Result<Transcript, SttError>>;
    }

    #[derive(Clone, Debug)]
    pub struct Utterance {
        /// 16 kHz, mono. At most [`crate::stt::MAX_SECONDS`]; Whisper looks at no more than 30 s at a time.
        pub pcm: Arc<[i16]>,
        /// ISO 639-1 ("en"); `None` lets a multilingual model detect it.
        pub language: Option<String>,
        /// Words to expect: names, products, what was said before.
        pub prompt: Option<String>,
        pub priority: Priority,
    }

    #[derive(Clone, Debug, Default, PartialEq)]
    pub struct Transcript {
        /// Trimmed. Empty: nothing was said (or only what the guards call a hallucination, see `rejected`).
        pub text: String,
        /// Probability, 0 to 1, that there was no speech at all.
        pub no_speech: f32,
        /// Mean natural logarithm of the tokens' probabilities: 0 is certain, below -1 is a guess.
        pub confidence: f32,
        /// ISO 639-1, as given or detected.
        pub language: String,
        pub segments: Vec<Segment>,
        /// What a guard took away, and which guard: it is not in `text`.
        pub rejected: Option<Rejected>,
        /// Time in the engine, without the wait for it.
        pub elapsed: Duration,
    }

    #[derive(Clone, Debug, PartialEq)]
    pub struct Segment {
        pub start: Duration,
        pub end: Duration,
        pub text: String,
    }

    #[derive(Clone, Debug, PartialEq)]
    pub struct Rejected {
        pub text: String,
        /// "no-speech", "repetition", "phrase-of-silence", "low-confidence".
        pub guard: String,
    }

    /// A judge of turns: sound in, the probability out that whoever speaks has finished.
    pub trait TurnJudge: Send + Sync {
        /// 0 (in the middle of something) to 1 (has finished), by how the voice sounds and not by what it says. `pcm`:
        /// 16 kHz mono, the utterance up to now with the silence behind it; only the last
        /// [`crate::turn::SECONDS`] count. Dropping the future cancels the work.
        fn judge(&self, pcm: Arc<[i16]>) -> BoxFuture<'static, Result<f32, EngineError>>;
    }

    /// A mind: a conversation in, the next thing to say out, piece by piece.
    pub trait Generator: Send + Sync {
        /// Streams the reply. The last item is [`Delta::Done`] or an error. Dropping the stream cancels the work.
        fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>>;

        /// Reads the prompt ahead, so that a later [`Generator::generate`] that starts with the same messages has its
        /// first token sooner. Where that is not possible it does nothing.
        fn prefill(&self, prompt: Prompt) -> BoxFuture<'static, Result<(), LlmError>> {
            drop(prompt);
            Box::pin(std::future::ready(Ok(())))
        }

        /// Whether it may be asked about words that may turn out not to be all, and be asked again. Not who does something
        /// about what it is told.
        fn may_be_asked_ahead(&self) -> bool {
            true
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum Role {
        System,
        User,
        Assistant,
        Tool,
    }

    impl Role {
        /// The name that chat templates and the chat-completions format use.
        pub fn as_str(self) -> &'static str {
            match self {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            }
        }
    }

    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct ChatMessage {
        pub role: Role,
        pub content: String,
        /// What the assistant wanted done with these words.
        pub tool_calls: Vec<ToolCall>,
        /// The call that a message of [`Role::Tool`] is the result of.
        pub tool_call_id: Option<String>,
    }

    impl ChatMessage {
        pub fn new(role: Role, content: impl Into<String>) -> ChatMessage {
            ChatMessage { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
        }

        /// What became of a tool call.
        pub fn result(call: &ToolCall, content: impl Into<String>) -> ChatMessage {
            ChatMessage { tool_call_id: Some(call.id.clone()), ..ChatMessage::new(Role::Tool, content) }
        }
    }

    /// Something that the model may do besides talking.
    #[derive(Clone, PartialEq, Debug)]
    pub struct ToolSpec {
        pub name: String,
        pub description: String,
        /// JSON Schema of the arguments, an object.
        pub parameters: serde_json::Value,
    }

    /// That it wants done.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct ToolCall {
        /// Unique in its conversation.
        pub id: String,
        pub name: String,
        /// A JSON object as text, as the model wrote it: whoever acts on it checks it.
        pub arguments: String,
    }

    #[derive(Clone, Debug)]
    pub struct Prompt {
        pub messages: Vec<ChatMessage>,
        /// In tokens.
        pub max_tokens: u32,
        pub sampling: Sampling,
        /// Generation ends before any of these would be said.
        pub stop: Vec<String>,
        pub priority: Priority,
        /// One per call: a local model keeps what it has read of this conversation.
        pub session: u64,
        /// So many messages at the beginning (persona, examples) stay where the conversation outgrows a local model's context.
        pub pinned: usize,
        /// What the model may ask for.
        pub tools: Vec<ToolSpec>,
        /// JSON Schema that the whole reply must obey. `None`: free text.
        pub schema: Option<serde_json::Value>,
        /// Where its reader says when it has enough for now. A mind on this machine obeys, others need not.
        pub pace: Option<watch::Receiver<Pace>>,
    }

    /// How urgent the rest of a reply is.
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    pub enum Pace {
        /// Nothing can be spoken yet.
        #[default]
        Begin,
        /// The first clause is at the voice, and a caller waits for that: the mind leaves it the cores.
        Rest,
        /// It sounds.
        GoOn,
    }

    impl Prompt {
        /// A prompt with the defaults: 160 tokens, default sampling, no stop strings, [`Priority::Reply`].
        pub fn new(messages: Vec<ChatMessage>) -> Prompt {
            Prompt {
                messages,
                max_tokens: 160,
                sampling: Sampling::default(),
                stop: Vec::new(),
                priority: Priority::Reply,
                session: 0,
                pinned: 0,
                tools: Vec::new(),
                schema: None,
                pace: None,
            }
        }
    }

    /// How the next token is chosen.
    #[derive(Clone, PartialEq, Debug)]
    pub struct Sampling {
        /// 0 takes the likeliest token always.
        pub temperature: f32,
        pub top_p: f32,
        pub top_k: u32,
        /// 1 means none.
        pub repeat_penalty: f32,
        /// Tokens looked back at by the penalties.
        pub repeat_window: u32,
        pub frequency_penalty: f32,
        pub presence_penalty: f32,
        /// `None`: a fresh one each time.
        pub seed: Option<u32>,
    }

    impl Default for Sampling {
        fn default() -> Sampling {
            Sampling {
                temperature: 0.3,
                top_p: 0.9,
                top_k: 40,
                repeat_penalty: 1.1,
                repeat_window: 128,
                frequency_penalty: 0.1,
                presence_penalty: 0.0,
                seed: None,
            }
        }
    }

    #[derive(Clone, PartialEq, Debug)]
    pub enum Delta {
        Text(String),
        /// The model wants this done; it may have said something before. Then comes `Done`.
        ToolCall(ToolCall),
        /// The mind that was asked failed or is late, before it said anything; another has been asked.
        Fallback {
            because: String,
        },
        Done {
            reason: FinishReason,
            usage: Usage,
        },
    }

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[non_exhaustive]
    pub enum FinishReason {
        /// The model ended its turn, or met a stop string.
        Stop,
        /// `max_tokens` was reached, or the context is full.
        Length,
        /// Anything else that a remote server says.
        Other,
    }

    #[derive(Clone, Copy, Default, PartialEq, Debug)]
    pub struct Usage {
        pub prompt_tokens: u32,
        /// Of these, found already read.
        pub cached_tokens: u32,
        pub completion_tokens: u32,
        /// From the start in the engine (local) or the request's sending (remote) to the first token.
        pub first_token: Option<Duration>,
        pub elapsed: Duration,
    }

    /// A mouth: a clause in, sound out, piece by piece.
    pub trait Synthesizer: Send + Sync {
        /// Streams the sound of one phrase. The stream ends after the last piece. Dropping it cancels the work.
        fn synthesize(&self, phrase: Phrase) -> BoxStream<'static, Result<Pcm, TtsError>>;

        /// Sample rate of the default voice, Hz. Each [`Pcm`] carries its own, which counts.
        fn rate(&self) -> u32;

        /// What a voice speaks (ISO 639-1), where that is known. `None`: the default voice.
        fn language(&self, voice: Option<&str>) -> Option<String> {
            let _ = voice;
            None
        }
    }

    #[derive(Clone, Debug)]
    pub struct Phrase {
        /// At most [`crate::tts::MAX_CHARS`] characters.
        pub text: String,
        /// `None`: the default voice.
        pub voice: Option<String>,
        /// 1 is the voice's own; 0.5 to 2.
        pub speed: f32,
        pub priority: Priority,
    }

    impl Phrase {
        /// A phrase with the default voice at its own speed, [`Priority::Reply`].
        pub fn new(text: impl Into<String>) -> Phrase {
            Phrase { text: text.into(), voice: None, speed: 1.0, priority: Priority::Reply }
        }
    }

    #[derive(Clone, PartialEq, Debug)]
    pub struct Pcm {
        /// Hz.
        pub rate: u32,
        /// Mono.
        pub samples: Vec<i16>,
    }
}
