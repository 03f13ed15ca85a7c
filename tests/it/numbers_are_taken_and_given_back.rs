//! Numbers of the pool and agents of clients: provisioned, answered, changed, given back.

use std::sync::Arc;

use models::fake::FakeSynthesizer;
use serde_json::{Value, json};

use crate::support::{Api, Caller, NUMBER, Setting, World};

const POOL: &str = "[[number]]\nnumber = '+14155550101'\ntrunk = 'lan'\n\
    [[number]]\nnumber = '+14155550102'\ntrunk = 'lan'\nkind = 'mobile'\n\
    [[number]]\nnumber = '+18005550103'\ntrunk = 'lan'\n";

async fn world() -> (World, Api) {
    let world = World::start(Setting { more: POOL.into(), ..Setting::default() }).await;
    let admin = Api::admin(&world);
    (world, admin)
}

/// A key that may do everything with the numbers, agents and calls of an account of its own.
async fn tenant(world: &World, admin: &Api, name: &str) -> Api {
    let (_, account) = admin.post("/v1/admin/accounts", &json!({ "name": name })).await;
    let scopes = ["numbers:read", "numbers:write", "agents:read", "agents:write", "calls:read"];
    let key = json!({ "account_id": account["id"], "name": name, "scopes": scopes });
    let (status, key) = admin.post("/v1/admin/keys", &key).await;
    assert_eq!(status, 201, "{key}");
    Api::with_key(world, key["key"].as_str().unwrap())
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

fn numbers(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|one| one["number"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_taken_called_and_given_back() {
    let synthesizer = Arc::new(FakeSynthesizer::default());
    let setting = Setting { more: POOL.into(), synthesizer: synthesizer.clone(), ..Setting::default() };
    let mut world = World::start(setting).await;
    let admin = Api::admin(&world);
    let clinic = tenant(&world, &admin, "Clinic").await;
    let (outcome, _) = Caller::new().await.call(&world, "+14155550101", "hangup").await;
    assert!(!outcome.answered, "nobody has it yet");

    let (_, free) = clinic.get("/v1/numbers/available?country=US&area_code=415").await;
    assert_eq!(numbers(&free), ["+14155550101", "+14155550102"]);
    let (_, first) = clinic.get("/v1/numbers/available?limit=2").await;
    let next = format!("/v1/numbers/available?cursor={}", first["next_cursor"].as_str().unwrap());
    let (_, second) = clinic.get(&next).await;
    assert_eq!((numbers(&second), &second["next_cursor"]), (vec!["+18005550103"], &Value::Null));
    let (_, free) = clinic.get("/v1/numbers/available?kind=toll_free").await;
    assert_eq!(numbers(&free), ["+18005550103"]);

    let want = json!({
        "area_code": "415", "kind": "local", "label": "Door",
        "inbound": { "first_message": "Clinic North, hello." }, "metadata": { "floor": 2 },
    });
    let (status, number) = clinic.post("/v1/numbers", &want).await;
    assert_eq!((status, number["number"].as_str()), (201, Some("+14155550101")), "{number}");
    assert_eq!((&number["label"], &number["metadata"]["floor"]), (&json!("Door"), &json!(2)));
    world.named("number.provisioned").await;

    let (outcome, _) = Caller::new().await.call(&world, "14155550101", "listen\nhangup").await;
    assert!(outcome.answered);
    let (call, _) = world.until_ended().await;
    assert_eq!(call.number_id.as_ref().map(|id| id.as_str()), number["id"].as_str());
    assert_eq!(Some(call.account.as_str()), number["account"].as_str());
    let said = synthesizer.asked.all().iter().any(|phrase| phrase.text == "Clinic North, hello.");
    assert!(said, "the number's own greeting is spoken");

    let path = format!("/v1/numbers/{}", number["id"].as_str().unwrap());
    let patch = json!({ "label": null, "inbound": { "prompt": "Be brief.", "first_message": null } });
    let (status, patched) = clinic.patch(&path, &patch).await;
    assert_eq!((status, &patched["inbound"]), (200, &json!({ "prompt": "Be brief." })));
    assert!(patched["label"].is_null());

    let (status, released) = clinic.delete(&path).await;
    assert_eq!((status, &released["status"]), (200, &json!("released")));
    world.named("number.released").await;
    let (outcome, _) = Caller::new().await.call(&world, "+14155550101", "hangup").await;
    assert!(!outcome.answered, "it is nobody's");
    let again = json!({ "number": "+14155550101" });
    assert_eq!(code(&clinic.post("/v1/numbers", &again).await), (409, "no_number_available"));
    assert_eq!(code(&clinic.delete(&path).await), (409, "number_released"));
    assert_eq!(code(&clinic.patch(&path, &json!({ "label": "x" })).await), (409, "number_released"));
    let (_, listed) = clinic.get("/v1/numbers?status=released").await;
    assert_eq!(numbers(&listed), ["+14155550101"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_want_the_last_number_do_not_both_get_it() {
    let (world, admin) = world().await;
    let (one, two) = tokio::join!(tenant(&world, &admin, "One"), tenant(&world, &admin, "Two"));
    let want = json!({ "kind": "toll_free" });
    let answers = tokio::join!(one.post("/v1/numbers", &want), two.post("/v1/numbers", &want));
    let mut states = [answers.0.0, answers.1.0];
    states.sort_unstable();
    assert_eq!(states, [201, 409], "{answers:?}");
    let (winner, loser) = if answers.0.0 == 201 { (&answers.0.1, &two) } else { (&answers.1.1, &one) };
    let path = format!("/v1/numbers/{}", winner["id"].as_str().unwrap());
    assert_eq!(code(&loser.get(&path).await), (404, "not_found"));
    assert_eq!(code(&loser.patch(&path, &json!({})).await), (404, "not_found"));
    assert_eq!(code(&loser.delete(&path).await), (404, "not_found"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_a_client_answers_the_numbers_that_it_is_given() {
    let synthesizer = Arc::new(FakeSynthesizer::default());
    let setting = Setting { more: POOL.into(), synthesizer: synthesizer.clone(), ..Setting::default() };
    let mut world = World::start(setting).await;
    let admin = Api::admin(&world);
    let clinic = tenant(&world, &admin, "Clinic").await;
    let agent = json!({ "name": "night", "settings": { "first_message": "The night desk." } });
    let (status, agent) = clinic.post("/v1/agents", &agent).await;
    assert_eq!(status, 201, "{agent}");
    assert_eq!(code(&clinic.post("/v1/agents", &json!({ "name": "night" })).await), (409, "name_taken"));
    let of_agent = format!("/v1/agents/{}", agent["id"].as_str().unwrap());
    let (_, number) = clinic.post("/v1/numbers", &json!({ "number": "+14155550102" })).await;
    let (status, attached) =
        clinic.post(&format!("{of_agent}/numbers"), &json!({ "number": "+14155550102" })).await;
    assert_eq!((status, &attached["agent_id"]), (200, &agent["id"]));
    let (_, listed) = clinic.get(&format!("/v1/numbers?agent={}", agent["id"].as_str().unwrap())).await;
    assert_eq!(numbers(&listed), ["+14155550102"]);

    let (outcome, _) = Caller::new().await.call(&world, "+14155550102", "listen\nhangup").await;
    assert!(outcome.answered);
    let (call, _) = world.until_ended().await;
    assert_eq!(
        (call.agent.as_str(), call.agent_id.as_ref().map(|id| id.as_str())),
        ("night", agent["id"].as_str())
    );
    assert!(synthesizer.asked.all().iter().any(|phrase| phrase.text == "The night desk."));

    let (_, patched) = clinic.patch(&of_agent, &json!({ "name": "day", "settings": { "speed": 1.5 } })).await;
    assert_eq!(patched["name"], "day");
    assert_eq!(patched["settings"], json!({ "first_message": "The night desk.", "speed": 1.5 }));
    assert_eq!(code(&clinic.delete(&of_agent).await), (409, "agent_in_use"));
    let detached = clinic.delete(&format!("{of_agent}/numbers/{}", number["id"].as_str().unwrap())).await;
    assert_eq!((detached.0, &detached.1["agent_id"]), (200, &Value::Null));
    assert_eq!(clinic.delete(&of_agent).await.0, 204);
    assert_eq!(code(&clinic.get(&of_agent).await), (404, "not_found"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_speaks_where_nobody_above_it_does() {
    let synthesizer = Arc::new(FakeSynthesizer::default());
    let setting = Setting { more: POOL.into(), synthesizer: synthesizer.clone(), ..Setting::default() };
    let mut world = World::start(setting).await;
    let admin = Api::admin(&world);
    let clinic = tenant(&world, &admin, "Clinic").await;
    let (_, number) = clinic.post("/v1/numbers", &json!({ "number": "+14155550101" })).await;
    let account = format!("/v1/admin/accounts/{}", number["account"].as_str().unwrap());
    let patch = json!({ "settings": { "first_message": "The whole clinic.", "voice": "nobody's" } });
    assert_eq!(code(&admin.patch(&account, &patch).await), (422, "invalid"));
    let patch = json!({ "settings": { "first_message": "The whole clinic." } });
    assert_eq!(admin.patch(&account, &patch).await.0, 200);
    let (outcome, _) = Caller::new().await.call(&world, "+14155550101", "listen\nhangup").await;
    assert!(outcome.answered);
    world.until_ended().await;
    assert!(synthesizer.asked.all().iter().any(|phrase| phrase.text == "The whole clinic."));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_says_whether_its_calls_are_recorded_and_how_long_they_last() {
    let (mut world, admin) = world().await;
    let inbound = json!({ "record": false, "max_duration_s": 1, "goodbye": "Bye." });
    let (status, _) =
        admin.post("/v1/numbers", &json!({ "number": "+14155550101", "inbound": inbound })).await;
    assert_eq!(status, 201);
    let (outcome, _) = Caller::new().await.call(&world, "+14155550101", "listen\nwait 20s\nhangup").await;
    assert!(outcome.answered);
    let (call, events) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(offhook::domain::EndReason::MaxDuration));
    assert!(!events.iter().any(|event| event.kind.name() == "call.recording.ready"));
    assert!(call.recordings.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_declares_is_changed_there() {
    let (world, admin) = world().await;
    let (_, page) = admin.get("/v1/agents").await;
    let desk = format!("/v1/agents/{}", page["items"][0]["id"].as_str().unwrap());
    assert_eq!(
        (&page["items"][0]["name"], &page["items"][0]["source"]),
        (&json!("desk"), &json!("configuration"))
    );
    assert_eq!(code(&admin.patch(&desk, &json!({ "name": "x" })).await), (409, "configured"));
    assert_eq!(code(&admin.delete(&desk).await), (409, "configured"));
    let (_, page) = admin.get("/v1/numbers").await;
    assert_eq!(numbers(&page), [NUMBER]);
    let number = format!("/v1/numbers/{}", page["items"][0]["id"].as_str().unwrap());
    assert_eq!(code(&admin.delete(&number).await), (409, "configured"));
    assert_eq!(code(&admin.patch(&number, &json!({ "agent": null })).await), (409, "configured"));
    let (status, labelled) = admin.patch(&number, &json!({ "label": "Front door" })).await;
    assert_eq!((status, &labelled["label"]), (200, &json!("Front door")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_would_be_right() {
    let (world, admin) = world().await;
    for (path, body, field, words) in [
        ("/v1/numbers", json!({ "number": "(415) 555-0102" }), "number", "+14155550102"),
        ("/v1/numbers", json!({ "agent": "nobody" }), "agent", "GET /v1/agents"),
        ("/v1/numbers", json!({ "inbound": { "voice": "xyz" } }), "inbound.voice", "piper-en_US-joe-medium"),
        ("/v1/agents", json!({ "name": "" }), "name", "1 to 100"),
        ("/v1/agents", json!({ "name": "a", "settings": { "speed": 9 } }), "settings.speed", "0.5 to 2"),
        (
            "/v1/agents",
            json!({ "name": "a", "settings": { "brain": { "kind": "configured", "name": "crm" } } }),
            "settings.brain",
            "crm",
        ),
        (
            "/v1/agents",
            json!({ "name": "a", "settings": { "brain": { "kind": "webhook", "url": "http://127.0.0.1/" } } }),
            "settings.brain",
            "leads inside",
        ),
    ] {
        let (status, problem) = admin.post(path, &body).await;
        assert_eq!((status, problem["field"].as_str()), (422, Some(field)), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{body}: {problem}");
    }
    world.stop().await;
}
