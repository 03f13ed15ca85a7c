//! Sample against sample: what a real phone and ours hear of one another in a call is what was said, but for G.711's rounding. And keys
//! are as long at the phone as they were pressed.

use std::time::Duration;

use crate::our_own_phone_meets_a_real_one::own_phone;
use crate::support::baresip::{Answer, Baresip};
use crate::support::fidelity::Fidelity;
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::place::Folder;
use crate::support::speech::{CHECK_NUMBER, PLEASE_HOLD, Wav};
use crate::support::{SOON, alone};

/// How long our own phone holds a key (`SessionConfig::digit_length`).
const PRESSED: Duration = Duration::from_millis(160);
/// What the phone's log and a busy machine add to it or take from it.
const ROOM: Duration = Duration::from_millis(60);

#[test]
fn both_ways_in_one_call() {
    let _alone = alone();
    let folder = Folder::new("fidelity");
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let ours = own_phone(
        &folder,
        &carrier,
        &[
            "answer",
            "--wait",
            "30s",
            "--do",
            "listen",
            "--do",
            "play speech.wav",
            "--do",
            "dtmf 159#",
            "--do",
            "stay",
        ],
    );
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    ours.wait_for_line("\"event\":\"answered\"", SOON);
    let before = phone.now();
    phone.say(&CHECK_NUMBER.wav());
    phone.wait_sound_and_quiet(before, SOON);
    phone.wait_heard_digit('#', SOON);
    for digit in ['1', '5', '9', '#'] {
        let held = phone.held(digit, SOON);
        println!("{digit} was held for {held:?}");
        assert!(held > PRESSED - ROOM && held < PRESSED + ROOM, "{digit} was held for {held:?}");
    }
    phone.hang_up();
    phone.wait_closed(SOON);
    let status = ours.wait(SOON);
    assert!(status.success(), "{status}\n{}", ours.tail());

    let at_the_phone = Wav::read(&phone.heard());
    Fidelity::of(&PLEASE_HOLD.wav(), &at_the_phone).assert_is_g711s("from us to the phone");
    let at_ours = Wav::read(&folder.join("heard.wav"));
    Fidelity::of(&CHECK_NUMBER.wav(), &at_ours).assert_is_g711s("from the phone to us");
}
