//! The engine's side of [`crate::wire`]: what the three binaries share. Plain threads, no runtime.
//!
//! [`run`] is a whole `main`. [`open`] takes standard input and output for the protocol and starts the thread that reads it. That thread does
//! nothing else, so a ping is answered and a cancellation seen however deep the model is in its work; and when the
//! input ends, the gateway is gone and the process ends at once: an engine has nothing to save, and an orphan would
//! hold its model's memory for ever. Whatever C++ prints goes to standard error, never between two frames.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::wire::{self, Failure, Frame, Hello, JobId, Outcome, Task, WireError};

/// Jobs that may lie here. The gateway sends no more than `lanes`, so it is never full in peace.
const INBOX: usize = 64;

/// Takes standard input and output and starts reading.
pub fn open() -> io::Result<(Output, Inbox)> {
    let private = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let output = Output { pipe: Arc::new(Mutex::new(File::from(private))) };
    let (jobs, inbox) = mpsc::sync_channel(INBOX);
    let reader = Reader { output: output.clone(), jobs, running: HashMap::new(), greeted: false };
    std::thread::Builder::new().name("wire".into()).spawn(move || reader.run())?;
    Ok((output, Inbox { jobs: Arc::new(Mutex::new(inbox)) }))
}

/// An engine's life: it gives way to the gateway's media threads by `nice` steps, loads, says hello or why it cannot, and serves.
pub fn run<T>(
    nice: i32,
    load: impl FnOnce() -> Result<(Hello, T), Failure>,
    serve: impl FnOnce(T, &Inbox),
) -> ExitCode {
    let begun = Instant::now();
    let (output, inbox) = match open() {
        Ok(pipes) => pipes,
        Err(e) => {
            eprintln!("standard input and output cannot be used: {e}");
            return ExitCode::FAILURE;
        }
    };
    give_way(nice);
    match load() {
        Ok((hello, loaded)) => {
            output.hello(Hello { load_ms: begun.elapsed().as_millis() as u32, ..hello });
            serve(loaded, &inbox);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output.refuse(failure);
            ExitCode::FAILURE
        }
    }
}

/// Serves with several lanes, a thread each.
pub fn share<L: Send>(lanes: Vec<L>, inbox: &Inbox, serve: impl Fn(L, &Inbox) + Copy + Send) {
    std::thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(move || serve(lane, inbox));
        }
    });
}

/// An engine's command line: names, each with its value.
#[derive(Debug, Default)]
pub struct Args(Vec<(String, OsString)>);

impl Args {
    /// Reads the command line. A name that is not in `known` is refused, and so is one without a value.
    pub fn read(known: &[&str]) -> Result<Args, Failure> {
        let mut args = std::env::args_os().skip(1);
        let mut pairs = Vec::new();
        while let Some(name) = args.next() {
            let name = name.to_string_lossy().into_owned();
            let value = args.next().filter(|_| known.contains(&name.as_str()));
            let value = value
                .ok_or_else(|| Failure::new("load", format!("{name}: not an option, or without a value")))?;
            pairs.push((name, value));
        }
        Ok(Args(pairs))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsString> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v)
    }

    /// A file that must be there.
    pub fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let value =
            self.all(name).last().ok_or_else(|| Failure::new("load", format!("{name} is missing")))?;
        readable(value)
    }

    /// A number, if it is given.
    pub fn number(&self, name: &str, otherwise: u32) -> Result<u32, Failure> {
        match self.all(name).last() {
            None => Ok(otherwise),
            Some(v) => v
                .to_str()
                .and_then(|v| v.parse().ok())
                .ok_or_else(|| Failure::new("load", format!("{name} takes a number, not {}", v.display()))),
        }
    }
}

/// A file that can be opened, or the reason why not: C++ libraries only say that they failed.
pub fn readable(path: impl Into<PathBuf>) -> Result<PathBuf, Failure> {
    let path = path.into();
    match File::open(&path).and_then(|f| f.metadata()) {
        Ok(meta) if meta.is_file() => Ok(path),
        Ok(_) => Err(Failure::new("load", format!("{} is not a file", path.display()))),
        Err(e) => Err(Failure::new("load", format!("{}: {e}", path.display()))),
    }
}

/// Gives way to the gateway's media threads by `by` steps of niceness. Not allowed or not supported: nothing happens.
pub fn give_way(by: i32) {
    let _ = rustix::process::nice(by);
}

/// Where an engine's frames go. Clones are the same pipe.
#[derive(Clone, Debug)]
pub struct Output {
    pipe: Arc<Mutex<File>>,
}

impl Output {
    /// Says that the model is loaded and jobs may come.
    pub fn hello(&self, hello: Hello) {
        self.send(&Frame::Hello(Hello {
            protocol: wire::VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            ..hello
        }));
    }

    /// Says why the engine cannot start.
    pub fn refuse(&self, failure: Failure) {
        eprintln!("{failure}");
        self.send(&Frame::Failed { job: JobId(0), failure });
    }

    fn send(&self, frame: &Frame) {
        let mut pipe = lock(&self.pipe);
        match wire::write(&mut *pipe, frame) {
            Ok(()) => {}
            Err(WireError::Length(n)) => eprintln!("a frame of {n} bytes was not sent"),
            // The gateway is gone.
            Err(_) => die(),
        }
    }
}

/// Where jobs come from. Clones take from the same queue: one per lane.
#[derive(Clone, Debug)]
pub struct Inbox {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
}

