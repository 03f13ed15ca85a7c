//! A call into Bob from a peer that is written by hand: it sends what no stack of ours would.

use sip::{Config, Event, LegId};

use super::*;

pub struct Handmade {
    pub world: World,
    pub leg: LegId,
    /// What stands in the next request.
    pub to: String,
    pub contact: String,
}

impl Handmade {
    /// The call stands, and what was sent for it is forgotten.
    pub fn established(config: Config) -> Self {
        let mut world = World::new();
        world.add(BOB, config);
        let bob = "sip:bob@192.0.2.2";
        let mut made = Self { world, leg: LegId(0), to: format!("<{bob}>"), contact: bob.into() };
        let more = "Contact: <sip:h@192.0.2.1:5060>\r\nContent-Type: application/sdp\r\n";
        made.send("INVITE", 1, more, "v=0\r\n");
        let (leg, _) = made.world.incoming(BOB);
        made.leg = leg;
        made.world.act(BOB, |e, now| e.answer(now, leg, reply()));
        made.world.settle();
        let ok = made.world.last("200 INVITE").clone();
        made.to = ok.header("To").expect("a To");
        made.contact = ok.header("Contact").expect("a Contact").trim_matches(['<', '>']).to_owned();
        made.send("ACK", 1, "", "");
        assert!(matches!(made.world.take(BOB)[..], [Event::Established { .. }]));
        made.world.log.clear();
        made
    }

    /// What Bob sends for it.
    pub fn send(&mut self, method: &str, cseq: u32, extra: &str, body: &str) -> Vec<String> {
        let before = self.world.log.len();
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{method}{cseq}-{before};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:h@192.0.2.1>;tag=h\r\nTo: {}\r\nCall-ID: hand\r\nCSeq: {cseq} {method}\r\n\
             {extra}Content-Length: {}\r\n\r\n{body}",
            self.contact,
            self.to,
            body.len()
        );
        self.world.inject(ALICE, BOB, text.as_bytes());
        self.world.log[before..].iter().map(Sent::kind).collect()
    }
}
