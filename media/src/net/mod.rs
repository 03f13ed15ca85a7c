//! The shell of [`MediaSession`]: threads, sockets, ports and channels.
//!
//! An [`Engine`] has a few threads; each ticks many calls by one clock. A call is a [`Line`] and a channel of [`Event`]s. Every channel is
//! bounded:
//!
//! | channel | room | when it is full |
//! |---|---|---|
//! | events to the owner, frames | 50 (1 s) | the frame is dropped and counted |
//! | events to the owner, control | 64 more, and 1,024 kept back | the oldest wait; beyond all of it they are lost and counted |
//! | chunks to be played, per line | 4, and [`EngineConfig::queue_ahead`] in the session | [`Line::play`] waits |
//! | commands, per thread | 1,024 | the caller waits |
//! | frames to a joined line | 12 (240 ms) | the frame is dropped and counted |
//! | blocks to be recorded | 4,096 | silence stands there in the file, and it is counted |
//!
//! `hush` goes by the commands, which are obeyed as they come, never behind queued audio; `pause` and `resume` are a flag that the next tick
//! sees. Neither needs more: between two ticks nothing leaves.

#![allow(clippy::disallowed_methods, reason = "this is where time and threads come from")]

mod clock;
mod intake;
mod joint;
mod load;
mod port;
#[cfg(test)]
#[path = "../../../tests/support/ports.rs"]
mod ports;
mod recorder;
mod worker;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;
use mio::net::UdpSocket;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::resample::{RATES, Resampler};
use crate::sdp::Negotiated;
use crate::session::{MediaSession, SessionConfig};
use crate::wav::{Recording, Writer};
use crate::{DigitsError, Event, Hushed, LINE_RATE, PlayChunk, Stats, Tap};
use clock::Clock;
pub use joint::Attendance;
use joint::{Joint, Joints};
use load::Load;
use recorder::{Job, Recorder, Tape, Trouble};
use worker::{CONTROL_ROOM, Command, FRAME_ROOM, Queued, Seat, Worker};

/// Commands that may wait for a thread.
const COMMANDS: usize = 1_024;
/// Chunks that may wait before a line, besides those in its session.
const CHUNKS: usize = 4;

/// How an engine is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// The address that sockets are bound to; may be unspecified.
    pub bind: IpAddr,
    /// Each call takes an even port for RTP and the odd one above it for RTCP (RFC 3550 §11).
    pub ports: RangeInclusive<u16>,
    /// Threads; each ticks its share of the calls.
    pub threads: usize,
    /// How long a port rests after a call, so that stragglers of the old call do not reach a new one.
    pub quarantine: Duration,
    /// [`Line::play`] waits while more than this is queued.
    pub queue_ahead: Duration,
    /// The share of a thread's time, in per cent, that its calls may take; a line that would take it beyond is refused. 100: none is.
    pub max_load: u8,
    /// The threads' priority, −20 to 19, the lower the better. To have it below 0 takes a right; without it, it stays as it was.
    pub nice: i32,
    /// The code point that packets are marked with (RFC 2474), 0–63; 46 is Expedited Forwarding, which networks keep for speech.
    pub dscp: u8,
    /// Packets come and go by this network interface only.
    pub interface: Option<String>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            bind: IpAddr::from([127, 0, 0, 1]),
            ports: 16_384..=32_767,
            threads: 1,
            quarantine: Duration::from_secs(5),
            queue_ahead: Duration::from_secs(10),
            max_load: 80,
            nice: -10,
            dscp: 46,
            interface: None,
        }
    }
}

/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the port range {0}–{1} holds no even port with an odd one above it")]
    NoPairs(u16, u16),
    /// Not one pair could be bound.
    #[error("cannot bind media ports on {0}: {1}")]
    Bind(IpAddr, std::io::Error),
    #[error("cannot start a media thread: {0}")]
    Thread(std::io::Error),
}

