//! Calls in the database.

use chrono::{DateTime, Utc};

use super::collection::{Cursor, Kept, Page, get, page, word};
use super::sound::{Tape, Words, words};
use super::{Entry, Record, Store, StoreError};
use crate::domain::{
    AccountId, AgentId, Call, CallId, Direction, EndReason, Event, EventKind, NumberId, Private, Status,
};

/// Those that are not over, of all accounts, so that the next start finds them without reading all.
const OPEN: &str = "open";

/// Those that are over and whose report has yet to be written, of all accounts.
const TO_REPORT: &str = "report=pending";

/// Records that are closed in one transaction at the start: thousands may have waited to be dialled.
const AT_ONCE: usize = 256;

/// Which calls a list shows; what is absent does not matter.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct CallFilter {
    pub status: Option<Status>,
    pub direction: Option<Direction>,
    pub agent: Option<AgentId>,
    /// Of ours.
    pub number: Option<NumberId>,
    /// The other side, as it stands in the record.
    pub contact: Option<Private<String>>,
}

impl CallFilter {
    /// The list that leaves the least to be passed over.
    fn list(&self, account: &AccountId) -> String {
        match self {
            Self { contact: Some(contact), .. } => format!("{account}/contact={}", contact.reveal()),
            Self { number: Some(number), .. } => format!("{account}/number={number}"),
            Self { agent: Some(agent), .. } => format!("{account}/agent={agent}"),
            Self { status: Some(status), .. } => format!("{account}/status={}", word(status)),
            Self { direction: Some(direction), .. } => format!("{account}/direction={}", word(direction)),
            _ => account.to_string(),
        }
    }

    fn fits(&self, call: &Call) -> bool {
        self.status.is_none_or(|status| status == call.status)
            && self.direction.is_none_or(|direction| direction == call.direction)
            && self.agent.as_ref().is_none_or(|agent| Some(agent) == call.agent_id.as_ref())
            && self.number.as_ref().is_none_or(|number| Some(number) == call.number_id.as_ref())
            && self.contact.as_ref().is_none_or(|contact| contact == other_side(call))
    }
}

fn other_side(call: &Call) -> &Private<String> {
    match call.direction {
        Direction::Inbound => &call.from,
        Direction::Outbound => &call.to,
    }
}

impl Kept for Call {
    const TABLE: &'static str = "calls";
    const LISTS: &'static str = "calls_lists";

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
            format!("{account}/status={}", word(&self.status)),
            format!("{account}/direction={}", word(&self.direction)),
            format!("{account}/contact={}", other_side(self).reveal()),
        ];
        lists.extend(self.agent_id.as_ref().map(|agent| format!("{account}/agent={agent}")));
        lists.extend(self.number_id.as_ref().map(|number| format!("{account}/number={number}")));
        if !self.status.is_over() {
            lists.push(OPEN.to_owned());
        } else if self.awaits_report() {
            lists.push(TO_REPORT.to_owned());
        }
        lists
    }
}

impl Store {
    /// With its words. Of whatever account: whoever shows it compares.
    pub fn call(&self, id: &CallId) -> Result<Option<Call>, StoreError> {
        let transaction = self.begin_read()?;
        let Some(call) = get::<Call>(&transaction, id.as_str())? else { return Ok(None) };
        let Words { transcript, turns, digits } = words(&transaction, &call.account, id)?;
        Ok(Some(Call { transcript, turns, digits, ..call }))
    }

