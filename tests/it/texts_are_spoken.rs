//! Voices that can be heard, and texts that are spoken outside of any call.

use std::sync::Arc;

use models::fake::FakeSynthesizer;
use serde_json::{Value, json};

use crate::support::{Api, Setting, World};

const DEFAULT: &str = "piper-en_US-joe-medium";

async fn speak(world: &World, body: &Value) -> (u16, String, Vec<u8>) {
    let key = std::fs::read_to_string(world.data.path().join("admin.key")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("http://{}/v1/speech", world.http)).bearer_auth(key.trim()).json(body);
    let answer = request.send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_becomes_a_file_and_its_characters_are_counted() {
    let mouth = Arc::new(FakeSynthesizer::default());
    let world = World::start(Setting { synthesizer: mouth.clone(), ..Setting::default() }).await;
    let text = "We are open until six. Come in!";
    let (status, kind, bytes) = speak(&world, &json!({ "text": text, "speed": 1.5 })).await;
    assert_eq!((status, kind.as_str()), (200, "audio/wav"));
    let wav = media::wav::parse(&bytes).unwrap();
    assert!(wav.channels == 1 && wav.mono().len() > usize::try_from(wav.rate).unwrap());
    assert!(mouth.asked.all().iter().any(|phrase| phrase.speed == 1.5 && phrase.voice.is_none()));
    let (status, kind, bytes) =
        speak(&world, &json!({ "text": text, "voice": DEFAULT, "format": "mp3" })).await;
    assert_eq!((status, kind.as_str()), (200, "audio/mpeg"));
    // A frame begins with eleven ones (ISO 11172-3 §2.4.1.3).
    assert!(bytes[0] == 0xff && bytes[1] & 0xe0 == 0xe0, "{:?}", &bytes[..4]);
    let (_, usage) = Api::admin(&world).get("/v1/usage").await;
    assert_eq!(usage["total"]["characters"], 2 * text.chars().count());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_asked_for_again_costs_once() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    let body = json!({ "text": "We are open until six." });
    let ask = |body: &Value| {
        let body = body.clone();
        let api = &api;
        async move {
            let headers = [("idempotency-key", "said-7")];
            let (status, headers, _) =
                api.full(reqwest::Method::POST, "/v1/speech", &headers, Some(&body)).await;
            (status, headers.contains_key("idempotency-replayed"))
        }
    };
    assert_eq!(ask(&body).await, (200, false));
    assert_eq!(ask(&body).await, (200, true));
    assert_eq!(ask(&json!({ "text": "Another." })).await, (409, false));
    let (_, usage) = api.get("/v1/usage").await;
    assert_eq!(usage["total"]["characters"], "We are open until six.".len());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_spoken_is_refused_with_its_field() {
    let world = World::start(Setting::default()).await;
    let api = Api::admin(&world);
    for (body, field) in [
        (json!({ "text": " " }), "text"),
        (json!({ "text": "x".repeat(2001) }), "text"),
        (json!({ "text": "?!" }), "text"),
        (json!({ "text": "x", "speed": 9 }), "speed"),
        (json!({ "text": "x", "voice": "somebody" }), "voice"),
        (json!({ "text": "x", "format": "ogg" }), "format"),
    ] {
        let (status, problem) = api.post("/v1/speech", &body).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{problem}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_voice_can_be_heard() {
    let setting = Setting { agent: "voice = 'piper-de_DE-thorsten-medium'", ..Setting::default() };
    let world = World::start(setting).await;
    let api = Api::admin(&world);
    let (_, voices) = api.get("/v1/voices").await;
    let of = |n: usize, field: &str| voices["items"][n][field].clone();
    assert_eq!(
        (of(0, "id"), of(0, "default"), of(0, "gender")),
        (json!(DEFAULT), json!(true), json!("male"))
    );
    assert_eq!(
        (of(1, "language"), of(1, "name"), of(1, "default")),
        (json!("de"), json!("thorsten"), json!(false))
    );
    for n in 0..2 {
        let (status, headers, _) =
            api.full(reqwest::Method::GET, of(n, "sample_url").as_str().unwrap(), &[], None).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "audio/wav"));
    }
    assert_eq!(api.get("/v1/voices/somebody/sample").await.0, 404);
    world.stop().await;
}
