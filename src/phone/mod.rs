//! A softphone that follows a script: the tool of the demo, of tests, and of operators who want to try a number.
//!
//! It stands on the same `sip` and `media` crates as the gateway and knows nothing else of it, so it calls anything that
//! speaks SIP. Its parts are small machines without clocks: [`script`] is what shall be done, [`runner`] which step is
//! due, [`ear`] what is heard and how long it took. [`Phone`] is the shell that lends them sockets and time.

mod call;
pub mod clip;
pub mod ear;
mod event;
mod outcome;
pub mod runner;
pub mod script;
pub mod wer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sip::{Credentials, NameAddr, RegistrationId, RegistrationState, Uri};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Srtp;
use crate::domain::millis;

pub use clip::Clip;
pub use event::{Event, Stamped};
pub use outcome::{Exchange, Outcome};
pub use script::{Line, Script, Step};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP is spoken; port 0 takes any free one.
    pub listen: SocketAddr,
    /// RTP and RTCP of one call.
    pub ports: RangeInclusive<u16>,
    /// Our name in From and Contact, unless we register.
    pub user: String,
    pub display: Option<String>,
    pub account: Option<Account>,
    /// Where requests are sent instead of straight to their target.
    pub proxy: Option<Uri>,
    /// What it speaks, the best first.
    pub codecs: Vec<media::sdp::Codec>,
    /// Stereo WAV: what is heard left, what is said right.
    pub record: Option<PathBuf>,
    /// A call ends after this time, whatever the script says.
    pub longest: Duration,
    /// An inbound call rings for so long before it is answered.
    pub ring_for: Duration,
    pub ear: ear::EarConfig,
    /// Whether sound is encrypted, and whether it must be.
    pub srtp: Srtp,
    /// What the other side says comes back to it, as from a bad line.
    pub echo: Option<media::Returns>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ports: 30_000..=30_999,
            user: "phone".into(),
            display: None,
            account: None,
            proxy: None,
            codecs: media::sdp::Capabilities::default().codecs,
            record: None,
            longest: Duration::from_secs(600),
            ring_for: Duration::ZERO,
            ear: ear::EarConfig::default(),
            srtp: Srtp::Off,
            echo: None,
        }
    }
}

