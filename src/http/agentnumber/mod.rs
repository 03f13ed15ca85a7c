//! `/agentnumber/api/v0`: AgentNumber's paths over our verbs. The words are in `crate::dialect::agentnumber`.

mod calls;
mod credits;
mod numbers;
mod sms;
mod webhooks;

use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use super::{App, ask, auth, handlers, idempotency};
use crate::dialect::agentnumber::refusal;
use crate::gateway::{Error, Kind};
use crate::store::{Cursor, Page};

/// How far a list may be entered at once. Programs page from its beginning; nobody reads so far.
const MAX_OFFSET: usize = 10_000;
/// Things read at once on the way to an offset.
const STRIDE: usize = 200;

pub(super) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/numbers", post(numbers::provision).get(numbers::list).layer(from_fn(idempotency::once)))
        .route("/numbers/{id}", get(numbers::get).patch(numbers::change).delete(numbers::release))
        .route("/calls", post(calls::place).get(calls::list).layer(from_fn(idempotency::once)))
        .route("/calls/{id}", get(calls::get))
        .route("/calls/{id}/transcript", get(calls::transcript))
        .route("/calls/{id}/recording", get(calls::recording))
        .route("/sms", post(sms::send).get(sms::list).layer(from_fn(idempotency::once)))
        .route("/sms/{id}", get(sms::get))
        .route("/credits/balance", get(credits::show))
        .route("/credits/purchase", post(credits::purchase).layer(from_fn(idempotency::once)))
        .route("/webhooks", post(webhooks::register).get(webhooks::list))
        .route("/webhooks/{id}", patch(webhooks::change).delete(webhooks::delete))
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::not_allowed)
        .layer(from_fn_with_state(app.clone(), auth::require_key))
        .layer(map_response(in_their_words))
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

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = ask::whole(request).await?;
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

/// A number that is nobody's, or another account's: the service says that there is none, where we name the field.
fn no_such_number(error: Error) -> Error {
    match error.field {
        Some("from") => Error { field: None, ..Error::new(Kind::NotFound, error.public) },
        _ => error,
    }
}

/// A field without which nothing can be done.
fn needed(field: &'static str, value: Option<String>, what: &str) -> Result<String, Problem> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Problem::field(field, format!("is missing; it must be {what}")))
}

/// What a list does with a thing.
enum Look {
    Show,
    Pass,
    /// The list ends before it.
    Stop,
}

/// The `limit` things behind the first `offset` that are shown, and whether there are more.
async fn part<T, F: Future<Output = Result<Page<T>, Error>>>(
    offset: usize,
    limit: usize,
    look: impl Fn(&T) -> Look,
    page: impl Fn(Option<Cursor>, usize) -> F,
) -> Result<(Vec<T>, bool), Problem> {
    if offset > MAX_OFFSET {
        return Err(Problem::field(
            "offset",
            format!("is {offset}; at most {MAX_OFFSET} things can be passed over"),
        ));
    }
    let (mut items, mut cursor) = (Vec::new(), None);
    let mut to_skip = offset;
    loop {
        let wanted = (to_skip + limit + 1 - items.len()).min(STRIDE);
        let Page { items: found, next } = page(cursor, wanted).await?;
        for item in found {
            match look(&item) {
                Look::Show => {}
                Look::Pass => continue,
                Look::Stop => return Ok((items, false)),
            }
            match to_skip {
                0 if items.len() == limit => return Ok((items, true)),
                0 => items.push(item),
                _ => to_skip -= 1,
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok((items, false)),
        }
    }
}
