//! What comes in: whose it is, whether it may, and the words that are honoured before anything else.

use std::collections::VecDeque;

use chrono::Utc;
use sip::{IncomingMessage, MessageReply, RequestId};
use tracing::{info, warn};

use super::contact::named;
use super::content::{self, Unreadable};
use super::outgoing::{Destination, Outgoing};
use super::seen::{self, Seen};
use super::{Draft, Room, STOPPED, STORING, SendError, Told, Written, entry, later};
use crate::config::Format;
use crate::domain::{CallId, Content, Direction, Failure, Keyword, Message, MessageId, Private, ThreadId};
use crate::store::Store;

/// Who brought a message, and waits to hear that it is kept.
pub(super) enum Teller {
    Sip(RequestId),
    Carrier(Told),
}

/// What becomes of a message that came in.
pub(super) enum Admitted {
    New,
    Known,
    Later,
}

impl Room {
    /// A message to be written before it is answered; `Some`: the answer is known already.
    pub(super) fn incoming(
        &mut self,
        request: RequestId,
        message: &IncomingMessage,
        in_call: Option<CallId>,
    ) -> Option<MessageReply> {
        let record = match self.judge(message, in_call) {
            Ok(record) => record,
            Err(reply) => return Some(reply),
        };
        let key = self.memory.key(&record.trunk, message);
        match self.admit(key, &record) {
            Admitted::Later => return Some(later()),
            Admitted::Known => return Some(MessageReply::new(202)),
            Admitted::New => {}
        }
        self.keep(record, key, Teller::Sip(request));
        None
    }

    /// Whether there is room for a message, and whether it is here already.
    pub(super) fn admit(&mut self, key: seen::Key, record: &Message) -> Admitted {
        if self.storing.len() >= STORING {
            warn!(storing = STORING, "messages come faster than the disk takes them; one is put off");
            return Admitted::Later;
        }
        match self.memory.note(key) {
            Seen::Pending => Admitted::Later,
            Seen::Stored => {
                info!(trunk = record.trunk, "a message came again, and is here already");
                Admitted::Known
            }
            Seen::New => Admitted::New,
        }
    }

    /// Writes a message; whoever brought it is answered then.
    pub(super) fn keep(&mut self, record: Message, key: seen::Key, teller: Teller) {
        info!(message = %record.id, from = %record.from, to = %record.to, trunk = record.trunk, "a message comes in");
        let (journal, store) = (self.post.journal.clone(), self.post.store.clone());
        self.storing.spawn(async move {
            if matches!(teller, Teller::Carrier(_)) && is_kept(&store, &record.id).await {
                return Written::Known { teller, key, id: record.id };
            }
            // Where that is not known, nothing is said twice.
            let was_stopped = is_stopped(&store, record.thread_id.as_ref()).await;
            let event = journal.store(entry(record.clone())).await;
            Written::In { teller, key, record: Box::new(record), was_stopped, event }
        });
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
        let contact = match extension {
            Some(extension) => extension.number.clone(),
            None => {
                let format = config.trunk(&trunk).map_or(&Format::E164, |trunk| &trunk.identity.format);
                named(&sender.uri, format)
            }
        };
        // Who writes from a name alone is shown by it; who writes from a number, by that in E.164.
        let from = match contact.starts_with("sip:") {
            true => sender.uri.user().unwrap_or_else(|| sender.uri.to_string()),
            false => contact.clone(),
        };
        let (id, from) = ((self.post.new_id)(), Private::new(from));
        let keyword = content.text().and_then(|text| Keyword::of(text, &config.messages.stop_words));
        let record = Message::new(id, Direction::Inbound, number.number.clone(), from, content, Utc::now());
        let content_type = message.body.content_type.clone();
        let record = Message {
            account: number.account.clone(),
            number_id: Some(number.id.clone()),
            agent_id: number.agent_id.clone(),
            content_type,
            trunk,
            in_call,
            keyword,
            ..record
        };
        Ok(record.in_thread(&contact))
    }

