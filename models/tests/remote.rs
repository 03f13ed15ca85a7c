//! A mind behind an HTTP address, as such servers are: well-behaved, sloppy, slow, broken.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use futures_util::{StreamExt, stream};
use models::llm::remote::{ChatCompletions, Timeouts};
use models::{
    ChatMessage, Delta, FinishReason, Generator, LlmError, Prompt, Role, Stage, ToolCall, ToolSpec, Usage,
};
use serde_json::json;

/// What the server does: a status, a content type, and pieces with the pause before each.
#[derive(Clone)]
struct Script {
    status: u16,
    kind: &'static str,
    pieces: Vec<(u64, Vec<u8>)>,
    /// Ends the body with an error instead of an end.
    breaks: bool,
    seen: Arc<Mutex<Vec<(HeaderMap, serde_json::Value)>>>,
    /// The first so many are answered with 503.
    refused: usize,
}

fn streamed(text: &str) -> Script {
    Script {
        status: 200,
        kind: "text/event-stream",
        pieces: vec![(0, text.as_bytes().to_vec())],
        breaks: false,
        seen: Arc::default(),
        refused: 0,
    }
}

async fn start(script: &Script) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{addr}/v1/chat/completions")
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response {
    script.seen.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
    let is_refused = script.seen.lock().unwrap().len() <= script.refused;
    let mut pieces: Vec<Option<(u64, Vec<u8>)>> = script.pieces.into_iter().map(Some).collect();
    if script.breaks {
        pieces.push(None);
    }
    let body = stream::iter(pieces).then(|piece| async move {
        match piece {
            Some((wait, bytes)) => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                Ok(Bytes::from(bytes))
            }
            None => Err(std::io::Error::other("cut")),
        }
    });
    Response::builder()
        .status(StatusCode::from_u16(if is_refused { 503 } else { script.status }).unwrap())
        .header("content-type", script.kind)
        .header("retry-after", if is_refused { "0" } else { "7" })
        .body(Body::from_stream(body))
        .unwrap()
}

/// Long enough for a busy machine.
fn timeouts() -> Timeouts {
    let long = Duration::from_secs(20);
    Timeouts { connect: long, first_token: long, idle: long, total: long * 2 }
}

/// One clock is short, and the others will not run out first, however slow the machine is.
fn short(stage: Stage) -> Timeouts {
    let short = Duration::from_millis(300);
    match stage {
        Stage::FirstToken => Timeouts { first_token: short, ..timeouts() },
        Stage::Idle => Timeouts { idle: short, ..timeouts() },
        Stage::Total => Timeouts { total: short * 4, ..timeouts() },
        Stage::Connect => Timeouts { connect: short, ..timeouts() },
    }
}

fn prompt() -> Prompt {
    Prompt {
        stop: ["a", "b", "c", "d", "e"].map(str::to_owned).into(),
        ..Prompt::new(vec![
            ChatMessage::new(Role::System, "You are a helpful assistant."),
            ChatMessage::new(Role::User, "Hi, I'd like to schedule an appointment."),
        ])
    }
}

async fn run(mind: &ChatCompletions) -> Result<(Vec<String>, FinishReason, Usage), LlmError> {
    let mut stream = mind.generate(prompt());
    let mut pieces = Vec::new();
    let mut done = None;
    while let Some(delta) = stream.next().await {
        assert!(done.is_none(), "nothing comes after Done");
        match delta? {
            Delta::Text(text) => pieces.push(text),
            Delta::Done { reason, usage } => done = Some((reason, usage)),
            other => panic!("{other:?}"),
        }
    }
    let (reason, usage) = done.expect("Done comes last");
    Ok((pieces, reason, usage))
}

async fn ask(script: &Script) -> Result<(Vec<String>, FinishReason, Usage), LlmError> {
    run(&ChatCompletions::new(start(script).await, Some("sk-1".into()), "gpt", timeouts())).await
}

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Sure, I can\"}}]}\n\n\
                     data: {\"choices\":[{\"delta\":{\"content\":\" help with that.\"}}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn a_webhook_is_asked_as_its_format_says_and_its_stream_is_read() {
    let script = streamed(HELLO);
    let mind = ChatCompletions::webhook(start(&script).await, None, timeouts());
    let (pieces, reason, usage) = run(&mind).await.unwrap();
    assert_eq!(pieces, ["Sure, I can", " help with that."]);
    assert_eq!(reason, FinishReason::Stop);
    assert!(usage.first_token.is_some());
    let seen = script.seen.lock().unwrap();
    assert_eq!(
        seen[0].1,
        serde_json::json!({
            "model": "custom",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Hi, I'd like to schedule an appointment."}
            ],
            "stream": true
        })
    );
    assert!(seen[0].0.get("authorization").is_none());
}

