//! The harness itself, proved with nothing of ours in between: what fails here is no fault of the gateway.

use crate::support::baresip::{Answer, Baresip};
use crate::support::kamailio::{Challenge, Kamailio, PHONE_NUMBER, Target};
use crate::support::sipp::Sipp;
use crate::support::speech::{CHECK_NUMBER, PLEASE_HOLD, Wav, assert_same_sound};
use crate::support::{SOON, alone};

#[test]
fn two_phones_hear_one_another_through_the_registrar() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let callee = Baresip::start("phone", "phone-pw", &carrier, Answer::AtOnce);
    let caller = Baresip::start("friend", "friend-pw", &carrier, Answer::ByHand);
    assert_eq!(carrier.challenged("REGISTER"), 2, "each phone was asked for its password once");

    caller.dial(&carrier.uri(PHONE_NUMBER));
    caller.wait_established(SOON);
    callee.wait_established(SOON);
    assert_eq!(carrier.challenged("INVITE"), 1, "the caller was asked for its password");

    caller.press('5');
    callee.wait_heard_digit('5', SOON);

    let (question, reply) = (PLEASE_HOLD.wav(), CHECK_NUMBER.wav());
    let before = callee.now();
    caller.say(&question);
    callee.wait_sound_and_quiet(before, SOON);
    let before = caller.now();
    callee.say(&reply);
    caller.wait_sound_and_quiet(before, SOON);

    callee.hang_up();
    caller.wait_closed(SOON);
    callee.wait_closed(SOON);
    assert_same_sound(&question, &Wav::read(&callee.heard()));
    assert_same_sound(&reply, &Wav::read(&caller.heard()));
}

#[test]
fn sipp_calls_sipp() {
    let _alone = alone();
    let answerer = Sipp::answer();
    let caller = Sipp::call(answerer.address, "service", 20, 20, 10);
    let score = caller.finish(SOON);
    assert_eq!((score.succeeded, score.failed), (20, 0), "{score:?}");
}

#[test]
fn the_registrar_can_ask_for_sha256() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Sha256, Target::Number);
    let challenge = carrier.challenge_for("gw");
    assert!(challenge.contains("algorithm=SHA-256"), "Kamailio asked with {challenge:?}");
}
