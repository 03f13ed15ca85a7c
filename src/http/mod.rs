//! The control API: axum, and nothing of axum elsewhere.
//!
//! | | |
//! |---|---|
//! | `GET /health` | the process answers |
//! | `GET /ready` | it takes calls; 503 while it stops |
//! | `GET /v1/stats` | counters of the box |
//! | `POST /v1/calls` | place a call: `from`, `to`, `agent` |
//! | `GET /v1/calls?limit=` | the newest first |
//! | `GET /v1/calls/{id}` | one call: state, transcript, timings, line |
//! | `POST /v1/calls/{id}/hangup` | end it |
//! | `POST /v1/calls/{id}/transfer` | hand it on: `to`, `mode` |
//! | `POST /v1/messages` | send a message: `from`, `to`, `text` |
//! | `GET /v1/messages?number=&limit=&cursor=` | the newest first, of one number or of all |
//! | `GET /v1/messages/{id}` | one message: its text, and what became of it |
//! | `GET /v1/events` | server-sent events, one JSON object each |
//!
//! `/v1` wants `Authorization: Bearer` with the key that lies in the data folder.

mod auth;
mod handlers;
mod problem;
mod v1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::gateway::Gateway;

pub use auth::AdminKey;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    gateway: Gateway,
    key: Arc<AdminKey>,
    ready: Arc<AtomicBool>,
    /// Ends event streams when the server stops.
    stop: CancellationToken,
}

/// Serves until `stop`; then open streams end and running requests are finished.
pub async fn serve(
    listener: tokio::net::TcpListener,
    gateway: Gateway,
    key: AdminKey,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = App { gateway, key: Arc::new(key), ready, stop: stop.clone() };
    axum::serve(listener, router(app)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(app: App) -> Router {
    let v1 = v1::routes().layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key));
    let (v1, _) = OpenApiRouter::new().nest("/v1", v1).split_for_parts();
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(handlers::ready))
        .merge(v1)
        .fallback(handlers::not_found)
        .with_state(app)
}

impl App {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
