//! What `/openapi.json` promises of each address of `/v1` holds: its key, its scopes, its errors, its lists, and that nobody sees
//! what is another account's. The tables are made of the document, so that a new address is held to it without a word here.

use std::collections::BTreeMap;

use offhook::domain::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, NUMBER, Setting, World};

/// One operation of the document.
struct Operation {
    method: Method,
    /// As in `/v1/calls/{id}`.
    path: String,
    what: Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn scopes(&self) -> Vec<String> {
        let all = self.what["security"].as_array().into_iter().flatten();
        all.flat_map(|one| one["key"].as_array().into_iter().flatten())
            .filter_map(|scope| scope.as_str().map(str::to_owned))
            .collect()
    }

    fn needs_key(&self) -> bool {
        self.what["security"].as_array().is_some_and(|all| !all.is_empty())
    }

    fn takes_json(&self) -> bool {
        !self.what["requestBody"]["content"]["application/json"].is_null()
    }

    fn takes(&self, place: &str, name: &str) -> bool {
        let parameters = self.what["parameters"].as_array().into_iter().flatten();
        parameters.into_iter().any(|one| one["in"] == place && one["name"] == name)
    }

    fn documents(&self, status: u16) -> bool {
        !self.what["responses"][status.to_string()].is_null()
    }

    /// The path with ids: of `things` by the noun that stands before it, or one that nothing has.
    fn with_ids(&self, things: &BTreeMap<&str, String>) -> String {
        let mut parts: Vec<String> = Vec::new();
        for part in self.path.split('/') {
            let is_id = part.starts_with('{');
            let noun = parts.last().cloned().unwrap_or_default();
            let id =
                || things.get(noun.as_str()).unwrap_or_else(|| panic!("no id for {}", self.name())).clone();
            parts.push(if is_id { id() } else { part.to_owned() });
        }
        parts.join("/")
    }
}

/// The document, and what it says of `/v1`.
async fn operations(api: &Api) -> (Value, Vec<Operation>) {
    let (status, document) = api.get("/openapi.json").await;
    assert_eq!(status, 200);
    let mut list = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, what) in item.as_object().unwrap() {
            if path.starts_with("/v1/")
                && let Ok(method) = method.to_uppercase().parse()
            {
                list.push(Operation { method, path: path.clone(), what: what.clone() });
            }
        }
    }
    assert!(!list.is_empty());
    (document, list)
}

/// The example of the body that an operation takes.
fn example(document: &Value, operation: &Operation) -> Option<Value> {
    let content = &operation.what["requestBody"]["content"]["application/json"];
    if content.is_null() {
        return None;
    }
    let mut schema = &content["schema"];
    if let Some(name) = schema["$ref"].as_str() {
        schema = document.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null);
    }
    let examples = [&content["example"], &schema["example"], &schema["examples"][0]];
    let found = examples.into_iter().find(|example| !example.is_null());
    Some(found.unwrap_or_else(|| panic!("the body of {} has no example", operation.name())).clone())
}

/// Ids of the right form that nothing has.
fn nobodys() -> BTreeMap<&'static str, String> {
    let id = |prefix: &str| format!("{prefix}_0000000000000000");
    BTreeMap::from([
        ("calls", id("call")),
        ("messages", id("msg")),
        ("conversations", id("conv")),
        ("numbers", id("num")),
        ("agents", id("agt")),
        ("webhooks", id("whk")),
        ("deliveries", id("del")),
        ("voices", "no-such-voice".to_owned()),
        ("keys", id("key")),
        ("accounts", "acct_zzzzzzzzzzzzzzzz".to_owned()),
        ("recordings", "no-such-token".to_owned()),
    ])
}

