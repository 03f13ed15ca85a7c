//! The control API: axum, and nothing of axum elsewhere.
//!
//! | | |
//! |---|---|
//! | `GET /health` | the process answers |
//! | `GET /ready` | it takes calls; 503 while it stops |
//! | `GET /openapi.json` | this API, described |
//! | `GET /v1/stats` | counters of the box |
//! | `POST /v1/calls` | place a call: `from`, `to`, `agent`, `settings`, `dry_run` |
//! | `GET /v1/calls` | the newest first, by state, direction, agent, number, contact |
//! | `GET /v1/calls/{id}` | one call: state, transcript, timings, line |
//! | `POST /v1/calls/{id}/hangup` | end it, or take it back |
//! | `POST /v1/calls/{id}/transfer` | hand it on: `to`, `mode` |
//! | `POST /v1/calls/{id}/say`, `…/digits` | have the agent say something; press keys |
//! | `GET /v1/calls/{id}/transcript`, `…/recording` | what was said, as text and as sound |
//! | `POST /v1/calls/{id}/recording/url` | a link to the sound that needs no key |
//! | `GET /v1/calls/{id}/events`, `…/ws` | follow a call, by SSE or WebSocket |
//! | `POST /v1/messages` | send a message: `from`, `to`, `text` |
//! | `GET /v1/messages?number=&limit=&cursor=` | the newest first, of one number or of all |
//! | `GET /v1/messages/{id}` | one message: its text, and what became of it |
//! | `GET /v1/events`, `/v1/events/ws` | follow the account, by SSE or WebSocket |
//!
//! `/agentnumber/api/v0` is AgentNumber's API over the same verbs (`docs/dialects.md`).
//!
//! `/carriers/{trunk}/messages` is for the carrier of a trunk, which proves itself.
//!
//! `/v1` wants `Authorization: Bearer` with a key; the first lies in the data folder.

mod agentnumber;
mod ask;
mod attend;
mod auth;
mod carriers;
mod handlers;
mod idempotency;
mod openapi;
mod problem;
mod rate;
mod server;
mod v1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::config::Http;
use crate::gateway::Gateway;

use rate::Rates;
pub use server::{Server, ServerError};

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    gateway: Gateway,
    config: Arc<Http>,
    ready: Arc<AtomicBool>,
    rates: Arc<Rates>,
    /// Requests so far, for their ids.
    requests: Arc<AtomicU64>,
    /// Ends event streams when the server stops.
    stop: CancellationToken,
}

/// Serves until `stop`; then open streams end and running requests are finished.
pub async fn serve(server: Server, gateway: Gateway, ready: Arc<AtomicBool>, stop: CancellationToken) {
    let config = Arc::new(server.config().clone());
    let rates = Arc::new(Rates::new(config.requests_per_minute));
    let app = App { gateway, config, ready, rates, requests: Arc::default(), stop: stop.clone() };
    server.run(router(app), stop).await;
}

fn router(app: App) -> Router {
    let (described, api) = described(Some(&app)).split_for_parts();
    Router::new()
        .merge(described)
        .merge(openapi::pages(api))
        .nest(crate::dialect::agentnumber::BASE, agentnumber::routes(&app))
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::not_allowed)
        .layer(DefaultBodyLimit::max(app.config.max_body_bytes))
        .layer(axum::middleware::from_fn_with_state(app.clone(), attend::attend))
        .with_state(app)
}

/// What stands in `/openapi.json`; with `app`, behind its keys.
fn described(app: Option<&App>) -> OpenApiRouter<App> {
    let mut v1 = v1::routes();
    if let Some(app) = app {
        v1 = v1.layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key));
    }
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(handlers::routes())
        .merge(carriers::routes())
        .nest("/v1", v1)
        .merge(v1::open_routes())
}

impl App {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
