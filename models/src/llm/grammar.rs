//! JSON Schema to the grammars that llama.cpp samples under (GBNF), so that what a small model writes can be parsed.
//!
//! A grammar is somewhat wider than its schema: it knows types, properties, which of them are required, choices,
//! lengths, references inside the schema, and nothing of patterns, formats and bounds of numbers. So whoever asked for
//! a schema still checks what comes. It is also narrower: properties come in the schema's order, the required ones
//! first, and white space is one blank after a colon or a comma, for a small model that may choose goes on choosing.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::ToolSpec;

/// Text that begins a call, and the one that ends it, as models of several families learned it.
pub(super) const CALL_BEGINS: &str = "<tool_call>";
pub(super) const CALL_ENDS: &str = "</tool_call>";
/// What a reply that calls has in it: small models mix up the marks of calls and of results.
pub(super) const TRIGGER: &str = "<tool_";
/// Calls in one reply.
const MOST_CALLS: usize = 4;
/// Rules of one grammar, and how deep a schema may go.
const MOST_RULES: usize = 2000;
const DEEPEST: usize = 24;
/// Longer bounds of strings and lists are not kept: each step is a rule of the engine's.
const LONGEST_BOUND: u64 = 500;

/// What every grammar may refer to.
const COMMON: &str = r#"value ::= object | array | string | number | boolean | null
object ::= "{" (member (", " member)*)? "}"
member ::= string ": " value
array ::= "[" (value (", " value)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])
number ::= integer ("." [0-9]{1,12})? ([eE] [-+]? [0-9]{1,3})?
integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
boolean ::= "true" | "false"
null ::= "null"
"#;

/// The grammar of a whole reply that obeys a schema.
///
/// # Errors
/// Says what in the schema cannot be.
pub(super) fn of_schema(schema: &Value) -> Result<String, String> {
    let mut rules = Rules::new(schema);
    let root = rules.rule(schema, 0)?;
    rules.finish(&root)
}

/// The grammar of what follows [`CALL_BEGINS`] and a line break: a call of one of the tools, and perhaps further ones.
///
/// # Errors
/// Says which tool's schema cannot be.
pub(super) fn of_calls(tools: &[ToolSpec]) -> Result<String, String> {
    let nothing = Value::Null;
    let mut rules = Rules::new(&nothing);
    let mut calls = Vec::new();
    for tool in tools {
        // References are within the tool's own schema.
        let mut own = Rules { root: &tool.parameters, ..rules };
        own.known.clear();
        let arguments = match &tool.parameters {
            Value::Object(schema) if schema.contains_key("type") || schema.contains_key("$ref") => {
                own.rule(&tool.parameters, 0)
            }
            Value::Object(schema) => own.object(schema, 0),
            _ => Err("its parameters are no schema of an object".into()),
        };
        let arguments = arguments.map_err(|reason| format!("tool {:?}: {reason}", tool.name))?;
        rules = Rules { root: &nothing, ..own };
        let head = literal(&format!("{{\"name\": {}, \"arguments\": ", Value::String(tool.name.clone())));
        calls.push(format!("{head} {arguments} \"}}\""));
    }
    let call = rules.add(calls.join(" | "))?;
    let (ends, again) = (literal(&format!("\n{CALL_ENDS}")), literal(&format!("\n{CALL_BEGINS}\n")));
    rules.finish(&format!("{call} {ends} ({again} {call} {ends}){{0,{}}}", MOST_CALLS - 1))
}

struct Rules<'a> {
    /// What references look into.
    root: &'a Value,
    text: String,
    count: usize,
    /// Rules of references, by their pointer.
    known: HashMap<String, String>,
}

impl<'a> Rules<'a> {
    fn new(root: &'a Value) -> Self {
        Rules { root, text: String::new(), count: 0, known: HashMap::new() }
    }

    fn finish(self, root: &str) -> Result<String, String> {
        Ok(format!("root ::= {root}\n{}{COMMON}", self.text))
    }

    fn name(&mut self) -> Result<String, String> {
        self.count += 1;
        if self.count > MOST_RULES {
            return Err("the schema is too large".into());
        }
        Ok(format!("r{}", self.count))
    }

    fn add(&mut self, body: String) -> Result<String, String> {
        let name = self.name()?;
        self.define(&name, &body);
        Ok(name)
    }

