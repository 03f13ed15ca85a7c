//! What a request says, read so that every mistake becomes a [`Problem`] with its field.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::store::Cursor;

/// A body of JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if !(essence == "application/json" || essence.ends_with("+json")) {
            let detail = "send the body as JSON, with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        read_json(&whole(request).await?).map(Body)
    }
}

/// The longest body that is kept, in bytes. Every request carries it.
#[derive(Clone, Copy)]
pub(super) struct Longest(pub(super) usize);

/// What of a body too long is still read, and thrown away: who is cut off while sending sees a broken connection, and never
/// the answer that says why.
const THROWN_AWAY: usize = 16 << 20;

/// The bytes of a body.
pub(super) async fn whole(request: Request) -> Result<Bytes, Problem> {
    let Longest(most) = request.extensions().get().copied().unwrap_or(Longest(0));
    let mut pieces = request.into_body().into_data_stream();
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            let detail = format!("the body was cut off: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail)
        })?;
        length = length.saturating_add(piece.len());
        if length <= most {
            kept.extend_from_slice(&piece);
        } else if length > most.saturating_add(THROWN_AWAY) {
            break;
        }
    }
    if length > most {
        let detail = format!("the body is longer than the {most} bytes that this address takes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(kept.into())
}

/// JSON that is none is 400; JSON that says what cannot be is 422, with the field.
pub(super) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let detail = inner.to_string();
            match path.as_str() {
                "." => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail),
                _ => Problem::field(path, detail),
            }
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is no JSON: {inner}"))
        }
    });
    let end = |error: serde_json::Error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is no JSON: {error}"))
    };
    read.and_then(|value| reader.end().map(|()| value).map_err(end))
}

/// The parameters behind the question mark.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            match text.split_once(": ") {
                Some((field, detail)) if !field.contains(' ') => {
                    Problem::field(field.to_owned(), detail.to_owned())
                }
                _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text),
            }
        })
    }
}

/// Ids out of the path. What cannot be one is of nothing that is here: 404.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
            Problem::new(StatusCode::NOT_FOUND, "not_found", text)
        })
    }
}

/// Which part of a list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50, example = 50, value_type = Option<u64>)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
}

/// How many a list brings, where nothing is said.
const USUAL: usize = 50;
/// How many it brings at most.
const MOST: usize = 200;

impl Paging {
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(USUAL);
        if (1..=MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(Problem::field("limit", format!("is {limit}, and must be a whole number from 1 to {MOST}")))
    }

    pub(crate) fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let read = self.cursor.as_deref().map(str::parse).transpose();
        read.map_err(|reason: String| Problem::field("cursor", reason))
    }
}

/// Part of a list, the newest first.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Listing<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins: hand it over as `cursor`. `null` on the last page.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> Listing<T> {
    pub(crate) fn new(items: Vec<T>, next: Option<Cursor>) -> axum::Json<Self> {
        axum::Json(Self { items, next_cursor: next.map(|cursor| cursor.to_string()) })
    }
}

impl<T> From<crate::store::Page<T>> for Listing<T> {
    fn from(page: crate::store::Page<T>) -> Self {
        Self { items: page.items, next_cursor: page.next.map(|cursor| cursor.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[allow(dead_code, reason = "only its reading is looked at")]
        to: Inner,
    }

    #[derive(Deserialize, Debug)]
    struct Inner {
        #[allow(dead_code, reason = "only its reading is looked at")]
        count: u8,
    }

    #[test]
    fn a_mistake_in_a_body_is_told_with_its_field() {
        let told = |text: &str| {
            let problem = read_json::<Order>(text.as_bytes()).unwrap_err();
            (problem.status.as_u16(), problem.code, problem.field.map(std::borrow::Cow::into_owned))
        };
        assert_eq!(told(r#"{"to":{"count":300}}"#), (422, "invalid", Some("to.count".into())));
        assert_eq!(told(r#"{"to":{"count":3},"too":1}"#), (422, "invalid", Some("too".into())));
        assert_eq!(told("{}"), (422, "invalid", None));
        assert_eq!(told("{"), (400, "invalid_json", None));
        assert_eq!(told(r#"{"to":{"count":3}} x"#), (400, "invalid_json", None));
    }
}
