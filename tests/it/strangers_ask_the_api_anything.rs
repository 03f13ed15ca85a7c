//! schemathesis asks every operation of `/openapi.json` what it allows and what it does not: no server error, no answer that the
//! description does not tell. And the pages that describe the API need nobody but the box.

use std::path::PathBuf;

use reqwest::Method;
use tokio::process::Command;

use crate::support::{Api, Setting, World};

/// Requests for each operation and phase.
const EXAMPLES: &str = "25";
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

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_an_error_of_ours_or_untold() {
    let world = World::start(Setting { http: "requests_per_minute = 0", ..Setting::default() }).await;
    let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Where the trunk or the box has no room, 502 and 503 are the answers that the description tells.
    let settings = "[checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 502, 503]\n";
    std::fs::write(folder.path().join("schemathesis.toml"), settings).unwrap();
    let seed = std::env::var("OFFHOOK_SEED").unwrap_or_else(|_| SEED.into());
    let output = Command::new(schemathesis())
        .arg("--config-file=schemathesis.toml")
        .args(["run", &format!("http://{}/openapi.json", world.http)])
        .args(["--header", &format!("Authorization: Bearer {}", key.trim())])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", &seed, "--workers", "2"])
        .args(["--phases", "examples,coverage,fuzzing", "--generation-database", "none"])
        .args(["--continue-on-failure", "--request-timeout", "20", "--suppress-health-check", "all"])
        // They last as long as the client likes.
        .args(["--exclude-path-regex", "/(events|ws)$", "--no-color"])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
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
