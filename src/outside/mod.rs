//! The way out for URLs that a client of the API supplied: webhooks, and brains and tools of agents.
//!
//! Whoever may write a URL here could otherwise have the box call what only the box can reach: itself, the operator's network, a
//! cloud's metadata. So every address that a name resolves to is looked at, and where one lies inside, nothing is called. The
//! look is part of the resolver that the HTTP client itself uses: the addresses that were judged are those that are connected to,
//! and a name that has changed since is judged anew. Redirects are followed where they keep the method (307, 308), each judged
//! like the first URL. Proxies of the environment are not used: they would resolve the name where we cannot look.
//!
//! The operator opens ranges by `[outside] allow`.

mod address;
mod signed;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use url::{Host, Url};

use crate::config;
use address::why_inside;
pub use signed::{Answer, Post, PostError, proof, signature};

/// The longest URL that is taken, in bytes.
const LONGEST: usize = 2048;
/// Redirects that are followed, one after the other.
const HOPS: usize = 3;
const CONNECT: Duration = Duration::from_secs(5);
/// What a lookup may take when a URL is first seen.
const LOOKUP: Duration = Duration::from_secs(3);

/// Why a URL is not called. The text may be shown to the client: it says nothing of what a name resolves to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Malformed(String),
    #[error(
        "leads inside ({0}), where a client's URL may not go; use one that is reached over the Internet, or have the operator \
         allow the network in [outside]"
    )]
    Inside(&'static str),
}

impl Refused {
    /// Stable: clients match on it.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::Malformed(_) => "url_invalid",
            Refused::Inside(_) => "url_not_allowed",
        }
    }

    /// The refusal inside an error of the client that [`Outside::client`] gave.
    pub fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
        let mut error = Some(error);
        while let Some(one) = error {
            if let Some(refused) = one.downcast_ref() {
                return Some(refused);
            }
            error = one.source();
        }
        None
    }
}

type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync;

/// The judge of URLs, and the HTTP client that keeps to its word.
#[derive(Clone)]
pub struct Outside {
    judge: Arc<Judge>,
    client: reqwest::Client,
    /// What the secrets of accounts are made of; without it nothing is signed.
    seal: Option<[u8; 32]>,
}

struct Judge {
    allowed: Vec<IpNet>,
    lookup: Box<Lookup>,
}

impl Outside {
    /// With the system's resolver.
    pub fn new(config: &config::Outside) -> Self {
        Self::with(config, |name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        })
    }

    /// With a resolver of one's own.
    pub fn with(
        config: &config::Outside,
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
    ) -> Self {
        let judge = Arc::new(Judge { allowed: config.allow.clone(), lookup: Box::new(lookup) });
        let hops = judge.clone();
        // Fails when the binary has installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(Judging(judge.clone())))
            .redirect(Policy::custom(move |attempt| hops.follow(attempt)))
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            // Fails without a TLS provider only.
            .expect("a provider has been installed");
        Self { judge, client, seal: None }
    }

    /// The client for one URL, which is looked at as it stands: its form, and its address where it names one. Names are judged when
    /// the client connects. The client must be used for this URL alone, since no one would judge the address in another.
    pub fn client(&self, url: &str) -> Result<(Url, reqwest::Client), Refused> {
        Ok((self.judge.form(url)?, self.client.clone()))
    }

    /// For whoever writes a URL down: as [`Outside::client`], and whether its name leads inside now. A name that cannot be resolved
    /// is taken: it may be one day, and is judged then.
    pub async fn check(&self, url: &str) -> Result<Url, Refused> {
        let url = self.judge.form(url)?;
        if let Some(Host::Domain(name)) = url.host()
            && let Ok(Err(refused)) = tokio::time::timeout(LOOKUP, self.judge.resolve(name.to_owned())).await
            && let Some(refused) = Refused::within(&*refused)
        {
            return Err(refused.clone());
        }
        Ok(url)
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Judge {
    /// A URL as it stands.
    fn form(&self, text: &str) -> Result<Url, Refused> {
        let wrong = |reason: &str| Err(Refused::Malformed(reason.to_owned()));
        if text.len() > LONGEST {
            return wrong("is too long; at most 2048 bytes are taken");
        }
        let Ok(url) = Url::parse(text) else {
            return wrong("is no URL, as in \"https://example.com/hooks\"");
        };
        if !matches!(url.scheme(), "https" | "http") {
            return wrong("must begin with https:// or http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("must hold no user name and no password");
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge(address.into())?,
            Some(Host::Ipv6(address)) => self.judge(address.into())?,
            Some(Host::Domain(_)) => {}
            None => return wrong("names no host"),
        }
        Ok(url)
    }

    fn judge(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        let inside = why_inside(address).or_else(|| is_our_own(address).then_some("this machine"));
        inside.map_or(Ok(()), |what| Err(Refused::Inside(what)))
    }

    /// The addresses of a name, where none lies inside.
    async fn resolve(&self, name: String) -> Result<Vec<IpAddr>, AnyError> {
        let addresses = (self.lookup)(name.clone()).await?;
        for address in &addresses {
            if let Err(refused) = self.judge(*address) {
                tracing::warn!(name, %address, "a client's URL leads inside; it is not called");
                return Err(refused.into());
            }
        }
        if addresses.is_empty() {
            return Err(format!("{name} has no address").into());
        }
        Ok(addresses)
    }

    fn follow(&self, attempt: Attempt<'_>) -> reqwest::redirect::Action {
        let keeps_the_method = matches!(attempt.status().as_u16(), 307 | 308);
        let is_downgrade = attempt.url().scheme() == "http"
            && attempt.previous().last().is_some_and(|from| from.scheme() == "https");
        if !keeps_the_method || is_downgrade || attempt.previous().len() > HOPS {
            // The redirect itself is the answer then, and no success.
            return attempt.stop();
        }
        match self.form(attempt.url().as_str()) {
            Ok(_) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    }
}

/// The resolver of the client: it hands out only what was judged.
struct Judging(Arc<Judge>);

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let (judge, name) = (self.0.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let addresses = judge.resolve(name).await?;
            // Port 0: the client puts that of the URL.
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}

/// Whether packets to it would never leave: the system sends them from that very address. Nothing is sent to find out.
fn is_our_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests;
