//! Engines as processes: started, watched, restarted.
//!
//! A [`Supervisor`] owns one engine binary through one task, which owns everything about it: the child, the jobs in
//! it, the queue in front of it. A job goes through three doors: the bounded queue (full: [`EngineError::Busy`] at
//! once), a free lane of the engine, and core permits. The pool is asked on behalf of the best waiting job, so a tail
//! that arrives late overtakes partials here and in the pool alike.
//!
//! When the child dies, the jobs in it fail with [`EngineError::EngineDied`], those that wait keep waiting, and it is
//! started again, at first almost at once, then with growing pauses. No child outlives us: it ends when its standard
//! input closes, which the kernel does for us however we end; and it is killed if it lingers. (`PR_SET_PDEATHSIG`
//! is not used: it follows the *thread* that forked, and those of a runtime come and go.)

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::permits::{Permit, Permits};
use crate::wire::{Frame, Hello, JobId, Outcome, Task, WireError};
use crate::{EngineError, Priority};

mod child;

use child::Child;

/// How to start one engine.
#[derive(Clone, Debug)]
pub struct Command {
    /// For logs and errors: "whisper".
    pub name: &'static str,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub cores: Cores,
}

/// How an engine's jobs hold core permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cores {
    /// Each job has threads of its own.
    PerJob,
    /// Jobs are over before a wait for a core would have paid: none is held.
    Short,
    /// All jobs are worked on together by the same threads: the first one's permit serves them all, until none is left.
    Together,
}

/// The bounds of one engine. The defaults are for engines on the same machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Jobs that may wait; one more is answered with [`EngineError::Busy`].
    pub queue: usize,
    /// For loading the model, until the engine says hello.
    pub start: Duration,
    /// For a job; after it the job is cancelled and fails.
    pub job: Duration,
    /// For obeying a cancellation or answering a ping; after it the engine is killed.
    pub patience: Duration,
    /// For ending by itself when it is shut down.
    pub stop: Duration,
    /// The first pause before a restart; it doubles each time, up to `backoff_most`.
    pub backoff: Duration,
    pub backoff_most: Duration,
    /// An engine that lived this long starts over with the first pause.
    pub steady: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queue: 64,
            start: Duration::from_secs(120),
            job: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            stop: Duration::from_secs(2),
            backoff: Duration::from_millis(50),
            backoff_most: Duration::from_secs(10),
            steady: Duration::from_secs(30),
        }
    }
}

/// What an engine is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Starting,
    Ready {
        pid: u32,
        hello: Hello,
    },
    /// Between two lives.
    Resting {
        reason: String,
    },
    Stopped,
}

/// Owns the engine; dropping it kills the engine.
#[derive(Debug)]
pub struct Supervisor {
    handle: EngineHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A way to give the engine work. Clones lead to the same engine.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    name: &'static str,
    queue: usize,
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    status: watch::Receiver<Status>,
}

/// One job's order.
#[derive(Debug)]
pub struct Order {
    pub task: Task,
    /// Sound that goes with the task; may be empty.
    pub pcm: Arc<[i16]>,
    pub priority: Priority,
    /// Threads that the job needs and can use.
    pub threads: RangeInclusive<usize>,
}

