//! Events: each under what it tells of, and all of an account in the order in which they were written.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::hooks;
use super::schema::META;
use super::{Store, StoreError, decode, encode};
use crate::domain::{AccountId, Event};

/// Id of the call, message or number and the event's number in it; how manieth event of this database it is, and the event.
pub(super) const EVENTS: TableDefinition<(&str, u64), (u64, &[u8])> = TableDefinition::new("outbox");
/// Account and how manieth event of this database; where it stands in [`EVENTS`].
pub(super) const ORDER: TableDefinition<(&str, u64), (&str, u64)> = TableDefinition::new("outbox_order");
/// How many events were ever written, in [`META`].
const WRITTEN: &str = "events";

/// Writes events, in the transaction of the change that they tell of.
pub(super) fn tell(transaction: &WriteTransaction, events: &[Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut meta = transaction.open_table(META)?;
    let mut outbox = transaction.open_table(EVENTS)?;
    let mut order = transaction.open_table(ORDER)?;
    let mut told = Vec::new();
    let mut nth = meta.get(WRITTEN)?.map_or(0, |written| written.value());
    for event in events {
        nth += 1;
        let (subject, account) = (event.subject.as_str(), event.account.as_str());
        let before = outbox.insert((subject, event.seq), (nth, encode(event)?.as_slice()))?;
        match before {
            Some(before) => drop(order.remove((account, before.value().0))?),
            None => told.push(event),
        }
        order.insert((account, nth), (subject, event.seq))?;
    }
    meta.insert(WRITTEN, nth)?;
    told.into_iter().try_for_each(|event| hooks::enqueue(transaction, event))
}

/// Subject and number of an event, out of its id.
fn place(event_id: &str) -> Option<(&str, u64)> {
    let (subject, seq) = event_id.strip_prefix("evt_")?.rsplit_once('_')?;
    Some((subject, seq.parse().ok()?))
}

impl Store {
    /// The events of a call, a message or a number in their order.
    pub fn events(&self, subject: impl AsRef<str>) -> Result<Vec<Event>, StoreError> {
        self.events_after(subject, 0, usize::MAX)
    }

    /// Those after number `seq`, at most `limit`.
    pub fn events_after(
        &self,
        subject: impl AsRef<str>,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let Some(first) = seq.checked_add(1) else { return Ok(Vec::new()) };
        let (table, subject) = (self.begin_read()?.open_table(EVENTS)?, subject.as_ref());
        let found = table.range((subject, first)..=(subject, u64::MAX))?.take(limit);
        found.map(|entry| decode(entry?.1.value().1)).collect()
    }

    /// Events of an account after the one of this id, in the order in which they were written, at most `limit`. `None`: no event of
    /// that account has this id.
    pub fn events_since(
        &self,
        account: &AccountId,
        event_id: &str,
        limit: usize,
    ) -> Result<Option<Vec<Event>>, StoreError> {
        let Some(place) = place(event_id) else { return Ok(None) };
        let transaction = self.begin_read()?;
        let (outbox, order) = (transaction.open_table(EVENTS)?, transaction.open_table(ORDER)?);
        let Some(nth) = outbox.get(place)?.map(|event| event.value().0) else { return Ok(None) };
        if order.get((account.as_str(), nth))?.is_none() {
            return Ok(None);
        }
        let mut events = Vec::new();
        for entry in order.range((account.as_str(), nth + 1)..=(account.as_str(), u64::MAX))?.take(limit) {
            if let Some(event) = outbox.get(entry?.1.value())? {
                events.push(decode(event.value().1)?);
            }
        }
        Ok(Some(events))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{CallId, EventKind, Private};

    fn event(call: u8, seq: u64, account: &AccountId) -> Event {
        let kind = EventKind::Dtmf { digit: Private::new('1'), duration_ms: 100 };
        let subject = CallId::from_random([call; 10]).into();
        Event { subject, account: account.clone(), agent_id: None, seq, at: DateTime::UNIX_EPOCH, kind }
    }

    #[test]
    fn a_listener_that_comes_back_gets_what_it_missed_and_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (ours, other) = (AccountId::house(), AccountId::from_random([9; 10]));
        let all = [(1, 1, &ours), (2, 1, &ours), (3, 1, &other), (1, 2, &ours), (2, 2, &ours)];
        let all = all.map(|(call, seq, account)| event(call, seq, account));
        for event in &all {
            store.change(|tx| tell(tx, std::slice::from_ref(event))).unwrap();
        }
        let since = |account, id: &str, limit| store.events_since(account, id, limit).unwrap();
        assert_eq!(since(&ours, &all[0].id(), 9), Some([1, 3, 4].map(|n| all[n].clone()).to_vec()));
        assert_eq!(since(&ours, &all[0].id(), 2), Some([1, 3].map(|n| all[n].clone()).to_vec()));
        assert_eq!(since(&ours, &all[4].id(), 9), Some(Vec::new()));
        assert_eq!(since(&other, &all[2].id(), 9), Some(Vec::new()));
        for unknown in [&all[2].id(), "evt_call_0_1", "nonsense", ""] {
            assert_eq!(since(&ours, unknown, 9), None, "{unknown}");
        }
        let second = CallId::from_random([2; 10]);
        assert_eq!(store.events_after(&second, 1, 9).unwrap(), [all[4].clone()]);
        assert_eq!(store.events(&second).unwrap().len(), 2);
    }

    #[test]
    fn an_event_that_is_written_again_is_one_event() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let ours = AccountId::house();
        let (first, again) = (event(1, 1, &ours), event(1, 2, &ours));
        store.change(|tx| tell(tx, &[first.clone(), again.clone(), again.clone()])).unwrap();
        assert_eq!(store.events_since(&ours, &first.id(), 9).unwrap(), Some(vec![again]));
    }
}
