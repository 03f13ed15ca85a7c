//! Phones that register with us: RFC 3261 §10.3, and the digest challenges that prove who they are (§22).
//!
//! The program says which accounts there are. Whoever is not trusted is challenged before anything else about a request is
//! looked at (§8.2); a challenge costs no memory, and neither does a wrong answer. What is kept is kept for those who have
//! proven their password: bindings, each with the way that its REGISTER came by, because that is the way back through a
//! NAT and on the phone's own connection. The program is told of every change.
//!
//! `challenge` says who somebody is, `location` where they are, and this file puts both in front of the [`Endpoint`].

mod challenge;
mod location;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::Path;
use crate::context::Context;
use crate::digest::Algorithm;
use crate::endpoint::Endpoint;
use crate::event::{Event, Password};
use crate::guard::BanReason;
use crate::message::{Head, Host, Method, Request, Uri, name};
use crate::source::Network;
use crate::timer::Timer;
use crate::transaction::{ServerKey, TransactionId};

use challenge::{Challenger, Proof};
use location::{Entry, Place, Refusal};

/// How phones register here. See [`Config::registrar`](crate::Config::registrar).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registrar {
    /// What the phone's user is asked the password for; part of the digest. Short, because it stands in every challenge.
    pub realm: String,
    /// Shorter bindings are refused with 423.
    pub min_expires: Duration,
    /// For phones that do not say how long.
    pub default_expires: Duration,
    /// Longer ones are made as short as this.
    pub max_expires: Duration,
    /// Bindings of one account at once, unless the account says otherwise.
    pub max_contacts: usize,
    /// How long a challenge may be answered.
    pub nonce_life: Duration,
    /// Offered in this order, the best first: a client takes the first that it knows (RFC 8760 §2.4). By default MD5 alone:
    /// many phones know nothing else, and some (baresip 1) give up when they see another beside it.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            realm: "offhook".into(),
            min_expires: Duration::from_secs(60),
            default_expires: Duration::from_secs(3_600),
            max_expires: Duration::from_secs(7_200),
            max_contacts: 5,
            nonce_life: Duration::from_secs(300),
            algorithms: vec![Algorithm::Md5],
        }
    }
}

/// Somebody who can prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// For the digest, and the user part of their address.
    pub username: String,
    pub password: Password,
    /// May they register? `false`: a peer (a trunk) that is only challenged.
    pub register: bool,
    /// Bindings at once; `None`: as many as [`Registrar::max_contacts`].
    pub max_contacts: Option<usize>,
}

/// Where an account is to be called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// For [`Invite::to`](crate::Invite::to).
    pub contact: Uri,
    /// The way that the REGISTER came by, for [`Invite::path`](crate::Invite::path): it leads back through NATs, and on the
    /// phone's own connection.
    pub path: Path,
    /// For [`Invite::route`](crate::Invite::route): the proxies between (RFC 3327).
    pub route: Vec<Uri>,
    /// How long it still holds.
    pub expires: Duration,
    /// The phone's preference in thousandths, 0 to 1,000.
    pub q: u16,
    pub user_agent: Option<String>,
}

/// The accounts, and what is known of those who have them.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    accounts: Accounts,
    challenger: Challenger,
    /// REGISTERs so far.
    serial: u64,
}

impl Registry {
    pub(crate) fn bindings(&self) -> usize {
        self.accounts.known.values().map(|known| known.place.entries().len()).sum()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.accounts.known.values().flat_map(|known| known.place.entries())
    }
}

#[derive(Debug, Default)]
struct Accounts {
    known: BTreeMap<String, Known>,
    /// What the answers of those are compared with whom nobody knows.
    nobody: Vec<Password>,
}

#[derive(Debug)]
struct Known {
    /// H(A1) for each algorithm that is offered, in that order.
    secrets: Vec<Password>,
    register: bool,
    max_contacts: Option<usize>,
    place: Place,
}

impl Accounts {
    fn known(&self, username: &str) -> Option<&Known> {
        self.known.get(username)
    }
}

/// A request that has had its answer, or gets none.
pub(crate) struct Refused;

