//! Phones that register with us and call through us, with SIPp as the phone. SIPp knows MD5 alone.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use ::sip::{Account, Algorithm, Event, Password, Registrar};
use sipp::{Stage, sdp};

/// A registrar that knows one phone.
async fn registrar() -> Stage {
    let stage = Stage::with(|config| {
        let algorithms = vec![Algorithm::Md5];
        config.endpoint.registrar = Some(Registrar { algorithms, ..Registrar::default() });
    })
    .await;
    let alice = Account {
        username: "alice".into(),
        password: Password::new("secret"),
        register: true,
        max_contacts: None,
    };
    stage.stack.set_accounts(vec![alice]).await.expect("open");
    stage
}

/// Where alice is to be called, and for how many seconds at most.
async fn bound(stage: &mut Stage) -> Vec<u64> {
    match stage.next().await {
        Event::Bound { username, bindings } => {
            assert_eq!(username, "alice");
            bindings.iter().map(|binding| binding.expires.as_secs_f64().round() as u64).collect()
        }
        other => panic!("not of a binding: {other:?}"),
    }
}

#[tokio::test]
async fn a_phone_comes_stays_and_goes() {
    let mut stage = registrar().await;
    let sipp = stage.called_by("phone_registers");
    assert_eq!(bound(&mut stage).await, [600]);
    assert_eq!(bound(&mut stage).await, [300]);
    assert!(bound(&mut stage).await.is_empty());
    stage.end(sipp).await;
}

#[tokio::test]
async fn whoever_does_not_know_the_password_is_not_bound() {
    for (scenario, failed) in [("phone_wrong_password", 1), ("phone_unknown", 1), ("phone_of_another", 0)] {
        let stage = registrar().await;
        let mut sipp = stage.called_by(scenario);
        sipp.end().await;
        assert_eq!(stage.stats().await.failed_auth, failed, "{scenario}");
        assert!(stage.stack.bindings("alice".into()).await.expect("open").is_empty(), "{scenario}");
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn a_binding_has_its_least_time() {
    let mut stage = registrar().await;
    let sipp = stage.called_by("phone_too_brief");
    assert_eq!(bound(&mut stage).await, [60]);
    stage.jump(std::time::Duration::from_secs(61)).await;
    assert!(bound(&mut stage).await.is_empty());
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_phone_calls_and_has_proven_who_it_is() {
    let mut stage = registrar().await;
    let uri = format!("bob@{}", stage.stack.local_addr());
    let sipp = stage.called_by_with("phone_calls", &["-auth_uri", &uri]);
    let (leg, request) = stage.incoming().await;
    assert_eq!(request.account.as_deref(), Some("alice"));
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}
