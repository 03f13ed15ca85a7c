//! What the calls that are up have cost so far, and the end of those that nobody can pay any more.
//!
//! A call is charged when it is over. Until then it stands here, so that a limit counts it while it lasts: nobody gets around
//! one by calling many people at once, or one for long.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use media::net::LineView;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::exchange::Exchange;
use super::guards::{Errand, Funds};
use super::route::RouteError;
use super::switchboard::Switchboard;
use crate::config::CreditMode;
use crate::domain::{AccountId, Call, CallId, Direction, EndReason, KeyId, Money, Rates};
use crate::store::{Store, StoreError};

/// How often the purses are looked at while calls are up.
const TICK: Duration = Duration::from_secs(1);
/// What a media thread may take to say how a line does.
const SOON: Duration = Duration::from_millis(250);
/// What a goodbye may take: a call is ended so much before its purse is empty, and cut when it has not ended by itself after it.
const FAREWELL: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Meter {
    rates: Arc<Rates>,
    live: Arc<Mutex<HashMap<CallId, Live>>>,
    /// Told when a call begins.
    begun: Arc<Notify>,
}

/// A call that is up.
#[derive(Clone, Debug)]
struct Live {
    account: AccountId,
    key: Option<KeyId>,
    since: Instant,
    minute: Money,
    /// A further leg to the outside.
    beside: Option<(Instant, Money)>,
    /// What it cost in the end, while that is not on disk yet.
    settled: Option<Money>,
    line: Option<LineView>,
}

impl Live {
    fn cost(&self, rates: &Rates, now: Instant) -> Money {
        if let Some(cost) = self.settled {
            return cost;
        }
        let own = rates.of(self.minute, now.saturating_duration_since(self.since));
        let beside =
            self.beside.map(|(since, minute)| rates.of(minute, now.saturating_duration_since(since)));
        own + beside.unwrap_or_default()
    }

    /// Whether somebody has to go on paying.
    fn goes_on(&self) -> bool {
        self.settled.is_none() && (self.minute != Money::ZERO || self.beside.is_some())
    }
}

/// A call stands on the meter as long as this lives: from its answer until what it cost is on disk, so that no limit overlooks it
/// in between.
pub(super) struct Running {
    meter: Meter,
    id: CallId,
}

impl Running {
    /// The call is over, and cost so much.
    pub(super) fn settle(&self, cost: Money) {
        if let Some(live) = self.meter.calls().get_mut(&self.id) {
            live.settled = Some(cost);
        }
    }

    /// The line that it is on now.
    pub(super) fn on_line(&self, line: LineView) {
        if let Some(live) = self.meter.calls().get_mut(&self.id) {
            live.line = Some(line);
        }
    }

