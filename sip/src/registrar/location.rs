//! Where an account is to be called: RFC 3261 §10.3, steps 6 to 8, with Path (RFC 3327).
//!
//! A REGISTER is applied to a copy, which takes the place of the bindings only when all of it was right: what is refused
//! has changed nothing.

use std::time::{Duration, Instant};

use super::{Binding, Registrar};
use crate::config::Path;
use crate::message::{Head, NameAddr, Request, Uri, name};

/// Longest Path that is taken.
const MOST_ROUTES: usize = 8;
/// What one REGISTER may make us remember, in bytes of Contact, Path and Call-ID.
const LARGEST: usize = 4_096;
/// Of a phone's name, in characters.
const LONGEST_AGENT: usize = 128;
/// RFC 3261 §20.10: in thousandths.
const MOST_PREFERRED: u16 = 1_000;

/// One binding, with what the next REGISTER is compared with.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    /// With the parameters that the phone gave it, but `expires`.
    contact: NameAddr,
    q: u16,
    pub(super) path: Path,
    route: Vec<Uri>,
    call_id: String,
    cseq: u32,
    pub(super) until: Instant,
    user_agent: Option<String>,
    /// Rises with every REGISTER.
    serial: u64,
}

impl Entry {
    pub(super) fn binding(&self, now: Instant) -> Binding {
        Binding {
            contact: self.contact.uri.clone(),
            path: self.path,
            route: self.route.clone(),
            expires: self.until.saturating_duration_since(now),
            q: self.q,
            user_agent: self.user_agent.clone(),
        }
    }

    /// As it stands in the 200.
    fn line(&self, now: Instant) -> NameAddr {
        let mut contact = self.contact.clone();
        let seconds = self.until.saturating_duration_since(now).as_secs();
        contact.params.set("expires", Some(&seconds.to_string()));
        contact
    }

    /// §10.3 step 7: the same client counts upwards; what comes late is not to be believed.
    fn is_newer_than(&self, head: &Head) -> bool {
        self.call_id == head.call_id && self.cseq >= head.cseq.number
    }
}

/// The bindings of one account, best first.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Place(Vec<Entry>);

/// Why a REGISTER changes nothing.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: Option<&'static str>,
    pub(super) extra: Option<(&'static str, String)>,
}

fn refuse<T>(status: u16, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason: Some(reason), extra: None })
}

impl Place {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn bindings(&self, now: Instant) -> Vec<Binding> {
        self.0.iter().filter(|one| one.until > now).map(|one| one.binding(now)).collect()
    }

    /// Contact headers of the 200.
    pub(super) fn lines(&self, now: Instant) -> impl Iterator<Item = NameAddr> {
        self.0.iter().filter(move |one| one.until > now).map(move |one| one.line(now))
    }

    /// `true`: something was there to be taken away.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(keep);
        self.0.len() != before
    }

    /// The bindings after this REGISTER; `None` when it only asks for them.
    pub(super) fn after(
        &self,
        now: Instant,
        registrar: &Registrar,
        path: Path,
        request: &Request,
        head: &Head,
        serial: u64,
    ) -> Result<Option<Self>, Refusal> {
        let contacts = request.headers.list(name::CONTACT);
        if contacts.is_empty() {
            return Ok(None);
        }
        if contacts.iter().any(|one| one == "*") {
            return self.cleared(&contacts, request, head).map(Some);
        }
        let update = Update::of(now, registrar, path, request, head, serial)?;
        let mut place = self.clone();
        place.retain(|one| one.until > now);
        for contact in &contacts {
            // A broken one has been told 400 before.
            let Ok(contact) = contact.parse() else {
                return refuse(400, "Bad Contact");
            };
            place.change(&update, contact)?;
        }
        place.0.sort_by(|a, b| b.q.cmp(&a.q).then(b.serial.cmp(&a.serial)));
        Ok(Some(place))
    }

    /// §10.2.2: `Contact: *` takes everything away.
    fn cleared(&self, contacts: &[String], request: &Request, head: &Head) -> Result<Self, Refusal> {
        if contacts.len() > 1 || request.headers.seconds(name::EXPIRES) != Some(0) {
            return refuse(400, "Bad Contact: * Stands Alone With Expires: 0");
        }
        if self.0.iter().any(|one| one.is_newer_than(head)) {
            return refuse(500, "CSeq Out of Order");
        }
        Ok(Self::default())
    }

    fn change(&mut self, update: &Update<'_>, contact: NameAddr) -> Result<(), Refusal> {
        let until = update.until(&contact)?;
        let found = self.0.iter().position(|one| one.contact.uri.is_equivalent(&contact.uri));
        // What this REGISTER has itself written does not count.
        let is_late = |one: &Entry| one.serial != update.serial && one.is_newer_than(update.head);
        if found.is_some_and(|at| is_late(&self.0[at])) {
            return refuse(500, "CSeq Out of Order");
        }
        let Some(until) = until else {
            if let Some(at) = found {
                self.0.remove(at);
            }
            return Ok(());
        };
        let entry = update.entry(contact, until)?;
        match found {
            Some(at) => self.0[at] = entry,
            None => {
                if self.0.len() >= update.registrar.max_contacts {
                    self.make_room(&entry)?;
                }
                self.0.push(entry);
            }
        }
        Ok(())
    }

    /// A phone that was started again has another port, and its old binding is of no use to anyone.
    fn make_room(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let instance = entry.contact.params.get("+sip.instance");
        let old =
            |one: &Entry| one.serial != entry.serial && one.contact.params.get("+sip.instance") == instance;
        let oldest = self.0.iter().enumerate().filter(|(_, one)| instance.is_some() && old(one));
        match oldest.min_by_key(|(_, one)| one.serial).map(|(at, _)| at) {
            Some(at) => {
                self.0.remove(at);
                Ok(())
            }
            None => refuse(403, "Too Many Contacts"),
        }
    }
}

