//! Who calls: as a carrier wants to be told, and as a carrier tells us.
//!
//! There are five places for it, and every carrier reads another: From (RFC 3261), P-Asserted-Identity and P-Preferred-Identity
//! (RFC 3325), Remote-Party-ID (a draft that never became one, and is everywhere), and Diversion (RFC 5806) for whom the
//! call was for at first. [`CallerId`] is the caller, [`IdentityStyle`] the carrier's taste; together they give what goes into
//! [`Invite::from`](crate::Invite::from) and [`Invite::headers`](crate::Invite::headers). The other way, [`of`] reads all of it out
//! of a request, as what it is: [`Claimed`].

use std::fmt;

use crate::message::{Host, NameAddr, Uri, name, split_list};
use crate::passport::{self, Attestation, PassportError, Unverified};

/// Entries that are taken of each header.
const MOST: usize = 8;
/// What has fewer digits is an extension or a short code, and what has more no number of E.164.
const NATIONAL: std::ops::RangeInclusive<usize> = 7..=15;

/// Who is to be shown as the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerId {
    /// A number (E.164, with or without `+`) or a name; not escaped.
    pub user: String,
    /// The display name.
    pub name: Option<String>,
    /// The carrier's domain, or our own.
    pub domain: Host,
    pub port: Option<u16>,
    pub privacy: Privacy,
    /// Whom the call was for before, the newest first.
    pub diversion: Vec<Diversion>,
}

/// How a carrier wants to be told. The default is a From and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdentityStyle {
    /// Write P-Asserted-Identity: only towards whom we share trust with.
    pub asserted: bool,
    /// Write P-Preferred-Identity.
    pub preferred: bool,
    /// Write Remote-Party-ID.
    pub remote_party: bool,
    pub plus: Plus,
    /// `;user=phone` at numbers.
    pub user_phone: bool,
    /// What From shows in the caller's place: the account, for carriers that know their customers by it. The caller then stands in
    /// the other headers only.
    pub from_user: Option<String>,
}

/// What becomes of the `+` of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Plus {
    #[default]
    Keep,
    /// Before 7 to 15 digits that do not begin with 0. What else there is stays as it is.
    Always,
    Never,
}

/// What RFC 3323 §4.2 and RFC 3325 §9.3 let a caller ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Privacy {
    /// Show the identity even where it would be hidden by default.
    pub none: bool,
    pub header: bool,
    pub session: bool,
    pub user: bool,
    /// The network knows the caller, the called does not.
    pub id: bool,
    pub history: bool,
    /// Rather no call than a call without all this.
    pub critical: bool,
}

/// One turn that the call has taken (RFC 5806).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diversion {
    /// Who has passed it on. Its parameters are the fields beside.
    pub address: NameAddr,
    /// `unconditional`, `user-busy`, `no-answer`, …
    pub reason: Option<String>,
    /// How often this one did; 1 where it is not said.
    pub counter: u32,
    /// The one who passed it on is not to be shown.
    pub hidden: bool,
}

/// One Remote-Party-ID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteParty {
    pub address: NameAddr,
    /// The network has checked it, it says.
    pub screened: bool,
    /// Not to be shown.
    pub hidden: bool,
    /// It names the called (`party=called`).
    pub is_called: bool,
}

/// What a request says about its caller. To be believed as far as whoever sent it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claimed {
    pub asserted: Vec<NameAddr>,
    pub preferred: Vec<NameAddr>,
    pub remote_party: Vec<RemoteParty>,
    /// The newest first.
    pub diversion: Vec<Diversion>,
    /// History-Info (RFC 7044): the addresses that the call has had, the oldest first.
    pub history: Vec<NameAddr>,
    pub privacy: Privacy,
    /// Each Identity header, or why it is none.
    pub passports: Vec<Result<Unverified, PassportError>>,
    /// The attestation of the first PASSporT that has one. Nobody has verified it.
    pub attestation: Option<Attestation>,
}

impl CallerId {
    /// For [`Invite::from`](crate::Invite::from). Who wants privacy is `anonymous@anonymous.invalid` (RFC 3323 §4.1.1.3).
    pub fn from(&self, style: &IdentityStyle) -> NameAddr {
        if self.privacy.is_wanted() {
            let anonymous = Uri::sip(Some("anonymous"), Host::Name("anonymous.invalid".into()), None);
            return NameAddr::new(Some("Anonymous".into()), anonymous);
        }
        let user = style.from_user.as_ref().unwrap_or(&self.user);
        NameAddr::new(self.name.clone(), style.address(user, &self.domain, self.port))
    }

    /// For [`Invite::headers`](crate::Invite::headers).
    pub fn headers(&self, style: &IdentityStyle) -> Vec<(String, String)> {
        let uri = style.address(&self.user, &self.domain, self.port);
        let who = NameAddr::new(self.name.clone(), uri);
        let mut headers = Vec::new();
        let mut put = |name: &str, value: String| headers.push((name.to_owned(), value));
        if style.asserted {
            put(name::P_ASSERTED_IDENTITY, who.to_string());
        }
        if style.preferred {
            put(name::P_PREFERRED_IDENTITY, who.to_string());
        }
        if style.remote_party {
            let mut party = who;
            party.params.set("party", Some("calling"));
            party.params.set("screen", Some("yes"));
            party.params.set("privacy", Some(if self.privacy.is_wanted() { "full" } else { "off" }));
            put(name::REMOTE_PARTY_ID, party.to_string());
        }
        if self.privacy != Privacy::default() {
            put(name::PRIVACY, self.privacy.to_string());
        }
        for turn in self.diversion.iter().take(MOST) {
            put(name::DIVERSION, turn.to_string());
        }
        headers
    }
}

