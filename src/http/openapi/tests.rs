//! The description is complete: whatever is mounted stands in it, with all that a reader needs.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::domain::Scope;

fn described() -> Value {
    let mut api = super::super::described(None).split_for_parts().1;
    complete(&mut api);
    let mut api = serde_json::to_value(&api).unwrap();
    example::fill(&mut api);
    api
}

/// Name (method and path) and operation.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((format!("{method} {path}"), operation));
        }
    }
    assert!(!all.is_empty());
    all
}

#[test]
fn every_route_of_ours_is_mounted_with_its_description() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut files = vec![folder.join("handlers.rs")];
    files.extend(std::fs::read_dir(folder.join("v1")).unwrap().map(|entry| entry.unwrap().path()));
    for file in files.iter().filter(|file| file.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains(".route("), "{}: mount it by .routes(routes!(…))", file.display());
    }
}

#[test]
fn every_operation_says_what_it_is() {
    let api = described();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let tags: BTreeSet<_> =
        api["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&api) {
        let tag = operation["tags"][0].as_str();
        assert!(tag.is_some_and(|tag| tags.contains(tag)), "{name} has no tag of ours");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no summary");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{name}: there is another {id}");
        for one in operation["parameters"].as_array().into_iter().flatten() {
            let told = one["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(told, "{name}: the parameter {} has no description", one["name"]);
        }
    }
}

#[test]
fn every_operation_of_v1_tells_its_scope_and_its_errors() {
    let api = described();
    let scopes: BTreeSet<_> = Scope::ALL.iter().map(|scope| scope.code()).collect();
    for (name, operation) in operations(&api).into_iter().filter(|(name, _)| name.contains(" /v1/")) {
        let Some(security) = operation.get("security") else { continue };
        for scope in security[0][KEY].as_array().unwrap_or_else(|| panic!("{name}: security without key")) {
            assert!(scopes.contains(scope.as_str().unwrap()), "{name}: {scope} is no scope");
        }
        for status in ["401", "429", "503"] {
            assert!(operation["responses"][status].is_object(), "{name} does not tell {status}");
        }
    }
}

#[test]
fn every_body_has_a_schema_and_an_example_and_every_error_is_a_problem() {
    let api = described();
    for (name, operation) in operations(&api) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with(['1', '2', '3'])), "{name} has no success");
        let bodies = responses.iter().map(|(status, answer)| (status.as_str(), &answer["content"]));
        for (what, content) in bodies.chain([("the request", &operation["requestBody"]["content"])]) {
            for (kind, body) in content.as_object().into_iter().flatten() {
                assert!(body["schema"].is_object(), "{name}: {what} ({kind}) has no schema");
                let is_json = kind.ends_with("json");
                assert!(
                    !is_json || !body["example"].is_null() || body["examples"].is_object(),
                    "{name}: {what} has no example"
                );
            }
        }
        for (status, answer) in responses.iter().filter(|(status, _)| status.starts_with('4')) {
            assert!(answer["content"][PROBLEM].is_object(), "{name}: {status} is no problem");
            let description = answer["description"].as_str().unwrap();
            assert!(description.starts_with('`'), "{name}: {status} does not begin with its code");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|inner| walk(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, found)),
            _ => {}
        }
    }
    let api = described();
    let mut found = Vec::new();
    walk(&api, &mut found);
    for path in found {
        let target = api.pointer(path.trim_start_matches('#'));
        assert!(target.is_some(), "{path} leads nowhere");
    }
}

#[test]
fn the_text_for_language_models_names_every_operation() {
    let api = described();
    let text = llms::text(&api);
    for (name, _) in operations(&api) {
        let (method, path) = name.split_once(' ').unwrap();
        assert!(text.contains(&format!("### {} {path}\n", method.to_uppercase())), "{name} is missing");
    }
}