    fn define(&mut self, name: &str, body: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{name} ::= {body}");
    }

    /// The name of a rule for a schema.
    fn rule(&mut self, schema: &Value, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err("the schema is nested too deep".into());
        }
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(true) => return Ok("value".into()),
            other => return Err(format!("{other} is no schema")),
        };
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            return self.reference(pointer, depth);
        }
        if let Some(value) = schema.get("const") {
            return self.add(literal(&value.to_string()));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let values: Vec<_> = values.iter().map(|value| literal(&value.to_string())).collect();
            return if values.is_empty() {
                Err("an enum is empty".into())
            } else {
                self.add(values.join(" | "))
            };
        }
        let choice = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
        if let Some(choices) = choice {
            let names: Result<Vec<_>, _> = choices.iter().map(|one| self.rule(one, depth + 1)).collect();
            return self.add(names?.join(" | "));
        }
        match schema.get("type") {
            Some(Value::String(kind)) => self.kind(kind, schema, depth),
            Some(Value::Array(kinds)) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                let names: Result<Vec<_>, _> = kinds.map(|kind| self.kind(kind, schema, depth)).collect();
                self.add(names?.join(" | "))
            }
            Some(other) => Err(format!("{other} is no type")),
            None if schema.contains_key("properties") => self.object(schema, depth),
            None => Ok("value".into()),
        }
    }

    fn reference(&mut self, pointer: &str, depth: usize) -> Result<String, String> {
        if let Some(name) = self.known.get(pointer) {
            return Ok(name.clone());
        }
        let root = self.root;
        let target = pointer.strip_prefix('#').and_then(|inside| root.pointer(inside));
        let target = target.ok_or_else(|| format!("{pointer:?} is nowhere in the schema"))?;
        let name = self.name()?;
        // Known before it is made, so that it may refer to itself.
        self.known.insert(pointer.to_owned(), name.clone());
        let made = self.rule(target, depth + 1)?;
        if made == name {
            return Err(format!("{pointer:?} is itself"));
        }
        self.define(&name, &made);
        Ok(name)
    }

    fn kind(&mut self, kind: &str, schema: &Map<String, Value>, depth: usize) -> Result<String, String> {
        match kind {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => match bounds(schema, "minLength", "maxLength") {
                (0, None) => Ok("string".into()),
                between => self.add(format!("\"\\\"\" char{} \"\\\"\"", times(between))),
            },
            "number" | "integer" | "boolean" | "null" => Ok(kind.to_owned()),
            other => Err(format!("there is no type {other:?}")),
        }
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Result<String, String> {
        let item = match schema.get("items") {
            Some(items) => self.rule(items, depth + 1)?,
            None => "value".into(),
        };
        let (least, most) = bounds(schema, "minItems", "maxItems");
        if most == Some(0) {
            return self.add(literal("[]"));
        }
        let more = times((least.saturating_sub(1), most.map(|most| most - 1)));
        let items = format!("{item} (\", \" {item}){more}");
        let items = if least == 0 { format!("({items})?") } else { items };
        self.add(format!("\"[\" {items} \"]\""))
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Result<String, String> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
            return if is_closed { self.add(literal("{}")) } else { Ok("object".into()) };
        };
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let (mut must, mut may) = (Vec::new(), Vec::new());
        for (key, value) in properties {
            let rule = self.rule(value, depth + 1)?;
            let key_text = Value::String(key.clone()).to_string();
            let member = self.add(format!("{} {rule}", literal(&format!("{key_text}: "))))?;
            if required.contains(&key.as_str()) { must.push(member) } else { may.push(member) }
        }
        let comma = |member: &String| format!(" (\", \" {member})?");
        let body = match must.is_empty() {
            false => must.join(" \", \" ") + &may.iter().map(comma).collect::<String>(),
            // Whichever comes first has no comma before it.
            true => {
                let begins = |(i, first): (usize, &String)| {
                    format!("{first}{}", may[i + 1..].iter().map(comma).collect::<String>())
                };
                let ways: Vec<_> = may.iter().enumerate().map(begins).collect();
                if ways.is_empty() { String::new() } else { format!("({})?", ways.join(" | ")) }
            }
        };
        self.add(format!("\"{{\" {body} \"}}\""))
    }
}

