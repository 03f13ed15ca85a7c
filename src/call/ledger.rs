//! The record of a call, and the one road on which records and events reach disk and listeners.
//!
//! Everything goes through one writer, in order: it is written, then announced. The writer's queue is bounded; when it
//! is full the calls wait, which they feel as late events, never as late sound. A disk that refuses is logged, told by
//! [`Journal::healthy`], and tried again with the next entry; the events of a call are announced all the same, for it goes
//! on whatever the disk says. Who can be told "later", as the sender of a message can, asks by [`Journal::store`]: that
//! entry is announced when it is on disk, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::Utc;
use media::net::LineView;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::info;

use super::meter::{Meter, Running};
use super::{Note, line};
use crate::domain::{
    AccountId, Call, CallId, EndReason, Event, EventKind, Fragment, Private, Recording, Speaker, Status,
    millis,
};
use crate::store::{Entry, Record, Store, StoreError, Tape};

/// Entries that may wait to be written.
const QUEUE: usize = 1024;
/// Events that a slow listener may lag behind before it misses some, and is told so.
const LISTENERS_LAG: usize = 4096;
/// Entries kept for a disk that refuses; beyond it the oldest are given up, loudly.
const KEPT: usize = 10_000;

/// The disk refused, and nobody was told of the entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the record cannot be written")]
pub struct NotWritten;

/// An entry, and who waits to hear that it is on disk.
struct Job {
    entry: Entry,
    receipt: Option<oneshot::Sender<()>>,
    /// Of a call that is over: it stays on the meter until its cost is on disk.
    running: Option<Running>,
}

/// Where ledgers write to and listeners listen.
#[derive(Clone)]
pub struct Journal {
    entries: mpsc::Sender<Job>,
    events: broadcast::Sender<Event>,
    healthy: Arc<AtomicBool>,
    meter: Meter,
}

impl Journal {
    /// The task ends when the last clone of the journal is gone, with everything written.
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let meter = Meter::new(store.rates().clone());
        let (entries, queue) = mpsc::channel(QUEUE);
        let (events, _) = broadcast::channel(LISTENERS_LAG);
        let healthy = Arc::new(AtomicBool::new(true));
        let task = tokio::spawn(write(store, queue, events.clone(), healthy.clone()));
        (Self { entries, events, healthy, meter }, task)
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// What calls that are up have cost so far.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether the last write reached the disk.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Writes an entry some time soon, and announces it whatever the disk says.
    pub(super) async fn write(&self, entry: Entry) {
        self.write_last(entry, None).await;
    }

    /// As [`write`](Self::write), of a call that is over.
    async fn write_last(&self, entry: Entry, running: Option<Running>) {
        let id = entry.record.id().to_owned();
        if self.entries.send(Job { entry, receipt: None, running }).await.is_err() {
            tracing::error!(id, "the journal is closed; an entry is lost");
        }
    }

    /// Returns when the entry is on disk; it is announced then, and only then.
    pub async fn store(&self, entry: Entry) -> Result<(), NotWritten> {
        let (receipt, written) = oneshot::channel();
        self.entries
            .send(Job { entry, receipt: Some(receipt), running: None })
            .await
            .map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }
}

