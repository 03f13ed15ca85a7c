//! `/agentnumber/api/v0`: AgentNumber's paths over our verbs. The words are in `crate::dialect::agentnumber`.

mod webhooks;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use super::{App, ask, auth, handlers};
use crate::dialect::agentnumber::refusal;

pub(super) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/webhooks", post(webhooks::register).get(webhooks::list))
        .route("/webhooks/{id}", patch(webhooks::change).delete(webhooks::delete))
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key))
        .layer(axum::middleware::map_response(in_their_words))
}

/// A refusal of ours, wherever it came from, as their programs read it. Headers stay.
async fn in_their_words(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (status, refusal) =
        refusal(problem.status.as_u16(), problem.code, problem.field.as_deref(), &problem.detail);
    let body = serde_json::to_string(&refusal).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, body.into())
}

/// A body of JSON, whatever its `Content-Type` says: the service asks for none. No body is an empty object.
struct Said<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), "body_too_large", rejection.body_text()))?;
        ask::read_json(if bytes.is_empty() { b"{}" } else { &bytes }).map(Said)
    }
}

type Answer = Result<Response, Problem>;

fn created(body: Value) -> Answer {
    Ok((StatusCode::CREATED, axum::Json(body)).into_response())
}

fn ok(body: Value) -> Answer {
    Ok(axum::Json(body).into_response())
}

/// An id out of the path; what cannot be one is of nothing that is here.
fn id<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: String| Problem::new(StatusCode::NOT_FOUND, "not_found", error))
}

/// A field without which nothing can be done.
fn needed(field: &'static str, value: Option<String>, what: &str) -> Result<String, Problem> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Problem::field(field, format!("is missing; it must be {what}")))
}
