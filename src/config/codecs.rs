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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LINES: &str = "[[trunk]]\nname = 'carrier'\nallow = ['127.0.0.1/32']\ncodecs = ['PCMA', 'pcmu']\n\
        [[trunk]]\nname = 'other'\nallow = ['127.0.0.2/32']\n\
        [[extension]]\nnumber = '201'\npassword = 'secret'\ncodecs = ['opus']\n";

    fn mistakes(text: &str) -> Vec<String> {
        let list = Config::parse(text).unwrap_err();
        list.into_iter().map(|one| format!("{}: {}", one.key, one.reason)).collect()
    }

    #[test]
    fn a_line_has_its_own_codecs_or_everybodys() {
        let config = Config::parse(&format!("[media]\ncodecs = ['g722', 'pcmu']\n{LINES}")).unwrap();
        for (line, expected) in [
            ("carrier", vec![Codec::Pcma, Codec::Pcmu]),
            ("other", vec![Codec::G722, Codec::Pcmu]),
            ("extension 201", vec![Codec::Opus]),
            ("nobody", vec![Codec::G722, Codec::Pcmu]),
        ] {
            assert_eq!(config.codecs(line), expected, "{line}");
        }
        assert_eq!(Config::parse(LINES).unwrap().codecs("other"), DEFAULT);
    }

    #[test]
    fn what_is_no_codec_is_named() {
        for (codecs, reason) in [
            (
                "['g729']",
                "media.codecs: holds \"g729\", and each must be \"pcmu\", \"pcma\", \"g722\" or \"opus\"",
            ),
            ("[]", "media.codecs: is empty"),
            ("['pcmu', 'PCMU']", "media.codecs: names \"PCMU\" twice"),
        ] {
            let found = mistakes(&format!("[media]\ncodecs = {codecs}\n"));
            assert!(found.iter().any(|line| line.starts_with(reason)), "{reason} not in {found:?}");
        }
        let found = mistakes("[media.opus]\nbitrate = 5\n");
        assert!(found[0].starts_with("media.opus.bitrate: is 5"), "{found:?}");
    }
}