    /// The call is put through to `target`.
    pub(super) fn joined(&self, target: &str, now: Instant) {
        if !target.starts_with('+') {
            return;
        }
        let minute = self.meter.rates.minute(Direction::Outbound, "", target);
        if let Some(live) = self.meter.calls().get_mut(&self.id) {
            live.beside = Some((now, minute));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.meter.calls().remove(&self.id);
    }
}

impl Meter {
    pub fn new(rates: Rates) -> Self {
        Self { rates: Arc::new(rates), live: Arc::default(), begun: Arc::default() }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<CallId, Live>> {
        // Nothing is left half-changed by a panic under this lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody is on the phone.
    pub fn any_up(&self) -> bool {
        self.calls().values().any(|live| live.settled.is_none())
    }

    /// How the line of a call that is up does; `None` where there is no such call, or its media thread has no time to tell.
    pub async fn line(&self, id: &CallId) -> Option<media::Stats> {
        let line = self.calls().get(id)?.line.clone()?;
        tokio::time::timeout(SOON, line.stats()).await.ok()?.ok()
    }

    /// The call has been answered.
    pub(super) fn runs(&self, call: &Call, now: Instant) -> Running {
        let other = match call.direction {
            Direction::Inbound => &call.from,
            Direction::Outbound => &call.to,
        };
        let minute = self.rates.minute(call.direction, &call.trunk, other.reveal());
        let live = Live {
            account: call.account.clone(),
            key: call.key_id.clone(),
            since: now,
            minute,
            beside: None,
            settled: None,
            line: None,
        };
        self.calls().insert(call.id.clone(), live);
        self.begun.notify_one();
        Running { meter: self.clone(), id: call.id.clone() }
    }

    /// What the calls of a key, of an account and of the box have cost at that moment, if they are up until then.
    fn so_far(&self, key: Option<&KeyId>, account: &AccountId, then: Instant) -> [Money; 3] {
        let mut sums = [Money::ZERO; 3];
        for live in self.calls().values() {
            let cost = live.cost(&self.rates, then);
            let counts = [key.is_some() && live.key.as_ref() == key, live.account == *account, true];
            for (sum, _) in sums.iter_mut().zip(counts).filter(|(_, counts)| *counts) {
                *sum += cost;
            }
        }
        sums
    }

    /// Whose calls are up, each once; those that cost nothing do not count.
    fn payers(&self) -> BTreeMap<(AccountId, Option<KeyId>), Vec<CallId>> {
        let mut payers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, live) in self.calls().iter().filter(|(_, live)| live.goes_on()) {
            payers.entry((live.account.clone(), live.key.clone())).or_default().push(id.clone());
        }
        payers
    }
}

impl Funds {
    /// How the money of a key and its account will stand in `ahead`, if the calls that are up go on until then. Blocks on the disk.
    pub fn read(
        store: &Store,
        meter: &Meter,
        account: &AccountId,
        key: Option<&KeyId>,
        enforced: bool,
        ahead: Duration,
    ) -> Result<Self, StoreError> {
        let [mut of_key, mut of_account, mut on_the_box] =
            store.spent(key, account, Utc::now().date_naive())?;
        let running = meter.so_far(key, account, Instant::now() + ahead);
        of_key += running[0];
        of_account += running[1];
        on_the_box += running[2];
        let credits = match enforced {
            true => Some(store.balance(account)? - running[1]),
            false => None,
        };
        let monthly_limit = store.account(account)?.and_then(|account| account.monthly_limit);
        Ok(Self { key: of_key, account: of_account, on_the_box, monthly_limit, credits })
    }
}

/// Whether this is the time for it, and whether there is money for it.
///
/// # Errors
/// The guards' refusal; or the purses cannot be read, and nothing is spent that nobody counts.
pub(super) async fn occasion(
    exchange: &Arc<Exchange>,
    account: &AccountId,
    key: Option<&KeyId>,
    errand: Errand,
) -> Result<(), RouteError> {
    let (exchange, account, key) = (exchange.clone(), account.clone(), key.cloned());
    let read = tokio::task::spawn_blocking(move || {
        let (store, meter) = (&exchange.store, exchange.journal.meter());
        let enforced = exchange.config.credits.mode == CreditMode::Enforce;
        let funds = Funds::read(store, meter, &account, key.as_ref(), enforced, Duration::ZERO)?;
        Ok::<_, StoreError>(exchange.guards.occasion(errand, Utc::now(), &funds))
    });
    match read.await {
        Ok(Ok(judged)) => judged.map_err(RouteError::Guarded),
        Ok(Err(error)) => {
            tracing::error!(%error, "the purses cannot be read; nothing is begun");
            Err(RouteError::Unreachable("the store failed, so nothing can be charged; see the log".into()))
        }
        Err(panic) => {
            tracing::error!(%panic, "reading the purses panicked");
            Err(RouteError::Unreachable("nothing can be charged; see the log".into()))
        }
    }
}

/// Ends calls politely that nobody can pay any more. Runs until its handle is dropped.
pub async fn watch(exchange: Arc<Exchange>, switchboard: Switchboard) {
    let meter = exchange.journal.meter().clone();
    let mut leaving: HashMap<CallId, Instant> = HashMap::new();
    loop {
        let payers = meter.payers();
        if payers.is_empty() {
            leaving.clear();
            meter.begun.notified().await;
            continue;
        }
        leaving.retain(|id, _| payers.values().flatten().any(|live| live == id));
        for (id, reason) in broke(&exchange, &meter, payers).await {
            match leaving.get(&id) {
                None => {
                    info!(call = %id, reason = reason.code(), "nobody can pay for the call any more; it is ended");
                    switchboard.end(id.clone(), reason, true).await;
                    leaving.insert(id, Instant::now());
                }
                Some(since) if since.elapsed() >= FAREWELL => {
                    warn!(call = %id, reason = reason.code(), "the call did not end by itself; it is cut");
                    switchboard.end(id, reason, false).await;
                }
                Some(_) => {}
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The calls whose purse is empty, and why.
async fn broke(
    exchange: &Arc<Exchange>,
    meter: &Meter,
    payers: BTreeMap<(AccountId, Option<KeyId>), Vec<CallId>>,
) -> Vec<(CallId, EndReason)> {
    let (exchange, meter) = (exchange.clone(), meter.clone());
    let read = tokio::task::spawn_blocking(move || {
        let enforced = exchange.config.credits.mode == CreditMode::Enforce;
        let mut broke = Vec::new();
        for ((account, key), calls) in payers {
            let funds = Funds::read(&exchange.store, &meter, &account, key.as_ref(), enforced, FAREWELL);
            let reason = match funds.map(|funds| exchange.guards.money(Utc::now(), &funds)) {
                Ok(Ok(())) => continue,
                Ok(Err(refusal)) => refusal.end_reason(),
                Err(error) => {
                    // Who is on the line is not cut off for our disk's sake.
                    tracing::error!(%error, "the purses cannot be read; calls go on");
                    continue;
                }
            };
            broke.extend(calls.into_iter().map(|id| (id, reason)));
        }
        broke
    });
    read.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        let rates = Rates {
            outbound: "0.60".parse().unwrap(),
            to: vec![("+44".into(), "6".parse().unwrap())],
            step: Duration::from_secs(1),
            ..Rates::default()
        };
        Meter::new(rates)
    }

    fn call(n: u8, key: Option<&KeyId>) -> Call {
        let (from, to) = ("+15550100001".into(), "+14155550123".into());
        let mut call = Call::new(
            CallId::from_random([n; 10]),
            Direction::Outbound,
            from,
            to,
            chrono::DateTime::UNIX_EPOCH,
        );
        call.key_id = key.cloned();
        call
    }

    #[test]
    fn what_is_up_counts_until_it_is_over() {
        let (meter, key, house) = (meter(), KeyId::from_random([9; 10]), AccountId::house());
        let now = Instant::now();
        let first = meter.runs(&call(1, Some(&key)), now);
        let second = meter.runs(&call(2, None), now + Duration::from_secs(5));
        let free = meter.runs(&Call { trunk: "extension 201".into(), ..call(3, None) }, now);
        let sums = |seconds| {
            let sums = meter.so_far(Some(&key), &house, now + Duration::from_secs(seconds));
            sums.map(|sum| sum.to_string())
        };
        assert_eq!(sums(10), ["0.10", "0.15", "0.15"]);
        assert_eq!(meter.payers().len(), 2, "what costs nothing is nobody's to pay");
        first.joined("+442079460123", now + Duration::from_secs(10));
        second.joined("201", now);
        assert_eq!(sums(20), ["1.20", "1.35", "1.35"]);
        first.settle("1.00".parse().unwrap());
        assert_eq!(sums(60), ["1.00", "1.55", "1.55"], "what is over costs no more");
        assert_eq!(meter.payers().len(), 1);
        drop((first, free));
        assert_eq!(sums(20), ["0.00", "0.15", "0.15"]);
        drop(second);
        assert!(meter.payers().is_empty());
    }

    #[test]
    fn funds_are_what_was_charged_and_what_is_running() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (meter, house) = (meter(), AccountId::house());
        let _running = meter.runs(&call(1, None), Instant::now());
        let read = |enforced, ahead| {
            Funds::read(&store, &meter, &house, None, enforced, Duration::from_secs(ahead)).unwrap()
        };
        assert_eq!(read(false, 60).credits, None);
        let funds = read(true, 60);
        assert!(funds.account.today >= "0.60".parse().unwrap(), "{funds:?}");
        assert_eq!(funds.credits, Some(-funds.account.today));
        assert_eq!(funds.key.today, Money::ZERO);
    }
}
