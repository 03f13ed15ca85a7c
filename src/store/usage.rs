//! What was used and spent, day by day (UTC), written in the transaction of the record that it comes from.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::tables::Visitor;
use super::{Entry, Record, Store, StoreError, credits, decode, encode};
use crate::domain::{AccountId, Call, EventKind, KeyId, Message, Money, Rates, Spent, Usage};

/// Account, day (since the beginning of our era).
const USAGE: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("usage");
/// An account, a key or [`THE_BOX`], and a day; millionths of the operator's currency.
const SPENT: TableDefinition<(&str, u32), i64> = TableDefinition::new("spent");
const THE_BOX: &str = "box";

/// What things cost here, and whether that is taken from credits.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Terms {
    pub rates: Rates,
    pub credits: bool,
}

pub(super) fn visit(visitor: &mut impl Visitor) -> Result<(), StoreError> {
    visitor.table(USAGE)?;
    visitor.table(SPENT)
}

/// Whose doing it was, and when.
pub(super) struct Booking<'a> {
    pub(super) account: &'a AccountId,
    pub(super) key: Option<&'a KeyId>,
    /// The call, the message; absent where there is no record of it.
    pub(super) subject: Option<&'a str>,
    pub(super) at: DateTime<Utc>,
}

/// A price for what is over and has none yet.
pub(super) fn price(record: &mut Record, rates: &Rates) {
    match record {
        Record::Call(call) if call.status.is_over() && call.cost.is_none() => {
            call.cost = Some(rates.call(call))
        }
        Record::Message(message) if message.status.is_final() && message.cost.is_none() => {
            message.cost = Some(rates.message(message));
        }
        Record::Call(_) | Record::Message(_) | Record::Number(_) => {}
    }
}

/// Books a call that was not over `before` and is now.
pub(super) fn call(
    transaction: &WriteTransaction,
    terms: &Terms,
    before: Option<&Call>,
    now: &Call,
) -> Result<(), StoreError> {
    if !now.status.is_over() || before.is_some_and(|before| before.status.is_over()) {
        return Ok(());
    }
    let booking = Booking {
        account: &now.account,
        key: now.key_id.as_ref(),
        subject: Some(now.id.as_str()),
        at: now.ended_at.unwrap_or(now.created_at),
    };
    book(transaction, terms, &booking, Usage::of_call(now))
}

/// Books a message that was not settled `before` and is now.
pub(super) fn message(
    transaction: &WriteTransaction,
    terms: &Terms,
    before: Option<&Message>,
    now: &Message,
) -> Result<(), StoreError> {
    if !now.status.is_final() || before.is_some_and(|before| before.status.is_final()) {
        return Ok(());
    }
    let booking = Booking {
        account: &now.account,
        key: now.key_id.as_ref(),
        subject: Some(now.id.as_str()),
        at: now.settled_at.unwrap_or(now.created_at),
    };
    book(transaction, terms, &booking, Usage::of_message(now))
}

fn book(
    transaction: &WriteTransaction,
    terms: &Terms,
    booking: &Booking<'_>,
    used: Usage,
) -> Result<(), StoreError> {
    if used == Usage::default() {
        return Ok(());
    }
    let (account, day) = (booking.account.as_str(), day_of(booking.at.date_naive()));
    let mut days = transaction.open_table(USAGE)?;
    let mut sum: Usage =
        days.get((account, day))?.map(|day| decode(day.value())).transpose()?.unwrap_or_default();
    sum += used;
    days.insert((account, day), encode(&sum)?.as_slice())?;
    if used.cost == Money::ZERO {
        return Ok(());
    }
    let mut spent = transaction.open_table(SPENT)?;
    for purse in [Some(THE_BOX), Some(account), booking.key.map(KeyId::as_str)].into_iter().flatten() {
        let before = spent.get((purse, day))?.map_or(0, |sum| sum.value());
        spent.insert((purse, day), before.saturating_add(used.cost.micros()))?;
    }
    if terms.credits { credits::charge(transaction, booking, used.cost) } else { Ok(()) }
}

impl Store {
    /// Sets what an entry that is over costs, in its record and in what is told of it. What is written without is priced then.
    pub fn price(&self, entry: &mut Entry) {
        price(&mut entry.record, &self.terms().rates);
        let Record::Message(message) = &entry.record else { return };
        for event in &mut entry.events {
            if let EventKind::MessageReceived(told)
            | EventKind::MessageSent(told)
            | EventKind::MessageFailed(told) = &mut event.kind
            {
                told.cost = message.cost;
            }
        }
    }

