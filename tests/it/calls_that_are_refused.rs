//! Each refusal with the status that says why.

use sip::CauseKind;

use offhook::domain::Principal;
use offhook::store::CallFilter;

use crate::support::{Caller, NUMBER, Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_number_is_404() {
    let world = World::start(Setting::default()).await;
    let (outcome, _) = Caller::new().await.call(&world, "+15550109999", "hangup").await;
    assert!(!outcome.answered);
    assert_eq!((outcome.cause.kind, outcome.cause.status), (CauseKind::Rejected, Some(404)));
    assert!(
        world
            .gateway
            .calls(&Principal::operator(), CallFilter::default(), None, 10)
            .await
            .unwrap()
            .items
            .is_empty(),
        "a stranger's guess leaves no record"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_503_and_the_next_is_taken_again() {
    let mut world = World::start(Setting { max_calls: 1, ..Setting::default() }).await;
    let mut events = world.gateway.subscribe();
    let first = Caller::new().await;
    let second = async {
        while events.recv().await.unwrap().kind.name() != "call.started" {}
        Caller::new().await.call(&world, NUMBER, "hangup").await
    };
    let (_, (refused, _)) = tokio::join!(first.call(&world, NUMBER, "listen\nhangup"), second);
    assert_eq!((refused.cause.kind, refused.cause.status), (CauseKind::Rejected, Some(503)));
    world.until_ended().await;
    while world.gateway.report().await.calls > 0 {
        tokio::task::yield_now().await;
    }
    let (third, _) = Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    assert!(third.answered);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_gateway_is_503() {
    let world = World::start(Setting::default()).await;
    world.drain().await;
    let (outcome, _) = Caller::new().await.call(&world, NUMBER, "hangup").await;
    assert_eq!((outcome.cause.kind, outcome.cause.status), (CauseKind::Rejected, Some(503)));
    world.stop().await;
}