/// Why no line was opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// All pairs are in use or in quarantine: 503.
    #[error("no media port is free ({in_use} in use, {resting} in quarantine)")]
    NoPorts { in_use: usize, resting: usize },
    #[error("cannot open a socket: {0}")]
    Socket(std::io::Error),
    #[error("cannot record to {path}: {source}", path = .0.display(), source = .1)]
    Recording(PathBuf, std::io::Error),
    /// Too many commands wait for the media thread: 503.
    #[error("the media engine is busy")]
    Busy,
    /// One line more would make the others' ticks late: 503.
    #[error(
        "the media engine has no time for one more line: with it, its threads would work for {0} % of the time"
    )]
    Overloaded(u32),
    #[error("the media engine has stopped")]
    Closed,
}

/// The line is gone: closed, or its session panicked, or the engine stopped.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("the line is closed")]
pub struct Closed;

/// Why a line attends no other.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum AttendError {
    #[error("the line is closed")]
    Closed,
    /// [`crate::LEGS`] but for the bridge are taken.
    #[error("as many attend the line as can")]
    NoRoom,
}

/// What an engine has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Lines open now.
    pub sessions: usize,
    /// Pairs of ports.
    pub ports_free: usize,
    pub ports_resting: usize,
    /// Slots of the clocks of all threads: four in 20 ms, in each of which a quarter of the sessions tick.
    pub ticks: u64,
    /// Slots that began more than 5 ms late.
    pub late_ticks: u64,
    /// Ticks that were never made, because a thread stood still for more than 200 ms.
    pub skipped_ticks: u64,
    /// The longest that one slot took.
    pub longest_tick_us: u64,
    /// How much of its time the busiest thread worked in the last seconds, per cent.
    pub load: u32,
    /// Lines that were refused for their thread's load.
    pub overloaded: u64,
    /// Threads that have the priority that was wished for.
    pub raised: usize,
    /// Sessions that ended in a panic.
    pub panics: u64,
    /// Packets that the operating system did not take.
    pub send_errors: u64,
    /// Sockets whose packets the operating system did not let us mark ([`EngineConfig::dscp`]).
    pub unmarked_sockets: u64,
}

/// Runs many sessions. Cheap to clone; when the last clone goes, it stops.
#[derive(Clone)]
pub struct Engine {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    desks: Vec<Desk>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    recorder: Mutex<Option<(Recorder, JoinHandle<()>)>>,
    next_key: AtomicU64,
}

/// Where one thread takes its commands.
#[derive(Clone)]
struct Desk {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    load: Arc<Load>,
}

struct Shared {
    config: EngineConfig,
    pool: Mutex<port::Pool>,
    counters: Counters,
    stop: AtomicBool,
}

#[derive(Default)]
struct Counters {
    sessions: AtomicUsize,
    ticks: AtomicU64,
    late_ticks: AtomicU64,
    skipped_ticks: AtomicU64,
    longest_tick_us: AtomicU64,
    overloaded: AtomicU64,
    raised: AtomicUsize,
    panics: AtomicU64,
    send_errors: AtomicU64,
}

/// What a line and its seat both see.
#[derive(Default)]
struct LineState {
    /// What the session works at, in Hz; 0 before anything was agreed.
    rate: AtomicU32,
    paused: AtomicBool,
    /// Nothing is to be recorded for a while.
    unrecorded: AtomicBool,
    closed: AtomicBool,
    /// Raised by each hush.
    generation: AtomicU64,
    #[cfg(test)]
    panic: AtomicBool,
}

impl Shared {
    /// After a call, with the sockets, which rest as long as the port does.
    fn give_back(&self, port: u16, sockets: Option<(UdpSocket, UdpSocket)>) {
        lock(&self.pool).give_back(Instant::now(), port, sockets);
    }

    /// Now and then, so that what rests does not keep its sockets until the next call. Waits for nobody.
    fn wake_ports(&self, now: Instant) {
        if let Ok(mut pool) = self.pool.try_lock() {
            pool.wake(now);
        }
    }
}

