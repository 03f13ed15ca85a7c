//! From the configuration to the SIP stack's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sip::net::{Identity, Roots, StackConfig, StunConfig, TlsConfig};
use sip::{Advertised, Guard, Rate, Registrar, Transport};

use crate::config::{Config, Strangers};

/// So many requests at once for each that is allowed in a second: a phone that starts has a few to send.
const BURST: u32 = 10;
/// Often enough to keep a NAT's binding open (RFC 5626 §4.4.2).
const ASK_STUN: Duration = Duration::from_secs(25);

pub(super) fn stack(config: &Config) -> anyhow::Result<StackConfig> {
    Ok(StackConfig {
        endpoint: endpoint(config),
        udp: std::iter::once(config.sip.listen).chain(config.sip.also.iter().copied()).collect(),
        tcp: config.sip.tcp.clone(),
        tls: tls(config)?,
        stun: config.sip.stun.clone().map(|server| StunConfig { server, every: ASK_STUN }),
        ..StackConfig::default()
    })
}

fn endpoint(config: &Config) -> sip::Config {
    let settings = &config.sip;
    let advertised =
        |transport| settings.advertise.map(|ip| Advertised { transport, host: ip.to_string(), port: None });
    let has_accounts =
        !config.extensions.is_empty() || config.trunks.iter().any(|trunk| trunk.auth.is_some());
    sip::Config {
        advertised: [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .filter_map(advertised)
            .collect(),
        // A little more than what is let in, so that one too many is refused with a reason of ours.
        max_legs: config.limits.max_calls * 2 + 50,
        ring_timeout: config.limits.ring,
        // Whose are taken is asked of each call's trunk or extension.
        take_refers: true,
        take_replaces: true,
        session_expires: (!settings.session_expires.is_zero()).then_some(settings.session_expires),
        min_session_expires: settings.min_session_expires,
        reliable_provisional: settings.reliable_provisional,
        message_types: if settings.messages { settings.message_types.clone() } else { Vec::new() },
        max_message_body: settings.max_message_bytes,
        registrar: has_accounts.then(|| registrar(config)),
        guard: guard(config),
        ..sip::Config::default()
    }
}

fn registrar(config: &Config) -> Registrar {
    Registrar {
        realm: config.sip.realm.clone(),
        algorithms: config.sip.digests.clone(),
        ..Registrar::default()
    }
}

fn guard(config: &Config) -> Guard {
    let settings = &config.sip.guard;
    let rate = |per_second: u32| {
        (per_second > 0).then(|| Rate { per_second, burst: per_second.saturating_mul(BURST) })
    };
    Guard {
        per_source: rate(settings.per_source),
        total: rate(settings.total),
        scanners: settings.scanners.clone(),
        strikes: settings.strikes,
        failures: settings.failed_logins,
        ban: settings.ban,
        answer: config.sip.strangers == Strangers::Refuse,
        ..Guard::default()
    }
}

/// TLS is spoken where somebody may need it: where we listen for it, and where a trunk is reached by it.
fn tls(config: &Config) -> anyhow::Result<Option<TlsConfig>> {
    let settings = &config.sip.tls;
    let servers = || config.trunks.iter().flat_map(|trunk| trunk.servers.iter().map(move |uri| (trunk, uri)));
    let is_dialled = servers().any(|(_, uri)| uri.transport() == Some(Transport::Tls));
    if settings.listen.is_empty() && !is_dialled {
        return Ok(None);
    }
    let identity = match (&settings.certificate, &settings.key) {
        (Some(chain), Some(key)) => {
            Some(Identity { chain: read(chain, "sip.tls.certificate")?, key: read(key, "sip.tls.key")? })
        }
        _ => None,
    };
    let mut roots_of = BTreeMap::new();
    for (trunk, uri) in servers() {
        if let (Some(ca), Some(host)) = (&trunk.ca, uri.host()) {
            roots_of.insert(host.to_string(), Roots::Pem(read(ca, "trunk.ca")?));
        }
    }
    Ok(Some(TlsConfig { listen: settings.listen.clone(), identity, roots: Roots::System, roots_of }))
}

fn read(path: &Path, key: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{key}: {} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack_of(text: &str) -> StackConfig {
        stack(&Config::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))).unwrap()
    }

    #[test]
    fn nothing_is_spoken_that_nobody_asked_for() {
        let stack = stack_of("[[trunk]]\nname='t'\nallow=['192.0.2.0/24']");
        assert!(stack.tcp.is_empty() && stack.tls.is_none());
        assert!(stack.endpoint.registrar.is_none(), "extensions are off unless there are some");
        assert_eq!(stack.endpoint.guard.per_source, Some(Rate { per_second: 20, burst: 200 }));
    }

    #[test]
    fn a_trunk_by_tls_is_reached_without_listening() {
        let stack = stack_of("[[trunk]]\nname='t'\nservers=['sip:a.example']\ntransport='tls'");
        assert!(stack.tls.is_some_and(|tls| tls.listen.is_empty()));
    }

    #[test]
    fn who_must_prove_a_password_brings_the_challenges() {
        for more in [
            "[[extension]]\nnumber='201'\npassword='p'",
            "[[trunk]]\nname='t'\nauth={username='x',password='p'}",
        ] {
            let text = format!("[sip]\nrealm='here'\n{more}");
            assert_eq!(
                stack_of(&text).endpoint.registrar.map(|registrar| registrar.realm).as_deref(),
                Some("here")
            );
        }
    }
}
