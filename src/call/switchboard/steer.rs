//! What a client asks of a call that is up.

use tokio::sync::oneshot;

use super::{Order, Switchboard};
use crate::call::actor::Command;
use crate::call::{Supervise, Unattended, Unsaid};
use crate::domain::{CallId, Private};

/// Why no keys are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsent {
    #[error("the call is not up, or it is ending")]
    NotUp,
    #[error(transparent)]
    Keys(#[from] media::DigitsError),
}

/// Why a recording is not paused, or does not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unrecorded {
    #[error("the call is not up, or it is ending")]
    NotUp,
    #[error("the call is not recorded")]
    NoTape,
}

impl Switchboard {
    /// Has the agent say something: when whoever speaks has finished or, with `interrupt`, instead of what the agent is saying.
    /// Returns when that is taken, not when it is said.
    pub async fn say(&self, id: CallId, text: Private<String>, interrupt: bool) -> Result<(), Unsaid> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Say { text, interrupt, reply }).await;
        answer.await.unwrap_or(Err(Unsaid::NotUp))
    }

    /// Sends keys (RFC 4733) to the other side; `,` is a pause of a second.
    pub async fn press(&self, id: CallId, keys: Private<String>) -> Result<(), Unsent> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Press(keys, reply)).await;
        answer.await.unwrap_or(Err(Unsent::NotUp))
    }

    /// Pauses the recording of a call, or lets it go on; it holds silence meanwhile. Returns when that is in force.
    pub async fn record(&self, id: CallId, on: bool) -> Result<(), Unrecorded> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Record(on, reply)).await;
        answer.await.unwrap_or(Err(Unrecorded::NotUp))
    }

    /// Has somebody attend the call, or attend it in another way. Returns when they are being called; the rest is told by events.
    pub async fn supervise(&self, id: CallId, order: Supervise) -> Result<(), Unattended> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Supervise(Box::new(order), reply)).await;
        answer.await.unwrap_or(Err(Unattended::NotUp))
    }

    /// Has them leave.
    pub async fn unsupervise(&self, id: CallId) -> Result<(), Unattended> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Unsupervise(reply)).await;
        answer.await.unwrap_or(Err(Unattended::NotUp))
    }

    /// Lets the agent know something that the caller does not hear.
    pub async fn instruct(&self, id: CallId, text: Private<String>) -> Result<(), Unsaid> {
        let (reply, answer) = oneshot::channel();
        self.tell(id, Command::Instruct(text, reply)).await;
        answer.await.unwrap_or(Err(Unsaid::NotUp))
    }

    /// Where there is no such call, whoever waits for its answer sees that nobody will give one.
    async fn tell(&self, id: CallId, command: Command) {
        let _ = self.orders.send(Order::Tell(id, Box::new(command))).await;
    }
}
