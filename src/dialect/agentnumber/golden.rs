//! Reads `tests/golden/agentnumber`: requests as programs send them, and the answers that they read. The unit tests beside this
//! file hold the conversions to them, and a flow in `tests/it` the running gateway.
//!
//! In an answer `"<time>"` stands for any time (RFC 3339), `"<text>"` for any text, `"<id num_>"` for any id that begins so,
//! `"<int>"` for any whole number; `{name}` is what was saved or set before. Everything else must be just so.

use std::collections::BTreeMap;

use serde_json::Value;

/// One request and what comes of it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) body: Option<Value>,
    pub(crate) status: u16,
    pub(crate) answer: Value,
    /// Names for parts of the answer, by their JSON pointers.
    #[serde(default)]
    pub(crate) save: BTreeMap<String, String>,
}

pub(crate) fn read(file: &str) -> Vec<Exchange> {
    let path = format!("{}/tests/golden/agentnumber/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `{name}` in every text, filled.
pub(crate) fn fill(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, names)),
        Value::Array(items) => items.iter().map(|item| fill(item, names)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), fill(value, names))).collect(),
        other => other.clone(),
    }
}

pub(crate) fn filled(text: &str, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Where `found` is otherwise than `golden`, by JSON pointer.
pub(crate) fn differences(golden: &Value, found: &Value) -> Vec<String> {
    let mut list = Vec::new();
    compare("", golden, found, &mut list);
    list
}

fn compare(at: &str, golden: &Value, found: &Value, list: &mut Vec<String>) {
    match (golden, found) {
        (Value::Object(golden), Value::Object(found)) => {
            for (key, value) in golden {
                match found.get(key) {
                    Some(other) => compare(&format!("{at}/{key}"), value, other, list),
                    None => list.push(format!("{at}/{key} is missing")),
                }
            }
            for key in found.keys().filter(|key| !golden.contains_key(*key)) {
                list.push(format!("{at}/{key} is {}, and the document has no such field", found[key]));
            }
        }
        (Value::Array(golden), Value::Array(found)) if golden.len() == found.len() => {
            for (n, (golden, found)) in golden.iter().zip(found).enumerate() {
                compare(&format!("{at}/{n}"), golden, found, list);
            }
        }
        (Value::String(pattern), found) if fits(pattern, found) => {}
        (golden, found) if golden == found => {}
        (golden, found) => list.push(format!("{at} is {found}, and should be {golden}")),
    }
}

fn fits(pattern: &str, found: &Value) -> bool {
    let text = found.as_str();
    match pattern {
        "<time>" => text.is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
        "<text>" => text.is_some_and(|text| !text.is_empty()),
        "<int>" => found.is_i64() || found.is_u64(),
        _ => match pattern.strip_prefix("<id ").and_then(|rest| rest.strip_suffix('>')) {
            Some(prefix) => text.is_some_and(|text| text.starts_with(prefix)),
            None => text == Some(pattern),
        },
    }
}
