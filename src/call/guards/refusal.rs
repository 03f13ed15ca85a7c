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
            _ => EndReason::Guarded,
        }
    }

    /// When it is worth asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Hours { opens: wait } | Refusal::Spend { wait, .. } => Some(*wait),
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
