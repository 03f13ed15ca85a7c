//! Events as they happen, and those from before that a listener has missed.

use std::collections::VecDeque;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Error, Gateway};
use crate::domain::{AccountId, AgentId, CallId, Event, EventKind, Principal, Scope};
use crate::store::{Store, StoreError};

/// Events that are read at once for who has fallen behind.
const PAGE: usize = 256;

/// Whose events.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Whose {
    /// Of a call, from its first to its last.
    Call(CallId),
    /// Of an account from now on, or from after an event that is known; all, or those that an agent is part of.
    Account(AccountId, Option<AgentId>),
}

/// What a listener is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    Event(Box<Event>),
    /// Events are missing here: how many, where that is known.
    Missed(Option<u64>),
}

/// Tells the events of a call or of an account in their order, each once. Who listens slowly falls behind and is then told out of
/// the store, so that nothing is kept in memory for them and nothing is missed.
pub struct Listener {
    whose: Whose,
    store: Store,
    events: broadcast::Receiver<Event>,
    /// Read and not yet told.
    backlog: VecDeque<Event>,
    /// The last that was taken from where they come, by its id.
    last: Option<String>,
    /// There may be more in the store that comes before what happens now.
    is_behind: bool,
    /// Out of the store since `events` was subscribed: subject and number, which may come by that way again.
    read: VecDeque<(String, u64)>,
    /// The call is over: nothing comes after what is in the store now.
    is_over: bool,
}

impl Gateway {
    /// Every event of a call, until it is over. `after`: only those after the one of this id.
    pub async fn listen_to_call(
        &self,
        who: &Principal,
        id: CallId,
        after: Option<String>,
    ) -> Result<Listener, Error> {
        let events = self.journal.subscribe();
        let call = self.call(who, id).await?;
        let prefix = format!("evt_{}_", call.id);
        if let Some(after) = &after
            && after.strip_prefix(&prefix).and_then(|seq| seq.parse::<u64>().ok()).is_none()
        {
            return Err(Error::field("after", "is no id of an event of this call"));
        }
        let is_over = call.status.is_over();
        Ok(Listener { is_over, ..self.listener(Whose::Call(call.id), events, after, true) })
    }

    /// Every event of the account from now on or, with `after`, from after the one of this id.
    pub fn listen(
        &self,
        who: &Principal,
        agent: Option<AgentId>,
        after: Option<String>,
    ) -> Result<Listener, Error> {
        who.require(Scope::CallsRead)?;
        let events = self.journal.subscribe();
        let is_behind = after.is_some();
        Ok(self.listener(Whose::Account(who.account.clone(), agent), events, after, is_behind))
    }

    fn listener(
        &self,
        whose: Whose,
        events: broadcast::Receiver<Event>,
        last: Option<String>,
        is_behind: bool,
    ) -> Listener {
        Listener {
            whose,
            store: self.store.clone(),
            events,
            backlog: VecDeque::new(),
            last,
            is_behind,
            read: VecDeque::new(),
            is_over: false,
        }
    }
}

impl Listener {
    /// The next; `None`: there will be none. May be dropped while it waits, and asked again.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(event) = self.backlog.pop_front() {
                if self.is_of_call() && matches!(event.kind, EventKind::Ended { .. }) {
                    // What is ready with the end was written together with it.
                    (self.is_behind, self.is_over) = (true, true);
                }
                return Some(Told::Event(Box::new(event)));
            }
            if self.is_behind {
                if !self.catch_up().await {
                    self.is_behind = false;
                    return Some(Told::Missed(None));
                }
                continue;
            }
            if self.is_over {
                return None;
            }
            match self.events.recv().await {
                Ok(event) if self.is_new(&event) => {
                    self.last = Some(event.id());
                    self.backlog.push_back(event);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) if self.last.is_some() || self.is_of_call() => {
                    self.is_behind = true
                }
                Err(RecvError::Lagged(missed)) => return Some(Told::Missed(Some(missed))),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn is_of_call(&self) -> bool {
        matches!(self.whose, Whose::Call(_))
    }

    /// Reads on out of the store. False where the last one told is not there any more, or the store fails.
    async fn catch_up(&mut self) -> bool {
        let (store, whose, last) = (self.store.clone(), self.whose.clone(), self.last.clone());
        let read = tokio::task::spawn_blocking(move || page(&store, &whose, last.as_deref())).await;
        let page = match read {
            Ok(Ok(Some(page))) => page,
            Ok(Ok(None)) => return false,
            Ok(Err(error)) => {
                tracing::error!(%error, "events cannot be read for a listener");
                return false;
            }
            Err(_) => return false,
        };
        self.is_behind = page.len() == PAGE;
        // By id, also over those that are of no interest here.
        self.last = page.last().map(Event::id).or(self.last.take());
        for event in page {
            self.read.push_back((event.subject.as_str().to_owned(), event.seq));
            if self.wants(&event) {
                self.backlog.push_back(event);
            }
        }
        // Only what may still come by the other way is to be known again.
        while self.read.len() > 2 * PAGE {
            self.read.pop_front();
        }
        true
    }

    fn wants(&self, event: &Event) -> bool {
        match &self.whose {
            Whose::Call(id) => event.call() == Some(id),
            Whose::Account(account, agent) => {
                event.account == *account && (agent.is_none() || event.agent_id == *agent)
            }
        }
    }

    /// Whether it is wanted, and was not told already out of the store.
    fn is_new(&self, event: &Event) -> bool {
        let is_read = |(subject, seq): &(String, u64)| event.subject.as_str() == subject && event.seq <= *seq;
        self.wants(event) && !self.read.iter().any(is_read)
    }
}

