//! What was used, what it costs at the operator's rates, and what an account may still spend.

use std::ops::AddAssign;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, Call, CreditId, Direction, KeyId, Message, MessageStatus, Money};

/// What an operator charges. Nothing, where nothing is said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rates {
    /// A minute of a call that comes in.
    pub inbound: Money,
    /// A minute of a call that goes out, and of a transfer to the outside.
    pub outbound: Money,
    /// A minute to numbers that begin so, in place of `outbound`; the longest beginning counts.
    pub to: Vec<(String, Money)>,
    /// Calls are charged by steps of so many seconds, each that has begun.
    pub step: Duration,
    pub message_in: Money,
    pub message_out: Money,
    /// For 1,000.
    pub tokens: Money,
    /// For 1,000 synthesized.
    pub characters: Money,
    /// A minute recorded.
    pub recording: Money,
}

/// What stands in a call's record in place of a trunk, where a phone of the house is on the line: those minutes cost nobody anything.
const EXTENSION: &str = "extension ";

impl Rates {
    /// A minute of a call: `other` is the far end's number or address, `trunk` as in the record.
    pub fn minute(&self, direction: Direction, trunk: &str, other: &str) -> Money {
        match direction {
            _ if trunk.starts_with(EXTENSION) => Money::ZERO,
            Direction::Inbound => self.inbound,
            Direction::Outbound => {
                let of = self.to.iter().filter(|(head, _)| other.starts_with(head.as_str()));
                of.max_by_key(|(head, _)| head.len()).map_or(self.outbound, |(_, rate)| *rate)
            }
        }
    }

    /// So long at so much a minute.
    pub fn of(&self, minute: Money, lasted: Duration) -> Money {
        let step = u64::try_from(self.step.as_millis()).unwrap_or(0).max(1);
        let lasted = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        minute.times(lasted.div_ceil(step).saturating_mul(step), 60_000)
    }

    /// A call that is over, with all that it used.
    pub fn call(&self, call: &Call) -> Money {
        let lasted = Duration::from_millis(call.duration_ms);
        let other = match call.direction {
            Direction::Inbound => &call.from,
            Direction::Outbound => &call.to,
        };
        let mut cost = self.of(self.minute(call.direction, &call.trunk, other.reveal()), lasted);
        if let Some(target) = &call.transferred_to
            && target.reveal().starts_with('+')
        {
            let beside = Duration::from_millis(call.usage.transfer_ms);
            cost += self.of(self.minute(Direction::Outbound, "", target.reveal()), beside);
        }
        if !call.recordings.is_empty() {
            cost += self.of(self.recording, lasted);
        }
        cost + self.tokens.times(call.usage.tokens, 1000) + self.characters.times(call.usage.characters, 1000)
    }

    /// A message: what nobody took costs nothing.
    pub fn message(&self, message: &Message) -> Money {
        match message.status {
            MessageStatus::Received => self.message_in,
            MessageStatus::Sent | MessageStatus::Accepted | MessageStatus::Delivered => self.message_out,
            MessageStatus::Queued | MessageStatus::Failed => Money::ZERO,
        }
    }

    /// Speech that was asked for by itself.
    pub fn speech(&self, characters: u64) -> Money {
        self.characters.times(characters, 1000)
    }
}

/// What an account used in a while.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Calls that were answered.
    pub calls_in: u64,
    pub calls_out: u64,
    /// Of those calls, from answer to end.
    pub seconds_in: u64,
    pub seconds_out: u64,
    /// Of those calls, with somebody else to whom they were put through.
    pub seconds_transferred: u64,
    pub messages_in: u64,
    /// Messages that somebody took.
    pub messages_out: u64,
    /// Tokens that the brains read and wrote.
    pub tokens: u64,
    /// Characters that were synthesized.
    pub characters: u64,
    pub recordings: u64,
    pub recording_seconds: u64,
    pub recording_bytes: u64,
    /// At the operator's rates.
    pub cost: Money,
}

impl Usage {
    /// Of a call that is over, as it was charged.
    pub fn of_call(call: &Call) -> Self {
        let seconds = call.duration_ms.div_ceil(1000);
        let (answered, recorded) = (call.answered_at.is_some(), !call.recordings.is_empty());
        let mut usage = Usage {
            seconds_transferred: call.usage.transfer_ms.div_ceil(1000),
            tokens: call.usage.tokens,
            characters: call.usage.characters,
            recordings: u64::try_from(call.recordings.len()).unwrap_or(0),
            recording_bytes: call.recordings.iter().map(|part| part.bytes).sum(),
            recording_seconds: if recorded { seconds } else { 0 },
            cost: call.cost.unwrap_or_default(),
            ..Usage::default()
        };
        let (calls, of_them) = match call.direction {
            Direction::Inbound => (&mut usage.calls_in, &mut usage.seconds_in),
            Direction::Outbound => (&mut usage.calls_out, &mut usage.seconds_out),
        };
        (*calls, *of_them) = (answered.into(), seconds);
        usage
    }