async fn write(
    store: Store,
    mut queue: mpsc::Receiver<Job>,
    events: broadcast::Sender<Event>,
    healthy: Arc<AtomicBool>,
) {
    let mut waiting: Vec<Entry> = Vec::new();
    let mut batch = Vec::new();
    let mut unbooked = Vec::new();
    while queue.recv_many(&mut batch, 256).await > 0 {
        let (mut fresh, mut asked, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        for Job { mut entry, receipt, running } in batch.drain(..) {
            store.price(&mut entry);
            if let (Some(running), Record::Call(call)) = (running, &entry.record) {
                running.settle(call.cost.unwrap_or_default());
                unbooked.push(running);
            }
            fresh.push((entry.events.clone(), receipt.is_none()));
            match receipt {
                None => waiting.push(entry),
                Some(receipt) => {
                    asked.push(entry);
                    receipts.push(receipt);
                }
            }
        }
        // Those whose writers wait stand last, where they can be given up again.
        let kept = waiting.len();
        waiting.append(&mut asked);
        let (job, taken) = (store.clone(), std::mem::take(&mut waiting));
        let outcome = tokio::task::spawn_blocking(move || (job.record(&taken), taken)).await;
        let is_written = matches!(outcome, Ok((Ok(()), _)));
        healthy.store(is_written, Ordering::Relaxed);
        match outcome {
            Ok((Ok(()), _)) => unbooked.clear(),
            Ok((Err(error), mut unwritten)) => {
                unwritten.truncate(kept);
                tracing::error!(%error, entries = unwritten.len(), "records cannot be written; kept to be tried again");
                waiting = unwritten;
                if waiting.len() > KEPT {
                    tracing::error!(lost = waiting.len() - KEPT, "the oldest unwritten records are given up");
                    waiting.drain(..waiting.len() - KEPT);
                }
            }
            Err(panic) => tracing::error!(%panic, "the writer panicked"),
        }
        for event in
            fresh.into_iter().filter(|(_, anyway)| is_written || *anyway).flat_map(|(events, _)| events)
        {
            // Nobody may be listening.
            let _ = events.send(event);
        }
        if is_written {
            for receipt in receipts {
                // Whoever asked may have gone.
                let _ = receipt.send(());
            }
        }
    }
    if !waiting.is_empty()
        && let Err(error) = store.record(&waiting)
    {
        tracing::error!(%error, entries = waiting.len(), "records were lost at the end");
    }
}

/// One call's record on its way through life.
pub(super) struct Ledger {
    pub(super) call: Call,
    seq: u64,
    /// Told with the next entry.
    pending: Vec<Event>,
    answered_at: Option<Instant>,
    /// On the meter, from the answer to the end.
    running: Option<Running>,
    /// When a further leg was joined to the call.
    joined_at: Option<Instant>,
    journal: Journal,
}

impl Ledger {
    pub(super) fn new(call: Call, journal: Journal) -> Self {
        Self { call, seq: 0, pending: Vec::new(), answered_at: None, running: None, joined_at: None, journal }
    }

    /// Notes an event; it is written and announced by the next [`Ledger::flush`].
    pub(super) fn later(&mut self, kind: EventKind) {
        self.seq += 1;
        self.pending.push(Event::of_call(&self.call, self.seq, Utc::now(), kind));
    }

    /// Writes the record as it stands, with these events.
    pub(super) async fn record(&mut self, kinds: impl IntoIterator<Item = EventKind>) {
        for kind in kinds {
            self.later(kind);
        }
        self.flush().await;
    }

    /// As [`record`](Self::record), and returns when that is on disk; nobody is told of what is not.
    pub(super) async fn store(
        &mut self,
        kinds: impl IntoIterator<Item = EventKind>,
    ) -> Result<(), NotWritten> {
        for kind in kinds {
            self.later(kind);
        }
        let record = Record::Call(Box::new(self.call.clone()));
        self.journal.store(Entry { record, events: std::mem::take(&mut self.pending) }).await
    }

    /// Writes the record with the events noted since the last time; nothing where there are none.
    pub(super) async fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let record = Record::Call(Box::new(self.call.clone()));
        let running = if self.call.status.is_over() { self.running.take() } else { None };
        self.journal.write_last(Entry { record, events: std::mem::take(&mut self.pending) }, running).await;
    }

    /// The far end, or we, took the call.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answered_at = Some(now);
        self.running = Some(self.journal.meter.runs(&self.call, now));
        self.call.status = Status::InProgress;
        self.call.answered_at = Some(Utc::now());
    }

    /// The call is put through to `target`, and lasts as long as that leg does.
    pub(super) fn joined(&mut self, target: &str, now: Instant) {
        self.joined_at = Some(now);
        if let Some(running) = &self.running {
            running.joined(target, now);
        }
    }

    /// Takes down what the conversation notes.
    pub(super) fn note(&mut self, note: Note, now: Instant) {
        match note {
            Note::Heard { text, is_final } => {
                let (at_ms, text) = (self.since_answer(now), Private::new(text));
                if is_final {
                    self.fragment(Speaker::Caller, text.clone(), at_ms, false);
                }
                self.later(EventKind::Transcript { speaker: Speaker::Caller, text, is_final, at_ms });
            }
            Note::Said { text, interrupted, started_at } => {
                let (at_ms, text) = (self.since_answer(started_at), Private::new(text));
                self.fragment(Speaker::Agent, text.clone(), at_ms, interrupted);
                self.later(EventKind::Transcript { speaker: Speaker::Agent, text, is_final: true, at_ms });
            }
            Note::Turn(turn) => {
                self.call.turns.push((*turn).clone());
                self.later(EventKind::Turn(*turn));
            }
            Note::Tool(tool) => self.later(EventKind::Tool(tool)),
            Note::BargeIn { turn, stop, resumed } => {
                self.later(EventKind::BargeIn { turn, stop_ms: millis(stop), resumed });
            }
            Note::AnsweredBy(by) => self.call.answered_by = Some(by),
            Note::Voicemail { clue, then, left } => {
                self.call.voicemail_left = left;
                self.later(EventKind::Voicemail { clue, then, left });
            }
        }
    }

    fn fragment(&mut self, speaker: Speaker, text: Private<String>, at_ms: u64, interrupted: bool) {
        self.call.transcript.push(Fragment { speaker, text, at_ms, interrupted });
    }

    fn since_answer(&self, at: Instant) -> u64 {
        self.answered_at.map_or(0, |answered| millis(at.saturating_duration_since(answered)))
    }

    /// A key that the caller pressed.
    pub(super) fn digit(&mut self, digit: char, duration_ms: u32) {
        let mut digits = self.call.digits.reveal().clone();
        digits.push(digit);
        self.call.digits = Private::new(digits);
        self.later(EventKind::Dtmf { digit: Private::new(digit), duration_ms });
    }

    /// The recording is paused, or goes on.
    pub(super) fn recording(&mut self, now: Instant, on: bool) {
        let at_ms = self.since_answer(now);
        self.later(match on {
            true => EventKind::RecordingResumed { at_ms },
            false => EventKind::RecordingPaused { at_ms },
        });
    }

    /// Some of the call is not recorded, if there is a reason.
    pub(super) fn unrecorded(&mut self, reason: Option<String>) {
        let known = self.call.recording_error.take();
        self.call.recording_error = known.or(reason);
    }

    /// How the line was, all in all.
    pub(super) fn line(&mut self, stats: &media::Stats) {
        self.unrecorded(stats.recording_error.clone());
        line::note(self.call.line.get_or_insert_default(), stats);
    }

    /// The line that the call is on, for who asks how it does meanwhile.
    pub(super) fn on_line(&self, line: LineView) {
        if let Some(running) = &self.running {
            running.on_line(line);
        }
    }

    /// Closes the record, and tells of everything that is ready with it. The last entry of a call.
    pub(super) async fn close(mut self, reason: EndReason, status: Option<u16>, tapes: Vec<Tape>) {
        let beside = self.joined_at.map_or(0, |at| millis(at.elapsed()));
        let call = &mut self.call;
        call.end(reason, status, Utc::now());
        call.usage.transfer_ms = beside.min(call.duration_ms);
        info!(
            call = %call.id,
            reason = reason.code(),
            duration_ms = call.duration_ms,
            turns = call.turns.len(),
            "call ended"
        );
        let mut events = vec![EventKind::ended(call, reason)];
        if self.answered_at.is_some() {
            events.push(EventKind::TranscriptReady { fragments: call.transcript.len() });
        }
        // More than one, where another leg took the place of the first.
        for recording in keep(tapes, call.account.clone(), self.answered_at.is_some()).await {
            events.push(EventKind::recording_ready(call, recording));
            call.recordings.push(recording);
        }
        self.record(events).await;
    }
}

