//! Calls that come in: who calls, whom, and what becomes of it.

use std::sync::Arc;

use chrono::Utc;
use sip::{Body, IncomingCall, LegId, Reject};
use tracing::{error, info, warn};

use super::{Attached, Desk, SideId};
use crate::call::actor::{Command, Company, Media, TakeOver};
use crate::call::extensions::{Dialled, dialled};
use crate::call::ledger::Ledger;
use crate::call::{Resolved, Wanted};
use crate::config::Extension;
use crate::domain::{AccountId, Agent, Attestation, Call, Direction, EndReason, Number, Private, Settings};
use crate::store::Tape;

/// An inbound call whose caller is known.
struct Caller<'a> {
    /// For the record: the name of a trunk, or an extension.
    trunk: String,
    company: With<'a>,
    to: String,
    /// A trunk, which is believed what it says of the caller.
    is_trusted: bool,
}

/// Who is to talk with the caller.
enum With<'a> {
    /// Whoever answers a number, or an agent that one of our phones has dialled by name.
    Agent {
        number: Option<Arc<Number>>,
        agent: Option<Arc<Agent>>,
    },
    Phones(&'a Extension),
}

/// Why a call is not taken, before anything is asked of the box.
enum Unwelcome {
    Forbidden(&'static str),
    Unknown(&'static str),
    /// A phone of the house has dialled an emergency number.
    Emergency,
}

impl Desk {
    pub(super) async fn incoming(&mut self, leg: LegId, request: IncomingCall) {
        let exchange = self.exchange.clone();
        if let Some(place) = request.replaces {
            return self.take_over(leg, place, &request).await;
        }
        let caller = match self.who_calls(&exchange.config, &request) {
            Ok(caller) => caller,
            Err(Unwelcome::Forbidden(why)) => {
                warn!(source = %request.path.remote.ip(), why, "a call is refused");
                let _ = exchange.stack.reject(leg, 403).await;
                return;
            }
            Err(Unwelcome::Emergency) => {
                error!(source = %request.path.remote.ip(), "a phone has dialled an emergency number, which this box never rings");
                let warning = Some("no emergency call can be made from here: use another telephone".into());
                let _ = exchange.stack.reject(leg, Reject { warning, ..Reject::new(403) }).await;
                return;
            }
            Err(Unwelcome::Unknown(why)) => return self.refuse(leg, EndReason::UnknownNumber, why).await,
        };
        let Caller { trunk, company: with, to, is_trusted } = caller;
        if self.is_stopping {
            return self.refuse(leg, EndReason::ShuttingDown, "the gateway is stopping").await;
        }
        if self.calls.len() >= exchange.config.limits.max_calls {
            return self.refuse(leg, EndReason::NoCapacity, "limits.max_calls is reached").await;
        }
        if self.is_full(&trunk) {
            return self.refuse(leg, EndReason::NoCapacity, "trunk.max_calls is reached").await;
        }
        let claimed = sip::identity::of(&request.headers);
        let caller = claimed.caller(&request.from, is_trusted);
        let from = match &request.account {
            Some(account) if !is_trusted => account.clone(),
            _ => caller.uri.user().unwrap_or_else(|| caller.uri.to_string()),
        };
        let number = match &with {
            With::Agent { number, .. } => number.clone(),
            With::Phones(_) => None,
        };
        let mut who = None;
        let company = match &with {
            With::Agent { number, agent } => {
                let resolved = self.who_answers(number.as_deref(), agent.as_deref());
                match self.agent(who.insert(resolved)) {
                    Ok(company) => company,
                    Err(error) => {
                        return self.refuse(leg, EndReason::BrainFailed, &error.to_string()).await;
                    }
                }
            }
            With::Phones(extension) => match exchange.phones_of(extension, &from).await {
                Ok(phones) => Company::Target {
                    to: Private::new(to.clone()),
                    waves: vec![phones],
                    longest: exchange.config.limits.max_duration,
                },
                Err(error) => return self.refuse(leg, EndReason::NoAnswer, &error.to_string()).await,
            },
        };
        let id = self.new_id();
        let record = who.as_ref().map_or(exchange.config.recording.enabled, |who| who.record);
        let recording = record.then(|| exchange.store.tape(&id, 0));
        let Some((media, description)) = self.describe(leg, &request, &trunk, recording).await else {
            return;
        };
        if !record {
            self.unrecorded.insert(id.clone());
        }
        let mut call = Call::new(id.clone(), Direction::Inbound, from, to, Utc::now());
        if let Some(number) = &number {
            call.of_number(number);
        }
        if let Some(who) = who {
            call.agent = who.agent.name;
            call.agent_id = who.agent_id;
        }
        call.trunk.clone_from(&trunk);
        call.attestation = claimed.attestation.map(attestation).filter(|_| is_trusted);
        let diverted = claimed.diversion.first().filter(|_| is_trusted);
        let diverted = diverted.map(|turn| &turn.address.uri);
        call.diverted_from = diverted.map(|uri| Private::new(uri.user().unwrap_or_else(|| uri.to_string())));
        info!(call = %id, from = %call.from, to = %call.to, trunk, agent = call.agent, "a call comes in");
        let description = match company {
            Company::Agent { .. } => {
                let _ = exchange.stack.ring(leg, 180, None).await;
                let _ = exchange.stack.answer(leg, description).await;
                None
            }
            // It rings when the phones do, and is answered when one of them is.
            Company::Target { .. } => Some(description),
        };
        let ledger = Ledger::new(call, exchange.journal.clone());
        self.spawn(leg, ledger, company, media, description);
    }

    /// A line for an inbound leg, and what it is to be answered with. `None`: it was refused.
    async fn describe(
        &self,
        leg: LegId,
        request: &IncomingCall,
        trunk: &str,
        recording: Option<Tape>,
    ) -> Option<(Media, Body)> {
        let mut media = match self.exchange.open(request.path.remote, trunk, recording) {
            Ok(media) => media,
            Err(error) => {
                self.refuse(leg, EndReason::NoCapacity, &error).await;
                return None;
            }
        };
        match media.describe(request.body.as_ref()) {
            Ok(description) => Some((media, description)),
            Err(error) => {
                info!(%error, "a call is refused");
                let reject = Reject { warning: Some(error.to_string()), ..Reject::new(error.status()) };
                let _ = self.exchange.stack.reject(leg, reject).await;
                None
            }
        }
    }

    /// INVITE with Replaces (RFC 3891): for the call whose leg it names, if who asks may.
    async fn take_over(&mut self, leg: LegId, place: LegId, request: &IncomingCall) {
        let account = request.account.as_deref();
        let line = match account.and_then(|account| self.exchange.config.extension(account)) {
            Some(extension) => Some(extension.line()),
            None => self.exchange.trunks.of_call(request, None),
        };
        let Some(line) = line.filter(|line| self.exchange.takes_refers(line)) else {
            warn!(source = %request.path.remote.ip(), "who may not take a call over has tried");
            let _ = self.exchange.stack.reject(leg, 403).await;
            return;
        };
        let Some((call, side)) = self.legs.get(&place).map(|of| (of.call.clone(), of.side)) else {
            return self.refuse(leg, EndReason::Unreachable, "the leg to be replaced is gone").await;
        };
        self.takeovers += 1;
        let recorded = !self.unrecorded.contains(&call);
        let recording = recorded.then(|| self.exchange.store.tape(&call, self.takeovers));
        let Some((media, description)) = self.describe(leg, request, &line, recording).await else { return };
        info!(%call, line, "another phone takes over the call");
        self.legs.insert(leg, Attached { call: call.clone(), side: SideId(leg), outbound: false });
        let request = TakeOver { place: side, leg, trunk: line, media, description };
        self.tell(&call, Command::TakeOver(Box::new(request))).await;
    }

    /// Who calls, and whom: an extension that has proven itself, or else a trunk.
    fn who_calls<'a>(
        &self,
        config: &'a crate::config::Config,
        request: &IncomingCall,
    ) -> Result<Caller<'a>, Unwelcome> {
        // Some carriers keep our Contact in the Request-URI and name the number in To.
        let users: Vec<_> =
            [request.request_uri.user(), request.to.uri.user()].into_iter().flatten().collect();
        let extension = request.account.as_deref().and_then(|account| config.extension(account));
        if let Some(extension) = extension {
            let user = users.first().map_or("", String::as_str);
            let trunk = extension.line();
            return match dialled(config, &self.exchange.directory, extension, user) {
                Dialled::Number(number) => {
                    let to = number.number.to_string();
                    let company = With::Agent { number: Some(number), agent: None };
                    Ok(Caller { trunk, company, to, is_trusted: false })
                }
                // Whoever dials it needs help, and is not to wait for it on the line with an agent.
                Dialled::Agent { .. } | Dialled::Nobody if self.exchange.guards.is_emergency(user) => {
                    Err(Unwelcome::Emergency)
                }
                Dialled::Agent { agent, to } => {
                    let company = With::Agent { number: None, agent: Some(agent) };
                    Ok(Caller { trunk, company, to, is_trusted: false })
                }
                Dialled::Extension(other) => {
                    let (company, to) = (With::Phones(other), other.number.clone());
                    Ok(Caller { trunk, company, to, is_trusted: false })
                }
                Dialled::Forbidden => Err(Unwelcome::Forbidden("the extension may not dial it")),
                Dialled::Nobody => Err(Unwelcome::Unknown("nobody here has such a name")),
            };
        }
        let number = users.iter().find_map(|user| self.exchange.directory.dialled(user));
        let trunk =
            self.exchange.trunks.of_call(request, number.as_ref().map(|number| number.trunk.as_str()));
        let trunk = trunk.ok_or(Unwelcome::Forbidden("its address belongs to no trunk"))?;
        let number = number.ok_or(Unwelcome::Unknown("no such number here"))?;
        let to = number.number.to_string();
        Ok(Caller { trunk, company: With::Agent { number: Some(number), agent: None }, to, is_trusted: true })
    }

    /// Who answers a number or, without one, speaks as this agent.
    fn who_answers(&self, number: Option<&Number>, agent: Option<&Agent>) -> Resolved {
        let house = AccountId::house();
        let account = number.map(|number| &number.account).or(agent.map(|agent| &agent.account));
        self.exchange.directory.resolve(&Wanted {
            account: account.unwrap_or(&house),
            own: &Settings::default(),
            number,
            direction: Direction::Inbound,
            agent,
        })
    }
}

/// What the originating carrier says that it knows of its caller (RFC 8588).
fn attestation(claimed: sip::passport::Attestation) -> Attestation {
    match claimed {
        sip::passport::Attestation::Full => Attestation::Full,
        sip::passport::Attestation::Partial => Attestation::Partial,
        sip::passport::Attestation::Gateway => Attestation::Gateway,
    }
}
