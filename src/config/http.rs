//! `[http]`: the control API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::file::Section;
use super::read::{ADDRESS, size};
use super::signalling::file;

#[derive(Clone, PartialEq, Debug)]
pub struct Http {
    pub listen: SocketAddr,
    /// PEM, our own certificate first, and its key. None: plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Of one key; 0: no bound.
    pub requests_per_minute: u32,
    /// Further clients wait until one leaves.
    pub max_connections: usize,
    pub max_body_bytes: usize,
    /// Until the head of the answer.
    pub request_timeout: Duration,
    /// What a client may take to send the head of a request, and to begin with TLS.
    pub header_timeout: Duration,
    /// What a client may take to read on.
    pub write_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            requests_per_minute: 1200,
            max_connections: 4096,
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn http(s: Section, default: Http) -> Http {
    let rate = s.count("requests_per_minute", default.requests_per_minute.into(), 0, 1_000_000);
    let http = Http {
        listen: s.parsed("listen", default.listen, ADDRESS),
        tls: tls(s.section("tls")),
        requests_per_minute: u32::try_from(rate).unwrap_or(u32::MAX),
        max_connections: size(s.count("max_connections", default.max_connections as u64, 1, 1_000_000)),
        max_body_bytes: size(s.count("max_body_bytes", default.max_body_bytes as u64, 1024, 1 << 30)),
        request_timeout: s.seconds("request_timeout_s", default.request_timeout, 1, 3600),
        header_timeout: s.seconds("header_timeout_s", default.header_timeout, 1, 3600),
        write_timeout: s.seconds("write_timeout_s", default.write_timeout, 1, 3600),
    };
    s.finish();
    http
}

fn tls(s: Section) -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (file(&s, "certificate"), file(&s, "key"));
    if s.has("certificate") != s.has("key") {
        s.wrong("key", "and certificate belong together; give both or neither");
    }
    s.finish();
    certificate.zip(key)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_certificate_has_its_key() {
        let wrong = Config::parse("[http.tls]\ncertificate = '/dev/null'").unwrap_err();
        assert_eq!(wrong[0].key, "http.tls.key");
        let config = Config::parse("[http.tls]\ncertificate = '/dev/null'\nkey = '/dev/null'").unwrap();
        assert!(config.http.tls.is_some());
    }
}
