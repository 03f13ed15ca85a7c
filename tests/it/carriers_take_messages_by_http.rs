//! Text messages through a carrier's HTTP interface: handed over, told of, brought in, and nothing twice.

use offhook::domain::{Content, Failure, Keyword, Message, MessageStatus, Metadata, Principal, Private};
use offhook::gateway::{Kind, SendText};
use offhook::store::MessageFilter;
use serde_json::json;

use crate::support::{Carrier, NUMBER, Reply, Setting, World};

const CONTACT: &str = "+14155550123";

fn text(words: &str) -> SendText {
    SendText {
        from: Private::new(NUMBER.into()),
        to: Private::new(CONTACT.into()),
        text: Private::new(words.to_owned()),
        metadata: Metadata::new(),
    }
}

async fn world(carrier: &Carrier, more: &str) -> World {
    World::start(Setting { trunk: carrier.trunk(more), ..Setting::default() }).await
}

async fn send(world: &World, words: &str) -> Message {
    world.gateway.send(&Principal::operator(), text(words)).await.unwrap()
}

async fn all(world: &World) -> Vec<Message> {
    let filter = MessageFilter::default();
    world.gateway.messages(&Principal::operator(), filter, None, 50).await.unwrap().items
}

fn accepted(id: &str) -> Reply {
    Reply::Json(202, json!({ "data": { "id": id } }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_handed_over_and_its_receipt_believed_once() {
    let mut carrier = Carrier::new([accepted("c-1")]).await;
    let mut world = world(&carrier, "").await;
    let words = "We said: \"open\" {until} six, {to}.\n☃";
    let queued = send(&world, words).await;
    let request = carrier.next().await;
    assert_eq!(request.body, json!({ "from": NUMBER, "to": [CONTACT], "text": words }));
    assert_eq!(request.uri.to_string(), format!("/accounts/7/messages?ref={}", queued.id));
    assert_eq!(request.headers["authorization"], "Bearer a-token");
    assert_eq!(request.headers["x-ref"], queued.id.as_str());
    let sent = world.named("message.sent").await;
    let sent = sent.message().unwrap();
    assert_eq!((sent.status, sent.http_status, sent.sip_status), (MessageStatus::Accepted, Some(202), None));
    assert_eq!(sent.carrier_id.as_deref(), Some("c-1"));

    assert_eq!(carrier.tell(&world, &json!({ "id": "c-1", "status": "sent" })).await.0, 200);
    let receipt = json!({ "id": "c-1", "status": "delivered" });
    for _ in 0..3 {
        let (status, answer) = carrier.tell(&world, &receipt).await;
        assert_eq!((status, answer["message_id"].as_str()), (200, Some(queued.id.as_str())), "{answer}");
    }
    let delivered = world.named("message.delivered").await;
    assert_eq!((delivered.seq, delivered.message().unwrap().status), (2, MessageStatus::Delivered));
    let known = world.gateway.message(&Principal::operator(), queued.id).await.unwrap();
    assert!(known.delivered_at.is_some());
    assert_eq!(carrier.tell(&world, &json!({ "id": "c-2", "status": "delivered" })).await.0, 404);
    let data = world.stop().await;
    let store = offhook::store::Store::open(data.path()).unwrap();
    assert_eq!(store.events(&known.id).unwrap().len(), 2, "a receipt that came again told nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_may_say_that_it_did_not_arrive() {
    let mut carrier = Carrier::new([accepted("c-1")]).await;
    let mut world = world(&carrier, "").await;
    send(&world, "x").await;
    carrier.next().await;
    world.named("message.sent").await;
    carrier.tell(&world, &json!({ "id": "c-1", "status": "undelivered", "why": "no such phone" })).await;
    let failed = world.named("message.failed").await;
    let failed = failed.message().unwrap();
    assert_eq!(
        (failed.failure, failed.reason.as_deref()),
        (Some(Failure::Undelivered), Some("no such phone"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_took_is_sent_again_and_what_may_be_taken_is_not() {
    let mut carrier = Carrier::new([Reply::Json(503, json!({})), accepted("c-1")]).await;
    let mut world = world(&carrier, "").await;
    let id = send(&world, "busy").await.id;
    for _ in 0..2 {
        assert_eq!(carrier.next().await.body["text"], "busy");
    }
    let sent = world.named("message.sent").await;
    assert_eq!((sent.message().unwrap().id.clone(), sent.message().unwrap().tries), (id, 2));

    let of = |id| move |event: &offhook::domain::Event| event.message().is_some_and(|m| m.id == id);
    for (reply, failure, reason) in [
        (Reply::Silence, Failure::OutcomeUnknown, "the carrier's HTTP interface did not answer in time"),
        (Reply::Json(500, json!({ "error": "oops" })), Failure::OutcomeUnknown, "oops"),
        (Reply::Json(400, json!({ "error": "not a mobile" })), Failure::Refused, "not a mobile"),
        (Reply::Json(302, json!({})), Failure::Refused, "the carrier answered 302"),
    ] {
        carrier.will(reply);
        let id = send(&world, "once").await.id;
        let failed = world.event("what became of it", of(id)).await;
        let failed = failed.message().unwrap();
        assert_eq!(
            (failed.failure, failed.reason.as_deref(), failed.tries),
            (Some(failure), Some(reason), 1)
        );
        carrier.next().await;
        assert!(carrier.has_nothing());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_knows_a_message_again_may_get_it_again() {
    let mut carrier = Carrier::new([Reply::Silence, accepted("c-1")]).await;
    let mut world = world(&carrier, "idempotent = true").await;
    let id = send(&world, "x").await.id;
    let (first, second) = (carrier.next().await, carrier.next().await);
    assert_eq!(first.headers["x-ref"], second.headers["x-ref"]);
    assert_eq!(world.named("message.sent").await.message().unwrap().id, id);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carrier_brings_is_kept_once_and_what_others_bring_is_not() {
    let carrier = Carrier::new([]).await;
    let mut world = world(&carrier, "").await;
    let body = json!({ "id": "in-1", "from": "14155550123", "to": &NUMBER[1..], "text": "Grüße" });
    let (status, first) = carrier.tell(&world, &body).await;
    assert_eq!(status, 200, "{first}");
    let (status, again) = carrier.tell(&world, &body).await;
    assert_eq!((status, &again), (200, &first));
    let received = world.named("message.received").await;
    let received = received.message().unwrap();
    assert_eq!(received.content, Content::Text(Private::new("Grüße".into())));
    assert_eq!((received.from.reveal().as_str(), received.trunk.as_str()), (CONTACT, "lan"));
    assert!(received.number_id.is_some() && received.thread_id.is_some());

    let now = chrono::Utc::now().timestamp();
    let other = json!({ "id": "in-2", "from": "14155550123", "to": NUMBER, "text": "x" });
    for (body, at, key, expected) in [
        (&other, now, "another secret word", (401, "signature_invalid")),
        (&other, now - 301, "0123456789abcdef", (401, "timestamp_invalid")),
        (
            &json!({ "id": "in-3", "from": CONTACT, "to": "+15550109999", "text": "x" }),
            now,
            "0123456789abcdef",
            (404, "not_found"),
        ),
        (&json!({ "id": "in-4", "from": CONTACT, "to": NUMBER }), now, "0123456789abcdef", (422, "invalid")),
    ] {
        let (status, problem) = carrier.tell_signed(&world, body, at, key).await;
        assert_eq!((status, problem["code"].as_str()), (expected.0, Some(expected.1)), "{problem}");
    }
    assert_eq!(all(&world).await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_is_honoured_by_http_as_well() {
    let mut carrier = Carrier::new([accepted("c-1")]).await;
    let mut world = world(&carrier, "").await;
    let (status, _) =
        carrier.tell(&world, &json!({ "id": "in-1", "from": CONTACT, "to": NUMBER, "text": "Stop!" })).await;
    assert_eq!(status, 200);
    let answer = carrier.next().await;
    assert!(
        answer.body["text"].as_str().unwrap().starts_with("You will get no more messages"),
        "{:?}",
        answer.body
    );
    assert_eq!(world.named("message.received").await.message().unwrap().keyword, Some(Keyword::Stop));
    let error = world.gateway.send(&Principal::operator(), text("Buy!")).await.unwrap_err();
    assert_eq!((error.kind, error.code, error.field), (Kind::Forbidden, "recipient_stopped", Some("to")));
    assert!(carrier.has_nothing());
    world.stop().await;
}
