//! Whom we call is elsewhere, or nowhere: redirections, and OPTIONS of ours.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use ::sip::{CauseKind, EndedBy, Event, Invite, NameAddr, Ping};
use sipp::{Sipp, Stage, T1};

#[tokio::test]
async fn a_call_goes_on_where_it_is_sent() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("redirect_out").await;
    let invite = Invite { redirects: 5, ..stage.invite(&sipp).await };
    let leg = stage.stack.invite(invite).await.expect("open");
    for place in ["first", "second"] {
        let Event::Redirected { to, .. } = stage.next().await else { panic!("not sent on") };
        assert_eq!(to.user().as_deref(), Some(place));
    }
    assert!(stage.answered().await.contains("m=audio 4000"));
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn nobody_is_called_twice() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("redirect_loop").await;
    let invite = Invite { redirects: 5, ..stage.invite(&sipp).await };
    stage.stack.invite(invite).await.expect("open");
    let (by, kind, status, _) = stage.ended().await;
    assert_eq!((by, kind, status), (EndedBy::Remote, CauseKind::Rejected, Some(302)));
    stage.end(sipp).await;
}

async fn ping(stage: &Stage, sipp: &Sipp) {
    let to = sipp.uri("bob");
    let path = stage.stack.resolve(&to).await.expect("an address");
    let from = NameAddr::from(to.clone());
    stage.stack.ping(Ping { to, from, path }).await.expect("open");
}

/// The status, and whether somebody was there.
async fn pong(stage: &mut Stage) -> (u16, bool) {
    match stage.next().await {
        Event::Pong { status, round_trip, .. } => (status, round_trip.is_some()),
        other => panic!("no answer: {other:?}"),
    }
}

#[tokio::test]
async fn any_answer_is_a_sign_of_life() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by("ping_out").await;
    ping(&stage, &sipp).await;
    assert_eq!(pong(&mut stage).await, (404, true));
    stage.end(sipp).await;
}

#[tokio::test]
async fn silence_is_none() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by_with("ping_unanswered", &["-nr"]).await;
    ping(&stage, &sipp).await;
    stage.jump(T1).await;
    stage.jump(64 * T1).await;
    assert_eq!(pong(&mut stage).await, (408, false));
    stage.end(sipp).await;
}
