//! SIPp's own default caller, and what is left of its calls: nothing.

use std::net::UdpSocket;

use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::place::free_ports;
use crate::support::process::{descriptors, resident_kib, survivors};
use crate::support::sipp::Sipp;
use crate::support::{A_TURN, SOON, alone};

/// Memory that 200 calls may leave behind: caches and the allocator's own slack, not calls (about 40 KiB each).
const LEFT_BEHIND_KIB: u64 = 8 * 1024;

#[test]
fn none_of_them_fails_and_nothing_is_left_behind() {
    let _alone = alone();
    let brain = Brain::that_says(&["Thank you."]);
    let mut plan = Plan::new().thinking_with(brain.url()).at_most(40);
    // A port rests for some seconds after its call, so that a late packet meets nobody else.
    plan.media = free_ports(800);
    let gateway = Gateway::start(&plan);
    let engines = gateway.family();
    assert!(engines.len() > 2, "the gateway, an ear and a mouth: {engines:?}");

    // What is made once and kept (threads, caches, the stock phrases' sound) is made by the first twenty.
    place(&gateway, 20, 20);
    let (memory, open) = (resident_kib(gateway.id()), open_files(&gateway));
    place(&gateway, 200, 220);
    let (memory_after, open_after) = (resident_kib(gateway.id()), open_files(&gateway));
    println!("memory {memory} KiB, then {memory_after} KiB; open files {open}, then {open_after}");
    assert!(memory_after <= memory + LEFT_BEHIND_KIB, "memory grew from {memory} to {memory_after} KiB");
    // The connection of one more event listener or of the log is no leak; a socket per call would be.
    assert!(open_after <= open + 4, "open files grew from {open} to {open_after}");
    assert_eq!(gateway.family(), engines, "the same processes, none more and none restarted");

    gateway.interrupt();
    let (status, folder) = gateway.left(SOON);
    assert!(status.success(), "{status}");
    assert_eq!(survivors(&engines), [], "somebody of the gateway's family is still alive");
    UdpSocket::bind(plan.sip).expect("the SIP port is free again");
    std::net::TcpListener::bind(plan.http).expect("the HTTP port is free again");
    for port in plan.media.0..=plan.media.1 {
        UdpSocket::bind((plan.sip.ip(), port)).unwrap_or_else(|error| panic!("RTP port {port}: {error}"));
    }
    drop(folder);
}

/// Less the two sockets of each pair of ports that rests: they stay bound until it has rested.
fn open_files(gateway: &Gateway) -> usize {
    let resting = || {
        let pairs = gateway.get("/v1/stats")["media"]["ports_resting"].as_u64().expect("a number");
        usize::try_from(pairs).expect("a number of ports")
    };
    loop {
        let before = resting();
        let open = descriptors(gateway.id());
        if resting() == before {
            return open - 2 * before;
        }
    }
}

/// `calls` more; there have been `all` with them.
fn place(gateway: &Gateway, calls: u32, all: usize) {
    let sipp = Sipp::call(gateway.sip, DID, calls, 20, 20);
    let score = sipp.finish(A_TURN);
    println!("{} calls, {} retransmissions", score.succeeded, score.retransmitted);
    assert_eq!(
        (score.succeeded, score.failed, score.unexpected),
        (calls.into(), 0, 0),
        "{score:?}\n{}",
        sipp.errors()
    );
    gateway.wait(&format!("the end of all {all} calls"), SOON, |events| {
        let ends = events.iter().filter(|event| event["type"] == "call.ended");
        (ends.filter(|end| end["data"]["end_reason"] == "caller_hung_up").count() == all).then_some(())
    });
    // A record is closed when its files are.
    gateway.wait("the end of their recordings", SOON, |events| {
        (events.iter().filter(|event| event["type"] == "call.recording.ready").count() == all).then_some(())
    });
}
