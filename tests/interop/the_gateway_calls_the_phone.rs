//! Outbound through the carrier: INVITE with the answer to a 407, ringing, the phone picks up, the agent speaks.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan, binary};
use crate::support::kamailio::{Challenge, DID, Kamailio, PHONE_NUMBER, Target};
use crate::support::speech::{PLEASE_HOLD, assert_words, transcribe};
use crate::support::{A_TURN, SOON, alone};

const GREETING: &str = "Hello, this is the plumber. Your water heater is ready to be fetched.";
const REPLY: &str = "Wonderful, we are open until late in the evening.";

#[test]
fn the_agent_is_heard_by_the_one_who_picks_up() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&[REPLY]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()).greeting(GREETING));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    let call = gateway.place_call(DID, PHONE_NUMBER);
    phone.wait_event("CALL_INCOMING", 1, SOON);
    assert_eq!(carrier.challenged("INVITE"), 1, "the gateway was asked for its password");
    gateway.wait_event("call.ringing", &call, SOON);
    phone.accept();
    phone.wait_established(SOON);
    gateway.wait_event("call.started", &call, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    let before = phone.now();
    phone.say(&PLEASE_HOLD.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);

    let record = gateway.record(&call, SOON);
    assert_eq!((record.text("direction"), record.text("status")), ("outbound", "completed"));
    assert_eq!((record.text("end_reason"), record.text("fault")), ("callee_hung_up", "none"));
    assert_eq!((record.text("from"), record.text("to")), (DID, PHONE_NUMBER));
    assert_words("the phone's words", PLEASE_HOLD.text, &record.words_of("caller"), 0.25);
    let said = record.words_of("agent");
    assert_words("the agent's transcript", &format!("{GREETING} {REPLY}"), &said, 0.0);
    assert_words("the agent at the phone's ear", &said, &transcribe(&binary(), &phone.heard()), 0.2);
}

#[test]
fn a_phone_that_declines_is_written_down_as_busy() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let gateway = Gateway::start(&Plan::new().behind(&carrier));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let call = gateway.place_call(DID, PHONE_NUMBER);
    phone.wait_event("CALL_INCOMING", 1, SOON);
    phone.hang_up();
    let ended = gateway.wait_event("call.ended", &call, SOON);
    assert_eq!(ended["data"]["status"], "busy", "{ended}");
    assert!(
        ["busy", "declined"].contains(&ended["data"]["end_reason"].as_str().unwrap_or_default()),
        "{ended}"
    );
    assert_eq!(ended["data"]["fault"], "callee");
}

#[test]
fn a_number_that_the_carrier_does_not_reach_is_the_callees_fault_or_the_carriers() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let gateway = Gateway::start(&Plan::new().behind(&carrier));
    carrier.wait_registered("gw", 1, SOON);
    // Nobody has registered as the phone: Kamailio answers 480.
    let call = gateway.place_call(DID, PHONE_NUMBER);
    let ended = gateway.wait_event("call.ended", &call, SOON);
    assert_eq!(
        (&ended["data"]["end_reason"], &ended["data"]["sip_status"]),
        (&"no_answer".into(), &480.into()),
        "{ended}"
    );
}
