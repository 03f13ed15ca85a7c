//! `/v1/numbers`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::call::Available;
use crate::domain::{AgentId, Number, NumberId, NumberStatus};
use crate::gateway::{PatchNumber, ProvisionNumber, Want};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;
use crate::store::NumberFilter;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(list_numbers, provision_number)))
        .routes(routes!(list_available_numbers))
        .routes(routes!(get_number, patch_number, release_number))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// That stand so.
    status: Option<NumberStatus>,
    /// Those that this agent answers.
    agent: Option<AgentId>,
}

/// List numbers
///
/// Those that the account has, and those that it has given back.
#[utoipa::path(
    get,
    path = "/numbers",
    tag = "numbers",
    security(("key" = ["numbers:read"])),
    params(Paging, Filter),
    responses((status = 200, description = "Numbers, the newest first", body = Listing<Number>)),
)]
async fn list_numbers(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
    Query(filter): Query<Filter>,
) -> Result<Json<Listing<Number>>, Problem> {
    let filter = NumberFilter { status: filter.status, agent: filter.agent };
    let page = app.gateway.numbers(&who, filter, paging.cursor()?, paging.limit()?).await?;
    Ok(Listing::new(page.items.into_iter().map(Number::shown).collect(), page.next))
}

/// List numbers that can be had
///
/// Numbers of the operator's pool that nobody has now.
#[utoipa::path(
    get,
    path = "/numbers/available",
    tag = "numbers",
    security(("key" = ["numbers:read"])),
    params(Paging, Want),
    responses((status = 200, description = "Numbers, in the operator's order", body = Listing<Available>)),
)]
async fn list_available_numbers(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
    Query(want): Query<Want>,
) -> Result<Json<Listing<Available>>, Problem> {
    let (cursor, limit) = (paging.cursor()?, paging.limit()?);
    Ok(Json(app.gateway.available_numbers(&who, &want, cursor.as_ref(), limit)?.into()))
}

/// Provision a number
///
/// Takes a free number out of the operator's pool: just the one that is named, or the first that fits. It is called and can
/// call at once; `number.provisioned` tells of it.
#[utoipa::path(
    post,
    path = "/numbers",
    tag = "numbers",
    security(("key" = ["numbers:write"])),
    request_body = ProvisionNumber,
    responses(
        (status = 201, description = "The number", body = Number),
        (status = 409, description = "`no_number_available`: none that fits is free"),
    ),
)]
async fn provision_number(
    State(app): State<App>,
    Who(who): Who,
    Body(request): Body<ProvisionNumber>,
) -> Result<(StatusCode, Json<Number>), Problem> {
    Ok((StatusCode::CREATED, Json(app.gateway.provision_number(&who, request).await?.shown())))
}

/// Look at a number
#[utoipa::path(
    get,
    path = "/numbers/{id}",
    tag = "numbers",
    security(("key" = ["numbers:read"])),
    params(("id" = NumberId, Path, description = "The number")),
    responses((status = 200, description = "The number", body = Number)),
)]
async fn get_number(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<NumberId>,
) -> Result<Json<Number>, Problem> {
    Ok(Json(app.gateway.number(&who, id).await?.shown()))
}

/// Change a number
///
/// Calls that are up keep the settings that they began with. Who answers a number of the configuration is changed there.
#[utoipa::path(
    patch,
    path = "/numbers/{id}",
    tag = "numbers",
    security(("key" = ["numbers:write"])),
    params(("id" = NumberId, Path, description = "The number")),
    request_body = PatchNumber,
    responses(
        (status = 200, description = "The number as it now stands", body = Number),
        (status = 409, description = "`number_released`: it was given back; `configured`: the configuration says who answers it"),
    ),
)]
async fn patch_number(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<NumberId>,
    Body(patch): Body<PatchNumber>,
) -> Result<Json<Number>, Problem> {
    Ok(Json(app.gateway.patch_number(&who, id, patch).await?.shown()))
}

/// Release a number
///
/// Gives it back to the pool. Nobody gets it before its quarantine is over; calls that are up go on. `number.released` tells of
/// it, and the record stays.
#[utoipa::path(
    delete,
    path = "/numbers/{id}",
    tag = "numbers",
    security(("key" = ["numbers:write"])),
    params(("id" = NumberId, Path, description = "The number")),
    responses(
        (status = 200, description = "The number as it now stands", body = Number),
        (status = 409, description = "`number_released`: it was given back before; `configured`: the configuration gives it to an agent"),
    ),
)]
async fn release_number(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<NumberId>,
) -> Result<Json<Number>, Problem> {
    Ok(Json(app.gateway.release_number(&who, id).await?.shown()))
}
