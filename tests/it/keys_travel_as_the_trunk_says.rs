//! Keys by INFO, in RTP and as tones, and what is kept of them.

use std::time::Duration;

use offhook::domain::{self, EventKind};
use serde_json::json;
use sip::Event;
use tokio::process::Command;

use crate::support::{Api, NUMBER, Peer, Setting, World};

const HELD: Duration = Duration::from_millis(200);

/// `offhook calls …`, which must do it.
async fn calls(world: &World, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .arg("calls")
        .args(arguments)
        .args(["--url", &format!("http://{}", world.http), "--key-file"])
        .arg(world.data.path().join("admin.key"))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

async fn called(setting: Setting) -> (World, Peer) {
    let mut world = World::start(setting).await;
    let mut phone = Peer::new("phone").await;
    phone.call(world.sip, NUMBER).await;
    world.named("call.turn").await;
    (world, phone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_of_info_gets_and_gives_keys_by_info() {
    let (mut world, mut phone) = called(Setting { trunk: "dtmf = 'info'", ..Setting::default() }).await;
    let leg = phone.leg.unwrap();
    for key in ['4', '2'] {
        phone.stack.send_dtmf(leg, key, HELD).await.unwrap();
        world.event(&format!("key {key}"), |event| pressed(event) == Some(key)).await;
    }
    let id = world.call_id("call.started").await;
    let path = format!("/v1/calls/{id}/digits");
    assert_eq!(Api::admin(&world).post(&path, &json!({ "digits": "7#" })).await.0, 202);
    for expected in ['7', '#'] {
        let key = phone.event("an INFO", |event| match event {
            Event::Dtmf { digit, .. } => Some(*digit),
            _ => None,
        });
        assert_eq!(key.await, expected);
    }
    phone.hang_up().await;
    let (call, _) = world.until_ended().await;
    assert_eq!(call.digits.reveal(), "42");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_that_comes_by_rtp_and_by_info_is_one() {
    let (mut world, mut phone) = called(Setting::default()).await;
    let leg = phone.leg.unwrap();
    for key in ["5", "5", "1"] {
        phone.press(key).await;
        phone.stack.send_dtmf(leg, key.chars().next().unwrap(), HELD).await.unwrap();
    }
    world.event("the last key", |event| pressed(event) == Some('1')).await;
    // Whatever else was on its way has come when the answer to it is heard.
    world.event("a turn of keys", |event| event.kind.name() == "call.turn" && event.seq > 8).await;
    phone.hang_up().await;
    let (call, _) = world.until_ended().await;
    assert_eq!(call.digits.reveal(), "551");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_to_be_kept_are_written_down_nowhere() {
    let more = "[recording]\nmask_digits = true\nkeep_digits = false\n".into();
    let (mut world, mut phone) = called(Setting { more, ..Setting::default() }).await;
    phone.press("1234#").await;
    let turn = world
        .event("a turn of keys", |event| heard(event).is_some_and(|text| text.contains("pressed")))
        .await;
    assert_eq!(heard(&turn), Some("(The caller pressed keys.)"));
    phone.hang_up().await;
    let (call, events) = world.until_ended().await;
    assert_eq!(call.digits.reveal(), "");
    assert!(call.transcript.iter().all(|said| !said.text.reveal().contains("1 2 3 4")));
    assert!(events.iter().all(|event| event.kind.name() != "call.dtmf"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_paused_and_goes_on_in_its_place() {
    let (mut world, mut phone) = called(Setting::default()).await;
    let api = Api::admin(&world);
    let id = world.call_id("call.started").await;
    let path = format!("/v1/calls/{id}/recording");
    let post = async |verb: &str| api.post(&format!("{path}/{verb}"), &json!({})).await.0;
    assert_eq!(post("pause").await, 202);
    // Once more, as an operator does it.
    calls(&world, &["pause-recording", id.as_str()]).await;
    // From here on to the end of the call.
    phone.sing(700.0).await;
    phone.press("1").await;
    world.event("the key behind the sound", |event| pressed(event) == Some('1')).await;
    calls(&world, &["resume-recording", id.as_str()]).await;
    // A key is a turn when none has followed it for two seconds.
    world.event("the key's turn", |event| heard(event).is_some_and(|text| text.contains("pressed"))).await;
    phone.hang_up().await;
    let (call, events) = world.until_ended().await;
    let times = |name| events.iter().filter(|event| event.kind.name() == name).count();
    assert_eq!((times("call.recording.paused"), times("call.recording.resumed")), (1, 1));
    let resumed = events.iter().find_map(|event| match event.kind {
        EventKind::RecordingResumed { at_ms } => Some(at_ms),
        _ => None,
    });
    let recording = media::wav::read(world.recording(&call)).unwrap();
    let first =
        recording.channel(0).iter().position(|sample| sample.abs() > 2_000).expect("the song is there");
    let (first, resumed) = (first as u64 * 1_000 / u64::from(recording.rate), resumed.unwrap());
    assert!(first + 100 >= resumed, "sung at {first} ms, resumed at {resumed} ms");
    let length = recording.samples.len() as u64 * 1_000 / u64::from(recording.rate) / 2;
    assert!(length + 300 >= call.duration_ms, "{length} ms of {} ms", call.duration_ms);
    assert_eq!(post("pause").await, 409, "the call is over");
    for format in ["wav", "opus"] {
        let out = world.data.path().join(format!("out.{format}"));
        let out = out.to_str().unwrap();
        calls(&world, &["recording", id.as_str(), "--format", format, "--out", out]).await;
        let got = std::fs::read(out).unwrap();
        match format {
            "wav" => assert_eq!(got, std::fs::read(world.recording(&call)).unwrap()),
            _ => assert!(got.starts_with(b"OggS") && got.windows(8).any(|eight| eight == b"OpusHead")),
        }
    }
    world.stop().await;
}

fn heard(event: &domain::Event) -> Option<&str> {
    match &event.kind {
        EventKind::Turn(turn) => Some(turn.heard.reveal()),
        _ => None,
    }
}

fn pressed(event: &domain::Event) -> Option<char> {
    match &event.kind {
        EventKind::Dtmf { digit, .. } => Some(*digit.reveal()),
        _ => None,
    }
}
