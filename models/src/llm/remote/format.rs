//! The chat-completions format: what is sent, and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ChatCompletions;
use crate::{ChatMessage, Prompt, Role, ToolCall, ToolSpec};

/// Tool calls in one reply.
const MOST_CALLS: usize = 16;
/// Bytes of one call's name or arguments.
const LONGEST_CALL: usize = 32 * 1024;

#[derive(Serialize)]
pub(super) struct Request {
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

impl Request {
    pub(super) fn new(server: &ChatCompletions, prompt: &Prompt) -> Request {
        let sampled = !server.bare;
        let s = &prompt.sampling;
        let format = |schema: &Value| {
            let named = json!({ "name": "reply", "schema": schema });
            json!({ "type": "json_schema", "json_schema": named })
        };
        Request {
            model: server.model.clone(),
            messages: turns(&prompt.messages, server.bare),
            stream: true,
            max_tokens: sampled.then_some(prompt.max_tokens),
            temperature: sampled.then_some(s.temperature),
            top_p: sampled.then_some(s.top_p),
            frequency_penalty: (sampled && s.frequency_penalty != 0.0).then_some(s.frequency_penalty),
            presence_penalty: (sampled && s.presence_penalty != 0.0).then_some(s.presence_penalty),
            seed: s.seed.filter(|_| sampled),
            // Four is the most that the format allows.
            stop: if sampled { prompt.stop.iter().take(4).cloned().collect() } else { Vec::new() },
            tools: if sampled { prompt.tools.iter().map(tool).collect() } else { Vec::new() },
            response_format: prompt.schema.as_ref().filter(|_| sampled).map(format),
        }
    }
}

#[derive(Serialize)]
struct Turn {
    role: &'static str,
    /// `null` where the assistant said nothing and wanted something done.
    content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

/// Who knows nothing of tools is told what was said, and no more.
fn turns(messages: &[ChatMessage], bare: bool) -> Vec<Turn> {
    let spoken = |m: &&ChatMessage| !bare || (m.role != Role::Tool && !m.content.is_empty());
    messages
        .iter()
        .filter(spoken)
        .map(|m| Turn {
            role: m.role.as_str(),
            content: (m.tool_calls.is_empty() || !m.content.is_empty()).then(|| m.content.clone()),
            tool_calls: if bare { Vec::new() } else { m.tool_calls.iter().map(call).collect() },
            tool_call_id: m.tool_call_id.clone(),
        })
        .collect()
}

fn tool(tool: &ToolSpec) -> Value {
    let ToolSpec { name, description, parameters } = tool;
    let function = json!({ "name": name, "description": description, "parameters": parameters });
    json!({ "type": "function", "function": function })
}

fn call(call: &ToolCall) -> Value {
    let function = json!({ "name": call.name, "arguments": call.arguments });
    json!({ "id": call.id, "type": "function", "function": function })
}

/// One chunk of a stream, or a whole reply: they differ in `delta` and `message`.
#[derive(Deserialize, Default)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) usage: Option<Tokens>,
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

impl Choice {
    pub(super) fn content(self) -> Content {
        self.delta.or(self.message).unwrap_or_default()
    }
}

#[derive(Deserialize, Default)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) content: Option<String>,
    /// Some servers say `null` instead of nothing.
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<Fragment>>,
}

/// A part of a tool call: the first of them has id and name, and each some of the arguments.
#[derive(Deserialize)]
pub(super) struct Fragment {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Function,
}

#[derive(Deserialize, Default)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    /// Text; a few servers give the object itself.
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    pub(super) prompt_tokens: u32,
    #[serde(default)]
    pub(super) completion_tokens: u32,
    #[serde(default)]
    pub(super) prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
pub(super) struct Details {
    #[serde(default)]
    pub(super) cached_tokens: Option<u32>,
}

/// Tool calls, put together from their fragments.
#[derive(Default)]
pub(super) struct Calls {
    /// How many the conversation has had: where a server gives no ids, ours go on from there.
    before: usize,
    /// With the index that the server counts by.
    calls: Vec<(Option<usize>, ToolCall)>,
}

impl Calls {
    pub(super) fn after(prompt: &Prompt) -> Calls {
        Calls { before: prompt.messages.iter().map(|m| m.tool_calls.len()).sum(), calls: Vec::new() }
    }

    pub(super) fn push(&mut self, fragment: Fragment) -> Result<(), &'static str> {
        let Fragment { index, id, function } = fragment;
        let id = id.filter(|id| !id.is_empty());
        // Without an index each call comes whole; with one, a new index begins a new call.
        let at = index.and_then(|_| self.calls.iter().position(|(known, _)| *known == index));
        let at = match at {
            Some(at) => at,
            None if self.calls.len() == MOST_CALLS => return Err("too many tool calls"),
            None => {
                let id = id.unwrap_or_else(|| format!("call_{}", self.before + self.calls.len() + 1));
                let call = ToolCall { id, name: String::new(), arguments: String::new() };
                self.calls.push((index, call));
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].1;
        call.name += function.name.as_deref().unwrap_or_default();
        match function.arguments {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => call.arguments += &text,
            Some(object) => call.arguments += &object.to_string(),
        }
        let longest = call.name.len().max(call.arguments.len());
        if longest > LONGEST_CALL { Err("a tool call is too long") } else { Ok(()) }
    }

    /// All of them, in the order in which they began.
    pub(super) fn finish(&mut self) -> Result<Vec<ToolCall>, &'static str> {
        let calls = std::mem::take(&mut self.calls).into_iter().map(|(_, mut call)| {
            if call.name.is_empty() {
                return Err("a tool call has no name");
            }
            if call.arguments.trim().is_empty() {
                call.arguments = "{}".into();
            }
            Ok(call)
        });
        calls.collect()
    }
}
