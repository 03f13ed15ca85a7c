//! AgentNumber: numbers, calls, SMS, credits and webhooks under `/agentnumber/api/v0`.
//!
//! | | | the verb |
//! |---|---|---|
//! | `POST GET /numbers` | `GET PATCH DELETE /numbers/:id` | provision, list, get, change, release a number |
//! | `POST GET /calls` | `GET /calls/:id` | place, list, get a call |
//! | `GET /calls/:id/transcript` | `GET /calls/:id/recording` | the words; a URL of the sound |
//! | `POST GET /sms` | `GET /sms/:id` | send, list, get a message |
//! | `GET /credits/balance` | `POST /credits/purchase` | |
//! | `POST GET /webhooks` | `PATCH DELETE /webhooks/:id` | |
//!
//! An answer is `{"success": true, "data": …}`, a list has `pagination` beside it; a refusal is
//! `{"success": false, "error": {"message", "code"}}`.

mod calls;
mod events;
#[cfg(test)]
mod golden;
mod numbers;
mod refusal;
#[cfg(test)]
mod tests;
pub mod wire;

pub use calls::{CallDetail, CallView, Segment, SmsView, Transcript, placing_settings};
pub use events::{EVENTS, Telling, WebhookView, headers, telling, theirs, to_ours};
pub use numbers::{
    DEFAULT_VOICE, NumberView, Voiced, changed, given, provisioned, remembered, voice, voice_id_of,
};
pub use refusal::{Refusal, refusal};

use serde::Serialize;
use serde_json::{Value, json};

/// Where it is mounted.
pub const BASE: &str = "/agentnumber/api/v0";
/// Cents in one pack of credits, which a purchase that names no amount buys.
pub const PACK_CENTS: i64 = 1000;
/// The most that a list brings at once, as the service has it.
pub const MAX_LIMIT: usize = 100;
pub const DEFAULT_LIMIT: usize = 50;

/// The envelope of one thing.
pub fn success<T: Serialize>(data: T) -> Value {
    json!({ "success": true, "data": data })
}

/// The envelope of a list. `more`: there are things behind it. `total` is then the least that there can be, so that a program
/// that goes on while `offset + limit < total` sees everything.
pub fn listed<T: Serialize>(items: &[T], offset: usize, limit: usize, more: bool) -> Value {
    let total = offset + items.len() + usize::from(more);
    json!({ "success": true, "data": items, "pagination": { "total": total, "offset": offset, "limit": limit } })
}

/// What became of something that was removed.
pub fn deleted(id: &str) -> Value {
    success(json!({ "id": id, "deleted": true }))
}

/// Of an account's credits, in millionths.
pub fn balance(balance: crate::domain::Money) -> Value {
    success(json!({ "balance_cents": balance.cents(), "balance_dollars": dollars(balance.cents()) }))
}

/// What was bought, and what there is now.
pub fn purchased(bought: crate::domain::Money, balance: crate::domain::Money) -> Value {
    success(json!({
        "deposited": format!("${}", dollars(bought.cents())),
        "balance": format!("${}", dollars(balance.cents())),
        "amount_cents": bought.cents(),
        "balance_cents": balance.cents(),
        "balance_dollars": dollars(balance.cents()),
    }))
}

/// Of a purchase on a box without credits: nothing is charged, and nothing was bought.
pub fn free() -> Value {
    let mut answer = purchased(crate::domain::Money::ZERO, crate::domain::Money::ZERO);
    answer["data"]["notes"] =
        json!(["this box charges nothing: credits are off, and nothing needs to be bought"]);
    answer
}

fn dollars(cents: i64) -> String {
    let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}
