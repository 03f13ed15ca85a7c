//! Requests inside a call, by either side: new offers, keys, questions, and what does not belong there.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{Body, CauseKind, EndedBy, Event, Invite};
use sipp::{Stage, T1, sdp};

#[tokio::test]
async fn a_caller_holds_in_every_way_and_comes_back() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("hold_in");
    let leg = stage.answered_call().await;
    let ways = [
        ("a=sendonly", "recvonly"),
        ("a=inactive", "inactive"),
        ("c=IN IP4 0.0.0.0", "recvonly"),
        ("a=sendrecv", "sendrecv"),
    ];
    for (offered, answer) in ways {
        let offer = stage.reoffer().await;
        assert!(offer.contains(offered), "{offer}");
        stage.stack.accept_offer(leg, sdp(answer)).await.expect("open");
    }
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_hold_and_come_back() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("hold_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    for (offer, answer) in [("sendonly", "a=recvonly"), ("sendrecv", "a=sendrecv")] {
        stage.stack.reoffer(leg, sdp(offer)).await.expect("open");
        let (status, body) = stage.reanswer().await;
        assert_eq!(status, 200);
        assert!(body.contains(answer), "{body}");
    }
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_changes_the_codec() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("codec_change_in");
    let leg = stage.answered_call().await;
    assert!(stage.reoffer().await.contains("m=audio 4002 RTP/AVP 8"));
    let answer =
        "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n";
    stage.stack.accept_offer(leg, Body::sdp(answer)).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_moves() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("contact_change_in");
    let leg = stage.answered_call().await;
    stage.reoffer().await;
    stage.stack.accept_offer(leg, sdp("sendrecv")).await.expect("open");
    // INVITE, ACK, and both again.
    stage.until(|stats| stats.received == 4).await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_answer_inside_the_call_wants_its_ack_too() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("reinvite_ack_lost", &["-nr"]);
    let leg = stage.answered_call().await;
    stage.reoffer().await;
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.jump(T1).await;
    stage.jump(64 * T1).await;
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Network, CauseKind::NoAck));
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_offer_that_we_refuse_changes_nothing() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("reinvite_refused_in");
    let leg = stage.answered_call().await;
    assert!(stage.reoffer().await.contains("RTP/AVP 18"));
    stage.stack.refuse_offer(leg, 488).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_offer_of_ours_that_is_refused_changes_nothing() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("reinvite_refused_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    assert_eq!(stage.reanswer().await, (488, String::new()));
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_leaves_the_offer_to_us() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("delayed_offer_in");
    let (leg, request) = stage.incoming().await;
    assert!(request.body.is_none());
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    assert!(stage.established().await.contains("m=audio 4000"));
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_leave_the_offer_to_whom_we_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("delayed_offer_out").await;
    let invite = Invite { body: None, ..stage.invite(&sipp).await };
    let leg = stage.stack.invite(invite).await.expect("open");
    assert!(stage.answered().await.contains("m=audio 4000"));
    stage.stack.answer(leg, sdp("recvonly")).await.expect("open");
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_asks_for_our_offer_inside_the_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("reinvite_delayed_in");
    let leg = stage.answered_call().await;
    assert_eq!(stage.reoffer().await, "");
    stage.stack.accept_offer(leg, sdp("sendrecv")).await.expect("open");
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("m=audio 4000"), "{body}");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_updates() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("update_in");
    let leg = stage.answered_call().await;
    assert!(stage.reoffer().await.contains("a=sendonly"));
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn both_offer_at_once() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("glare");
    let leg = stage.answered_call().await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    // INVITE, ACK; their offer with its ACK; 491 to ours.
    stage.until(|stats| stats.received == 5).await;
    // The one whom the Call-ID does not belong to waits two seconds at most.
    stage.jump(Duration::from_secs(2)).await;
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("a=recvonly"), "{body}");
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn both_offer_at_once_in_a_call_of_ours() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("glare_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    // 200; their offer with its ACK; 491 to ours.
    stage.until(|stats| stats.received == 4).await;
    // Whom the Call-ID belongs to waits four seconds at most.
    stage.jump(Duration::from_secs(4)).await;
    let (status, body) = stage.reanswer().await;
    assert_eq!(status, 200);
    assert!(body.contains("a=recvonly"), "{body}");
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn offers_are_answered_one_at_a_time() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("offers_one_at_a_time");
    let leg = stage.answered_call().await;
    stage.reoffer().await;
    // INVITE, ACK; two offers, and the ACK for the refusal of the second.
    stage.until(|stats| stats.received == 5).await;
    stage.stack.reoffer(leg, sdp("inactive")).await.expect("open");
    assert_eq!(stage.reanswer().await, (491, String::new()), "theirs is open");
    stage.stack.accept_offer(leg, sdp("sendrecv")).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_caller_hangs_up_with_its_offer_open() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("bye_with_offer_open");
    stage.answered_call().await;
    stage.reoffer().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn keys_are_pressed_by_info() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("dtmf_in");
    stage.answered_call().await;
    for (key, millis) in [('5', 250), ('#', 160), ('#', 99)] {
        let Event::Dtmf { digit, duration, .. } = stage.next().await else { panic!("no key") };
        assert_eq!((digit, duration), (key, Duration::from_millis(millis)));
    }
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_press_a_key() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("dtmf_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.stack.send_dtmf(leg, '7', Duration::from_millis(100)).await.expect("open");
    // 200 to the INVITE, 200 to the INFO.
    stage.until(|stats| stats.received == 2).await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_that_its_peer_has_forgotten_is_over() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("dialog_gone").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.stack.send_dtmf(leg, '7', Duration::from_millis(100)).await.expect("open");
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Network, CauseKind::DialogGone, Some(481)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_outlives_what_does_not_belong_there() {
    for scenario in ["options_in_call", "cseq_too_low", "tag_unknown"] {
        let mut stage = Stage::new().await;
        let sipp = stage.called_by(scenario);
        stage.answered_call().await;
        stage.ended_by_their_bye().await;
        stage.end(sipp).await;
    }
}
