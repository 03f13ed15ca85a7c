//! SIP MESSAGE (RFC 3428): in, to the inbox of the number that it was sent to; out, through the number's trunk.
//!
//! One task. What comes in is judged, written, and then answered: 202, because an inbox is a store (§7) and whoever reads it
//! does so later. What cannot be written is refused with 503, told to nobody, and so comes again. What goes out is written
//! as `queued` before it is sent, and its record is closed by the last answer. To one URI there is one on its way at a
//! time (§8), so that messages to one person also keep their order.

mod content;
mod outgoing;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use chrono::Utc;
use sip::net::Stack;
use sip::{IncomingMessage, MessageReply, RequestId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Directory;
use super::ledger::{Journal, NotWritten};
use super::trunks::Trunks;
use crate::config::Config;
use crate::domain::{
    AccountId, CallId, Content, Direction, Event, EventKind, Message, MessageId, MessageStatus, Metadata,
    Private,
};
use crate::store::{Entry, Record};

use content::Unreadable;
pub use outgoing::Destination;
pub(super) use outgoing::Outcome;
use outgoing::{Outgoing, Patience};
use seen::{Memory, Seen};

/// Letters that may wait for the task.
const LETTERS: usize = 256;
/// Messages that may be on their way to the disk; one more is told 503.
const STORING: usize = 256;
/// Messages that may be on their way out, or wait for their turn.
const OUTGOING: usize = 1024;
/// When a sender may try again whose message we had no room for.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A message to send, checked.
#[derive(Clone, Debug)]
pub struct Draft {
    pub number: crate::domain::E164,
    pub to: Private<String>,
    pub text: Private<String>,
    /// Where it can be left, the best first.
    pub destinations: Vec<Destination>,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("there is nowhere to send it")]
    Nowhere,
    #[error("{OUTGOING} messages wait to be sent; try again later")]
    Busy,
    #[error("the gateway is stopping and sends no more messages")]
    Stopping,
    #[error("the message could not be written down, and was not sent; see the log")]
    NotStored,
}

type Answer = oneshot::Sender<Result<Message, SendError>>;

#[derive(Debug)]
pub(super) enum Letter {
    Incoming { request: RequestId, message: Box<IncomingMessage>, in_call: Option<CallId> },
    Outcome(sip::MessageId, Outcome),
    Send(Box<Draft>, Answer),
}

/// What the task works with.
pub(super) struct Post {
    pub(super) config: Config,
    pub(super) directory: Directory,
    pub(super) stack: Stack,
    pub(super) journal: Journal,
    pub(super) trunks: Trunks,
    pub(super) new_id: Box<dyn Fn() -> MessageId + Send + Sync>,
}

impl Post {
    /// The task ends when its letters do; what is then on its way out is failed, for nobody will hear of it.
    pub(super) fn start(self) -> (mpsc::Sender<Letter>, JoinHandle<()>) {
        self.start_with(Patience::default())
    }

    fn start_with(self, patience: Patience) -> (mpsc::Sender<Letter>, JoinHandle<()>) {
        let (letters, queue) = mpsc::channel(LETTERS);
        let room = Room {
            post: self,
            patience,
            memory: Memory::default(),
            storing: JoinSet::new(),
            lanes: HashMap::new(),
            sent: HashMap::new(),
            again: BTreeMap::new(),
            turn: 0,
        };
        (letters, tokio::spawn(room.run(queue)))
    }
}

/// A message that was being written.
enum Written {
    In { request: RequestId, key: seen::Key, event: Result<(), NotWritten> },
    Out { outgoing: Box<Outgoing>, answer: Answer, event: Result<(), NotWritten> },
}

struct Room {
    post: Post,
    patience: Patience,
    memory: Memory,
    storing: JoinSet<Written>,
    /// By whom they go to; the first of each is sent, or waits to be sent again.
    lanes: HashMap<String, VecDeque<Outgoing>>,
    /// Which lane an outcome belongs to.
    sent: HashMap<sip::MessageId, String>,
    /// Lanes whose first is sent again then.
    again: BTreeMap<(Instant, u64), String>,
    turn: u64,
}

