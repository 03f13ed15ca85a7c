//! `/openapi.json`: what the handlers say of themselves, and what is the same for all of them.
//!
//! A handler documents its success and the errors that are its own, by status and a sentence that begins with the code in
//! backticks. What every address can answer is added here, and each error gets its body and an example.

mod example;
mod llms;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use utoipa_swagger_ui::{Config, SwaggerUi};

use super::App;
use super::problem::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "offhook",
        description = "AI agents on real phone numbers over your own SIP trunk.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "calls", description = "Calls: placed, listed, steered, ended"),
        (name = "messages", description = "Text messages, and conversations with one contact"),
        (name = "numbers", description = "Telephone numbers of the operator's pool"),
        (name = "agents", description = "Personas that answer and place calls"),
        (name = "events", description = "What happens, as it happens"),
        (name = "webhooks", description = "Who is told of events, and each try of telling"),
        (name = "usage", description = "What was used, and what it cost"),
        (name = "credits", description = "What an account may still spend"),
        (name = "speech", description = "Voices, and text turned into speech"),
        (name = "carriers", description = "For carriers of text messages by HTTP, which prove themselves by a signature"),
        (name = "box", description = "The gateway itself"),
        (name = "admin", description = "Accounts and keys, for the operator"),
    ),
    components(schemas(ProblemBody<'static>)),
)]
struct Frame;

/// The name of the scheme in `security(("key" = ["calls:read"]))`.
const KEY: &str = "key";
const PROBLEM: &str = "application/problem+json";

/// Where handlers' descriptions are hung up.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    let mut api = Frame::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A key of `offhook keys create`. The scopes that an operation lists are those that the key must have; \
             `admin` has them all.",
        ))
        .build();
    api.components.get_or_insert_default().add_security_scheme(KEY, SecurityScheme::Http(bearer));
    api
}

/// The pages that describe the API: `/openapi.json`, `/docs`, `/llms.txt`.
pub(super) fn pages(mut api: utoipa::openapi::OpenApi) -> Router<App> {
    complete(&mut api);
    let mut api = serde_json::to_value(&api).unwrap_or_default();
    example::fill(&mut api);
    let text = llms::text(&api);
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    // Without this the page would have a stranger on the Internet look at the description.
    let config = Config::default().validator_url("none").persist_authorization(true);
    let docs = SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", api).config(config);
    Router::from(docs).layer(map_response(kept_at_home)).route("/llms.txt", get(async move || (plain, text)))
}

/// The page may fetch from here and nowhere else, whatever it holds.
async fn kept_at_home(mut response: Response) -> Response {
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// Completes what the handlers say.
fn complete(api: &mut utoipa::openapi::OpenApi) {
    for item in api.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        methods.into_iter().flatten().for_each(complete_operation);
    }
}

/// What any answer may be, by what the operation takes.
fn complete_operation(operation: &mut Operation) {
    let scopes: Vec<String> = operation.security.iter().flatten().flat_map(scopes).collect();
    let needs_key = operation.security.as_ref().is_some_and(|all| !all.is_empty());
    let takes = |place: ParameterIn| {
        let parameters = operation.parameters.iter().flatten();
        parameters.into_iter().any(|one| matches!(one, RefOr::T(one) if one.parameter_in == place))
    };
    let mut all = Vec::new();
    if needs_key {
        all.push(("401", "`unauthorized`: there is no key, or none of this box's".to_owned()));
        all.push(("429", "`rate_limited`: this key asks too often; `Retry-After` says when again".into()));
    }
    if !scopes.is_empty() {
        all.push(("403", format!("`missing_scope`: the key has not {}", scopes.join(" nor "))));
    }
    if operation.request_body.is_some() {
        all.push(("400", "`invalid_json`: the body is no JSON".into()));
        all.push(("413", "`body_too_large`: the body is longer than this address takes".into()));
        all.push(("415", "`unsupported_media_type`: the body must be `application/json`".into()));
    }
    if operation.request_body.is_some() || takes(ParameterIn::Query) {
        all.push(("422", "`invalid`: `field` names what is wrong, `detail` says what would be right".into()));
    }
    if takes(ParameterIn::Path) {
        all.push(("404", "`not_found`: there is none of this id that is yours".into()));
    }
    all.push(("500", "`internal_error`: a mistake of ours; the log has the request's id".into()));
    all.push(("503", "`store_unavailable` or `no_capacity`: later perhaps; `Retry-After` says when".into()));
    for (status, description) in all {
        let answers = &mut operation.responses.responses;
        answers
            .entry(status.into())
            .or_insert_with(|| ResponseBuilder::new().description(description).build().into());
    }
    for (status, answer) in &mut operation.responses.responses {
        let (RefOr::T(answer), Ok(status)) = (answer, status.parse::<u16>()) else { continue };
        if status >= 400 && answer.content.is_empty() {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .example(Some(example(status, &answer.description)))
                .build();
            answer.content.insert(PROBLEM.into(), content.into());
        }
    }
}

fn scopes(requirement: &utoipa::openapi::SecurityRequirement) -> Vec<String> {
    let value = serde_json::to_value(requirement).unwrap_or_default();
    serde_json::from_value(value[KEY].clone()).unwrap_or_default()
}

/// Of the first code in the description, and what it says of it.
fn example(status: u16, description: &str) -> Value {
    let code = description.split('`').nth(1).unwrap_or("invalid");
    let detail = description.split_once(": ").map_or(description, |(_, detail)| detail);
    json!({ "status": status, "code": code, "detail": detail, "request_id": "req_0123456789abcdef" })
}

#[cfg(test)]
mod tests;
