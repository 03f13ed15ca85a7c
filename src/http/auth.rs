//! Who asks: the key becomes a [`Principal`]. What it may is asked by the verbs (`Principal::require`), so that it is the same
//! in every vocabulary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{App, rate};
use crate::domain::Principal;

/// Whose key came with the request. Only behind [`require_key`].
pub(crate) struct Who(pub(crate) Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let who = parts.extensions.get::<Arc<Principal>>().cloned();
        who.map(Who).ok_or_else(|| Problem::unauthorized("this address is not behind a key"))
    }
}

/// Lets through who shows one of our keys, and not too often.
pub(super) async fn require_key(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(given) = bearer(request.headers()).or_else(|| of_a_stream(&request)) else {
        return Err(Problem::unauthorized(
            "send `Authorization: Bearer KEY`; `offhook keys create` makes a key, and the first lies in the data folder, in admin.key",
        ));
    };
    let Some(who) = app.gateway.authenticate(given) else {
        return Err(Problem::unauthorized("the key is none of this box's, or it was revoked"));
    };
    let standing = who.key.as_ref().and_then(|key| app.rates.take(key, Instant::now()));
    let mut response = match standing.and_then(|standing| standing.wait) {
        Some(wait) => too_often(wait).into_response(),
        None => {
            request.extensions_mut().insert(who);
            request.extensions_mut().insert(app);
            next.run(request).await
        }
    };
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    Ok(response)
}

fn too_often(wait: Duration) -> Problem {
    let detail =
        format!("this key asks too often; the next request is answered in {} s", rate::seconds(wait));
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail);
    Problem { retry_after: Some(Duration::from_secs(rate::seconds(wait))), ..problem }
}

/// The name of the scheme is the same in capitals and small letters (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
}

/// Browsers send no headers of ours with an `EventSource` or a `WebSocket`. Only there, because addresses come to stand in logs of
/// others.
fn of_a_stream(request: &Request) -> Option<&str> {
    let path = request.uri().path();
    let is_stream = request.method() == Method::GET && (path.ends_with("/events") || path.ends_with("/ws"));
    let pairs = request.uri().query().filter(|_| is_stream)?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, key)| (name == "access_token").then_some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stands_behind_the_word_bearer() {
        let given = |text: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(given("Bearer k").as_deref(), Some("k"));
        assert_eq!(given("bearer  k ").as_deref(), Some("k"));
        assert_eq!(given("Basic k"), None);
        assert_eq!(given("Bearer"), None);
    }

    #[test]
    fn a_stream_may_have_its_key_behind_the_question_mark() {
        let given = |method, uri: &str| {
            let mut request = Request::new(axum::body::Body::empty());
            (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().unwrap());
            of_a_stream(&request).map(str::to_owned)
        };
        let events = "/v1/events?agent_id=a&access_token=k";
        assert_eq!(given(Method::GET, events).as_deref(), Some("k"));
        assert_eq!(given(Method::GET, "/v1/calls/call_0/ws?access_token=k").as_deref(), Some("k"));
        assert_eq!(given(Method::GET, "/v1/calls?access_token=k"), None);
        assert_eq!(given(Method::POST, events), None);
    }
}
