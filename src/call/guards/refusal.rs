//! What the guards refuse, each with its code.

use std::fmt;
use std::time::Duration;

use crate::domain::{EndReason, Money};

/// Whose spending is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purse {
    Key,
    Account,
    Box,
}

/// For how long a limit of spending stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    Day,
    Month,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    Emergency,
    Crisis,
    Service,
    Premium,
    Unassigned,
    Denied,
    NotAllowed,
    /// Not at this time of the day.
    Hours {
        opens: Duration,
    },
    /// So many calls are up with this key.
    KeyCalls {
        most: u32,
    },
    BoxCalls {
        most: u32,
    },
    /// So many calls have begun within a minute.
    KeyPace {
        most: u32,
        wait: Duration,
    },
    BoxPace {
        most: u32,
        wait: Duration,
    },
    Spend {
        purse: Purse,
        period: Period,
        limit: Money,
        wait: Duration,
    },
    Credits,
}

impl Refusal {
    /// One of each, for tests and documents.
    pub const CODES: &'static [&'static str] = &[
        "emergency_number",
        "crisis_line",
        "service_number",
        "premium_number",
        "unassigned_number",
        "destination_denied",
        "destination_not_allowed",
        "outside_hours",
        "key_calls_limit",
        "box_calls_limit",
        "key_rate_limit",
        "box_rate_limit",
        "key_spend_limit",
        "account_spend_limit",
        "box_spend_limit",
        "insufficient_credits",
    ];

    /// Stable: clients match on it.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Emergency => "emergency_number",
            Refusal::Crisis => "crisis_line",
            Refusal::Service => "service_number",
            Refusal::Premium => "premium_number",
            Refusal::Unassigned => "unassigned_number",
            Refusal::Denied => "destination_denied",
            Refusal::NotAllowed => "destination_not_allowed",
            Refusal::Hours { .. } => "outside_hours",
            Refusal::KeyCalls { .. } => "key_calls_limit",
            Refusal::BoxCalls { .. } => "box_calls_limit",
            Refusal::KeyPace { .. } => "key_rate_limit",
            Refusal::BoxPace { .. } => "box_rate_limit",
            Refusal::Spend { purse: Purse::Key, .. } => "key_spend_limit",
            Refusal::Spend { purse: Purse::Account, .. } => "account_spend_limit",
            Refusal::Spend { purse: Purse::Box, .. } => "box_spend_limit",
            Refusal::Credits => "insufficient_credits",
        }
    }

    /// Whether it is the number that is refused, whenever and whoever asks.
    pub fn is_of_the_number(&self) -> bool {
        matches!(
            self,
            Refusal::Emergency
                | Refusal::Crisis
                | Refusal::Service
                | Refusal::Premium
                | Refusal::Unassigned
                | Refusal::Denied
                | Refusal::NotAllowed
        )
    }

    /// What ends a call that is refused when its turn has come, or while it lasts.
    pub fn end_reason(&self) -> EndReason {
        match self {
            Refusal::Credits => EndReason::OutOfCredits,
            Refusal::Spend { .. } => EndReason::SpendLimit,
            Refusal::Hours { .. } => EndReason::OutsideHours,
            _ if self.is_of_the_number() => EndReason::Guarded,
            _ => EndReason::NoCapacity,
        }
    }

    /// When it is worth asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Hours { opens: wait }
            | Refusal::KeyPace { wait, .. }
            | Refusal::BoxPace { wait, .. }
            | Refusal::Spend { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// A sentence for the client, without the number: it knows that.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Emergency => f.write_str(
                "is an emergency number, which this box never rings; whoever needs help must dial it from a telephone of their own",
            ),
            Refusal::Crisis => {
                f.write_str("is a crisis line, kept free for people in need; guards.open in the configuration allows it")
            }
            Refusal::Service => f.write_str(
                "is a service number (N11 or its like); guards.open in the configuration allows it",
            ),
            Refusal::Premium => f.write_str(
                "is charged at a premium rate; guards.open in the configuration allows it",
            ),
            Refusal::Unassigned => f.write_str(
                "is in no numbering plan, so nobody can be reached by it; guards.unassigned in the configuration allows it",
            ),
            Refusal::Denied => f.write_str("is denied by guards.deny in the configuration"),
            Refusal::NotAllowed => {
                f.write_str("is not among what guards.allow in the configuration allows")
            }
            Refusal::Hours { .. } => {
                f.write_str("it is outside the hours in which calls and messages may go out (guards.hours)")
            }
            Refusal::KeyCalls { most } => {
                write!(f, "{most} calls are up or waiting with this key, which is as many as it may have")
            }
            Refusal::BoxCalls { most } => {
                write!(f, "{most} outbound calls are up, which is as many as this box may have")
            }
            Refusal::KeyPace { most, .. } => {
                write!(f, "{most} calls have begun with this key within a minute, which is as many as may")
            }
            Refusal::BoxPace { most, .. } => {
                write!(f, "{most} calls have begun within a minute, which is as many as may")
            }
            Refusal::Spend { purse, period, limit, .. } => {
                let purse = match purse {
                    Purse::Key => "this key",
                    Purse::Account => "this account",
                    Purse::Box => "this box",
                };
                let period = match period {
                    Period::Day => "day",
                    Period::Month => "month",
                };
                write!(f, "{purse} has spent the {limit} that it may in a {period} (UTC)")
            }
            Refusal::Credits => f.write_str("the account's credits are used up"),
        }
    }
}
