//! One media thread: a clock, and the calls that it ticks.
//!
//! Each call ticks every 20 ms, in one of four slots 5 ms apart, so that neither the wire nor a command waits for all calls at once. A tick takes
//! what has come to the call's socket since the last one, with the kernel's times of arrival; so a packet wakes nobody. The calls of a slot do so
//! together: many receive, then tick, then send. Between slots the thread sleeps. It waits for nobody: what cannot be handed over at once is dropped
//! and counted (frames), or kept for the next tick (control events, the end of a recording). Each call's work runs under `catch_unwind`, so a panic
//! costs one call.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::intake::{Intake, Moment};
use super::joint::{Joint, Joints};
use super::load::{Load, Meter};
use super::recorder::{Job, Tape, Trouble};
use super::{Counters, LineState, Shared};
use crate::resample::Resampler;
use crate::sdp::Negotiated;
use crate::session::{Channel, MediaSession};
use crate::{DigitsError, Event, Hushed, PlayChunk, Stats, TICK_MS};

/// Room in a call's event channel that frames may take, and room that only control events may: 1 s, and 64.
pub(super) const FRAME_ROOM: usize = 50;
pub(super) const CONTROL_ROOM: usize = 64;
/// Control events kept for an owner whose channel is full; beyond, they are lost and counted.
const BACKLOG: usize = 1_024;
/// From one tick of a call to its next.
const PERIOD: Duration = Duration::from_millis(TICK_MS as u64);
/// Calls are spread over so many slots of a period.
const SLOTS: usize = 4;
/// Calls of a slot that receive, then tick, then send together. The kernel's code and ours drive one another out of the processor's caches, and so do the
/// tables that all calls share and what the kernel knows of sockets: one call after the other, a tick fetched twice as much from memory.
const TOGETHER: usize = 64;
const SLOT: Duration = Duration::from_millis(TICK_MS as u64 / SLOTS as u64);
/// A slot that begins later than this counts as late.
const LATE: Duration = Duration::from_millis(5);
/// Slots after which ports that have rested are looked for: a second.
const PORTS_EVERY: u32 = 200;
/// Ticks that are made up for at once after a stall; the rest are skipped.
pub(super) const CATCH_UP: u32 = 10;
/// RTCP comes every few seconds: it is looked for in every tenth tick of a call.
const CONTROL_EVERY: u32 = 10;

pub(super) enum Command {
    Open(Box<Seat>),
    Configure(u64, Box<Negotiated>, oneshot::Sender<()>),
    /// The second is the generation from which on chunks are to be played.
    Hush(u64, u64, oneshot::Sender<Hushed>),
    Digits(u64, String, oneshot::Sender<Result<(), DigitsError>>),
    /// A key of the peer that came by INFO.
    Key(u64, char, Duration, oneshot::Sender<()>),
    /// `None`: part.
    Bridge(u64, Option<Joint>, oneshot::Sender<()>),
    /// False: as many attend as can.
    Attend(u64, Box<Joint>, oneshot::Sender<bool>),
    Stats(u64, oneshot::Sender<Stats>),
    Close(u64, oneshot::Sender<Ending>),
}

/// What is left of a call: its figures, and the word that its recording is complete.
pub(super) struct Ending {
    pub(super) stats: Stats,
    pub(super) tape: Option<TapeEnd>,
}

pub(super) struct TapeEnd {
    pub(super) done: oneshot::Receiver<()>,
    pub(super) trouble: Arc<Trouble>,
    /// Blocks that are missing for other reasons.
    pub(super) gaps: u64,
}

/// A chunk, and the generation in which it was given: what is older than the last hush is not played.
pub(super) struct Queued {
    pub(super) generation: u64,
    pub(super) chunk: PlayChunk,
    /// With the first chunk of a rate: made by the caller, so that the tick need not.
    pub(super) resampler: Option<Box<Resampler>>,
}