fn bounds(schema: &Map<String, Value>, least: &str, most: &str) -> (u64, Option<u64>) {
    let number = |key| schema.get(key).and_then(Value::as_u64).filter(|n| *n <= LONGEST_BOUND);
    let (least, most) = (number(least).unwrap_or(0), number(most));
    (least, most.map(|most| most.max(least)))
}

fn times((least, most): (u64, Option<u64>)) -> String {
    match (least, most) {
        (0, None) => "*".into(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    }
}

/// This very text.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(schema: &Value) -> String {
        let grammar = of_schema(schema).unwrap();
        grammar.strip_suffix(COMMON).unwrap().trim_end().to_owned()
    }

    #[test]
    fn required_properties_come_first_and_the_others_may() {
        let schema = json!({ "type": "object", "required": ["b"],
            "properties": { "a": { "type": "integer" }, "b": { "enum": ["x", "y\"z"] }, "c": { "type": "boolean" } } });
        assert_eq!(
            rules(&schema),
            "root ::= r5\n\
             r1 ::= \"\\\"a\\\": \" integer\n\
             r2 ::= \"\\\"x\\\"\" | \"\\\"y\\\\\\\"z\\\"\"\n\
             r3 ::= \"\\\"b\\\": \" r2\n\
             r4 ::= \"\\\"c\\\": \" boolean\n\
             r5 ::= \"{\" r3 (\", \" r1)? (\", \" r4)? \"}\""
        );
    }

    #[test]
    fn where_nothing_is_required_any_of_them_may_be_first() {
        let schema = json!({ "properties": { "a": true, "b": true } });
        let all = rules(&schema);
        assert!(all.ends_with("r3 ::= \"{\" (r1 (\", \" r2)? | r2)? \"}\""), "{all}");
        assert!(rules(&json!({ "type": "object", "properties": {} })).ends_with("r1 ::= \"{\"  \"}\""));
    }

    #[test]
    fn lists_lengths_choices_and_references() {
        let schema = json!({ "type": "array", "items": { "$ref": "#/$defs/name" }, "minItems": 1, "maxItems": 3,
            "$defs": { "name": { "type": ["string", "null"], "maxLength": 40 } } });
        assert_eq!(
            rules(&schema),
            "root ::= r4\n\
             r2 ::= \"\\\"\" char{0,40} \"\\\"\"\n\
             r3 ::= r2 | null\n\
             r1 ::= r3\n\
             r4 ::= \"[\" r1 (\", \" r1){0,2} \"]\""
        );
        let tree = json!({ "$ref": "#/$defs/t", "$defs": { "t": { "properties": { "next": { "$ref": "#/$defs/t" } } } } });
        assert!(rules(&tree).contains("\"\\\"next\\\": \" r1"));
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (schema, part) in [
            (json!(3), "no schema"),
            (json!({ "type": "text" }), "no type"),
            (json!({ "enum": [] }), "empty"),
            (json!({ "$ref": "#/nowhere" }), "nowhere"),
            (json!({ "$ref": "#" }), "itself"),
            ((0..40).fold(json!(true), |inner, _| json!({ "type": "array", "items": inner })), "too deep"),
        ] {
            let error = of_schema(&schema).unwrap_err();
            assert!(error.contains(part), "{schema}: {error}");
        }
    }

    #[test]
    fn a_call_names_a_tool_and_has_its_arguments() {
        let tool =
            |name: &str, parameters| ToolSpec { name: name.into(), description: String::new(), parameters };
        let tools = [
            tool("hang_up", json!({ "type": "object", "properties": {} })),
            tool(
                "look",
                json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
            ),
        ];
        let grammar = of_calls(&tools).unwrap();
        assert!(
            grammar.contains("\"{\\\"name\\\": \\\"look\\\", \\\"arguments\\\": \" r3 \"}\""),
            "{grammar}"
        );
        assert!(
            grammar.starts_with("root ::= r4 \"\\n</tool_call>\" (\"\\n<tool_call>\\n\" r4 "),
            "{grammar}"
        );
        let error = of_calls(&[tool("bad", json!([]))]).unwrap_err();
        assert!(error.contains("\"bad\""), "{error}");
    }
}
