//! IPv6 beside IPv4: a phone of one calls, and is put through to a phone of the other.

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::Arc;

use models::fake::FakeTranscriber;
use offhook::domain::{EndReason, Principal, Private, TransferMode};
use offhook::gateway::TransferCall;

use crate::support::{NUMBER, Peer, Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_by_ipv6_talks_with_the_agent_and_with_a_phone_of_ipv4() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let mut world = World::start(Setting {
        transcriber: Arc::new(FakeTranscriber::says([""])),
        listen: "['127.0.0.1:0', '[::1]:0']",
        allow: "127.0.0.0/8', '::1/128",
        ..Setting::default()
    })
    .await;
    let six = world.sip_addresses().into_iter().find(std::net::SocketAddr::is_ipv6).unwrap();
    let mut alice = Peer::at("alice", Ipv6Addr::LOCALHOST.into()).await;
    let mut bob = Peer::new("bob").await;
    alice.call(six, NUMBER).await;
    alice.hears(300.0).await;
    let id = world.call_id("call.started").await;
    let to = Private::new(bob.uri().to_string());
    world
        .gateway
        .transfer(&Principal::operator(), id, TransferCall { to, mode: Some(TransferMode::Bridge) })
        .await
        .unwrap();
    bob.answer().await;
    alice.sing(700.0).await;
    bob.hears(700.0).await;
    bob.sing(1_100.0).await;
    alice.hears(1_100.0).await;
    alice.hang_up().await;
    bob.ended().await;
    assert_eq!(world.until_ended().await.0.end_reason, Some(EndReason::CallerHungUp));
    world.stop().await;
}
