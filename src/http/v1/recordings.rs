//! What was said in a call: `/v1/calls/{id}/transcript`, `/v1/calls/{id}/recording`, and links to recordings.

use std::io;
use std::ops::Range;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HOST, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::CallId;
use crate::gateway::{Pieces, Sound, SoundFormat, Transcript, WantLink};
use crate::http::App;
use crate::http::ask::{Body, Path, Query};
use crate::http::auth::Who;
use crate::http::problem::Problem;

/// Of a recording, read at once.
const PIECE: usize = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_transcript))
        .routes(routes!(get_recording))
        .routes(routes!(link_recording))
        .routes(routes!(pause_recording))
        .routes(routes!(resume_recording))
}

/// What needs no key.
pub(in crate::http) fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_linked_recording))
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum TextFormat {
    Json,
    Text,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Shape {
    /// Absent: as `Accept` asks, or JSON.
    #[param(inline, value_type = Option<TextFormat>)]
    format: Option<TextFormat>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Choice {
    /// As in `recordings` of the call; 0 is the call's own.
    #[param(value_type = Option<u32>, default = 0)]
    part: Option<u32>,
    /// Absent: WAV.
    #[param(inline, value_type = Option<SoundFormat>)]
    format: Option<SoundFormat>,
}

/// A way to a recording that needs no key.
#[derive(Serialize, utoipa::ToSchema)]
struct LinkView {
    /// Give it only to whom the recording is to be given.
    #[schema(example = "http://127.0.0.1:8080/v1/recordings/call_0123456789abcdef.0.wav.1767225600.5f…")]
    url: String,
    expires_at: DateTime<Utc>,
}

/// Get a transcript
///
/// What was said so far, in order, with the times from the answer on. Of the agent it holds what the other side's ear got: a stretch that
/// was interrupted ends where the sound ended. As lines of text with `format=text` or `Accept: text/plain`.
#[utoipa::path(
    get,
    path = "/calls/{id}/transcript",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call"), Shape),
    responses((status = 200, description = "What was said", content(
        (Transcript = "application/json"),
        (String = "text/plain", example = "[00:00] Agent: Hello, how can I help you?\n"),
    ))),
)]
async fn get_transcript(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Query(shape): Query<Shape>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let as_text = shape.format.map_or(accept.starts_with("text/plain"), |format| format == TextFormat::Text);
    let transcript = app.gateway.transcript(&who, id).await?;
    Ok(if as_text { transcript.text().into_response() } else { Json(transcript).into_response() })
}

/// Get a recording
///
/// A stereo WAV, the other side left, we right, there when the call is over; parts of it by `Range`. Or, with `format=mp3` or
/// `format=opus`, an MP3 or Opus in Ogg, made while it is sent and only as a whole.
#[utoipa::path(
    get,
    path = "/calls/{id}/recording",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(
        ("id" = CallId, Path, description = "The call"),
        Choice,
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The sound", content(
            (Vec<u8> = "audio/wav"),
            (Vec<u8> = "audio/mpeg"),
            (Vec<u8> = "audio/ogg"),
        )),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "audio/wav"),
        (status = 404, description = "`not_found`: there is no such call; `no_recording`: it was not recorded, or it lasts"),
        (status = 416, description = "`range_not_satisfiable`: the recording is shorter"),
    ),
)]
async fn get_recording(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sound = app.gateway.recording(&who, id, choice.part.unwrap_or_default()).await?;
    answer(sound, choice.format.unwrap_or_default(), &headers).await
}

/// Make a link to a recording
///
/// A URL that needs no key, for a browser or a third party, and ends by itself.
#[utoipa::path(
    post,
    path = "/calls/{id}/recording/url",
    tag = "calls",
    security(("key" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call")),
    request_body = WantLink,
    responses(
        (status = 201, description = "The link", body = LinkView),
        (status = 404, description = "`not_found`: there is no such call; `no_recording`: it was not recorded, or it lasts"),
    ),
)]
async fn link_recording(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    headers: HeaderMap,
    Body(want): Body<WantLink>,
) -> Result<(StatusCode, Json<LinkView>), Problem> {
    let link = app.gateway.link(&who, id, want).await?;
    let url = format!("{}/v1/recordings/{}", app.base(&headers), link.token);
    Ok((StatusCode::CREATED, Json(LinkView { url, expires_at: link.expires_at })))
}

