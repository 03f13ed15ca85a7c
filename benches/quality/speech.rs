//! What is said: sentences of a person out of Debian's `asterisk-core-sounds-en-wav`, a few seconds to a piece.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

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
    pub(crate) fn narrow() -> Result<Speech, Box<dyn Error>> {
        let rate = media::LINE_RATE;
        let silence = |ms: u32| vec![0; (rate * ms / 1_000) as usize];
        let mut pcm = silence(LEAD_MS);
        let mut pieces = Vec::new();
        for names in PIECES {
            let start = pcm.len();
            for (index, name) in names.iter().enumerate() {
                if index > 0 {
                    pcm.extend(silence(BREATH_MS));
                }
                let path = Path::new(FOLDER).join(format!("{name}.wav"));
                let wav = media::wav::read(&path).map_err(|error| {
                    format!("{}: {error} (scripts/setup-test.sh installs the sentences)", path.display())
                })?;
                if wav.rate != rate {
                    return Err(format!("{} has {} Hz, not {rate}", path.display(), wav.rate).into());
                }
                pcm.extend(wav.mono());
            }
            pieces.push(start..pcm.len());
            pcm.extend(silence(PAUSE_MS));
        }
        Ok(Speech { rate, pcm, pieces })
    }
}
