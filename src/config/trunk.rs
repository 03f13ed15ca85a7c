//! `[[trunk]]`: a carrier or a PBX that calls come from and go to.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use sip::Transport;

use super::Secret;
use super::carrier::{Carrier, carrier};
use super::codecs::codecs;
use super::file::Section;
use super::read::{SIP_URI, secret, size};
use super::signalling::file;
use super::srtp::{Srtp, srtp};
use crate::domain::TransferMode;

#[derive(Clone, PartialEq, Debug)]
pub struct Trunk {
    pub name: String,
    /// Where we register; absent: a trunk that knows us by address.
    pub registrar: Option<sip::Uri>,
    /// Where registrations and calls go, the best first; the next is tried when one cannot be reached. A parameter `lr`
    /// makes it an outbound proxy, which stands in the Route header. Empty: the trunk only calls us.
    pub servers: Vec<sip::Uri>,
    /// How servers are reached whose URI does not say it.
    pub transport: Option<Transport>,
    pub username: String,
    pub password: Secret,
    /// Our address of record at the registrar; absent: username at the registrar's host.
    pub aor: Option<sip::Uri>,
    pub expires: Duration,
    /// Sources whose calls are taken as this trunk's, besides its servers' own addresses.
    pub allow: Vec<IpNet>,
    /// They must prove a password of ours, whatever their address.
    pub auth: Option<Login>,
    /// A trunk with a priority stands in for any other that cannot be reached, the lowest first.
    pub priority: Option<u32>,
    /// Between two OPTIONS to each server; zero: none are sent.
    pub qualify: Duration,
    /// PEM; absent: the authorities that the system trusts.
    pub ca: Option<PathBuf>,
    pub identity: Identity,
    /// Calls at once, in and out; absent: as many as limits.max_calls.
    pub max_calls: Option<usize>,
    /// How keys travel in calls of this trunk.
    pub dtmf: media::dtmf::Mode,
    /// The best first; absent: those of `media.codecs`.
    pub codecs: Option<Vec<media::sdp::Codec>>,
    /// How calls of this trunk are transferred where the client does not say it.
    pub transfer: TransferMode,
    /// Whether its peers may send our calls on by REFER, and take a leg's place by Replaces.
    pub take_refers: bool,
    /// Whether sound is encrypted.
    pub srtp: Srtp,
    /// Text messages by HTTP; absent: by SIP MESSAGE.
    pub messages: Option<Carrier>,
}

impl Trunk {
    /// Where an outbound call is sent first.
    pub fn outbound(&self) -> Option<&sip::Uri> {
        self.servers.first()
    }
}

/// A name and a password.
#[derive(Clone, PartialEq, Debug)]
pub struct Login {
    pub username: String,
    pub password: Secret,
}

/// How we say who calls.
#[derive(Clone, PartialEq, Debug)]
pub struct Identity {
    pub style: Style,
    /// The name beside our number.
    pub name: Option<String>,
    /// The user part of From; absent: our number in the trunk's format.
    pub from: Option<String>,
    pub format: Format,
    /// Withheld (RFC 3323): the trunk knows who calls, and the callee does not.
    pub private: bool,
    /// `;user=phone` at numbers.
    pub user_phone: bool,
    /// Further headers of each INVITE: name, and a text with {number}, {to} and {call_id}.
    pub headers: Vec<(String, String)>,
}

/// Which header carries our number, besides From.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    From,
    Asserted,
    Preferred,
    RemoteParty,
}

/// How numbers are written for a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// +14155550123
    E164,
    /// 14155550123
    PlusLess,
    /// Numbers of one country without its code, all others with a prefix: `country` 49, `trunk` 0 and `abroad` 00 make
    /// 030… of +4930… and 001415… of +1415….
    National { country: String, trunk: String, abroad: String },
}

impl Format {
    /// The user part for a number.
    pub fn write(&self, number: &crate::domain::E164) -> String {
        match self {
            Self::E164 => number.as_str().to_owned(),
            Self::PlusLess => number.digits().to_owned(),
            Self::National { country, trunk, abroad } => match number.digits().strip_prefix(country.as_str())
            {
                Some(rest) => format!("{trunk}{rest}"),
                None => format!("{abroad}{}", number.digits()),
            },
        }
    }

