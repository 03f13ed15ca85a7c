//! Our own vocabulary. One file per noun, each with its routes.

mod calls;
mod events;
mod messages;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;

use super::App;
use crate::gateway::Report;

/// Everything under `/v1`.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(calls::routes())
        .merge(messages::routes())
        .merge(events::routes())
        .route("/stats", axum::routing::get(stats))
}

async fn stats(State(app): State<App>) -> Json<Report> {
    Json(app.gateway.report().await)
}