/// `None`: of no known event.
fn page(store: &Store, whose: &Whose, last: Option<&str>) -> Result<Option<Vec<Event>>, StoreError> {
    match whose {
        Whose::Call(id) => {
            let seq = last.and_then(|last| last.rsplit_once('_')?.1.parse().ok()).unwrap_or(0);
            store.events_after(id, seq, PAGE).map(Some)
        }
        Whose::Account(account, _) => match last {
            Some(last) => store.events_since(account, last, PAGE),
            None => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::domain::{Call, Direction, EndReason};
    use crate::store::{Entry, Record};

    struct World {
        _folder: tempfile::TempDir,
        store: Store,
        events: broadcast::Sender<Event>,
        seq: u64,
    }

    fn call(n: u8) -> Call {
        let (from, to) = ("+14155550123".into(), "+15550100001".into());
        Call::new(CallId::from_random([n; 10]), Direction::Inbound, from, to, Utc::now())
    }

    impl World {
        fn new(room: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            Self { store, events: broadcast::channel(room).0, seq: 0, _folder: folder }
        }

        /// Written, then announced.
        fn happens(&mut self, call: &Call, kinds: Vec<EventKind>) {
            let tell = |kind| {
                self.seq += 1;
                Event::of_call(call, self.seq, Utc::now(), kind)
            };
            let events: Vec<_> = kinds.into_iter().map(tell).collect();
            let record = Record::Call(Box::new(call.clone()));
            self.store.record(&[Entry { record, events: events.clone() }]).unwrap();
            for event in events {
                let _ = self.events.send(event);
            }
        }

        fn listener(&self, whose: Whose, last: Option<&str>, is_behind: bool) -> Listener {
            Listener {
                whose,
                store: self.store.clone(),
                events: self.events.subscribe(),
                backlog: VecDeque::new(),
                last: last.map(str::to_owned),
                is_behind,
                read: VecDeque::new(),
                is_over: false,
            }
        }
    }

    async fn seqs(listener: &mut Listener, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            match listener.next().await {
                Some(Told::Event(event)) => seqs.push(event.seq),
                other => panic!("{other:?} after {seqs:?}"),
            }
        }
        seqs
    }

    #[tokio::test]
    async fn a_call_is_told_from_its_first_event_to_its_last_and_no_further() {
        let (mut world, mut call) = (World::new(64), call(1));
        world.happens(&call, vec![EventKind::ringing(&call)]);
        let mut listener = world.listener(Whose::Call(call.id.clone()), None, true);
        world.happens(&call, vec![EventKind::started(&call)]);
        assert_eq!(seqs(&mut listener, 2).await, [1, 2]);
        call.end(EndReason::CallerHungUp, None, Utc::now());
        let ended = EventKind::ended(&call, EndReason::CallerHungUp);
        world.happens(&call, vec![ended, EventKind::TranscriptReady { fragments: 0 }]);
        assert_eq!(seqs(&mut listener, 2).await, [3, 4]);
        assert_eq!(listener.next().await, None);
        let after = format!("evt_{}_2", call.id);
        let mut late = world.listener(Whose::Call(call.id.clone()), Some(&after), true);
        assert_eq!(seqs(&mut late, 2).await, [3, 4]);
        assert_eq!(late.next().await, None);
        // Who knows the end already is told what comes after it.
        let after = format!("evt_{}_3", call.id);
        let mut later =
            Listener { is_over: true, ..world.listener(Whose::Call(call.id), Some(&after), true) };
        assert_eq!(seqs(&mut later, 1).await, [4]);
        assert_eq!(later.next().await, None);
    }

    #[tokio::test]
    async fn who_falls_behind_reads_on_out_of_the_store_and_misses_nothing() {
        let (mut world, call) = (World::new(4), call(1));
        let mut listener = world.listener(Whose::Account(AccountId::house(), None), None, false);
        world.happens(&call, vec![EventKind::started(&call)]);
        assert_eq!(seqs(&mut listener, 1).await, [1]);
        for _ in 0..600 {
            world.happens(&call, vec![EventKind::TranscriptReady { fragments: 0 }]);
        }
        assert_eq!(seqs(&mut listener, 600).await, (2..=601).collect::<Vec<_>>());
        world.happens(&call, vec![EventKind::TranscriptReady { fragments: 1 }]);
        assert_eq!(seqs(&mut listener, 1).await, [602]);
    }

    #[tokio::test]
    async fn others_hear_nothing_and_a_gap_is_told() {
        let (mut world, call) = (World::new(2), call(1));
        let other = AccountId::from_random([7; 10]);
        let mut stranger = world.listener(Whose::Account(other.clone(), None), None, false);
        let gone = format!("evt_{}_9", call.id);
        let mut lost = world.listener(Whose::Account(AccountId::house(), None), Some(&gone), true);
        let mut theirs = call.clone();
        theirs.account = other;
        world.happens(&call, vec![EventKind::started(&call)]);
        assert_eq!(lost.next().await, Some(Told::Missed(None)));
        world.seq = 0;
        theirs.id = CallId::from_random([2; 10]);
        world.happens(&theirs, vec![EventKind::started(&theirs)]);
        match stranger.next().await {
            Some(Told::Event(event)) => assert_eq!(event.call(), Some(&theirs.id)),
            other => panic!("{other:?}"),
        }
    }
}