impl Endpoint {
    /// Who may prove who they are, from now on. Who is gone, or has another password, loses their bindings. Without
    /// [`Config::registrar`](crate::Config::registrar) this does nothing.
    pub fn set_accounts(&mut self, accounts: Vec<Account>) {
        let Some(registrar) = &self.cx.config.registrar else {
            return;
        };
        let random = &mut self.cx.random;
        let secrets = |username: &str, password: &Password| {
            let secret = |one: &Algorithm| one.secret(username, &registrar.realm, password.expose()).into();
            registrar.algorithms.iter().map(secret).collect::<Vec<Password>>()
        };
        let nobody = secrets("", &random.long_token().into());
        let mut before = std::mem::take(&mut self.registry.accounts.known);
        let mut known = BTreeMap::new();
        for Account { username, password, register, max_contacts } in accounts {
            let secrets = secrets(&username, &password);
            let kept = before.get_mut(&username).filter(|old| old.secrets == secrets && register);
            let place = kept.map(|old| std::mem::take(&mut old.place)).unwrap_or_default();
            known.insert(username, Known { secrets, register, max_contacts, place });
        }
        for (username, _) in before.into_iter().filter(|(_, old)| !old.place.entries().is_empty()) {
            self.cx.emit(Event::Bound { username, bindings: Vec::new() });
        }
        self.registry.accounts = Accounts { known, nobody };
        self.bindings_have_changed();
    }

    /// Who is never limited, banned or challenged, from now on: in place of [`Guard::trusted`](crate::Guard::trusted).
    pub fn set_trusted(&mut self, trusted: Vec<Network>) {
        self.cx.config.guard.trusted = trusted;
    }

    /// Where this account is to be called, best first: by their preference, then the newest.
    pub fn bindings(&self, now: Instant, username: &str) -> Vec<Binding> {
        self.registry.accounts.known(username).map(|known| known.place.bindings(now)).unwrap_or_default()
    }

    /// What was bound over a connection ends with it.
    pub(crate) fn bindings_lost(&mut self, now: Instant, path: Path) {
        if path.transport.is_reliable() && self.cx.flows.contains(&path) {
            self.drop_bindings(now, |one| one.path != path);
        }
    }

    /// Bindings whose time has run out.
    pub(crate) fn bindings_due(&mut self, now: Instant) {
        self.drop_bindings(now, |one| one.until > now);
    }

    fn drop_bindings(&mut self, now: Instant, keep: impl Fn(&Entry) -> bool) {
        for (username, known) in &mut self.registry.accounts.known {
            if known.place.retain(&keep) {
                let bindings = known.place.bindings(now);
                self.cx.emit(Event::Bound { username: username.clone(), bindings });
            }
        }
        self.bindings_have_changed();
    }

    fn bindings_have_changed(&mut self) {
        self.cx.flows = self.registry.entries().map(|one| one.path).collect();
        match self.registry.entries().map(|one| one.until).min() {
            Some(at) => self.cx.timers.set(Timer::Bindings, at),
            None => self.cx.timers.stop(Timer::Bindings),
        }
    }

