//! `/v1/voices` and `/v1/speech`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::{Speak, Spoken, Voice};
use crate::http::App;
use crate::http::ask::{Body, Path};
use crate::http::auth::Who;
use crate::http::idempotency::{Again, idempotent};
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_voices))
        .routes(routes!(get_voice_sample))
        .routes(idempotent(routes!(speak)))
}

/// The voices of the box, all of them.
#[derive(Serialize, utoipa::ToSchema)]
struct Voices {
    /// The default one first.
    items: Vec<Voice>,
    /// Always `null`: they are few.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List voices
///
/// Those that agents and `POST /v1/speech` may have: the operator's configuration names them.
#[utoipa::path(
    get,
    path = "/voices",
    tag = "speech",
    security(("key" = ["agents:read"])),
    responses((status = 200, description = "All voices", body = Voices)),
)]
async fn list_voices(State(app): State<App>, Who(who): Who) -> Result<Json<Voices>, Problem> {
    Ok(Json(Voices { items: app.gateway.voices(&who)?, next_cursor: None }))
}

/// Hear a voice
///
/// A sentence spoken by it, as a WAV file.
#[utoipa::path(
    get,
    path = "/voices/{id}/sample",
    tag = "speech",
    security(("key" = ["agents:read"])),
    params(("id" = String, Path, description = "Of the voice", example = "piper-en_US-joe-medium")),
    responses(
        (status = 200, description = "The sound", content_type = "audio/wav", body = Vec<u8>),
        (status = 502, description = "`speech_failed`: the voice failed"),
    ),
)]
async fn get_voice_sample(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(file(app.gateway.voice_sample(&who, &id).await?))
}

/// Speak a text
///
/// Text to speech with one of the box's voices, as a file. Calls go before: where the voices are busy with them it answers 503.
/// The characters count as usage.
#[utoipa::path(
    post,
    path = "/speech",
    tag = "speech",
    security(("key" = ["speech:write"])),
    request_body = Speak,
    responses(
        (status = 200, description = "The sound", content(
            (Vec<u8> = "audio/wav"),
            (Vec<u8> = "audio/mpeg"),
            (Vec<u8> = "audio/ogg"),
        )),
        (status = 402, description = "`insufficient_credits`: the account's credits are used up"),
        (status = 502, description = "`speech_failed`: the voice failed"),
    ),
)]
async fn speak(
    State(app): State<App>,
    Who(who): Who,
    again: Option<Extension<Again>>,
    Body(request): Body<Speak>,
) -> Result<Response, Problem> {
    Ok(file(app.gateway.speak(&who, request, again.is_some()).await?))
}

fn file(sound: Spoken) -> Response {
    ([(CONTENT_TYPE, sound.content_type)], sound.bytes).into_response()
}
