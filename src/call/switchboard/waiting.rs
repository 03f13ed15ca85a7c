//! Outbound calls from the order to the first INVITE: written, queued, prepared, dialled.
//!
//! What takes its time, writing the record and finding the way, is done by clerks, tasks that report back to the desk; so no call waits for another one's disk or DNS. A call is in exactly one place: with a clerk, in the queue,
//! or live. It leaves the queue before its INVITE is sent and never comes back afterwards, and a process that starts closes
//! what it finds queued: so no call is placed twice.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use sip::LegId;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::outgoing::Prospect;
use super::{Desk, Exchange, PlaceError, Placement, SideId};
use crate::call::actor::{Company, Media};
use crate::call::guards::Errand;
use crate::call::ledger::{Ledger, NotWritten};
use crate::call::meter::occasion;
use crate::call::route::{RouteError, Waves};
use crate::domain::{Call, CallId, Direction, EndReason, EventKind, Status};

/// A call that is wanted and not dialled yet.
pub(super) struct Ticket {
    placement: Placement,
    ledger: Ledger,
}

/// A call whose first leg is being called.
struct Dialling {
    company: Company,
    leg: LegId,
    trunk: String,
    prospect: Prospect,
    media: Media,
}

/// What a clerk has done.
pub(super) enum Done {
    /// The record of a call that is to wait. Whoever ordered it still waits to hear of it.
    Written(Box<Ticket>, Result<(), NotWritten>, oneshot::Sender<Result<Call, PlaceError>>),
    /// Everything that dialling needs.
    Prepared(CallId, Result<Waves, RouteError>),
    /// The record of a call that was never dialled.
    Closed,
}

impl Desk {
    /// Takes an order. Who gave it hears of it when the record is on disk.
    pub(super) fn take_order(
        &mut self,
        placement: Placement,
        reply: oneshot::Sender<Result<Call, PlaceError>>,
    ) {
        let id = self.new_id();
        if let Err(error) = self.admit(&id, &placement) {
            // The client may have gone.
            let _ = reply.send(Err(error));
            return;
        }
        let (from, to) = (placement.from.number.to_string(), placement.to.reveal().clone());
        let mut call = Call::new(id, Direction::Outbound, from, to, Utc::now());
        call.status = Status::Queued;
        call.of_number(&placement.from);
        call.agent.clone_from(&placement.who.agent.name);
        call.agent_id.clone_from(&placement.who.agent_id);
        call.trunk.clone_from(&placement.from.trunk);
        call.key_id.clone_from(&placement.key_id);
        call.metadata.clone_from(&placement.metadata);
        let ledger = Ledger::new(call, self.exchange.journal.clone());
        let mut ticket = Box::new(Ticket { placement, ledger });
        self.clerks.spawn(async move {
            let queued = EventKind::queued(&ticket.ledger.call);
            let written = ticket.ledger.store([queued]).await;
            Done::Written(ticket, written, reply)
        });
    }

    fn admit(&mut self, id: &CallId, placement: &Placement) -> Result<(), PlaceError> {
        if self.is_stopping {
            return Err(PlaceError::Stopping);
        }
        let (key, at_once) = (&placement.key_id, placement.at_once);
        let hold = self.queue.hold(Instant::now(), key, at_once, self.room());
        if let Some(hold) = hold.filter(|_| !placement.may_wait) {
            return Err(PlaceError::NotNow(hold));
        }
        self.exchange.cast.can_think(&placement.who.agent.brain)?;
        if !placement.may_wait {
            self.hunt(placement.waves.clone())?;
        }
        self.queue.push(id.clone(), key.clone(), at_once).map_err(PlaceError::QueueFull)
    }

    /// Lines of the box that no call has and none is being prepared for.
    fn room(&self) -> usize {
        let taken = self.calls.len() + self.preparing.len();
        self.exchange.config.limits.max_calls.saturating_sub(taken)
    }