/// What comes out of a job. Dropping it cancels the job.
#[derive(Debug)]
pub struct JobStream {
    name: &'static str,
    events: mpsc::Receiver<Event>,
    failure: Arc<OnceLock<EngineError>>,
    rests: Arc<AtomicBool>,
    /// That something is asked of the job: to end, to rest, to go on.
    changed: Arc<Notify>,
    ended: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Text(String),
    Pcm {
        rate: u32,
        pcm: Vec<i16>,
    },
    /// The last one.
    Done(Outcome),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{program}: {source}")]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("{engine} did not start: {detail}")]
    Failed { engine: &'static str, detail: String },
}

/// Results of a job that its reader has not taken yet. More than any job makes: it is a guard against a reader that
/// has gone to sleep, not a back-pressure (which would stop the engine for everybody).
const EVENTS: usize = 4096;
/// The longest rest of a job. Who asked for it says when it is over; if that is forgotten, the job goes on by itself.
const REST: Duration = Duration::from_millis(500);
/// How often the watch looks at its clocks.
const WATCH: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Starts the engine and waits until it has loaded its model. An engine that cannot start at all is an error
    /// here; one that fails later is restarted for ever.
    pub async fn start(command: Command, limits: Limits, permits: Permits) -> Result<Supervisor, StartError> {
        let (jobs, submissions) = mpsc::channel(limits.queue.max(1));
        let (status, seen) = watch::channel(Status::Starting);
        let stop = CancellationToken::new();
        let handle = EngineHandle {
            name: command.name,
            queue: limits.queue.max(1),
            jobs,
            waiting: Arc::default(),
            changed: Arc::default(),
            status: seen,
        };
        let first = Child::start(&command, &limits).await?;
        let keeper = Keeper {
            command,
            limits,
            permits,
            submissions,
            changed: handle.changed.clone(),
            status,
            stop: stop.clone(),
            queue: BTreeMap::new(),
            order: 0,
            number: 0,
        };
        let task = tokio::spawn(keeper.run(first));
        let mut supervisor = Supervisor { handle, stop, task };
        supervisor.handle.ready().await;
        Ok(supervisor)
    }

    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// The living process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        match &*self.handle.status.borrow() {
            Status::Ready { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// Ends the engine: its input closes, and after [`Limits::stop`] it is killed. Jobs fail with
    /// [`EngineError::Stopped`].
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(engine = self.handle.name, %error, "the supervisor's task failed");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl EngineHandle {
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Jobs that wait for the engine or for a core.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits until the engine is ready (true) or has been stopped for good (false).
    pub async fn ready(&mut self) -> bool {
        let seen = self.status.wait_for(|s| matches!(s, Status::Ready { .. } | Status::Stopped)).await;
        matches!(seen.as_deref(), Ok(Status::Ready { .. }))
    }

    /// Queues a job.
    pub fn submit(&self, order: Order) -> Result<JobStream, EngineError> {
        let room = |n: usize| (n < self.queue).then_some(n + 1);
        if let Err(queued) = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, room) {
            return Err(EngineError::Busy { engine: self.name, queued });
        }
        let place = Waiting(self.waiting.clone());
        let (events, results) = mpsc::channel(EVENTS);
        let failure = Arc::new(OnceLock::new());
        let rests = Arc::new(AtomicBool::new(false));
        let job = Job { order, events, failure: failure.clone(), rests: rests.clone(), _place: place };
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(EngineError::Busy { engine: self.name, queued: self.queue });
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(EngineError::Stopped { engine: self.name });
            }
        }
        let changed = self.changed.clone();
        Ok(JobStream { name: self.name, events: results, failure, rests, changed, ended: false })
    }
}

impl JobStream {
    /// What has come is enough for now: until this is taken back, or for half a second, the job leaves the cores to others.
    pub fn rest(&self, rests: bool) {
        if self.rests.swap(rests, Ordering::AcqRel) != rests {
            self.changed.notify_one();
        }
    }

    /// The next result; `None` after [`Event::Done`] or an error.
    pub async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        if self.ended {
            return None;
        }
        match self.events.recv().await {
            Some(event) => {
                self.ended = matches!(event, Event::Done(_));
                Some(Ok(event))
            }
            None => {
                self.ended = true;
                let failure = self.failure.get().cloned();
                Some(Err(failure.unwrap_or(EngineError::Stopped { engine: self.name })))
            }
        }
    }
}

impl Drop for JobStream {
    fn drop(&mut self) {
        if !self.ended {
            self.events.close();
            self.changed.notify_one();
        }
    }
}

