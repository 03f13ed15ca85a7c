//! Text messages between an inbox and a phone that registers with us.

use std::net::SocketAddr;
use std::time::Duration;

use offhook::domain::{MessageStatus, Metadata, Principal, Private};
use offhook::gateway::{Kind, SendText};
use offhook::store::MessageFilter;
use sip::net::{Stack, StackConfig};
use sip::{Body, Config, Credentials, Event, NameAddr, Register, RegistrationState, SendMessage, Uri};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{NUMBER, Setting, World};

/// Only a fence.
const PATIENCE: Duration = Duration::from_secs(30);

async fn world() -> World {
    let more = "[[agent]]\nname = 'boss'\n[[extension]]\nnumber = '201'\npassword = 'secret-201'\n\
         [[extension]]\nnumber = '202'\npassword = 'secret-202'\nmay_dial = ['boss']\n";
    World::start(Setting { more: more.into(), ..Setting::default() }).await
}

struct Phone {
    number: &'static str,
    stack: Stack,
    events: mpsc::Receiver<Event>,
}

impl Phone {
    async fn new(number: &'static str) -> Self {
        let endpoint = Config { message_types: vec!["text/plain".into()], ..Config::default() };
        let udp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let (stack, events) =
            sip::net::bind(StackConfig { endpoint, udp, ..StackConfig::default() }).await.unwrap();
        Self { number, stack, events }
    }

    fn credentials(&self) -> Credentials {
        let password = format!("secret-{}", self.number);
        Credentials { username: self.number.into(), password: password.into() }
    }

    async fn next<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("an event in time").unwrap();
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn register(&mut self, world: &World) {
        let registrar: Uri = format!("sip:{}", world.sip).parse().unwrap();
        let register = Register {
            aor: format!("sip:{}@{}", self.number, world.sip).parse().unwrap(),
            contact_user: self.number.into(),
            credentials: self.credentials(),
            expires: Duration::from_secs(120),
            path: self.stack.resolve(&registrar).await.unwrap(),
            route: Vec::new(),
            registrar,
        };
        self.stack.register(register).await.unwrap();
        let state = self.next(|event| match event {
            Event::Registration { state, .. } => Some(state),
            _ => None,
        });
        assert!(matches!(state.await, RegistrationState::Registered { .. }));
    }

    /// Sends a text; gives the status of its answer.
    async fn send(&mut self, world: &World, user: &str, text: &str) -> u16 {
        let to: Uri = format!("sip:{user}@{}", world.sip).parse().unwrap();
        let from: Uri = format!("sip:{}@{}", self.number, world.sip).parse().unwrap();
        let message = SendMessage {
            path: self.stack.resolve(&to).await.unwrap(),
            to,
            from: NameAddr::from(from),
            credentials: Some(self.credentials()),
            route: Vec::new(),
            // Whatever a phone says of itself here.
            headers: vec![("P-Asserted-Identity".into(), "<sip:+14155550123@carrier.example>".into())],
            call_id: None,
            body: Body { content_type: "text/plain".into(), bytes: text.as_bytes().to_vec() },
        };
        self.stack.message(message).await.unwrap();
        let status = self.next(|event| match event {
            Event::MessageResult { status, .. } => Some(status),
            _ => None,
        });
        status.await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_writes_to_an_agent_under_its_own_name() {
    let (mut world, mut phone) = (world().await, Phone::new("201").await);
    phone.register(&world).await;
    assert_eq!(phone.send(&world, "100", "The door is open.").await, 202);
    let event = world.named("message.received").await;
    let message = event.message().unwrap();
    assert_eq!((message.from.reveal().as_str(), message.trunk.as_str()), ("201", "extension 201"));
    assert_eq!(message.number.as_str(), NUMBER);
    // One that may dial others only.
    let mut other = Phone::new("202").await;
    other.register(&world).await;
    assert_eq!(other.send(&world, "100", "Me too.").await, 403);
    let filter = MessageFilter::default();
    let kept = world.gateway.messages(&Principal::operator(), filter, None, 9).await.unwrap();
    assert_eq!(kept.items.len(), 1);
    phone.stack.shutdown().await;
    other.stack.shutdown().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_an_extension_reaches_its_phone() {
    let (mut world, mut phone) = (world().await, Phone::new("201").await);
    let text = || SendText {
        from: Private::new(NUMBER.into()),
        to: Private::new("201".into()),
        text: Private::new("Somebody is at the door.".into()),
        metadata: Metadata::new(),
    };
    let nobody = world.gateway.send(&Principal::operator(), text()).await.unwrap_err();
    assert_eq!(nobody.kind, Kind::Unavailable, "{nobody}");
    phone.register(&world).await;
    let queued = world.gateway.send(&Principal::operator(), text()).await.unwrap();
    let (id, message) = phone
        .next(|event| match event {
            Event::Message { id, message } => Some((id, message)),
            _ => None,
        })
        .await;
    assert_eq!(message.body.bytes, b"Somebody is at the door.");
    assert_eq!(message.from.uri.user().as_deref(), Some(NUMBER));
    phone.stack.answer_message(id, 200).await.unwrap();
    world.named("message.sent").await;
    let settled = world.gateway.message(&Principal::operator(), queued.id).await.unwrap();
    assert_eq!((settled.status, settled.trunk.as_str()), (MessageStatus::Sent, "extension 201"));
    phone.stack.shutdown().await;
    world.stop().await;
}
