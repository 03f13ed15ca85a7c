//! Phones of the house: they register with the gateway itself, one calls another, is put on hold and taken back, and is
//! handed to a third. No carrier and no agent has a part in it; the sound goes through the gateway.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::{Gateway, Plan, binary};
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, PLEASE_HOLD, assert_words, transcribe};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn to_a_third_who_hears_the_caller() {
    let _alone = alone();
    // Nobody who calls is a carrier: whoever calls has a password.
    let plan = Plan { allow: "192.0.2.0/24", extensions: &["201", "202", "203"], ..Plan::new() };
    let gateway = Gateway::start(&plan);
    let phone = |number, answer| Baresip::register_at(number, number, gateway.sip, answer);
    let caller = phone("201", Answer::ByHand);
    let callee = phone("202", Answer::ByHand);
    let third = phone("203", Answer::AtOnce);

    caller.dial(&format!("sip:202@{}", gateway.sip));
    callee.wait_event("CALL_INCOMING", 1, SOON);
    caller.wait_event("CALL_RINGING", 1, SOON);
    callee.accept();
    callee.wait_established(SOON);
    caller.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);

    let before = callee.now();
    caller.say(&PLEASE_HOLD.wav());
    callee.wait_sound_and_quiet(before, A_TURN);

    // Hold and resume: neither call is lost, and the callee's voice comes through again.
    callee.hold();
    callee.resume();
    let before = caller.now();
    callee.say(&NOBODY_IN.wav());
    caller.wait_sound_and_quiet(before, A_TURN);

    callee.transfer(&format!("sip:203@{}", gateway.sip));
    third.wait_established(SOON);
    let transferred = gateway.wait_event("call.transferred", &call, SOON);
    assert_eq!(transferred["data"]["bridged"], true, "{transferred}");
    callee.wait_closed(SOON);
    let before = third.now();
    caller.say(&CHECK_NUMBER.wav());
    third.wait_sound_and_quiet(before, A_TURN);
    caller.hang_up();
    caller.wait_closed(SOON);
    third.wait_closed(SOON);

    let record = gateway.record(&call, SOON);
    assert_eq!((record.text("from"), record.text("to")), ("201", "202"));
    assert_eq!((record.text("status"), record.text("end_reason")), ("completed", "caller_hung_up"));
    assert!(record.text("transferred_to").contains("203"));
    assert_words(
        "the callee at the caller's ear",
        NOBODY_IN.text,
        &transcribe(&binary(), &caller.heard()),
        0.3,
    );
    assert_words(
        "the caller at the third's ear",
        CHECK_NUMBER.text,
        &transcribe(&binary(), &third.heard()),
        0.3,
    );
}
