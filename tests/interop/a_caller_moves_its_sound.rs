//! A re-INVITE without an offer: SIPp asks for ours, and its answer in the ACK names another port. Its RTP is made here.

use std::net::{SocketAddr, UdpSocket};

use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::rtp::Rtp;
use crate::support::sipp::Sipp;
use crate::support::speech::{NOBODY_IN, assert_words};
use crate::support::{A_TURN, SOON, alone};

/// A packet of ours for each of the gateway's, whose stream is the clock. Where the gateway sends from.
fn exchange(socket: &UdpSocket, ours: &[u8], to: SocketAddr) -> SocketAddr {
    socket.send_to(ours, to).expect("loopback");
    let (length, from) = socket.recv_from(&mut [0; 1500]).expect("the gateway's stream goes on");
    assert!(length > 12);
    from
}

#[test]
fn what_is_said_follows_it_both_ways() {
    let _alone = alone();
    let brain = Brain::that_says(&["I will tell them."]);
    let gateway = Gateway::start(&Plan::new().thinking_with(brain.url()));
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port"));
    for socket in &sockets {
        socket.set_read_timeout(Some(SOON)).expect("the time is not zero");
    }
    let ports = sockets.each_ref().map(|socket| socket.local_addr().expect("bound").port().to_string());
    let [first, second] = &sockets;
    let caller = Sipp::play(
        "reinvite_delayed_moves",
        gateway.sip,
        DID,
        &["-key", "first", &ports[0], "-key", "second", &ports[1]],
    );

    // Whoever answers sends first: so it is known where to.
    let (_, target) = first.recv_from(&mut [0; 1500]).expect("the greeting comes");
    let call = gateway.wait_call(1, SOON);
    let mut ours = Rtp::new(1);
    for _ in 0..10 {
        assert_eq!(exchange(first, &ours.silence(), target), target);
    }
    // When SIPp has moved; and nothing comes to where it was any more.
    let (_, again) = second.recv_from(&mut [0; 1500]).expect("the sound comes after it");
    assert_eq!(again, target, "our own port stays");
    gateway.wait_turns(&call, 1, A_TURN);
    // From here on the gateway's stream is the clock again.
    for socket in [first, second] {
        socket.set_nonblocking(true).expect("a socket");
        while socket.recv_from(&mut [0; 1500]).is_ok() {}
    }
    second.set_nonblocking(false).expect("a socket");
    for packet in ours.speech(&NOBODY_IN.wav()) {
        exchange(second, &packet, target);
    }
    for _ in 0..100 {
        exchange(second, &ours.silence(), target);
    }
    assert!(first.recv_from(&mut [0; 1500]).is_err(), "it has moved");
    gateway.wait_turns(&call, 2, A_TURN);
    gateway.hang_up(&call);
    caller.finish(SOON);
    let record = gateway.record(&call, SOON);
    assert_words("after the move", NOBODY_IN.text, &record.words_of("caller"), 0.25);
    assert_eq!(record.0["line"]["packets_from_strangers"], 0, "{record:?}");
}
