//! What both halves of digest authentication rest on: the hashes, the formula, and the parameters of a header line
//! (RFC 7616 §3.4, RFC 2617 for peers without `qop`).

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::message::{split_list, unquote};
use crate::random::hex;

/// The hash of a digest (RFC 7616 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    /// As it stands in a challenge.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|one| one.as_str().eq_ignore_ascii_case(name))
    }

    pub(crate) fn hex(self, text: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512_256 => hex(&Sha512_256::digest(text)),
        }
    }

    /// H(A1), before a session binds it to a nonce.
    pub(crate) fn secret(self, username: &str, realm: &str, password: &str) -> String {
        self.hex(format!("{username}:{realm}:{password}").as_bytes())
    }

    /// The value of `response`. `count`: nc, cnonce and qop as they stand in the header; `None` without `qop`.
    pub(crate) fn response(
        self,
        secret: &str,
        nonce: &str,
        count: Option<(&str, &str, &str)>,
        a2: &str,
    ) -> String {
        let a2 = self.hex(a2.as_bytes());
        let text = match count {
            Some((nc, cnonce, qop)) => format!("{secret}:{nonce}:{nc}:{cnonce}:{qop}:{a2}"),
            None => format!("{secret}:{nonce}:{a2}"),
        };
        self.hex(text.as_bytes())
    }
}

/// The parameters of one challenge, or of one answer to it. Names in lower case, values without their quotes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct DigestParams(Vec<(String, String)>);

impl DigestParams {
    /// All of scheme Digest in one header line, which may hold several and other schemes between them.
    pub(crate) fn all_of(line: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        // Params of a scheme that is not Digest are gathered too, and dropped at its end.
        let mut digest = false;
        for part in split_list(line) {
            let (head, value) = part.split_once('=').unwrap_or((part, ""));
            let mut words = head.split_ascii_whitespace();
            let (scheme, name) = match (words.next(), words.next()) {
                (Some(scheme), Some(name)) => (Some(scheme), name),
                (Some(name), None) => (None, name),
                _ => continue,
            };
            if let Some(scheme) = scheme {
                digest = scheme.eq_ignore_ascii_case("Digest");
                if digest {
                    found.push(Self::default());
                }
            }
            if let (true, Some(params)) = (digest, found.last_mut()) {
                params.0.push((name.to_ascii_lowercase(), unquote(value.trim())));
            }
        }
        found
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 §3.5.
    #[test]
    fn rfc_2617() {
        let secret = Algorithm::Md5.secret("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(secret, "939e7578ed9e3c518a452acee763bce9");
        let count = Some(("00000001", "0a4f113b", "auth"));
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = Algorithm::Md5.response(&secret, nonce, count, "GET:/dir/index.html");
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn rfc_7616() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let count = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "auth"));
        for (algorithm, wanted) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let secret = algorithm.secret("Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(algorithm.response(&secret, nonce, count, "GET:/dir/index.html"), wanted);
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        for one in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
            assert_eq!(Algorithm::named(&one.as_str().to_lowercase()), Some(one));
        }
        assert_eq!(Algorithm::named("SHA-1"), None);
    }
}
