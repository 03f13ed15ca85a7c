//! The server's half of digest authentication: RFC 7616 and RFC 8760, with RFC 2617 clients that leave `qop` out.
//!
//! A challenge is not remembered. Its nonce holds the time, and a keyed hash over that and the address it was given to:
//! whoever brings it back has received it there, and so cannot be somebody else's forged sender. What is remembered is
//! which counts of a nonce were used by those who knew the password, in a table with a ceiling; when it is full, the oldest
//! nonces are declared stale, so that forgetting never lets a recording be played again.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Accounts, Registrar};
use crate::digest::DigestParams;
use crate::message::{Request, Uri, name, quote};
use crate::random::{Random, hex};

/// Nonces and cnonces whose counts are known.
const MOST_COUNTS: usize = 4_096;
/// Authorization lines of one request that are looked at: clients may answer to several realms.
const MOST_LINES: usize = 8;
/// Bytes of the keyed hash in a nonce.
const MARK: usize = 12;

/// What the credentials of a request prove.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// There are none for our realm, or none that answers what we asked.
    Absent,
    /// They answer a challenge that is too old, was given to another address, or has been answered so before. Nothing
    /// else about them has been looked at.
    Stale,
    /// They are for another request.
    Misdirected,
    /// Nobody with this name has this password.
    Wrong,
    /// They are this account's.
    Of(String),
}

#[derive(Debug, Default)]
pub(super) struct Challenger {
    /// The instant that nonces count their microseconds from.
    epoch: Option<Instant>,
    /// The newest nonce.
    last: u64,
    /// Nonces up to this one are stale, whatever their age.
    floor: u64,
    /// By nonce, then by what tells nonce and cnonce.
    counts: BTreeMap<(u64, [u8; 16]), Counts>,
}

impl Challenger {
    /// The challenges of one 401, best algorithm first.
    pub(super) fn challenges(
        &mut self,
        now: Instant,
        random: &Random,
        registrar: &Registrar,
        ip: IpAddr,
        stale: bool,
    ) -> Vec<(&'static str, String)> {
        // No two are the same, so that each has its own counts.
        self.last = self.micros(now).max(self.last + 1);
        let nonce = nonce(random, self.last, ip);
        let realm = quote(&registrar.realm);
        let stale = if stale { ", stale=true" } else { "" };
        let challenge = |algorithm: &crate::digest::Algorithm| {
            let algorithm = algorithm.as_str();
            format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}, qop=\"auth\"{stale}")
        };
        registrar.algorithms.iter().map(|one| (name::WWW_AUTHENTICATE, challenge(one))).collect()
    }

    /// Who sends this? For those whom nobody knows the same is computed as for those who mistype their password.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        random: &Random,
        registrar: &Registrar,
        accounts: &Accounts,
        ip: IpAddr,
        request: &Request,
    ) -> Proof {
        let lines = request.headers.get_all(name::AUTHORIZATION).take(MOST_LINES);
        let mut answers = lines.flat_map(|line| DigestParams::all_of(&line));
        let Some(answer) = answers.find_map(|params| Answer::of(registrar, params)) else {
            return Proof::Absent;
        };
        if !answer.is_for(request) {
            return Proof::Misdirected;
        }
        let Some(issued) = self.issued(now, random, registrar.nonce_life, ip, &answer.nonce) else {
            return Proof::Stale;
        };
        let known = accounts.known(&answer.username);
        let secret = known.map_or(&accounts.nobody, |known| &known.secrets).get(answer.algorithm);
        let expected = match (secret, registrar.algorithms.get(answer.algorithm)) {
            (Some(secret), Some(algorithm)) => {
                let a2 = format!("{}:{}", request.method, answer.uri);
                let count = answer.count.as_ref().map(|count| (&*count.nc, &*count.cnonce, &*count.qop));
                algorithm.response(secret.expose(), &answer.nonce, count, &a2)
            }
            // Not reached: every account has a secret for every algorithm, and `Answer` names one of ours.
            _ => return Proof::Absent,
        };
        if !(is_same(expected.as_bytes(), answer.response.as_bytes()) & known.is_some()) {
            return Proof::Wrong;
        }
        let cnonce = answer.count.as_ref().map_or("", |count| &count.cnonce);
        let key = random.keyed(&[b"count", answer.nonce.as_bytes(), cnonce.as_bytes()]);
        let number = answer.count.as_ref().map_or(0, |count| count.number);
        if !self.use_up(now, registrar.nonce_life, (issued, first_16(key)), number) {
            return Proof::Stale;
        }
        Proof::Of(answer.username)
    }

    /// When a nonce was given out, if it was to this address and is still good.
    fn issued(&self, now: Instant, random: &Random, life: Duration, ip: IpAddr, nonce: &str) -> Option<u64> {
        let issued = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let is_ours = is_same(self::nonce(random, issued, ip).as_bytes(), nonce.as_bytes());
        let until = issued.saturating_add(micros_of(life));
        (is_ours && issued > self.floor && self.elapsed(now) < until).then_some(issued)
    }

    /// `false`: this count has been used, or is so far behind that nobody knows.
    fn use_up(&mut self, now: Instant, life: Duration, key: (u64, [u8; 16]), number: u32) -> bool {
        let elapsed = self.elapsed(now);
        while let Some(oldest) = self.counts.first_entry() {
            if oldest.key().0.saturating_add(micros_of(life)) > elapsed {
                break;
            }
            oldest.remove();
        }
        if let Some(counts) = self.counts.get_mut(&key) {
            return counts.take(number);
        }
        if self.counts.len() >= MOST_COUNTS
            && let Some(((oldest, _), _)) = self.counts.pop_first()
        {
            self.floor = oldest;
        }
        let mut counts = Counts::default();
        let is_new = key.0 > self.floor && counts.take(number);
        if is_new {
            self.counts.insert(key, counts);
        }
        is_new
    }

    fn micros(&mut self, now: Instant) -> u64 {
        self.epoch.get_or_insert(now);
        self.elapsed(now)
    }

    fn elapsed(&self, now: Instant) -> u64 {
        self.epoch.map_or(0, |epoch| micros_of(now.saturating_duration_since(epoch)))
    }
}

