//! What a real phone tells by RTCP stands in the record, while the call is up and after it.

use serde_json::Value;

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::{SOON, alone};

/// The phone's level meter tells about twice a second; its reports by RTCP come every five.
const LOOKS: usize = 60;

#[test]
fn both_directions_and_the_round_trip() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&["Thank you."]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);

    let is_whole = |quality: &Value| {
        quality["here"].is_object() && quality["there"].is_object() && quality["round_trip_ms"].is_number()
    };
    let live = (0..LOOKS)
        .map(|_| {
            phone.wait_level(phone.now(), SOON);
            gateway.call(&call)["line"].clone()
        })
        .find(|line| is_whole(&line["quality"]))
        .expect("the phone reports by RTCP");
    println!("while the call is up: {live}");
    assert!(live["packets_received"].as_u64() > Some(100), "{live}");
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    let quality = &record.0["line"]["quality"];
    println!("in the record: {quality}");
    for quality in [&live["quality"], quality] {
        for place in ["here", "there"] {
            let mos = quality[place]["mos"].as_f64().expect("a score");
            assert!((4.0..4.5).contains(&mos), "loopback loses nothing: {quality}");
        }
        let round_trip = quality["round_trip_ms"].as_f64().expect("a time");
        assert!((0.0..200.0).contains(&round_trip), "{quality}");
    }
    let metrics = gateway.metrics();
    for line in ["offhook_rtp_mos_count{place=\"here\"} 1", "offhook_rtp_mos_count{place=\"there\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} not in\n{metrics}");
    }
}
