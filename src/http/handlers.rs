//! What belongs to no vocabulary.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::problem::Problem;

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such address here")
}

pub(super) async fn not_allowed() -> Problem {
    let detail = "this address does not take that method; the header Allow lists those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let report = app.gateway.report().await;
    let (status, ready) =
        if app.is_ready() { (StatusCode::OK, true) } else { (StatusCode::SERVICE_UNAVAILABLE, false) };
    (status, Json(json!({ "ready": ready, "trunks": report.trunks, "store_healthy": report.store_healthy })))
}