    /// The number that a user part means. `None`: it is none.
    pub fn read(&self, user: &str) -> Option<crate::domain::E164> {
        let digits = match self {
            Self::E164 => return user.parse().ok(),
            Self::PlusLess => user.to_owned(),
            Self::National { country, trunk, abroad } => {
                match (user.strip_prefix(abroad.as_str()), user.strip_prefix(trunk.as_str())) {
                    (Some(rest), _) => rest.to_owned(),
                    (None, Some(rest)) => format!("{country}{rest}"),
                    (None, None) => return None,
                }
            }
        };
        format!("+{digits}").parse().ok()
    }
}

pub(super) fn trunk(s: Section) -> Trunk {
    let transport = transport(&s);
    let registrar: Option<sip::Uri> = s.maybe("registrar", SIP_URI);
    let mut servers: Vec<sip::Uri> = s.all_parsed("servers", &[], SIP_URI);
    if servers.len() > MOST_SERVERS {
        s.wrong("servers", format!("names {}; at most {MOST_SERVERS} are tried", servers.len()));
    }
    if servers.is_empty() {
        servers.extend(registrar.clone());
    }
    for server in &mut servers {
        if server.as_sip().is_none() {
            s.wrong("servers", format!("holds \"{server}\", and each must be {SIP_URI}"));
        }
        if let (Some(transport), sip::Uri::Sip(uri)) = (transport, server)
            && !uri.params.contains("transport")
        {
            uri.params.set("transport", Some(&transport.as_str().to_ascii_lowercase()));
        }
    }
    let trunk = Trunk {
        name: s.required("name", "a name of your choice, to be used in number.trunk"),
        registrar,
        servers,
        transport,
        username: s.text("username").unwrap_or_default(),
        password: secret(&s, "password", "password_file", "password_env").unwrap_or_default(),
        aor: s.maybe("aor", SIP_URI),
        expires: s.seconds("expires_s", Duration::from_secs(300), 30, 86_400),
        allow: s.all_parsed("allow", &[], "a network, as in \"203.0.113.0/24\""),
        auth: auth(s.section("auth"), s.has("auth")),
        priority: s.has("priority").then(|| u32::try_from(s.count("priority", 1, 1, 1000)).unwrap_or(1)),
        qualify: s.seconds("qualify_s", Duration::ZERO, 0, 3600),
        ca: file(&s, "ca"),
        identity: identity(s.section("identity")),
        max_calls: s.has("max_calls").then(|| size(s.count("max_calls", 1, 1, 10_000))),
        dtmf: dtmf(&s),
        codecs: codecs(&s),
        transfer: transfer(&s),
        take_refers: s.flag("take_refers", false),
        srtp: srtp(&s),
        messages: carrier(s.section("messages"), s.has("messages")),
    };
    if trunk.registrar.is_some() && trunk.username.is_empty() {
        s.wrong("username", "is missing; a trunk with a registrar needs the name to register with");
    }
    if trunk.servers.is_empty() && trunk.allow.is_empty() && trunk.auth.is_none() {
        s.wrong(
            "allow",
            "is missing; a trunk without registrar and servers needs the networks its calls come from, or an auth that it proves",
        );
    }
    if trunk.servers.is_empty() {
        for key in ["priority", "qualify_s"] {
            if s.has(key) {
                s.wrong(key, "has no meaning without servers");
            }
        }
    }
    s.finish();
    trunk
}

/// A trunk with more is a list that nobody keeps.
const MOST_SERVERS: usize = 8;

pub(super) fn dtmf(s: &Section) -> media::dtmf::Mode {
    use media::dtmf::Mode;
    match s.text("dtmf").as_deref() {
        None | Some("auto") => Mode::Auto,
        Some("rfc4733") => Mode::Rfc4733,
        Some("info") => Mode::Info,
        Some("inband") => Mode::Inband,
        Some(other) => {
            let allowed = "\"auto\", \"rfc4733\", \"info\" or \"inband\"";
            s.wrong("dtmf", format!("is {other:?}, and must be {allowed}"));
            Mode::Auto
        }
    }
}