/// Nothing panics under these locks; if something did, what they guard would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// The range holds no pair, none can be bound, or there are no threads to be had.
    pub fn start(config: EngineConfig) -> Result<Engine, StartError> {
        let (first, last) = (*config.ports.start(), *config.ports.end());
        let binding = port::Binding {
            address: config.bind,
            interface: config.interface.clone(),
            dscp: config.dscp.min(63),
        };
        let pool = port::Pool::new(binding, config.ports.clone(), config.quarantine);
        if pool.is_empty() {
            return Err(StartError::NoPairs(first, last));
        }
        pool.probe().map_err(|error| StartError::Bind(config.bind, error))?;
        let count = config.threads.max(1);
        let shared = Arc::new(Shared {
            config,
            pool: Mutex::new(pool),
            counters: Counters::default(),
            stop: AtomicBool::new(false),
        });
        let running = Running {
            shared: Arc::clone(&shared),
            desks: Vec::new(),
            threads: Mutex::new(Vec::new()),
            recorder: Mutex::new(None),
            next_key: AtomicU64::new(0),
        };
        let mut engine = running;
        for index in 0..count {
            let clock = Clock::new().map_err(StartError::Thread)?;
            let waker = Arc::new(clock.waker().map_err(StartError::Thread)?);
            let (commands, inbox) = mpsc::channel(COMMANDS);
            let load = Arc::new(Load::default());
            let worker = Worker::new(Arc::clone(&shared), inbox, clock, Arc::clone(&load));
            let thread = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || worker.run())
                .map_err(StartError::Thread)?;
            engine.desks.push(Desk { commands, waker, load });
            lock(&engine.threads).push(thread);
        }
        Ok(Engine { running: Arc::new(engine) })
    }

    /// Opens a line: binds a pair of ports and takes it into the clock. Media flows after [`Line::configure`].
    ///
    /// # Errors
    /// No port is free, the recording cannot be created, or the engine has stopped.
    pub fn open(
        &self,
        config: SessionConfig,
        recording: Option<Recording>,
    ) -> Result<(Line, mpsc::Receiver<Event>), OpenError> {
        let running = &self.running;
        if running.shared.stop.load(Ordering::Acquire) {
            return Err(OpenError::Closed);
        }
        let desk = running.desk()?;
        let now = Instant::now();
        let key = running.next_key.fetch_add(1, Ordering::Relaxed);
        let pair = {
            let mut pool = lock(&running.shared.pool);
            match pool.take(now) {
                Some(Ok(pair)) => pair,
                Some(Err(error)) => return Err(OpenError::Socket(error)),
                None => {
                    let (_, resting, in_use) = pool.counts(now);
                    return Err(OpenError::NoPorts { in_use, resting });
                }
            }
        };
        let port = pair.port;
        let tape = recording.map(|recording| running.tape(key, recording)).transpose().inspect_err(|_| {
            running.shared.give_back(port, None);
        })?;
        let (owner, events) = mpsc::channel(FRAME_ROOM + CONTROL_ROOM);
        let (chunk_sender, chunks) = mpsc::channel(CHUNKS);
        let state = Arc::new(LineState::default());
        let session = MediaSession::new(SessionConfig { record: tape.is_some(), ..config }, now);
        let seat = Box::new(Seat {
            key,
            port,
            session,
            rtp: pair.rtp,
            rtcp: pair.rtcp,
            owner,
            backlog: VecDeque::new(),
            chunks,
            held: None,
            generation: 0,
            state: Arc::clone(&state),
            paused: false,
            joints: Joints::default(),
            frames_dropped: 0,
            events_lost: 0,
            tape,
            control_in: 0,
            leaves: false,
        });
        intake::note_arrivals(&seat.rtp);
        intake::note_arrivals(&seat.rtcp);
        desk.load.comes();
        if let Err(error) = desk.commands.try_send(Command::Open(seat)) {
            desk.load.goes();
            running.shared.give_back(port, None);
            let (command, why) = match error {
                mpsc::error::TrySendError::Full(command) => (command, OpenError::Busy),
                mpsc::error::TrySendError::Closed(command) => (command, OpenError::Closed),
            };
            if let Command::Open(seat) = command
                && let Some(tape) = seat.tape
            {
                let (done, _) = oneshot::channel();
                let _ = tape.recorder.offer(Job::Close { id: tape.id, done });
            }
            return Err(why);
        }
        let _ = desk.waker.wake();
        Ok((Line { key, port, desk, chunks: chunk_sender, state, rates: Mutex::new(Vec::new()) }, events))
    }

    pub fn stats(&self) -> EngineStats {
        let shared = &self.running.shared;
        let (ports_free, ports_resting, unmarked_sockets) = {
            let mut pool = lock(&shared.pool);
            let (free, resting, _) = pool.counts(Instant::now());
            (free, resting, pool.unmarked())
        };
        let counters = &shared.counters;
        EngineStats {
            sessions: counters.sessions.load(Ordering::Relaxed),
            ports_free,
            ports_resting,
            ticks: counters.ticks.load(Ordering::Relaxed),
            late_ticks: counters.late_ticks.load(Ordering::Relaxed),
            skipped_ticks: counters.skipped_ticks.load(Ordering::Relaxed),
            longest_tick_us: counters.longest_tick_us.load(Ordering::Relaxed),
            load: self.running.desks.iter().map(|desk| desk.load.busy().div_ceil(10)).max().unwrap_or(0),
            overloaded: counters.overloaded.load(Ordering::Relaxed),
            raised: counters.raised.load(Ordering::Relaxed),
            panics: counters.panics.load(Ordering::Relaxed),
            send_errors: counters.send_errors.load(Ordering::Relaxed),
            unmarked_sockets,
        }
    }

    /// Ends all sessions, finishes their recordings and joins the threads. Blocks for about a tick, and as long as the disk needs.
    pub fn shutdown(&self) {
        self.running.stop();
    }
}

