//! MESSAGE (RFC 3428), both ways.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use ::sip::{Body, Event, IncomingMessage, NameAddr, RequestId, SendMessage, Uri};
use sipp::{Sipp, Stage, T1, credentials};

async fn reader() -> Stage {
    Stage::with(|config| {
        config.endpoint.message_types = vec!["text/plain".into()];
        config.endpoint.max_message_body = 64;
    })
    .await
}

async fn message(stage: &mut Stage) -> (RequestId, IncomingMessage) {
    match stage.next().await {
        Event::Message { id, message } => (id, *message),
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn messages_come_in() {
    let mut stage = reader().await;
    let sipp = stage.called_by("message_in");
    for (text, status) in [("Grüße aus Köln", 200), ("And again", 202)] {
        let (id, message) = message(&mut stage).await;
        assert_eq!(String::from_utf8_lossy(&message.body.bytes).trim_end(), text);
        assert_eq!((message.leg, message.from.uri.user().as_deref()), (None, Some("alice")));
        stage.stack.answer_message(id, status).await.expect("open");
    }
    stage.end(sipp).await;
}

#[tokio::test]
async fn what_is_no_message_for_us_is_refused() {
    let stage = reader().await;
    let sipp = stage.called_by("message_in_refused");
    stage.end(sipp).await;
    let stage = Stage::new().await;
    let sipp = stage.called_by("message_in_off");
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_message_comes_in_a_call() {
    let mut stage = reader().await;
    let sipp = stage.called_by("message_in_call");
    let leg = stage.answered_call().await;
    let (id, message) = message(&mut stage).await;
    assert_eq!(message.leg, Some(leg));
    stage.stack.answer_message(id, 200).await.expect("open");
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;
}

async fn send(stage: &Stage, sipp: &Sipp) {
    send_text(stage, sipp, "Hello, Bob").await;
}

async fn send_text(stage: &Stage, sipp: &Sipp, text: &str) {
    // By UDP, unless it is too long for that.
    let to: Uri = format!("sip:bob@{}", sipp.addr).parse().expect("a uri");
    let path = stage.stack.resolve(&to).await.expect("an address");
    let message = SendMessage {
        from: NameAddr::from(format!("sip:alice@{}", path.local).parse::<Uri>().expect("a uri")),
        to,
        credentials: Some(credentials()),
        path,
        route: Vec::new(),
        headers: Vec::new(),
        call_id: None,
        body: Body { content_type: "text/plain".into(), bytes: text.into() },
    };
    stage.stack.message(message).await.expect("open");
}

#[tokio::test]
async fn a_message_goes_out_and_its_end_is_told() {
    let scenarios = [("message_out", 202), ("message_out_refused", 404), ("message_out_digest", 200)];
    for (scenario, status) in scenarios {
        let mut stage = Stage::new().await;
        let sipp = stage.met_by(scenario).await;
        send(&stage, &sipp).await;
        assert_eq!(stage.message_result().await, status, "{scenario}");
        stage.end(sipp).await;
    }
}

#[tokio::test]
async fn a_message_that_nobody_answers_is_given_up() {
    let mut stage = Stage::new().await;
    let sipp = stage.met_by_with("message_out_unanswered", &["-nr"]).await;
    send(&stage, &sipp).await;
    stage.jump(T1).await;
    stage.jump(64 * T1).await;
    assert_eq!(stage.message_result().await, 408);
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_message_that_is_too_long_for_udp_goes_by_tcp() {
    let mut stage = Stage::with(|config| config.tcp.clone_from(&config.udp)).await;
    let sipp = stage.met_by_with("message_out_large", &["-t", "t1"]).await;
    send_text(&stage, &sipp, &format!("Hello, Bob. {}", "x".repeat(1_500))).await;
    assert_eq!(stage.message_result().await, 202);
    stage.end(sipp).await;
}
