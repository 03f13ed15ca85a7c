//! `srtp = "…"`: whether the sound of a trunk or extension is encrypted, and `media.srtp_suites`: with what.

use std::str::FromStr;

use media::srtp::Suite;

use super::Config;
use super::file::Section;

/// Whether sound is encrypted, by keys in the SDP (RFC 4568).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Srtp {
    /// Never: a call that insists is refused.
    #[default]
    Off,
    /// Offered beside plain RTP (RFC 8643), and taken where it is offered.
    Optional,
    /// A call without it is refused.
    Required,
}

impl FromStr for Srtp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Srtp::Off),
            "optional" => Ok(Srtp::Optional),
            "required" => Ok(Srtp::Required),
            _ => Err(()),
        }
    }
}

pub(super) fn srtp(s: &Section) -> Srtp {
    s.parsed("srtp", Srtp::Off, "\"off\", \"optional\" or \"required\"")
}

pub(super) fn suites(s: &Section, default: Vec<Suite>) -> Vec<Suite> {
    if !s.has("srtp_suites") {
        return default;
    }
    let names = s.texts("srtp_suites", &[]);
    let mut suites = Vec::new();
    for name in &names {
        match Suite::named(name) {
            Some(suite) if !suites.contains(&suite) => suites.push(suite),
            Some(_) => {}
            None => {
                let known = Suite::ALL.map(|suite| format!("{:?}", suite.name())).join(", ");
                s.wrong("srtp_suites", format!("holds {name:?}, and may hold {known}"));
            }
        }
    }
    if names.is_empty() {
        s.wrong(
            "srtp_suites",
            "is empty; leave it out for all, or set srtp = \"off\" where nothing is to be encrypted",
        );
    }
    suites
}

impl Config {
    /// Trunks and extensions whose keys may travel in SIP that everybody on the way can read.
    pub fn keys_in_clear(&self) -> Vec<String> {
        let is_tls = |uri: &sip::Uri| uri.transport() == Some(sip::Transport::Tls);
        let is_heard = !self.sip.tls.listen.is_empty();
        let trunks = self.trunks.iter().filter(|trunk| trunk.srtp != Srtp::Off);
        let trunks = trunks.filter(|trunk| match trunk.servers.is_empty() {
            true => !is_heard,
            false => !trunk.servers.iter().all(is_tls),
        });
        let extensions = self.extensions.iter().filter(|extension| extension.srtp != Srtp::Off && !is_heard);
        let trunks = trunks.map(|trunk| format!("trunk {}", trunk.name));
        trunks.chain(extensions.map(super::Extension::line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "[[agent]]\nname='a'\n[[number]]\nnumber='+493012345678'\nagent='a'\ntrunk='t'\n";

    fn keys_in_clear(text: &str) -> Vec<String> {
        let config = Config::parse(&format!("{text}\n{REST}"));
        config.unwrap_or_else(|mistakes| panic!("{mistakes:#?}")).keys_in_clear()
    }

    #[test]
    fn keys_without_tls_are_told_of() {
        let trunk = |more: &str| format!("[[trunk]]\nname='t'\nallow=['192.0.2.0/24']\n{more}");
        let open: [String; 0] = [];
        assert_eq!(keys_in_clear(&trunk("")), open);
        assert_eq!(keys_in_clear(&trunk("srtp='required'")), ["trunk t"]);
        assert_eq!(
            keys_in_clear(&trunk("srtp='optional'\nservers=['sip:a.example;transport=tls','sip:b.example']")),
            ["trunk t"]
        );
        assert_eq!(
            keys_in_clear(&trunk(
                "srtp='required'\nservers=['sips:a.example','sip:b.example;transport=tls']"
            )),
            open
        );
        assert_eq!(
            keys_in_clear(&trunk("srtp='required'\ntransport='tls'\nservers=['sip:a.example']")),
            open
        );
        let tls = "[sip.tls]\nlisten='0.0.0.0:5061'\ncertificate='Cargo.toml'\nkey='Cargo.toml'\n";
        let phone = "[[extension]]\nnumber='201'\npassword='p'\nsrtp='required'\n";
        assert_eq!(keys_in_clear(&format!("{}\n{phone}", trunk(""))), ["extension 201"]);
        assert_eq!(keys_in_clear(&format!("{tls}{}\n{phone}", trunk("srtp='optional'"))), open);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let text = format!(
            "[media]\nsrtp_suites=['F8']\n[[trunk]]\nname='t'\nallow=['192.0.2.0/24']\nsrtp='yes'\n{REST}"
        );
        let mistakes = Config::parse(&text).expect_err("two mistakes");
        let list: Vec<String> =
            mistakes.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.reason)).collect();
        assert!(
            list[0].starts_with("media.srtp_suites: holds \"F8\", and may hold \"AEAD_AES_256_GCM\","),
            "{list:?}"
        );
        assert!(
            list.iter()
                .any(|line| line
                    .contains("srtp: is \"yes\", and must be \"off\", \"optional\" or \"required\"")),
            "{list:?}"
        );
        let suites = Config::parse(&format!(
            "[media]\nsrtp_suites=['AES_CM_128_HMAC_SHA1_80']\n[[trunk]]\nname='t'\nallow=['192.0.2.0/24']\n{REST}"
        ));
        assert_eq!(suites.map(|config| config.media.srtp_suites), Ok(vec![Suite::AesCm128HmacSha1_80]));
    }
}
