//! The Identity header: what a caller's carrier signs about the caller (RFC 8224, PASSporT of RFC 8225, SHAKEN of RFC 8588).
//!
//! Nothing is verified here: that takes the signer's certificate, fetched from where [`Unverified::info`] points, and a list
//! of whom to believe. Until somebody has done so, an attestation is a claim of whoever sent the INVITE, and the type
//! says it.
//!
//! ```text
//! Identity: <header>.<payload>.<signature>;info=<https://…>;alg=ES256;ppt=shaken     the full form
//! Identity: ..<signature>;info=<https://…>;alg=ES256;ppt=shaken                      compact: claims are left to be guessed
//! ```

use serde::Deserialize;

use crate::message::{Params, Uri, find_outside};

/// Longest header value that is looked at, in bytes. A SHAKEN PASSporT has about 700.
const LONGEST: usize = 8_192;
/// Longest single claim, and longest `info`, in bytes.
const LONGEST_CLAIM: usize = 512;
/// Those who are called, in one PASSporT.
const MOST_DESTINATIONS: usize = 32;
/// What a canonical telephone number may have (RFC 8224 §8.3); E.164 has 15 at most.
const MOST_DIGITS: usize = 24;
/// Of ES256 (RFC 7518 §3.4), the one algorithm of RFC 8224 §4.1.
const SIGNATURE: usize = 64;

/// How sure the signing carrier says it is of the caller (RFC 8588 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Attestation {
    /// A: it knows its customer, who may use this number.
    Full,
    /// B: it knows its customer, and nothing of the number.
    Partial,
    /// C: the call came in at one of its gateways.
    Gateway,
}

impl Attestation {
    /// The letter of RFC 8588.
    pub fn letter(self) -> char {
        match self {
            Self::Full => 'A',
            Self::Partial => 'B',
            Self::Gateway => 'C',
        }
    }
}

/// Who calls, or is called (RFC 8225 §5.2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Party {
    /// Digits, `*` and `#`; no `+`.
    Number(String),
    Uri(Uri),
}

/// What a PASSporT states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claims {
    /// `None` where the PASSporT is of another kind than `shaken`.
    pub attestation: Option<Attestation>,
    pub orig: Party,
    /// Never empty.
    pub dest: Vec<Party>,
    /// When it was signed, in seconds since 1970. RFC 8224 §6.2.1 takes none that is older than 60 s.
    pub iat: u64,
    /// The signer's own name for where the call came from (RFC 8588 §5).
    pub origid: Option<String>,
}

/// An Identity header as it was sent. Its signature has the right length, and nobody has checked more of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unverified {
    /// `None`: the compact form, whose claims its reader has to rebuild from the request (RFC 8224 §7).
    pub claims: Option<Claims>,
    /// Where the signer's certificate is said to be. An absolute URI, and not one to be fetched lightly.
    pub info: String,
    /// `shaken`, `div`, …; `None` for the plain PASSporT of RFC 8225.
    pub ppt: Option<String>,
    pub signature: Vec<u8>,
}

