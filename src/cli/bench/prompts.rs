//! What a person said: the recorded prompts of Debian's `asterisk-core-sounds-en-wav`, with the texts that come with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

const SOUNDS: &str = "/usr/share/asterisk/sounds/en";
const TEXTS: &str = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";

/// One recording, 8 kHz, mono.
#[derive(Clone, Debug)]
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) path: PathBuf,
    pub(super) duration: Duration,
}

/// All that are whole sentences, by their names' order.
pub(super) fn prompts() -> anyhow::Result<Vec<Prompt>> {
    let missing = "the recorded prompts are not there; get them: make setup-test";
    let unpacked = Command::new("gzip").args(["-dc", TEXTS]).output().context(missing)?;
    if !unpacked.status.success() {
        bail!("{missing}");
    }
    let texts = String::from_utf8_lossy(&unpacked.stdout).into_owned();
    let texts: BTreeMap<_, _> = texts.lines().filter_map(|line| line.split_once(": ")).collect();
    let mut found = Vec::new();
    for (name, text) in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let path = PathBuf::from(SOUNDS).join(format!("{name}.wav"));
        if !is_sentence(&text) || !path.is_file() {
            continue;
        }
        let wav = media::wav::read(&path)?;
        let duration = Duration::from_secs_f64(wav.samples.len() as f64 / f64::from(wav.rate.max(1)));
        found.push(Prompt { text, path, duration });
    }
    if found.is_empty() {
        bail!("{missing}");
    }
    Ok(found)
}

/// Neither a description of a sound nor a piece of a sentence that others go on from.
fn is_sentence(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_uppercase());
    let ends = text.ends_with(['.', '?', '!']) && !text.contains("..");
    begins && ends && !text.contains(['[', '(', '<', '*', '#']) && text.split(' ').count() >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_descriptions_are_no_sentences() {
        assert!(is_sentence("Please enter a new extension, followed by pound."));
        for text in
            ["[ascending tones]", "...to mute or unmute yourself.", "To lock the conference...", "Thank you."]
        {
            assert!(!is_sentence(text), "{text}");
        }
    }
}
