//! `/carriers/{trunk}/messages`: what a carrier without SIP MESSAGE tells us.

use axum::Json;
use axum::extract::{Request, State};

use axum::http::HeaderMap;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::ask::{Path, whole};
use super::problem::Problem;
use crate::call::Kept;
use crate::domain::MessageId;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tell_of_message))
}

/// What was done with it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({ "message_id": "msg_0123456789abcdef" }))]
struct Taken {
    /// The message that is kept now, or whose fate is; absent where there was nothing to keep.
    message_id: Option<MessageId>,
}

/// Tell of a message
///
/// For the carrier of a trunk that has `[trunk.messages.inbound]` in the configuration: a message for one of its numbers, or the
/// receipt of one that was sent. What it looks like, and how it is signed, the configuration says. What comes again changes
/// nothing and is answered the same.
#[utoipa::path(
    post,
    path = "/carriers/{trunk}/messages",
    tag = "carriers",
    params(("trunk" = String, Path, description = "The trunk's name", example = "carrier")),
    request_body(
        content((Object = "application/json"), (Object = "application/x-www-form-urlencoded")),
        description = "As the carrier writes it",
    ),
    responses(
        (status = 200, description = "It is kept", body = Taken),
        (status = 401, description = "`signature_invalid` or `timestamp_invalid`: the carrier did not send this, or not now"),
        (status = 404, description = "`not_found`: there is no such carrier, number or message here"),
        (status = 422, description = "`invalid`: the body cannot be read, or says too little"),
    ),
)]
async fn tell_of_message(
    State(app): State<App>,
    Path(trunk): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Taken>, Problem> {
    let body = whole(request).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let message_id = match app.gateway.told_by_carrier(&trunk, header, &body).await? {
        Kept::Message(id) | Kept::Receipt(id) => Some(id),
        Kept::Nothing => None,
    };
    Ok(Json(Taken { message_id }))
}
