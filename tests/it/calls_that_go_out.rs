//! Calls that the gateway places.

use offhook::domain::{Direction, EndReason, Principal, Private, Status};
use offhook::gateway::{Kind, PlaceCall};

use crate::support::{Caller, NUMBER, Setting, World};

fn order(to: impl Into<String>) -> PlaceCall {
    PlaceCall { from: Private::new(NUMBER.into()), to: Private::new(to.into()), ..PlaceCall::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_called_and_spoken_to() {
    let mut world = World::start(Setting::default()).await;
    let callee = Caller::new().await;
    let to = format!("sip:200@{}", callee.address());
    let placed = async { world.gateway.place(&Principal::operator(), order(to)).await.unwrap() };
    let ((outcome, _), placed) = tokio::join!(callee.answer("listen\nhangup"), placed);
    assert!(outcome.answered);
    assert!(outcome.exchanges.iter().any(|exchange| !exchange.heard_for.is_zero()), "the greeting was heard");
    let (call, events) = world.until_ended().await;
    assert_eq!((call.id, placed.status), (placed.id, Status::Queued));
    assert!(call.dialed_at.is_some() && call.rang_at >= call.dialed_at && call.answered_at >= call.rang_at);
    assert_eq!(
        (call.direction, call.status, call.end_reason),
        (Direction::Outbound, Status::Completed, Some(EndReason::CalleeHungUp))
    );
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names[..4], ["call.queued", "call.dialing", "call.ringing", "call.started"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_met_says_what_would_be_right() {
    let world = World::start(Setting::default()).await;
    for (request, field) in [
        (order("+14155550123"), "to"),
        (order("+1"), "to"),
        (order("somebody"), "to"),
        (PlaceCall { from: Private::new("+15550109999".into()), ..order("sip:a@127.0.0.1") }, "from"),
        (PlaceCall { agent: Some("nobody".into()), ..order("sip:a@127.0.0.1") }, "agent"),
    ] {
        let error = world.gateway.place(&Principal::operator(), request).await.unwrap_err();
        assert_eq!((error.kind, error.field), (Kind::Invalid, Some(field)), "{error}");
    }
    world.stop().await;
}
