//! Calls.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::json;

use super::numbers::voiced;
use super::{Answer, Look, Said, created, id, needed, no_such_number, ok, part};
use crate::dialect::agentnumber::wire::{ListQuery, NewCall};
use crate::dialect::agentnumber::{CallDetail, CallView, Transcript, listed, placing_settings, success};
use crate::domain::{Call, CallId, NumberId, Private};
use crate::gateway::{PlaceCall, SoundFormat, WantLink};
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;
use crate::store::CallFilter;

/// Seconds that the URL of a recording is good: the longest that there is, for the service's own do not end.
const LINK_S: u32 = 86_400;

pub(super) async fn place(State(app): State<App>, Who(who): Who, Said(new): Said<NewCall>) -> Answer {
    let longest = app.gateway.config().limits.max_duration;
    let voice = voiced(&app, new.voice_id.as_deref()).voice;
    let settings = placing_settings(&new, voice, longest);
    let request = PlaceCall {
        from: Private::new(needed("from", new.from, "the id of a number")?),
        to: Private::new(needed("to", new.to, "an E.164 number, as in +15551234567")?),
        settings,
        metadata: new.metadata.unwrap_or_default(),
        ..PlaceCall::default()
    };
    let call = app.gateway.place(&who, request).await.map_err(no_such_number)?;
    created(success(CallView::new(&call)))
}

pub(super) async fn list(State(app): State<App>, Who(who): Who, Query(query): Query<ListQuery>) -> Answer {
    let (limit, offset) = (query.limit(), query.offset());
    let number: Option<NumberId> = query.number_id.as_deref().map(id).transpose()?;
    let filter = CallFilter { number, ..CallFilter::default() };
    let page = |cursor, limit| {
        let (gateway, who, filter) = (app.gateway.clone(), who.clone(), filter.clone());
        async move { gateway.calls(&who, filter, cursor, limit).await }
    };
    let (calls, more) = part(offset, limit, |_: &Call| Look::Show, page).await?;
    let views: Vec<_> = calls.iter().map(CallView::new).collect();
    ok(listed(&views, offset, limit, more))
}

async fn find(app: &App, who: &crate::domain::Principal, text: &str) -> Result<Call, Problem> {
    Ok(app.gateway.call(who, id::<CallId>(text)?).await?)
}

pub(super) async fn get(State(app): State<App>, Who(who): Who, Path(id): Path<String>) -> Answer {
    let call = find(&app, &who, &id).await?;
    ok(success(CallDetail::new(&call)))
}

pub(super) async fn transcript(State(app): State<App>, Who(who): Who, Path(id): Path<String>) -> Answer {
    let call = find(&app, &who, &id).await?;
    let transcript =
        Transcript::new(&call).ok_or_else(|| not_ready("the transcript is ready when the call is over"))?;
    ok(success(transcript))
}

/// A URL that needs no key.
pub(super) async fn recording(
    State(app): State<App>,
    Who(who): Who,
    headers: HeaderMap,
    Path(text): Path<String>,
) -> Answer {
    let want = WantLink { part: 0, format: SoundFormat::Wav, expires_in_s: LINK_S };
    let link = app.gateway.link(&who, id::<CallId>(&text)?, want).await?;
    let url = format!("{}/v1/recordings/{}", app.base(&headers), link.token);
    ok(success(json!({ "url": url, "expires_at": link.expires_at })))
}

fn not_ready(detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_ready", detail)
}