impl Inbox {
    /// Waits for the next job.
    pub fn next(&self) -> Job {
        loop {
            match lock(&self.jobs).recv() {
                Ok(job) => return job,
                // The reader ends only together with the process.
                Err(_) => std::thread::park(),
            }
        }
    }

    /// The next job, if one comes within that time.
    pub fn next_within(&self, time: Duration) -> Option<Job> {
        lock(&self.jobs).recv_timeout(time).ok()
    }

    /// The next job, if one is there.
    pub fn try_next(&self) -> Option<Job> {
        lock(&self.jobs).try_recv().ok()
    }
}

/// One job. It ends by [`Job::done`] or [`Job::fail`]; one that is dropped without either (a panic in a lane) fails.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    task: Option<Task>,
    pcm: Vec<i16>,
    cancelled: Arc<AtomicBool>,
    rest: Rest,
    output: Output,
    ended: bool,
}

/// Until when a job may stand still.
type Rest = Arc<Mutex<Option<Instant>>>;

impl Job {
    /// What is to be done; the second time, `None`.
    pub fn take_task(&mut self) -> Option<Task> {
        self.task.take()
    }

    pub fn take_pcm(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.pcm)
    }

    /// To be asked often: between two tokens, two clauses, two layers.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The same question for a callback that outlives the borrow.
    pub fn cancellation(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Whether what it has made is enough for now, and others need the cores more.
    pub fn is_at_rest(&self) -> bool {
        lock(&self.rest).is_some_and(|until| Instant::now() < until)
    }

    pub fn text(&self, piece: &str) {
        self.output.send(&Frame::Text { job: self.id, text: piece.to_owned() });
    }

    /// A piece of sound at `rate` Hz.
    pub fn pcm(&self, rate: u32, pcm: Vec<i16>) {
        self.output.send(&Frame::Pcm { job: self.id, rate, pcm });
    }

    pub fn done(mut self, outcome: Outcome) {
        self.ended = true;
        self.output.send(&Frame::Done { job: self.id, outcome });
    }

    pub fn fail(mut self, failure: Failure) {
        self.ended = true;
        self.output.send(&Frame::Failed { job: self.id, failure });
    }

    /// The end of a job that was cancelled.
    pub fn give_up(self) {
        self.fail(Failure::new("canceled", "nobody wants it any more"));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.ended {
            let failure = Failure::new("engine", "the job was dropped inside the engine");
            self.output.send(&Frame::Failed { job: self.id, failure });
        }
    }
}

struct Reader {
    output: Output,
    jobs: mpsc::SyncSender<Job>,
    running: HashMap<JobId, (Weak<AtomicBool>, Rest)>,
    greeted: bool,
}

impl Reader {
    fn run(mut self) {
        let mut input = BufReader::new(io::stdin().lock());
        loop {
            match wire::read(&mut input) {
                Ok(Some(frame)) => self.handle(frame),
                Err(WireError::Malformed { job, reason }) => self.complain(job, "malformed", &reason),
                Err(WireError::Length(n)) => {
                    self.complain(JobId(0), "malformed", &WireError::Length(n).to_string());
                    die()
                }
                Ok(None) | Err(WireError::Truncated | WireError::Io(_)) => die(),
            }
        }
    }

    fn handle(&mut self, frame: Frame) {
        match frame {
            Frame::Hello(hello) if hello.protocol == wire::VERSION => self.greeted = true,
            Frame::Hello(hello) => {
                let message = format!("protocol {} is not known, only {}", hello.protocol, wire::VERSION);
                self.complain(JobId(0), "protocol", &message);
            }
            Frame::Ping(n) => self.output.send(&Frame::Pong(n)),
            Frame::Cancel(job) => {
                // Not there: it has ended in this very moment, and its last frame is on the way.
                if let Some(flag) = self.running.remove(&job).and_then(|(flag, _)| flag.upgrade()) {
                    flag.store(true, Ordering::Relaxed);
                }
            }
            Frame::Rest { job, ms } => {
                if let Some((_, rest)) = self.running.get(&job) {
                    *lock(rest) = Instant::now().checked_add(Duration::from_millis(ms.into()));
                }
            }
            Frame::Job { job, .. } if !self.greeted => self.complain(job, "protocol", "a job before hello"),
            Frame::Job { job, task, pcm } => {
                self.running.retain(|_, (flag, _)| flag.strong_count() > 0);
                let cancelled = Arc::new(AtomicBool::new(false));
                let rest = Rest::default();
                self.running.insert(job, (Arc::downgrade(&cancelled), rest.clone()));
                let output = self.output.clone();
                let job = Job { id: job, task: Some(task), pcm, cancelled, rest, output, ended: false };
                if let Err(mpsc::TrySendError::Full(job)) = self.jobs.try_send(job) {
                    job.fail(Failure::new("busy", format!("{INBOX} jobs lie here already")));
                }
            }
            Frame::Pong(_)
            | Frame::Text { .. }
            | Frame::Pcm { .. }
            | Frame::Done { .. }
            | Frame::Failed { .. } => {
                self.complain(JobId(0), "malformed", "a frame that only an engine sends");
            }
        }
    }

    fn complain(&self, job: JobId, kind: &str, message: &str) {
        self.output.send(&Frame::Failed { job, failure: Failure::new(kind, message) });
    }
}

/// Ends the process now. Not by `exit`: destructors of a C++ library would run beneath its working threads.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
