//! With the real ear and mouth: recorded speech in, and an answer out of each kind of brain.
//!
//! The models must have been pulled (`make models`) and the engines built (`make engines`).

use models::local::{Local, LocalConfig};
use offhook::domain::{BrainChoice, Settings, StageKind};
use offhook::phone::wer::word_error_rate;
use serde_json::Value;

use crate::agents_think_elsewhere::{answers, asked, server};
use crate::real_engines::engines;
use crate::support::{Setting, World};

/// Words of the recorded prompt that the callee plays.
const QUESTION: &str = "Please check the number and dial again.";
const STREAM: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"We open at seven.\"}}]}\n\ndata: [DONE]\n\n";

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_brain_answers_recorded_speech() {
    let config = LocalConfig { engines_dir: engines(), ..LocalConfig::default() };
    let Local { stt, turn, llm, tts, supervisors } =
        models::local::start(config).await.unwrap_or_else(|e| panic!("{e}"));
    let (stt, llm, tts) = (stt.unwrap(), llm.unwrap(), tts.unwrap());
    let (chat, chatted) = server(200, "text/event-stream", STREAM).await;
    let (turns, told) = server(200, "application/json", "{\"text\": \"We open at seven.\"}").await;
    let (dead, _) = server(503, "text/plain", "asleep").await;
    let webhook = |url: &str| BrainChoice::Webhook { url: url.to_owned() };
    for (brain, fallback, said) in [
        (BrainChoice::Local, None, None),
        (webhook(&chat), None, Some("We open at seven.")),
        (BrainChoice::TurnWebhook { url: turns }, None, Some("We open at seven.")),
        (webhook(&dead), Some(BrainChoice::Local), None),
    ] {
        let setting = Setting {
            transcriber: stt.clone(),
            judge: turn.clone(),
            generator: llm.clone(),
            synthesizer: tts.clone(),
            agent: "prompt = 'You answer the phone of a bakery. Answer in one short sentence.'\n\
                    max_tokens = 30\ntemperature = 0.0\nreport = false\n",
            more: "[outside]\nallow = ['127.0.0.0/8']\n".into(),
            ..Setting::default()
        };
        let mut world = World::start(setting).await;
        let settings =
            Settings { brain: Some(brain.clone()), fallback_brain: fallback.clone(), ..Settings::default() };
        let call = asked(&mut world, settings).await;
        let answered = answers(&call);
        println!("{brain:?} answered {answered:?}");
        assert!(!answered.is_empty() && !answered[0].starts_with("I am sorry"), "{brain:?}: {answered:?}");
        assert!(said.is_none_or(|said| answered[0] == said), "{brain:?}: {answered:?}");
        let stages = call.turns.iter().flat_map(|turn| &turn.explanation.stages);
        let fell_back = stages.into_iter().any(|stage| stage.stage == StageKind::Fallback);
        assert_eq!(fell_back, fallback.is_some(), "{brain:?}");
        world.stop().await;
    }
    let heard: Value = serde_json::from_str(&told.lock().unwrap()[0].1).unwrap();
    let heard = heard["data"]["transcript"].as_str().unwrap().to_owned();
    assert!(word_error_rate(QUESTION, &heard) <= 0.3, "{heard:?}");
    let asked: Value = serde_json::from_str(&chatted.lock().unwrap()[0].1).unwrap();
    assert_eq!(asked["model"], "custom", "{asked}");
    supervisors.shutdown().await;
}