#[tokio::test]
async fn a_server_with_a_key_gets_it_and_the_sampling() {
    let script = streamed(HELLO);
    let mut mind = ChatCompletions::new(start(&script).await, Some("sk-1".into()), "gpt", timeouts());
    mind.headers.push(("x-call".into(), "call_1".into()));
    run(&mind).await.unwrap();
    let seen = script.seen.lock().unwrap();
    let (headers, body) = &seen[0];
    assert_eq!(headers["authorization"], "Bearer sk-1");
    assert_eq!(headers["x-call"], "call_1");
    assert_eq!((&body["model"], &body["max_tokens"]), (&"gpt".into(), &160.into()));
    assert_eq!(body["stop"].as_array().unwrap().len(), 4, "the format allows no more");
    assert!(!format!("{mind:?}").contains("sk-1"), "a key is not for logs");
}

#[tokio::test]
async fn a_stream_may_be_cut_anywhere_and_dressed_in_any_way() {
    let dressed = ": a comment\r\n\r\nevent: x\r\ndata:{\"id\":1,\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
                   data: {\"choices\":[{\"delta\":{\"content\":\"Grüß \"}}]}\r\n\r\ndata:\r\n\r\n\
                   data: {\"choices\":[{\"delta\":{\"content\":\"Gott 😀\"},\"finish_reason\":\"length\"}]}\r\n\r\n\
                   data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\r\n\r\ndata: [DONE]\r\n\r\n";
    for size in [1, 3, 7, 1000] {
        let pieces = dressed.as_bytes().chunks(size).map(|c| (0, c.to_vec())).collect();
        let (pieces, reason, usage) = ask(&Script { pieces, ..streamed("") }).await.unwrap();
        assert_eq!(pieces, ["Grüß ", "Gott 😀"]);
        assert_eq!((reason, usage.prompt_tokens, usage.completion_tokens), (FinishReason::Length, 9, 4));
    }
}

#[tokio::test]
async fn a_stream_without_done_and_without_a_last_newline_is_an_answer() {
    let (pieces, ..) =
        ask(&streamed("data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"}}]}")).await.unwrap();
    assert_eq!(pieces, ["Yes."]);
}

