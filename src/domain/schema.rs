//! The part of JSON Schema that arguments of tools and reports are described in, checked by ourselves.
//!
//! Understood are `type`, `properties`, `required`, `additionalProperties`, `items`, `enum`, `const`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `exclusiveMaximum`, `minLength`, `maxLength`, `minItems`, `maxItems`, `anyOf` and `oneOf` (JSON Schema 2020-12,
//! core §10 and validation §6). `title`, `description`, `default`, `examples`, `format`, `$schema` and `$comment` say nothing that
//! is checked. Everything else is refused when the schema is given, so that nobody relies on a rule that nobody keeps; above all
//! `pattern`, for a client's regular expression could be made to run for ever, and `$ref`, which makes schemas endless.

use serde_json::{Map, Value};

/// Nesting of a schema.
const DEEPEST: usize = 12;
const RULES: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "anyOf",
    "oneOf",
];
const REMARKS: &[&str] = &["title", "description", "default", "examples", "format", "$schema", "$comment"];
const TYPES: &[&str] = &["object", "array", "string", "number", "integer", "boolean", "null"];

/// Whether a schema is one that is understood, and says that a value is an object.
///
/// # Errors
/// What is wrong with it, and where.
pub fn check_object_schema(schema: &Value) -> Result<(), String> {
    check(schema, "", 0)?;
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Ok(()),
        _ => Err("must have the type \"object\", for arguments have names".into()),
    }
}

fn check(schema: &Value, at: &str, depth: usize) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{}: {what}", place(at)));
    if depth > DEEPEST {
        return wrong(&format!("is nested more than {DEEPEST} deep"));
    }
    let rules = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(rules) => rules,
        _ => return wrong("must be a JSON Schema: an object, true or false"),
    };
    for (name, rule) in rules {
        let here = format!("{at}/{name}");
        let wrong = |what: &str| Err(format!("{}: {what}", place(&here)));
        match name.as_str() {
            name if REMARKS.contains(&name) => {}
            "type" if types(rule).is_none() => {
                return wrong(&format!("must be one of {}, or a list of them", TYPES.join(", ")));
            }
            "properties" => {
                let Value::Object(properties) = rule else { return wrong("must be an object of schemas") };
                for (name, schema) in properties {
                    check(schema, &format!("{here}/{name}"), depth + 1)?;
                }
            }
            "required" if !rule.as_array().is_some_and(|list| list.iter().all(Value::is_string)) => {
                return wrong("must be a list of names");
            }
            "additionalProperties" | "items" => check(rule, &here, depth + 1)?,
            "enum" if rule.as_array().is_none_or(Vec::is_empty) => {
                return wrong("must be a list of values, and not an empty one");
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if !rule.is_number() => {
                return wrong("must be a number");
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" if !rule.is_u64() => {
                return wrong("must be a whole number from 0 on");
            }
            "anyOf" | "oneOf" => {
                let Some(list) = rule.as_array().filter(|list| !list.is_empty()) else {
                    return wrong("must be a list of schemas, and not an empty one");
                };
                for (n, schema) in list.iter().enumerate() {
                    check(schema, &format!("{here}/{n}"), depth + 1)?;
                }
            }
            name if RULES.contains(&name) => {}
            _ => {
                return wrong(&format!(
                    "is not understood here; there are {}, and for remarks {}",
                    RULES.join(", "),
                    REMARKS.join(", ")
                ));
            }
        }
    }
    Ok(())
}

/// Whether a value is as a schema, which has been checked, wants it.
///
/// # Errors
/// The first thing that is wrong, with its place: `/day: must be a string`.
pub fn conforms(value: &Value, schema: &Value) -> Result<(), String> {
    judge(value, schema, "")
}

