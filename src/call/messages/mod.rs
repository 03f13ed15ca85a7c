//! SIP MESSAGE (RFC 3428): in, to the inbox of the number that it was sent to; out, through the number's trunk.
//!
//! One task. What comes in is judged, written, and then answered: 202, because an inbox is a store (§7) and whoever reads it
//! does so later. What cannot be written is refused with 503, told to nobody, and so comes again. What goes out is written
//! as `queued` before it is sent, and its record is closed by the last answer. To one URI there is one on its way at a
//! time (§8), so that messages to one person also keep their order.
//!
//! STOP comes before all else: it is written in the transaction of the message that says so, and from then on nothing leaves
//! for that contact, also of what was waiting; only the answer to STOP itself does.

mod carrier;
mod contact;
mod content;
mod draft;
mod inbox;
mod outbox;
mod outgoing;
mod receipts;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use models::BoxFuture;
use sip::net::Stack;
use sip::{IncomingMessage, MessageReply, RequestId};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::Directory;
use super::ledger::{Journal, NotWritten};
use super::trunks::Trunks;
use crate::config::Config;
use crate::domain::{CallId, E164, Event, EventKind, Message, MessageId, ThreadId};
use crate::store::{Entry, Record, Store};

use carrier::{Carriers, Handed};
pub use carrier::{NotTaken, Notice, read, verify};
pub use contact::contact_of;
pub use draft::{Text, Undrafted};
use inbox::Teller;
pub(super) use outgoing::Outcome;
use outgoing::{Came, Outgoing, Patience};
pub use outgoing::{Destination, Way};
use seen::Memory;

/// Letters that may wait for the task.
const LETTERS: usize = 256;
/// Messages that may be on their way to the disk; one more is told 503.
const STORING: usize = 256;
/// Messages that may be on their way out, or wait for their turn.
const OUTGOING: usize = 1024;
/// Conversations that have just been stopped, and are remembered while a message to them may be on its way to the disk.
const STOPPED: usize = 4 * STORING;
/// When a sender may try again whose message we had no room for.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A message to send, checked.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Outbound and queued.
    pub record: Message,
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
    #[error("whoever should get it has asked for no more messages from this number")]
    RecipientStopped,
    #[error("the message could not be written down, and was not sent; see the log")]
    NotStored,
}

type Answer = oneshot::Sender<Result<Message, SendError>>;

#[derive(Debug)]
pub(super) enum Letter {
    Incoming {
        request: RequestId,
        message: Box<IncomingMessage>,
        in_call: Option<CallId>,
    },
    Outcome(sip::MessageId, Outcome),
    Send(Box<Draft>, Answer),
    /// What a carrier tells, who has proven that it is the trunk's.
    Told {
        trunk: String,
        notice: Box<Notice>,
        answer: Told,
    },
}

/// What became of a carrier's notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// A message, kept under this id; also where it was here already.
    Message(MessageId),
    /// What became of one of ours is written down, or was known.
    Receipt(MessageId),
    /// There was nothing to keep.
    Nothing,
}

pub(super) type Told = oneshot::Sender<Result<Kept, NotTaken>>;

/// Where a message from one of our numbers to a contact can be left.
pub(super) type Ways = Box<dyn Fn(E164, String) -> BoxFuture<'static, Vec<Destination>> + Send + Sync>;

/// What the task works with.
pub(super) struct Post {
    pub(super) config: Config,
    pub(super) directory: Directory,
    pub(super) stack: Stack,
    pub(super) journal: Journal,
    pub(super) store: Store,
    pub(super) trunks: Trunks,
    pub(super) ways: Ways,
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
            carriers: Carriers::new(&self.config),
            handing: JoinSet::new(),
            noting: Arc::default(),
            post: self,
            patience,
            memory: Memory::default(),
            storing: JoinSet::new(),
            stopped: VecDeque::new(),
            lanes: HashMap::new(),
            sent: HashMap::new(),
            again: BTreeMap::new(),
            turn: 0,
        };
        (letters, tokio::spawn(room.run(queue)))
    }
}

/// A message that was being written, or made.
enum Written {
    In {
        teller: Teller,
        key: seen::Key,
        record: Box<Message>,
        was_stopped: Option<bool>,
        event: Result<(), NotWritten>,
    },
    Out {
        outgoing: Box<Outgoing>,
        answer: Answer,
        event: Result<(), SendError>,
    },
    /// What is said to a word that was honoured.
    Reply(Box<Draft>),
    /// What became of one that was sent before.
    Receipt {
        answer: Told,
        outcome: Result<Kept, NotTaken>,
    },
    /// A message that an earlier process has kept.
    Known {
        teller: Teller,
        key: seen::Key,
        id: MessageId,
    },
}

struct Room {
    post: Post,
    carriers: Carriers,
    /// What is being handed over by HTTP, with its lane.
    handing: JoinSet<(String, Handed)>,
    /// Receipts are written one after the other: two of one message would both be its first.
    noting: Arc<Mutex<()>>,
    patience: Patience,
    memory: Memory,
    storing: JoinSet<Written>,
    /// The last that were stopped, the newest last.
    stopped: VecDeque<ThreadId>,
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
                Some(handed) = self.handing.join_next() => match handed {
                    Ok((lane, handed)) => self.came(lane, Came::Carrier(handed)).await,
                    Err(panic) => tracing::error!(%panic, "handing a message over panicked"),
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
                    self.came(lane, Came::Sip(outcome)).await;
                }
            }
            Letter::Send(draft, answer) => self.take(*draft, answer),
            Letter::Told { trunk, notice, answer } => self.told(&trunk, *notice, answer),
        }
    }

    async fn written(&mut self, written: Written) {
        match written {
            Written::In { teller, key, record, was_stopped, event: Ok(()) } => {
                self.memory.stored(key);
                self.honour(&record, was_stopped).await;
                self.taken(teller, record.id).await;
            }
            Written::In { teller, key, event: Err(NotWritten), .. } => {
                self.memory.forget(key);
                self.put_off(teller).await;
            }
            Written::Out { outgoing, answer, event } => self.written_out(*outgoing, answer, event).await,
            Written::Reply(draft) => {
                // Nobody waits for it; its record tells what becomes of it.
                let (answer, _) = oneshot::channel();
                self.take(*draft, answer);
            }
            Written::Known { teller, key, id } => {
                self.memory.stored(key);
                self.taken(teller, id).await;
            }
            Written::Receipt { answer, outcome } => {
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            }
        }
    }

    /// Tells whoever brought a message that it is kept.
    async fn taken(&self, teller: Teller, id: MessageId) {
        match teller {
            Teller::Sip(request) => self.reply(request, MessageReply::new(202)).await,
            Teller::Carrier(answer) => drop(answer.send(Ok(Kept::Message(id)))),
        }
    }

    /// Tells whoever brought a message to bring it again.
    async fn put_off(&self, teller: Teller) {
        match teller {
            Teller::Sip(request) => self.reply(request, later()).await,
            Teller::Carrier(answer) => drop(answer.send(Err(NotTaken::Later))),
        }
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