/// A job's place in the queue's count.
#[derive(Debug)]
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Job {
    order: Order,
    events: mpsc::Sender<Event>,
    failure: Arc<OnceLock<EngineError>>,
    rests: Arc<AtomicBool>,
    _place: Waiting,
}

impl Job {
    fn fail(self, error: EngineError) {
        let _ = self.failure.set(error);
    }
}

/// A job in the engine. Its permit is given back when the engine says that it is over, not when its reader leaves:
/// until then its threads run.
struct Running {
    events: mpsc::Sender<Event>,
    failure: Arc<OnceLock<EngineError>>,
    _permit: Option<Permit>,
    priority: Priority,
    since: Instant,
    cancelled: Option<Instant>,
    /// What its reader wants, and what the engine was told.
    rests: Arc<AtomicBool>,
    told: bool,
}

/// The supervisor's task.
struct Keeper {
    command: Command,
    limits: Limits,
    permits: Permits,
    submissions: mpsc::Receiver<Job>,
    changed: Arc<Notify>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    /// By priority, then by arrival.
    queue: BTreeMap<(Priority, u64), Job>,
    order: u64,
    number: u32,
}

/// Why a life of the engine ended.
enum Ended {
    Stopped,
    Died(String),
}

impl Keeper {
    async fn run(mut self, first: Child) {
        let name = self.command.name;
        let mut next = Some(first);
        let mut pause = self.limits.backoff;
        loop {
            let started = match next.take() {
                Some(child) => Ok(child),
                None => self.start().await,
            };
            let (ended, healthy) = match started {
                Ok(child) => {
                    let born = Instant::now();
                    let ended = self.serve(child).await;
                    (ended, born.elapsed() >= self.limits.steady)
                }
                Err(ended) => {
                    if let Ended::Died(detail) = &ended {
                        self.refuse(detail);
                    }
                    (ended, false)
                }
            };
            let Ended::Died(reason) = ended else { break };
            if healthy {
                pause = self.limits.backoff;
            }
            tracing::warn!(engine = name, %reason, ?pause, "the engine ended; it will be restarted");
            self.status.send_replace(Status::Resting { reason });
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(self.limits.backoff_most);
        }
        self.submissions.close();
        while let Ok(job) = self.submissions.try_recv() {
            job.fail(EngineError::Stopped { engine: name });
        }
        while let Some((_, job)) = self.queue.pop_first() {
            job.fail(EngineError::Stopped { engine: name });
        }
        self.status.send_replace(Status::Stopped);
    }

    async fn start(&mut self) -> Result<Child, Ended> {
        self.status.send_replace(Status::Starting);
        tokio::select! {
            () = self.stop.cancelled() => Err(Ended::Stopped),
            child = Child::start(&self.command, &self.limits) => child.map_err(|e| Ended::Died(e.to_string())),
        }
    }

    /// The engine does not come up: nobody should wait for it.
    fn refuse(&mut self, detail: &str) {
        while let Ok(job) = self.submissions.try_recv() {
            self.enqueue(job);
        }
        while let Some((_, job)) = self.queue.pop_first() {
            job.fail(EngineError::EngineDown { engine: self.command.name, detail: detail.to_owned() });
        }
    }

    fn enqueue(&mut self, job: Job) {
        self.order += 1;
        self.queue.insert((job.order.priority, self.order), job);
    }

