//! Writes reports on calls that are over: what is asked and believed is in [`paper`]; here are the clock, the tasks and the store.
//!
//! That a report is to be written stands in the call's record, in the transaction that closes it; so a process that is killed leaves
//! the work to the next one. The local model shares its cores with callers: it writes one report at a time, begins when no call is
//! up, and puts the pen down when one comes; only a report that has waited for long is written beside calls, and then still
//! behind them ([`models::Priority::Background`]).

mod paper;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::{FutureExt, StreamExt};
use models::{Delta, Generator, Prompt};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::call::Exchange;
use crate::domain::{Call, CallId, CallReport, Event, EventKind, ReportStatus};
use crate::store::{Entry, Record, StoreError};

/// Reports that the local model writes at once …
const LOCAL_AT_ONCE: usize = 1;
/// … and that others do.
const REMOTE_AT_ONCE: usize = 4;
/// Pending reports that are looked at: a longer list is worked off from its top.
const LOOKED_AT: usize = 64;
/// Tries of a report; between two the brain may come back.
const TRIES: u32 = 3;
const BETWEEN_TRIES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(120)];
/// What one answer may take.
const DEADLINE: Duration = Duration::from_secs(180);
/// Bytes of an answer that are looked at.
const LONGEST: usize = 16 << 10;
/// How often a report that waits looks whether calls are up.
const LOOK: Duration = Duration::from_millis(250);
/// How long a report waits for a moment without calls.
const MODESTY: Duration = Duration::from_secs(300);
/// How long nothing is looked for where nothing is told.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

pub struct Reports {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reports {
    pub fn start(exchange: Arc<Exchange>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(exchange, stop.clone()));
        Self { stop, task }
    }

    /// Returns when nothing is written any more. What was not finished is begun anew after the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(panic) = self.task.await {
            error!(%panic, "the writer of reports panicked");
        }
    }
}

/// A report that is being written, or that could not be.
#[derive(Clone, Copy)]
struct Work {
    tries: u32,
    is_local: bool,
    /// `None`: it is being written.
    again_at: Option<Instant>,
}

/// What a task came to.
enum Done {
    /// There is nothing more to do.
    Settled,
    Again,
}

async fn run(exchange: Arc<Exchange>, stop: CancellationToken) {
    let mut events = exchange.journal.subscribe();
    let mut desk = Desk { exchange, works: HashMap::new(), tasks: JoinSet::new() };
    loop {
        let until = desk.step().await;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(done) = desk.tasks.join_next() => desk.handle_done(done),
            () = call_ended(&mut events) => {}
            () = sleep_until(until) => {}
        }
    }
    desk.tasks.shutdown().await;
}

async fn call_ended(events: &mut tokio::sync::broadcast::Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) if matches!(event.kind, EventKind::Ended { .. }) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

struct Desk {
    exchange: Arc<Exchange>,
    works: HashMap<CallId, Work>,
    tasks: JoinSet<(CallId, Done)>,
}

impl Desk {
    /// Begins what may begin. Until when nothing further is to be done by itself.
    async fn step(&mut self) -> Instant {
        let now = Instant::now();
        let store = self.exchange.store.clone();
        // Those under way, and those put off, stand on the list as well.
        let most = LOOKED_AT + self.works.len();
        let pending = match tokio::task::spawn_blocking(move || store.calls_to_report(most)).await {
            Ok(Ok(calls)) => calls,
            Ok(Err(error)) => {
                error!(%error, "reports that are to be written cannot be read");
                return now + LONGEST_SLEEP;
            }
            Err(panic) => {
                error!(%panic, "looking for reports that are to be written panicked");
                return now + LONGEST_SLEEP;
            }
        };
        for call in pending {
            let before = self.works.get(&call.id).copied();
            if before.is_some_and(|work| work.again_at.is_none_or(|at| now < at)) {
                continue;
            }
            let Some(report) = &call.report else { continue };
            let is_local = self.exchange.reporter(&report.brain).is_none_or(|reporter| reporter.is_local);
            let most = if is_local { LOCAL_AT_ONCE } else { REMOTE_AT_ONCE };
            let busy = |work: &&Work| work.is_local == is_local && work.again_at.is_none();
            if self.works.values().filter(busy).count() >= most {
                continue;
            }
            let tries = before.map_or(0, |work| work.tries) + 1;
            self.works.insert(call.id.clone(), Work { tries, is_local, again_at: None });
            self.begin(call.id, tries >= TRIES);
        }
        let next = self.works.values().filter_map(|work| work.again_at).min();
        next.unwrap_or(now + LONGEST_SLEEP).min(now + LONGEST_SLEEP)
    }

    fn begin(&mut self, id: CallId, is_last_try: bool) {
        let exchange = self.exchange.clone();
        self.tasks.spawn(async move {
            let done = AssertUnwindSafe(attend(&exchange, &id, is_last_try)).catch_unwind().await;
            (id, done.unwrap_or(Done::Again))
        });
    }

    fn handle_done(&mut self, done: Result<(CallId, Done), tokio::task::JoinError>) {
        let (id, done) = match done {
            Ok(done) => done,
            Err(error) => return error!(%error, "a report was lost; the next start writes it"),
        };
        match (done, self.works.get_mut(&id)) {
            (Done::Again, Some(work)) => {
                let pause = BETWEEN_TRIES[(work.tries as usize - 1).min(BETWEEN_TRIES.len() - 1)];
                work.again_at = Some(Instant::now() + pause);
            }
            _ => drop(self.works.remove(&id)),
        }
    }
}

