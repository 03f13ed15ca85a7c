//! What is said when something that is needed is not there.

use std::path::PathBuf;

use models::local::{LocalConfig, StartError, start};

fn empty() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("offhook-empty-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

async fn refused(config: LocalConfig) -> StartError {
    match start(config).await {
        Ok(_) => panic!("it started"),
        Err(e) => e,
    }
}

#[tokio::test]
async fn a_missing_model_is_named_with_the_command_that_brings_it() {
    let error = refused(LocalConfig { models_dir: empty(), ..LocalConfig::default() }).await;
    assert!(matches!(&error, StartError::MissingModel { name, .. } if name == "whisper-tiny.en"));
    assert!(error.to_string().contains("offhook models pull starter"), "{error}");
}

#[tokio::test]
async fn a_corrupt_model_is_named_with_the_command_that_brings_it_again() {
    let dir = empty().join("corrupt");
    let entry = dir.join("whisper-tiny.en");
    std::fs::create_dir_all(&entry).unwrap();
    std::fs::write(entry.join("manifest.json"), "{").unwrap();
    let error = refused(LocalConfig { models_dir: dir, ..LocalConfig::default() }).await;
    assert!(matches!(&error, StartError::CorruptModel { .. }), "{error}");
    assert!(error.to_string().contains("offhook models pull starter"), "{error}");
}

#[tokio::test]
async fn wrong_names_are_told_from_missing_files() {
    let named =
        |name: &str| LocalConfig { stt: Some(name.into()), models_dir: empty(), ..LocalConfig::default() };
    assert!(matches!(refused(named("whisper-enormous")).await, StartError::UnknownModel { .. }));
    assert!(matches!(refused(named("smollm2-135m-instruct")).await, StartError::WrongPurpose { .. }));
    assert!(matches!(refused(named("/nowhere/ggml.bin")).await, StartError::MissingModel { .. }));
    let file = empty().join("weights.bin");
    std::fs::write(&file, "x").unwrap();
    let config = LocalConfig { engines_dir: empty(), llm: None, tts: None, ..named(file.to_str().unwrap()) };
    assert!(
        matches!(refused(config).await, StartError::MissingEngine(path) if path.ends_with("offhook-whisper"))
    );
}

#[tokio::test]
async fn where_the_judge_of_turns_is_not_there_the_rest_starts_without_it() {
    let only = LocalConfig { models_dir: empty(), stt: None, llm: None, tts: None, ..LocalConfig::default() };
    let local = start(only.clone()).await.unwrap();
    assert!(local.turn.is_none() && local.supervisors.turn.is_none());
    // One that somebody has named is wanted.
    let named = LocalConfig { turn: Some("./smart-turn-v9.onnx".into()), ..only };
    assert!(matches!(refused(named).await, StartError::MissingModel { .. }));
}