impl Room {
    async fn run(mut self, mut letters: mpsc::Receiver<Letter>) {
        loop {
            let due = self.again.keys().next().map(|(at, _)| *at);
            tokio::select! {
                letter = letters.recv() => match letter {
                    Some(letter) => self.letter(letter).await,
                    None => break,
                },
                Some(written) = self.storing.join_next() => match written {
                    Ok(written) => self.written(written).await,
                    Err(panic) => tracing::error!(%panic, "writing a message panicked"),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, lane)) = self.again.pop_first() {
                        self.send_first(lane).await;
                    }
                }
            }
        }
        while let Some(written) = self.storing.join_next().await {
            if let Ok(Written::Out { outgoing, event: Ok(()), .. }) = written {
                self.lanes.entry(String::new()).or_default().push_back(*outgoing);
            }
        }
        for mut outgoing in std::mem::take(&mut self.lanes).into_values().flatten() {
            outgoing.record.interrupt(Utc::now());
            self.close(outgoing.record).await;
        }
    }

    async fn letter(&mut self, letter: Letter) {
        match letter {
            Letter::Incoming { request, message, in_call } => {
                if let Some(reply) = self.incoming(request, &message, in_call) {
                    self.reply(request, reply).await;
                }
            }
            Letter::Outcome(id, outcome) => {
                if let Some(lane) = self.sent.remove(&id) {
                    self.outcome(lane, outcome).await;
                }
            }
            Letter::Send(draft, answer) => self.take(*draft, answer),
        }
    }

    /// A message to be written before it is answered; `Some`: the answer is known already.
    fn incoming(
        &mut self,
        request: RequestId,
        message: &IncomingMessage,
        in_call: Option<CallId>,
    ) -> Option<MessageReply> {
        let record = match self.judge(message, in_call) {
            Ok(record) => record,
            Err(reply) => return Some(reply),
        };
        if self.storing.len() >= STORING {
            warn!(storing = STORING, "messages come faster than the disk takes them; one is put off");
            return Some(later());
        }
        let key = self.memory.key(&record.trunk, message);
        match self.memory.note(key) {
            Seen::New => {}
            Seen::Pending => return Some(later()),
            Seen::Stored => {
                info!(trunk = record.trunk, "a message came again, and is here already");
                return Some(MessageReply::new(202));
            }
        }
        info!(message = %record.id, from = %record.from, to = %record.to, trunk = record.trunk, "a message comes in");
        let (journal, entry) = (self.post.journal.clone(), entry(record));
        self.storing.spawn(async move { Written::In { request, key, event: journal.store(entry).await } });
        None
    }

    /// The record of a message, or why it is refused: who sends it, and is it for us?
    fn judge(&self, message: &IncomingMessage, in_call: Option<CallId>) -> Result<Message, MessageReply> {
        let (config, trunks) = (&self.post.config, &self.post.trunks);
        // As with calls, some carriers keep our Contact in the Request-URI and name the number in To.
        let dialled = [message.request_uri.user(), message.to.uri.user()];
        let number = dialled.iter().flatten().find_map(|user| self.post.directory.dialled(user));
        let extension = message.account.as_deref().and_then(|account| config.extension(account));
        let trunk = match (extension, &message.account) {
            (Some(extension), _) => Some(extension.line()),
            (None, Some(account)) => trunks.of_account(account),
            (None, None) => trunks.of_source(message.path.remote.ip()),
        };
        let Some(trunk) = trunk else {
            warn!(source = %message.path.remote.ip(), "a message from an address that belongs to no trunk");
            return Err(MessageReply::new(403));
        };
        let Some(number) = number else {
            info!(trunk, "a message to a number that is not here is refused");
            return Err(MessageReply::new(404));
        };
        let agent = self.post.directory.agent_at(&number);
        let names = dialled.iter().flatten().map(String::as_str).chain([number.number.as_str()]);
        let names = names.chain(agent.as_ref().map(|agent| agent.name.as_str()));
        if extension.is_some_and(|extension| !extension.may_dial(names)) {
            info!(trunk, "a message to a number that the extension may not dial is refused");
            return Err(MessageReply::new(403));
        }
        let content = content::read(&message.body).map_err(|why| {
            info!(trunk, %why, "a message is refused");
            match why {
                Unreadable::Charset(_) => MessageReply {
                    reason: Some("Unsupported Charset".into()),
                    accept: Some("text/plain;charset=utf-8".into()),
                    ..MessageReply::new(415)
                },
                Unreadable::Garbled => {
                    MessageReply { reason: Some("Body Not In Its Charset".into()), ..MessageReply::new(400) }
                }
            }
        })?;
        let claimed = sip::identity::of(&message.headers);
        let sender = claimed.caller(&message.from, extension.is_none());
        let from = match extension {
            Some(extension) => extension.number.clone(),
            None => sender.uri.user().unwrap_or_else(|| sender.uri.to_string()),
        };
        Ok(Message {
            id: (self.post.new_id)(),
            account: number.account.clone(),
            number_id: Some(number.id.clone()),
            thread_id: None,
            agent_id: number.agent_id.clone(),
            key_id: None,
            metadata: Metadata::new(),
            cost: None,
            number: number.number.clone(),
            direction: Direction::Inbound,
            status: MessageStatus::Received,
            from: Private::new(from),
            to: Private::new(number.number.to_string()),
            content_type: message.body.content_type.clone(),
            content,
            trunk,
            in_call,
            created_at: Utc::now(),
            settled_at: None,
            tries: 0,
            sip_status: None,
            reason: None,
        })
    }

    fn take(&mut self, draft: Draft, answer: Answer) {
        let waiting: usize = self.lanes.values().map(VecDeque::len).sum();
        if waiting + self.storing.len() >= OUTGOING {
            // Whoever asked may have gone.
            let _ = answer.send(Err(SendError::Busy));
            return;
        }
        let content_type = "text/plain;charset=utf-8".to_owned();
        let record = Message {
            id: (self.post.new_id)(),
            account: AccountId::house(),
            number_id: None,
            thread_id: None,
            agent_id: None,
            key_id: None,
            metadata: Metadata::new(),
            cost: None,
            number: draft.number.clone(),
            direction: Direction::Outbound,
            status: MessageStatus::Queued,
            from: Private::new(draft.number.to_string()),
            to: draft.to,
            content_type: content_type.clone(),
            content: Content::Text(draft.text.clone()),
            trunk: draft.destinations.first().map(|first| first.trunk.clone()).unwrap_or_default(),
            in_call: None,
            created_at: Utc::now(),
            settled_at: None,
            tries: 0,
            sip_status: None,
            reason: None,
        };
        let body = sip::Body { content_type, bytes: draft.text.reveal().clone().into_bytes() };
        let Some(outgoing) = Outgoing::new(record.clone(), body, draft.destinations).map(Box::new) else {
            let _ = answer.send(Err(SendError::Nowhere));
            return;
        };
        let (journal, entry) = (self.post.journal.clone(), entry(record));
        self.storing
            .spawn(async move { Written::Out { outgoing, answer, event: journal.store(entry).await } });
    }

    async fn written(&mut self, written: Written) {
        match written {
            Written::In { request, key, event: Ok(()) } => {
                self.memory.stored(key);
                self.reply(request, MessageReply::new(202)).await;
            }
            Written::In { request, key, event: Err(NotWritten) } => {
                self.memory.forget(key);
                self.reply(request, later()).await;
            }
            Written::Out { outgoing, answer, event: Ok(()) } => {
                info!(message = %outgoing.record.id, to = %outgoing.record.to, trunk = outgoing.record.trunk, "a message goes out");
                let _ = answer.send(Ok(outgoing.record.clone()));
                let name = outgoing.record.to.reveal().clone();
                let lane = self.lanes.entry(name.clone()).or_default();
                lane.push_back(*outgoing);
                if lane.len() == 1 {
                    self.send_first(name).await;
                }
            }
            Written::Out { answer, event: Err(NotWritten), .. } => {
                let _ = answer.send(Err(SendError::NotStored));
            }
        }
    }

    async fn send_first(&mut self, lane: String) {
        let Some(first) = self.lanes.get_mut(&lane).and_then(VecDeque::front_mut) else { return };
        let request = first.next_request();
        // A stack that has shut down sends nothing; the record is closed with the task, which ends soon.
        if let Ok(id) = self.post.stack.message(request).await {
            self.sent.insert(id, lane);
        }
    }

    async fn outcome(&mut self, lane: String, outcome: Outcome) {
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        if let Some(wait) = queue.front_mut().and_then(|first| first.again_in(&outcome, &self.patience)) {
            info!(status = outcome.status, again_in_s = wait.as_secs_f32(), "a message is not through yet");
            self.turn += 1;
            self.again.insert((Instant::now() + wait, self.turn), lane);
            return;
        }
        let Some(Outgoing { mut record, .. }) = queue.pop_front() else { return };
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        record.settle(outcome.status, outcome.reason, Utc::now());
        info!(message = %record.id, status = outcome.status, tries = record.tries, "a message is settled");
        self.close(record).await;
        self.send_first(lane).await;
    }

    /// The last entry of an outbound message.
    async fn close(&self, record: Message) {
        self.post.journal.write(entry(record)).await;
    }

    async fn reply(&self, request: RequestId, reply: MessageReply) {
        // A stack that has shut down has said goodbye to everybody.
        let _ = self.post.stack.answer_message(request, reply).await;
    }
}

/// A record with what there is to tell of it.
fn entry(record: Message) -> Entry {
    let kind = EventKind::of_message(&record);
    let event = |kind| Event::of_message(&record, 1, Utc::now(), kind);
    let events = kind.map(event).into_iter().collect();
    Entry { record: Record::Message(Box::new(record)), events }
}

/// Not now.
pub(super) fn later() -> MessageReply {
    MessageReply { retry_after: Some(RETRY_AFTER), ..MessageReply::new(503) }
}
