//! With the real ear and mouth, and a server of chat completions that asks for tools: what the caller says leads to a deed.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use models::llm::remote::{ChatCompletions, Timeouts};
use models::local::{Local, LocalConfig};
use offhook::domain::{EndReason, EventKind, Speaker};
use serde_json::{Value, json};

use crate::real_engines::engines;
use crate::support::{Caller, NUMBER, Peer, Setting, World, prompt};

/// A server that answers every question with the same tool call, and keeps what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn that_wants(name: &'static str, arguments: Value) -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let answer = move |State(asked): State<Arc<Mutex<Vec<Value>>>>,
                           axum::Json(request): axum::Json<Value>| {
            asked.lock().unwrap().push(request);
            let call = json!({ "index": 0, "id": "call_a", "function": { "name": name, "arguments": arguments.to_string() } });
            let delta = json!({ "choices": [{ "delta": { "role": "assistant", "tool_calls": [call] } }] });
            let end = json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] });
            let stream = format!("data: {delta}\n\ndata: {end}\n\ndata: [DONE]\n\n");
            async move { ([(CONTENT_TYPE, "text/event-stream")], stream) }
        };
        let router = axum::Router::new().fallback(answer).with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_wish_is_understood_and_the_caller_is_handed_on_between_real_peers() {
    let server =
        Server::that_wants("transfer", json!({ "to": "sales", "say": "I am putting you through." })).await;
    let config = LocalConfig { engines_dir: engines(), llm: None, ..LocalConfig::default() };
    let Local { stt, turn, tts, supervisors, .. } =
        models::local::start(config).await.unwrap_or_else(|e| panic!("{e}"));
    let mut carol = Peer::new("carol").await;
    let setting = Setting {
        transcriber: stt.unwrap(),
        judge: turn,
        synthesizer: tts.unwrap(),
        generator: Arc::new(ChatCompletions::new(&server.url, None, "test", Timeouts::default())),
        agent: format!("tools = {{ transfer = {{ sales = '{}' }} }}\n", carol.uri()).leak(),
        trunk: "transfer = 'bridge'",
        ..Setting::default()
    };
    let mut world = World::start(setting).await;
    let script = format!("listen\nplay {}\nstay 40s\nhangup", prompt("check-number-dial-again").display());
    let mut events = world.gateway.subscribe();
    let sales = async {
        let offer = carol.rings().await.unwrap();
        carol.take(&offer).await;
        while !matches!(events.recv().await.unwrap().kind, EventKind::Transferred { bridged: true, .. }) {}
        carol.hang_up().await;
    };
    let caller = Caller::new().await;
    tokio::join!(caller.call(&world, NUMBER, &script), sales);
    let (call, events) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(EndReason::TargetHungUp));
    let said: Vec<_> = call.transcript.iter().map(|f| (f.speaker, f.text.reveal().as_str())).collect();
    let [_, (Speaker::Caller, heard), (Speaker::Agent, "I am putting you through.")] = said[..] else {
        panic!("{said:?}")
    };
    println!("heard {heard:?}");
    let tool =
        events.iter().find_map(|e| if let EventKind::Tool(tool) = &e.kind { Some(tool) } else { None });
    assert!(tool.is_some_and(|tool| tool.ok && tool.name == "transfer"), "{tool:?}");
    {
        let asked = server.asked.lock().unwrap();
        let last = asked.last().unwrap();
        assert_eq!(last["tools"][0]["function"]["name"], "transfer");
        assert_eq!(last["tools"][0]["function"]["parameters"]["properties"]["to"]["enum"], json!(["sales"]));
        let words = last["messages"].as_array().unwrap().last().unwrap();
        assert_eq!((&words["role"], &words["content"]), (&json!("user"), &json!(heard)));
    }
    world.stop().await;
    supervisors.shutdown().await;
}
