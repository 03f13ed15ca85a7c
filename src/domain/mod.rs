//! The nouns of the product. No IO here: values, their laws, and how they look on the wire.

mod call;
mod end;
mod event;
mod id;
mod message;
mod number;
mod private;

pub use call::{Attestation, Call, Direction, Fragment, LineReport, Speaker, Status, TransferMode, Turn};
pub use end::{EndReason, Fault};
pub use event::{Event, EventKind, Subject};
pub use id::{CallId, MessageId};
#[cfg(test)]
pub(crate) use message::tests::received;
pub use message::{Content, Message, MessageStatus};
pub use number::{E164, NumberError};
pub use private::{Private, show_in_logs};

use std::time::Duration;

/// Whole milliseconds, as records and events tell times.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
