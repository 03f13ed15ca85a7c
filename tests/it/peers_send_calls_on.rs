//! Phones that hand their calls on: REFER and Replaces that come to us.

use std::sync::Arc;

use models::fake::FakeTranscriber;
use offhook::domain::{EndReason, Principal, Private, TransferMode};
use offhook::gateway::TransferCall;
use sip::{Event, ReferRequest};

use crate::support::{NUMBER, Peer, Setting, World};

const AGENT: f32 = 300.0;
const ALICE: f32 = 700.0;
const CAROL: f32 = 1_100.0;

/// A world whose trunk lets its peers send calls on.
async fn obliging() -> World {
    World::start(Setting {
        transcriber: Arc::new(FakeTranscriber::says([""])),
        trunk: "take_refers = true",
        ..Setting::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_hands_its_place_with_the_agent_to_another() {
    let mut world = obliging().await;
    let (mut alice, mut carol) = (Peer::new("alice").await, Peer::new("carol").await);
    alice.call(world.sip, NUMBER).await;
    alice.hears(AGENT).await;
    alice.stack.refer(alice.leg.unwrap(), carol.uri()).await.unwrap();
    carol.answer().await;
    assert_eq!(alice.referred().await, 200);
    alice.ended().await;
    // The agent has Carol now: it asks whether she is still there when she says nothing.
    carol.hears(AGENT).await;
    carol.hang_up().await;
    let (call, events) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(EndReason::CalleeHungUp));
    assert_eq!(
        events.iter().filter(|event| event.kind.name() == "call.ended").count(),
        1,
        "one call, one record"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_was_put_through_hands_the_caller_to_a_third() {
    let mut world = obliging().await;
    let (mut alice, mut bob, mut carol) =
        (Peer::new("alice").await, Peer::new("bob").await, Peer::new("carol").await);
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await;
    let to = Private::new(bob.uri().to_string());
    world
        .gateway
        .transfer(&Principal::operator(), id, TransferCall { to, mode: Some(TransferMode::Bridge) })
        .await
        .unwrap();
    bob.answer().await;
    alice.sing(ALICE).await;
    bob.hears(ALICE).await;
    // Carol does not want to: Bob has the caller again.
    bob.stack.refer(bob.leg.unwrap(), carol.uri()).await.unwrap();
    carol.reject(603).await;
    assert_eq!(bob.referred().await, 603);
    alice.sing(ALICE).await;
    bob.hears(ALICE).await;
    // Dave does; Bob hangs up before he has answered, as many phones do.
    let mut dave = Peer::new("dave").await;
    bob.stack.refer(bob.leg.unwrap(), dave.uri()).await.unwrap();
    let offer = dave.rings().await.unwrap();
    bob.hang_up().await;
    alice.hears(440.0).await;
    dave.take(&offer).await;
    dave.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.hang_up().await;
    dave.ended().await;
    let (call, _) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(EndReason::CallerHungUp));
    assert_eq!(call.transferred_to.unwrap().reveal(), &dave.uri().to_string());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_phone_takes_a_call_over() {
    let mut world = obliging().await;
    let (mut alice, mut carol) = (Peer::new("alice").await, Peer::new("carol").await);
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await;
    alice.hears(AGENT).await;
    // Alice asks Carol, and hands her the call: Carol calls us in Alice's place.
    let talk = alice.leg.unwrap();
    alice.invite(&carol.uri(), Vec::new()).await;
    carol.answer().await;
    alice.answered().await;
    alice.stack.refer_to_leg(alice.leg.unwrap(), talk).await.unwrap();
    let refer = carol
        .event("a REFER", |event| match event {
            Event::Refer { refer, .. } => Some(ReferRequest::clone(refer)),
            _ => None,
        })
        .await;
    let replaces = refer.replaces.expect("a dialog to be replaced").to_string();
    alice.leg = Some(talk);
    carol.invite(&refer.to.uri, vec![("Replaces".into(), replaces)]).await;
    carol.answered().await;
    assert_eq!(alice.ended().await.by, sip::EndedBy::Remote);
    carol.hears(AGENT).await;
    carol.hang_up().await;
    let (call, _) = world.until_ended().await;
    assert_eq!((call.id, call.end_reason), (id, Some(EndReason::CallerHungUp)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_calls_on_where_that_is_not_allowed() {
    let mut world =
        World::start(Setting { transcriber: Arc::new(FakeTranscriber::says([""])), ..Setting::default() })
            .await;
    let (mut alice, carol) = (Peer::new("alice").await, Peer::new("carol").await);
    alice.call(world.sip, NUMBER).await;
    alice.stack.refer(alice.leg.unwrap(), carol.uri()).await.unwrap();
    assert_eq!(alice.referred().await, 603);
    alice.hears(AGENT).await;
    alice.hang_up().await;
    alice.event("the end", |event| matches!(event, Event::Ended { .. }).then_some(())).await;
    assert_eq!(world.until_ended().await.0.end_reason, Some(EndReason::CallerHungUp));
    world.stop().await;
}
