//! SIPp's own captures of a talk and of keys (RFC 4733), played as one whole call: each press once, in order.
//!
//! They were not captured in one go. The talk has another SSRC than the keys; the key 0 comes with numbers 3,800 ahead of the key before it
//! and a timestamp far behind, and the next key goes back again. A peer that restarts its stream in mid-call looks like that.

use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::sipp::Sipp;
use crate::support::{A_TURN, SOON, alone};

/// In the order in which a telephone has them.
const KEYS: &str = "1234567890*#";

#[test]
fn each_press_is_one_event() {
    let _alone = alone();
    let brain = Brain::that_says(&["Thank you."]);
    let gateway = Gateway::start(&Plan::new().thinking_with(brain.url()));
    let sipp = Sipp::talk_and_press(gateway.sip, DID, KEYS);
    let call = gateway.wait_call(1, SOON);
    let score = sipp.finish(A_TURN);
    assert_eq!((score.succeeded, score.failed, score.unexpected), (1, 0, 0), "{score:?}\n{}", sipp.errors());

    let record = gateway.record(&call, SOON);
    let events = gateway.events_of("call.dtmf", &call);
    let arrived: String = events.iter().filter_map(|event| event["data"]["digit"].as_str()).collect();
    assert_eq!(arrived, KEYS, "each press once and in order");
    assert_eq!(record.text("digits"), KEYS);
    for event in &events {
        // The last report of each says 2,240 units of 8,000 Hz; where it was the first of a restarted stream, it counts all the same.
        assert_eq!(event["data"]["duration_ms"], 280, "{event}");
    }
    assert_eq!(record.0["line"]["codec"], "PCMA");
}