fn judge(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{}: {what}", place(at)));
    let rules = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(rules) => rules,
        _ => return wrong("must not be there".into()),
    };
    if let Some(types) = rules.get("type").and_then(types)
        && !types.iter().any(|name| is_of(value, name))
    {
        return wrong(format!(
            "must be {}",
            types.iter().map(|name| with_article(name)).collect::<Vec<_>>().join(" or ")
        ));
    }
    if let Some(list) = rules.get("enum").and_then(Value::as_array)
        && !list.iter().any(|one| same(one, value))
    {
        let list: Vec<_> = list.iter().map(Value::to_string).collect();
        return wrong(format!("must be one of {}", list.join(", ")));
    }
    if let Some(one) = rules.get("const")
        && !same(one, value)
    {
        return wrong(format!("must be {one}"));
    }
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            for (rule, holds, words) in [
                ("minimum", (|n, limit| n >= limit) as fn(f64, f64) -> bool, "at least"),
                ("maximum", |n, limit| n <= limit, "at most"),
                ("exclusiveMinimum", |n, limit| n > limit, "more than"),
                ("exclusiveMaximum", |n, limit| n < limit, "less than"),
            ] {
                if let Some(limit) = rules.get(rule).and_then(Value::as_f64)
                    && !holds(number, limit)
                {
                    return wrong(format!("must be {words} {limit}"));
                }
            }
        }
        Value::String(text) => {
            count(rules, text.chars().count(), ["minLength", "maxLength"], "characters").or_else(wrong)?
        }
        Value::Array(list) => {
            count(rules, list.len(), ["minItems", "maxItems"], "items").or_else(wrong)?;
            if let Some(schema) = rules.get("items") {
                for (n, one) in list.iter().enumerate() {
                    judge(one, schema, &format!("{at}/{n}"))?;
                }
            }
        }
        Value::Object(fields) => judge_fields(fields, rules, at)?,
        Value::Null | Value::Bool(_) => {}
    }
    for (rule, exactly) in [("anyOf", false), ("oneOf", true)] {
        let Some(list) = rules.get(rule).and_then(Value::as_array) else { continue };
        let fits = list.iter().filter(|schema| judge(value, schema, at).is_ok()).count();
        if fits == 0 || (exactly && fits > 1) {
            let how = if exactly { "exactly one" } else { "one" };
            return wrong(format!("must fit {how} of the {} schemas of {rule}, and fits {fits}", list.len()));
        }
    }
    Ok(())
}

fn judge_fields(fields: &Map<String, Value>, rules: &Map<String, Value>, at: &str) -> Result<(), String> {
    let required = rules.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(missing) = required.filter_map(Value::as_str).find(|name| !fields.contains_key(*name)) {
        return Err(format!("{}: {missing:?} is missing", place(at)));
    }
    let properties = rules.get("properties").and_then(Value::as_object);
    for (name, one) in fields {
        let at = format!("{at}/{name}");
        let schema =
            properties.and_then(|properties| properties.get(name)).or(rules.get("additionalProperties"));
        if let Some(schema) = schema {
            judge(one, schema, &at)?;
        }
    }
    Ok(())
}

fn count(rules: &Map<String, Value>, found: usize, [least, most]: [&str; 2], of: &str) -> Result<(), String> {
    let limit = |rule| rules.get(rule).and_then(Value::as_u64);
    let found = found as u64;
    match (limit(least), limit(most)) {
        (Some(least), _) if found < least => Err(format!("has {found} {of}, and must have at least {least}")),
        (_, Some(most)) if found > most => Err(format!("has {found} {of}, and must have at most {most}")),
        _ => Ok(()),
    }
}

