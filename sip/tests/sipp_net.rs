//! Transports, and who is let in: TCP, large requests, IPv6; draining, ceilings and guards.

#![cfg(feature = "net")]

#[path = "support/sipp.rs"]
mod sipp;

use std::time::Duration;

use ::sip::net::StackConfig;
use ::sip::{Admission, BanReason, CauseKind, Event, Network, Rate, Sources, Uri};
use sipp::{Stage, sdp};

const TCP: &[&str] = &["-t", "t1"];
/// SIPp waits for such a key before it goes on.
const GO: char = '1';

fn only_tcp(config: &mut StackConfig) {
    config.tcp = std::mem::take(&mut config.udp);
}

async fn go(stage: &Stage, leg: ::sip::LegId) {
    stage.stack.send_dtmf(leg, GO, Duration::from_millis(100)).await.expect("open");
}

#[tokio::test]
async fn a_call_comes_by_tcp() {
    let mut stage = Stage::with(only_tcp).await;
    let sipp = stage.called_by_with("tcp_in", TCP);
    let leg = stage.answered_call().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_call_goes_by_tcp() {
    let mut stage = Stage::with(only_tcp).await;
    let sipp = stage.met_by_with("tcp_out", TCP).await;
    let leg = stage.call(&sipp).await;
    assert_eq!(stage.progress().await.0, 180);
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn what_is_large_goes_by_tcp() {
    let mut stage = Stage::with(|config| config.tcp.clone_from(&config.udp)).await;
    let sipp = stage.met_by_with("large_by_tcp", TCP).await;
    let mut invite = stage.invite(&sipp).await;
    invite.to = format!("sip:bob@{}", sipp.addr).parse::<Uri>().expect("a uri");
    invite.path = stage.stack.resolve(&invite.to).await.expect("an address");
    assert_eq!(invite.path.transport, ::sip::Transport::Udp);
    invite.headers.push(("X-Long".into(), "x".repeat(1_000)));
    stage.stack.invite(invite).await.expect("open");
    let (_, kind, status, _) = stage.ended().await;
    assert_eq!((kind, status), (CauseKind::Rejected, Some(486)));
    stage.end(sipp).await;
}

#[tokio::test]
async fn calls_go_over_ipv6() {
    let Some(mut stage) = Stage::ipv6().await else {
        return eprintln!("skipped: this machine has no IPv6");
    };
    let sipp = stage.called_by("ipv6_in");
    stage.answered_call().await;
    stage.ended_by_their_bye().await;
    stage.end(sipp).await;

    let mut stage = Stage::ipv6().await.expect("as before");
    let sipp = stage.met_by("ipv6_out").await;
    let leg = stage.call(&sipp).await;
    stage.answered().await;
    stage.hang_up(leg).await;
    stage.end(sipp).await;
}

#[tokio::test]
async fn while_draining_only_live_calls_go_on() {
    let mut stage = Stage::new().await;
    let sipp = stage.called_by("drain");
    let leg = stage.answered_call().await;
    let retry_after = Duration::from_secs(7);
    stage.stack.set_admission(Admission::Draining { retry_after }).await.expect("open");
    go(&stage, leg).await;
    assert!(stage.reoffer().await.contains("a=sendonly"));
    stage.stack.accept_offer(leg, sdp("recvonly")).await.expect("open");
    stage.ended_by_their_bye().await;
    assert_eq!(stage.stats().await.refused_admission, 1);
    stage.end(sipp).await;
}

#[tokio::test]
async fn one_call_more_than_there_is_room_for() {
    let mut stage = Stage::with(|config| config.endpoint.max_legs = 1).await;
    let sipp = stage.called_by("full");
    let leg = stage.answered_call().await;
    go(&stage, leg).await;
    stage.ended_by_their_bye().await;
    assert_eq!(stage.stats().await.refused_admission, 1);
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_scanner_hears_nothing() {
    let scanners = vec!["friendly-scanner".to_owned()];
    let mut stage = Stage::with(|config| config.endpoint.guard.scanners = scanners).await;
    let sipp = stage.called_by("scanner");
    let Event::Banned { ip, reason: BanReason::Scanner, .. } = stage.next().await else { panic!("no ban") };
    assert_eq!(ip, sipp.addr.ip());
    stage.until(|stats| stats.refused_by_guard == 2).await;
    assert_eq!(stage.stats().await.sent, 0);
    stage.end(sipp).await;
}

#[tokio::test]
async fn who_asks_too_often_is_refused() {
    // An allowance that never fills up again.
    let rate = Rate { per_second: 0, burst: 2 };
    let stage = Stage::with(|config| {
        config.endpoint.guard.per_source = Some(rate);
        config.endpoint.guard.answer = true;
    })
    .await;
    let sipp = stage.called_by("rate");
    stage.end(sipp).await;
}

#[tokio::test]
async fn a_stranger_hears_nothing() {
    let stage = Stage::new().await;
    let trunk: Network = "192.0.2.0/24".parse().expect("a network");
    stage.stack.set_sources(Sources::Only(vec![trunk])).await.expect("open");
    let sipp = stage.called_by("stranger");
    stage.until(|stats| stats.strangers == 1).await;
    assert_eq!(stage.stats().await.sent, 0);
    stage.end(sipp).await;
}