    /// What an account used on each day from `first` to `last`, both included; days without any are left out.
    pub fn usage(
        &self,
        account: &AccountId,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Vec<(NaiveDate, Usage)>, StoreError> {
        let days = self.begin_read()?.open_table(USAGE)?;
        let account = account.as_str();
        let mut found = Vec::new();
        for entry in days.range((account, day_of(first))..=(account, day_of(last)))? {
            let (key, value) = entry?;
            let day = i32::try_from(key.value().1).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
            found.extend(day.map(|day| Ok::<_, StoreError>((day, decode(value.value())?))).transpose()?);
        }
        Ok(found)
    }

    /// What a key, an account and the box have spent on this day and in its month.
    pub fn spent(
        &self,
        key: Option<&KeyId>,
        account: &AccountId,
        today: NaiveDate,
    ) -> Result<[Spent; 3], StoreError> {
        let table = self.begin_read()?.open_table(SPENT)?;
        let first = day_of(today.with_day(1).unwrap_or(today));
        let of = |purse: &str| {
            let mut spent = Spent::default();
            for entry in table.range((purse, first)..=(purse, day_of(today)))? {
                let (day, sum) = entry?;
                let sum = Money::from_micros(sum.value());
                spent.this_month += sum;
                if day.value().1 == day_of(today) {
                    spent.today += sum;
                }
            }
            Ok::<_, StoreError>(spent)
        };
        Ok([
            key.map(|key| of(key.as_str())).transpose()?.unwrap_or_default(),
            of(account.as_str())?,
            of(THE_BOX)?,
        ])
    }

    /// Charges for speech that was asked for by itself.
    pub fn charge_speech(
        &self,
        account: &AccountId,
        key: Option<&KeyId>,
        characters: u64,
        at: DateTime<Utc>,
    ) -> Result<Money, StoreError> {
        let terms = self.terms();
        let cost = terms.rates.speech(characters);
        let booking = Booking { account, key, subject: None, at };
        self.change(|tx| book(tx, terms, &booking, Usage { characters, cost, ..Usage::default() }))?;
        Ok(cost)
    }
}

fn day_of(date: NaiveDate) -> u32 {
    u32::try_from(date.num_days_from_ce()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CallId, CreditKind, Direction, EndReason, Event, MessageStatus, Status, received};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn open(credits: bool) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let rates = Rates {
            outbound: "0.60".parse().unwrap(),
            message_in: "0.01".parse().unwrap(),
            message_out: "0.02".parse().unwrap(),
            characters: "1".parse().unwrap(),
            ..Rates::default()
        };
        store.agree(Terms { rates, credits });
        (store, folder)
    }

    fn call(n: u8, key: Option<KeyId>, ended: &str, seconds: i64) -> Call {
        let end = at(ended);
        let begun = end - chrono::Duration::seconds(seconds);
        let (from, to) = ("+15550100001".into(), "+14155550123".into());
        let mut call = Call::new(CallId::from_random([n; 10]), Direction::Outbound, from, to, begun);
        call.key_id = key;
        call.answered_at = Some(begun);
        call.end(EndReason::CalleeHungUp, None, end);
        call
    }

    fn write(store: &Store, call: &Call) {
        store.record(&[Entry { record: Record::Call(Box::new(call.clone())), events: Vec::new() }]).unwrap();
    }

