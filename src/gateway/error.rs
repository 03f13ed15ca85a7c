//! What a verb refuses, in no vocabulary's words: each turns the kind into its own status, and may show the rest.

use std::time::Duration;

use crate::call::RouteError;
use crate::domain::MissingScope;
use crate::store::StoreError;

/// What kind of failure it was; each vocabulary turns it into its own status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Invalid,
    /// No key, or none of ours.
    Unauthorized,
    /// The key may not, or the guards forbid it.
    Forbidden,
    /// The account's credits do not suffice.
    Unpaid,
    NotFound,
    /// Not in the state that it is in.
    Conflict,
    /// Too often, or too many.
    TooMany,
    /// No room now; later perhaps.
    Busy,
    /// The trunk or the store does not do its part.
    Unavailable,
    Internal,
}

impl Kind {
    /// The code of a failure that has none of its own.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::Unpaid => "insufficient_credits",
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::TooMany => "too_many_requests",
            Kind::Busy => "no_capacity",
            Kind::Unavailable => "unavailable",
            Kind::Internal => "internal_error",
        }
    }
}

/// `public` may be shown to the client.
#[derive(Debug, thiserror::Error)]
#[error("{public}")]
pub struct Error {
    pub kind: Kind,
    /// Stable: clients match on it.
    pub code: &'static str,
    pub field: Option<&'static str>,
    pub public: String,
    pub retry_after: Option<Duration>,
}

impl Error {
    pub fn new(kind: Kind, public: impl Into<String>) -> Self {
        Self { kind, code: kind.code(), field: None, public: public.into(), retry_after: None }
    }

    /// With a code of its own.
    pub fn coded(kind: Kind, code: &'static str, public: impl Into<String>) -> Self {
        Self { code, ..Self::new(kind, public) }
    }

    pub fn field(field: &'static str, public: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(Kind::Invalid, public) }
    }

    /// Also where it is another account's: nobody learns that it exists.
    pub fn missing(noun: &str, id: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("there is no {noun} {id}"))
    }

    pub(super) fn route(error: RouteError) -> Self {
        match error {
            RouteError::Refused(reason) => Error::field("to", reason),
            RouteError::Guarded(refusal) => Error::refused(refusal),
            RouteError::Unreachable(reason) => Error::new(Kind::Unavailable, reason),
        }
    }
}

impl From<MissingScope> for Error {
    fn from(missing: MissingScope) -> Self {
        Error::coded(Kind::Forbidden, "missing_scope", missing.to_string())
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Error::coded(
            Kind::Busy,
            "store_unavailable",
            "the store failed, perhaps for want of disk space; see the log",
        )
    }
}
