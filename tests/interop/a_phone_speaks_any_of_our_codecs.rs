//! Each codec with an implementation that is not ours, both ways: baresip speaks one alone, and `offhook phone` takes it.

use crate::support::baresip::{Answer, Baresip};
use crate::support::gateway::binary;
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::place::Folder;
use crate::support::process::Process;
use crate::support::speech::{CHECK_NUMBER, PLEASE_HOLD, Wav, assert_like_sound};
use crate::support::{SOON, alone};

/// baresip's name, ours, and how much alike a quarter of a second must be: the law's noise is less than that of G.722's lower band, and
/// Opus keeps what is heard rather than the wave.
const CODECS: [(&str, &str, f64); 4] = [
    ("PCMU/8000/1", "PCMU", 0.95),
    ("PCMA/8000/1", "PCMA", 0.95),
    ("G722/16000/1", "G722", 0.95),
    ("opus/48000/2", "opus", 0.8),
];

#[test]
fn both_hear_one_another_by_each() {
    let _alone = alone();
    for (theirs, ours, alike) in CODECS {
        println!("{ours}:");
        let folder = Folder::new(&format!("codec-{ours}"));
        PLEASE_HOLD.wav().write(&folder.join("speech.wav"));
        let carrier = Kamailio::start(Challenge::Md5, Target::Number);
        let registrar = format!("sip:{}", carrier.address);
        let password = folder.write("password", "gw-pw").display().to_string();
        let script = [
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
        ];
        let account = ["--register", &registrar, "--username", "gw", "--password-file", &password];
        let place = ["--listen", "127.0.0.1:0", "--record", "heard.wav", "--mono"];
        let all = [&["phone", "answer"], &script[..], &account, &place].concat();
        let phone_of_ours = Process::spawn("offhook phone", binary(), &all, |command| {
            command.current_dir(folder.path());
        });
        carrier.wait_registered("gw", 1, SOON);
        let phone = Baresip::speaking(theirs, "phone", "phone-pw", &carrier, Answer::ByHand);

        phone.dial(&carrier.uri(DID));
        phone.wait_established(SOON);
        phone_of_ours.wait_for_line(&format!("\"codec\":\"{ours}\""), SOON);
        let before = phone.now();
        phone.say(&CHECK_NUMBER.wav());
        phone.wait_sound_and_quiet(before, SOON);
        // Keys go by the clock of the codec, or by the old one where the phone knows no other.
        for digit in ['4', '2', '#'] {
            phone.wait_heard_digit(digit, SOON);
        }
        phone.press('7');
        phone_of_ours.wait_for_line("\"digit\":\"7\"", SOON);
        phone.hang_up();
        phone.wait_closed(SOON);
        let status = phone_of_ours.wait(SOON);
        assert!(status.success(), "{status}\n{}", phone_of_ours.tail());

        assert_like_sound(&PLEASE_HOLD.wav(), &Wav::read_as_narrow(&phone.heard()), alike);
        assert_like_sound(&CHECK_NUMBER.wav(), &Wav::read_as_narrow(&folder.join("heard.wav")), alike);
    }
}