impl Running {
    /// The thread with the fewest lines, if it has time for one more.
    fn desk(&self) -> Result<Desk, OpenError> {
        let fewest = self.desks.iter().min_by_key(|desk| desk.load.lines());
        let desk = fewest.ok_or(OpenError::Closed)?;
        let limit = self.shared.config.max_load;
        let reckoned = desk.load.with_one_more();
        if limit < 100 && reckoned > 10 * u32::from(limit) {
            self.shared.counters.overloaded.fetch_add(1, Ordering::Relaxed);
            return Err(OpenError::Overloaded(reckoned.div_ceil(10)));
        }
        Ok(desk.clone())
    }

    fn tape(&self, id: u64, recording: Recording) -> Result<Tape, OpenError> {
        let failed = |error| OpenError::Recording(recording.path.clone(), error);
        let mut slot = lock(&self.recorder);
        let recorder = match &*slot {
            Some((recorder, _)) => recorder.clone(),
            None => {
                let (recorder, thread) = Recorder::start().map_err(failed)?;
                *slot = Some((recorder.clone(), thread));
                recorder
            }
        };
        drop(slot);
        let writer = Writer::create(&recording.path, LINE_RATE, 2).map_err(failed)?;
        let trouble = Arc::new(Trouble::default());
        if recorder.offer(Job::Open { id, writer, trouble: Arc::clone(&trouble) }).is_err() {
            return Err(OpenError::Busy);
        }
        let path = recording.path;
        let (told, paused, hidden) = (false, false, [false; 2]);
        Ok(Tape { id, recorder, path, number: 0, gaps: 0, trouble, told, paused, hidden })
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        for desk in &self.desks {
            let _ = desk.waker.wake();
        }
        for thread in lock(&self.threads).drain(..) {
            // A thread that panicked has been counted, and has nothing left to say.
            let _ = thread.join();
        }
        // The recording thread ends when the last sender goes; the seats' are gone with their threads.
        let recorder = lock(&self.recorder).take();
        if let Some((recorder, thread)) = recorder {
            drop(recorder);
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One call's handle. Dropping it closes the session and frees the port after its quarantine.
pub struct Line {
    key: u64,
    port: u16,
    desk: Desk,
    chunks: mpsc::Sender<Queued>,
    state: Arc<LineState>,
    /// Rates that were played, and the line's own at that time.
    rates: Mutex<Vec<(u32, u32)>>,
}

impl Line {
    /// The RTP port, for the session description. RTCP is one above.
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// Takes what was agreed; also on re-INVITE. Returns when it is in force.
    ///
    /// # Errors
    /// The line is closed.
    pub async fn configure(&self, agreed: Negotiated) -> Result<(), Closed> {
        self.state.rate.store(agreed.codec.rate().hz(), Ordering::Release);
        self.ask(|reply| Command::Configure(self.key, Box::new(agreed), reply)).await
    }

    /// Queues audio. Waits while more than [`EngineConfig::queue_ahead`] is queued: that is the back-pressure on who speaks. A
    /// chunk with a rate out of range is dropped and counted in [`Stats::chunks_refused`].
    ///
    /// # Errors
    /// The line is closed.
    pub async fn play(&self, chunk: PlayChunk) -> Result<(), Closed> {
        let generation = self.state.generation.load(Ordering::Acquire);
        let line = match self.state.rate.load(Ordering::Acquire) {
            0 => LINE_RATE,
            rate => rate,
        };
        let resampler = self.first_of(chunk.rate, line).then(|| Box::new(Resampler::new(chunk.rate, line)));
        self.chunks.send(Queued { generation, chunk, resampler }).await.map_err(|_| Closed)
    }

    /// Drops everything that was given to [`play`](Self::play) before this call, also what still waits there, and says what left. Never waits
    /// behind queued audio. Afterwards the line is not paused.
    ///
    /// # Errors
    /// The line is closed.
    pub async fn hush(&self) -> Result<Hushed, Closed> {
        self.state.paused.store(false, Ordering::Release);
        let generation = self.state.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.ask(|reply| Command::Hush(self.key, generation, reply)).await
    }

    /// From the next tick on nothing of the queue leaves, after a fade of 5 ms.
    pub fn pause(&self) {
        self.state.paused.store(true, Ordering::Release);
    }

    /// From the next tick on the queue goes on where it stopped.
    pub fn resume(&self) {
        self.state.paused.store(false, Ordering::Release);
    }

    /// False: from the next tick on the recording holds silence, on both sides, until it is to go on. It stays in step with the call.
    pub fn record(&self, on: bool) {
        self.state.unrecorded.store(!on, Ordering::Release);
    }

    /// Sends keys; see [`MediaSession::send_digits`].
    ///
    /// # Errors
    /// Something else is in `digits`, too many wait, or the line is closed.
    pub async fn send_digits(&self, digits: &str) -> Result<(), DigitsError> {
        let digits = digits.to_owned();
        self.ask(|reply| Command::Digits(self.key, digits, reply)).await.unwrap_or(Err(DigitsError::Closed))
    }

    /// Takes a key of the peer that came by SIP INFO; see [`MediaSession::key_by_info`].
    ///
    /// # Errors
    /// The line is closed.
    pub async fn key_by_info(&self, digit: char, duration: Duration) -> Result<(), Closed> {
        self.ask(|reply| Command::Key(self.key, digit, duration, reply)).await
    }

    /// Joins two lines: what one peer says, the other one hears, keys included (see [`Passed`](crate::Passed)); what is being played goes on besides. The
    /// two may be on different threads. An earlier bridge of either ends. The bridge ends when one of them is closed, [`unbridge`](Self::unbridge)d or
    /// bridged with a third; who did not do it itself is told [`Event::Unbridged`].
    ///
    /// # Errors
    /// One of the lines is closed; then the other is unbridged.
    pub async fn bridge(&self, other: &Line) -> Result<(), Closed> {
        let (ours, theirs) = Joint::bridge();
        self.ask(|reply| Command::Bridge(self.key, Some(ours), reply)).await?;
        other.ask(|reply| Command::Bridge(other.key, Some(theirs), reply)).await
    }

    /// Ends the bridge, if there is one; both peers hear silence.
    ///
    /// # Errors
    /// The line is closed.
    pub async fn unbridge(&self) -> Result<(), Closed> {
        self.ask(|reply| Command::Bridge(self.key, None, reply)).await
    }

    /// Has this line attend another one, beside what either is bridged with: `gives` says what of this one goes to the peer of the other, `takes` what
    /// comes from there (see [`Tap`]). Two bridged lines with a third that attends the first and takes [`Tap::Both`] are a call that somebody listens
    /// to. A line has room for three attendances, its own and those of others. They end when the answer is dropped, or one of the lines
    /// closes; keys do not pass.
    ///
    /// # Errors
    /// One of the lines is closed, or has no room.
    pub async fn attend(&self, other: &Line, gives: Tap, takes: Tap) -> Result<Attendance, AttendError> {
        let (attendance, ours, theirs) = Joint::attendance(gives, takes);
        for (line, joint) in [(self, ours), (other, theirs)] {
            let taken = line.ask(|reply| Command::Attend(line.key, Box::new(joint), reply)).await;
            match taken {
                Ok(true) => {}
                Ok(false) => return Err(AttendError::NoRoom),
                Err(Closed) => return Err(AttendError::Closed),
            }
        }
        Ok(attendance)
    }

    /// # Errors
    /// The line is closed.
    pub async fn stats(&self) -> Result<Stats, Closed> {
        self.view().stats().await
    }

    /// For who wants to look at the line's figures without having it.
    pub fn view(&self) -> LineView {
        LineView { key: self.key, desk: self.desk.clone() }
    }

    /// Ends the session, waits until its recording is complete on disk, and gives the last figures; empty ones if the line was gone.
    pub async fn close(self) -> Stats {
        let Ok(ending) = self.ask(|reply| Command::Close(self.key, reply)).await else {
            return Stats::default();
        };
        let mut stats = ending.stats;
        if let Some(tape) = ending.tape {
            let _ = tape.done.await;
            // The last flush may have failed.
            let blocks = stats.recorded_blocks + stats.recording_gaps;
            stats.recording_gaps = tape.gaps + tape.trouble.lost();
            stats.recorded_blocks = blocks.saturating_sub(stats.recording_gaps);
            stats.recording_error = tape.trouble.reason().cloned();
        }
        stats
    }

    /// Whether this rate has not been played on this line at its present rate, and is not that.
    fn first_of(&self, rate: u32, line: u32) -> bool {
        let mut rates = lock(&self.rates);
        let first = rate != line && RATES.contains(&rate) && !rates.contains(&(rate, line));
        if first {
            rates.push((rate, line));
        }
        first
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        self.desk.ask(command).await
    }
}

/// A look at a line that somebody else has. It keeps nothing open.
#[derive(Clone)]
pub struct LineView {
    key: u64,
    desk: Desk,
}

impl LineView {
    /// # Errors
    /// The line is closed.
    pub async fn stats(&self) -> Result<Stats, Closed> {
        self.desk.ask(|reply| Command::Stats(self.key, reply)).await
    }
}

impl std::fmt::Debug for LineView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LineView({})", self.key)
    }
}

impl Desk {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        let _ = self.waker.wake();
        answer.await.map_err(|_| Closed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The next tick sees it.
        self.state.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_one_session_ends_that_session_only() {
        let first = ports::free_ports(std::net::Ipv4Addr::UNSPECIFIED.into(), 10);
        let config = EngineConfig { ports: first..=first + 9, ..EngineConfig::default() };
        let engine = Engine::start(config).expect("an engine");
        let (doomed, mut from_doomed) = engine.open(SessionConfig::default(), None).expect("a line");
        let (other, _from_other) = engine.open(SessionConfig::default(), None).expect("a line");
        doomed.state.panic.store(true, Ordering::Release);
        assert!(from_doomed.recv().await.is_none(), "its owner sees the end");
        assert_eq!(doomed.stats().await, Err(Closed));
        let before = other.stats().await.expect("open").ticks;
        while other.stats().await.expect("open").ticks < before + 3 {
            tokio::task::yield_now().await;
        }
        let stats = engine.stats();
        assert_eq!((stats.panics, stats.sessions, stats.ports_resting), (1, 1, 1));
    }
}
