//! `/v1/webhooks`.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{AccountId, AgentId, Delivery, DeliveryId, Webhook, WebhookId};
use crate::gateway::{CreateWebhook, DeliveryFilter, PatchWebhook, RotateSecret};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_webhooks, create_webhook))
        .routes(routes!(get_webhook, patch_webhook, delete_webhook))
        .routes(routes!(rotate_webhook_secret))
        .routes(routes!(test_webhook))
        .routes(routes!(list_deliveries))
        .routes(routes!(get_delivery))
        .routes(routes!(redeliver))
        .routes(routes!(get_signing_secret))
}

/// A webhook, without what signs.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook, example = json!({
    "id": "whk_0123456789abcdef", "account_id": "acct_0000000000000000", "url": "https://hooks.example.com/offhook",
    "events": ["call.ended", "message.received"], "agent_id": null, "description": "CRM", "enabled": true,
    "old_secret_until": null, "created_at": "2026-11-22T09:00:00Z", "updated_at": "2026-11-22T09:00:00Z",
}))]
struct ShownWebhook {
    id: WebhookId,
    account_id: AccountId,
    url: String,
    /// Empty: all but the fine-grained ones.
    events: Vec<String>,
    /// Only what this agent is part of; `null`: of every agent.
    #[schema(required = true)]
    agent_id: Option<AgentId>,
    #[schema(required = true)]
    description: Option<String>,
    enabled: bool,
    /// Until when the secret before this one signs as well.
    #[schema(required = true)]
    old_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Webhook> for ShownWebhook {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            account_id: webhook.account,
            url: webhook.url,
            events: webhook.events,
            agent_id: webhook.agent_id,
            description: webhook.description,
            enabled: webhook.enabled,
            old_secret_until: webhook.old_secret.map(|(_, until)| until).filter(|until| *until > Utc::now()),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

/// A webhook with the secret that was just made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "whsec_1a2b3c4d…", "id": "whk_0123456789abcdef", "account_id": "acct_0000000000000000",
    "url": "https://hooks.example.com/offhook", "events": ["call.ended", "message.received"], "agent_id": null,
    "description": "CRM", "enabled": true, "old_secret_until": null, "created_at": "2026-11-22T09:00:00Z",
    "updated_at": "2026-11-22T09:00:00Z",
}))]
struct FreshWebhook {
    /// What deliveries are signed with. It is not shown again.
    secret: String,
    #[serde(flatten)]
    shown: ShownWebhook,
}

impl From<Webhook> for FreshWebhook {
    fn from(webhook: Webhook) -> Self {
        Self { secret: webhook.secret.reveal().to_owned(), shown: webhook.into() }
    }
}

/// What requests of an account's calls are signed with.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "secret": "whsec_0101010101010101010101010101010101010101010101010101010101010101" }))]
struct RequestSecret {
    secret: String,
}

/// Kept by no cache.
type Unkept<T> = ([(HeaderName, &'static str); 1], Json<T>);

fn unkept<T>(body: T) -> Unkept<T> {
    ([(CACHE_CONTROL, "no-store")], Json(body))
}

/// List webhooks
#[utoipa::path(
    get,
    path = "/webhooks",
    tag = "webhooks",
    security(("key" = ["webhooks:read"])),
    params(Paging),
    responses((status = 200, description = "Webhooks, the newest first", body = Listing<ShownWebhook>)),
)]
async fn list_webhooks(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<ShownWebhook>>, Problem> {
    let page = app.gateway.webhooks(&who, paging.cursor()?, paging.limit()?).await?;
    Ok(Listing::new(page.items.into_iter().map(ShownWebhook::from).collect(), page.next))
}

/// Make a webhook
///
/// Events are sent to `url` by POST from now on, at least once each, and in their order about one call, message or number. The
/// body is the event; `Offhook-Signature: t=…,v1=…` holds the time and the HMAC-SHA-256 of time, full stop and body under the
/// secret that this answer shows once; `Offhook-Event-Id` is the same for every telling of one event. An answer of 2xx within the
/// time-out takes it; anything else is tried again for a day, less and less often.
#[utoipa::path(
    post,
    path = "/webhooks",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    request_body = CreateWebhook,
    responses(
        (status = 201, description = "The webhook, with its secret", body = FreshWebhook),
        (status = 409, description = "`too_many_webhooks`: the account has 100 already"),
        (status = 422, description = "`invalid`, `url_invalid` or `url_not_allowed`: the URL is none, or leads inside"),
    ),
)]
async fn create_webhook(
    State(app): State<App>,
    Who(who): Who,
    Body(new): Body<CreateWebhook>,
) -> Result<(StatusCode, Unkept<FreshWebhook>), Problem> {
    let made = app.gateway.create_webhook(&who, new).await?;
    Ok((StatusCode::CREATED, unkept(made.into())))
}