/// The counts of one nonce and cnonce that were used: the highest, and which of the 63 below it. Requests overtake each other
/// on the way, so a count may come late; it may not come twice.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    highest: u32,
    /// Bit 0 is the highest.
    used: u64,
}

impl Counts {
    fn take(&mut self, number: u32) -> bool {
        let bit = |distance: u32| 1_u64.checked_shl(distance).unwrap_or(0);
        if number > self.highest {
            self.used = self.used.checked_shl(number - self.highest).unwrap_or(0) | 1;
            self.highest = number;
            return true;
        }
        let bit = bit(self.highest - number);
        let is_new = bit != 0 && self.used & bit == 0;
        self.used |= bit;
        is_new
    }
}

/// Credentials for our realm, in a form that we asked for.
struct Answer {
    username: String,
    nonce: String,
    uri: String,
    response: String,
    /// Which of the algorithms that we offer.
    algorithm: usize,
    count: Option<Count>,
}

struct Count {
    nc: String,
    number: u32,
    cnonce: String,
    qop: String,
}

impl Answer {
    fn of(registrar: &Registrar, params: DigestParams) -> Option<Self> {
        let get = |name: &str| params.get(name).map(str::to_owned);
        if params.get("realm")? != registrar.realm {
            return None;
        }
        let wanted = params.get("algorithm").unwrap_or("MD5");
        let mut offered = registrar.algorithms.iter();
        let algorithm = offered.position(|one| one.as_str().eq_ignore_ascii_case(wanted))?;
        let count = match get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Count::of(&params, qop)?),
            Some(_) => return None,
            // RFC 3261 §22.4: from before there was one. Such a nonce is good for one request.
            None => None,
        };
        Some(Self {
            username: get("username")?,
            nonce: get("nonce")?,
            uri: get("uri")?,
            response: get("response")?,
            algorithm,
            count,
        })
    }

    /// RFC 7616 §3.4.6. Host and parameters are not compared: phones write the registrar's name where the Request-URI has an
    /// address, and proxies change either. Whom the request is for must be the same, where both say it.
    fn is_for(&self, request: &Request) -> bool {
        let Ok(uri) = self.uri.parse::<Uri>() else {
            return false;
        };
        match (uri.user(), request.uri.user()) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => true,
        }
    }
}

impl Count {
    fn of(params: &DigestParams, qop: String) -> Option<Self> {
        let nc = params.get("nc")?;
        let is_count = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u32::from_str_radix(nc, 16).ok().filter(|_| is_count)?;
        Some(Self { nc: nc.to_owned(), number, cnonce: params.get("cnonce")?.to_owned(), qop })
    }
}

/// What only we can write, for this time and this address.
fn nonce(random: &Random, issued: u64, ip: IpAddr) -> String {
    let ip = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let mark = random.keyed(&[b"nonce", &issued.to_be_bytes(), &ip]);
    format!("{issued:016x}{}", hex(&mark[..MARK]))
}

/// Takes the same time wherever the two differ. Their lengths are no secret.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}

fn first_16(hash: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|n| hash[n])
}

fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