/// Writes the report on one call.
async fn attend(exchange: &Exchange, id: &CallId, is_last_try: bool) -> Done {
    let (store, wanted) = (exchange.store.clone(), id.clone());
    let found = tokio::task::spawn_blocking(move || {
        let call = store.call(&wanted)?;
        Ok::<_, StoreError>((call, store.events(&wanted)?.last().map_or(0, |event| event.seq)))
    });
    let (call, seq) = match found.await {
        Ok(Ok((Some(call), seq))) if call.awaits_report() => (call, seq),
        Ok(Ok(_)) => return Done::Settled,
        Ok(Err(error)) => {
            error!(call = %id, %error, "a call cannot be read for its report");
            return Done::Again;
        }
        Err(panic) => {
            error!(call = %id, %panic, "reading a call for its report panicked");
            return Done::Again;
        }
    };
    let Some(pending) = call.report.clone() else { return Done::Settled };
    let report = match write(exchange, &call, &pending).await {
        Ok(report) => report,
        Err(reason) if is_last_try => pending.failed(reason, Utc::now()),
        Err(_) => return Done::Again,
    };
    info!(call = %id, status = ?report.status, tokens = report.tokens, "a report is settled");
    put(exchange, call, seq + 1, report).await
}

/// The report; one that says why there is none, where the brain cannot do it; or why the brain could not be asked, which may pass.
async fn write(exchange: &Exchange, call: &Call, pending: &CallReport) -> Result<CallReport, String> {
    let Some(reporter) = exchange.reporter(&pending.brain) else {
        return Ok(pending.failed("no brain is there that could write it", Utc::now()));
    };
    let most = if reporter.is_local { paper::SHORT } else { paper::LONG };
    let pen = Pen { exchange, generator: &*reporter.generator, is_local: reporter.is_local };
    let (mut tokens, mut wrong) = (0, None::<(String, String)>);
    for _ in 0..2 {
        let shown = wrong.as_ref().map(|(answer, why)| (answer.as_str(), why.as_str()));
        let prompt = paper::prompt(call, pending, most, shown);
        let answer = pen.answer(prompt, &mut tokens).await.map_err(|error| {
            warn!(call = %call.id, error, "the brain could not be asked for a report");
            "the brain could not be asked".to_owned()
        })?;
        match paper::read(&answer, call, pending, Utc::now()) {
            Ok(report) => return Ok(CallReport { tokens, ..report }),
            Err(why) => wrong = Some((answer, why)),
        }
    }
    let why = wrong.map(|(_, why)| why).unwrap_or_default();
    // What is wrong may quote the answer, and with it the call.
    let shown = crate::domain::Private::new(&why);
    warn!(call = %call.id, why = %shown, "the brain wrote no report that can be used");
    let failed = pending.failed("the brain wrote nothing that can be used as a report", Utc::now());
    Ok(CallReport { tokens, ..failed })
}

struct Pen<'a> {
    exchange: &'a Exchange,
    generator: &'a dyn Generator,
    is_local: bool,
}

impl Pen<'_> {
    /// A whole answer.
    async fn answer(&self, prompt: Prompt, tokens: &mut u64) -> Result<String, String> {
        let modest_until = Instant::now() + MODESTY;
        loop {
            let is_modest = self.is_local && Instant::now() < modest_until;
            if is_modest && self.exchange.journal.meter().any_up() {
                sleep(LOOK).await;
                continue;
            }
            let answered = timeout(DEADLINE, collect(self.generator, prompt.clone(), tokens));
            tokio::select! {
                answer = answered => return answer.unwrap_or_else(|_| Err("the answer took too long".into())),
                // Dropping the answer stops the model.
                () = self.call_comes(), if is_modest => {}
            }
        }
    }

    async fn call_comes(&self) {
        while !self.exchange.journal.meter().any_up() {
            sleep(LOOK).await;
        }
    }
}

async fn collect(generator: &dyn Generator, prompt: Prompt, tokens: &mut u64) -> Result<String, String> {
    let mut answer = String::new();
    let mut deltas = generator.generate(prompt);
    let mut pieces = 0;
    while let Some(delta) = deltas.next().await {
        match delta.map_err(|error| error.to_string())? {
            Delta::Text(text) => {
                pieces += 1;
                answer.push_str(&text);
            }
            Delta::Done { usage, .. } => {
                let counted = u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens);
                // Brains that do not count for themselves have had each piece counted as a token.
                *tokens += counted.max(pieces);
                break;
            }
            Delta::ToolCall(_) | Delta::Fallback { .. } => {}
        }
        if answer.len() > LONGEST {
            break;
        }
    }
    Ok(answer)
}

/// Puts the report into the record, and tells of it.
async fn put(exchange: &Exchange, mut call: Call, seq: u64, report: CallReport) -> Done {
    debug_assert_ne!(report.status, ReportStatus::Pending);
    call.report = Some(Box::new(report.clone()));
    let event = Event::of_call(&call, seq, Utc::now(), EventKind::ReportReady(Box::new(report)));
    let id = call.id.clone();
    let entry = Entry { record: Record::Call(Box::new(call)), events: vec![event] };
    match exchange.journal.store(entry).await {
        Ok(()) => Done::Settled,
        Err(error) => {
            warn!(call = %id, %error, "a report cannot be written down; it is written again");
            Done::Again
        }
    }
}
