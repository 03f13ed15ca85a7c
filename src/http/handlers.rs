//! What belongs to no vocabulary.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::problem::Problem;
use crate::call::TrunkReport;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_health)).routes(routes!(get_ready))
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such address here")
}

pub(super) async fn not_allowed() -> Problem {
    let detail = "this address does not take that method; the header Allow lists those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

/// Does it live?
///
/// The process answers. For a supervisor that starts it anew when it does not.
#[utoipa::path(
    get,
    path = "/health",
    tag = "box",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain", example = "ok")),
)]
async fn get_health() -> &'static str {
    "ok\n"
}

/// Whether it takes calls.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "ready": true, "trunks": [{ "name": "lan", "state": "static" }], "store_healthy": true }))]
struct Ready {
    /// False while it stops.
    ready: bool,
    trunks: Vec<TrunkReport>,
    /// False while the disk refuses what is to be written.
    store_healthy: bool,
}

/// Does it take calls?
///
/// For a load balancer, and for whoever waits until it has started.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "box",
    responses(
        (status = 200, description = "It does", body = Ready),
        (status = 503, description = "It stops", body = Ready),
    ),
)]
async fn get_ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let report = app.gateway.report().await;
    let (status, ready) =
        if app.is_ready() { (StatusCode::OK, true) } else { (StatusCode::SERVICE_UNAVAILABLE, false) };
    (status, Json(Ready { ready, trunks: report.trunks, store_healthy: report.store_healthy }))
}
