//! A mind behind an HTTP address, in OpenAI's chat-completions streaming format.
//!
//! Any server that speaks it will do (vLLM, llama-server, Ollama, a cloud with a key of one's own), and so will a
//! webhook of a few lines that answers `data: {"choices":[{"delta":{"content":"…"}}]}` and `data: [DONE]`: to such a
//! one we say `"model": "custom"`. Servers are taken as they are: CRLF or LF, comments, no `[DONE]` at the end, a whole
//! JSON reply although a stream was asked for, an error object in the middle of a stream.
//!
//! Tools are offered to servers (a webhook of that format knows none); their calls arrive in fragments and are given on
//! whole, after the text.
//!
//! Three clocks run: to the connection, to the first token, from token to token. A caller waits on the line, so none
//! of them is generous. A request that certainly was not worked on (no connection, 429, 503) is sent once more; to a
//! server, which has no memory of what it answers, one that broke before its answer began too.

mod format;
mod lines;
mod reply;

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::{Delta, Generator, LlmError, Prompt};
use reply::Reply;

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
        let reply = Reply::new(self.clone(), prompt);
        // The request is sent when the stream is first polled; the clocks start there.
        stream::unfold(reply, |mut reply| async move { reply.next().await.map(|delta| (delta, reply)) })
            .boxed()
    }
}
