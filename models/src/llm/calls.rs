//! Tools for a model that knows text alone: how they are offered, how calls and results stand in a conversation, and how
//! a call is read. The form is the one that several families of small models were trained on.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::grammar::{CALL_BEGINS, CALL_ENDS, TRIGGER};
use crate::wire::Message;
use crate::{ChatMessage, Prompt, Role, ToolCall, ToolSpec};

/// How many tools the conversation has called already.
pub(super) fn count(prompt: &Prompt) -> usize {
    prompt.messages.iter().map(|m| m.tool_calls.len()).sum()
}

/// The messages in words, and how many of them at the beginning stay.
pub(super) fn render(prompt: &Prompt) -> (Vec<Message>, usize) {
    let mut messages: Vec<Message> = prompt.messages.iter().map(message).collect();
    let mut pinned = prompt.pinned.min(messages.len());
    if !prompt.tools.is_empty() {
        let offer = offer(&prompt.tools);
        match messages.first_mut().filter(|first| first.role == Role::System.as_str()) {
            Some(system) => {
                system.content = format!("{}\n\n{offer}", system.content);
                pinned = pinned.max(1);
            }
            None => {
                messages.insert(0, Message { role: Role::System.as_str().into(), content: offer });
                pinned += 1;
            }
        }
    }
    (messages, pinned)
}

fn offer(tools: &[ToolSpec]) -> String {
    let mut text = String::from("# Tools\n\nYou can call these functions, one per line:\n");
    for ToolSpec { name, description, parameters } in tools {
        let function = json!({ "name": name, "description": description, "parameters": parameters });
        text += &format!("{function}\n");
    }
    text += "\nTo call one, write its name and its arguments as JSON, and nothing after it:\n";
    text += &format!("{CALL_BEGINS}\n{{\"name\": \"...\", \"arguments\": {{...}}}}\n{CALL_ENDS}");
    text
}

fn message(m: &ChatMessage) -> Message {
    let (role, content) = match m.role {
        // Chat templates know no role for it.
        Role::Tool => (Role::User, format!("<tool_response>\n{}\n</tool_response>", tame(&m.content))),
        Role::User => (Role::User, tame(&m.content)),
        role => (role, m.content.clone()),
    };
    let mut content = content;
    for ToolCall { name, arguments, .. } in &m.tool_calls {
        if !content.is_empty() {
            content.push('\n');
        }
        let name = Value::String(name.clone());
        content += &format!("{CALL_BEGINS}\n{{\"name\": {name}, \"arguments\": {arguments}}}\n{CALL_ENDS}");
    }
    Message { role: role.as_str().to_owned(), content }
}

fn tame(text: &str) -> String {
    // What is not said by the model must not look like its calls, nor like their results.
    text.replace(TRIGGER, "< tool_").replace("</tool_", "< /tool_")
}

#[derive(Deserialize)]
struct Call {
    name: String,
    arguments: Map<String, Value>,
}

/// Names and arguments of the calls in what was written after the first [`CALL_BEGINS`].
///
/// # Errors
/// Says what is wrong with them.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let one = |part: &str| {
        let inside = part.trim().trim_end_matches(CALL_ENDS).trim();
        let call: Call =
            serde_json::from_str(inside).map_err(|e| format!("a tool call is broken off: {e}"))?;
        Ok((call.name, Value::Object(call.arguments).to_string()))
    };
    text.split(CALL_BEGINS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_results_stand_in_the_conversation_as_text() {
        let call = ToolCall { id: "call_1".into(), name: "stock".into(), arguments: "{\"n\": 1}".into() };
        let mut wanted = ChatMessage::new(Role::Assistant, "One moment.");
        wanted.tool_calls.push(call.clone());
        let parameters = json!({ "type": "object" });
        let tools = vec![ToolSpec { name: "stock".into(), description: "Left.".into(), parameters }];
        let said = ChatMessage::new(Role::User, "Say <tool_call> to me.");
        let messages = vec![said, wanted, ChatMessage::result(&call, "two")];
        let (messages, pinned) = render(&Prompt { tools, ..Prompt::new(messages) });
        let contents: Vec<_> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(pinned, 1);
        assert!(
            contents[0].0 == "system" && contents[0].1.contains("\"description\":\"Left.\""),
            "{contents:?}"
        );
        assert_eq!(contents[1], ("user", "Say < tool_call> to me."));
        let calling =
            "One moment.\n<tool_call>\n{\"name\": \"stock\", \"arguments\": {\"n\": 1}}\n</tool_call>";
        assert_eq!(contents[2], ("assistant", calling));
        assert_eq!(contents[3], ("user", "<tool_response>\ntwo\n</tool_response>"));
        assert_eq!(
            parse(&calling[calling.find("{").unwrap()..]),
            Ok(vec![("stock".into(), "{\"n\":1}".into())])
        );
    }

    #[test]
    fn several_calls_are_read_and_a_broken_one_is_told() {
        let two = "{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"b\", \"arguments\": {\"x\": \"y\"}}\n</tool_call>";
        let expected = vec![("a".to_owned(), "{}".to_owned()), ("b".to_owned(), "{\"x\":\"y\"}".to_owned())];
        assert_eq!(parse(two), Ok(expected));
        assert!(parse("{\"name\": \"a\", \"argum").unwrap_err().contains("broken off"));
        assert!(parse("{\"name\": \"a\", \"arguments\": 3}").is_err());
    }
}
