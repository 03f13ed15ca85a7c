//! The configuration: once a [`Config`] exists, it is right.
//!
//! `config/offhook.toml` documents every key at its default; a test holds the two together. A default stands here and
//! nowhere else.

mod agent;
mod carrier;
mod codecs;
mod dialect;
mod extension;
mod file;
mod guards;
mod http;
mod messages;
mod outside;
mod rates;
mod read;
mod sentences;
mod signalling;
mod srtp;
mod trunk;
mod webhooks;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use media::sdp::{Codec, OpusSettings};

use crate::domain::{BrainChoice, E164, NumberKind, Rates, Region};

pub use agent::{Agent, Example};
pub use carrier::{Carrier, Encoding, Hmac, Inbound, Method, PLACES, Proof, Receipt};
pub use dialect::{Agentnumber, Dialects};
pub use extension::Extension;
pub use file::{Mistake, Mistakes};
pub use guards::{Guards, Hours, Spend};
pub use http::Http;
pub use messages::Messages;
pub use outside::Outside;
pub use rates::{CreditMode, Credits};
pub use signalling::{Guard, Sip, Strangers, Tls};
pub use srtp::Srtp;
pub use trunk::{Format, Identity, Login, Style, Trunk};
pub use webhooks::Webhooks;

#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Folder of the database, the recordings and the admin key. One process at a time.
    pub data: PathBuf,
    pub sip: Sip,
    pub media: Media,
    pub http: Http,
    pub outside: Outside,
    pub webhooks: Webhooks,
    pub engines: Engines,
    pub limits: Limits,
    pub queue: Queue,
    pub numbering: Numbering,
    pub guards: Guards,
    pub rates: Rates,
    pub credits: Credits,
    pub recording: Recording,
    pub turn_taking: TurnTaking,
    pub messages: Messages,
    pub log: Log,
    pub dialects: Dialects,
    pub trunks: Vec<Trunk>,
    pub extensions: Vec<Extension>,
    pub brains: Vec<Brain>,
    pub agents: Vec<Agent>,
    pub numbers: Vec<Number>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Media {
    /// Address of the RTP sockets; absent: see [`Config::media_ip`].
    pub bind: Option<IpAddr>,
    pub advertise: Option<IpAddr>,
    /// Even ports carry RTP, the odd ones above them RTCP.
    pub ports: RangeInclusive<u16>,
    /// Threads that tick the calls.
    pub threads: usize,
    /// Per cent of a thread's time that its calls may take.
    pub max_load: u8,
    /// No packet for so long ends the call; zero: never.
    pub timeout: Duration,
    /// RFC 2474: what our packets are marked with.
    pub dscp: u8,
    /// The only network interface that sound goes and comes by.
    pub interface: Option<String>,
    /// RFC 5761: one port for RTP and RTCP, where the peer likes it too.
    pub rtcp_mux: bool,
    /// What sound is encrypted with, where it is; the best first.
    pub srtp_suites: Vec<media::srtp::Suite>,
    /// A WAV file for who waits.
    pub hold_music: Option<PathBuf>,
    /// Of lines that do not name their own, the best first.
    pub codecs: Vec<Codec>,
    pub opus: OpusSettings,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Engines {
    /// Folder of the engine binaries; absent: beside `offhook`.
    pub folder: Option<PathBuf>,
    /// Folder of the models; absent: the user's cache.
    pub models: Option<PathBuf>,
    /// Catalogue names or paths.
    pub stt: String,
    /// Empty: nothing judges by sound whether a caller has finished.
    pub turn: String,
    pub llm: String,
    pub tts: String,
    /// Further voices that agents may have, besides those that the agents of this file have.
    pub voices: Vec<String>,
    /// Permits over all engines; 0: one per core.
    pub cores: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    pub max_calls: usize,
    pub max_duration: Duration,
    /// What a stop waits for calls to end by themselves.
    pub grace: Duration,
    /// How long an outbound call may ring.
    pub ring: Duration,
}

/// Outbound calls that wait to be dialled.
#[derive(Clone, PartialEq, Debug)]
pub struct Queue {
    pub max_waiting: usize,
    pub max_waiting_per_key: usize,
    /// Calls that begin in any one second.
    pub calls_per_second: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    pub enabled: bool,
    /// Keys are silence in recordings, and so is what comes within `mask_after`.
    pub mask_digits: bool,
    pub mask_after: Duration,
    /// Keys that callers press stand in records, transcripts and events. The agent gets them in any case.
    pub keep_digits: bool,
}

/// See `docs/architecture.md` for how these act together. All at the gateway's clock.
#[derive(Clone, PartialEq, Debug)]
pub struct TurnTaking {
    /// Silence after a sentence that is finished by its words and by its sound.
    pub pause_agreed: Duration,
    /// Silence after a sentence that is finished by one of the two.
    pub pause_complete: Duration,
    /// Silence after words that may go on.
    pub pause_unsure: Duration,
    /// Silence after "and…", "because…".
    pub pause_trailing: Duration,
    /// Silence after digits or letters that are being dictated.
    pub pause_dictation: Duration,
    /// The longest silence of all; also what a caller gets who asks for a moment.
    pub pause_longest: Duration,
    /// Voice over the agent for so long counts as an interruption even before words are known.
    pub interrupt_after: Duration,
    /// A pause for a suspected interruption ends after so long without words.
    pub resume_after: Duration,
    /// The start of a greeting that no noise pauses.
    pub protect_greeting: Duration,
    /// Silence of the caller before "are you still there?".
    pub idle: Duration,
    /// So many of those in a row, then goodbye.
    pub idle_prompts: u32,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    /// As in `info` or `offhook=debug,sip=trace`.
    pub level: String,
    pub json: bool,
    /// Shows phone numbers and transcripts.
    pub private: bool,
}

/// A secret of the configuration; `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Brain {
    pub name: String,
    /// A chat-completions endpoint in OpenAI's streaming format.
    pub url: String,
    pub key: Option<Secret>,
    pub model: String,
    /// Until the first token.
    pub timeout: Duration,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Number {
    pub number: E164,
    /// Other user parts that reach it, such as a short number on the LAN.
    pub aliases: Vec<String>,
    /// Who answers it; absent: it is free, and clients can provision it.
    pub agent: Option<String>,
    pub trunk: String,
    /// Where the operator knows it better than the numbering plan.
    pub country: Option<String>,
    pub area_code: Option<String>,
    pub kind: Option<NumberKind>,
}

/// How numbers are read and given out.
#[derive(Clone, PartialEq, Debug)]
pub struct Numbering {
    /// Where a number without country code is meant, when a client is told the right form.
    pub region: Region,
    /// How long a number that was given back is nobody's.
    pub quarantine: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            sip: Sip::default(),
            media: Media {
                bind: None,
                advertise: None,
                ports: 20000..=20999,
                threads: 1,
                max_load: 80,
                timeout: Duration::from_secs(60),
                dscp: 46,
                interface: None,
                rtcp_mux: true,
                srtp_suites: media::srtp::Suite::ALL.to_vec(),
                hold_music: None,
                codecs: codecs::DEFAULT.to_vec(),
                opus: OpusSettings::default(),
            },
            http: Http::default(),
            outside: Outside::default(),
            webhooks: Webhooks::default(),
            engines: Engines {
                folder: None,
                models: None,
                stt: "whisper-tiny.en".into(),
                turn: "smart-turn-v3.2".into(),
                llm: "smollm2-135m-instruct".into(),
                tts: "piper-en_US-joe-medium".into(),
                voices: Vec::new(),
                cores: 0,
            },
            limits: Limits {
                max_calls: 20,
                max_duration: Duration::from_secs(3600),
                grace: Duration::from_secs(30),
                ring: Duration::from_secs(45),
            },
            queue: Queue { max_waiting: 10_000, max_waiting_per_key: 5_000, calls_per_second: 5 },
            numbering: Numbering { region: Region::default(), quarantine: Duration::from_secs(7 * 86_400) },
            guards: Guards::default(),
            rates: Rates { step: Duration::from_secs(1), ..Rates::default() },
            credits: Credits::default(),
            recording: Recording {
                enabled: true,
                mask_digits: false,
                mask_after: Duration::from_secs(1),
                keep_digits: true,
            },
            turn_taking: TurnTaking {
                pause_agreed: Duration::from_millis(260),
                pause_complete: Duration::from_millis(400),
                pause_unsure: Duration::from_millis(600),
                pause_trailing: Duration::from_millis(1500),
                pause_dictation: Duration::from_millis(2000),
                pause_longest: Duration::from_millis(2500),
                interrupt_after: Duration::from_millis(1500),
                resume_after: Duration::from_millis(600),
                protect_greeting: Duration::from_millis(800),
                idle: Duration::from_secs(12),
                idle_prompts: 2,
            },
            messages: Messages::default(),
            log: Log { level: "info".into(), json: false, private: false },
            dialects: Dialects::default(),
            trunks: Vec::new(),
            extensions: Vec::new(),
            brains: Vec::new(),
            agents: Vec::new(),
            numbers: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file; on mistakes, all of them.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let fail = |reason: String| Mistakes {
            path: path.to_owned(),
            list: vec![Mistake { key: String::new(), reason }],
        };
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        Self::parse(&text).map_err(|list| Mistakes { path: path.to_owned(), list })
    }

    /// From the text of a file.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::config(text)
    }

    /// The codecs of a line, which is a trunk's name or an extension as [`Extension::line`] writes it, the best first.
    pub fn codecs(&self, line: &str) -> &[Codec] {
        let trunk =
            self.trunks.iter().find(|trunk| trunk.name == line).and_then(|trunk| trunk.codecs.as_ref());
        let phone = || self.extensions.iter().find(|phone| phone.line() == line)?.codecs.as_ref();
        trunk.or_else(phone).unwrap_or(&self.media.codecs)
    }

    /// What the RTP sockets are bound to: as `media.bind` says, or the address of `sip.listen`. Where those are of both families it
    /// is `::`, which takes both.
    pub fn media_ip(&self) -> IpAddr {
        let first = self.sip.listen.ip();
        let is_mixed = self.sip.also.iter().any(|addr| addr.is_ipv4() != first.is_ipv4());
        self.media.bind.unwrap_or(if is_mixed { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { first })
    }

    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    pub fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.name == name)
    }

    pub fn extension(&self, number: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.number == number)
    }

    pub fn brain(&self, name: &str) -> Option<&Brain> {
        self.brains.iter().find(|brain| brain.name == name)
    }

    /// Whether the model on this box is started: somebody of this file thinks with it, or a number is free for whoever may want to.
    pub fn thinks_here(&self) -> bool {
        let is_free = self.numbers.iter().any(|number| number.agent.is_none()) && self.brains.is_empty();
        let here = |agent: &Agent| {
            agent.brain == BrainChoice::Local || agent.fallback_brain == Some(BrainChoice::Local)
        };
        is_free || self.agents.iter().any(here)
    }

    /// Voices that can be spoken with, the default one first.
    pub fn voices(&self) -> Vec<String> {
        let asked = self.agents.iter().filter_map(|agent| agent.voice.clone());
        let mut voices = vec![self.engines.tts.clone()];
        for voice in self.engines.voices.iter().cloned().chain(asked) {
            if !voices.contains(&voice) {
                voices.push(voice);
            }
        }
        voices
    }

    /// The number that a Request-URI's user part means: with or without its `+`, or one of its aliases.
    pub fn number_dialled(&self, user: &str) -> Option<&Number> {
        let digits = user.strip_prefix('+').unwrap_or(user);
        self.numbers.iter().find(|number| {
            number.number.digits() == digits || number.aliases.iter().any(|alias| alias == user)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../config/offhook.toml");

    fn mistakes(text: &str) -> Vec<String> {
        let list = Config::parse(text).unwrap_err();
        list.iter().map(|m| format!("{}: {}", m.key, m.reason)).collect()
    }

    #[test]
    fn the_documented_file_parses_to_the_defaults() {
        let parsed = Config::parse(DOCUMENTED).unwrap();
        assert_eq!(parsed.numbers.len(), 1);
        let without_lists = Config {
            trunks: vec![],
            extensions: vec![],
            brains: vec![],
            agents: vec![],
            numbers: vec![],
            ..parsed.clone()
        };
        assert_eq!(without_lists, Config::default());
        let bare = Config::parse("[[agent]]\nname = 'front-desk'").unwrap();
        let documented =
            Agent { prompt: bare.agents[0].prompt.clone(), examples: Vec::new(), ..parsed.agents[0].clone() };
        assert_eq!(documented, bare.agents[0]);
    }

    #[test]
    fn the_examples_in_comments_are_right_as_well() {
        let uncommented: String = DOCUMENTED
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if rest.starts_with('[')
                        || rest.split_once(" = ").is_some_and(|(k, _)| !k.contains(' ')) =>
                {
                    rest.to_owned() + "\n"
                }
                _ => line.to_owned() + "\n",
            })
            // Files that this machine does not have, and one of two keys that exclude each other.
            .filter(|line| !line.contains("_file"))
            .filter(|line| {
                !["ca =", "certificate =", "key =", "stun =", "hold_music ="]
                    .iter()
                    .any(|key| line.starts_with(key))
            })
            .filter(|line| line.trim() != "listen = \"0.0.0.0:5061\"")
            .collect();
        let parsed = Config::parse(&uncommented).unwrap();
        assert_eq!((parsed.trunks.len(), parsed.extensions.len(), parsed.brains.len()), (2, 1, 1));
        let carrier = &parsed.trunks[1];
        assert_eq!((carrier.servers.len(), carrier.transport), (2, Some(::sip::Transport::Tls)));
        let bare = Config::parse("[[trunk]]\nname='bare'\nregistrar='sip:h'\nusername='u'").unwrap();
        let Identity { name, from, headers, .. } = &carrier.identity;
        assert!(name.is_some() && from.is_some() && headers.len() == 1);
        let plain = Identity { name: None, from: None, headers: Vec::new(), ..carrier.identity.clone() };
        assert_eq!(plain, bare.trunks[0].identity);
        assert!(parsed.sip.advertise.is_some() && parsed.engines.folder.is_some());
    }

    #[test]
    fn listening_on_both_families_takes_sound_of_both() {
        for (listen, ip, also) in [
            ("'192.0.2.1:5060'", "192.0.2.1", 0),
            ("['192.0.2.1:5060', '192.0.2.2:5060']", "192.0.2.1", 1),
            ("['0.0.0.0:5060', '[::]:5060']", "::", 1),
        ] {
            let config = Config::parse(&format!("[sip]\nlisten = {listen}")).unwrap();
            assert_eq!(
                (config.media_ip().to_string().as_str(), config.sip.also.len()),
                (ip, also),
                "{listen}"
            );
        }
        assert!(
            mistakes("[sip]\nlisten = []")
                .iter()
                .any(|line| line.starts_with("sip.listen: is an empty list"))
        );
    }

    #[test]
    fn every_mistake_is_named_with_what_is_allowed() {
        let found = mistakes(
            "data = 7\nunknown = 1\n[sip]\nlisten = 'everywhere'\n[limits]\nmax_calls = 0\n\
             [[trunk]]\nname = 'a'\n[[number]]\nnumber = '4155550123'\nagent = 'x'\ntrunk = 'a'\n",
        );
        for part in [
            "data: is a number, and must be text",
            "unknown: is no key that offhook knows; here it knows agent, brain, credits",
            "sip.listen: is \"everywhere\", and must be an address and a port",
            "limits.max_calls: is 0, and must be a whole number from 1 to 10000",
            "trunk[0].allow: is missing",
            "number[0].number: is \"4155550123\": a number starts with +",
        ] {
            assert!(found.iter().any(|line| line.starts_with(part)), "{part} not in {found:#?}");
        }
    }

    #[test]
    fn sections_must_agree() {
        let found = mistakes(
            "[media]\nports = '20000-20003'\n[[trunk]]\nname = 't'\nallow = ['127.0.0.1/32']\n\
             [[agent]]\nname = 'a'\nbrain = 'crm'\n[[number]]\nnumber = '+14155550123'\nagent = 'b'\ntrunk = 'u'\n",
        );
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(
            found.iter().any(|line| line.contains("number[0].agent: is \"b\", and must be one of \"a\""))
        );
        assert!(found.iter().any(|line| line.contains("media.ports: has room for 2 calls")));
    }

    #[test]
    fn what_an_agent_asks_and_leaves_must_be_whole() {
        let found = mistakes(
            "[[agent]]\nname = 'a'\n[agent.voicemail]\nthen = 'leave_message'\n\
             [agent.context_webhook]\nurl = 'https://crm.example/x'\ntimeout_ms = 60000\n",
        );
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found.iter().any(|line| line.contains("agent[0].voicemail.message: is empty")));
        assert!(
            found.iter().any(|line| line.contains("timeout_ms: is 60000, and must be from 100 to 10000"))
        );
    }

    #[test]
    fn a_broken_file_names_its_line() {
        assert!(mistakes("[sip]\nlisten = \n")[0].contains("line 2 is no TOML"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let config =
            Config::parse("[[trunk]]\nname='t'\nregistrar='sip:h'\nusername='u'\npassword='hunter2'")
                .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.trunks[0].password.reveal(), "hunter2");
    }
}
