//! What fails is heard as a sentence, never as silence.

use std::sync::Arc;
use std::time::Duration;

use models::fake::{FakeGenerator, FakeSynthesizer, FakeTranscriber};
use models::{Delta, EngineError, FinishReason, LlmError, SttError, Transcript, TtsError, Usage};
use offhook::domain::{EndReason, Fault, Speaker, Status};

use crate::support::{Caller, NUMBER, Setting, World, prompt};

fn dead() -> EngineError {
    EngineError::EngineDied { engine: "test", detail: "killed".into() }
}

fn one_question() -> String {
    format!("listen\nplay {}\nlisten\nhangup", prompt("check-number-dial-again").display())
}

async fn last_words(setting: Setting, script: &str) -> (Vec<(Speaker, String)>, offhook::domain::Call) {
    let mut world = World::start(setting).await;
    Caller::new().await.call(&world, NUMBER, script).await;
    let (call, _) = world.until_ended().await;
    world.stop().await;
    (call.transcript.iter().map(|f| (f.speaker, f.text.reveal().clone())).collect(), call)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_webhook_is_apologised_for_and_at_last_ends_politely() {
    let refused = || LlmError::Connect { url: "http://127.0.0.1:1".into(), reason: "refused".into() };
    let setting =
        Setting { generator: Arc::new(FakeGenerator::script([vec![Err(refused())]])), ..Setting::default() };
    let question = format!("play {}\nlisten\n", prompt("check-number-dial-again").display());
    let script = format!("listen\n{question}{question}{question}stay 20s");
    let (said, call) = last_words(setting, &script).await;
    let apologies = said.iter().filter(|(_, text)| text.starts_with("I am sorry")).count();
    assert_eq!(apologies, 2, "{said:#?}");
    assert_eq!(said.last().unwrap().1, "Thank you for calling. Goodbye.");
    assert_eq!(
        (call.status, call.end_reason, call.fault),
        (Status::Failed, Some(EndReason::BrainFailed), Some(Fault::Model))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_under_a_job_gets_it_again() {
    let whole = vec![
        Ok(Delta::Text("Yes, at nine.".into())),
        Ok(Delta::Done { reason: FinishReason::Stop, usage: Usage::default() }),
    ];
    let heard = Transcript { text: "Do you open today?".into(), ..Transcript::default() };
    let setting = Setting {
        transcriber: Arc::new(FakeTranscriber::script([Err(SttError::Engine(dead())), Ok(heard)])),
        generator: Arc::new(FakeGenerator::script([vec![Err(LlmError::Engine(dead()))], whole])),
        // Four stock sentences first.
        synthesizer: Arc::new(FakeSynthesizer::failing([
            None,
            None,
            None,
            None,
            Some(TtsError::Engine(dead())),
        ])),
        ..Setting::default()
    };
    let (said, _) = last_words(setting, &one_question()).await;
    assert_eq!(
        said[1..3],
        [(Speaker::Caller, "Do you open today?".to_owned()), (Speaker::Agent, "Yes, at nine.".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ear_that_stays_deaf_is_apologised_for() {
    let setting = Setting {
        transcriber: Arc::new(FakeTranscriber::script([Err(SttError::Engine(dead()))])),
        ..Setting::default()
    };
    let (said, _) = last_words(setting, &one_question()).await;
    assert!(said[1].1.starts_with("I am sorry"), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_brain_is_waited_for_while_the_caller_may_go_on() {
    let setting = Setting {
        generator: Arc::new(FakeGenerator::says(["Yes, at nine."]).delayed(Duration::from_millis(400))),
        ..Setting::default()
    };
    let (said, call) = last_words(setting, &one_question()).await;
    assert_eq!(said[2].1, "Yes, at nine.");
    assert!(call.turns[1].llm_first_token_ms.unwrap() >= 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brain_that_takes_long_is_bridged_by_a_sentence_that_it_does_not_hear_of() {
    let generator = Arc::new(FakeGenerator::says(["Yes.", "No."]).delayed(Duration::from_millis(1500)));
    let setting = Setting {
        generator: generator.clone(),
        agent: "filler = { after_ms = 1000, phrases = ['Let me look.'] }",
        ..Setting::default()
    };
    let question = format!("play {}\nlisten\n", prompt("check-number-dial-again").display());
    let (said, call) = last_words(setting, &format!("listen\n{question}stay 3s\n{question}hangup")).await;
    assert_eq!(said[2], (Speaker::Agent, "Let me look. Yes.".to_owned()), "{said:#?}");
    assert!(call.turns[1].voice_to_voice_ms.unwrap() >= 1500, "a filler is no answer");
    let asked = generator.asked.all();
    let read =
        |text: &str| asked.iter().any(|prompt| prompt.messages.iter().any(|m| m.content.contains(text)));
    assert!(read("Yes.") && !read("Let me look"));
}