    /// Who sends this (§22.1)? `None` for those who are not asked. What the account may do is asked of no one else: its
    /// own address must stand in From, and in the To of a REGISTER.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        path: Path,
        request: &Request,
        head: &Head,
    ) -> Result<Option<String>, Refused> {
        if !self.is_challenged(path, request) {
            return Ok(None);
        }
        let ip = path.remote.ip();
        let (cx, registry) = (&mut self.cx, &mut self.registry);
        let Some(registrar) = &cx.config.registrar else {
            return Ok(None);
        };
        let challenger = &mut registry.challenger;
        match challenger.prove(now, &cx.random, registrar, &registry.accounts, ip, request) {
            Proof::Of(username) => {
                self.watch.has_proven(ip);
                if self.is_theirs(&username, request, head) {
                    return Ok(Some(username));
                }
                self.cx.respond_stateless(path, request, 403, None, &[]);
            }
            Proof::Misdirected => {
                cx.respond_stateless(path, request, 400, Some("Digest for Another URI"), &[]);
            }
            Proof::Absent => self.challenge(now, path, request, false),
            Proof::Stale => self.challenge(now, path, request, true),
            Proof::Wrong => {
                cx.stats.failed_auth += 1;
                if !self.watch.has_failed(now, &cx.config.guard, ip) {
                    self.challenge(now, path, request, false);
                } else {
                    self.shut_out(path, request, Some(BanReason::FailedAuth));
                }
            }
        }
        Err(Refused)
    }

    fn challenge(&mut self, now: Instant, path: Path, request: &Request, stale: bool) {
        let cx = &mut self.cx;
        let Some(registrar) = &cx.config.registrar else {
            return;
        };
        let ip = path.remote.ip();
        let lines = self.registry.challenger.challenges(now, &cx.random, registrar, ip, stale);
        cx.stats.challenges_sent += 1;
        cx.respond_stateless(path, request, 401, None, &lines);
    }

    /// A REGISTER without credentials has nobody to register. Trusted sources are taken at their address, unless a phone
    /// has registered from that very place.
    fn is_challenged(&self, path: Path, request: &Request) -> bool {
        match request.method {
            Method::Register => self.cx.config.registrar.is_some(),
            // Answered to anyone; and those that speak of a dialog, of which there is none.
            Method::Options
            | Method::Bye
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Notify => false,
            _ => {
                let is_trusted = self.cx.config.guard.trusts(path.remote.ip());
                !self.registry.accounts.known.is_empty() && (!is_trusted || self.cx.flows.contains(&path))
            }
        }
    }

    fn is_theirs(&self, username: &str, request: &Request, head: &Head) -> bool {
        let may_register = self.registry.accounts.known(username).is_some_and(|known| known.register);
        let is_own = |uri: &Uri| uri.user().as_deref() == Some(username);
        if request.method == Method::Register {
            return may_register && is_own(&head.to.uri);
        }
        // Who only calls through us says who calls. RFC 3323 §4.1: nobody has to.
        !may_register || is_own(&head.from.uri) || is_anonymous(&head.from.uri)
    }

    /// REGISTER of somebody who has proven to be this account.
    pub(crate) fn register_phone(
        &mut self,
        now: Instant,
        path: Path,
        key: ServerKey,
        request: &Request,
        head: &Head,
        username: &str,
    ) {
        let cx = &mut self.cx;
        let tag = cx.random.token();
        let id = cx.open_server(path, key, request, head, &tag, None);
        let (Some(registrar), Some(known)) =
            (&cx.config.registrar, self.registry.accounts.known.get_mut(username))
        else {
            // Not reached: who they are was found out just now.
            return cx.respond_status(now, id, 403);
        };
        let own = known.max_contacts.map(|max_contacts| Registrar { max_contacts, ..registrar.clone() });
        let registrar = own.as_ref().unwrap_or(registrar);
        self.registry.serial += 1;
        let serial = self.registry.serial;
        match known.place.after(now, registrar, path, request, head, serial) {
            Ok(after) => {
                let has_changed = after.is_some();
                known.place = after.unwrap_or_else(|| std::mem::take(&mut known.place));
                registered(now, cx, id, request, &known.place);
                if has_changed {
                    let bindings = known.place.bindings(now);
                    cx.emit(Event::Bound { username: username.to_owned(), bindings });
                    self.bindings_have_changed();
                }
            }
            Err(refusal) => not_registered(now, cx, id, refusal),
        }
    }
}

/// §10.3 step 8. Date is left out: there is no clock here but one that counts.
fn registered(now: Instant, cx: &mut Context, id: TransactionId, request: &Request, place: &Place) {
    let Some(mut response) = cx.response_for(id, 200) else {
        return;
    };
    for contact in place.lines(now) {
        response.headers.push(name::CONTACT, contact);
    }
    // RFC 3327 §5.3.
    response.headers.copy_from(&request.headers, name::PATH);
    cx.respond(now, id, response);
}

fn not_registered(now: Instant, cx: &mut Context, id: TransactionId, refusal: Refusal) {
    let Some(mut response) = cx.response_for(id, refusal.status) else {
        return;
    };
    if let Some(reason) = refusal.reason {
        response.reason = reason.to_owned();
    }
    if let Some((name, value)) = refusal.extra {
        response.headers.push(name, value);
    }
    cx.respond(now, id, response);
}

fn is_anonymous(uri: &Uri) -> bool {
    uri.host() == Some(&Host::Name("anonymous.invalid".into()))
}
