//! The product's main job with peers that are not ours: a baresip phone, registered at a Kamailio that asks everybody for a
//! digest, calls the number; the gateway, a client of the same Kamailio, answers, hears and speaks.

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan, binary};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, Wav, assert_words, transcribe};
use crate::support::{A_TURN, SOON, alone};

const GREETING: &str = "Good morning, this is the front desk. How can I help you today?";
const FIRST_REPLY: &str = "The plumber will come to your house tomorrow morning, after breakfast.";
const SECOND_REPLY: &str = "Very well, thank you for telling me. We will see you then.";

/// What our Whisper makes of a sentence that a person recorded at 8 kHz.
const HEARD_OF_A_PERSON: f64 = 0.25;
/// What our Whisper makes of what our Piper said, after the line and the phone.
const HEARD_OF_THE_AGENT: f64 = 0.2;

#[test]
fn what_the_phone_said_and_what_it_heard_are_in_the_transcript() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&[FIRST_REPLY, SECOND_REPLY]);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).thinking_with(brain.url()).greeting(GREETING));
    carrier.wait_registered("gw", 1, SOON);
    assert_eq!(carrier.challenged("REGISTER"), 1, "the gateway was asked for its password");
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);

    let before = phone.now();
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.wait_sound_and_quiet(before, A_TURN);
    assert_words("the first request", NOBODY_IN.text, &brain.wait_request(1, SOON), HEARD_OF_A_PERSON);

    let before = phone.now();
    phone.say(&CHECK_NUMBER.wav());
    gateway.wait_turns(&call, 3, A_TURN);
    phone.wait_sound_and_quiet(before, A_TURN);
    assert_words("the second request", CHECK_NUMBER.text, &brain.wait_request(2, SOON), HEARD_OF_A_PERSON);

    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);

    let asked = format!("{} {}", NOBODY_IN.text, CHECK_NUMBER.text);
    assert_words("the caller's transcript", &asked, &record.words_of("caller"), HEARD_OF_A_PERSON);
    let said = record.words_of("agent");
    assert_words("the agent's transcript", &format!("{GREETING} {FIRST_REPLY} {SECOND_REPLY}"), &said, 0.0);
    let heard = transcribe(&binary(), &phone.heard());
    assert_words("the agent at the phone's ear", &said, &heard, HEARD_OF_THE_AGENT);
    assert_eq!((record.text("direction"), record.text("status")), ("inbound", "completed"));
    let turns = record.0["turns"].as_array().expect("a record has turns");
    let exchanges = turns.iter().filter(|turn| turn["heard"] != "").count();
    assert_eq!(exchanges, 2, "each thing said was one exchange: {turns:?}");
    let metrics = gateway.metrics();
    for line in [
        "offhook_engine_up{engine=\"whisper\"} 1.0",
        "offhook_engine_queue{engine=\"piper\"} 0.0",
        "offhook_calls_ended_total{direction=\"inbound\",status=\"completed\",reason=\"caller_hung_up\"} 1",
        "offhook_turn_stage_seconds_count{stage=\"stt\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

/// Many carriers put the contact that we registered into the Request-URI, and leave the number in To.
#[test]
fn a_carrier_that_calls_our_contact_reaches_the_number_in_to() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Contact);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).greeting(GREETING));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);
    let record = gateway.record(&call, SOON);
    assert_eq!(record.text("to"), DID);
    assert!(!Wav::read(&phone.heard()).sounding().is_zero());
}

/// The local model's words are its own; that it hears, thinks and is heard is what counts.
#[test]
fn the_local_model_answers_a_real_voice() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let gateway = Gateway::start(&Plan::new().behind(&carrier).greeting(GREETING));
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);

    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);
    let before = phone.now();
    phone.say(&NOBODY_IN.wav());
    gateway.wait_turns(&call, 2, A_TURN);
    phone.wait_sound_and_quiet(before, A_TURN);
    phone.hang_up();
    phone.wait_closed(SOON);

    let record = gateway.record(&call, SOON);
    assert_words("the caller's transcript", NOBODY_IN.text, &record.words_of("caller"), HEARD_OF_A_PERSON);
    let said = record.words_of("agent");
    let answer =
        said.strip_prefix(GREETING).unwrap_or_else(|| panic!("the greeting is not in {said:?}")).trim();
    assert!(answer.split_whitespace().count() >= 2, "the model said {answer:?}");
    // A small model may stammer, number things or spell: the words at the ear may differ more.
    assert_words("the agent at the phone's ear", &said, &transcribe(&binary(), &phone.heard()), 0.35);
}
