//! The deliverer: tells the endpoints of webhooks what happened. [`schedule`] decides when, the store holds what; here are the
//! clock, the sockets and the tasks.

mod letter;
mod schedule;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use reqwest::header::RETRY_AFTER;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::config::Webhooks;
use crate::domain::{Call, Delivery, DeliveryStatus, Vocabulary, WebhookId};
use crate::outside::{Outside, Refused};
use crate::store::{Head, Settled, Store, StoreError};
use letter::Letter;
use schedule::{Outcome, Schedule, Verdict};

/// The clock is looked at so often at least, for it may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// What tries that are under way may take to end when the deliverer is told to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often what is old is forgotten.
const SWEEP: Duration = Duration::from_secs(3600);
/// Deliveries forgotten in one transaction.
const SWEPT_AT_ONCE: usize = 1000;
/// Of an answer's body so much is read, that the connection can be used again; what it says is of no interest.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What tries share.
struct Post {
    store: Store,
    outside: Outside,
    timeout: Duration,
}

/// What a task has done.
enum Done {
    Tried {
        delivery: Box<Delivery>,
        tried: Tried,
    },
    /// There was nothing to try, or (`is_written` false) it could not be read.
    Written {
        lanes: Vec<(WebhookId, String)>,
        is_written: bool,
    },
    /// What came of tries is written, or could not be.
    Settled {
        lanes: Vec<(WebhookId, String)>,
        is_written: bool,
    },
    Swept,
}

struct Tried {
    status: Option<u16>,
    /// `None`: the endpoint took it.
    error: Option<String>,
    /// How long the endpoint asked to be left alone.
    later: Option<Duration>,
    /// Trying again is of no use.
    is_hopeless: bool,
}

/// Runs until `stop`. Whatever goes wrong, what is pending stays pending.
pub(super) async fn run(
    store: Store,
    outside: Outside,
    settings: Webhooks,
    chance: fn() -> [u8; 8],
    stop: CancellationToken,
) {
    let post = Arc::new(Post { store, outside, timeout: settings.timeout });
    let mut deliverer = Deliverer {
        schedule: Schedule::new(settings.clone()),
        post,
        tasks: JoinSet::new(),
        chance,
        keep: settings.keep,
        stop: stop.clone(),
        unwritten: Vec::new(),
        is_writing: false,
    };
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let sleep = deliverer.step().await;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(done) = deliverer.tasks.join_next() => match done {
                Ok(done) => deliverer.handle_done(done),
                Err(panic) => error!(%panic, "a task of the deliverer panicked"),
            },
            () = deliverer.post.store.changed() => {}
            () = tokio::time::sleep(sleep) => {}
            _ = sweep.tick() => deliverer.sweep(),
        }
    }
    // What was answered is written down yet, where that is soon.
    let last = async {
        while let Some(done) = deliverer.tasks.join_next().await {
            done.map(|done| deliverer.handle_done(done)).unwrap_or_default();
        }
    };
    if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
        deliverer.tasks.shutdown().await;
    }
}

struct Deliverer {
    schedule: Schedule,
    post: Arc<Post>,
    tasks: JoinSet<Done>,
    chance: fn() -> [u8; 8],
    keep: Duration,
    stop: CancellationToken,
    /// What came of tries while others were being written. All of it is written at once, so that a deliverer that has much to do
    /// takes no more of the disk than one writer.
    unwritten: Vec<Settled>,
    is_writing: bool,
}

impl Deliverer {
    /// Looks at what is pending, and starts what is due. How long nothing further is.
    async fn step(&mut self) -> Duration {
        let window = self.schedule.window();
        match self.post.read(move |store| store.lanes(window)).await {
            Ok(lanes) => self.schedule.handle_lanes(lanes),
            Err(error) => {
                error!(%error, "deliveries cannot be read");
                return LONGEST_SLEEP;
            }
        }
        let now = Utc::now();
        while let Some((webhook, subject)) = self.schedule.poll_try(now) {
            let post = self.post.clone();
            self.tasks.spawn(async move {
                let done = AssertUnwindSafe(post.attempt(&webhook, &subject)).catch_unwind().await;
                done.unwrap_or(Done::Written { lanes: vec![(webhook, subject)], is_written: false })
            });
        }
        let until = self.schedule.poll_timeout(now).map(|time| (time - now).to_std().unwrap_or_default());
        until.map_or(LONGEST_SLEEP, |until| until.min(LONGEST_SLEEP))
    }

    fn handle_done(&mut self, done: Done) {
        let now = Utc::now();
        match done {
            Done::Swept => {}
            Done::Written { lanes, is_written } => self.handle_written(now, &lanes, is_written),
            Done::Settled { lanes, is_written } => {
                self.is_writing = false;
                self.handle_written(now, &lanes, is_written);
            }
            Done::Tried { delivery, tried } => {
                let settled = self.settle(now, *delivery, tried);
                self.unwritten.push(settled);
            }
        }
        if !self.is_writing && !self.unwritten.is_empty() {
            self.is_writing = true;
            let (post, settled) = (self.post.clone(), std::mem::take(&mut self.unwritten));
            self.tasks.spawn(async move { post.write(settled).await });
        }
    }

    fn handle_written(&mut self, now: DateTime<Utc>, lanes: &[(WebhookId, String)], is_written: bool) {
        for (webhook, subject) in lanes {
            self.schedule.handle_written(now, webhook, subject, is_written);
        }
    }