    /// Of a message that is settled, as it was charged.
    pub fn of_message(message: &Message) -> Self {
        let is = |status| u64::from(message.status == status);
        Usage {
            messages_in: is(MessageStatus::Received),
            messages_out: is(MessageStatus::Sent)
                + is(MessageStatus::Accepted)
                + is(MessageStatus::Delivered),
            cost: message.cost.unwrap_or_default(),
            ..Usage::default()
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls_in += other.calls_in;
        self.calls_out += other.calls_out;
        self.seconds_in += other.seconds_in;
        self.seconds_out += other.seconds_out;
        self.seconds_transferred += other.seconds_transferred;
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.tokens += other.tokens;
        self.characters += other.characters;
        self.recordings += other.recordings;
        self.recording_seconds += other.recording_seconds;
        self.recording_bytes += other.recording_bytes;
        self.cost += other.cost;
    }
}

/// What a key, an account or the box has spent; days and months are those of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spent {
    pub today: Money,
    pub this_month: Money,
}

impl AddAssign<Money> for Spent {
    fn add_assign(&mut self, sum: Money) {
        self.today += sum;
        self.this_month += sum;
    }
}

/// Why an account's credits changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditKind {
    /// Given by the operator, or, where it is less than nothing, taken back.
    Grant,
    /// Bought by the account, where the operator allows that.
    Purchase,
    /// Used: by a call, a message, speech.
    Charge,
}

/// One change of an account's credits. Entries are added, and never changed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "crd_0123456789abcdef", "account_id": "acct_0000000000000000", "kind": "charge", "amount": "-0.075",
    "balance": "9.925", "created_at": "2026-11-22T09:00:00Z", "subject": "call_0123456789abcdef",
    "key_id": "key_0123456789abcdef", "note": null,
}))]
pub struct CreditEntry {
    pub id: CreditId,
    #[serde(rename = "account_id")]
    pub account: AccountId,
    pub kind: CreditKind,
    /// Less than nothing where credits were used.
    pub amount: Money,
    /// What there was after it.
    pub balance: Money,
    pub created_at: DateTime<Utc>,
    /// The call or message that was charged for.
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub key_id: Option<KeyId>,
    #[serde(default)]
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, CallUsage, EndReason, Private, Recording};

    fn rates() -> Rates {
        Rates {
            inbound: "0.01".parse().unwrap(),
            outbound: "0.06".parse().unwrap(),
            to: vec![("+44".into(), "0.12".parse().unwrap()), ("+4470".into(), "1.20".parse().unwrap())],
            step: Duration::from_secs(1),
            message_in: "0.002".parse().unwrap(),
            message_out: "0.008".parse().unwrap(),
            tokens: "0.10".parse().unwrap(),
            characters: "0.02".parse().unwrap(),
            recording: "0.006".parse().unwrap(),
        }
    }

    fn call(direction: Direction, to: &str, seconds: i64) -> Call {
        let at = DateTime::UNIX_EPOCH;
        let mut call =
            Call::new(CallId::from_random([1; 10]), direction, "+14155550123".into(), to.into(), at);
        call.answered_at = Some(at);
        call.end(EndReason::CallerHungUp, None, at + chrono::Duration::seconds(seconds));
        call
    }

    #[test]
    fn a_call_costs_its_minutes_and_what_it_used() {
        let cost = |call: &Call| rates().call(call).to_string();
        assert_eq!(cost(&call(Direction::Inbound, "+15550100001", 90)), "0.015");
        assert_eq!(cost(&call(Direction::Outbound, "+15550100001", 61)), "0.061");
        assert_eq!(cost(&call(Direction::Outbound, "+442079460123", 60)), "0.12");
        assert_eq!(cost(&call(Direction::Outbound, "+447012345678", 60)), "1.20");
        let mut rich = call(Direction::Outbound, "+15550100001", 60);
        rich.usage = CallUsage { tokens: 1500, characters: 500, transfer_ms: 30_000 };
        rich.transferred_to = Some(Private::new("+442079460123".into()));
        rich.recordings = vec![Recording { part: 0, bytes: 1_920_044 }];
        // 0.06 for the minute, 0.06 for half a minute to +44, 0.006 recorded, 0.15 and 0.01 for tokens and characters.
        assert_eq!(cost(&rich), "0.286");
        let phone = Call { trunk: "extension 201".into(), ..call(Direction::Outbound, "201", 600) };
        assert_eq!(cost(&phone), "0.00");
        let unanswered =
            Call { answered_at: None, duration_ms: 0, ..call(Direction::Outbound, "+442079460123", 60) };
        assert_eq!(cost(&unanswered), "0.00");
    }

    #[test]
    fn a_step_that_has_begun_is_charged() {
        let rates = Rates { step: Duration::from_secs(60), ..rates() };
        let minute: Money = "0.06".parse().unwrap();
        for (seconds, cost) in [(0, "0.00"), (1, "0.06"), (60, "0.06"), (61, "0.12")] {
            assert_eq!(rates.of(minute, Duration::from_secs(seconds)).to_string(), cost);
        }
    }

    #[test]
    fn usage_adds_up() {
        let mut one = call(Direction::Inbound, "+15550100001", 90);
        one.cost = Some(rates().call(&one));
        let mut sum = Usage::of_call(&one);
        sum += Usage::of_call(&call(Direction::Outbound, "+15550100001", 2));
        assert_eq!((sum.calls_in, sum.seconds_in, sum.calls_out, sum.seconds_out), (1, 90, 1, 2));
        assert_eq!(sum.cost.to_string(), "0.015");
    }
}
