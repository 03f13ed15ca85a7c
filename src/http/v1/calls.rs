//! `/v1/calls`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{
    AccountId, AgentId, Call, CallId, CallReport, CallUsage, Direction, EndReason, Fault, KeyId, Metadata,
    Money, NumberId, Private, Recording, Status,
};
use crate::gateway::{DryRun, PlaceCall, Press, Say, TransferCall};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;
use crate::store::{CallFilter, Page};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(place_call, list_calls)))
        .routes(routes!(get_call))
        .routes(routes!(get_report))
        .routes(routes!(hang_up_call))
        .routes(idempotent(routes!(transfer_call)))
        .routes(idempotent(routes!(say_in_call)))
        .routes(idempotent(routes!(press_digits)))
}

/// Place a call
///
/// The call is written down, queued, and dialled as soon as the box, the key and their pace allow. `queue: false` refuses it instead
/// where it would have to wait; `dry_run: true` checks everything and places nothing. No call is ever dialled twice.
#[utoipa::path(
    post,
    path = "/calls",
    tag = "calls",
    security(("key" = ["calls:write"])),
    request_body = PlaceCall,
    responses(
        (status = 201, description = "It is queued", body = Call),
        (status = 200, description = "It would be placed: the answer to `dry_run`", body = DryRun),
        (status = 429, description = "`key_calls_limit`, `key_rate_limit`, `box_calls_limit`, `box_rate_limit`: it would have to wait and may not (`queue: false`); `queue_full`: too many of the key's calls wait already"),
        (status = 502, description = "`unavailable`: no server or phone that could be called is there now"),
        (status = 503, description = "`no_capacity`, `queue_full`, `stopping`, `store_unavailable`: later perhaps; `Retry-After` says when"),
    ),
)]
async fn place_call(
    State(app): State<App>,
    Who(who): Who,
    Body(request): Body<PlaceCall>,
) -> Result<Response, Problem> {
    Ok(match request.dry_run {
        true => Json(app.gateway.rehearse(&who, request).await?).into_response(),
        false => (StatusCode::CREATED, Json(app.gateway.place(&who, request).await?)).into_response(),
    })
}

/// Which calls.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// In this state.
    #[param(inline, value_type = Option<Status>)]
    status: Option<Status>,
    /// That came in, or that went out.
    #[param(inline, value_type = Option<Direction>)]
    direction: Option<Direction>,
    /// With this agent.
    #[param(inline, value_type = Option<AgentId>)]
    agent_id: Option<AgentId>,
    /// To or from this number of ours.
    #[param(inline, value_type = Option<NumberId>)]
    number_id: Option<NumberId>,
    /// With this other side, as it stands in the call.
    #[param(value_type = Option<String>, example = "+14155550123")]
    contact: Option<Private<String>>,
}

/// A call as lists show it: without its words and turns, which `GET /v1/calls/{id}` has.
#[derive(Serialize, utoipa::ToSchema)]
struct CallSummary {
    id: CallId,
    account: AccountId,
    /// The number of ours that it came to or went out from.
    number_id: Option<NumberId>,
    agent_id: Option<AgentId>,
    /// The key that it was placed with.
    key_id: Option<KeyId>,
    #[schema(value_type = Object)]
    metadata: Metadata,
    direction: Direction,
    status: Status,
    #[schema(value_type = String, example = "+14155550123")]
    from: Private<String>,
    #[schema(value_type = String, example = "+15550100001")]
    to: Private<String>,
    agent: String,
    trunk: String,
    created_at: DateTime<Utc>,
    dialed_at: Option<DateTime<Utc>>,
    rang_at: Option<DateTime<Utc>>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    duration_ms: u64,
    end_reason: Option<EndReason>,
    fault: Option<Fault>,
    sip_status: Option<u16>,
    #[schema(value_type = Option<String>)]
    transferred_to: Option<Private<String>>,
    recordings: Vec<Recording>,
    usage: CallUsage,
    cost: Option<Money>,
}

impl From<Call> for CallSummary {
    fn from(call: Call) -> Self {
        Self {
            id: call.id,
            account: call.account,
            number_id: call.number_id,
            agent_id: call.agent_id,
            key_id: call.key_id,
            metadata: call.metadata,
            direction: call.direction,
            status: call.status,
            from: call.from,
            to: call.to,
            agent: call.agent,
            trunk: call.trunk,
            created_at: call.created_at,
            dialed_at: call.dialed_at,
            rang_at: call.rang_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            duration_ms: call.duration_ms,
            end_reason: call.end_reason,
            fault: call.fault,
            sip_status: call.sip_status,
            transferred_to: call.transferred_to,
            recordings: call.recordings,
            usage: call.usage,
            cost: call.cost,
        }
    }
}

