//! Phones that are registered with us call one another, and are transfer targets: no carrier and no agent is needed.

use std::sync::Arc;

use models::fake::FakeTranscriber;
use offhook::domain::{Direction, EndReason, EventKind, Principal, Private, Status};
use offhook::gateway::TransferCall;
use sip::Event;

use crate::support::{NUMBER, Peer, Setting, World};

const ALICE: f32 = 700.0;
const BOB: f32 = 1_100.0;
const CAROL: f32 = 500.0;

async fn office() -> World {
    World::start(Setting {
        transcriber: Arc::new(FakeTranscriber::says([""])),
        // Nobody here is a carrier.
        allow: "192.0.2.0/24",
        more: "[[extension]]\nnumber='201'\npassword='201'\n\
               [[extension]]\nnumber='202'\npassword='202'\n\
               [[extension]]\nnumber='203'\npassword='203'\nmay_dial=['desk']\n"
            .into(),
        ..Setting::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_extension_calls_another_and_hands_it_to_a_third() {
    let mut world = office().await;
    let mut alice = Peer::registered("201", world.sip).await;
    let mut bob = Peer::registered("202", world.sip).await;
    let mut carol = Peer::registered("203", world.sip).await;
    alice.dial(world.sip, "202").await;
    let offer = bob.rings().await.unwrap();
    alice.event("180", |event| matches!(event, Event::Progress { status: 180, .. }).then_some(())).await;
    bob.take(&offer).await;
    alice.answered().await;
    alice.sing(ALICE).await;
    bob.hears(ALICE).await;
    bob.sing(BOB).await;
    alice.hears(BOB).await;
    // Bob hands Alice to Carol, by her number.
    let carols = format!("sip:203@{}", world.sip).parse().unwrap();
    bob.stack.refer(bob.leg.unwrap(), carols).await.unwrap();
    carol.answer().await;
    assert_eq!(bob.referred().await, 200);
    carol.sing(500.0).await;
    alice.hears(500.0).await;
    alice.hang_up().await;
    carol.ended().await;
    let (call, events) = world.until_ended().await;
    assert_eq!((call.direction, call.status), (Direction::Inbound, Status::Completed));
    assert_eq!((call.from.reveal().as_str(), call.to.reveal().as_str()), ("201", "202"));
    assert_eq!((call.trunk.as_str(), call.end_reason), ("extension 201", Some(EndReason::CallerHungUp)));
    assert!(call.transferred_to.as_ref().unwrap().reveal().starts_with("sip:203@"));
    assert!(events.iter().any(|event| matches!(event.kind, EventKind::Transferred { bridged: true, .. })));
    let recording = media::wav::read(world.recording(&call)).unwrap();
    assert!(recording.samples.iter().any(|sample| sample.abs() > 5_000));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_the_callee_is_told_to_the_caller() {
    let mut world = office().await;
    let mut alice = Peer::registered("201", world.sip).await;
    alice.dial(world.sip, "202").await;
    assert_eq!(alice.ended().await.status, Some(480), "no phone is registered");
    let mut bob = Peer::registered("202", world.sip).await;
    alice.dial(world.sip, "202").await;
    bob.reject(486).await;
    assert_eq!(alice.ended().await.status, Some(486));
    let (call, _) = world.until_ended().await;
    assert_eq!((call.status, call.end_reason), (Status::Busy, Some(EndReason::Busy)));
    // Who may not dial is told so.
    let mut carol = Peer::registered("203", world.sip).await;
    carol.dial(world.sip, "202").await;
    assert_eq!(carol.ended().await.status, Some(403));
    // A caller who gives up stops the ringing.
    alice.dial(world.sip, "202").await;
    bob.rings().await;
    alice.hang_up().await;
    assert_eq!(bob.ended().await.kind, sip::CauseKind::Cancel);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_puts_an_extension_through_to_another() {
    let mut world = office().await;
    let mut alice = Peer::registered("201", world.sip).await;
    let mut bob = Peer::registered("202", world.sip).await;
    alice.call(world.sip, NUMBER).await;
    alice.hears(300.0).await;
    let id = world.call_id("call.started").await;
    world
        .gateway
        .transfer(&Principal::operator(), id, TransferCall { to: Private::new("202".into()), mode: None })
        .await
        .unwrap();
    bob.answer().await;
    bob.sing(BOB).await;
    alice.hears(BOB).await;
    bob.hang_up().await;
    alice.ended().await;
    let (call, _) = world.until_ended().await;
    assert_eq!(call.end_reason, Some(EndReason::TargetHungUp));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_has_asked_a_third_joins_the_two() {
    let mut world = office().await;
    let mut alice = Peer::registered("201", world.sip).await;
    let mut bob = Peer::registered("202", world.sip).await;
    let mut carol = Peer::registered("203", world.sip).await;
    alice.dial(world.sip, "202").await;
    bob.answer().await;
    alice.answered().await;
    let with_bob = alice.leg.unwrap();
    alice.dial(world.sip, "203").await;
    carol.answer().await;
    alice.answered().await;
    let with_carol = alice.leg.unwrap();
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.stack.refer_to_leg(with_bob, with_carol).await.unwrap();
    assert_eq!(alice.referred().await, 200);
    alice.ended().await;
    alice.leg = Some(with_bob);
    alice.ended().await;
    carol.sing(CAROL).await;
    bob.hears(CAROL).await;
    bob.sing(BOB).await;
    carol.hears(BOB).await;
    // The question is over as a call of its own; the first call goes on.
    let (question, _) = world.until_ended().await;
    assert_eq!((question.to.reveal().as_str(), question.end_reason), ("203", Some(EndReason::Transferred)));
    carol.hang_up().await;
    bob.ended().await;
    let first = world
        .event("the end of the first call", |event| {
            event.kind.name() == "call.ended" && event.call() != Some(&question.id)
        })
        .await;
    let first = world.call(first.call().unwrap()).await;
    assert_eq!((first.to.reveal().as_str(), first.transferred_to.is_some()), ("202", true));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_not_handed_on_like_a_phone() {
    let world = office().await;
    let mut alice = Peer::registered("201", world.sip).await;
    let mut bob = Peer::registered("202", world.sip).await;
    alice.dial(world.sip, "202").await;
    bob.answer().await;
    alice.answered().await;
    let with_bob = alice.leg.unwrap();
    alice.call(world.sip, NUMBER).await;
    alice.hears(300.0).await;
    // An agent belongs to its call: both calls stay.
    alice.stack.refer_to_leg(with_bob, alice.leg.unwrap()).await.unwrap();
    assert!(alice.referred().await >= 400);
    bob.sing(BOB).await;
    alice.leg = Some(with_bob);
    alice.hang_up().await;
    bob.ended().await;
    world.stop().await;
}
