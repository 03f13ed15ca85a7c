//! `/llms.txt`: the same description as plain text, for language models that write programs against this API.

use std::fmt::Write;

use serde_json::{Map, Value};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Of the whole API.
pub(super) fn text(api: &Value) -> String {
    let mut out = format!(
        "# {} {}\n\n> {}\n\n",
        word(&api["info"]["title"]),
        word(&api["info"]["version"]),
        word(&api["info"]["description"])
    );
    out.push_str(PREAMBLE);
    let operations = operations(api);
    for tag in api["tags"].as_array().into_iter().flatten() {
        let name = word(&tag["name"]);
        let of_tag: Vec<_> = operations.iter().filter(|one| one.2["tags"][0] == name).collect();
        if of_tag.is_empty() {
            continue;
        }
        let _ = write!(out, "\n## {name}: {}\n", word(&tag["description"]));
        for (path, method, operation) in of_tag {
            tell_operation(&mut out, path, method, operation);
        }
    }
    out.push_str("\n## Objects\n");
    for (name, schema) in members(&api["components"]["schemas"]) {
        let _ = write!(out, "\n### {name}\n");
        if let Some(description) = schema["description"].as_str() {
            let _ = writeln!(out, "{}", line(description));
        }
        tell_schema(&mut out, schema);
    }
    out
}

const PREAMBLE: &str = "\
Rules that hold everywhere:
- Send `Authorization: Bearer KEY`. A key has scopes; what an operation needs stands with it. Browsers' EventSource and WebSocket may
  send `?access_token=KEY` instead.
- Bodies are JSON (`Content-Type: application/json`). An unknown field of a body is an error. Times are RFC 3339 in UTC, phone numbers
  E.164 (`+14155550123`), sums decimal numbers as text (`\"0.0512\"`).
- An error is `application/problem+json`: `status`, `code` (stable, for programs), `field` (where one is wrong), `detail` (what would be
  right), `request_id`.
- A list answers `{\"items\": […], \"next_cursor\": \"…\" or null}`, the newest first. Ask with `limit` (1 to 200, 50 unless said) and
  `cursor` (the `next_cursor` before), until that is null.
- A POST that costs or rings takes `Idempotency-Key`: asked again with the same key within a day it is not carried out again, and
  answers the same with `Idempotency-Replayed: true`.
- 429 and 503 say in `Retry-After` when to ask again; `RateLimit` tells how much is left.
";

/// Path, method and operation, in the order of the document.
fn operations(api: &Value) -> Vec<(&str, &str, &Value)> {
    let mut all = Vec::new();
    for (path, item) in members(&api["paths"]) {
        all.extend(METHODS.iter().filter_map(|method| Some((path.as_str(), *method, item.get(method)?))));
    }
    all
}

fn tell_operation(out: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(out, "\n### {} {path}\n{}.", method.to_uppercase(), word(&operation["summary"]));
    if let Some(more) = operation["description"].as_str() {
        let _ = write!(out, " {}", line(more));
    }
    out.push('\n');
    let scopes = members(&operation["security"][0]).flat_map(|(_, scopes)| scopes.as_array()).flatten();
    let scopes: Vec<_> = scopes.map(word).collect();
    match (operation["security"].is_array(), scopes.is_empty()) {
        (true, false) => drop(writeln!(out, "Scope: {}", scopes.join(", "))),
        (true, true) => out.push_str("Scope: any key\n"),
        (false, _) => out.push_str("Needs no key\n"),
    }
    for one in operation["parameters"].as_array().into_iter().flatten() {
        let must = if one["required"] == true { ", required" } else { "" };
        let (name, place, kind) = (word(&one["name"]), word(&one["in"]), kind(&one["schema"]));
        let _ = writeln!(out, "- {name} ({place}, {kind}{must}): {}", line(word(&one["description"])));
    }
    for (media, body) in members(&operation["requestBody"]["content"]) {
        let _ = write!(out, "Body ({media}): {}", kind(&body["schema"]));
        tell_example(out, body);
    }
    for (status, answer) in members(&operation["responses"]) {
        let _ = write!(out, "{status}: {}", line(word(&answer["description"])));
        let success = status.starts_with('2');
        match members(&answer["content"]).next().filter(|_| success) {
            Some((media, body)) => {
                let _ = write!(out, " ({media}: {})", kind(&body["schema"]));
                tell_example(out, body);
            }
            None => out.push('\n'),
        }
    }
}

fn tell_example(out: &mut String, body: &Value) {
    match body.get("example") {
        Some(example) => drop(writeln!(out, ", as in {example}")),
        None => out.push('\n'),
    }
}

fn tell_schema(out: &mut String, schema: &Value) {
    for (name, field) in members(&schema["properties"]) {
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        let must = if required { ", required" } else { "" };
        let description = field["description"].as_str().map(|text| format!(": {}", line(text)));
        let _ = writeln!(out, "- {name} ({}{must}){}", kind(field), description.unwrap_or_default());
    }
    if schema["properties"].is_null() {
        let _ = writeln!(out, "{}", kind(schema));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        tell_schema(out, part);
    }
}

/// In a few words what may stand there.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return name.to_owned();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    let of = |one: &str| match one {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema["properties"].is_object() => {
            let fields: Vec<_> = members(&schema["properties"])
                .map(|(name, field)| format!("{name}: {}", kind(field)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        "string" => match schema["format"].as_str() {
            Some("date-time") => "time".to_owned(),
            _ => "string".to_owned(),
        },
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(word).map(of).collect::<Vec<_>>().join(" or "),
        Value::String(one) => of(one),
        _ if schema["allOf"].is_array() => "object".to_owned(),
        _ => "anything".to_owned(),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Without the breaks of its source.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
