//! Messages in the database: by id, and for lists by time, of one number or of all.

use chrono::{DateTime, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{Entry, Record, Store, StoreError, decode, encode};
use crate::domain::{E164, Event, EventKind, Message, MessageId};

const MESSAGES: TableDefinition<&str, &[u8]> = TableDefinition::new("messages");
/// Created-at (µs) and id.
const BY_TIME: TableDefinition<(u64, &str), ()> = TableDefinition::new("messages_by_time");
/// Number, created-at (µs) and id: one number's inbox is one stretch of it.
const BY_NUMBER: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("messages_by_number");
/// Those that are on their way out, so that the next start finds them without reading all.
const QUEUED: TableDefinition<&str, ()> = TableDefinition::new("messages_queued");

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(MESSAGES)?;
    transaction.open_table(BY_TIME)?;
    transaction.open_table(BY_NUMBER)?;
    transaction.open_table(QUEUED)?;
    Ok(())
}

pub(super) fn write<'a>(
    transaction: &WriteTransaction,
    messages: impl Iterator<Item = &'a Message>,
) -> Result<(), StoreError> {
    let mut messages = messages.peekable();
    if messages.peek().is_none() {
        return Ok(());
    }
    let mut table = transaction.open_table(MESSAGES)?;
    let mut by_time = transaction.open_table(BY_TIME)?;
    let mut by_number = transaction.open_table(BY_NUMBER)?;
    let mut queued = transaction.open_table(QUEUED)?;
    for message in messages {
        let (id, at) = (message.id.as_str(), micros(message.created_at));
        let is_new = table.insert(id, encode(message)?.as_slice())?.is_none();
        if is_new {
            super::threads::follow(transaction, message)?;
        }
        by_time.insert((at, id), ())?;
        by_number.insert((message.number.as_str(), at, id), ())?;
        if message.status.is_final() {
            queued.remove(id)?;
        } else {
            queued.insert(id, ())?;
        }
    }
    Ok(())
}

impl Store {
    pub fn message(&self, id: &MessageId) -> Result<Option<Message>, StoreError> {
        let table = self.begin_read()?.open_table(MESSAGES)?;
        table.get(id.as_str())?.map(|value| decode(value.value())).transpose()
    }

    /// The newest first, of one number or of all; those before `before`, where that is given. At most `limit`.
    pub fn messages(
        &self,
        number: Option<&E164>,
        before: Option<&Message>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let transaction = self.begin_read()?;
        let (at, id) = before.map_or((u64::MAX, ""), |one| (micros(one.created_at), one.id.as_str()));
        let mut ids: Vec<String> = Vec::new();
        match number {
            Some(number) => {
                let index = transaction.open_table(BY_NUMBER)?;
                let number = number.as_str();
                for entry in index.range((number, 0, "")..(number, at, id))?.rev().take(limit) {
                    ids.push(entry?.0.value().2.to_owned());
                }
            }
            None => {
                let index = transaction.open_table(BY_TIME)?;
                for entry in index.range((0, "")..(at, id))?.rev().take(limit) {
                    ids.push(entry?.0.value().1.to_owned());
                }
            }
        }
        let table = transaction.open_table(MESSAGES)?;
        let mut messages = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(value) = table.get(id.as_str())? {
                messages.push(decode(value.value())?);
            }
        }
        Ok(messages)
    }

    /// Closes every message that an earlier process left on its way: whether it arrived is not known, and to send it
    /// again might deliver it twice. Returns how many.
    pub fn settle_interrupted(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let ids: Vec<String> = {
            let table = self.begin_read()?.open_table(QUEUED)?;
            table.iter()?.map(|entry| Ok(entry?.0.value().to_owned())).collect::<Result<_, StoreError>>()?
        };
        for id in &ids {
            let Some(mut message) = id.parse().ok().map(|id| self.message(&id)).transpose()?.flatten() else {
                continue;
            };
            message.interrupt(now);
            let seq = self.events(&message.id)?.last().map_or(1, |event| event.seq + 1);
            let kind = EventKind::of_message(&message);
            let event = kind.map(|kind| Event::of_message(&message, seq, now, kind));
            self.record(&[Entry {
                record: Record::Message(Box::new(message)),
                events: event.into_iter().collect(),
            }])?;
        }
        Ok(ids.len())
    }
}

fn micros(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{MessageStatus, received};

    const ONE: &str = "+15550100001";
    const TWO: &str = "+15550100002";

    fn entry(message: Message) -> Entry {
        Entry { record: Record::Message(Box::new(message)), events: Vec::new() }
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_random([n; 10])
    }

    #[test]
    fn an_inbox_is_read_page_by_page_from_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for n in 1..=6 {
            store.record(&[entry(received(n, if n % 3 == 0 { TWO } else { ONE }))]).unwrap();
        }
        let (one, two): (E164, E164) = (ONE.parse().unwrap(), TWO.parse().unwrap());
        let ids = |messages: &[Message]| messages.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        let page = store.messages(Some(&one), None, 3).unwrap();
        assert_eq!(ids(&page), [5, 4, 2].map(id));
        // One that comes meanwhile moves nothing.
        store.record(&[entry(received(7, ONE))]).unwrap();
        let rest = store.messages(Some(&one), page.last(), 3).unwrap();
        assert_eq!(ids(&rest), [id(1)]);
        assert_eq!(ids(&store.messages(Some(&two), None, 9).unwrap()), [6, 3].map(id));
        let all = store.messages(None, None, 4).unwrap();
        assert_eq!(ids(&all), [7, 6, 5, 4].map(id));
        assert_eq!(ids(&store.messages(None, all.last(), 4).unwrap()), [3, 2, 1].map(id));
        assert_eq!(store.message(&id(9)).unwrap(), None);
        assert_eq!(store.message(&id(3)).unwrap(), Some(received(3, TWO)));
    }

    #[test]
    fn messages_of_one_instant_are_each_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for n in 1..=5 {
            store.record(&[entry(Message { id: id(n), ..received(9, ONE) })]).unwrap();
        }
        let (mut seen, mut last) = (Vec::new(), None);
        loop {
            let page = store.messages(None, last.as_ref(), 2).unwrap();
            let Some(end) = page.last().cloned() else { break };
            seen.extend(page.into_iter().map(|m| m.id));
            last = Some(end);
        }
        assert_eq!(seen, [5, 4, 3, 2, 1].map(id));
    }

    #[test]
    fn a_message_that_a_killed_process_left_on_its_way_is_failed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let queued = |n| Message { status: MessageStatus::Queued, ..received(n, ONE) };
        let mut sent = queued(2);
        store.record(&[entry(queued(1)), entry(sent.clone()), entry(received(3, ONE))]).unwrap();
        sent.settle(200, None, DateTime::UNIX_EPOCH);
        store.record(&[entry(sent)]).unwrap();
        assert_eq!(store.settle_interrupted(Utc::now()).unwrap(), 1);
        let closed = store.message(&id(1)).unwrap().unwrap();
        assert_eq!((closed.status, closed.sip_status), (MessageStatus::Failed, None));
        assert_eq!(store.events(&closed.id).unwrap()[0].kind.name(), "message.failed");
        assert_eq!(store.message(&id(2)).unwrap().unwrap().status, MessageStatus::Sent);
        assert_eq!(store.settle_interrupted(Utc::now()).unwrap(), 0);
    }
}
