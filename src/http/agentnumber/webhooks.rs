//! Webhooks. Those that were registered here; what `/v1` has is told in other words, and is not seen here.

use axum::extract::{Path, State};

use super::{Answer, Said, created, id, needed, ok};
use crate::dialect::agentnumber::wire::{NewWebhook, WebhookChange};
use crate::dialect::agentnumber::{WebhookView, deleted, success, to_ours};
use crate::domain::{Principal, Vocabulary, Webhook, WebhookId};
use crate::gateway::{CreateWebhook, Error, PatchWebhook};
use crate::http::App;
use crate::http::auth::Who;
use crate::http::problem::Problem;

/// More than an account has.
const ALL: usize = 200;

pub(super) async fn register(State(app): State<App>, Who(who): Who, Said(new): Said<NewWebhook>) -> Answer {
    let new = CreateWebhook {
        url: needed("url", new.url, "the address that is told")?,
        events: ours(&new.events.unwrap_or_default())?,
        vocabulary: Vocabulary::Agentnumber,
        ..CreateWebhook::default()
    };
    let webhook = app.gateway.create_webhook(&who, new).await?;
    created(success(WebhookView::with_secret(&webhook)))
}

fn ours(events: &[String]) -> Result<Vec<String>, Problem> {
    to_ours(events).map_err(|reason| Problem::field("events", reason))
}

pub(super) async fn list(State(app): State<App>, Who(who): Who) -> Answer {
    let all = app.gateway.webhooks(&who, None, ALL).await?.items;
    let theirs: Vec<_> = all.iter().filter(|one| is_theirs(one)).map(WebhookView::new).collect();
    ok(success(theirs))
}

fn is_theirs(webhook: &Webhook) -> bool {
    webhook.vocabulary == Vocabulary::Agentnumber
}

async fn find(app: &App, who: &Principal, text: &str) -> Result<WebhookId, Problem> {
    let webhook = app.gateway.webhook(who, id(text)?).await?;
    if is_theirs(&webhook) { Ok(webhook.id) } else { Err(Error::missing("webhook", text).into()) }
}

pub(super) async fn change(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<String>,
    Said(change): Said<WebhookChange>,
) -> Answer {
    let id = find(&app, &who, &id).await?;
    if change == WebhookChange::default() {
        return Err(Problem::field("url", "nothing is to change; give url, events or active"));
    }
    let events = change.events.as_deref().map(ours).transpose()?;
    let patch = PatchWebhook { url: change.url, events, enabled: change.active, ..PatchWebhook::default() };
    let webhook = app.gateway.patch_webhook(&who, id, patch).await?;
    ok(success(WebhookView::new(&webhook)))
}

pub(super) async fn delete(State(app): State<App>, Who(who): Who, Path(id): Path<String>) -> Answer {
    let id = find(&app, &who, &id).await?;
    app.gateway.delete_webhook(&who, id.clone()).await?;
    ok(deleted(id.as_str()))
}