    /// Of one account, the newest first, without their words.
    pub fn calls(
        &self,
        account: &AccountId,
        filter: &CallFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Call>, StoreError> {
        page(&self.begin_read()?, &filter.list(account), after, limit, |call| filter.fits(call))
    }

    /// Calls that are over and whose report has yet to be written, of all accounts, the newest first, without their words.
    pub fn calls_to_report(&self, limit: usize) -> Result<Vec<Call>, StoreError> {
        Ok(page(&self.begin_read()?, TO_REPORT, None, limit, |_| true)?.items)
    }

    /// Closes every call that an earlier process left open, in whatever state: it was killed before it could. None is placed again,
    /// for nobody knows whether it had rung. Returns how many.
    pub fn close_interrupted(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let open = page::<Call>(&self.begin_read()?, OPEN, None, usize::MAX, |_| true)?.items;
        let tapes = self.tapes_of(&open)?;
        let ids: Vec<_> = open.iter().map(|call| call.id.clone()).collect();
        for ids in ids.chunks(AT_ONCE) {
            self.mend(ids, Some(EndReason::Interrupted), &tapes, now)?;
        }
        // Their calls were closed, but the process ended before the sound was put away.
        for tape in self.left_open()? {
            let id = tape.call().clone();
            match self.call(&id)? {
                Some(_) => self.mend(&[id], None, &[tape], now)?,
                None if tape.is_empty() => tape.discard()?,
                None => tracing::warn!(path = %tape.path().display(), "a recording belongs to no known call"),
            }
        }
        Ok(open.len())
    }

    /// Completes records that an earlier process left incomplete, and tells of it.
    fn mend(
        &self,
        ids: &[CallId],
        end: Option<EndReason>,
        tapes: &[Tape],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(ids.len());
        let mut sounds = Vec::new();
        for id in ids {
            let Some(call) = self.call(id)? else { continue };
            let tapes: Vec<_> = tapes.iter().filter(|tape| tape.call() == id).collect();
            let told = self.events(id)?;
            let last = told.last().map_or(0, |event| event.seq);
            // Nobody knows when it ended; it is charged until the last that was heard of it, and not for the time since.
            let heard_of = told.last().map_or(call.answered_at.unwrap_or(call.created_at), |event| event.at);
            let (call, kinds) = mended(call, end.map(|reason| (reason, heard_of.min(now))), &tapes);
            let events = (last + 1..).zip(kinds).map(|(seq, kind)| Event::of_call(&call, seq, now, kind));
            entries.push(Entry { events: events.collect(), record: Record::Call(Box::new(call.clone())) });
            sounds.extend(tapes.into_iter().map(|tape| (tape, call.clone())));
        }
        // The records first: a process that is killed between the two finds the sound again.
        self.record(&entries)?;
        sounds.iter().for_each(|(tape, call)| tape.put_away(call));
        Ok(())
    }
}

/// A record as it is to be, and what there is to tell of that.
fn mended(
    mut call: Call,
    end: Option<(EndReason, DateTime<Utc>)>,
    tapes: &[&Tape],
) -> (Call, Vec<EventKind>) {
    let mut kinds = Vec::new();
    if let Some((reason, at)) = end {
        call.end(reason, None, at);
        kinds.push(EventKind::ended(&call, reason));
    }
    if call.answered_at.is_some() {
        for recording in tapes.iter().filter_map(|tape| tape.measure(&call.account)) {
            if call.recordings.iter().all(|known| known.part != recording.part) {
                kinds.push(EventKind::recording_ready(&call, recording));
                call.recordings.push(recording);
            }
        }
    }
    (call, kinds)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An inbound call of second `n`.
    pub(in crate::store) fn call(n: u8, status: Status) -> Call {
        let at = DateTime::UNIX_EPOCH + chrono::Duration::seconds(n.into());
        let (from, to) = ("+14155550123".into(), "+15550100001".into());
        Call { status, ..Call::new(CallId::from_random([n; 10]), Direction::Inbound, from, to, at) }
    }

    pub(in crate::store) fn entry(call: Call) -> Entry {
        Entry { record: Record::Call(Box::new(call)), events: Vec::new() }
    }

    fn listed(store: &Store, account: &AccountId, filter: &CallFilter) -> Vec<CallId> {
        store.calls(account, filter, None, 9).unwrap().items.into_iter().map(|call| call.id).collect()
    }

    fn ids<const N: usize>(numbers: [u8; N]) -> [CallId; N] {
        numbers.map(|n| CallId::from_random([n; 10]))
    }

    #[test]
    fn calls_come_back_newest_first_and_page_by_page() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for n in 1..=5 {
            store.record(&[entry(call(n, Status::Completed))]).unwrap();
        }
        let (house, any) = (AccountId::house(), CallFilter::default());
        let first = store.calls(&house, &any, None, 3).unwrap();
        assert_eq!(first.items.iter().map(|call| call.id.clone()).collect::<Vec<_>>(), ids([5, 4, 3]));
        let rest = store.calls(&house, &any, first.next.as_ref(), 3).unwrap();
        assert_eq!((rest.items.len(), rest.next), (2, None));
        assert_eq!(store.call(&CallId::from_random([9; 10])).unwrap(), None);
    }

    #[test]
    fn a_filter_shows_what_fits_of_its_own_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (house, other) = (AccountId::house(), AccountId::from_random([8; 10]));
        let (agent, number) = (AgentId::from_random([1; 10]), NumberId::from_random([2; 10]));
        let out = Call { direction: Direction::Outbound, ..call(2, Status::Busy) };
        let ours = Call { agent_id: Some(agent.clone()), ..call(3, Status::Completed) };
        let at_number = Call { number_id: Some(number.clone()), ..ours.clone() };
        let all = [
            call(1, Status::Completed),
            out,
            ours,
            Call { id: CallId::from_random([4; 10]), ..at_number },
            Call { account: other.clone(), ..call(5, Status::Busy) },
        ];
        for call in all {
            store.record(&[entry(call)]).unwrap();
        }
        let any = CallFilter::default();
        let busy = CallFilter { status: Some(Status::Busy), ..any.clone() };
        let inbound = CallFilter { direction: Some(Direction::Inbound), ..any.clone() };
        let of_agent = CallFilter { agent: Some(agent), ..inbound.clone() };
        let of_number = CallFilter { number: Some(number), ..of_agent.clone() };
        let of_contact = CallFilter { contact: Some(Private::new("+15550100001".into())), ..any.clone() };
        assert_eq!(listed(&store, &house, &any), ids([4, 3, 2, 1]));
        assert_eq!(listed(&store, &house, &busy), ids([2]));
        assert_eq!(listed(&store, &house, &inbound), ids([4, 3, 1]));
        assert_eq!(listed(&store, &house, &of_agent), ids([4, 3]));
        assert_eq!(listed(&store, &house, &of_number), ids([4]));
        assert_eq!(listed(&store, &house, &of_contact), ids([2]));
        assert_eq!(listed(&store, &house, &CallFilter { direction: None, ..of_contact }), ids([2]));
        assert_eq!(listed(&store, &other, &busy), ids([5]));
        assert_eq!(listed(&store, &other, &inbound), ids([5]));
    }

    #[test]
    fn a_call_that_a_killed_process_left_open_is_closed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let states =
            [Status::Queued, Status::Dialing, Status::Ringing, Status::InProgress, Status::Completed];
        for (n, status) in (1..).zip(states) {
            store.record(&[entry(call(n, status))]).unwrap();
        }
        assert_eq!(store.close_interrupted(Utc::now()).unwrap(), 4);
        for id in ids([1, 2, 3, 4]) {
            let closed = store.call(&id).unwrap().unwrap();
            assert_eq!((closed.status, closed.end_reason), (Status::Failed, Some(EndReason::Interrupted)));
            assert_eq!(store.events(&closed.id).unwrap()[0].kind.name(), "call.ended");
        }
        assert_eq!(store.close_interrupted(Utc::now()).unwrap(), 0);
    }
}
