//! SRTP with keys in the SDP, against baresip's own: sound goes both ways sealed, and who does not seal is refused where that must be.

use crate::our_own_phone_meets_a_real_one::own_phone;
use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan};
use crate::support::kamailio::{Challenge, DID, Kamailio, PHONE_NUMBER, Target};
use crate::support::line::Line;
use crate::support::place::Folder;
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, PLEASE_HOLD, Wav, assert_same_sound, assert_words};
use crate::support::{A_TURN, SOON, alone};

const MANDATORY: &str = "PCMU/8000/1,PCMA/8000/1;mediaenc=srtp-mand";
const WISHED: &str = "PCMU/8000/1,PCMA/8000/1;mediaenc=srtp";
const SEALED_PHONES: &str = "[[extension]]\nnumber = \"201\"\npassword = \"201\"\nsrtp = \"required\"\n[[extension]]\nnumber = \"202\"\npassword = \"202\"\nsrtp = \"optional\"\n";

fn office(brain: &Brain) -> Gateway {
    Gateway::start(
        &Plan { allow: "192.0.2.0/24", more: SEALED_PHONES, ..Plan::new() }.thinking_with(brain.url()),
    )
}

/// No model is in between: samples are compared.
#[test]
fn our_own_phone_and_a_real_one_hear_each_other_sealed() {
    let _alone = alone();
    for (phone_asks, we_ask) in [(MANDATORY, "required"), (WISHED, "required"), (WISHED, "optional")] {
        let folder = Folder::new("own-phone");
        let carrier = Kamailio::start(Challenge::Md5, Target::Number);
        let phone = Baresip::speaking(phone_asks, "phone", "phone-pw", &carrier, Answer::AtOnce);
        let target = carrier.uri(PHONE_NUMBER);
        let before = phone.now();
        let call = ["call", &target, "--srtp", we_ask];
        let then = ["--do", "play speech.wav", "--do", "listen", "--do", "stay"];
        let ours = own_phone(&folder, &carrier, &[call.as_slice(), &then].concat());
        phone.wait_established(SOON);
        phone.wait_sound_and_quiet(before, SOON);
        phone.say(&CHECK_NUMBER.wav());
        ours.wait_for_line("\"event\":\"agent_speech_end\"", SOON);
        phone.hang_up();
        phone.wait_closed(SOON);
        let status = ours.wait(SOON);
        assert!(status.success(), "{status}\n{}", ours.tail());
        assert_same_sound(&PLEASE_HOLD.wav(), &Wav::read(&phone.heard()));
        assert_same_sound(&CHECK_NUMBER.wav(), &Wav::read(&folder.join("heard.wav")));
    }
}

#[test]
fn an_agent_understands_a_phone_that_insists_on_it() {
    let _alone = alone();
    let brain = Brain::that_says(&["Good that you are back."]);
    let gateway = office(&brain);
    let phone = Baresip::register_speaking(MANDATORY, "201", "201", gateway.sip, Answer::ByHand);
    let before = phone.now();
    phone.dial(&format!("sip:front-desk@{}", gateway.sip));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    // Two re-INVITEs, with the same keys.
    phone.hold();
    phone.resume();
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_words("sealed", NOBODY_IN.text, &record.words_of("caller"), 0.25);
    let line = &record.0["line"];
    assert!(line["encryption"].as_str().is_some_and(|suite| suite.starts_with('A')), "{line}");
    // The phone begins its encryption anew with each re-INVITE, and a packet may be caught in between.
    assert!(line["packets_refused"].as_u64().is_some_and(|refused| refused <= 2), "{line}");
}

#[test]
fn the_gateway_calls_sealed_and_puts_through_to_a_phone_that_is_not() {
    let _alone = alone();
    let brain = Brain::that_says(&["Good that you are back."]);
    let gateway = office(&brain);
    let one = Baresip::register_speaking(MANDATORY, "201", "201", gateway.sip, Answer::AtOnce);
    let other = Baresip::register_at("202", "202", gateway.sip, Answer::AtOnce);
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
    assert_same_sound(&CHECK_NUMBER.wav(), &Wav::read(&other.heard()));
}

/// "optional" offers keys beside plain RTP, which such a phone refuses; then RTP/SAVP, which it takes.
#[test]
fn a_phone_that_insists_is_reached_where_it_need_not_be() {
    let _alone = alone();
    let brain = Brain::that_says(&["Good that you are back."]);
    let gateway = office(&brain);
    let phone = Baresip::register_speaking(MANDATORY, "202", "202", gateway.sip, Answer::AtOnce);
    let before = phone.now();
    let call = gateway.place_call(DID, "202");
    phone.wait_established(SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_words("sealed", NOBODY_IN.text, &record.words_of("caller"), 0.25);
    assert!(record.0["line"]["encryption"].is_string(), "{record:?}");
}

#[test]
fn who_does_not_seal_is_refused_where_it_must_be_and_who_insists_where_it_is_off() {
    let _alone = alone();
    let brain = Brain::that_says(&["Nobody should hear this."]);
    let gateway = office(&brain);
    let phone = Baresip::register_at("201", "201", gateway.sip, Answer::ByHand);
    phone.dial(&format!("sip:front-desk@{}", gateway.sip));
    let closed = phone.wait_closed(SOON).to_string();
    assert!(closed.contains("488"), "{closed}");
    drop(gateway);

    let plan = Plan::new().thinking_with(brain.url());
    let gateway = Gateway::start(&plan);
    let line = Line::to(gateway.sip);
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let offer = line.offer(4_000, "0", &format!("a=rtpmap:0 PCMU/8000\r\n{key}"));
    line.invite(DID, &offer.replace("RTP/AVP", "RTP/SAVP"));
    assert_eq!(line.final_answer(DID, SOON).status, 488);
}
