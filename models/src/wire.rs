//! The one protocol between the gateway and its engines, over the engine's standard input and output.
//!
//! A frame is a 32-bit length (little-endian, of what follows it), one byte of kind, a 32-bit job number, and a
//! payload. Numbers are little-endian, text is UTF-8, sound is 16-bit mono.
//!
//! | kind | from | payload |
//! |---|---|---|
//! | `Hello` | both | JSON [`Hello`]; first frame of either side, job 0. The engine's says that its model is loaded |
//! | `Job` | gateway | 32-bit length of a JSON [`Task`], the task, then its sound if it has any |
//! | `Cancel` | gateway | nothing; the engine still ends the job, with `Done` or `Failed` |
//! | `Rest` | gateway | 32-bit ms that the job may stand still for; 0: it goes on |
//! | `Ping`, `Pong` | gateway, engine | nothing; job echoes |
//! | `Text` | engine | a piece of a reply |
//! | `Pcm` | engine | 32-bit sample rate, then a piece of sound |
//! | `Done` | engine | JSON [`Outcome`]; the job's last frame |
//! | `Failed` | engine | JSON [`Failure`]; the job's last frame, or with job 0 a complaint about a frame |
//!
//! The parser is total: any bytes give frames or a [`WireError`], never a panic, and never more memory than
//! [`MAX_FRAME`]. A frame whose *content* is wrong is skipped by its length, so the stream goes on; only a length that
//! cannot be ends it.

use std::fmt;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// The version both sides must speak.
pub const VERSION: u32 = 2;

/// The most that a frame may hold after its length field, in bytes: 60 s of sound and a long task fit.
pub const MAX_FRAME: usize = 4 << 20;

/// Kind and job number.
const HEAD: usize = 5;

/// One job of one engine, from its `Job` frame to its `Done` or `Failed`. 0 is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct JobId(pub u32);

#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    Hello(Hello),
    Job { job: JobId, task: Task, pcm: Vec<i16> },
    Cancel(JobId),
    Rest { job: JobId, ms: u32 },
    Ping(u32),
    Pong(u32),
    Text { job: JobId, text: String },
    Pcm { job: JobId, rate: u32, pcm: Vec<i16> },
    Done { job: JobId, outcome: Outcome },
    Failed { job: JobId, failure: Failure },
}

/// Who speaks, and what is loaded.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    /// "offhook", "whisper", "llama", "piper".
    pub name: String,
    pub version: String,
    /// What was loaded, in words for a log.
    #[serde(default)]
    pub model: String,
    /// Jobs that the engine works on at once; the gateway never sends more.
    #[serde(default)]
    pub lanes: u32,
    /// Sample rate of what it says, Hz; 0 if it says nothing.
    #[serde(default)]
    pub rate: u32,
    /// Voices or languages it knows.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Time from the process's start to this frame, ms.
    #[serde(default)]
    pub load_ms: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    Transcribe(Transcribe),
    Generate(Generate),
    Synthesize(Synthesize),
    Judge(Judge),
}

impl Task {
    /// How many threads the job holds core permits for.
    pub fn threads(&self) -> u32 {
        match self {
            Task::Transcribe(t) => t.threads,
            Task::Generate(t) => t.threads,
            Task::Synthesize(t) => t.threads,
            Task::Judge(t) => t.threads,
        }
    }

    pub fn set_threads(&mut self, threads: u32) {
        match self {
            Task::Transcribe(t) => t.threads = threads,
            Task::Generate(t) => t.threads = threads,
            Task::Synthesize(t) => t.threads = threads,
            Task::Judge(t) => t.threads = threads,
        }
    }
}

/// The sound comes behind it: 16 kHz.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Transcribe {
    pub language: Option<String>,
    pub prompt: Option<String>,
    #[serde(default)]
    pub threads: u32,
}

/// Has whoever speaks finished? The sound comes behind it: 16 kHz.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Judge {
    #[serde(default)]
    pub threads: u32,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Generate {
    pub messages: Vec<Message>,
    /// 0: only read the prompt ahead and keep it.
    pub max_tokens: u32,
    pub temperature: f32,
    pub top_p: f32,
    pub top_k: u32,
    pub repeat_penalty: f32,
    pub repeat_window: u32,
    pub frequency_penalty: f32,
    pub presence_penalty: f32,
    pub seed: Option<u32>,
    #[serde(default)]
    pub stop: Vec<String>,
    #[serde(default)]
    pub session: u64,
    #[serde(default)]
    pub threads: u32,
    /// So many messages at the beginning stay when the conversation is longer than the context.
    #[serde(default)]
    pub pinned: usize,
    /// Nobody waits for it: it rests while another conversation is being answered.
    #[serde(default)]
    pub background: bool,
    #[serde(default)]
    pub grammar: Option<Grammar>,
}

