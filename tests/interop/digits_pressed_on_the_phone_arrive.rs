//! RFC 4733 from a real phone: every press once, in order.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn each_press_is_one_event() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&["Thank you."]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    let pressed = ['1', '5', '5', '0', '*', '#'];
    for (count, digit) in (1..).zip(pressed) {
        phone.press(digit);
        gateway.wait(&format!("digit {digit}, number {count}"), SOON, |events| {
            let digits =
                events.iter().filter(|event| event["type"] == "call.dtmf" && event["call_id"] == *call);
            (digits.count() >= count).then_some(())
        });
    }
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    let events = gateway.events_of("call.dtmf", &call);
    let arrived: String = events.iter().filter_map(|event| event["data"]["digit"].as_str()).collect();
    assert_eq!(arrived, pressed.iter().collect::<String>(), "each press once and in order");
    assert_eq!(record.text("digits"), arrived);
}
