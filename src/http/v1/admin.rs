//! `/v1/admin`: accounts and keys, for the operator.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{Account, AccountId, Key, KeyId, Scope};
use crate::gateway::{NewAccount, NewKey, PatchAccount};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(list_accounts, create_account)))
        .routes(routes!(get_account, patch_account))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(get_key, revoke_key))
}

/// A key, without what opens.
#[derive(Serialize, ToSchema)]
#[schema(as = Key, example = json!({
    "id": "key_0123456789abcdef", "account_id": "acct_0000000000000000", "name": "CRM", "hint": "offhook_1a2b3c4d",
    "scopes": ["calls:read", "calls:write"], "max_calls": 2, "created_at": "2026-11-22T09:00:00Z",
    "last_used_at": "2026-11-22T09:30:00Z", "revoked_at": null,
}))]
struct ShownKey {
    id: KeyId,
    account_id: AccountId,
    name: String,
    /// The first letters of the key, by which a person tells keys apart.
    hint: String,
    scopes: Vec<Scope>,
    /// Outbound calls at once with this key; `null`: as the configuration says.
    max_calls: Option<u32>,
    created_at: DateTime<Utc>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// Since when it opens nothing.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<Key> for ShownKey {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            account_id: key.account,
            name: key.name,
            hint: key.hint,
            scopes: key.scopes,
            max_calls: key.max_calls,
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "key": "offhook_1a2b3c4d…", "id": "key_0123456789abcdef", "account_id": "acct_0000000000000000", "name": "CRM",
    "hint": "offhook_1a2b3c4d", "scopes": ["calls:read", "calls:write"], "max_calls": 2,
    "created_at": "2026-11-22T09:00:00Z", "last_used_at": null, "revoked_at": null,
}))]
struct FreshKey {
    /// The key itself. It is kept nowhere: nobody can show it again.
    key: String,
    #[serde(flatten)]
    shown: ShownKey,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct KeyFilter {
    /// Keys of this account only.
    account_id: Option<AccountId>,
}

/// List accounts
#[utoipa::path(
    get,
    path = "/admin/accounts",
    tag = "admin",
    security(("key" = ["admin"])),
    params(Paging),
    responses((status = 200, description = "Accounts, the newest first", body = Listing<Account>)),
)]
async fn list_accounts(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<Account>>, Problem> {
    let (limit, cursor) = (paging.limit()?, paging.cursor()?);
    let page = app.gateway.registry(&who, move |registry| registry.accounts(cursor.as_ref(), limit)).await?;
    Ok(Json(page.into()))
}

/// Make an account
///
/// A tenant of the box, with numbers, agents, calls and keys that no other account sees.
#[utoipa::path(
    post,
    path = "/admin/accounts",
    tag = "admin",
    security(("key" = ["admin"])),
    request_body = NewAccount,
    responses((status = 201, description = "The account", body = Account)),
)]
async fn create_account(
    State(app): State<App>,
    Who(who): Who,
    Body(new): Body<NewAccount>,
) -> Result<(StatusCode, Json<Account>), Problem> {
    Ok((StatusCode::CREATED, Json(app.gateway.create_account(&who, new).await?)))
}

/// Look at an account
#[utoipa::path(
    get,
    path = "/admin/accounts/{id}",
    tag = "admin",
    security(("key" = ["admin"])),
    params(("id" = AccountId, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Account)),
)]
async fn get_account(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AccountId>,
) -> Result<Json<Account>, Problem> {
    Ok(Json(app.gateway.registry(&who, move |registry| registry.account(&id)).await?))
}

/// Change an account
#[utoipa::path(
    patch,
    path = "/admin/accounts/{id}",
    tag = "admin",
    security(("key" = ["admin"])),
    params(("id" = AccountId, Path, description = "The account")),
    request_body = PatchAccount,
    responses((status = 200, description = "The account as it now stands", body = Account)),
)]
async fn patch_account(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<AccountId>,
    Body(patch): Body<PatchAccount>,
) -> Result<Json<Account>, Problem> {
    Ok(Json(app.gateway.patch_account(&who, id, patch).await?))
}

/// List keys
///
/// Also those that were revoked.
#[utoipa::path(
    get,
    path = "/admin/keys",
    tag = "admin",
    security(("key" = ["admin"])),
    params(Paging, KeyFilter),
    responses((status = 200, description = "Keys, the newest first", body = Listing<ShownKey>)),
)]
async fn list_keys(
    State(app): State<App>,
    Who(who): Who,
    Query(paging): Query<Paging>,
    Query(filter): Query<KeyFilter>,
) -> Result<Json<Listing<ShownKey>>, Problem> {
    let (limit, cursor) = (paging.limit()?, paging.cursor()?);
    let read = move |registry: &crate::gateway::Registry| {
        registry.keys(filter.account_id.as_ref(), cursor.as_ref(), limit)
    };
    let page = app.gateway.registry(&who, read).await?;
    Ok(Listing::new(page.items.into_iter().map(ShownKey::from).collect(), page.next))
}

/// Make a key
///
/// The answer shows the key, this once.
#[utoipa::path(
    post,
    path = "/admin/keys",
    tag = "admin",
    security(("key" = ["admin"])),
    request_body = NewKey,
    responses((status = 201, description = "The key", body = FreshKey)),
)]
async fn create_key(
    State(app): State<App>,
    Who(who): Who,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, [(axum::http::HeaderName, &'static str); 1], Json<FreshKey>), Problem> {
    let (secret, key) = app.gateway.registry(&who, move |registry| registry.create_key(new)).await?;
    let fresh = FreshKey { key: secret.reveal().to_owned(), shown: key.into() };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(fresh)))
}

/// Look at a key
#[utoipa::path(
    get,
    path = "/admin/keys/{id}",
    tag = "admin",
    security(("key" = ["admin"])),
    params(("id" = KeyId, Path, description = "The key")),
    responses((status = 200, description = "The key, without what opens", body = ShownKey)),
)]
async fn get_key(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<KeyId>,
) -> Result<Json<ShownKey>, Problem> {
    Ok(Json(app.gateway.registry(&who, move |registry| registry.key(&id)).await?.into()))
}

/// Revoke a key
///
/// It opens nothing from now on, and stays in the list. Revoking again changes nothing.
#[utoipa::path(
    delete,
    path = "/admin/keys/{id}",
    tag = "admin",
    security(("key" = ["admin"])),
    params(("id" = KeyId, Path, description = "The key")),
    responses(
        (status = 200, description = "The key, revoked", body = ShownKey),
        (status = 409, description = "`last_admin_key`: it is the last key with the scope admin"),
    ),
)]
async fn revoke_key(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<KeyId>,
) -> Result<Json<ShownKey>, Problem> {
    Ok(Json(app.gateway.registry(&who, move |registry| registry.revoke_key(&id)).await?.into()))
}
