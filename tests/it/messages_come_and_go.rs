//! Text messages through a whole gateway: the inbox, the API, the events.

use offhook::domain::{Content, Message, MessageStatus, Metadata, Principal, Private};
use offhook::gateway::{Kind, SendText};
use offhook::store::MessageFilter;

use crate::support::{NUMBER, Pager, Setting, World};

fn text(to: impl Into<String>, text: &str) -> SendText {
    SendText {
        from: Private::new(NUMBER.into()),
        to: Private::new(to.into()),
        text: Private::new(text.to_owned()),
        metadata: Metadata::new(),
    }
}

fn us() -> Principal {
    Principal::operator()
}

async fn all(world: &World) -> Vec<Message> {
    world.gateway.messages(&us(), MessageFilter::default(), None, 9).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_a_number_lies_in_its_inbox() {
    let (mut world, mut pager) = (World::start(Setting::default()).await, Pager::new().await);
    for words in ["one", "Grüße ☃"] {
        let answer = pager.page(&world, "100", "text/plain;charset=utf-8", words.as_bytes()).await;
        assert!(answer.starts_with("SIP/2.0 202 "), "{answer}");
    }
    let received = world.event("the second message", |event| {
        event.message().is_some_and(|m| m.content == Content::Text(Private::new("Grüße ☃".into())))
    });
    let received = received.await.message().cloned();
    let inbox = |number: &str| MessageFilter { number: number.parse().ok(), ..MessageFilter::default() };
    let page = world.gateway.messages(&us(), inbox(NUMBER), None, 1).await.unwrap();
    assert_eq!((page.items.first(), page.next.is_some()), (received.as_ref(), true));
    let rest = world.gateway.messages(&us(), inbox(NUMBER), page.next, 1).await.unwrap();
    assert_eq!(rest.items[0].content, Content::Text(Private::new("one".into())));
    assert_eq!((rest.items[0].status, rest.next), (MessageStatus::Received, None));
    assert!(world.gateway.messages(&us(), inbox("+15550109999"), None, 9).await.unwrap().items.is_empty());
    let id = rest.items[0].id.clone();

    // It is still there for the next process.
    let data = world.stop().await;
    let store = offhook::store::Store::open(data.path()).unwrap();
    assert_eq!(store.message(&id).unwrap().as_ref(), rest.items.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_why() {
    let (world, mut pager) = (World::start(Setting::default()).await, Pager::new().await);
    let long = "x".repeat(8193);
    for (user, content_type, body, expected) in [
        ("+15550109999", "text/plain", "x", "SIP/2.0 404 "),
        ("100", "text/html", "x", "SIP/2.0 415 "),
        ("100", "message/imdn+xml", "<imdn/>", "SIP/2.0 415 "),
        ("100", "text/plain;charset=utf-16", "x", "SIP/2.0 415 "),
        ("100", "text/plain", &long, "SIP/2.0 413 "),
        ("100", "text/plain", &long[1..], "SIP/2.0 202 "),
    ] {
        let answer = pager.page(&world, user, content_type, body.as_bytes()).await;
        assert!(answer.starts_with(expected), "{user} {content_type}: {answer}");
    }
    assert_eq!(all(&world).await.len(), 1);
    // A stopping gateway takes nothing that it might not keep.
    world.drain().await;
    let answer = pager.page(&world, "100", "text/plain", b"x").await;
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    let error = world.gateway.send(&us(), text(pager.uri(), "x")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Busy);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_is_followed_to_its_end() {
    let (mut world, pager) = (World::start(Setting::default()).await, Pager::new().await);
    let taken = world.gateway.send(&us(), text(pager.uri(), "We are open.")).await.unwrap();
    assert_eq!(taken.status, MessageStatus::Queued);
    let first = pager.answer(&world, "", "202 Accepted").await;
    world.named("message.sent").await;
    let settled = world.gateway.message(&us(), taken.id).await.unwrap();
    assert_eq!((settled.status, settled.sip_status, settled.tries), (MessageStatus::Accepted, Some(202), 1));

    let refused = world.gateway.send(&us(), text(pager.uri(), "Hello?")).await.unwrap();
    pager.answer(&world, &first, "404 Not Found").await;
    world.named("message.failed").await;
    let settled = world.gateway.message(&us(), refused.id).await.unwrap();
    assert_eq!((settled.status, settled.sip_status), (MessageStatus::Failed, Some(404)));
    assert_eq!(settled.reason.as_deref(), Some("Not Found"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again() {
    let (mut world, pager) = (World::start(Setting::default()).await, Pager::new().await);
    world.gateway.send(&us(), text(pager.uri(), "x")).await.unwrap();
    let first = pager.answer(&world, "", "503 Service Unavailable").await;
    pager.answer(&world, &first, "200 OK").await;
    let settled = world.named("message.sent").await;
    let settled = settled.message().unwrap();
    assert_eq!((settled.status, settled.tries), (MessageStatus::Sent, 2));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let world = World::start(Setting::default()).await;
    let pager = Pager::new().await;
    let from_elsewhere = SendText { from: Private::new("+15550109999".into()), ..text(pager.uri(), "x") };
    for (request, field) in [
        (text(pager.uri(), ""), "text"),
        (text(pager.uri(), &"x".repeat(8193)), "text"),
        // Short enough for an inbox, too long for the only transport there is.
        (text(pager.uri(), &"x".repeat(1300)), "text"),
        (text("+14155550123", "x"), "to"),
        (text("nobody", "x"), "to"),
        (from_elsewhere, "from"),
    ] {
        let error = world.gateway.send(&us(), request).await.unwrap_err();
        assert_eq!((error.kind, error.field), (Kind::Invalid, Some(field)), "{error}");
    }
    assert!(all(&world).await.is_empty());
    assert!(pager.has_nothing());
    world.stop().await;
}
