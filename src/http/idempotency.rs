//! `Idempotency-Key`: a POST that costs or rings is carried out once, and asked again gets the same answer for a day.
//!
//! What succeeded is kept, and what nobody knows the end of (500). What was refused is not: it had no effect, and may be asked again with
//! the same key when the reason is gone.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, ResponseBuilder};
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::App;
use super::ask::whole;
use super::problem::Problem;
use crate::domain::Principal;
use crate::gateway::Once;
use crate::store::KeptAnswer;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Of answers that are kept. Only sound is longer, and of that none is kept.
const LONGEST_ANSWER: usize = 256 << 10;

/// A request that was carried out before, whose answer is too long to be kept: it is to be made anew, and costs nothing.
#[derive(Clone, Copy)]
pub(crate) struct Again;

/// Makes the POST of an address heed the header, and says so in its description.
pub(crate) fn idempotent(mut routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    for (_, item) in &mut routes.1.paths {
        let Some(post) = &mut item.post else { continue };
        post.parameters.get_or_insert_default().push(RefOr::T(parameter()));
        let conflict = "`idempotency_conflict`: the Idempotency-Key was used for another request; \
                        `idempotency_in_progress`: the same request is being carried out; \
                        `idempotency_interrupted`: it was cut off when the gateway ended";
        match post.responses.responses.get_mut("409") {
            Some(RefOr::T(answer)) => answer.description = format!("{}; {conflict}", answer.description),
            _ => {
                let answer = ResponseBuilder::new().description(conflict).build();
                post.responses.responses.insert("409".into(), answer.into());
            }
        }
    }
    routes.layer(from_fn(once))
}

fn parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]+$"))
        .examples(["5f2c9e0e-8c0a-4c3e-9a51-1b1f6f1f2a10"]);
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Chosen by the client, new for each thing that it wants done. The same request with the same key is carried out once: asked \
             again within a day it gets the same answer, with `Idempotency-Replayed: true`. Sound is made anew, and costs nothing.",
        ))
        .schema(Some(schema))
        .build()
}

/// Behind the key, before the handler.
pub(super) async fn once(request: Request, next: Next) -> Result<Response, Problem> {
    let given = request.headers().get(HEADER).filter(|_| request.method() == Method::POST).cloned();
    let Some(given) = given else { return Ok(next.run(request).await) };
    let parts = (request.extensions().get::<Arc<Principal>>(), request.extensions().get::<App>());
    let (Some(who), Some(app)) = parts else { return Ok(next.run(request).await) };
    let (who, app) = (who.clone(), app.clone());
    let key = given.to_str().unwrap_or_default().to_owned();

    let (head, body) = request.into_parts();
    let body = whole(Request::from_parts(head.clone(), body)).await?;
    let asked = format!("{} {}\n", head.method, head.uri);
    let fingerprint = Sha256::new().chain_update(asked).chain_update(&body).finalize();
    let fingerprint: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    let begun = app.gateway.begin_once(&who, &key, fingerprint).await?;
    let mut request = Request::from_parts(head, Body::from(body));
    if let Once::Answered(answer) = begun {
        if !answer.content_type.as_deref().is_some_and(is_sound) {
            return Ok(replayed(answer));
        }
        request.extensions_mut().insert(Again);
        let mut response = next.run(request).await;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        return Ok(response);
    }
    // In a task of its own: a client that goes away meanwhile does not leave it half done.
    let done = tokio::spawn(async move {
        let (response, answer) = taken_apart(next.run(request).await).await;
        app.gateway.finish_once(&who, &key, answer).await;
        response
    });
    done.await.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "this failed; see the log")
    })
}

/// The answer, and what of it is kept.
async fn taken_apart(response: Response) -> (Response, Option<KeptAnswer>) {
    let status = response.status();
    if !(status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR) {
        return (response, None);
    }
    let (head, body) = response.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, content_type, location) = (status.as_u16(), header(CONTENT_TYPE), header(LOCATION));
    if content_type.as_deref().is_some_and(is_sound) {
        let answer = KeptAnswer { status, content_type, location, body: Vec::new() };
        return (Response::from_parts(head, body), Some(answer));
    }
    let Ok(body) = to_bytes(body, LONGEST_ANSWER).await else {
        let problem =
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the answer broke off");
        return (problem.into_response(), None);
    };
    let answer = KeptAnswer { status, content_type, location, body: body.to_vec() };
    (Response::from_parts(head, Body::from(body)), Some(answer))
}

fn is_sound(content_type: &str) -> bool {
    content_type.starts_with("audio/")
}

fn replayed(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, answer.content_type), (LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
