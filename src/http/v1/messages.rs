//! `/v1/messages`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;

use crate::domain::{Message, MessageId};
use crate::gateway::{Messages, SendText};
use crate::http::App;
use crate::http::problem::{Problem, checked};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route("/messages", axum::routing::post(send).get(messages))
        .route("/messages/{id}", axum::routing::get(message))
}

async fn send(
    State(app): State<App>,
    body: Result<Json<SendText>, JsonRejection>,
) -> Result<(StatusCode, Json<Message>), Problem> {
    let Json(request) = body?;
    Ok((StatusCode::CREATED, Json(app.gateway.send(request).await?)))
}

#[derive(Deserialize)]
struct Inbox {
    number: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn messages(State(app): State<App>, Query(inbox): Query<Inbox>) -> Result<Json<Messages>, Problem> {
    let (number, cursor) = (inbox.number.as_deref(), inbox.cursor.as_deref());
    Ok(Json(app.gateway.messages(number, cursor, checked(inbox.limit)?).await?))
}

async fn message(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Message>, Problem> {
    let id: MessageId =
        id.parse().map_err(|error: String| Problem::new(StatusCode::NOT_FOUND, "not_found", error))?;
    Ok(Json(app.gateway.message(id).await?))
}
