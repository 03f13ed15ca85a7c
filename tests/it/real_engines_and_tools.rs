//! With the real ear and mouth, and a server of chat completions that asks for tools: what the caller says leads to a deed.

use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use models::llm::remote::{ChatCompletions, Timeouts};
use models::local::{Local, LocalConfig};
use offhook::domain::{EndReason, EventKind, Speaker};
use offhook::phone::wer::word_error_rate;
use serde_json::{Value, json};

use crate::real_engines::{engines, words};
use crate::support::{Caller, Endpoint, NUMBER, Peer, Setting, World, prompt};

/// A server of chat completions that keeps what it was asked: the key it was shown, and the request.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Answers every question with the same tool call.
    async fn that_wants(name: &'static str, arguments: Value) -> Self {
        Self::that_answers(move |_| wants(name, &arguments)).await
    }

    /// Answers with deltas, by the last message.
    async fn that_answers(answer: impl Fn(&Value) -> Vec<Value> + Clone + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let kept = asked.clone();
        let answer = move |headers: HeaderMap, axum::Json(request): axum::Json<Value>| {
            let key = headers.get(AUTHORIZATION).and_then(|key| key.to_str().ok()).unwrap_or_default();
            let deltas = answer(&request["messages"].as_array().unwrap().last().unwrap().clone());
            kept.lock().unwrap().push((key.to_owned(), request));
            let mut stream = String::new();
            for delta in deltas {
                stream += &format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }));
            }
            stream += "data: [DONE]\n\n";
            async move { ([(CONTENT_TYPE, "text/event-stream")], stream) }
        };
        let router = axum::Router::new().fallback(answer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }
}

/// A tool call as OpenAI streams it: the name first, and the arguments in pieces.
fn wants(name: &str, arguments: &Value) -> Vec<Value> {
    let arguments = arguments.to_string();
    let (one, other) = arguments.split_at(arguments.len() / 2);
    let call = |call: Value| json!({ "tool_calls": [call] });
    vec![
        json!({ "role": "assistant", "content": null }),
        call(
            json!({ "index": 0, "id": "call_a", "type": "function", "function": { "name": name, "arguments": "" } }),
        ),
        call(json!({ "index": 0, "function": { "arguments": one } })),
        call(json!({ "index": 0, "function": { "arguments": other } })),
    ]
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
        let (_, last) = asked.last().unwrap();
        assert_eq!(last["tools"][0]["function"]["name"], "transfer");
        assert_eq!(last["tools"][0]["function"]["parameters"]["properties"]["to"]["enum"], json!(["sales"]));
        let words = last["messages"].as_array().unwrap().last().unwrap();
        assert_eq!((&words["role"], &words["content"]), (&json!("user"), &json!(heard)));
    }
    world.stop().await;
    supervisors.shutdown().await;
}

/// Words of the recorded prompt that the caller plays, and what comes of them.
const QUESTION: &str = "Please check the number and dial again.";
const ANSWER: &str = "The number is right, and somebody will call you tonight.";

/// A `[[brain]]` of the configuration file, made as the gateway makes it, between the real ear and the real mouth.
#[tokio::test(flavor = "multi_thread")]
async fn a_brain_of_the_configuration_uses_a_tool_and_its_answer_is_understood_at_the_phone() {
    let crm = Endpoint::up();
    crm.says("{ \"right\": true }");
    let server = Server::that_answers(|last| match last["role"].as_str() {
        Some("tool") => ANSWER.split_inclusive(' ').map(|word| json!({ "content": word })).collect(),
        _ => wants("check_number", &json!({ "what": last["content"] })),
    })
    .await;
    let config = LocalConfig { engines_dir: engines(), llm: None, ..LocalConfig::default() };
    let Local { stt, turn, tts, supervisors, .. } =
        models::local::start(config).await.unwrap_or_else(|e| panic!("{e}"));
    let ear = stt.unwrap();
    let action = format!(
        "actions = [{{ name = 'check_number', description = 'Checks a number.', url = '{}', parameters = {{ \
         type = 'object', properties = {{ what = {{ type = 'string' }} }}, required = ['what'] }} }}]",
        crm.url()
    );
    let setting = Setting {
        transcriber: ear.clone(),
        judge: turn,
        synthesizer: tts.unwrap(),
        agent: format!("brain = 'crm'\ntools = {{ {action} }}\n").leak(),
        more: format!(
            "[outside]\nallow = ['127.0.0.1/32']\n[[brain]]\nname = 'crm'\nurl = '{}'\nmodel = 'large'\nkey = 'a-secret-key'\n",
            server.url
        ),
        ..Setting::default()
    };
    let mut world = World::start(setting).await;
    let script = format!("listen\nplay {}\nlisten 40s\nhangup", prompt("check-number-dial-again").display());
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, &script).await;
    let (call, events) = world.until_ended().await;
    let said: Vec<_> = call.transcript.iter().map(|f| (f.speaker, f.text.reveal().as_str())).collect();
    let [_, (Speaker::Caller, heard), (Speaker::Agent, ANSWER)] = said[..] else { panic!("{said:?}") };
    assert!(word_error_rate(QUESTION, heard) <= 0.3, "{heard:?}");
    let answer = outcome.exchanges.iter().rfind(|exchange| !exchange.heard.is_empty()).expect("an answer");
    let again = words(&*ear, &answer.heard).await;
    let errors = word_error_rate(ANSWER, &again);
    println!("heard {heard:?}; at the phone {again:?}: word error rate {errors:.2}");
    assert!(errors <= 0.35, "{again:?}");

    // The client's server was asked once, with what the caller had said.
    let [request] = &crm.received()[..] else { panic!("{:?}", crm.received()) };
    assert_eq!(request.json()["arguments"]["what"], heard);
    assert!(events.iter().any(|e| matches!(&e.kind, EventKind::Tool(tool) if tool.ok)));
    {
        let asked = server.asked.lock().unwrap();
        let (key, last) = asked.last().unwrap();
        assert_eq!((key.as_str(), &last["model"]), ("Bearer a-secret-key", &json!("large")));
        assert_eq!(last["tools"][0]["function"]["name"], "check_number");
        let messages = last["messages"].as_array().unwrap();
        let [.., wanted, told] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(wanted["tool_calls"][0]["function"]["name"], "check_number");
        assert_eq!((&told["role"], &told["content"]), (&json!("tool"), &json!("{\"right\":true}")));
    }
    world.stop().await;
    supervisors.shutdown().await;
}
