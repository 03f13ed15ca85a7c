//! The law of the pool: never more threads than cores, and the most urgent first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use models::Priority;
use models::permits::Permits;
use proptest::prelude::*;

#[tokio::test]
async fn who_waits_is_served_by_priority_then_by_arrival() {
    let permits = Permits::new(1);
    let held = permits.acquire(Priority::Partial, 1..=1).await;
    let order = [
        (Priority::Background, 0),
        (Priority::Partial, 1),
        (Priority::Reply, 2),
        (Priority::Partial, 3),
        (Priority::Tail, 4),
    ];
    let (served, mut seen) = tokio::sync::mpsc::channel(8);
    for (priority, number) in order {
        let (permits, served) = (permits.clone(), served.clone());
        tokio::spawn(async move {
            let permit = permits.acquire(priority, 1..=1).await;
            served.send(number).await.unwrap();
            drop(permit);
        });
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut numbers = Vec::new();
    for _ in 0..order.len() {
        numbers.push(seen.recv().await.unwrap());
    }
    assert_eq!(numbers, [4, 2, 1, 3, 0]);
}

#[tokio::test]
async fn one_takes_what_is_free_up_to_what_it_can_use() {
    let permits = Permits::new(4);
    let three = permits.acquire(Priority::Tail, 1..=3).await;
    assert_eq!((three.cores(), permits.free()), (3, 1));
    let rest = permits.acquire(Priority::Tail, 1..=8).await;
    assert_eq!((rest.cores(), permits.free()), (1, 0));
    drop((three, rest));
    assert_eq!(permits.free(), 4);
    assert_eq!(permits.acquire(Priority::Tail, 9..=9).await.cores(), 4, "never more than there are");
}

#[tokio::test]
async fn one_that_needs_much_is_not_overtaken_by_those_behind_it() {
    let permits = Permits::new(2);
    let one = permits.acquire(Priority::Reply, 1..=1).await;
    let mut both = Box::pin(permits.acquire(Priority::Reply, 2..=2));
    assert!((&mut both).now_or_never().is_none());
    let mut later = Box::pin(permits.acquire(Priority::Background, 1..=1));
    assert!((&mut later).now_or_never().is_none());
    // It gives up: the one behind it need not wait any longer.
    drop(both);
    assert!((&mut later).now_or_never().is_some());
    drop(one);
}

#[tokio::test]
async fn whoever_holds_a_core_for_a_look_is_told_when_a_caller_waits() {
    let permits = Permits::new(1);
    let mut pressed = permits.pressed();
    let look = permits.acquire(Priority::Partial, 1..=1).await;
    let mut another = Box::pin(permits.acquire(Priority::Partial, 1..=1));
    assert!((&mut another).now_or_never().is_none());
    assert!(!pressed.has_changed().unwrap(), "a look waits for looks");
    let mut tail = Box::pin(permits.acquire(Priority::Tail, 1..=1));
    assert!((&mut tail).now_or_never().is_none());
    assert!(pressed.has_changed().unwrap());
    pressed.mark_unchanged();
    drop(look);
    let tail = tail.now_or_never().expect("it goes before the look that waits longer");
    drop(tail);
    assert!((&mut another).now_or_never().is_some());
    drop(another);
    assert!(permits.acquire(Priority::Reply, 1..=1).now_or_never().is_some());
    assert!(!pressed.has_changed().unwrap(), "who is served at once presses nobody");
}

#[tokio::test]
async fn a_future_that_is_dropped_gives_its_place_and_its_grant_back() {
    let permits = Permits::new(1);
    let held = permits.acquire(Priority::Tail, 1..=1).await;
    let mut waiting = Box::pin(permits.acquire(Priority::Tail, 1..=1));
    assert!((&mut waiting).now_or_never().is_none());
    drop(held);
    // Granted now, and never looked at.
    assert_eq!(permits.free(), 0);
    drop(waiting);
    assert_eq!(permits.free(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_threads_of_all_are_never_more_than_the_cores(
        cores in 1usize..5,
        jobs in proptest::collection::vec((0u8..4, 1usize..4, 0usize..4, any::<bool>()), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let permits = Permits::new(cores);
            let busy = Arc::new(AtomicUsize::new(0));
            let mut tasks = tokio::task::JoinSet::new();
            for (priority, least, more, patient) in jobs {
                let (permits, busy) = (permits.clone(), busy.clone());
                let priority =
                    [Priority::Tail, Priority::Reply, Priority::Partial, Priority::Background][usize::from(priority)];
                tasks.spawn(async move {
                    let asked = permits.acquire(priority, least..=least + more);
                    let permit = if patient { asked.await } else {
                        tokio::select! { biased; p = asked => p, () = tokio::task::yield_now() => return };
                        return;
                    };
                    let now = busy.fetch_add(permit.cores(), Ordering::SeqCst) + permit.cores();
                    assert!(now <= cores, "{now} threads on {cores} cores");
                    tokio::task::yield_now().await;
                    busy.fetch_sub(permit.cores(), Ordering::SeqCst);
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            assert_eq!(permits.free(), cores);
        });
    }
}
