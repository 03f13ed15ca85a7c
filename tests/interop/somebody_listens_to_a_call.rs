//! A third phone of the house listens to two that talk, then whispers to one of them, and the call goes on when it has hung up.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::{Gateway, Plan};
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, PLEASE_HOLD, Wav, assert_same_sound};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn and_whispers_to_one_side() {
    let _alone = alone();
    let plan = Plan { allow: "192.0.2.0/24", extensions: &["201", "202", "203"], ..Plan::new() };
    let gateway = Gateway::start(&plan);
    let phone = |number, answer| Baresip::register_at(number, number, gateway.sip, answer);
    let caller = phone("201", Answer::ByHand);
    let callee = phone("202", Answer::AtOnce);
    let third = phone("203", Answer::AtOnce);

    caller.dial(&format!("sip:202@{}", gateway.sip));
    callee.wait_established(SOON);
    caller.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    gateway.supervise(&call, Some("203"), "listen");
    third.wait_established(SOON);

    // Each waits for the third to hear it: who listens hears both.
    for (speaker, said) in [(&caller, &PLEASE_HOLD), (&callee, &NOBODY_IN)] {
        let before = third.now();
        speaker.say(&said.wav());
        third.wait_sound_and_quiet(before, A_TURN);
    }
    gateway.supervise(&call, None, "whisper");
    let before = callee.now();
    third.say(&CHECK_NUMBER.wav());
    callee.wait_sound_and_quiet(before, A_TURN);
    third.hang_up();
    third.wait_closed(SOON);
    let before = callee.now();
    caller.say(&NOBODY_IN.wav());
    callee.wait_sound_and_quiet(before, A_TURN);
    caller.hang_up();
    caller.wait_closed(SOON);
    callee.wait_closed(SOON);

    let ear = Wav::read(&third.heard());
    for said in [PLEASE_HOLD.wav(), NOBODY_IN.wav()] {
        assert_same_sound(&said, &ear);
    }
    let ear = Wav::read(&callee.heard());
    for said in [PLEASE_HOLD.wav(), CHECK_NUMBER.wav(), NOBODY_IN.wav()] {
        assert_same_sound(&said, &ear);
    }
    // The caller has heard the callee and nobody else.
    let (heard, said) = (Wav::read(&caller.heard()).sounding(), NOBODY_IN.wav().sounding());
    assert!(
        heard < said + std::time::Duration::from_millis(500),
        "{heard:?} of sound, and {said:?} were for it"
    );
    let told = gateway.events_of("call.supervision", &call);
    let states: Vec<_> =
        told.iter().map(|event| (event["data"]["mode"].as_str(), event["data"]["status"].as_str())).collect();
    let wanted = [("listen", "ringing"), ("listen", "up"), ("whisper", "up"), ("whisper", "over")];
    assert_eq!(states, wanted.map(|(mode, status)| (Some(mode), Some(status))), "{told:?}");
}
