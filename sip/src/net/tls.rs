//! TLS: our certificate, whom we trust, and what was wrong with the other side's.
//!
//! Verification is on unless it is switched off by [`Roots::Unverified`]. A connection of ours is verified for the name
//! that stood in the URI (RFC 5922 §4: what DNS makes of the name proves nothing), and for the address where it was
//! one. Which library, and why: `docs/decisions/tls.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How TLS is spoken.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// Local addresses. Empty: we connect, and are not connected to.
    pub listen: Vec<SocketAddr>,
    /// Needed to listen; also shown to a server that asks for a client's certificate.
    pub identity: Option<Identity>,
    /// Whom we trust when we connect.
    pub roots: Roots,
    /// The same, for servers of these names.
    pub roots_of: BTreeMap<String, Roots>,
}

/// Our own certificate. The key stays out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM, our certificate first.
    pub chain: Vec<u8>,
    /// PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Whom to trust.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Roots {
    /// What the operating system trusts.
    #[default]
    System,
    /// These authorities and no other, in PEM.
    Pem(Vec<u8>),
    /// Anybody. What is said is hidden from those who only listen, and from nobody else.
    Unverified,
}

/// Why TLS cannot be set up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    #[error("no certificate is given to listen with")]
    NoIdentity,
    #[error("no certificate is found in the chain")]
    NoCertificate,
    #[error("no private key is found")]
    NoKey,
    #[error("the certificate and its key: {0}")]
    Identity(String),
    #[error("no certificate is found among the roots")]
    NoRoots,
    #[error("a root certificate: {0}")]
    Root(String),
}

/// What was wrong in a handshake.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate is not valid yet")]
    NotYetValid,
    #[error("the certificate is for another name")]
    WrongName,
    #[error("the certificate comes from an unknown authority")]
    UnknownCa,
    #[error("the certificate is revoked")]
    Revoked,
    #[error("{0} cannot be the name of a server")]
    BadName(String),
    #[error("{0}")]
    Other(String),
}

impl TlsError {
    /// What a failed handshake says.
    pub(super) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(certificate)) = inner else {
            return Self::Other(error.to_string());
        };
        match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::UnknownIssuer => Self::UnknownCa,
            CertificateError::Revoked => Self::Revoked,
            other => Self::Other(format!("the certificate: {other:?}")),
        }
    }
}

/// What a stack has ready for handshakes.
pub(super) struct Tls {
    acceptor: Option<TlsAcceptor>,
    client: Arc<ClientConfig>,
    client_of: BTreeMap<String, Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(config: &TlsConfig) -> Result<Self, TlsConfigError> {
        let identity = config.identity.as_ref();
        let acceptor = match (identity, config.listen.is_empty()) {
            (Some(identity), false) => Some(TlsAcceptor::from(server(identity)?)),
            (None, false) => return Err(TlsConfigError::NoIdentity),
            (_, true) => None,
        };
        let mut client_of = BTreeMap::new();
        for (name, roots) in &config.roots_of {
            client_of.insert(name.to_ascii_lowercase(), client(roots, identity)?);
        }
        Ok(Self { acceptor, client: client(&config.roots, identity)?, client_of })
    }

    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.clone()
    }

    /// `name`: as it stood in the URI; without one the address has to be in the certificate.
    pub(super) fn connector(
        &self,
        name: Option<&str>,
        ip: IpAddr,
    ) -> Result<(TlsConnector, ServerName<'static>), TlsError> {
        let (server_name, client) = match name {
            None => (ServerName::from(ip), None),
            Some(name) => {
                let bare = name.trim_end_matches('.').to_ascii_lowercase();
                let client = self.client_of.get(&bare);
                let server_name = ServerName::try_from(bare);
                (server_name.map_err(|_| TlsError::BadName(name.to_owned()))?, client)
            }
        };
        let client = client.or_else(|| self.client_of.get(&ip.to_string())).unwrap_or(&self.client);
        Ok((TlsConnector::from(Arc::clone(client)), server_name))
    }
}

/// One provider for all, given by hand: what the process has installed may be another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server(identity: &Identity) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let (chain, key) = read(identity)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key));
    config.map(Arc::new).map_err(|error| TlsConfigError::Identity(error.to_string()))
}

fn client(roots: &Roots, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsConfigError::Identity(error.to_string()))?;
    let builder = match roots {
        Roots::Unverified => {
            let anybody = Arc::new(Anybody(provider()));
            builder.dangerous().with_custom_certificate_verifier(anybody)
        }
        Roots::System => builder.with_root_certificates(system()),
        Roots::Pem(pem) => builder.with_root_certificates(named(pem)?),
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsConfigError::Identity(error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

fn read(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&identity.chain).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(TlsConfigError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|_| TlsConfigError::NoKey)?;
    Ok((chain, key))
}

/// A system without roots trusts nobody, and every handshake says so.
fn system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

fn named(pem: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsConfigError::Root(error.to_string()))?;
        store.add(certificate).map_err(|error| TlsConfigError::Root(error.to_string()))?;
    }
    if store.is_empty() { Err(TlsConfigError::NoRoots) } else { Ok(store) }
}

/// [`Roots::Unverified`]: whoever holds the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
