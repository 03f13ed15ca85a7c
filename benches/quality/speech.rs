//! What is said: sentences of a person out of Debian's `asterisk-core-sounds-en-wav` and `-g722`, a few seconds to a piece.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use media::Rate;

use crate::ours;

const FOLDER: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// Each line is a piece of about eight seconds, which PESQ judges by itself (P.862.3 asks for 8 to 12).
const PIECES: [&[&str]; 8] = [
    &["vm-msgforwarded", "conf-invalid", "pls-hold-while-try"],
    &["queue-youarenext", "vm-nobodyavail"],
    &["ss-noservice", "vm-sorry"],
    &["privacy-unident", "please-try-call-later", "vm-goodbye"],
    &["vm-mismatch", "followme/pls-hold-while-try"],
    &["demo-thanks", "conf-now-recording"],
    &["vm-invalid-password", "agent-newlocation"],
    &["queue-periodic-announce"],
];
/// Silence before the first piece: a call begins, and buffers learn what the line is like.
const LEAD_MS: u32 = 2_000;
/// Between sentences of a piece, and between pieces.
const BREATH_MS: u32 = 500;
const PAUSE_MS: u32 = 1_000;

pub(crate) struct Speech {
    pub(crate) rate: u32,
    pub(crate) pcm: Vec<i16>,
    /// Where the pieces stand, in samples.
    pub(crate) pieces: Vec<Range<usize>>,
}

impl Speech {
    /// The sentences at the rate that the codec carries: from 8 kHz files, or from those of 16 kHz, which are in G.722.
    pub(crate) fn of(rate: Rate) -> Result<Speech, Box<dyn Error>> {
        let silence = |ms: u32| vec![0; (rate.hz() * ms / 1_000) as usize];
        let mut pcm = silence(LEAD_MS);
        let mut pieces = Vec::new();
        for names in PIECES {
            let start = pcm.len();
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    pcm.extend(silence(BREATH_MS));
                }
                pcm.extend(sentence(name, rate)?);
            }
            pieces.push(start..pcm.len());
            pcm.extend(silence(PAUSE_MS));
        }
        Ok(Speech { rate: rate.hz(), pcm, pieces })
    }
}

fn sentence(name: &str, rate: Rate) -> Result<Vec<i16>, Box<dyn Error>> {
    let missing = |path: &Path, error: &dyn std::fmt::Display| {
        format!("{}: {error} (`make bench-quality` installs the sentences)", path.display())
    };
    match rate {
        Rate::Narrow => {
            let path = Path::new(FOLDER).join(format!("{name}.wav"));
            let wav = media::wav::read(&path).map_err(|error| missing(&path, &error))?;
            Ok(wav.mono())
        }
        Rate::Wide => {
            let path = Path::new(FOLDER).join(format!("{name}.g722"));
            let bytes = std::fs::read(&path).map_err(|error| missing(&path, &error))?;
            Ok(ours::decoded(&bytes))
        }
    }
}
