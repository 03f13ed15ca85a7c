//! Who asks: the key becomes a [`Principal`]. What it may is asked by the verbs (`Principal::require`), so that it is the same
//! in every vocabulary.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::problem::Problem;
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

/// Lets through who shows one of our keys.
pub(super) async fn require_key(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(given) = bearer(request.headers()) else {
        return Err(Problem::unauthorized(
            "send `Authorization: Bearer KEY`; `offhook keys create` makes a key, and the first lies in the data folder, in admin.key",
        ));
    };
    let Some(who) = app.gateway.authenticate(given) else {
        return Err(Problem::unauthorized("the key is none of this box's, or it was revoked"));
    };
    request.extensions_mut().insert(who);
    request.extensions_mut().insert(app);
    Ok(next.run(request).await)
}

/// The name of the scheme is the same in capitals and small letters (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
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
}
