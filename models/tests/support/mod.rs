//! The real engines and models, and ways to compare what was said with what was heard.

use std::path::{Path, PathBuf};

use models::local::{Local, LocalConfig, StartError};
use models::{Delta, Generator, LlmError, Pcm, Phrase, Prompt, Synthesizer, TtsError, Usage};

use futures_util::StreamExt;

/// `$OFFHOOK_ENGINES`, or `target/release` beside the profile that this test was built in.
pub(crate) fn engines() -> PathBuf {
    if let Some(dir) = std::env::var_os("OFFHOOK_ENGINES") {
        return dir.into();
    }
    let exe = std::env::current_exe().expect("a test has a path");
    let target = exe.ancestors().nth(3).expect("target/<profile>/deps/<test>");
    target.join("release")
}

/// Held by each test: two sets of engines on the same cores would tell nothing about time.
pub(crate) async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    ALONE.lock().await
}

/// Starts what the configuration asks for. What is missing fails the test with the command that brings it.
pub(crate) async fn start(config: LocalConfig) -> Local {
    let engines_dir = engines();
    match models::local::start(LocalConfig { engines_dir, ..config }).await {
        Ok(local) => local,
        Err(e @ StartError::MissingEngine(_)) => panic!("{e} (or set OFFHOOK_ENGINES)"),
        Err(e) => panic!("{e} (cargo run -p models --example pull -- starter)"),
    }
}

/// Only an ear, only a mind, only a mouth.
pub(crate) fn ear() -> LocalConfig {
    LocalConfig { turn: None, llm: None, tts: None, ..LocalConfig::default() }
}

pub(crate) fn mind() -> LocalConfig {
    LocalConfig { stt: None, turn: None, tts: None, ..LocalConfig::default() }
}

pub(crate) fn mouth() -> LocalConfig {
    LocalConfig { stt: None, turn: None, llm: None, ..LocalConfig::default() }
}

/// A whole reply.
pub(crate) async fn reply(mind: &dyn Generator, prompt: Prompt) -> Result<(String, Usage), LlmError> {
    let mut stream = mind.generate(prompt);
    let mut text = String::new();
    while let Some(delta) = stream.next().await {
        match delta? {
            Delta::Text(piece) => text += &piece,
            Delta::ToolCall(call) => panic!("no tool was offered: {call:?}"),
            Delta::Fallback { because } => panic!("there is no other mind: {because}"),
            Delta::Done { usage, .. } => return Ok((text, usage)),
        }
    }
    panic!("the stream ended without Done");
}

/// A whole phrase.
pub(crate) async fn speech(mouth: &dyn Synthesizer, phrase: Phrase) -> Result<Pcm, TtsError> {
    let mut stream = mouth.synthesize(phrase);
    let mut all = Pcm { rate: mouth.rate(), samples: Vec::new() };
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        all.rate = piece.rate;
        all.samples.extend(piece.samples);
    }
    Ok(all)
}

/// A recorded prompt of Debian's package asterisk-core-sounds-en-wav, at 16 kHz.
pub(crate) fn prompt(name: &str) -> Vec<i16> {
    let path = Path::new("/usr/share/asterisk/sounds/en").join(format!("{name}.wav"));
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e} (apt-get install asterisk-core-sounds-en-wav)", path.display()));
    let data = bytes.windows(4).position(|w| w == b"data").expect("a WAV has data") + 8;
    let pcm: Vec<i16> = bytes[data..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    resample(&pcm, 8000, 16_000)
}

/// By straight lines: enough for an ear.
pub(crate) fn resample(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let count = pcm.len() as u64 * u64::from(to) / u64::from(from);
    let at = |i: usize| f64::from(pcm[i.min(pcm.len() - 1)]);
    (0..count)
        .map(|i| {
            let x = i as f64 * f64::from(from) / f64::from(to);
            let (k, f) = (x as usize, x.fract());
            (at(k) * (1.0 - f) + at(k + 1) * f) as i16
        })
        .collect()
}

/// Words to be changed, left out or added to come from what was said to what was heard, and how many were said.
pub(crate) fn word_errors(said: &str, heard: &str) -> (usize, usize) {
    let words = |text: &str| -> Vec<String> {
        let keep = |c: char| if c.is_alphanumeric() || c == '\'' { c } else { ' ' };
        text.to_lowercase()
            .chars()
            .map(keep)
            .collect::<String>()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, s) in said.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, h) in heard.iter().enumerate() {
            let change = corner + usize::from(s != h);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    (row[heard.len()], said.len())
}
