//! What the model is told of the tools that it may ask for.

use std::fmt::Write;

use models::ToolSpec;
use serde_json::{Value, json};

use crate::domain::Tools;

/// The names of our own, which no tool of a client's may have.
pub(super) const HANG_UP: &str = "hang_up";
pub(super) const TRANSFER: &str = "transfer";
pub(super) const PRESS_DIGITS: &str = "press_digits";
pub(super) const SEND_MESSAGE: &str = "send_message";
pub(super) const WAIT: &str = "wait";

/// The longest time that the agent promises to be silent for, s.
pub(super) const LONGEST_WAIT: u64 = 300;
/// Characters of a text.
pub(super) const LONGEST_TEXT: usize = 1000;
/// Characters of what is said before a deed.
pub(super) const LONGEST_SAYING: usize = 500;

/// In a fixed order, so that a local model finds what it has read.
pub(super) fn offered(tools: &Tools) -> Vec<ToolSpec> {
    let mut specs = Vec::new();
    let mut offer = |name: &str, description: String, parameters: Value| {
        specs.push(ToolSpec { name: name.to_owned(), description, parameters });
    };
    let say = |what: &str| json!({ "type": "string", "maxLength": LONGEST_SAYING, "description": what });
    if tools.hang_up {
        offer(
            HANG_UP,
            "Ends the call after your last words. Use it when the conversation is over.".into(),
            object(json!({ "say": say("Your last words. Absent: a goodbye is said.") }), &[]),
        );
    }
    if !tools.transfer.is_empty() || tools.transfer_anywhere {
        let mut description =
            String::from("Puts the caller through to somebody else, and you leave the call.");
        let names: Vec<_> = tools.transfer.keys().map(String::as_str).collect();
        if !names.is_empty() {
            let _ = write!(description, " There are: {}.", names.join(", "));
        }
        let to = match tools.transfer_anywhere {
            true => {
                json!({ "type": "string", "maxLength": 200, "description": "One of these names, or a telephone number as in +14155550123." })
            }
            false => json!({ "type": "string", "enum": names }),
        };
        let say = say("What the caller is told first, as in \"I am putting you through.\"");
        offer(TRANSFER, description, object(json!({ "to": to, "say": say }), &["to"]));
    }
    if tools.press_digits {
        let digits = json!({
            "type": "string", "minLength": 1, "maxLength": 32,
            "description": "0 to 9, * and #; a comma is a pause of a second.",
        });
        offer(
            PRESS_DIGITS,
            "Presses keys of the telephone, to choose from a menu that you hear or to enter a number. Then listen.".into(),
            object(json!({ "digits": digits }), &["digits"]),
        );
    }
    if tools.send_message {
        let text = json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_TEXT });
        offer(
            SEND_MESSAGE,
            "Sends a text message to the person on the line, as with an address or a link. Ask whether they want it first.".into(),
            object(json!({ "text": text }), &["text"]),
        );
    }
    if tools.wait {
        let seconds = json!({ "type": "integer", "minimum": 1, "maximum": LONGEST_WAIT });
        offer(
            WAIT,
            "Keeps you silent until the caller speaks again. Use it when they ask you to hold on.".into(),
            object(
                json!({ "seconds": seconds, "say": say("What you say first, as in \"Take your time.\"") }),
                &[],
            ),
        );
    }
    specs.extend(tools.actions.iter().map(|action| ToolSpec {
        name: action.name.clone(),
        description: action.description.clone(),
        parameters: action.parameters.clone(),
    }));
    specs
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check_object_schema;

    fn names(tools: &Tools) -> Vec<String> {
        offered(tools).into_iter().map(|spec| spec.name).collect()
    }

    #[test]
    fn what_is_not_allowed_is_not_offered() {
        assert!(names(&Tools::default()).is_empty());
        let tools = Tools {
            hang_up: true,
            press_digits: true,
            send_message: true,
            wait: true,
            transfer: [("sales".to_owned(), "201".to_owned())].into(),
            ..Tools::default()
        };
        assert_eq!(names(&tools), [HANG_UP, TRANSFER, PRESS_DIGITS, SEND_MESSAGE, WAIT]);
    }

    #[test]
    fn our_own_schemas_are_understood() {
        let tools = Tools {
            hang_up: true,
            press_digits: true,
            send_message: true,
            wait: true,
            transfer: [("sales".to_owned(), "201".to_owned())].into(),
            ..Tools::default()
        };
        for tools in [tools.clone(), Tools { transfer_anywhere: true, ..tools }] {
            for spec in offered(&tools) {
                check_object_schema(&spec.parameters)
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}", spec.name));
            }
        }
    }
}
