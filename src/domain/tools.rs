//! What an agent can do besides talking, as settings say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::schema::check_object_schema;

/// Names that no tool of a client's can have.
pub const OWN_TOOLS: &[&str] = &["hang_up", "transfer", "press_digits", "send_message", "wait"];

const MOST_TARGETS: usize = 20;
const LONGEST_TARGET_NAME: usize = 40;
const LONGEST_TARGET: usize = 200;
const MOST_ACTIONS: usize = 20;
const LONGEST_NAME: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;
/// Bytes as JSON.
const LONGEST_SCHEMA: usize = 8 << 10;
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=20_000;

/// What an agent can do besides talking: nothing, where nothing is said. The guards hold for all of it.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// Any brain can hang up by ending an answer in `[hangup]`; this offers it as a tool as well.
    pub hang_up: bool,
    /// Where the caller may be put through to, by the names that the model uses: `{"sales": "+14155550123"}`. At most 20.
    pub transfer: BTreeMap<String, String>,
    /// Whether it may also be any number that the model is told of in the call, as far as the guards allow it.
    pub transfer_anywhere: bool,
    pub press_digits: bool,
    /// Whether texts may be sent to the other side of the call.
    pub send_message: bool,
    /// Whether the agent may keep silent for a while because the caller asks it to.
    pub wait: bool,
    /// Tools of the client's own, at most 20.
    pub actions: Vec<ActionTool>,
}

/// A tool behind a URL: it is sent the arguments and the call's context, signed, and its JSON answer goes back to the model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionTool {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it is for, told to the model. At most 1,000 characters.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    #[serde(default = "no_parameters")]
    #[schema(value_type = Object)]
    pub parameters: Value,
    pub url: String,
    /// What it may take, from 100 to 20,000. The caller waits for it.
    #[serde(default = "usual_timeout")]
    pub timeout_ms: u32,
}

fn no_parameters() -> Value {
    serde_json::json!({ "type": "object", "properties": {} })
}

fn usual_timeout() -> u32 {
    5000
}

impl Tools {
    /// Whether this can be offered to a model.
    ///
    /// # Errors
    /// The first thing that is wrong, beginning with its place: `actions[0].name "a b" must be …`.
    pub fn check(&self) -> Result<(), String> {
        if self.transfer.len() > MOST_TARGETS {
            return Err(format!("transfer has {} targets, and may have {MOST_TARGETS}", self.transfer.len()));
        }
        for (name, to) in &self.transfer {
            let length = name.trim().chars().count();
            if !(1..=LONGEST_TARGET_NAME).contains(&length) {
                return Err(format!(
                    "transfer has the name {name:?}, and names have 1 to {LONGEST_TARGET_NAME} characters"
                ));
            }
            if to.trim().is_empty() || to.len() > LONGEST_TARGET {
                return Err(format!(
                    "transfer.{name} must be a number, as in +14155550123, an extension or a SIP URI"
                ));
            }
        }
        if self.actions.len() > MOST_ACTIONS {
            return Err(format!("actions are {}, and may be {MOST_ACTIONS}", self.actions.len()));
        }
        for (n, action) in self.actions.iter().enumerate() {
            action.check().map_err(|(field, reason)| format!("actions[{n}].{field} {reason}"))?;
            if self.actions[..n].iter().any(|other| other.name == action.name) {
                return Err(format!("actions[{n}].name {:?} is another action's already", action.name));
            }
        }
        Ok(())
    }
}

impl ActionTool {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !(1..=LONGEST_NAME).contains(&self.name.len()) || !self.name.chars().all(is_fit) {
            return Err((
                "name",
                format!("{:?} must be 1 to {LONGEST_NAME} letters, digits, _ and -", self.name),
            ));
        }
        if OWN_TOOLS.contains(&self.name.as_str()) {
            return Err(("name", format!("{:?} is a tool of the gateway's own; choose another", self.name)));
        }
        let length = self.description.trim().chars().count();
        if !(1..=LONGEST_DESCRIPTION).contains(&length) {
            return Err((
                "description",
                format!("must tell the model what the tool is for, in 1 to {LONGEST_DESCRIPTION} characters"),
            ));
        }
        check_object_schema(&self.parameters).map_err(|wrong| ("parameters", wrong))?;
        let bytes = self.parameters.to_string().len();
        if bytes > LONGEST_SCHEMA {
            return Err((
                "parameters",
                format!("is {bytes} bytes long as JSON; at most {LONGEST_SCHEMA} are taken"),
            ));
        }
        if !Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(("url", "is no URL, as in \"https://example.com/slots\"".into()));
        }
        if !TIMEOUT_MS.contains(&self.timeout_ms) {
            let (least, most) = (TIMEOUT_MS.start(), TIMEOUT_MS.end());
            return Err((
                "timeout_ms",
                format!("is {}, and must be from {least} to {most}", self.timeout_ms),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tools(json: Value) -> Tools {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_left_out_is_not_allowed() {
        assert_eq!(tools(json!({})), Tools::default());
        assert!(!Tools::default().hang_up && !Tools::default().wait);
    }

    #[test]
    fn what_cannot_be_offered_is_told_with_its_place() {
        let action = |change: Value| {
            let mut action = json!({ "name": "find_slot", "description": "Finds one.", "url": "https://crm.example.net/slots" });
            for (key, value) in change.as_object().unwrap() {
                action[key] = value.clone();
            }
            json!({ "actions": [action] })
        };
        let twice = {
            let one = &action(json!({}))["actions"][0];
            json!({ "actions": [one, one] })
        };
        for (json, expected) in [
            (json!({ "transfer": { "": "201" } }), "transfer has the name \"\""),
            (json!({ "transfer": { "sales": " " } }), "transfer.sales must be"),
            (action(json!({ "name": "find slot" })), "actions[0].name \"find slot\" must be"),
            (action(json!({ "name": "wait" })), "actions[0].name \"wait\" is a tool"),
            (action(json!({ "description": "" })), "actions[0].description must tell"),
            (action(json!({ "parameters": { "type": "array" } })), "actions[0].parameters must have"),
            (action(json!({ "url": "crm" })), "actions[0].url is no URL"),
            (action(json!({ "timeout_ms": 50 })), "actions[0].timeout_ms is 50"),
            (twice, "actions[1].name \"find_slot\" is another"),
        ] {
            let wrong = tools(json.clone()).check().unwrap_err();
            assert!(wrong.starts_with(expected), "{json}: {wrong}");
        }
        tools(action(json!({ "timeout_ms": 20_000 }))).check().unwrap();
    }
}
