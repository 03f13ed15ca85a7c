//! Transfers that a client asks for: by REFER, by a bridge, by both.

use std::sync::Arc;

use models::fake::FakeTranscriber;
use offhook::domain::{Call, CallId, EndReason, EventKind, Principal, Private, Status, TransferMode};
use offhook::gateway::{Kind, TransferCall};
use sip::{Event, ReferRequest, Uri};

use crate::support::{NUMBER, Peer, Setting, World};

const AGENT: f32 = 300.0;
const ALICE: f32 = 700.0;
const CAROL: f32 = 1_100.0;

/// Alice talks with the agent.
async fn alice_calls(world: &mut World) -> (Peer, CallId) {
    let mut alice = Peer::new("alice").await;
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await;
    alice.hears(AGENT).await;
    (alice, id)
}

fn setting() -> Setting {
    // Tones are no words.
    Setting { transcriber: Arc::new(FakeTranscriber::says([""])), ..Setting::default() }
}

fn order(to: &Uri, mode: TransferMode) -> TransferCall {
    TransferCall { to: Private::new(to.to_string()), mode: Some(mode) }
}

/// What a peer is asked to do; it does so.
async fn refer_of(peer: &mut Peer) -> ReferRequest {
    peer.event("a REFER", |event| match event {
        Event::Refer { refer, .. } => Some(ReferRequest::clone(refer)),
        _ => None,
    })
    .await
}

async fn ended(world: &mut World) -> Call {
    world.until_ended().await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_that_succeeds_leaves_the_two_alone() {
    let mut world = World::start(setting()).await;
    let carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&carol.uri(), TransferMode::Refer))
        .await
        .unwrap();
    let refer = refer_of(&mut alice).await;
    assert_eq!(refer.to.uri, carol.uri());
    let leg = alice.leg.unwrap();
    alice.stack.accept_refer(leg).await.unwrap();
    for status in [180, 200] {
        alice.stack.refer_progress(leg, status).await.unwrap();
    }
    let cause = alice.ended().await;
    assert_eq!(cause.by, sip::EndedBy::Remote, "who hands a call on says goodbye to it");
    let call = ended(&mut world).await;
    assert_eq!((call.status, call.end_reason), (Status::Completed, Some(EndReason::Transferred)));
    assert_eq!(call.transferred_to.as_ref().unwrap().reveal(), &carol.uri().to_string());
    let event = world.named("call.transferred").await;
    assert!(matches!(event.kind, EventKind::Transferred { bridged: false, .. }));
    world.named("call.transferring").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_that_fails_gives_the_caller_back_to_the_agent() {
    let mut world = World::start(setting()).await;
    let (mut alice, id) = alice_calls(&mut world).await;
    let nobody = "sip:nobody@127.0.0.1:9".parse().unwrap();
    world
        .gateway
        .transfer(&Principal::operator(), id.clone(), order(&nobody, TransferMode::Refer))
        .await
        .unwrap();
    refer_of(&mut alice).await;
    let leg = alice.leg.unwrap();
    alice.stack.accept_refer(leg).await.unwrap();
    let again = world
        .gateway
        .transfer(&Principal::operator(), id.clone(), order(&nobody, TransferMode::Refer))
        .await
        .unwrap_err();
    assert_eq!(again.kind, Kind::Conflict, "one at a time");
    alice.hears_nothing().await;
    alice.stack.refer_progress(leg, 486).await.unwrap();
    let failed = world.named("call.transfer_failed").await;
    assert!(matches!(failed.kind, EventKind::TransferFailed { reason: EndReason::Busy, .. }));
    alice.hears(AGENT).await;
    let apology = "I am sorry, I could not put you through. Can I help you otherwise?";
    world
        .event(
            "the apology",
            |event| matches!(&event.kind, EventKind::Transcript { text, .. } if text.reveal() == apology),
        )
        .await;
    alice.hang_up().await;
    let call = ended(&mut world).await;
    assert_eq!((call.end_reason, call.transferred_to), (Some(EndReason::CallerHungUp), None));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_carries_sound_and_keys_both_ways_and_survives_hold() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&carol.uri(), TransferMode::Bridge))
        .await
        .unwrap();
    let offer = carol.rings().await.unwrap();
    // Ringback, as an American caller knows it.
    alice.hears(440.0).await;
    carol.take(&offer).await;
    world.named("call.transferred").await;
    alice.sing(ALICE).await;
    carol.hears(ALICE).await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.press("5").await;
    carol.hears_key('5').await;
    carol.press("7").await;
    alice.hears_key('7').await;
    // On hold neither call is lost; afterwards both hear again.
    alice.hold(media::sdp::Direction::Inactive).await;
    carol.hears_nothing().await;
    alice.hold(media::sdp::Direction::SendRecv).await;
    alice.sing(ALICE).await;
    carol.hears(ALICE).await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    carol.hang_up().await;
    assert_eq!(alice.ended().await.by, sip::EndedBy::Remote);
    let call = ended(&mut world).await;
    assert_eq!((call.status, call.end_reason), (Status::Completed, Some(EndReason::TargetHungUp)));
    assert_eq!(call.transferred_to.as_ref().unwrap().reveal(), &carol.uri().to_string());
    assert_eq!(call.digits.reveal(), "5");
    let recording = media::wav::read(world.recording(&call)).unwrap();
    let has = |channel, hz| loud_at(&recording.channel(channel), hz);
    assert!(has(0, ALICE) && has(1, CAROL), "caller left, whoever they talk with right");
    assert!(!has(0, CAROL) && !has(1, ALICE));
    world.stop().await;
}