/// A call's place at the table.
pub(super) struct Seat {
    pub(super) key: u64,
    pub(super) port: u16,
    pub(super) session: MediaSession,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) owner: mpsc::Sender<Event>,
    pub(super) backlog: VecDeque<Event>,
    pub(super) chunks: mpsc::Receiver<Queued>,
    /// Taken out of the channel in a hush, but given after it.
    pub(super) held: Option<PlayChunk>,
    pub(super) generation: u64,
    pub(super) state: Arc<LineState>,
    pub(super) paused: bool,
    pub(super) joints: Joints,
    pub(super) frames_dropped: u64,
    pub(super) events_lost: u64,
    pub(super) tape: Option<Tape>,
    /// Ticks until RTCP is looked for.
    pub(super) control_in: u32,
    /// Its owner has closed it, or it panicked.
    pub(super) leaves: bool,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    clock: Clock,
    load: Arc<Load>,
    slots: [Vec<Box<Seat>>; SLOTS],
    /// In which slot a call is. Only commands ask.
    places: HashMap<u64, usize>,
    /// Ends of recordings that found the ring full.
    closing: VecDeque<(super::recorder::Recorder, Job)>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        clock: Clock,
        load: Arc<Load>,
    ) -> Self {
        Worker {
            shared,
            commands,
            clock,
            load,
            slots: Default::default(),
            places: HashMap::new(),
            closing: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) {
        if rustix::process::setpriority_process(None, self.shared.config.nice).is_ok() {
            self.shared.counters.raised.fetch_add(1, Ordering::Relaxed);
        }
        let mut intake = Intake::new();
        let began = Instant::now();
        let mut meter = Meter::new(began);
        let mut next = began + SLOT;
        let mut slot = 0;
        let (mut made_up, mut beats) = (0, 0u32);
        while !self.shared.stop.load(Ordering::Acquire) {
            if self.clock.sleep(next) {
                made_up = 0;
            }
            let now = Instant::now();
            while let Ok(command) = self.commands.try_recv() {
                self.obey(now, command);
            }
            // One slot, then the commands again: they are not to wait for all that is made up.
            if now >= next {
                self.tick_slot(slot, next, &mut intake);
                slot = (slot + 1) % SLOTS;
                beats = beats.wrapping_add(1);
                if beats.is_multiple_of(PORTS_EVERY) {
                    self.shared.wake_ports(now);
                }
                next += SLOT;
                made_up += 1;
                if made_up == CATCH_UP * SLOTS as u32 {
                    next += PERIOD * self.skip(next);
                    made_up = 0;
                }
            }
            meter.worked(now, Instant::now(), &self.load);
        }
        for key in self.places.keys().copied().collect::<Vec<_>>() {
            self.end(key);
        }
        // The engine is going: now there is time to wait for the ring.
        while self.flush_closing() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Gives up the ticks that are still due; says how many.
    fn skip(&mut self, next: Instant) -> u32 {
        let behind = Instant::now().saturating_duration_since(next).as_nanos() / PERIOD.as_nanos();
        let ticks = u32::try_from(behind).unwrap_or(u32::MAX);
        for seat in self.slots.iter_mut().flatten() {
            seat.session.skip(ticks);
            if let Some(tape) = &mut seat.tape {
                // Silence in the file, so that it stays aligned with the clock.
                tape.number += u64::from(ticks);
                tape.gaps += u64::from(ticks);
            }
        }
        self.shared.counters.skipped_ticks.fetch_add(u64::from(ticks), Ordering::Relaxed);
        ticks
    }

    fn tick_slot(&mut self, slot: usize, due: Instant, intake: &mut Intake) {
        let moment = Moment::now();
        let counters = &self.shared.counters;
        counters.ticks.fetch_add(1, Ordering::Relaxed);
        if moment.now.saturating_duration_since(due) > LATE {
            counters.late_ticks.fetch_add(1, Ordering::Relaxed);
        }
        let shared = &self.shared;
        for seats in self.slots[slot].chunks_mut(TOGETHER) {
            for seat in seats.iter_mut() {
                seat.leaves = seat.state.closed.load(Ordering::Acquire);
            }
            each(seats, counters, |seat| receive(seat, intake, &moment));
            each(seats, counters, |seat| tick(seat, shared, &moment));
            each(seats, counters, |seat| send(seat, shared));
        }
        // Who is told of a frame wakes up for it. All are told in one go: then one waking does for many.
        for seat in &mut self.slots[slot] {
            tell(seat);
        }
        while let Some(seat) = self.slots[slot].iter().find(|seat| seat.leaves) {
            self.end(seat.key);
        }
        self.flush_closing();
        let took = u64::try_from(moment.now.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.counters.longest_tick_us.fetch_max(took, Ordering::Relaxed);
    }

    fn seat(&mut self, key: u64) -> Option<&mut Box<Seat>> {
        let slot = *self.places.get(&key)?;
        self.slots[slot].iter_mut().find(|seat| seat.key == key)
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open(seat) => {
                let fewest = (0..SLOTS).min_by_key(|&slot| self.slots[slot].len()).unwrap_or(0);
                self.places.insert(seat.key, fewest);
                self.slots[fewest].push(seat);
                self.shared.counters.sessions.fetch_add(1, Ordering::Relaxed);
            }
            Command::Configure(key, agreed, reply) => {
                if let Some(seat) = self.seat(key) {
                    seat.session.configure(now, &agreed);
                    let _ = reply.send(());
                }
            }
            Command::Hush(key, generation, reply) => {
                if let Some(seat) = self.seat(key) {
                    let _ = reply.send(hush(seat, generation));
                }
            }
            Command::Digits(key, digits, reply) => {
                if let Some(seat) = self.seat(key) {
                    let _ = reply.send(seat.session.send_digits(&digits));
                }
            }
            Command::Key(key, digit, duration, reply) => {
                if let Some(seat) = self.seat(key) {
                    seat.session.key_by_info(now, digit, duration);
                    let _ = reply.send(());
                }
            }
            Command::Bridge(key, joint, reply) => {
                if let Some(seat) = self.seat(key) {
                    seat.joints.bridge(&mut seat.session, joint);
                    let _ = reply.send(());
                }
            }
            Command::Attend(key, joint, reply) => {
                if let Some(seat) = self.seat(key) {
                    let _ = reply.send(seat.joints.attend(&mut seat.session, *joint));
                }
            }
            Command::Stats(key, reply) => {
                if let Some(seat) = self.seat(key) {
                    let _ = reply.send(stats(seat));
                }
            }
            Command::Close(key, reply) => {
                if let Some(ending) = self.end(key) {
                    let _ = reply.send(ending);
                }
            }
        }
    }

    fn end(&mut self, key: u64) -> Option<Ending> {
        let slot = self.places.remove(&key)?;
        let index = self.slots[slot].iter().position(|seat| seat.key == key)?;
        let mut seat = self.slots[slot].swap_remove(index);
        self.shared.counters.sessions.fetch_sub(1, Ordering::Relaxed);
        self.load.goes();
        // It may be here because it panicked.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            seat.session.goodbye(Instant::now());
            transmit(&mut seat, &self.shared);
        }));
        let stats = stats(&seat);
        let tape = seat.tape.take().map(|tape| {
            let (done, wait) = oneshot::channel();
            self.closing.push_back((tape.recorder, Job::Close { id: tape.id, done }));
            TapeEnd { done: wait, trouble: tape.trouble, gaps: tape.gaps }
        });
        self.flush_closing();
        let Seat { port, rtp, rtcp, .. } = *seat;
        self.shared.give_back(port, Some((rtp, rtcp)));
        Some(Ending { stats, tape })
    }

    /// Whether something is left.
    fn flush_closing(&mut self) -> bool {
        while let Some((recorder, job)) = self.closing.pop_front() {
            if let Err(job) = recorder.offer(job) {
                self.closing.push_front((recorder, job));
                return true;
            }
        }
        false
    }
}

