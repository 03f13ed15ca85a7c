//! The control API, asked by curl.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Caller, NUMBER, Pager, Peer, Setting, World};

fn key(world: &World) -> String {
    std::fs::read_to_string(world.data.path().join("admin.key")).unwrap()
}

/// Status and body of a request; `key` as a bearer token where there is one.
async fn curl(world: &World, key: Option<&str>, path: &str, arguments: &[&str]) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-s", "--max-time", "10", "-w", "\n%{http_code}"]).args(arguments);
    if let Some(key) = key {
        command.args(["-H", &format!("Authorization: Bearer {key}")]);
    }
    let output =
        command.arg(format!("http://{}{path}", world.http)).output().await.expect("curl is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}

/// The event stream, as curl prints it.
struct Listener {
    _curl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Whoever has the head of the answer misses nothing that comes afterwards.
async fn listen(world: &World, key: &str) -> Listener {
    let mut curl = Command::new("curl")
        .args(["-sN", "-D", "-", "-H", &format!("Authorization: Bearer {key}")])
        .arg(format!("http://{}/v1/events", world.http))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed");
    let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut listener = Listener { _curl: curl, lines };
    listener.next("HTTP/1.1 200").await;
    listener
}

impl Listener {
    /// The next line that starts so.
    async fn next(&mut self, start: &str) -> String {
        loop {
            let line = tokio::time::timeout(Duration::from_secs(30), self.lines.next_line()).await;
            let line = line.expect("a line in time").unwrap().expect("the stream goes on");
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

fn post(body: &Value) -> Vec<String> {
    ["-X", "POST", "-H", "Content-Type: application/json", "-d", &body.to_string()].map(String::from).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_without_the_key() {
    let world = World::start(Setting::default()).await;
    for path in ["/v1/calls", "/v1/events", "/v1/stats", "/v1/calls/call_0000000000000000"] {
        for key in [None, Some("wrong")] {
            let (status, problem) = curl(&world, key, path, &[]).await;
            assert_eq!((status, problem["code"].as_str()), (401, Some("unauthorized")), "{path}");
        }
    }
    assert_eq!(curl(&world, None, "/health", &[]).await.0, 200);
    let (status, ready) = curl(&world, None, "/ready", &[]).await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)));
    world.drain().await;
    assert_eq!(curl(&world, None, "/ready", &[]).await.0, 503);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let world = World::start(Setting::default()).await;
    let key = key(&world);
    let to = json!("sip:200@127.0.0.1:9");
    for (body, status, code, field) in [
        (json!({ "from": NUMBER, "to": "(415) 555-2671" }), 422, "invalid", json!("to")),
        (json!({ "from": "4155550100", "to": to }), 422, "invalid", json!("from")),
        (json!({ "from": NUMBER, "to": to, "agent": "nobody" }), 422, "invalid", json!("agent")),
        (json!({ "from": NUMBER }), 422, "invalid", Value::Null),
        (json!({ "from": NUMBER, "to": to, "surplus": 1 }), 422, "invalid", json!("surplus")),
    ] {
        let arguments = post(&body);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (got, problem) = curl(&world, Some(&key), "/v1/calls", &arguments).await;
        assert_eq!(
            (got, problem["code"].as_str(), &problem["field"]),
            (status, Some(code), &field),
            "{body}: {problem}"
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    let broken = ["-X", "POST", "-H", "Content-Type: application/json", "-d", "{"];
    assert_eq!(curl(&world, Some(&key), "/v1/calls", &broken).await.0, 400);
    assert_eq!(curl(&world, Some(&key), "/v1/calls?limit=0", &[]).await.0, 422);
    assert_eq!(curl(&world, Some(&key), "/v1/calls/call_0000000000000000", &[]).await.0, 404);
    assert_eq!(curl(&world, Some(&key), "/v1/calls/..%2f..%2fadmin.key", &[]).await.0, 404);
    assert_eq!(curl(&world, Some(&key), "/v1/nothing", &[]).await.0, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_followed_and_ended() {
    let mut world = World::start(Setting::default()).await;
    let key = key(&world);
    let mut lines = listen(&world, &key).await;

    let callee = Caller::new().await;
    let order = json!({ "from": NUMBER, "to": format!("sip:200@{}", callee.address()) });
    let arguments = post(&order);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let follow = async {
        let (status, placed) = curl(&world, Some(&key), "/v1/calls", &arguments).await;
        assert_eq!(status, 201, "{placed}");
        let id = placed["id"].as_str().unwrap().to_owned();
        let next = async {
            let mut names = Vec::new();
            loop {
                let line = lines.next("data: ").await;
                let event: Value = serde_json::from_str(line.trim_start_matches("data: ")).unwrap();
                assert_eq!(event["call_id"], id.as_str());
                names.push(event["type"].as_str().unwrap().to_owned());
                // The greeting is said: enough.
                if event["type"] == "call.turn" {
                    let (status, _) =
                        curl(&world, Some(&key), &format!("/v1/calls/{id}/hangup"), &["-X", "POST"]).await;
                    assert_eq!(status, 202);
                }
                if event["type"] == "call.ended" {
                    assert_eq!(event["data"]["end_reason"], "api_hung_up");
                    break;
                }
            }
            names
        };
        let names = next.await;
        (id, names)
    };
    let ((outcome, _), (id, names)) = tokio::join!(callee.answer("stay 30s"), follow);
    assert!(outcome.answered);
    assert!(names.iter().any(|name| name == "call.started"), "{names:?}");
    world.until_ended().await;
    let (status, call) = curl(&world, Some(&key), &format!("/v1/calls/{id}"), &[]).await;
    assert_eq!(
        (status, &call["status"], &call["end_reason"]),
        (200, &json!("completed"), &json!("api_hung_up"))
    );
    assert_eq!(call["transcript"][0]["text"], "Hello there.");
    let (_, page) = curl(&world, Some(&key), "/v1/calls?limit=5", &[]).await;
    assert_eq!(page["items"][0]["id"], id.as_str());
    let (status, problem) =
        curl(&world, Some(&key), &format!("/v1/calls/{id}/hangup"), &["-X", "POST"]).await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("call_over")), "{problem}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_sent_and_listed() {
    let world = World::start(Setting::default()).await;
    let key = key(&world);
    // Nobody answers there; what is asked here is what the API says meanwhile.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("sip:200@{}", silent.local_addr().unwrap());
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let arguments = post(&json!({ "from": NUMBER, "to": to, "text": text }));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (status, message) = curl(&world, Some(&key), "/v1/messages", &arguments).await;
        assert_eq!((status, message["status"].as_str()), (201, Some("queued")), "{message}");
        assert_eq!((message["text"].as_str(), message["direction"].as_str()), (Some(text), Some("outbound")));
        ids.push(message["id"].clone());
    }
    ids.reverse();
    let list = |query: String| {
        let (world, key) = (&world, &key);
        async move { curl(world, Some(key), &format!("/v1/messages?{query}"), &[]).await.1 }
    };
    let number = format!("number={NUMBER}");
    let first = list(format!("{number}&limit=2")).await;
    let of =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect::<Vec<_>>();
    assert_eq!(of(&first), ids[..2]);
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = list(format!("{number}&limit=2&cursor={cursor}")).await;
    assert_eq!((of(&second), &second["next_cursor"]), (ids[2..].to_vec(), &Value::Null));
    assert_eq!(of(&list("number=15550109999".into()).await), Vec::<Value>::new());

    for (query, field) in [("limit=0", "limit"), ("number=abc", "number"), ("cursor=!", "cursor")] {
        let problem = list(query.into()).await;
        assert_eq!((&problem["status"], problem["field"].as_str()), (&json!(422), Some(field)), "{problem}");
    }
    let arguments = post(&json!({ "from": NUMBER, "to": to, "text": "" }));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (status, problem) = curl(&world, Some(&key), "/v1/messages", &arguments).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("text")), "{problem}");
    let id = ids[0].as_str().unwrap();
    let (status, message) = curl(&world, Some(&key), &format!("/v1/messages/{id}"), &[]).await;
    assert_eq!((status, &message["text"]), (200, &json!("three")));
    for path in ["/v1/messages/msg_0000000000000000", "/v1/messages/call_0000000000000000"] {
        assert_eq!(curl(&world, Some(&key), path, &[]).await.0, 404);
    }
    assert_eq!(curl(&world, None, "/v1/messages", &[]).await.0, 401);

    let mut lines = listen(&world, &key).await;
    let answer = Pager::new().await.page(&world, "100", "text/plain", b"hi").await;
    assert!(answer.starts_with("SIP/2.0 202 "), "{answer}");
    let told = lines.next("data: ").await;
    let event: Value = serde_json::from_str(told.trim_start_matches("data: ")).unwrap();
    assert_eq!((&event["type"], &event["data"]["text"]), (&json!("message.received"), &json!("hi")));
    assert_eq!((&event["message_id"], &event["seq"]), (&event["data"]["id"], &json!(1)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_handed_on() {
    let mut world = World::start(Setting::default()).await;
    let key = key(&world);
    let (mut alice, mut carol) = (Peer::new("alice").await, Peer::new("carol").await);
    let ask = async |world: &World, id: &str, body: Value| {
        let arguments = post(&body);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (status, problem) =
            curl(world, Some(&key), &format!("/v1/calls/{id}/transfer"), &arguments).await;
        (status, problem["code"].as_str().map(str::to_owned), problem["field"].as_str().map(str::to_owned))
    };
    let carols = json!({ "to": carol.uri().to_string(), "mode": "bridge" });
    let (status, code, _) = ask(&world, "call_0000000000000000", carols.clone()).await;
    assert_eq!((status, code.as_deref()), (404, Some("not_found")));
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await.to_string();
    for (body, expected) in [
        (json!({ "to": "somebody" }), (422, Some("invalid"), Some("to"))),
        (json!({ "to": "sip:a@127.0.0.1", "mode": "warm" }), (422, Some("invalid"), Some("mode"))),
        (json!({}), (422, Some("invalid"), None)),
    ] {
        let (status, code, field) = ask(&world, &id, body.clone()).await;
        assert_eq!((status, code.as_deref(), field.as_deref()), expected, "{body}");
    }
    assert_eq!(ask(&world, &id, carols.clone()).await.0, 202);
    carol.answer().await;
    world.named("call.transferred").await;
    let (status, code, _) = ask(&world, &id, json!({ "to": carols["to"], "mode": "refer" })).await;
    assert_eq!((status, code.as_deref()), (409, Some("conflict")), "it is joined already");
    carol.hang_up().await;
    alice.ended().await;
    world.named("call.ended").await;
    let (_, call) = curl(&world, Some(&key), &format!("/v1/calls/{id}"), &[]).await;
    assert_eq!((&call["transferred_to"], &call["end_reason"]), (&carols["to"], &json!("target_hung_up")));
    world.stop().await;
}