#[tokio::test]
async fn a_whole_reply_instead_of_a_stream_is_an_answer() {
    let whole = "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Yes.\"},\"finish_reason\":\"stop\"}]}";
    let script = Script { kind: "application/json; charset=utf-8", ..streamed(whole) };
    let (pieces, reason, _) = ask(&script).await.unwrap();
    assert_eq!((pieces, reason), (vec!["Yes.".to_owned()], FinishReason::Stop));
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_what_it_is() {
    for (script, part) in [
        (streamed(""), "empty"),
        (streamed("data: {oops}\n\n"), "key must be a string"),
        (streamed("data: {\"error\":{\"message\":\"model is asleep\"}}\n\n"), "asleep"),
        (Script { kind: "application/json", ..streamed("{\"answer\":1}") }, "no choices"),
        (Script { kind: "application/json", ..streamed("not json") }, "expected"),
    ] {
        let error = ask(&script).await.unwrap_err();
        assert!(
            matches!(&error, LlmError::Protocol { .. }) && error.to_string().contains(part),
            "{part}: {error}"
        );
    }
}

#[tokio::test]
async fn an_http_error_keeps_its_status_its_words_and_when_to_come_back() {
    let error = ask(&Script { status: 429, ..streamed(&"slow down ".repeat(500)) }).await.unwrap_err();
    let LlmError::Status { status, body, retry_after, .. } = error else { panic!("{error}") };
    assert_eq!((status, retry_after), (429, Some(Duration::from_secs(7))));
    assert!(body.starts_with("slow down") && body.len() <= 500);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    // The address was checked by whoever configured it; where it points to was not.
    assert!(matches!(
        ask(&Script { status: 307, ..streamed("") }).await,
        Err(LlmError::Status { status: 307, .. })
    ));
}

#[tokio::test]
async fn each_clock_is_named_when_it_runs_out() {
    let piece = |wait: u64, text: &str| {
        (wait, format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into_bytes())
    };
    for (pieces, stage) in [
        (vec![piece(60_000, "late")], Stage::FirstToken),
        (vec![piece(0, "one"), piece(60_000, "two")], Stage::Idle),
        ((0..600).map(|_| piece(100, "on and on")).collect(), Stage::Total),
        // Comments keep a connection alive, and a caller waiting.
        ((0..600).map(|_| (100, b": still here\n\n".to_vec())).collect(), Stage::FirstToken),
    ] {
        let url = start(&Script { pieces, ..streamed("") }).await;
        match run(&ChatCompletions::webhook(url, None, short(stage))).await {
            Err(LlmError::Timeout { stage: s, .. }) => assert_eq!(s, stage),
            other => panic!("{stage}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_never_was_is_told() {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"Half an\"}}]}\n\n";
    let error = ask(&Script { breaks: true, ..streamed(half) }).await.unwrap_err();
    assert!(matches!(error, LlmError::Connect { .. }), "{error}");
    let nobody = ChatCompletions::webhook("http://127.0.0.1:9/", None, timeouts());
    assert!(matches!(run(&nobody).await, Err(LlmError::Connect { .. })));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    // Whoever speaks holds one end; the other sees it go.
    let (speaking, silence) = tokio::sync::oneshot::channel::<()>();
    let speaking = Arc::new(Mutex::new(Some(speaking)));
    let endless = move || {
        let held = speaking.lock().unwrap().take().expect("asked once");
        let body = stream::unfold(held, |held| async move {
            // As fast as the other side reads, and no faster.
            tokio::task::yield_now().await;
            let piece = Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"on \"}}]}\n\n");
            Some((Ok::<_, Infallible>(piece), held))
        });
        std::future::ready(Response::new(Body::from_stream(body)))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(endless))).await });
    let mind = ChatCompletions::webhook(url, None, timeouts());
    let mut stream = mind.generate(prompt());
    assert!(matches!(stream.next().await, Some(Ok(Delta::Text(_)))));
    drop(stream);
    let silence = tokio::time::timeout(Duration::from_secs(30), silence).await;
    assert!(silence.expect("the server still speaks").is_err(), "nothing is ever sent on it");
}

/// A prompt of a conversation in which a tool has been called once.
fn equipped() -> Prompt {
    let asked =
        ToolCall { id: "call_1".into(), name: "stock".into(), arguments: "{\"item\":\"rye\"}".into() };
    let mut wanted = ChatMessage::new(Role::Assistant, "");
    wanted.tool_calls.push(asked.clone());
    let messages = vec![
        ChatMessage::new(Role::User, "Have you rye bread?"),
        wanted,
        ChatMessage::result(&asked, "{\"left\":2}"),
        ChatMessage::new(Role::Assistant, "Two are left."),
        ChatMessage::new(Role::User, "And a baguette?"),
    ];
    let parameters = json!({ "type": "object", "properties": { "item": { "type": "string" } } });
    let tool = ToolSpec { name: "stock".into(), description: "What is left.".into(), parameters };
    Prompt { tools: vec![tool], ..Prompt::new(messages) }
}

async fn deltas(mind: &ChatCompletions, prompt: Prompt) -> Vec<Result<Delta, LlmError>> {
    mind.generate(prompt).collect().await
}

/// Text, tool calls, and that `Done` comes last.
fn told(deltas: Vec<Result<Delta, LlmError>>) -> (String, Vec<(String, String, String)>) {
    let (mut text, mut calls, mut done) = (String::new(), Vec::new(), false);
    for delta in deltas {
        assert!(!done, "nothing comes after Done");
        match delta.unwrap() {
            Delta::Text(more) => text += &more,
            Delta::ToolCall(ToolCall { id, name, arguments }) => calls.push((id, name, arguments)),
            Delta::Done { reason, .. } => {
                assert_eq!(reason, FinishReason::Stop);
                done = true;
            }
            Delta::Fallback { because } => panic!("{because}"),
        }
    }
    assert!(done);
    (text, calls)
}

fn triple(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.into(), name.into(), arguments.into())
}

