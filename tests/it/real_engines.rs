//! With the real models: recorded speech in, understood, answered, spoken; and engines that are killed in mid-call.
//!
//! The models must have been pulled (`make models`) and the engines built (`make engines`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use models::fake::FakeTranscriber;
use models::local::{Local, LocalConfig, Supervisors};
use models::{Priority, Transcriber, Utterance};
use offhook::domain::{EventKind, Principal, Private, ReportStatus, Speaker};
use offhook::gateway::{SoundFormat, Speak};
use offhook::phone::wer::word_error_rate;

use crate::support::{Caller, NUMBER, Setting, World, prompt};

const AGENT: &str = "prompt = 'You answer the phone of a bakery. It opens at seven. Answer in one short sentence.'\n\
                     max_tokens = 40\ntemperature = 0.0\n";
/// Words of the recorded prompt that the callers play.
const QUESTION: &str = "Please check the number and dial again.";

pub(crate) fn engines() -> PathBuf {
    let beside = || std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let folder = std::env::var_os("OFFHOOK_ENGINES").map_or_else(beside, PathBuf::from);
    assert!(folder.join("offhook-whisper").exists(), "no engines in {}: make engines", folder.display());
    folder
}

async fn start() -> (World, Supervisors, Arc<dyn Transcriber>) {
    start_with(AGENT).await
}

/// With further lines of the agent's table.
pub(crate) async fn start_with(agent: &'static str) -> (World, Supervisors, Arc<dyn Transcriber>) {
    let config = LocalConfig { engines_dir: engines(), ..LocalConfig::default() };
    let Local { stt, turn, llm, tts, supervisors } =
        models::local::start(config).await.unwrap_or_else(|e| panic!("{e}"));
    let transcriber = stt.unwrap();
    let setting = Setting {
        transcriber: transcriber.clone(),
        judge: turn,
        generator: llm.unwrap(),
        synthesizer: tts.unwrap(),
        agent,
        ..Setting::default()
    };
    (World::start(setting).await, supervisors, transcriber)
}

fn question() -> String {
    format!("listen\nplay {}\nlisten 40s\nhangup", prompt("check-number-dial-again").display())
}

/// The words of 16 kHz sound.
pub(crate) async fn words(transcriber: &dyn Transcriber, pcm: &[i16]) -> String {
    let utterance = Utterance {
        pcm: pcm.into(),
        language: Some("en".into()),
        prompt: None,
        priority: Priority::Background,
    };
    transcriber.transcribe(utterance).await.unwrap().text
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_speech_is_understood_and_the_answer_is_heard_as_it_is_written() {
    let (mut world, supervisors, ear) = start().await;
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, &question()).await;
    let (call, _) = world.until_ended().await;
    let turn = call.turns.iter().find(|turn| !turn.heard.reveal().is_empty()).expect("a turn of the caller");
    let heard = word_error_rate(QUESTION, turn.heard.reveal());
    println!("heard {:?}: word error rate {heard:.2}", turn.heard.reveal());
    assert!(heard <= 0.3, "{QUESTION:?} was heard as {:?}", turn.heard.reveal());

    // What the caller's ear got, turned into words again, is what the transcript says.
    let said: String = turn.said.reveal().clone();
    assert!(!said.is_empty());
    let answer =
        outcome.exchanges.iter().rfind(|exchange| !exchange.heard.is_empty()).expect("the phone heard it");
    let again = words(&*ear, &answer.heard).await;
    let spoken = word_error_rate(&said, &again);
    println!("said {said:?}, at the phone {again:?}: word error rate {spoken:.2}");
    assert!(spoken <= 0.35, "said {said:?}, heard at the phone {again:?}");
    world.stop().await;
    supervisors.shutdown().await;
}

#[derive(Clone, Copy, Debug)]
enum Engine {
    Ear,
    Mind,
    Mouth,
}

