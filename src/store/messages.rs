//! Messages in the database.

use chrono::{DateTime, Utc};

use super::collection::{Cursor, Kept, Page, get, page, word};
use super::{Entry, Record, Store, StoreError};
use crate::domain::{
    AccountId, AgentId, Direction, E164, Event, EventKind, Message, MessageId, MessageStatus, ThreadId,
};

/// Those on their way out, of all accounts, so that the next start finds them without reading all.
const OPEN: &str = "open";

/// Which messages a list shows; what is absent does not matter.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct MessageFilter {
    /// Of ours: its inbox.
    pub number: Option<E164>,
    pub thread: Option<ThreadId>,
    pub agent: Option<AgentId>,
    pub status: Option<MessageStatus>,
    pub direction: Option<Direction>,
}

impl MessageFilter {
    /// The list that leaves the least to be passed over.
    fn list(&self, account: &AccountId) -> String {
        match self {
            Self { thread: Some(thread), .. } => format!("{account}/thread={thread}"),
            Self { number: Some(number), .. } => format!("{account}/number={number}"),
            Self { agent: Some(agent), .. } => format!("{account}/agent={agent}"),
            Self { status: Some(status), .. } => format!("{account}/status={}", word(status)),
            Self { direction: Some(direction), .. } => format!("{account}/direction={}", word(direction)),
            _ => account.to_string(),
        }
    }

    fn fits(&self, message: &Message) -> bool {
        self.number.as_ref().is_none_or(|number| *number == message.number)
            && self.thread.as_ref().is_none_or(|thread| Some(thread) == message.thread_id.as_ref())
            && self.agent.as_ref().is_none_or(|agent| Some(agent) == message.agent_id.as_ref())
            && self.status.is_none_or(|status| status == message.status)
            && self.direction.is_none_or(|direction| direction == message.direction)
    }
}

impl Kept for Message {
    const TABLE: &'static str = "messages";
    const LISTS: &'static str = "messages_lists";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    fn lists(&self) -> Vec<String> {
        let account = &self.account;
        let mut lists = vec![
            account.to_string(),
            format!("{account}/number={}", self.number),
            format!("{account}/status={}", word(&self.status)),
            format!("{account}/direction={}", word(&self.direction)),
        ];
        lists.extend(self.thread_id.as_ref().map(|thread| format!("{account}/thread={thread}")));
        lists.extend(self.agent_id.as_ref().map(|agent| format!("{account}/agent={agent}")));
        if !self.status.is_final() {
            lists.push(OPEN.to_owned());
        }
        if let (Some(id), Direction::Outbound) = (&self.carrier_id, self.direction) {
            lists.push(of_carrier(&self.trunk, id));
        }
        lists
    }
}

/// The one message that a trunk's carrier calls so.
fn of_carrier(trunk: &str, id: &str) -> String {
    format!("carrier/{trunk}/{id}")
}

impl Store {
    /// The message that we sent and this trunk's carrier calls so, of whatever account; the newest, should there be several.
    pub fn message_of_carrier(&self, trunk: &str, id: &str) -> Result<Option<Message>, StoreError> {
        Ok(page(&self.begin_read()?, &of_carrier(trunk, id), None, 1, |_| true)?.items.pop())
    }

    /// Of whatever account: whoever shows it compares.
    pub fn message(&self, id: &MessageId) -> Result<Option<Message>, StoreError> {
        get(&self.begin_read()?, id.as_str())
    }

    /// Of one account, the newest first.
    pub fn messages(
        &self,
        account: &AccountId,
        filter: &MessageFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Message>, StoreError> {
        page(&self.begin_read()?, &filter.list(account), after, limit, |message| filter.fits(message))
    }

    /// Closes every message that an earlier process left on its way: whether it arrived is not known, and to send it
    /// again might deliver it twice. Returns how many.
    pub fn settle_interrupted(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let open = page::<Message>(&self.begin_read()?, OPEN, None, usize::MAX, |_| true)?.items;
        let count = open.len();
        let mut entries = Vec::with_capacity(count);
        for mut message in open {
            message.interrupt(now);
            let seq = self.events(&message.id)?.last().map_or(1, |event| event.seq + 1);
            let kind = EventKind::of_message(&message);
            let event = kind.map(|kind| Event::of_message(&message, seq, now, kind));
            entries.push(Entry {
                record: Record::Message(Box::new(message)),
                events: event.into_iter().collect(),
            });
        }
        self.record(&entries)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::received;

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
        let inbox =
            |number: &str| MessageFilter { number: Some(number.parse().unwrap()), ..Default::default() };
        let list = |filter: &MessageFilter, after: Option<&Cursor>, limit| {
            let page = store.messages(&AccountId::house(), filter, after, limit).unwrap();
            (page.items.into_iter().map(|message| message.id).collect::<Vec<_>>(), page.next)
        };
        let (first, next) = list(&inbox(ONE), None, 3);
        assert_eq!(first, [5, 4, 2].map(id));
        // One that comes meanwhile moves nothing.
        store.record(&[entry(received(7, ONE))]).unwrap();
        assert_eq!(list(&inbox(ONE), next.as_ref(), 3), (vec![id(1)], None));
        assert_eq!(list(&inbox(TWO), None, 9).0, [6, 3].map(id));
        let any = MessageFilter::default();
        let (all, next) = list(&any, None, 4);
        assert_eq!(all, [7, 6, 5, 4].map(id));
        assert_eq!(list(&any, next.as_ref(), 4).0, [3, 2, 1].map(id));
        assert_eq!(store.message(&id(9)).unwrap(), None);
        assert_eq!(store.message(&id(3)).unwrap(), Some(received(3, TWO)));
    }

    #[test]
    fn a_filter_shows_what_fits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let thread = ThreadId::from_random([1; 10]);
        let sent = Message {
            direction: Direction::Outbound,
            status: MessageStatus::Sent,
            thread_id: Some(thread.clone()),
            ..received(2, ONE)
        };
        let answer = Message { thread_id: Some(thread.clone()), ..received(3, ONE) };
        let other = Message { account: AccountId::from_random([9; 10]), ..received(4, ONE) };
        for message in [received(1, ONE), sent, answer, other] {
            store.record(&[entry(message)]).unwrap();
        }
        let list = |filter: MessageFilter| {
            let page = store.messages(&AccountId::house(), &filter, None, 9).unwrap();
            page.items.into_iter().map(|message| message.id).collect::<Vec<_>>()
        };
        let of_thread = MessageFilter { thread: Some(thread), ..Default::default() };
        let inbound = MessageFilter { direction: Some(Direction::Inbound), ..Default::default() };
        assert_eq!(list(of_thread.clone()), [3, 2].map(id));
        assert_eq!(list(inbound), [3, 1].map(id));
        assert_eq!(list(MessageFilter { status: Some(MessageStatus::Sent), ..of_thread }), [id(2)]);
        assert_eq!(list(MessageFilter { status: Some(MessageStatus::Queued), ..Default::default() }), []);
    }

    #[test]
    fn messages_of_one_instant_are_each_listed_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for n in 1..=5 {
            store.record(&[entry(Message { id: id(n), ..received(9, ONE) })]).unwrap();
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let any = MessageFilter::default();
            let page = store.messages(&AccountId::house(), &any, after.as_ref(), 2).unwrap();
            seen.extend(page.items.into_iter().map(|message| message.id));
            after = page.next;
            if after.is_none() {
                break;
            }
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
