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
use models::{ChatMessage, Delta, FinishReason, Generator, LlmError, Prompt, Role, Stage, Usage};

/// What the server does: a status, a content type, and pieces with the pause before each.
#[derive(Clone)]
struct Script {
    status: u16,
    kind: &'static str,
    pieces: Vec<(u64, Vec<u8>)>,
    /// Ends the body with an error instead of an end.
    breaks: bool,
    seen: Arc<Mutex<Vec<(HeaderMap, serde_json::Value)>>>,
}

fn streamed(text: &str) -> Script {
    Script {
        status: 200,
        kind: "text/event-stream",
        pieces: vec![(0, text.as_bytes().to_vec())],
        breaks: false,
        seen: Arc::default(),
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
        .status(StatusCode::from_u16(script.status).unwrap())
        .header("content-type", script.kind)
        .header("retry-after", "7")
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
