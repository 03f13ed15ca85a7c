//! The record of a call, and the one road on which records and events reach disk and listeners.
//!
//! Everything goes through one writer, in order: it is written, then announced. The writer's queue is bounded; when it
//! is full the calls wait, which they feel as late events, never as late sound. A disk that refuses is logged, told by
//! [`Journal::healthy`], and tried again with the next entry; events are announced all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Utc;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use crate::domain::{Call, Event, EventKind};
use crate::store::{Entry, Store};

/// Entries that may wait to be written.
const QUEUE: usize = 1024;
/// Events that a slow listener may lag behind before it misses some, and is told so.
const LISTENERS_LAG: usize = 4096;
/// Entries kept for a disk that refuses; beyond it the oldest are given up, loudly.
const KEPT: usize = 10_000;

/// Where ledgers write to and listeners listen.
#[derive(Clone)]
pub struct Journal {
    entries: mpsc::Sender<Entry>,
    events: broadcast::Sender<Event>,
    healthy: Arc<AtomicBool>,
}

impl Journal {
    /// The task ends when the last clone of the journal is gone, with everything written.
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (entries, queue) = mpsc::channel(QUEUE);
        let (events, _) = broadcast::channel(LISTENERS_LAG);
        let healthy = Arc::new(AtomicBool::new(true));
        let task = tokio::spawn(write(store, queue, events.clone(), healthy.clone()));
        (Self { entries, events, healthy }, task)
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether the last write reached the disk.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

async fn write(
    store: Store,
    mut queue: mpsc::Receiver<Entry>,
    events: broadcast::Sender<Event>,
    healthy: Arc<AtomicBool>,
) {
    let mut waiting: Vec<Entry> = Vec::new();
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, 256).await > 0 {
        let fresh: Vec<Event> = batch.iter().flat_map(|entry| entry.events.clone()).collect();
        waiting.append(&mut batch);
        let (job, taken) = (store.clone(), std::mem::take(&mut waiting));
        let outcome = tokio::task::spawn_blocking(move || (job.record(&taken), taken)).await;
        match outcome {
            Ok((Ok(()), _)) => healthy.store(true, Ordering::Relaxed),
            Ok((Err(error), unwritten)) => {
                tracing::error!(%error, entries = unwritten.len(), "records cannot be written; kept to be tried again");
                healthy.store(false, Ordering::Relaxed);
                waiting = unwritten;
                if waiting.len() > KEPT {
                    tracing::error!(lost = waiting.len() - KEPT, "the oldest unwritten records are given up");
                    waiting.drain(..waiting.len() - KEPT);
                }
            }
            Err(panic) => tracing::error!(%panic, "the writer panicked"),
        }
        for event in fresh {
            // Nobody may be listening.
            let _ = events.send(event);
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
    journal: Journal,
}

impl Ledger {
    pub(super) fn new(call: Call, journal: Journal) -> Self {
        Self { call, seq: 0, pending: Vec::new(), journal }
    }

    /// Notes an event; it is written and announced by the next [`Ledger::flush`].
    pub(super) fn later(&mut self, kind: EventKind) {
        self.seq += 1;
        self.pending.push(Event { call_id: self.call.id.clone(), seq: self.seq, at: Utc::now(), kind });
    }

    /// Writes the record as it stands, with these events.
    pub(super) async fn record(&mut self, kinds: impl IntoIterator<Item = EventKind>) {
        for kind in kinds {
            self.later(kind);
        }
        self.flush().await;
    }

    /// Writes the record with the events noted since the last time; nothing where there are none.
    pub(super) async fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let entry = Entry { call: self.call.clone(), events: std::mem::take(&mut self.pending) };
        if self.journal.entries.send(entry).await.is_err() {
            tracing::error!(call = %self.call.id, "the journal is closed; an entry is lost");
        }
    }
}