/// List calls
///
/// The newest first; those that all given filters fit.
#[utoipa::path(
    get,
    path = "/calls",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(Wanted, Paging),
    responses((status = 200, description = "A page of calls", body = Listing<CallSummary>)),
)]
async fn list_calls(
    State(app): State<App>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
    Query(page): Query<Paging>,
) -> Result<Json<Listing<CallSummary>>, Problem> {
    let Wanted { status, direction, agent_id: agent, number_id: number, contact } = wanted;
    let filter = CallFilter { status, direction, agent, number, contact };
    let Page { items, next } = app.gateway.calls(&who, filter, page.cursor()?, page.limit()?).await?;
    Ok(Listing::new(items.into_iter().map(CallSummary::from).collect(), next))
}

/// Get a call
///
/// Everything that is known of it: state, times, turns with the time that each stage took, what the line was like, why and through
/// whose fault it ended, what it cost.
#[utoipa::path(
    get,
    path = "/calls/{id}",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call")),
    responses((status = 200, description = "The call", body = Call)),
)]
async fn get_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<Json<Call>, Problem> {
    Ok(Json(app.gateway.call(&who, id).await?))
}

/// Get the report on a call
///
/// What it was about, what the other side wanted and what became of the agent's objective, as the agent's brain writes it down after the
/// call. `status` is `pending` until it is; `call.report.ready` tells when.
#[utoipa::path(
    get,
    path = "/calls/{id}/report",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 200, description = "The report, or that it is still to be written, or why there is none", body = CallReport),
        (status = 404, description = "`not_found`: there is no such call; `no_report`: it lasts, nothing was said in it, its agent's `report` is false, or no brain here can write one"),
    ),
)]
async fn get_report(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<Json<CallReport>, Problem> {
    Ok(Json(app.gateway.call_report(&who, id).await?))
}

/// End a call
///
/// A call that is up is hung up, one that rings is given up, and one that waits in the queue is never dialled.
#[utoipa::path(
    post,
    path = "/calls/{id}/hangup",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "It is ending; `call.ended` tells when it has"),
        (status = 409, description = "`call_over`: the call is over already"),
    ),
)]
async fn hang_up_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<StatusCode, Problem> {
    app.gateway.hang_up(&who, id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Hand a call on
///
/// The other side talks with somebody else from then on. Returns when that has begun; `call.transferred` or `call.transfer_failed`
/// tells what came of it.
#[utoipa::path(
    post,
    path = "/calls/{id}/transfer",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = TransferCall,
    responses(
        (status = 202, description = "It has begun"),
        (status = 409, description = "`call_over`, `call_not_up`, or `conflict`: the call cannot be handed on as it stands"),
        (status = 502, description = "`unavailable`: no server or phone that could be called is there now"),
    ),
)]
async fn transfer_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Body(request): Body<TransferCall>,
) -> Result<StatusCode, Problem> {
    app.gateway.transfer(&who, id, request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Say something in a call
///
/// The agent says it when whoever speaks has finished; up to 8 texts wait. What the other side heard of it stands in the transcript.
#[utoipa::path(
    post,
    path = "/calls/{id}/say",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = Say,
    responses(
        (status = 202, description = "It will be said"),
        (status = 409, description = "`call_over`, `call_not_up`; `agent_away`: the call is being handed on, or two people talk"),
        (status = 429, description = "`too_much_to_say`: 8 texts wait already"),
    ),
)]
async fn say_in_call(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Body(request): Body<Say>,
) -> Result<StatusCode, Problem> {
    app.gateway.say(&who, id, request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Press keys in a call
///
/// For menus at the other side. They are sent as the trunk's `dtmf` says: as telephone events (RFC 4733), by INFO or as tones.
#[utoipa::path(
    post,
    path = "/calls/{id}/digits",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = Press,
    responses(
        (status = 202, description = "They are being sent"),
        (status = 409, description = "`call_over`, `call_not_up`: nobody hears them"),
    ),
)]
async fn press_digits(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Body(request): Body<Press>,
) -> Result<StatusCode, Problem> {
    app.gateway.press(&who, id, request).await?;
    Ok(StatusCode::ACCEPTED)
}
