//! A mind behind an HTTP address, in OpenAI's chat-completions streaming format.
//!
//! Any server that speaks it will do (vLLM, llama-server, Ollama, a cloud with a key of one's own), and so will a
//! webhook of a few lines that answers `data: {"choices":[{"delta":{"content":"…"}}]}` and `data: [DONE]`: to such a
//! one we say `"model": "custom"`. Servers are taken as they are: CRLF or LF, comments, no `[DONE]` at the end, a whole
//! JSON reply although a stream was asked for, an error object in the middle of a stream.
//!
//! Three clocks run: to the connection, to the first token, from token to token. A caller waits on the line, so none
//! of them is generous.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::{ChatMessage, Delta, FinishReason, Generator, LlmError, Prompt, Stage, Usage};

/// The longest line of a stream, and the longest reply in one piece, in bytes.
const MAX_LINE: usize = 1 << 20;
/// How much of an error's body is kept.
const MAX_ERROR: usize = 500;

/// Where a chat-completions server is, and how it is asked.
#[derive(Clone)]
pub struct ChatCompletions {
    /// The full address that is posted to ("https://…/v1/chat/completions"), whatever it ends in.
    pub url: String,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// The model's name there.
    pub model: String,
    pub timeouts: Timeouts,
    /// Further headers, as a webhook may need.
    pub headers: Vec<(String, String)>,
    /// Whether only `model`, `messages` and `stream` are sent, as the webhook format has it.
    pub bare: bool,
    client: reqwest::Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From sending the request to the first token.
    pub first_token: Duration,
    /// From one piece to the next.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(3),
            first_token: Duration::from_secs(8),
            idle: Duration::from_secs(8),
            total: Duration::from_secs(120),
        }
    }
}

/// The model's name in requests to a webhook.
pub const WEBHOOK_MODEL: &str = "custom";

impl ChatCompletions {
    pub fn new(
        url: impl Into<String>,
        key: Option<String>,
        model: impl Into<String>,
        timeouts: Timeouts,
    ) -> Self {
        let client = crate::fetch::net::client(timeouts.connect);
        ChatCompletions {
            url: url.into(),
            key,
            model: model.into(),
            timeouts,
            headers: Vec::new(),
            bare: false,
            client,
        }
    }

    /// An agent's webhook: model "custom", and nothing in the request but what that format knows.
    pub fn webhook(url: impl Into<String>, key: Option<String>, timeouts: Timeouts) -> Self {
        ChatCompletions { bare: true, ..ChatCompletions::new(url, key, WEBHOOK_MODEL, timeouts) }
    }

    /// Asks by a client of the caller's own, which may be particular about where it connects to.
    #[must_use]
    pub fn through(self, client: reqwest::Client) -> Self {
        ChatCompletions { client, ..self }
    }

    fn body(&self, prompt: &Prompt) -> Request {
        let sampled = !self.bare;
        let s = &prompt.sampling;
        Request {
            model: self.model.clone(),
            messages: prompt.messages.iter().map(Turn::from).collect(),
            stream: true,
            max_tokens: sampled.then_some(prompt.max_tokens),
            temperature: sampled.then_some(s.temperature),
            top_p: sampled.then_some(s.top_p),
            frequency_penalty: (sampled && s.frequency_penalty != 0.0).then_some(s.frequency_penalty),
            presence_penalty: (sampled && s.presence_penalty != 0.0).then_some(s.presence_penalty),
            seed: s.seed.filter(|_| sampled),
            // Four is the most that the format allows.
            stop: if sampled { prompt.stop.iter().take(4).cloned().collect() } else { Vec::new() },
        }
    }
}

impl std::fmt::Debug for ChatCompletions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.as_ref().map(|_| "…");
        f.debug_struct("ChatCompletions")
            .field("url", &self.url)
            .field("model", &self.model)
            .field("key", &key)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl Generator for ChatCompletions {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        let reply = Reply {
            url: self.url.clone(),
            limits: self.timeouts,
            begun: Instant::now(),
            state: State::Asking(Box::new((self.clone(), prompt))),
            first: None,
            reason: FinishReason::Stop,
            usage: Usage::default(),
        };
        // The request is sent when the stream is first polled; the clocks start there.
        stream::unfold(reply, |mut reply| async move { reply.next().await.map(|delta| (delta, reply)) })
            .boxed()
    }
}

