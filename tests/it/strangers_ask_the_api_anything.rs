//! schemathesis asks every operation of `/openapi.json` what it allows and what it does not: no server error, no answer that the
//! description does not tell. And the pages that describe the API need nobody but the box.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Api, Caller, Endpoint, NUMBER, Pager, Setting, World, prompt};

/// Requests for each operation and phase.
const EXAMPLES: &str = "12";
/// The same requests each time. Another one by `OFFHOOK_SEED`.
const SEED: &str = "20261122";
/// What an answer may do wrong.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,ignored_auth,missing_required_header";

/// As `scripts/setup-test.sh` installs it.
fn schemathesis() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let path = cache.join("offhook/test-tools/schemathesis/bin/schemathesis");
    assert!(path.exists(), "{} is missing: make setup-test", path.display());
    path
}

/// Asks everything, with further settings of schemathesis's own.
async fn ask(world: &World, settings: &str, phases: &str) {
    let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Where the trunk or the box has no room, 502 and 503 are the answers that the description tells.
    let expected = "[checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502, 503]\n";
    std::fs::write(folder.path().join("schemathesis.toml"), format!("{settings}\n{expected}")).unwrap();
    let seed = std::env::var("OFFHOOK_SEED").unwrap_or_else(|_| SEED.into());
    // One worker: `ast.parse` of Python 3.11 is not sound in several threads.
    let output = Command::new(schemathesis())
        .arg("--config-file=schemathesis.toml")
        .args(["run", &format!("http://{}/openapi.json", world.http)])
        .args(["--header", &format!("Authorization: Bearer {}", key.trim())])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", &seed, "--workers", "1"])
        .args(["--phases", phases, "--generation-database", "none"])
        .args(["--continue-on-failure", "--request-timeout", "20", "--suppress-health-check", "all"])
        // They last as long as the client likes.
        .args(["--exclude-path-regex", "/(events|ws)$", "--no-color"])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// As many requests as come.
fn setting() -> Setting {
    Setting { http: "requests_per_minute = 0", ..Setting::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_an_error_of_ours_or_untold() {
    let world = World::start(setting()).await;
    ask(&world, "", "examples,coverage,fuzzing").await;
}

/// The first of a list.
async fn first(api: &Api, path: &str) -> String {
    let (status, list) = api.get(path).await;
    let id = list["items"][0]["id"].as_str();
    id.unwrap_or_else(|| panic!("{path}: {status} {list}")).to_owned()
}

async fn made(api: &Api, path: &str, body: &Value) -> String {
    let (status, made) = api.post(path, body).await;
    made["id"].as_str().unwrap_or_else(|| panic!("{path}: {status} {made}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_shown_as_it_is_described() {
    let endpoint = Endpoint::up();
    let more = "[outside]\nallow = ['127.0.0.1/32']\n".to_owned();
    let mut world = World::start(Setting { more, ..setting() }).await;
    let api = Api::admin(&world);
    let webhook = made(&api, "/v1/webhooks", &json!({ "url": endpoint.url() })).await;
    let script =
        format!("listen\nplay {}\nlisten\ndtmf 42\nhangup", prompt("check-number-dial-again").display());
    Caller::new().await.call(&world, NUMBER, &script).await;
    world.named("call.recording.ready").await;
    Pager::new().await.page(&world, "100", "text/plain", b"Are you open?").await;
    world.named("message.received").await;
    let (call, message) = (first(&api, "/v1/calls").await, first(&api, "/v1/messages").await);
    let conversation = first(&api, "/v1/conversations").await;
    let delivery = first(&api, &format!("/v1/webhooks/{webhook}/deliveries")).await;
    let agent = made(&api, "/v1/agents", &json!({ "name": "reception" })).await;
    let number = first(&api, "/v1/numbers").await;
    let account = made(&api, "/v1/admin/accounts", &json!({ "name": "Clinic" })).await;
    let key = made(&api, "/v1/admin/keys", &json!({ "name": "k", "scopes": ["calls:read"] })).await;
    let known = [
        ("calls", &call),
        ("messages", &message),
        ("conversations", &conversation),
        ("webhooks", &webhook),
        ("agents", &agent),
        ("numbers", &number),
        ("admin/accounts", &account),
        ("admin/keys", &key),
    ];
    let mut settings = String::new();
    for (path, id) in known {
        // What is ended or given back is there no more for those who come after.
        let skipped = "exclude-method = [\"DELETE\"]\n";
        settings += &format!("[[operations]]\ninclude-path-regex = \"^/v1/{path}/\"\n{skipped}");
        settings +=
            &format!("parameters = {{ \"path.id\" = \"{id}\", \"path.delivery_id\" = \"{delivery}\" }}\n\n");
    }
    ask(&world, &settings, "coverage,fuzzing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_that_describe_the_api_come_from_the_box_alone() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let (status, headers, page) = api.full(Method::GET, "/docs/", &[], None).await;
    let page = page.as_str().unwrap();
    assert!(
        status == 200
            && headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self';")
    );
    let quoted: Vec<&str> = page.split('"').collect();
    let files: Vec<_> =
        quoted.windows(2).filter(|pair| pair[0].ends_with("src=") || pair[0].ends_with("href=")).collect();
    assert!(files.len() > 3, "{page}");
    for file in files {
        assert!(!file[1].contains("//"), "{}", file[1]);
        let path = format!("/docs/{}", file[1].trim_start_matches("./"));
        assert_eq!(api.get(&path).await.0, 200, "{path}");
    }
    let settings = api.get("/docs/swagger-initializer.js").await.1;
    assert!(settings.as_str().unwrap().contains("\"validatorUrl\": \"none\""), "{settings}");
    let (_, headers, text) = api.full(Method::GET, "/llms.txt", &[], None).await;
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert!(text.as_str().unwrap().contains("### POST /v1/calls\n"));
}
