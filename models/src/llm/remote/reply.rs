//! One answer, from the request to its last piece.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{Instant, sleep, timeout_at};

use super::format::{Calls, Chunk, Request};
use super::lines::{Lines, MAX_LINE};
use super::{ChatCompletions, Timeouts};
use crate::{Delta, FinishReason, LlmError, Prompt, Stage, Usage};

/// How much of an error's body is kept.
const MAX_ERROR: usize = 500;
/// Before a request is sent again.
const BETWEEN_TRIES: Duration = Duration::from_millis(150);
/// A server that wants more is as good as none: a caller waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const TRIES: u32 = 2;

pub(super) struct Reply {
    url: String,
    limits: Timeouts,
    begun: Instant,
    state: State,
    first: Option<Duration>,
    reason: FinishReason,
    usage: Usage,
    calls: Calls,
}

enum State {
    Asking(Box<(ChatCompletions, Prompt)>),
    Streaming {
        body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
        lines: Lines,
    },
    /// All has come; this remains to be told.
    Telling(VecDeque<Delta>),
    Ended,
}

/// Why there is no answer, and whether another try may bring one.
struct Unasked {
    error: LlmError,
    may_repeat: bool,
}

impl From<LlmError> for Unasked {
    fn from(error: LlmError) -> Unasked {
        Unasked { error, may_repeat: false }
    }
}

impl Reply {
    pub(super) fn new(server: ChatCompletions, prompt: Prompt) -> Reply {
        Reply {
            url: server.url.clone(),
            limits: server.timeouts,
            begun: Instant::now(),
            calls: Calls::after(&prompt),
            state: State::Asking(Box::new((server, prompt))),
            first: None,
            reason: FinishReason::Stop,
            usage: Usage::default(),
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Delta, LlmError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return None,
                State::Asking(asked) => match self.ask(&asked.0, &asked.1).await {
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
                State::Streaming { mut body, mut lines } => match self.stream(&mut body, &mut lines).await {
                    Ok(Some(text)) => {
                        self.state = State::Streaming { body, lines };
                        return Some(Ok(self.said(text)));
                    }
                    Ok(None) => match self.over() {
                        Ok(rest) => self.state = State::Telling(rest),
                        Err(e) => return Some(Err(e)),
                    },
                    Err(e) => return Some(Err(e)),
                },
                State::Telling(mut rest) => {
                    let delta = rest.pop_front()?;
                    self.state = State::Telling(rest);
                    return Some(Ok(delta));
                }
            }
        }
    }

    /// Asks, and once more where that is safe; the clock to the first token runs on.
    async fn ask(&mut self, server: &ChatCompletions, prompt: &Prompt) -> Result<Opened, LlmError> {
        self.begun = Instant::now();
        let mut tries = 1;
        loop {
            let Unasked { error, may_repeat } = match self.ask_once(server, prompt).await {
                Ok(opened) => return Ok(opened),
                Err(unasked) => unasked,
            };
            let pause = match &error {
                LlmError::Status { retry_after: Some(pause), .. } => (*pause).max(BETWEEN_TRIES),
                _ => BETWEEN_TRIES,
            };
            if !may_repeat || tries == TRIES || pause > LONGEST_PAUSE {
                return Err(error);
            }
            tries += 1;
            sleep(pause).await;
        }
    }

    async fn ask_once(&mut self, server: &ChatCompletions, prompt: &Prompt) -> Result<Opened, Unasked> {
        let mut request = server.client.post(&server.url).json(&Request::new(server, prompt));
        request = request.header("accept", "text/event-stream");
        if let Some(key) = &server.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in &server.headers {
            request = request.header(name, value);
        }
        let limit = self.limits.first_token;
        let response = match timeout_at(self.begun + limit, request.send()).await {
            Err(_) => return Err(self.late(Stage::FirstToken, limit).into()),
            Ok(Err(e)) if e.is_timeout() => {
                return Err(self.late(Stage::Connect, self.limits.connect).into());
            }
            Ok(Err(e)) => {
                return Err(Unasked { error: self.broken(&e), may_repeat: e.is_connect() || !server.bare });
            }
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
            let status = status.as_u16();
            let may_repeat =
                matches!(status, 429 | 503) || (!server.bare && matches!(status, 500 | 502 | 504));
            let error = LlmError::Status { url: self.url.clone(), status, body, retry_after };
            return Err(Unasked { error, may_repeat });
        }
        let chunk: Chunk = serde_json::from_slice(&body).map_err(|e| self.wrong(e))?;
        if chunk.choices.is_empty() && chunk.error.is_none() {
            return Err(self.wrong("no choices").into());
        }
        Ok(Opened::Whole(self.take(chunk)?.unwrap_or_default()))
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

    /// The next piece of text; nothing: all has come.
    async fn stream(
        &mut self,
        body: &mut BoxStream<'static, reqwest::Result<bytes::Bytes>>,
        lines: &mut Lines,
    ) -> Result<Option<String>, LlmError> {
        let mut since = Instant::now();
        loop {
            while let Some(line) = lines.next() {
                let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
                if data == "[DONE]" {
                    return Ok(None);
                }
                if data.is_empty() {
                    continue;
                }
                let chunk: Chunk = serde_json::from_str(data).map_err(|e| self.wrong(e))?;
                if let Some(text) = self.take(chunk)?.filter(|t| !t.is_empty()) {
                    return Ok(Some(text));
                }
                since = Instant::now();
            }
            if lines.ended {
                return Ok(None);
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
            self.usage.cached_tokens =
                tokens.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0);
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(None) };
        match choice.finish_reason.as_deref() {
            None => {}
            Some("stop" | "tool_calls") => self.reason = FinishReason::Stop,
            Some("length") => self.reason = FinishReason::Length,
            Some(_) => self.reason = FinishReason::Other,
        }
        let content = choice.content();
        for fragment in content.tool_calls.into_iter().flatten() {
            self.first.get_or_insert_with(|| self.begun.elapsed());
            self.calls.push(fragment).map_err(|e| self.wrong(e))?;
        }
        Ok(content.content)
    }

    fn said(&mut self, text: String) -> Delta {
        self.first.get_or_insert_with(|| self.begun.elapsed());
        Delta::Text(text)
    }

    /// What remains to be told when all has come.
    fn over(&mut self) -> Result<VecDeque<Delta>, LlmError> {
        let calls = self.calls.finish().map_err(|e| self.wrong(e))?;
        let usage = Usage { first_token: self.first, elapsed: self.begun.elapsed(), ..self.usage };
        let done = Delta::Done { reason: self.reason, usage };
        Ok(calls.into_iter().map(Delta::ToolCall).chain([done]).collect())
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
