//! The nouns of the product. No IO here: values, their laws, and how they look on the wire.

mod account;
mod agent;
mod call;
mod deed;
mod end;
mod event;
mod id;
mod keyword;
mod message;
mod money;
mod number;
mod numbering;
mod private;
mod report;
mod schema;
mod settings;
mod tools;
mod turn;
mod usage;
mod webhook;

pub use account::{Account, Key, MissingScope, Principal, Scope};
pub use agent::{Agent, Metadata, Number, NumberKind, NumberStatus, Source, Thread};
pub use call::{
    AnsweredBy, Attestation, Call, CallUsage, Direction, Fragment, LineBursts, LineQuality, LineReport,
    LineSound, MachineClue, Recording, Speaker, Status, Supervision, SupervisionMode, TransferMode,
};
pub use deed::ToolUse;
pub use end::{EndReason, Fault};
pub use event::{Event, EventKind, Subject};
pub use id::{
    AccountId, AgentId, CallId, CreditId, DeliveryId, KeyId, MessageId, NumberId, ThreadId, WebhookId,
};
pub use keyword::Keyword;
#[cfg(test)]
pub(crate) use message::tests::received;
pub use message::{Content, Failure, Message, MessageStatus};
pub use money::Money;
pub use number::{E164, NumberError};
pub use numbering::{Plan, Region};
pub use private::{Private, show_in_logs};
pub use report::{Achievement, CallBack, CallReport, Outcome, ReportStatus, Urgency};
pub use schema::{check_object_schema, conforms};
pub use settings::{
    ANY_LANGUAGE, AtVoicemail, BrainChoice, ContextWebhook, Filler, Sentences, Settings, Voicemail,
    check_pronunciations, is_language,
};
pub use tools::{ActionTool, OWN_TOOLS, Tools};
pub use turn::{
    Dispute, DisputeReason, EndOfTurn, EndOfTurnReason, Explanation, StageKind, StageOutcome, StageSpan,
    Turn, Verdict,
};
pub use usage::{CreditEntry, CreditKind, Rates, Spent, Usage};
#[cfg(test)]
pub(crate) use webhook::endpoint;
pub use webhook::{
    Delivery, DeliveryStatus, SigningSecret, TEST_EVENT, Vocabulary, Webhook, is_fine_grained,
};

use std::time::Duration;

/// Whole milliseconds, as records and events tell times.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