/// Rules for what is written (GBNF, from the rule `root` on).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Grammar {
    pub rules: String,
    /// Absent: they hold for the whole reply. Else the reply is free until this text stands in it, which is not said: in its
    /// place `begins` is written, and what follows that obeys the rules and is [`Generated::called`].
    pub trigger: Option<String>,
    #[serde(default)]
    pub begins: String,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Synthesize {
    pub text: String,
    pub voice: Option<String>,
    pub speed: f32,
    #[serde(default)]
    pub threads: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Transcribed(Transcribed),
    Generated(Generated),
    Synthesized(Synthesized),
    Judged(Judged),
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Transcribed {
    pub text: String,
    pub no_speech: f32,
    pub confidence: f32,
    pub language: String,
    pub segments: Vec<Span>,
    /// Text that a guard took away, and the guard's name.
    pub rejected: Option<(String, String)>,
    pub elapsed_us: u64,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    pub start_ms: u32,
    pub end_ms: u32,
    pub text: String,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Generated {
    /// "stop" or "length".
    pub reason: String,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    pub completion_tokens: u32,
    pub first_token_us: Option<u64>,
    pub elapsed_us: u64,
    /// What was written after the grammar's trigger.
    #[serde(default)]
    pub called: Option<String>,
    /// Messages that were left out because the context is full.
    #[serde(default)]
    pub left_out: u32,
    /// Whether a message was cut, because it fills the context by itself.
    #[serde(default)]
    pub cut: bool,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Judged {
    /// 0 to 1.
    pub probability: f32,
    pub elapsed_us: u64,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Synthesized {
    pub samples: u64,
    pub elapsed_us: u64,
}

/// Why a job, a frame or the start failed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: "canceled", "malformed", "protocol", "busy", "load", "unsupported", "too-long", "engine".
    pub kind: String,
    pub message: String,
}

impl Failure {
    pub fn new(kind: &str, message: impl fmt::Display) -> Failure {
        Failure { kind: kind.to_owned(), message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Failure {}

#[derive(Debug)]
pub enum WireError {
    /// The length cannot be: the stream can no longer be followed.
    Length(usize),
    /// One frame was wrong; the next can be read.
    Malformed {
        job: JobId,
        reason: String,
    },
    /// The stream ended in the middle of a frame.
    Truncated,
    Io(io::Error),
}

impl WireError {
    /// Whether the frame after this one can still be read.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, WireError::Malformed { .. })
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Length(n) => write!(f, "a frame of {n} bytes ({HEAD} to {MAX_FRAME} are allowed)"),
            WireError::Malformed { job, reason } => write!(f, "malformed frame for job {}: {reason}", job.0),
            WireError::Truncated => f.write_str("the stream ended in the middle of a frame"),
            WireError::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for WireError {}

impl Frame {
    /// The frame's bytes, its length field included.
    ///
    /// A frame that would be longer than [`MAX_FRAME`] is an error: split the sound, or refuse the job.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = vec![0; 4];
        let mut head = |kind: u8, job: u32| {
            out.push(kind);
            out.extend_from_slice(&job.to_le_bytes());
        };
        match self {
            Frame::Hello(hello) => {
                head(1, 0);
                json(&mut out, hello);
            }
            Frame::Job { job, task, pcm } => {
                head(2, job.0);
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                json(&mut out, task);
                let len = (out.len() - at - 4) as u32;
                out[at..at + 4].copy_from_slice(&len.to_le_bytes());
                samples(&mut out, pcm);
            }
            Frame::Cancel(job) => head(3, job.0),
            Frame::Rest { job, ms } => {
                head(10, job.0);
                out.extend_from_slice(&ms.to_le_bytes());
            }
            Frame::Ping(n) => head(4, *n),
            Frame::Pong(n) => head(5, *n),
            Frame::Text { job, text } => {
                head(6, job.0);
                out.extend_from_slice(text.as_bytes());
            }
            Frame::Pcm { job, rate, pcm } => {
                head(7, job.0);
                out.extend_from_slice(&rate.to_le_bytes());
                samples(&mut out, pcm);
            }
            Frame::Done { job, outcome } => {
                head(8, job.0);
                json(&mut out, outcome);
            }
            Frame::Failed { job, failure } => {
                head(9, job.0);
                json(&mut out, failure);
            }
        }
        let len = out.len() - 4;
        if len > MAX_FRAME {
            return Err(WireError::Length(len));
        }
        out[..4].copy_from_slice(&(len as u32).to_le_bytes());
        Ok(out)
    }

    /// Reads what stands after the length field.
    fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
        let (Some((&kind, rest)), Some(body)) = (bytes.split_first(), bytes.get(HEAD..)) else {
            return Err(WireError::Length(bytes.len()));
        };
        let number = u32_at(rest, 0).unwrap_or_default();
        let job = JobId(number);
        let wrong = |reason: String| WireError::Malformed { job, reason };
        match kind {
            1 => Ok(Frame::Hello(parse(body).map_err(wrong)?)),
            2 => {
                let len = u32_at(body, 0).ok_or_else(|| wrong("a job without a task".into()))? as usize;
                let rest = &body[4..];
                if len > rest.len() {
                    return Err(wrong(format!("a task of {len} bytes in {}", rest.len())));
                }
                let (task, pcm) = rest.split_at(len);
                Ok(Frame::Job { job, task: parse(task).map_err(wrong)?, pcm: pcm_of(pcm).map_err(wrong)? })
            }
            3 => Ok(Frame::Cancel(job)),
            4 => Ok(Frame::Ping(number)),
            5 => Ok(Frame::Pong(number)),
            6 => match std::str::from_utf8(body) {
                Ok(text) => Ok(Frame::Text { job, text: text.to_owned() }),
                Err(e) => Err(wrong(e.to_string())),
            },
            7 => {
                let rate = u32_at(body, 0).ok_or_else(|| wrong("sound without a rate".into()))?;
                Ok(Frame::Pcm { job, rate, pcm: pcm_of(&body[4..]).map_err(wrong)? })
            }
            8 => Ok(Frame::Done { job, outcome: parse(body).map_err(wrong)? }),
            9 => Ok(Frame::Failed { job, failure: parse(body).map_err(wrong)? }),
            10 => {
                let ms = u32_at(body, 0).ok_or_else(|| wrong("a rest without an end".into()))?;
                Ok(Frame::Rest { job, ms })
            }
            other => Err(wrong(format!("kind {other} is not known"))),
        }
    }
}

/// Bytes in, frames out, for a reader that is given bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of `buffer` has been read already.
    read: usize,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame. After [`WireError::Length`] every further call says the same.
    pub fn poll(&mut self) -> Result<Option<Frame>, WireError> {
        let pending = &self.buffer[self.read..];
        let Some(len) = u32_at(pending, 0) else { return Ok(None) };
        let len = length(len)?;
        let Some(bytes) = pending.get(4..4 + len) else { return Ok(None) };
        let frame = Frame::decode(bytes);
        self.read += 4 + len;
        frame.map(Some)
    }
}

/// Reads one frame from a blocking reader. `None`: the stream ended between two frames.
pub fn read(from: &mut impl Read) -> Result<Option<Frame>, WireError> {
    let mut len = [0; 4];
    let mut filled = 0;
    while filled < 4 {
        match from.read(&mut len[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(WireError::Truncated),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(WireError::Io(e)),
        }
    }
    let len = length(u32::from_le_bytes(len))?;
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => WireError::Truncated,
        _ => WireError::Io(e),
    })?;
    Frame::decode(&bytes).map(Some)
}

/// Writes one frame to a blocking writer and flushes it.
pub fn write(to: &mut impl Write, frame: &Frame) -> Result<(), WireError> {
    let bytes = frame.encode()?;
    to.write_all(&bytes).and_then(|()| to.flush()).map_err(WireError::Io)
}

fn length(len: u32) -> Result<usize, WireError> {
    let len = len as usize;
    if (HEAD..=MAX_FRAME).contains(&len) { Ok(len) } else { Err(WireError::Length(len)) }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
}

fn json(out: &mut Vec<u8>, value: &impl Serialize) {
    // Structs of strings and numbers, and a Vec as the writer: neither side of this can fail.
    serde_json::to_writer(out, value).expect("plain data becomes JSON");
}

fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

fn samples(out: &mut Vec<u8>, pcm: &[i16]) {
    out.reserve(pcm.len() * 2);
    for s in pcm {
        out.extend_from_slice(&s.to_le_bytes());
    }
}

fn pcm_of(bytes: &[u8]) -> Result<Vec<i16>, String> {
    if !bytes.len().is_multiple_of(2) {
        return Err("half a sample".into());
    }
    Ok(bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect())
}