    /// One life of the engine.
    async fn serve(&mut self, mut child: Child) -> Ended {
        let engine = self.command.name;
        let hello = child.hello.clone();
        let lanes = hello.lanes.max(1) as usize;
        self.status.send_replace(Status::Ready { pid: child.pid, hello });
        let mut running: HashMap<JobId, Running> = HashMap::new();
        let mut asked: Option<(Priority, BoxFuture<'static, Permit>)> = None;
        let mut watch = tokio::time::interval(WATCH);
        let mut pressed = self.permits.pressed();
        // The permit of an engine whose jobs share their threads.
        let mut shared: Option<Permit> = None;
        let ended = loop {
            if running.is_empty() {
                shared = None;
            }
            let short = self.command.cores == Cores::Short;
            if let Some(threads) = shared.as_ref().map(Permit::cores).or(short.then_some(1)) {
                while running.len() < lanes
                    && let Some((_, job)) = self.queue.pop_first()
                {
                    running.extend(self.send(&child, job, threads, None));
                }
            }
            // For a lane.
            let urgent = self.queue.first_key_value().is_some_and(|((p, _), _)| *p <= Priority::Reply);
            if urgent && running.len() >= lanes && running.values().all(|r| r.cancelled.is_none()) {
                make_room(engine, &mut running, &child);
            }
            self.ask(&mut asked, running.len() < lanes && shared.is_none() && !short);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ended::Stopped,
                frame = child.frames.recv() => match frame {
                    Some(Ok(frame)) => {
                        child.heard();
                        if let Err(reason) = take(engine, &mut running, frame) {
                            break Ended::Died(reason);
                        }
                    }
                    Some(Err(WireError::Truncated)) | None => break Ended::Died(child.obituary().await),
                    Some(Err(e)) => break Ended::Died(format!("it does not keep the protocol: {e}")),
                },
                Some(job) = self.submissions.recv() => self.enqueue(job),
                () = self.changed.notified() => {
                    self.queue.retain(|_, job| !job.events.is_closed());
                    for (job, r) in running.iter_mut().filter(|(_, r)| r.events.is_closed()) {
                        r.cancel(&child, *job);
                    }
                    for (job, r) in &mut running {
                        r.tell_rest(&child, *job);
                    }
                }
                permit = granted(&mut asked) => {
                    asked = None;
                    let Some((_, job)) = self.queue.pop_first() else { continue };
                    let threads = permit.cores();
                    let own = match self.command.cores {
                        Cores::PerJob | Cores::Short => Some(permit),
                        Cores::Together => {
                            shared = Some(permit);
                            None
                        }
                    };
                    running.extend(self.send(&child, job, threads, own));
                }
                // For a core, in this engine or in another.
                Ok(()) = pressed.changed() => make_room(engine, &mut running, &child),
                _ = watch.tick() => {
                    for (job, r) in running.iter_mut().filter(|(_, r)| r.since.elapsed() > self.limits.job) {
                        let _ = r.failure.set(EngineError::Failed {
                            engine,
                            kind: "timeout".into(),
                            message: format!("longer than {:?}", self.limits.job),
                        });
                        r.cancel(&child, *job);
                    }
                    let deaf = running.values().any(|r| r.cancelled.is_some_and(|t| t.elapsed() > self.limits.patience));
                    if deaf {
                        break Ended::Died("it did not obey a cancellation".into());
                    }
                    if let Err(reason) = child.watch(&self.limits) {
                        break Ended::Died(reason);
                    }
                }
            }
        };
        let error = match &ended {
            Ended::Stopped => EngineError::Stopped { engine },
            Ended::Died(detail) => EngineError::EngineDied { engine, detail: detail.clone() },
        };
        child.end(self.limits.stop, matches!(ended, Ended::Stopped)).await;
        for r in running.into_values() {
            let _ = r.failure.set(error.clone());
        }
        ended
    }