/// A refusal has the form of all refusals, and its status stands in the document.
#[track_caller]
fn refused(operation: &Operation, (status, body): &(u16, Value), expected: u16, code: &str) {
    let name = operation.name();
    assert_eq!((*status, body["code"].as_str()), (expected, Some(code)), "{name}: {body}");
    assert_eq!(body["status"], expected, "{name}: {body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 5), "{name}: {body}");
    assert!(operation.documents(expected), "{name} does not document {expected}");
}

async fn key(admin: &Api, world: &World, account: &Value, scopes: &[String]) -> Api {
    let body = json!({ "account_id": account, "name": "contract", "scopes": scopes });
    let (status, made) = admin.post("/v1/admin/keys", &body).await;
    assert_eq!(status, 201, "{made}");
    Api::with_key(world, made["key"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_without_a_key_that_may() {
    let world = World::start(Setting::default()).await;
    let admin = Api::admin(&world);
    let (document, operations) = operations(&admin).await;
    let nobody = Api::with_key(&world, "offhook_nobodys");
    let (_, account) = admin.post("/v1/admin/accounts", &json!({ "name": "Contract" })).await;
    for operation in operations.iter().filter(|operation| operation.needs_key()) {
        let (path, body) = (operation.with_ids(&nobodys()), example(&document, operation));
        let answer = nobody.ask(operation.method.clone(), &path, body.as_ref()).await;
        refused(operation, &answer, 401, "unauthorized");
        let needed = operation.scopes();
        assert!(!needed.is_empty(), "{} wants a key and no scope", operation.name());
        let others: Vec<String> = Scope::ALL
            .iter()
            .filter(|scope| **scope != Scope::Admin && !needed.iter().any(|needed| needed == scope.code()))
            .map(|scope| scope.code().to_owned())
            .collect();
        let key = key(&admin, &world, &account["id"], &others).await;
        let answer = key.ask(operation.method.clone(), &path, body.as_ref()).await;
        refused(operation, &answer, 403, "missing_scope");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_as_such() {
    let world = World::start(Setting::default()).await;
    let admin = Api::admin(&world);
    let (document, operations) = operations(&admin).await;
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(3 << 20));
    for operation in &operations {
        let path = operation.with_ids(&nobodys());
        if operation.takes_json() {
            for (kind, body, status, code) in [
                ("application/json", "{", 400, "invalid_json"),
                ("text/plain", "{}", 415, "unsupported_media_type"),
                ("application/json", r#"{"no_field_is_called_so":1}"#, 422, "invalid"),
                ("application/json", long.as_str(), 413, "body_too_large"),
            ] {
                // On a connection of its own: one whose body was too long to be read is closed.
                let other = Api::admin(&world);
                let answer = other.raw(operation.method.clone(), &path, kind, body.to_owned()).await;
                refused(operation, &answer, status, code);
            }
        }
        if operation.takes("query", "limit") && !operation.path.contains('{') {
            let queries = ["limit=0", "limit=201", "limit=many", "cursor=nonsense"];
            for query in
                queries.into_iter().filter(|one| operation.takes("query", one.split('=').next().unwrap()))
            {
                let answer = admin.get(&format!("{path}?{query}")).await;
                refused(operation, &answer, 422, "invalid");
                let field = query.split('=').next();
                assert_eq!(answer.1["field"].as_str(), field, "{} {query}: {}", operation.name(), answer.1);
            }
        }
        if operation.path.contains('{') && operation.needs_key() {
            let answer =
                admin.ask(operation.method.clone(), &path, example(&document, operation).as_ref()).await;
            refused(operation, &answer, 404, "not_found");
            let odd = path
                .rsplit_once("_0000000000000000")
                .map(|(head, tail)| format!("{head}..%2fadmin.key{tail}"));
            if let Some(odd) = odd {
                let answer =
                    admin.ask(operation.method.clone(), &odd, example(&document, operation).as_ref()).await;
                refused(operation, &answer, 404, "not_found");
            }
        }
        let answer = admin.ask(Method::TRACE, &path, None).await;
        assert_eq!(
            (answer.0, answer.1["code"].as_str()),
            (405, Some("method_not_allowed")),
            "{path}: {}",
            answer.1
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_of_one_form() {
    let world = World::start(Setting::default()).await;
    let admin = Api::admin(&world);
    let (_, operations) = operations(&admin).await;
    let lists = operations.iter().filter(|one| one.method == Method::GET && one.takes("query", "limit"));
    let mut count = 0;
    for operation in lists.filter(|one| !one.path.contains('{')) {
        let (status, page) = admin.get(&format!("{}?limit=1", operation.path)).await;
        assert_eq!(status, 200, "{}: {page}", operation.name());
        let keys: Vec<_> = page.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["items", "next_cursor"], "{}", operation.name());
        assert!(operation.takes("query", "cursor") || page["next_cursor"].is_null(), "{}", operation.name());
        count += 1;
    }
    assert!(count >= 2);
    world.stop().await;
}

/// One of each that the house account has.
async fn things(admin: &Api, operations: &[Operation]) -> BTreeMap<&'static str, String> {
    let mut things = nobodys();
    let to = "sip:200@127.0.0.1:9";
    let mut made = Vec::new();
    let there_is =
        |method: Method, path: &str| operations.iter().any(|one| one.method == method && one.path == path);
    for (noun, path, body) in [
        ("calls", "/v1/calls", json!({ "from": NUMBER, "to": to })),
        ("messages", "/v1/messages", json!({ "from": NUMBER, "to": to, "text": "hello" })),
        ("agents", "/v1/agents", json!({ "name": "contract" })),
        ("webhooks", "/v1/webhooks", json!({ "url": "http://127.0.0.1:9/hook" })),
    ] {
        if !there_is(Method::POST, path) {
            continue;
        }
        let (status, thing) = admin.post(path, &body).await;
        assert!((200..300).contains(&status), "{path}: {thing}");
        made.push((noun, thing));
    }
    for (noun, path) in [("numbers", "/v1/numbers"), ("conversations", "/v1/conversations")] {
        if !there_is(Method::GET, path) {
            continue;
        }
        let (_, page) = admin.get(path).await;
        made.push((noun, page["items"][0].clone()));
    }
    for (noun, thing) in made {
        things.insert(noun, thing["id"].as_str().unwrap_or_else(|| panic!("{noun}: {thing}")).to_owned());
    }
    let (_, delivery) = admin.post(&format!("/v1/webhooks/{}/test", things["webhooks"]), &json!({})).await;
    let delivery = delivery["id"].as_str().unwrap_or_else(|| panic!("no delivery: {delivery}"));
    things.insert("deliveries", delivery.to_owned());
    things
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_accounts_is_not_there() {
    let more = "[outside]\nallow = ['127.0.0.0/8']\n".to_owned();
    let world = World::start(Setting { more, ..Setting::default() }).await;
    let admin = Api::admin(&world);
    let (document, operations) = operations(&admin).await;
    let things = things(&admin, &operations).await;
    let (_, account) = admin.post("/v1/admin/accounts", &json!({ "name": "Stranger" })).await;
    let all = Scope::ALL.iter().filter(|scope| **scope != Scope::Admin);
    let scopes: Vec<String> = all.map(|scope| scope.code().to_owned()).collect();
    let stranger = key(&admin, &world, &account["id"], &scopes).await;
    // Voices are everybody's.
    let of_accounts =
        operations.iter().filter(|one| one.path.contains('{') && !one.path.contains("/voices/"));
    for operation in of_accounts.filter(|one| one.needs_key()) {
        let path = operation.with_ids(&things);
        let answer =
            stranger.ask(operation.method.clone(), &path, example(&document, operation).as_ref()).await;
        match operation.scopes().iter().any(|scope| scope == "admin") {
            true => refused(operation, &answer, 403, "missing_scope"),
            false => refused(operation, &answer, 404, "not_found"),
        }
    }
    for operation in operations.iter().filter(|one| one.takes("query", "limit") && !one.path.contains('{')) {
        // The pool and the voices are everybody's.
        let is_shared = ["/available", "/voices"].iter().any(|end| operation.path.ends_with(end));
        if !operation.scopes().iter().any(|scope| scope == "admin") && !is_shared {
            let (status, page) = stranger.get(&operation.path).await;
            assert_eq!((status, &page["items"]), (200, &json!([])), "{}: {page}", operation.name());
        }
    }
    world.stop().await;
}
