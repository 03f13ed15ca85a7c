//! How good it sounds: PESQ by the PyPI package `pesq`, asked through `score.py`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use media::wav::{self, Wav};

use crate::ours::Heard;
use crate::speech::Speech;

/// Mouth to ear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// The mean over the pieces, MOS-LQO.
    pub(crate) pesq: f64,
    /// From the sending of a sound to its playing: the median of the pieces.
    pub(crate) delay_ms: f64,
}

/// Writes sound into files and has them judged.
pub(crate) struct Judge {
    python: PathBuf,
    folder: PathBuf,
}

impl Judge {
    pub(crate) fn new(python: PathBuf, folder: &Path) -> Self {
        Judge { python, folder: folder.to_owned() }
    }

    /// One score for each of `heard`, in their order. What has another rate than the speech is brought to it.
    pub(crate) fn scores(
        &self,
        name: &str,
        speech: &Speech,
        heard: &[Heard],
    ) -> Result<Vec<Score>, Box<dyn Error>> {
        let said = self.write(&format!("{name}-said"), speech.rate, &speech.pcm)?;
        let mut files = Vec::new();
        for (index, heard) in heard.iter().enumerate() {
            let pcm = media::resample::convert(&heard.pcm, heard.rate, speech.rate);
            files.push(self.write(&format!("{name}-{index:02}"), speech.rate, &pcm)?);
        }
        let pieces: Vec<String> =
            speech.pieces.iter().map(|piece| format!("{}-{}", piece.start, piece.end)).collect();
        let mode = if speech.rate > media::LINE_RATE { "wb" } else { "nb" };
        let output = Command::new(&self.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/quality/score.py"))
            .arg(mode)
            .arg(said)
            .arg(pieces.join(","))
            .args(&files)
            .output()
            .map_err(|error| {
                format!("{}: {error} (`make bench-quality` sets it up)", self.python.display())
            })?;
        if !output.status.success() {
            return Err(format!("score.py failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let lines = String::from_utf8(output.stdout)?;
        let scores = lines
            .lines()
            .zip(heard)
            .map(|(line, heard)| score(line, heard))
            .collect::<Result<Vec<_>, _>>()?;
        if scores.len() != heard.len() {
            return Err(format!("score.py judged {} of {}", scores.len(), heard.len()).into());
        }
        Ok(scores)
    }

    fn write(&self, name: &str, rate: u32, pcm: &[i16]) -> Result<PathBuf, Box<dyn Error>> {
        let path = self.folder.join(format!("{name}.wav"));
        wav::write(&path, &Wav { rate, channels: 1, samples: pcm.to_vec() })?;
        Ok(path)
    }
}

fn score(line: &str, heard: &Heard) -> Result<Score, Box<dyn Error>> {
    let mut numbers = line.split(' ').map(str::parse::<f64>);
    let pesq = numbers.next().ok_or("an empty line")??;
    let mut lags = numbers.skip(1).collect::<Result<Vec<_>, _>>()?;
    lags.sort_by(f64::total_cmp);
    let middle = lags.get(lags.len() / 2).ok_or("no piece")?;
    Ok(Score { pesq, delay_ms: middle + heard.begins.as_secs_f64() * 1_000.0 })
}
