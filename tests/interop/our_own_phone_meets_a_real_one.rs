//! `offhook phone`, the tool of the demo and of operators, against a phone that is not ours. No model is in between, so
//! this is the signalling and the sound alone: samples are compared, not words.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::binary;
use crate::support::kamailio::{Challenge, DID, Kamailio, PHONE_NUMBER, Target};
use crate::support::place::Folder;
use crate::support::process::Process;
use crate::support::speech::{CHECK_NUMBER, PLEASE_HOLD, Wav, assert_same_sound};
use crate::support::{SOON, alone};

#[test]
fn it_registers_answers_and_hangs_up() {
    let _alone = alone();
    let folder = Folder::new("own-phone");
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
            "dtmf 42#",
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
    for digit in ['4', '2', '#'] {
        phone.wait_heard_digit(digit, SOON);
    }
    phone.press('7');
    ours.wait_for_line("\"digit\":\"7\"", SOON);
    phone.hang_up();
    phone.wait_closed(SOON);
    let status = ours.wait(SOON);
    assert!(status.success(), "{status}\n{}", ours.tail());

    assert_same_sound(&PLEASE_HOLD.wav(), &Wav::read(&phone.heard()));
    assert_same_sound(&CHECK_NUMBER.wav(), &Wav::read(&folder.join("heard.wav")));
}

#[test]
fn it_calls_through_a_challenge_and_is_hung_up_on() {
    let _alone = alone();
    let folder = Folder::new("own-phone");
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::AtOnce);
    let target = carrier.uri(PHONE_NUMBER);
    let before = phone.now();
    let ours = own_phone(&folder, &carrier, &["call", &target, "--do", "play speech.wav", "--do", "stay"]);
    phone.wait_established(SOON);
    assert_eq!(carrier.challenged("INVITE"), 1, "it was asked for its password");
    phone.wait_sound_and_quiet(before, SOON);
    phone.hang_up();
    phone.wait_closed(SOON);
    let status = ours.wait(SOON);
    assert!(status.success(), "{status}\n{}", ours.tail());
    assert_same_sound(&PLEASE_HOLD.wav(), &Wav::read(&phone.heard()));
}

pub(crate) fn own_phone(folder: &Folder, carrier: &Kamailio, what: &[&str]) -> Process {
    PLEASE_HOLD.wav().write(&folder.join("speech.wav"));
    let password = folder.write("password", "gw-pw");
    let (registrar, password) = (format!("sip:{}", carrier.address), password.display().to_string());
    let account = ["--register", &registrar, "--username", "gw", "--password-file", &password];
    let place = ["--listen", "127.0.0.1:0", "--record", "heard.wav", "--mono"];
    Process::spawn("offhook phone", binary(), &[&["phone"], what, &account, &place].concat(), |command| {
        command.current_dir(folder.path());
    })
}
