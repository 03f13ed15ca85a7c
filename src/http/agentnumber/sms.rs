//! Messages.

use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};

use super::{Answer, Look, Said, created, id, needed, no_such_number, ok, part};
use crate::dialect::agentnumber::wire::{ListQuery, NewSms};
use crate::dialect::agentnumber::{SmsView, listed, success};
use crate::domain::{Direction, Message, MessageId, NumberId, Private};
use crate::gateway::SendText;
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;
use crate::store::MessageFilter;

pub(super) async fn send(State(app): State<App>, Who(who): Who, Said(new): Said<NewSms>) -> Answer {
    let request = SendText {
        from: Private::new(needed("from", new.from, "the id of a number")?),
        to: Private::new(needed("to", new.to, "an E.164 number, as in +15551234567")?),
        text: Private::new(needed("body", new.body, "the words to send")?),
        metadata: new.metadata.unwrap_or_default(),
    };
    let message = app.gateway.send(&who, request).await.map_err(no_such_number)?;
    created(success(SmsView::new(&message)))
}

pub(super) async fn list(State(app): State<App>, Who(who): Who, Query(query): Query<ListQuery>) -> Answer {
    let (limit, offset) = (query.limit(), query.offset());
    let direction = match query.direction.as_deref() {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        _ => None,
    };
    let since: Option<DateTime<Utc>> = query.since.as_deref().map(time).transpose()?;
    let number: Option<NumberId> = query.number_id.as_deref().map(id).transpose()?;
    let filter = MessageFilter { direction, ..MessageFilter::default() };
    let page = |cursor, limit| {
        let (gateway, who, filter) = (app.gateway.clone(), who.clone(), filter.clone());
        async move { gateway.messages(&who, filter, cursor, limit).await }
    };
    let status = query.status.as_deref();
    let look = |message: &Message| match SmsView::new(message).status {
        _ if since.is_some_and(|since| message.created_at <= since) => Look::Stop,
        _ if number.is_some() && message.number_id != number => Look::Pass,
        is if status.is_none_or(|status| status == is) => Look::Show,
        _ => Look::Pass,
    };
    let (messages, more) = part(offset, limit, look, page).await?;
    let views: Vec<_> = messages.iter().map(SmsView::new).collect();
    ok(listed(&views, offset, limit, more))
}

fn time(text: &str) -> Result<DateTime<Utc>, Problem> {
    // In a query a bare `+` means a blank.
    let read = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    read.map(|time| time.to_utc())
        .map_err(|_| Problem::field("since", "is no time, as in 2026-01-31T12:00:00Z"))
}

pub(super) async fn get(State(app): State<App>, Who(who): Who, Path(text): Path<String>) -> Answer {
    let message = app.gateway.message(&who, id::<MessageId>(&text)?).await?;
    ok(success(SmsView::new(&message)))
}
