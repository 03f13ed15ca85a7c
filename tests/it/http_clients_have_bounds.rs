//! What clients of the HTTP interface may take: requests, bytes, time; and whom they can trust.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Api, Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_it_may_again() {
    let world = World::start(Setting { http: "requests_per_minute = 3", ..Setting::default() }).await;
    let api = Api::admin(&world);
    for left in ["2", "1", "0"] {
        let (status, headers, _) = api.full(Method::GET, "/v1/calls", &[], None).await;
        let limit = headers["ratelimit"].to_str().unwrap();
        assert!(status == 200 && limit.starts_with(&format!("\"key\";r={left};t=")), "{limit}");
        assert_eq!(headers["ratelimit-policy"], "\"key\";q=3;w=60");
    }
    let (status, headers, problem) = api.full(Method::GET, "/v1/calls", &[], None).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("rate_limited")));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    // What nobody shows a key for counts for nobody.
    assert_eq!(api.get("/health").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_refused() {
    let world = World::start(Setting { http: "max_body_bytes = 2048", ..Setting::default() }).await;
    let api = Api::admin(&world);
    let long = json!({ "name": "x".repeat(4096) });
    for headers in [&[][..], &[("Idempotency-Key", "one")][..]] {
        let (status, _, problem) = api.full(Method::POST, "/v1/admin/accounts", headers, Some(&long)).await;
        assert_eq!((status, problem["code"].as_str()), (413, Some("body_too_large")), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_an_id_that_its_problem_names() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let mine = [("X-Request-Id", "mine-7")];
    let (_, headers, problem) = api.full(Method::GET, "/v1/nothing", &mine, None).await;
    assert_eq!(
        (&headers["x-request-id"], problem["request_id"].as_str()),
        (&"mine-7".parse().unwrap(), Some("mine-7"))
    );
    let (_, headers, problem) = api.full(Method::GET, "/v1/nothing", &[("X-Request-Id", "a b")], None).await;
    let made = headers["x-request-id"].to_str().unwrap();
    assert!(made.starts_with("req_") && made.len() == 20, "{made}");
    assert_eq!(problem["request_id"].as_str(), Some(made));
    let (status, headers, problem) = api.full(Method::PUT, "/v1/calls", &[], None).await;
    assert_eq!((status, problem["code"].as_str()), (405, Some("method_not_allowed")));
    assert!(headers["allow"].to_str().unwrap().contains("GET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dawdles_is_left() {
    let world = World::start(Setting { http: "header_timeout_s = 1", ..Setting::default() }).await;
    let mut client = TcpStream::connect(world.http).await.unwrap();
    client.write_all(b"GET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ").await.unwrap();
    let mut told = Vec::new();
    timeout(Duration::from_secs(20), client.read_to_end(&mut told))
        .await
        .expect("the server hangs up")
        .unwrap();
    assert!(!String::from_utf8_lossy(&told).contains("200"), "{}", String::from_utf8_lossy(&told));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_more_than_there_is_room_for_waits_until_one_leaves() {
    let world = World::start(Setting { http: "max_connections = 1", ..Setting::default() }).await;
    let request = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n";
    let mut first = TcpStream::connect(world.http).await.unwrap();
    first.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(world.http).await.unwrap();
    second.write_all(request).await.unwrap();
    // Nothing has come for the second when the first has been answered once more.
    first.write_all(request).await.unwrap();
    let mut more = [0; 300];
    while first.read(&mut more).await.unwrap() == more.len() {}
    assert!(second.try_read(&mut [0; 1]).is_err());
    drop(first);
    timeout(Duration::from_secs(20), second.read_exact(&mut answer)).await.expect("room in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

async fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_certificate_makes_it_https() {
    let papers = tempfile::tempdir().unwrap();
    let (pem, key) = (papers.path().join("own.pem"), papers.path().join("own.key"));
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let subject = [
        "-subj",
        "/CN=here",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "own.key",
        "-out",
        "own.pem",
    ];
    openssl(papers.path(), &[&request[..], &subject[..]].concat()).await;
    let more = format!(
        "[http.tls]\ncertificate = {:?}\nkey = {:?}\n",
        pem.display().to_string(),
        key.display().to_string()
    );
    let world = World::start(Setting { more, ..Setting::default() }).await;
    let curl = |scheme: &str| {
        let url = format!("{scheme}://{}/health", world.http);
        Command::new("curl").args(["-s", "--max-time", "10", "--cacert"]).arg(&pem).arg(url).output()
    };
    assert_eq!(curl("https").await.unwrap().stdout, b"ok\n");
    assert!(!curl("http").await.unwrap().status.success());
}
