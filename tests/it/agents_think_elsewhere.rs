//! Brains behind URLs of a client's: told what is said in a call, signed; and what is heard when they do not answer.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::post;
use offhook::domain::{
    BrainChoice, Call, EndReason, Principal, Private, Settings, SigningSecret, Speaker, StageKind,
    StageOutcome,
};
use offhook::gateway::PlaceCall;
use offhook::outside::{proof, signature};
use serde_json::{Value, json};

use crate::support::{Api, Caller, NUMBER, Setting, World, prompt};

pub(crate) type Seen = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Answers everything with one status and one body.
pub(crate) async fn server(status: u16, kind: &'static str, body: &'static str) -> (String, Seen) {
    async fn answer(
        State((seen, status, kind, answer)): State<(Seen, u16, &'static str, &'static str)>,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl IntoResponse {
        seen.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
        (axum::http::StatusCode::from_u16(status).unwrap(), [("content-type", kind)], answer)
    }
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/turn", listener.local_addr().unwrap());
    let app = Router::new().route("/turn", post(answer)).with_state((seen.clone(), status, kind, body));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

async fn world() -> World {
    let more = "[outside]\nallow = ['127.0.0.0/8']\n".into();
    World::start(Setting { more, ..Setting::default() }).await
}

/// A call out to a phone that asks one question; and its record.
pub(crate) async fn asked(world: &mut World, settings: Settings) -> Call {
    let callee = Caller::new().await;
    let order = PlaceCall {
        from: Private::new(NUMBER.into()),
        to: Private::new(format!("sip:200@{}", callee.address())),
        metadata: [("case".to_owned(), json!("seven"))].into_iter().collect(),
        settings,
        ..PlaceCall::default()
    };
    let question =
        format!("listen\nplay {}\nlisten 20s\nhangup", prompt("check-number-dial-again").display());
    let placed = async { world.gateway.place(&Principal::operator(), order).await.unwrap() };
    tokio::join!(callee.answer(&question), placed);
    world.until_ended().await.0
}

/// What the agent said after the greeting.
pub(crate) fn answers(call: &Call) -> Vec<&str> {
    let said = call.transcript.iter().filter(|fragment| fragment.speaker == Speaker::Agent);
    said.skip(1).map(|fragment| fragment.text.reveal().as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_webhook_is_told_what_the_caller_says_and_may_end_the_call() {
    let lines =
        "{\"text\": \"Let me look.\", \"interim\": true}\n{\"text\": \"Yes, at nine.\", \"hangup\": true}\n";
    let (url, seen) = server(200, "application/x-ndjson", lines).await;
    let mut world = world().await;
    let brain = Some(BrainChoice::TurnWebhook { url });
    let call = asked(&mut world, Settings { brain, ..Settings::default() }).await;
    assert_eq!(answers(&call), ["Let me look. Yes, at nine."]);
    assert_eq!(call.end_reason, Some(EndReason::AgentHungUp));

    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "it is asked when the caller's turn is over, and once");
    let (headers, body) = &seen[0];
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["event"], &told["channel"]), (&json!("agent.message"), &json!("voice")));
    assert_eq!(told["data"]["callId"], json!(call.id));
    assert_eq!(told["data"]["transcript"], "Do you open today?");
    assert_eq!(told["data"]["metadata"], json!({ "case": "seven" }));
    assert_eq!(told["recentHistory"][0]["content"], "Hello there.");
    assert_eq!(told["recentHistory"][0]["direction"], "outbound");

    let (_, secret) = Api::admin(&world).get("/v1/signing-secret").await;
    let secret: SigningSecret = serde_json::from_value(secret["secret"].clone()).unwrap();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let ours = header("offhook-signature");
    let at = ours[2..].split(',').next().unwrap().parse().unwrap();
    assert_eq!(ours, signature(&[&secret], at, body));
    let theirs = format!("{}.{body}", header("x-webhook-timestamp"));
    assert_eq!(header("x-webhook-signature"), format!("sha256={}", proof(&secret, &theirs)));
    assert_eq!(header("x-webhook-id"), header("offhook-event-id"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_brain_fails_another_answers_and_the_record_says_so() {
    let (url, seen) = server(500, "text/plain", "no").await;
    let mut world = world().await;
    let settings = Settings {
        brain: Some(BrainChoice::TurnWebhook { url }),
        fallback_brain: Some(BrainChoice::Local),
        ..Settings::default()
    };
    let call = asked(&mut world, settings).await;
    assert_eq!(answers(&call), ["Yes, at nine."]);
    assert_eq!(seen.lock().unwrap().len(), 1);
    let stages = call.turns.iter().flat_map(|turn| &turn.explanation.stages);
    let stage = stages.clone().find(|stage| stage.stage == StageKind::Fallback);
    let stage = stage.unwrap_or_else(|| panic!("{:#?}", stages.collect::<Vec<_>>()));
    assert_eq!(stage.outcome, StageOutcome::Used);
    assert!(stage.detail.as_ref().is_some_and(|why| why.contains("500")), "{stage:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_other_answers_the_caller_hears_an_apology() {
    let (url, _) = server(200, "application/json", "[\"no object\"]").await;
    let mut world = world().await;
    let brain = Some(BrainChoice::TurnWebhook { url });
    let call = asked(&mut world, Settings { brain, ..Settings::default() }).await;
    assert!(answers(&call)[0].starts_with("I am sorry"), "{:?}", answers(&call));

    let api = Api::admin(&world);
    for (url, code) in [("https://10.0.0.1/x", "url_not_allowed"), ("nowhere", "url_invalid")] {
        let settings = json!({ "fallback_brain": { "kind": "turn_webhook", "url": url } });
        let order = json!({ "from": NUMBER, "to": "sip:a@127.0.0.1", "settings": settings });
        let (status, refused) = api.post("/v1/calls", &order).await;
        let told = (refused["code"].as_str(), refused["field"].as_str());
        assert_eq!((status, told), (422, (Some(code), Some("settings.fallback_brain"))), "{refused}");
    }
    world.stop().await;
}
