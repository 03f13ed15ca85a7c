//! `/v1/events` and `/v1/calls/{id}/events`: by server-sent events and by WebSocket.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{AgentId, CallId, Event};
use crate::gateway::{Listener, Told};
use crate::http::App;
use crate::http::ask::{Path, Query};
use crate::http::auth::Who;
use crate::http::problem::Problem;

/// Between signs of life on a quiet stream.
const BEAT: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(stream_events))
        .routes(routes!(stream_events_by_websocket))
        .routes(routes!(stream_call_events))
        .routes(routes!(stream_call_events_by_websocket))
}

/// Where a stream begins.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Since {
    /// After the event of this id, as with the header `Last-Event-ID`.
    #[param(value_type = Option<String>, example = "evt_call_0123456789abcdef_3")]
    after: Option<String>,
}

/// Whose events.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only those that this agent is part of.
    #[param(inline, value_type = Option<AgentId>)]
    agent_id: Option<AgentId>,
}

/// An event as it is told: with its id.
#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// A browser that connects again says in a header what it has got.
fn after(from: Since, headers: &HeaderMap) -> Option<String> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    header.filter(|id| !id.is_empty()).map(str::to_owned).or(from.after)
}

/// Follow the account
///
/// Server-sent events (`text/event-stream`): one JSON object each, named by its `type`, with an `id` by which a client that was cut off
/// goes on (`Last-Event-ID`). Begins with what happens now. Who reads slowly gets everything all the same, later; where events are
/// missing nevertheless, an event `missed` says so. A browser's `EventSource` may give its key as `access_token`.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    security(("key" = ["calls:read"])),
    params(Wanted, Since, ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event")),
    responses((
        status = 200, description = "Events without end", content_type = "text/event-stream", body = String,
        example = "event: call.started\nid: evt_call_0123456789abcdef_3\ndata: {\"id\":\"evt_call_0123456789abcdef_3\",\"call_id\":\"call_0123456789abcdef\",\"type\":\"call.started\"}\n\n",
    )),
)]
async fn stream_events(
    State(app): State<App>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
    Query(from): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listener = app.gateway.listen(&who, wanted.agent_id, after(from, &headers))?;
    Ok(sse(listener, app.stop))
}

/// Follow the account by WebSocket
///
/// As `GET /v1/events`, each event a text message. What the client sends is not read. A browser may give its key as `access_token`.
#[utoipa::path(
    get,
    path = "/events/ws",
    tag = "events",
    security(("key" = ["calls:read"])),
    params(Wanted, Since),
    responses(
        (status = 101, description = "Events follow as text messages"),
        (status = 426, description = "`upgrade_required`: this address speaks WebSocket alone"),
    ),
)]
async fn stream_events_by_websocket(
    State(app): State<App>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
    Query(from): Query<Since>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let listener = app.gateway.listen(&who, wanted.agent_id, from.after)?;
    upgraded(socket, listener, app.stop)
}

/// Follow a call
///
/// Its events from the first one on: states, what is being heard and said, keys, timings of turns. The stream ends when the call is
/// over and all was told. Otherwise as `GET /v1/events`.
#[utoipa::path(
    get,
    path = "/calls/{id}/events",
    tag = "events",
    security(("key" = ["calls:read"])),
    params(
        ("id" = CallId, Path, description = "The call"),
        Since,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event"),
    ),
    responses((
        status = 200, description = "Events until the call is over", content_type = "text/event-stream", body = String,
        example = "event: call.started\nid: evt_call_0123456789abcdef_3\ndata: {\"id\":\"evt_call_0123456789abcdef_3\",\"call_id\":\"call_0123456789abcdef\",\"type\":\"call.started\"}\n\n",
    )),
)]
async fn stream_call_events(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Query(from): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listener = app.gateway.listen_to_call(&who, id, after(from, &headers)).await?;
    Ok(sse(listener, app.stop))
}

/// Follow a call by WebSocket
///
/// As `GET /v1/calls/{id}/events`, each event a text message; the gateway closes the socket when the call is over and all was told.
#[utoipa::path(
    get,
    path = "/calls/{id}/ws",
    tag = "events",
    security(("key" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call"), Since),
    responses(
        (status = 101, description = "Events follow as text messages"),
        (status = 426, description = "`upgrade_required`: this address speaks WebSocket alone"),
    ),
)]
async fn stream_call_events_by_websocket(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<CallId>,
    Query(from): Query<Since>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let listener = app.gateway.listen_to_call(&who, id, from.after).await?;
    upgraded(socket, listener, app.stop)
}

fn sse(listener: Listener, stop: CancellationToken) -> Response {
    Sse::new(lines(listener, stop)).keep_alive(KeepAlive::new().interval(BEAT)).into_response()
}

fn lines(mut listener: Listener, stop: CancellationToken) -> impl Stream<Item = Result<Line, Infallible>> {
    async_stream::stream! {
        // So that the head of the answer is sent now, and whoever has it knows that nothing will be missed.
        yield Ok(Line::default().comment("listening"));
        loop {
            let told = tokio::select! {
                told = listener.next() => told,
                () = stop.cancelled() => break,
            };
            yield Ok(match told {
                Some(Told::Event(event)) => {
                    Line::default().event(event.kind.name()).id(event.id()).data(text(&event))
                }
                Some(Told::Missed(count)) => Line::default().event("missed").data(missed(count)),
                None => break,
            });
        }
    }
}

fn text(event: &Event) -> String {
    serde_json::to_string(&Shown { id: event.id(), event }).unwrap_or_default()
}

fn missed(events: Option<u64>) -> String {
    json!({ "type": "missed", "events": events }).to_string()
}

fn upgraded(
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    listener: Listener,
    stop: CancellationToken,
) -> Result<Response, Problem> {
    let socket = socket.map_err(|rejection| {
        let detail = format!("this address speaks WebSocket alone: {rejection}");
        Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail)
    })?;
    // Nothing that a client says is of interest.
    let socket = socket.max_message_size(1 << 10);
    Ok(socket.on_upgrade(move |socket| tell(socket, listener, stop)))
}

async fn tell(mut socket: WebSocket, mut listener: Listener, stop: CancellationToken) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            told = listener.next() => match told {
                Some(Told::Event(event)) => Message::text(text(&event)),
                Some(Told::Missed(count)) => Message::text(missed(count)),
                None => break,
            },
            _ = beat.tick() => Message::Ping(Vec::new().into()),
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            () = stop.cancelled() => break,
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    let _ = socket.send(Message::Close(None)).await;
}