/// Makes recordings of tapes; those of a call that nobody answered are nothing.
async fn keep(tapes: Vec<Tape>, account: AccountId, answered: bool) -> Vec<Recording> {
    let keep = move |tape: &Tape| {
        let kept = if answered { tape.keep(&account) } else { tape.discard().map(|()| None) };
        kept.unwrap_or_else(|error| {
            let path = tape.path();
            tracing::error!(path = %path.display(), %error, "a recording cannot be put away; the next start tries again");
            None
        })
    };
    let kept = tokio::task::spawn_blocking(move || tapes.iter().filter_map(keep).collect());
    kept.await.unwrap_or_default()
}

/// Closes the record of a call whose task is gone without having done so. What it had not yet told is lost.
pub(super) async fn close_abandoned(store: &Store, journal: &Journal, id: CallId) {
    let (store, wanted) = (store.clone(), id.clone());
    let read = tokio::task::spawn_blocking(move || {
        Ok::<_, StoreError>((store.call(&wanted)?, store.events(&wanted)?))
    });
    match read.await {
        Ok(Ok((Some(call), events))) if !call.status.is_over() => {
            let seq = events.last().map_or(0, |event| event.seq);
            let ledger = Ledger { seq, ..Ledger::new(call, journal.clone()) };
            ledger.close(EndReason::Internal, None, Vec::new()).await;
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(call = %id, %error, "an abandoned record cannot be read"),
        Err(panic) => tracing::error!(call = %id, %panic, "reading an abandoned record panicked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Direction;

    fn call(id: &CallId) -> Call {
        serde_json::from_value(serde_json::json!({
            "id": id, "direction": "inbound", "status": "in_progress", "from": "+14155550123", "to": "+15550100001",
            "agent": "a", "trunk": "t", "created_at": "2026-01-01T00:00:00Z", "answered_at": "2026-01-01T00:00:05Z",
            "duration_ms": 0, "transcript": [], "turns": [], "digits": "",
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_call_whose_task_is_gone_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (journal, task) = Journal::start(store.clone());
        let mut events = journal.subscribe();
        let id = CallId::from_random([3; 10]);
        let mut ledger = Ledger::new(call(&id), journal.clone());
        assert_eq!(ledger.call.direction, Direction::Inbound);
        let started = EventKind::started(&ledger.call);
        ledger.record([started]).await;
        assert_eq!(events.recv().await.unwrap().seq, 1);
        drop(ledger);

        close_abandoned(&store, &journal, id.clone()).await;
        let ended = events.recv().await.unwrap();
        assert_eq!((ended.seq, ended.kind.name()), (2, "call.ended"));
        // A second time there is nothing to close.
        close_abandoned(&store, &journal, id.clone()).await;
        drop(journal);
        task.await.unwrap();
        let stored = store.call(&id).unwrap().unwrap();
        assert_eq!((stored.status, stored.end_reason), (Status::Failed, Some(EndReason::Internal)));
        assert_eq!(store.events(&id).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_bad_disk_is_told_to_who_asks_and_only_calls_are_announced_all_the_same() {
        let broken = Arc::new(AtomicBool::new(false));
        let (journal, task) = Journal::start(Store::on_a_bad_disk(broken.clone()));
        let mut events = journal.subscribe();
        let message = |n| {
            let record = crate::domain::received(n, "+15550100001");
            let kind = EventKind::of_message(&record).unwrap();
            let event = Event::of_message(&record, 1, Utc::now(), kind);
            Entry { record: Record::Message(Box::new(record)), events: vec![event] }
        };
        assert_eq!(journal.store(message(1)).await, Ok(()));
        assert_eq!(events.recv().await.unwrap().kind.name(), "message.received");
        assert!(journal.healthy());

        broken.store(true, Ordering::SeqCst);
        assert_eq!(journal.store(message(2)).await, Err(NotWritten));
        let mut ledger = Ledger::new(call(&CallId::from_random([3; 10])), journal.clone());
        let started = EventKind::started(&ledger.call);
        ledger.record([started]).await;
        // The refused message was not told: the next that is heard of is the call.
        assert_eq!(events.recv().await.unwrap().kind.name(), "call.started");
        assert!(!journal.healthy());
        drop((ledger, journal));
        task.await.unwrap();
    }
}
