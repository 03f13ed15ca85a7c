//! Phones that register with us: they call agents and are called, with no carrier at all.

use std::net::SocketAddr;
use std::time::Duration;

use offhook::domain::{Principal, Private};
use offhook::gateway::{Kind, PlaceCall};
use offhook::phone::{Account, Phone, PhoneError, Settings};
use sip::net::{Stack, StackConfig};
use sip::{CauseKind, Credentials, Event, Register, RegistrationState};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Caller, NUMBER, Setting, World};

/// Only a fence.
const PATIENCE: Duration = Duration::from_secs(30);

async fn world() -> World {
    let more = "[[agent]]\nname = 'boss'\nfirst_message = 'Yes?'\n\
         [[extension]]\nnumber = '201'\nname = 'Workshop'\npassword = 'secret-201'\n\
         [[extension]]\nnumber = '202'\npassword = 'secret-202'\nmay_dial = ['boss']\n";
    World::start(Setting { more: more.into(), ..Setting::default() }).await
}

fn account(world: &World, user: &str, password: &str) -> Settings {
    let registrar = format!("sip:{}", world.sip).parse().unwrap();
    let credentials = Credentials { username: user.into(), password: password.into() };
    let account = Account { registrar, credentials, expires: Duration::from_secs(120) };
    Settings { user: user.into(), account: Some(account), ..Settings::default() }
}

fn order(to: &str) -> PlaceCall {
    PlaceCall { from: Private::new(NUMBER.into()), to: Private::new(to.into()), ..PlaceCall::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_calls_agents_by_number_and_by_name() {
    for (dialled, agent, to) in [("100", "desk", NUMBER), ("boss", "boss", "boss")] {
        let mut world = world().await;
        let phone = Caller::with(account(&world, "201", "secret-201")).await;
        let (outcome, _) = phone.call(&world, dialled, "listen\nhangup").await;
        assert!(outcome.answered, "{dialled}: {:?}", outcome.cause);
        let (call, _) = world.until_ended().await;
        assert_eq!((call.trunk.as_str(), call.agent.as_str()), ("extension 201", agent));
        assert_eq!((call.from.reveal().as_str(), call.to.reveal().as_str()), ("201", to));
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_extension_may_not_dial_is_403_and_what_nobody_is_404() {
    let world = world().await;
    for (user, dialled, expected) in [("202", "100", 403), ("201", "990", 404)] {
        let phone = Caller::with(account(&world, user, &format!("secret-{user}"))).await;
        let (outcome, _) = phone.call(&world, dialled, "hangup").await;
        assert_eq!((outcome.cause.kind, outcome.cause.status), (CauseKind::Rejected, Some(expected)));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_registers_nobody() {
    let world = world().await;
    let (out, mut events) = mpsc::channel(64);
    let reader = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let refused = Phone::start(account(&world, "201", "wrong"), out).await.err();
    assert!(matches!(refused, Some(PhoneError::Registration { .. })), "{refused:?}");
    reader.await.unwrap();
    assert!(world.gateway.report().await.extensions.iter().all(|extension| extension.phones.is_empty()));
    let error = world.gateway.place(&Principal::operator(), order("201")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    world.stop().await;
}

/// A phone that rings and does not answer.
async fn ringing(world: &World) -> (Stack, mpsc::Receiver<Event>) {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = StackConfig { udp: vec![here], ..StackConfig::default() };
    let (stack, mut events) = sip::net::bind(config).await.unwrap();
    let registrar: sip::Uri = format!("sip:{}", world.sip).parse().unwrap();
    let register = Register {
        aor: format!("sip:201@{}", world.sip).parse().unwrap(),
        contact_user: "201".into(),
        credentials: Credentials { username: "201".into(), password: "secret-201".into() },
        expires: Duration::from_secs(120),
        path: stack.resolve(&registrar).await.unwrap(),
        route: Vec::new(),
        registrar,
    };
    stack.register(register).await.unwrap();
    let registered = async {
        loop {
            match events.recv().await.unwrap() {
                Event::Registration { state: RegistrationState::Registered { .. }, .. } => break,
                Event::Registration { state, .. } => panic!("{state:?}"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, registered).await.unwrap();
    (stack, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_phones_of_an_extension_ring_and_the_first_who_answers_has_the_call() {
    let mut world = world().await;
    let (other, mut events) = ringing(&world).await;
    // It answers once the other rings as well.
    let settings = Settings { ring_for: Duration::from_millis(500), ..account(&world, "201", "secret-201") };
    let phone = Caller::with(settings).await;
    let report = world.gateway.report().await;
    assert_eq!(report.extensions[0].phones.len(), 2, "{:#?}", report.extensions);

    let rings = async {
        loop {
            match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                Event::Incoming { leg, request } => {
                    assert_eq!(request.from.uri.user().as_deref(), Some(NUMBER));
                    other.ring(leg, 180, None).await.unwrap();
                }
                Event::Ended { cause, .. } => break cause,
                _ => {}
            }
        }
    };
    let placed = async { world.gateway.place(&Principal::operator(), order("201")).await.unwrap() };
    let ((outcome, _), stopped, placed) = tokio::join!(phone.answer("listen\nhangup"), rings, placed);
    assert!(outcome.answered);
    assert_eq!(stopped.kind, CauseKind::Cancel, "the other stops ringing");
    let (call, _) = world.until_ended().await;
    assert_eq!((call.id, call.trunk.as_str()), (placed.id, "extension 201"));
    other.shutdown().await;
    world.stop().await;
}
