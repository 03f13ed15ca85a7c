//! What goes out: written, sent, tried again, closed.

use std::collections::VecDeque;

use chrono::Utc;
use tokio::time::Instant;
use tracing::info;

use super::inbox::is_stopped;
use super::outgoing::{Came, Outgoing, Try};
use super::{Answer, Draft, OUTGOING, Room, SendError, Written, entry};
use crate::domain::{Failure, Message};

impl Room {
    pub(super) fn take(&mut self, draft: Draft, answer: Answer) {
        let waiting: usize = self.lanes.values().map(VecDeque::len).sum();
        if waiting + self.storing.len() >= OUTGOING {
            // Whoever asked may have gone.
            let _ = answer.send(Err(SendError::Busy));
            return;
        }
        let Some(outgoing) = Outgoing::new(draft.record, draft.destinations).map(Box::new) else {
            let _ = answer.send(Err(SendError::Nowhere));
            return;
        };
        let (journal, store) = (self.post.journal.clone(), self.post.store.clone());
        self.storing.spawn(async move {
            let record = &outgoing.record;
            let is_stopped = match record.automatic {
                true => Some(false),
                false => is_stopped(&store, record.thread_id.as_ref()).await,
            };
            let event = match is_stopped {
                None => Err(SendError::NotStored),
                Some(true) => Err(SendError::RecipientStopped),
                Some(false) => journal.store(entry(record.clone())).await.map_err(|_| SendError::NotStored),
            };
            Written::Out { outgoing, answer, event }
        });
    }

    pub(super) async fn written_out(
        &mut self,
        outgoing: Outgoing,
        answer: Answer,
        event: Result<(), SendError>,
    ) {
        if let Err(error) = event {
            let _ = answer.send(Err(error));
            return;
        }
        let mut record = outgoing.record.clone();
        // A STOP that was written while this was.
        if !record.automatic && record.thread_id.as_ref().is_some_and(|thread| self.stopped.contains(thread))
        {
            let reason = SendError::RecipientStopped.to_string();
            record.fail(Failure::RecipientStopped, reason, Utc::now());
            self.close(record.clone()).await;
            let _ = answer.send(Ok(record));
            return;
        }
        info!(message = %record.id, to = %record.to, trunk = record.trunk, "a message goes out");
        let name = record.to.reveal().clone();
        let _ = answer.send(Ok(record));
        let lane = self.lanes.entry(name.clone()).or_default();
        lane.push_back(outgoing);
        if lane.len() == 1 {
            self.send_first(name).await;
        }
    }

    /// Sends the first of a lane that may still be sent.
    pub(super) async fn send_first(&mut self, lane: String) {
        while let Some(queue) = self.lanes.get_mut(&lane) {
            match queue.front_mut() {
                None => drop(self.lanes.remove(&lane)),
                Some(first) if first.recipient_stopped => {
                    if let Some(mut first) = queue.pop_front() {
                        let reason = SendError::RecipientStopped.to_string();
                        first.record.fail(Failure::RecipientStopped, reason, Utc::now());
                        self.close(first.record).await;
                    }
                }
                Some(first) => {
                    let next = first.next_try();
                    let record = first.record.clone();
                    match next {
                        // A stack that has shut down sends nothing; the record is closed with the task, which ends soon.
                        Try::Sip(request) => {
                            if let Ok(id) = self.post.stack.message(*request).await {
                                self.sent.insert(id, lane);
                            }
                        }
                        Try::Carrier { trunk } => {
                            let carriers = self.carriers.clone();
                            self.handing.spawn(async move { (lane, carriers.send(&trunk, &record).await) });
                        }
                    }
                    return;
                }
            }
        }
    }

    pub(super) async fn came(&mut self, lane: String, came: Came) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        let Some(first) = queue.front_mut() else { return };
        let is_idempotent = self.carriers.is_idempotent(&first.record.trunk);
        if let Some(wait) = first.again_in(&came, is_idempotent, &self.patience) {
            info!(message = %first.record.id, status = came.status(), again_in_s = wait.as_secs_f32(), "a message is not through yet");
            self.turn += 1;
            self.again.insert((Instant::now() + wait, self.turn), lane);
            return;
        }
        let Some(outgoing) = queue.pop_front() else { return };
        let record = outgoing.closed(came, Utc::now());
        info!(message = %record.id, status = ?record.status, failure = ?record.failure, tries = record.tries, "a message is settled");
        self.close(record).await;
        self.send_first(lane).await;
    }

    /// The last entry of an outbound message.
    pub(super) async fn close(&self, record: Message) {
        self.post.journal.write(entry(record)).await;
    }
}
