//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::gateway::{Error, Kind};

/// `application/problem+json` (RFC 9457).
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    field: Option<&'static str>,
    detail: String,
    retry_after: Option<Duration>,
}

/// The least that 503 asks to wait.
const LATER: Duration = Duration::from_secs(10);

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, field: None, detail: detail.into(), retry_after: None }
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Unpaid => StatusCode::PAYMENT_REQUIRED,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Unavailable => StatusCode::BAD_GATEWAY,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let (field, retry_after) = (error.field, error.retry_after);
        Self { field, retry_after, ..Self::new(status, error.code, error.public) }
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
        let later = self.retry_after.or((self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(LATER));
        if let Some(later) = later {
            response.headers_mut().insert(RETRY_AFTER, later.as_secs().max(1).into());
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Problem::new(rejection.status(), "invalid_json", rejection.body_text())
    }
}

/// How many a list may bring at once.
pub(crate) fn checked(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(50);
    if (1..=200).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit is {limit}, and must be a whole number from 1 to 200");
    Err(Problem { field: Some("limit"), ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) })
}
