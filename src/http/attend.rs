//! What every request gets, whatever it asks: an id, a time that it may take, a line in the log, and an answer even where the
//! handler panics.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::{Instrument, debug, error, info_span};

use super::App;
use super::ask::Longest;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Letters of an id that a client chooses.
const LONGEST_ID: usize = 64;

/// The outermost layer.
pub(super) async fn attend(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = given.filter(|id| is_id(id)).map_or_else(|| new_id(&app), str::to_owned);
    let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_"));
    request.headers_mut().insert(REQUEST_ID, value.clone());
    request.extensions_mut().insert(Longest(app.config.max_body_bytes));
    let span = info_span!("request", id);
    let mut response = answer(&app, request, next).instrument(span).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(problem.body(Some(&id)));
    }
    response.headers_mut().insert(REQUEST_ID, value);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn answer(app: &App, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    // As it is routed: an id tells nobody anything, and what stands behind `?` may be a phone number.
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.unwrap_or_else(|| "(no such address)".to_owned());
    let began = Instant::now();
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(app.config.request_timeout, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            error!(%method, path, "a handler panicked");
            let detail = "a mistake of ours; the log has it under this request's id";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).into_response()
        }
        Err(_) => timed_out(app.config.request_timeout).into_response(),
    };
    let (status, ms) = (response.status().as_u16(), began.elapsed().as_millis());
    debug!(%method, path, status, %ms, "answered");
    response
}

fn timed_out(after: Duration) -> Problem {
    let detail = format!("this took longer than {} s, and was given up", after.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail)
}

/// What may stand in a line of the log.
fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn new_id(app: &App) -> String {
    let number = app.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("req_{:08x}{number:08x}", app.gateway.process() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_nothing_that_a_log_would_read() {
        assert!(is_id("5f2c9e0e-8c0a-4c3e_9.51"));
        for wrong in ["", "a b", "a\"b", "ä", &"x".repeat(65)] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }
}
