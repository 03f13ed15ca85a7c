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
    let message = match field {
        // Field names are ours; where they call it something else, say that.
        Some("text") => format!("body: {detail}"),
        Some("brain" | "brain.url" | "inbound.brain" | "inbound.brain.url") => {
            format!("webhook_url: {detail}")
        }
        Some(field) => format!("{field}: {detail}"),
        None => detail.to_owned(),
    };
    let (status, code) = match (status, code) {
        (401, _) => (401, "unauthorized"),
        // What a key may not do looks to their programs as a key that is not valid here.
        (403, "missing_scope") => (401, "unauthorized"),
        (402, _) => (402, "insufficient_credits"),
        (404, "no_number_available") | (409, "no_number_available") => (400, "provisioning_error"),
        (404, "not_ready") => (404, "not_ready"),
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
