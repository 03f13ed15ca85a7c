//! Who speaks first, what is known before, and what a machine gets: over real SIP and RTP, with scripted models.

use std::sync::Arc;

use models::Role;
use models::fake::{FakeGenerator, FakeSynthesizer, FakeTranscriber};
use offhook::domain::{AnsweredBy, Call, EndReason, EventKind, Principal, Private, Speaker};
use offhook::gateway::PlaceCall;

use crate::support::{Caller, Endpoint, NUMBER, Setting, World, prompt};

const MESSAGE: &str = "Please call us back.";
const LEAVES: &str = "[agent.voicemail]\nthen = 'leave_message'\nmessage = 'Please call us back.'\n";
const HANGS_UP: &str = "[agent.voicemail]\nthen = 'hang_up'\n";

async fn place(world: &World, callee: &Caller) {
    let to = format!("sip:200@{}", callee.address());
    let order = PlaceCall { from: Private::new(NUMBER.into()), to: Private::new(to), ..PlaceCall::default() };
    world.gateway.place(&Principal::operator(), order).await.unwrap();
}

/// Calls somebody who goes through a script.
async fn called(setting: Setting, script: &str) -> (Call, Vec<EventKind>) {
    let mut world = World::start(setting).await;
    let callee = Caller::new().await;
    place(&world, &callee).await;
    callee.answer(script).await;
    let (call, events) = world.until_ended().await;
    world.stop().await;
    (call, events.into_iter().map(|event| event.kind).collect())
}

fn transcript(call: &Call) -> Vec<(Speaker, &str)> {
    call.transcript.iter().map(|part| (part.speaker, part.text.reveal().as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_is_heard_out_before_the_greeting() {
    let setting = Setting { transcriber: Arc::new(FakeTranscriber::says(["Hello?"])), ..Setting::default() };
    let script = format!("play {}\nlisten 20s\nhangup", prompt("hello").display());
    let (call, _) = called(setting, &script).await;
    assert_eq!(transcript(&call), [(Speaker::Caller, "Hello?"), (Speaker::Agent, "Hello there.")]);
    assert_eq!(call.answered_by, Some(AnsweredBy::Human));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_greeted_after_a_moment() {
    let (call, _) = called(Setting::default(), "listen 20s\nhangup").await;
    let greeting = &call.transcript[0];
    assert_eq!(greeting.text.reveal(), "Hello there.");
    assert!((1150..2500).contains(&greeting.at_ms), "it was said at {} ms", greeting.at_ms);
    assert_eq!(call.answered_by, Some(AnsweredBy::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_its_message_after_the_beep() {
    let announcement = "Nobody is available to take your call. Please leave a message after the tone.";
    let setting = Setting {
        transcriber: Arc::new(FakeTranscriber::says([announcement])),
        agent: LEAVES,
        ..Setting::default()
    };
    let script = format!(
        "play {}\nwait 900ms\nplay {}\nlisten 20s\nstay 20s",
        prompt("vm-nobodyavail").display(),
        prompt("beep").display()
    );
    let (call, events) = called(setting, &script).await;
    assert_eq!((call.answered_by, call.voicemail_left), (Some(AnsweredBy::Machine), true));
    assert_eq!(call.end_reason, Some(EndReason::AgentHungUp));
    assert_eq!(transcript(&call).last(), Some(&(Speaker::Agent, MESSAGE)));
    let left = events.iter().filter_map(|kind| match kind {
        EventKind::Voicemail { left, .. } => Some(*left),
        _ => None,
    });
    assert_eq!(left.collect::<Vec<_>>(), [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_may_be_hung_up_on() {
    let setting = Setting {
        transcriber: Arc::new(FakeTranscriber::says(["Please leave a message after the tone."])),
        agent: HANGS_UP,
        ..Setting::default()
    };
    let script = format!("play {}\nstay 20s", prompt("vm-nobodyavail").display());
    let (call, _) = called(setting, &script).await;
    assert_eq!((call.answered_by, call.voicemail_left), (Some(AnsweredBy::Machine), false));
    assert_eq!(call.end_reason, Some(EndReason::AgentHungUp));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_call_says_so_first() {
    let mut world =
        World::start(Setting { agent: "disclosure = 'We record this.'", ..Setting::default() }).await;
    Caller::new().await.call(&world, NUMBER, "listen 20s\nhangup").await;
    let (call, _) = world.until_ended().await;
    let said: Vec<_> = transcript(&call).into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["We record this.", "Hello there."]);
    world.stop().await;
}

/// What a webhook knows stands in the prompt, whether it is asked by the configuration's agent or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_knows_of_the_call_is_in_the_prompt_and_who_is_down_costs_nothing() {
    for is_up in [true, false] {
        let endpoint = if is_up { Endpoint::up() } else { Endpoint::down() };
        endpoint.says(r#"{"context": "The caller is Ann, a regular."}"#);
        let brain = Arc::new(FakeGenerator::says(["Yes, at nine."]));
        let asked = brain.asked.clone();
        let setting = Setting {
            generator: brain,
            synthesizer: Arc::new(FakeSynthesizer::default()),
            more: "[outside]\nallow = ['127.0.0.0/8']\n".into(),
            ..Setting::default()
        };
        let mut world = World::start(setting).await;
        let settings = serde_json::json!({
            "first_message": "Hello there.", "disclosure": "",
            "context_webhook": { "url": endpoint.url(), "timeout_ms": 1000 },
        });
        let callee = Caller::new().await;
        let order = PlaceCall {
            from: Private::new(NUMBER.into()),
            to: Private::new(format!("sip:200@{}", callee.address())),
            settings: serde_json::from_value(settings).unwrap(),
            ..PlaceCall::default()
        };
        world.gateway.place(&Principal::operator(), order).await.unwrap();
        let question = prompt("check-number-dial-again");
        let script = format!("listen 20s\nplay {}\nlisten 20s\nhangup", question.display());
        callee.answer(&script).await;
        let (call, _) = world.until_ended().await;
        assert_eq!(transcript(&call).last(), Some(&(Speaker::Agent, "Yes, at nine.")), "is_up: {is_up}");
        let last = asked.all().pop().unwrap();
        assert_eq!(last.messages[0].role, Role::System);
        assert_eq!(last.messages[0].content.contains("Ann, a regular."), is_up);
        if is_up {
            let question = endpoint.received().remove(0);
            let body = question.json();
            assert_eq!(
                (&body["type"], body["call_id"].as_str()),
                (&"call.context".into(), Some(call.id.as_str()))
            );
            assert_eq!(question.header("offhook-event"), "call.context");
            assert!(question.header("offhook-signature").starts_with("t="));
        }
        world.stop().await;
    }
}
