//! `/v1/credits`, and the operator's grants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{AccountId, CreditEntry, CreditKind};
use crate::gateway::{Balance, GrantCredits, PurchaseCredits};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_balance))
        .routes(routes!(list_credit_entries))
        .routes(idempotent(routes!(purchase_credits)))
        .routes(idempotent(routes!(grant_credits)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Of {
    /// Another account's; for a key with the scope `admin`.
    account_id: Option<AccountId>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EntryFilter {
    /// Changes of this kind only.
    kind: Option<CreditKind>,
}

/// What may still be spent
#[utoipa::path(
    get,
    path = "/credits/balance",
    tag = "credits",
    security(("key" = ["usage:read"])),
    params(Of),
    responses(
        (status = 200, description = "The balance", body = Balance),
        (status = 404, description = "`not_found`: there is no such account that you may see"),
    ),
)]
async fn get_balance(
    State(app): State<App>,
    Who(who): Who,
    Query(of): Query<Of>,
) -> Result<Json<Balance>, Problem> {
    Ok(Json(app.gateway.balance(&who, of.account_id).await?))
}

/// List what changed the credits
///
/// Each grant, purchase and charge, with the balance after it. Entries are added, and never changed.
#[utoipa::path(
    get,
    path = "/credits/entries",
    tag = "credits",
    security(("key" = ["usage:read"])),
    params(Paging, EntryFilter, Of),
    responses(
        (status = 200, description = "Entries, the newest first", body = Listing<CreditEntry>),
        (status = 404, description = "`not_found`: there is no such account that you may see"),
    ),
)]
async fn list_credit_entries(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
    Query(filter): Query<EntryFilter>,
    Query(of): Query<Of>,
) -> Result<Json<Listing<CreditEntry>>, Problem> {
    let (limit, cursor) = (paging.limit()?, paging.cursor()?);
    let page = app.gateway.credit_entries(&who, of.account_id, filter.kind, cursor, limit).await?;
    Ok(Json(page.into()))
}

/// Add to one's own credits
///
/// Only where the operator allows it: no money moves here.
#[utoipa::path(
    post,
    path = "/credits/purchase",
    tag = "credits",
    security(("key" = ["credits:write"])),
    request_body = PurchaseCredits,
    responses(
        (status = 201, description = "The entry", body = CreditEntry),
        (status = 403, description = "`purchase_not_allowed`: the operator grants credits; `missing_scope`: the key has not credits:write"),
        (status = 409, description = "`credits_off`: there are no credits on this box"),
    ),
)]
async fn purchase_credits(
    State(app): State<App>,
    Who(who): Who,
    Body(request): Body<PurchaseCredits>,
) -> Result<(StatusCode, Json<CreditEntry>), Problem> {
    Ok((StatusCode::CREATED, Json(app.gateway.purchase(&who, request).await?)))
}

/// Give credits
///
/// To any account, for an operator; a sum that is less than nothing takes some back.
#[utoipa::path(
    post,
    path = "/admin/credits",
    tag = "admin",
    security(("key" = ["admin"])),
    request_body = GrantCredits,
    responses(
        (status = 201, description = "The entry", body = CreditEntry),
        (status = 404, description = "`not_found`: there is no such account"),
    ),
)]
async fn grant_credits(
    State(app): State<App>,
    Who(who): Who,
    Body(request): Body<GrantCredits>,
) -> Result<(StatusCode, Json<CreditEntry>), Problem> {
    let by = who.clone();
    let entry = app.gateway.registry(&who, move |registry| registry.grant(&by, request)).await?;
    Ok((StatusCode::CREATED, Json(entry)))
}
