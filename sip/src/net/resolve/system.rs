//! DNS as the system has it: `hickory-resolver` for what it alone can ask, and the C library for names that DNS does
//! not know (`nsswitch.conf`, mDNS). Why: `docs/decisions/dns.md`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{RData, RecordType};

use super::dns::{Answer, Dns, Kind, Lookup, Naptr, Record, Srv};

/// A call waits for this: no longer than its caller would.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// What the C library tells has no time to live.
const LOCAL_TTL: Duration = Duration::from_secs(60);

/// The name servers of `/etc/resolv.conf`, `/etc/hosts`, and whatever else the system looks into.
#[derive(Debug, Default)]
pub struct SystemDns {
    /// `None`: there is no name server, or none that can be understood.
    resolver: Option<Resolver>,
    /// Ask the C library as well?
    local: bool,
}

struct Resolver(TokioResolver);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(…)")
    }
}

impl SystemDns {
    /// Reads the system's configuration. Must be called inside a tokio runtime.
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().ok().and_then(|mut builder| {
            bound(builder.options_mut());
            builder.build().ok().map(Resolver)
        });
        Self { resolver, local: true }
    }

    /// Asks this name server and nobody else. Must be called inside a tokio runtime.
    pub fn at(server: SocketAddr) -> Self {
        let mut config = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut config.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        bound(builder.options_mut());
        Self { resolver: builder.build().ok().map(Resolver), local: false }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> io::Result<Answer> {
        let Some(Resolver(resolver)) = &self.resolver else {
            return Ok(Answer { records: Vec::new(), ttl: LOCAL_TTL });
        };
        match resolver.lookup(name, kind).await {
            Ok(lookup) => {
                let now = tokio::time::Instant::now().into_std();
                let ttl = lookup.valid_until().saturating_duration_since(now);
                let records = lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
                Ok(Answer { records, ttl })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl, .. }))) => {
                let ttl = negative_ttl.map_or(LOCAL_TTL, |seconds| Duration::from_secs(seconds.into()));
                Ok(Answer { records: Vec::new(), ttl })
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn addresses(&self, name: &str) -> io::Result<Answer> {
        let (four, six) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        // One family that could not be asked for does not take the other away.
        let found = match (four, six) {
            (Ok(mut four), Ok(six)) => {
                // What is not there does not shorten the life of what is.
                let both = !four.records.is_empty() && !six.records.is_empty();
                let neither = four.records.is_empty() && six.records.is_empty();
                if both || neither {
                    four.ttl = four.ttl.min(six.ttl);
                } else if four.records.is_empty() {
                    four.ttl = six.ttl;
                }
                four.records.extend(six.records);
                Ok(four)
            }
            (Ok(one), Err(error)) | (Err(error), Ok(one)) => {
                if one.records.is_empty() {
                    Err(error)
                } else {
                    Ok(one)
                }
            }
            (Err(error), Err(_)) => Err(error),
        };
        if !self.local || found.as_ref().is_ok_and(|answer| !answer.records.is_empty()) {
            return found;
        }
        match tokio::net::lookup_host((name, 0)).await {
            Ok(addrs) => {
                let mut ips: Vec<IpAddr> = addrs.map(|addr| addr.ip()).collect();
                ips.dedup();
                Ok(Answer { records: ips.into_iter().map(Record::Address).collect(), ttl: LOCAL_TTL })
            }
            // Where no name server was asked, this is all that is known.
            Err(error) if self.resolver.is_none() => Err(error),
            Err(_) => found,
        }
    }
}

fn bound(options: &mut ResolverOpts) {
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
}

fn read(data: &RData) -> Option<Record> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(match data {
        RData::A(a) => Record::Address(a.0.into()),
        RData::AAAA(aaaa) => Record::Address(aaaa.0.into()),
        RData::SRV(srv) => Record::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: srv.target.to_ascii(),
        }),
        RData::NAPTR(naptr) => Record::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            service: text(&naptr.services),
            replacement: naptr.replacement.to_ascii(),
        }),
        // A CNAME on the way.
        _ => return None,
    })
}

impl Dns for SystemDns {
    fn query<'a>(&'a self, name: &'a str, kind: Kind) -> Lookup<'a> {
        Box::pin(async move {
            let absolute = || format!("{}.", name.trim_end_matches('.'));
            match kind {
                Kind::Address => self.addresses(name).await,
                Kind::Srv => self.ask(&absolute(), RecordType::SRV).await,
                Kind::Naptr => self.ask(&absolute(), RecordType::NAPTR).await,
            }
        })
    }
}
