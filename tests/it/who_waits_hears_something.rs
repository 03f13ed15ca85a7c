//! What is heard by whoever waits: music or ringback, what comes from a phone before it answers, music while the other one holds.

use std::sync::Arc;

use media::sdp::Direction;
use media::wav::{self, Wav};
use models::fake::FakeTranscriber;
use offhook::domain::{CallId, Principal, Private, TransferMode};
use offhook::gateway::TransferCall;

use crate::support::{NUMBER, Peer, Setting, World};

const AGENT: f32 = 300.0;
const ALICE: f32 = 700.0;
const CAROL: f32 = 1_100.0;
const MUSIC: f32 = 1_700.0;
const RINGBACK: f32 = 440.0;

fn setting() -> Setting {
    // Tones are no words.
    Setting { transcriber: Arc::new(FakeTranscriber::says([""])), ..Setting::default() }
}

/// Two seconds of a tone, in stereo at a rate of its own, in a folder that lives as long.
fn with_music() -> (tempfile::TempDir, Setting) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hold.wav");
    let sample = |n: u32| (4_000.0 * (std::f32::consts::TAU * MUSIC * n as f32 / 22_050.0).sin()) as i16;
    let samples = (0..44_100).flat_map(|n| [sample(n), sample(n)]).collect();
    wav::write(&path, &Wav { rate: 22_050, channels: 2, samples }).unwrap();
    let media = format!("hold_music = {:?}", path.display().to_string());
    (folder, Setting { media, ..setting() })
}

async fn alice_calls(world: &mut World) -> (Peer, CallId) {
    let mut alice = Peer::new("alice").await;
    alice.call(world.sip, NUMBER).await;
    let id = world.call_id("call.started").await;
    alice.hears(AGENT).await;
    (alice, id)
}

async fn hand_on(world: &World, id: CallId, to: &Peer) {
    let order = TransferCall { to: Private::new(to.uri().to_string()), mode: Some(TransferMode::Bridge) };
    world.gateway.transfer(&Principal::operator(), id, order).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn music_sounds_while_a_transfer_rings_and_while_the_other_one_holds() {
    let (_folder, setting) = with_music();
    let mut world = World::start(setting).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    hand_on(&world, id, &carol).await;
    let offer = carol.rings().await.unwrap();
    alice.hears(MUSIC).await;
    carol.take(&offer).await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    // Whether who holds goes on sending or not: what is heard is the music, and nothing else.
    for direction in [Direction::SendOnly, Direction::Inactive] {
        carol.hold(direction).await;
        alice.hears(MUSIC).await;
        carol.hold(Direction::SendRecv).await;
        carol.sing(CAROL).await;
        alice.hears(CAROL).await;
    }
    alice.hold(Direction::SendOnly).await;
    carol.hears(MUSIC).await;
    alice.hold(Direction::SendRecv).await;
    alice.sing(ALICE).await;
    carol.hears(ALICE).await;
    alice.hang_up().await;
    carol.ended().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_phone_sends_before_it_answers_is_heard_as_soon_as_it_sounds() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    hand_on(&world, id, &carol).await;
    let offer = carol.rings().await.unwrap();
    alice.hears(RINGBACK).await;
    // A description, and then silence: who waits still hears that it rings.
    let agreed = carol.describes(&offer).await;
    carol.opens(agreed).await;
    alice.hears_nothing().await;
    alice.hears(RINGBACK).await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    // The answer changes nothing of it.
    carol.take(&offer).await;
    world.named("call.transferred").await;
    carol.sing(CAROL).await;
    alice.sing(ALICE).await;
    carol.hears(ALICE).await;
    alice.hears(CAROL).await;
    carol.hang_up().await;
    alice.ended().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_phone_sends_before_it_refuses_is_followed_by_the_agent() {
    let mut world = World::start(setting()).await;
    let mut carol = Peer::new("carol").await;
    let (mut alice, id) = alice_calls(&mut world).await;
    hand_on(&world, id, &carol).await;
    let offer = carol.rings().await.unwrap();
    let agreed = carol.describes(&offer).await;
    carol.opens(agreed).await;
    carol.sing(CAROL).await;
    alice.hears(CAROL).await;
    carol.stack.reject(carol.leg.unwrap(), 486).await.unwrap();
    world.named("call.transfer_failed").await;
    alice.hears(AGENT).await;
    alice.hang_up().await;
    world.until_ended().await;
    world.stop().await;
}
