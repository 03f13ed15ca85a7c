//! RTP from an address that the call does not come from: ignored, and counted.

use std::net::UdpSocket;

use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::line::Line;
use crate::support::rtp::Rtp;
use crate::support::speech::NOBODY_IN;
use crate::support::{A_TURN, SOON, alone};

#[test]
fn they_are_counted_and_change_nothing() {
    let _alone = alone();
    let brain = Brain::that_says(&["Nobody should hear this."]);
    let gateway = Gateway::start(&Plan::new().thinking_with(brain.url()));
    let line = Line::to(gateway.sip);
    let sound = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    sound.set_read_timeout(Some(SOON)).expect("the time is not zero");
    let port = sound.local_addr().expect("bound").port();
    line.invite(DID, &line.offer(port, "0", "a=rtpmap:0 PCMU/8000\r\n"));
    let answer = line.final_answer(DID, SOON);
    assert_eq!(answer.status, 200, "{answer:?}");
    let call = gateway.wait_call(1, SOON);
    let target = answer.media().expect("the answer says where it wants its sound");

    // Somebody is quicker than the caller. A caller behind a NAT could not be told from them; but this one comes from where it said.
    let (flood, mut early) = (UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port"), Rtp::new(3));
    for _ in 0..25 {
        flood.send_to(&early.silence(), target).expect("loopback");
    }

    // The caller's own stream, until the gateway's comes back: from here on the gateway knows where the call comes from.
    let mut ours = Rtp::new(1);
    let mut packet = [0; 1500];
    for _ in 0..3 {
        sound.send_to(&ours.silence(), target).expect("loopback");
    }
    let (length, _) = sound.recv_from(&mut packet).expect("the greeting comes");
    assert!(length > 12);

    // A stranger speaks a whole sentence into the call, in packets that are right in every other way.
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let mut theirs = Rtp::new(2);
    let speech = theirs.speech(&NOBODY_IN.wav());
    let sent = speech.len() as u64;
    for (theirs, frame) in speech.iter().zip(0..) {
        stranger.send_to(theirs, target).expect("loopback");
        // The clock of the call is the gateway's own stream: one packet of ours, one of the stranger's, for each of its.
        sound.send_to(&ours.silence(), target).expect("loopback");
        sound.recv_from(&mut packet).unwrap_or_else(|error| panic!("after {frame} packets: {error}"));
    }
    assert_eq!(line.bye(DID, &answer, A_TURN).status, 200);
    let record = gateway.record(&call, SOON);
    let line = &record.0["line"];
    // With them the first two packets by which the caller took its place back.
    assert_eq!(line["packets_from_strangers"], sent + 2, "{record:?}");
    assert_eq!(line["streams_refused"], 1, "{record:?}");
    assert_eq!(record.words_of("caller"), "", "nothing that a stranger says is heard");
    stranger.set_nonblocking(true).expect("a socket");
    assert!(stranger.recv_from(&mut packet).is_err(), "and nothing is sent to them");
}
