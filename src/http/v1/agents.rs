//! `/v1/agents`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{Agent, AgentId, Number, NumberId};
use crate::gateway::{NewAgent, PatchAgent};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(list_agents, create_agent)))
        .routes(routes!(get_agent, patch_agent, delete_agent))
        .routes(routes!(attach_number))
        .routes(routes!(detach_number))
}

/// A number that an agent is to answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "number": "num_0123456789abcdef" }))]
struct Attach {
    /// By its id, or in E.164.
    number: String,
}

/// List agents
#[utoipa::path(
    get,
    path = "/agents",
    tag = "agents",
    security(("key" = ["agents:read"])),
    params(Paging),
    responses((status = 200, description = "Agents, the newest first", body = Listing<Agent>)),
)]
async fn list_agents(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<Agent>>, Problem> {
    Ok(Json(app.gateway.agents(&who, paging.cursor()?, paging.limit()?).await?.into()))
}

/// Make an agent
///
/// What its settings leave out the account says, then the configuration.
#[utoipa::path(
    post,
    path = "/agents",
    tag = "agents",
    security(("key" = ["agents:write"])),
    request_body = NewAgent,
    responses(
        (status = 201, description = "The agent", body = Agent),
        (status = 409, description = "`name_taken`: another agent has this name; `too_many_agents`: the account has as many as it may"),
    ),
)]
async fn create_agent(
    State(app): State<App>,
    Who(who): Who,
    Body(new): Body<NewAgent>,
) -> Result<(StatusCode, Json<Agent>), Problem> {
    Ok((StatusCode::CREATED, Json(app.gateway.create_agent(&who, new).await?)))
}

/// Look at an agent
#[utoipa::path(
    get,
    path = "/agents/{id}",
    tag = "agents",
    security(("key" = ["agents:read"])),
    params(("id" = AgentId, Path, description = "The agent")),
    responses((status = 200, description = "The agent", body = Agent)),
)]
async fn get_agent(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AgentId>,
) -> Result<Json<Agent>, Problem> {
    Ok(Json(app.gateway.agent(&who, &id)?))
}

/// Change an agent
///
/// Calls that are up keep the settings that they began with.
#[utoipa::path(
    patch,
    path = "/agents/{id}",
    tag = "agents",
    security(("key" = ["agents:write"])),
    params(("id" = AgentId, Path, description = "The agent")),
    request_body = PatchAgent,
    responses(
        (status = 200, description = "The agent as it now stands", body = Agent),
        (status = 409, description = "`name_taken`: another agent has this name; `configured`: it stands in the configuration"),
    ),
)]
async fn patch_agent(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AgentId>,
    Body(patch): Body<PatchAgent>,
) -> Result<Json<Agent>, Problem> {
    Ok(Json(app.gateway.patch_agent(&who, id, patch).await?))
}

/// Delete an agent
#[utoipa::path(
    delete,
    path = "/agents/{id}",
    tag = "agents",
    security(("key" = ["agents:write"])),
    params(("id" = AgentId, Path, description = "The agent")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "`agent_in_use`: it answers numbers; `configured`: it stands in the configuration"),
    ),
)]
async fn delete_agent(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AgentId>,
) -> Result<StatusCode, Problem> {
    app.gateway.delete_agent(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attach a number
///
/// The agent answers it from now on, in the place of whoever did.
#[utoipa::path(
    post,
    path = "/agents/{id}/numbers",
    tag = "agents",
    security(("key" = ["numbers:write"])),
    params(("id" = AgentId, Path, description = "The agent")),
    request_body = Attach,
    responses(
        (status = 200, description = "The number as it now stands", body = Number),
        (status = 409, description = "`configured`: the configuration says who answers it"),
    ),
)]
async fn attach_number(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AgentId>,
    Body(Attach { number }): Body<Attach>,
) -> Result<Json<Number>, Problem> {
    Ok(Json(app.gateway.attach_number(&who, id, &number).await?.shown()))
}

/// Detach a number
///
/// What calls it is answered by the number's own settings, then the account's.
#[utoipa::path(
    delete,
    path = "/agents/{id}/numbers/{number}",
    tag = "agents",
    security(("key" = ["numbers:write"])),
    params(
        ("id" = AgentId, Path, description = "The agent"),
        ("number" = NumberId, Path, description = "One of its numbers"),
    ),
    responses(
        (status = 200, description = "The number as it now stands", body = Number),
        (status = 409, description = "`configured`: the configuration says who answers it"),
    ),
)]
async fn detach_number(
    State(app): State<App>,
    Who(who): Who,
    Path((id, number)): Path<(AgentId, NumberId)>,
) -> Result<Json<Number>, Problem> {
    Ok(Json(app.gateway.detach_number(&who, id, number).await?.shown()))
}
