//! The parameters of Opus in `a=fmtp` (RFC 7587 §6.1): what each side wishes to receive, and what the other makes of it.

use std::fmt;

/// What the encoder does; and in [`Capabilities`](super::Capabilities), what we wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpusSettings {
    /// Bits per second, on average.
    pub bitrate: u32,
    /// The highest sampling rate that is of use to the peer, Hz.
    pub max_rate: u32,
    /// A coarse copy of the packet before in each packet, against loss.
    pub fec: bool,
    /// Nothing is sent while nobody speaks.
    pub dtx: bool,
    /// Packets of one size, so that their sizes tell nothing.
    pub cbr: bool,
}

/// Bounds of `maxaveragebitrate` (RFC 7587 §6.1).
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=510_000;

impl Default for OpusSettings {
    fn default() -> Self {
        OpusSettings { bitrate: 32_000, max_rate: 16_000, fec: true, dtx: false, cbr: false }
    }
}

impl OpusSettings {
    /// What we send to a peer with these parameters. It asks for what it likes to receive; we never send more than we meant to.
    pub(super) fn towards(self, parameters: &str) -> OpusSettings {
        let mut agreed = OpusSettings { fec: false, dtx: false, cbr: false, ..self };
        for parameter in parameters.split(';') {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            let number = value.parse::<u32>().ok();
            let yes = value == "1";
            match name.as_str() {
                "maxaveragebitrate" => {
                    if let Some(most) = number {
                        agreed.bitrate = agreed.bitrate.min(most.clamp(*BITRATES.start(), *BITRATES.end()));
                    }
                }
                "maxplaybackrate" => {
                    agreed.max_rate = agreed.max_rate.min(number.unwrap_or(u32::MAX).max(8_000))
                }
                "useinbandfec" => agreed.fec = yes && self.fec,
                "usedtx" => agreed.dtx = yes,
                "cbr" => agreed.cbr = yes,
                // One channel is all that we send, and what comes in two is mixed: both are as RFC 7587 §6.1 lets us.
                _ => {}
            }
        }
        agreed
    }
}

/// As it stands in our description.
impl fmt::Display for OpusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OpusSettings { bitrate, max_rate, fec, dtx, cbr } = self;
        write!(f, "maxplaybackrate={max_rate};sprop-maxcapturerate={max_rate};maxaveragebitrate={bitrate};")?;
        write!(f, "stereo=0;sprop-stereo=0;useinbandfec={};usedtx={}", u8::from(*fec), u8::from(*dtx))?;
        if *cbr { f.write_str(";cbr=1") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_wishes_is_kept_within_what_we_do() {
        let ours = OpusSettings::default();
        let quiet = OpusSettings { fec: false, ..ours };
        for (parameters, agreed) in [
            ("", quiet),
            ("useinbandfec=1", ours),
            ("useinbandfec=1; maxaveragebitrate=40000; maxplaybackrate=48000; ptime=20", ours),
            (" MaxAverageBitrate = 16000 ;useinbandfec=0", OpusSettings { bitrate: 16_000, ..quiet }),
            ("maxaveragebitrate=1", OpusSettings { bitrate: 6_000, ..quiet }),
            ("maxplaybackrate=8000;stereo=1", OpusSettings { max_rate: 8_000, ..quiet }),
            (
                "maxplaybackrate=-1;maxaveragebitrate=x;;=;usedtx=1;cbr=1",
                OpusSettings { dtx: true, cbr: true, ..quiet },
            ),
        ] {
            assert_eq!(ours.towards(parameters), agreed, "{parameters:?}");
        }
        assert!(!OpusSettings { fec: false, ..ours }.towards("useinbandfec=1").fec);
    }

    #[test]
    fn what_we_say_is_read_as_we_mean_it() {
        for dtx in [false, true] {
            let ours = OpusSettings { dtx, ..OpusSettings::default() };
            assert_eq!(OpusSettings::default().towards(&ours.to_string()), ours);
        }
    }
}
