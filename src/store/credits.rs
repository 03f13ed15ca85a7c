//! An account's credits: a ledger that is only added to, and the balance after its last entry.

use chrono::{DateTime, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::collection::{self, Cursor, Kept, Page, word};
use super::tables::Visitor;
use super::usage::Booking;
use super::{Store, StoreError};
use crate::domain::{AccountId, CreditEntry, CreditId, CreditKind, KeyId, Money};

/// Account; millionths of the operator's currency.
const BALANCES: TableDefinition<&str, i64> = TableDefinition::new("credit_balances");

impl Kept for CreditEntry {
    const TABLE: &'static str = "credits";
    const LISTS: &'static str = "credits_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        vec![self.account.to_string(), format!("{}/kind={}", self.account, word(&self.kind))]
    }
}

pub(super) fn visit(visitor: &mut impl Visitor) -> Result<(), StoreError> {
    visitor.table(BALANCES)?;
    collection::visit::<CreditEntry>(visitor)
}

/// Takes what something cost.
pub(super) fn charge(
    transaction: &WriteTransaction,
    booking: &Booking<'_>,
    cost: Money,
) -> Result<(), StoreError> {
    // Of its subject, so that no call is charged twice; what has none is told apart by the moment and the sum.
    let name = match booking.subject {
        Some(subject) => subject.to_owned(),
        None => format!("{} {} {cost}", booking.account, booking.at.timestamp_nanos_opt().unwrap_or(0)),
    };
    let entry = CreditEntry {
        id: CreditId::from_name(&name),
        account: booking.account.clone(),
        kind: CreditKind::Charge,
        amount: -cost,
        balance: Money::ZERO,
        created_at: booking.at,
        subject: booking.subject.map(str::to_owned),
        key_id: booking.key.cloned(),
        note: None,
    };
    add(transaction, entry).map(drop)
}

fn add(transaction: &WriteTransaction, entry: CreditEntry) -> Result<CreditEntry, StoreError> {
    let mut balances = transaction.open_table(BALANCES)?;
    let before = balances.get(entry.account.as_str())?.map_or(0, |balance| balance.value());
    let balance = Money::from_micros(before) + entry.amount;
    balances.insert(entry.account.as_str(), balance.micros())?;
    let entry = CreditEntry { balance, ..entry };
    collection::put(transaction, &entry)?;
    Ok(entry)
}

impl Store {
    /// What an account may still spend.
    pub fn balance(&self, account: &AccountId) -> Result<Money, StoreError> {
        let balances = self.begin_read()?.open_table(BALANCES)?;
        Ok(Money::from_micros(balances.get(account.as_str())?.map_or(0, |balance| balance.value())))
    }

    /// Grants or sells credits; `amount` may be less than nothing, where the operator takes some back.
    #[expect(clippy::too_many_arguments, reason = "the fields of one entry")]
    pub fn add_credits(
        &self,
        kind: CreditKind,
        account: &AccountId,
        amount: Money,
        random: [u8; 10],
        key_id: Option<KeyId>,
        note: Option<String>,
        at: DateTime<Utc>,
    ) -> Result<CreditEntry, StoreError> {
        let entry = CreditEntry {
            id: CreditId::from_random(random),
            account: account.clone(),
            kind,
            amount,
            balance: Money::ZERO,
            created_at: at,
            subject: None,
            key_id,
            note,
        };
        self.change(|tx| add(tx, entry))
    }

    /// Of one account, the newest first.
    pub fn credit_entries(
        &self,
        account: &AccountId,
        kind: Option<CreditKind>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<CreditEntry>, StoreError> {
        let list = kind.map_or_else(|| account.to_string(), |kind| format!("{account}/kind={}", word(&kind)));
        collection::page(&self.begin_read()?, &list, after, limit, |_| true)
    }
}