    /// Asks the pool for the best waiting job, anew if a better one has come since.
    fn ask(&self, asked: &mut Option<(Priority, BoxFuture<'static, Permit>)>, lane: bool) {
        let best = self.queue.first_key_value().filter(|_| lane);
        let Some((&(priority, _), job)) = best else {
            *asked = None;
            return;
        };
        if !matches!(asked, Some((p, _)) if *p == priority) {
            let (permits, threads) = (self.permits.clone(), job.order.threads.clone());
            *asked = Some((priority, Box::pin(async move { permits.acquire(priority, threads).await })));
        }
    }

    fn send(
        &mut self,
        child: &Child,
        job: Job,
        threads: usize,
        permit: Option<Permit>,
    ) -> Option<(JobId, Running)> {
        if job.events.is_closed() {
            return None;
        }
        self.number = self.number.checked_add(1).unwrap_or(1);
        let number = JobId(self.number);
        let Job { mut order, events, failure, rests, .. } = job;
        let priority = order.priority;
        order.task.set_threads(threads as u32);
        let frame = Frame::Job { job: number, task: order.task, pcm: order.pcm.to_vec() };
        if let Err(message) = child.send(&frame) {
            let engine = self.command.name;
            let _ = failure.set(EngineError::Failed { engine, kind: "not-sent".into(), message });
            return None;
        }
        Some((
            number,
            Running {
                events,
                failure,
                _permit: permit,
                priority,
                since: Instant::now(),
                cancelled: None,
                rests,
                told: false,
            },
        ))
    }
}

impl Running {
    fn cancel(&mut self, child: &Child, job: JobId) {
        if self.cancelled.is_none() {
            self.cancelled = Some(Instant::now());
            // Not sent: the engine does not read, and `cancelled` will end it.
            let _ = child.send(&Frame::Cancel(job));
        }
    }
}

impl Running {
    fn tell_rest(&mut self, child: &Child, job: JobId) {
        let rests = self.rests.load(Ordering::Acquire);
        if rests != self.told {
            let ms = if rests { REST.as_millis() as u32 } else { 0 };
            // Not sent: then it does not rest, or not longer than this.
            let _ = child.send(&Frame::Rest { job, ms });
            self.told = rests;
        }
    }
}

/// A caller waits: the look that began last ends, if there is one.
fn make_room(engine: &'static str, running: &mut HashMap<JobId, Running>, child: &Child) {
    let looks = running.iter_mut().filter(|(_, r)| r.priority == Priority::Partial && r.cancelled.is_none());
    if let Some((job, r)) = looks.max_by_key(|(_, r)| r.since) {
        let (kind, message) = ("preempted".into(), "a caller waits".into());
        let _ = r.failure.set(EngineError::Failed { engine, kind, message });
        r.cancel(child, *job);
    }
}

/// Hands an engine's frame to its job. An error ends the engine.
fn take(engine: &'static str, running: &mut HashMap<JobId, Running>, frame: Frame) -> Result<(), String> {
    let (job, event) = match frame {
        Frame::Text { job, text } => (job, Event::Text(text)),
        Frame::Pcm { job, rate, pcm } => (job, Event::Pcm { rate, pcm }),
        Frame::Done { job, outcome } => {
            if let Some(r) = running.remove(&job)
                && r.events.try_send(Event::Done(outcome)).is_err()
            {
                let _ = r.failure.set(EngineError::Overrun { engine });
            }
            return Ok(());
        }
        Frame::Failed { job: JobId(0), failure } => return Err(format!("it complains: {failure}")),
        Frame::Failed { job, failure } => {
            if let Some(r) = running.remove(&job) {
                let (kind, message) = (failure.kind, failure.message);
                let _ = r.failure.set(EngineError::Failed { engine, kind, message });
            }
            return Ok(());
        }
        Frame::Pong(_) => return Ok(()),
        Frame::Hello(_) | Frame::Job { .. } | Frame::Cancel(_) | Frame::Rest { .. } | Frame::Ping(_) => {
            return Err("it sent what only the gateway may".into());
        }
    };
    if let Some(r) = running.get_mut(&job)
        && let Err(mpsc::error::TrySendError::Full(_)) = r.events.try_send(event)
    {
        // Its sender stays until the engine is done with it; the failure tells the reader why it ended.
        let _ = r.failure.set(EngineError::Overrun { engine });
    }
    Ok(())
}

async fn granted(asked: &mut Option<(Priority, BoxFuture<'static, Permit>)>) -> Permit {
    match asked {
        Some((_, permit)) => permit.await,
        None => std::future::pending().await,
    }
}
