//! Codecs: which a line speaks, and in which order they are liked.

use media::sdp::{Codec, OpusSettings};

use super::file::Section;

/// The codecs of a line that says nothing of them.
///
/// A telephone trunk expects G.711: whatever else it offers, it transcodes itself, and our ears hear as much in what comes of it. Who
/// has softphones puts the wider codecs first.
pub(super) const DEFAULT: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

const ALLOWED: &str = "\"pcmu\", \"pcma\", \"g722\" or \"opus\"";

/// `codecs = ["opus", "pcmu"]`: the best first. `None`: the key is not there.
pub(super) fn codecs(s: &Section) -> Option<Vec<Codec>> {
    if !s.has("codecs") {
        return None;
    }
    let mut found = Vec::new();
    for name in s.texts("codecs", &[]) {
        match name.parse() {
            Ok(codec) if found.contains(&codec) => s.wrong("codecs", format!("names {name:?} twice")),
            Ok(codec) => found.push(codec),
            Err(_) => s.wrong("codecs", format!("holds {name:?}, and each must be {ALLOWED}")),
        }
    }
    if found.is_empty() {
        s.wrong("codecs", format!("is empty; a call needs one of {ALLOWED}"));
    }
    Some(found)
}

/// `[media.opus]`.
pub(super) fn opus(s: Section, default: OpusSettings) -> OpusSettings {
    let opus = OpusSettings {
        bitrate: u32::try_from(s.count("bitrate", u64::from(default.bitrate), 6_000, 64_000))
            .unwrap_or(default.bitrate),
        fec: s.flag("fec", default.fec),
        dtx: s.flag("dtx", default.dtx),
        ..default
    };
    s.finish();
    opus
}