/// An account at a registrar.
#[derive(Clone, Debug)]
pub struct Account {
    pub registrar: Uri,
    pub credentials: Credentials,
    pub expires: Duration,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    #[error(transparent)]
    Bind(#[from] sip::net::BindError),
    #[error(transparent)]
    Media(#[from] media::net::StartError),
    #[error(transparent)]
    Open(#[from] media::net::OpenError),
    #[error(transparent)]
    Resolve(Box<sip::net::ResolveError>),
    #[error("the registrar refused us with {status}")]
    Registration { status: u16 },
    #[error("the registrar did not answer within {0:?}")]
    NoRegistrar(Duration),
    #[error("{0} has no host to register at")]
    NoDomain(String),
    #[error("nobody called within {0:?}")]
    NobodyCalled(Duration),
    #[error("stopped")]
    Stopped,
    #[error("the operating system gives no randomness")]
    Chance,
    #[error("the phone's {0} has stopped")]
    Closed(&'static str),
}

impl From<sip::net::Closed> for PhoneError {
    fn from(_: sip::net::Closed) -> PhoneError {
        PhoneError::Closed("SIP stack")
    }
}

impl From<media::net::Closed> for PhoneError {
    fn from(_: media::net::Closed) -> PhoneError {
        PhoneError::Closed("media line")
    }
}

/// A phone that is switched on.
pub struct Phone {
    settings: Settings,
    stack: sip::net::Stack,
    signals: mpsc::Receiver<sip::Event>,
    engine: media::net::Engine,
    registration: Option<RegistrationId>,
    teller: Teller,
}

impl Phone {
    /// Binds the ports, and registers where an account is given. Events go to `out`, which must be read: when it is
    /// full, the phone waits.
    pub async fn start(settings: Settings, out: mpsc::Sender<Stamped>) -> Result<Phone, PhoneError> {
        let endpoint = sip::Config {
            user_agent: concat!("offhook-phone/", env!("CARGO_PKG_VERSION")).into(),
            contact_user: settings.user.clone(),
            ..sip::Config::default()
        };
        let stack = sip::net::StackConfig { endpoint, udp: vec![settings.listen], ..Default::default() };
        let (stack, signals) = sip::net::bind(stack).await?;
        let engine = media::net::Engine::start(media::net::EngineConfig {
            bind: settings.listen.ip(),
            ports: settings.ports.clone(),
            ..Default::default()
        })?;
        let teller = Teller { start: Instant::now(), out };
        let mut phone = Phone { settings, stack, signals, engine, registration: None, teller };
        if let Some(account) = phone.settings.account.clone()
            && let Err(error) = phone.register(account).await
        {
            phone.shut_down().await;
            return Err(error);
        }
        Ok(phone)
    }

    /// Where the phone can be called.
    pub fn local_addr(&self) -> SocketAddr {
        self.stack.local_addr()
    }

    /// Unregisters, closes everything and waits for it.
    pub async fn shut_down(mut self) {
        if let Some(id) = self.registration.take() {
            let gone = async {
                self.stack.unregister(id).await.ok()?;
                while let Some(event) = self.signals.recv().await {
                    if matches!(
                        event,
                        sip::Event::Registration { state: RegistrationState::Unregistered, .. }
                    ) {
                        break;
                    }
                }
                Some(())
            };
            // Whether the registrar still answers is its own affair; the binding expires by itself.
            let _ = tokio::time::timeout(Duration::from_secs(2), gone).await;
        }
        self.stack.shutdown().await;
        // Joins threads, for some ticks.
        let _ = tokio::task::spawn_blocking(move || self.engine.shutdown()).await;
    }

    async fn register(&mut self, account: Account) -> Result<(), PhoneError> {
        let path = self.resolve(&account.registrar).await?;
        let aor = self.address(&account)?;
        let register = sip::Register {
            registrar: account.registrar,
            aor,
            contact_user: self.settings.user.clone(),
            credentials: account.credentials,
            expires: account.expires,
            path,
            route: Vec::new(),
        };
        self.registration = Some(self.stack.register(register).await?);
        let answer = async {
            loop {
                match self.signals.recv().await {
                    None => return Err(PhoneError::Closed("SIP stack")),
                    Some(sip::Event::Registration { state, .. }) => match state {
                        RegistrationState::Registered { expires } => {
                            self.teller.tell(Event::Registered { expires_s: expires.as_secs() }).await;
                            return Ok(());
                        }
                        RegistrationState::Failed { status, retry_in } => {
                            let retry_in_ms = Some(millis(retry_in));
                            self.teller.tell(Event::RegistrationFailed { status, retry_in_ms }).await;
                        }
                        RegistrationState::Rejected { status } => {
                            self.teller.tell(Event::RegistrationFailed { status, retry_in_ms: None }).await;
                            return Err(PhoneError::Registration { status });
                        }
                        _ => {}
                    },
                    Some(_) => {}
                }
            }
        };
        match tokio::time::timeout(REGISTRAR_PATIENCE, answer).await {
            Ok(done) => done,
            Err(_) => Err(PhoneError::NoRegistrar(REGISTRAR_PATIENCE)),
        }
    }

    /// The next hop of a request.
    async fn resolve(&self, uri: &Uri) -> Result<sip::Path, PhoneError> {
        let next = self.settings.proxy.as_ref().unwrap_or(uri);
        self.stack.resolve(next).await.map_err(|error| PhoneError::Resolve(Box::new(error)))
    }

    fn address(&self, account: &Account) -> Result<Uri, PhoneError> {
        let registrar = &account.registrar;
        let host = registrar.host().ok_or_else(|| PhoneError::NoDomain(registrar.to_string()))?;
        Ok(Uri::sip(Some(&account.credentials.username), host.clone(), registrar.port()))
    }

    /// Who we say we are, towards a peer that we reach from `local`.
    fn identity(&self, local: SocketAddr) -> Result<NameAddr, PhoneError> {
        let uri = match &self.settings.account {
            Some(account) => self.address(account)?,
            None => {
                let host = match local.ip() {
                    IpAddr::V4(ip) => sip::Host::V4(ip),
                    IpAddr::V6(ip) => sip::Host::V6(ip),
                };
                Uri::sip(Some(&self.settings.user), host, Some(local.port()))
            }
        };
        Ok(NameAddr::new(self.settings.display.clone(), uri))
    }
}

const REGISTRAR_PATIENCE: Duration = Duration::from_secs(15);

/// Says what happens, and when it did.
#[derive(Clone, Debug)]
struct Teller {
    start: Instant,
    out: mpsc::Sender<Stamped>,
}

impl Teller {
    async fn tell(&self, event: Event) {
        self.tell_at(Instant::now(), event).await;
    }

    /// Nobody listening any more is no reason to stop a call.
    async fn tell_at(&self, at: Instant, event: Event) {
        let at_ms = millis(at.saturating_duration_since(self.start));
        let _ = self.out.send(Stamped { at_ms, event }).await;
    }
}

/// Ends a call from outside, for instance at Ctrl-C.
pub type Stop = CancellationToken;
