//! What the guards refuse, asked of a whole gateway: by the API, by transfer, by a phone of the house, by a queued call whose turn
//! has come.

use offhook::domain::{EndReason, Principal, Private};
use offhook::gateway::{Kind, PlaceCall, SendText, TransferCall};

use crate::support::{Caller, NUMBER, Peer, Setting, World};

fn order(to: &str) -> PlaceCall {
    PlaceCall { from: Private::new(NUMBER.into()), to: Private::new(to.into()), ..PlaceCall::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_reaches_an_emergency_number() {
    let world = World::start(Setting::default()).await;
    let who = Principal::operator();
    for to in ["911", "sip:911@127.0.0.1:5999", "sip:%39%31%31@127.0.0.1:5999", "+19115550100"] {
        let error = world.gateway.place(&who, order(to)).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code, error.field),
            (Kind::Forbidden, "emergency_number", Some("to")),
            "{to}"
        );
        let rehearsed = world.gateway.rehearse(&who, order(to)).await.unwrap_err();
        assert_eq!(rehearsed.code, "emergency_number", "{to}");
    }
    let text = SendText {
        from: Private::new(NUMBER.into()),
        to: Private::new("sip:112@127.0.0.1:5999".into()),
        text: Private::new("help".into()),
        metadata: Default::default(),
    };
    assert_eq!(world.gateway.send(&who, text).await.unwrap_err().code, "emergency_number");
    // A call that is up is not handed on there, whatever the mode.
    let caller = Caller::new().await;
    let mut events = world.gateway.subscribe();
    let steer = async {
        let call = loop {
            let event = events.recv().await.unwrap();
            if event.kind.name() == "call.started" {
                break event.call().unwrap().clone();
            }
        };
        for to in ["sip:911@127.0.0.1:5999", "911", "+19005551234"] {
            let request = TransferCall { to: Private::new(to.into()), mode: None };
            let error = world.gateway.transfer(&who, call.clone(), request).await.unwrap_err();
            assert_eq!(error.kind, Kind::Forbidden, "{to}: {error}");
        }
        world.gateway.hang_up(&who, call).await.unwrap();
    };
    tokio::join!(caller.call(&world, NUMBER, "listen\nlisten\nhangup"), steer);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_dials_for_help_is_told_at_once_that_there_is_none_here() {
    let world = World::start(Setting {
        more: "[[extension]]\nnumber='201'\npassword='201'\nagent='desk'\n".into(),
        ..Setting::default()
    })
    .await;
    let mut phone = Peer::registered("201", world.sip).await;
    for dialled in ["911", "112", "9911"] {
        phone.dial(world.sip, dialled).await;
        assert_eq!(phone.ended().await.status, Some(403), "{dialled}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_is_asked_for_again_when_its_turn_comes() {
    // The first call spends all that may be spent; the second waits behind it, and is not dialled any more.
    let mut world = World::start(Setting {
        more: "[guards]\nmax_calls = 1\n[guards.spend]\nper_day = '0.50'\n[rates]\noutbound = '60'\n".into(),
        ..Setting::default()
    })
    .await;
    let who = Principal::operator();
    let callee = Caller::new().await;
    let to = format!("sip:200@{}", callee.address());
    let first = world.gateway.place(&who, order(&to)).await.unwrap();
    let second = world.gateway.place(&who, order(&to)).await.unwrap();
    let (outcome, _) = callee.answer("listen\nlisten\nlisten\nlisten\nhangup").await;
    assert!(outcome.answered);
    let ended = |id| {
        move |event: &offhook::domain::Event| event.call() == Some(id) && event.kind.name() == "call.ended"
    };
    world.event("the end of the first", ended(&first.id)).await;
    world.event("the end of the second", ended(&second.id)).await;
    let (first, second) = (world.call(&first.id).await, world.call(&second.id).await);
    assert_eq!(first.end_reason, Some(EndReason::SpendLimit));
    assert_eq!((second.end_reason, second.dialed_at), (Some(EndReason::SpendLimit), None));
    let error = world.gateway.place(&who, order(&to)).await.unwrap_err();
    assert_eq!((error.kind, error.code), (Kind::Forbidden, "box_spend_limit"));
    assert!(error.retry_after.is_some());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_will_not_wait_is_told_which_limit_is_reached() {
    for (rules, code) in [
        ("max_calls = 1", "box_calls_limit"),
        ("max_calls_per_key = 1", "key_calls_limit"),
        ("calls_per_minute = 1", "box_rate_limit"),
        ("calls_per_minute_per_key = 1", "key_rate_limit"),
    ] {
        let more = format!("[guards]\n{rules}\n");
        let world = World::start(Setting { more, ..Setting::default() }).await;
        let who = Principal::operator();
        let callee = Caller::new().await;
        let to = format!("sip:200@{}", callee.address());
        world.gateway.place(&who, order(&to)).await.unwrap();
        // The queue has let the first go as soon as it rings somewhere.
        let impatient = PlaceCall { queue: false, ..order(&to) };
        let error = world.gateway.place(&who, impatient).await.unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::TooMany, code), "{rules}");
        world.stop().await;
    }
}
