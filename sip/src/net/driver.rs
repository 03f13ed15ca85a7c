//! The one task that owns the endpoint.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;

use super::udp::Sockets;
use super::{Command, FAREWELL};
use crate::config::Admission;
use crate::endpoint::Endpoint;
use crate::event::Event;

/// Packets between a reader and the task.
const PACKETS: usize = 1024;
/// Packets handled before timers and commands have their turn.
const BURST: usize = 64;

pub(super) struct Driver {
    endpoint: Endpoint,
    // Before `commands`: whoever sees the inbox closed may bind the same port again.
    sockets: Arc<Sockets>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// An event for which there was no room.
    backlog: Option<Event>,
    /// Set by shutdown: when we leave at the latest.
    leave_at: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        endpoint: Endpoint,
        sockets: Arc<Sockets>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { endpoint, sockets, commands, events, backlog: None, leave_at: None }
    }

    pub(super) async fn run(mut self) {
        let mut readers = JoinSet::new();
        let (sender, mut packets) = mpsc::channel(PACKETS);
        for index in 0..self.sockets.len() {
            readers.spawn(Arc::clone(&self.sockets).read(index, sender.clone()));
        }
        drop(sender);
        let events = self.events.clone();
        loop {
            self.send().await;
            self.deliver();
            if self.has_left() {
                break;
            }
            let timeout = match (self.endpoint.poll_timeout(), self.leave_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Act(act)) => act(&mut self.endpoint, now()),
                    Some(Command::Shutdown) => self.leave(),
                    None => break,
                },
                permit = events.reserve(), if self.backlog.is_some() => {
                    // An error: nobody listens any more, and the event goes nowhere.
                    if let (Ok(permit), Some(event)) = (permit, self.backlog.take()) {
                        permit.send(event);
                    }
                }
                Some(packet) = packets.recv(), if self.backlog.is_none() => {
                    self.endpoint.handle_message(now(), packet.path, &packet.bytes);
                    for _ in 1..BURST {
                        let Ok(packet) = packets.try_recv() else {
                            break;
                        };
                        self.endpoint.handle_message(now(), packet.path, &packet.bytes);
                    }
                },
                () = sleep_until(timeout) => {}
            }
            if self.endpoint.poll_timeout().is_some_and(|at| at <= now()) {
                self.endpoint.handle_timeout(now());
            }
        }
        readers.shutdown().await;
    }

    async fn send(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if self.sockets.send(&transmit).await.is_err() {
                self.endpoint.handle_transport_error(now(), transmit.path);
            }
        }
    }

    /// Hands events on until the program's queue is full.
    fn deliver(&mut self) {
        while self.backlog.is_none() {
            let Some(event) = self.endpoint.poll_event() else {
                return;
            };
            if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
                self.backlog = Some(event);
            }
        }
    }

    /// Says goodbye to everyone.
    fn leave(&mut self) {
        let at = now();
        self.endpoint.set_admission(Admission::Draining { retry_after: FAREWELL });
        for leg in self.endpoint.legs().collect::<Vec<_>>() {
            self.endpoint.hangup(at, leg, None);
        }
        for registration in self.endpoint.registrations().collect::<Vec<_>>() {
            self.endpoint.unregister(at, registration);
        }
        self.leave_at = Some(at + FAREWELL);
    }

    fn has_left(&self) -> bool {
        let stats = self.endpoint.stats();
        self.leave_at.is_some_and(|at| at <= now() || (stats.legs == 0 && stats.registrations == 0))
    }
}

/// tokio's clock, so that a paused one holds for the endpoint as well.
fn now() -> Instant {
    time::Instant::now().into_std()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
