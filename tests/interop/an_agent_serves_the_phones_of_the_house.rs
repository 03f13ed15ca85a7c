//! Agents and extensions: baresip phones that register with the gateway itself talk to an agent. No carrier is anywhere.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::DID;
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, Wav, assert_same_sound, assert_words};
use crate::support::{A_TURN, SOON, alone};

const ANSWER: &str = "Good that you are back.";

fn office() -> Plan {
    Plan { allow: "192.0.2.0/24", extensions: &["201", "202"], ..Plan::new() }
}

#[test]
fn a_phone_calls_the_agent_by_name_holds_and_comes_back() {
    let _alone = alone();
    let brain = Brain::that_says(&[ANSWER]);
    let gateway = Gateway::start(&office().thinking_with(brain.url()));
    let phone = Baresip::register_at("201", "201", gateway.sip, Answer::ByHand);
    let before = phone.now();
    phone.dial(&format!("sip:front-desk@{}", gateway.sip));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);

    phone.hold();
    phone.resume();
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_words("after the hold", NOBODY_IN.text, &record.words_of("caller"), 0.25);
    assert_eq!((record.text("trunk"), record.text("from")), ("extension 201", "201"));
    assert_eq!(record.text("end_reason"), "caller_hung_up");
}

#[test]
fn the_agent_calls_a_phone_and_puts_it_through_to_another() {
    let _alone = alone();
    let gateway = Gateway::start(&office());
    let phone = |number| Baresip::register_at(number, number, gateway.sip, Answer::AtOnce);
    let (one, other) = (phone("201"), phone("202"));
    let before = one.now();
    let call = gateway.place_call(DID, "201");
    one.wait_established(SOON);
    one.wait_sound_and_quiet(before, A_TURN);

    gateway.transfer(&call, "202");
    other.wait_established(SOON);
    gateway.wait_event("call.transferred", &call, SOON);
    let before = other.now();
    one.say(&CHECK_NUMBER.wav());
    other.wait_sound_and_quiet(before, A_TURN);
    one.hang_up();
    one.wait_closed(SOON);
    other.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_eq!(record.text("end_reason"), "callee_hung_up");
    assert_eq!(record.text("transferred_to"), "202");
    assert_same_sound(&CHECK_NUMBER.wav(), &Wav::read(&other.heard()));
}
