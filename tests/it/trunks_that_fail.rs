//! A server that is not there costs no call, and is known before the next one.

use std::net::Ipv4Addr;
use std::time::Duration;

use offhook::call::{Reach, ServerReport};
use offhook::domain::{Event, Principal, Private};
use offhook::gateway::{Kind, PlaceCall};
use sip::Admission;
use tokio::time::timeout;

use crate::ports::free_ports;
use crate::support::{Caller, NUMBER, Server, Setting, World};

const OTHER: &str = "+15550100002";
/// Only a fence: what a test waits for comes within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn order() -> PlaceCall {
    PlaceCall {
        from: Private::new(OTHER.into()),
        to: Private::new("+4930123456".into()),
        ..PlaceCall::default()
    }
}

/// A trunk with these servers, and a number on it.
fn carrier(servers: &[String], more: &str) -> String {
    format!(
        "[[trunk]]\nname = 'carrier'\nservers = {servers:?}\n{more}\n\
         [[number]]\nnumber = '{OTHER}'\nagent = 'desk'\ntrunk = 'carrier'\n"
    )
}

async fn servers(world: &World, trunk: &str) -> Vec<ServerReport> {
    let report = world.gateway.report().await;
    report.trunks.into_iter().find(|report| report.name == trunk).unwrap().servers
}

/// Waits until the servers of the trunk stand so.
async fn until(world: &World, trunk: &str, expected: &[Reach]) {
    let seen = async {
        loop {
            let reach: Vec<_> = servers(world, trunk).await.iter().map(|server| server.reach).collect();
            if reach == expected {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let seen = timeout(PATIENCE, seen).await;
    assert!(seen.is_ok(), "{trunk} stands otherwise: {:#?}", servers(world, trunk).await);
}

/// A port where nobody listens.
fn nobody() -> String {
    let ip = Ipv4Addr::LOCALHOST;
    format!("sip:{ip}:{};transport=tcp", free_ports(ip.into(), 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_to_the_next_server_and_to_the_next_trunk() {
    let busy = Server::refusing(503).await;
    let callee = Caller::new().await;
    let servers_of_carrier = [nobody(), format!("sip:{}", busy.address)];
    let spare = format!("[[trunk]]\nname = 'spare'\nservers = ['sip:{}']\npriority = 1\n", callee.address());
    let more = carrier(&servers_of_carrier, "") + &spare;
    let mut world = World::start(Setting { sip: "tcp = '127.0.0.1:0'", more, ..Setting::default() }).await;
    until(&world, "carrier", &[Reach::Unknown, Reach::Unknown]).await;
    until(&world, "spare", &[Reach::Unknown]).await;

    let placed = async { world.gateway.place(&Principal::operator(), order()).await.unwrap() };
    let ((outcome, _), placed) = tokio::join!(callee.answer("listen\nhangup"), placed);
    assert!(outcome.answered);
    assert!(outcome.exchanges.iter().any(|exchange| !exchange.heard_for.is_zero()), "the greeting was heard");
    let (call, events) = world.until_ended().await;
    assert_eq!((call.id, call.trunk.as_str()), (placed.id, "spare"), "the record says who carried it");
    let queued = events.iter().filter(|event| event.kind.name() == "call.queued").count();
    assert_eq!(queued, 1, "for the client it is one call");
    assert_eq!(busy.stop().await, 1, "nobody is called twice");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_who_is_busy_is_not_called_by_another_way() {
    let (first, second) = (Server::refusing(486).await, Server::refusing(486).await);
    let servers = [&first, &second].map(|server| format!("sip:{}", server.address));
    let mut world = World::start(Setting { more: carrier(&servers, ""), ..Setting::default() }).await;
    until(&world, "carrier", &[Reach::Unknown, Reach::Unknown]).await;
    world.gateway.place(&Principal::operator(), order()).await.unwrap();
    let (call, _) = world.until_ended().await;
    assert_eq!((call.end_reason.map(|reason| reason.code()), call.sip_status), (Some("busy"), Some(486)));
    assert_eq!((first.stop().await, second.stop().await), (1, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_find_out_who_is_down_and_who_is_back() {
    let (first, second) = (Server::refusing(486).await, Server::refusing(486).await);
    let servers_of_carrier = [&first, &second].map(|server| format!("sip:{}", server.address));
    let more = carrier(&servers_of_carrier, "qualify_s = 1");
    let mut world = World::start(Setting { more, ..Setting::default() }).await;
    until(&world, "carrier", &[Reach::Up, Reach::Up]).await;
    assert!(servers(&world, "carrier").await.iter().all(|server| server.round_trip_ms.is_some()));

    first.admit(Admission::Draining { retry_after: Duration::from_secs(1) }).await;
    until(&world, "carrier", &[Reach::Down, Reach::Up]).await;
    world.gateway.place(&Principal::operator(), order()).await.unwrap();
    world.until_ended().await;
    first.admit(Admission::Open).await;
    until(&world, "carrier", &[Reach::Up, Reach::Up]).await;
    assert_eq!((first.stop().await, second.stop().await), (0, 1), "the call went where somebody was");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_takes_no_more_calls_than_it_may() {
    let callee = Caller::new().await;
    let more = carrier(&[format!("sip:{}", callee.address())], "max_calls = 1");
    let mut world = World::start(Setting { more, ..Setting::default() }).await;
    until(&world, "carrier", &[Reach::Unknown]).await;
    let place = async {
        world.gateway.place(&Principal::operator(), order()).await.unwrap();
        world.named("call.dialing").await;
        let impatient = PlaceCall { queue: false, ..order() };
        let refused = world.gateway.place(&Principal::operator(), impatient).await.unwrap_err();
        let waits = world.gateway.place(&Principal::operator(), order()).await.unwrap();
        (refused, waits)
    };
    let ((outcome, _), (refused, waits)) = tokio::join!(callee.answer("listen\nhangup"), place);
    assert!(outcome.answered);
    assert_eq!((refused.kind, refused.code), (Kind::Busy, "no_capacity"), "{refused}");
    world.until_ended().await;
    // Its turn came when the first had ended; the phone is not there any more.
    let is_dialled = |event: &Event| event.call() == Some(&waits.id) && event.kind.name() == "call.dialing";
    world.event("dialling of the second", is_dialled).await;
    world.gateway.hang_up(&Principal::operator(), waits.id.clone()).await.unwrap();
    let is_over = |event: &Event| event.call() == Some(&waits.id) && event.kind.name() == "call.ended";
    world.event("end of the second", is_over).await;
    // The lan is another trunk, and has its own.
    let (other, _) = Caller::new().await.call(&world, NUMBER, "listen\nhangup").await;
    assert!(other.answered);
    world.stop().await;
}
