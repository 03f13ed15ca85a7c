//! `[sip]`: where we listen, what we tell of ourselves, and who is kept out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::file::Section;
use super::read::{ADDRESS, IP, size};

#[derive(Clone, PartialEq, Debug)]
pub struct Sip {
    /// UDP.
    pub listen: SocketAddr,
    /// Further addresses of UDP: IPv6 beside IPv4, for instance.
    pub also: Vec<SocketAddr>,
    /// None: TCP is not spoken.
    pub tcp: Vec<SocketAddr>,
    pub tls: Tls,
    /// The address that peers are told, where it is not `listen` itself (NAT).
    pub advertise: Option<IpAddr>,
    /// A STUN server that tells us that address, as `host` or `host:port`.
    pub stun: Option<String>,
    pub strangers: Strangers,
    /// The realm of our challenges: part of what a phone's digest is made of.
    pub realm: String,
    /// The digests that a challenge offers, the best first (RFC 8760).
    pub digests: Vec<sip::Algorithm>,
    /// RFC 4028; zero: no session timers.
    pub session_expires: Duration,
    pub min_session_expires: Duration,
    /// RFC 3262.
    pub reliable_provisional: bool,
    pub guard: Guard,
    /// Whether MESSAGE is taken and sent.
    pub messages: bool,
    /// Content types that an inbox takes, in small letters and without parameters.
    pub message_types: Vec<String>,
    /// Longest body of a message, in or out.
    pub max_message_bytes: usize,
}

/// Listening needs all three; connecting to a trunk by TLS needs none.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tls {
    pub listen: Vec<SocketAddr>,
    /// PEM, our own certificate first.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// What becomes of a request from an address that is no trunk's, where it comes from no extension either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strangers {
    /// It is not even read, as long as no extension and no trunk may come from anywhere.
    Drop,
    /// 403.
    Refuse,
}

/// Bounds for everybody but the trunks.
#[derive(Clone, PartialEq, Debug)]
pub struct Guard {
    /// New requests a second of one address; zero: no bound. Ten times as many may come at once.
    pub per_source: u32,
    /// Of all addresses together.
    pub total: u32,
    /// Requests above the rate that ban an address.
    pub strikes: u32,
    /// Wrong passwords within five minutes that ban it.
    pub failed_logins: u32,
    pub ban: Duration,
    /// Words in a User-Agent that ban at once.
    pub scanners: Vec<String>,
}

/// What attack tools call themselves when nobody has taught them to lie.
const SCANNERS: &[&str] =
    &["friendly-scanner", "sipvicious", "sundayddr", "sip-scan", "sipcli", "pplsip", "iwar"];

impl Default for Sip {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)),
            also: Vec::new(),
            tcp: Vec::new(),
            tls: Tls::default(),
            advertise: None,
            stun: None,
            strangers: Strangers::Drop,
            realm: "offhook".into(),
            digests: vec![sip::Algorithm::Md5],
            session_expires: Duration::from_secs(1800),
            min_session_expires: Duration::from_secs(90),
            reliable_provisional: true,
            guard: Guard {
                per_source: 20,
                total: 200,
                strikes: 100,
                failed_logins: 10,
                ban: Duration::from_secs(3600),
                scanners: SCANNERS.iter().map(|word| (*word).to_owned()).collect(),
            },
            messages: true,
            message_types: vec!["text/plain".into()],
            max_message_bytes: 8192,
        }
    }
}

pub(super) fn sip(s: Section, default: Sip) -> Sip {
    let strangers = match s.text("strangers").as_deref() {
        None => default.strangers,
        Some("drop") => Strangers::Drop,
        Some("refuse") => Strangers::Refuse,
        Some(other) => {
            s.wrong("strangers", format!("is {other:?}, and must be \"drop\" or \"refuse\""));
            default.strangers
        }
    };
    let mut listen = s.one_or_more("listen", ADDRESS).into_iter();
    let sip = Sip {
        listen: listen.next().unwrap_or(default.listen),
        also: listen.collect(),
        tcp: s.one_or_more("tcp", ADDRESS),
        tls: tls(s.section("tls")),
        advertise: s.maybe("advertise", IP),
        stun: s.text("stun"),
        strangers,
        realm: s.text("realm").unwrap_or(default.realm),
        digests: digests(&s, &default.digests),
        session_expires: s.seconds("session_expires_s", default.session_expires, 0, 86_400),
        min_session_expires: s.seconds("min_session_expires_s", default.min_session_expires, 90, 86_400),
        reliable_provisional: s.flag("reliable_provisional", default.reliable_provisional),
        guard: guard(s.section("guard"), default.guard),
        messages: s.flag("messages", default.messages),
        message_types: message_types(&s, &default.message_types),
        max_message_bytes: size(s.count("max_message_bytes", default.max_message_bytes as u64, 160, 60_000)),
    };
    if !sip.session_expires.is_zero() && sip.session_expires < sip.min_session_expires {
        let least = sip.min_session_expires.as_secs();
        s.wrong(
            "session_expires_s",
            format!("must be 0, or at least min_session_expires_s, which is {least}"),
        );
    }
    if sip.stun.as_deref().is_some_and(|server| server.is_empty() || server.contains(['/', ' '])) {
        s.wrong("stun", "must be a server's name and port, as in \"stun.example.net:3478\"");
    }
    if sip.stun.is_some() && sip.advertise.is_some() {
        s.wrong("stun", "asks for an address that sip.advertise gives already; use one of them");
    }
    if sip.realm.is_empty() || sip.realm.contains(['"', '\\']) || !sip.realm.is_ascii() {
        s.wrong("realm", format!("is {:?}, and must be a few letters without quotes", sip.realm));
    }
    s.finish();
    sip
}

