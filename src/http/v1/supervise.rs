//! `/v1/calls/{id}/supervise` and `/v1/calls/{id}/instructions`.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::CallId;
use crate::gateway::{Instruct, SuperviseCall};
use crate::http::App;
use crate::http::ask::{Body, Path};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(supervise_call, unsupervise_call)))
        .routes(idempotent(routes!(instruct_agent)))
}

/// Attend a call
///
/// A phone of the house is called, and hears both sides: `listen`, and nobody hears it; `whisper`, and who was put through to the
/// other side hears it too; `barge`, and both do, while an agent who has the call is silent. Without `to` the mode of who attends already is
/// changed. `call.supervision` tells what comes of it. Where listening in wants the consent of those who talk, it is yours to have it.
#[utoipa::path(
    post,
    path = "/calls/{id}/supervise",
    tag = "calls",
    security(("key" = ["calls:read", "calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = SuperviseCall,
    responses(
        (status = 202, description = "They are being called, or attend in that mode"),
        (status = 409, description = "`call_over`, `call_not_up`; `supervised`: somebody attends already; `not_supervised`: nobody does whose mode could be changed; `agent_has_no_ear`: an agent has the call, and a whisper would be heard by nobody (see instructions)"),
        (status = 502, description = "`unavailable`: no phone that could be called is there now"),
        (status = 503, description = "`no_capacity`: there is no line for it"),
    ),
)]
async fn supervise_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Body(request): Body<SuperviseCall>,
) -> Result<StatusCode, Problem> {
    app.gateway.supervise(&who, id, request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Attend a call no more
///
/// Who attends is hung up. The call goes on.
#[utoipa::path(
    delete,
    path = "/calls/{id}/supervise",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "They are being hung up"),
        (status = 409, description = "`call_over`, `call_not_up`; `not_supervised`: nobody attends"),
    ),
)]
async fn unsupervise_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<StatusCode, Problem> {
    app.gateway.unsupervise(&who, id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Tell the agent something
///
/// The other side does not hear it. The agent knows from its next answer on; at most 16 in one call. A brain that is a turn webhook
/// reads no prompt, and so no instructions.
#[utoipa::path(
    post,
    path = "/calls/{id}/instructions",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = Instruct,
    responses(
        (status = 202, description = "It knows"),
        (status = 409, description = "`call_over`, `call_not_up`; `no_agent`: two people talk"),
        (status = 429, description = "`too_many_instructions`: it has been told 16 things already"),
    ),
)]
async fn instruct_agent(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Body(request): Body<Instruct>,
) -> Result<StatusCode, Problem> {
    app.gateway.instruct(&who, id, request).await?;
    Ok(StatusCode::ACCEPTED)
}