    /// Does what a word asks for. The store knows already; here it is what waits to be sent that must know.
    pub(super) async fn honour(&mut self, record: &Message, was_stopped: Option<bool>) {
        let (Some(keyword), Some(thread)) = (record.keyword, &record.thread_id) else { return };
        let settings = &self.post.config.messages;
        let answer = match keyword {
            Keyword::Stop => (was_stopped == Some(false)).then(|| settings.stopped.clone()),
            Keyword::Start => (was_stopped == Some(true)).then(|| settings.started.clone()),
            Keyword::Help => Some(settings.help.clone()),
        };
        let is_answered = settings.confirmations;
        info!(message = %record.id, ?keyword, "a contact's word is honoured");
        match keyword {
            Keyword::Stop => {
                self.stopped.push_back(thread.clone());
                if self.stopped.len() > STOPPED {
                    self.stopped.pop_front();
                }
                self.give_up(thread).await;
            }
            Keyword::Start => self.stopped.retain(|one| one != thread),
            Keyword::Help => {}
        }
        if let Some(text) = answer.filter(|_| is_answered) {
            self.answer(record, &text.replace("{number}", record.number.as_str()));
        }
    }

    /// Fails what waits for a contact that has asked for no more. What is on its way already cannot be had back.
    async fn give_up(&mut self, thread: &ThreadId) {
        let is_theirs =
            |one: &Outgoing| one.record.thread_id.as_ref() == Some(thread) && !one.record.automatic;
        let mut given_up = VecDeque::new();
        for lane in self.lanes.values_mut() {
            // The first may be on its way: whatever comes of that, it is not tried again.
            let Some(mut first) = lane.pop_front() else { continue };
            first.recipient_stopped |= is_theirs(&first);
            let (mut theirs, rest): (VecDeque<_>, VecDeque<_>) = lane.drain(..).partition(is_theirs);
            *lane = rest;
            lane.push_front(first);
            given_up.append(&mut theirs);
        }
        for mut outgoing in given_up {
            let reason = SendError::RecipientStopped.to_string();
            outgoing.record.fail(Failure::RecipientStopped, reason, Utc::now());
            self.close(outgoing.record).await;
        }
    }

    /// Says one sentence to whoever wrote.
    fn answer(&mut self, to: &Message, text: &str) {
        let (id, content) = ((self.post.new_id)(), Content::Text(Private::new(text.to_owned())));
        let (number, contact) = (to.number.clone(), to.contact().clone());
        let record =
            Message::new(id, Direction::Outbound, number.clone(), contact.clone(), content, Utc::now());
        let record = Message {
            account: to.account.clone(),
            number_id: to.number_id.clone(),
            agent_id: to.agent_id.clone(),
            thread_id: to.thread_id.clone(),
            automatic: true,
            ..record
        };
        let ways = (self.post.ways)(number, contact.reveal().clone());
        self.storing.spawn(async move {
            let destinations: Vec<Destination> = ways.await;
            Written::Reply(Box::new(Draft { record, destinations }))
        });
    }
}

/// Whether the contact of a conversation has asked for no more messages. `None`: the disk does not say.
pub(super) async fn is_stopped(store: &Store, thread: Option<&ThreadId>) -> Option<bool> {
    let Some(id) = thread.cloned() else { return Some(false) };
    let store = store.clone();
    let read = tokio::task::spawn_blocking(move || store.thread(&id)).await;
    let thread = read.ok()?.inspect_err(|error| warn!(%error, "a conversation cannot be read")).ok()?;
    Some(thread.is_some_and(|thread| thread.stopped_at.is_some()))
}

/// Whether a message is here already, whichever process kept it.
async fn is_kept(store: &Store, id: &MessageId) -> bool {
    let (store, id) = (store.clone(), id.clone());
    matches!(tokio::task::spawn_blocking(move || store.message(&id)).await, Ok(Ok(Some(_))))
}