#[tokio::test]
async fn tools_are_offered_and_their_calls_put_together_from_fragments() {
    let stream = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"One moment.\",\"tool_calls\":null}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"stock\",\"arguments\":\"\"}}]}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"item\\\":\"}}]}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"baguette\\\"}\"}},{\"index\":1,\"id\":\"call_b\",\"function\":{\"name\":\"wait\"}}]}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let script = streamed(stream);
    let mind = ChatCompletions::new(start(&script).await, None, "gpt", timeouts());
    let (text, calls) = told(deltas(&mind, equipped()).await);
    assert_eq!(text, "One moment.");
    let stock = triple("call_a", "stock", "{\"item\":\"baguette\"}");
    assert_eq!(calls, [stock, triple("call_b", "wait", "{}")]);
    let body = &script.seen.lock().unwrap()[0].1;
    assert_eq!(
        body["tools"],
        json!([{ "type": "function", "function": { "name": "stock", "description": "What is left.",
            "parameters": { "type": "object", "properties": { "item": { "type": "string" } } } } }])
    );
    let call = json!({ "name": "stock", "arguments": "{\"item\":\"rye\"}" });
    let call = json!([{ "id": "call_1", "type": "function", "function": call }]);
    assert_eq!(body["messages"][1], json!({ "role": "assistant", "content": null, "tool_calls": call }));
    assert_eq!(
        body["messages"][2],
        json!({ "role": "tool", "content": "{\"left\":2}", "tool_call_id": "call_1" })
    );
}

#[tokio::test]
async fn whole_calls_without_ids_get_ids_of_their_conversation() {
    let call = json!({ "function": { "name": "stock", "arguments": { "item": "roll" } } });
    let message = json!({ "role": "assistant", "content": "", "tool_calls": [call, call] });
    let whole = json!({ "choices": [{ "message": message, "finish_reason": "tool_calls" }] }).to_string();
    let script = Script { kind: "application/json", ..streamed(&whole) };
    let mind = ChatCompletions::new(start(&script).await, None, "gpt", timeouts());
    let (text, calls) = told(deltas(&mind, equipped()).await);
    let arguments = "{\"item\":\"roll\"}";
    assert_eq!(text, "");
    assert_eq!(calls, [triple("call_2", "stock", arguments), triple("call_3", "stock", arguments)]);
}

#[tokio::test]
async fn endless_or_nameless_calls_are_no_answer() {
    let line = |fragment: serde_json::Value| {
        let delta = json!({ "choices": [{ "delta": { "tool_calls": [fragment] } }] });
        format!("data: {delta}\n\n")
    };
    let many: String = (0..17).map(|i| line(json!({ "index": i, "function": { "name": "x" } }))).collect();
    let long = line(json!({ "index": 0, "function": { "name": "x", "arguments": "y".repeat(40_000) } }));
    let nameless = line(json!({ "index": 0, "function": { "arguments": "{}" } }));
    for (stream, part) in [(many, "too many"), (long, "too long"), (nameless, "no name")] {
        let mind = ChatCompletions::new(start(&streamed(&stream)).await, None, "gpt", timeouts());
        let error = deltas(&mind, equipped()).await.pop().unwrap().unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_webhook_is_told_nothing_of_tools_and_a_schema_is_asked_of_servers() {
    let script = streamed(HELLO);
    let schema = json!({ "type": "object" });
    let prompt = Prompt { schema: Some(schema.clone()), ..equipped() };
    let url = start(&script).await;
    told(deltas(&ChatCompletions::webhook(url.clone(), None, timeouts()), prompt.clone()).await);
    told(deltas(&ChatCompletions::new(url, None, "gpt", timeouts()), prompt).await);
    let seen = script.seen.lock().unwrap();
    let (webhook, server) = (&seen[0].1, &seen[1].1);
    let roles: Vec<_> =
        webhook["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert!(webhook.get("tools").is_none() && webhook.get("response_format").is_none());
    assert_eq!(server["response_format"]["type"], "json_schema");
    assert_eq!(server["response_format"]["json_schema"]["schema"], schema);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_once_more() {
    for (refused, asked, answered) in [(1, 2, true), (2, 2, false)] {
        let script = Script { refused, ..streamed(HELLO) };
        let answer = ask(&script).await;
        assert_eq!((answer.is_ok(), script.seen.lock().unwrap().len()), (answered, asked), "{answer:?}");
    }
}
