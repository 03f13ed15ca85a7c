//! What a client knows of a call, asked for while it rings or the greeting sounds, and given to the agent.
//!
//! A call never waits for it and never fails for it: what comes late, wrong or not at all is as if nobody had been asked.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::info;

use crate::domain::{Call, ContextWebhook};
use crate::outside::{Outside, Post};

/// Characters of a context that the agent is given.
const MOST: usize = 4000;
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 64 << 10;
/// What a webhook is asked, as `Offhook-Event` tells it.
const QUESTION: &str = "call.context";

/// A question on its way.
pub(super) type Asking = JoinHandle<Option<String>>;

/// Asks what is known of a call.
pub(super) fn ask(outside: &Outside, call: &Call, webhook: &ContextWebhook) -> Asking {
    let (outside, webhook) = (outside.clone(), webhook.clone());
    let (id, account, body) = (call.id.clone(), call.account.clone(), question(call).to_string());
    tokio::spawn(async move {
        let post = Post {
            account: &account,
            url: &webhook.url,
            event: QUESTION,
            id: &format!("ctx_{}", id.as_str()),
            body,
            deadline: Duration::from_millis(webhook.timeout_ms.into()),
            most: LONGEST_ANSWER,
        };
        match outside.post(post).await {
            Ok(answer) if answer.is_success() => {
                let known = context(&answer.body);
                if known.is_none() {
                    info!(call = %id, "the answer to call.context holds no context");
                }
                known
            }
            Ok(answer) => {
                info!(call = %id, status = answer.status, "no context; the call goes on without");
                None
            }
            Err(error) => {
                info!(call = %id, %error, "no context; the call goes on without");
                None
            }
        }
    })
}

/// What came of it, when that is known; never, where nobody was asked.
pub(super) async fn known(asking: Option<&mut Asking>) -> Option<String> {
    match asking {
        // A panic is logged where it happens.
        Some(task) => task.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

fn question(call: &Call) -> Value {
    json!({
        "type": QUESTION,
        "call_id": call.id,
        "account_id": call.account,
        "agent_id": call.agent_id,
        "agent": call.agent,
        "direction": call.direction,
        "from": call.from.reveal(),
        "to": call.to.reveal(),
        "metadata": call.metadata,
    })
}

/// The `context` of an answer, or its `contextBlock`: text as it is, anything else as JSON. Bounded.
fn context(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = match answer.get("context").or_else(|| answer.get("contextBlock"))? {
        Value::Null => return None,
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let end = text.char_indices().nth(MOST).map_or(text.len(), |(at, _)| at);
    (!text.is_empty()).then(|| text[..end].to_owned())
}

/// The prompt of an agent that knows this.
pub(super) fn merged(prompt: &str, context: &str) -> String {
    let section = format!("What is known about this call:\n{context}");
    if prompt.is_empty() { section } else { format!("{prompt}\n\n{section}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_whatever_form_and_never_too_long() {
        for (answer, expected) in [
            (r#"{"context": " Ann, two open orders. "}"#, Some("Ann, two open orders.")),
            (r#"{"contextBlock": "Ann"}"#, Some("Ann")),
            (r#"{"context": {"name": "Ann"}}"#, Some(r#"{"name":"Ann"}"#)),
            (r#"{"context": ""}"#, None),
            (r#"{"context": null}"#, None),
            ("{}", None),
            ("[]", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(context(answer.as_bytes()).as_deref(), expected, "{answer}");
        }
        let long = json!({ "context": "ä".repeat(MOST + 10) }).to_string();
        assert_eq!(context(long.as_bytes()).unwrap().chars().count(), MOST);
    }

    #[test]
    fn it_stands_at_the_end_of_the_prompt() {
        assert_eq!(merged("Be brief.", "Ann."), "Be brief.\n\nWhat is known about this call:\nAnn.");
        assert_eq!(merged("", "Ann."), "What is known about this call:\nAnn.");
    }
}