    /// What a clerk has done; a clerk that panicked has said so.
    pub(super) async fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Written(ticket, Ok(()), reply)) => {
                let call = ticket.ledger.call.clone();
                let _ = reply.send(Ok(call.clone()));
                if self.is_stopping {
                    self.withdraw(*ticket, EndReason::ShuttingDown);
                } else {
                    self.queue.written(&call.id, &call.key_id);
                    self.tickets.insert(call.id.clone(), *ticket);
                    self.begin_calls();
                    if let Some(waits) = self.tickets.get_mut(&call.id) {
                        waits.placement.waves.clear();
                    }
                }
            }
            Ok(Done::Written(ticket, Err(NotWritten), reply)) => {
                let call = &ticket.ledger.call;
                self.queue.remove(&call.id, &call.key_id);
                let _ = reply.send(Err(PlaceError::NotWritten));
            }
            Ok(Done::Prepared(id, prepared)) => {
                // Not there any more where it was withdrawn meanwhile.
                if let Some(ticket) = self.preparing.remove(&id) {
                    self.prepared(id, ticket, prepared).await;
                }
            }
            Ok(Done::Closed) => {}
            Err(panic) => tracing::error!(%panic, "a call could not be prepared"),
        }
    }

    /// Lets calls begin as far as they may.
    pub(super) fn begin_calls(&mut self) {
        while let Some(id) = self.queue.poll(Instant::now(), self.room()) {
            let Some(ticket) = self.tickets.remove(&id) else {
                self.queue.ended(Instant::now(), &id);
                continue;
            };
            let (exchange, placement) = (self.exchange.clone(), ticket.placement.clone());
            self.preparing.insert(id.clone(), ticket);
            self.clerks.spawn(async move { Done::Prepared(id, prepare(&exchange, placement).await) });
        }
    }

    async fn prepared(&mut self, id: CallId, ticket: Ticket, prepared: Result<Waves, RouteError>) {
        let waves = match prepared {
            Ok(waves) => waves,
            Err(error) => {
                info!(call = %id, %error, "a queued call cannot be placed");
                let reason = match error {
                    RouteError::Guarded(refusal) => refusal.end_reason(),
                    RouteError::Refused(_) | RouteError::Unreachable(_) => EndReason::Unreachable,
                };
                return self.give_up(ticket, reason);
            }
        };
        match self.dial_first(&ticket, waves).await {
            Ok(Dialling { company, leg, trunk, prospect, media }) => {
                let Ticket { mut ledger, placement } = ticket;
                if !placement.who.record {
                    self.unrecorded.insert(id.clone());
                }
                ledger.call.trunk = trunk;
                ledger.call.dialed_at = Some(Utc::now());
                ledger.call.status = Status::Dialing;
                info!(call = %id, from = %ledger.call.from, to = %ledger.call.to, trunk = ledger.call.trunk, "a call goes out");
                self.spawn(leg, ledger, company, media, None);
                self.attach(SideId(leg), prospect);
            }
            // A line comes free when some call ends.
            Err(PlaceError::TrunksFull | PlaceError::NoLine(_))
                if ticket.placement.may_wait && !self.calls.is_empty() =>
            {
                let mut ticket = ticket;
                ticket.placement.waves.clear();
                self.queue.put_back(id.clone());
                self.tickets.insert(id, ticket);
            }
            Err(PlaceError::TrunksFull | PlaceError::NoLine(_)) => {
                self.give_up(ticket, EndReason::NoCapacity);
            }
            Err(error) => {
                warn!(call = %id, %error, "a queued call could not be placed");
                self.give_up(ticket, EndReason::TrunkFailed);
            }
        }
    }

    async fn dial_first(&mut self, ticket: &Ticket, waves: Waves) -> Result<Dialling, PlaceError> {
        let (id, who) = (&ticket.ledger.call.id, &ticket.placement.who);
        let company = self.agent(who)?;
        let (hunt, first) = self.hunt(waves)?;
        let recording = who.record.then(|| self.exchange.store.tape(id, 0));
        let (remote, line) = (first[0].invite.path.remote, &first[0].trunk);
        let media = self.exchange.open(remote, line, recording).map_err(PlaceError::NoLine)?;
        let mut prospect = Prospect::new(id.clone(), hunt, &media);
        self.call_places(&mut prospect, first).await;
        let (leg, trunk) = prospect.first()?;
        Ok(Dialling { company, leg, trunk, prospect, media })
    }

    /// A call that began and reached nobody: its lane may go on.
    fn give_up(&mut self, ticket: Ticket, reason: EndReason) {
        self.queue.ended(Instant::now(), &ticket.ledger.call.id);
        self.close(ticket, reason);
    }

    fn close(&mut self, ticket: Ticket, reason: EndReason) {
        self.clerks.spawn(async move {
            ticket.ledger.close(reason, None, Vec::new()).await;
            Done::Closed
        });
    }

    fn withdraw(&mut self, ticket: Ticket, reason: EndReason) {
        let Call { id, key_id, .. } = &ticket.ledger.call;
        if !self.queue.remove(id, key_id) {
            self.queue.ended(Instant::now(), id);
        }
        self.close(ticket, reason);
    }

    /// Takes a call back that is not dialled yet. False where there is none such.
    pub(super) fn cancel(&mut self, id: &CallId) -> bool {
        let ticket = self.tickets.remove(id).or_else(|| self.preparing.remove(id));
        let is_found = ticket.is_some();
        if let Some(ticket) = ticket {
            self.withdraw(ticket, EndReason::ApiCanceled);
        }
        is_found
    }

    /// Closes all that is not dialled yet.
    pub(super) fn withdraw_all(&mut self, reason: EndReason) {
        let tickets: Vec<_> =
            self.tickets.drain().chain(self.preparing.drain()).map(|(_, ticket)| ticket).collect();
        for ticket in tickets {
            self.withdraw(ticket, reason);
        }
    }
}

/// Where to call, if it may still be done: since the order the hour or the money may have changed.
async fn prepare(exchange: &Arc<Exchange>, placement: Placement) -> Result<Waves, RouteError> {
    let (account, key) = (&placement.from.account, placement.key_id.as_ref());
    exchange.guards.destination(placement.to.reveal()).map_err(RouteError::Guarded)?;
    occasion(exchange, account, key, Errand::Call).await?;
    match placement.waves.is_empty() {
        false => Ok(placement.waves),
        true => exchange.route(&placement.from, placement.to.reveal()).await,
    }
}
