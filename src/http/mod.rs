//! The control API: axum, and nothing of axum elsewhere.
//!
//! `/openapi.json` describes every address, `/docs` shows that to people and `/llms.txt` to language models. What stands under `/v1`
//! wants a key; each dialect has its own folder; `/carriers/…` is for the carrier of a trunk, which proves itself. The layers, from the
//! outside in:
//!
//! | layer | what it does |
//! |---|---|
//! | [`server`] | connections: how many, how slow; TLS |
//! | [`attend`] | an id, a time-out, a line in the log, an answer even where a handler panics |
//! | [`auth`] | the key becomes a principal; [`rate`] counts its requests |
//! | [`idempotency`] | what is asked twice with the same key is done once |
//! | [`ask`] | what the request says, each mistake with its field |
//! | handlers | one call of a verb; every error becomes a [`problem`] |

mod agentnumber;
mod ask;
mod attend;
mod auth;
mod carriers;
mod handlers;
mod idempotency;
mod metrics;
mod openapi;
mod problem;
mod rate;
mod server;
mod v1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
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
        .layer(axum::middleware::from_fn_with_state(app.clone(), attend::attend))
        .with_state(app)
}

/// What stands in `/openapi.json`; with `app`, behind its keys.
fn described(app: Option<&App>) -> OpenApiRouter<App> {
    let (mut v1, mut metrics) = (v1::routes(), metrics::routes());
    if let Some(app) = app {
        v1 = v1.layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key));
        metrics = metrics.layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key));
    }
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(handlers::routes())
        .merge(carriers::routes())
        .merge(metrics)
        .nest("/v1", v1)
        .merge(v1::open_routes())
}

impl App {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
