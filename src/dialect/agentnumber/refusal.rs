//! Refusals: one of the document's statuses, and a code.

use serde::Serialize;

/// `{"success": false, "error": {"message", "code"}}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Refusal {
    success: bool,
    error: Reason,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Reason {
    message: String,
    code: String,
}

impl Refusal {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { success: false, error: Reason { message: message.into(), code: code.into() } }
    }

    pub fn code(&self) -> &str {
        &self.error.code
    }
}

/// A refusal of ours in their words: the status that their document has for it, and their code where they have one. A code that is
/// ours alone (`emergency_number`) stays, for it says more than theirs. 429 and 503 stay as well: they carry Retry-After.
pub fn refusal(status: u16, code: &str, field: Option<&str>, detail: &str) -> (u16, Refusal) {
    let message = match field.map(theirs) {
        Some(field) => format!("{field}: {detail}"),
        None => detail.to_owned(),
    };
    let (status, code) = match (status, code) {
        (401, _) => (401, "unauthorized"),
        // What a key may not do looks to their programs as a key that is not valid here.
        (403, "missing_scope") => (401, "unauthorized"),
        (402, _) => (402, "insufficient_credits"),
        (409, "no_number_available") => (400, "provisioning_error"),
        // What was given back is gone.
        (409, "number_released") => (404, "not_found"),
        (404, "not_ready" | "no_recording") => (404, "not_ready"),
        (404 | 405 | 410, _) => (404, "not_found"),
        (429, "rate_limited" | "too_many_requests") => (429, "rate_limit"),
        (429, code) => (429, code),
        (503, code) => (503, code),
        (500.., "internal_error") => (500, "internal_error"),
        (500.., code) => (500, code),
        (_, "invalid" | "invalid_json" | "invalid_query") => (400, "validation_error"),
        (_, code) => (400, code),
    };
    (status, Refusal::new(code, message))
}

/// What they call a field of ours, wherever in a request it stands.
fn theirs(field: &str) -> &str {
    let last = field.rsplit('.').find(|part| *part != "url").unwrap_or(field);
    match last {
        "prompt" => "system_prompt",
        "brain" => "webhook_url",
        "voice" => "voice_id",
        "max_duration_s" => "max_duration",
        "text" => "body",
        "amount" => "amount_cents",
        other => other,
    }
}
