//! Tools of a client's: a signed request to its URL, and its answer to the model.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{Outcome, Then, Toolbox};
use crate::domain::{ActionTool, Call};
use crate::outside::{Answer, Outside, Post, PostError};

/// Bytes of an answer: what a model can read while somebody waits.
const LONGEST_ANSWER: usize = 8 << 10;
/// The header `Offhook-Event`.
const EVENT: &str = "call.tool";

impl Toolbox {
    /// `n`: which action of the call it is.
    pub(super) async fn act(
        &self,
        action: &ActionTool,
        turn: u32,
        n: u64,
        arguments: &Map<String, Value>,
    ) -> Outcome {
        let id = format!("{}_tool_{n}", self.call.id.as_str());
        let body = body(&self.call, &id, turn, &action.name, arguments).to_string();
        let outside = &self.kit.exchange.outside;
        let within = Duration::from_millis(action.timeout_ms.into());
        let asked = ask(outside, within, || Post {
            account: &self.call.account,
            url: &action.url,
            event: EVENT,
            id: &id,
            body: body.clone(),
            deadline: within,
            most: LONGEST_ANSWER,
        });
        match asked.await.map_err(|error| error.to_string()).and_then(read) {
            Ok(result) => Outcome::done(result, Then::Think),
            Err(error) => {
                tracing::warn!(call = %self.call.id, tool = action.name, error, "a tool failed");
                Outcome::refused(format!("it did not work: {error}. Tell the caller so in your own words."))
            }
        }
    }
}

/// Once more where nobody was reached, if there is time.
async fn ask<'a>(
    outside: &Outside,
    within: Duration,
    post: impl Fn() -> Post<'a>,
) -> Result<Answer, PostError> {
    let begun = Instant::now();
    match outside.post(post()).await {
        Err(error) if error.may_repeat() => {
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() { Err(error) } else { outside.post(Post { deadline: left, ..post() }).await }
        }
        answered => answered,
    }
}

/// What the URL is sent.
fn body(call: &Call, id: &str, turn: u32, tool: &str, arguments: &Map<String, Value>) -> Value {
    json!({
        "id": id,
        "type": EVENT,
        "tool": tool,
        "arguments": arguments,
        "call": {
            "id": call.id,
            "account_id": call.account,
            "direction": call.direction,
            "from": call.from.reveal(),
            "to": call.to.reveal(),
            "agent": call.agent,
            "agent_id": call.agent_id,
            "number_id": call.number_id,
            "metadata": call.metadata,
            "turn": turn,
        },
    })
}

/// What the model is told of an answer.
fn read(answer: Answer) -> Result<String, String> {
    if !answer.is_success() {
        return Err(format!("the server answered {}", answer.status));
    }
    if answer.body.trim_ascii().is_empty() {
        return Ok(json!({ "ok": true }).to_string());
    }
    let value: Value =
        serde_json::from_slice(&answer.body).map_err(|_| "the server's answer is no JSON".to_owned())?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_model_reads_json_and_hears_of_everything_else() {
        assert_eq!(read(answer(200, "{ \"slot\": \"nine\" }\n")).unwrap(), "{\"slot\":\"nine\"}");
        assert_eq!(read(answer(204, "")).unwrap(), "{\"ok\":true}");
        assert_eq!(read(answer(200, "<html>")).unwrap_err(), "the server's answer is no JSON");
        assert_eq!(read(answer(500, "{}")).unwrap_err(), "the server answered 500");
    }
}
