//! Hold and resume: two re-INVITEs from a real phone, after which both still hear one another.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::speech::{NOBODY_IN, assert_words};
use crate::support::{A_TURN, SOON, alone};

const ANSWER: &str = "Good that you are back.";

#[test]
fn in_the_same_call() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&[ANSWER]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);
    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);

    // Each is acknowledged end to end through the proxy before the next is sent.
    phone.hold();
    carrier.wait_relayed("ACK", 2, SOON);
    phone.resume();
    carrier.wait_relayed("ACK", 3, SOON);

    // This baresip's own ear does not come back after a hold, so the gateway is asked what it sent.
    phone.say(&NOBODY_IN.wav());
    gateway.wait("the answer after the hold", A_TURN, |events| {
        let turns = events.iter().filter(|event| event["type"] == "call.turn");
        turns.filter(|turn| turn["data"]["said"] == ANSWER).count().eq(&1).then_some(())
    });
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_words("after the hold", NOBODY_IN.text, &record.words_of("caller"), 0.25);
    assert_eq!(record.text("end_reason"), "caller_hung_up");
    assert_eq!(gateway.count_events("call.started"), 1);
}
