//! An example for every body: where a handler or a type gives none, one is made of the schema.

use serde_json::{Map, Value, json};

/// Deeper than any type of ours; a type that holds itself ends there.
const DEEPEST: usize = 12;

/// Gives each body of JSON that has no example one.
pub(super) fn fill(api: &mut Value) {
    let components = api["components"]["schemas"].clone();
    let paths = api.get_mut("paths").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody") {
            fill_content(body, &components);
        }
        let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
        responses.into_iter().flat_map(Map::values_mut).for_each(|one| fill_content(one, &components));
    }
}

fn fill_content(body: &mut Value, components: &Value) {
    let content = body.get_mut("content").and_then(Value::as_object_mut);
    for (kind, media) in content.into_iter().flatten() {
        let has_one = media.get("example").is_some() || media.get("examples").is_some();
        if kind.ends_with("json") && !has_one && media["schema"].is_object() {
            media["example"] = sample(&media["schema"], components, 0);
        }
    }
}

/// Something that the schema allows.
fn sample(schema: &Value, components: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let of = |inner: &Value| sample(inner, components, depth + 1);
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return of(&components[name]);
    }
    for told in [&schema["example"], &schema["examples"][0], &schema["default"], &schema["const"]] {
        if !told.is_null() {
            return told.clone();
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let objects = parts.iter().map(of).filter_map(|part| match part {
            Value::Object(object) => Some(object),
            _ => None,
        });
        return objects.fold(Map::new(), |all, one| all.into_iter().chain(one).collect()).into();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let real = choices.iter().find(|one| one["type"] != "null");
            return real.map_or(Value::Null, of);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), of(field))).collect::<Map<_, _>>().into()
        }
        Some("array") if schema["items"].is_object() => json!([of(&schema["items"])]),
        Some("array") => json!([]),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("number") => json!(1.0),
        Some("boolean") => json!(true),
        Some("string") if schema["format"] == "date-time" => json!("2026-11-22T09:00:00Z"),
        Some("string") => json!("text"),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_made_of_what_the_schema_says() {
        let components = json!({ "Id": { "type": "string", "examples": ["call_0"] }, "Loop": { "type": "object",
            "properties": { "again": { "$ref": "#/components/schemas/Loop" } } } });
        let schema = json!({ "allOf": [
            { "type": "object", "properties": { "id": { "$ref": "#/components/schemas/Id" }, "n": { "type": ["integer", "null"] } } },
            { "type": "object", "properties": { "of": { "oneOf": [{ "type": "null" }, { "enum": ["a"] }] } } },
        ] });
        assert_eq!(sample(&schema, &components, 0), json!({ "id": "call_0", "n": 1, "of": "a" }));
        assert!(sample(&components["Loop"], &components, 0).is_object());
    }
}
