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
