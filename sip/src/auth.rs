//! Digest authentication, the client's half: RFC 7616 as RFC 8760 brings it into SIP (MD5, SHA-256, SHA-512-256,
//! each also as `-sess`; `auth` and `auth-int`), and RFC 2617 without `qop` for old peers.
//!
//! A [`Session`] remembers the challenges of every realm on the way, so that the next request carries its
//! credentials at once with the nonce count risen, and decides when a second challenge means a wrong password.

use crate::digest::{Algorithm, DigestParams};
use crate::event::Credentials;
use crate::message::{Headers, Request, Response, name, quote, split_list, unquote};
use crate::random::Random;

/// A server that keeps saying `stale` is broken; without an end we would ask it for ever.
const MOST_TRIES: u8 = 4;
/// Realms that one response can make us remember.
const MOST_REALMS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Qop {
    Auth,
    AuthInt,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Challenge {
    proxy: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As the server spelt it; `None` is MD5 and is not echoed.
    algorithm: Option<String>,
    hash: Algorithm,
    session: bool,
    /// `None`: RFC 2069 style, without nonce count.
    qop: Option<Qop>,
    stale: bool,
}

impl Challenge {
    /// Every challenge of a response that we can answer, topmost first. One line may hold several.
    fn all_of(response: &Response) -> Vec<Self> {
        let headers = &response.headers;
        let www = headers.get_all(name::WWW_AUTHENTICATE).map(|line| (false, line));
        let proxy = headers.get_all(name::PROXY_AUTHENTICATE).map(|line| (true, line));
        www.chain(proxy).flat_map(|(proxy, line)| Self::parse(proxy, &line)).collect()
    }

    fn parse(proxy: bool, line: &str) -> Vec<Self> {
        DigestParams::all_of(line).iter().filter_map(|params| Self::of_params(proxy, params)).collect()
    }

    fn of_params(proxy: bool, params: &DigestParams) -> Option<Self> {
        let get = |name: &str| params.get(name).map(str::to_owned);
        let algorithm = get("algorithm");
        let wanted = algorithm.as_deref().unwrap_or("MD5").to_ascii_lowercase();
        let (base, session) = match wanted.strip_suffix("-sess") {
            Some(base) => (base, true),
            None => (wanted.as_str(), false),
        };
        let hash = Algorithm::named(base)?;
        let qop = match get("qop") {
            None => None,
            Some(list) => {
                let mut options = list.split(',').map(str::trim);
                let has_int = options.clone().any(|one| one.eq_ignore_ascii_case("auth-int"));
                if options.any(|one| one.eq_ignore_ascii_case("auth")) {
                    Some(Qop::Auth)
                } else if has_int {
                    Some(Qop::AuthInt)
                } else {
                    return None;
                }
            }
        };
        let stale = get("stale").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Some(Self {
            proxy,
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm,
            hash,
            session,
            qop,
            stale,
        })
    }

    /// The value of Authorization or Proxy-Authorization (RFC 7616 §3.4).
    fn answer(
        &self,
        who: &Credentials,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
        nc: u32,
    ) -> String {
        let nonce = &self.nonce;
        let mut secret = self.hash.secret(&who.username, &self.realm, who.password.expose());
        if self.session {
            secret = self.hash.hex(format!("{secret}:{nonce}:{cnonce}").as_bytes());
        }
        let a2 = match self.qop {
            Some(Qop::AuthInt) => format!("{method}:{uri}:{}", self.hash.hex(body)),
            _ => format!("{method}:{uri}"),
        };
        let qop = self.qop.map(|qop| if qop == Qop::Auth { "auth" } else { "auth-int" });
        let count = format!("{nc:08x}");
        let response =
            self.hash.response(&secret, nonce, qop.map(|word| (count.as_str(), cnonce, word)), &a2);
        let mut out = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quote(&who.username),
            quote(&self.realm),
            quote(nonce),
            quote(uri),
        );
        if let Some(algorithm) = &self.algorithm {
            out.push_str(&format!(", algorithm={algorithm}"));
        }
        if let Some(word) = qop {
            out.push_str(&format!(", cnonce={}, qop={word}, nc={count}", quote(cnonce)));
        } else if self.session {
            out.push_str(&format!(", cnonce={}", quote(cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            out.push_str(&format!(", opaque={}", quote(opaque)));
        }
        out
    }
}

#[derive(Clone, Debug)]
struct Realm {
    challenge: Challenge,
    /// One per nonce: `-sess` binds the session key to it, whichever request it is read from.
    cnonce: String,
    /// Requests sent with this nonce.
    count: u32,
    /// Challenges answered since this realm last let us through.
    tries: u8,
}

/// Our standing with the servers on the way of one registration or one call.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    credentials: Credentials,
    realms: Vec<Realm>,
}

impl Session {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, realms: Vec::new() }
    }

    /// The same credentials, for another server.
    pub(crate) fn afresh(self) -> Self {
        Self::new(self.credentials)
    }

    /// Takes in a 401 or 407. `false`: asking again would only be refused again.
    pub(crate) fn challenged(&mut self, response: &Response, random: &mut Random) -> bool {
        let mut answerable = false;
        let mut seen: Vec<(bool, String)> = Vec::new();
        for challenge in Challenge::all_of(response) {
            // RFC 8760 §2.4: of several for one realm, the topmost that we support.
            let place = (challenge.proxy, challenge.realm.clone());
            if seen.contains(&place) {
                continue;
            }
            seen.push(place);
            let room = self.realms.len() < MOST_REALMS;
            let known = self
                .realms
                .iter_mut()
                .find(|r| r.challenge.proxy == challenge.proxy && r.challenge.realm == challenge.realm);
            match known {
                // Refused although answered: only `stale` says that the password was right (RFC 7616 §3.3).
                Some(realm) if realm.tries > 0 && !challenge.stale => return false,
                Some(realm) if realm.tries >= MOST_TRIES => return false,
                Some(realm) => {
                    if realm.challenge.nonce != challenge.nonce {
                        realm.count = 0;
                        realm.cnonce = random.token();
                    }
                    realm.challenge = challenge;
                    realm.tries += 1;
                    answerable = true;
                }
                None if room => {
                    self.realms.push(Realm { challenge, cnonce: random.token(), count: 0, tries: 1 });
                    answerable = true;
                }
                None => {}
            }
        }
        answerable
    }

    /// A request got through: the next challenge is a new one, not a refusal.
    pub(crate) fn accepted(&mut self, response: &Response) {
        for realm in &mut self.realms {
            realm.tries = 0;
        }
        // RFC 7616 §3.5: the server may name the nonce that it wants next.
        let Some(info) = response.headers.get(name::AUTHENTICATION_INFO) else {
            return;
        };
        let next = split_list(&info)
            .into_iter()
            .find_map(|part| part.split_once('=').filter(|(n, _)| n.trim().eq_ignore_ascii_case("nextnonce")))
            .map(|(_, value)| unquote(value.trim()));
        if let (Some(next), Some(realm)) = (next, self.realms.iter_mut().find(|r| !r.challenge.proxy)) {
            realm.challenge.nonce = next;
            realm.count = 0;
        }
    }

    /// Puts the credentials for every known realm into a request (§22.3).
    pub(crate) fn authorize(&mut self, request: &mut Request) {
        request.headers.remove(name::AUTHORIZATION);
        request.headers.remove(name::PROXY_AUTHORIZATION);
        let uri = request.uri.to_string();
        let mut headers = Headers::new();
        for realm in &mut self.realms {
            realm.count += 1;
            let challenge = &realm.challenge;
            let method = request.method.as_str();
            let value =
                challenge.answer(&self.credentials, method, &uri, &request.body, &realm.cnonce, realm.count);
            headers
                .push(if challenge.proxy { name::PROXY_AUTHORIZATION } else { name::AUTHORIZATION }, value);
        }
        request.headers.copy_from(&headers, name::AUTHORIZATION);
        request.headers.copy_from(&headers, name::PROXY_AUTHORIZATION);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use md5::Md5;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::message::Method;
    use crate::random::hex;

    fn challenge(line: &str) -> Challenge {
        let all = Challenge::parse(false, line);
        assert_eq!(all.len(), 1, "{line}");
        all.into_iter().next().expect("one")
    }

    fn response_of(value: &str) -> &str {
        value.split("response=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a response")
    }

    fn who(username: &str, password: &str) -> Credentials {
        Credentials { username: username.into(), password: password.into() }
    }

    /// RFC 2617 §3.5.
    #[test]
    fn rfc_2617_md5() {
        let challenge = challenge(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let value =
            challenge.answer(&who("Mufasa", "Circle Of Life"), "GET", "/dir/index.html", b"", "0a4f113b", 1);
        assert_eq!(response_of(&value), "6629fae49393a05397450978507c4ef1");
        assert!(value.contains("nc=00000001") && value.contains("qop=auth,"), "{value}");
        assert!(value.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{value}");
        assert!(!value.contains("algorithm"), "none was given: {value}");
    }

    const RFC_7616: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm=";
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    /// RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616_md5_and_sha_256() {
        let who = who("Mufasa", "Circle of Life");
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = challenge(&format!("{RFC_7616}{algorithm}"));
            let value = challenge.answer(&who, "GET", "/dir/index.html", b"", CNONCE, 1);
            assert_eq!(response_of(&value), response);
            assert!(value.contains(&format!("algorithm={algorithm}")), "{value}");
        }
    }

    /// RFC 7616 §3.9.2, with the errata's reading: the hash is SHA-512/256, the username is not hashed here.
    #[test]
    fn sha_512_256_is_known() {
        let challenge = challenge(&format!("{RFC_7616}SHA-512-256"));
        let value =
            challenge.answer(&who("J\u{e4}s\u{f8}n Doe", "Secret, or not?"), "GET", "/doe.json", b"", "x", 1);
        assert_eq!(response_of(&value).len(), 64);
    }

    /// RFC 2069 compatibility: no qop, no nonce count.
    #[test]
    fn without_qop() {
        let challenge = challenge("Digest realm=\"r\", nonce=\"n\"");
        let value = challenge.answer(&who("u", "p"), "REGISTER", "sip:r", b"", "c", 1);
        let a1 = hex(&Md5::digest(b"u:r:p"));
        let a2 = hex(&Md5::digest(b"REGISTER:sip:r"));
        assert_eq!(response_of(&value), hex(&Md5::digest(format!("{a1}:n:{a2}"))));
        assert!(!value.contains("nc=") && !value.contains("cnonce"), "{value}");
    }

    #[test]
    fn session_and_integrity_variants() {
        let who = who("u", "p");
        let sess = challenge("Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess, qop=auth");
        let value = sess.answer(&who, "INVITE", "sip:x", b"", "c", 2);
        let a1 = hex(&Md5::digest(format!("{}:n:c", hex(&Md5::digest(b"u:r:p")))));
        let a2 = hex(&Md5::digest(b"INVITE:sip:x"));
        assert_eq!(response_of(&value), hex(&Md5::digest(format!("{a1}:n:00000002:c:auth:{a2}"))));

        let int = challenge("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int\"");
        let value = int.answer(&who, "INVITE", "sip:x", b"body", "c", 1);
        let a1 = hex(&Sha256::digest(b"u:r:p"));
        let a2 = hex(&Sha256::digest(format!("INVITE:sip:x:{}", hex(&Sha256::digest(b"body")))));
        assert_eq!(response_of(&value), hex(&Sha256::digest(format!("{a1}:n:00000001:c:auth-int:{a2}"))));
    }

    #[test]
    fn several_challenges_in_one_line_and_unknown_schemes() {
        let line = "NTLM realm=\"r\", Digest realm=\"a, b\", nonce=\"1\", algorithm=SHA-256, \
                    Digest realm=\"a, b\", nonce=\"2\", Basic realm=\"z\", Digest nonce=\"3\", \
                    Digest realm=\"q\", nonce=\"4\", algorithm=AKAv1-MD5";
        let all = Challenge::parse(false, line);
        let found: Vec<_> = all.iter().map(|c| (c.realm.as_str(), c.nonce.as_str(), c.hash)).collect();
        assert_eq!(found, [("a, b", "1", Algorithm::Sha256), ("a, b", "2", Algorithm::Md5)]);
    }

    fn unauthorized(lines: &[&str]) -> Response {
        let mut headers = Headers::new();
        for line in lines {
            headers.push(name::WWW_AUTHENTICATE, line);
        }
        Response { status: 401, reason: String::new(), headers, body: Bytes::new() }
    }

    fn request() -> Request {
        let uri = "sip:example.com".parse().expect("a uri");
        Request { method: Method::Register, uri, headers: Headers::new(), body: Bytes::new() }
    }

    #[test]
    fn the_topmost_supported_challenge_of_a_realm_is_answered() {
        let mut session = Session::new(who("u", "p"));
        let mut random = Random::new([1; 32]);
        let response = unauthorized(&[
            "Digest realm=\"r\", nonce=\"new\", algorithm=SHA-512-256, qop=auth",
            "Digest realm=\"r\", nonce=\"mid\", algorithm=SHA-256, qop=auth",
            "Digest realm=\"r\", nonce=\"old\", algorithm=MD5",
        ]);
        assert!(session.challenged(&response, &mut random));
        let mut request = request();
        session.authorize(&mut request);
        let value = request.headers.get(name::AUTHORIZATION).expect("credentials");
        assert!(value.contains("algorithm=SHA-512-256"), "{value}");
        assert_eq!(
            request.headers.list(name::AUTHORIZATION).iter().filter(|v| v.starts_with("Digest")).count(),
            1
        );
    }

    #[test]
    fn the_nonce_is_used_again_with_a_rising_count() {
        let mut session = Session::new(who("u", "p"));
        let mut random = Random::new([1; 32]);
        assert!(
            session.challenged(&unauthorized(&["Digest realm=\"r\", nonce=\"n\", qop=auth"]), &mut random)
        );
        for count in 1..=3 {
            let mut request = request();
            session.authorize(&mut request);
            let value = request.headers.get(name::AUTHORIZATION).expect("credentials").into_owned();
            assert!(value.contains(&format!("nc=0000000{count}")), "{value}");
        }
    }

    #[test]
    fn a_second_refusal_is_final_unless_it_is_stale() {
        let mut session = Session::new(who("u", "p"));
        let mut random = Random::new([1; 32]);
        let plain =
            |nonce: &str| unauthorized(&[&format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=auth")]);
        let stale = |nonce: &str| {
            unauthorized(&[&format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=auth, stale=TRUE")])
        };
        assert!(session.challenged(&plain("a"), &mut random));
        assert!(session.challenged(&stale("b"), &mut random));
        assert!(!session.challenged(&plain("c"), &mut random));
        // Through once, then challenged anew: that is no refusal.
        session.accepted(&unauthorized(&[]));
        assert!(session.challenged(&plain("d"), &mut random));
        // A server that is never content is given up.
        session.accepted(&unauthorized(&[]));
        let tries = (0..20).take_while(|n| session.challenged(&stale(&n.to_string()), &mut random)).count();
        assert_eq!(tries, usize::from(MOST_TRIES));
    }

    #[test]
    fn nothing_to_answer() {
        let mut session = Session::new(who("u", "p"));
        let mut random = Random::new([1; 32]);
        for line in [
            "",
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm",
            "Digest realm=\"r\"",
            "=,=,\"",
            "Digest qop=\"x\", realm=\"r\", nonce=\"n\"",
        ] {
            assert!(!session.challenged(&unauthorized(&[line]), &mut random), "{line}");
        }
    }
}
