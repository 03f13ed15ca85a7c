//! Calls with SIPp as the far end: how they begin, and how they end.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{CauseKind, EndedBy, Event, ReasonHeader, Reject, Uri};
use sipp::{Stage, T1, sdp, text};

#[tokio::test]
async fn a_call_comes_in_and_is_ended_by_its_caller() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("call_in");
    let (leg, request) = stage.incoming().await;
    assert_eq!(
        (request.from.uri.user().as_deref(), request.to.uri.user().as_deref()),
        (Some("alice"), Some("bob"))
    );
    assert!(text(request.body.clone()).contains("m=audio 4000"));
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_comes_in_and_is_ended_by_us() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("call_in_ended_by_us");
    let leg = stage.answered_call().await;
    let reason = ReasonHeader { protocol: "Q.850".into(), cause: 16, text: Some("Normal".into()) };
    stage.stack.hangup(leg, Some(reason)).await.expect("open");
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Local, CauseKind::Bye));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_goes_out_and_is_ended_by_us() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("call_out").await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await, (180, String::new()));
    assert!(stage.answered().await.contains("m=audio 4000"));
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_goes_out_and_is_ended_by_whom_we_called() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("call_out_ended_by_peer").await;
    stage.call(&sipp).await;
    stage.progress().await;
    stage.answered().await;
    let (by, kind, _, reason) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Remote, CauseKind::Bye));
    assert_eq!(reason.as_deref(), Some("Q.850;cause=31;text=\"Normal, unspecified\""));
    stage.end(sipp).await;
}

#[tokio::test]
async fn both_hang_up_at_once() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("byes_cross");
    let leg = stage.answered_call().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn early_media_goes_to_a_caller() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("early_media_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 183, Some(sdp("sendrecv"))).await.expect("open");
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn early_media_comes_from_whom_we_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("early_media_out").await;
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
async fn we_refuse_a_call() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("refused_by_us");
    let (leg, _) = stage.incoming().await;
    let reject = Reject {
        status: 486,
        reason: Some("Not Now".into()),
        retry_after: Some(Duration::from_secs(30)),
        warning: Some("All agents are talking".into()),
    };
    stage.stack.reject(leg, reject).await.expect("open");
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Local, CauseKind::Rejected, Some(486)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_hang_up_what_we_have_not_answered() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("refused_by_hangup");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    let reason = ReasonHeader { protocol: "Q.850".into(), cause: 21, text: None };
    stage.stack.hangup(leg, Some(reason)).await.expect("open");
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Local, CauseKind::Rejected, Some(603)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_of_ours_is_refused() {
    let answers = [
        ("refused_out_moved", 302, "Moved Temporarily"),
        ("refused_out_unknown", 404, "Not Found"),
        ("refused_out_away", 480, "Temporarily Unavailable"),
        ("refused_out_busy", 486, "Busy Here"),
        ("refused_out_declined", 603, "Decline"),
    ];
    for (scenario, status, phrase) in answers {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        stage.call(&sipp).await;
        let end = (EndedBy::Remote, CauseKind::Rejected, Some(status), Some(phrase.to_owned()));
        assert_eq!(stage.ended().await, end);
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn a_refusal_says_what_the_telephone_network_said() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("refused_out_with_reason").await;
    stage.call(&sipp).await;
    let (_, kind, status, reason) = stage.ended().await;
    assert_eq!((kind, status), (CauseKind::Rejected, Some(503)));
    assert_eq!(reason.as_deref(), Some("Q.850;cause=34;text=\"No circuit\""));
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_invite_that_comes_again_gets_the_same_answer() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("invite_repeated", &["-nr"]);
    let (leg, _) = stage.incoming().await;
    stage.until(|stats| stats.retransmits_received == 1).await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.until(|stats| stats.retransmits_received == 2).await;
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    assert_eq!(stage.stats().await.calls_in, 1);
    stage.end(sipp).await;
}

#[tokio::test]
async fn an_answer_without_ack_is_repeated_and_then_given_up() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("ack_lost", &["-nr"]);
    let (leg, _) = stage.incoming().await;
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.jump(T1).await;
    // What is due on the way is done once, then comes the end.
    stage.jump(64 * T1).await;
    let (by, kind, ..) = stage.ended().await;
    assert_eq!((by, kind), (EndedBy::Network, CauseKind::NoAck));
    stage.end(sipp).await;
}

#[tokio::test]
async fn every_copy_of_an_answer_is_acknowledged() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by_with("answer_repeated", &["-nr"]).await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    // Two ACKs more.
    stage.until(|stats| stats.retransmits_sent == 2).await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn nobody_answers() {
    let mut stage = Stage::with(|config| config.endpoint.ring_timeout = 100 * T1).await;
    let sipp = stage.met_by_with("nobody_answers", &["-nr"]).await;
    stage.call(&sipp).await;
    stage.jump(T1).await;
    stage.jump(64 * T1).await;
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Network, CauseKind::Timeout, Some(408)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn compact_headers_are_read() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("compact_forms");
    let (leg, request) = stage.incoming().await;
    assert_eq!(request.from.display.as_deref(), Some("A. Lice"));
    assert_eq!(request.header("Subject"), Some("a quiet word"));
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn the_proxies_of_a_caller_stay_in_the_way() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("route_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.stack.reoffer(leg, sdp("sendonly")).await.expect("open");
    assert_eq!(stage.reanswer().await.0, 200);
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn the_proxies_of_whom_we_call_stay_in_the_way() {
    for scenario in ["route_out", "route_strict"] {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        let leg = stage.call(&sipp).await;
        stage.answered().await;
        stage.hang_up(leg).await;
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn a_route_that_we_were_told_is_taken() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("route_preloaded").await;
    let mut invite = stage.invite(&sipp).await;
    invite.to = "sip:bob@example.com".parse::<Uri>().expect("a uri");
    invite.route = vec![sipp.uri("proxy")];
    stage.stack.invite(invite).await.expect("open");
    assert!(matches!(stage.next().await, Event::Ended { cause, .. } if cause.status == Some(486)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_comes_through_a_proxy_and_a_nat() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("vias_in");
    let (leg, _) = stage.incoming().await;
    stage.stack.ring(leg, 180, None).await.expect("open");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_comes_to_a_telephone_number() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("tel_in");
    let (leg, request) = stage.incoming().await;
    assert_eq!(request.request_uri.to_string(), "tel:+4922112345");
    stage.stack.answer(leg, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn ringing_after_the_answer_is_passed_over() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("late_ringing_out").await;
    stage.call(&sipp).await;
    stage.answered().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn every_copy_of_a_refusal_is_acknowledged() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by_with("refusal_repeated_out", &["-nr"]).await;
    stage.call(&sipp).await;
    assert_eq!(stage.ended().await.2, Some(486));
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_refusal_is_repeated_until_it_is_acknowledged() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by_with("refusal_ack_lost", &["-nr"]);
    let (leg, _) = stage.incoming().await;
    stage.stack.reject(leg, 486).await.expect("open");
    assert_eq!(stage.ended().await.2, Some(486));
    stage.jump(T1).await;
    // INVITE, ACK.
    stage.until(|stats| stats.received == 2).await;
    let sent = stage.stats().await.sent;
    stage.jump(2 * T1).await;
    assert_eq!(stage.stats().await.sent, sent, "nothing more is said");
    stage.end(sipp).await;
}