fn digests(s: &Section, default: &[sip::Algorithm]) -> Vec<sip::Algorithm> {
    let names: Vec<_> = default.iter().map(|one| one.as_str()).collect();
    let known = [sip::Algorithm::Sha256, sip::Algorithm::Md5];
    let mut found = Vec::new();
    for name in s.texts("digests", &names) {
        match known.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(&name)) {
            Some(digest) => found.push(digest),
            None => s.wrong("digests", format!("holds {name:?}, and each must be \"SHA-256\" or \"MD5\"")),
        }
    }
    if found.is_empty() {
        s.wrong("digests", "is empty; a challenge offers at least one");
    }
    found
}

fn message_types(s: &Section, default: &[String]) -> Vec<String> {
    let default: Vec<_> = default.iter().map(String::as_str).collect();
    let types = s.texts("message_types", &default);
    let is_type = |one: &str| {
        let mut parts = one.split('/');
        let word =
            |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && !p.contains([' ', ';', ',', '*']));
        word(parts.next()) && word(parts.next()) && parts.next().is_none()
    };
    for one in types.iter().filter(|one| !is_type(one)) {
        s.wrong(
            "message_types",
            format!("holds {one:?}, and each must be a content type, as in \"text/plain\""),
        );
    }
    if types.is_empty() {
        s.wrong("message_types", "is empty; to take no messages, say messages = false");
    }
    types.into_iter().map(|one| one.to_ascii_lowercase()).collect()
}

fn tls(s: Section) -> Tls {
    let tls = Tls {
        listen: s.one_or_more("listen", "an address and a port, as in \"0.0.0.0:5061\""),
        certificate: file(&s, "certificate"),
        key: file(&s, "key"),
    };
    for (key, path) in [("certificate", &tls.certificate), ("key", &tls.key)] {
        if !tls.listen.is_empty() && path.is_none() {
            s.wrong(key, "is missing; listening for TLS needs a certificate and its key, in PEM files");
        }
    }
    if tls.certificate.is_some() != tls.key.is_some() && tls.listen.is_empty() {
        s.wrong("key", "and certificate belong together; give both or neither");
    }
    s.finish();
    tls
}

/// A file that is there and can be read.
pub(super) fn file(s: &Section, key: &'static str) -> Option<PathBuf> {
    let path = PathBuf::from(s.text(key)?);
    match std::fs::File::open(&path) {
        Ok(_) => Some(path),
        Err(error) => {
            s.wrong(key, format!("names {path:?}, which cannot be read: {error}"));
            None
        }
    }
}

fn guard(s: Section, default: Guard) -> Guard {
    let number = |key, default: u32, least, most| {
        u32::try_from(s.count(key, default.into(), least, most)).unwrap_or(default)
    };
    let guard = Guard {
        per_source: number("requests_per_second", default.per_source, 0, 10_000),
        total: number("total_per_second", default.total, 0, 100_000),
        strikes: number("strikes", default.strikes, 1, 1_000_000),
        failed_logins: number("failed_logins", default.failed_logins, 1, 1_000),
        ban: s.seconds("ban_s", default.ban, 1, 30 * 86_400),
        scanners: match s.has("scanners") {
            true => s.texts("scanners", &[]),
            false => default.scanners,
        },
    };
    s.finish();
    guard
}

/// Contacts that one extension may have at once.
pub(super) fn contacts(s: &Section) -> usize {
    size(s.count("max_contacts", 5, 1, 20))
}
