//! A brain behind a URL of the client's that is told each thing the caller says, and answers what is said and done next: the event
//! `agent.message` as AgentPhone.ai sends it, so that what was written for that service answers our calls too.
//!
//! Such a webhook keeps its own prompt and its own memory, and may act on what it is told. So it is asked only when the caller's
//! turn is certainly over, and a request is sent again only where nobody was reached.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;
use futures_util::stream::{self, BoxStream, StreamExt};
use models::{ChatMessage, Delta, FinishReason, Generator, LlmError, Prompt, Role, Stage, ToolCall, Usage};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::turn::HANG_UP_MARK;
use crate::config::Agent;
use crate::domain::{Call, Direction};
use crate::outside::{Outside, Post, PostError, proof};

/// The header `Offhook-Event`, and the event's name in the body.
const EVENT: &str = "agent.message";
/// From the request to its first line, and from one line to the next.
const PATIENCE: Duration = Duration::from_secs(8);
const TOTAL: Duration = Duration::from_secs(60);
/// Bytes of a line, and of a whole answer.
const LONGEST_LINE: usize = 32 << 10;
const LONGEST_ANSWER: usize = 256 << 10;
/// What was said before, at most so many messages of it.
const HISTORY: usize = 20;

/// The webhook of one call.
pub(super) struct TurnWebhook(Arc<Webhook>);

struct Webhook {
    outside: Outside,
    url: String,
    /// As it stood when the agent took it up.
    call: Call,
    /// Whom `"action": "transfer"` means.
    transfer: Option<String>,
    /// Said where that is nobody, or could not be reached.
    sorry: String,
    asked: AtomicU64,
}

impl TurnWebhook {
    pub(super) fn new(outside: Outside, url: String, agent: &Agent, call: Call) -> Self {
        let transfer = agent.tools.transfer.keys().next().cloned();
        let (sorry, asked) = (agent.transfer_failed.clone(), AtomicU64::default());
        Self(Arc::new(Webhook { outside, url, call, transfer, sorry, asked }))
    }
}

impl Generator for TurnWebhook {
    fn generate(&self, prompt: Prompt) -> BoxStream<'static, Result<Delta, LlmError>> {
        // It wanted the caller put through, and hears what came of it with the next thing that the caller says.
        if prompt.messages.last().is_some_and(|last| last.role == Role::Tool) {
            let sorry = self.0.sorry.clone();
            return stream::iter([Ok(Delta::Text(sorry)), Ok(done(None, Duration::ZERO))]).boxed();
        }
        let reply = Reply::new(self.0.clone(), prompt.messages);
        stream::unfold(reply, |mut reply| async move { reply.next().await.map(|delta| (delta, reply)) })
            .boxed()
    }

    fn may_be_asked_ahead(&self) -> bool {
        false
    }
}

/// One line of the answer, or the whole of it.
#[derive(Deserialize, Default)]
struct Said {
    #[serde(default)]
    text: Option<String>,
    /// More follows.
    #[serde(default)]
    interim: bool,
    #[serde(default)]
    hangup: bool,
    #[serde(default)]
    action: Option<String>,
    /// With the action "transfer": one of the agent's names. Ours; AgentPhone.ai knows one target.
    #[serde(default)]
    to: Option<String>,
}

/// An object, and nothing else that could be taken for its fields in their order.
fn object(text: &[u8]) -> Result<Said, serde_json::Error> {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(text)?;
    serde_json::from_value(Value::Object(fields))
}

struct Reply {
    webhook: Arc<Webhook>,
    messages: Vec<ChatMessage>,
    begun: Instant,
    body: Option<reqwest::Response>,
    is_asked: bool,
    buffer: Vec<u8>,
    read: usize,
    ready: VecDeque<Delta>,
    /// Between two pieces a full stop ends a sentence even where no blank follows it.
    ends_sentence: bool,
    first: Option<Duration>,
}

impl Reply {
    fn new(webhook: Arc<Webhook>, messages: Vec<ChatMessage>) -> Self {
        Self {
            webhook,
            messages,
            begun: Instant::now(),
            body: None,
            is_asked: false,
            buffer: Vec::new(),
            read: 0,
            ready: VecDeque::new(),
            ends_sentence: false,
            first: None,
        }
    }

    async fn next(&mut self) -> Option<Result<Delta, LlmError>> {
        loop {
            if let Some(delta) = self.ready.pop_front() {
                return Some(Ok(delta));
            }
            let step = match (&self.body, self.is_asked) {
                (None, false) => self.ask().await,
                (None, true) => return None,
                (Some(_), _) => self.listen().await,
            };
            if let Err(error) = step {
                self.body = None;
                return Some(Err(error));
            }
        }
    }

    async fn ask(&mut self) -> Result<(), LlmError> {
        self.is_asked = true;
        self.begun = Instant::now();
        let Webhook { outside, url, call, asked, .. } = &*self.webhook;
        let id = format!("{}_turn_{}", call.id.as_str(), asked.fetch_add(1, Ordering::Relaxed) + 1);
        let body = message(call, &self.messages).to_string();
        let at = Utc::now().timestamp();
        let mut headers = vec![("x-webhook-id", id.clone()), ("x-webhook-timestamp", at.to_string())];
        if let Some(secret) = outside.secret_of(&call.account) {
            let signed = proof(&secret, &format!("{at}.{body}"));
            headers.push(("x-webhook-signature", format!("sha256={signed}")));
        }
        let (account, most) = (&call.account, LONGEST_ANSWER);
        let post = Post { account, url, event: EVENT, id: &id, body, deadline: PATIENCE, most };
        let response = match outside.begin(&post, &headers).await {
            Err(error) if error.may_repeat() => outside.begin(&post, &headers).await,
            answered => answered,
        };
        let response = response.map_err(|error| self.failed(error))?;
        let status = response.status();
        if !status.is_success() {
            let (url, body) = (url.clone(), String::new());
            return Err(LlmError::Status { url, status: status.as_u16(), body, retry_after: None });
        }
        self.body = Some(response);
        Ok(())
    }