/// What all contacts of one REGISTER have in common.
struct Update<'a> {
    now: Instant,
    registrar: &'a Registrar,
    path: Path,
    head: &'a Head,
    serial: u64,
    route: Vec<Uri>,
    expires: Option<u32>,
    user_agent: Option<String>,
    /// Bytes of Path and Call-ID.
    size: usize,
}

impl<'a> Update<'a> {
    fn of(
        now: Instant,
        registrar: &'a Registrar,
        path: Path,
        request: &Request,
        head: &'a Head,
        serial: u64,
    ) -> Result<Self, Refusal> {
        let headers = &request.headers;
        let Ok(route) = headers.name_addrs(name::PATH) else {
            return refuse(400, "Bad Path");
        };
        if route.len() > MOST_ROUTES {
            return refuse(400, "Path Too Long");
        }
        let knows_path =
            headers.has_option(name::SUPPORTED, "path") || headers.has_option(name::REQUIRE, "path");
        if !route.is_empty() && !knows_path {
            // RFC 3327 §5.3: the phone would not understand why its calls take another way.
            let extra = Some((name::UNSUPPORTED, "path".to_owned()));
            return Err(Refusal { status: 420, reason: None, extra });
        }
        let user_agent =
            headers.get(name::USER_AGENT).map(|agent| agent.chars().take(LONGEST_AGENT).collect());
        let size = headers.get_all(name::PATH).map(|line| line.len()).sum::<usize>() + head.call_id.len();
        let expires = headers.seconds(name::EXPIRES);
        let route = route.into_iter().map(|one| one.uri).collect();
        Ok(Self { now, registrar, path, head, serial, route, expires, user_agent, size })
    }

    /// Steps 6 and 7: how long a contact is to hold. `Ok(None)`: it is to go.
    fn until(&self, contact: &NameAddr) -> Result<Option<Instant>, Refusal> {
        let registrar = self.registrar;
        let default = u32::try_from(registrar.default_expires.as_secs()).unwrap_or(u32::MAX);
        // §10.2.1.1: what cannot be read is as if it were not there.
        let theirs = contact.params.get_unquoted("expires").and_then(|text| seconds(&text));
        let wanted = Duration::from_secs(theirs.or(self.expires).unwrap_or(default).into());
        if wanted.is_zero() {
            return Ok(None);
        }
        if wanted < registrar.min_expires {
            let least = registrar.min_expires.as_secs().to_string();
            return Err(Refusal { status: 423, reason: None, extra: Some((name::MIN_EXPIRES, least)) });
        }
        Ok(Some(self.now + wanted.min(registrar.max_expires)))
    }

    fn entry(&self, mut contact: NameAddr, until: Instant) -> Result<Entry, Refusal> {
        if contact.uri.as_sip().is_none() {
            return refuse(400, "Bad Contact: Not a SIP URI");
        }
        contact.display = None;
        contact.params.remove("expires");
        if contact.to_string().len() + self.size > LARGEST {
            return refuse(513, "Message Too Large");
        }
        Ok(Entry {
            q: contact.params.get("q").and_then(thousandths).unwrap_or(MOST_PREFERRED),
            contact,
            path: self.path,
            route: self.route.clone(),
            call_id: self.head.call_id.clone(),
            cseq: self.head.cseq.number,
            until,
            user_agent: self.user_agent.clone(),
            serial: self.serial,
        })
    }
}

/// delta-seconds; what overflows is the largest number.
fn seconds(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().unwrap_or(u32::MAX))
}

/// `qvalue` of §25.1: 0 to 1 with up to three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let rest: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(MOST_PREFERRED),
        _ => None,
    }
}
