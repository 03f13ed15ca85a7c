//! Transfers (RFC 3515, RFC 5589) and calls that take another's place (RFC 3891).

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::{Event, LegId, ReferRequest, Uri};
use sipp::{Sipp, Stage, sdp};

async fn willing() -> Stage {
    Stage::with(|config| {
        config.endpoint.take_refers = true;
        config.endpoint.take_replaces = true;
    })
    .await
}

async fn referred(stage: &mut Stage) -> ReferRequest {
    match stage.next().await {
        Event::Refer { refer, .. } => *refer,
        other => panic!("no transfer: {other:?}"),
    }
}

#[tokio::test]
async fn a_caller_sends_us_on_and_hears_how_it_goes() {
    let mut stage = willing().await;
    let sipp = stage.called_by("refer_in");
    let leg = stage.answered_call().await;
    let refer = referred(&mut stage).await;
    assert_eq!(refer.to.uri.to_string(), "sip:carol@192.0.2.3");
    assert_eq!(refer.referred_by.expect("an author").uri.to_string(), "sip:alice@example.com");
    stage.stack.accept_refer(leg).await.expect("open");
    // INVITE, ACK, REFER, and an answer to each NOTIFY.
    for (answers, status) in [(4, 180), (5, 200)] {
        stage.until(|stats| stats.received == answers).await;
        stage.stack.refer_progress(leg, status).await.expect("open");
    }
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_do_not_go_where_we_are_sent() {
    let mut stage = willing().await;
    let sipp = stage.called_by("refer_in_refused");
    let leg = stage.answered_call().await;
    referred(&mut stage).await;
    stage.stack.refuse_refer(leg, 603).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn transfers_are_switched_off() {
    for scenario in ["refer_in_off", "notify_unasked"] {
        let mut stage = Stage::new().await;
        let sipp = stage.called_by(scenario);
        stage.answered_call().await;
        stage.ended_by_their_bye().await;
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn one_target_and_one_transfer_at_a_time() {
    let mut stage = willing().await;
    let sipp = stage.called_by("refer_in_wrong");
    let leg = stage.answered_call().await;
    referred(&mut stage).await;
    // INVITE, ACK, four REFERs.
    stage.until(|stats| stats.received == 6).await;
    stage.stack.refuse_refer(leg, 603).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn who_asked_does_not_want_to_know_any_more() {
    let mut stage = willing().await;
    let sipp = stage.called_by("refer_in_gone");
    let leg = stage.answered_call().await;
    referred(&mut stage).await;
    stage.stack.accept_refer(leg).await.expect("open");
    // INVITE, ACK, REFER, 481.
    stage.until(|stats| stats.received == 4).await;
    stage.stack.refer_progress(leg, 200).await.expect("open");
    stage.stack.send_dtmf(leg, '1', Duration::from_millis(100)).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

async fn sent_on(stage: &mut Stage, sipp: &Sipp) -> LegId {
    let leg = stage.call(sipp).await;
    stage.answered().await;
    let carol: Uri = "sip:carol@192.0.2.3".parse().expect("a uri");
    stage.stack.refer(leg, carol).await.expect("open");
    leg
}

#[tokio::test]
async fn we_send_them_on_and_it_works() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("refer_out").await;
    sent_on(&mut stage, &sipp).await;
    for news in [(202, false), (100, false), (180, false), (200, true)] {
        assert_eq!(stage.refer_progress().await, news);
    }
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_send_them_on_and_it_does_not_work() {
    let scenarios: [(&str, &[(u16, bool)]); 3] = [
        ("refer_out_fails", &[(202, false), (100, false), (486, true)]),
        ("refer_out_refused", &[(603, true)]),
        ("refer_out_early_notify", &[(100, false), (202, false), (408, true)]),
    ];
    for (scenario, news) in scenarios {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        let leg = sent_on(&mut stage, &sipp).await;
        for one in news {
            assert_eq!(stage.refer_progress().await, *one, "{scenario}");
        }
        stage.hang_up(leg).await;
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn nobody_tells_how_they_fared() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("refer_out_silent").await;
    let leg = sent_on(&mut stage, &sipp).await;
    assert_eq!(stage.refer_progress().await, (202, false));
    stage.jump(Duration::from_secs(3_600)).await;
    assert_eq!(stage.refer_progress().await, (408, true));
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn we_put_two_callers_together() {
    let mut stage = Stage::new().await;
    let mut target = stage.met_by("refer_out_target").await;
    let other = stage.call(&target).await;
    stage.answered().await;
    let sipp = stage.called_by("refer_out_attended");
    let leg = stage.answered_call().await;
    stage.stack.refer_to_leg(leg, other).await.expect("open");
    assert_eq!(stage.refer_progress().await, (202, false));
    assert_eq!(stage.refer_progress().await, (200, true));
    stage.ended_by_their_bye().await;
    stage.hang_up(other).await;
    target.end().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_takes_the_place_of_another() {
    let mut stage = willing().await;
    let sipp = stage.called_by("replaces_in");
    let first = stage.answered_call().await;
    let (second, request) = stage.incoming().await;
    assert_eq!(request.replaces, Some(first));
    stage.stack.answer(second, sdp("sendrecv")).await.expect("open");
    stage.established().await;
    stage.hang_up(first).await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_cannot_take_the_place_of_none() {
    let mut stage = willing().await;
    let sipp = stage.called_by("replaces_wrong");
    stage.answered_call().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}
