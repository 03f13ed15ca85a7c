//! Errors as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gateway::{Error, Kind};

/// What went wrong. The answer carries it along, so that a layer may put it into another vocabulary's words.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) field: Option<Cow<'static, str>>,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

/// An error (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem, example = json!({
    "status": 422, "code": "invalid", "field": "to", "detail": "is no E.164 number, as in +14155550123",
    "request_id": "req_0123456789abcdef",
}))]
pub(crate) struct ProblemBody<'a> {
    /// The status of the answer.
    status: u16,
    /// What kind of error it is: stable, for programs.
    code: &'a str,
    /// The field or parameter that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// What would be right: for people, and free to change.
    detail: &'a str,
    /// As in the header `X-Request-Id`; the log has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
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

    pub(crate) fn field(field: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        Self { field: Some(field.into()), ..problem }
    }

    /// The body, with the id of the request where that is known.
    pub(crate) fn body(&self, request_id: Option<&str>) -> String {
        let field = self.field.as_deref();
        let (status, detail) = (self.status.as_u16(), self.detail.as_str());
        let body = ProblemBody { status, code: self.code, field, detail, request_id };
        serde_json::to_string(&body).unwrap_or_default()
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
        let (field, retry_after) = (error.field.map(Cow::Borrowed), error.retry_after);
        Self { field, retry_after, ..Self::new(status, error.code, error.public) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/problem+json")], self.body(None)).into_response();
        let later = self.retry_after.or((self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(LATER));
        if let Some(later) = later {
            response.headers_mut().insert(RETRY_AFTER, later.as_secs().max(1).into());
        }
        response.extensions_mut().insert(self);
        response
    }
}
