//! Somebody of the house listens to a call, whispers to one side, speaks with both; and tells the agent something.

use std::sync::Arc;
use std::time::Duration;

use models::fake::FakeTranscriber;
use offhook::domain::{CallId, EventKind, Principal, Private, Supervision, SupervisionMode, TransferMode};
use offhook::gateway::TransferCall;
use serde_json::{Value, json};

use crate::support::{Api, NUMBER, Peer, Setting, World};

const AGENT: f32 = 300.0;
const ALICE: f32 = 700.0;
const CAROL: f32 = 1_100.0;
const DAVE: f32 = 1_900.0;

fn setting() -> Setting {
    // Tones are no words.
    Setting { transcriber: Arc::new(FakeTranscriber::says([""])), ..Setting::default() }
}

async fn alice_calls(world: &mut World) -> (Peer, CallId) {
    let mut alice = Peer::new("alice").await;
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await;
    alice.hears(AGENT).await;
    (alice, id)
}

async fn post(api: &Api, id: &CallId, verb: &str, body: Value) -> (u16, Value) {
    api.post(&format!("/v1/calls/{}/{verb}", id.as_str()), &body).await
}

async fn told(world: &mut World, wanted: SupervisionMode, at: Supervision) {
    world
        .event(&format!("{wanted:?}, {at:?}"), |event| {
            matches!(&event.kind, EventKind::Supervision { mode, status, .. } if (*mode, *status) == (wanted, at))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_talk_are_heard_and_spoken_to_as_the_mode_says() {
    let mut world = World::start(setting()).await;
    let api = Api::admin(&world);
    let (mut carol, mut dave) = (Peer::new("carol").await, Peer::new("dave").await);
    let (mut alice, id) = alice_calls(&mut world).await;
    let order = TransferCall { to: Private::new(carol.uri().to_string()), mode: Some(TransferMode::Bridge) };
    world.gateway.transfer(&Principal::operator(), id.clone(), order).await.unwrap();
    carol.answer().await;
    world.named("call.transferred").await;

    let (status, none) = post(&api, &id, "supervise", json!({ "mode": "barge" })).await;
    assert_eq!((status, &none["code"]), (409, &json!("not_supervised")), "{none}");
    let (status, number) = post(&api, &id, "supervise", json!({ "to": "+14155550123" })).await;
    assert_eq!((status, &number["field"]), (422, &json!("to")), "{number}");
    let dave_uri = dave.uri().to_string();
    let (status, answer) = post(&api, &id, "supervise", json!({ "to": dave_uri })).await;
    assert_eq!(status, 202, "{answer}");
    dave.answer().await;
    told(&mut world, SupervisionMode::Listen, Supervision::Up).await;
    alice.sing(ALICE).await;
    dave.hears(ALICE).await;
    carol.hears(ALICE).await;
    alice.hush().await;
    carol.sing(CAROL).await;
    dave.hears(CAROL).await;
    alice.hears(CAROL).await;
    carol.hush().await;
    dave.sings_on(DAVE).await;
    alice.hears_nothing().await;
    carol.hears_nothing().await;

    let (status, again) = post(&api, &id, "supervise", json!({ "to": dave_uri, "mode": "whisper" })).await;
    assert_eq!((status, &again["code"]), (409, &json!("supervised")), "{again}");
    assert_eq!(post(&api, &id, "supervise", json!({ "mode": "whisper" })).await.0, 202);
    carol.hears(DAVE).await;
    alice.hears_nothing().await;
    assert_eq!(post(&api, &id, "supervise", json!({ "mode": "barge" })).await.0, 202);
    alice.hears(DAVE).await;
    carol.hears(DAVE).await;
    // Their keys are nobody's of the call, by whichever way they come.
    dave.stack.send_dtmf(dave.leg.unwrap(), '7', Duration::from_millis(200)).await.unwrap();
    dave.press("5").await;
    assert_eq!(post(&api, &id, "supervise", json!({ "mode": "listen" })).await.0, 202);
    alice.hears_nothing().await;
    carol.hears_nothing().await;

    // They may leave by themselves, and others come; the call goes on.
    dave.hang_up().await;
    told(&mut world, SupervisionMode::Listen, Supervision::Over).await;
    let mut erin = Peer::new("erin").await;
    let (status, _) =
        post(&api, &id, "supervise", json!({ "to": erin.uri().to_string(), "mode": "barge" })).await;
    assert_eq!(status, 202);
    erin.answer().await;
    erin.sings_on(DAVE).await;
    alice.hears(DAVE).await;
    let (status, _) = api.delete(&format!("/v1/calls/{}/supervise", id.as_str())).await;
    assert_eq!(status, 202);
    erin.ended().await;
    alice.hears_nothing().await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.hang_up().await;
    carol.ended().await;
    let (call, events) = world.until_ended().await;
    assert_eq!(call.digits.reveal(), "");
    assert!(events.iter().all(|event| event.kind.name() != "call.dtmf"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_heard_steps_aside_and_comes_back() {
    let mut world = World::start(setting()).await;
    let api = Api::admin(&world);
    let mut dave = Peer::new("dave").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    let (status, deaf) = post(&api, &id, "supervise", json!({ "to": "201", "mode": "whisper" })).await;
    assert_eq!((status, &deaf["field"]), (422, &json!("to")), "{deaf}");
    let whisper = json!({ "to": dave.uri().to_string(), "mode": "whisper" });
    let (status, deaf) = post(&api, &id, "supervise", whisper).await;
    assert_eq!((status, &deaf["code"]), (409, &json!("agent_has_no_ear")), "{deaf}");

    let (status, _) = post(&api, &id, "supervise", json!({ "to": dave.uri().to_string() })).await;
    assert_eq!(status, 202);
    dave.answer().await;
    told(&mut world, SupervisionMode::Listen, Supervision::Up).await;
    assert_eq!(
        post(&api, &id, "say", json!({ "text": "We are open from nine to five, every day of the week." }))
            .await
            .0,
        202
    );
    dave.hears(AGENT).await;

    assert_eq!(post(&api, &id, "supervise", json!({ "mode": "barge" })).await.0, 202);
    dave.sings_on(DAVE).await;
    alice.hears(DAVE).await;
    told(&mut world, SupervisionMode::Barge, Supervision::Up).await;
    let (status, away) = post(&api, &id, "say", json!({ "text": "Hello?" })).await;
    assert_eq!((status, &away["code"]), (409, &json!("agent_away")), "{away}");
    dave.hang_up().await;
    told(&mut world, SupervisionMode::Barge, Supervision::Over).await;
    assert_eq!(post(&api, &id, "say", json!({ "text": "I am with you again." })).await.0, 202);
    alice.hears(AGENT).await;
    alice.hang_up().await;
    world.until_ended().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_or_is_there_at_the_end_is_told_of() {
    let mut world = World::start(setting()).await;
    let api = Api::admin(&world);
    let (mut carol, mut dave) = (Peer::new("carol").await, Peer::new("dave").await);
    let (alice, id) = alice_calls(&mut world).await;
    assert_eq!(post(&api, &id, "supervise", json!({ "to": carol.uri().to_string() })).await.0, 202);
    carol.reject(486).await;
    told(&mut world, SupervisionMode::Listen, Supervision::Failed).await;
    assert_eq!(post(&api, &id, "supervise", json!({ "to": dave.uri().to_string() })).await.0, 202);
    dave.answer().await;
    told(&mut world, SupervisionMode::Listen, Supervision::Up).await;
    let mut alice = alice;
    alice.hang_up().await;
    dave.ended().await;
    told(&mut world, SupervisionMode::Listen, Supervision::Over).await;
    world.until_ended().await;
    world.stop().await;
}