/// Why an Identity header is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassportError {
    #[error("too long")]
    TooLong,
    #[error("not three parts with dots between")]
    Parts,
    #[error("{0} is no base64url")]
    Base64(&'static str),
    #[error("{0} is no JSON object of the right shape")]
    Json(&'static str),
    #[error("a signature of the wrong length")]
    Signature,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is malformed")]
    Bad(&'static str),
    /// The parameter of the header and the PASSporT itself say different things.
    #[error("{0} contradicts itself")]
    Contradiction(&'static str),
    #[error("the algorithm is not ES256")]
    Algorithm,
}

/// Reads one value of an Identity header.
pub fn parse(value: &str) -> Result<Unverified, PassportError> {
    if value.len() > LONGEST {
        return Err(PassportError::TooLong);
    }
    let (token, params) = value.split_once(';').ok_or(PassportError::Missing("info"))?;
    let HeaderParams { info, alg, ppt } = HeaderParams::read(params)?;
    if alg.as_deref().is_some_and(|alg| !alg.eq_ignore_ascii_case("ES256")) {
        return Err(PassportError::Algorithm);
    }
    let mut parts = token.trim_matches([' ', '\t']).split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PassportError::Parts);
    };
    let signature = base64url(signature).ok_or(PassportError::Base64("signature"))?;
    if signature.len() != SIGNATURE {
        return Err(PassportError::Signature);
    }
    if header.is_empty() && payload.is_empty() {
        return Ok(Unverified { claims: None, info, ppt, signature });
    }
    let header: Jose = json("header", header)?;
    if header.typ != "passport" {
        return Err(PassportError::Bad("typ"));
    }
    if header.alg != "ES256" {
        return Err(PassportError::Algorithm);
    }
    if ppt.is_some() && header.ppt != ppt {
        return Err(PassportError::Contradiction("ppt"));
    }
    if header.x5u != info {
        return Err(PassportError::Contradiction("info"));
    }
    let payload: Payload = json("payload", payload)?;
    let claims = payload.read(header.ppt.as_deref() == Some("shaken"))?;
    Ok(Unverified { claims: Some(claims), info, ppt: header.ppt, signature })
}

struct HeaderParams {
    info: String,
    alg: Option<String>,
    ppt: Option<String>,
}

impl HeaderParams {
    /// `info` has brackets around its value, which no other parameter of SIP has.
    fn read(text: &str) -> Result<Self, PassportError> {
        let (mut info, mut alg, mut ppt) = (None, None, None);
        let mut rest = text;
        loop {
            let end = find_outside(rest, b";").map_err(|()| PassportError::Bad("info"))?;
            let one = &rest[..end.unwrap_or(rest.len())];
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            let (name, value) = (name.trim(), value.trim());
            let mut unknown = None;
            let slot = match name.to_ascii_lowercase().as_str() {
                "info" => &mut info,
                "alg" => &mut alg,
                "ppt" => &mut ppt,
                _ => &mut unknown,
            };
            if slot.is_some() {
                return Err(PassportError::Contradiction("the header's parameter"));
            }
            *slot = Some(value.to_owned());
            match end {
                Some(end) => rest = &rest[end + 1..],
                None => break,
            }
        }
        let info = info.ok_or(PassportError::Missing("info"))?;
        let info = info.strip_prefix('<').and_then(|info| info.strip_suffix('>'));
        let is_absolute = |info: &&str| {
            info.len() <= LONGEST_CLAIM
                && info.bytes().all(|b| b.is_ascii_graphic())
                && info.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        };
        let info = info.filter(is_absolute).ok_or(PassportError::Bad("info"))?.to_owned();
        Ok(Self { info, alg: plain(alg, "alg")?, ppt: plain(ppt, "ppt")? })
    }
}

/// A token, or a quoted-string as some carriers write it.
fn plain(value: Option<String>, name: &'static str) -> Result<Option<String>, PassportError> {
    let Some(value) = value else { return Ok(None) };
    let params = Params::parse_header(&format!(";v={value}")).map_err(|_| PassportError::Bad(name))?;
    let text = params.get_unquoted("v").filter(|text| !text.is_empty() && text.len() <= LONGEST_CLAIM);
    text.map(Some).ok_or(PassportError::Bad(name))
}

#[derive(Deserialize)]
struct Jose {
    alg: String,
    typ: String,
    #[serde(default)]
    ppt: Option<String>,
    x5u: String,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    attest: Option<String>,
    orig: Parties,
    dest: Parties,
    iat: u64,
    #[serde(default)]
    origid: Option<String>,
}

#[derive(Deserialize)]
struct Parties {
    #[serde(default)]
    tn: Option<OneOrMore>,
    #[serde(default)]
    uri: Option<OneOrMore>,
}

/// RFC 8225 has one for `orig` and a list for `dest`; senders mix them up.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Payload {
    fn read(self, is_shaken: bool) -> Result<Claims, PassportError> {
        let attestation = match self.attest.as_deref() {
            None if is_shaken => return Err(PassportError::Missing("attest")),
            None => None,
            Some("A") => Some(Attestation::Full),
            Some("B") => Some(Attestation::Partial),
            Some("C") => Some(Attestation::Gateway),
            Some(_) => return Err(PassportError::Bad("attest")),
        };
        match &self.origid {
            None if is_shaken => return Err(PassportError::Missing("origid")),
            Some(id) if id.is_empty() || id.len() > LONGEST_CLAIM || id.contains(char::is_control) => {
                return Err(PassportError::Bad("origid"));
            }
            _ => {}
        }
        let mut orig = self.orig.read("orig")?;
        let (Some(orig), true) = (orig.pop(), orig.is_empty()) else {
            return Err(PassportError::Bad("orig"));
        };
        let dest = self.dest.read("dest")?;
        if dest.is_empty() {
            return Err(PassportError::Missing("dest"));
        }
        Ok(Claims { attestation, orig, dest, iat: self.iat, origid: self.origid })
    }
}

impl Parties {
    fn read(self, name: &'static str) -> Result<Vec<Party>, PassportError> {
        let mut all = Vec::new();
        for number in self.tn.into_iter().flat_map(OneOrMore::list) {
            let digits = |b: u8| b.is_ascii_digit() || b == b'*' || b == b'#';
            if number.is_empty() || number.len() > MOST_DIGITS || !number.bytes().all(digits) {
                return Err(PassportError::Bad(name));
            }
            all.push(Party::Number(number));
        }
        for uri in self.uri.into_iter().flat_map(OneOrMore::list) {
            let short = Some(uri).filter(|uri| uri.len() <= LONGEST_CLAIM);
            let uri = short.and_then(|uri| uri.parse().ok()).ok_or(PassportError::Bad(name))?;
            all.push(Party::Uri(uri));
        }
        if all.len() > MOST_DESTINATIONS { Err(PassportError::TooLong) } else { Ok(all) }
    }
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(name: &'static str, part: &str) -> Result<T, PassportError> {
    let bytes = base64url(part).ok_or(PassportError::Base64(name))?;
    serde_json::from_slice(&bytes).map_err(|_| PassportError::Json(name))
}

/// RFC 7515 §2: the alphabet for URLs, no padding, no line ends. Bits that stand for nothing must be zero.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for b in text.bytes() {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && count < 6).then_some(out)
}
