//! The main job, with scripted models: answered, heard, answered, recorded, written down.

use std::sync::Arc;

use models::fake::{FakeGenerator, FakeSynthesizer, FakeTranscriber};
use offhook::domain::{EndReason, EventKind, Speaker, Status};

use crate::support::{Caller, NUMBER, Setting, World, prompt};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_answered_heard_and_spoken_to() {
    let mut world = World::start(Setting::default()).await;
    let script = format!(
        "listen\nplay {}\nlisten\ndtmf 42\nwait 400ms\nhangup",
        prompt("check-number-dial-again").display()
    );
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, &script).await;
    assert!(outcome.answered);
    let answered = outcome.exchanges.iter().filter_map(|exchange| exchange.voice_to_voice).next();
    assert!(answered.is_some(), "the phone heard an answer: {:?}", outcome.exchanges.len());

    let (call, events) = world.until_ended().await;
    assert_eq!((call.status, call.end_reason), (Status::Completed, Some(EndReason::CallerHungUp)));
    let said: Vec<_> = call.transcript.iter().map(|f| (f.speaker, f.text.reveal().as_str())).collect();
    assert_eq!(
        said[..3],
        [
            (Speaker::Agent, "Hello there."),
            (Speaker::Caller, "Do you open today?"),
            (Speaker::Agent, "Yes, at nine."),
        ]
    );
    assert_eq!(call.digits.reveal(), "42");
    let turn = call.turns.iter().find(|turn| turn.heard.reveal() == "Do you open today?").unwrap();
    assert!(turn.voice_to_voice_ms.is_some() && turn.stt_ms.is_some() && turn.llm_first_token_ms.is_some());

    let line = call.line.clone().unwrap();
    assert_eq!(line.codec, "PCMU");
    assert!(line.packets_received > 50 && line.packets_sent > 50, "{line:?}");
    let recording = media::wav::read(world.recording(&call)).unwrap();
    assert_eq!((recording.rate, recording.channels), (8000, 2));
    let loud =
        |channel: usize| recording.samples.iter().skip(channel).step_by(2).filter(|s| s.abs() > 500).count();
    assert!(loud(0) > 4000 && loud(1) > 4000, "both sides are on it: {} {}", loud(0), loud(1));

    // In order, without a gap, and nothing after the end but what is ready.
    let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names[..2], ["call.ringing", "call.started"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_said_as_it_is_told_and_written_as_it_is() {
    let voice = Arc::new(FakeSynthesizer::default());
    let mut world = World::start(Setting {
        synthesizer: voice.clone(),
        generator: Arc::new(FakeGenerator::says(["At Offhook it is $3."])),
        agent: "pronunciations = { OFFHOOK = 'off hook' }\n",
        ..Setting::default()
    })
    .await;
    let script = format!("listen\nplay {}\nlisten\nhangup", prompt("check-number-dial-again").display());
    Caller::new().await.call(&world, NUMBER, &script).await;
    let (call, _) = world.until_ended().await;
    assert_eq!(call.transcript.last().unwrap().text.reveal(), "At Offhook it is $3.");
    let said: Vec<_> = voice.asked.all().into_iter().map(|phrase| phrase.text).collect();
    assert!(said.iter().any(|text| text == "At off hook it is three dollars."), "{said:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_over_the_agent_stops_it_and_the_transcript_is_cut() {
    let long = "This is a very long answer that goes on and on, and nobody could listen to it to its end.";
    let mut world = World::start(Setting {
        transcriber: Arc::new(FakeTranscriber::says([
            "Tell me everything.",
            "No, please stop.",
            "Thanks, bye.",
        ])),
        generator: Arc::new(FakeGenerator::says([long, "All right."])),
        ..Setting::default()
    })
    .await;
    let script = format!(
        "listen\nplay {}\ninterrupt 1500ms play {}\nlisten\nhangup",
        prompt("check-number-dial-again").display(),
        prompt("conf-invalidpin").display()
    );
    let (outcome, _) = Caller::new().await.call(&world, "100", &script).await;
    // How soon is measured by `offhook bench turn`, on a machine that has nothing else to do.
    assert!(outcome.exchanges.iter().any(|exchange| exchange.stop.is_some()), "the agent stopped");
    let (call, events) = world.until_ended().await;
    let cut =
        call.transcript.iter().find(|fragment| fragment.interrupted).expect("a fragment is marked as cut");
    let text = cut.text.reveal();
    assert!(long.starts_with(text.as_str()) && !text.is_empty() && text.len() < long.len(), "{text:?}");
    assert!(events.iter().any(|event| matches!(event.kind, EventKind::BargeIn { resumed: false, .. })));
    // What the brain was told next holds only what was heard.
    assert!(call.turns.iter().any(|turn| turn.interrupted && turn.said.reveal() == text));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_hangs_up_when_it_wants_to() {
    let mut world = World::start(Setting {
        generator: Arc::new(FakeGenerator::says(["See you. [hangup]"])),
        ..Setting::default()
    })
    .await;
    let script = format!("listen\nplay {}\nstay 10s", prompt("check-number-dial-again").display());
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, &script).await;
    assert_eq!(outcome.cause.by, sip::EndedBy::Remote);
    let (call, _) = world.until_ended().await;
    assert_eq!((call.status, call.end_reason), (Status::Completed, Some(EndReason::AgentHungUp)));
    assert_eq!(call.transcript.last().unwrap().text.reveal(), "See you.");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_and_completes_the_record() {
    let mut world = World::start(Setting::default()).await;
    let call = Caller::new().await.call(&world, NUMBER, "stay 30s");
    let mut events = world.gateway.subscribe();
    let stop = async {
        // The greeting has been said: now the operator stops the box.
        while !matches!(events.recv().await.unwrap().kind, EventKind::Turn(_)) {}
        world.drain().await;
    };
    let ((outcome, _), ()) = tokio::join!(call, stop);
    assert_eq!(outcome.cause.by, sip::EndedBy::Remote, "the gateway hung up");
    let (record, _) = world.until_ended().await;
    assert_eq!(record.end_reason, Some(EndReason::ShuttingDown));
    assert_eq!(record.transcript.last().unwrap().text.reveal(), "Thank you for calling. Goodbye.");
    let id = record.id.clone();
    let data = world.stop().await;
    let store = offhook::store::Store::open(data.path()).unwrap();
    let stored = store.call(&id).unwrap().unwrap();
    assert!(stored.status.is_over());
    let recording = store.recording(&stored.account, &id, 0).unwrap().unwrap();
    assert_eq!(recording.bytes(), stored.recordings[0].bytes);
}
