//! Ctrl-C during a call: the caller hears a goodbye, the carrier gets a BYE and an un-REGISTER, and the disk has it all.

use std::path::Path;

use crate::support::baresip::{Answer, Baresip};
use crate::support::brain::Brain;
use crate::support::gateway::{Gateway, Plan, Record, binary};
use crate::support::kamailio::{Challenge, DID, Kamailio, Target};
use crate::support::process::survivors;
use crate::support::speech::{assert_words, transcribe};
use crate::support::{A_TURN, SOON, alone};

const GREETING: &str = "Good morning, this is the front desk. How can I help you today?";
const GOODBYE: &str = "Thank you for calling. Goodbye.";

#[test]
fn the_caller_hears_it_and_the_record_is_complete() {
    let _alone = alone();
    let carrier = Kamailio::start(Challenge::Md5, Target::Number);
    let brain = Brain::that_says(&["Thank you."]);
    let plan = Plan::new().behind(&carrier).thinking_with(brain.url()).greeting(GREETING);
    let gateway = Gateway::start(&plan);
    carrier.wait_registered("gw", 1, SOON);
    let phone = Baresip::start("phone", "phone-pw", &carrier, Answer::ByHand);
    let before = phone.now();
    phone.dial(&carrier.uri(DID));
    phone.wait_established(SOON);
    let call = gateway.wait_call(1, SOON);
    phone.wait_sound_and_quiet(before, A_TURN);

    let family = gateway.family();
    gateway.interrupt();
    phone.wait_closed(A_TURN);
    carrier.wait_unregistered("gw", SOON);
    let (status, folder) = gateway.left(SOON);
    assert!(status.success(), "Ctrl-C is an orderly end: {status}");
    assert_eq!(survivors(&family), [], "its engines are gone with it");
    let heard = transcribe(&binary(), &phone.heard());
    assert_words("the phone's ear", &format!("{GREETING} {GOODBYE}"), &heard, 0.2);

    // What the next one finds in the same folder.
    let gateway = Gateway::start_on(&plan, folder);
    let record = Record(gateway.call(&call));
    assert_eq!(record.text("end_reason"), "shutting_down");
    assert_eq!(record.words_of("agent"), format!("{GREETING} {GOODBYE}"));
    stereo_recording_holds(
        &record.recording(gateway.data()),
        record.0["duration_ms"].as_u64().unwrap_or_default(),
    );
}

/// A WAV of two channels whose header tells the truth about its length, and which is as long as the call.
fn stereo_recording_holds(path: &Path, duration_ms: u64) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((&bytes[..4], &bytes[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let number = |at: usize, length: usize| {
        bytes[at..at + length].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    assert_eq!(number(4, 4) + 8, bytes.len() as u64, "the RIFF header knows the file's length");
    assert_eq!((number(22, 2), number(24, 4)), (2, 8_000), "two channels at the line's rate");
    let data = bytes.windows(4).position(|window| window == b"data").expect("a data chunk");
    let length_ms = number(data + 4, 4) / (2 * 2 * 8);
    assert!(
        length_ms.abs_diff(duration_ms) < 1_000,
        "{length_ms} ms of sound for a call of {duration_ms} ms"
    );
}
