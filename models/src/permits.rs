//! One pool of core permits over all engines.
//!
//! ggml's threads spin at barriers: two jobs of two threads each on two cores took fifty times as long as two jobs of
//! one. So the law is that the threads of all running jobs together are never more than the cores, and this pool is
//! where it is kept: a job waits here before it is sent to its engine, and gives back when its engine says that it is
//! over. Who waits is served by [`Priority`], then by arrival; and where a caller waits for it ([`Priority::Tail`] or
//! [`Priority::Reply`]) and no core is free, holders of less are told ([`Permits::pressed`]) and may give theirs back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::Priority;

/// A shared pool. Clones are the same pool.
#[derive(Clone, Debug)]
pub struct Permits {
    pool: Arc<Mutex<Pool>>,
    cores: usize,
    pressed: Arc<watch::Sender<u64>>,
}

/// The right to run on [`Permit::cores`] threads; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    pool: Arc<Mutex<Pool>>,
    cores: usize,
}

impl Permits {
    /// A pool of `cores` (at least one).
    pub fn new(cores: usize) -> Permits {
        let cores = cores.max(1);
        let pool = Pool { free: cores, next: 0, waiting: BTreeMap::new() };
        Permits { pool: Arc::new(Mutex::new(pool)), cores, pressed: Arc::new(watch::Sender::new(0)) }
    }

    /// All cores of the pool, free or not.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// Cores that nobody holds now.
    pub fn free(&self) -> usize {
        lock(&self.pool).free
    }

    /// Changes whenever somebody begins to wait for whom a caller waits.
    pub fn pressed(&self) -> watch::Receiver<u64> {
        self.pressed.subscribe()
    }

    /// Waits until as many cores are free as the range begins with, and takes as many as it ends with if it can (both
    /// are cut to what the pool has). Whoever is first in the queue is not overtaken because it wants much. Dropping
    /// the future gives up the place.
    pub async fn acquire(&self, priority: Priority, cores: RangeInclusive<usize>) -> Permit {
        let least = (*cores.start()).clamp(1, self.cores);
        let most = (*cores.end()).clamp(least, self.cores);
        let (place, granted) = {
            let mut pool = lock(&self.pool);
            let place = (priority, pool.next);
            pool.next += 1;
            let (grant, granted) = oneshot::channel();
            pool.waiting.insert(place, Waiter { least, most, grant });
            pool.serve(&self.pool);
            if priority <= Priority::Reply && pool.waiting.contains_key(&place) {
                self.pressed.send_modify(|times| *times += 1);
            }
            (place, granted)
        };
        let _place = Place { pool: &self.pool, place };
        // A waiter leaves the queue only with its grant sent, or by `_place`'s drop, which comes after this.
        granted.await.expect("a waiter is granted before it is removed")
    }
}

#[derive(Debug)]
struct Pool {
    free: usize,
    next: u64,
    waiting: BTreeMap<(Priority, u64), Waiter>,
}

#[derive(Debug)]
struct Waiter {
    least: usize,
    most: usize,
    grant: oneshot::Sender<Permit>,
}

impl Pool {
    fn serve(&mut self, pool: &Arc<Mutex<Pool>>) {
        while let Some(first) = self.waiting.first_entry() {
            if first.get().least > self.free {
                return;
            }
            let waiter = first.remove();
            let cores = waiter.most.min(self.free);
            self.free -= cores;
            if let Err(mut unwanted) = waiter.grant.send(Permit { pool: pool.clone(), cores }) {
                // Its future was dropped in this very moment. Emptied, so that its drop does not lock the pool again.
                self.free += std::mem::take(&mut unwanted.cores);
            }
        }
    }
}

impl Permit {
    pub fn cores(&self) -> usize {
        self.cores
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.cores == 0 {
            return;
        }
        let mut pool = lock(&self.pool);
        pool.free += self.cores;
        pool.serve(&self.pool);
    }
}

/// A place in the queue, given up when the waiting future is dropped.
struct Place<'a> {
    pool: &'a Arc<Mutex<Pool>>,
    place: (Priority, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = lock(self.pool);
        if pool.waiting.remove(&self.place).is_some() {
            // It may have been the one that all others waited behind.
            pool.serve(self.pool);
        }
    }
}

/// The lock is held for a few instructions that do not panic, so what a poisoned one guards is still whole.
fn lock(pool: &Arc<Mutex<Pool>>) -> std::sync::MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