/// Does this for each, and has who panics at it leave.
fn each(seats: &mut [Box<Seat>], counters: &Counters, mut work: impl FnMut(&mut Seat)) {
    for seat in seats.iter_mut().filter(|seat| !seat.leaves) {
        if catch_unwind(AssertUnwindSafe(|| work(seat))).is_err() {
            counters.panics.fetch_add(1, Ordering::Relaxed);
            seat.leaves = true;
        }
    }
}

fn tick(seat: &mut Seat, shared: &Shared, moment: &Moment) {
    #[cfg(test)]
    assert!(!seat.state.panic.load(Ordering::Acquire), "asked for by a test");
    let paused = seat.state.paused.load(Ordering::Acquire);
    if paused != seat.paused {
        seat.paused = paused;
        if paused { seat.session.pause() } else { seat.session.resume() }
    }
    while seat.session.queued() < shared.config.queue_ahead {
        let chunk = match seat.held.take() {
            Some(chunk) => chunk,
            None => match seat.chunks.try_recv() {
                Ok(queued) => {
                    if let Some(resampler) = queued.resampler {
                        seat.session.prepare(queued.chunk.rate, *resampler);
                    }
                    if queued.generation < seat.generation {
                        continue;
                    }
                    queued.chunk
                }
                Err(_) => break,
            },
        };
        // Only a rate out of range is refused here, and that is counted.
        let _ = seat.session.play(chunk);
    }
    if seat.joints.take(&mut seat.session) {
        seat.backlog.push_back(Event::Unbridged);
    }
    seat.session.tick(moment.now);
    seat.joints.pass(&mut seat.session);
}

