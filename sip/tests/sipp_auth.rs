//! Digest of each kind, and registrations. SIPp computes MD5 by itself; of the other algorithms the form is asserted here,
//! and the values in the tests of the crate.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{CauseKind, EndedBy, Event, Invite, Password, Register, RegistrationId, RegistrationState};
use sipp::{Sipp, Stage, T1, credentials, sdp};

async fn call(stage: &Stage, sipp: &Sipp) -> ::sip::LegId {
    let invite = Invite { credentials: Some(credentials()), ..stage.invite(sipp).await };
    stage.stack.invite(invite).await.expect("open")
}

#[tokio::test]
async fn a_challenge_of_each_kind_is_answered() {
    let scenarios = [
        ("digest_401_md5", 1),
        ("digest_407_md5_sess", 1),
        ("digest_sha256", 1),
        ("digest_unknown_first", 1),
        ("digest_auth_int", 1),
        ("digest_no_qop", 1),
        ("digest_stale", 2),
        ("digest_two_realms", 2),
    ];
    for (scenario, challenges) in scenarios {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        let leg = call(&stage, &sipp).await;
        stage.answered().await;
        assert_eq!(stage.stats().await.challenges_answered, challenges, "{scenario}");
        stage.hang_up(leg).await;
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn a_wrong_password_ends_the_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("digest_wrong_password").await;
    call(&stage, &sipp).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Remote, CauseKind::Rejected, Some(401)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_challenge_without_credentials_ends_the_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("digest_no_credentials").await;
    stage.call(&sipp).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Remote, CauseKind::Rejected, Some(401)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_bye_is_challenged() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("digest_bye").await;
    let leg = call(&stage, &sipp).await;
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_new_offer_is_challenged() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("digest_reinvite").await;
    let leg = call(&stage, &sipp).await;
    stage.answered().await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("a=recvonly"), "{body}");
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

async fn register(stage: &Stage, sipp: &Sipp) -> RegistrationId {
    stage.stack.register(stage.register(sipp).await).await.expect("open")
}

/// Takes the binding away, and that is the end.
async fn unregister(mut stage: Stage, sipp: Sipp, id: RegistrationId) {
    stage.stack.unregister(id).await.expect("open");
    assert_eq!(stage.registration().await, RegistrationState::Unregistered);
    assert_eq!(stage.stats().await.registrations, 0);
    stage.end(sipp).await;
}

const fn registered(seconds: u64) -> RegistrationState {
    RegistrationState::Registered { expires: Duration::from_secs(seconds) }
}

#[tokio::test]
async fn a_registration_is_refreshed_and_taken_back() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("register").await;
    let id = register(&stage, &sipp).await;
    assert_eq!(stage.registration().await, registered(600));
    // At the latest 90 s before its end.
    stage.jump(Duration::from_secs(510)).await;
    assert_eq!(stage.registration().await, registered(600));
    unregister(stage, sipp, id).await;
}

#[tokio::test]
async fn a_registrar_wants_longer_bindings() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("register_too_brief").await;
    let id = register(&stage, &sipp).await;
    assert_eq!(stage.registration().await, registered(1800));
    unregister(stage, sipp, id).await;
}

#[tokio::test]
async fn who_is_forbidden_stops() {
    for (scenario, status) in [("register_forbidden", 403), ("register_wrong_password", 401)] {
        let mut stage = Stage::new().await;
        let mut sipp = stage.met_by(scenario).await;
        let mut wish: Register = stage.register(&sipp).await;
        wish.credentials.password = Password::new("wrong");
        let id = stage.stack.register(wish).await.expect("open");
        assert_eq!(stage.registration().await, RegistrationState::Rejected { status });
        sipp.end().await;
        let sent = stage.stats().await.sent;
        stage.jump(Duration::from_secs(24 * 3600)).await;
        assert_eq!(stage.stats().await.sent, sent, "nothing more is tried");
        unregister(stage, sipp, id).await;
    }
}

#[tokio::test]
async fn a_busy_registrar_is_asked_again() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("register_busy").await;
    let id = register(&stage, &sipp).await;
    let retry_in = Duration::from_secs(400);
    assert_eq!(stage.registration().await, RegistrationState::Failed { status: 503, retry_in });
    stage.jump(retry_in).await;
    assert_eq!(stage.registration().await, registered(600));
    unregister(stage, sipp, id).await;
}

#[tokio::test]
async fn a_silent_registrar_is_asked_again() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("register_unanswered").await;
    let id = register(&stage, &sipp).await;
    stage.jump(64 * T1).await;
    let RegistrationState::Failed { status: 408, retry_in } = stage.registration().await else {
        panic!("not given up");
    };
    stage.jump(retry_in).await;
    assert_eq!(stage.registration().await, registered(600));
    unregister(stage, sipp, id).await;
}

#[tokio::test]
async fn a_registrar_says_which_way_to_go() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("register_service_route").await;
    let id = register(&stage, &sipp).await;
    let Event::ServiceRoute { route, .. } = stage.next().await else { panic!("no route") };
    let route: Vec<_> = route.iter().map(ToString::to_string).collect();
    assert_eq!(route, ["sip:near@192.0.2.7;lr", "sip:far@192.0.2.8;lr"]);
    assert_eq!(stage.registration().await, registered(300));
    unregister(stage, sipp, id).await;
}