    /// The next piece of the body, and what lines it completes.
    async fn listen(&mut self) -> Result<(), LlmError> {
        let deadline = (Instant::now() + PATIENCE).min(self.begun + TOTAL);
        let Some(body) = &mut self.body else { return Ok(()) };
        let stage = if self.first.is_none() { Stage::FirstToken } else { Stage::Idle };
        let url = self.webhook.url.clone();
        let chunk = timeout_at(deadline, body.chunk()).await;
        let chunk = chunk.map_err(|_| LlmError::Timeout { url, stage, limit: PATIENCE })?;
        match chunk {
            Ok(Some(bytes)) => {
                self.read += bytes.len();
                self.buffer.extend_from_slice(&bytes);
                if self.read > LONGEST_ANSWER {
                    return Err(self.wrong("it is too long"));
                }
                while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.buffer.drain(..=end).collect();
                    // An object over several lines is whole only at the end.
                    match object(&line) {
                        Ok(said) => self.take(said),
                        Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                        Err(_) => {
                            self.buffer.splice(0..0, line);
                            break;
                        }
                    }
                }
                if self.buffer.len() > LONGEST_LINE {
                    return Err(self.wrong("a line is too long"));
                }
                Ok(())
            }
            Ok(None) => {
                let rest = std::mem::take(&mut self.buffer);
                if !rest.iter().all(u8::is_ascii_whitespace) {
                    let said = object(&rest).map_err(|e| self.wrong(e))?;
                    self.take(said);
                }
                self.end();
                Ok(())
            }
            Err(error) => Err(LlmError::Connect { url: self.webhook.url.clone(), reason: error.to_string() }),
        }
    }

    fn take(&mut self, said: Said) {
        self.first.get_or_insert_with(|| self.begun.elapsed());
        if let Some(mut text) = said.text.filter(|text| !text.is_empty()) {
            if self.ends_sentence && !text.starts_with(char::is_whitespace) {
                text.insert(0, ' ');
            }
            self.ends_sentence = text.ends_with(['.', '!', '?', '…']);
            self.ready.push_back(Delta::Text(text));
        }
        if said.action.as_deref() == Some("transfer") {
            match said.to.or_else(|| self.webhook.transfer.clone()) {
                Some(to) => {
                    let arguments = json!({ "to": to }).to_string();
                    let id = format!("call_{}", self.messages.len());
                    self.ready.push_back(Delta::ToolCall(ToolCall {
                        id,
                        name: "transfer".into(),
                        arguments,
                    }));
                }
                None => self.ready.push_back(Delta::Text(format!(" {}", self.webhook.sorry))),
            }
        }
        if said.hangup {
            self.ready.push_back(Delta::Text(format!(" {HANG_UP_MARK}")));
        }
        if !said.interim {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.body.take().is_some() {
            self.ready.push_back(done(self.first, self.begun.elapsed()));
        }
    }

    fn failed(&self, error: PostError) -> LlmError {
        let url = self.webhook.url.clone();
        match error {
            PostError::Late(limit) => LlmError::Timeout { url, stage: Stage::FirstToken, limit },
            other => LlmError::Connect { url, reason: other.to_string() },
        }
    }

    fn wrong(&self, reason: impl ToString) -> LlmError {
        LlmError::Protocol { url: self.webhook.url.clone(), reason: reason.to_string() }
    }
}

fn done(first_token: Option<Duration>, elapsed: Duration) -> Delta {
    Delta::Done { reason: FinishReason::Stop, usage: Usage { first_token, elapsed, ..Usage::default() } }
}

/// What the webhook is sent.
fn message(call: &Call, messages: &[ChatMessage]) -> Value {
    let said: Vec<_> = messages
        .iter()
        .filter(|m| matches!(m.role, Role::User | Role::Assistant) && !m.content.is_empty())
        .collect();
    let (transcript, before) = match said.split_last() {
        Some((last, before)) if last.role == Role::User => (last.content.as_str(), before),
        _ => ("", &said[..]),
    };
    let recent = before[before.len().saturating_sub(HISTORY)..].iter().map(|m| {
        let direction = if m.role == Role::User { "inbound" } else { "outbound" };
        json!({ "content": m.content, "direction": direction, "channel": "voice" })
    });
    let direction = match call.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    json!({
        "event": EVENT,
        "channel": "voice",
        "timestamp": Utc::now(),
        "agentId": call.agent_id,
        "data": {
            "callId": call.id,
            "numberId": call.number_id,
            "from": call.from.reveal(),
            "to": call.to.reveal(),
            "direction": direction,
            "status": "in-progress",
            "transcript": transcript,
            "metadata": call.metadata,
        },
        "conversationState": null,
        "recentHistory": recent.collect::<Vec<_>>(),
    })
}
