//! `/v1/messages` and `/v1/conversations`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{Direction, Message, MessageId, MessageStatus, Thread, ThreadId};
use crate::gateway::{SendText, number_in_query};
use crate::http::App;
use crate::http::ask::{Body, Listing, Paging, Path, Query};
use crate::http::auth::Who;
use crate::http::idempotency::idempotent;
use crate::http::problem::Problem;
use crate::store::{MessageFilter, ThreadFilter};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(idempotent(routes!(send_message, list_messages)))
        .routes(routes!(get_message))
        .routes(routes!(list_conversations))
        .routes(routes!(get_conversation))
        .routes(routes!(list_conversation_messages))
}

/// Send a message
///
/// By SIP MESSAGE through the number's trunk or to a phone of the house, or by the carrier's HTTP interface. It is written down when the
/// answer comes; what becomes of it is told by its record and by `message.sent`, `message.delivered` and `message.failed`.
#[utoipa::path(
    post,
    path = "/messages",
    tag = "messages",
    security(("key" = ["messages:write"])),
    request_body = SendText,
    responses(
        (status = 201, description = "Written down and on its way", body = Message),
        (status = 402, description = "`insufficient_credits`: the account's credits are used up"),
        (status = 403, description = "`recipient_stopped`: whoever should get it has asked for no more messages from this number"),
        (status = 502, description = "`unavailable`: there is no way to the recipient now"),
    ),
)]
async fn send_message(
    State(app): State<App>,
    Who(who): Who,
    Body(request): Body<SendText>,
) -> Result<(StatusCode, Json<Message>), Problem> {
    Ok((StatusCode::CREATED, Json(app.gateway.send(&who, request).await?)))
}

/// Which messages.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct MessageQuery {
    /// One of your numbers: its inbox.
    #[param(value_type = Option<String>, example = "+14155550100")]
    number: Option<String>,
    /// Of one conversation.
    #[param(value_type = Option<ThreadId>)]
    conversation: Option<String>,
    /// In or out.
    #[param(value_type = Option<Direction>)]
    direction: Option<Direction>,
    /// As they now stand.
    #[param(value_type = Option<MessageStatus>)]
    status: Option<MessageStatus>,
}

/// List messages
///
/// The newest first.
#[utoipa::path(
    get,
    path = "/messages",
    tag = "messages",
    security(("key" = ["messages:read"])),
    params(MessageQuery, Paging),
    responses((status = 200, description = "A page of messages", body = Listing<Message>)),
)]
async fn list_messages(
    State(app): State<App>,
    Who(who): Who,
    Query(query): Query<MessageQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<Message>>, Problem> {
    let number = query.number.as_deref().map(number_in_query).transpose();
    let thread = query.conversation.as_deref().map(str::parse).transpose();
    let filter = MessageFilter {
        number: number.map_err(|reason| Problem::field("number", reason))?,
        thread: thread.map_err(|reason: String| Problem::field("conversation", reason))?,
        direction: query.direction,
        status: query.status,
        ..MessageFilter::default()
    };
    let page = app.gateway.messages(&who, filter, paging.cursor()?, paging.limit()?).await?;
    Ok(Json(page.into()))
}

/// Get a message
///
/// Its text, and what became of it.
#[utoipa::path(
    get,
    path = "/messages/{id}",
    tag = "messages",
    security(("key" = ["messages:read"])),
    params(("id" = MessageId, Path, description = "Of the message")),
    responses((status = 200, description = "The message", body = Message)),
)]
async fn get_message(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<MessageId>,
) -> Result<Json<Message>, Problem> {
    Ok(Json(app.gateway.message(&who, id).await?))
}

/// Which conversations.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ConversationQuery {
    /// One of your numbers.
    #[param(value_type = Option<String>, example = "+14155550100")]
    number: Option<String>,
    /// Whom they are with, as it stands in `contact`.
    #[param(value_type = Option<String>, example = "+14155550123")]
    contact: Option<String>,
    /// Whether the contact has asked for no more messages.
    stopped: Option<bool>,
}

/// List conversations
///
/// One for each of your numbers and each contact; the one that was alive last first.
#[utoipa::path(
    get,
    path = "/conversations",
    tag = "messages",
    security(("key" = ["messages:read"])),
    params(ConversationQuery, Paging),
    responses((status = 200, description = "A page of conversations", body = Listing<Thread>)),
)]
async fn list_conversations(
    State(app): State<App>,
    Who(who): Who,
    Query(query): Query<ConversationQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<Thread>>, Problem> {
    let number = query.number.as_deref().map(number_in_query).transpose();
    // A `+` in a query means a blank.
    let contact = query.contact.map(|text| match text.strip_prefix(' ') {
        Some(digits) => format!("+{digits}"),
        None => text,
    });
    let filter = ThreadFilter {
        number: number.map_err(|reason| Problem::field("number", reason))?,
        contact,
        stopped: query.stopped,
    };
    let page = app.gateway.threads(&who, filter, paging.cursor()?, paging.limit()?).await?;
    Ok(Json(page.into()))
}

/// Get a conversation
#[utoipa::path(
    get,
    path = "/conversations/{id}",
    tag = "messages",
    security(("key" = ["messages:read"])),
    params(("id" = ThreadId, Path, description = "Of the conversation")),
    responses((status = 200, description = "The conversation", body = Thread)),
)]
async fn get_conversation(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<ThreadId>,
) -> Result<Json<Thread>, Problem> {
    Ok(Json(app.gateway.thread(&who, id).await?))
}

/// List the messages of a conversation
///
/// In and out, the newest first.
#[utoipa::path(
    get,
    path = "/conversations/{id}/messages",
    tag = "messages",
    security(("key" = ["messages:read"])),
    params(("id" = ThreadId, Path, description = "Of the conversation"), Paging),
    responses((status = 200, description = "A page of messages", body = Listing<Message>)),
)]
async fn list_conversation_messages(
    State(app): State<App>,
    Who(who): Who,
    Path(id): Path<ThreadId>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listing<Message>>, Problem> {
    let thread = app.gateway.thread(&who, id).await?.id;
    let filter = MessageFilter { thread: Some(thread), ..MessageFilter::default() };
    let page = app.gateway.messages(&who, filter, paging.cursor()?, paging.limit()?).await?;
    Ok(Json(page.into()))
}
