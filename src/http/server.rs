//! Connections: how many, how slow they may be, with TLS or without, and how they end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config;

/// Longest head of a request.
const LONGEST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 100;
/// What running requests get to end when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
/// Before the next attempt where the system has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("http.listen: cannot listen on tcp {address}: {reason}")]
    Listen { address: SocketAddr, reason: io::Error },
    #[error("http.tls.{key}: {reason}")]
    Tls { key: &'static str, reason: String },
}

/// An address that is listened on.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: config::Http,
}

impl Server {
    /// # Errors
    /// The address is in use, or the certificate is none.
    pub async fn bind(config: &config::Http) -> Result<Self, ServerError> {
        let tls = config.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key)).transpose()?;
        let address = config.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|reason| ServerError::Listen { address, reason })?;
        Ok(Self { listener, tls, config: config.clone() })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(super) fn config(&self) -> &config::Http {
        &self.config
    }

    /// Serves until `stop`; then lets running requests end.
    pub(super) async fn run(self, router: Router, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.config.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&room) => accepted,
                Some(_) = connections.join_next() => continue,
                () = stop.cancelled() => break,
            };
            let Some((stream, permit)) = accepted else { continue };
            let patient = Patient::new(stream, permit, self.config.write_timeout);
            let (tls, router) = (self.tls.clone(), router.clone());
            let (patience, stop) = (self.config.header_timeout, stop.clone());
            connections.spawn(async move {
                match tls {
                    None => serve(patient, router, patience, stop).await,
                    Some(tls) => match timeout(patience, tls.accept(patient)).await {
                        Ok(Ok(stream)) => serve(stream, router, patience, stop).await,
                        Ok(Err(error)) => debug!(%error, "a client that speaks no TLS of ours"),
                        Err(_) => debug!("a client that does not begin with TLS"),
                    },
                }
            });
        }
        drop(self.listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(LAST_REQUESTS, all_ended).await.is_err() {
            warn!(cut = connections.len(), "connections that did not end in time are cut");
        }
    }

    /// Takes a client only when there is room for it: the others wait in the system's queue.
    async fn accept(&self, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let permit = room.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                Some((stream, permit))
            }
            Err(error) => {
                // Too many open files is told of every connection that waits: not more often than this.
                warn!(%error, "a connection cannot be accepted");
                sleep(NO_ROOM).await;
                None
            }
        }
    }
}

async fn serve<T>(stream: T, router: Router, patience: Duration, stop: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let wrong = |key, path: &Path| {
        let path = path.display().to_string();
        move |error: &dyn std::fmt::Display| ServerError::Tls { key, reason: format!("{path}: {error}") }
    };
    let (at_certificate, at_key) = (wrong("certificate", certificate), wrong("key", key));
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(|all| all.collect())
        .map_err(|error| at_certificate(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| at_key(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| at_certificate(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| at_certificate(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A client that must read what it is told: what waits for longer than `patience` to be sent is an error, and so its connection ends.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    waiting: Pin<Box<Sleep>>,
    waits: bool,
    /// Also of a connection that became a WebSocket.
    _permit: OwnedSemaphorePermit,
}

impl Patient {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, patience: Duration) -> Self {
        Self { stream, patience, waiting: Box::pin(sleep(patience)), waits: false, _permit: permit }
    }

    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = false;
            return polled;
        }
        if !self.waits {
            self.waits = true;
            self.waiting.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.bounded(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(polled, context)
    }
}
