//! Session timers (RFC 4028), in both roles.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{CauseKind, EndedBy};
use sipp::Stage;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test]
async fn a_session_that_is_too_short_is_refused() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("timer_422_in");
    stage.answered_call().await;
    stage.ended_by_their_bye().await;
    assert_eq!(stage.stats().await.calls_in, 1);
    stage.end(sipp).await;
}

#[tokio::test]
async fn whom_we_call_wants_a_longer_session() {
    let mut stage = Stage::with(|config| config.endpoint.session_expires = Some(secs(100))).await;
    let sipp = stage.met_by("timer_422_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_refresh_by_update() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("refresh_by_update");
    stage.answered_call().await;
    stage.jump(secs(45)).await;
    // INVITE, ACK, and the answer to the UPDATE.
    stage.until(|stats| stats.received == 3).await;
    stage.jump(secs(45)).await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_refresh_by_invite_where_update_is_unknown() {
    for scenario in ["refresh_by_reinvite", "refresh_update_unknown"] {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        stage.call(&sipp).await;
        stage.answered().await;
        stage.jump(secs(45)).await;
        // The description that came with it may be a new one.
        let (status, body) = stage.reanswer().await;
        assert_eq!(status, 200);
        assert!(body.contains("m=audio 4000"), "{body}");
        stage.ended_by_their_bye().await;
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn their_refresh_keeps_the_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("refresh_by_peer");
    let leg = stage.answered_call().await;
    // Without a refresh the call would end after 60 of 90 seconds.
    stage.jump(secs(50)).await;
    stage.stack.send_dtmf(leg, '1', secs(1)).await.expect("open");
    // INVITE, ACK, the answer to the INFO, and the UPDATE.
    stage.until(|stats| stats.received == 4).await;
    stage.jump(secs(50)).await;
    stage.stack.send_dtmf(leg, '2', secs(1)).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_that_has_vanished_is_let_go() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("session_expires");
    stage.answered_call().await;
    stage.jump(secs(60)).await;
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Network, CauseKind::SessionExpired));
    stage.end(sipp).await;
}

#[tokio::test]
async fn whoever_knows_no_timers_is_left_in_peace() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("timer_unknown_to_peer").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.jump(secs(24 * 3600)).await;
    stage.stack.send_dtmf(leg, '1', secs(1)).await.expect("open");
    stage.until(|stats| stats.received == 2).await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}
