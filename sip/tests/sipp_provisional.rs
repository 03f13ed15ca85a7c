//! Provisional responses that arrive for certain (RFC 3262), in both roles.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use ::sip::{CauseKind, EndedBy};
use sipp::{Stage, T1, sdp};

#[tokio::test]
async fn early_media_is_acknowledged_by_its_caller() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("prack_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    // INVITE, PRACK.
    stage.until(|stats| stats.received == 2).await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn what_is_said_too_soon_waits_for_its_turn() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("prack_required_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    // INVITE, two PRACKs.
    stage.until(|stats| stats.received == 3).await;
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_answer_waits_for_a_late_prack() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("prack_late_in", &["-nr"]);
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.jump(T1).await;
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_without_prack_cannot_come_about() {
    let mut stage = Stage::with(|config| config.endpoint.ring_timeout = 100 * T1).await;
    let sipp = stage.called_by("prack_missing_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    stage.jump(64 * T1).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Network, CauseKind::NoAck, Some(504)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_prack_for_nothing_of_ours_is_refused() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("prack_wrong_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_acknowledge_their_ringing() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("prack_out").await;
    let leg = stage.call(&sipp).await;
    let (status, body) = stage.progress().await;
    assert_eq!(status, 183);
    assert!(body.contains("m=audio 4000"));
    assert_eq!(stage.progress().await, (180, String::new()));
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn copies_and_gaps_of_their_ringing_are_passed_over() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("prack_repeated_out").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 183);
    assert_eq!(stage.progress().await.0, 183);
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn two_phones_ring_and_the_second_answers() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("fork_early_dialogs").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 183);
    assert_eq!(stage.progress().await.0, 183);
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_session_changes_before_we_answer() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("early_update_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    assert!(stage.reoffer().await.contains("a=sendonly"));
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.stack.reoffer(leg, sdp("inactive")).await.expect("open");
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("a=inactive"), "{body}");
    stage.stack.answer(leg, sdp("inactive")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_session_changes_before_they_answer() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("early_update_out").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 183);
    // 183, and the 200 to the PRACK.
    stage.until(|stats| stats.received == 2).await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("a=recvonly"), "{body}");
    assert!(stage.reoffer().await.contains("a=inactive"));
    stage.stack.accept_offer(leg, sdp("inactive")).await.expect("open");
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_prack_brings_an_offer() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("prack_offer_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    assert!(stage.reoffer().await.contains("a=sendonly"));
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.stack.answer(leg, sdp("recvonly")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}
