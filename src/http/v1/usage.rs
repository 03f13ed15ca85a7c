//! `/v1/usage`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::AccountId;
use crate::gateway::UsageReport;
use crate::http::App;
use crate::http::ask::Query;
use crate::http::auth::Who;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_usage))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UsageOf {
    /// A day, a month or a year of UTC; absent: the present month.
    #[param(example = "2026-11", pattern = r"^\d{4}(-\d{2}){0,2}$")]
    period: Option<String>,
    /// Another account's; for a key with the scope `admin`.
    account_id: Option<AccountId>,
}

/// What was used, and what it cost
///
/// Minutes, messages, tokens, characters and recordings of a period, day by day, at the operator's rates. A call counts on the day on
/// which it ended.
#[utoipa::path(
    get,
    path = "/usage",
    tag = "usage",
    security(("key" = ["usage:read"])),
    params(UsageOf),
    responses(
        (status = 200, description = "The usage", body = UsageReport),
        (status = 404, description = "`not_found`: there is no such account that you may see"),
    ),
)]
async fn get_usage(
    State(app): State<App>,
    Who(who): Who,
    Query(of): Query<UsageOf>,
) -> Result<Json<UsageReport>, Problem> {
    Ok(Json(app.gateway.usage(&who, of.account_id, of.period.as_deref()).await?))
}
