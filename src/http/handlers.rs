//! Requests in, verbs of the gateway, answers out.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::App;
use crate::domain::{Call, CallId, Message, MessageId};
use crate::gateway::{Error, Kind, Messages, PlaceCall, Report, SendText, TransferCall};

/// `application/problem+json` (RFC 9457).
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    field: Option<&'static str>,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, field: None, detail: detail.into() }
    }

    pub(super) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code) = match error.kind {
            Kind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
            Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "no_capacity"),
            Kind::Unavailable => (StatusCode::BAD_GATEWAY, "unavailable"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        };
        Self { field: error.field, ..Self::new(status, code, error.public) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "status": self.status.as_u16(), "code": self.code, "detail": self.detail });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("10"));
        }
        response
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such address here")
}

pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let report = app.gateway.report().await;
    let (status, ready) =
        if app.is_ready() { (StatusCode::OK, true) } else { (StatusCode::SERVICE_UNAVAILABLE, false) };
    (status, Json(json!({ "ready": ready, "trunks": report.trunks, "store_healthy": report.store_healthy })))
}

pub(super) async fn stats(State(app): State<App>) -> Json<Report> {
    Json(app.gateway.report().await)
}

pub(super) async fn place(
    State(app): State<App>,
    body: Result<Json<PlaceCall>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(request) =
        body.map_err(|rejection| Problem::new(rejection.status(), "invalid_json", rejection.body_text()))?;
    let id = app.gateway.place(request).await?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "status": "dialing" }))))
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
}

pub(super) async fn calls(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "calls": app.gateway.calls(checked(page.limit)?).await? })))
}

/// How many a list may bring at once.
fn checked(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(50);
    if (1..=200).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit is {limit}, and must be a whole number from 1 to 200");
    Err(Problem { field: Some("limit"), ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) })
}

pub(super) async fn send(
    State(app): State<App>,
    body: Result<Json<SendText>, JsonRejection>,
) -> Result<(StatusCode, Json<Message>), Problem> {
    let Json(request) =
        body.map_err(|rejection| Problem::new(rejection.status(), "invalid_json", rejection.body_text()))?;
    Ok((StatusCode::CREATED, Json(app.gateway.send(request).await?)))
}

#[derive(Deserialize)]
pub(super) struct Inbox {
    number: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn messages(
    State(app): State<App>,
    Query(inbox): Query<Inbox>,
) -> Result<Json<Messages>, Problem> {
    let (number, cursor) = (inbox.number.as_deref(), inbox.cursor.as_deref());
    Ok(Json(app.gateway.messages(number, cursor, checked(inbox.limit)?).await?))
}

pub(super) async fn message(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Message>, Problem> {
    let id: MessageId =
        id.parse().map_err(|error: String| Problem::new(StatusCode::NOT_FOUND, "not_found", error))?;
    Ok(Json(app.gateway.message(id).await?))
}

fn call_id(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|error: String| Problem::new(StatusCode::NOT_FOUND, "not_found", error))
}

pub(super) async fn call(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Call>, Problem> {
    Ok(Json(app.gateway.call(call_id(&id)?).await?))
}

pub(super) async fn hang_up(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    app.gateway.hang_up(call_id(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn transfer(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Result<Json<TransferCall>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(request) =
        body.map_err(|rejection| Problem::new(rejection.status(), "invalid_json", rejection.body_text()))?;
    app.gateway.transfer(call_id(&id)?, request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Everything that happens from now on. A listener that lags too far is told how much it missed.
pub(super) async fn events(
    State(app): State<App>,
) -> Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>> {
    let mut events = app.gateway.subscribe();
    let stop = app.stop.clone();
    let stream = async_stream::stream! {
        loop {
            let received = tokio::select! {
                received = events.recv() => received,
                () = stop.cancelled() => break,
            };
            let event = axum::response::sse::Event::default();
            yield Ok(match received {
                Ok(happened) => {
                    let data = serde_json::to_string(&happened).unwrap_or_default();
                    event.event(happened.kind.name()).id(format!("{}-{}", happened.subject.as_str(), happened.seq)).data(data)
                }
                Err(RecvError::Lagged(missed)) => event.event("missed").data(json!({ "type": "missed", "events": missed }).to_string()),
                Err(RecvError::Closed) => break,
            });
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
