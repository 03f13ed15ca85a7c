//! Our own vocabulary. One file per noun, each with its routes.

mod admin;
mod agents;
mod backup;
mod calls;
mod credits;
mod events;
mod messages;
mod numbers;
mod recordings;
mod speech;
mod supervise;
mod usage;
mod webhooks;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use recordings::open_routes;

use super::App;
use super::auth::Who;
use super::problem::Problem;
use crate::gateway::Report;

/// Everything under `/v1`.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(admin::routes())
        .merge(agents::routes())
        .merge(numbers::routes())
        .merge(backup::routes())
        .merge(calls::routes())
        .merge(supervise::routes())
        .merge(usage::routes())
        .merge(credits::routes())
        .merge(messages::routes())
        .merge(speech::routes())
        .merge(events::routes())
        .merge(recordings::routes())
        .merge(webhooks::routes())
        .routes(routes!(get_stats))
}

/// Counters of the whole box
///
/// Calls that are up, what the SIP stack and the media engine have seen, and how trunks and extensions stand.
#[utoipa::path(
    get,
    path = "/stats",
    tag = "box",
    security(("key" = ["admin"])),
    responses((status = 200, description = "The counters", body = Report)),
)]
async fn get_stats(State(app): State<App>, Who(who): Who) -> Result<Json<Report>, Problem> {
    Ok(Json(app.gateway.report_to(&who).await?))
}
