//! Requests that never become a call, each with the status that its RFC has for it, and without any state kept.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use sipp::Stage;

#[tokio::test]
async fn each_gets_its_status() {
    let scenarios = [
        "options",
        "require_unknown",
        "content_unknown",
        "scheme_unknown",
        "method_unknown",
        "dialog_unknown",
    ];
    for scenario in scenarios {
        let stage = Stage::new().await;
        let mut sipp = stage.called_by(scenario);
        sipp.end().await;
        let stats = stage.stats().await;
        assert_eq!((stats.transactions, stats.calls_in), (0, 0), "{scenario} left something behind");
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn what_is_no_proper_request_is_counted_and_answered() {
    for scenario in ["version_unknown", "request_broken"] {
        let mut stage = Stage::new().await;
        stage.malformed = 1;
        let sipp = stage.called_by(scenario);
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn session_timers_that_are_off_cannot_be_required() {
    let stage = Stage::with(|config| config.endpoint.session_expires = None).await;
    let sipp = stage.called_by("timer_off");
    stage.end(sipp).await;
}

#[tokio::test]
async fn spent_max_forwards_are_no_affair_of_whom_they_reach() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("max_forwards_spent");
    stage.answered_call().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}