/// The names that a `type` holds, where all are known.
fn types(rule: &Value) -> Option<Vec<&str>> {
    let names = match rule {
        Value::String(name) => vec![name.as_str()],
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    names.iter().all(|name| TYPES.contains(name)).then_some(names)
}

fn is_of(value: &Value, name: &str) -> bool {
    match (name, value) {
        ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("string", Value::String(_))
        | ("number", Value::Number(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null) => true,
        // 1.0 is an integer (validation §6.1.1).
        ("integer", Value::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

/// Numbers are the same where their values are: 1 and 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn place(at: &str) -> &str {
    if at.is_empty() { "/" } else { at }
}

fn with_article(name: &str) -> String {
    match name {
        "null" => name.to_owned(),
        "object" | "array" | "integer" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_held_to_their_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "day": { "type": "string", "minLength": 1, "maxLength": 9, "description": "as in \"monday\"" },
                "people": { "type": "integer", "minimum": 1, "maximum": 8 },
                "kind": { "enum": ["cut", "colour"] },
                "extras": { "type": "array", "items": { "type": ["string", "null"] }, "maxItems": 2 },
                "where": { "oneOf": [{ "const": 1 }, { "type": "string" }] },
                "price": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10 },
            },
            "required": ["day"],
            "additionalProperties": false,
        });
        check_object_schema(&schema).unwrap();
        for fine in [
            json!({ "day": "monday" }),
            json!({ "day": "monday", "people": 2.0, "kind": "cut", "extras": ["a", null], "where": 1, "price": 9.5 }),
        ] {
            conforms(&fine, &schema).unwrap_or_else(|wrong| panic!("{fine}: {wrong}"));
        }
        for (value, expected) in [
            (json!([]), "/: must be an object"),
            (json!({}), "/: \"day\" is missing"),
            (json!({ "day": 1 }), "/day: must be a string"),
            (json!({ "day": "" }), "/day: has 0 characters, and must have at least 1"),
            (json!({ "day": "Donnerstag" }), "/day: has 10 characters, and must have at most 9"),
            (json!({ "day": "a", "people": 1.5 }), "/people: must be an integer"),
            (json!({ "day": "a", "people": 9 }), "/people: must be at most 8"),
            (json!({ "day": "a", "kind": "wash" }), "/kind: must be one of \"cut\", \"colour\""),
            (json!({ "day": "a", "extras": [1] }), "/extras/0: must be a string or null"),
            (
                json!({ "day": "a", "where": 2 }),
                "/where: must fit exactly one of the 2 schemas of oneOf, and fits 0",
            ),
            (json!({ "day": "a", "price": 10 }), "/price: must be less than 10"),
            (json!({ "day": "a", "night": "b" }), "/night: must not be there"),
        ] {
            assert_eq!(conforms(&value, &schema).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_schema_that_nobody_would_keep_to_is_refused() {
        let nested = (0..20).fold(json!({}), |inner, _| json!({ "items": inner }));
        for (schema, expected) in [
            (json!("string"), "/: must be a JSON Schema"),
            (json!({}), "must have the type \"object\""),
            (json!({ "type": "text" }), "/type: must be one of object"),
            (json!({ "type": "object", "properties": [] }), "/properties: must be an object of schemas"),
            (
                json!({ "type": "object", "properties": { "a": { "pattern": "(a+)+$" } } }),
                "/properties/a/pattern: is not",
            ),
            (json!({ "type": "object", "required": "day" }), "/required: must be a list of names"),
            (json!({ "type": "object", "$ref": "#" }), "/$ref: is not understood"),
            (
                json!({ "type": "object", "properties": { "a": { "enum": [] } } }),
                "/properties/a/enum: must be",
            ),
            (
                json!({ "type": "object", "properties": { "a": { "minLength": -1 } } }),
                "minLength: must be a whole",
            ),
            (json!({ "type": "object", "properties": { "a": nested } }), "is nested more than 12 deep"),
        ] {
            let wrong = check_object_schema(&schema).unwrap_err();
            assert!(wrong.contains(expected), "{schema}: {wrong}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(RULES).prop_map(str::to_owned);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            words.clone().prop_map(Value::from),
            prop::sample::select(TYPES).prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(words.clone(), inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever a client sends as a schema, and a model as arguments, is judged.
        #[test]
        fn nothing_makes_it_fall(schema in any_json(), value in any_json()) {
            let _ = check_object_schema(&schema);
            let _ = conforms(&value, &schema);
        }
    }
}