/// Whether a second of a recording, somewhere, is that tone.
fn loud_at(pcm: &[i16], hz: f32) -> bool {
    let step = std::f32::consts::TAU * hz / media::LINE_RATE as f32;
    pcm.chunks_exact(800).any(|piece| {
        let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
        for (n, sample) in piece.iter().enumerate() {
            let sample = f32::from(*sample);
            sine += sample * (step * n as f32).sin();
            cosine += sample * (step * n as f32).cos();
            energy += sample * sample;
        }
        energy > 1e8 && 2.0 * (sine * sine + cosine * cosine) / (energy * piece.len() as f32) > 0.8
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_that_is_busy_gives_the_caller_back_to_the_agent() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id.clone(), order(&carol.uri(), TransferMode::Bridge))
        .await
        .unwrap();
    carol.reject(486).await;
    let failed = world.named("call.transfer_failed").await;
    assert!(matches!(failed.kind, EventKind::TransferFailed { reason: EndReason::Busy, .. }));
    alice.hears(AGENT).await;
    // And it can be tried again.
    let mut dave = Peer::new("dave").await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&dave.uri(), TransferMode::Bridge))
        .await
        .unwrap();
    dave.answer().await;
    dave.sing(CAROL).await;
    alice.hears(CAROL).await;
    alice.hang_up().await;
    assert_eq!(dave.ended().await.by, sip::EndedBy::Remote, "the caller ends both");
    let call = ended(&mut world).await;
    assert_eq!(call.end_reason, Some(EndReason::CallerHungUp));
    assert_eq!(call.transferred_to.as_ref().unwrap().reveal(), &dave.uri().to_string());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_takes_no_refer_is_bridged() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&carol.uri(), TransferMode::Auto))
        .await
        .unwrap();
    refer_of(&mut alice).await;
    alice.stack.refuse_refer(alice.leg.unwrap(), 405).await.unwrap();
    carol.answer().await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    // A caller who gives up, a stop of the box: whatever ends the call ends both legs.
    world.drain().await;
    alice.ended().await;
    carol.ended().await;
    assert_eq!(ended(&mut world).await.end_reason, Some(EndReason::ShuttingDown));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_while_it_rings_stops_the_ringing() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&carol.uri(), TransferMode::Bridge))
        .await
        .unwrap();
    carol.rings().await;
    alice.hang_up().await;
    assert_eq!(carol.ended().await.kind, sip::CauseKind::Cancel);
    assert_eq!(ended(&mut world).await.end_reason, Some(EndReason::CallerHungUp));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attended_transfer_joins_the_two_and_then_lets_them_go() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    world
        .gateway
        .transfer(&Principal::operator(), id, order(&carol.uri(), TransferMode::Attended))
        .await
        .unwrap();
    carol.answer().await;
    let refer = refer_of(&mut alice).await;
    let replaces = refer.replaces.expect("our call with Carol is to be replaced");
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    // Alice calls Carol in our place.
    let leg = alice.leg.unwrap();
    alice.stack.accept_refer(leg).await.unwrap();
    let old = carol.leg.unwrap();
    alice.invite(&refer.to.uri, vec![("Replaces".into(), replaces.to_string())]).await;
    let replaced = carol
        .event("a call with Replaces", |event| match event {
            Event::Incoming { leg, request } if request.replaces.is_some() => Some((*leg, request.replaces)),
            _ => None,
        })
        .await;
    assert_eq!(replaced.1, Some(old));
    carol.stack.hangup(old, None).await.unwrap();
    alice.stack.refer_progress(leg, 200).await.unwrap();
    let call = ended(&mut world).await;
    assert_eq!(call.end_reason, Some(EndReason::Transferred));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_transferred_says_why() {
    let mut world = World::start(setting()).await;
    let carol = Peer::new("carol").await;
    let order = || order(&carol.uri(), TransferMode::Bridge);
    let unknown = CallId::from_random([9; 10]);
    assert_eq!(
        world.gateway.transfer(&Principal::operator(), unknown, order()).await.unwrap_err().kind,
        Kind::NotFound
    );
    let (mut alice, id) = alice_calls(&mut world).await;
    let number = TransferCall { to: Private::new("+14155550123".into()), mode: None };
    let error = world.gateway.transfer(&Principal::operator(), id.clone(), number).await.unwrap_err();
    assert_eq!(
        (error.kind, error.field),
        (Kind::Invalid, Some("to")),
        "a trunk without a server reaches no numbers"
    );
    alice.hang_up().await;
    ended(&mut world).await;
    assert_eq!(
        world.gateway.transfer(&Principal::operator(), id, order()).await.unwrap_err().kind,
        Kind::Conflict
    );
    world.stop().await;
}
