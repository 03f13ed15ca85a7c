//! `/metrics`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Who;
use super::problem::Problem;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_metrics))
}

/// How does it do?
///
/// Counters for Prometheus: calls by state and end reason, set-up time, loss and jitter, what each stage of an answer took, webhook
/// backlog, size of the store. No label names a person, a number or an account.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "box",
    security(("key" = ["metrics:read"])),
    responses((
        status = 200,
        description = "The counters",
        body = String,
        content_type = "application/openmetrics-text",
        example = "offhook_calls{state=\"up\"} 2.0",
    )),
)]
async fn get_metrics(State(app): State<App>, Who(who): Who) -> Result<impl IntoResponse, Problem> {
    Ok(([(CONTENT_TYPE, OPENMETRICS)], app.gateway.metrics(&who).await?))
}