fn transfer(s: &Section) -> TransferMode {
    match s.text("transfer").as_deref() {
        None | Some("auto") => TransferMode::Auto,
        Some("refer") => TransferMode::Refer,
        Some("bridge") => TransferMode::Bridge,
        Some(other) => {
            s.wrong("transfer", format!("is {other:?}, and must be \"auto\", \"refer\" or \"bridge\""));
            TransferMode::Auto
        }
    }
}

fn transport(s: &Section) -> Option<Transport> {
    match s.text("transport")?.as_str() {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        other => {
            s.wrong("transport", format!("is {other:?}, and must be \"udp\", \"tcp\" or \"tls\""));
            None
        }
    }
}

fn auth(s: Section, is_given: bool) -> Option<Login> {
    let login = is_given.then(|| login(&s, "username", "the name that they prove with a password of ours"));
    s.finish();
    login
}

/// A name under `key`, and the password that goes with it.
pub(super) fn login(s: &Section, key: &'static str, allowed: &str) -> Login {
    let username = s.required(key, allowed);
    let keys = ["password", "password_file", "password_env"];
    if !keys.iter().any(|key| s.has(key)) {
        s.wrong("password", "is missing; give it here, or by password_file or password_env");
    }
    let password = secret(s, "password", "password_file", "password_env");
    if password.as_ref().is_some_and(|password| password.reveal().is_empty()) {
        s.wrong("password", "is empty");
    }
    Login { username, password: password.unwrap_or_default() }
}

fn identity(s: Section) -> Identity {
    let style = match s.text("style").as_deref() {
        None | Some("from") => Style::From,
        Some("asserted") => Style::Asserted,
        Some("preferred") => Style::Preferred,
        Some("remote-party") => Style::RemoteParty,
        Some(other) => {
            let allowed = "\"from\", \"asserted\", \"preferred\" or \"remote-party\"";
            s.wrong("style", format!("is {other:?}, and must be {allowed}"));
            Style::From
        }
    };
    let identity = Identity {
        style,
        name: s.text("name"),
        from: s.text("from"),
        format: format(&s),
        private: s.flag("private", false),
        user_phone: s.flag("user_phone", false),
        headers: headers(s.table("headers"), &s),
    };
    if identity.name.as_deref().is_some_and(|name| name.chars().any(char::is_control)) {
        s.wrong("name", "must be one line of text");
    }
    s.finish();
    identity
}

fn format(s: &Section) -> Format {
    let digits = |key, default: &str| {
        let text = s.text(key).unwrap_or_else(|| default.to_owned());
        if !text.bytes().all(|b| b.is_ascii_digit() || b == b'+') {
            s.wrong(key, format!("is {text:?}, and must be digits"));
        }
        text
    };
    let has_country = s.has("country");
    let (country, trunk, abroad) =
        (digits("country", ""), digits("trunk_prefix", "0"), digits("abroad_prefix", "00"));
    match s.text("format").as_deref() {
        None | Some("e164") => Format::E164,
        Some("plus-less") => Format::PlusLess,
        Some("national") if has_country && !country.is_empty() => Format::National { country, trunk, abroad },
        Some("national") => {
            s.wrong("country", "is missing; format \"national\" needs the code of the country, as in \"49\"");
            Format::E164
        }
        Some(other) => {
            s.wrong("format", format!("is {other:?}, and must be \"e164\", \"plus-less\" or \"national\""));
            Format::E164
        }
    }
}

/// What a template may hold.
const PLACES: [&str; 3] = ["{number}", "{to}", "{call_id}"];

fn headers(table: Vec<(String, String)>, s: &Section) -> Vec<(String, String)> {
    for (name, text) in &table {
        let key = format!("headers.{name}");
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)) {
            s.wrong(&key, "is no name of a header");
        }
        if text.chars().any(char::is_control) {
            s.wrong(&key, "must be one line of text");
        }
        let bare = PLACES.iter().fold(text.clone(), |text, place| text.replace(place, ""));
        if bare.contains(['{', '}']) {
            s.wrong(&key, format!("is {text:?}; in braces it may hold {}", PLACES.join(", ")));
        }
    }
    table
}