/// Sends what the tick has made, and has it recorded.
fn send(seat: &mut Seat, shared: &Shared) {
    transmit(seat, shared);
    if let (Some(tape), Some(block)) = (&mut seat.tape, seat.session.poll_recording()) {
        tape.paused = seat.state.unrecorded.load(Ordering::Acquire);
        tape.hidden = seat.session.hides();
        tape.block(block);
        seat.backlog.extend(tape.news());
    }
}

/// What has come since the last tick.
fn receive(seat: &mut Seat, intake: &mut Intake, moment: &Moment) {
    let Seat { session, rtp, rtcp, control_in, .. } = seat;
    intake.take(rtp, moment, |at, from, bytes| session.handle_packet(at, from, bytes));
    *control_in = control_in.saturating_sub(1);
    if *control_in == 0 {
        *control_in = CONTROL_EVERY;
        intake.take(rtcp, moment, |at, from, bytes| session.handle_rtcp(at, from, bytes));
    }
}

/// Sends what waits.
fn transmit(seat: &mut Seat, shared: &Shared) {
    while let Some(packet) = seat.session.poll_transmit() {
        let socket = if packet.channel == Channel::Rtp { &seat.rtp } else { &seat.rtcp };
        if socket.send_to(packet.bytes, reachable(packet.to, shared.config.bind)).is_err() {
            shared.counters.send_errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hands over what the session tells: control events always in order and never lost lightly, frames only where there is room to spare.
fn tell(seat: &mut Seat) {
    while let Some(event) = seat.backlog.pop_front() {
        if let Err(mpsc::error::TrySendError::Full(event)) = seat.owner.try_send(event) {
            seat.backlog.push_front(event);
            break;
        }
    }
    while let Some(event) = seat.session.poll_event() {
        if event.is_frame() {
            let room = seat.backlog.is_empty() && seat.owner.capacity() > CONTROL_ROOM;
            if !room || seat.owner.try_send(event).is_err() {
                seat.frames_dropped += 1;
            }
            continue;
        }
        let refused = if seat.backlog.is_empty() {
            match seat.owner.try_send(event) {
                Err(mpsc::error::TrySendError::Full(event)) => Some(event),
                // An owner who no longer listens has no use for it.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            }
        } else {
            Some(event)
        };
        if let Some(event) = refused {
            if seat.backlog.len() < BACKLOG {
                seat.backlog.push_back(event);
            } else {
                seat.events_lost += 1;
            }
        }
    }
}

/// Drops what was given before the hush, also what is still in the channel.
fn hush(seat: &mut Seat, generation: u64) -> Hushed {
    seat.generation = seat.generation.max(generation);
    seat.paused = false;
    let mut hushed = seat.session.hush();
    let mut last = hushed.unplayed_marks.last().copied().or(hushed.mark);
    let mut drop_chunk = |chunk: &PlayChunk| {
        let samples = chunk.pcm.len() as u64 * u64::from(crate::LINE_RATE) / u64::from(chunk.rate.max(1));
        hushed.dropped += Duration::from_micros(samples * 125);
        if last != Some(chunk.mark) {
            hushed.unplayed_marks.push(chunk.mark);
            last = Some(chunk.mark);
        }
    };
    if let Some(chunk) = seat.held.take() {
        drop_chunk(&chunk);
    }
    while let Ok(queued) = seat.chunks.try_recv() {
        if let Some(resampler) = queued.resampler {
            seat.session.prepare(queued.chunk.rate, *resampler);
        }
        if queued.generation >= seat.generation {
            seat.held = Some(queued.chunk);
            break;
        }
        drop_chunk(&queued.chunk);
    }
    hushed
}

fn stats(seat: &Seat) -> Stats {
    let mut stats = seat.session.stats();
    stats.frames -= seat.frames_dropped.min(stats.frames);
    stats.frames_dropped += seat.frames_dropped;
    stats.events_lost += seat.events_lost;
    stats.bridge_dropped += seat.joints.full;
    if let Some(tape) = &seat.tape {
        stats.recorded_blocks = tape.number.saturating_sub(tape.missing());
        stats.recording_gaps = tape.missing();
        stats.recording_error = tape.trouble.reason().cloned();
    }
    stats
}

/// An IPv4 address as an IPv6 socket wants it.
fn reachable(to: SocketAddr, bound: IpAddr) -> SocketAddr {
    match (to.ip(), bound) {
        (IpAddr::V4(v4), IpAddr::V6(_)) => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
        _ => to,
    }
}