/// Look at a webhook
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    tag = "webhooks",
    security(("key" = ["webhooks:read"])),
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook, without its secret", body = ShownWebhook)),
)]
async fn get_webhook(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
) -> Result<Json<ShownWebhook>, Problem> {
    Ok(Json(app.gateway.webhook(&who, id).await?.into()))
}

/// Change a webhook
///
/// What is queued already is sent to the new URL.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    params(("id" = WebhookId, Path, description = "The webhook")),
    request_body = PatchWebhook,
    responses(
        (status = 200, description = "The webhook as it now stands", body = ShownWebhook),
        (status = 422, description = "`invalid`, `url_invalid` or `url_not_allowed`: the URL is none, or leads inside"),
    ),
)]
async fn patch_webhook(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
    Body(patch): Body<PatchWebhook>,
) -> Result<Json<ShownWebhook>, Problem> {
    Ok(Json(app.gateway.patch_webhook(&who, id, patch).await?.into()))
}

/// Delete a webhook
///
/// What is queued for it is not sent any more, and its deliveries are forgotten.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 204, description = "It is gone")),
)]
async fn delete_webhook(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
) -> Result<StatusCode, Problem> {
    app.gateway.delete_webhook(&who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a new secret
///
/// Until the overlap ends, deliveries carry two signatures, one with each secret; either proves them.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/rotate",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    params(("id" = WebhookId, Path, description = "The webhook")),
    request_body = RotateSecret,
    responses((status = 200, description = "The webhook, with its new secret", body = FreshWebhook)),
)]
async fn rotate_webhook_secret(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
    Body(request): Body<RotateSecret>,
) -> Result<Unkept<FreshWebhook>, Problem> {
    Ok(unkept(app.gateway.rotate_webhook_secret(&who, id, request).await?.into()))
}

/// The secret of the requests that calls make
///
/// What an agent's tools, its turn webhook and its context webhook are sent is signed with it, as deliveries are signed with the
/// secret of their webhook. It belongs to the account and never changes.
#[utoipa::path(
    get,
    path = "/signing-secret",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    responses((status = 200, description = "The secret", body = RequestSecret)),
)]
async fn get_signing_secret(State(app): State<App>, Who(who): Who) -> Result<Unkept<RequestSecret>, Problem> {
    let secret = app.gateway.signing_secret(&who)?.reveal().to_owned();
    Ok(unkept(RequestSecret { secret }))
}

/// Send a test event
///
/// An event `webhook.test` is sent at once, whatever else waits for the endpoint. What became of it stands in the delivery.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 202, description = "The delivery, which is on its way", body = Delivery),
        (status = 409, description = "`webhook_disabled`: nothing is sent to a webhook that is off"),
    ),
)]
async fn test_webhook(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(app.gateway.test_webhook(&who, id).await?)))
}

/// List deliveries
///
/// What the endpoint was told and is to be told. Those that are over are kept for 30 days, unless the operator says otherwise.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries",
    tag = "webhooks",
    security(("key" = ["webhooks:read"])),
    params(("id" = WebhookId, Path, description = "The webhook"), Paging, DeliveryFilter),
    responses((status = 200, description = "Deliveries, the newest first", body = Listing<Delivery>)),
)]
async fn list_deliveries(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<WebhookId>,
    Query(paging): Query<Paging>,
    Query(filter): Query<DeliveryFilter>,
) -> Result<Json<Listing<Delivery>>, Problem> {
    let (limit, cursor) = (paging.limit()?, paging.cursor()?);
    Ok(Json(app.gateway.deliveries(&who, id, filter, cursor, limit).await?.into()))
}

/// Look at a delivery
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries/{delivery_id}",
    tag = "webhooks",
    security(("key" = ["webhooks:read"])),
    params(
        ("id" = WebhookId, Path, description = "The webhook"),
        ("delivery_id" = DeliveryId, Path, description = "The delivery"),
    ),
    responses((status = 200, description = "The delivery", body = Delivery)),
)]
async fn get_delivery(
    State(app): State<App>,
    Who(who): Who,
    Path((id, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<Json<Delivery>, Problem> {
    Ok(Json(app.gateway.delivery(&who, id, delivery).await?))
}

/// Deliver again
///
/// Sends what is delivered or given up once more, with the same ids, at once.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/deliveries/{delivery_id}/redeliver",
    tag = "webhooks",
    security(("key" = ["webhooks:write"])),
    params(
        ("id" = WebhookId, Path, description = "The webhook"),
        ("delivery_id" = DeliveryId, Path, description = "The delivery"),
    ),
    responses(
        (status = 202, description = "The delivery, which is on its way again", body = Delivery),
        (status = 409, description = "`delivery_pending` or `webhook_disabled`: it is on its way already, or the webhook is off"),
    ),
)]
async fn redeliver(
    State(app): State<App>,
    Who(who): Who,
    Path((id, delivery)): Path<(WebhookId, DeliveryId)>,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(app.gateway.redeliver(&who, id, delivery).await?)))
}
