//! Whoever gives up: CANCEL and its races, time-outs, and the forks of one call.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{CauseKind, EndedBy};
use sipp::{Stage, T1, sdp};

const RING: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_caller_gives_up() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("cancel_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    let (by, kind, status, reason) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Remote, CauseKind::Cancel, Some(487)));
    assert_eq!(reason.as_deref(), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    // Too late, and without effect.
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_cancel_that_crosses_the_answer_changes_nothing() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("cancel_after_answer");
    stage.answered_call().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_takes_its_new_offer_back() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("cancel_reinvite_in");
    let leg = stage.answered_call().await;
    stage.reoffer().await;
    // INVITE, ACK; INVITE, CANCEL, ACK. To agree now is too late, and does no harm.
    stage.until(|stats| stats.received >= 5).await;
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_cancel_without_its_invite_is_refused() {
    let stage = Stage::new().await;
    let sipp = stage.called_by("cancel_unknown");
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_give_up_while_it_rings() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("cancel_out").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    stage.stack.hangup(leg, None).await.expect("open");
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Local, CauseKind::Cancel));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_cancel_of_ours_waits_for_a_sign_of_life() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("cancel_out_waits").await;
    let leg = stage.call(&sipp).await;
    stage.stack.hangup(leg, None).await.expect("open");
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Local, CauseKind::Cancel));
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_invite_that_is_never_refused_after_its_cancel_is_forgotten() {
    let mut stage = Stage::new().await;
    let mut sipp = stage.met_by("cancel_out_unanswered").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    stage.stack.hangup(leg, None).await.expect("open");
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Local, CauseKind::Cancel));
    sipp.end().await;
    assert_eq!(stage.stats().await.legs, 1, "an answer may still come");
    stage.jump(64 * T1).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_answer_that_crosses_our_cancel_is_ended() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("cancel_out_too_late").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    stage.stack.hangup(leg, None).await.expect("open");
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Local, CauseKind::Cancel));
    stage.end(sipp).await;
}

#[tokio::test]
async fn nobody_takes_a_call_in_time() {
    let mut stage = Stage::with(|config| config.endpoint.ring_timeout = RING).await;
    let sipp = stage.called_by("ring_timeout_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.jump(RING).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Local, CauseKind::Timeout, Some(480)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_says_how_long_it_waits() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("expires_in");
    stage.incoming().await;
    stage.jump(Duration::from_secs(20)).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Local, CauseKind::Timeout, Some(487)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn whom_we_call_does_not_answer_in_time() {
    let mut stage = Stage::with(|config| config.endpoint.ring_timeout = RING).await;
    let sipp = stage.met_by("ring_timeout_out").await;
    stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    stage.jump(RING).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Local, CauseKind::Timeout, None));
    stage.end(sipp).await;
}

#[tokio::test]
async fn of_two_who_answer_the_first_is_kept() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("fork_two_answers").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    assert_eq!(stage.progress().await.0, 180);
    stage.answered().await;
    // INVITE, two ACKs, and the BYE to the second.
    stage.until(|stats| stats.sent == 4).await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_invite_that_comes_by_two_ways_is_one_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("merged_request");
    let (leg, _) = stage.incoming().await;
    // INVITE, its other copy, and the ACK for the refusal of that.
    stage.until(|stats| stats.received == 3).await;
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_says_bye_before_the_answer() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("bye_before_answer");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn our_bye_waits_for_the_ack() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("bye_waits_for_ack", &["-nr"]);
    let (leg, _) = stage.incoming().await;
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.hang_up(leg).await;
    // SIPp acknowledges the copy.
    stage.jump(T1).await;
    stage.end(sipp).await;
}