    /// What is to be written of a try.
    fn settle(&mut self, now: DateTime<Utc>, mut delivery: Delivery, tried: Tried) -> Settled {
        let Tried { status, error, later, is_hopeless } = tried;
        delivery.tries += u32::from(!is_hopeless);
        (delivery.last_tried_at, delivery.response_status) = (Some(now), status);
        let outcome = if error.is_none() { Outcome::Taken } else { Outcome::Refused { later } };
        let asked_at = delivery.asked_again_at.unwrap_or(delivery.created_at);
        let chance = u32::from_le_bytes(std::array::from_fn(|n| (self.chance)()[n]));
        let chance = f64::from(chance) / f64::from(u32::MAX);
        let verdict = match is_hopeless {
            true => Verdict::GivenUp,
            false => self.schedule.handle_tried(
                now,
                &delivery.webhook,
                outcome,
                (delivery.tries, asked_at),
                chance,
            ),
        };
        let why = error.as_deref().unwrap_or_default();
        let (webhook, id) = (&delivery.webhook, &delivery.id);
        let due = match verdict {
            Verdict::Delivered => {
                (delivery.status, delivery.next_try_at) = (DeliveryStatus::Delivered, None);
                now
            }
            Verdict::Again { lane, next } => {
                debug!(%webhook, delivery = %id, why, %next, "an endpoint did not take a delivery");
                delivery.next_try_at = Some(next);
                lane
            }
            Verdict::GivenUp => {
                warn!(%webhook, delivery = %id, why, "a delivery is given up");
                (delivery.status, delivery.next_try_at) = (DeliveryStatus::Failed, None);
                now
            }
        };
        delivery.error = error;
        let give_up_before = self.schedule.give_up_before(now, &delivery.webhook);
        Settled { delivery, due, give_up_before }
    }

    /// Forgets what is old and what belonged to webhooks that are gone.
    fn sweep(&mut self) {
        let (post, before, stop) = (self.post.clone(), Utc::now() - self.keep, self.stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = post.read(move |store| forget(store, before, &stop)).await {
                warn!(%error, "old deliveries could not be forgotten");
            }
            Done::Swept
        });
    }
}

fn forget(store: &Store, before: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
    while !stop.is_cancelled() && store.forget_gone_webhooks(SWEPT_AT_ONCE)? {}
    for webhook in store.all_webhooks()? {
        while !stop.is_cancelled() && store.forget_deliveries(&webhook.id, before, SWEPT_AT_ONCE)? {}
    }
    Ok(())
}

impl Post {
    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || act(&store)).await;
        read.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())
    }

    /// Tries the first of a lane.
    async fn attempt(&self, webhook: &WebhookId, subject: &str) -> Done {
        let (of, about) = (webhook.clone(), subject.to_owned());
        let look = move |store: &Store| -> Result<Option<(Head, Option<Call>)>, StoreError> {
            let Some(head) = store.head(&of, &about)? else {
                store.mend_lane(&of, &about)?;
                return Ok(None);
            };
            let wants_record = head.webhook.vocabulary != Vocabulary::Offhook;
            let call = head.event.as_ref().filter(|_| wants_record).and_then(|event| event.call());
            let record = call.map(|id| store.call(id)).transpose()?.flatten();
            Ok(Some((head, record)))
        };
        let (webhook, subject) = (webhook.clone(), subject.to_owned());
        match self.read(look).await {
            Ok(Some((head, call))) => {
                let tried = match letter::compose(&head, call.as_ref(), Utc::now()) {
                    Some(letter) => self.send(&head.webhook.url, letter).await,
                    None => Tried {
                        status: None,
                        error: Some("what it tells of is not kept any more".into()),
                        later: None,
                        is_hopeless: true,
                    },
                };
                Done::Tried { delivery: Box::new(head.delivery), tried }
            }
            Ok(None) => Done::Written { lanes: vec![(webhook, subject)], is_written: true },
            Err(error) => {
                error!(%error, "a delivery cannot be read");
                Done::Written { lanes: vec![(webhook, subject)], is_written: false }
            }
        }
    }

    async fn send(&self, url: &str, letter: Letter) -> Tried {
        let failed =
            |error: String| Tried { status: None, error: Some(error), later: None, is_hopeless: false };
        let (url, client) = match self.outside.client(url) {
            Ok(both) => both,
            Err(refused) => return failed(format!("the URL {refused}")),
        };
        let mut request = client.post(url).timeout(self.timeout).body(letter.body);
        for (name, value) in letter.headers {
            request = request.header(name, value);
        }
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return failed(self.in_words(&error)),
        };
        let status = answer.status();
        let later = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut read = 0;
        while let Ok(Some(bytes)) = answer.chunk().await {
            read += bytes.len();
            if read > LONGEST_ANSWER {
                break;
            }
        }
        let error = (!status.is_success()).then(|| format!("the endpoint answered {}", status.as_u16()));
        let later = later.map(Duration::from_secs);
        Tried { status: Some(status.as_u16()), error, later, is_hopeless: false }
    }

    /// Without addresses: what a client's name resolves to may be the operator's own business.
    fn in_words(&self, error: &reqwest::Error) -> String {
        if let Some(refused) = Refused::within(error) {
            return format!("the URL {refused}");
        }
        match error {
            _ if error.is_timeout() => format!("no answer within {} s", self.timeout.as_secs()),
            _ if error.is_connect() => "no connection to the endpoint".into(),
            _ => "the connection broke before an answer".into(),
        }
    }

    async fn write(&self, settled: Vec<Settled>) -> Done {
        let lane = |one: &Settled| (one.delivery.webhook.clone(), one.delivery.subject.clone());
        let lanes = settled.iter().map(lane).collect();
        let written = self.read(move |store| store.settle(&settled)).await;
        if let Err(error) = &written {
            error!(%error, "what came of deliveries cannot be written; they will be sent again");
        }
        Done::Settled { lanes, is_written: written.is_ok() }
    }
}
