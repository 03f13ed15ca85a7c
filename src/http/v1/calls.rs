//! `/v1/calls`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use crate::domain::{Call, CallId};
use crate::gateway::{PlaceCall, TransferCall};
use crate::http::App;
use crate::http::problem::{Problem, checked};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/calls", axum::routing::post(place).get(calls))
        .route("/calls/{id}", axum::routing::get(call))
        .route("/calls/{id}/hangup", axum::routing::post(hang_up))
        .route("/calls/{id}/transfer", axum::routing::post(transfer))
}

async fn place(
    State(app): State<App>,
    body: Result<Json<PlaceCall>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(request) = body?;
    let id = app.gateway.place(request).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "status": "dialing" }))))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

async fn calls(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "calls": app.gateway.calls(checked(page.limit)?).await? })))
}

fn call_id(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|error: String| Problem::new(StatusCode::NOT_FOUND, "not_found", error))
}

async fn call(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Call>, Problem> {
    Ok(Json(app.gateway.call(call_id(&id)?).await?))
}

async fn hang_up(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    app.gateway.hang_up(call_id(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn transfer(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Result<Json<TransferCall>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(request) = body?;
    app.gateway.transfer(call_id(&id)?, request).await?;
    Ok(StatusCode::ACCEPTED)
}