impl IdentityStyle {
    /// An address as this carrier wants it: for Request-URIs and To as well.
    pub fn address(&self, user: &str, domain: &Host, port: Option<u16>) -> Uri {
        let bare = user.strip_prefix('+').unwrap_or(user);
        let is_number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
        let is_whole = is_number && NATIONAL.contains(&bare.len()) && !bare.starts_with('0');
        let user = match self.plus {
            Plus::Always if is_whole => format!("+{bare}"),
            Plus::Never if is_number => bare.to_owned(),
            _ => user.to_owned(),
        };
        let mut uri = Uri::sip(Some(&user), domain.clone(), port);
        if let Uri::Sip(sip) = &mut uri
            && self.user_phone
            && is_number
        {
            sip.params.set("user", Some("phone"));
        }
        uri
    }
}

impl Privacy {
    /// The usual wish: the network may know the caller, and the called may not.
    pub fn id() -> Self {
        Self { id: true, ..Self::default() }
    }

    /// Does the caller want not to be shown?
    pub fn is_wanted(&self) -> bool {
        !self.none && (self.id || self.user || self.header)
    }

    /// Words that are not known ask for what we could not do anyway.
    fn read(text: &str) -> Self {
        let mut privacy = Self::default();
        for word in text.split([';', ',']) {
            match word.trim().to_ascii_lowercase().as_str() {
                "none" => privacy.none = true,
                "header" => privacy.header = true,
                "session" => privacy.session = true,
                "user" => privacy.user = true,
                "id" => privacy.id = true,
                "history" => privacy.history = true,
                "critical" => privacy.critical = true,
                _ => {}
            }
        }
        privacy
    }
}

impl fmt::Display for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.none, "none"),
            (self.header, "header"),
            (self.session, "session"),
            (self.user, "user"),
            (self.id, "id"),
            (self.history, "history"),
            (self.critical, "critical"),
        ];
        let said: Vec<_> = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
        f.write_str(&said.join(";"))
    }
}

impl Diversion {
    pub fn new(address: NameAddr, reason: &str) -> Self {
        Self { address, reason: Some(reason.to_owned()), counter: 1, hidden: false }
    }

    fn read(mut address: NameAddr) -> Self {
        let params = std::mem::take(&mut address.params);
        let value = |name| params.get_unquoted(name).filter(|value| !value.is_empty());
        Self {
            address,
            reason: value("reason").map(|reason| reason.to_ascii_lowercase()),
            counter: value("counter").and_then(|counter| counter.parse().ok()).unwrap_or(1),
            hidden: value("privacy").is_some_and(|privacy| !privacy.eq_ignore_ascii_case("off")),
        }
    }
}

impl fmt::Display for Diversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut address = self.address.clone();
        if let Some(reason) = &self.reason {
            address.params.set("reason", Some(reason));
        }
        address.params.set("counter", Some(&self.counter.to_string()));
        address.params.set("privacy", Some(if self.hidden { "full" } else { "off" }));
        address.fmt(f)
    }
}

impl RemoteParty {
    fn read(mut address: NameAddr) -> Self {
        let params = std::mem::take(&mut address.params);
        let is = |name, wanted: &str| {
            params.get_unquoted(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        Self {
            screened: is("screen", "yes"),
            hidden: params.contains("privacy") && !is("privacy", "off"),
            is_called: is("party", "called"),
            address,
        }
    }
}

impl Claimed {
    /// The caller by the best that there is: where the sender is trusted, what the network has asserted; else From.
    pub fn caller<'a>(&'a self, from: &'a NameAddr, is_trusted: bool) -> &'a NameAddr {
        let party = self.remote_party.iter().find(|party| !party.is_called).map(|party| &party.address);
        self.asserted.first().or(party).filter(|_| is_trusted).unwrap_or(from)
    }

    /// Is the caller not to be shown?
    pub fn is_private(&self) -> bool {
        self.privacy.is_wanted() || self.remote_party.iter().any(|party| party.hidden && !party.is_called)
    }
}

/// Reads what a request says about its caller: of [`IncomingCall::headers`](crate::IncomingCall::headers), for instance. What does
/// not read is left out, and of each header no more than eight entries are taken.
pub fn of(headers: &[(String, String)]) -> Claimed {
    let lines = |name: &'static str| {
        headers.iter().filter(move |(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let addresses = |name: &'static str| {
        lines(name).flat_map(split_list).take(MOST).filter_map(|one| one.parse::<NameAddr>().ok())
    };
    let passports: Vec<_> =
        lines(name::IDENTITY).flat_map(split_list).take(MOST).map(passport::parse).collect();
    let attestation =
        passports.iter().flatten().find_map(|one| one.claims.as_ref().and_then(|claims| claims.attestation));
    Claimed {
        asserted: addresses(name::P_ASSERTED_IDENTITY).collect(),
        preferred: addresses(name::P_PREFERRED_IDENTITY).collect(),
        remote_party: addresses(name::REMOTE_PARTY_ID).map(RemoteParty::read).collect(),
        diversion: addresses(name::DIVERSION).map(Diversion::read).collect(),
        history: addresses(name::HISTORY_INFO).collect(),
        privacy: lines(name::PRIVACY).next().map_or_else(Privacy::default, Privacy::read),
        passports,
        attestation,
    }
}