/// Pause a recording
///
/// From here on the recording of the call holds silence, on both sides, until it is resumed: for what must not be kept. It stays as long as the
/// call. Pausing what is paused changes nothing.
#[utoipa::path(
    post,
    path = "/calls/{id}/recording/pause",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "Nothing is recorded from here on; `call.recording.paused` tells the moment"),
        (status = 409, description = "`call_over`, `call_not_up`; `not_recorded`: there is no recording to be paused"),
    ),
)]
async fn pause_recording(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<StatusCode, Problem> {
    app.gateway.record(&who, id, false).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Resume a recording
///
/// The recording of the call goes on, at its place in time.
#[utoipa::path(
    post,
    path = "/calls/{id}/recording/resume",
    tag = "calls",
    security(("key" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "It goes on; `call.recording.resumed` tells the moment"),
        (status = 409, description = "`call_over`, `call_not_up`; `not_recorded`: there is no recording to go on"),
    ),
)]
async fn resume_recording(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
) -> Result<StatusCode, Problem> {
    app.gateway.record(&who, id, true).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Hear a linked recording
///
/// What `POST /v1/calls/{id}/recording/url` leads to. Needs no key.
#[utoipa::path(
    get,
    path = "/v1/recordings/{token}",
    tag = "calls",
    params(
        ("token" = String, Path, description = "Of the link"),
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The sound", content(
            (Vec<u8> = "audio/wav"),
            (Vec<u8> = "audio/mpeg"),
            (Vec<u8> = "audio/ogg"),
        )),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "audio/wav"),
        (status = 404, description = "`not_found`: there is no such link, or its time is over"),
        (status = 416, description = "`range_not_satisfiable`: the recording is shorter"),
    ),
)]
async fn get_linked_recording(
    State(app): State<App>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (sound, format) = app.gateway.linked(&token).await?;
    answer(sound, format, &headers).await
}

impl App {
    /// Where the client has reached us, as it says itself; nothing where it does not, and the address is then a path.
    pub(in crate::http) fn base(&self, headers: &HeaderMap) -> String {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host.map(|host| format!("{scheme}://{host}")).unwrap_or_default()
    }
}

async fn answer(sound: Sound, format: SoundFormat, headers: &HeaderMap) -> Result<Response, Problem> {
    let mut response = match format {
        SoundFormat::Wav => wav(sound, headers)?,
        SoundFormat::Mp3 | SoundFormat::Opus => {
            let pieces = spawn_blocking(move || sound.coded(format)).await.map_err(io::Error::other);
            let pieces = pieces.and_then(|made| made).map_err(|error| unreadable(format, &error))?;
            let mut response = Bytes::from_stream(coded(pieces)).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    Ok(response)
}

fn wav(sound: Sound, headers: &HeaderMap) -> Result<Response, Problem> {
    let length = sound.length();
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let part = asked.and_then(|asked| part(asked, length));
    let (status, range) = match part {
        None => (StatusCode::OK, 0..length),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => {
            let detail = format!("the recording has {length} bytes");
            return Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail));
        }
    };
    let body = Bytes::from_stream(bytes(sound, range.clone()));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SoundFormat::Wav.content_type()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let told = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        if let Ok(told) = HeaderValue::from_str(&told) {
            headers.insert(CONTENT_RANGE, told);
        }
    }
    Ok(response)
}

/// The one part that is asked for (RFC 9110 §14.2). `None`: the header is none that we follow, and the whole is sent; `Some(None)`: there is
/// no such part.
fn part(asked: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = asked.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (first, "") => first.parse().ok()?..length,
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some((range.start < range.end).then_some(range))
}

fn bytes(sound: Sound, range: Range<u64>) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let sound = std::sync::Arc::new(sound);
    async_stream::try_stream! {
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
            let reader = sound.clone();
            let piece = spawn_blocking(move || reader.read(at, length)).await.map_err(io::Error::other)??;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            yield piece;
        }
    }
}

fn coded(pieces: Pieces) -> impl Stream<Item = io::Result<Vec<u8>>> {
    async_stream::try_stream! {
        let mut pieces = pieces;
        loop {
            let (back, piece) = spawn_blocking(move || {
                let piece = pieces.next_piece();
                (pieces, piece)
            })
            .await
            .map_err(io::Error::other)?;
            pieces = back;
            match piece? {
                // A second of Opus makes a page; until then there is nothing to send.
                Some(piece) if piece.is_empty() => {}
                Some(piece) => yield piece,
                None => break,
            }
        }
    }
}

fn unreadable(format: SoundFormat, error: &io::Error) -> Problem {
    tracing::error!(%error, format = format.name(), "a recording cannot be turned into another format");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the recording cannot be read; see the log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_the_rfc_says() {
        for (asked, expected) in [
            ("bytes=0-99", Some(Some(0..100))),
            ("bytes=900-", Some(Some(900..1000))),
            ("bytes=-100", Some(Some(900..1000))),
            ("bytes=-5000", Some(Some(0..1000))),
            ("bytes=990-2000", Some(Some(990..1000))),
            ("bytes=1000-", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=5-4", None),
            ("bytes=0-1,5-6", None),
            ("seconds=0-1", None),
        ] {
            assert_eq!(part(asked, 1000), expected, "{asked}");
        }
    }
}
