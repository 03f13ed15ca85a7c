//! A WAV of real speech for music: a phone hears it while its transfer rings, and while the other one holds; then both hear one another again.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::{Gateway, Plan};
use crate::support::place::Folder;
use crate::support::speech::{CHECK_NUMBER, NOBODY_IN, PLEASE_HOLD, Wav, assert_same_sound};
use crate::support::{A_TURN, SOON, alone};

#[test]
fn while_it_rings_and_while_the_other_one_holds() {
    let _alone = alone();
    let folder = Folder::new("music");
    let music = folder.join("hold.wav");
    // Loud enough to be found, and with a pause, so that a phone's level meter tells one round from the next.
    let piece = PLEASE_HOLD.wav().then_silence(std::time::Duration::from_secs(2));
    piece.write(&music);
    let media = format!("hold_music = \"{}\"", music.display());
    let plan =
        Plan { allow: "192.0.2.0/24", extensions: &["201", "202", "203"], media_more: media, ..Plan::new() };
    let gateway = Gateway::start(&plan);
    let phone = |number, answer| Baresip::register_at(number, number, gateway.sip, answer);
    let caller = phone("201", Answer::ByHand);
    let callee = phone("202", Answer::AtOnce);
    let third = phone("203", Answer::ByHand);

    caller.dial(&format!("sip:202@{}", gateway.sip));
    callee.wait_established(SOON);
    caller.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);

    // The callee holds: what the caller hears is the music, from its beginning.
    let before = caller.now();
    callee.hold();
    caller.wait_sound_and_quiet(before, A_TURN);
    callee.resume();
    let before = caller.now();
    callee.say(&NOBODY_IN.wav());
    caller.wait_sound_and_quiet(before, A_TURN);

    // The callee sends the caller on: while the third rings, the caller hears the music again.
    callee.transfer(&format!("sip:203@{}", gateway.sip));
    third.wait_event("CALL_INCOMING", 1, SOON);
    let before = caller.now();
    caller.wait_sound_and_quiet(before, A_TURN);
    third.accept();
    third.wait_established(SOON);
    gateway.wait_event("call.transferred", &call, SOON);
    let before = caller.now();
    third.say(&CHECK_NUMBER.wav());
    caller.wait_sound_and_quiet(before, A_TURN);
    caller.hang_up();
    caller.wait_closed(SOON);
    third.wait_closed(SOON);

    // In this order, each as it was said.
    let heard = Wav::read(&caller.heard());
    for said in [PLEASE_HOLD.wav(), NOBODY_IN.wav(), CHECK_NUMBER.wav()] {
        assert_same_sound(&said, &heard);
    }
}