#[derive(Serialize)]
struct Request {
    model: String,
    messages: Vec<Turn>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
}

#[derive(Serialize)]
struct Turn {
    role: &'static str,
    content: String,
}

impl From<&ChatMessage> for Turn {
    fn from(m: &ChatMessage) -> Turn {
        Turn { role: m.role.as_str(), content: m.content.clone() }
    }
}

/// One chunk of a stream, or a whole reply: they differ in `delta` and `message`.
#[derive(Deserialize, Default)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

struct Reply {
    url: String,
    limits: Timeouts,
    begun: Instant,
    state: State,
    first: Option<Duration>,
    reason: FinishReason,
    usage: Usage,
}

enum State {
    Asking(Box<(ChatCompletions, Prompt)>),
    Streaming { body: BoxStream<'static, reqwest::Result<bytes::Bytes>>, lines: Lines },
    Ended,
}

impl Reply {
    async fn next(&mut self) -> Option<Result<Delta, LlmError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return None,
                State::Asking(asked) => match self.ask(asked.0, &asked.1).await {
                    Ok(Opened::Stream(body)) => {
                        self.state = State::Streaming { body, lines: Lines::default() }
                    }
                    Ok(Opened::Whole(text)) => {
                        self.state = State::Streaming { body: stream::empty().boxed(), lines: Lines::done() };
                        if !text.is_empty() {
                            return Some(Ok(self.said(text)));
                        }
                    }
                    Err(e) => return Some(Err(e)),
                },
                State::Streaming { mut body, mut lines } => {
                    let delta = self.stream(&mut body, &mut lines).await;
                    if matches!(delta, Ok(Delta::Text(_))) {
                        self.state = State::Streaming { body, lines };
                    }
                    return Some(delta);
                }
            }
        }
    }

    async fn ask(&mut self, server: ChatCompletions, prompt: &Prompt) -> Result<Opened, LlmError> {
        self.begun = Instant::now();
        let mut request = server.client.post(&server.url).json(&server.body(prompt));
        request = request.header("accept", "text/event-stream");
        if let Some(key) = &server.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in &server.headers {
            request = request.header(name, value);
        }
        let limit = self.limits.first_token;
        let response = match timeout_at(self.begun + limit, request.send()).await {
            Err(_) => return Err(self.late(Stage::FirstToken, limit)),
            Ok(Err(e)) if e.is_timeout() => return Err(self.late(Stage::Connect, self.limits.connect)),
            Ok(Err(e)) => return Err(self.broken(&e)),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        let streamed = response
            .headers()
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .is_none_or(|v| !v.trim_start().to_ascii_lowercase().starts_with("application/json"));
        if status.is_success() && streamed {
            return Ok(Opened::Stream(response.bytes_stream().boxed()));
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|v| v.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let most = if status.is_success() { MAX_LINE } else { MAX_ERROR };
        let body = self.collect(response.bytes_stream().boxed(), most).await?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).trim().to_owned();
            return Err(LlmError::Status {
                url: self.url.clone(),
                status: status.as_u16(),
                body,
                retry_after,
            });
        }
        let chunk: Chunk = serde_json::from_slice(&body).map_err(|e| self.wrong(e))?;
        if chunk.choices.is_empty() && chunk.error.is_none() {
            return Err(self.wrong("no choices"));
        }
        self.take(chunk).map(|text| Opened::Whole(text.unwrap_or_default()))
    }

    /// The body's first `most` bytes.
    async fn collect(
        &mut self,
        mut body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
        most: usize,
    ) -> Result<Vec<u8>, LlmError> {
        let mut all = Vec::new();
        while all.len() < most {
            let limit = self.limits.first_token;
            match timeout_at(self.begun + limit, body.next()).await {
                Err(_) => return Err(self.late(Stage::FirstToken, limit)),
                Ok(None) => break,
                Ok(Some(Err(e))) => return Err(self.broken(&e)),
                Ok(Some(Ok(bytes))) => all.extend_from_slice(&bytes),
            }
        }
        all.truncate(most);
        Ok(all)
    }

    async fn stream(
        &mut self,
        body: &mut BoxStream<'static, reqwest::Result<bytes::Bytes>>,
        lines: &mut Lines,
    ) -> Result<Delta, LlmError> {
        let mut since = Instant::now();
        loop {
            while let Some(line) = lines.next() {
                let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
                if data == "[DONE]" {
                    return Ok(self.over());
                }
                if data.is_empty() {
                    continue;
                }
                let chunk: Chunk = serde_json::from_str(data).map_err(|e| self.wrong(e))?;
                if let Some(text) = self.take(chunk)?.filter(|t| !t.is_empty()) {
                    return Ok(self.said(text));
                }
                since = Instant::now();
            }
            if lines.ended {
                return Ok(self.over());
            }
            let (stage, limit, deadline) = match self.first {
                None => (Stage::FirstToken, self.limits.first_token, self.begun + self.limits.first_token),
                Some(_) => (Stage::Idle, self.limits.idle, since + self.limits.idle),
            };
            let last = self.begun + self.limits.total;
            let (stage, limit) =
                if deadline <= last { (stage, limit) } else { (Stage::Total, self.limits.total) };
            match timeout_at(deadline.min(last), body.next()).await {
                Err(_) => return Err(self.late(stage, limit)),
                Ok(Some(Ok(bytes))) => lines.push(&bytes).map_err(|e| self.wrong(e))?,
                Ok(Some(Err(e))) => return Err(self.broken(&e)),
                // No `[DONE]`: some servers just close. With nothing said it was no answer.
                Ok(None) if self.first.is_none() && !lines.has_rest() => {
                    return Err(self.wrong("an empty stream"));
                }
                Ok(None) => lines.end(),
            }
        }
    }

    fn take(&mut self, chunk: Chunk) -> Result<Option<String>, LlmError> {
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            let reason = error
                .get("message")
                .and_then(|m| m.as_str())
                .map_or_else(|| error.to_string(), str::to_owned);
            return Err(self.wrong(reason));
        }
        if let Some(tokens) = chunk.usage {
            self.usage.prompt_tokens = tokens.prompt_tokens;
            self.usage.completion_tokens = tokens.completion_tokens;
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(None) };
        match choice.finish_reason.as_deref() {
            None => {}
            Some("stop") => self.reason = FinishReason::Stop,
            Some("length") => self.reason = FinishReason::Length,
            Some(_) => self.reason = FinishReason::Other,
        }
        Ok(choice.delta.or(choice.message).and_then(|c| c.content))
    }

    fn said(&mut self, text: String) -> Delta {
        self.first.get_or_insert_with(|| self.begun.elapsed());
        Delta::Text(text)
    }

    fn over(&self) -> Delta {
        let usage = Usage { first_token: self.first, elapsed: self.begun.elapsed(), ..self.usage };
        Delta::Done { reason: self.reason, usage }
    }

    fn late(&self, stage: Stage, limit: Duration) -> LlmError {
        LlmError::Timeout { url: self.url.clone(), stage, limit }
    }

    fn broken(&self, error: &reqwest::Error) -> LlmError {
        // The chain's end says what happened; its beginning repeats the address.
        let mut deepest: &dyn std::error::Error = error;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        LlmError::Connect { url: self.url.clone(), reason: deepest.to_string() }
    }

    fn wrong(&self, reason: impl ToString) -> LlmError {
        LlmError::Protocol { url: self.url.clone(), reason: reason.to_string() }
    }
}

enum Opened {
    Stream(BoxStream<'static, reqwest::Result<bytes::Bytes>>),
    Whole(String),
}

/// Bytes in, lines out. A line may be cut anywhere, inside a character too.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Lines {
    fn done() -> Lines {
        Lines { ended: true, ..Lines::default() }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > MAX_LINE { Err("a line is too long") } else { Ok(()) }
    }

    fn has_rest(&self) -> bool {
        self.read < self.buffer.len()
    }

    /// What is left is a line too, though nothing ended it.
    fn end(&mut self) {
        self.ended = true;
        self.buffer.push(b'\n');
    }

    fn next(&mut self) -> Option<String> {
        let rest = &self.buffer[self.read..];
        let len = rest.iter().position(|b| *b == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..len]).trim_end_matches('\r').to_owned();
        self.read += len + 1;
        Some(line)
    }
}