/// Kills an engine in mid-call; the caller must get an answer nevertheless.
async fn is_survived(engine: Engine) {
    let (mut world, supervisors, _) = start().await;
    let supervisor = match engine {
        Engine::Ear => &supervisors.stt,
        Engine::Mind => &supervisors.llm,
        Engine::Mouth => &supervisors.tts,
    };
    let supervisor = supervisor.as_ref().unwrap();
    let first = supervisor.pid().expect("the engine runs");
    let mut events = world.gateway.subscribe();
    let kill = async {
        loop {
            let due = match (engine, events.recv().await.unwrap().kind) {
                // While the caller speaks, so that the engine is away when it is needed.
                (Engine::Ear, EventKind::Turn(turn)) => turn.turn == 1,
                // When the brain has just been asked.
                (_, EventKind::Transcript { speaker: Speaker::Caller, is_final, .. }) => is_final,
                _ => false,
            };
            if due {
                break;
            }
        }
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    };
    let caller = Caller::new().await;
    let script = question();
    let ((outcome, _), ()) = tokio::join!(caller.call(&world, NUMBER, &script), kill);
    let (call, _) = world.until_ended().await;
    let answered = call
        .transcript
        .iter()
        .skip_while(|f| f.speaker == Speaker::Agent)
        .any(|f| f.speaker == Speaker::Agent);
    assert!(
        answered,
        "{engine:?}: {:#?}",
        call.transcript.iter().map(|f| f.text.reveal()).collect::<Vec<_>>()
    );
    assert!(outcome.exchanges.last().is_some_and(|exchange| !exchange.heard.is_empty()), "it was heard");
    assert_ne!(supervisor.pid(), Some(first), "another process runs now");
    world.stop().await;
    supervisors.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ear_killed_in_mid_call_costs_no_answer() {
    is_survived(Engine::Ear).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_killed_in_mid_call_costs_no_answer() {
    is_survived(Engine::Mind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mouth_killed_in_mid_call_costs_no_answer() {
    is_survived(Engine::Mouth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_spoken_by_itself_is_understood() {
    let (world, supervisors, ear) = start().await;
    let text = "The bakery opens at seven in the morning.";
    let speak = |format| {
        let request = Speak { text: Private::new(text.to_owned()), voice: None, speed: None, format };
        let gateway = world.gateway.clone();
        async move { gateway.speak(&Principal::operator(), request, false).await.unwrap() }
    };
    let wav = media::wav::parse(&speak(SoundFormat::Wav).await.bytes).unwrap();
    let (seconds, rate) = (wav.mono().len() / usize::try_from(wav.rate).unwrap(), wav.rate);
    assert!((1..8).contains(&seconds), "{seconds} s at {rate} Hz");
    let pcm = media::resample::convert(&wav.mono(), wav.rate, 16_000);
    let heard = words(&*ear, &pcm).await;
    let errors = word_error_rate(text, &heard);
    println!("spoken {text:?}, heard {heard:?}: word error rate {errors:.2}");
    assert!(errors <= 0.35, "{heard:?}");
    let mp3 = speak(SoundFormat::Mp3).await.bytes;
    assert!(mp3.len() > 1000 && mp3[0] == 0xff);
    world.stop().await;
    supervisors.shutdown().await;
}

/// Figures are said as people say them, and understood as what they are.
#[tokio::test(flavor = "multi_thread")]
async fn money_and_times_are_understood_as_they_are_written() {
    let (world, supervisors, ear) = start().await;
    let text = "Dr. Smith owes $3.50 at 10:30.";
    let request =
        Speak { text: Private::new(text.to_owned()), voice: None, speed: None, format: SoundFormat::Wav };
    let bytes = world.gateway.speak(&Principal::operator(), request, false).await.unwrap().bytes;
    let wav = media::wav::parse(&bytes).unwrap();
    // As it is over a telephone.
    let narrow = media::resample::convert(&wav.mono(), wav.rate, 8_000);
    let heard = words(&*ear, &media::resample::convert(&narrow, 8_000, 16_000)).await;
    let errors = word_error_rate("doctor smith owes three dollars and fifty cents at ten thirty", &heard);
    println!("written {text:?}, heard {heard:?}: word error rate {errors:.2}");
    let plain = heard
        .to_lowercase()
        .replace("three dollars and fifty cents", "$3.50")
        .replace("ten thirty", "10:30")
        .replace("10.30", "10:30");
    for part in ["smith", "$3.50", "10:30"] {
        assert!(plain.contains(part), "{part:?} was heard as {heard:?}");
    }
    world.stop().await;
    supervisors.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_model_writes_a_report_that_can_be_used() {
    let only_a_mind =
        LocalConfig { engines_dir: engines(), stt: None, turn: None, tts: None, ..LocalConfig::default() };
    let Local { llm, supervisors, .. } =
        models::local::start(only_a_mind).await.unwrap_or_else(|e| panic!("{e}"));
    let wish = "This is Ann Miller, please call me back tomorrow about the broken oven.";
    let mut world = World::start(Setting {
        transcriber: Arc::new(FakeTranscriber::says([wish])),
        generator: llm.unwrap(),
        agent: "report = true\nobjective = 'Find out what the caller wants.'\nmax_tokens = 40\n\
                prompt = 'You answer the phone of a bakery. Answer in one short sentence.'\n",
        ..Setting::default()
    })
    .await;
    let script = format!("listen\nplay {}\nlisten 40s\nhangup", prompt("check-number-dial-again").display());
    Caller::new().await.call(&world, NUMBER, &script).await;
    let (call, _) = world.until_ended().await;
    // The brain may take 180 s for each of two answers.
    let name = "call.report.ready";
    world.event_within(Duration::from_secs(360), name, |event| event.kind.name() == name).await;
    let report = world.call(&call.id).await.report.unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    assert_eq!(report.status, ReportStatus::Ready, "{:?}", report.reason);
    assert!(!report.summary.unwrap().reveal().is_empty() && report.outcome.is_some() && report.tokens > 100);
    world.stop().await;
    supervisors.shutdown().await;
}
