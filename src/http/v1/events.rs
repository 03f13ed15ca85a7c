//! `/v1/events`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{KeepAlive, Sse};
use futures_util::Stream;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().route("/events", axum::routing::get(events))
}

/// Everything that happens from now on. A listener that lags too far is told how much it missed.
async fn events(
    State(app): State<App>,
) -> Sse<impl Stream<Item = Result<axum::response::sse::Event, Infallible>>> {
    let mut events = app.gateway.subscribe();
    let stop = app.stop.clone();
    let stream = async_stream::stream! {
        loop {
            let received = tokio::select! {
                received = events.recv() => received,
                () = stop.cancelled() => break,
            };
            let event = axum::response::sse::Event::default();
            yield Ok(match received {
                Ok(happened) => {
                    let data = serde_json::to_string(&happened).unwrap_or_default();
                    event.event(happened.kind.name()).id(format!("{}-{}", happened.subject.as_str(), happened.seq)).data(data)
                }
                Err(RecvError::Lagged(missed)) => event.event("missed").data(json!({ "type": "missed", "events": missed }).to_string()),
                Err(RecvError::Closed) => break,
            });
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}
