//! Conversations by message: written along with the messages that they are made of, so that whoever has asked for no more
//! is known from the moment that the request is.

use chrono::{DateTime, Utc};
use redb::WriteTransaction;

use super::collection::{self, Cursor, Kept, Page};
use super::{Store, StoreError};
use crate::domain::{AccountId, Direction, E164, Keyword, Message, Thread, ThreadId};

impl Kept for Thread {
    const TABLE: &'static str = "threads";
    const LISTS: &'static str = "threads_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The conversation that was alive last is the first of its list.
    #[expect(clippy::misnamed_getters, reason = "what moves to the top is listed by its last change")]
    fn created_at(&self) -> DateTime<Utc> {
        self.last_message_at
    }

    fn lists(&self) -> Vec<String> {
        let Thread { account, number, contact, .. } = self;
        let mut lists = vec![
            account.to_string(),
            format!("{account}/number={number}"),
            format!("{account}/contact={}", contact.reveal()),
        ];
        if self.stopped_at.is_some() {
            lists.push(format!("{account}/stopped"));
        }
        lists
    }
}

/// Which conversations are asked for.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ThreadFilter {
    /// One of our numbers.
    pub number: Option<E164>,
    /// As it stands in [`Thread::contact`].
    pub contact: Option<String>,
    /// Those whose contact has asked for no more messages, or the others.
    pub stopped: Option<bool>,
}

/// Makes a message that is new part of its conversation, and does as it says where it is a word for us.
pub(super) fn follow(transaction: &WriteTransaction, message: &Message) -> Result<(), StoreError> {
    let Some(id) = &message.thread_id else { return Ok(()) };
    let at = message.created_at;
    let known: Option<Thread> = collection::get_to_change(transaction, id.as_str())?;
    let mut thread = known.unwrap_or_else(|| Thread {
        id: id.clone(),
        account: message.account.clone(),
        number: message.number.clone(),
        contact: message.contact().clone(),
        messages: 0,
        stopped_at: None,
        created_at: at,
        last_message_at: at,
    });
    thread.messages += 1;
    thread.last_message_at = thread.last_message_at.max(at);
    if message.direction == Direction::Inbound {
        match message.keyword {
            Some(Keyword::Stop) => thread.stopped_at = thread.stopped_at.or(Some(at)),
            Some(Keyword::Start) => thread.stopped_at = None,
            Some(Keyword::Help) | None => {}
        }
    }
    collection::put(transaction, &thread)?;
    Ok(())
}

impl Store {
    pub fn thread(&self, id: &ThreadId) -> Result<Option<Thread>, StoreError> {
        collection::get(&self.begin_read()?, id.as_str())
    }

    /// Conversations of an account, the one that was alive last first.
    pub fn threads(
        &self,
        account: &AccountId,
        filter: &ThreadFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Thread>, StoreError> {
        // The list that is shortest as a rule; the rest of the filter is asked of each.
        let list = match (&filter.contact, filter.stopped, &filter.number) {
            (Some(contact), ..) => format!("{account}/contact={contact}"),
            (None, Some(true), _) => format!("{account}/stopped"),
            (None, _, Some(number)) => format!("{account}/number={number}"),
            (None, _, None) => account.to_string(),
        };
        let fits = |thread: &Thread| {
            filter.number.as_ref().is_none_or(|number| thread.number == *number)
                && filter.stopped.is_none_or(|stopped| thread.stopped_at.is_some() == stopped)
        };
        collection::page(&self.begin_read()?, &list, after, limit, fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::received;
    use crate::store::{Entry, Record};

    const NUMBER: &str = "+15550100001";
    const CONTACT: &str = "+14155550123";

    fn keep(store: &Store, n: u8, keyword: Option<Keyword>) -> ThreadId {
        let message = Message { keyword, ..received(n, NUMBER) }.in_thread(CONTACT);
        let id = message.thread_id.clone().unwrap();
        store.record(&[Entry { record: Record::Message(Box::new(message)), events: Vec::new() }]).unwrap();
        id
    }

    #[test]
    fn messages_with_one_contact_are_one_conversation() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let id = keep(&store, 1, None);
        assert_eq!(keep(&store, 2, None), id);
        // The same message with another status.
        keep(&store, 2, None);
        let thread = store.thread(&id).unwrap().unwrap();
        assert_eq!((thread.messages, thread.contact.reveal().as_str()), (2, CONTACT));
        assert_eq!((thread.created_at.timestamp(), thread.last_message_at.timestamp()), (1, 2));
    }

    #[test]
    fn whoever_says_stop_is_known_from_that_transaction_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let stopped = |id: &ThreadId| store.thread(id).unwrap().unwrap().stopped_at.map(|at| at.timestamp());
        let id = keep(&store, 1, Some(Keyword::Stop));
        assert_eq!(stopped(&id), Some(1));
        keep(&store, 2, Some(Keyword::Help));
        keep(&store, 3, Some(Keyword::Stop));
        assert_eq!(stopped(&id), Some(1), "since the first time");
        keep(&store, 4, Some(Keyword::Start));
        assert_eq!(stopped(&id), None);
    }

    #[test]
    fn conversations_are_listed_by_their_last_message() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let talk = |n, number: &str, contact: &str, keyword| {
            let mut message = Message { keyword, ..received(n, number) };
            message.from = crate::domain::Private::new(contact.to_owned());
            let record = Record::Message(Box::new(message.in_thread(contact)));
            store.record(&[Entry { record, events: Vec::new() }]).unwrap();
        };
        talk(1, NUMBER, "a", None);
        talk(2, NUMBER, "b", None);
        talk(3, "+15550100002", "a", Some(Keyword::Stop));
        talk(4, NUMBER, "a", None);
        let list = |filter: ThreadFilter| {
            let page = store.threads(&AccountId::house(), &filter, None, 9).unwrap();
            page.items.iter().map(|t| format!("{} {}", t.contact.reveal(), t.messages)).collect::<Vec<_>>()
        };
        assert_eq!(list(ThreadFilter::default()), ["a 2", "a 1", "b 1"]);
        let number = Some(NUMBER.parse().unwrap());
        assert_eq!(list(ThreadFilter { number: number.clone(), ..ThreadFilter::default() }), ["a 2", "b 1"]);
        assert_eq!(
            list(ThreadFilter { contact: Some("a".into()), ..ThreadFilter::default() }),
            ["a 2", "a 1"]
        );
        assert_eq!(list(ThreadFilter { stopped: Some(true), ..ThreadFilter::default() }), ["a 1"]);
        let open = ThreadFilter { number, stopped: Some(false), contact: None };
        assert_eq!(list(open), ["a 2", "b 1"]);
    }
}