    #[test]
    fn a_call_is_charged_once_with_its_record_and_to_its_day() {
        let (store, _folder) = open(false);
        let house = AccountId::house();
        let key = KeyId::from_random([9; 10]);
        let ended = call(1, Some(key.clone()), "2026-03-02T10:00:00Z", 10);
        let running = Call { status: Status::InProgress, ended_at: None, duration_ms: 0, ..ended.clone() };
        write(&store, &running);
        assert_eq!(
            store.spent(Some(&key), &house, at("2026-03-02T11:00:00Z").date_naive()).unwrap(),
            [Spent::default(); 3]
        );
        // Told three times, charged once.
        for _ in 0..3 {
            write(&store, &ended);
        }
        write(&store, &call(2, None, "2026-03-01T23:59:59Z", 5));
        write(&store, &call(3, None, "2026-02-28T23:59:59Z", 5));
        assert_eq!(store.call(&ended.id).unwrap().unwrap().cost.unwrap().to_string(), "0.10");
        let spent = |today: &str, month: &str| Spent {
            today: today.parse().unwrap(),
            this_month: month.parse().unwrap(),
        };
        let found = store.spent(Some(&key), &house, at("2026-03-02T00:00:00Z").date_naive()).unwrap();
        assert_eq!(found, [spent("0.10", "0.10"), spent("0.10", "0.15"), spent("0.10", "0.15")]);
        let days = store.usage(
            &house,
            at("2026-03-01T00:00:00Z").date_naive(),
            at("2026-03-31T00:00:00Z").date_naive(),
        );
        let days = days.unwrap();
        assert_eq!(days.iter().map(|(day, _)| day.day()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((days[1].1.calls_out, days[1].1.seconds_out), (1, 10));
    }

    #[test]
    fn a_call_that_a_killed_process_left_open_is_charged_until_its_last_event() {
        let (store, _folder) = open(false);
        let ended = call(1, None, "2026-03-02T10:00:00Z", 10);
        let running = Call { status: Status::InProgress, ended_at: None, duration_ms: 0, ..ended.clone() };
        let event = Event::of_call(&running, 1, at("2026-03-02T09:59:55Z"), EventKind::started(&running));
        store.record(&[Entry { record: Record::Call(Box::new(running)), events: vec![event] }]).unwrap();
        assert_eq!(store.close_interrupted(at("2026-03-02T20:00:00Z")).unwrap(), 1);
        let closed = store.call(&ended.id).unwrap().unwrap();
        assert_eq!((closed.duration_ms, closed.cost.unwrap().to_string().as_str()), (5_000, "0.05"));
    }

    #[test]
    fn messages_are_charged_when_they_are_settled() {
        let (store, _folder) = open(true);
        let house = AccountId::house();
        let write = |message: &Message| {
            store
                .record(&[Entry { record: Record::Message(Box::new(message.clone())), events: Vec::new() }])
                .unwrap();
        };
        let day = |store: &Store| {
            let today = received(1, "+15550100001").created_at.date_naive();
            store.usage(&house, today, today).unwrap().first().map(|(_, usage)| *usage).unwrap_or_default()
        };
        // As it is before it has a price.
        let received = |n| Message { cost: None, ..received(n, "+15550100001") };
        let mut out = received(1);
        out.status = MessageStatus::Queued;
        write(&out);
        assert_eq!(day(&store), Usage::default());
        out.settle(200, None, out.created_at);
        write(&out);
        write(&out);
        write(&received(2));
        let mut failed = received(3);
        failed.settle(404, None, failed.created_at);
        write(&failed);
        let used = day(&store);
        assert_eq!((used.messages_in, used.messages_out, used.cost.to_string().as_str()), (1, 1, "0.03"));
        assert_eq!(store.balance(&house).unwrap().to_string(), "-0.03");
    }

    #[test]
    fn charges_are_taken_from_credits_and_the_ledger_adds_up() {
        let (store, _folder) = open(true);
        let house = AccountId::house();
        let grant = store.add_credits(
            CreditKind::Grant,
            &house,
            "1".parse().unwrap(),
            [1; 10],
            None,
            None,
            at("2026-03-01T00:00:00Z"),
        );
        assert_eq!(grant.unwrap().balance.to_string(), "1.00");
        write(&store, &call(1, None, "2026-03-02T10:00:00Z", 30));
        write(&store, &call(1, None, "2026-03-02T10:00:00Z", 30));
        let spoken = store.charge_speech(&house, None, 250, at("2026-03-03T00:00:00Z")).unwrap();
        assert_eq!(spoken.to_string(), "0.25");
        let entries = store.credit_entries(&house, None, None, 9).unwrap().items;
        let told: Vec<_> =
            entries.iter().map(|e| (e.kind, e.amount.to_string(), e.balance.to_string())).collect();
        assert_eq!(
            told,
            [
                (CreditKind::Charge, "-0.25".into(), "0.45".into()),
                (CreditKind::Charge, "-0.30".into(), "0.70".into()),
                (CreditKind::Grant, "1.00".into(), "1.00".into()),
            ]
        );
        let charges = store.credit_entries(&house, Some(CreditKind::Charge), None, 9).unwrap().items;
        assert_eq!(charges.len(), 2);
        assert_eq!(
            store.balance(&house).unwrap(),
            entries.iter().map(|e| e.amount).fold(Money::ZERO, |a, b| a + b)
        );
    }
}
